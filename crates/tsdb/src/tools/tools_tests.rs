//! Against the reference's own tool, where it is installed: it must read what we write, and we what it writes.

use super::dump::{Format, dump};
use super::import::{SampleInput, create_blocks};
use super::*;
use crate::block::BlockWriter;
use crate::block::tests::ulid;
use crate::blockquery::StoreQuerier;
use model::{Labels, LabelsRef, Matcher};
use std::process::Command;
use stdx::fs::RealFs;
use storage::{Querier, SelectHints};

const PROMTOOL: [&str; 3] = ["promtool", "/usr/bin/promtool", "/opt/peers/usr/bin/promtool"];

/// The tool's output; None when it is not there.
fn promtool(args: &[&str]) -> Option<String> {
    let out = PROMTOOL.iter().find_map(|p| Command::new(p).args(args).output().ok());
    let Some(out) = out else {
        std::io::Write::write_all(&mut std::io::stderr(), b"skipped: promtool is not installed\n").expect("stderr");
        return None;
    };
    assert!(out.status.success(), "promtool {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    Some(String::from_utf8(out.stdout).expect("text"))
}

struct Rows(Vec<(Labels, i64, f64)>);

impl SampleInput for Rows {
    fn walk(&mut self, each: &mut dyn FnMut(LabelsRef<'_>, i64, f64) -> Result<(), BlockError>) -> Result<(), BlockError> {
        self.0.iter().try_for_each(|(l, t, v)| each(l.as_ref(), *t, *v))
    }
}

/// Over five hours: counters, gauges, gaps, strange values and names.
fn rows() -> Rows {
    let mut out = Vec::new();
    for i in 0..60i64 {
        let job = ["api", "web", "서버"][i as usize % 3];
        let instance = format!("host-{i:02}:9100");
        let labels = Labels::from_pairs([("__name__", "requests_total"), ("job", job), ("instance", instance.as_str())]);
        for k in 0..300 {
            let t = 1_700_000_000_000 + k * 60_000 + (i % 7) * (k % 3);
            if (k + i) % 97 < 90 {
                out.push((labels.clone(), t, if i % 2 == 0 { (k * i) as f64 } else { (k as f64).sin() * 1e-3 }));
            }
        }
    }
    let odd = Labels::from_pairs([("__name__", "odd"), ("quote", "a\"b\\c\nd<&>")]);
    for (k, v) in
        [f64::INFINITY, f64::NEG_INFINITY, f64::from_bits(model::sample::NORMAL_NAN_BITS), 0.0, -0.0, 1e300, 5e-324, 123_456_789.0, 1e21, 0.000_01]
            .into_iter()
            .enumerate()
    {
        out.push((odd.clone(), 1_700_000_000_000 + k as i64, v));
    }
    Rows(out)
}

fn ours(dir: &Path, format: Format) -> String {
    let (blocks, broken) = open_blocks(&RealFs::shared(), dir).expect("open");
    assert!(broken.is_empty());
    let q = StoreQuerier::new(&blocks, None, i64::MIN, i64::MAX);
    let s = q.select(true, &SelectHints::default(), &[Matcher::new(model::MatchOp::Regex, "__name__", ".*").expect("matcher")]).expect("select");
    let mut out = Vec::new();
    dump(&[&*s], i64::MIN, i64::MAX, format, &mut out).expect("dump");
    String::from_utf8(out).expect("text")
}

fn import(dir: &Path) {
    let mut n = 0;
    let mut new_ulid = || {
        n += 1;
        ulid(n)
    };
    let mut count = 0;
    create_blocks(&BlockWriter::new(RealFs::shared()), dir, 0, &mut rows(), &mut new_ulid, &mut |_| {
        count += 1;
        Ok(())
    })
    .expect("import");
    assert_eq!(count, 3);
}

#[test]
fn promtool_reads_our_blocks() {
    let dir = tempfile::tempdir().expect("temporary directory");
    import(dir.path());
    // Without one its dump refuses the directory.
    std::fs::create_dir(dir.path().join("wal")).expect("create");
    let path = dir.path().to_str().expect("path");
    let fs = RealFs::shared();
    let mut report = Vec::new();
    assert_eq!(verify::verify(&fs, dir.path(), &mut report).expect("verify"), 0, "{}", String::from_utf8_lossy(&report));
    let Some(theirs) = promtool(&["tsdb", "list", path]) else { return };
    let mut out = Vec::new();
    list::list(&fs, dir.path(), false, &mut out).expect("list");
    assert_eq!(String::from_utf8(out).expect("text"), theirs);
    let mut out = Vec::new();
    list::list(&fs, dir.path(), true, &mut out).expect("list");
    assert_eq!(String::from_utf8(out).expect("text"), promtool(&["tsdb", "list", "-r", path]).expect("promtool"));
    assert_eq!(ours(dir.path(), Format::Prom), promtool(&["tsdb", "dump", path]).expect("promtool"));
    assert_eq!(ours(dir.path(), Format::OpenMetrics), promtool(&["tsdb", "dump-openmetrics", path]).expect("promtool"));
    for (block, extended) in [("", true), (&*ulid(2).to_string(), false)] {
        let b = open_block(&fs, dir.path(), block).expect("open");
        let mut out = Vec::new();
        analyze::analyze(&b, &analyze::Options { limit: 10_000, extended, matchers: None }, &mut out).expect("analyze");
        let mut args = vec!["tsdb", "analyze", "--limit=10000", path];
        let id = b.ulid().to_string();
        args.push(&id);
        if extended {
            args.push("--extended");
        }
        // Lines of equal weight come in any order there.
        let sorted = |s: &str| {
            let mut lines: Vec<String> = s.lines().map(str::to_string).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(sorted(&String::from_utf8(out).expect("text")), sorted(&promtool(&args).expect("promtool")));
    }
}

#[test]
fn we_read_promtools_blocks() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let input = dir.path().join("input.om");
    let mut text = String::new();
    let mut rows = rows().0;
    rows.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(&b.1)));
    for (labels, t, v) in &rows {
        let name = labels.metric_name();
        let rest = labels.without_name().to_string().replace(", ", ",");
        text.push_str(&format!("{name}{rest} {} {}.{:03}\n", model::number::format_g(*v), t / 1000, t % 1000));
    }
    text.push_str("# EOF\n");
    std::fs::write(&input, text).expect("write");
    let (theirs, mine) = (dir.path().join("theirs"), dir.path().join("mine"));
    std::fs::create_dir(&mine).expect("create");
    let args = ["tsdb", "create-blocks-from", "openmetrics", "-q", input.to_str().expect("path"), theirs.to_str().expect("path")];
    if promtool(&args).is_none() {
        return;
    }
    import(&mine);
    let fs = RealFs::shared();
    let mut report = Vec::new();
    assert_eq!(verify::verify(&fs, &theirs, &mut report).expect("verify"), 0, "{}", String::from_utf8_lossy(&report));
    assert_eq!(ours(&theirs, Format::Prom), ours(&mine, Format::Prom));
    // Byte for byte the same index and chunks.
    let (a, b) = (open_blocks(&fs, &theirs).expect("open").0, open_blocks(&fs, &mine).expect("open").0);
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(&b) {
        let facts = |b: &Block| {
            let m = b.meta();
            (m.stats.num_samples, m.stats.num_series, m.stats.num_chunks, m.min_time_ms, m.max_time_ms)
        };
        assert_eq!(facts(a), facts(b));
        for file in ["index", "chunks/000001", "tombstones"] {
            let read = |block: &Block| std::fs::read(block.dir().join(file)).expect("read");
            let (theirs, mine) = (read(a), read(b));
            if file == "index" {
                // Older tools write label indexes between series and postings, which nobody reads.
                let (t, m) = (a.index().toc(), b.index().toc());
                assert!(theirs[..t.label_indices as usize] == mine[..m.label_indices as usize], "symbols or series differ");
                let lists = |b: &[u8], t: crate::index::Toc| b[t.postings.next_multiple_of(4) as usize..t.label_indices_table as usize].to_vec();
                assert!(lists(&theirs, t) == lists(&mine, m), "postings differ");
                continue;
            }
            assert!(theirs == mine, "{file} of {} differs", a.ulid());
        }
    }
}
