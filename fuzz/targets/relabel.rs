//! Relabel rules over labels: fields of one rule and a label value, one per line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Labels;
use model::name::Scheme;
use model::regex::Regex;
use model::relabel::{Action, RelabelRule, process_labels};

fuzz_target!(|data: &[u8]| {
    let Ok(all) = std::str::from_utf8(data) else { return };
    let mut lines = all.split('\n');
    let mut next = || lines.next().unwrap_or("");
    let Ok(action) = Action::parse(next()) else { return };
    let Ok(regex) = Regex::new(next()) else { return };
    let (target_label, replacement, separator, a, b) = (next().to_string(), next().to_string(), next().to_string(), next(), next());
    let rule = RelabelRule {
        source_labels: vec!["a".to_string(), "b".to_string()],
        separator,
        regex,
        modulus: 7,
        target_label,
        replacement,
        action,
        scheme: None,
    };
    let labels = Labels::from_pairs([("__name__", "x"), ("a", a), ("b", b)].into_iter().filter(|(_, v)| !v.is_empty()));
    for scheme in [Scheme::Utf8, Scheme::Legacy] {
        let mut rule = rule.clone();
        if rule.validate(scheme).is_ok()
            && let Some(out) = process_labels(&labels, &[rule])
        {
            assert!(out.iter().all(|(n, v)| !n.is_empty() && !v.is_empty()), "{out}");
        }
    }
});
