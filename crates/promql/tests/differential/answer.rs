//! What was answered, from either side, in a form that compares.

use model::FloatHistogram;
use promql::{SampleValue, Value};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub enum Val {
    Float(f64),
    /// Count, sum, and of each bucket that is not empty: rule of its bounds, lower, upper, count.
    Histogram(f64, f64, Vec<Bucket>),
}

pub type Bucket = (u8, f64, f64, f64);

/// Labels to values by time.
pub type Answer = BTreeMap<String, Vec<(i64, Val)>>;

/// How near two answers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    /// To the last bit; any NaN is as any other.
    Same,
    /// All but for the last digits.
    Near,
    Different,
}

pub fn of_histogram(h: &FloatHistogram) -> Val {
    let buckets = h.all_buckets().filter(|b| b.count != 0.0).map(|b| {
        let rule = match (b.lower_inclusive, b.upper_inclusive) {
            (true, true) => 3,
            (true, false) => 1,
            (false, true) => 0,
            (false, false) => 2,
        };
        (rule, b.lower, b.upper, b.count)
    });
    Val::Histogram(h.count, h.sum, buckets.collect())
}

pub fn ours(value: Value) -> Answer {
    let of = |v: &SampleValue| match v {
        SampleValue::Float(x) => Val::Float(*x),
        SampleValue::Histogram(h) => of_histogram(h),
    };
    let mut answer = Answer::new();
    match value {
        Value::Scalar { t_ms, v } => drop(answer.insert(String::new(), vec![(t_ms, Val::Float(v))])),
        Value::String { .. } => {}
        Value::Vector(v) => answer.extend(v.samples.iter().map(|s| (s.labels.to_string(), vec![(v.t_ms, of(&s.value))]))),
        Value::Matrix(m) => {
            for s in m.iter() {
                let floats = s.floats().map(|(t, v)| (t, Val::Float(v)));
                let mut all: Vec<_> = floats.chain(s.histograms().map(|(t, h)| (t, of_histogram(h)))).collect();
                all.sort_by_key(|(t, _)| *t);
                answer.insert(s.labels.to_string(), all);
            }
        }
    }
    answer
}

fn number(a: f64, b: f64) -> Nearness {
    if a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) {
        Nearness::Same
    } else if (a - b).abs() <= 1e-9 * (a.abs() + b.abs()) || (a.abs() < 1e-9 && b.abs() < 1e-9) {
        Nearness::Near
    } else {
        Nearness::Different
    }
}

impl Val {
    fn nearness(&self, other: &Val) -> Nearness {
        match (self, other) {
            (Val::Float(a), Val::Float(b)) => number(*a, *b),
            (Val::Histogram(n, s, a), Val::Histogram(m, t, b)) if a.len() != b.len() => {
                // What is left of nothing after it was added up is nothing.
                let of = |all: &[Bucket]| all.iter().filter(|b| b.3.is_nan() || b.3.abs() >= 1e-9).copied().collect::<Vec<_>>();
                let (a, b) = (of(a), of(b));
                if a.len() != b.len() {
                    return Nearness::Different;
                }
                Val::Histogram(*n, *s, a).nearness(&Val::Histogram(*m, *t, b)).max(Nearness::Near)
            }
            (Val::Histogram(n, s, a), Val::Histogram(m, t, b)) => {
                let each = a.iter().zip(b).map(|(a, b)| match a.0 == b.0 {
                    true => number(a.1, b.1).max(number(a.2, b.2)).max(number(a.3, b.3)),
                    false => Nearness::Different,
                });
                each.chain([number(*n, *m), number(*s, *t)]).max().unwrap_or(Nearness::Same)
            }
            _ => Nearness::Different,
        }
    }
}

pub fn nearness(a: &Result<Answer, String>, b: &Result<Answer, String>) -> Nearness {
    match (a, b) {
        (Err(a), Err(b)) if a == b => Nearness::Same,
        (Ok(a), Ok(b)) if a.len() == b.len() => {
            let series = a.iter().zip(b).map(|((la, va), (lb, vb))| {
                if la != lb || va.len() != vb.len() {
                    return Nearness::Different;
                }
                let each = va.iter().zip(vb).map(|((ta, x), (tb, y))| if ta == tb { x.nearness(y) } else { Nearness::Different });
                each.max().unwrap_or(Nearness::Same)
            });
            series.max().unwrap_or(Nearness::Same)
        }
        _ => Nearness::Different,
    }
}

/// The first thing in which two answers differ as far as they do.
pub fn difference(a: &Result<Answer, String>, b: &Result<Answer, String>) -> (String, String) {
    let (Ok(ours), Ok(theirs)) = (a, b) else { return (shown(a), shown(b)) };
    let worst = nearness(a, b);
    let labels: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for l in labels {
        let (Some(x), Some(y)) = (ours.get(l), theirs.get(l)) else {
            let of = |all: &Answer| all.get(l).map_or("-".to_string(), |v| format!("{l} {} samples, first {:?}", v.len(), v.first()));
            return (of(ours), of(theirs));
        };
        let times: std::collections::BTreeSet<i64> = x.iter().chain(y).map(|(t, _)| *t).collect();
        for t in times {
            let at = |all: &[(i64, Val)]| all.iter().find(|(u, _)| *u == t).map(|(_, v)| v.clone());
            let (p, q) = (at(x), at(y));
            if !matches!((&p, &q), (Some(p), Some(q)) if p.nearness(q) < worst) {
                return (format!("{l} at {t}: {p:?}"), format!("{l} at {t}: {q:?}"));
            }
        }
    }
    (shown(a), shown(b))
}

fn shown(a: &Result<Answer, String>) -> String {
    match a {
        Err(e) => format!("error: {e}"),
        Ok(a) => format!("{} series", a.len()),
    }
}
