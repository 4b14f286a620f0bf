//! An index with damage: a sound file, edited where the input says (three bytes each: place, place, value), and with a table of contents that fits
//! again. Whatever is asked of it, it answers or says what is wrong.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::{Labels, MatchOp, Matcher};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use stdx::clock::ManualClock;
use stdx::crc::crc32c;
use stdx::fs::{Disk, Fs, Mapped};
use tsdb::index::writer::SymbolSet;
use tsdb::index::{ChunkMeta, IndexReader, IndexWriter, TOC_LEN, select::select};

static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let fs = Arc::new(Disk::default()).mount(ManualClock::at_ms(0));
    fs.create_dir_all(Path::new("/b")).expect("a directory");
    let all: Vec<Labels> = (0..40).map(|i| Labels::from_pairs([("__name__", "m"), ("i", &format!("{i:02}")), ("z", ["x", "y"][i % 2])])).collect();
    let mut symbols = SymbolSet::default();
    all.iter().for_each(|l| symbols.add_labels(l.as_ref()));
    let path = Path::new("/b/index");
    let mut w = IndexWriter::create(fs.as_ref(), path, symbols).expect("create");
    for (i, l) in all.iter().enumerate() {
        let chunk = |k: i64| ChunkMeta { mint_ms: k * 100, maxt_ms: k * 100 + 99, reference: 8 + (i as u64 * 3 + k as u64) * 40 };
        w.add_series(l.as_ref(), &[chunk(0), chunk(1), chunk(2)]).expect("in order");
    }
    w.finish().expect("finish");
    fs.read(path).expect("the file")
});

fuzz_target!(|data: &[u8]| {
    let mut bytes = SOUND.clone();
    for edit in data.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % bytes.len();
        bytes[at] = edit[2];
    }
    let toc = bytes.len() - TOC_LEN;
    let crc = crc32c(&bytes[toc..bytes.len() - 4]).to_be_bytes();
    bytes[toc + TOC_LEN - 4..].copy_from_slice(&crc);
    let Ok(index) = IndexReader::open(Mapped::new(bytes), Path::new("index")) else { return };
    let names: Vec<&str> = index.label_names().collect();
    for name in &names {
        let _ = index.each_value(name, "", |_, offset| {
            let _ = (index.postings_at(offset).map(|p| p.len()), index.postings_count_at(offset));
            ControlFlow::Continue(())
        });
        let _ = index.value_count(name);
    }
    let _ = (index.symbols().count(), index.find_symbol("m"), index.postings("z", "x").map(|p| p.len()));
    let re = Matcher::new(MatchOp::Regex, "i", "1.|2[3-7]").expect("a pattern");
    let refs = select(&index, &[Matcher::equal("z", "y"), re]).into_iter().chain(index.all_postings().map(|p| p.into_vec()));
    for r in refs.flatten() {
        let (mut labels, mut chunks) = (Vec::new(), Vec::new());
        if index.series(r, &mut labels, &mut chunks).is_ok() {
            model::LabelsRef::from_encoded(&labels).iter().count();
        }
    }
});
