//! Power cuts at random moments of a store's life, also in the middle of a compaction, a checkpoint, a start: whatever was acknowledged is there
//! afterwards, once, nothing that was deleted comes back, nothing is there that was never sent, and the store opens.
//!
//! `make crash SEEDS=10000 FROM=0` runs the long form.

use super::tests::{T0, labels, options};
use super::*;
use model::Matcher;
use std::collections::BTreeMap;
use std::path::Path;
use stdx::clock::ManualClock;
use stdx::fs::{Disk, Lie, Mount};
use storage::{HistogramSample, Queryable, SelectHints, SeriesData, Wait};

const SEEDS: u64 = 150;
const SERIES: usize = 4;
/// The series with this number holds histograms.
const HISTOGRAMS: usize = 3;
const MINUTE: i64 = 60_000;

/// What was acknowledged, and what may be there.
#[derive(Default)]
struct Sent {
    acknowledged: BTreeMap<i64, f64>,
    tried: BTreeMap<i64, Vec<f64>>,
    /// Both ends included. What is sent again later may be hidden by it, as in Prometheus.
    deleted: Vec<(i64, i64)>,
}

struct Life {
    disk: Arc<Disk>,
    /// As the process that lives now sees it.
    mount: Arc<Mount>,
    rand: Rand,
    sent: Vec<Sent>,
    newest: i64,
    snapshots: u64,
}

type Found = Result<(), String>;

fn histogram(v: f64) -> model::Histogram {
    model::Histogram {
        count: v as u64,
        sum: v,
        positive_spans: vec![model::histogram::Span { offset: 0, length: 1 }],
        positive_deltas: vec![v as i64],
        ..model::Histogram::default()
    }
}

fn samples_of(db: &Db, i: usize) -> Result<Vec<(i64, f64)>, String> {
    let q = db.querier(i64::MIN / 2, i64::MAX / 2).map_err(|e| e.to_string())?;
    let found = q.select(true, &SelectHints::default(), &[Matcher::equal("i", i.to_string())]).map_err(|e| e.to_string())?;
    let mut d = SeriesData::default();
    for n in 0..found.len() {
        found.read(n, i64::MIN, i64::MAX, &mut d).map_err(|e| e.to_string())?;
    }
    if !found.warnings().is_empty() {
        return Err(format!("series {i} is read with {:?}", found.warnings()));
    }
    let mut out: Vec<(i64, f64)> = d.t_ms.into_iter().zip(d.v).collect();
    out.extend(d.hist_t_ms.into_iter().zip(d.hist.iter().map(|h| h.sum)));
    Ok(out)
}

impl Life {
    fn options(&self) -> DbOptions {
        let mut o = DbOptions { fs: Arc::clone(&self.mount) as stdx::fs::SharedFs, ..options(Path::new("/data")) };
        o.wal.segment_size = 64 << 10;
        o.max_block_ms = 9 * o.min_block_ms;
        o
    }

    /// Opens the store; sometimes batches come while the log is replayed.
    fn open(&mut self) -> Result<Arc<Db>, DbError> {
        if self.rand.chance(0.5) {
            return Db::open(self.options());
        }
        let (db, rest) = Db::prepare(DbOptions { replay_behind: true, ..self.options() }, Arc::default())?;
        if db.live {
            for _ in 0..self.rand.below(4) {
                self.batch(&db);
            }
        }
        db.fill(rest)?;
        Ok(db)
    }

    fn batch(&mut self, db: &Db) {
        let durable = self.rand.chance(0.7);
        let mut a = db.appender(AppendOptions::receive());
        let mut batch = Vec::new();
        for _ in 0..1 + self.rand.below(3) {
            let i = self.rand.below(SERIES as u64) as usize;
            let Ok(s) = a.series(labels(i).as_ref()) else { return };
            let late = self.rand.chance(0.3);
            let from = if late { self.newest - self.rand.below(400) as i64 * MINUTE } else { self.newest };
            for n in 1..1 + self.rand.below(40) as i64 {
                let (t, v) = (from + n * MINUTE, self.rand.below(1000) as f64);
                let taken = match i {
                    HISTOGRAMS => a.append_histogram(s, t, HistogramSample::Int(&histogram(v))),
                    _ => a.append(s, t, v),
                };
                if taken.is_ok() {
                    batch.push((i, t, v));
                }
            }
        }
        batch.iter().for_each(|(i, t, v)| self.sent[*i].tried.entry(*t).or_default().push(*v));
        let done = a.commit(if durable { Wait::Durable } else { Wait::Written });
        for (i, t, v) in batch {
            self.newest = self.newest.max(t);
            if durable && done.is_ok() && !self.sent[i].deleted.iter().any(|(a, b)| (*a..=*b).contains(&t)) {
                self.sent[i].acknowledged.entry(t).or_insert(v);
            }
        }
    }

    fn delete(&mut self, db: &Db) {
        let i = self.rand.below(SERIES as u64) as usize;
        let from = self.newest - self.rand.below(600) as i64 * MINUTE;
        let to = from + self.rand.below(30) as i64 * MINUTE;
        let done = db.delete_series(from, to, &[Matcher::equal("i", i.to_string())]).is_ok();
        let sent = &mut self.sent[i];
        sent.acknowledged.retain(|t, _| !(from..=to).contains(t));
        sent.deleted.push((from, to));
        if done {
            sent.tried.retain(|t, _| !(from..=to).contains(t));
        }
    }

    /// Errors are only to be expected once the power is off.
    fn step(&mut self, db: &Db) -> Found {
        let result = match self.rand.below(16) {
            0 => db.maintain(),
            1 => {
                let _one = db.change.lock();
                db.compact_late()
            }
            2 => db.wal().next_segment().map(|_| ()).map_err(DbError::from),
            3 => db.flush_head(),
            4 => db.head().full.flush().map_err(DbError::io("flush")),
            5 => {
                self.delete(db);
                Ok(())
            }
            6 => db.clean_tombstones(),
            7 => {
                self.snapshots += 1;
                db.snapshot(Path::new(&format!("/data/snapshots/{}", self.snapshots)), self.rand.chance(0.5))
            }
            8 => {
                db.tick();
                Ok(())
            }
            _ => {
                self.batch(db);
                Ok(())
            }
        };
        match result {
            Err(e) if !self.mount.is_cut_off() => Err(format!("a step failed: {e}")),
            _ => Ok(()),
        }
    }

    fn check(&self, db: &Db) -> Found {
        for (i, sent) in self.sent.iter().enumerate() {
            let got = samples_of(db, i)?;
            if !got.is_sorted_by(|a, b| a.0 < b.0) {
                return Err(format!("series {i} has a time twice"));
            }
            let got: BTreeMap<i64, f64> = got.into_iter().collect();
            let minute = |t: &i64| (t - T0) / MINUTE;
            if let Some(t) = sent.acknowledged.keys().find(|t| !got.contains_key(t)) {
                return Err(format!("series {i} lost the acknowledged sample at {}", minute(t)));
            }
            let foreign = got.iter().find(|(t, v)| !sent.tried.get(t).is_some_and(|tried| tried.contains(v)));
            if let Some((t, v)) = foreign {
                return Err(format!("series {i} has {v} at {}, which was never sent or was deleted", minute(t)));
            }
        }
        Ok(())
    }

    fn crash(&mut self) {
        self.mount.cut_off();
        self.disk.power_cut(&mut self.rand);
        self.mount = self.disk.mount(ManualClock::at_ms(T0));
    }

    fn live(&mut self) -> Found {
        let mut db = self.open().map_err(|e| format!("a new store cannot be opened: {e}"))?;
        for _ in 0..4 {
            if self.rand.chance(0.7) {
                self.mount.cut_off_after(self.rand.below(400));
            }
            for _ in 0..self.rand.below(25) {
                self.step(&db)?;
                if self.mount.is_cut_off() {
                    break;
                }
            }
            if !self.mount.is_cut_off() {
                self.check(&db)?;
            }
            drop(db);
            self.crash();
            if self.rand.chance(0.3) {
                // The power goes again while it starts.
                self.mount.cut_off_after(self.rand.below(60));
                match self.open() {
                    Err(e) if !self.mount.is_cut_off() => return Err(format!("cannot be opened: {e}")),
                    again => drop(again),
                }
                self.crash();
            }
            db = self.open().map_err(|e| format!("cannot be opened: {e}"))?;
            self.check(&db)?;
        }
        Ok(())
    }
}

fn run(seed: u64, lie: Lie) -> Found {
    let sent = (0..SERIES).map(|_| Sent::default()).collect();
    let disk: Arc<Disk> = Arc::default();
    disk.set_lie(lie);
    let mount = disk.mount(ManualClock::at_ms(T0));
    Life { disk, mount, rand: Rand::seeded(seed), sent, newest: T0, snapshots: 0 }.live()
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_acknowledged_is_lost_by_a_power_cut() {
    let (from, seeds) = (from_environment("NARTHEX_CRASH_FROM").unwrap_or(0), from_environment("NARTHEX_CRASH_SEEDS").unwrap_or(SEEDS));
    let next = AtomicU64::new(from);
    let bad: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|s| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            s.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    if let Err(e) = run(seed, Lie::None) {
                        bad.lock().push(format!("seed {seed}: {e}"));
                    }
                }
            });
        }
    });
    let bad = bad.into_inner();
    assert!(bad.is_empty(), "{} of {seeds} seeds failed: {:#?}", bad.len(), &bad[..bad.len().min(20)]);
}

/// The test above is worth something: a sync left out in any of these places is found.
#[test]
fn a_missing_sync_is_found() {
    for (lie, seeds) in [
        (Lie::Files("/wal/0"), 40),
        (Lie::Files("/wbl/0"), 60),
        (Lie::Files("/chunks/"), 400),
        (Lie::Files("/index"), 400),
        (Lie::Dirs("/wal"), 400),
        (Lie::Dirs("/data"), 400),
    ] {
        let found = (0..seeds).find_map(|seed| run(seed, lie).err());
        assert!(found.is_some(), "{lie:?} was not found in {seeds} seeds");
    }
}
