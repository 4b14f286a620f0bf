//! Native histograms that walk: counters with whole and with float counts, gauges, custom bounds, and series that change between floats and
//! histograms.

use super::data::Point;
use model::FloatHistogram;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};
use model::sample::STALE_NAN_BITS;
use stdx::rand::Rand;

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// Whole counts that rise, with resets, other resolutions and zero buckets.
    Counter,
    /// The same with float counts, and without change of resolution.
    FloatCounter,
    Gauge,
    Custom,
    /// Floats and histograms by turns.
    Mixed,
    /// Sums that are no numbers.
    Odd,
}

pub const KINDS: [(&str, Kind); 6] = [
    ("latency", Kind::Counter),
    ("latency_float", Kind::FloatCounter),
    ("load", Kind::Gauge),
    ("custom", Kind::Custom),
    ("mixed", Kind::Mixed),
    ("odd_latency", Kind::Odd),
];

/// Whether the reference is to get whole counts.
pub fn is_whole(h: &FloatHistogram) -> bool {
    let whole = |v: &f64| v.fract() == 0.0;
    whole(&h.count) && whole(&h.zero_count) && h.positive_buckets.iter().chain(&h.negative_buckets).all(whole)
}

pub fn stale(last: &FloatHistogram) -> FloatHistogram {
    FloatHistogram { sum: f64::from_bits(STALE_NAN_BITS), reset_hint: last.reset_hint, ..FloatHistogram::default() }
}

pub struct Walk {
    kind: Kind,
    schema: i32,
    zero_threshold: f64,
    first: i32,
    /// A bucket that stays empty until the next beginning, so that spans differ.
    hole: usize,
    counts: Vec<f64>,
    negative: Vec<f64>,
    zero: f64,
    sum: f64,
    turns: u64,
}

impl Walk {
    pub fn new(r: &mut Rand, kind: Kind) -> Walk {
        let custom = kind == Kind::Custom;
        let schema = if custom { CUSTOM_BUCKETS_SCHEMA } else { r.below(4) as i32 - 1 };
        let negative = if !custom && r.below(3) == 0 { vec![0.0; 2] } else { Vec::new() };
        let n = if custom { 5 } else { 3 + r.below(5) as usize };
        let first = if custom { 0 } else { r.below(5) as i32 - 2 };
        let mut walk =
            Walk { kind, schema, zero_threshold: 0.001, first, hole: usize::MAX, counts: vec![0.0; n], negative, zero: 0.0, sum: 0.0, turns: 0 };
        walk.restart(r);
        walk
    }

    /// A counter begins high: 3.5 extrapolates histograms below zero, later versions do not.
    fn restart(&mut self, r: &mut Rand) {
        let gauge = self.kind == Kind::Gauge;
        self.counts.iter_mut().chain(&mut self.negative).for_each(|c| *c = if gauge { 0.0 } else { 2000.0 });
        (self.zero, self.sum) = (0.0, 0.0);
        self.hole = if gauge { usize::MAX } else { r.below(2 * self.counts.len() as u64) as usize };
        if let Some(c) = self.counts.get_mut(self.hole) {
            *c = 0.0;
        }
    }

    pub fn next(&mut self, r: &mut Rand) -> Point {
        self.turns += 1;
        let restart = r.below(70) == 0;
        if restart || self.kind == Kind::Gauge {
            self.restart(r);
        }
        if matches!(self.kind, Kind::Counter | Kind::Odd) && restart {
            self.schema = r.below(4) as i32 - 1;
            self.zero_threshold = [0.001, 0.5][r.below(2) as usize];
            self.first = r.below(5) as i32 - 2;
        }
        let scale = match self.kind {
            Kind::FloatCounter => 0.3,
            // Exact, so that differences of equals are nothing at all.
            Kind::Gauge => 0.25,
            _ => 1.0,
        };
        for c in self.counts.iter_mut().chain(&mut self.negative).enumerate().filter(|(i, _)| *i != self.hole).map(|(_, c)| c) {
            let seen = r.below(4) as f64 * scale;
            *c += seen;
            self.sum += seen * (r.below(200) as f64 / 10.0 - 2.0);
        }
        if self.kind != Kind::Custom {
            self.zero += r.below(2) as f64 * scale;
        }
        if self.kind == Kind::Mixed && self.turns / 37 % 3 == 1 {
            return Point::Float(self.counts.iter().sum());
        }
        Point::Histogram(self.now(r))
    }

    /// Index of the first bucket that lies above the zero bucket.
    fn beyond_zero(&self) -> i32 {
        if self.kind == Kind::Custom || self.zero_threshold < 0.5 {
            return i32::MIN;
        }
        match self.schema {
            -1 => 1,
            schema => 1 - (1 << schema),
        }
    }

    fn now(&self, r: &mut Rand) -> FloatHistogram {
        // A gauge has all its buckets, empty or not: within a chunk the reference's storage would put them there.
        let (mut spans, mut counts) = (Vec::<Span>::new(), Vec::new());
        let mut gap = self.first.max(self.beyond_zero());
        for c in &self.counts {
            if *c == 0.0 && self.kind != Kind::Gauge {
                gap += 1;
                continue;
            }
            match spans.last_mut() {
                Some(last) if gap == 0 => last.length += 1,
                _ => spans.push(Span { offset: gap, length: 1 }),
            }
            gap = 0;
            counts.push(*c);
        }
        let negative = (!self.negative.is_empty()).then_some(Span { offset: self.beyond_zero().max(0), length: self.negative.len() as u32 });
        let sum = match (self.kind, r.below(6)) {
            (Kind::Odd, 0) => f64::NAN,
            (Kind::Odd, 1) => f64::INFINITY,
            _ => self.sum,
        };
        let custom = self.kind == Kind::Custom;
        FloatHistogram {
            reset_hint: if self.kind == Kind::Gauge { ResetHint::Gauge } else { ResetHint::Unknown },
            schema: self.schema,
            zero_threshold: if custom { 0.0 } else { self.zero_threshold },
            zero_count: self.zero,
            count: self.zero + self.counts.iter().chain(&self.negative).sum::<f64>(),
            sum,
            positive_spans: spans,
            negative_spans: negative.into_iter().collect(),
            positive_buckets: counts,
            negative_buckets: self.negative.clone(),
            custom_values: if custom { vec![0.1, 0.5, 2.5, 10.0] } else { Vec::new() },
        }
    }
}
