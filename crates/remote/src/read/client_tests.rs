use super::*;
use crate::read::{ReadAnswer, ReadBody, ReadHandler, ReadOptions};
use parking_lot::Mutex;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use stdx::clock::SystemClock;
use stdx::fs::RealFs;
use storage::EncodedChunk;

fn series(pairs: &[(&str, &str)], samples: &[(i64, f64)]) -> (Labels, SeriesData) {
    let (t_ms, v) = samples.iter().copied().unzip();
    (Labels::from_pairs(pairs.iter().copied()), SeriesData { t_ms, v, ..SeriesData::default() })
}

/// A storage of fixed series. Its chunks are one time and one value each.
#[derive(Clone, Default)]
struct Fixed(Vec<(Labels, SeriesData)>);

struct Picked(MemorySelection);

impl Selection for Picked {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, i: usize) -> Labels {
        self.0.labels(i)
    }

    fn read(&self, i: usize, start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ReadError> {
        self.0.read(i, start_ms, end_ms, out)
    }

    fn chunks(&self, i: usize, _: i64, _: i64, each: &mut dyn FnMut(EncodedChunk)) -> Result<(), ReadError> {
        let d = &self.0.series[i].1;
        for (t, v) in d.t_ms.iter().zip(&d.v) {
            let bytes = [t.to_be_bytes(), v.to_be_bytes()].concat();
            each(EncodedChunk { mint_ms: *t, maxt_ms: *t, encoding: ChunkEncoding::Xor, bytes: bytes.into() });
        }
        Ok(())
    }
}

fn decode(_: ChunkEncoding, bytes: &[u8], start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), String> {
    let (t, v) = bytes.split_at(8);
    let t = i64::from_be_bytes(t.try_into().map_err(|_| "short".to_string())?);
    if (start_ms..=end_ms).contains(&t) {
        out.t_ms.push(t);
        out.v.push(f64::from_be_bytes(v.try_into().map_err(|_| "short".to_string())?));
    }
    Ok(())
}

impl Querier for Fixed {
    fn select(&self, _: bool, _: &SelectHints, matchers: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        let fits = |l: &Labels| matchers.iter().all(|m| m.matches(l.value(&m.name)));
        let series = self.0.iter().filter(|(l, _)| fits(l)).cloned().collect();
        Ok(Arc::new(Picked(MemorySelection { series, warnings: Warnings::new() })))
    }

    fn label_values(&self, _: &str, _: LabelHints, _: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        Ok((vec!["local".to_string()], Warnings::new()))
    }

    fn label_names(&self, _: LabelHints, _: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        Ok(Default::default())
    }
}

impl Queryable for Fixed {
    fn querier(&self, _: i64, _: i64) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(self.clone()))
    }
}

/// How the remote side answers.
#[derive(Clone, Copy)]
enum Answers {
    Streamed,
    Samples,
    Refused,
}

/// A server that answers remote read over a storage; returns its URL and what it was asked.
fn serve(store: Fixed, external: Labels, how: Answers) -> (String, Arc<Mutex<Vec<ReadRequest>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/api/v1/read", listener.local_addr().expect("bound"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let handler = ReadHandler::new(Arc::new(store), ReadOptions::default(), &Registry::new(SystemClock::shared()));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut got = Vec::new();
            let mut piece = [0u8; 4096];
            let body = loop {
                let n = stream.read(&mut piece).expect("reads");
                got.extend_from_slice(&piece[..n]);
                let Some(end) = got.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
                let head = String::from_utf8_lossy(&got[..end]).to_lowercase();
                let len: usize = head.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |v| v.parse().expect("a number"));
                if got.len() >= end + 4 + len {
                    break got[end + 4..end + 4 + len].to_vec();
                }
            };
            let mut plain = Vec::new();
            let mut request =
                ReadRequest::decode(decompress(ContentEncoding::Snappy, &body, 1 << 20, &mut plain).expect("snappy")).expect("a request");
            seen.lock().push(request.clone());
            if matches!(how, Answers::Samples) {
                request.accepted = vec![ResponseType::Samples];
            }
            let (mut plain, mut packed) = (Vec::new(), Vec::new());
            request.encode(&mut plain);
            Compressor::new().compress(ContentEncoding::Snappy, &plain, &mut packed).expect("packs");
            let answer = match how {
                Answers::Refused => ReadAnswer { status: 503, headers: Vec::new(), body: ReadBody::Whole(b"not today\n".to_vec()) },
                _ => handler.handle(&packed, &external),
            };
            let body = match answer.body {
                ReadBody::Whole(b) => b,
                ReadBody::Frames(f) => f.flat_map(|f| f.expect("a frame")).collect(),
            };
            let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {}\r\n", answer.status, body.len());
            answer.headers.iter().for_each(|(n, v)| head.push_str(&format!("{n}: {v}\r\n")));
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(b"\r\n")).and_then(|()| stream.write_all(&body)).expect("answers");
        }
    });
    (url, asked)
}

struct Setup {
    readers: Arc<Readers>,
    _runtime: tokio::runtime::Runtime,
}

fn readers(local: Fixed, local_start: i64, yaml: &str, external: &Labels) -> Setup {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let clock = SystemClock::shared();
    let readers = Readers::new(
        ReadersDeps {
            local: Arc::new(local),
            local_start: Arc::new(move || local_start),
            decode,
            http: Options::new(Arc::clone(&clock), RealFs::shared()),
            runtime: runtime.handle().clone(),
            clock: Arc::clone(&clock),
        },
        &Registry::new(clock),
    );
    let config: RemoteReadConfig = yaml::from_str(yaml, &yaml::Options::default()).expect("a configuration");
    readers.put(readers.prepare(&[config], external).expect("clients"));
    Setup { readers, _runtime: runtime }
}

/// Everything of the metric `m` from 0 to 100, as text, with the warnings.
fn ask(s: &Setup, more: &[Matcher]) -> (Vec<String>, Warnings) {
    let mut matchers = vec![Matcher::equal("__name__", "m")];
    matchers.extend(more.iter().cloned());
    let selection = s.readers.querier(0, 100).expect("a querier").select(true, &SelectHints::default(), &matchers).expect("selects");
    let mut out = Vec::new();
    for i in 0..selection.len() {
        let mut data = SeriesData::default();
        selection.read(i, 0, 100, &mut data).expect("reads");
        let samples: Vec<(i64, f64)> = data.t_ms.into_iter().zip(data.v).collect();
        out.push(format!("{} {samples:?}", selection.labels(i)));
    }
    (out, selection.warnings())
}

const M: (&str, &str) = ("__name__", "m");

#[test]
fn remote_samples_stand_beside_local_ones() {
    let site = Labels::from_pairs([("site", "x")]);
    for how in [Answers::Streamed, Answers::Samples] {
        // Overlapping: at 20 both have one, at 10 and 30 only the remote side.
        let far = Fixed(vec![series(&[M, ("job", "a")], &[(10, 1.0), (20, 2.0), (30, 3.0)]), series(&[M, ("job", "b")], &[(10, 5.0)])]);
        let near = Fixed(vec![series(&[M, ("job", "a")], &[(20, 2.5), (40, 4.0)])]);
        let (url, asked) = serve(far, site.clone(), how);
        let s = readers(near, 1000, &format!("url: {url}\nread_recent: true\n"), &site);
        let (found, warnings) = ask(&s, &[]);
        assert_eq!(found, [r#"{__name__="m", job="a"} [(10, 1.0), (20, 2.5), (30, 3.0), (40, 4.0)]"#, r#"{__name__="m", job="b"} [(10, 5.0)]"#]);
        assert!(warnings.is_empty(), "{warnings:?}");
        let asked = asked.lock();
        let sent: Vec<String> = asked[0].queries[0].matchers.iter().map(|m| format!("{}{}{}", m.name, m.op.as_str(), m.value)).collect();
        assert_eq!(sent, ["__name__=m", "site=x"], "the external label is asked for and taken out");
        assert_eq!((asked[0].queries[0].start_ms, asked[0].queries[0].end_ms), (0, 100));
    }
}

#[test]
fn what_is_here_is_not_asked_for_unless_recent() {
    let (url, asked) = serve(Fixed(vec![series(&[M], &[(10, 1.0), (60, 6.0)])]), Labels::empty(), Answers::Streamed);
    let none = Labels::empty();
    // The local samples begin at 50: only what is older is asked for.
    let (found, _) = ask(&readers(Fixed::default(), 50, &format!("url: {url}\n"), &none), &[]);
    assert_eq!(found, [r#"{__name__="m"} [(10, 1.0)]"#]);
    assert_eq!(asked.lock()[0].queries[0].end_ms, 50);
    // The whole range is here: nobody is asked.
    let (found, _) = ask(&readers(Fixed::default(), -1, &format!("url: {url}\n"), &none), &[]);
    assert!(found.is_empty() && asked.lock().len() == 1, "{found:?}");
}

#[test]
fn required_matchers_and_external_labels() {
    let (url, asked) = serve(Fixed(vec![series(&[M, ("job", "a"), ("site", "x")], &[(10, 1.0)])]), Labels::empty(), Answers::Streamed);
    let site = Labels::from_pairs([("site", "x")]);
    let yaml = format!("url: {url}\nread_recent: true\nrequired_matchers: {{job: a}}\n");
    let s = readers(Fixed::default(), 0, &yaml, &site);
    assert!(ask(&s, &[]).0.is_empty() && asked.lock().is_empty());
    assert_eq!(ask(&s, &[Matcher::equal("job", "a")]).0, [r#"{__name__="m", job="a"} [(10, 1.0)]"#]);
    // Who names the label in the question gets it in the answer.
    assert_eq!(ask(&s, &[Matcher::equal("job", "a"), Matcher::equal("site", "x")]).0, [r#"{__name__="m", job="a", site="x"} [(10, 1.0)]"#]);
    let s = readers(Fixed::default(), 0, &format!("{yaml}filter_external_labels: false\n"), &site);
    assert_eq!(ask(&s, &[Matcher::equal("job", "a")]).0, [r#"{__name__="m", job="a", site="x"} [(10, 1.0)]"#]);
    assert_eq!(asked.lock().last().expect("asked").queries[0].matchers.len(), 2);
}

#[test]
fn a_remote_side_that_fails_is_a_warning() {
    let (url, _) = serve(Fixed::default(), Labels::empty(), Answers::Refused);
    let s = readers(Fixed(vec![series(&[M], &[(1, 1.0)])]), 0, &format!("url: {url}\nread_recent: true\n"), &Labels::empty());
    let (found, warnings) = ask(&s, &[]);
    assert_eq!(found, [r#"{__name__="m"} [(1, 1.0)]"#]);
    assert_eq!(warnings, [format!("remote server {url} returned http status 503 Service Unavailable: not today")]);
    let q = s.readers.querier(0, 100).expect("a querier");
    let (values, warnings) = q.label_values("job", LabelHints::default(), &[]).expect("answers");
    assert_eq!((values, warnings), (vec!["local".to_string()], vec!["not implemented".to_string()]));
}
