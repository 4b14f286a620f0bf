//! Remote read as a client: asks other servers for samples that are not here, and lets them stand beside the local ones.
//!
//! [`Readers`] is what queries and rules ask: the local storage, and behind it every server of `remote_read`. What several have is answered
//! once; at one time the local sample wins. A remote side that does not answer is a warning, never an error.

use crate::config::RemoteReadConfig;
use crate::wire::body::{Compressor, ContentEncoding, decompress};
use crate::wire::decode::WriteDecoder;
use crate::wire::histogram::HistogramValue;
use crate::wire::read::{self, ReadQuery, ReadRequest, ResponseType};
use crate::wire::{Version, WireError};
use client::{HeaderName, HeaderValue, HttpClient, Options, Request};
use model::labels::quote;
use model::{Labels, MatchOp, Matcher};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::SharedClock;
use stdx::metrics::{CounterVec, GaugeVec, HistogramVec, Registry};
use storage::{
    ChunkEncoding, LabelHints, MemorySelection, MergeQueryable, Querier, Queryable, ReadError, SelectHints, Selection, SeriesData, Warnings,
};
use tokio::runtime::Handle;

/// Reads a chunk as blocks hold it; the store lends it, as this room knows no chunks.
pub type DecodeChunk = fn(ChunkEncoding, &[u8], i64, i64, &mut SeriesData) -> Result<(), String>;

/// Where the local samples begin. A server without `read_recent` is only asked for what is older.
pub type LocalStart = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Longest answer that is taken, packed and unpacked.
const MAX_ANSWER_BYTES: usize = 1 << 30;
const VERSION: &str = "0.1.0";
const LATENCY_BUCKETS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0];

/// What all readers share.
pub struct ReadersDeps {
    pub local: Arc<dyn Queryable>,
    pub local_start: LocalStart,
    pub decode: DecodeChunk,
    pub http: Options,
    pub runtime: Handle,
    pub clock: SharedClock,
}

/// The local storage and the servers of the configuration in force.
pub struct Readers {
    deps: ReadersDeps,
    metrics: Metrics,
    remotes: RwLock<Vec<Arc<Remote>>>,
}

#[derive(Clone)]
struct Metrics {
    queries: GaugeVec,
    total: CounterVec,
    duration: HistogramVec,
}

impl Metrics {
    fn new(r: &Registry) -> Self {
        let of = |name: &str| format!("prometheus_remote_read_client_{name}");
        Metrics {
            queries: r.gauge_vec(&of("queries"), "The number of in-flight remote read queries.", &["remote_name", "url"]),
            total: r.counter_vec(&of("queries_total"), "The total number of remote read queries.", &["remote_name", "url", "response_type", "code"]),
            duration: r.histogram_vec(
                &of("request_duration_seconds"),
                "Histogram of the latency for remote read requests. Note that for streamed responses this is only the duration of the initial call and does not include the processing of the stream.",
                &LATENCY_BUCKETS,
                &["remote_name", "url", "response_type"],
            ),
        }
    }
}

impl Readers {
    pub fn new(deps: ReadersDeps, registry: &Registry) -> Arc<Readers> {
        Arc::new(Readers { deps, metrics: Metrics::new(registry), remotes: RwLock::default() })
    }

    /// Makes the clients of a configuration; changes nothing. What it gives is for [`Readers::put`].
    pub fn prepare(&self, configs: &[RemoteReadConfig], external: &Labels) -> Result<Prepared, String> {
        let all: Result<Vec<_>, String> = configs.iter().map(|c| Remote::new(c, external, &self.deps, &self.metrics).map(Arc::new)).collect();
        all.map(Prepared)
    }

    pub fn put(&self, prepared: Prepared) {
        *self.remotes.write() = prepared.0;
    }
}

/// Clients that are ready to take the place of those in use.
pub struct Prepared(Vec<Arc<Remote>>);

impl Queryable for Readers {
    fn querier(&self, mint_ms: i64, maxt_ms: i64) -> Result<Box<dyn Querier>, ReadError> {
        let local_start = || (self.deps.local_start)();
        let asked: Vec<Arc<dyn Queryable>> =
            self.remotes.read().iter().filter_map(|r| r.part(mint_ms, maxt_ms, &local_start)).map(|p| Arc::new(p) as Arc<dyn Queryable>).collect();
        if asked.is_empty() {
            return self.deps.local.querier(mint_ms, maxt_ms);
        }
        MergeQueryable::new(Arc::clone(&self.deps.local), asked).querier(mint_ms, maxt_ms)
    }
}

/// One server that is asked.
struct Remote {
    name: String,
    shown_url: String,
    client: HttpClient,
    request: Request,
    timeout: Duration,
    frame_limit: usize,
    read_recent: bool,
    required: Vec<Matcher>,
    /// Added to the question, and taken out of the answer; empty when the configuration says so.
    external: Labels,
    decode: DecodeChunk,
    runtime: Handle,
    clock: SharedClock,
    metrics: Metrics,
}

impl Remote {
    fn new(config: &RemoteReadConfig, external: &Labels, deps: &ReadersDeps, metrics: &Metrics) -> Result<Remote, String> {
        let shown_url = config.url.redacted();
        // As Prometheus: a nameless one is called by what it is.
        let name = if config.name.is_empty() {
            let hash = stdx::crc::crc32c(yaml::to_string(config).as_bytes());
            format!("{hash:08x}")[..6].to_string()
        } else {
            config.name.clone()
        };
        let client =
            HttpClient::new(&config.http, &format!("remote_read {name}"), &deps.http).map_err(|e| format!("remote_read {shown_url}: {e}"))?;
        let mut request =
            Request::post(config.url.as_str(), "application/x-protobuf", client::Bytes::new()).map_err(|e| format!("remote_read: {e}"))?;
        let own = [("content-encoding", "snappy"), ("accept-encoding", "snappy"), ("x-prometheus-remote-read-version", VERSION)];
        let given = config.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        for (n, v) in given.chain(own) {
            if let (Ok(n), Ok(v)) = (HeaderName::from_bytes(n.as_bytes()), HeaderValue::from_str(v)) {
                request.headers.insert(n, v);
            }
        }
        Ok(Remote {
            name,
            shown_url,
            client,
            request,
            timeout: config.remote_timeout.duration(),
            frame_limit: usize::try_from(config.chunked_read_limit).unwrap_or(usize::MAX),
            read_recent: config.read_recent,
            required: config.required_matchers.iter().map(|(n, v)| Matcher::equal(n.clone(), v.clone())).collect(),
            external: if config.filter_external_labels { external.clone() } else { Labels::empty() },
            decode: deps.decode,
            runtime: deps.runtime.clone(),
            clock: Arc::clone(&deps.clock),
            metrics: metrics.clone(),
        })
    }

    /// What this server is to be asked of a range; None for nothing.
    fn part(self: &Arc<Self>, mint_ms: i64, maxt_ms: i64, local_start: &dyn Fn() -> i64) -> Option<Part> {
        let mut end_ms = maxt_ms;
        if !self.read_recent {
            let start = local_start();
            if mint_ms > start {
                return None;
            }
            end_ms = end_ms.min(start);
        }
        Some(Part { remote: Arc::clone(self), start_ms: mint_ms, end_ms })
    }

    /// The matchers to send, and the names of the external labels that were added to them.
    fn question(&self, matchers: &[Matcher]) -> (Vec<Matcher>, Vec<String>) {
        let mut all = matchers.to_vec();
        let mut added = Vec::new();
        for (n, v) in self.external.iter().filter(|(n, _)| !matchers.iter().any(|m| m.name == *n)) {
            all.push(Matcher::equal(n, v));
            added.push(n.to_string());
        }
        (all, added)
    }

    /// Does the selector have every required matcher?
    fn is_wanted(&self, matchers: &[Matcher]) -> bool {
        let has = |r: &Matcher| matchers.iter().any(|m| m.op == MatchOp::Equal && m.name == r.name && m.value == r.value);
        self.required.iter().all(has)
    }

    fn read(&self, start_ms: i64, end_ms: i64, hints: &SelectHints, matchers: &[Matcher]) -> Result<BTreeMap<Labels, Vec<SeriesData>>, String> {
        let query = ReadQuery { start_ms, end_ms, matchers: matchers.to_vec(), hints: Some(hints.clone()) };
        let question = ReadRequest { queries: vec![query], accepted: vec![ResponseType::StreamedXorChunks, ResponseType::Samples] };
        let (mut plain, mut packed) = (Vec::new(), Vec::new());
        question.encode(&mut plain);
        Compressor::new().compress(ContentEncoding::Snappy, &plain, &mut packed).map_err(|e| e.to_string())?;
        let mut request = self.request.clone().timeout(self.timeout);
        request.body = packed.into();
        let in_flight = self.metrics.queries.with(&[&self.name, &self.shown_url]);
        in_flight.add(1.0);
        // Most ask from a thread that may block; who asks from one of the runtime's own gives its other tasks away first.
        let answer = tokio::task::block_in_place(|| self.runtime.block_on(self.exchange(request, start_ms, end_ms)));
        in_flight.add(-1.0);
        answer
    }

    async fn exchange(&self, request: Request, start_ms: i64, end_ms: i64) -> Result<BTreeMap<Labels, Vec<SeriesData>>, String> {
        let started = self.clock.monotonic();
        let failed = |e: client::Error| format!("error sending request: Post {}: {e}", quote(&self.shown_url));
        let mut answer = self.client.send(request).await.map_err(failed)?;
        let status = answer.status.as_u16();
        let took = self.clock.monotonic().saturating_sub(started).as_secs_f64();
        if status / 100 != 2 {
            let reason = answer.status.canonical_reason().unwrap_or_default();
            let text = answer.first_line().await;
            return Err(format!("remote server {} returned http status {status} {reason}: {text}", self.shown_url));
        }
        let content_type = answer.headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_string();
        let count = |kind: &str, code: &str| {
            self.metrics.duration.with(&[&self.name, &self.shown_url, kind]).observe(took);
            self.metrics.total.with(&[&self.name, &self.shown_url, kind, code]).inc();
        };
        let mut out = BTreeMap::new();
        if content_type.starts_with("application/x-streamed-protobuf") {
            // Frame by frame, so that the packed answer is never here as a whole.
            let mut rest = Vec::new();
            let done: Result<(), String> = async {
                while let Some(piece) = answer.chunk().await.map_err(|e| format!("error reading response: {e}"))? {
                    rest.extend_from_slice(&piece);
                    let taken = self.frames(&rest, start_ms, end_ms, &mut out)?;
                    rest.drain(..taken);
                }
                if rest.is_empty() { Ok(()) } else { Err("error reading response: unexpected EOF".to_string()) }
            }
            .await;
            count("chunked", if done.is_ok() { "200" } else { "aborted_stream" });
            return done.map(|()| out);
        }
        if content_type.starts_with("application/x-protobuf") {
            let mut packed = Vec::new();
            answer.read_raw(&mut packed, MAX_ANSWER_BYTES).await.map_err(|e| format!("error reading response: {e}"))?;
            count("sampled", &status.to_string());
            samples(&packed, &mut out).map_err(|e| format!("unable to unmarshal response body: {e}"))?;
            return Ok(out);
        }
        count("unsupported", &status.to_string());
        Err(format!("unsupported content type: {content_type}"))
    }

    /// Takes the whole frames off the front; says how many bytes they were.
    fn frames(&self, bytes: &[u8], start_ms: i64, end_ms: i64, out: &mut BTreeMap<Labels, Vec<SeriesData>>) -> Result<usize, String> {
        let mut rest = bytes;
        while let Some(message) = read::take_frame(&mut rest, self.frame_limit).map_err(|e| e.to_string())? {
            for series in read::decode_frame(message).map_err(|e| e.to_string())? {
                let columns = out.entry(Labels::from_pairs(series.labels.iter().map(|(n, v)| (n, v)))).or_default();
                for chunk in &series.chunks {
                    let mut data = SeriesData::default();
                    (self.decode)(chunk.encoding, &chunk.bytes, start_ms, end_ms, &mut data)?;
                    columns.push(data);
                }
            }
        }
        Ok(bytes.len() - rest.len())
    }
}

/// The series of an answer with all samples in one message.
fn samples(packed: &[u8], out: &mut BTreeMap<Labels, Vec<SeriesData>>) -> Result<(), WireError> {
    let mut buffer = Vec::new();
    let response = decompress(ContentEncoding::Snappy, packed, MAX_ANSWER_BYTES, &mut buffer)?;
    for result in read::results(response)? {
        let mut decoder = WriteDecoder::new(Version::V1, result, &[])?;
        while let Some(series) = decoder.next_series()? {
            // Labels that cannot name a series cannot be asked for either.
            let Ok(labels) = &series.labels else { continue };
            let labels = labels.to_labels();
            let mut data = SeriesData::default();
            for s in series.samples {
                data.t_ms.push(s.t_ms);
                data.v.push(s.v);
            }
            for h in series.histograms() {
                let h = h?;
                data.hist_t_ms.push(h.t_ms);
                data.hist.push(Arc::new(match h.value {
                    HistogramValue::Int(h) => h.to_float(),
                    HistogramValue::Float(h) => h,
                }));
            }
            out.entry(labels).or_default().push(data);
        }
    }
    Ok(())
}

/// All samples in the order of their times; of one time the first that came.
fn in_one(columns: &[SeriesData]) -> SeriesData {
    let mut out = SeriesData::default();
    let mut floats: Vec<(i64, f64)> = columns.iter().flat_map(|d| d.t_ms.iter().copied().zip(d.v.iter().copied())).collect();
    floats.sort_by_key(|(t, _)| *t);
    floats.dedup_by_key(|(t, _)| *t);
    let mut histograms: Vec<_> = columns.iter().flat_map(|d| d.hist_t_ms.iter().copied().zip(d.hist.iter().cloned())).collect();
    histograms.sort_by_key(|(t, _)| *t);
    histograms.dedup_by_key(|(t, _)| *t);
    histograms.retain(|(t, _)| floats.binary_search_by_key(t, |(t, _)| *t).is_err());
    (out.t_ms, out.v) = floats.into_iter().unzip();
    (out.hist_t_ms, out.hist) = histograms.into_iter().unzip();
    out
}

/// One server for one range.
struct Part {
    remote: Arc<Remote>,
    start_ms: i64,
    end_ms: i64,
}

impl Queryable for Part {
    fn querier(&self, _: i64, _: i64) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(Part { remote: Arc::clone(&self.remote), ..*self }))
    }
}

impl Querier for Part {
    fn select(&self, _sorted: bool, hints: &SelectHints, matchers: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        let mut out = MemorySelection::default();
        if !self.remote.is_wanted(matchers) {
            return Ok(Arc::new(out));
        }
        let (question, added) = self.remote.question(matchers);
        let names: Vec<&str> = added.iter().map(String::as_str).collect();
        let found = self.remote.read(self.start_ms, self.end_ms, hints, &question).map_err(ReadError::Other)?;
        // Without the added labels two series may be one.
        let mut merged: BTreeMap<Labels, Vec<SeriesData>> = BTreeMap::new();
        for (labels, columns) in found {
            merged.entry(labels.without(&names)).or_default().extend(columns);
        }
        for (labels, mut columns) in merged {
            let in_order = columns.iter().all(|d| d.hist_t_ms.is_empty() && d.t_ms.is_sorted());
            let data = if columns.len() == 1 && in_order { columns.remove(0) } else { in_one(&columns) };
            out.series.push((labels, data));
        }
        Ok(Arc::new(out))
    }

    /// The protocol has no such question.
    fn label_values(&self, _: &str, _: LabelHints, _: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        Err(ReadError::Other("not implemented".to_string()))
    }

    fn label_names(&self, _: LabelHints, _: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        Err(ReadError::Other("not implemented".to_string()))
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
