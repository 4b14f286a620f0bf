//! Go templates as alerts use them, parsed and expanded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Labels;
use rules::template::{ALERT_PRELUDE, Functions, MAX_OUTPUT_BYTES, SampleValue, Value, expand};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let labels = Labels::from_pairs([("alertname", "a"), ("instance", "host:9100"), ("job", "<b>")]);
    let value = || SampleValue::Float(1234567.5);
    let vector = |_: &str| Ok(vec![(labels.clone(), value()), (Labels::empty(), SampleValue::Float(f64::NAN))]);
    let functions = Functions { query: &vector, now_ms: 1_700_000_000_123, external_url: "http://localhost:9090/x" };
    let whole = format!("{ALERT_PRELUDE}{text}");
    let alert = Value::alert_data(&labels, &labels, "http://localhost:9090/x", value());
    match expand("t", &whole, &alert, &functions) {
        Ok(out) => assert!(out.len() <= MAX_OUTPUT_BYTES),
        Err(e) => drop(e.to_string()),
    }
});
