//! Sorted series references and their set operations.
//!
//! A list on the disk is used as it lies there (4 bytes each, big-endian): looking into a long one costs only what is looked at.

use std::cmp::Ordering;

/// Sorted, each once.
#[derive(Clone, Debug)]
pub enum PostingList<'a> {
    /// As on the disk; a multiple of four bytes.
    Raw(&'a [u8]),
    Owned(Vec<u32>),
}

impl Default for PostingList<'_> {
    fn default() -> Self {
        PostingList::Raw(&[])
    }
}

/// Below this ratio of lengths two lists are walked side by side; above, each element of the short one is looked up in the long one.
const GALLOP_RATIO: usize = 16;

impl PostingList<'_> {
    pub fn len(&self) -> usize {
        match self {
            PostingList::Raw(b) => b.len() / 4,
            PostingList::Owned(v) => v.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn get(&self, i: usize) -> u32 {
        match self {
            PostingList::Raw(b) => {
                let at = i * 4;
                u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
            }
            PostingList::Owned(v) => v[i],
        }
    }

    /// Adds all to a vector.
    pub fn append_to(&self, out: &mut Vec<u32>) {
        match self {
            PostingList::Raw(b) => out.extend(b.chunks_exact(4).map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]]))),
            PostingList::Owned(v) => out.extend_from_slice(v),
        }
    }

    pub fn into_vec(self) -> Vec<u32> {
        match self {
            PostingList::Owned(v) => v,
            raw => {
                let mut out = Vec::with_capacity(raw.len());
                raw.append_to(&mut out);
                out
            }
        }
    }

    /// The first index from `from` on whose reference is not below `target`: doubling steps, then bisection.
    fn seek(&self, from: usize, target: u32) -> usize {
        let n = self.len();
        let mut step = 1;
        let mut low = from;
        while low + step < n && self.get(low + step) < target {
            low += step;
            step *= 2;
        }
        let mut high = (low + step + 1).min(n);
        while low < high {
            let mid = low.midpoint(high);
            if self.get(mid) < target { low = mid + 1 } else { high = mid }
        }
        low
    }

    /// Is any reference in both?
    pub fn meets(&self, other: &PostingList<'_>) -> bool {
        let (mut i, mut j) = (0, 0);
        while i < self.len() && j < other.len() {
            let (a, b) = (self.get(i), other.get(j));
            match a.cmp(&b) {
                Ordering::Equal => return true,
                Ordering::Less => i = self.seek(i, b),
                Ordering::Greater => j = other.seek(j, a),
            }
        }
        false
    }
}

/// Those in both.
pub fn intersect(mut a: Vec<u32>, b: &PostingList<'_>) -> Vec<u32> {
    if b.len() / GALLOP_RATIO > a.len() {
        let mut at = 0;
        a.retain(|r| {
            at = b.seek(at, *r);
            at < b.len() && b.get(at) == *r
        });
        return a;
    }
    if a.len() / GALLOP_RATIO > b.len() {
        let long = PostingList::Owned(a);
        let mut at = 0;
        let mut out = Vec::with_capacity(b.len());
        for i in 0..b.len() {
            let r = b.get(i);
            at = long.seek(at, r);
            if at < long.len() && long.get(at) == r {
                out.push(r);
            }
        }
        return out;
    }
    let mut j = 0;
    a.retain(|r| {
        while j < b.len() && b.get(j) < *r {
            j += 1;
        }
        j < b.len() && b.get(j) == *r
    });
    a
}

/// Those of `a` that are not in `b`.
pub fn subtract(mut a: Vec<u32>, b: &PostingList<'_>) -> Vec<u32> {
    let gallop = b.len() / GALLOP_RATIO > a.len();
    let mut j = 0;
    a.retain(|r| {
        if gallop {
            j = b.seek(j, *r);
        } else {
            while j < b.len() && b.get(j) < *r {
                j += 1;
            }
        }
        j >= b.len() || b.get(j) != *r
    });
    a
}

/// Those in any.
pub fn union(lists: &[PostingList<'_>]) -> Vec<u32> {
    let mut out = Vec::with_capacity(lists.iter().map(PostingList::len).sum());
    for l in lists {
        l.append_to(&mut out);
    }
    if lists.len() > 1 {
        // A merge sort that finds the sorted runs.
        out.sort();
        out.dedup();
    }
    out
}

/// Shortest first: so intersections shrink early.
pub fn by_length(a: &PostingList<'_>, b: &PostingList<'_>) -> Ordering {
    a.len().cmp(&b.len())
}
