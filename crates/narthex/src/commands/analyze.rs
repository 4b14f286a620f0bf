//! `query analyze`: how many buckets of histograms are in use, asked of a server.

use super::http::{self, Http};
use super::{Context, exit, line, print};
use client::Method;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const HEADER: &str = "Bucket stats for each histogram series over time
------------------------------------------------
First the min, avg, and max number of populated buckets, followed by the total
number of buckets (only if different from the max number of populated buckets
which is typical for classic but not native histograms).";
const FOOTER: &str = "Aggregated bucket stats
-----------------------
Each line shows min/avg/max over the series above.";

pub fn run(cx: &Context) -> u8 {
    exit(analyze(cx))
}

fn analyze(cx: &Context) -> Result<(), String> {
    let kind = cx.values.text("type");
    if kind != "histogram" {
        return Err(format!("analyze type is {kind}, must be 'histogram'"));
    }
    let server = cx.values.text("server");
    let http = Http::new(cx, server, BTreeMap::new())?;
    let at = match cx.values.text("time") {
        "" => http::now_ms(),
        text => crate::go::parse_time_ms(text).map_err(|e| format!("error parsing time '{text}': {e}"))?,
    };
    let range = crate::go::duration(crate::cli::parse_go_duration_ns(cx.values.text("duration"))?);
    line(&format!("{HEADER}\n"));
    let (mut native, mut classic) = (Totals::default(), Totals::default());
    for selector in cx.values.list("match") {
        let params = [("query", format!("{selector}[{range}]")), ("time", super::query::seconds(at))];
        let data = http.api(server, Method::POST, "/api/v1/query", &params).map_err(|e| e.replacen("query error: ", "", 1))?;
        if data["resultType"] != "matrix" {
            return Err("query of buckets resulted in non-Matrix".to_string());
        }
        let mut histograms: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        for series in data["result"].as_array().into_iter().flatten() {
            if series["values"].as_array().is_none_or(Vec::is_empty) {
                if let Some(stats) = of_native(series) {
                    line(&format!("- {} (native): {stats}", super::print::metric(&series["metric"])));
                    native.add(&stats);
                }
                continue;
            }
            let name = series["metric"]["__name__"].as_str().unwrap_or_default();
            if series["metric"]["le"].is_null() || !name.ends_with("_bucket") {
                continue;
            }
            let mut rest = series["metric"].clone();
            if let Some(m) = rest.as_object_mut() {
                m.remove("__name__");
                m.remove("le");
            }
            histograms.entry(format!("{name}{}", super::print::label_set(&rest))).or_default().push(series);
        }
        for (name, mut buckets) in histograms {
            if let Some(stats) = of_classic(&mut buckets)? {
                line(&format!("- {name} (classic): {stats}"));
                classic.add(&stats);
            }
        }
    }
    line(&format!("\n{FOOTER}"));
    for (what, totals) in [("Native", native), ("Classic", classic)] {
        if totals.n > 0 {
            print(&format!("\n{what} {totals}\n"));
        }
    }
    Ok(())
}

/// Of one histogram: buckets that are not empty, least, mean and most over time, and all that ever were.
struct Stats {
    min: usize,
    avg: f64,
    max: usize,
    total: usize,
}

impl std::fmt::Display for Stats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{:.3}/{}", self.min, self.avg, self.max)?;
        if self.max == self.total { Ok(()) } else { write!(f, "/{}", self.total) }
    }
}

fn of_counts(counts: &[usize], total: usize) -> Option<Stats> {
    let avg = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    Some(Stats { min: *counts.iter().min()?, avg, max: *counts.iter().max()?, total })
}

fn of_native(series: &Value) -> Option<Stats> {
    let histograms = series["histograms"].as_array().filter(|h| h.len() > 1)?;
    let mut all = BTreeSet::new();
    let mut counts = Vec::new();
    for h in histograms {
        let buckets = h[1]["buckets"].as_array().map_or(&[][..], Vec::as_slice);
        counts.push(buckets.len());
        all.extend(buckets.iter().map(|b| format!("{} {} {}", b[0], b[1], b[2])));
    }
    of_counts(&counts, all.len())
}

fn of_classic(buckets: &mut [&Value]) -> Result<Option<Stats>, String> {
    let le = |s: &Value| s["metric"]["le"].as_str().and_then(|v| crate::go::parse_float(v).ok()).unwrap_or(0.0);
    let points = |s: &Value| s["values"].as_array().map_or(0, Vec::len);
    let point =
        |s: &Value, i: usize| (s["values"][i][0].clone(), s["values"][i][1].as_str().and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0) as i64);
    // The number of points is that of the first series as it came.
    let n = buckets.first().map_or(0, |b| points(b));
    if n < 2 {
        return Ok(None);
    }
    buckets.sort_by(|a, b| le(a).total_cmp(&le(b)));
    let mut counts = Vec::new();
    for i in 0..n {
        let mut populated = 0;
        for (k, b) in buckets.iter().enumerate() {
            if i >= points(b) {
                break;
            }
            let (t, v) = point(b, i);
            let before = if k == 0 { 0 } else { point(buckets[k - 1], i).1 };
            if k > 0 && point(buckets[k - 1], i).0 != t {
                return Err("matrix result is not time aligned".to_string());
            }
            populated += usize::from(v != before);
        }
        counts.push(populated);
    }
    Ok(of_counts(&counts, buckets.len()))
}

/// Least, mean and most over the histograms.
#[derive(Clone, Copy, PartialEq)]
struct Spread {
    min: usize,
    max: usize,
    n: usize,
    avg: f64,
}

impl Default for Spread {
    fn default() -> Self {
        Spread { min: usize::MAX, max: 0, n: 0, avg: 0.0 }
    }
}

impl Spread {
    fn add(&mut self, v: usize) {
        self.min = self.min.min(v);
        self.max = self.max.max(v);
        self.n += 1;
        self.avg += v as f64 / self.n as f64 - self.avg / self.n as f64;
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{:.3}/{}", self.min, self.avg, self.max)
    }
}

#[derive(Default)]
struct Totals {
    n: usize,
    min: Spread,
    avg: Spread,
    max: Spread,
    total: Spread,
}

impl Totals {
    fn add(&mut self, s: &Stats) {
        self.n += 1;
        self.min.add(s.min);
        self.avg.add(s.avg as usize);
        self.max.add(s.max);
        self.total.add(s.total);
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (min, avg, max) = (self.min, self.avg, self.max);
        write!(f, "histogram series ({} in total):\n- min populated: {min}\n- avg populated: {avg}\n- max populated: {max}", self.n)?;
        if self.max == self.total { Ok(()) } else { write!(f, "\n- total: {}", self.total) }
    }
}
