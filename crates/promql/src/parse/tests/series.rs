//! Series of test scripts.

use super::super::{SequenceItem, parse_metric, parse_series, parse_start_times};
use model::histogram::ResetHint;

/// Labels and items in short.
fn show(items: &[SequenceItem]) -> String {
    let short = |item: &SequenceItem| match item {
        SequenceItem::Omitted { count } => format!("_x{count}"),
        SequenceItem::Float { start, .. } if model::sample::is_stale_nan(*start) => "stale".to_string(),
        SequenceItem::Float { start, step, count } => format!("{start}+{step}x{count}"),
        SequenceItem::Histogram { start, step, count, hint_set } => {
            let step = step.as_ref().map(|(op, h)| format!("{}{:?}", op.as_str(), h.positive_buckets));
            format!("{:?}{}x{count}{}", start.positive_buckets, step.unwrap_or_default(), if *hint_set { "!" } else { "" })
        }
    };
    items.iter().map(short).collect::<Vec<_>>().join(" ")
}

#[test]
fn values() {
    for (text, labels, expect) in [
        ("a 1 2.5 -3", "{__name__=\"a\"}", "1+0x1 2.5+0x1 -3+0x1"),
        ("a{b=\"c\"} _ _x3 stale", "{__name__=\"a\", b=\"c\"}", "_x1 _x3 stale"),
        ("{b=\"c\"} 1+2x3 1-2x3 5x0", "{b=\"c\"}", "1+2x4 1+-2x4 5+0x1"),
        ("sum Inf -Inf 1e3x2", "{__name__=\"sum\"}", "inf+0x1 -inf+0x1 1000+0x3"),
        ("{\"a b\", x=\"y\"}   1\t 2 ", "{__name__=\"a b\", x=\"y\"}", "1+0x1 2+0x1"),
        ("a", "{__name__=\"a\"}", ""),
        ("a {{}} {{ }}x2", "{__name__=\"a\"}", "[]x1 []x3"),
        ("a {{schema:1 buckets:[1 2 -3 Inf]}}", "{__name__=\"a\"}", "[1.0, 2.0, -3.0, inf]x1"),
        ("a {{buckets:[1] counter_reset_hint:gauge}}+{{buckets:[2] }}x2", "{__name__=\"a\"}", "[1.0]+[2.0]x3"),
        ("a {{buckets:[4]}}-{{buckets:[2] counter_reset_hint:reset}}x2 1", "{__name__=\"a\"}", "[4.0]-[2.0]x3! 1+0x1"),
    ] {
        let got = parse_series(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!((got.labels.to_string().as_str(), show(&got.items).as_str()), (labels, expect), "{text}");
    }
}

#[test]
fn histograms() {
    let text = "h {{schema:-53 sum:12.5 count:8 z_bucket:2 z_bucket_w:0.001 custom_values:[1 2] buckets:[1 3] offset:-1 n_buckets:[2] n_offset:4 counter_reset_hint:not_reset}}";
    let got = parse_series(text).expect("a series");
    let [SequenceItem::Histogram { start: h, step: None, count: 1, hint_set: true }] = &got.items[..] else { panic!("{:?}", got.items) };
    assert_eq!((h.schema, h.sum, h.count, h.zero_count, h.zero_threshold), (-53, 12.5, 8.0, 2.0, 0.001));
    assert_eq!((&h.custom_values[..], &h.positive_buckets[..], &h.negative_buckets[..]), (&[1.0, 2.0][..], &[1.0, 3.0][..], &[2.0][..]));
    assert_eq!((h.positive_spans[0].offset, h.positive_spans[0].length), (-1, 2));
    assert_eq!((h.negative_spans[0].offset, h.negative_spans[0].length), (4, 1));
    assert_eq!(h.reset_hint, ResetHint::NotReset);
}

#[test]
fn refused() {
    for (text, expect) in [
        ("a 1,2", "1:4: parse error: unexpected character in series sequence: ','"),
        ("a nope", "1:3: parse error: unexpected identifier \"nope\" in series values, expected number or \"stale\""),
        ("a 1+2", "1:6: parse error: unexpected end of input in series values"),
        ("a 1x2.5", "1:5: parse error: invalid repetition in series values: strconv.ParseUint: parsing \"2.5\": invalid syntax"),
        ("a 1x99999999", "1:5: parse error: series has too many values, at most 10000000 are allowed"),
        ("a {{schema:1 nope:2}}", "1:14: parse error: bad histogram descriptor found: \"nope\""),
        ("a {{schema}}", "1:5: parse error: missing `:` for histogram descriptor"),
        ("a {{schema:1 schema:2}}", "1:1: parse error: duplicate key \"schema\" in histogram"),
        ("a{b=1}", "1:5: parse error: unexpected character inside braces: '1'"),
        ("a{b}", "1:4: parse error: unexpected \"}\" in label set, expected \"=\""),
    ] {
        assert_eq!(parse_series(text).map(|_| ()).map_err(|e| e.to_string()), Err(expect.to_string()), "{text}");
    }
}

#[test]
fn metrics() {
    let show = |text: &str| parse_metric(text).map(|l| l.to_string()).map_err(|e| e.to_string());
    assert_eq!(show("a{b=\"c\", \"d e\"='f',}"), Ok("{__name__=\"a\", b=\"c\", \"d e\"=\"f\"}".to_string()));
    assert_eq!(show("{}"), Ok("{}".to_string()));
    assert_eq!(show(""), Ok("{}".to_string()));
    assert_eq!(show("a 5"), Err("1:3: parse error: unexpected number \"5\"".to_string()));
}

#[test]
fn start_times() {
    let show = |text: &str| parse_start_times(text).map(|r| r.map(|s| format!("{} {}", s.labels, show(&s.items))));
    assert_eq!(show("a{b=\"c\"} 1 2"), None);
    assert_eq!(
        show("a{b=\"c\"}@st _ _x2 -1m 30s-1mx2 0s 5msx1"),
        Some(Ok("{__name__=\"a\", b=\"c\"} _x1 _x2 -60000+0x1 30000+-60000x3 0+0x1 5+0x2".to_string()))
    );
    assert_eq!(show("a@st 5q"), Some(Err("invalid @st sequence: invalid ST item \"5q\": not a valid duration string: \"5\"".to_string())));
    assert_eq!(show("a@st 5s+1s"), Some(Err("invalid @st sequence: invalid ST item \"5s+1s\": expected 'x<count>' after step duration".to_string())));
}
