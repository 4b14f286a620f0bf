//! Remote read: answers the requests of others over a storage. No HTTP in here: headers and bytes out, for a server to send.
//!
//! Both kinds of answer are given: all samples in one message, or a stream of frames with stored chunks, made frame by frame so that a large
//! answer is never in memory as a whole. External labels are left out of the question and put into the answer, as Prometheus does.

pub mod client;
mod gate;

use crate::wire::WireError;
use crate::wire::body::{Compressor, ContentEncoding, MAX_DECODED_BYTES, decompress};
use crate::wire::read::{
    ReadQuery, ReadRequest, ResponseType, SAMPLES_CONTENT_TYPE, STREAMED_CONTENT_TYPE, put_frame, put_result, put_result_series,
};
use gate::{Gate, Permit};
use model::labels::push_pair;
use model::{Labels, LabelsRef, MatchOp, Matcher};
use std::collections::VecDeque;
use std::sync::Arc;
use stdx::metrics::{Gauge, Registry};
use storage::{EncodedChunk, Queryable, ReadError, SelectHints, Selection, SeriesData};

#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// `--storage.remote.read-sample-limit`: samples in one answer that is not streamed; 0 for no limit.
    pub sample_limit: usize,
    /// `--storage.remote.read-concurrent-limit`: requests that are worked on at the same time; others wait. 0 for no limit.
    pub concurrent_limit: usize,
    /// `--storage.remote.read-max-bytes-in-frame`.
    pub max_bytes_in_frame: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions { sample_limit: 50_000_000, concurrent_limit: 10, max_bytes_in_frame: 1 << 20 }
    }
}

/// What a server sends back.
pub struct ReadAnswer {
    pub status: u16,
    /// Name and value.
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: ReadBody,
}

pub enum ReadBody {
    Whole(Vec<u8>),
    /// Pull until None. Reads from the disk: pull on a thread that may block. An error ends it: cut the connection.
    Frames(Box<Frames>),
}

pub struct ReadHandler {
    queryable: Arc<dyn Queryable>,
    options: ReadOptions,
    gate: Arc<Gate>,
    queries: Gauge,
}

/// Why a request is not answered.
enum Refusal {
    Bad(String),
    Failed(ReadError),
}

impl From<WireError> for Refusal {
    fn from(e: WireError) -> Self {
        Refusal::Bad(e.to_string())
    }
}

impl From<ReadError> for Refusal {
    fn from(e: ReadError) -> Self {
        Refusal::Failed(e)
    }
}

impl ReadHandler {
    pub fn new(queryable: Arc<dyn Queryable>, options: ReadOptions, registry: &Registry) -> Self {
        let queries = registry.gauge(
            "prometheus_remote_read_handler_queries",
            "The current number of remote read queries that are either in execution or queued on the handler.",
        );
        ReadHandler { queryable, gate: Gate::new(options.concurrent_limit), options, queries }
    }

    /// Answers one POST. `external` are the labels of this server as configured now. Blocks: on the disk, and when too many are at it.
    pub fn handle(&self, body: &[u8], external: &Labels) -> ReadAnswer {
        let permit = self.gate.enter(self.queries.clone());
        match self.answer(body, external, permit) {
            Ok(answer) => answer,
            Err(Refusal::Bad(text)) => text_answer(400, &text),
            Err(Refusal::Failed(e)) => {
                tracing::error!(err = %e, "remote read request failed");
                text_answer(500, &e.to_string())
            }
        }
    }

    fn answer(&self, body: &[u8], external: &Labels, permit: Permit) -> Result<ReadAnswer, Refusal> {
        let mut buffer = Vec::new();
        let request = ReadRequest::decode(decompress(ContentEncoding::Snappy, body, MAX_DECODED_BYTES, &mut buffer)?)?;
        let wanted = match request.accepted.as_slice() {
            [] => ResponseType::Samples,
            list => *list.iter().find(|t| !matches!(t, ResponseType::Other(_))).ok_or_else(|| {
                Refusal::Bad(format!(
                    "server does not support any of the requested response types: {list:?}; supported: SAMPLES, STREAMED_XOR_CHUNKS"
                ))
            })?,
        };
        if wanted == ResponseType::StreamedXorChunks {
            let frames = Frames {
                queryable: Arc::clone(&self.queryable),
                external: external.clone(),
                max_bytes_in_frame: self.options.max_bytes_in_frame,
                queries: request.queries.into_iter().enumerate().collect(),
                current: None,
                _permit: permit,
            };
            return Ok(ReadAnswer { status: 200, headers: vec![("Content-Type", STREAMED_CONTENT_TYPE)], body: ReadBody::Frames(Box::new(frames)) });
        }
        let mut response = Vec::new();
        let mut left = if self.options.sample_limit == 0 { usize::MAX } else { self.options.sample_limit };
        for query in &request.queries {
            let result = self.result(query, external, &mut left)?;
            put_result(&mut response, &result);
        }
        let mut packed = Vec::new();
        Compressor::new().compress(ContentEncoding::Snappy, &response, &mut packed)?;
        let headers = vec![("Content-Type", SAMPLES_CONTENT_TYPE), ("Content-Encoding", "snappy")];
        Ok(ReadAnswer { status: 200, headers, body: ReadBody::Whole(packed) })
    }

    fn result(&self, query: &ReadQuery, external: &Labels, left: &mut usize) -> Result<Vec<u8>, Refusal> {
        let selection = select(self.queryable.as_ref(), query, external, false)?;
        let (mut result, mut data, mut labels) = (Vec::new(), SeriesData::default(), Vec::new());
        for i in 0..selection.len() {
            data.clear();
            selection.read(i, query.start_ms, query.end_ms, &mut data)?;
            if data.is_empty() {
                continue;
            }
            *left = left.checked_sub(data.len()).ok_or_else(|| Refusal::Bad(format!("exceeded sample limit ({})", self.options.sample_limit)))?;
            with_external(&selection.labels(i), external, &mut labels);
            put_result_series(&mut result, LabelsRef::from_encoded(&labels), &data);
        }
        Ok(result)
    }
}

fn text_answer(status: u16, text: &str) -> ReadAnswer {
    let headers = vec![("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")];
    ReadAnswer { status, headers, body: ReadBody::Whole(format!("{text}\n").into_bytes()) }
}

fn select(queryable: &dyn Queryable, query: &ReadQuery, external: &Labels, sorted: bool) -> Result<Arc<dyn Selection>, ReadError> {
    let matchers: Vec<Matcher> = query.matchers.iter().map(|m| without_external(m, external)).collect();
    let hints = query.hints.clone().unwrap_or(SelectHints { start_ms: query.start_ms, end_ms: query.end_ms, ..SelectHints::default() });
    let selection = queryable.querier(query.start_ms, query.end_ms)?.select(sorted, &hints, &matchers)?;
    for warning in selection.warnings() {
        tracing::warn!(err = %warning, "warning of a remote read query");
    }
    Ok(selection)
}

/// Who asks for a label that this server puts onto everything means series that do not have it themselves.
fn without_external(m: &Matcher, external: &Labels) -> Matcher {
    if m.op == MatchOp::Equal && external.value(&m.name) == m.value { Matcher::equal(m.name.clone(), "") } else { m.clone() }
}

/// The labels of a series with the external ones it does not have, in the layout of [`Labels`].
fn with_external(labels: &Labels, external: &Labels, out: &mut Vec<u8>) {
    out.clear();
    let mut added = external.iter().filter(|(n, _)| !labels.has(n)).peekable();
    for (name, value) in labels.iter() {
        while let Some((n, v)) = added.next_if(|(n, _)| *n < name) {
            push_pair(out, n, v);
        }
        push_pair(out, name, value);
    }
    added.for_each(|(n, v)| push_pair(out, n, v));
}

/// The frames of a streamed answer, made as they are asked for.
pub struct Frames {
    queryable: Arc<dyn Queryable>,
    external: Labels,
    max_bytes_in_frame: usize,
    queries: VecDeque<(usize, ReadQuery)>,
    current: Option<Current>,
    _permit: Permit,
}

/// The query that is being answered.
struct Current {
    index: usize,
    query: ReadQuery,
    selection: Arc<dyn Selection>,
    next: usize,
    /// What is left of the series at hand.
    labels: Vec<u8>,
    chunks: VecDeque<EncodedChunk>,
}

impl Frames {
    /// One or more series' worth of frames never come together: each frame is of one series, a long series takes several.
    fn next_frame(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        loop {
            let current = match &mut self.current {
                Some(c) => c,
                none => {
                    let Some((index, query)) = self.queries.pop_front() else { return Ok(None) };
                    let selection = select(self.queryable.as_ref(), &query, &self.external, true)?;
                    none.insert(Current { index, query, selection, next: 0, labels: Vec::new(), chunks: VecDeque::new() })
                }
            };
            if !current.chunks.is_empty() {
                return Ok(Some(current.frame(self.max_bytes_in_frame)));
            }
            if current.next == current.selection.len() {
                self.current = None;
                continue;
            }
            let i = current.next;
            current.next += 1;
            let chunks = &mut current.chunks;
            current.selection.chunks(i, current.query.start_ms, current.query.end_ms, &mut |c| chunks.push_back(c))?;
            if !current.chunks.is_empty() {
                with_external(&current.selection.labels(i), &self.external, &mut current.labels);
            }
        }
    }
}

impl Current {
    /// As many chunks as fit; at least one.
    fn frame(&mut self, max_bytes: usize) -> Vec<u8> {
        let mut size = self.labels.len();
        let mut fit = 0;
        for c in &self.chunks {
            if fit > 0 && size >= max_bytes {
                break;
            }
            size += c.bytes.len() + 24;
            fit += 1;
        }
        let chunks: Vec<EncodedChunk> = self.chunks.drain(..fit).collect();
        let mut out = Vec::with_capacity(size + 64);
        put_frame(&mut out, self.index as i64, LabelsRef::from_encoded(&self.labels), &chunks);
        out
    }
}

impl Iterator for Frames {
    type Item = Result<Vec<u8>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_frame().transpose();
        if matches!(next, Some(Err(_))) {
            (self.current, self.queries) = (None, VecDeque::new());
        }
        next
    }
}

#[cfg(test)]
mod tests;
