//! A series' name: label pairs, sorted by label name, each name once.
//!
//! Kept as one run of bytes in the layout of Prometheus' `stringlabels`: for each pair the length and bytes of the name, then of the value; a
//! length below 255 takes one byte, a longer one 0xff and three bytes little-endian. The layout is also what `limit_ratio` hashes, so it
//! must not change. [`LabelsRef`] borrows such bytes from anywhere (a request's scratch buffer, the head's arena), [`Labels`] shares them.

use regex_syntax::hir::{Class, HirKind};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

/// No name and no value may be longer: the layout has three bytes for a length.
pub const MAX_LEN: usize = (1 << 24) - 1;

/// Owned, shared labels. Cloning is a reference count.
#[derive(Clone, Default)]
pub struct Labels {
    data: Arc<[u8]>,
}

/// Labels that live elsewhere.
#[derive(Clone, Copy)]
pub struct LabelsRef<'a> {
    data: &'a [u8],
}

/// Where new labels are put together: mostly without asking for memory.
type Scratch = smallvec::SmallVec<[u8; 512]>;

#[inline]
fn read_str(data: &[u8], at: usize) -> (&str, usize) {
    let (len, start) = match data[at] {
        255 => (usize::from(data[at + 1]) | usize::from(data[at + 2]) << 8 | usize::from(data[at + 3]) << 16, at + 4),
        n => (usize::from(n), at + 1),
    };
    let bytes = &data[start..start + len];
    (std::str::from_utf8(bytes).expect("labels hold only what was a str when pushed"), start + len)
}

#[inline]
fn read_bytes(data: &[u8], at: usize) -> (&[u8], usize) {
    let (len, start) = match data[at] {
        255 => (usize::from(data[at + 1]) | usize::from(data[at + 2]) << 8 | usize::from(data[at + 3]) << 16, at + 4),
        n => (usize::from(n), at + 1),
    };
    (&data[start..start + len], start + len)
}

/// Appends one name or value in the layout of [`Labels`].
#[inline]
fn push_str(out: &mut Vec<u8>, s: &str) {
    match s.len() {
        n @ 0..=254 => out.push(n as u8),
        n => {
            assert!(n <= MAX_LEN, "a label name or value is at most 16 MiB");
            out.extend_from_slice(&[255, n as u8, (n >> 8) as u8, (n >> 16) as u8]);
        }
    }
    out.extend_from_slice(s.as_bytes());
}

/// Appends one pair in the layout of [`Labels`]. For those who fill a scratch buffer: the pairs must come sorted by name, without empty values.
#[inline]
pub fn push_pair(out: &mut Vec<u8>, name: &str, value: &str) {
    push_str(out, name);
    push_str(out, value);
}

/// The same for a name and a value that are known to be UTF-8, or will be checked before anybody reads them.
#[inline]
pub fn push_pair_bytes(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for s in [name, value] {
        match s.len() {
            n @ 0..=254 => out.push(n as u8),
            n => {
                assert!(n <= MAX_LEN, "a label name or value is at most 16 MiB");
                out.extend_from_slice(&[255, n as u8, (n >> 8) as u8, (n >> 16) as u8]);
            }
        }
        out.extend_from_slice(s);
    }
}

impl<'a> LabelsRef<'a> {
    /// Takes bytes that [`push_pair`] wrote in order of the names. Panics later, when read, if they are anything else.
    #[inline]
    pub fn from_encoded(data: &'a [u8]) -> Self {
        LabelsRef { data }
    }

    #[inline]
    pub fn encoded(self) -> &'a [u8] {
        self.data
    }

    pub fn iter(self) -> Iter<'a> {
        Iter { data: self.data, at: 0 }
    }

    /// Names and values in turn, as bytes: for those who copy or compare and need no text.
    pub fn strings(self) -> Strings<'a> {
        Strings { data: self.data, at: 0 }
    }

    /// The pairs as they are stored: the bytes of the name, and the whole pair in the layout of [`push_pair`]. For building keys without
    /// looking at values.
    pub fn encoded_pairs(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let data = self.data;
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= data.len() {
                return None;
            }
            let from = at;
            let (name, value_at) = read_bytes(data, at);
            at = read_bytes(data, value_at).1;
            Some((name, &data[from..at]))
        })
    }

    pub fn is_empty(self) -> bool {
        self.data.is_empty()
    }

    /// The value of a label; None when the series does not have it.
    pub fn get(self, name: &str) -> Option<&'a str> {
        let mut at = 0;
        while at < self.data.len() {
            let (n, next) = read_bytes(self.data, at);
            match n.cmp(name.as_bytes()) {
                Ordering::Less => at = read_bytes(self.data, next).1,
                Ordering::Equal => return Some(read_str(self.data, next).0),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// The 64-bit hash that Prometheus' stringlabels build gives (xxHash64 of the layout). Stable for ever.
    pub fn stable_hash(self) -> u64 {
        xxhash_rust::xxh64::xxh64(self.data, 0)
    }

    pub fn to_labels(self) -> Labels {
        Labels { data: Arc::from(self.data) }
    }
}

/// Walks the pairs in order of their names.
#[derive(Clone)]
pub struct Iter<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.data.len() {
            return None;
        }
        let (name, at) = read_str(self.data, self.at);
        let (value, at) = read_str(self.data, at);
        self.at = at;
        Some((name, value))
    }
}

/// Walks names and values in turn.
#[derive(Clone)]
pub struct Strings<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.data.len() {
            return None;
        }
        let (s, at) = read_bytes(self.data, self.at);
        self.at = at;
        Some(s)
    }
}

impl Labels {
    pub fn empty() -> Self {
        Self::default()
    }

    /// From pairs in any order. Of equal names the last wins; pairs with an empty value are left out, as an empty value means "no such label".
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut b = LabelsBuilder::default();
        for (n, v) in pairs {
            b.set(n.as_ref(), v.as_ref());
        }
        b.build()
    }

    #[inline]
    pub fn as_ref(&self) -> LabelsRef<'_> {
        LabelsRef { data: &self.data }
    }

    pub fn iter(&self) -> Iter<'_> {
        self.as_ref().iter()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.as_ref().get(name)
    }

    /// The value, or "" when the label is absent: what a matcher sees.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    pub fn metric_name(&self) -> &str {
        self.value(crate::name::METRIC_NAME)
    }

    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    pub fn len(&self) -> usize {
        self.iter().count()
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn stable_hash(&self) -> u64 {
        self.as_ref().stable_hash()
    }

    /// Without the metric name.
    pub fn without_name(&self) -> Labels {
        if self.has(crate::name::METRIC_NAME) { self.without(&[crate::name::METRIC_NAME]) } else { self.clone() }
    }

    /// Only the named labels. `names` in any order.
    pub fn keep(&self, names: &[&str]) -> Labels {
        self.filtered(|n| names.contains(&n))
    }

    /// All but the named labels. `names` in any order.
    pub fn without(&self, names: &[&str]) -> Labels {
        self.filtered(|n| !names.contains(&n))
    }

    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Labels {
        let is_kept = |name: &[u8]| keep(std::str::from_utf8(name).expect("labels hold only what was a str when pushed"));
        let mut out = Scratch::new();
        for (_, pair) in self.as_ref().encoded_pairs().filter(|(name, _)| is_kept(name)) {
            out.extend_from_slice(pair);
        }
        if out.len() == self.data.len() { self.clone() } else { Labels { data: out.as_slice().into() } }
    }

    /// With one label set; an empty value takes it away.
    pub fn with(&self, name: &str, value: &str) -> Labels {
        let (mut out, mut pair) = (Scratch::new(), Vec::new());
        if !value.is_empty() {
            push_pair(&mut pair, name, value);
        }
        let mut placed = false;
        for (n, old) in self.as_ref().encoded_pairs() {
            let order = n.cmp(name.as_bytes());
            if order != Ordering::Less && !std::mem::replace(&mut placed, true) {
                out.extend_from_slice(&pair);
            }
            if order != Ordering::Equal {
                out.extend_from_slice(old);
            }
        }
        if !placed {
            out.extend_from_slice(&pair);
        }
        Labels { data: out.as_slice().into() }
    }

    pub fn builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect() }
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.data.hash(state);
    }
}

/// Pair by pair, names before values; a set that is a prefix of another comes first.
impl Ord for LabelsRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let Some(differs) = first_difference(self.data, other.data) else { return self.data.len().cmp(&other.data.len()) };
        // What lies before is the same in both, lengths too: only the string that the difference is in counts.
        let mut at = 0;
        loop {
            let (a, next) = read_bytes(self.data, at);
            if next > differs {
                return a.cmp(read_bytes(other.data, at).0);
            }
            at = next;
        }
    }
}

/// The first place at which two runs of bytes differ; None when one begins with the other.
#[inline]
fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let n = a.len().min(b.len());
    let (a_words, b_words) = (a[..n].chunks_exact(8), b[..n].chunks_exact(8));
    let words = a_words.len() * 8;
    for (i, (x, y)) in a_words.zip(b_words).enumerate() {
        if x != y {
            return x.iter().zip(y).position(|(p, q)| p != q).map(|at| i * 8 + at);
        }
    }
    a[words..n].iter().zip(&b[words..n]).position(|(p, q)| p != q).map(|at| words + at)
}

impl PartialOrd for LabelsRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for LabelsRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl Eq for LabelsRef<'_> {}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_ref().cmp(&other.as_ref())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for LabelsRef<'_> {
    /// `{a="1", b="2"}`; names that are not of the old scheme are quoted too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (n, v)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if crate::name::is_legacy_label(n) {
                f.write_str(n)?
            } else {
                f.write_str(&quote(n))?
            }
            write!(f, "={}", quote(v))?;
        }
        f.write_str("}")
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for LabelsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A string as Go's `strconv.Quote` writes it.
pub fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0b' => out.push_str("\\v"),
            '\x0c' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if !is_printable(c) && (c as u32) < 0x10000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if !is_printable(c) => out.push_str(&format!("\\U{:08x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols, and of all spaces only U+0020.
fn is_printable(c: char) -> bool {
    static PRINTABLE: LazyLock<Vec<(char, char)>> = LazyLock::new(|| {
        let hir = regex_syntax::parse(r"[\p{L}\p{M}\p{N}\p{P}\p{S}]").expect("these categories exist");
        match hir.kind() {
            HirKind::Class(Class::Unicode(class)) => class.ranges().iter().map(|r| (r.start(), r.end())).collect(),
            other => unreachable!("a class of characters is none: {other:?}"),
        }
    });
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    let after = PRINTABLE.partition_point(|(first, _)| *first <= c);
    after > 0 && c <= PRINTABLE[after - 1].1
}

/// Labels under construction: sets, replaces and removes, in any order.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        if value.is_empty() {
            return self.del(name);
        }
        match self.pairs.iter_mut().find(|(n, _)| n == name) {
            Some((_, v)) => value.clone_into(v),
            None => self.pairs.push((name.to_string(), value.to_string())),
        }
        self
    }

    pub fn del(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| n != name);
        self
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The value, or "" when the label is absent.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// The pairs in no particular order.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    pub fn retain(&mut self, keep: impl Fn(&str, &str) -> bool) {
        self.pairs.retain(|(n, v)| keep(n, v));
    }

    pub fn clear(&mut self) {
        self.pairs.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    pub fn build(&self) -> Labels {
        let mut order: Vec<&(String, String)> = self.pairs.iter().collect();
        order.sort_by(|a, b| a.0.cmp(&b.0));
        let mut out = Vec::with_capacity(order.iter().map(|(n, v)| n.len() + v.len() + 2).sum());
        for (n, v) in order {
            push_pair(&mut out, n, v);
        }
        Labels { data: out.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sorted_shown_and_filtered() {
        let l = Labels::from_pairs([("job", "서버-1"), ("__name__", "up"), ("class", "6반"), ("empty", "")]);
        assert_eq!(l.to_string(), r#"{__name__="up", class="6반", job="서버-1"}"#);
        assert_eq!(l.metric_name(), "up");
        assert_eq!(l.without_name().to_string(), r#"{class="6반", job="서버-1"}"#);
        assert_eq!(l.keep(&["job"]).to_string(), r#"{job="서버-1"}"#);
        assert_eq!(l.get("empty"), None);
        assert_eq!(l.with("k", "v").to_string(), r#"{__name__="up", class="6반", job="서버-1", k="v"}"#);
        assert_eq!(l.with("a", "v").with("class", "7").to_string(), r#"{__name__="up", a="v", class="7", job="서버-1"}"#);
        assert_eq!(l.with("class", "").with("none", ""), l.without(&["class"]));
    }

    #[test]
    fn long_values_take_the_long_form() {
        let long = "x".repeat(300);
        let l = Labels::from_pairs([("a", long.as_str()), ("b", "2")]);
        assert_eq!(l.get("a"), Some(long.as_str()));
        assert_eq!(l.get("b"), Some("2"));
    }

    /// Short names and values of two letters share beginnings; long ones have long lengths.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![4 => "[ab]{0,9}", 1 => "[ab]{250,260}", 1 => any::<String>()]
    }

    proptest! {
        #[test]
        fn orders_as_lists_of_pairs(
            a in proptest::collection::btree_map(text(), text(), 0..4),
            b in proptest::collection::btree_map(text(), text(), 0..4),
        ) {
            let clean = |m: std::collections::BTreeMap<String, String>| m.into_iter().filter(|(_, v)| !v.is_empty()).collect::<Vec<_>>();
            let (a, b) = (clean(a), clean(b));
            let (la, lb) = (Labels::from_pairs(a.clone()), Labels::from_pairs(b.clone()));
            prop_assert_eq!(la.cmp(&lb), a.cmp(&b));
            prop_assert_eq!(la.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect::<Vec<_>>(), a);
        }
    }
}
