//! Regular expressions of users: pattern, text and replacement, one per line. The ways to ask agree with each other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::regex::{Regex, Search};

fuzz_target!(|data: &[u8]| {
    let Ok(all) = std::str::from_utf8(data) else { return };
    let mut lines = all.splitn(3, '\n');
    let (pattern, template, text) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    if let Ok(r) = Regex::new(pattern) {
        let matches = r.is_match(text);
        assert_eq!(r.captures(text).is_some(), matches, "{pattern:?} {text:?}");
        assert_eq!(r.expand(template, text).is_some(), matches);
        if matches {
            assert!(text.starts_with(r.prefix()), "{pattern:?} {text:?}");
        }
        if let Some(all) = r.literals() {
            assert_eq!(all.iter().any(|l| l == text), matches, "{pattern:?} {text:?}");
        }
    }
    if let Ok(s) = Search::new(pattern) {
        let found = s.is_match(text);
        assert!(found || s.replace_all(text, template) == text);
    }
});
