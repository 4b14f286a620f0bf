//! The functions of templates, in annotations of alerts that both tools evaluate over the same series: the texts must be equal.

use super::promtool::run;
use narthex_tests::{Kind, Server, peer};
use std::fmt::Write;

/// Function, and templates that use it. `$value` takes the values of [`VALUES`] one after the other.
const TEMPLATES: &[(&str, &[&str])] = &[
    ("args", &[r#"{{ define "x" }}{{ .arg0 }}-{{ .arg1 }}{{ end }}{{ template "x" (args "a" $value) }}"#]),
    ("externalURL", &["{{ externalURL }}"]),
    ("first", &[r#"{{ with query "m" | sortByLabel "a" }}{{ . | first | value }}{{ end }}"#, r#"{{ query "nothing" | first }}"#]),
    ("graphLink", &[r#"{{ graphLink "sum(m) by (a)" }} {{ graphLink "m{a=\"b c\"}/2 > 1 & x" }}"#]),
    ("humanize", &["{{ humanize $value }} {{ humanize \"1234567\" }} {{ humanize \"x\" }}"]),
    ("humanize1024", &["{{ humanize1024 $value }}"]),
    ("humanizeDuration", &["{{ humanizeDuration $value }} {{ humanizeDuration \"93784.5\" }}"]),
    ("humanizePercentage", &["{{ humanizePercentage $value }}"]),
    ("humanizeTimestamp", &["{{ humanizeTimestamp $value }} {{ humanizeTimestamp 1435065584.128 }}"]),
    ("label", &[r#"{{ range query "m" | sortByLabel "a" }}{{ label "a" . }},{{ end }}"#]),
    ("match", &[r#"{{ match "^b.$" $labels.a }} {{ match "(" "x" }}"#, r#"{{ match "x" "axb" }}"#]),
    ("now", &["{{ now }}"]),
    ("parseDuration", &["{{ parseDuration \"1h2m10ms\" }}", "{{ parseDuration \"x\" }}"]),
    ("pathPrefix", &["{{ pathPrefix }}"]),
    ("query", &[r#"{{ range query "m > 0" | sortByLabel "a" }}{{ . }};{{ end }}"#, r#"{{ query "m{" }}"#, r#"{{ len (query "m") }}"#]),
    ("reReplaceAll", &[r#"{{ reReplaceAll "b(.)" "x$1y" $labels.a }} {{ reReplaceAll "(" "" "" }}"#, r#"{{ $labels.a | reReplaceAll "^" "_" }}"#]),
    ("safeHtml", &["{{ safeHtml \"<b>\" }}"]),
    ("sortByLabel", &[r#"{{ range query "m" | sortByLabel "a" }}{{ .Labels.a }}{{ end }}"#]),
    (
        "stripDomain",
        &["{{ stripDomain \"host.example.com:9090\" }} {{ stripDomain \"127.0.0.1:80\" }} {{ stripDomain \"[::1]:80\" }} {{ stripDomain \"x\" }}"],
    ),
    ("stripPort", &["{{ stripPort \"host.example.com:9090\" }} {{ stripPort \"[::1]:80\" }} {{ stripPort \"x\" }} {{ stripPort \"::1\" }}"]),
    ("strvalue", &[r#"{{ range query "count_values(\"__value__\", m)" | sortByLabel "__value__" }}{{ strvalue . }}|{{ end }}"#]),
    ("tableLink", &[r#"{{ tableLink "up == 0" }}"#]),
    ("title", &["{{ title \"aa bb CC-dd\" }}"]),
    ("tmpl", &[r#"{{ define "y" }}<{{ . }}>{{ end }}{{ tmpl "y" $labels.a }}"#]),
    ("toDuration", &["{{ toDuration 90.5 }}", "{{ toDuration $value }}"]),
    ("toLower", &["{{ toLower \"aBC\" }} {{ $labels.a | toLower }}"]),
    ("toTime", &["{{ toTime 1435065584.128 }} {{ (toTime \"1435065584.128\").Year }}", "{{ $value | toTime }}"]),
    ("toUpper", &["{{ toUpper $labels.a }}."]),
    ("urlQueryEscape", &["{{ urlQueryEscape \"a b&c=ü/?\" }}"]),
    ("value", &[r#"{{ range query "m" | sortByLabel "a" }}{{ value . }},{{ end }}"#]),
    // The language around them.
    ("if", &["{{ if gt $value 1.0 }}over{{ else if eq $value 1.0 }}one{{ else }}under{{ end }} {{ if and $labels.a (not $labels.b) }}x{{ end }}"]),
    ("printf", &["{{ printf \"%.2f|%5d|%q|%v|%s|%x|%e|%g\" $value 42 \"x\" $labels $labels.a 255 $value $value }}", "{{ printf \"%d\" $value }}"]),
    ("variables", &["{{ $labels }} {{ $externalLabels.cluster }} {{ $externalURL }} {{ .Labels.a }} {{ .Value }} {{ $x := 1 }}{{ $x = 2 }}{{ $x }}"]),
    (
        "builtins",
        &[
            "{{ len \"abc\" }} {{ index $labels \"a\" }} {{ slice \"abcdef\" 1 3 }} {{ html \"<\" }} {{ js \"'\" }} {{ urlquery \"a b\" }} {{ print 1 2 \"x\" }} {{ println 1 }}",
        ],
    ),
    ("comparison", &["{{ eq 1 1 2 }} {{ ne \"a\" \"b\" }} {{ lt 1 2 }} {{ le 2 2 }} {{ gt 1.5 1.0 }} {{ ge 1 2 }} {{ or 0 \"x\" }} {{ and 1 0 }}"]),
    (
        "range",
        &["{{ range $k, $v := $labels }}{{ $k }}={{ $v }};{{ end }}{{ range $i, $e := query \"m\" }}{{ $i }}{{ break }}{{ else }}none{{ end }}"],
    ),
    ("space", &["a {{- 1 -}} b {{/* nothing */}} c"]),
    ("wrong", &["{{ nope }}", "{{ .Nope }}", "{{ if }}", "{{ 1 | 2 }}"]),
];

const VALUES: [&str; 12] = ["0", "1", "-1.5", "0.000012", "123456789", "1e-9", "1e21", "0.125", "NaN", "+Inf", "-Inf", "86399.9996"];

/// What promtool 3.5.3 has not, or has no value for (its unit tests have no external URL); these are tested beside their code. Two known differences are
/// not asked here: an annotation whose text is empty is left out, and the column in an error about a field of a field is that of its beginning.
const NOT_IN_PEER: &[&str] = &["now", "toDuration", "urlQueryEscape", "externalURL", "pathPrefix"];

#[test]
fn tool_expands_templates_as_promtool() {
    let Some(real) = peer("promtool") else { return };
    let ours = Server::program(Kind::Narthex);
    let (mut equal, mut wrong) = (0, Vec::new());
    for (name, templates) in TEMPLATES {
        for text in *templates {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let quoted = |s: &str| format!("'{}'", s.replace('\'', "''"));
            let rule = format!(
                "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: m or vector(7)\n    annotations:\n      text: {}\n    labels:\n      l: {}\n",
                quoted(text),
                quoted(text)
            );
            let mut test = String::from(
                "rule_files: [r.yml]\ntests:\n- external_labels: {cluster: c}\n  external_url: http://x.example/pre fix\n  input_series:\n",
            );
            for (i, v) in VALUES.iter().enumerate() {
                writeln!(test, "  - {{series: 'm{{a=\"b{i}\"}}', values: '{v}'}}").expect("a string");
            }
            test.push_str("  alert_rule_test:\n  - {eval_time: 0m, alertname: A}\n");
            std::fs::write(dir.path().join("r.yml"), rule).expect("writes");
            std::fs::write(dir.path().join("t.yml"), test).expect("writes");
            let said = |program| run(program, dir.path(), &["test", "rules", "t.yml"], b"");
            let (theirs, mine) = (said(&real), said(&ours));
            if theirs == mine {
                equal += 1;
                assert!(!NOT_IN_PEER.contains(name), "{name} is equal now");
            } else if !NOT_IN_PEER.contains(name) {
                wrong.push(format!("{name}: {text}\n  promtool: {theirs:?}\n  ours:     {mine:?}"));
            }
        }
    }
    eprintln!("templates: {equal} equal of {} functions and forms", TEMPLATES.len());
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
