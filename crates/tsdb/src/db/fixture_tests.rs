//! fixtures/prometheus-3.5.3 is what a real Prometheus 3.5.3 left behind at a clean stop, with what it answered before: blocks, log, log of late
//! samples, head chunks, memory snapshot, tombstones, native histograms of all kinds, exemplars.

use super::tests::{open, options};
use super::*;
use model::Matcher;
use std::collections::BTreeMap;
use std::path::Path;
use stdx::fs::{Fs, Open, RealFs};
use storage::{ExemplarQueryable, Queryable, SelectHints, SeriesData};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/prometheus-3.5.3");

fn copy(from: &Path, to: &Path) {
    RealFs.create_dir_all(to).expect("create");
    for e in RealFs.list(from).expect("list") {
        let (from, to) = (from.join(&e.name), to.join(&e.name));
        if e.is_dir {
            copy(&from, &to);
        } else {
            RealFs.open(&to, Open::Truncate).and_then(|mut f| f.append(&RealFs.read(&from)?)).expect("copy");
        }
    }
}

fn expected() -> serde_json::Value {
    serde_json::from_slice(&RealFs.read(&Path::new(FIXTURE).join("expected.json")).expect("read")).expect("json")
}

fn name_of(labels: &Labels) -> String {
    let map: BTreeMap<&str, &str> = labels.iter().collect();
    serde_json::to_value(map).expect("json").to_string()
}

fn answers(db: &Db) -> BTreeMap<String, Vec<(i64, f64)>> {
    let q = db.querier(i64::MIN / 2, i64::MAX / 2).expect("querier");
    let all = q.select(true, &SelectHints::default(), &[Matcher::not_equal("__name__", "")]).expect("select");
    let mut out = BTreeMap::new();
    for n in 0..all.len() {
        let mut d = SeriesData::default();
        all.read(n, i64::MIN, i64::MAX, &mut d).expect("read");
        let mut samples: Vec<(i64, f64)> = d.t_ms.into_iter().zip(d.v).filter(|(_, v)| !model::sample::is_stale_nan(*v)).collect();
        samples.extend(d.hist_t_ms.into_iter().zip(d.hist.iter().map(|h| h.sum)));
        samples.sort_by_key(|(t, _)| *t);
        out.insert(name_of(&all.labels(n)), samples);
    }
    assert_eq!(all.warnings(), Vec::<String>::new());
    out
}

fn wanted() -> BTreeMap<String, Vec<(i64, f64)>> {
    let number = |v: &serde_json::Value| v.as_str().expect("text").parse::<f64>().expect("number");
    let sample = |p: &serde_json::Value| (p[0].as_i64().expect("time"), number(&p[1]));
    let of = |(labels, list): (&String, &serde_json::Value)| {
        let labels: serde_json::Value = serde_json::from_str(labels).expect("labels");
        (labels.to_string(), list.as_array().expect("a list").iter().map(sample).collect())
    };
    expected()["series"].as_object().expect("series").iter().map(of).collect()
}

#[test]
fn what_prometheus_left_is_answered_as_it_did() {
    let dir = tempfile::tempdir().expect("dir");
    copy(&Path::new(FIXTURE).join("data"), dir.path());
    let db = open(dir.path());
    let want = wanted();
    assert_eq!(answers(&db), want);
    let exemplars = db.exemplars(i64::MIN / 2, i64::MAX / 2, &[vec![Matcher::equal("__name__", "floats")]]).expect("exemplars");
    let got: Vec<(i64, f64)> = exemplars.iter().flat_map(|s| &s.exemplars).map(|e| (e.t_ms.expect("a time"), e.value)).collect();
    let number = |v: &serde_json::Value| v.as_str().expect("text").parse::<f64>().expect("number");
    let want_exemplars: Vec<(i64, f64)> =
        expected()["exemplars"].as_array().expect("a list").iter().map(|p| (p[0].as_i64().expect("time"), number(&p[1]))).collect();
    assert_eq!(got, want_exemplars);
    // All of it in blocks, and once more after that.
    db.flush_head().expect("flush");
    assert_eq!(answers(&db), want);
    drop(db);
    assert_eq!(answers(&open(dir.path())), want);
}

#[test]
fn exemplars_that_only_the_snapshot_has_are_taken_over() {
    let dir = tempfile::tempdir().expect("dir");
    copy(&Path::new(FIXTURE).join("data"), dir.path());
    for log in ["wal", "wbl"] {
        RealFs.remove_dir_all(&dir.path().join(log)).expect("remove");
    }
    let db = open(dir.path());
    let exemplars = db.exemplars(i64::MIN / 2, i64::MAX / 2, &[vec![Matcher::equal("__name__", "floats")]]).expect("exemplars");
    assert_eq!(exemplars.iter().map(|s| s.exemplars.len()).sum::<usize>(), expected()["exemplars"].as_array().expect("a list").len());
    assert!(RealFs.list(dir.path()).expect("list").iter().all(|e| !e.name.starts_with("chunk_snapshot")), "it is wrong from here on");
}

/// A block with one flipped bit, wherever it is: the other blocks and the head answer as before, and nothing is invented.
#[test]
fn any_flipped_bit_of_a_block_costs_no_more_than_the_block_and_is_told() {
    let source = Path::new(FIXTURE).join("data");
    let want = wanted();
    let total: usize = want.values().map(Vec::len).sum();
    let blocks: Vec<String> = RealFs.list(&source).expect("list").into_iter().map(|e| e.name).filter(|n| n.len() == 26).collect();
    let block = blocks.last().expect("a block");
    // In memory where there is such a place: it is opened thousands of times, and every start syncs.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("dir");
    copy(&source, dir.path());
    let in_block = {
        let b = crate::block::Block::open(&RealFs::shared(), &dir.path().join(block)).expect("open");
        b.meta().stats.num_samples as usize
    };
    let mut costs: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    // The meta file has no checksum; what can be seen of damage to it is that it is no JSON any more.
    for file in ["index", "chunks/000001", "tombstones"] {
        let path = dir.path().join(block).join(file);
        let good = RealFs.read(&path).expect("read");
        for at in (0..good.len()).step_by(3) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            RealFs.open(&path, Open::Truncate).and_then(|mut f| f.append(&bad)).expect("write");
            let db = Db::open(DbOptions { lock_file: false, ..options(dir.path()) }).unwrap_or_else(|e| panic!("{file} at {at}: {e}"));
            let q = db.querier(i64::MIN / 2, i64::MAX / 2).expect("querier");
            let all = q.select(true, &SelectHints::default(), &[Matcher::not_equal("__name__", "")]).expect("select");
            let mut found = 0;
            for n in 0..all.len() {
                let mut d = SeriesData::default();
                if all.read(n, i64::MIN, i64::MAX, &mut d).is_err() {
                    continue;
                }
                // Samples that a damaged tombstone hid are no damage of others.
                found += d.t_ms.iter().zip(&d.v).filter(|(_, v)| !v.is_nan()).count() + d.hist_t_ms.len();
                if let Some(known) = want.get(&name_of(&all.labels(n))) {
                    let invented = d.t_ms.iter().zip(&d.v).filter(|(_, v)| !v.is_nan()).find(|(t, v)| !known.contains(&(**t, **v)));
                    assert!(invented.is_none() || file == "tombstones", "{file} at {at}: {invented:?} is not what was stored");
                }
            }
            let lost = total.saturating_sub(found);
            assert!(lost <= in_block, "{file} at {at}: {lost} samples of others are lost");
            assert!(lost == 0 || !all.warnings().is_empty() || !db.set_aside().is_empty(), "{file} at {at}: {lost} samples are missing in silence");
            let c = costs.entry(file).or_default();
            (c.0, c.1) = (c.0 + 1, c.1.max(lost));
        }
        RealFs.open(&path, Open::Truncate).and_then(|mut f| f.append(&good)).expect("write");
    }
    assert_eq!(costs.len(), 3);
    let meta = dir.path().join(block).join("meta.json");
    RealFs.open(&meta, Open::Truncate).and_then(|mut f| f.append(b"{")).expect("write");
    let db = open(dir.path());
    assert_eq!(db.set_aside().iter().map(|(b, _)| b).collect::<Vec<_>>(), vec![block]);
}
