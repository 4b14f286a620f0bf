use super::like::{Algorithm, Like};
use super::score::{jaro_winkler, subsequence};

#[test]
fn scores_of_known_pairs() {
    for (term, text, want) in [
        ("up", "up", 1.0),
        ("", "anything", 1.0),
        ("abc", "ab", 0.0),
        ("ba", "ab", 0.0),
        // One run of two at 0, two letters after it: (4 - 2/4/2) / 4.
        ("ab", "abcd", (4.0 - 0.25) / 4.0 * 0.999),
        // Two runs of one, one letter between and one after: (1 + 1 - 1/4 - 1/8) / 4.
        ("ac", "abcd", (2.0 - 0.25 - 0.125) / 4.0 * 0.999),
        // The second start is the better one.
        ("ab", "axab", (4.0 - 0.5) / 4.0 * 0.999),
        ("6반", "서버6반", (4.0 - 0.5) / 4.0 * 0.999),
    ] {
        assert!((subsequence(term, text) - want).abs() < 1e-12, "{term} in {text}: {} != {want}", subsequence(term, text));
    }
    // The published examples of the measure.
    for (a, b, want) in [("MARTHA", "MARHTA", 0.9611), ("DIXON", "DICKSONX", 0.8133), ("DWAYNE", "DUANE", 0.84), ("abc", "xyz", 0.0), ("a", "a", 1.0)]
    {
        assert!((jaro_winkler(a, b) - want).abs() < 1e-4, "{a} {b}: {}", jaro_winkler(a, b));
        assert!((jaro_winkler(b, a) - want).abs() < 1e-4, "{b} {a}");
    }
}

#[test]
fn what_is_like_the_terms() {
    let like = |terms: &[&str], alg, threshold, case| Like::new(terms, alg, threshold, case).expect("a term");
    assert!(Like::new(&["", ""], Algorithm::Subsequence, 0.0, true).is_none());
    let l = like(&["http"], Algorithm::Subsequence, 0.0, true);
    assert_eq!(l.score("http_requests_total"), Some(1.0));
    assert!(l.score("prometheus_http_requests_total").is_some_and(|s| s < 1.0));
    assert_eq!(l.score("HTTP"), None);
    assert_eq!(like(&["HtTp"], Algorithm::Subsequence, 0.0, false).score("HTTP_x"), Some(1.0));
    // Any of the terms, and of all the best.
    assert_eq!(like(&["zzz", "up"], Algorithm::Subsequence, 0.0, true).score("up"), Some(1.0));
    let jw = like(&["requests"], Algorithm::JaroWinkler, 0.0, true);
    assert_eq!(jw.score("requests"), Some(1.0));
    assert_eq!(jw.score("a_requests"), Some(1.0 - 0.9));
    assert_eq!(jw.score("reqeusts"), None, "without a threshold only the term itself is found");
    assert!(like(&["requests"], Algorithm::JaroWinkler, 0.8, true).score("reqeusts").is_some());
    assert_eq!(like(&["ac"], Algorithm::Subsequence, 0.9, true).score("abcd"), None);
}
