//! A receiver that writes down what it is asked and answers as it is told to.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

#[derive(Clone, Debug)]
pub struct Asked {
    /// Method and target.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub at: Instant,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str())
    }

    /// The message, unpacked.
    pub fn message(&self) -> Vec<u8> {
        snap::raw::Decoder::new().decompress_vec(&self.body).unwrap_or_default()
    }

    /// How often a field of this number stands in the message: 1 for series, 3 for metadata (of version 1.0).
    pub fn count(&self, number: u64) -> usize {
        let message = self.message();
        let (mut at, mut n) = (0, 0);
        let varint = |at: &mut usize| {
            let mut v = 0u64;
            for shift in (0..70).step_by(7) {
                let b = message[*at];
                *at += 1;
                v |= u64::from(b & 127) << shift;
                if b < 128 {
                    break;
                }
            }
            v
        };
        while at < message.len() {
            let key = varint(&mut at);
            n += usize::from(key >> 3 == number);
            let len = varint(&mut at);
            at += if key & 7 == 2 { len as usize } else { 0 };
        }
        n
    }

    /// Nothing is in the message, be it of version 1.0 or (with its one empty symbol) 2.0.
    pub fn is_empty(&self) -> bool {
        self.body.len() <= 5 && self.message().len() <= 2
    }

    pub fn says(&self, text: &str) -> bool {
        let message = self.message();
        message.windows(text.len()).any(|w| w == text.as_bytes())
    }
}

/// Status line and further headers, and a body.
pub type Reply = (String, String);

pub struct Recorder {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Recorder {
    /// `answer` is given the request and its number among those that hold anything, from 0.
    pub fn start(answer: impl Fn(&Asked, usize) -> Option<Reply> + Send + Sync + 'static) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (all, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for s in listener.incoming().flatten() {
                let (all, answer) = (Arc::clone(&all), Arc::clone(&answer));
                std::thread::spawn(move || drop(serve(s, &all, &*answer)));
            }
        });
        Recorder { address, asked }
    }

    /// Takes everything.
    pub fn taking() -> Recorder {
        Self::start(|_, _| Some(("204 No Content".to_string(), String::new())))
    }

    pub fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

fn serve(mut s: TcpStream, all: &Mutex<Vec<Asked>>, answer: &(dyn Fn(&Asked, usize) -> Option<Reply> + Send + Sync)) -> std::io::Result<()> {
    let mut buf = Vec::new();
    loop {
        let mut chunk = [0; 16384];
        let end = loop {
            if let Some(end) = buf.windows(4).position(|w| w == b"\r\n\r\n") {
                break end;
            }
            let n = s.read(&mut chunk)?;
            if n == 0 {
                return Ok(());
            }
            buf.extend_from_slice(&chunk[..n]);
        };
        let head = String::from_utf8_lossy(&buf[..end]).into_owned();
        buf.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or("").to_string();
        let headers: Vec<(String, String)> =
            lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_string())).collect();
        let length = headers.iter().find(|(n, _)| n == "content-length").and_then(|(_, v)| v.parse().ok()).unwrap_or(0);
        while buf.len() < length {
            let n = s.read(&mut chunk)?;
            if n == 0 {
                return Ok(());
            }
            buf.extend_from_slice(&chunk[..n]);
        }
        let one = Asked { line, headers, body: buf.drain(..length).collect(), at: Instant::now() };
        let number = {
            let mut all = all.lock().expect("not poisoned");
            all.push(one.clone());
            // A question who is there holds nothing: it is answered like those that come after all that matters.
            if one.is_empty() { usize::MAX } else { all.iter().filter(|a| !a.is_empty()).count() - 1 }
        };
        match answer(&one, number) {
            None => std::thread::sleep(std::time::Duration::from_secs(60)),
            Some((status, body)) => {
                write!(s, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
            }
        }
    }
}
