use super::*;
use std::rc::Rc;

fn run_with(text: &str, data: &Value, result: &[(&[(&str, &str)], f64)]) -> Result<String, String> {
    let query = |_: &str| Ok(result.iter().map(|(l, v)| (model::Labels::from_pairs(l.iter().copied()), SampleValue::Float(*v))).collect());
    let f = Functions { query: &query, now_ms: 1_353_755_652_000, external_url: "http://testhost:9090/path/prefix" };
    expand("test", text, data, &f).map_err(|e| e.to_string())
}

fn check(text: &str, want: &str) {
    assert_eq!(run_with(text, &Value::Nil, &[]), Ok(want.to_string()), "{text}");
}

fn fails(text: &str, want: &str) {
    assert_eq!(run_with(text, &Value::Nil, &[]), Err(want.to_string()), "{text}");
}

#[test]
fn text_structure_and_variables() {
    check("plain text", "plain text");
    check("{{ 1 }}", "1");
    check("a {{- 1 -}} b", "a1b");
    check("{{/* nothing */}}x", "x");
    check(r#"{{define "x"}}{{.arg0}} {{.arg1}}{{end}}{{template "x" (args 1 "2")}}"#, "1 2");
    check(r#"{{ if eq 1 2 }}a{{ else if true }}b{{ else }}c{{ end }}"#, "b");
    check(r#"{{ with "x" }}{{ . }}{{ end }}{{ with "" }}y{{ else }}z{{ end }}"#, "xz");
    check(r#"{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}"#, "2");
    check(r#"{{ range $i, $e := (args 5 6) }}{{ $i }}={{ $e }},{{ else }}none{{ end }}"#, "arg0=5,arg1=6,");
    check("{{ .Foo }}", "<no value>");
    check(r#"{{ and 1 0 }} {{ or 0 "x" }} {{ not true }} {{ len "abc" }} {{ index (args 7) "arg0" }} {{ print 1 2 "a" }}"#, "0 x false 3 7 1 2a");
    check("{{ \"\\u00e9\\n\" }}{{ `raw\\n` }}", "é\nraw\\n");
}

#[test]
fn values_print_as_go_prints_them() {
    check("{{ now }}", "1.353755652e+09");
    check("{{ 1234567.0 }} {{ 0.5 }} {{ 1e100 }} {{ 0x1F }}", "1.234567e+06 0.5 1e+100 31");
    check(
        r#"{{ printf "%.2f|%5d|%-5s|%05.1f|%q|%x|%v|%t|%e|%.3g|%%" 3.14159 42 "ab" 2.5 "q" 255 "v" true 12345.678 1234567.0 }}"#,
        "3.14|   42|ab   |002.5|\"q\"|ff|v|true|1.234568e+04|1.23e+06|%",
    );
    check(r#"{{ printf "%d" }} {{ printf "%d" "x" }} {{ printf "a" 1 }}"#, "%!d(MISSING) %!d(string=x) a%!(EXTRA int=1)");
}

#[test]
fn queries() {
    let a: &[(&str, &str)] = &[("__name__", "metric"), ("instance", "a")];
    let b: &[(&str, &str)] = &[("__name__", "metric"), ("instance", "b")];
    for (text, want) in [
        (r#"{{ query "metric" | first | value }}"#, "21"),
        (r#"{{ query "metric" | first | label "instance" }}"#, "b"),
        (r#"{{ query "metric" | first | label "foo" }}"#, ""),
        (r#"{{ $x := query "metric" | first }}{{ $x.Labels.foo }}{{ $x.Value }}"#, "21"),
        (r#"{{ range query "metric" | sortByLabel "instance" }}{{.Labels.instance}}:{{.Value}}: {{end}}"#, "a:11: b:21: "),
    ] {
        assert_eq!(run_with(text, &Value::Nil, &[(b, 21.0), (a, 11.0)]), Ok(want.to_string()), "{text}");
    }
}

#[test]
fn functions() {
    for (text, want) in [
        (r#"{{ "foo.example.com:12345" | stripPort }}"#, "foo.example.com"),
        (r#"{{ "[2001:0DB8::1]:12345" | stripPort }}"#, "2001:0DB8::1"),
        (r#"{{ "[2001:0DB8::1]::12345" | stripPort }}"#, "[2001:0DB8::1]::12345"),
        (r#"{{ "foo.example.com:12345" | stripDomain }}"#, "foo:12345"),
        (r#"{{ "192.0.2.1:12345" | stripDomain }}"#, "192.0.2.1:12345"),
        (r#"{{ reReplaceAll "(a)b" "x$1" "ab" }}"#, "xa"),
        (r#"{{ match "a+" "aa" }} {{ match "a+" "b" }}"#, "true false"),
        (
            r#"{{ humanize 0.0 }}:{{ humanize 1.0 }}:{{ humanize 1234567.0 }}:{{ humanize ".12" }}:{{ humanize 9223372036854775807 }}"#,
            "0:1:1.235M:120m:9.223E",
        ),
        ("{{ humanize1024 1048576.0 }}:{{ humanize1024 .12 }}:{{ humanize1024 -1 }}", "1Mi:0.12:-1"),
        (
            "{{ humanizeDuration 0 }}:{{ humanizeDuration 60 }}:{{ humanizeDuration 3600 }}:{{ humanizeDuration 90000 }}:{{ humanizeDuration -183845 }}:{{ humanizeDuration 899.99 }}",
            "0s:1m 0s:1h 0m 0s:1d 1h 0m 0s:-2d 3h 4m 5s:14m 59s",
        ),
        (
            "{{ humanizeDuration .1 }}:{{ humanizeDuration .0001 }}:{{ humanizeDuration 1.2345 }}:{{ humanizeDuration \"43200\" }}",
            "100ms:100us:1.234s:12h 0m 0s",
        ),
        (r#"{{ humanize "+Inf" }}:{{ humanizeDuration "-Inf" }}:{{ humanizeTimestamp "NaN" }}"#, "+Inf:-Inf:NaN"),
        ("{{ -0.22222 | humanizePercentage }}:{{ 0.1234567 | humanizePercentage }}:{{ 1234567 | humanizePercentage }}", "-22.22%:12.35%:1.235e+08%"),
        ("{{ 1435065584.128 | humanizeTimestamp }}:{{ -1 | humanizeTimestamp }}", "2015-06-23 13:19:44.128 +0000 UTC:1969-12-31 23:59:59 +0000 UTC"),
        (r#"{{ (1435065584.128 | toTime).Format "2006" }}"#, "2015"),
        (r#"{{ (now | toTime).Format "Mon Jan 2 15:04:05 2006" }}"#, "Sat Nov 24 11:14:12 2012"),
        (r#"{{ ("1800" | toDuration).String }}"#, "30m0s"),
        (r#"{{ ("-30m" | parseDuration | toDuration | (now | toTime).Add).UnixMilli }}"#, "1353753852000"),
        (r#"{{ "aa bb CC" | title }} {{ "aa" | toUpper }} {{ "AA" | toLower }}"#, "Aa Bb CC AA aa"),
        (r#"{{ graphLink "up == 1" }} {{ tableLink "up" }}"#, "/graph?g0.expr=up+%3D%3D+1&g0.tab=0 /graph?g0.expr=up&g0.tab=1"),
        ("{{ pathPrefix }} {{ externalURL }}", "/path/prefix http://testhost:9090/path/prefix"),
        (r#"{{ printf "%0.2f" (parseDuration "-1h2m10ms") }}"#, "-3720.01"),
        (r#"{{ "<b>" | safeHtml }}{{ urlQueryEscape "a b&c" }}"#, "<b>a+b%26c"),
    ] {
        check(text, want);
    }
}

#[test]
fn errors_say_where_and_why() {
    fails("{{", "error parsing template test: template: test:1: unclosed action");
    fails("{{\u{a0}}}", "error parsing template test: template: test:1: unrecognized character in action: U+00A0");
    fails("a\n{{ nope 1 }}", "error parsing template test: template: test:2: function \"nope\" not defined");
    fails("{{ if true }}", "error parsing template test: template: test:1: unexpected EOF");
    fails("{{ $x }}", "error parsing template test: template: test:1: undefined variable \"$x\"");
    fails(
        "{{ query \"missing\" | first }}",
        "error executing template test: template: test:1:21: executing \"test\" at <first>: error calling first: first() called on vector with no elements",
    );
    fails(
        "{{ (query \"missing\").banana }}",
        "error executing template test: template: test:1:10: executing \"test\" at <\"missing\">: can't evaluate field banana in type template.queryResult",
    );
    fails(
        r#"{{ humanize "one" }}"#,
        r#"error executing template test: template: test:1:3: executing "test" at <humanize "one">: error calling humanize: strconv.ParseFloat: parsing "one": invalid syntax"#,
    );
    fails(
        r#"{{ "one" | humanizePercentage }}"#,
        r#"error executing template test: template: test:1:11: executing "test" at <humanizePercentage>: error calling humanizePercentage: strconv.ParseFloat: parsing "one": invalid syntax"#,
    );
}

#[test]
fn an_alerts_text() {
    let labels = model::Labels::from_pairs([("class", "6반"), ("instance", "서버-1:9100")]);
    let data = Value::alert_data(&labels, &model::Labels::from_pairs([("site", "a")]), "http://x", SampleValue::Float(0.8765));
    let text = format!(
        "{ALERT_PRELUDE}{{{{ $labels.class }}}}/{{{{ $labels.missing }}}}/{{{{ $externalLabels.site }}}} {{{{ $value | humanizePercentage }}}} {{{{ .Value }}}} {{{{ $labels.instance | stripPort }}}}"
    );
    assert_eq!(run_with(&text, &data, &[]), Ok("6반//a 87.65% 0.8765 서버-1".to_string()));
}

#[test]
fn loops_are_bounded() {
    let endless = r#"{{define "a"}}{{template "a" .}}{{end}}{{template "a" .}}"#;
    assert!(run_with(endless, &Value::Nil, &[]).is_err());
    assert!(Template::parse("t", &"{{if true}}".repeat(10_000)).is_err());
    let list = Value::List(Rc::new((0..2000).map(Value::Int).collect()));
    assert!(run_with("{{range $a := .}}{{range $b := $}}{{range $c := $}}x{{end}}{{end}}{{end}}", &list, &[]).is_err());
}
