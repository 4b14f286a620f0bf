//! Scratch in which one label set is put together; kept from sample to sample, so that nothing is allocated.

use model::LabelsRef;
use model::labels::push_pair;
use model::name::METRIC_NAME;
use std::ops::Range;

/// Pairs go in in any order; [`LabelBuf::finish`] sorts them into the layout of [`LabelsRef`].
#[derive(Clone, Debug, Default)]
pub struct LabelBuf {
    arena: String,
    pairs: Vec<(Range<u32>, Range<u32>)>,
    encoded: Vec<u8>,
    duplicate: Option<u32>,
}

impl LabelBuf {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn clear(&mut self) {
        self.arena.clear();
        self.pairs.clear();
        self.encoded.clear();
        self.duplicate = None;
    }

    pub fn push(&mut self, name: &str, value: &str) {
        let name = self.store(name, false);
        let value = self.store(value, false);
        self.pairs.push((name, value));
    }

    /// Takes over a finished label set.
    pub fn copy_from(&mut self, labels: LabelsRef<'_>) {
        self.clear();
        labels.iter().for_each(|(n, v)| self.push(n, v));
        self.finish();
    }

    pub(super) fn push_escaped(&mut self, name: &str, value: &str) {
        let name = self.store(name, true);
        let value = self.store(value, true);
        self.pairs.push((name, value));
    }

    fn store(&mut self, s: &str, escaped: bool) -> Range<u32> {
        // A page is shorter than 4 GiB: the scraper's body limit sees to that.
        let start = self.arena.len() as u32;
        if escaped {
            unescape_label(s, &mut self.arena);
        } else {
            self.arena.push_str(s);
        }
        start..self.arena.len() as u32
    }

    fn text(&self, r: &Range<u32>) -> &str {
        &self.arena[r.start as usize..r.end as usize]
    }

    /// Sorts and encodes what was pushed. Pairs with an empty value are left out. Of equal names the first stays, and [`LabelBuf::duplicate`]
    /// tells which it was.
    pub fn finish(&mut self) {
        let arena = std::mem::take(&mut self.arena);
        let text = |r: &Range<u32>| &arena[r.start as usize..r.end as usize];
        if !self.pairs.is_sorted_by(|a, b| text(&a.0) < text(&b.0)) {
            self.pairs.sort_by(|a, b| text(&a.0).cmp(text(&b.0)));
        }
        self.encoded.clear();
        for (i, (name, value)) in self.pairs.iter().enumerate() {
            if i > 0 && text(&self.pairs[i - 1].0) == text(name) {
                self.duplicate.get_or_insert(i as u32);
            } else if name.is_empty() || !value.is_empty() {
                push_pair(&mut self.encoded, text(name), text(value));
            }
        }
        self.arena = arena;
    }

    pub fn as_ref(&self) -> LabelsRef<'_> {
        LabelsRef::from_encoded(&self.encoded)
    }

    /// A label name that stood there twice.
    pub fn duplicate(&self) -> Option<&str> {
        self.duplicate.map(|i| self.text(&self.pairs[i as usize].0))
    }

    /// Was this label there with an empty value? It is no label of the series then, but says that none is wanted.
    pub fn is_blank(&self, name: &str) -> bool {
        self.pairs.iter().any(|(n, v)| v.is_empty() && self.text(n) == name)
    }

    pub fn metric_name(&self) -> &str {
        self.as_ref().get(METRIC_NAME).unwrap_or("")
    }
}

/// `\\`, `\"` and `\n`; any other backslash stands for itself.
pub(super) fn unescape_label(s: &str, out: &mut String) {
    let mut rest = s;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let (c, used) = match rest.as_bytes().get(at + 1) {
            Some(b'"') => ('"', 2),
            Some(b'\\') => ('\\', 2),
            Some(b'n') => ('\n', 2),
            _ => ('\\', 1),
        };
        out.push(c);
        rest = &rest[at + used..];
    }
    out.push_str(rest);
}
