//! A target that counts: each scrape sees a number one higher than the last, so that a lost or a doubled scrape shows in the samples.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub struct CounterTarget {
    pub address: String,
    scrapes: Arc<AtomicU64>,
    /// When set the target answers something that is no metrics page.
    nonsense: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl CounterTarget {
    /// Exposes `scrapes_total` and as many further series as asked for.
    pub fn start(series: usize) -> Self {
        Self::start_on("127.0.0.1", series)
    }

    /// Listens on this address, in a port of its own.
    pub fn start_on(ip: &str, series: usize) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let t = CounterTarget { address, scrapes: Arc::default(), nonsense: Arc::default(), stop: Arc::default() };
        let (scrapes, nonsense, stop) = (t.scrapes.clone(), t.nonsense.clone(), t.stop.clone());
        std::thread::spawn(move || {
            for s in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (scrapes, nonsense) = (scrapes.clone(), nonsense.clone());
                if let Ok(s) = s {
                    std::thread::spawn(move || drop(serve(s, series, &scrapes, &nonsense)));
                }
            }
        });
        t
    }

    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().and_then(|p| p.parse().ok()).expect("an address has a port")
    }

    pub fn scrapes(&self) -> u64 {
        self.scrapes.load(Ordering::SeqCst)
    }

    pub fn talk_nonsense(&self, on: bool) {
        self.nonsense.store(on, Ordering::SeqCst);
    }
}

impl Drop for CounterTarget {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
    }
}

fn serve(mut s: TcpStream, series: usize, scrapes: &AtomicU64, nonsense: &AtomicBool) -> std::io::Result<()> {
    let mut buf = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let n = s.read(&mut chunk)?;
        if n == 0 {
            return Ok(());
        }
        buf.extend_from_slice(&chunk[..n]);
        while let Some(end) = buf.windows(4).position(|w| w == b"\r\n\r\n") {
            buf.drain(..end + 4);
            let n = scrapes.fetch_add(1, Ordering::SeqCst) + 1;
            let mut body = if nonsense.load(Ordering::SeqCst) {
                "fine_metric 1\nthis is {not a metric\n".to_string()
            } else {
                format!("# HELP scrapes_total Scrapes so far.\n# TYPE scrapes_total counter\nscrapes_total {n}\n")
            };
            for i in 0..series {
                body.push_str(&format!("series_value{{i=\"{i}\"}} {}\n", n * 7 + i as u64));
            }
            write!(s, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        }
    }
}
