//! Leaves scrape: what the scrape loop would commit, straight into the store. Each target has its `up`, a counter that is the true time, so that a sample taken from
//! one replica after a later one of the other shows as a counter going back, and a native histogram.

use crate::oracle::{Kept, Point};
use crate::time::{EPOCH_MS, MS};
use crate::world::World;
use model::histogram::Span;
use model::sample::stale_nan;
use model::{Histogram, Labels};
use remote::ledger::tree::{UPLINK_ACKED, UPLINK_BACKLOG_BYTES, UPLINK_BACKLOG_SECONDS, UPLINK_HARD_GAP, UPLINK_MISSING};
use remote::uplink::Push;
use remote::wire::body::decompress;
use remote::wire::decode::WriteDecoder;
use std::sync::atomic::Ordering;
use stdx::clock::Clock;
use stdx::metrics::Value;
use storage::{AppendOptions, Appendable, CommitError, HistogramSample, Wait};
use tsdb::db::Db;

enum Sample {
    Float(f64),
    Histogram(u64),
}

impl Sample {
    /// What tells it from others of its series.
    fn value(&self) -> f64 {
        match self {
            Sample::Float(v) => *v,
            Sample::Histogram(n) => *n as f64,
        }
    }
}

fn histogram(n: u64) -> Histogram {
    Histogram {
        count: n,
        sum: n as f64,
        positive_spans: vec![Span { offset: 0, length: 1 }],
        positive_deltas: vec![n as i64],
        ..Histogram::default()
    }
}

/// One scrape of a target by a leaf, if it runs.
pub fn scrape(w: &mut World, server: usize, target: usize) {
    let now = w.exec.now_ns();
    let reaches = !w.unreachable.iter().any(|(s, t, until)| (*s, *t) == (server, target) && *until > now);
    let Some(p) = w.servers[server].process.as_mut() else { return };
    if p.stopping || !p.open.load(Ordering::Relaxed) {
        return;
    }
    let was_up = std::mem::replace(&mut p.were_up[target], reaches);
    let instance = format!("target-{target}:9100");
    let labels = |name: &str| Labels::from_pairs([("__name__", name), ("instance", instance.as_str()), ("job", "sim")]);
    let ms = now / MS;
    let mut samples = vec![(labels("up"), Sample::Float(f64::from(u8::from(reaches))))];
    if reaches {
        samples.push((labels("ticks_total"), Sample::Float(ms as f64)));
        samples.push((labels("latency"), Sample::Histogram(ms)));
    } else if was_up {
        samples.push((labels("ticks_total"), Sample::Float(stale_nan())));
        samples.push((labels("latency"), Sample::Float(stale_nan())));
    }
    store(w, server, samples);
}

/// A server scrapes its own page, of which the uplinks' state is kept here.
pub fn scrape_itself(w: &mut World, server: usize) {
    let Some(p) = &w.servers[server].process else { return };
    if p.stopping || !p.open.load(Ordering::Relaxed) {
        return;
    }
    let name = w.servers[server].plan.name.as_str();
    let mut samples = vec![(Labels::from_pairs([("__name__", "up"), ("instance", name), ("job", "narthex")]), Sample::Float(1.0))];
    let wanted = [UPLINK_ACKED, UPLINK_BACKLOG_SECONDS, UPLINK_BACKLOG_BYTES, UPLINK_MISSING, UPLINK_HARD_GAP];
    for family in p.registry.gather().iter().filter(|f| wanted.contains(&f.name.as_str())) {
        for m in &family.metrics {
            let (Value::Counter(v) | Value::Gauge(v)) = m.value else { continue };
            let own = [("__name__", family.name.as_str()), ("instance", name), ("job", "narthex")];
            let all = own.into_iter().chain(m.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            samples.push((Labels::from_pairs(all), Sample::Float(v)));
        }
    }
    store(w, server, samples);
}

fn store(w: &mut World, server: usize, samples: Vec<(Labels, Sample)>) {
    let at_ns = w.exec.now_ns();
    let s = &w.servers[server];
    let Some(p) = &s.process else { return };
    let t_ms = s.clock.now_ms();
    let mut taken = Vec::new();
    let mut a = p.db.appender(AppendOptions::scrape());
    for (labels, sample) in samples {
        let Ok(series) = a.series(labels.as_ref()) else { continue };
        let result = match &sample {
            Sample::Float(v) => a.append(series, t_ms, *v),
            Sample::Histogram(n) => a.append_histogram(series, t_ms, HistogramSample::Int(&histogram(*n))),
        };
        if result.is_ok() {
            taken.push((labels, sample.value()));
        }
    }
    let kept = match a.commit(Wait::Written) {
        Ok(_) => Kept::Stored,
        Err(CommitError::Unavailable(_)) => return w.note(6, server as u64),
        Err(CommitError::Broken(_)) => Kept::Maybe,
    };
    w.note(7, server as u64);
    for (labels, v) in taken {
        w.oracle.note(server, &labels, t_ms, Point { v, at_ns, kept });
    }
}

/// Sabotage: stores what a request brings a second time, a moment later.
pub fn store_again(db: &Db, push: &Push) {
    let mut buffer = Vec::new();
    let Ok(body) = decompress(push.encoding, &push.body, 1 << 26, &mut buffer) else { return };
    let replica = [remote::receive::DEFAULT_REPLICA_LABEL.to_string()];
    let Ok(mut d) = WriteDecoder::new(push.version, body, &replica) else { return };
    let mut a = db.appender(AppendOptions::receive());
    while let Ok(Some(s)) = d.next_series() {
        let Ok(labels) = s.labels else { continue };
        let Ok(series) = a.series(labels) else { continue };
        for x in s.samples {
            let _ = a.append(series, x.t_ms + 1, x.v);
        }
    }
    let _ = a.commit(Wait::Written);
}

/// Number and times of a request's samples, for a person who replays a seed.
pub fn what_it_brings(push: &Push) -> String {
    let mut buffer = Vec::new();
    let Ok(body) = decompress(push.encoding, &push.body, 1 << 26, &mut buffer) else { return "nothing readable".to_string() };
    let Ok(mut d) = WriteDecoder::new(push.version, body, &[]) else { return "nothing readable".to_string() };
    let mut times = Vec::new();
    while let Ok(Some(s)) = d.next_series() {
        times.extend(s.samples.iter().map(|x| x.t_ms - EPOCH_MS));
        times.extend(s.histograms().flatten().map(|h| h.t_ms - EPOCH_MS));
    }
    times.sort_unstable();
    times.dedup();
    format!("{:?} {times:?}", push.version)
}
