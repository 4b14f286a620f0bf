//! OpenTelemetry's metrics in: one request's headers and body in, one answer out. Protocol buffers or JSON over HTTP, plain or gzip.
//!
//! What becomes of names, resources and histograms follows Prometheus' OTLP receiver, as its users' queries rely on it. Different from it: each
//! point is judged by itself, late points are taken, and success is said when all is as durable as the storage's sync policy says. Delta
//! temporality is refused by name unless a feature says what to do with it; see [`Delta`].

mod convert;
mod decode;
mod delta;
mod histogram;
mod json;
mod names;

pub use delta::Delta;
pub use names::Translation;

use crate::receive::{Answer, InFlight, RETRY_LATER_SECONDS, Refusals, reason};
use convert::{Converter, Out, SeriesName, Stop};
use flate2::read::MultiGzDecoder;
use model::{Exemplar, Histogram};
use std::io::Read;
use std::sync::Arc;
use stdx::clock::SharedClock;
use stdx::metrics::{Counter, CounterVec, Registry};
use storage::{AppendError, AppendOptions, Appender, CommitError, HistogramSample, MergeStore, SeriesRef, Wait};

/// The largest decoded body.
pub const MAX_DECODED_BYTES: usize = 32 << 20;
const MEDIA_TYPE: &str = "application/x-protobuf";
const JSON_MEDIA_TYPE: &str = "application/json";
/// What a body takes beyond its size while it is read: lists of its parts, and in JSON a tree of values.
const WORK_RATIO: usize = 2;
const JSON_WORK_RATIO: usize = 16;
/// What is set aside for a packed body before it is known how large it is, in times of its size; and the steps in which it may turn out larger.
const GZIP_RATIO_GUESS: usize = 8;
const GROWTH_BYTES: usize = 1 << 20;
/// Points further in the future than this are refused.
const MAX_AHEAD_MS: i64 = 600_000;

/// The `otlp` section of the configuration, and what features add.
#[derive(Clone, Debug, Default)]
pub struct OtlpOptions {
    pub translation: Translation,
    pub promote_all_resource_attributes: bool,
    pub promote_resource_attributes: Vec<String>,
    pub ignore_resource_attributes: Vec<String>,
    pub keep_identifying_resource_attributes: bool,
    pub convert_histograms_to_nhcb: bool,
    pub promote_scope_metadata: bool,
    pub label_name_underscore_sanitization: bool,
    pub label_name_preserve_multiple_underscores: bool,
    /// Whether start times become zero samples (`created-timestamp-zero-ingestion`).
    pub start_zeros: bool,
    pub delta: Delta,
}

pub struct OtlpReceiver {
    store: Arc<dyn MergeStore>,
    clock: SharedClock,
    without_metadata: Counter,
    out_of_order_exemplars: Counter,
    samples: Counter,
    refused: Counter,
    requests: CounterVec,
    rejected: CounterVec,
    in_flight: Arc<InFlight>,
    totals: delta::Totals,
}

impl OtlpReceiver {
    /// `in_flight` is shared with remote write.
    pub fn new(store: Arc<dyn MergeStore>, registry: &Registry, clock: SharedClock, in_flight: Arc<InFlight>) -> Self {
        OtlpReceiver {
            store,
            clock,
            without_metadata: registry.counter(
                "prometheus_api_otlp_appended_samples_without_metadata_total",
                "The total number of samples ingested from OTLP without corresponding metadata.",
            ),
            out_of_order_exemplars: registry.counter(
                "prometheus_api_otlp_out_of_order_exemplars_total",
                "The total number of received OTLP exemplars which were rejected because they were out of order.",
            ),
            samples: registry.counter("narthex_otlp_samples_total", "Samples of OTLP requests that were taken."),
            refused: registry.counter("narthex_otlp_refused_samples_total", "Samples and points of OTLP requests that were refused."),
            requests: registry.counter_vec("narthex_otlp_requests_total", "OTLP requests by status code.", &["code"]),
            rejected: registry.counter_vec(
                "narthex_otlp_rejected_requests_total",
                "OTLP requests of which nothing was taken because they could not be read, by reason.",
                &["reason"],
            ),
            in_flight,
            totals: delta::Totals::new(registry),
        }
    }

    /// Answers one POST by the options as configured now. Blocks on the disk: call it from a thread that may.
    pub fn handle(&self, content_type: &str, content_encoding: &str, body: &[u8], options: &OtlpOptions) -> Answer {
        let answer = self.answer(content_type, content_encoding, body, options);
        self.requests.with(&[&answer.status.to_string()]).inc();
        answer
    }

    fn turned_away(&self, reason: &str, status: u16, text: &str) -> Answer {
        self.rejected.with(&[reason]).inc();
        Answer::new(status, text)
    }

    fn answer(&self, content_type: &str, content_encoding: &str, body: &[u8], options: &OtlpOptions) -> Answer {
        let media = content_type.split(';').next().unwrap_or("").trim();
        let json = media.eq_ignore_ascii_case(JSON_MEDIA_TYPE);
        if !json && !media.eq_ignore_ascii_case(MEDIA_TYPE) {
            let text = format!("unsupported content type: {content_type}, supported: [{JSON_MEDIA_TYPE}, {MEDIA_TYPE}]");
            return self.turned_away("content_type", 415, &text);
        }
        let ratio = if json { JSON_WORK_RATIO } else { WORK_RATIO };
        let packed = match content_encoding.trim() {
            "" | "identity" => false,
            "gzip" => true,
            other => {
                let text = format!("unsupported compression: {other}. Only \"gzip\" or no compression supported");
                return self.turned_away("content_encoding", 415, &text);
            }
        };
        let mut room = if packed { body.len().saturating_mul(GZIP_RATIO_GUESS).min(MAX_DECODED_BYTES) } else { body.len() };
        let Some(mut reserved) = self.in_flight.reserve(room.saturating_mul(ratio)) else { return self.in_flight.refusal() };
        let mut unpacked = Vec::new();
        if packed {
            let mut decoder = MultiGzDecoder::new(body);
            loop {
                if let Err(e) = (&mut decoder).take((room - unpacked.len()) as u64).read_to_end(&mut unpacked) {
                    return self.turned_away("compression", 400, &format!("decompress body: {e}"));
                }
                let more = GROWTH_BYTES.max(room / 2).min(MAX_DECODED_BYTES + 1 - room);
                if unpacked.len() < room || more == 0 {
                    break;
                }
                if !reserved.grow(more.saturating_mul(ratio)) {
                    return self.in_flight.refusal();
                }
                room += more;
            }
        }
        let body = if packed { unpacked.as_slice() } else { body };
        if body.len() > MAX_DECODED_BYTES {
            return self.turned_away("too_large", 413, &format!("decoded body is larger than {MAX_DECODED_BYTES} bytes"));
        }
        if json {
            return match json::to_protobuf(body) {
                Ok(body) => self.store_body(&body, options),
                Err(why) => self.turned_away("malformed", 400, &why),
            };
        }
        self.store_body(body, options)
    }

    fn store_body(&self, body: &[u8], options: &OtlpOptions) -> Answer {
        let app = self.store.appender(AppendOptions::receive());
        let now_ms = self.clock.now_ms();
        let latest_ms = now_ms.saturating_add(MAX_AHEAD_MS);
        let mut sink = Sink { app, receiver: self, latest_ms, start_zeros: options.start_zeros, taken: 0, refusals: Refusals::default() };
        let walked = Converter::new(options, &mut sink, &self.totals, now_ms).request(body);
        let Sink { app, taken, refusals, .. } = sink;
        match walked {
            Err(Stop::Wire(e)) => {
                app.rollback();
                return self.turned_away("malformed", 400, &e.to_string());
            }
            Err(Stop::Unavailable(why)) => {
                app.rollback();
                return Answer::retry(503, &why, RETRY_LATER_SECONDS);
            }
            Ok(()) => {}
        }
        if let Err(e) = app.commit(Wait::Durable) {
            tracing::error!(err = %e, "otlp request could not be committed");
            let status = if matches!(e, CommitError::Unavailable(_)) { 503 } else { 500 };
            return Answer::retry(status, &e.to_string(), RETRY_LATER_SECONDS);
        }
        self.samples.add(taken);
        self.refused.add(refusals.samples);
        if refusals.is_empty() {
            return Answer::new(200, "");
        }
        tracing::warn!(err = %refusals.text(), "refused points of an otlp request");
        Answer::new(400, &refusals.text())
    }
}

/// Series into the storage.
struct Sink<'s> {
    app: Box<dyn Appender + 's>,
    receiver: &'s OtlpReceiver,
    latest_ms: i64,
    start_zeros: bool,
    taken: u64,
    refusals: Refusals,
}

impl Sink<'_> {
    /// Finds the series; None when it is refused.
    fn series(&mut self, s: &SeriesName<'_>) -> Result<Option<SeriesRef>, String> {
        match self.app.series(s.labels.as_ref()) {
            Ok(id) => Ok(Some(id)),
            Err(AppendError::Unavailable(why)) => Err(why),
            Err(e) => {
                self.refusals.add(reason(&e), 1, || format!("{e} for series {}", s.labels));
                Ok(None)
            }
        }
    }

    fn done(&mut self, s: &SeriesName<'_>, id: SeriesRef, result: Result<(), AppendError>, exemplars: &[Exemplar]) -> Result<(), String> {
        match result {
            Ok(()) | Err(AppendError::DuplicateTimestamp) => self.taken += 1,
            Err(AppendError::Unavailable(why)) => return Err(why),
            Err(e) => {
                self.refusals.add(reason(&e), 1, || format!("{e} for series {}", s.labels));
                return Ok(());
            }
        }
        for e in exemplars {
            if self.app.append_exemplar(id, e) == Err(AppendError::OutOfOrderExemplar) {
                self.receiver.out_of_order_exemplars.inc();
            }
        }
        let m = s.metadata;
        if m.kind == model::MetricType::Unknown && m.help.is_empty() && m.unit.is_empty() {
            self.receiver.without_metadata.inc();
        } else {
            // Metadata is beside the point: what is wrong with it refuses no sample.
            let _ = self.app.update_metadata(id, m);
        }
        Ok(())
    }

    fn start_zero(&mut self, id: SeriesRef, start_ms: i64, t_ms: i64, histogram: bool) {
        if self.start_zeros && start_ms != 0 && t_ms != 0 {
            // One that comes too late for its place is no news to anybody.
            let _ = self.app.append_start_zero(id, t_ms, start_ms, histogram);
        }
    }
}

impl Out for Sink<'_> {
    fn float(&mut self, s: &SeriesName<'_>, start_ms: i64, t_ms: i64, v: f64, exemplars: &[Exemplar]) -> Result<(), String> {
        let Some(id) = self.series(s)? else { return Ok(()) };
        self.start_zero(id, start_ms, t_ms, false);
        let result = if t_ms > self.latest_ms { Err(AppendError::OutOfBounds) } else { self.app.append(id, t_ms, v) };
        self.done(s, id, result, exemplars)
    }

    fn histogram(&mut self, s: &SeriesName<'_>, start_ms: i64, t_ms: i64, h: &Histogram, exemplars: &[Exemplar]) -> Result<(), String> {
        let Some(id) = self.series(s)? else { return Ok(()) };
        self.start_zero(id, start_ms, t_ms, true);
        let late = t_ms > self.latest_ms;
        let result = if late { Err(AppendError::OutOfBounds) } else { self.app.append_histogram(id, t_ms, HistogramSample::Int(h)) };
        self.done(s, id, result, exemplars)
    }

    fn refuse(&mut self, points: u64, why: String) {
        self.refusals.add("translation", points, || why);
    }
}

#[cfg(test)]
mod tests;
