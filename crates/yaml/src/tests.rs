use super::*;
use crate as yaml;

table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct Outer as "config.plain" check(Outer::check) {
        pub name: String => required("name is empty");
        pub honor: bool = true => always;
        pub wait: Millis = Millis::from_secs(30);
        pub kind as "type": Option<String>;
        pub password: Secret;
        pub file: FilePath;
        pub limit: Size;
        pub count: i64;
        pub names: Vec<String> => with(|n, cx| yaml::list(n, cx, "empty or null name"));
        pub labels: model_labels::Labels;
        pub inner: Inner => inline;
        pub many: Vec<Inner>;
    }
}

mod model_labels {
    pub use ::model::Labels;
}

table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct Inner as "config.Inner" {
        pub capacity: u64 = 10;
        pub scheme: Scheme;
    }
}

choice! {
    pub enum Scheme = Http { Http = "http", Https = "https" } unknown "unknown scheme {}"
}

impl Outer {
    fn check(&mut self) -> Result<(), String> {
        if self.count < 0 { Err("count must not be negative".into()) } else { Ok(()) }
    }
}

fn read(text: &str) -> Result<Outer, Error> {
    from_str(text, &Options::in_dir("/etc/n"))
}

#[test]
fn takes_fields_keeps_defaults_and_writes_back() {
    let text = "name: 0x10\nhonor: off\nwait: 30s\ntype: a\npassword: p\nfile: ../x.pem\nlimit: 512MB\ncount: 1_000\nnames: one\n\
                labels: {b: 1.50, a: yes}\ncapacity: 5\nmany:\n- scheme: https\n- {capacity: 7}\n";
    let got = read(text).expect("well formed");
    assert_eq!((got.name.as_str(), got.honor, got.wait, got.count), ("0x10", false, Millis(30_000), 1000));
    assert_eq!(got.file.as_str(), "/etc/x.pem");
    assert_eq!(got.inner, Inner { capacity: 5, scheme: Scheme::Http });
    assert_eq!(got.many.len(), 2);
    assert_eq!(
        to_string(&got),
        "name: \"0x10\"\nhonor: false\nwait: 30s\ntype: a\npassword: <secret>\nfile: /etc/x.pem\nlimit: 512MiB\ncount: 1000\nnames:\n- one\n\
         labels:\n  a: \"yes\"\n  b: \"1.50\"\ncapacity: 5\nscheme: http\nmany:\n- capacity: 10\n  scheme: https\n- capacity: 7\n  scheme: http\n"
    );
}

#[test]
fn says_everything_that_is_wrong_and_where() {
    let check = |text: &str, expect: &str| {
        let e = read(text).expect_err(text).to_string();
        assert_eq!(e, expect, "{text}");
    };
    check(
        "name: a\nfoo: 1\nhonor: maybe\nmany:\n- bar: 2\n",
        "yaml: unmarshal errors:\n  line 2: field foo not found in type config.plain\n  line 3: cannot unmarshal !!str `maybe` into bool\n  \
         line 5: field bar not found in type config.Inner",
    );
    check("name: a\nname: b\n", "yaml: unmarshal errors:\n  line 2: field name already set in type config.plain");
    check("name: a\nlabels: {a: 1, a: 2}\n", "yaml: unmarshal errors:\n  line 2: key \"a\" already set in map");
    check("honor: true", "line 1: name is empty");
    check("name: a\ncount: -1", "line 1: count must not be negative");
    check("name: a\nnames: [a, null]", "line 2: empty or null name");
    check("name: a\nwait: 5", "line 2: not a valid duration string: \"5\"");
    check("name: a\nlimit: 100", "line 2: units: unknown unit  in 100");
    check("name: a\nscheme: ftp", "line 2: unknown scheme \"ftp\"");
    check("name: a\nlabels: {!!binary \"/w==\": v}", "line 2: \"\\xff\" is not a valid label name");
    check("name: a\nmany: {}", "yaml: unmarshal errors:\n  line 2: cannot unmarshal !!map into []config.Inner");
    check("name: a\ncount: abcdefghijklmn", "yaml: unmarshal errors:\n  line 2: cannot unmarshal !!str `abcdefg...` into int");
    assert!(read("name: [a\n").expect_err("unclosed").to_string().starts_with("yaml: line "));
    let lenient = Options { ignore_unknown_fields: true, ..Options::default() };
    assert!(from_str::<Outer>("name: a\nfoo: 1\n", &lenient).is_ok());
}

#[test]
fn scalars_mean_what_go_yaml_says() {
    for (text, expect) in [
        ("", Resolved::Null),
        ("~", Resolved::Null),
        ("on", Resolved::Bool(true)),
        ("No", Resolved::Bool(false)),
        ("012", Resolved::Int(10)),
        ("0o12", Resolved::Int(10)),
        ("0x_1F", Resolved::Int(31)),
        ("-0b11", Resolved::Int(-3)),
        ("18446744073709551615", Resolved::Uint(u64::MAX)),
        ("-9223372036854775808", Resolved::Int(i64::MIN)),
        ("1_000.5", Resolved::Float(1000.5)),
        (".5e3", Resolved::Float(500.0)),
        ("1.", Resolved::Float(1.0)),
        ("+.inf", Resolved::Float(f64::INFINITY)),
        ("09", Resolved::Float(9.0)),
        ("1:30", Resolved::Str),
        ("0x", Resolved::Str),
        ("-", Resolved::Str),
        (".", Resolved::Str),
        ("1e", Resolved::Str),
        ("inf", Resolved::Str),
        ("5m", Resolved::Str),
    ] {
        assert_eq!(resolve(text, None), expect, "{text:?}");
    }
}

#[test]
fn a_null_zeroes_scalars_and_keeps_sections() {
    let got = read("name: a\nhonor:\nwait:\ntype:\nmany:\nscheme:\n").expect("well formed");
    assert_eq!((got.honor, got.wait, got.inner), (false, Millis::ZERO, Inner::default()));
}

#[test]
fn relabel_rules() {
    type Rules = Vec<::model::relabel::RelabelRule>;
    let text = "- source_labels: [job, __meta]\n  regex: a.*\n  target_label: x\n  replacement:\n- action: labeldrop\n  regex: (.*)\n";
    let rules: Rules = from_str(text, &Options::default()).expect("well formed");
    assert_eq!(
        to_string(&rules),
        "- source_labels: [job, __meta]\n  separator: ;\n  regex: a.*\n  target_label: x\n  replacement: \"\"\n  action: replace\n\
         - separator: ;\n  replacement: $1\n  action: labeldrop\n"
    );
    for (text, expect) in [
        ("- action: foo", "line 1: unknown relabel action \"foo\""),
        ("- action:", "line 1: relabel action cannot be empty"),
        ("- sources: []", "yaml: unmarshal errors:\n  line 1: field sources not found in type relabel.plain"),
    ] {
        assert_eq!(from_str::<Rules>(text, &Options::default()).expect_err(text).to_string(), expect);
    }
}

#[test]
fn anchors_and_merges() {
    let n = parse("base: &b {a: 1, b: 2}\nx:\n  <<: *b\n  b: 3\ny: {b: 4, <<: [*b, {c: 5}]}\n").expect("well formed");
    let flat = |key: &str| {
        let mut pairs: Vec<String> = n
            .get(key)
            .and_then(Node::entries)
            .expect("a map")
            .iter()
            .map(|(k, v)| format!("{}={}", k.text().unwrap_or("?"), v.text().unwrap_or("?")))
            .collect();
        pairs.sort();
        pairs.join(" ")
    };
    assert_eq!((flat("x").as_str(), flat("y").as_str()), ("a=1 b=3", "a=1 b=4 c=5"));
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..10 {
        let refs = vec![format!("*a{}", i - 1); 10].join(", ");
        text.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
    }
    let e = parse(&text).expect_err("a billion nodes").to_string();
    assert!(e.ends_with("document contains excessive aliasing"), "{e}");
    let deep = "[".repeat(5000);
    assert!(parse(&deep).is_err());
}

#[test]
fn sizes() {
    for (text, bytes, back) in
        [("1KB", 1024, "1KiB"), ("1.5MiB", 3 << 19, "1MiB512KiB"), ("0", 0, "0B"), ("10GB", 10 << 30, "10GiB"), ("7B", 7, "7B")]
    {
        assert_eq!(Size::parse(text), Ok(Size(bytes)));
        assert_eq!(Size(bytes).to_string(), back);
    }
    for bad in ["", "MB", "1XB", "1", "99999999EB", "-1KB"] {
        assert!(Size::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn urls_keep_their_text_and_hide_the_password() {
    let u = Url::parse("HTTPS://us%40er:pa:ss@host:80/p?q=1").expect("fine");
    assert_eq!((u.scheme().as_str(), u.host(), u.path_and_query()), ("https", "host:80", "/p?q=1"));
    assert_eq!(u.user_info(), Some(("us@er".into(), Some("pa:ss".into()))));
    assert_eq!(u.redacted(), "HTTPS://us%40er:xxxxx@host:80/p?q=1");
    assert_eq!(Url::parse("host.only/x").expect("lax").scheme(), "");
    assert!(Url::parse("http://a:b c/").is_err() && Url::parse("\n").is_err() && Url::parse("http://a:x/").is_err());
    assert_eq!(Url::parse("http://[::1]:9090/x").expect("v6").host(), "[::1]:9090");
}

#[test]
fn strings_come_out_as_they_must() {
    for (s, expect) in [
        ("plain text", "plain text"),
        ("", "\"\""),
        ("true", "\"true\""),
        ("10:20", "\"10:20\""),
        ("a: b", "'a: b'"),
        ("it's", "it's"),
        ("'x'", "'''x'''"),
        ("a #b", "'a #b'"),
        ("a#b", "a#b"),
        ("(.*);(.*)", "(.*);(.*)"),
        ("$1", "$1"),
        ("[x]", "'[x]'"),
        ("- x", "'- x'"),
        ("-x", "-x"),
        (" x", "' x'"),
        ("x:", "'x:'"),
        ("tab\there", "\"tab\\there\""),
        ("two\nlines", "|-\n  two\n  lines"),
        ("two\nlines\n", "|\n  two\n  lines"),
        ("2020-01-01", "\"2020-01-01\""),
    ] {
        assert_eq!(to_string(&s.to_string()), format!("{expect}\n"));
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![any::<String>(), "[ -~\n]{0,12}", Just("null".to_string()), Just("0x1".to_string())];
        let leaf = text.prop_map(Value::Str);
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Seq),
                proptest::collection::btree_map("[a-z<~:# ]{1,5}", inner, 0..4).prop_map(|m| Value::Map(m.into_iter().collect())),
            ]
        })
    }

    fn same(v: &Value, n: &Node) -> bool {
        match (v, &n.kind) {
            (Value::Str(s), Kind::Scalar(_)) => n.resolved() == Some(Resolved::Str) && n.text() == Some(s.as_str()),
            (Value::Seq(a), Kind::Seq(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (Value::Map(a), Kind::Map(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((k, v), (nk, nv))| nk.text() == Some(k.as_str()) && same(v, nv))
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(v in value()) {
            let text = to_string(&v);
            let node = parse(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
            prop_assert!(same(&v, &node), "{text}\n{node:?}");
        }

        #[test]
        fn no_text_breaks_the_reader(text in prop_oneof![any::<String>(), "[-a:\\[\\]{}&*!<|>'\"#%@`\n ,?~]{0,60}"]) {
            let _ = read(&text);
            let _ = parse(&text).map(|n| to_string(&n));
        }
    }
}
