//! Compression of single records.

use std::io;

/// No record is unpacked to more than this.
pub(crate) const MAX_RECORD_BYTES: usize = 1 << 30;

/// How records are packed; a record that does not shrink is written as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    None,
    /// As Prometheus does by default.
    #[default]
    Snappy,
    Zstd,
}

impl Compression {
    /// The word of flags and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Snappy => "snappy",
            Compression::Zstd => "zstd",
        }
    }
}

/// Packs records; keeps its working memory.
pub(crate) struct Packer {
    snappy: snap::raw::Encoder,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl Packer {
    pub(crate) fn new() -> Self {
        Packer { snappy: snap::raw::Encoder::new(), zstd: None }
    }

    /// Appends the record to `out`, packed if that makes it smaller; says what was done.
    pub(crate) fn pack(&mut self, record: &[u8], how: Compression, out: &mut Vec<u8>) -> io::Result<Compression> {
        let start = out.len();
        let packed = match how {
            Compression::None => usize::MAX,
            Compression::Snappy => {
                out.resize(start + snap::raw::max_compress_len(record.len()), 0);
                self.snappy.compress(record, &mut out[start..]).map_err(io::Error::other)?
            }
            Compression::Zstd => {
                let zstd = match &mut self.zstd {
                    Some(z) => z,
                    none => none.insert(zstd::bulk::Compressor::new(1)?),
                };
                out.resize(start + zstd::zstd_safe::compress_bound(record.len()), 0);
                zstd.compress_to_buffer(record, &mut out[start..])?
            }
        };
        if packed >= record.len() {
            out.truncate(start);
            out.extend_from_slice(record);
            return Ok(Compression::None);
        }
        out.truncate(start + packed);
        Ok(how)
    }
}

/// Unpacks records; keeps its working memory.
pub(crate) struct Unpacker {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl Unpacker {
    pub(crate) fn new() -> Self {
        Unpacker { zstd: None }
    }

    /// Replaces `out` by the unpacked record.
    pub(crate) fn unpack(&mut self, packed: &[u8], how: Compression, out: &mut Vec<u8>) -> Result<(), String> {
        out.clear();
        match how {
            Compression::None => out.extend_from_slice(packed),
            Compression::Snappy => {
                let n = snap::raw::decompress_len(packed).map_err(|e| format!("snappy: {e}"))?;
                if n > MAX_RECORD_BYTES {
                    return Err(format!("record claims {n} bytes, more than {MAX_RECORD_BYTES}"));
                }
                out.resize(n, 0);
                snap::raw::Decoder::new().decompress(packed, out).map_err(|e| format!("snappy: {e}"))?;
            }
            Compression::Zstd => {
                let zstd = match &mut self.zstd {
                    Some(z) => z,
                    none => none.insert(zstd::bulk::Decompressor::new().map_err(|e| format!("zstd: {e}"))?),
                };
                let n = match zstd::zstd_safe::get_frame_content_size(packed) {
                    Ok(Some(n)) => n,
                    _ => return Err("zstd: frame does not say its size".to_string()),
                };
                if n > MAX_RECORD_BYTES as u64 {
                    return Err(format!("record claims {n} bytes, more than {MAX_RECORD_BYTES}"));
                }
                out.reserve(n as usize);
                zstd.decompress_to_buffer(packed, out).map_err(|e| format!("zstd: {e}"))?;
            }
        }
        Ok(())
    }
}
