//! Differences that are none of ours: what changed since 3.5, each with what a query must have for it, and what the reference leaves to chance.
//! Chance is looked for first, by asking again.

use super::answer::{Answer, Nearness};
use super::generate::Query;

/// Metrics that have native histograms.
const NATIVE: [&str; 6] = ["latency", "load", "custom", "mixed", "__name__=~\"l", "__name__=~\"m"];

type Answered = Result<Answer, String>;

/// Why two answers may differ; None when they may not.
pub fn explained(q: &Query, delayed: bool, near: Nearness, ours: &Answered, theirs: &Answered) -> Option<&'static str> {
    let has = |word: &str| q.text.contains(word);
    let any = |words: &[&str]| words.iter().any(|w| has(w));
    let native = any(&NATIVE);
    match (ours, theirs) {
        // A kind of token whose number the reference gives away.
        (Err(a), Err(b)) if *a == b.replace("\"<Item 57400>\" ", "") => return Some("3.14 names tokens better"),
        (Err(a), Err(b)) if [a, b].iter().all(|e| e.starts_with("found duplicate series for the match group")) => {
            return Some("both refuse and name other duplicates");
        }
        (Err(a), Err(b)) if a.starts_with("Parameter value is NaN") && b.contains("Scalar value NaN overflows int64") => {
            return Some("3.14 says otherwise that NaN is no number of series");
        }
        (Err(e), Ok(_)) if e.starts_with("multiple matches for labels") => {
            return Some("3.14 refuses ambiguous matches that a comparison would filter out");
        }
        (Ok(_), Err(e)) if delayed && e == "vector cannot contain metrics with the same labelset" => {
            return Some("3.14 merges series whose names are dropped late");
        }
        _ => {}
    }
    // As the text of a label the last digit makes another series.
    if native && (near == Nearness::Near || has("count_values")) && any(&["sum", "avg", "delta", "increase", "rate"]) {
        return Some("3.14 adds histograms up with compensation");
    }
    if has("latency") && has("avg") {
        return Some("3.14 averages histograms by their sum, not step by step: infinities and buckets that are merged on the way");
    }
    if native && any(&["rate(", "increase("]) {
        return Some("3.14 does not extrapolate histograms below zero");
    }
    if native && has("_over_time(") {
        return Some("3.5 writes over histograms that it still reads, behind a reset");
    }
    // It then calls the layouts of one series' buckets incompatible with each other, or what equals itself unequal; each part by itself it answers as we do.
    if native && q.text.matches("idelta(").count() + q.text.matches("irate(").count() >= 2 {
        return Some("3.5 writes over histograms that it still reads, when both operands are differences of them");
    }
    if has("mad_over_time") && has("odd") {
        return Some("3.14: the deviation of what has no number is none");
    }
    if has("quantile") && has("odd") && near == Nearness::Near {
        return Some("whether 0 or -0 is the lower one is up to Go's sorting");
    }
    if delayed && has("last_over_time((") {
        return Some("3.14 drops names late in subqueries too");
    }
    if has("limit_ratio") && (any(&["limitk", "topk", "bottomk"]) || (near == Nearness::Near && any(&["sum", "avg", "std"]))) {
        return Some("limit_ratio leaves series in the order of a heap");
    }
    if any(&["topk", "bottomk", "limitk"]) && (q.step_ms > 0 || has("count_values")) {
        return Some("which of equals stay depends on the order of a Go map");
    }
    if q.step_ms > 0 && near == Nearness::Near && any(&["sum", "avg", "std"]) {
        return Some("numbers added up in the order of a Go map");
    }
    // Of points in time, which have ten digits before the point, the deviation has fewer true ones.
    if q.step_ms > 0 && has("std") && any(&["ts_of_", "timestamp(", "time()"]) {
        return Some("numbers added up in the order of a Go map: times");
    }
    if has("info(") && (q.step_ms > 0 || has(":")) {
        return Some("3.5 gives targets the labels of others where their own metric has gaps");
    }
    None
}
