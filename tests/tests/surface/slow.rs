//! Clients that take their time, or more than is theirs: none of them keeps a connection for ever, and others are answered meanwhile.

use crate::tls::file;
use narthex_tests::{Server, get, request, wait_for};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// `--web.read-timeout` of these tests, and how long at most until such a connection must be gone on a slow machine.
const TIMEOUT: &str = "--web.read-timeout=2s";
const PATIENCE: Duration = Duration::from_secs(30);

fn connect(s: &Server) -> TcpStream {
    let c = TcpStream::connect(("127.0.0.1", s.port)).expect("connects");
    c.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    c
}

/// Reads until the server closes; what it said. Panics when it does not close.
fn until_closed(mut c: TcpStream, who: &str) -> String {
    let mut all = Vec::new();
    let mut buf = [0; 4096];
    loop {
        match c.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => all.extend_from_slice(&buf[..n]),
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => break,
            Err(e) => panic!("{who}: the connection is still open after {PATIENCE:?}: {e}"),
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn slow_and_silent_clients_are_let_go() {
    let mut server = Server::narthex("slow", "", &[TIMEOUT, "--web.enable-remote-write-receiver"]);
    let s = &*server.start();
    let mut clients = Vec::new();
    for (who, said) in [
        ("silent", ""),
        ("half a header", "GET /-/healthy HTTP/1.1\r\nHost: x\r\nX-A:"),
        ("a beginning of HTTP/2", "PRI * HT"),
        (
            "a body that does not come",
            "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nquery=",
        ),
        (
            "a write that does not come",
            "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 1000000\r\n\r\nabc",
        ),
        ("a chunk that does not come", "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nqu"),
        ("idle after its request", "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"),
    ] {
        let mut c = connect(s);
        c.write_all(said.as_bytes()).expect("writes");
        clients.push((who, c));
    }
    // A byte now and then does not buy time.
    let mut dripping = connect(s);
    dripping.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nX-Slow: ").expect("writes");
    let drip = std::thread::spawn(move || {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(300));
            if dripping.write_all(b"a").is_err() {
                return true;
            }
        }
        false
    });
    for _ in 0..10 {
        assert_eq!(get(&format!("{}/-/healthy", s.url())).expect("others are answered").status, 200);
    }
    for (who, c) in clients {
        let said = until_closed(c, who);
        if who == "idle after its request" {
            assert!(said.contains("is Healthy"), "{said}");
        }
    }
    assert!(drip.join().expect("runs"), "a header of one byte each 300 ms is still being read");
}

#[test]
fn silence_on_a_tls_port_ends_too() {
    let mut s = Server::narthex("slow tls", "", &[TIMEOUT]);
    let pem = file("server.pem").display().to_string();
    std::fs::write(s.path().join("web.yml"), format!("tls_server_config: {{cert_file: '{pem}', key_file: '{pem}'}}\n")).expect("writes");
    s.add_args(&[&format!("--web.config.file={}", s.path().join("web.yml").display())]);
    s.spawn();
    wait_for("the server to listen", PATIENCE, || TcpStream::connect(("127.0.0.1", s.port)).ok());
    until_closed(connect(&s), "silent");
    let mut c = connect(&s);
    c.write_all(&[0x16, 3, 1]).expect("writes");
    until_closed(c, "the beginning of a handshake");
}

#[test]
fn who_does_not_read_is_let_go() {
    // An answer of some megabytes: own metrics do for a start, a big literal for the rest.
    let mut server = Server::narthex("unread", "", &[TIMEOUT, "--web.max-connections=3"]);
    let s = &*server.start();
    let query = format!("\"{}\"", "x".repeat(9 << 20));
    let body = format!("query={query}");
    let mut stuck = Vec::new();
    for _ in 0..3 {
        let mut c = connect(s);
        let head = format!(
            "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        c.write_all(head.as_bytes()).expect("writes");
        c.write_all(body.as_bytes()).expect("writes");
        stuck.push(c);
    }
    // All connections are taken; they come free because nobody reads.
    let a = wait_for("a free connection", PATIENCE, || get(&format!("{}/-/healthy", s.url())).ok());
    assert_eq!(a.status, 200);
    drop(stuck);
}

#[test]
fn what_is_too_large_is_refused() {
    let mut server = Server::narthex("large", "", &["--web.enable-remote-write-receiver"]);
    let s = &*server.start();
    let long = "x".repeat(2 << 20);
    let mut c = connect(s);
    let _ = c.write_all(format!("GET /-/healthy HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n").as_bytes());
    let said = until_closed(c, "a header of 2 MiB");
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
    let mut c = connect(s);
    let _ = c.write_all("POST /api/v1/query HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n".as_bytes());
    for _ in 0..12 {
        if c.write_all(format!("100000\r\n{}\r\n", "x".repeat(1 << 20)).as_bytes()).is_err() {
            break;
        }
    }
    let said = until_closed(c, "a form of 12 MiB");
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 413"), "{said}");
    // A body that decompresses to more than is allowed.
    let bomb = snap_of_zeros(40 << 20);
    let headers = [("Content-Type", "application/x-protobuf"), ("Content-Encoding", "snappy")];
    let a = request("POST", &format!("{}/api/v1/write", s.url()), &headers, &bomb).expect("answers");
    assert_eq!(a.status, 413, "{}", a.text());
}

fn snap_of_zeros(n: usize) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&vec![0; n]).expect("compresses")
}
