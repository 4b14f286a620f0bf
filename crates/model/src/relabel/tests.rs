use super::*;
use proptest::prelude::*;

/// A rule from `key=value` words separated by two blanks.
fn rule(text: &str) -> RelabelRule {
    let mut r = RelabelRule::default();
    for word in text.split("  ").filter(|w| !w.is_empty()) {
        let (key, value) = word.split_once('=').expect("key=value");
        match key {
            "from" => r.source_labels = value.split(',').map(str::to_string).collect(),
            "sep" => r.separator = value.to_string(),
            "re" => r.regex = Regex::new(value).expect("pattern"),
            "mod" => r.modulus = value.parse().expect("number"),
            "to" => r.target_label = value.to_string(),
            "with" => r.replacement = value.to_string(),
            "do" => r.action = Action::parse(value).expect("action"),
            other => panic!("unknown key {other}"),
        }
    }
    r
}

fn check(input: &[(&str, &str)], rules: &[&str], expect: Option<&[(&str, &str)]>) {
    let mut rules: Vec<RelabelRule> = rules.iter().map(|r| rule(r)).collect();
    for r in &mut rules {
        r.validate(Scheme::Utf8).expect("valid rule");
    }
    let got = process_labels(&Labels::from_pairs(input.iter().copied()), &rules);
    assert_eq!(got, expect.map(|e| Labels::from_pairs(e.iter().copied())), "{rules:?}");
}

#[test]
fn replaces() {
    let pod = [("pod", "web-7f"), ("ns", "shop")];
    check(&pod, &["from=pod  to=p"], Some(&[("pod", "web-7f"), ("ns", "shop"), ("p", "web-7f")]));
    check(&pod, &["from=ns,pod  sep=/  to=pod"], Some(&[("pod", "shop/web-7f"), ("ns", "shop")]));
    check(&pod, &["from=pod  re=(.*)-(.*)  to=ns  with=${2}_$1"], Some(&[("pod", "web-7f"), ("ns", "7f_web")]));
    check(&pod, &["from=pod  re=web  to=ns  with=x"], Some(&pod));
    check(&pod, &["to=ns  with=static"], Some(&[("pod", "web-7f"), ("ns", "static")]));
    check(&pod, &["from=none  to=ns"], Some(&[("pod", "web-7f")]));
    check(&pod, &["from=pod  re=(web)-.*  to=ns  with=$3"], Some(&[("pod", "web-7f")]));
    check(&pod, &["from=ns  re=(shop)  to=${1}_x  with=1"], Some(&[("pod", "web-7f"), ("ns", "shop"), ("shop_x", "1")]));
    check(&pod, &["from=ns  re=(shop)  to=${2}  with=1"], Some(&pod));
    check(&[("a", "1\n2")], &["from=a  re=1.2  to=b  with=m${0}"], Some(&[("a", "1\n2"), ("b", "m1\n2")]));
    check(&[("a", "l1-l2")], &["from=a  re=(?<x>l1)-(?P<y>l2)  to=n_$x  with=${y}"], Some(&[("a", "l1-l2"), ("n_l1", "l2")]));
    check(&[("a", "x")], &["from=a  to=with.dot"], Some(&[("a", "x"), ("with.dot", "x")]));
    check(&[("a", "x")], &["from=a  to=b  with=$$1-$"], Some(&[("a", "x"), ("b", "$1-$")]));
}

#[test]
fn keeps_and_drops() {
    let a = [("a", "foo"), ("b", "foo"), ("c", "bar")];
    check(&a, &["do=keep  from=a  re=f.*"], Some(&a));
    check(&a, &["do=keep  from=a  re=f"], None);
    check(&a, &["do=drop  from=a  re=f|o"], Some(&a));
    check(&a, &["do=drop  from=a,c  re=foo;bar", "from=a  to=d"], None);
    check(&a, &["do=keepequal  from=a  to=b"], Some(&a));
    check(&a, &["do=keepequal  from=a  to=c"], None);
    check(&a, &["do=dropequal  from=a  to=b"], None);
    check(&a, &["do=DropEqual  from=a  to=c"], Some(&a));
    check(&a, &["do=dropequal  from=x  to=y"], None);
}

#[test]
fn works_on_names() {
    let a = [("a", "foo"), ("b1", "bar"), ("b2", "baz")];
    check(&a, &["do=labelmap  re=b(.*)  with=n_$1"], Some(&[("a", "foo"), ("b1", "bar"), ("b2", "baz"), ("n_1", "bar"), ("n_2", "baz")]));
    check(&a, &["do=labelmap  re=__meta_(.+)"], Some(&a));
    check(&a, &["do=labeldrop  re=b.*"], Some(&[("a", "foo")]));
    check(&a, &["do=labelkeep  re=b.*"], Some(&[("b1", "bar"), ("b2", "baz")]));
}

#[test]
fn hashes_and_case() {
    check(&[("c", "baz")], &["do=hashmod  from=c  to=d  mod=1000"], Some(&[("c", "baz"), ("d", "976")]));
    check(&[("c", "foo\nbar")], &["do=hashmod  from=c  to=d  mod=1000"], Some(&[("c", "foo\nbar"), ("d", "734")]));
    check(&[("c", "bAr1ß")], &["do=uppercase  from=c  to=u", "do=lowercase  from=c  to=l"], Some(&[("c", "bAr1ß"), ("u", "BAR1ß"), ("l", "bar1ß")]));
}

#[test]
fn refuses_what_makes_no_sense() {
    let fails = |text: &str, scheme: Scheme, expect: &str| {
        let got = rule(text).validate(scheme).map_err(|e| e.to_string());
        assert_eq!(got.err().as_deref().unwrap_or("ok"), expect, "{text}");
    };
    let utf8 = |text, expect| fails(text, Scheme::Utf8, expect);
    let legacy = |text, expect| fails(text, Scheme::Legacy, expect);
    utf8("", "relabel configuration for replace action requires 'target_label' value");
    utf8("do=lowercase", "relabel configuration for lowercase action requires 'target_label' value");
    utf8("do=hashmod  to=x", "relabel configuration for hashmod requires non-zero modulus");
    utf8("do=lowercase  to=${3}", "ok");
    legacy("do=lowercase  to=${3}", "\"${3}\" is invalid 'target_label' for lowercase action");
    utf8("to=0${3}", "ok");
    legacy("to=0${3}", "\"0${3}\" is invalid 'target_label' for replace action");
    legacy("to=a-b", "\"a-b\" is invalid 'target_label' for replace action");
    legacy("do=hashmod  to=a.b  mod=1", "\"a.b\" is invalid 'target_label' for hashmod action");
    legacy("do=labelmap  with=${1}.x", "\"${1}.x\" is invalid 'replacement' for labelmap action");
    legacy("do=labelmap  re=m_(.+)", "ok");
    utf8("do=uppercase  to=a  with=x", "'replacement' can not be set for uppercase action");
    utf8("do=keepequal  to=a  re=x", "keepequal action requires only 'source_labels' and `target_label`, and no other fields");
    utf8("do=labeldrop  re=x  from=a", "labeldrop action requires only 'regex', and no other fields");
    assert_eq!(Action::parse("Nope").expect_err("no such action").to_string(), "unknown relabel action \"Nope\"");
}

#[test]
fn legacy_templates() {
    for (text, ok) in [
        ("label", true),
        ("label${1}", true),
        ("${1}label", true),
        ("$1", true),
        ("asd$2asd", true),
        ("_${1}_", true),
        ("foo${bar}9", true),
        ("-label", false),
        ("${", false),
        ("$", false),
        ("${}", false),
        ("foo${", false),
        ("9a", false),
        ("bar.foo${1}bar", false),
        ("", false),
    ] {
        assert_eq!(validate::legacy_template_ok(text.as_bytes()), ok, "{text}");
    }
}

proptest! {
    #[test]
    fn any_template_and_value_pass_through(template: String, value: String) {
        let mut r = RelabelRule { source_labels: vec!["a".into()], replacement: template, target_label: "b".into(), ..RelabelRule::default() };
        r.validate(Scheme::Utf8).expect("replacements are free text");
        process_labels(&Labels::from_pairs([("a", value)]), &[r]);
    }
}
