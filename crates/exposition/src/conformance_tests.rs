//! Pages of real exporters, where they are at hand: walked, written down in our own words, and read again.

use crate::{Entry, Format, LabelBuf, Parser, ParserOptions};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[allow(clippy::disallowed_methods, reason = "a test may ask where its data lies")]
fn folder() -> PathBuf {
    let base = std::env::var("NARTHEX_CONFORMANCE")
        .map_or_else(|_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance")), PathBuf::from);
    base.join("exposition")
}

/// Samples by labels, and the number of metadata lines.
fn read(page: &[u8], format: Format) -> (BTreeMap<String, u64>, usize) {
    let (mut p, mut buf, mut samples, mut metadata) = (Parser::new(page, format, ParserOptions::default()), LabelBuf::new(), BTreeMap::new(), 0);
    while let Some(e) = p.next().expect("a good page") {
        if e != Entry::Series {
            metadata += 1;
            continue;
        }
        // What the quick look says of a line must hold after the close one.
        let quick = (p.raw().to_vec(), p.value().to_bits(), p.timestamp_ms());
        p.labels(&mut buf).expect("a good page");
        assert_eq!(quick, (p.raw().to_vec(), p.value().to_bits(), p.timestamp_ms()));
        samples.insert(buf.as_ref().to_string(), p.value().to_bits());
    }
    (samples, metadata)
}

#[test]
#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
fn pages_of_real_exporters() {
    let dir = folder();
    for (file, format, samples, metadata) in [
        ("1histogram.om.txt", Format::OpenMetrics, 0, 0),
        ("alltypes.237mfs.prom.txt", Format::Text, 1857, 475),
        ("alltypes.237mfs.nometa.prom.txt", Format::Text, 1857, 1),
        ("alltypes.5mfs.om.txt", Format::OpenMetrics, 0, 0),
    ] {
        let Ok(page) = std::fs::read(dir.join(file)) else {
            eprintln!("skipped: no {}", dir.join(file).display());
            continue;
        };
        let got = read(&page, format);
        assert!(!got.0.is_empty());
        if samples > 0 {
            assert_eq!((got.0.len(), got.1), (samples, metadata), "{file}");
        }
        // The same page once more, each line foretold.
        let mut first = Parser::new(&page, format, ParserOptions::default());
        let mut second = Parser::new(&page, format, ParserOptions::default());
        while let Some(e) = first.next().expect("a good page") {
            if e == Entry::Series {
                assert!(second.next_if(first.raw()));
                assert_eq!(
                    (second.value().to_bits(), second.timestamp_ms(), second.exemplar()),
                    (first.value().to_bits(), first.timestamp_ms(), first.exemplar())
                );
            } else {
                assert!(first.line().is_some_and(|l| second.skip_if(l)));
            }
        }
    }
}
