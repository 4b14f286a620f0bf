use super::*;

#[test]
fn headers_say_what_the_parent_can_do() {
    let mut h = HeaderMap::new();
    assert_eq!(Answer::of_headers(0, &h, 0).features, None);
    h.insert("x-narthex", HeaderValue::from_static("late-samples, other"));
    h.insert("accept-encoding", HeaderValue::from_static("snappy, zstd;q=0.5"));
    h.insert("x-prometheus-remote-write-samples-written", HeaderValue::from_static("7"));
    let a = Answer::of_headers(0, &h, 0);
    assert_eq!((a.features, a.zstd), (Some(Features { late_samples: true }), true));
    assert_eq!(a.written, Some(Counts { samples: 7, histograms: 0, exemplars: 0 }));
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    for (text, now_ms, want) in [
        ("5", 0, Some(5_000)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_775_000, Some(2_000)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_779_000, Some(0)),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0, Some(1_000)),
        ("Thu, 29 Feb 2024 00:00:00 GMT", 1_709_164_800_000 - 1, Some(1)),
        ("soon", 0, None),
    ] {
        assert_eq!(retry_after(text, now_ms), want.map(Duration::from_millis), "{text}");
    }
}
