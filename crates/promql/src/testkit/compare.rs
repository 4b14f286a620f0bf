//! Is a result what the script expects? Floats may differ by one part in a million.

use super::script::{Eval, Expect, Point};
use crate::exec::almost_equal;
use crate::value::{MatrixValue, SampleValue, SeriesView, Value, VectorValue};
use model::{FloatHistogram, Labels};

const EPSILON: f64 = 1e-6;

/// Notes without their place in the query, as scripts write them.
fn bare(note: &str) -> &str {
    let note = note.rsplit_once(" (").map_or(note, |(text, _)| text);
    let note = note.split_once(", from buckets ").map_or(note, |(text, _)| text);
    note.split_once(" occurrences)").and_then(|(text, _)| text.rsplit_once(" (")).map_or(note, |(text, _)| text)
}

pub(super) fn annotations(eval: &Eval, warnings: &[String], infos: &[String]) -> Result<(), String> {
    for (kind, expected, none, got) in [("warn", &eval.warn, eval.no_warn, warnings), ("info", &eval.info, eval.no_info, infos)] {
        let got: Vec<&str> = got.iter().map(|n| bare(n)).collect();
        if none && !got.is_empty() {
            return Err(format!("unexpected {kind} annotations: {got:?}"));
        }
        if expected.is_empty() {
            continue;
        }
        if got.is_empty() {
            return Err(format!("expected {kind} annotations but none were found"));
        }
        if let Some(e) = expected.iter().find(|e| !got.iter().any(|g| e.matches(g))) {
            return Err(format!("expected {kind} annotation {} not found among {got:?}", shown(e)));
        }
        if let Some(g) = got.iter().find(|g| !expected.iter().any(|e| e.matches(g))) {
            return Err(format!("unexpected {kind} annotation {g}"));
        }
    }
    Ok(())
}

fn shown(e: &Expect) -> &str {
    match e {
        Expect::Message(m) => m,
        Expect::Pattern(_, p) => p,
        Expect::Any => "(any)",
    }
}

pub(super) fn sorted(m: &MatrixValue) -> Result<(), String> {
    if (1..m.len()).any(|i| m.get(i - 1).labels >= m.get(i).labels) {
        return Err("matrix results should always be sorted by labels".to_string());
    }
    Ok(())
}

pub(super) fn value(eval: &Eval, value: &Value) -> Result<(), String> {
    match value {
        Value::Scalar { v, .. } => match eval.scalar {
            Some(want) if almost_equal(want, *v, EPSILON) => Ok(()),
            Some(want) => Err(format!("expected scalar {want} but got {v}")),
            None => Err(format!("expected vector or matrix, but got scalar {v}")),
        },
        Value::String { v, .. } => match &eval.string {
            Some(want) if want == v => Ok(()),
            want => Err(format!("expected string {want:?} but got {v:?}")),
        },
        Value::Vector(v) => vector(eval, v),
        Value::Matrix(m) => matrix(eval, m),
    }
}

fn expected<'a>(eval: &'a Eval, labels: &Labels) -> Result<(usize, &'a [Point]), String> {
    let last = eval.series.iter().enumerate().rfind(|(_, (l, _))| l == labels);
    last.map(|(i, (_, p))| (i, p.as_slice())).ok_or_else(|| format!("unexpected metric {labels} in result"))
}

fn all_found(eval: &Eval, found: &[&Labels]) -> Result<(), String> {
    match eval.series.iter().find(|(l, _)| !found.contains(&l)) {
        None => Ok(()),
        Some((l, _)) => Err(format!("expected metric {l} not found")),
    }
}

fn vector(eval: &Eval, v: &VectorValue) -> Result<(), String> {
    if eval.scalar.is_some() {
        return Err("expected scalar result, but got a vector".to_string());
    }
    let mut found = Vec::new();
    for (at, s) in v.samples.iter().enumerate() {
        let (place, points) = expected(eval, &s.labels).map_err(|e| format!("{e}, has {:?}", s.value))?;
        if eval.ordered && place != at {
            return Err(format!("expected {} at position {} but was at {}", s.labels, place + 1, at + 1));
        }
        match (points.first(), &s.value) {
            (Some(Point::Float(want)), SampleValue::Float(got)) if almost_equal(*want, *got, EPSILON) => {}
            (Some(Point::Histogram { histogram, hint_set }), SampleValue::Histogram(got)) if same_histogram(histogram, got, *hint_set) => {}
            (want, SampleValue::Float(got)) => return Err(format!("expected {} for {} but got {got}", shown_point(want), s.labels)),
            (want, SampleValue::Histogram(got)) => {
                return Err(format!("expected {} for {} but got {}", shown_point(want), s.labels, got.test_expression()));
            }
        }
        found.push(&s.labels);
    }
    all_found(eval, &found)
}

fn shown_point(p: Option<&Point>) -> String {
    match p {
        None | Some(Point::Gap) => "nothing".to_string(),
        Some(Point::Float(v)) => v.to_string(),
        Some(Point::Histogram { histogram, .. }) => histogram.test_expression(),
    }
}

fn matrix(eval: &Eval, m: &MatrixValue) -> Result<(), String> {
    if eval.ordered {
        return Err("expected ordered result, but query returned a matrix".to_string());
    }
    if eval.scalar.is_some() {
        return Err("expected scalar result, but got a matrix".to_string());
    }
    sorted(m)?;
    let step_ms = eval.step_ms.unwrap_or(eval.points_step_ms);
    let mut found = Vec::new();
    for s in m.iter() {
        let (_, points) = expected(eval, s.labels).map_err(|e| format!("{e}: {}", shown_series(&s)))?;
        let time = |i: usize| eval.start_ms + i as i64 * step_ms;
        if !points.is_empty() && time(points.len() - 1) > eval.end_ms {
            return Err(format!("expected {} points for {}, but the time range cannot have that many", points.len(), s.labels));
        }
        let floats: Vec<(i64, f64)> =
            points.iter().enumerate().filter_map(|(i, p)| if let Point::Float(v) = p { Some((time(i), *v)) } else { None }).collect();
        let hists: Vec<(i64, &FloatHistogram, bool)> = points
            .iter()
            .enumerate()
            .filter_map(|(i, p)| if let Point::Histogram { histogram, hint_set } = p { Some((time(i), &**histogram, *hint_set)) } else { None })
            .collect();
        let differs = floats.len() != s.float_count()
            || hists.len() != s.histogram_count()
            || floats.iter().zip(s.floats()).any(|(want, got)| want.0 != got.0 || !almost_equal(want.1, got.1, EPSILON))
            || hists.iter().zip(s.histograms()).any(|(want, got)| want.0 != got.0 || !same_histogram(want.1, got.1, want.2));
        if differs {
            let want: Vec<String> = points.iter().map(|p| shown_point(Some(p))).collect();
            return Err(format!("expected {} for {} but got {}", want.join(" "), s.labels, shown_series(&s)));
        }
        found.push(s.labels);
    }
    all_found(eval, &found)
}

fn shown_series(s: &SeriesView<'_>) -> String {
    let floats = s.floats().map(|(t, v)| format!("{v} @{t}"));
    floats.chain(s.histograms().map(|(t, h)| format!("{} @{t}", h.test_expression()))).collect::<Vec<_>>().join(", ")
}

fn same_histogram(want: &FloatHistogram, got: &FloatHistogram, with_hint: bool) -> bool {
    let (mut a, mut b) = (want.clone(), got.clone());
    a.compact(0);
    b.compact(0);
    let close = |x: &[f64], y: &[f64]| x.len() == y.len() && x.iter().zip(y).all(|(x, y)| almost_equal(*x, *y, EPSILON));
    a.schema == b.schema
        && almost_equal(a.count, b.count, EPSILON)
        && almost_equal(a.sum, b.sum, EPSILON)
        && (!a.uses_custom_buckets() || a.custom_values == b.custom_values)
        && a.zero_threshold == b.zero_threshold
        && almost_equal(a.zero_count, b.zero_count, EPSILON)
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && close(&a.positive_buckets, &b.positive_buckets)
        && close(&a.negative_buckets, &b.negative_buckets)
        && (!with_hint || a.reset_hint == b.reset_hint)
}
