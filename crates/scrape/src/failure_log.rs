//! The file of `scrape_failure_log_file`: a line of JSON for each scrape that failed to get a page.

use model::time::format_rfc3339_ms;
use parking_lot::Mutex;
use std::fmt::Write;
use std::io;
use std::path::Path;
use stdx::clock::SharedClock;
use stdx::fs::{File, Fs, Open};

/// Shared by all jobs that name the same file.
pub struct FailureLog {
    file: Mutex<Box<dyn File>>,
    clock: SharedClock,
}

impl FailureLog {
    pub fn open(fs: &dyn Fs, path: &Path, clock: SharedClock) -> io::Result<Self> {
        Ok(FailureLog { file: Mutex::new(fs.open(path, Open::Append)?), clock })
    }

    /// A line that cannot be written is lost; the scrape's failure is told elsewhere too.
    pub fn write(&self, job: &str, target: &str, error: &str) {
        let mut line = format!("{{\"time\":\"{}\",\"level\":\"ERROR\",\"msg\":", format_rfc3339_ms(self.clock.now_ms()));
        json_string(&mut line, error);
        line.push_str(",\"job_name\":");
        json_string(&mut line, job);
        line.push_str(",\"target\":");
        json_string(&mut line, target);
        line.push_str("}\n");
        if let Err(e) = self.file.lock().append(line.as_bytes()) {
            tracing::warn!(err = %e, "write to scrape failure log failed");
        }
    }
}

fn json_string(out: &mut String, s: &str) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
