//! Power cuts at random moments of a store's life: whatever was acknowledged is there afterwards, once, and nothing that was never sent.

use super::tests::{T0, labels, options, read_all};
use super::*;
use std::collections::BTreeMap;
use stdx::clock::ManualClock;
use stdx::fs::Disk;
use storage::Wait;

const SEEDS: u64 = 60;
const SERIES: usize = 4;

/// What was acknowledged, and what may be there.
#[derive(Default)]
struct Sent {
    acknowledged: BTreeMap<i64, f64>,
    tried: BTreeMap<i64, Vec<f64>>,
}

struct Life {
    disk: Arc<Disk>,
    rand: Rand,
    sent: Vec<Sent>,
    newest: i64,
}

impl Life {
    fn open(&self) -> Arc<Db> {
        Db::open(DbOptions { fs: self.disk.mount(ManualClock::at_ms(T0)), ..options(std::path::Path::new("/data")) }).expect("open")
    }

    fn batch(&mut self, db: &Db) {
        let durable = self.rand.chance(0.7);
        let mut a = db.appender(AppendOptions::receive());
        let mut batch = Vec::new();
        for _ in 0..1 + self.rand.below(3) {
            let i = self.rand.below(SERIES as u64) as usize;
            let s = a.series(labels(i).as_ref()).expect("series");
            let late = self.rand.chance(0.3);
            let from = if late { self.newest - self.rand.below(400) as i64 * 60_000 } else { self.newest };
            for n in 1..1 + self.rand.below(40) as i64 {
                let (t, v) = (from + n * 60_000, self.rand.below(1000) as f64);
                if a.append(s, t, v).is_ok() {
                    batch.push((i, t, v));
                }
            }
        }
        batch.iter().for_each(|(i, t, v)| self.sent[*i].tried.entry(*t).or_default().push(*v));
        a.commit(if durable { Wait::Durable } else { Wait::Written }).expect("commit");
        for (i, t, v) in batch {
            self.newest = self.newest.max(t);
            if durable {
                self.sent[i].acknowledged.entry(t).or_insert(v);
            }
        }
    }

    fn step(&mut self, db: &Db) {
        match self.rand.below(12) {
            0 => db.maintain().expect("maintain"),
            1 => {
                let _one = db.change.lock();
                db.compact_late().expect("late");
            }
            2 => {
                db.wal().next_segment().expect("segment");
            }
            3 => db.flush_head().expect("flush"),
            4 => db.head().full.flush().expect("flush full chunks"),
            _ => self.batch(db),
        }
    }

    fn check(&self, db: &Db, seed: u64) {
        for (i, sent) in self.sent.iter().enumerate() {
            let got = read_all(db, i);
            assert!(got.is_sorted_by(|a, b| a.0 < b.0), "seed {seed}: series {i} has a time twice");
            let got: BTreeMap<i64, f64> = got.into_iter().collect();
            for t in sent.acknowledged.keys() {
                assert!(got.contains_key(t), "seed {seed}: series {i} lost the acknowledged sample at {}", (t - T0) / 60_000);
            }
            for (t, v) in &got {
                assert!(sent.tried.get(t).is_some_and(|tried| tried.contains(v)), "seed {seed}: series {i} has {v} at {t}, which was never sent");
            }
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_a_power_cut() {
    for seed in 0..SEEDS {
        let mut life = Life { disk: Arc::default(), rand: Rand::seeded(seed), sent: (0..SERIES).map(|_| Sent::default()).collect(), newest: T0 };
        let mut db = life.open();
        for _ in 0..3 {
            for _ in 0..life.rand.below(25) {
                life.step(&db);
            }
            life.check(&db, seed);
            drop(db);
            let mut rand = life.rand.clone();
            life.disk.power_cut(&mut rand);
            life.rand = rand;
            db = life.open();
            life.check(&db, seed);
        }
    }
}
