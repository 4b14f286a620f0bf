//! Regular expressions as Go has them: probe patterns and random ones, on random texts, asked of a real Prometheus and of this engine: what is
//! refused with which words (as a matcher), what matches, and what the groups hold (through `label_replace`).

use super::server::Reference;
use super::{ask, engine, generate::Query};
use promql::Engine;
use promql::testkit::TestStore;
use stdx::rand::Rand;

/// Where Go's dialect is known to differ from others, and ordinary ones.
const PROBES: [&str; 98] = [
    r"\d+",
    r"\w+",
    r"\s",
    r"\D",
    r"\W",
    r"\S",
    "[[:word:]]",
    "[[:alpha:]]+",
    "[[:^digit:]]",
    r"[\d\s]",
    r"\Qa.b\E",
    r"\Q.*\E+",
    r"\Qa",
    "[a&&b]",
    "[a--b]",
    "[a~~b]",
    "[[a]",
    "[a[b]",
    "[]a]",
    "[^]a]",
    "[a-]",
    "[-a]",
    "[z-a]",
    "[a",
    "a{",
    "{",
    "}",
    "a{,5}",
    "a{2}",
    "a{2,}",
    "a{2,4}",
    "a{4,2}",
    "a{1001}",
    "(?:a{100}){100}",
    "((a{10}){10}){10}",
    r"\<a\>",
    r"\ba\b",
    r"\Ba",
    r"\b{start}a",
    r"\101",
    r"\0",
    r"\08",
    r"\1",
    r"\x41",
    r"\x{41}",
    r"\x{110000}",
    r"\xZ",
    r"\u0041",
    r"\p{Greek}",
    r"\p{^Greek}",
    r"\P{Greek}",
    r"\pL+",
    r"\p{Lu}",
    r"\p{Nope}",
    r"\pN",
    "a**",
    "a++",
    "a?+",
    "a*?",
    "a+?",
    "a??",
    "x{2}{3}",
    "x{2}*",
    "x*{2}",
    "(?x)a b",
    "(?i)äÖ",
    "(?i:k)",
    "(?s).",
    "(?-s).",
    "(?m)^a$",
    "(?U)a*",
    "(?iU)a+?",
    "(?P<n>a)",
    "(?<n>a)",
    "(?P<n>a)(?P<n>b)",
    "(?P<1>a)",
    "(?P<>a)",
    "(?P<n",
    "(?",
    "(?a)",
    "(?=a)",
    "(?!a)",
    "(?<=a)b",
    "(a",
    "a)",
    "(|a)",
    "()",
    "a|",
    "|",
    r"a\",
    r"\e",
    r"\a\f\t\n\r\v",
    r"\z",
    r"\Z",
    r"\A",
    r"\C",
    "^a$",
    "é+|[α-ω]",
];

const TEXTS: [&str; 26] = [
    "", "a", "b", "ab", "aa", "aaa", "aaaa", "A", "a.b", ".*", "[", "]", "-", "{", "a{", "a{,5}", "a\n", "\n", "\t", "\u{b}", "é", "ä", "Ö", "α",
    "k", "\u{212a}",
];

/// Pieces of random patterns.
const PIECES: [&str; 58] = [
    "a",
    "b",
    "ab",
    "é",
    "α",
    ".",
    ".*",
    ".+",
    "^",
    "$",
    "|",
    "(",
    ")",
    "(?:",
    "(?i)",
    "(?s:",
    "(?-s:",
    "(?P<x>",
    "*",
    "+",
    "?",
    "*?",
    "+?",
    "{2}",
    "{0,3}",
    "{1,}",
    "[ab]",
    "[^a]",
    "[a-c]",
    "[[:alpha:]]",
    "[^[:space:]]",
    r"\d",
    r"\w",
    r"\s",
    r"\S",
    r"\b",
    r"\B",
    r"\.",
    r"\\",
    r"\n",
    r"\pL",
    r"\p{Greek}",
    r"\PN",
    r"\x61",
    r"\101",
    r"\Qa|b\E",
    "[",
    "]",
    "{",
    "}",
    "-",
    r"\",
    "(?U)",
    "foo|bar|baz",
    "é|ü",
    "(?i:AbC)",
    r"\z",
    r"\A",
];

const LETTERS: [&str; 16] = ["a", "b", "c", "A", "B", "é", "α", ".", "1", " ", "\n", "|", "[", "\\", "foo", "bar"];

/// In quotes that PromQL reads back as it was.
fn quoted(s: &str) -> String {
    let escaped: String = s.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\U{:08x}", c as u32) }).collect();
    format!("\"{escaped}\"")
}

fn random(r: &mut Rand, from: &[&str], at_most: u64) -> String {
    (0..r.below(at_most) + 1).map(|_| *r.pick(from).expect("pieces")).collect()
}

/// How two answers to a query differ.
fn difference(engine: &Engine, reference: &Reference, text: String) -> Option<String> {
    let q = Query { text, start_ms: 1_700_000_000_000, end_ms: 1_700_000_000_000, step_ms: 0 };
    let (a, b) = (ask(engine, &TestStore::default(), &q), reference.ask(&q));
    (format!("{a:?}") != format!("{b:?}")).then(|| format!("   ours:   {a:?}\n   theirs: {b:?}"))
}

#[test]
fn regular_expressions_are_gos() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let Some(reference) = Reference::start("promql-experimental-functions") else {
        assert!(!std::env::var("NARTHEX_REQUIRE").is_ok_and(|r| r.contains("peers")), "prometheus was not found");
        println!("regexes: skipped, prometheus was not found");
        return;
    };
    let engine = engine(false);
    let mut r = Rand::seeded(number("NARTHEX_DIFF_SEED").unwrap_or(1));
    let random_ones: Vec<String> = (0..number("NARTHEX_DIFF_N").unwrap_or(300)).map(|_| random(&mut r, &PIECES, 7)).collect();
    let (mut wrong, mut refused, mut texts) = (Vec::new(), 0, 0);
    for pattern in PROBES.iter().copied().chain(random_ones.iter().map(String::as_str)) {
        if let Some(d) = difference(&engine, &reference, format!("x{{a=~{}}}", quoted(pattern))) {
            wrong.push(format!("{pattern:?}\n{d}"));
            continue;
        }
        if model::regex::Regex::new(pattern).is_err() {
            refused += 1;
            continue;
        }
        let own: Vec<String> = (0..8).map(|_| random(&mut r, &LETTERS, 6)).collect();
        let all: Vec<&str> = TEXTS.iter().copied().chain(own.iter().map(String::as_str)).collect();
        let one = |i: usize, s: &str| {
            let with_text = format!("label_replace(vector({i}), \"s\", {}, \"\", \"\")", quoted(s));
            format!("label_replace(label_replace({with_text}, \"i\", \"{i}\", \"\", \"\"), \"r\", \"$0<$1>${{x}}\", \"s\", {})", quoted(pattern))
        };
        texts += all.len();
        let together = all.iter().enumerate().map(|(i, s)| one(i, s)).collect::<Vec<_>>().join(" or ");
        if let Some(d) = difference(&engine, &reference, together) {
            let first = all.iter().enumerate().find_map(|(i, s)| difference(&engine, &reference, one(i, s)).map(|d| format!("on {s:?}\n{d}")));
            wrong.push(format!("{pattern:?} {}", first.unwrap_or(d)));
        }
    }
    println!("regexes: {} patterns, {refused} of them refused alike, {texts} texts, {} differ", PROBES.len() + random_ones.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong[..wrong.len().min(20)].join("\n"));
}
