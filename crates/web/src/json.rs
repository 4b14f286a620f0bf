//! Answers as JSON, written straight into bytes: strings, labels, samples, histograms, and the envelope around them.
//!
//! Numbers of samples are strings, times are seconds with up to three digits: the shapes of Prometheus' API.

use model::histogram::FloatHistogram;
use model::number::{push_api, push_f};
use model::{Labels, LabelsRef};

/// Bytes of JSON under construction.
#[derive(Debug, Default)]
pub struct Json {
    out: Vec<u8>,
}

impl Json {
    pub fn with_capacity(bytes: usize) -> Self {
        Json { out: Vec::with_capacity(bytes) }
    }

    /// Goes on behind bytes that are there already.
    pub fn after(out: Vec<u8>) -> Self {
        Json { out }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub fn len(&self) -> usize {
        self.out.len()
    }

    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Bytes that are JSON already.
    pub fn raw(&mut self, json: &str) -> &mut Self {
        self.out.extend_from_slice(json.as_bytes());
        self
    }

    pub fn raw_bytes(&mut self, json: &[u8]) -> &mut Self {
        self.out.extend_from_slice(json);
        self
    }

    /// A comma, unless this is the first of its kind.
    pub fn sep(&mut self, first: &mut bool) -> &mut Self {
        if !std::mem::replace(first, false) {
            self.out.push(b',');
        }
        self
    }

    pub fn string(&mut self, s: &str) -> &mut Self {
        self.out.push(b'"');
        // Hardly any text has something to escape.
        if !s.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\') {
            self.out.extend_from_slice(s.as_bytes());
            self.out.push(b'"');
            return self;
        }
        let mut from = 0;
        for (i, b) in s.bytes().enumerate() {
            let escape: &[u8] = match b {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                b'\t' => b"\\t",
                0..=0x1f => b"",
                _ => continue,
            };
            self.out.extend_from_slice(&s.as_bytes()[from..i]);
            if escape.is_empty() {
                self.out.extend_from_slice(format!("\\u{b:04x}").as_bytes());
            } else {
                self.out.extend_from_slice(escape);
            }
            from = i + 1;
        }
        self.out.extend_from_slice(&s.as_bytes()[from..]);
        self.out.push(b'"');
        self
    }

    pub fn strings<S: AsRef<str>>(&mut self, items: &[S]) -> &mut Self {
        self.out.push(b'[');
        let mut first = true;
        for s in items {
            self.sep(&mut first).string(s.as_ref());
        }
        self.out.push(b']');
        self
    }

    pub fn labels(&mut self, labels: LabelsRef<'_>) -> &mut Self {
        self.out.push(b'{');
        let mut first = true;
        for (n, v) in labels.iter() {
            self.sep(&mut first).string(n).raw(":").string(v);
        }
        self.out.push(b'}');
        self
    }

    /// `1435781451.781`
    pub fn time(&mut self, t_ms: i64) -> &mut Self {
        let mut b = itoa::Buffer::new();
        if t_ms < 0 {
            self.out.push(b'-');
        }
        let abs = t_ms.unsigned_abs();
        self.out.extend_from_slice(b.format(abs / 1000).as_bytes());
        let ms = abs % 1000;
        if ms != 0 {
            self.out.extend_from_slice(&[b'.', b'0' + (ms / 100) as u8, b'0' + (ms / 10 % 10) as u8, b'0' + (ms % 10) as u8]);
        }
        self
    }

    /// A sample's value: a string.
    #[inline]
    pub fn value(&mut self, v: f64) -> &mut Self {
        self.out.push(b'"');
        push_api(&mut self.out, v);
        self.out.push(b'"');
        self
    }

    /// A scalar's value, which is written without an exponent.
    pub fn scalar(&mut self, v: f64) -> &mut Self {
        self.out.push(b'"');
        push_f(&mut self.out, v);
        self.out.push(b'"');
        self
    }

    /// A plain JSON number; what JSON has no number for becomes null.
    pub fn number(&mut self, v: f64) -> &mut Self {
        if v.is_finite() {
            push_f(&mut self.out, v);
            self
        } else {
            self.raw("null")
        }
    }

    pub fn int(&mut self, v: i64) -> &mut Self {
        self.out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes());
        self
    }

    /// `[1435781451.781,"1"]`
    pub fn point(&mut self, t_ms: i64, v: f64) -> &mut Self {
        self.out.push(b'[');
        self.time(t_ms).raw(",").value(v);
        self.out.push(b']');
        self
    }

    /// The same with a time that is written already: see [`Stamps`].
    #[inline]
    pub fn stamped(&mut self, stamp: &[u8], v: f64) -> &mut Self {
        self.out.extend_from_slice(stamp);
        push_api(&mut self.out, v);
        self.out.extend_from_slice(b"\"],");
        self
    }

    /// Takes the comma back that [`Json::stamped`] leaves behind the last point.
    pub fn no_comma(&mut self) -> &mut Self {
        if self.out.last() == Some(&b',') {
            self.out.pop();
        }
        self
    }

    /// `[1435781451.781,{"count":"2","sum":"3","buckets":[[0,"1","2","2"]]}]`: of each bucket the rule of its bounds, lower, upper, count.
    pub fn histogram_point(&mut self, t_ms: i64, h: &FloatHistogram) -> &mut Self {
        self.out.push(b'[');
        self.time(t_ms).raw(",");
        self.histogram(h);
        self.out.push(b']');
        self
    }

    pub fn histogram(&mut self, h: &FloatHistogram) -> &mut Self {
        self.raw("{\"count\":").value(h.count).raw(",\"sum\":").value(h.sum);
        let mut first = true;
        for b in h.all_buckets().filter(|b| b.count != 0.0) {
            // 0: open on the left, 1: open on the right, 2: open on both sides, 3: closed on both sides.
            let rule = match (b.lower_inclusive, b.upper_inclusive) {
                (true, true) => 3,
                (true, false) => 1,
                (false, true) => 0,
                (false, false) => 2,
            };
            self.raw(if first { ",\"buckets\":[" } else { "," });
            first = false;
            self.raw("[").int(rule).raw(",").value(b.lower).raw(",").value(b.upper).raw(",").value(b.count).raw("]");
        }
        if !first {
            self.raw("]");
        }
        self.raw("}")
    }

    /// A list of label sets.
    pub fn label_sets<'a>(&mut self, sets: impl Iterator<Item = &'a Labels>) -> &mut Self {
        self.raw("[");
        let mut first = true;
        for l in sets {
            self.sep(&mut first).labels(l.as_ref());
        }
        self.raw("]")
    }
}

/// The times of evenly spaced points as they stand in front of their values, written once for all series: `[1435781451.781,"`.
#[derive(Debug)]
pub struct Stamps {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Stamps {
    pub fn new(start_ms: i64, step_ms: i64, n: usize) -> Self {
        let mut j = Json::with_capacity(n * 20);
        let mut ends = Vec::with_capacity(n + 1);
        ends.push(0);
        for k in 0..n as i64 {
            j.raw("[").time(start_ms + k * step_ms).raw(",\"");
            ends.push(j.len() as u32);
        }
        Stamps { bytes: j.into_bytes(), ends }
    }

    #[inline]
    pub fn get(&self, k: usize) -> &[u8] {
        &self.bytes[self.ends[k] as usize..self.ends[k + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_the_api() {
        let mut j = Json::default();
        j.value(4e21).raw(" ").value(-1e-7).raw(" ").value(1e-6).raw(" ").scalar(1e-7).raw(" ");
        j.point(1_435_781_451_781, 1.0).raw(" ").point(1_435_781_451_005, f64::NAN).raw(" ").point(-1500, f64::INFINITY);
        j.raw(" ").labels(Labels::from_pairs([("class", "6\"반\n\u{1}")]).as_ref());
        let got = String::from_utf8(j.into_bytes()).expect("utf-8");
        let stamps = Stamps::new(1_435_781_451_781, 15_000, 2);
        let mut j = Json::default();
        j.stamped(stamps.get(0), 1.0).stamped(stamps.get(1), f64::NAN).no_comma();
        assert_eq!(String::from_utf8(j.into_bytes()).expect("utf-8"), r#"[1435781451.781,"1"],[1435781466.781,"NaN"]"#);
        assert_eq!(
            got,
            r#""4e+21" "-1e-07" "0.000001" "0.0000001" [1435781451.781,"1"] [1435781451.005,"NaN"] [-1.500,"+Inf"] {"class":"6\"반\n\u0001"}"#
        );
    }
}
