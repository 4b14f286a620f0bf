//! An HTTP server whose answers a test gives: requests in, bytes out, one thread a connection.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// As it was sent.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// A parameter of the query, as it was sent.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|p| p.split_once('=').filter(|(n, _)| *n == name).map(|(_, v)| v))
    }
}

/// Writes a stream's chunks.
pub type Streamer = Box<dyn FnOnce(&mut Chunks<'_>) -> std::io::Result<()>>;

pub enum Said {
    Whole {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// Chunks as they come; the connection stays open until the function returns or a write fails.
    Stream(Streamer),
}

impl Said {
    pub fn json(body: impl Into<Vec<u8>>) -> Said {
        Said::Whole { status: 200, headers: vec![("Content-Type", "application/json".to_string())], body: body.into() }
    }

    pub fn text(kind: &str, body: impl Into<Vec<u8>>) -> Said {
        Said::Whole { status: 200, headers: vec![("Content-Type", kind.to_string())], body: body.into() }
    }

    pub fn status(status: u16) -> Said {
        Said::Whole { status, headers: vec![("Content-Type", "application/json".to_string())], body: b"{}".to_vec() }
    }

    pub fn with(self, name: &'static str, value: &str) -> Said {
        match self {
            Said::Whole { status, mut headers, body } => {
                headers.push((name, value.to_string()));
                Said::Whole { status, headers, body }
            }
            s => s,
        }
    }
}

pub struct Chunks<'s>(&'s mut TcpStream);

impl Chunks<'_> {
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(format!("{:x}\r\n", bytes.len()).as_bytes())?;
        self.0.write_all(bytes)?;
        self.0.write_all(b"\r\n")
    }
}

pub struct Fake {
    pub address: String,
    stop: Arc<AtomicBool>,
}

impl Fake {
    pub fn start(answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let (answer, stopped) = (Arc::new(answer), stop.clone());
        std::thread::spawn(move || {
            for s in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let answer = answer.clone();
                std::thread::spawn(move || drop(serve(s, &*answer)));
            }
        });
        Fake { address, stop }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(&self.address);
    }
}

fn serve(mut s: TcpStream, answer: &dyn Fn(&Asked) -> Said) -> std::io::Result<()> {
    s.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut buf = Vec::new();
    while let Some(asked) = read(&mut s, &mut buf)? {
        match answer(&asked) {
            Said::Whole { status, headers, body } => {
                let mut head = format!("HTTP/1.1 {status} {}\r\nContent-Length: {}\r\n", reason(status), body.len());
                for (n, v) in headers {
                    head.push_str(&format!("{n}: {v}\r\n"));
                }
                s.write_all(format!("{head}\r\n").as_bytes())?;
                s.write_all(&body)?;
            }
            Said::Stream(run) => {
                s.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                run(&mut Chunks(&mut s))?;
                s.write_all(b"0\r\n\r\n")?;
            }
        }
    }
    Ok(())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        302 => "Found",
        401 => "Unauthorized",
        404 => "Not Found",
        406 => "Not Acceptable",
        410 => "Gone",
        422 => "Unprocessable Entity",
        500 => "Internal Server Error",
        _ => "Other",
    }
}

fn read(s: &mut TcpStream, buf: &mut Vec<u8>) -> std::io::Result<Option<Asked>> {
    let mut chunk = [0; 8192];
    let end = loop {
        if let Some(end) = buf.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        match s.read(&mut chunk)? {
            0 => return Ok(None),
            n => buf.extend_from_slice(&chunk[..n]),
        }
    };
    let head = String::from_utf8_lossy(&buf[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or("").split(' ');
    let (method, target) = (first.next().unwrap_or("").to_string(), first.next().unwrap_or("").to_string());
    let headers: Vec<(String, String)> =
        lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_string())).collect();
    let length: usize = headers.iter().find(|(n, _)| n == "content-length").and_then(|(_, v)| v.parse().ok()).unwrap_or(0);
    buf.drain(..end + 4);
    while buf.len() < length {
        match s.read(&mut chunk)? {
            0 => return Ok(None),
            n => buf.extend_from_slice(&chunk[..n]),
        }
    }
    let body = buf.drain(..length).collect();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Ok(Some(Asked { method, path: path.to_string(), query: query.to_string(), headers, body }))
}
