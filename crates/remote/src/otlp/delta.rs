//! Delta temporality: points that say what was added since the last one become what was added since the first (`otlp-deltatocumulative`).
//!
//! One running total for each stream, which is what its sender tells apart: resource, scope, metric, attributes. Totals live in memory: after a restart they begin at zero,
//! which is a counter reset like any other. A point that is not newer than its stream's last one has been added already, or has come too late to be: it is counted and left out,
//! as Prometheus does; the very last one is answered with the total again, so that a request may be repeated.

use super::decode::{Attributes, Buckets, DataKind, Point, Scope};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use model::Labels;
use parking_lot::Mutex;
use stdx::metrics::{Counter, CounterVec, Gauge, Registry};

/// Totals that are kept at the same time. Beyond it new streams are left out.
const MAX_STREAMS: usize = 1 << 20;
/// A total is forgotten when nothing was added to it for so long.
const FORGET_AFTER_MS: i64 = 5 * 60_000;
/// How often that is looked for.
const SWEEP_EVERY_MS: i64 = 60_000;
/// More buckets on one side make an exponential histogram coarser.
const MAX_BUCKETS: usize = 160;

/// What is done with points of delta temporality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delta {
    #[default]
    Refuse,
    /// Stored as they are (`otlp-native-delta-ingestion`).
    Keep,
    /// Added up.
    Accumulate,
}

pub(super) type StreamKey = (u64, u64);

/// What a resource and a scope tell apart.
pub(super) fn origin(resource: &Attributes, scope: &Scope) -> Vec<(String, String)> {
    let named = |kind: &'static str| move |(k, v): &(String, String)| (format!("{kind}{k}"), v.clone());
    let mut out: Vec<(String, String)> = resource.iter().map(named("resource ")).chain(scope.attributes.iter().map(named("scope "))).collect();
    out.push(("name of scope".to_string(), scope.name.clone()));
    out.push(("version of scope".to_string(), scope.version.clone()));
    out
}

pub(super) fn key(origin: &[(String, String)], metric: &str, unit: &str, kind: DataKind, attributes: &Attributes) -> StreamKey {
    let own = [("metric", metric), ("unit", unit), ("kind", kind_word(kind))];
    let pairs = || origin.iter().map(|(k, v)| (k.as_str(), v.as_str())).chain(own);
    let of_point: Vec<(String, &str)> = attributes.iter().map(|(k, v)| (format!("point {k}"), v.as_str())).collect();
    let all = |salt: &'static str| {
        let pairs = pairs().chain(of_point.iter().map(|(k, v)| (k.as_str(), *v))).chain([("salt", salt)]);
        Labels::from_pairs(pairs).stable_hash()
    };
    (all("1"), all("2"))
}

fn kind_word(kind: DataKind) -> &'static str {
    match kind {
        DataKind::Sum => "sum",
        DataKind::Histogram => "histogram",
        DataKind::Exponential => "exponential",
        DataKind::Gauge => "gauge",
        DataKind::Summary => "summary",
    }
}

struct Stream {
    total: Point<'static>,
    touched_ms: i64,
}

#[derive(Default)]
struct Streams {
    map: HashMap<StreamKey, Stream, RandomState>,
    swept_ms: i64,
}

/// The running totals of a server.
pub(super) struct Totals {
    streams: Mutex<Streams>,
    tracked: Gauge,
    added: Counter,
    dropped: CounterVec,
}

impl Totals {
    pub fn new(r: &Registry) -> Self {
        Totals {
            streams: Mutex::default(),
            tracked: r.gauge("narthex_otlp_delta_streams", "Running totals that are kept of delta temporality."),
            added: r.counter("narthex_otlp_delta_points_total", "Points of delta temporality that were added to a running total."),
            dropped: r.counter_vec(
                "narthex_otlp_delta_dropped_points_total",
                "Points of delta temporality that were left out, by reason.",
                &["reason"],
            ),
        }
    }

    /// Adds a point and makes it the total. False when it is to be left out.
    pub fn add(&self, key: StreamKey, p: &mut Point<'_>, now_ms: i64) -> bool {
        let mut streams = self.streams.lock();
        let streams = &mut *streams;
        if now_ms - streams.swept_ms >= SWEEP_EVERY_MS {
            streams.swept_ms = now_ms;
            streams.map.retain(|_, s| now_ms - s.touched_ms <= FORGET_AFTER_MS);
        }
        let drop_as = |reason: &str| {
            self.dropped.with(&[reason]).inc();
            false
        };
        let full = streams.map.len() >= MAX_STREAMS;
        match streams.map.get_mut(&key) {
            Some(s) if p.t_ms < s.total.t_ms => return drop_as("out_of_order"),
            Some(s) if p.t_ms == s.total.t_ms => self.dropped.with(&["repeated"]).inc(),
            Some(s) if p.start_ms != 0 && p.start_ms < s.total.start_ms => return drop_as("older_start"),
            Some(s) if p.no_value => {
                // Nothing is added by what says that there is nothing.
                (s.total.t_ms, s.touched_ms) = (p.t_ms, now_ms);
                return true;
            }
            Some(s) => {
                add(&mut s.total, p);
                s.touched_ms = now_ms;
                self.added.inc();
            }
            None if p.no_value => return true,
            None if full => return drop_as("too_many_streams"),
            None => {
                streams.map.insert(key, Stream { total: values_of(p), touched_ms: now_ms });
                self.added.inc();
            }
        }
        self.tracked.set(streams.map.len() as f64);
        if let Some(s) = streams.map.get(&key) {
            let (attributes, exemplars) = (std::mem::take(&mut p.attributes), std::mem::take(&mut p.exemplars));
            *p = Point { attributes, exemplars, ..values_of(&s.total) };
        }
        true
    }
}

/// A point without its attributes and exemplars.
fn values_of(p: &Point<'_>) -> Point<'static> {
    let buckets = |b: &Buckets| Buckets { offset: b.offset, counts: b.counts.clone() };
    Point {
        attributes: Attributes::new(),
        start_ms: p.start_ms,
        t_ms: p.t_ms,
        no_value: p.no_value,
        value: p.value,
        count: p.count,
        sum: p.sum,
        bucket_counts: p.bucket_counts.clone(),
        bounds: p.bounds.clone(),
        scale: p.scale,
        zero_count: p.zero_count,
        zero_threshold: p.zero_threshold,
        positive: buckets(&p.positive),
        negative: buckets(&p.negative),
        quantiles: Vec::new(),
        exemplars: Vec::new(),
    }
}

fn add(total: &mut Point<'static>, p: &Point<'_>) {
    if total.bounds != p.bounds {
        // Other buckets cannot be added: the total begins anew.
        *total = values_of(p);
        return;
    }
    let scale = total.scale.min(p.scale);
    let mut more = values_of(p);
    for side in [total as &mut Point<'_>, &mut more] {
        let by = side.scale.saturating_sub(scale).unsigned_abs();
        coarsen(&mut side.positive, by);
        coarsen(&mut side.negative, by);
        side.scale = scale;
    }
    let too_many = |a: &Buckets, b: &Buckets| (0..).find(|by| union_len(a, b, *by) <= MAX_BUCKETS).unwrap_or(0);
    let by = too_many(&total.positive, &more.positive).max(too_many(&total.negative, &more.negative));
    for side in [total as &mut Point<'_>, &mut more] {
        coarsen(&mut side.positive, by);
        coarsen(&mut side.negative, by);
        side.scale = side.scale.saturating_sub_unsigned(by);
    }
    let threshold = total.zero_threshold.max(more.zero_threshold);
    for side in [total as &mut Point<'_>, &mut more] {
        widen_zero(side, threshold);
    }
    merge(&mut total.positive, &more.positive);
    merge(&mut total.negative, &more.negative);
    for (t, n) in total.bucket_counts.iter_mut().zip(&more.bucket_counts) {
        *t = t.saturating_add(*n);
    }
    total.value += more.value;
    total.count = total.count.saturating_add(more.count);
    total.zero_count = total.zero_count.saturating_add(more.zero_count);
    total.sum = total.sum.zip(more.sum).map(|(a, b)| a + b);
    total.t_ms = more.t_ms;
    total.no_value = false;
}

/// Joins 2 to the power of `by` neighbours each.
fn coarsen(b: &mut Buckets, by: u32) {
    if by == 0 || b.counts.is_empty() {
        return;
    }
    let by = by.min(31);
    let (old, first) = (std::mem::take(&mut b.counts), i64::from(b.offset) >> by);
    for (i, n) in (i64::from(b.offset)..).zip(old) {
        let at = ((i >> by) - first) as usize;
        if b.counts.len() <= at {
            b.counts.resize(at + 1, 0);
        }
        b.counts[at] = b.counts[at].saturating_add(n);
    }
    b.offset = first as i32;
}

/// First and last index that are not empty.
fn reach(b: &Buckets) -> Option<(i64, i64)> {
    let first = b.counts.iter().position(|n| *n > 0)? as i64;
    let last = b.counts.iter().rposition(|n| *n > 0)? as i64;
    Some((i64::from(b.offset) + first, i64::from(b.offset) + last))
}

/// How many buckets both together have when `by` times coarser.
fn union_len(a: &Buckets, b: &Buckets, by: u32) -> usize {
    let reaches = [reach(a), reach(b)];
    let all = reaches.iter().flatten();
    match (all.clone().map(|r| r.0).min(), all.map(|r| r.1).max()) {
        (Some(lo), Some(hi)) => ((hi >> by) - (lo >> by) + 1) as usize,
        _ => 0,
    }
}

/// What lies below the threshold goes into the bucket of zero.
fn widen_zero(p: &mut Point<'_>, threshold: f64) {
    if p.zero_threshold >= threshold {
        return;
    }
    p.zero_threshold = threshold;
    // Bucket i reaches up to 2 to the power of (i + 1) / 2^scale.
    let per_octave = 2f64.powi(p.scale);
    for side in [&mut p.positive, &mut p.negative] {
        for (i, n) in (i64::from(side.offset)..).zip(&mut side.counts) {
            if 2f64.powf((i + 1) as f64 / per_octave) > threshold {
                break;
            }
            p.zero_count = p.zero_count.saturating_add(std::mem::take(n));
        }
    }
}

/// Adds buckets of the same scale. Both are short: see [`MAX_BUCKETS`].
fn merge(into: &mut Buckets, more: &Buckets) {
    let Some((lo, hi)) = reach(more) else { return };
    let (old_lo, old_hi) = reach(into).unwrap_or((lo, hi));
    let (lo_all, hi_all) = (lo.min(old_lo), hi.max(old_hi));
    let mut counts = vec![0u64; (hi_all - lo_all + 1) as usize];
    for b in [&*into, more] {
        for (i, n) in (i64::from(b.offset)..).zip(&b.counts).filter(|(_, n)| **n > 0) {
            let at = (i - lo_all) as usize;
            counts[at] = counts[at].saturating_add(*n);
        }
    }
    *into = Buckets { offset: lo_all as i32, counts };
}

#[cfg(test)]
#[path = "delta_tests.rs"]
mod tests;
