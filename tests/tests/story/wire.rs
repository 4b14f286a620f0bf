//! A remote-write 1.0 request by hand, so that it can be as wrong as a test likes.

use narthex_tests::{Answer, Server, request};

pub struct Series<'a> {
    pub labels: &'a [(&'a str, &'a str)],
    /// (milliseconds, value)
    pub samples: &'a [(i64, f64)],
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// prometheus.WriteRequest, not compressed.
pub fn write_request(all: &[Series<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for s in all {
        let mut series = Vec::new();
        for (name, value) in s.labels {
            let mut label = Vec::new();
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut series, 1, &label);
        }
        for (t, v) in s.samples {
            let mut sample = vec![1 << 3 | 1];
            sample.extend_from_slice(&v.to_le_bytes());
            sample.push(2 << 3);
            varint(&mut sample, *t as u64);
            field(&mut series, 2, &sample);
        }
        field(&mut body, 1, &series);
    }
    body
}

pub fn snappy(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).expect("compresses")
}

/// Posts bytes as the body of a remote-write 1.0 request.
pub fn try_post(server_url: &str, body: &[u8]) -> std::io::Result<Answer> {
    let headers = [("Content-Type", "application/x-protobuf"), ("Content-Encoding", "snappy"), ("X-Prometheus-Remote-Write-Version", "0.1.0")];
    request("POST", &format!("{server_url}/api/v1/write"), &headers, body)
}

pub fn post(server: &Server, body: &[u8]) -> Answer {
    try_post(&server.url(), body).expect("answers")
}

pub fn push(server: &Server, all: &[Series<'_>]) -> Answer {
    post(server, &snappy(&write_request(all)))
}
