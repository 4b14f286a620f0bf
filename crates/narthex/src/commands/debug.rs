//! `debug pprof|metrics|all`: what a server tells of itself, in one archive. Profiles are of Go programs; a Narthex has none and says so.

use super::http::Http;
use super::{Context, FAILURE, complain, line};
use client::{Gunzip, HttpConfig, Request};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use stdx::fs::{Fs, Open, RealFs};

const ARCHIVE: &str = "debug.tar.gz";
const MAX_PROFILE_BYTES: usize = 1 << 30;

const PROFILES: [(&str, &str); 7] = [
    ("/debug/pprof/profile?seconds=30", "cpu.pb"),
    ("/debug/pprof/block", "block.pb"),
    ("/debug/pprof/goroutine", "goroutine.pb"),
    ("/debug/pprof/heap", "heap.pb"),
    ("/debug/pprof/mutex", "mutex.pb"),
    ("/debug/pprof/threadcreate", "threadcreate.pb"),
    ("/debug/pprof/trace?seconds=30", "trace.pb"),
];
const METRICS: (&str, &str) = ("/metrics", "metrics.txt");

pub fn run(cx: &Context, what: &str) -> u8 {
    let mut files: Vec<(&str, &str)> = if what == "metrics" { Vec::new() } else { PROFILES.to_vec() };
    if what != "pprof" {
        files.push(METRICS);
    }
    match collect(cx.values.arg("server"), &files) {
        Ok(()) => {
            line(&format!("Compiling debug information complete, all files written in \"{ARCHIVE}\"."));
            0
        }
        Err(e) => {
            complain(&format!("error completing debug command: {e}"));
            FAILURE
        }
    }
}

fn collect(server: &str, files: &[(&str, &str)]) -> Result<(), String> {
    let http = Http::with(&HttpConfig::default(), BTreeMap::new())?;
    let mut archive = Vec::new();
    for (path, name) in files {
        let url = format!("{server}{path}");
        line(&format!("collecting: {url}"));
        let failed = |e: client::Error| format!("error executing HTTP request: Get {}: {e}", model::labels::quote(&url));
        let answer = http.send(Request::get(&url).map_err(failed)?).map_err(failed)?;
        let mut body = answer.body;
        if name.ends_with(".pb") {
            if answer.status != 200 {
                return Err(format!(
                    "error post-processing HTTP response body: {url} answered {}: {}",
                    answer.status,
                    String::from_utf8_lossy(&body).trim()
                ));
            }
            if body.starts_with(&[0x1f, 0x8b]) {
                body = gunzip(&body).map_err(|e| format!("error post-processing HTTP response body: {e}"))?;
            }
        }
        put(&mut archive, name, &body);
    }
    archive.extend([0u8; 1024]);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let packed = gz.write_all(&archive).and_then(|()| gz.finish()).map_err(|e| format!("error writing into the archive: {e}"))?;
    let write = || RealFs.open(Path::new(ARCHIVE), Open::Truncate)?.append(&packed);
    write().map_err(|e| format!("error creating archive \"{ARCHIVE}\": {}", crate::go::io_error(&e)))
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, client::Error> {
    let mut gunzip = Gunzip::new(Vec::new(), MAX_PROFILE_BYTES);
    gunzip.push(bytes)?;
    let mut out = Vec::new();
    gunzip.finish(&mut out)?;
    Ok(out)
}

/// One file of a tar archive: a header of 512 bytes, then the content in blocks of 512 bytes.
fn put(archive: &mut Vec<u8>, name: &str, content: &[u8]) {
    let mut h = [0u8; 512];
    h[..name.len()].copy_from_slice(name.as_bytes());
    h[100..108].copy_from_slice(b"0000666\0");
    h[108..116].copy_from_slice(b"0000000\0");
    h[116..124].copy_from_slice(b"0000000\0");
    h[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    h[136..148].copy_from_slice(b"00000000000\0");
    h[148..156].copy_from_slice(b"        ");
    h[156] = b'0';
    h[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = h.iter().map(|b| u32::from(*b)).sum();
    h[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive.extend(h);
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}
