use super::*;
use crate::parse::{Entry, Format, HistogramRef, LabelBuf, Parser, ParserOptions};
use model::FloatHistogram;
use model::histogram::Span;
use proptest::prelude::*;
use stdx::metrics::Metric;

fn text(page: PageFormat) -> OutFormat {
    OutFormat { page, escaping: Escaping::AllowUtf8 }
}

fn families() -> Vec<Family> {
    let metric = |labels: &[(&str, &str)], value| Metric { labels: labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(), value };
    let family = |name: &str, help: &str, kind, metrics| Family { name: name.into(), help: help.into(), kind, metrics };
    vec![
        family("c_total", "a \\ \n \"q\"", Kind::Counter, vec![metric(&[("a", "x\"\\\n")], Value::Counter(3.0)), metric(&[], Value::Counter(1e6))]),
        family("empty", "nothing", Kind::Gauge, vec![]),
        family("h", "", Kind::Histogram, vec![metric(&[], Value::Histogram { buckets: vec![(0.5, 1), (f64::INFINITY, 3)], sum: 4.25, count: 3 })]),
        family("s", "", Kind::Summary, vec![metric(&[("a", "1")], Value::Summary { quantiles: vec![(0.9, f64::NAN)], sum: 0.0, count: 0 })]),
    ]
}

#[test]
fn text_page() {
    assert_eq!(
        String::from_utf8(write_families(&families(), text(PageFormat::Text004))).expect("text"),
        "# HELP c_total a \\\\ \\n \"q\"\n# TYPE c_total counter\nc_total{a=\"x\\\"\\\\\\n\"} 3\nc_total 1e+06\n\
         # HELP h \n# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum 4.25\nh_count 3\n\
         # HELP s \n# TYPE s summary\ns{a=\"1\",quantile=\"0.9\"} NaN\ns_sum{a=\"1\"} 0\ns_count{a=\"1\"} 0\n"
    );
}

#[test]
fn openmetrics_page() {
    assert_eq!(
        String::from_utf8(write_families(&families(), text(PageFormat::OpenMetrics100))).expect("text"),
        "# HELP c a \\\\ \\n \\\"q\\\"\n# TYPE c counter\nc_total{a=\"x\\\"\\\\\\n\"} 3.0\nc_total 1e+06\n\
         # HELP h \n# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum 4.25\nh_count 3\n\
         # HELP s \n# TYPE s summary\ns{a=\"1\",quantile=\"0.9\"} NaN\ns_sum{a=\"1\"} 0.0\ns_count{a=\"1\"} 0\n# EOF\n"
    );
}

/// Names and values of a page's samples, sorted.
fn samples(page: &[u8], format: Format) -> Vec<(String, String)> {
    let (mut p, mut buf, mut out) = (Parser::new(page, format, ParserOptions::default()), LabelBuf::new(), Vec::new());
    while let Some(e) = p.next().expect("our own page") {
        if e == Entry::Series {
            p.labels(&mut buf).expect("our own page");
            let bound = buf.as_ref().to_string();
            out.push((bound.replace("le=\"0.5\"", "le=0.5"), format!("{} {:?}", model::number::format_f(p.value()), p.timestamp_ms())));
        }
    }
    out.sort();
    out
}

#[test]
fn all_formats_say_the_same() {
    let text_page = samples(&write_families(&families(), text(PageFormat::Text004)), Format::Text);
    assert_eq!(text_page.len(), 9);
    assert_eq!(samples(&write_families(&families(), text(PageFormat::OpenMetrics100)), Format::OpenMetrics), text_page);
    assert_eq!(samples(&write_families(&families(), text(PageFormat::Protobuf)), Format::Protobuf), text_page);
}

#[test]
fn federated_series() {
    let page = |page, escaping| {
        let mut w = PageWriter::new(OutFormat { page, escaping });
        w.family("my.metric", MetricType::Unknown, None);
        w.metric(&[("l.x", "1"), ("instance", "")], MetricValue::Float(1.5), Some(1500));
        w.finish()
    };
    for (format, escaping, expect) in [
        (PageFormat::Text004, Escaping::Underscores, "# TYPE my_metric untyped\nmy_metric{l_x=\"1\",instance=\"\"} 1.5 1500\n"),
        (PageFormat::Text100, Escaping::AllowUtf8, "# TYPE \"my.metric\" untyped\n{\"my.metric\",\"l.x\"=\"1\",instance=\"\"} 1.5 1500\n"),
        (PageFormat::OpenMetrics100, Escaping::Dots, "# TYPE my_dot_metric unknown\nmy_dot_metric{l_dot_x=\"1\",instance=\"\"} 1.5 1.5\n# EOF\n"),
    ] {
        assert_eq!(String::from_utf8_lossy(&page(format, escaping)), expect);
    }
}

#[test]
fn native_histograms() {
    let span = |offset, length| Span { offset, length };
    let h = FloatHistogram {
        schema: 2,
        zero_threshold: 0.1,
        zero_count: 1.0,
        count: 6.5,
        sum: 7.0,
        positive_spans: vec![span(-3, 1), span(2, 1)],
        positive_buckets: vec![1.5, 2.0],
        negative_spans: vec![span(0, 1)],
        negative_buckets: vec![2.0],
        ..FloatHistogram::default()
    };
    let mut w = PageWriter::new(text(PageFormat::Protobuf));
    w.family("n", MetricType::Histogram, None);
    assert!(w.metric(&[("a", "b")], MetricValue::Native(&h), Some(7)));
    let page = w.finish();
    let mut p = Parser::new(&page, Format::Protobuf, ParserOptions::default());
    while p.next().expect("our own page") != Some(Entry::Histogram) {}
    match p.histogram() {
        Some(HistogramRef::Float(got)) => assert_eq!(format!("{got:?}"), format!("{h:?}")),
        other => panic!("{other:?}"),
    }
    let custom = FloatHistogram {
        schema: model::histogram::CUSTOM_BUCKETS_SCHEMA,
        count: 5.0,
        sum: 1.0,
        positive_spans: vec![span(0, 1), span(1, 1)],
        positive_buckets: vec![2.0, 3.0],
        custom_values: vec![1.0, 2.0],
        ..FloatHistogram::default()
    };
    let mut w = PageWriter::new(text(PageFormat::Text004));
    w.family("n", MetricType::Histogram, None);
    assert!(!w.metric(&[], MetricValue::Native(&h), None));
    assert!(w.metric(&[], MetricValue::Native(&custom), None));
    let want = "# TYPE n histogram\nn_bucket{le=\"1\"} 2\nn_bucket{le=\"2\"} 2\nn_bucket{le=\"+Inf\"} 5\nn_sum 1\nn_count 5\n";
    assert_eq!(String::from_utf8_lossy(&w.finish()), want);
}

#[test]
fn accept_headers() {
    let proto = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    for (accept, om, page, escaping) in [
        ("", true, PageFormat::Text004, Escaping::Underscores),
        ("*/*", true, PageFormat::Text004, Escaping::Underscores),
        ("text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4, text/plain;version=0.0.4;q=0.3", true, PageFormat::Text100, Escaping::AllowUtf8),
        ("text/plain;q=0.3,application/openmetrics-text;version=1.0.0;q=0.5", true, PageFormat::OpenMetrics100, Escaping::Underscores),
        ("text/plain;q=0.3,application/openmetrics-text;version=1.0.0;q=0.5", false, PageFormat::Text004, Escaping::Underscores),
        (proto, false, PageFormat::Protobuf, Escaping::Underscores),
        ("application/openmetrics-text;version=9", true, PageFormat::Text004, Escaping::Underscores),
        ("text/plain;version=0.0.4;escaping=values", true, PageFormat::Text004, Escaping::Values),
    ] {
        assert_eq!(negotiate(accept, om), OutFormat { page, escaping }, "{accept}");
    }
    assert_eq!(
        OutFormat { page: PageFormat::Text004, escaping: Escaping::Underscores }.content_type(),
        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    );
}

#[test]
fn escapes() {
    for (name, underscores, dots, values) in [
        ("plain_name:x", "plain_name:x", "plain_name:x", "plain_name:x"),
        ("my.dotted_name", "my_dotted_name", "my_dot_dotted__name", "U__my_2e_dotted__name"),
        ("1a-ü", "_a__", "__a____", "U___31_a_2d__fc_"),
    ] {
        assert_eq!(escape_name(name, Escaping::Underscores), underscores);
        assert_eq!(escape_name(name, Escaping::Dots), dots);
        assert_eq!(escape_name(name, Escaping::Values), values);
        assert_eq!(escape_name(name, Escaping::AllowUtf8), name);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(name in "\\PC{1,12}", label in "[a-z.\"\\\\ ]{1,8}", value: String, v: f64, t: i64) {
        prop_assume!(!value.is_empty());
        for (out, format) in [(PageFormat::Text100, Format::Text), (PageFormat::Protobuf, Format::Protobuf)] {
            let t = (t.unsigned_abs() >> 1) as i64;
            let mut w = PageWriter::new(text(out));
            w.family(&name, MetricType::Gauge, Some("h"));
            w.metric(&[(&label, &value)], MetricValue::Float(v), Some(t));
            let page = w.finish();
            let (mut p, mut buf) = (Parser::new(&page, format, ParserOptions::default()), LabelBuf::new());
            while p.next().expect("our own page") != Some(Entry::Series) {}
            p.labels(&mut buf).expect("our own page");
            prop_assert_eq!(buf.metric_name(), name.as_str());
            prop_assert_eq!(buf.as_ref().get(&label), Some(value.as_str()));
            prop_assert!(p.value() == v || v.is_nan());
            prop_assert_eq!(p.timestamp_ms().unwrap_or(0), t);
        }
    }
}
