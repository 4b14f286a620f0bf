//! Lexer, parser, checker, printer, prettifier and tree of PromQL: nothing panics, and what is printed reads back as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promql::parse::{self, ParseOptions, parse_expr};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = parse_expr(text, &ParseOptions::default()).map_err(|e| e.to_string());
    let _ = parse::parse_metric_selector(text).map_err(|e| e.to_string());
    let _ = parse::parse_metric(text).map_err(|e| e.to_string());
    let Ok(e) = parse_expr(text, &ParseOptions::ALL) else { return };
    // As the reference does, infinity is printed with its sign, which reads back as an operator before `^`, and gets one more each time.
    let bare = |printed: String| printed.replace("+Inf", "Inf");
    let printed = bare(e.to_string());
    // Less than a millisecond is taken, and printed as nothing, there too; nothing is not taken.
    if printed.contains("[0s") || printed.contains(":0s]") {
        return;
    }
    let again = parse_expr(&printed, &ParseOptions::ALL).unwrap_or_else(|e| panic!("{printed:?}: {e}"));
    assert_eq!(bare(again.to_string()), printed);
    parse::to_json(&e);
    let pretty = bare(parse::prettify(&e));
    let again = parse_expr(&pretty, &ParseOptions::ALL).unwrap_or_else(|e| panic!("{pretty:?}: {e}"));
    assert_eq!(bare(again.to_string()), printed, "{pretty:?}");
});
