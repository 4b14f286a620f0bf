//! A target that shows one page until it is stopped.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub struct PageTarget {
    pub address: String,
    stop: Arc<AtomicBool>,
}

impl PageTarget {
    pub fn start(content_type: &'static str, page: &'static str) -> PageTarget {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || {
            for s in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let stopped = Arc::clone(&stopped);
                if let Ok(s) = s {
                    std::thread::spawn(move || drop(serve(s, content_type, page, &stopped)));
                }
            }
        });
        PageTarget { address, stop }
    }

    /// Refuses from now on.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
    }
}

impl Drop for PageTarget {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(mut s: TcpStream, content_type: &str, page: &str, stopped: &AtomicBool) -> std::io::Result<()> {
    let mut buf = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let n = s.read(&mut chunk)?;
        if n == 0 || stopped.load(Ordering::SeqCst) {
            return Ok(());
        }
        buf.extend_from_slice(&chunk[..n]);
        while let Some(end) = buf.windows(4).position(|w| w == b"\r\n\r\n") {
            buf.drain(..end + 4);
            write!(s, "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{page}", page.len())?;
        }
    }
}
