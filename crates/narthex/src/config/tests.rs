use super::*;
use stdx::fs::RealFs;

fn parse_text(text: &str) -> Result<Loaded, String> {
    let environment = BTreeMap::from([("SITE".to_string(), "광주".to_string())]);
    parse(&RealFs, text, Path::new("/etc/prometheus"), &LoadOptions { environment, ..LoadOptions::default() })
}

#[test]
fn a_leaf_as_a_user_writes_it() {
    let text = r#"
global:
  scrape_interval: 15s
  external_labels: {site: "${SITE}", dollar: "a$$", none: "$NOPE"}
rule_files: ["rules/*.yml"]
scrape_configs:
- job_name: "서버-1"
  static_configs:
  - targets: ["127.0.0.1:9100"]
    labels: {class: "6반", grade: "1학년", number: 1}
remote_write:
- url: http://central:9090/api/v1/write
"#;
    let l = parse_text(text).expect("loads");
    assert_eq!(l.external_labels().to_string(), r#"{dollar="a$", site="광주"}"#);
    assert_eq!(l.empty_variables, ["NOPE"]);
    let job = &l.config.scrape_configs[0];
    assert_eq!((job.job_name.as_str(), job.scrape_interval.0, job.scrape_timeout.0), ("서버-1", 15_000, 10_000));
    assert_eq!(l.config.rule_files[0].as_str(), "/etc/prometheus/rules/*.yml");
    assert!(l.text.contains("job_name: 서버-1"), "{}", l.text);
    // What is given back loads to the same; but for dollar signs, which are written back expanded, as Prometheus does.
    let plain = l.text.replace("dollar: a$", "dollar: a");
    assert_eq!(parse_text(&plain).expect("loads again").text, plain);
}

#[test]
fn faults_say_their_line() {
    for (text, want) in [
        ("global:\n  scrape_interval: 15s\n  nope: 1\n", "line 3: field nope not found in type config.plain"),
        ("scrape_configs:\n- job_name: a\n- job_name: a\n", "found multiple scrape configs with job name \"a\""),
        ("scrape_configs:\n-\n", "empty or null scrape config section"),
        ("otlp:\n  translation_strategy: Nope\n", "unsupported OTLP translation strategy \"Nope\""),
        ("rule_files: ['a/*/b.yml']\n", "invalid rule file path \"a/*/b.yml\""),
    ] {
        let e = parse_text(text).expect_err(text);
        assert!(e.contains(want), "{text}: {e}");
    }
    assert!(parse_text("").is_ok());
}

#[test]
fn patterns_of_file_names() {
    for (pattern, name, want) in
        [("*.yml", "a.yml", true), ("*.yml", "a.yaml", false), ("a?[b-d].x", "a1c.x", true), ("[^a]", "a", false), ("a", "a", true)]
    {
        assert_eq!(glob_matches(pattern.as_bytes(), name.as_bytes()), want, "{pattern} {name}");
    }
}
