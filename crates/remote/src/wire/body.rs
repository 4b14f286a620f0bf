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

/// Decodes a body. `buffer` is reused memory; what is returned borrows from it or from the body itself.
pub fn decompress<'a>(encoding: ContentEncoding, body: &'a [u8], limit_bytes: usize, buffer: &'a mut Vec<u8>) -> Result<&'a [u8], WireError> {
    match encoding {
        ContentEncoding::Identity if body.len() > limit_bytes => Err(WireError::TooLarge { limit_bytes }),
        ContentEncoding::Identity => Ok(body),
        ContentEncoding::Snappy => {
            let len = snap::raw::decompress_len(body).map_err(|e| WireError::Compression(e.to_string()))?;
            if len > limit_bytes {
                return Err(WireError::TooLarge { limit_bytes });
            }
            // Only what is missing is zeroed: the old content of a reused buffer is overwritten anyway.
            if buffer.len() < len {
                buffer.resize(len, 0);
            }
            let n = snap::raw::Decoder::new().decompress(body, &mut buffer[..len]).map_err(|e| WireError::Compression(e.to_string()))?;
            Ok(&buffer[..n])
        }
        ContentEncoding::Zstd => {
            let failed = |e: std::io::Error| WireError::Compression(e.to_string());
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(failed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failed)?;
            buffer.clear();
            decoder.take(limit_bytes as u64 + 1).read_to_end(buffer).map_err(failed)?;
            if buffer.len() > limit_bytes {
                return Err(WireError::TooLarge { limit_bytes });
            }
            Ok(buffer)
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
