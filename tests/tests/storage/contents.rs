//! Everything that a server answers, in a form that can be compared.

use narthex_tests::{Server, post_form};
use serde_json::Value;
use std::collections::BTreeMap;

/// Series by their labels: samples as (time in ms, value as text, histograms as JSON).
pub type Contents = BTreeMap<String, Vec<(i64, String)>>;

/// A sorted copy, so that equal labels are equal text.
fn text_of(labels: &Value) -> String {
    let all: BTreeMap<&String, &Value> = labels.as_object().into_iter().flatten().collect();
    serde_json::to_string(&all).expect("labels are JSON")
}

fn time_of(v: &Value) -> i64 {
    (v.as_f64().expect("a time") * 1000.0).round() as i64
}

/// All raw samples that a selector gives, of the last `hours`.
pub fn of(server: &Server, selector: &str, hours: u32) -> Contents {
    let at = format!("{}", narthex_tests::now() + 60.0);
    let a = post_form(&format!("{}/api/v1/query", server.url()), &[("query", &format!("{selector}[{hours}h]")), ("time", &at)]).expect("answers");
    assert_eq!(a.status, 200, "{}: {}", server.name, a.text());
    let a = a.json();
    let mut out = Contents::new();
    for s in a["data"]["result"].as_array().expect("a matrix") {
        let list = out.entry(text_of(&s["metric"])).or_default();
        for p in s["values"].as_array().into_iter().flatten() {
            list.push((time_of(&p[0]), p[1].as_str().expect("a value").to_string()));
        }
        for p in s["histograms"].as_array().into_iter().flatten() {
            list.push((time_of(&p[0]), p[1].to_string()));
        }
        list.sort();
    }
    out
}

/// All exemplars by the labels of their series.
pub fn exemplars(server: &Server, selector: &str, hours: u32) -> Contents {
    let (start, end) = (narthex_tests::now() - f64::from(hours) * 3600.0, narthex_tests::now() + 60.0);
    let (start, end) = (format!("{start}"), format!("{end}"));
    let form = [("query", selector), ("start", &*start), ("end", &*end)];
    let a = post_form(&format!("{}/api/v1/query_exemplars", server.url()), &form).expect("answers").json();
    let mut out = Contents::new();
    for s in a["data"].as_array().unwrap_or_else(|| panic!("{}: {a}", server.name)) {
        let list = out.entry(text_of(&s["seriesLabels"])).or_default();
        for e in s["exemplars"].as_array().into_iter().flatten() {
            list.push((time_of(&e["timestamp"]), format!("{} {}", e["value"], text_of(&e["labels"]))));
        }
        list.sort();
    }
    out
}

/// Panics with the first differences.
pub fn assert_equal(got: &Contents, want: &Contents, when: &str) {
    let mut out = Vec::new();
    for (labels, samples) in want {
        let there = got.get(labels).map(Vec::as_slice).unwrap_or_default();
        if there != samples.as_slice() {
            let lost: Vec<_> = samples.iter().filter(|s| !there.contains(s)).take(4).collect();
            let extra: Vec<_> = there.iter().filter(|s| !samples.contains(s)).take(4).collect();
            out.push(format!("{labels}: {} instead of {} samples; missing {lost:?}; not expected {extra:?}", there.len(), samples.len()));
        }
    }
    out.extend(got.keys().filter(|l| !want.contains_key(*l)).map(|l| format!("{l} should not be there")));
    assert!(out.is_empty(), "{when}: {} series differ:\n{}", out.len(), out[..out.len().min(8)].join("\n"));
}
