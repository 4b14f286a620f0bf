//! Pages as data: each is walked and written down line by line, then compared.

use super::*;
use model::histogram::Span;
use proptest::prelude::*;
use std::fmt::Write;

const CLASSIC: ParserOptions = ParserOptions {
    type_and_unit_labels: false,
    ignore_native_histograms: false,
    convert_classic_histograms: false,
    keep_classic_histograms: false,
    skip_created_series: false,
};

fn spans(s: &[Span]) -> String {
    s.iter().map(|s| format!("{}:{} ", s.offset, s.length)).collect::<String>().trim_end().to_string()
}

/// Everything a page says, one entry per line.
fn walk(body: &[u8], format: Format, options: ParserOptions) -> String {
    let mut p = Parser::new(body, format, options);
    let (mut out, mut buf) = (String::new(), LabelBuf::new());
    loop {
        let line = match p.next() {
            Err(e) => {
                let _ = writeln!(out, "error: {e}");
                return out;
            }
            Ok(None) => return out,
            Ok(Some(Entry::Help)) => format!("help {} {:?}", p.meta_name(), p.meta_text()),
            Ok(Some(Entry::Type)) => format!("type {} {}", p.meta_name(), p.meta_type()),
            Ok(Some(Entry::Unit)) => format!("unit {} {:?}", p.meta_name(), p.meta_text()),
            Ok(Some(Entry::Comment)) => format!("comment {:?}", p.meta_text()),
            Ok(Some(Entry::Series)) => {
                if let Err(e) = p.labels(&mut buf) {
                    let _ = writeln!(out, "error: {e}");
                    return out;
                }
                format!("{} {}", buf.as_ref(), model::number::format_f(p.value()))
            }
            Ok(Some(Entry::Histogram)) => {
                p.labels(&mut buf).expect("labels of a histogram");
                let h = match p.histogram().expect("a histogram entry has one") {
                    HistogramRef::Int(h) => format!(
                        "int schema={} count={} sum={} zero={} pos=[{}]{:?} neg=[{}]{:?} bounds={:?}",
                        h.schema,
                        h.count,
                        h.sum,
                        h.zero_count,
                        spans(&h.positive_spans),
                        h.positive_deltas,
                        spans(&h.negative_spans),
                        h.negative_deltas,
                        h.custom_values
                    ),
                    HistogramRef::Float(h) => format!(
                        "float schema={} count={} sum={} zero={} pos=[{}]{:?} neg=[{}]{:?} bounds={:?}",
                        h.schema,
                        h.count,
                        h.sum,
                        h.zero_count,
                        spans(&h.positive_spans),
                        h.positive_buckets,
                        spans(&h.negative_spans),
                        h.negative_buckets,
                        h.custom_values
                    ),
                };
                format!("{} {h}", buf.as_ref())
            }
        };
        out.push_str(&line);
        if let Some(t) = p.timestamp_ms().filter(|_| line.starts_with('{')) {
            let _ = write!(out, " @{t}");
        }
        while let Some(e) = p.exemplar().filter(|_| line.starts_with('{')) {
            let _ = write!(out, " # {} {}", e.labels, e.value);
            if let Some(t) = e.t_ms {
                let _ = write!(out, " @{t}");
            }
        }
        out.push('\n');
    }
}

#[track_caller]
fn check(format: Format, options: ParserOptions, body: &str, expect: &str) {
    let unindented: String = expect.lines().map(str::trim).filter(|l| !l.is_empty()).map(|l| format!("{l}\n")).collect();
    assert_eq!(walk(body.as_bytes(), format, options), unindented, "{body}");
}

#[track_caller]
fn text(body: &str, expect: &str) {
    check(Format::Text, CLASSIC, body, expect);
}

#[track_caller]
fn om(body: &str, expect: &str) {
    check(Format::OpenMetrics, CLASSIC, body, expect);
}

#[test]
fn text_samples() {
    text("up 1", r#"{__name__="up"} 1"#);
    text("a{b=\"c\"} 1.5 1234\n\n b 2\n", "{__name__=\"a\", b=\"c\"} 1.5 @1234\n{__name__=\"b\"} 2");
    text("a { z = \"1\" , b=\"2\" , }\t-Inf  99\n", r#"{__name__="a", b="2", z="1"} -Inf @99"#);
    text("a{b=\"x\" c=\"y\"} NaN", r#"{__name__="a", b="x", c="y"} NaN"#);
    text(r#"a{p="C:\\D\"q\nz\d"} 3"#, r#"{__name__="a", p="C:\\D\"q\nz\\d"} 3"#);
    text(r#"a{b="}",c="{} 7"} 3"#, r#"{__name__="a", b="}", c="{} 7"} 3"#);
    text("a{b=\"1\n2\"} 3\nc 4\n", "{__name__=\"a\", b=\"1\\n2\"} 3\n{__name__=\"c\"} 4");
    text("a{b=\"} 5\n2\"} 3\nc 4\n", "{__name__=\"a\", b=\"} 5\\n2\"} 3\n{__name__=\"c\"} 4");
    text("a{} 1\na{e=\"\"} 2", "{__name__=\"a\"} 1\n{__name__=\"a\"} 2");
    text(r#"{"my.metric","l.x"="v",y="z"} 1"#, r#"{__name__="my.metric", "l.x"="v", y="z"} 1"#);
    text(r#"{y="z","my.metric"} 1"#, r#"{__name__="my.metric", y="z"} 1"#);
    text("", "");
}

#[test]
fn text_metadata() {
    text(
        "# HELP a two\\nlines \\\\ \"q\"\n# TYPE a counter\n#plain\n# HELPless\n# \tTYPE\t b  \n",
        "help a \"two\\nlines \\\\ \\\"q\\\"\"\ntype a counter\ncomment \"#plain\"\ncomment \"# HELPless\"\nerror: invalid metric type \" \" while parsing: \"# \\tTYPE\\t b  \" (line 5, byte 73)",
    );
    text("# HELP \"a.b\" h\n# HELP c\n", "help a.b \"h\"\nhelp c \"\"");
    text(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\n# TYPE s summary\ns{quantile=\"0.90\"} 1\n# TYPE g gauge\ng{le=\"1\"} 1",
        r#"type h histogram
        {__name__="h_bucket", le="1.0"} 1
        {__name__="h_bucket", le="+Inf"} 1
        type s summary
        {__name__="s", quantile="0.9"} 1
        type g gauge
        {__name__="g", le="1"} 1"#,
    );
}

#[test]
fn text_faults_say_where() {
    for (body, expect) in [
        ("a", r#"error: expected value after metric, got end of the page while parsing: "a" (line 1, byte 1)"#),
        ("ok 1\na{b='c'} 1\n", "{__name__=\"ok\"} 1\nerror: expected label value, got \"'\" while parsing: \"a{b='c'} 1\" (line 2, byte 9)"),
        ("a{b=\"\n", "error: expected label value, got \"\\\"\" while parsing: \"a{b=\\\"\" (line 1, byte 4)"),
        ("a{b} 1", r#"error: expected equal, got "}" while parsing: "a{b} 1" (line 1, byte 3)"#),
        ("a{9=\"b\"} 1", r#"error: expected label name, got "9" while parsing: "a{9=\"b\"} 1" (line 1, byte 2)"#),
        ("-a 1", r#"error: expected a valid start token, got "-" while parsing: "-a 1" (line 1, byte 0)"#),
        ("a 0x1p1", r#"error: invalid value "0x1p1" while parsing: "a 0x1p1" (line 1, byte 2)"#),
        ("a 1 -5", r#"error: invalid timestamp "-5" while parsing: "a 1 -5" (line 1, byte 4)"#),
        ("a 1 5 6", r#"error: expected next entry after timestamp, got "6" while parsing: "a 1 5 6" (line 1, byte 6)"#),
        ("{b=\"c\"} 1", r#"error: metric name not set while parsing: "{b=\"c\"} 1" (line 1, byte 0)"#),
        ("a{\"b\"} 1", r#"error: metric name already set while parsing: "a{\"b\"} 1" (line 1, byte 2)"#),
        ("# TYPE a nonsense", r##"error: invalid metric type "nonsense" while parsing: "# TYPE a nonsense" (line 1, byte 9)"##),
    ] {
        text(body, expect);
    }
    assert!(walk(b"a{b=\"\xff\"} 1", Format::Text, CLASSIC).contains("invalid UTF-8 label value"));
    assert!(walk(b"# HELP a \xff", Format::Text, CLASSIC).contains("not a valid utf8 string"));
}

#[test]
fn openmetrics() {
    om(
        "# HELP a_seconds say \\\"it\\\"\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total{b=\"# {x} 1\"} 1.0 1520879607.789 # {id=\"x-1\",z=\"\"} 0.5 1520879600.1\na_seconds_created 5\n# EOF\n",
        r##"help a_seconds "say \"it\""
        type a_seconds counter
        unit a_seconds "seconds"
        {__name__="a_seconds_total", b="# {x} 1"} 1 @1520879607789 # {id="x-1"} 0.5 @1520879600100
        {__name__="a_seconds_created"} 5"##,
    );
    om("a 1 # {} 2\n{\"a.b\",c=\"d\"} 1\n# EOF", "{__name__=\"a\"} 1 # {} 2\n{__name__=\"a.b\", c=\"d\"} 1");
    om("# EOF", "");
}

#[test]
fn openmetrics_faults() {
    for (body, expect) in [
        ("", "error: data does not end with # EOF (line 1, byte 0)"),
        ("a 1\n", "{__name__=\"a\"} 1\nerror: data does not end with # EOF (line 2, byte 4)"),
        ("a 1", "error: data does not end with # EOF while parsing: \"a 1\" (line 1, byte 3)"),
        ("a 1\n\n# EOF", "{__name__=\"a\"} 1\nerror: expected a valid start token, got \"\\n\" (line 2, byte 4)"),
        ("# EOF\na 1\n", "error: unexpected data after # EOF while parsing: \"# EOF\\na 1\" (line 2, byte 6)"),
        ("a  1\n# EOF", "error: expected value after metric, got \" \" while parsing: \"a  1\" (line 1, byte 2)"),
        ("a {b=\"c\"} 1\n# EOF", "error: invalid value \"{b=\\\"c\\\"}\" while parsing: \"a {b=\\\"c\\\"} 1\" (line 1, byte 2)"),
        ("a{b=\"c\" } 1\n# EOF", "error: expected comma or brace close, got \" \" while parsing: \"a{b=\\\"c\\\" } 1\" (line 1, byte 7)"),
        ("#comment\n# EOF", "error: expected a valid start token, got \"#\" while parsing: \"#comment\" (line 1, byte 0)"),
        ("# UNIT a seconds\n# EOF", "error: unit \"seconds\" not a suffix of metric \"a\" while parsing: \"# UNIT a seconds\" (line 1, byte 8)"),
        ("# TYPE a untyped\n# EOF", "error: invalid metric type \"untyped\" while parsing: \"# TYPE a untyped\" (line 1, byte 9)"),
        ("a 1 NaN\n# EOF", "error: invalid timestamp \"NaN\" while parsing: \"a 1 NaN\" (line 1, byte 4)"),
        ("a 1 # {\"b\"} 1\n# EOF", "error: expected equal, got \"}\" while parsing: \"a 1 # {\\\"b\\\"} 1\" (line 1, byte 10)"),
        ("a 1 # {} x\n# EOF", "error: invalid value \"x\" while parsing: \"a 1 # {} x\" (line 1, byte 9)"),
    ] {
        om(body, expect);
    }
}

#[test]
fn created_lines_tell_starts() {
    let body = b"# TYPE c counter\nc_total{a=\"1\"} 5\nc_created{a=\"1\"} 1000\nc_total{a=\"2\"} 6\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 3\nh_created 1.5\n# EOF\n";
    let starts = |skip| {
        let mut p = Parser::new(body, Format::OpenMetrics, ParserOptions { skip_created_series: skip, ..CLASSIC });
        let mut out = Vec::new();
        while let Some(e) = p.next().expect("a good page") {
            if e == Entry::Series {
                out.push((String::from_utf8_lossy(p.raw()).into_owned(), p.start_ms()));
            }
        }
        out
    };
    let want = [
        ("c_total{a=\"1\"}", Some(1_000_000)),
        ("c_total{a=\"2\"}", None),
        ("h_bucket{le=\"1\"}", Some(1500)),
        ("h_bucket{le=\"+Inf\"}", Some(1500)),
        ("h_count", Some(1500)),
        ("h_sum", Some(1500)),
    ];
    assert_eq!(starts(true), want.map(|(s, t)| (s.to_string(), t)));
    assert_eq!(starts(false).len(), 8);
}

#[test]
fn type_and_unit_become_labels() {
    let o = ParserOptions { type_and_unit_labels: true, ..CLASSIC };
    check(
        Format::OpenMetrics,
        o,
        "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds{__type__=\"x\"} 1\n# EOF",
        "type a_seconds gauge\nunit a_seconds \"seconds\"\n{__name__=\"a_seconds\", __type__=\"gauge\", __unit__=\"seconds\"} 1",
    );
    check(Format::Text, o, "a{__type__=\"mine\"} 1", r#"{__name__="a", __type__="mine"} 1"#);
}

#[test]
fn a_page_is_recognised_by_its_raw_series() {
    for (format, eof) in [(Format::Text, ""), (Format::OpenMetrics, "# EOF\n")] {
        let page = |v: u32| format!("# HELP a x\n# TYPE a counter\na{{b=\"1\"}} {v}\na {v}\n{eof}");
        let (first, second) = (page(1), page(27));
        let mut p = Parser::new(first.as_bytes(), format, CLASSIC);
        assert_eq!(p.next(), Ok(Some(Entry::Help)));
        let help = p.line().expect("lines").to_vec();
        p.next().expect("type");
        let mut raws = Vec::new();
        while p.next().expect("a good page").is_some() {
            raws.push(p.raw().to_vec());
        }
        let mut p = Parser::new(second.as_bytes(), format, CLASSIC);
        assert!(p.skip_if(&help) && !p.skip_if(&help));
        assert_eq!(p.next(), Ok(Some(Entry::Type)));
        assert!(!p.next_if(&raws[1]), "a bare name is not the start of a longer series");
        for raw in &raws {
            assert!(p.next_if(raw));
            assert_eq!((p.raw(), p.value()), (raw.as_slice(), 27.0));
        }
        assert_eq!(p.next(), Ok(None));
    }
}

/// A TYPE line that is stepped over still says what the series behind it are.
#[test]
fn a_type_that_was_skipped_is_read_when_it_matters() {
    let page = "# TYPE a counter\na 1\n# TYPE b gauge\nb{x=\"1\"} 2\nb{x=\"2\"} 3\n# TYPE c wrong\nc 1\n";
    let mut p = Parser::new(page.as_bytes(), Format::Text, ParserOptions { type_and_unit_labels: true, ..CLASSIC });
    let mut labels = LabelBuf::new();
    let mut text = |p: &mut Parser<'_>| {
        p.labels(&mut labels)?;
        Ok::<_, ParseError>(labels.as_ref().to_string())
    };
    assert!(!p.skip_type_if(b"# TYPE a gauge\n") && p.skip_type_if(b"# TYPE a counter\n"));
    assert!(p.next_if(b"a") && p.skip_type_if(b"# TYPE b gauge\n") && p.next_if(b"b{x=\"1\"}"));
    assert_eq!(text(&mut p).expect("sound"), r#"{__name__="b", __type__="gauge", x="1"}"#);
    assert_eq!((p.value(), p.next(), p.value()), (2.0, Ok(Some(Entry::Series)), 3.0));
    assert_eq!(text(&mut p).expect("sound"), r#"{__name__="b", __type__="gauge", x="2"}"#);
    assert!(p.skip_type_if(b"# TYPE c wrong\n") && p.next_if(b"c"));
    assert!(text(&mut p).expect_err("no such type").to_string().contains("invalid metric type"));
    let mut p = Parser::new(page.as_bytes(), Format::OpenMetrics, CLASSIC);
    assert!(!p.skip_type_if(b"# TYPE a counter\n"));
}

#[test]
fn classic_histograms_become_native() {
    let body = "# TYPE h histogram\nh_bucket{a=\"1\",le=\"1\"} 2 7\nh_bucket{a=\"1\",le=\"+Inf\"} 5 7\nh_sum{a=\"1\"} 9 7\nh_count{a=\"1\"} 5 7\nh_bucket{a=\"2\",le=\"1\"} 0.5\nh_count{a=\"2\"} 1\n# TYPE g gauge\ng 1\n";
    let convert = ParserOptions { convert_classic_histograms: true, ..CLASSIC };
    check(
        Format::Text,
        convert,
        body,
        r#"type h histogram
        {__name__="h", a="1"} int schema=-53 count=5 sum=9 zero=0 pos=[0:2][2, 1] neg=[][] bounds=[1.0] @7
        {__name__="h", a="2"} float schema=-53 count=1 sum=0 zero=0 pos=[0:2][0.5, 0.5] neg=[][] bounds=[1.0]
        type g gauge
        {__name__="g"} 1"#,
    );
    check(
        Format::OpenMetrics,
        ParserOptions { keep_classic_histograms: true, ..convert },
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2 # {t=\"x\"} 0.5 3\nh_bucket{le=\"+Inf\"} 1\n# EOF",
        r##"type h histogram
        {__name__="h_bucket", le="1.0"} 2 # {t="x"} 0.5 @3000
        {__name__="h_bucket", le="+Inf"} 1"##,
    );
    check(
        Format::OpenMetrics,
        convert,
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2 # {t=\"x\"} 0.5 3\nh_bucket{le=\"+Inf\"} 2\n# EOF",
        r##"type h histogram
        {__name__="h"} int schema=-53 count=2 sum=0 zero=0 pos=[0:1][2] neg=[][] bounds=[1.0] # {t="x"} 0.5 @3000"##,
    );
}

/// A protobuf field by field.
#[derive(Default)]
struct Msg(Vec<u8>);

impl Msg {
    fn key(mut self, n: u32, wire: u32) -> Self {
        stdx::varint::put_uvarint(&mut self.0, u64::from(n << 3 | wire));
        self
    }
    fn int(self, n: u32, v: u64) -> Self {
        let mut m = self.key(n, 0);
        stdx::varint::put_uvarint(&mut m.0, v);
        m
    }
    fn sint(self, n: u32, v: i64) -> Self {
        let mut m = self.key(n, 0);
        stdx::varint::put_varint(&mut m.0, v);
        m
    }
    fn double(self, n: u32, v: f64) -> Self {
        let mut m = self.key(n, 1);
        m.0.extend_from_slice(&v.to_le_bytes());
        m
    }
    fn bytes(self, n: u32, b: &[u8]) -> Self {
        let mut m = self.key(n, 2);
        stdx::varint::put_uvarint(&mut m.0, b.len() as u64);
        m.0.extend_from_slice(b);
        m
    }
    fn msg(self, n: u32, m: Msg) -> Self {
        self.bytes(n, &m.0)
    }
    fn delimited(self) -> Vec<u8> {
        let mut out = Vec::new();
        stdx::varint::put_uvarint(&mut out, self.0.len() as u64);
        out.extend_from_slice(&self.0);
        out
    }
}

fn label(name: &str, value: &str) -> Msg {
    Msg::default().bytes(1, name.as_bytes()).bytes(2, value.as_bytes())
}

fn family(name: &str, kind: u64, metrics: Vec<Msg>) -> Vec<u8> {
    metrics.into_iter().fold(Msg::default().bytes(1, name.as_bytes()).bytes(2, b"h").int(3, kind), |f, m| f.msg(4, m)).delimited()
}

fn native_histogram() -> Msg {
    let exemplar = Msg::default().msg(1, label("t", "x")).double(2, 0.25).msg(3, Msg::default().int(1, 7).int(2, 5_000_000));
    Msg::default()
        .int(1, 6)
        .double(2, 1.5)
        .msg(3, Msg::default().int(1, 2).double(2, 1.0))
        .sint(5, 3)
        .double(6, 1e-3)
        .int(7, 1)
        .msg(12, Msg::default().sint(1, -2).int(2, 4))
        .sint(13, 1)
        .sint(13, 1)
        .sint(13, -2)
        .sint(13, 3)
        .msg(16, exemplar)
}

#[test]
fn protobuf() {
    let page = [
        family("c_total", 0, vec![Msg::default().msg(1, label("b", "2")).msg(1, label("a", "1")).msg(3, Msg::default().double(1, 5.0)).int(6, 99)]),
        family("none", 0, vec![]),
        family("s", 2, vec![Msg::default().msg(4, Msg::default().int(1, 3).double(2, 4.5).msg(3, Msg::default().double(1, 0.5).double(2, 1.0)))]),
        family("h", 4, vec![Msg::default().msg(7, Msg::default().int(1, 3).double(2, 4.5).msg(3, Msg::default().int(1, 1).double(2, 1.0)))]),
        family("n", 4, vec![Msg::default().msg(7, native_histogram())]),
    ]
    .concat();
    let classic = r#"help c_total "h"
        type c_total counter
        {__name__="c_total", a="1", b="2"} 5 @99
        help s "h"
        type s summary
        {__name__="s_count"} 3
        {__name__="s_sum"} 4.5
        {__name__="s", quantile="0.5"} 1
        help h "h"
        type h histogram
        {__name__="h_count"} 3
        {__name__="h_sum"} 4.5
        {__name__="h_bucket", le="1.0"} 1
        {__name__="h_bucket", le="+Inf"} 3
        help n "h"
        type n histogram
        "#;
    let native = r##"{__name__="n"} int schema=3 count=6 sum=1.5 zero=1 pos=[-2:2 1:1][1, 1, 1] neg=[][] bounds=[] # {t="x"} 0.25 @7005
        "##;
    let n_classic = r#"{__name__="n_count"} 6
        {__name__="n_sum"} 1.5
        {__name__="n_bucket", le="1.0"} 2
        {__name__="n_bucket", le="+Inf"} 6"#;
    let check = |options, expect: String| {
        let unindented: String = expect.lines().map(str::trim).filter(|l| !l.is_empty()).map(|l| format!("{l}\n")).collect();
        assert_eq!(walk(&page, Format::Protobuf, options), unindented);
    };
    check(CLASSIC, format!("{classic}{native}"));
    check(ParserOptions { ignore_native_histograms: true, ..CLASSIC }, format!("{classic}{n_classic}"));
    check(ParserOptions { keep_classic_histograms: true, ..CLASSIC }, format!("{classic}{native}{n_classic}"));
}

#[test]
fn protobuf_faults() {
    let bad = |body: &[u8], expect: &str| {
        let got = walk(body, Format::Protobuf, CLASSIC);
        assert!(got.contains(expect), "{got}");
    };
    bad(&[5, 1], "metric family is cut short (byte 0)");
    bad(&family("", 0, vec![]), "invalid metric name: empty");
    bad(&family("a", 9, vec![]), "unknown metric type for metric \"a\": 9");
    let wrong = Msg::default().msg(7, Msg::default().msg(12, Msg::default().sint(1, 0).int(2, u64::from(u32::MAX))).sint(13, 1));
    bad(&family("a", 4, vec![wrong]), "histogram \"a\": positive side: spans require 4294967295 buckets, have 1");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(b: Vec<u8>) {
        for f in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
            walk(&b, f, CLASSIC);
        }
    }

    #[test]
    fn near_pages_never_panic(s in "([a-c{}\"=,# \n\\\\0-9._+]|le=\"|# TYPE a histogram\n|# EOF|a_bucket|\"1\"|e){0,60}") {
        for convert in [false, true] {
            let o = ParserOptions { convert_classic_histograms: convert, skip_created_series: convert, type_and_unit_labels: convert, ..CLASSIC };
            for f in [Format::Text, Format::OpenMetrics] {
                walk(s.as_bytes(), f, o);
            }
        }
    }

    #[test]
    fn damaged_protobuf_never_panics(at: prop::sample::Index, byte: u8) {
        let mut page = family("n", 4, vec![Msg::default().msg(7, native_histogram())]);
        let i = at.index(page.len());
        page[i] = byte;
        for convert in [false, true] {
            walk(&page, Format::Protobuf, ParserOptions { convert_classic_histograms: convert, keep_classic_histograms: convert, ignore_native_histograms: convert, ..CLASSIC });
        }
    }

    #[test]
    fn label_values_come_back(values in prop::collection::vec(any::<String>(), 1..4), v: f64) {
        let esc = |s: &str| s.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> = values.iter().enumerate().map(|(i, s)| format!("l{i}=\"{}\"", esc(s))).collect();
        for (f, end) in [(Format::Text, ""), (Format::OpenMetrics, "# EOF")] {
            let page = format!("m{{{}}} {v}\n{end}", labels.join(","));
            let (mut p, mut buf) = (Parser::new(page.as_bytes(), f, CLASSIC), LabelBuf::new());
            prop_assert_eq!(p.next(), Ok(Some(Entry::Series)));
            p.labels(&mut buf).expect("well-formed");
            for (i, s) in values.iter().enumerate() {
                prop_assert_eq!(buf.as_ref().get(&format!("l{i}")).unwrap_or(""), s.as_str());
            }
            prop_assert!(p.value() == v || v.is_nan());
        }
    }
}
