use super::*;
use crate::wire::Version;
use crate::wire::decode::WriteDecoder;
use crate::wire::read::{decode_frame, results, take_frame};
use stdx::clock::SystemClock;
use storage::{ChunkEncoding, LabelHints, MemorySelection, Querier, Warnings};

/// Two series with three samples and three chunks each.
struct Fixed;

struct Chunked(MemorySelection);

impl Selection for Chunked {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, i: usize) -> Labels {
        self.0.labels(i)
    }

    fn read(&self, i: usize, start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ReadError> {
        self.0.read(i, start_ms, end_ms, out)
    }

    fn chunks(&self, _i: usize, _start_ms: i64, _end_ms: i64, each: &mut dyn FnMut(EncodedChunk)) -> Result<(), ReadError> {
        (0..3).for_each(|n| each(EncodedChunk { mint_ms: n, maxt_ms: n, encoding: ChunkEncoding::Xor, bytes: vec![n as u8; 100].into() }));
        Ok(())
    }
}

impl Querier for Fixed {
    fn select(&self, _sorted: bool, _hints: &SelectHints, matchers: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        let series = |job: &str| {
            let data = SeriesData { t_ms: vec![1, 2, 3], v: vec![1.5, 2.5, 3.5], ..SeriesData::default() };
            (Labels::from_pairs([("__name__", "m"), ("job", job)]), data)
        };
        let series = [series("a"), series("b")].into_iter().filter(|(l, _)| matchers.iter().all(|m| m.matches(l.value(&m.name)))).collect();
        Ok(Arc::new(Chunked(MemorySelection { series, warnings: Warnings::new() })))
    }

    fn label_values(&self, _name: &str, _hints: LabelHints, _matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        Ok(Default::default())
    }

    fn label_names(&self, _hints: LabelHints, _matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        Ok(Default::default())
    }
}

impl Queryable for Fixed {
    fn querier(&self, _mint_ms: i64, _maxt_ms: i64) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(Fixed))
    }
}

fn ask(options: ReadOptions, matchers: Vec<Matcher>, accepted: Vec<ResponseType>) -> ReadAnswer {
    let query = ReadQuery { start_ms: 2, end_ms: 3, matchers, hints: None };
    let (mut body, mut packed) = (Vec::new(), Vec::new());
    ReadRequest { queries: vec![query], accepted }.encode(&mut body);
    Compressor::new().compress(ContentEncoding::Snappy, &body, &mut packed).expect("compress");
    let handler = ReadHandler::new(Arc::new(Fixed), options, &Registry::new(SystemClock::shared()));
    handler.handle(&packed, &Labels::from_pairs([("cluster", "x"), ("job", "not used")]))
}

fn whole(answer: ReadAnswer) -> Vec<u8> {
    match answer.body {
        ReadBody::Whole(b) => b,
        ReadBody::Frames(_) => panic!("one body was expected"),
    }
}

#[test]
fn samples_come_with_external_labels() {
    let matchers = vec![Matcher::equal("cluster", "x"), Matcher::equal("job", "b")];
    let answer = ask(ReadOptions::default(), matchers, vec![]);
    assert_eq!((answer.status, answer.headers[1]), (200, ("Content-Encoding", "snappy")));
    let (packed, mut buffer) = (whole(answer), Vec::new());
    let body = decompress(ContentEncoding::Snappy, &packed, 1 << 20, &mut buffer).expect("decompress");
    let results = results(body).expect("own bytes");
    let mut series = WriteDecoder::new(Version::V1, results[0], &[]).expect("decoder");
    let s = series.next_series().expect("whole").expect("one series");
    let samples: Vec<_> = s.samples.iter().map(|s| (s.t_ms, s.v)).collect();
    assert_eq!((s.labels.expect("good").to_string().as_str(), samples), (r#"{__name__="m", cluster="x", job="b"}"#, vec![(2, 2.5), (3, 3.5)]));
    assert!(series.next_series().expect("whole").is_none());
}

#[test]
fn chunks_come_in_frames_of_one_series() {
    let answer =
        ask(ReadOptions { max_bytes_in_frame: 250, ..ReadOptions::default() }, vec![], vec![ResponseType::Other(9), ResponseType::StreamedXorChunks]);
    assert_eq!(answer.headers, vec![("Content-Type", STREAMED_CONTENT_TYPE)]);
    let ReadBody::Frames(frames) = answer.body else { panic!("frames were expected") };
    let mut seen = Vec::new();
    for frame in frames {
        let frame = frame.expect("frame");
        let mut rest = frame.as_slice();
        let message = take_frame(&mut rest, 1 << 20).expect("good").expect("complete");
        for s in decode_frame(message).expect("own bytes") {
            let job = s.labels.iter().find(|(n, _)| n == "job").map(|(_, v)| v.clone()).unwrap_or_default();
            seen.push((job, s.chunks.iter().map(|c| c.mint_ms).collect::<Vec<_>>()));
        }
    }
    let want = [("a", vec![0, 1]), ("a", vec![2]), ("b", vec![0, 1]), ("b", vec![2])];
    assert_eq!(seen, want.map(|(j, c)| (j.to_string(), c)));
}

#[test]
fn what_cannot_be_answered_says_why() {
    let check = |answer: ReadAnswer, status: u16, text: &str| {
        assert_eq!((answer.status, String::from_utf8_lossy(&whole(answer)).into_owned()), (status, format!("{text}\n")));
    };
    check(ask(ReadOptions { sample_limit: 3, ..ReadOptions::default() }, vec![], vec![]), 400, "exceeded sample limit (3)");
    let unknown = "server does not support any of the requested response types: [Other(7)]; supported: SAMPLES, STREAMED_XOR_CHUNKS";
    check(ask(ReadOptions::default(), vec![], vec![ResponseType::Other(7)]), 400, unknown);
}
