use super::*;
use crate::record::RefTombstone;
use crate::testing::open;
use model::{Histogram, MetricType};

fn describe(wal: &Wal, dir: &Path) -> Vec<String> {
    let mut reader = LogReader::open(Arc::clone(&wal.fs), dir, 0, u64::MAX).expect("open");
    let (mut out, mut scratch) = (Vec::new(), Vec::new());
    while let Some(r) = reader.next().expect("read") {
        match RecordType::of(r.bytes).expect("known type") {
            RecordType::Series => record::decode_series(r.bytes, &mut scratch, |id, l| out.push(format!("series {id} {l}"))),
            RecordType::Samples => {
                let mut all = Vec::new();
                let result = record::decode_samples(r.bytes, &mut all);
                out.extend(all.iter().map(|s| format!("sample {} {}", s.series, s.t_ms)));
                result
            }
            RecordType::Histograms => record::decode_histograms(r.bytes, |h| out.push(format!("histogram {} {}", h.series, h.t_ms))),
            RecordType::Tombstones => record::decode_tombstones(r.bytes, |s| out.push(format!("tombstone {} {}", s.series, s.end_ms))),
            RecordType::Exemplars => {
                record::decode_exemplars(r.bytes, &mut scratch, |e| out.push(format!("exemplar {} {} {}", e.series, e.t_ms, e.labels)))
            }
            RecordType::Metadata => record::decode_metadata(r.bytes, |m| out.push(format!("metadata {} {} {}", m.series, m.kind, m.help))),
            RecordType::Held => record::decode_held(r.bytes, |n, s, t, _| out.push(format!("held {n} {s} {t}"))),
            other => panic!("unexpected {other:?}"),
        }
        .expect("decode");
    }
    out
}

fn fill(wal: &Wal, t_ms: i64) {
    let mut r = Records::default();
    let (a, b) = (Labels::from_pairs([("a", "1")]), Labels::from_pairs([("b", "2")]));
    let h = Histogram::default();
    r.series([(1, a.as_ref()), (2, b.as_ref())]);
    r.samples([1, 2].map(|series| RefSample { series, start_ms: 0, t_ms, v: 0.5 }));
    r.histograms([RefHistogram { series: 1, start_ms: 0, t_ms, h: &h }]);
    r.tombstones([1, 2].map(|series| RefTombstone { series, start_ms: 0, end_ms: t_ms }));
    r.exemplars([RefExemplar { series: 1, t_ms, v: 1.0, labels: a.as_ref() }]);
    let help = t_ms.to_string();
    r.metadata([1, 2].map(|series| RefMetadata { series, kind: MetricType::Gauge, unit: "", help: &help }));
    r.held("r", [1, 2].map(|series| (series, t_ms, HeldRef::Float(2.0))));
    wal.log(&r).expect("log");
    wal.next_segment().expect("switch");
}

#[test]
fn keeps_what_is_asked_for_and_nothing_else_twice_over() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let wal = open(dir.path());
    fill(&wal, 1000);
    fill(&wal, 2000);
    wal.fs.create_dir_all(&dir.path().join("checkpoint.00000001.tmp")).expect("left by a crash");
    let stats = create(&wal, 1, (1500, 1500), false, |id| id == 1).expect("checkpoint");
    assert_eq!((stats.total_series, stats.dropped_series, stats.total_samples, stats.dropped_samples), (4, 2, 6, 3));
    let c = last(wal.fs.as_ref(), dir.path()).expect("list").expect("there is one");
    assert_eq!(c.segment, 1);
    let want = |held_t: &str| {
        [
            r#"series 1 {a="1"}"#,
            r#"series 1 {a="1"}"#,
            "sample 1 T",
            "sample 2 T",
            "histogram 1 T",
            "tombstone 1 T",
            r#"exemplar 1 T {a="1"}"#,
            "held r 1 T",
            "metadata 1 gauge T",
        ]
        .map(|s| s.replace(" T", &format!(" {held_t}")))
    };
    assert_eq!(describe(&wal, &c.path), want("2000"));
    assert!(list(wal.fs.as_ref(), dir.path()).expect("list").len() == 1 && !wal.fs.exists(&dir.path().join("checkpoint.00000001.tmp")));

    wal.truncate(2).expect("truncate");
    fill(&wal, 3000);
    create(&wal, 2, (2500, 2500), false, |id| id == 2).expect("checkpoint");
    remove_below(&wal, 2).expect("remove");
    let c = last(wal.fs.as_ref(), dir.path()).expect("list").expect("there is one");
    let got = describe(&wal, &c.path);
    assert_eq!(got[..2], [r#"series 2 {b="2"}"#, "sample 1 3000"]);
    assert!(
        got.contains(&"metadata 2 gauge 3000".to_string())
            && !got.iter().any(|l| l.contains("2000") || l.contains("{a=\"1\"}") && l.starts_with("series"))
    );
    assert!(create(&wal, wal.end().segment, (0, 0), false, |_| true).is_err(), "not of the segment being written");
}

#[test]
fn a_log_that_is_only_a_checkpoint_goes_on_behind_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let wal = open(dir.path());
    fill(&wal, 1000);
    create(&wal, 0, (0, 0), false, |_| true).expect("checkpoint");
    for s in crate::segment::list(wal.fs.as_ref(), dir.path()).expect("list") {
        wal.fs.remove_file(&s.path).expect("remove");
    }
    assert_eq!(open(dir.path()).end().segment, 1);
}
