//! `query instant|range|series|labels`: asks a server and prints what it answers.

use super::http::{self, Http};
use super::print::Printer;
use super::{Context, FAILURE, complain};
use client::Method;
use std::collections::BTreeMap;

/// Seconds as the API reads them, to the millisecond.
pub(super) fn seconds(ms: i64) -> String {
    model::number::format_f(ms as f64 / 1000.0)
}

const YEARS_MS: i64 = 9999 * 3_600_000;

pub fn run(cx: &Context, what: &str) -> u8 {
    let result = match what {
        "instant" => instant(cx),
        "range" => range(cx),
        "series" => series(cx),
        _ => labels(cx),
    };
    match result {
        Ok(()) => 0,
        Err(e) => {
            complain(&e);
            FAILURE
        }
    }
}

fn time(text: &str, default_ms: i64, what: &str) -> Result<i64, String> {
    if text.is_empty() { Ok(default_ms) } else { crate::go::parse_time_ms(text).map_err(|e| format!("error parsing {what} time: {e}")) }
}

fn client(cx: &Context, headers: BTreeMap<String, String>) -> Result<Http, String> {
    Http::new(cx, cx.values.arg("server"), headers)
}

fn instant(cx: &Context) -> Result<(), String> {
    let http = client(cx, cx.values.map("header"))?;
    let at = time(cx.values.text("time"), http::now_ms(), "evaluation")?;
    let params = [("query", cx.values.arg("expr").to_string()), ("time", seconds(at))];
    let data = http.api(cx.values.arg("server"), Method::POST, "/api/v1/query", &params)?;
    Printer::new(cx).value(&data)
}

fn range(cx: &Context) -> Result<(), String> {
    let http = client(cx, cx.values.map("header"))?;
    let end = time(cx.values.text("end"), http::now_ms(), "end")?;
    let start = time(cx.values.text("start"), end - 300_000, "start")?;
    if start >= end {
        return Err("start time is not before end time".to_string());
    }
    let step_ns = crate::cli::parse_go_duration_ns(cx.values.text("step"))?;
    let step = if step_ns == 0 { ((end - start) as f64 / 1000.0 / 250.0).floor().max(1.0) } else { step_ns as f64 / 1e9 };
    let params =
        [("query", cx.values.arg("expr").to_string()), ("start", seconds(start)), ("end", seconds(end)), ("step", model::number::format_f(step))];
    let data = http.api(cx.values.arg("server"), Method::POST, "/api/v1/query_range", &params)?;
    Printer::new(cx).value(&data)
}

/// Start and end of a question about series, and its selectors.
fn window(cx: &Context) -> Result<Vec<(&'static str, String)>, String> {
    let now = http::now_ms();
    let start = time(cx.values.text("start"), now - YEARS_MS, "start")?;
    let end = time(cx.values.text("end"), now + YEARS_MS, "end")?;
    let mut params = vec![("start", seconds(start)), ("end", seconds(end))];
    params.extend(cx.values.list("match").iter().filter(|m| !m.is_empty()).map(|m| ("match[]", m.clone())));
    Ok(params)
}

fn series(cx: &Context) -> Result<(), String> {
    let http = client(cx, BTreeMap::new())?;
    let data = http.api(cx.values.arg("server"), Method::POST, "/api/v1/series", &window(cx)?)?;
    Printer::new(cx).series(&data);
    Ok(())
}

fn labels(cx: &Context) -> Result<(), String> {
    let http = client(cx, BTreeMap::new())?;
    let path = format!("/api/v1/label/{}/values", http::escape_path(cx.values.arg("name")));
    let data = http.api(cx.values.arg("server"), Method::GET, &path, &window(cx)?)?;
    Printer::new(cx).texts(&data);
    Ok(())
}
