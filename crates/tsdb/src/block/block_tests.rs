use super::*;
use crate::blockquery::{BlockQuerier, StoreQuerier};
use crate::compact::head_meta;
use crate::compact::samples::{Sample, Samples, Value};
use crate::index::writer::SymbolSet;
use model::matcher::MatchOp;
use proptest::prelude::*;
use std::collections::BTreeMap;
use stdx::fs::{Fs, RealFs};
use storage::{LabelHints, MemorySelection, Querier, SelectHints, Selection, SeriesData};

pub(crate) fn ulid(n: u128) -> Ulid {
    Ulid((1_700_000_000_000u128 << 80) + n)
}

pub(crate) fn float(t_ms: i64, v: f64) -> Sample {
    Sample { t_ms, st_ms: 0, value: Value::Float(v) }
}

/// Series in a test: labels as text pairs, and samples.
pub(crate) type TestSeries = BTreeMap<Labels, Vec<Sample>>;

pub(crate) struct TestSource(pub Vec<(Labels, Vec<Sample>)>, pub usize);

impl SeriesSource for TestSource {
    fn symbols(&mut self, symbols: &mut SymbolSet) -> Result<(), BlockError> {
        self.0.iter().for_each(|(l, _)| symbols.add_labels(l.as_ref()));
        Ok(())
    }

    fn next(&mut self, out: &mut SeriesOut) -> Result<bool, BlockError> {
        let Some((labels, samples)) = self.0.get(self.1) else { return Ok(false) };
        self.1 += 1;
        out.set_labels(labels.as_ref());
        let mut run = Samples::default();
        samples.iter().for_each(|s| run.push(s.clone()));
        run.encode(&mut |mint, maxt, e, b| out.push_chunk(mint, maxt, e, b));
        Ok(true)
    }
}

pub(crate) fn write_block(fs: &SharedFs, dir: &Path, n: u128, (mint, maxt): (i64, i64), series: &TestSeries) -> Arc<Block> {
    let mut source = TestSource(series.clone().into_iter().collect(), 0);
    let writer = BlockWriter { fs: fs.clone(), segment_bytes: 4096 };
    let meta = writer.write(dir, head_meta(ulid(n), mint, maxt, &[]), &mut source).expect("write").expect("has samples");
    Block::open(fs, &dir.join(meta.ulid.to_string())).expect("open")
}

pub(crate) fn series(names: impl IntoIterator<Item = usize>, times: impl Iterator<Item = i64> + Clone) -> TestSeries {
    names
        .into_iter()
        .map(|i| {
            let n = format!("{i:02}");
            (Labels::from_pairs([("__name__", "m"), ("n", n.as_str())]), times.clone().map(|t| float(t, t as f64 + i as f64)).collect())
        })
        .collect()
}

pub(crate) fn read_all(s: &dyn Selection, start: i64, end: i64) -> Vec<(Labels, Vec<(i64, f64)>)> {
    (0..s.len())
        .map(|i| {
            let mut d = SeriesData::default();
            s.read(i, start, end, &mut d).expect("read");
            (s.labels(i), d.t_ms.into_iter().zip(d.v).collect())
        })
        .collect()
}

pub(crate) fn flat(series: &TestSeries, keep: impl Fn(i64) -> bool) -> Vec<(Labels, Vec<(i64, f64)>)> {
    let value = |s: &Sample| match s.value {
        Value::Float(v) => v,
        _ => f64::NAN,
    };
    series.iter().map(|(l, s)| (l.clone(), s.iter().filter(|s| keep(s.t_ms)).map(|s| (s.t_ms, value(s))).collect())).collect()
}

fn matcher() -> Vec<Matcher> {
    vec![Matcher::equal("__name__", "m")]
}

#[test]
fn a_block_reads_back_through_several_segments() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let fs = RealFs::shared();
    let data = series(0..40, (0..300).map(|i| i * 1000));
    let b = write_block(&fs, dir.path(), 1, (0, 300_000), &data);
    assert!(fs.list(&b.dir().join(CHUNKS_DIR)).expect("list").len() > 3);
    let stats = b.meta().stats;
    assert_eq!((stats.num_series, stats.num_samples, stats.num_chunks, stats.num_float_samples), (40, 12_000, 120, 12_000));
    let s = b.select(0, 300_000, &matcher(), 0).expect("select");
    assert_eq!(read_all(&s, 100_000, 200_000), flat(&data, |t| (100_000..=200_000).contains(&t)));
    assert_eq!(b.select(300_000, 400_000, &matcher(), 0).expect("select").len(), 0);
    assert_eq!(b.select(0, 300_000, &matcher(), 7).expect("select").len(), 7);
    let mut chunks = Vec::new();
    s.chunks(3, 150_000, 150_000, &mut |c| chunks.push((c.mint_ms, c.maxt_ms))).expect("chunks");
    assert_eq!(chunks, [(120_000, 239_000)]);
    let q = BlockQuerier::new(b, 0, 300_000);
    let not = vec![Matcher::new(MatchOp::Regex, "n", "0.").expect("matcher")];
    assert_eq!(q.label_values("n", LabelHints::default(), &not).expect("values").0.len(), 10);
    assert_eq!(q.label_values("n", LabelHints { limit: 3 }, &[]).expect("values").0, ["00", "01", "02"]);
    assert_eq!(q.label_values("__name__", LabelHints::default(), &not).expect("values").0, ["m"]);
    assert_eq!(q.label_names(LabelHints::default(), &not).expect("names").0, ["__name__", "n"]);
}

#[test]
fn deleted_samples_are_gone_and_stay_so() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let fs = RealFs::shared();
    let data = series(0..3, (0..300).map(|i| i * 1000));
    let b = write_block(&fs, dir.path(), 1, (0, 300_000), &data);
    let one = vec![Matcher::equal("n", "01")];
    assert_eq!(b.delete(50_000, 260_000, &one).expect("delete"), 1);
    assert_eq!(b.delete(0, 10, &[Matcher::equal("n", "none")]).expect("delete"), 0);
    for b in [b.clone(), Block::open(&fs, b.dir()).expect("open again")] {
        assert_eq!(b.meta().stats.num_tombstones, 1);
        let s = b.select(0, 300_000, &one, 0).expect("select");
        let want: Vec<i64> = (0..300).map(|i| i * 1000).filter(|t| !(50_000..=260_000).contains(t)).collect();
        let got: Vec<i64> = read_all(&s, 0, 300_000)[0].1.iter().map(|s| s.0).collect();
        assert_eq!(got, want);
        let mut d = SeriesData::default();
        s.chunks(0, 0, 300_000, &mut |c| crate::chunkenc::decode(c.encoding, &c.bytes, i64::MIN, i64::MAX, &mut d).expect("decode")).expect("chunks");
        assert_eq!(d.t_ms, want);
    }
}

#[test]
fn a_damaged_chunk_costs_itself() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let fs = RealFs::shared();
    let data = series(0..3, (0..300).map(|i| i * 1000));
    let b = write_block(&fs, dir.path(), 1, (0, 300_000), &data);
    let path = b.dir().join(CHUNKS_DIR).join("000001");
    let mut bytes = RealFs.read(&path).expect("read");
    bytes[40] ^= 1;
    std::fs::write(&path, bytes).expect("write");
    let b = Block::open(&fs, b.dir()).expect("open");
    let s = b.select(0, 300_000, &matcher(), 0).expect("select");
    let got = read_all(&s, 0, 300_000);
    assert_eq!(got.iter().map(|s| s.1.len()).collect::<Vec<_>>(), [180, 300, 300]);
    assert!(s.warnings()[0].contains("checksum"), "{:?}", s.warnings());
    let report = crate::tools::verify::verify_block(&b);
    assert!(!report.problems.is_empty());
}

#[test]
fn a_damaged_list_of_references_costs_time_only() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let fs = RealFs::shared();
    let data = series(0..30, (0..3).map(|i| i * 1000));
    let b = write_block(&fs, dir.path(), 1, (0, 300_000), &data);
    let mut at = 0;
    b.index()
        .each_value("__name__", "", |_, offset| {
            at = offset as usize + 10;
            std::ops::ControlFlow::Break(())
        })
        .expect("walk");
    let path = b.dir().join(INDEX_NAME);
    let mut bytes = RealFs.read(&path).expect("read");
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).expect("write");
    let b = Block::open(&fs, b.dir()).expect("open");
    let s = b.select(0, 300_000, &matcher(), 0).expect("select");
    assert_eq!(s.len(), 30);
    assert!(s.warnings()[0].contains("all series were searched"), "{:?}", s.warnings());
}

#[test]
fn leftovers_are_told_from_blocks() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let fs = RealFs::shared();
    let b = write_block(&fs, dir.path(), 1, (0, 10), &series(0..1, 0..3));
    for name in ["wal", "01BKGTZQ1SYQJTR4PB43C8PD98.tmp-for-creation", "01BKGTZQ1SYQJTR4PB43C8PD99.tmp-for-deletion"] {
        std::fs::create_dir(dir.path().join(name)).expect("create");
    }
    let (blocks, leftovers) = list_dirs(&fs, dir.path()).expect("list");
    assert_eq!((blocks, leftovers.len()), (vec![b.dir().to_path_buf()], 2));
    let backup = dir.path().join("snapshots");
    std::fs::create_dir(&backup).expect("create");
    b.snapshot(&backup).expect("snapshot");
    remove_dir(&fs, b.dir()).expect("remove");
    assert!(!b.dir().exists());
    let copy = Block::open(&fs, &backup.join(b.ulid().to_string())).expect("open the snapshot");
    assert_eq!(copy.meta().stats, b.meta().stats);
}

#[test]
fn an_empty_block_is_not_written() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let fs = RealFs::shared();
    let writer = BlockWriter::new(fs.clone());
    let none = writer.write(dir.path(), head_meta(ulid(1), 0, 10, &[]), &mut TestSource(vec![], 0)).expect("write");
    assert_eq!(none, None);
    let bad = vec![(Labels::from_pairs([("b", "1")]), vec![float(0, 1.0)]), (Labels::from_pairs([("a", "1")]), vec![float(0, 1.0)])];
    writer.write(dir.path(), head_meta(ulid(1), 0, 10, &[]), &mut TestSource(bad, 0)).expect_err("unsorted");
    assert_eq!(fs.list(dir.path()).expect("list"), vec![]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Blocks that may overlap, and a head behind them: every time once, the earlier block's value first.
    #[test]
    fn several_blocks_read_as_one(parts in prop::collection::vec((prop::collection::btree_set(0usize..5, 1..4), 0i64..60, 1i64..40), 1..5)) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let fs = RealFs::shared();
        let mut parts = parts;
        parts.sort_by_key(|p| p.1);
        let mut want: BTreeMap<Labels, BTreeMap<i64, f64>> = BTreeMap::new();
        let mut blocks = Vec::new();
        let mut head = None;
        for (i, (names, from, len)) in parts.iter().enumerate() {
            let mut data = series(names.iter().copied(), *from..from + len);
            data.values_mut().flatten().for_each(|s| if let Value::Float(v) = &mut s.value { *v += i as f64 * 1000.0 });
            for (l, samples) in flat(&data, |_| true) {
                let all = want.entry(l).or_default();
                samples.into_iter().for_each(|(t, v)| { all.entry(t).or_insert(v); });
            }
            if i + 1 == parts.len() {
                let mut m = MemorySelection::default();
                for (l, s) in flat(&data, |_| true) {
                    m.series.push((l, SeriesData { t_ms: s.iter().map(|s| s.0).collect(), v: s.iter().map(|s| s.1).collect(), ..SeriesData::default() }));
                }
                head = Some(Box::new(Fixed(Arc::new(m))) as Box<dyn Querier>);
            } else {
                blocks.push(write_block(&fs, dir.path(), i as u128, (*from, from + len), &data));
            }
        }
        let q = StoreQuerier::new(&blocks, head, i64::MIN, i64::MAX);
        let s = q.select(true, &SelectHints::default(), &matcher()).expect("select");
        let want: Vec<(Labels, Vec<(i64, f64)>)> = want.into_iter().map(|(l, s)| (l, s.into_iter().collect())).collect();
        prop_assert_eq!(read_all(&*s, i64::MIN, i64::MAX), want);
        prop_assert_eq!(q.label_values("__name__", LabelHints::default(), &[]).expect("values").0, ["m"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever byte of a block is changed: reading says so or gives what was written, and never panics.
    #[test]
    fn damage_anywhere_is_contained(file in 0usize..3, at: prop::sample::Index, mask in 1u8..) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let fs = RealFs::shared();
        let data = series(0..6, (0..150).map(|i| i * 1000));
        let b = write_block(&fs, dir.path(), 1, (0, 150_000), &data);
        b.delete(0, 2000, &[Matcher::equal("n", "03")]).expect("delete");
        let want = read_all(&b.select(0, 150_000, &[], 0).expect("select"), 0, 150_000);
        let path = b.dir().join(["index", "chunks/000001", "tombstones"][file]);
        let mut bytes = RealFs.read(&path).expect("read");
        let i = at.index(bytes.len());
        bytes[i] ^= mask;
        std::fs::write(&path, bytes).expect("write");
        let Ok(b) = Block::open(&fs, b.dir()) else { return Ok(()) };
        let report = crate::tools::verify::verify_block(&b);
        for set in [vec![], matcher(), vec![Matcher::not_equal("n", "01")]] {
            let Ok(s) = b.select(0, 150_000, &set, 0) else { continue };
            let got = read_all(&s, 0, 150_000);
            for (labels, samples) in got {
                let Some((_, all)) = want.iter().find(|w| w.0 == labels) else {
                    prop_assert!(labels.is_empty());
                    continue;
                };
                prop_assert!(samples.iter().all(|s| all.contains(s)), "samples that were never written");
                prop_assert!(samples.len() == all.len() || !report.problems.is_empty());
            }
        }
    }
}

/// Answers every select with the same series.
struct Fixed(Arc<MemorySelection>);

impl Querier for Fixed {
    fn select(&self, _: bool, _: &SelectHints, _: &[Matcher]) -> Result<Arc<dyn Selection>, storage::ReadError> {
        Ok(self.0.clone())
    }

    fn label_values(&self, _: &str, _: LabelHints, _: &[Matcher]) -> Result<(Vec<String>, storage::Warnings), storage::ReadError> {
        Ok((vec!["m".to_string()], vec![]))
    }

    fn label_names(&self, _: LabelHints, _: &[Matcher]) -> Result<(Vec<String>, storage::Warnings), storage::ReadError> {
        Ok((vec![], vec![]))
    }
}

#[test]
fn a_file_of_chunks_is_as_pictured() {
    let dir = tempfile::tempdir().expect("dir");
    let fs = RealFs::shared();
    let one = TestSeries::from([(Labels::from_pairs([("a", "b")]), vec![float(1000, 1.0)])]);
    let block = write_block(&fs, dir.path(), 1, (0, 2000), &one);
    let bytes = fs.read(&block.dir().join("chunks/000001")).expect("read");
    assert_eq!(bytes, crate::tombstones::tests::picture("chunks.md"));
}
