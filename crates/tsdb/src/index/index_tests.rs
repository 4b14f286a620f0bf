use super::postings::{PostingList, intersect, subtract, union};
use super::select::select;
use super::writer::SymbolSet;
use super::*;
use model::matcher::MatchOp;
use model::{Labels, LabelsRef, Matcher};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;
use stdx::fs::{Fs, Mapped, RealFs};

fn written(series: &[(Labels, Vec<ChunkMeta>)]) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("index");
    let mut symbols = SymbolSet::default();
    series.iter().for_each(|(l, _)| symbols.add_labels(l.as_ref()));
    let mut w = IndexWriter::create(&RealFs, &path, symbols).expect("create");
    for (l, chunks) in series {
        w.add_series(l.as_ref(), chunks).expect("add series");
    }
    let len = w.finish().expect("finish");
    let bytes = RealFs.read(&path).expect("read");
    assert_eq!(bytes.len() as u64, len);
    bytes
}

fn open(bytes: Vec<u8>) -> IndexReader {
    IndexReader::open(Mapped::new(bytes), Path::new("index")).expect("open")
}

fn labels_of(index: &IndexReader, r: u32) -> Labels {
    let mut out = Vec::new();
    index.labels(r, &mut out).expect("labels");
    LabelsRef::from_encoded(&out).to_labels()
}

/// 300 series whose labels repeat, with some that lack a label.
fn many() -> Vec<(Labels, Vec<ChunkMeta>)> {
    let mut out: Vec<(Labels, Vec<ChunkMeta>)> = (0..300)
        .map(|i| {
            let instance = format!("host-{i:03}");
            let env = if i % 3 == 0 { "" } else { "prod" };
            let job = ["api", "web", "api-canary"][i % 3];
            let labels = Labels::from_pairs([("__name__", "up"), ("instance", instance.as_str()), ("job", job), ("env", env)]);
            (labels, vec![])
        })
        .collect();
    out.sort_by(|a, b| a.0.cmp(&b.0));
    for (i, (_, chunks)) in out.iter_mut().enumerate() {
        let t = i as i64 * 10 - 500;
        chunks.push(ChunkMeta { mint_ms: t, maxt_ms: t + 5, reference: 8 + 100 * i as u64 });
        chunks.push(ChunkMeta { mint_ms: t + 6, maxt_ms: t + 6, reference: 58 + 100 * i as u64 });
    }
    out
}

#[test]
fn what_is_written_is_read() {
    let series = many();
    let index = open(written(&series));
    let all = index.all_postings().expect("all").into_vec();
    assert_eq!(all.len(), series.len());
    for (r, (labels, chunks)) in all.iter().zip(&series) {
        let (mut l, mut c) = (Vec::new(), Vec::new());
        index.series(*r, &mut l, &mut c).expect("series");
        assert_eq!((LabelsRef::from_encoded(&l), &c), (labels.as_ref(), chunks));
    }
    assert_eq!(index.label_names().collect::<Vec<_>>(), ["__name__", "env", "instance", "job"]);
    assert_eq!(index.value_count("instance"), 300);
    assert_eq!(index.postings("job", "web").expect("postings").len(), 100);
    assert_eq!(index.postings("job", "nothing").expect("postings").len(), 0);
    assert_eq!(index.postings("nothing", "web").expect("postings").len(), 0);
    for i in 0..300 {
        assert_eq!(index.postings("instance", &format!("host-{i:03}")).expect("postings").len(), 1);
    }
    for (i, s) in index.symbols().enumerate() {
        assert_eq!(index.symbol(i as u32), Some(s));
        assert_eq!(index.find_symbol(s), Some(i as u32));
    }
    assert_eq!(index.find_symbol("zzz"), None);
}

#[test]
fn matchers_select_what_a_walk_over_all_series_would() {
    let series = many();
    let index = open(written(&series));
    let m = |op, n: &str, v: &str| Matcher::new(op, n, v).expect("matcher");
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    let sets = [
        vec![],
        vec![m(Equal, "job", "web")],
        vec![m(Equal, "job", "web"), m(Equal, "env", "prod")],
        vec![m(Equal, "env", "")],
        vec![m(NotEqual, "env", "")],
        vec![m(NotEqual, "env", "prod")],
        vec![m(Regex, "job", "web|api")],
        vec![m(NotRegex, "job", "web|api")],
        vec![m(Regex, "job", "api.*"), m(NotEqual, "job", "api-canary")],
        vec![m(Regex, "env", "prod|")],
        vec![m(NotRegex, "env", "prod|")],
        vec![m(Regex, "instance", "host-0.[13]")],
        vec![m(Equal, "instance", "host-007"), m(Regex, "job", "w.+")],
        vec![m(Equal, "instance", "host-007"), m(NotRegex, "instance", ".*-007")],
        vec![m(Equal, "job", "web"), m(Equal, "nothing", "")],
        vec![m(NotEqual, "nothing", "")],
        vec![m(Regex, "nothing", ".*"), m(Regex, "instance", ".*9")],
        vec![m(NotRegex, "job", ".*")],
        vec![m(Regex, "job", ".+"), m(NotRegex, "env", ".+")],
        vec![m(Equal, "job", "none")],
    ];
    for set in sets {
        let want: Vec<&Labels> = series.iter().map(|s| &s.0).filter(|l| set.iter().all(|m| m.matches_labels(l.as_ref()))).collect();
        let got: Vec<Labels> = select(&index, &set).expect("select").iter().map(|r| labels_of(&index, *r)).collect();
        assert_eq!(got.iter().collect::<Vec<_>>(), want, "{set:?}");
    }
}

#[test]
fn unsorted_input_is_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (a, b) = (Labels::from_pairs([("a", "1")]), Labels::from_pairs([("a", "2")]));
    let mut symbols = SymbolSet::default();
    symbols.add_labels(a.as_ref());
    symbols.add_labels(b.as_ref());
    let mut w = IndexWriter::create(&RealFs, &dir.path().join("index"), symbols).expect("create");
    w.add_series(b.as_ref(), &[]).expect("add");
    let e = w.add_series(a.as_ref(), &[]).expect_err("out of order");
    assert!(e.to_string().contains("out-of-order series"), "{e}");
    let c = Labels::from_pairs([("b", "unknown")]);
    assert!(w.add_series(c.as_ref(), &[]).expect_err("unknown symbol").to_string().contains("does not exist"));
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let bytes = written(&many());
    let read_all = |bytes: Vec<u8>| -> Result<usize, crate::block::BlockError> {
        let index = IndexReader::open(Mapped::new(bytes), Path::new("index"))?;
        let mut n = 0;
        for r in index.all_postings()?.into_vec() {
            index.series(r, &mut Vec::new(), &mut Vec::new())?;
            n += 1;
        }
        for name in index.label_names() {
            let mut offsets = Vec::new();
            index.each_value(name, "", |_, o| {
                offsets.push(o);
                std::ops::ControlFlow::Continue(())
            })?;
            for o in offsets {
                n += index.postings_at(o)?.len();
            }
        }
        Ok(n)
    };
    let whole = read_all(bytes.clone()).expect("whole");
    for at in (0..bytes.len()).step_by(7) {
        let mut b = bytes.clone();
        b[at] ^= 0x41;
        // Padding is the only thing no checksum covers.
        if let Ok(n) = read_all(b) {
            assert_eq!((n, bytes[at]), (whole, 0), "byte {at} was changed unnoticed");
        }
    }
    for len in (0..bytes.len()).step_by(97) {
        assert!(read_all(bytes[..len].to_vec()).is_err());
    }
}

proptest! {
    #[test]
    fn set_operations(a: BTreeSet<u16>, b: BTreeSet<u16>, few in prop::collection::btree_set(0u32..70_000, 0..4)) {
        let v = |s: &BTreeSet<u16>| s.iter().map(|x| u32::from(*x)).collect::<Vec<u32>>();
        let (va, vb, few): (Vec<u32>, Vec<u32>, Vec<u32>) = (v(&a), v(&b), few.into_iter().collect());
        let long: Vec<u32> = (0..60_000).filter(|x| x % 3 == 0).collect();
        for (x, y) in [(&va, &vb), (&few, &long), (&long, &few), (&va, &va)] {
            let raw: Vec<u8> = y.iter().flat_map(|r| r.to_be_bytes()).collect();
            for list in [PostingList::Raw(&raw), PostingList::Owned(y.clone())] {
                let set: BTreeSet<u32> = y.iter().copied().collect();
                prop_assert_eq!(intersect(x.clone(), &list), x.iter().copied().filter(|r| set.contains(r)).collect::<Vec<_>>());
                prop_assert_eq!(subtract(x.clone(), &list), x.iter().copied().filter(|r| !set.contains(r)).collect::<Vec<_>>());
                let both: BTreeSet<u32> = x.iter().chain(y).copied().collect();
                prop_assert_eq!(union(&[PostingList::Owned(x.clone()), list]), both.into_iter().collect::<Vec<_>>());
            }
        }
    }
}

/// Written by promtool 3.5.3 from two samples; docs/formats/index.md explains its beginning. It still has label indexes.
const FIXTURE: &str = "baaad700020000001600000006000131\
0132085f5f6e616d655f5f0161016217df7b6400000000000000000000000000\
0e0203040501 0180a0abfef9620008 12080e5b00 000000000000000000000000\
0e0203040502 01d0afabfef962001e b15f5b9e";

#[test]
fn the_documented_index() {
    let chunk = |t: i64, reference| vec![ChunkMeta { mint_ms: t, maxt_ms: t, reference }];
    let series = |b: &str, t, r| (Labels::from_pairs([("__name__", "a"), ("b", b)]), chunk(t, r));
    let bytes = written(&[series("1", 1_700_000_000_000, 8), series("2", 1_700_000_001_000, 0x1e)]);
    let hex: String = bytes[..0x63].iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, FIXTURE.replace(' ', ""));
}

/// An index as Prometheus 2.0 wrote it: strings and series are named by their offset, the table comes in any order.
fn version_1(series: &[(&str, &str)]) -> Vec<u8> {
    use stdx::varint::{put_uvarint, put_varint};
    let section = |out: &mut Vec<u8>, content: &[u8]| {
        let at = out.len() as u64;
        out.extend_from_slice(&(content.len() as u32).to_be_bytes());
        out.extend_from_slice(content);
        out.extend_from_slice(&stdx::crc::crc32c(content).to_be_bytes());
        at
    };
    let put_str = |out: &mut Vec<u8>, s: &str| {
        put_uvarint(out, s.len() as u64);
        out.extend_from_slice(s.as_bytes());
    };
    let mut out = MAGIC.to_be_bytes().to_vec();
    out.push(1);
    let strings: BTreeSet<&str> = series.iter().flat_map(|(n, v)| [*n, *v]).collect();
    let mut content = (strings.len() as u32).to_be_bytes().to_vec();
    let mut offsets = std::collections::BTreeMap::new();
    for s in strings {
        offsets.insert(s, (out.len() + 4 + content.len()) as u64);
        put_str(&mut content, s);
    }
    let mut toc = Toc { symbols: section(&mut out, &content), ..Toc::default() };
    toc.series = out.len() as u64;
    let mut refs = Vec::new();
    for (i, (n, v)) in series.iter().enumerate() {
        let mut b = Vec::new();
        [1, offsets[n], offsets[v], 1].iter().for_each(|x| put_uvarint(&mut b, *x));
        put_varint(&mut b, i as i64);
        put_uvarint(&mut b, 0);
        put_uvarint(&mut b, 8);
        refs.push(out.len() as u32);
        put_uvarint(&mut out, b.len() as u64);
        out.extend_from_slice(&b);
        out.extend_from_slice(&stdx::crc::crc32c(&b).to_be_bytes());
    }
    let mut lists: Vec<(&str, &str, Vec<u32>)> = series.iter().zip(&refs).map(|((n, v), r)| (*n, *v, vec![*r])).rev().collect();
    lists.push(("", "", refs));
    toc.postings = out.len() as u64;
    let mut table = (lists.len() as u32).to_be_bytes().to_vec();
    for (n, v, refs) in lists {
        let mut b = (refs.len() as u32).to_be_bytes().to_vec();
        refs.iter().for_each(|r| b.extend_from_slice(&r.to_be_bytes()));
        let at = section(&mut out, &b);
        put_uvarint(&mut table, 2);
        put_str(&mut table, n);
        put_str(&mut table, v);
        put_uvarint(&mut table, at);
    }
    toc.postings_table = section(&mut out, &table);
    out.extend_from_slice(&toc.to_bytes());
    out
}

#[test]
fn version_1_is_read() {
    let series = [("bar", "0"), ("bar", "1"), ("bar", "2"), ("foo", "bar"), ("foo", "baz")];
    let index = open(version_1(&series));
    assert_eq!(index.version(), 1);
    let all = index.all_postings().expect("all").into_vec();
    assert_eq!(all.iter().map(|r| labels_of(&index, *r)).collect::<Vec<_>>(), series.map(|p| Labels::from_pairs([p])));
    assert_eq!(index.label_names().collect::<Vec<_>>(), ["bar", "foo"]);
    let got = select(&index, &[Matcher::new(MatchOp::NotRegex, "foo", "^.?$").expect("matcher")]).expect("select");
    assert_eq!(got, all[3..]);
    let mut chunks = Vec::new();
    index.chunks(all[4], &mut chunks).expect("chunks");
    assert_eq!(chunks, [ChunkMeta { mint_ms: 4, maxt_ms: 4, reference: 8 }]);
    assert_eq!(index.label_value(all[1], index.find_symbol("bar").expect("symbol")).expect("value"), "1");
}
