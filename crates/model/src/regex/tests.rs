//! The dialect against tables, the short ways against the engine, limits, and random patterns.

use super::fast::Fast;
use super::{MAX_GROUP_DEPTH, Regex, Search, anchored, engine, parse};
use proptest::prelude::*;

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"))
}

/// Texts a pattern matches, and texts it does not.
#[test]
fn dialect() {
    for (pattern, yes, no) in [
        // Anchored, and the dot is any character.
        ("a", &["a"][..], &["", "ab", "ba", "A"][..]),
        ("", &[""], &["a"]),
        ("a.c", &["abc", "a\nc", "aéc"], &["ac", "abbc"]),
        (".*", &["", "a\nb"], &[]),
        (".+", &["a", "\n"], &[""]),
        ("a|bc", &["a", "bc"], &["abc", "ac", "b"]),
        ("a||b", &["", "a", "b"], &["ab"]),
        ("^a$", &["a"], &["^a$"]),
        ("\\Aa\\z", &["a"], &["b"]),
        ("(?m)^a$", &["a"], &["a\n", "\na"]),
        ("a$b|c", &["c"], &["a$b", "ab"]),
        ("(?m)a$\n^b", &["a\nb"], &["ab"]),
        // Classes by name are ASCII.
        ("\\d+", &["09"], &["٣", ""]),
        ("\\w+", &["aZ_9"], &["é", "a-b"]),
        ("\\s+", &[" \t\n\r\x0c"], &["\x0b", "\u{a0}"]),
        ("\\D\\W\\S", &["é-é", "a a"], &["1-a", "aaa"]),
        ("[[:word:]]+", &["a_1"], &["é"]),
        ("[[:^alpha:]x]+", &["1x"], &["a"]),
        ("[[:space:]]+", &["\x0b \n"], &["a"]),
        ("[\\d\\-x]+", &["1-x"], &["y"]),
        ("\\ba\\b", &["a"], &["ab"]),
        ("é\\b", &[], &["é"]),
        ("\\Ba", &[], &["a"]),
        ("a\\b{start}", &["a{start}"], &["a"]),
        // Unicode classes.
        ("\\pL+", &["aé"], &["1"]),
        ("\\p{Greek}", &["α"], &["a"]),
        ("\\p{^Greek}", &["a"], &["α"]),
        ("\\P{^Greek}", &["α"], &["a"]),
        ("[\\p{Lu}\\pN]+", &["É1"], &["é"]),
        ("\\p{Any}", &["x", "\n"], &["", "xx"]),
        ("\\p{Old_Italic}", &["\u{10300}"], &["a"]),
        // What is literal.
        ("\\Qa.b*\\E+", &["a.b*", "a.b***"], &["axb*"]),
        ("\\Qa.b", &["a.b"], &["axb"]),
        ("[a&&b]", &["a", "&", "b"], &["c"]),
        ("[a~~b]", &["~"], &["c"]),
        ("[[a]", &["[", "a"], &["[a"]),
        ("[a[b]", &["a", "[", "b"], &["]"]),
        ("[]a]", &["]", "a"], &["[]a]"]),
        ("[^]a]", &["b"], &["]", "a"]),
        ("[a-]", &["a", "-"], &["b"]),
        ("[-a]", &["a", "-"], &["b"]),
        ("[a-c-e]", &["b", "-", "e"], &["d"]),
        ("[^a]", &["b", "\n"], &["a"]),
        ("[:alpha:]", &["a", ":", "l"], &["b"]),
        ("a{", &["a{"], &["a"]),
        ("{", &["{"], &[]),
        ("a{,5}", &["a{,5}"], &["aaa"]),
        ("a{1", &["a{1"], &["a"]),
        ("a{x}", &["a{x}"], &["a"]),
        ("a{01}", &["a{01}"], &["a"]),
        ("}", &["}"], &[]),
        ("]", &["]"], &[]),
        ("\\<a\\>", &["<a>"], &["a"]),
        ("\\_\\-\\/", &["_-/"], &[]),
        // Escapes.
        ("\\101\\x41\\x{1F600}\\0", &["AA😀\0"], &["101"]),
        ("\\a\\f\\n\\r\\t\\v", &["\x07\x0c\n\r\t\x0b"], &[]),
        ("[\\x00-\\x1f]", &["\n"], &[" "]),
        ("\\x{D800}", &[], &["a"]),
        ("[a\\x{D800}-\\x{E000}]", &["a", "\u{e000}"], &["b"]),
        // Repetition.
        ("a{2,3}", &["aa", "aaa"], &["a", "aaaa"]),
        ("a{2,}", &["aa", "aaaaa"], &["a"]),
        ("a{0}b", &["b"], &["ab"]),
        ("(ab)+", &["abab"], &["aba"]),
        ("a*?b+?c??", &["aabbc", "b"], &["a"]),
        ("(a*)*", &["", "aaa"], &["b"]),
        ("(?:a{3}){3}", &["aaaaaaaaa"], &["aaa"]),
        ("(?:a{1000}){0}", &[""], &["a"]),
        ("a(?i)*", &["", "aaa"], &["A"]),
        // Flags.
        ("(?i)abc", &["aBC"], &["abd"]),
        ("(?i:a)b", &["Ab"], &["AB"]),
        ("(?i)k", &["K", "\u{212a}"], &["x"]),
        ("(?i)[a-c]\\w", &["B\u{17f}"], &["d"]),
        ("(?i)\\p{Lu}", &["a"], &["1"]),
        ("(a(?i)b)c", &["aBc"], &["aBC"]),
        ("a(?i)b|c", &["aB", "C"], &["AB"]),
        ("(?-s).", &["a"], &["\n"]),
        ("(?s-i:.)", &["\n"], &[]),
        ("(?U)a*", &["aaa"], &["b"]),
        ("(?P<x>a)(?<y>b)(?P<x>c)", &["abc"], &["ab"]),
        // Forms that need no engine.
        ("foo.*", &["foo", "foobar"], &["fo", "xfoo"]),
        (".*foo", &["foo", "xfoo"], &["foox"]),
        (".+foo", &["xfoo", "foofoo"], &["foo"]),
        ("foo.+", &["foox"], &["foo"]),
        (".*foo.*", &["foo", "xfoox", "\nfoo"], &["fo"]),
        (".+foo.+", &["xfoox", "foofoox"], &["foo", "xfoo", "foox"]),
        ("a.*b.+c.*d", &["abxcd", "a.b.c.d", "abbcd"], &["abcd", "abd"]),
        ("aa.*aa", &["aaaa", "aaxaa"], &["aaa"]),
        (".*..*", &["a"], &[""]),
        (".+.+", &["ab", "éé"], &["é"]),
        ("a.*|.*b|c", &["ax", "xb", "c"], &["cc"]),
        ("(foo|bar).*", &["foo", "barx"], &["fo"]),
        ("(foo|bar)-(x|y)?", &["foo-", "bar-y"], &["foo", "bar-z"]),
        ("[ab][12]", &["a1", "b2"], &["a3", "ab"]),
        ("prod-[0-9]+-web", &["prod-12-web"], &["prod--web", "prod-1-db"]),
    ] {
        let r = regex(pattern);
        for text in yes {
            assert!(r.is_match(text), "{pattern} must match {text:?}");
        }
        for text in no {
            assert!(!r.is_match(text), "{pattern} must not match {text:?}");
        }
    }
}

#[test]
fn refused_in_gos_words() {
    for (pattern, expect) in [
        ("*", "missing argument to repetition operator: `*`"),
        ("a|*", "missing argument to repetition operator: `*`"),
        ("(+?)", "missing argument to repetition operator: `+?`"),
        ("\\Q\\E*", "missing argument to repetition operator: `*`"),
        ("{2}", "missing argument to repetition operator: `{2}`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a++", "invalid nested repetition operator: `++`"),
        ("a?+", "invalid nested repetition operator: `?+`"),
        ("a*?*", "invalid nested repetition operator: `*?*`"),
        ("x{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("a{99999999999}", "invalid repeat count: `{99999999999}`"),
        ("(?:a{100}){100}", "invalid repeat count: `{100}`"),
        ("((a{100}b){10}|c){2,}", "invalid repeat count: `{2,}`"),
        ("(", "missing closing ): `(`"),
        ("(a|b", "missing closing ): `(a|b`"),
        ("a)", "unexpected ): `a)`"),
        ("a)|(b", "unexpected ): `a)|(b`"),
        ("[", "missing closing ]: `[`"),
        ("x[a-z", "missing closing ]: `[a-z`"),
        ("[]", "missing closing ]: `[]`"),
        ("[[:alpha:]", "missing closing ]: `[[:alpha:]`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[a--b]", "invalid character class range: `a--`"),
        ("[a-\\d]", "invalid escape sequence: `\\d`"),
        ("[[:nope:]]", "invalid character class range: `[:nope:]`"),
        ("\\p{nope}", "invalid character class range: `\\p{nope}`"),
        ("\\p{greek}", "invalid character class range: `\\p{greek}`"),
        ("\\pX", "invalid character class range: `\\pX`"),
        ("\\p{Greek", "invalid character class range: `\\p{Greek`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        ("\\u0041", "invalid escape sequence: `\\u`"),
        ("\\1", "invalid escape sequence: `\\1`"),
        ("\\8", "invalid escape sequence: `\\8`"),
        ("\\C", "invalid escape sequence: `\\C`"),
        ("\\x", "invalid escape sequence: `\\x`"),
        ("\\xg1", "invalid escape sequence: `\\xg1`"),
        ("\\x{110000}", "invalid escape sequence: `\\x{110000`"),
        ("\\Z", "invalid escape sequence: `\\Z`"),
        ("\\e", "invalid escape sequence: `\\e`"),
        ("(?x)", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
        ("(?<=a)", "invalid named capture: `(?<=a)`"),
        ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
        ("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?P<n", "invalid named capture: `(?P<n`"),
        ("(?P<x y>a)", "invalid named capture: `(?P<x y>`"),
        ("(?P<>a)", "invalid named capture: `(?P<>`"),
    ] {
        let got = Regex::new(pattern).map_err(|e| e.to_string());
        assert_eq!(got.err(), Some(format!("error parsing regexp: {expect}")), "{pattern}");
    }
}

#[test]
fn wrapped_as_relabel_rules_do() {
    let got = Regex::new_wrapped("[").map_err(|e| e.to_string());
    assert_eq!(got.err().as_deref(), Some("error parsing regexp: missing closing ]: `[)$`"));
    let odd = Regex::new_wrapped("a)|(b").expect("well-formed when wrapped");
    assert_eq!(odd.pattern(), "a)|(b");
    assert!(odd.is_match("a") && odd.is_match("b"));
    assert!(Regex::new_wrapped("(.*)").is_ok_and(|r| r.is_match("a\nb")));
    assert!(Regex::new(r"\Qa").is_ok_and(|r| r.is_match("a")));
    assert!(Regex::new_wrapped(r"\Qa").is_err() && Regex::new_wrapped(r"\Qa\E").is_ok());
}

#[test]
fn literals_and_prefixes() {
    for (pattern, literals, prefix) in [
        ("a", Some(&["a"][..]), "a"),
        ("", Some(&[""]), ""),
        ("a|b|a", Some(&["a", "b"]), ""),
        ("foo|foobar|bar", Some(&["foo", "foobar", "bar"]), ""),
        ("^(?:foo|bar)$", Some(&["foo", "bar"]), ""),
        ("(a|b)(1|2)", Some(&["a1", "a2", "b1", "b2"]), ""),
        ("x[1-3]", Some(&["x1", "x2", "x3"]), "x"),
        ("ab?", Some(&["ab", "a"]), "a"),
        ("a\\.b", Some(&["a.b"]), "a.b"),
        ("a|", Some(&["a", ""]), ""),
        ("(?i)ab", Some(&["AB", "Ab", "aB", "ab"]), ""),
        ("foo.*", None, "foo"),
        ("foo(bar|[0-9]+)", None, "foo"),
        (".*", None, ""),
        ("[^a]", None, ""),
        ("a$|^b", None, ""),
        ("a{2,}", None, ""),
    ] {
        let r = regex(pattern);
        let got = r.literals().map(|l| l.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((got.as_deref(), r.prefix()), (literals, prefix), "{pattern}");
    }
    let many: Vec<String> = (0..20_000).map(|i| format!("name-{i}")).collect();
    let r = regex(&many.join("|"));
    assert_eq!(r.literals().map(<[String]>::len), Some(many.len()));
    assert!(r.is_match("name-19999") && !r.is_match("name-20000"));
}

#[test]
fn templates() {
    for (pattern, template, text, expect) in [
        ("(.*)", "$1", "a\nb", Some("a\nb")),
        // The name in `$1y` is `1y`, which does not exist.
        ("(.*)", "x$1y${1}z$2", "a", Some("xaz")),
        ("plain", "$0!", "plain", Some("plain!")),
        ("(\\w+):(\\d+)", "$2-$1", "host:80", Some("80-host")),
        ("(\\w+):(\\d+)", "$2", "host:x", None),
        ("(?P<host>.+):(?P<port>\\d+)", "${port}/${host}", "a:b:80", Some("80/a:b")),
        ("(?:(?P<n>a)|(?P<n>b))", "$n", "b", Some("b")),
        ("(a)|(b)", "[$1][$2]", "b", Some("[][b]")),
        ("(a+?)(a*)", "$1.$2", "aaa", Some("a.aa")),
        ("(a|ab)(c|bcd)?", "$1.$2", "abcd", Some("a.bcd")),
        ("", "x", "", Some("x")),
    ] {
        assert_eq!(regex(pattern).expand(template, text).as_deref(), expect, "{pattern} {template} {text}");
    }
    let mut out = "kept ".to_string();
    assert!(!regex("(a)").expand_into("$1", "b", &mut out));
    assert!(regex("(a)").expand_into("$1", "a", &mut out));
    assert_eq!(out, "kept a");
    let r = regex("(a)(b)?");
    let caps = r.captures("a").expect("a match");
    assert_eq!((caps.get(0), caps.get(1), caps.get(2), caps.get(3)), (Some("a"), Some("a"), None, None));
}

#[test]
fn search() {
    let s = Search::new("(\\w)(?P<rest>\\w*)").expect("well-formed");
    assert_eq!(s.replace_all("ab, c d", "${rest}$1"), "ba, c d");
    assert!(!Search::new("a.b").is_ok_and(|s| s.is_match("a\nb")));
    assert!(Search::new("[[:alpha:]]{2}").is_ok_and(|s| s.is_match("1ab2")));
    assert_eq!(
        Search::new("a**").map(|_| ()).map_err(|e| e.to_string()),
        Err("error parsing regexp: invalid nested repetition operator: `**`".into())
    );
    assert_eq!(Search::new("a*").map(|s| s.replace_all("baac", "x")), Ok("xbxcx".to_string()));
}

#[test]
fn limits() {
    let bombs = ["(\\pL{1000}\\pN{1000})".repeat(50), "(?:(?:x{10}){10}){10}".repeat(4000), "[^a]{1000}".repeat(200)];
    for bomb in bombs {
        let got = Regex::new(&bomb).map(|_| ()).map_err(|e| e.to_string());
        assert!(got.is_err_and(|e| e.starts_with("error parsing regexp: expression too large: `")));
    }
    let nested = |depth: usize| format!("{}a*{}", "(".repeat(depth), ")*".repeat(depth));
    assert!(regex(&nested(MAX_GROUP_DEPTH)).captures("aaa").is_some());
    for depth in [MAX_GROUP_DEPTH + 1, 100_000] {
        let got = Regex::new(&nested(depth)).map(|_| ()).map_err(|e| e.to_string());
        assert!(got.is_err_and(|e| e.starts_with("error parsing regexp: expression nests too deeply: `")));
    }
    regex(&"(a)".repeat(5_000));
    regex(&"a?".repeat(500));
}

/// Characters that mean something, and some that do not.
const ALPHABET: &str = "ab1-.*+?|()[]{}^$\\,:é\npPdwsQEiUmx<>=0";

fn soup() -> impl Strategy<Value = String> {
    let chars: Vec<char> = ALPHABET.chars().collect();
    prop::collection::vec(prop::sample::select(chars), 0..16).prop_map(String::from_iter)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_panics(pattern in soup(), other in "\\PC{0,20}", text in "[ab1é\\n-]{0,8}") {
        for pattern in [pattern, other] {
            if let Ok(r) = Regex::new(&pattern) {
                prop_assert_eq!(r.is_match(&text), r.captures(&text).is_some());
                if let Some(all) = r.literals() {
                    prop_assert!(all.iter().all(|s| r.is_match(s)));
                    prop_assert_eq!(r.is_match(&text), all.contains(&text));
                }
                prop_assert!(!r.is_match(&text) || text.starts_with(r.prefix()));
                r.expand("$1${2}$a$$", &text);
            }
            let _ = Regex::new_wrapped(&pattern);
            let _ = Search::new(&pattern).map(|s| s.replace_all(&text, "$0"));
        }
    }

    /// The short ways and the engine agree.
    #[test]
    fn short_ways(pattern in "(a|b|ab|\\.\\*|\\.\\+|\\||\\(a\\|b\\)|[ab]\\?|\\[ab\\]|é){0,7}", texts in prop::collection::vec("[abé\\n]{0,6}", 8)) {
        if let Ok(parse::Pattern { hir, .. }) = parse::parse(&pattern, true) {
            let slow = engine(&anchored(hir.clone()), None).expect("small");
            if let Some(fast) = Fast::of(&super::fast::without_captures(&hir), 1) {
                for text in &texts {
                    prop_assert_eq!(fast.is_match(text), slow.is_match(text.as_str()), "{} {:?}", pattern, text);
                }
            }
            let r = regex(&pattern);
            for text in &texts {
                prop_assert_eq!(r.is_match(text), slow.is_match(text.as_str()), "{} {:?}", pattern, text);
            }
        }
    }
}
