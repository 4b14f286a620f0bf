//! Reads a page to its end, in every way a scrape asks.

use exposition::{Entry, Format, LabelBuf, Parser, ParserOptions};

pub fn walk(body: &[u8], format: Format) {
    for flags in 0..8 {
        let on = |bit: u32| flags & (1 << bit) != 0;
        let options = ParserOptions {
            type_and_unit_labels: on(0),
            ignore_native_histograms: on(1),
            convert_classic_histograms: on(2),
            keep_classic_histograms: on(0) != on(1),
            skip_created_series: on(1),
        };
        let (mut p, mut labels) = (Parser::new(body, format, options), LabelBuf::new());
        loop {
            match p.next() {
                Err(e) => {
                    let _ = e.to_string();
                    break;
                }
                Ok(None) => break,
                Ok(Some(Entry::Series | Entry::Histogram)) => {
                    if p.labels(&mut labels).is_err() {
                        break;
                    }
                    let _ = (
                        labels.as_ref().to_labels(),
                        labels.duplicate().is_some(),
                        p.raw().len(),
                        p.value(),
                        p.timestamp_ms(),
                        p.histogram().is_some(),
                    );
                    while p.exemplar().is_some() {}
                    let _ = p.start_ms();
                }
                Ok(Some(_)) => {
                    let _ = (p.meta_name(), p.meta_text(), p.meta_type());
                }
            }
            assert!(p.offset() <= body.len());
        }
    }
}
