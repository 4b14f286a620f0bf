//! Remote read: requests, answers with samples, and streamed answers with chunks, in both directions.

use super::proto::{self, Fields, put_len_key, put_str_field, put_varint_field};
use super::{FloatSample, HistogramAt, WireError, histogram, write1};
use model::{LabelsRef, MatchOp, Matcher};
use stdx::varint::{put_uvarint, uvarint};
use storage::{ChunkEncoding, EncodedChunk, HistogramSample, SelectHints, SeriesData};

pub const SAMPLES_CONTENT_TYPE: &str = "application/x-protobuf";
pub const STREAMED_CONTENT_TYPE: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
/// At most so many matchers may a query have.
pub const MAX_MATCHERS: usize = 1000;
/// At most so many queries may a request have.
pub const MAX_QUERIES: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseType {
    Samples,
    StreamedXorChunks,
    /// One that is not known here.
    Other(u64),
}

#[derive(Clone, Debug, Default)]
pub struct ReadRequest {
    pub queries: Vec<ReadQuery>,
    /// In order of preference; empty means samples.
    pub accepted: Vec<ResponseType>,
}

#[derive(Clone, Debug, Default)]
pub struct ReadQuery {
    /// Both included.
    pub start_ms: i64,
    pub end_ms: i64,
    pub matchers: Vec<Matcher>,
    pub hints: Option<SelectHints>,
}

impl ReadRequest {
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut request = ReadRequest::default();
        let mut fields = Fields::new(body);
        while let Some((number, value)) = fields.next_field().map_err(|e| e.at("read request", 0))? {
            let n = request.queries.len();
            match number {
                1 if n == MAX_QUERIES => return Err(WireError::malformed("too many queries").at("read request", 0)),
                1 => request.queries.push(value.bytes().and_then(ReadQuery::decode).map_err(|e| e.at("query", n))?),
                2 => proto::each_varint(value, |v| {
                    request.accepted.push(match v {
                        0 => ResponseType::Samples,
                        1 => ResponseType::StreamedXorChunks,
                        other => ResponseType::Other(other),
                    });
                })
                .map_err(|e| e.at("read request", 0))?,
                _ => {}
            }
        }
        Ok(request)
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        for q in &self.queries {
            proto::put_message_field(out, 1, |out| q.encode(out));
        }
        if !self.accepted.is_empty() {
            proto::put_message_field(out, 2, |out| {
                for a in &self.accepted {
                    let number = match a {
                        ResponseType::Samples => 0,
                        ResponseType::StreamedXorChunks => 1,
                        ResponseType::Other(n) => *n,
                    };
                    put_uvarint(out, number);
                }
            });
        }
    }
}

impl ReadQuery {
    fn decode(message: &[u8]) -> Result<Self, WireError> {
        let mut q = ReadQuery::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next_field()? {
            match number {
                1 => q.start_ms = value.int64()?,
                2 => q.end_ms = value.int64()?,
                3 if q.matchers.len() == MAX_MATCHERS => return Err(WireError::malformed("too many matchers")),
                3 => q.matchers.push(decode_matcher(value.bytes()?)?),
                4 => q.hints = Some(decode_hints(value.bytes()?)?),
                _ => {}
            }
        }
        Ok(q)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_varint_field(out, 1, self.start_ms as u64);
        put_varint_field(out, 2, self.end_ms as u64);
        for m in &self.matchers {
            proto::put_message_field(out, 3, |out| {
                let op = match m.op {
                    MatchOp::Equal => 0,
                    MatchOp::NotEqual => 1,
                    MatchOp::Regex => 2,
                    MatchOp::NotRegex => 3,
                };
                put_varint_field(out, 1, op);
                put_str_field(out, 2, &m.name);
                put_str_field(out, 3, &m.value);
            });
        }
        if let Some(h) = &self.hints {
            proto::put_message_field(out, 4, |out| {
                put_varint_field(out, 1, h.step_ms as u64);
                put_str_field(out, 2, &h.func);
                put_varint_field(out, 3, h.start_ms as u64);
                put_varint_field(out, 4, h.end_ms as u64);
                put_varint_field(out, 7, h.range_ms as u64);
            });
        }
    }
}

fn decode_matcher(message: &[u8]) -> Result<Matcher, WireError> {
    let (mut op, mut name, mut text) = (0, "", "");
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => op = value.varint()?,
            2 => name = value.string()?,
            3 => text = value.string()?,
            _ => {}
        }
    }
    let op = match op {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regex,
        3 => MatchOp::NotRegex,
        _ => return Err(WireError::Matcher("invalid matcher type".to_string())),
    };
    Matcher::new(op, name, text).map_err(|e| WireError::Matcher(e.to_string()))
}

fn decode_hints(message: &[u8]) -> Result<SelectHints, WireError> {
    let mut h = SelectHints::default();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => h.step_ms = value.int64()?,
            2 => h.func = value.string()?.to_string(),
            3 => h.start_ms = value.int64()?,
            4 => h.end_ms = value.int64()?,
            7 => h.range_ms = value.int64()?,
            _ => {}
        }
    }
    Ok(h)
}

/// Adds one series to a query's result (the content of a `QueryResult`).
pub fn put_result_series(result: &mut Vec<u8>, labels: LabelsRef<'_>, data: &SeriesData) {
    proto::put_message_field(result, 1, |out| {
        write1::put_labels(out, labels);
        for (t_ms, v) in data.t_ms.iter().zip(&data.v) {
            write1::put_sample(out, 2, &FloatSample { t_ms: *t_ms, v: *v, start_ms: 0 });
        }
        for (t_ms, h) in data.hist_t_ms.iter().zip(&data.hist) {
            let at = HistogramAt { t_ms: *t_ms, start_ms: 0, h: HistogramSample::Float(h) };
            proto::put_message_field(out, 4, |out| histogram::encode(out, &at, false));
        }
    });
}

/// Adds the finished result of one query to a `ReadResponse`.
pub fn put_result(response: &mut Vec<u8>, result: &[u8]) {
    proto::put_bytes_field(response, 1, result);
}

/// The results of a `ReadResponse`, each the body of a `QueryResult`. A `QueryResult` is laid out as a 1.0 write request, so
/// [`super::decode::WriteDecoder`] reads its series.
pub fn results(response: &[u8]) -> Result<Vec<&[u8]>, WireError> {
    let mut out = Vec::new();
    let mut fields = Fields::new(response);
    while let Some((number, value)) = fields.next_field().map_err(|e| e.at("read response", 0))? {
        if number == 1 {
            out.push(value.bytes().map_err(|e| e.at("query result", out.len()))?);
        }
    }
    Ok(out)
}

/// The series of one frame of a streamed answer.
#[derive(Clone, Debug, Default)]
pub struct ChunkedSeries {
    /// As they came, sorted by name by contract.
    pub labels: Vec<(String, String)>,
    pub chunks: Vec<EncodedChunk>,
    pub query_index: i64,
}

/// Appends one frame with one series: length, checksum, `ChunkedReadResponse`.
pub fn put_frame(out: &mut Vec<u8>, query_index: i64, labels: LabelsRef<'_>, chunks: &[EncodedChunk]) {
    let mut message = Vec::with_capacity(256 + chunks.iter().map(|c| c.bytes.len() + 32).sum::<usize>());
    proto::put_message_field(&mut message, 1, |out| {
        write1::put_labels(out, labels);
        for c in chunks {
            let data = proto::len_field_len(4, c.bytes.len());
            let len = proto::varint_field_len(1, c.mint_ms as u64)
                + proto::varint_field_len(2, c.maxt_ms as u64)
                + proto::varint_field_len(3, c.encoding as u64);
            put_len_key(out, 2, len + data);
            put_varint_field(out, 1, c.mint_ms as u64);
            put_varint_field(out, 2, c.maxt_ms as u64);
            put_varint_field(out, 3, c.encoding as u64);
            proto::put_bytes_field(out, 4, &c.bytes);
        }
    });
    put_varint_field(&mut message, 2, query_index as u64);
    put_uvarint(out, message.len() as u64);
    out.extend_from_slice(&stdx::crc::crc32c(&message).to_be_bytes());
    out.extend_from_slice(&message);
}

/// Takes one frame off the front of `stream`, checking its checksum. None when it is not complete yet.
pub fn take_frame<'a>(stream: &mut &'a [u8], limit_bytes: usize) -> Result<Option<&'a [u8]>, WireError> {
    let Some((len, n)) = uvarint(stream) else {
        return if stream.len() < stdx::varint::MAX_LEN { Ok(None) } else { Err(WireError::malformed("frame length is damaged").at("frame", 0)) };
    };
    if len > limit_bytes as u64 {
        return Err(WireError::TooLarge { limit_bytes });
    }
    let (start, len) = (n + 4, len as usize);
    let Some(message) = stream.get(start..start + len) else { return Ok(None) };
    if stdx::crc::crc32c(message).to_be_bytes() != stream[n..start] {
        return Err(WireError::Checksum);
    }
    *stream = &stream[start + len..];
    Ok(Some(message))
}

/// Decodes the message of a frame: the series in it.
pub fn decode_frame(message: &[u8]) -> Result<Vec<ChunkedSeries>, WireError> {
    let mut out = Vec::new();
    let mut query_index = 0;
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => out.push(decode_chunked_series(value.bytes()?).map_err(|e| e.at("chunked series", out.len()))?),
            2 => query_index = value.int64()?,
            _ => {}
        }
    }
    out.iter_mut().for_each(|s: &mut ChunkedSeries| s.query_index = query_index);
    Ok(out)
}

fn decode_chunked_series(message: &[u8]) -> Result<ChunkedSeries, WireError> {
    let mut series = ChunkedSeries::default();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => {
                let (mut name, mut text) = ("", "");
                let mut label = Fields::new(value.bytes()?);
                while let Some((number, value)) = label.next_field()? {
                    match number {
                        1 => name = value.string()?,
                        2 => text = value.string()?,
                        _ => {}
                    }
                }
                series.labels.push((name.to_string(), text.to_string()));
            }
            2 => series.chunks.push(decode_chunk(value.bytes()?)?),
            _ => {}
        }
    }
    Ok(series)
}

fn decode_chunk(message: &[u8]) -> Result<EncodedChunk, WireError> {
    let (mut mint_ms, mut maxt_ms, mut encoding, mut data): (i64, i64, u64, &[u8]) = (0, 0, 0, b"");
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => mint_ms = value.int64()?,
            2 => maxt_ms = value.int64()?,
            3 => encoding = value.varint()?,
            4 => data = value.bytes()?,
            _ => {}
        }
    }
    let encoding = match encoding {
        1 => ChunkEncoding::Xor,
        2 => ChunkEncoding::Histogram,
        3 => ChunkEncoding::FloatHistogram,
        4 => ChunkEncoding::Xor2,
        5 => ChunkEncoding::HistogramSt,
        6 => ChunkEncoding::FloatHistogramSt,
        _ => return Err(WireError::malformed("unknown chunk encoding")),
    };
    Ok(EncodedChunk { mint_ms, maxt_ms, encoding, bytes: data.into() })
}
