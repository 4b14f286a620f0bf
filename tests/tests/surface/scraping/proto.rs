//! `io.prometheus.client.MetricFamily` by hand, as a target sends it.

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// A message under construction.
#[derive(Default)]
pub struct Message(Vec<u8>);

impl Message {
    pub fn bytes(mut self, number: u8, bytes: &[u8]) -> Self {
        varint(&mut self.0, u64::from(number) << 3 | 2);
        varint(&mut self.0, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn text(self, number: u8, text: &str) -> Self {
        self.bytes(number, text.as_bytes())
    }

    pub fn message(self, number: u8, m: Message) -> Self {
        self.bytes(number, &m.0)
    }

    pub fn number(mut self, number: u8, n: u64) -> Self {
        varint(&mut self.0, u64::from(number) << 3);
        varint(&mut self.0, n);
        self
    }

    /// sint32 and sint64
    pub fn signed(self, number: u8, n: i64) -> Self {
        self.number(number, ((n << 1) ^ (n >> 63)) as u64)
    }

    pub fn double(mut self, number: u8, v: f64) -> Self {
        varint(&mut self.0, u64::from(number) << 3 | 1);
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }
}

fn m() -> Message {
    Message::default()
}

fn time(seconds: i64) -> Message {
    m().number(1, seconds as u64)
}

fn label(name: &str, value: &str) -> Message {
    m().text(1, name).text(2, value)
}

fn family(name: &str, help: &str, kind: u64, unit: &str, metrics: Vec<Message>) -> Vec<u8> {
    let mut f = m().text(1, name).text(2, help).number(3, kind);
    for metric in metrics {
        f = f.message(4, metric);
    }
    if !unit.is_empty() {
        f = f.text(5, unit);
    }
    let mut out = Vec::new();
    varint(&mut out, f.0.len() as u64);
    out.extend_from_slice(&f.0);
    out
}

/// A page with every type; counters were created at `created_s`.
pub fn page(created_s: i64, now_s: i64) -> Vec<u8> {
    let exemplar = |v: f64| m().message(1, label("trace_id", "abc")).double(2, v).message(3, time(now_s));
    let bucket = |le: f64, n: u64| m().number(1, n).double(2, le);
    let classic = m()
        .number(1, 6)
        .double(2, 7.5)
        .message(3, bucket(0.5, 1).message(3, exemplar(0.3)))
        .message(3, bucket(1.0, 4))
        .message(3, bucket(f64::INFINITY, 6));
    // Schema 3: the zero bucket, two spans of positive buckets, one negative.
    let native = m()
        .number(1, 12)
        .double(2, 18.4)
        .signed(5, 3)
        .double(6, 0.001)
        .number(7, 2)
        .message(9, m().signed(1, -1).number(2, 1))
        .signed(10, 2)
        .message(12, m().signed(1, 0).number(2, 2))
        .message(12, m().signed(1, 3).number(2, 1))
        .signed(13, 1)
        .signed(13, 2)
        .signed(13, 1)
        .message(15, time(created_s));
    let both = m()
        .number(1, 3)
        .double(2, 4.0)
        .message(3, bucket(1.0, 2))
        .message(3, bucket(f64::INFINITY, 3))
        .signed(5, 0)
        .double(6, 1e-128)
        .message(12, m().signed(1, 0).number(2, 2))
        .signed(13, 2)
        .signed(13, -1);
    let float =
        m().double(4, 2.5).double(2, 3.5).signed(5, 1).double(6, 0.5).double(8, 0.5).message(12, m().signed(1, 1).number(2, 1)).double(14, 2.0);
    [
        family(
            "p_requests_total",
            "Requests.",
            0,
            "",
            vec![m().message(1, label("code", "200")).message(3, m().double(1, 5.0).message(2, exemplar(1.0)).message(3, time(created_s)))],
        ),
        family("p_temperature_celsius", "Heat \"quoted\"\nin two lines.", 1, "celsius", vec![m().message(2, m().double(1, -3.5))]),
        family(
            "p_latency_seconds",
            "A summary.",
            2,
            "seconds",
            vec![m().message(
                4,
                m().number(1, 9).double(2, 3.25).message(3, m().double(1, 0.5).double(2, 0.1)).message(3, m().double(1, 0.99).double(2, f64::NAN)),
            )],
        ),
        family("p_untyped", "", 3, "", vec![m().message(5, m().double(1, 1.0)).number(6, (now_s * 1000) as u64)]),
        family("p_classic", "A classic histogram.", 4, "", vec![m().message(1, label("a", "b")).message(7, classic)]),
        family("p_native", "A native histogram.", 4, "", vec![m().message(7, native)]),
        family("p_both", "Both in one.", 4, "", vec![m().message(7, both)]),
        family("p_gauge_histogram", "Of gauges, with floats.", 5, "", vec![m().message(7, float)]),
        family("p.dotted.name", "UTF-8.", 1, "", vec![m().message(1, label("서버.이름", "가")).message(2, m().double(1, 2.0))]),
    ]
    .concat()
}
