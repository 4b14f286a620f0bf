use super::samples::{Sample, Value};
use super::*;
use crate::block::tests::{flat, float, read_all, series, ulid, write_block};
use model::histogram::{ResetHint, Span};
use model::{Histogram, Labels, Matcher};
use std::collections::BTreeMap;
use stdx::fs::{Fs, RealFs};
use storage::{Selection, SeriesData};

fn meta(n: u128, min: i64, max: i64) -> Arc<BlockMeta> {
    Arc::new(head_meta(ulid(n), min, max, &[]))
}

fn planned(blocks: &[Arc<BlockMeta>]) -> Vec<u128> {
    plan(blocks, &[20, 60, 180, 540], &|_| false).iter().map(|u| u.0 - ulid(0).0).collect()
}

#[test]
fn plans_as_prometheus_does() {
    let cases: &[(&[(i64, i64)], &[u128])] = &[
        (&[(0, 20)], &[]),
        (&[(0, 20), (20, 40), (40, 60)], &[]),
        // The newest one, (60, 80), stays.
        (&[(0, 20), (20, 40), (40, 60), (60, 80)], &[0, 1, 2]),
        // A range that is not full waits until nothing more can come into it.
        (&[(20, 40), (40, 60), (60, 80)], &[]),
        (&[(20, 40), (40, 60), (60, 80), (80, 100)], &[0, 1]),
        (&[(0, 20), (60, 80), (80, 100), (120, 140)], &[]),
        // Already compacted ones make larger ones.
        (&[(0, 60), (60, 120), (120, 180), (180, 200)], &[0, 1, 2]),
        (&[(0, 60), (60, 120), (180, 200), (200, 220)], &[0, 1]),
        // Overlaps go first.
        (&[(0, 20), (19, 40), (40, 60)], &[0, 1]),
        (&[(0, 20), (20, 40), (30, 50), (35, 60), (60, 80)], &[1, 2, 3]),
        (&[(0, 20), (0, 20)], &[0, 1]),
    ];
    for (blocks, want) in cases {
        let metas: Vec<_> = blocks.iter().enumerate().map(|(i, (a, b))| meta(i as u128, *a, *b)).collect();
        assert_eq!(planned(&metas), *want, "{blocks:?}");
    }
}

#[test]
fn marks_change_the_plan() {
    let base: Vec<_> = [(0, 20), (20, 40), (40, 60), (60, 80)].iter().enumerate().map(|(i, (a, b))| meta(i as u128, *a, *b)).collect();
    let with = |i: usize, change: fn(&mut BlockMeta)| {
        let mut blocks = base.clone();
        change(Arc::make_mut(&mut blocks[i]));
        blocks
    };
    assert_eq!(planned(&with(1, |m| m.compaction.failed = true)), [0u128; 0]);
    assert_eq!(planned(&with(1, |m| m.add_hint(crate::meta::HINT_STALE_SERIES))), [0, 2]);
    let held = plan(&base, &[20, 60], &|m| m.ulid == ulid(2));
    assert_eq!(held, []);
    assert_eq!(planned(&with(3, |m| m.stats.num_tombstones = 9)), [0, 1, 2]);
    let big = [meta(0, 0, 540), meta(1, 540, 560)];
    assert_eq!(planned(&big), [0u128; 0]);
    let mut deleted = big.clone();
    Arc::make_mut(&mut deleted[0]).stats.num_tombstones = 1;
    assert_eq!(planned(&deleted), [0]);
}

#[test]
fn ranges_grow_threefold_up_to_the_longest() {
    assert_eq!(block_ranges(2, 31), [2, 6, 18]);
    assert_eq!(block_ranges(2, 1), [2]);
}

#[test]
fn retention_takes_the_oldest() {
    let blocks: Vec<(Arc<BlockMeta>, u64)> = (0..4).map(|i| (meta(i, i as i64 * 10, i as i64 * 10 + 10), 100)).collect();
    let gone = |l: Limits| beyond_retention(&blocks, l).into_iter().map(|(u, w)| (u.0 - ulid(0).0, w)).collect::<Vec<_>>();
    assert_eq!(gone(Limits::default()), []);
    assert_eq!(gone(Limits { time_ms: 20, ..Limits::default() }), [(0, Why::TooOld), (1, Why::TooOld)]);
    assert_eq!(gone(Limits { time_ms: 31, ..Limits::default() }), []);
    assert_eq!(gone(Limits { size_bytes: 350, ..Limits::default() }), [(0, Why::TooLarge)]);
    assert_eq!(gone(Limits { size_bytes: 350, used_bytes: 100, ..Limits::default() }), [(0, Why::TooLarge), (1, Why::TooLarge)]);
    assert_eq!(gone(Limits { size_bytes: 400, ..Limits::default() }), []);
}

#[test]
fn blocks_become_one_with_their_history() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let fs = RealFs::shared();
    let (a, b) = (series(0..4, (0..200).map(|i| i * 10)), series(2..6, (200..400).map(|i| i * 10)));
    let blocks = [write_block(&fs, dir.path(), 2, (2000, 4000), &b), write_block(&fs, dir.path(), 1, (0, 2000), &a)];
    let mut written = 0;
    let m =
        compact(&BlockWriter::new(fs.clone()), dir.path(), ulid(3), &blocks, &|| false, &mut |_| written += 1).expect("compact").expect("samples");
    assert_eq!((m.min_time_ms, m.max_time_ms, m.compaction.level), (0, 4000, 2));
    assert_eq!(m.compaction.sources, [ulid(1), ulid(2)]);
    assert_eq!(m.compaction.parents.len(), 2);
    assert_eq!((m.stats.num_series, m.stats.num_samples, m.stats.num_chunks, written), (6, 1600, 16, 16));
    let out = Block::open(&fs, &dir.path().join(ulid(3).to_string())).expect("open");
    let mut want = a;
    for (l, s) in b {
        want.entry(l).or_default().extend(s);
    }
    let s = out.select(0, 4000, &[], 0).expect("select");
    assert_eq!(read_all(&s, 0, 4000), flat(&want, |_| true));
    assert_eq!(crate::tools::verify::verify_block(&out).problems, Vec::<String>::new());
    let metas: Vec<_> = blocks.iter().chain([&out]).map(|b| b.meta()).collect();
    assert_eq!(superseded(&metas), [ulid(1), ulid(2)]);
    let stopped = compact(&BlockWriter::new(fs.clone()), dir.path(), ulid(4), &blocks, &|| true, &mut |_| {});
    assert!(matches!(stopped, Err(BlockError::Stopped)));
    assert!(!blocks[0].meta().compaction.failed);
}

#[test]
fn overlapping_samples_are_merged_once() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let fs = RealFs::shared();
    let a = series(0..2, (0..300).filter(|i| i % 2 == 0).map(|i| i * 10));
    let b = series(0..2, (0..300).filter(|i| i % 3 == 0).map(|i| i * 10));
    let blocks = [write_block(&fs, dir.path(), 1, (0, 3000), &a), write_block(&fs, dir.path(), 2, (0, 3000), &b)];
    let m = compact(&BlockWriter::new(fs.clone()), dir.path(), ulid(3), &blocks, &|| false, &mut |_| {}).expect("compact").expect("samples");
    assert_eq!(m.stats.num_samples, 400);
    let out = Block::open(&fs, &dir.path().join(ulid(3).to_string())).expect("open");
    let want = series(0..2, (0..300).filter(|i| i % 2 == 0 || i % 3 == 0).map(|i| i * 10));
    assert_eq!(read_all(&out.select(0, 3000, &[], 0).expect("select"), 0, 3000), flat(&want, |_| true));
}

#[test]
fn deleted_samples_leave_and_a_block_without_samples_is_deletable() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let fs = RealFs::shared();
    let data = series(0..2, (0..300).map(|i| i * 10));
    let b = write_block(&fs, dir.path(), 1, (0, 3000), &data);
    b.delete(100, 1999, &[Matcher::equal("n", "00")]).expect("delete");
    let m = clean_tombstones(&BlockWriter::new(fs.clone()), dir.path(), ulid(2), &b, &|| false).expect("clean").expect("samples");
    assert_eq!((m.stats.num_samples, m.stats.num_tombstones, m.compaction.level), (410, 0, 1));
    assert_eq!(m.compaction.parents, [b.meta().desc()]);
    let out = Block::open(&fs, &dir.path().join(ulid(2).to_string())).expect("open");
    assert_eq!(crate::tools::verify::verify_block(&out).problems, Vec::<String>::new());
    out.delete(i64::MIN, i64::MAX, &[]).expect("delete");
    assert_eq!(clean_tombstones(&BlockWriter::new(fs.clone()), dir.path(), ulid(3), &out, &|| false).expect("clean"), None);
    assert!(Block::open(&fs, out.dir()).expect("open").meta().compaction.deletable);
}

#[test]
fn damage_stops_a_compaction_and_keeps_its_sources() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let fs = RealFs::shared();
    let b = write_block(&fs, dir.path(), 1, (0, 3000), &series(0..2, (0..300).map(|i| i * 10)));
    let path = b.dir().join("chunks").join("000001");
    let mut bytes = RealFs.read(&path).expect("read");
    bytes[30] ^= 1;
    std::fs::write(&path, bytes).expect("write");
    let b = Block::open(&fs, b.dir()).expect("open");
    let e = compact(&BlockWriter::new(fs.clone()), dir.path(), ulid(2), std::slice::from_ref(&b), &|| false, &mut |_| {}).expect_err("damaged");
    assert!(e.is_corrupt());
    assert!(Block::open(&fs, b.dir()).expect("open").meta().compaction.failed);
    assert!(!dir.path().join(format!("{}.tmp-for-creation", ulid(2))).exists());
}

#[test]
fn histograms_keep_whole_counts_through_a_merge() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let fs = RealFs::shared();
    let sample = |t: i64| {
        let h = Histogram {
            reset_hint: ResetHint::Unknown,
            count: t as u64,
            sum: t as f64,
            positive_spans: vec![Span { offset: (t % 2) as i32, length: 2 }],
            positive_deltas: vec![t, 1],
            ..Histogram::default()
        };
        Sample { t_ms: t, st_ms: 0, value: if t % 50 == 0 { Value::FloatHistogram(h.to_float()) } else { Value::Int(h) } }
    };
    let labels = Labels::from_pairs([("__name__", "h")]);
    let part = |keep: fn(&i64) -> bool| BTreeMap::from([(labels.clone(), (1..200).filter(keep).map(sample).collect::<Vec<_>>())]);
    let mut mixed = part(|t| t % 2 == 1);
    mixed.insert(Labels::from_pairs([("__name__", "mixed")]), vec![float(1, 1.0), sample(2), float(3, 1.0)]);
    let blocks = [write_block(&fs, dir.path(), 1, (0, 200), &mixed), write_block(&fs, dir.path(), 2, (0, 200), &part(|t| t % 2 == 0))];
    compact(&BlockWriter::new(fs.clone()), dir.path(), ulid(3), &blocks, &|| false, &mut |_| {}).expect("compact").expect("samples");
    let out = Block::open(&fs, &dir.path().join(ulid(3).to_string())).expect("open");
    assert_eq!(crate::tools::verify::verify_block(&out).problems, Vec::<String>::new());
    let s = out.select(0, 200, &[Matcher::equal("__name__", "h")], 0).expect("select");
    let mut d = SeriesData::default();
    s.read(0, 0, 200, &mut d).expect("read");
    assert_eq!(d.hist_t_ms, (1..200).collect::<Vec<_>>());
    for (t, h) in d.hist_t_ms.iter().zip(&d.hist) {
        let sum: f64 = h.positive_buckets.iter().sum();
        assert_eq!((h.count, h.sum, sum), (*t as f64, *t as f64, (2 * t + 1) as f64));
    }
    let mut encodings = Vec::new();
    s.chunks(0, 0, 200, &mut |c| encodings.push(c.encoding as u8)).expect("chunks");
    assert!(encodings.contains(&2) && encodings.contains(&3), "{encodings:?}");
}
