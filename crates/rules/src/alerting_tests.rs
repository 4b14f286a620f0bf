use super::*;

fn cx<'a>(ts_ms: i64, query: &'a dyn Fn(&str) -> Result<Vec<(Labels, SampleValue)>, String>, none: &'a Labels) -> Context<'a> {
    Context { ts_ms, limit: 0, external_labels: none, external_url: "http://x", query, template_failed: &|_| {} }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(a, b)| ((*a).to_string(), (*b).to_string())).collect()
}

/// Evaluates at each time with the instances that are over the threshold; returns state and number of alerts to be sent.
fn story(rule: &Alerting, steps: &[(i64, &[&str])]) -> Vec<(AlertState, usize)> {
    let none = Labels::empty();
    let query = |_: &str| Ok(Vec::new());
    steps
        .iter()
        .map(|(ts, instances)| {
            let result = instances.iter().map(|i| (Labels::from_pairs([("__name__", "m"), ("instance", i)]), SampleValue::Float(2.0))).collect();
            rule.eval("Hot", result, &cx(*ts, &query, &none)).expect("evaluated");
            (rule.state(), rule.to_send(*ts, 60_000, 30_000).len())
        })
        .collect()
}

#[test]
fn pending_then_firing_then_resolved() {
    use AlertState::{Firing, Inactive, Pending};
    let rule = Alerting::new(60_000, 0, map(&[("severity", "page")]), map(&[("summary", "{{ $labels.instance }} is {{ $value }}")]), true);
    let got = story(&rule, &[(0, &["a"]), (30_000, &["a"]), (60_000, &["a"]), (90_000, &["a"]), (150_000, &["a"]), (180_000, &[]), (210_000, &[])]);
    assert_eq!(got, [(Pending, 0), (Pending, 0), (Firing, 1), (Firing, 0), (Firing, 1), (Inactive, 1), (Inactive, 0)]);
    assert!(rule.active().is_empty());
}

#[test]
fn keeps_firing_for_a_while() {
    let rule = Alerting::new(0, 60_000, map(&[]), map(&[]), true);
    let got: Vec<AlertState> = story(&rule, &[(0, &["a"]), (30_000, &[]), (60_000, &[]), (90_000, &[])]).into_iter().map(|g| g.0).collect();
    assert_eq!(got, [AlertState::Firing, AlertState::Firing, AlertState::Firing, AlertState::Inactive]);
}

#[test]
fn writes_its_state_as_series_and_takes_it_back() {
    let none = Labels::empty();
    let query = |_: &str| Ok(Vec::new());
    let hot = || vec![(Labels::from_pairs([("instance", "a")]), SampleValue::Float(1.0))];
    let rule = Alerting::new(600_000, 0, map(&[]), map(&[]), false);
    assert!(rule.eval("Hot", hot(), &cx(1_000_000, &query, &none)).expect("evaluated").is_empty(), "nothing is written before the restore");
    let labels = Labels::from_pairs([("alertname", "Hot"), ("instance", "a")]);
    // Down at 900 s, active since 400 s: 100 s of 600 were left.
    rule.restore(1_000_000, 10_000, &BTreeMap::from([(labels, (900_000, 400.0))]));
    let out = rule.eval("Hot", hot(), &cx(1_030_000, &query, &none)).expect("evaluated");
    let shown: Vec<(String, f64)> = out.into_iter().map(|(l, v)| (l.to_string(), v)).collect();
    assert_eq!(
        shown,
        [
            (r#"{__name__="ALERTS", alertname="Hot", alertstate="pending", instance="a"}"#.to_string(), 1.0),
            (r#"{__name__="ALERTS_FOR_STATE", alertname="Hot", instance="a"}"#.to_string(), 500.0),
        ]
    );
}

#[test]
fn templates_limits_and_doubles() {
    let none = Labels::empty();
    let query = |_: &str| Ok(Vec::new());
    let rule = Alerting::new(0, 0, map(&[("who", "{{ $labels.instance }}-{{ $labels.nothing }}")]), map(&[("text", "{{ nope }}")]), true);
    let two = |a: &str, b: &str| {
        vec![(Labels::from_pairs([("instance", a)]), SampleValue::Float(1.0)), (Labels::from_pairs([("instance", b)]), SampleValue::Float(1.0))]
    };
    rule.eval("A", two("x", "y"), &cx(0, &query, &none)).expect("evaluated");
    let a = &rule.active()[0];
    assert_eq!(a.labels.get("who"), Some("x-"));
    assert!(a.annotations.value("text").starts_with("<error expanding template: "));
    let limited = Context { limit: 1, ..cx(0, &query, &none) };
    assert_eq!(rule.eval("A", two("x", "y"), &limited), Err("exceeded limit of 1 with 2 alerts".to_string()));
    let same =
        vec![(Labels::from_pairs([("__name__", "a")]), SampleValue::Float(1.0)), (Labels::from_pairs([("__name__", "b")]), SampleValue::Float(1.0))];
    assert!(rule.eval("A", same, &cx(0, &query, &none)).is_err());
}
