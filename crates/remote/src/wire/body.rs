//! Content encodings of request bodies. The decoded size is bounded: a small body cannot ask for much memory.

use super::WireError;
use std::io::Read;

/// Default for the largest decoded body, and the largest that Prometheus takes.
pub const MAX_DECODED_BYTES: usize = 32 << 20;
/// A zstd frame may ask for a window of at most 2 to this power bytes.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;
/// Fast, and still clearly smaller than snappy.
const ZSTD_LEVEL: i32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentEncoding {
    Identity,
    /// The block format, as remote write means it.
    Snappy,
    Zstd,
}

impl ContentEncoding {
    /// From the header's value; None for one that is not known here.
    pub fn parse(header: &str) -> Option<Self> {
        match header.trim() {
            h if h.is_empty() || h.eq_ignore_ascii_case("identity") => Some(ContentEncoding::Identity),
            h if h.eq_ignore_ascii_case("snappy") => Some(ContentEncoding::Snappy),
            h if h.eq_ignore_ascii_case("zstd") => Some(ContentEncoding::Zstd),
            _ => None,
        }
    }

    pub fn header_value(self) -> &'static str {
        match self {
            ContentEncoding::Identity => "identity",
            ContentEncoding::Snappy => "snappy",
            ContentEncoding::Zstd => "zstd",
        }
    }
}

/// No snappy block unpacks to more than this many times its size: three bytes can stand for 64.
const SNAPPY_RATIO_MAX: usize = 22;
/// What is set aside for a zstd body that does not say how large it is, in times of its size.
const ZSTD_RATIO_GUESS: usize = 16;
/// The steps in which a body that turns out larger may grow.
const GROWTH_BYTES: usize = 1 << 20;

/// How much memory the decoded body will take: what it says of itself, or a guess. What is known to be too large, or cannot be true, is refused.
pub fn expected_len(encoding: ContentEncoding, body: &[u8], limit_bytes: usize) -> Result<usize, WireError> {
    let len = match encoding {
        ContentEncoding::Identity => return Ok(0),
        ContentEncoding::Snappy => {
            let len = snap::raw::decompress_len(body).map_err(|e| WireError::Compression(e.to_string()))?;
            if len <= limit_bytes && len > body.len().saturating_mul(SNAPPY_RATIO_MAX) {
                return Err(WireError::Compression(format!("snappy: {} bytes cannot unpack to {len}, as they say", body.len())));
            }
            len
        }
        ContentEncoding::Zstd => match zstd::zstd_safe::get_frame_content_size(body) {
            Ok(Some(len)) => usize::try_from(len).unwrap_or(usize::MAX),
            Ok(None) => return Ok(body.len().saturating_mul(ZSTD_RATIO_GUESS).min(limit_bytes) + (1 << zstd_window_log(body))),
            Err(_) => return Err(WireError::Compression("zstd: not a frame".to_string())),
        },
    };
    if len > limit_bytes { Err(WireError::TooLarge { limit_bytes }) } else { Ok(len) }
}

/// The window that a frame asks for, as a power of 2, rounded up; it is memory as well.
fn zstd_window_log(frame: &[u8]) -> u32 {
    let single_segment = frame.get(4).is_some_and(|descriptor| descriptor & 0x20 != 0);
    match frame.get(5) {
        Some(window) if !single_segment => (10 + u32::from(window >> 3) + u32::from(window & 7 != 0)).min(ZSTD_WINDOW_LOG_MAX),
        _ => ZSTD_WINDOW_LOG_MAX,
    }
}

/// [`decompress_within`] for those who need not ask for memory.
pub fn decompress<'a>(encoding: ContentEncoding, body: &'a [u8], limit_bytes: usize, buffer: &'a mut Vec<u8>) -> Result<&'a [u8], WireError> {
    decompress_within(encoding, body, limit_bytes, buffer, &mut |_| true)
}

/// Decodes a body. `buffer` is reused memory; what is returned borrows from it or from the body itself. `may_grow` is asked before more memory is taken than
/// [`expected_len`] says.
pub fn decompress_within<'a>(
    encoding: ContentEncoding,
    body: &'a [u8],
    limit_bytes: usize,
    buffer: &'a mut Vec<u8>,
    may_grow: &mut dyn FnMut(usize) -> bool,
) -> Result<&'a [u8], WireError> {
    let expected = expected_len(encoding, body, limit_bytes)?;
    match encoding {
        ContentEncoding::Identity if body.len() > limit_bytes => Err(WireError::TooLarge { limit_bytes }),
        ContentEncoding::Identity => Ok(body),
        ContentEncoding::Snappy => {
            // Only what is missing is zeroed: the old content of a reused buffer is overwritten anyway.
            if buffer.len() < expected {
                buffer.resize(expected, 0);
            }
            let n = snap::raw::Decoder::new().decompress(body, &mut buffer[..expected]).map_err(|e| WireError::Compression(e.to_string()))?;
            Ok(&buffer[..n])
        }
        ContentEncoding::Zstd => {
            let failed = |e: std::io::Error| WireError::Compression(e.to_string());
            buffer.clear();
            let says = zstd::zstd_safe::get_frame_content_size(body).ok().flatten().is_some();
            if says && zstd::zstd_safe::find_frame_compressed_size(body) == Ok(body.len()) {
                buffer.reserve_exact(expected);
                zstd::bulk::Decompressor::new().and_then(|mut d| d.decompress_to_buffer(body, buffer)).map_err(failed)?;
                return Ok(buffer);
            }
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(failed)?;
            let window_log = if says { ZSTD_WINDOW_LOG_MAX } else { zstd_window_log(body) };
            decoder.window_log_max(window_log).map_err(failed)?;
            let mut room = if says { expected } else { body.len().saturating_mul(ZSTD_RATIO_GUESS).min(limit_bytes) };
            loop {
                buffer.reserve_exact((room - buffer.len()).max(64));
                (&mut decoder).take((room - buffer.len()) as u64).read_to_end(buffer).map_err(failed)?;
                if buffer.len() < room {
                    return Ok(buffer);
                }
                // One byte tells whether there is more at all.
                let mut next = [0; 1];
                if decoder.read(&mut next).map_err(failed)? == 0 {
                    return Ok(buffer);
                }
                if room >= limit_bytes {
                    return Err(WireError::TooLarge { limit_bytes });
                }
                let more = GROWTH_BYTES.max(room / 2).min(limit_bytes - room);
                if !may_grow(more) {
                    return Err(WireError::NoRoom);
                }
                buffer.push(next[0]);
                room += more;
            }
        }
    }
}

/// Compresses bodies; keeps what the methods need between calls. One for each sending thread.
pub struct Compressor {
    snappy: snap::raw::Encoder,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl Default for Compressor {
    fn default() -> Self {
        Self::new()
    }
}

impl Compressor {
    pub fn new() -> Self {
        Compressor { snappy: snap::raw::Encoder::new(), zstd: None }
    }

    /// Replaces the content of `out`.
    pub fn compress(&mut self, encoding: ContentEncoding, data: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        match encoding {
            ContentEncoding::Identity => {
                out.clear();
                out.extend_from_slice(data);
            }
            ContentEncoding::Snappy => {
                let max = snap::raw::max_compress_len(data.len());
                if out.len() < max {
                    out.resize(max, 0);
                }
                let n = self.snappy.compress(data, out).map_err(|e| WireError::Compression(e.to_string()))?;
                out.truncate(n);
            }
            ContentEncoding::Zstd => {
                let zstd = match &mut self.zstd {
                    Some(z) => z,
                    none => none.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(|e| WireError::Compression(e.to_string()))?),
                };
                out.clear();
                out.reserve(zstd::zstd_safe::compress_bound(data.len()));
                zstd.compress_to_buffer(data, out).map_err(|e| WireError::Compression(e.to_string()))?;
            }
        }
        Ok(())
    }
}
