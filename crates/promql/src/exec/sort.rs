//! sort, sort_desc, sort_by_label, sort_by_label_desc: the order of an instant vector.

use super::rows::{Cell, Grid, Matrix};
use super::stream::Stream;
use crate::plan::SortBy;
use std::cmp::Ordering;

/// Reorders rows of one step.
pub fn sort<'p>(matrix: Matrix, grid: Grid, by: &SortBy, descending: bool) -> Stream<'p> {
    let value = |i: usize| match matrix.row(i).cell(0) {
        Some(Cell::Float(v)) => v,
        _ => f64::NAN,
    };
    let mut order: Vec<usize> = (0..matrix.len()).filter(|i| !matrix.row(*i).is_empty()).collect();
    match by {
        // What is no number comes last, whichever way.
        SortBy::Value => go_sort(&mut order, |a, b| {
            let (a, b) = (value(*a), value(*b));
            b.is_nan() || if descending { b < a } else { b > a }
        }),
        SortBy::Labels(names) => order.sort_by(|a, b| {
            let (a, b) = (&matrix.meta(*a).labels, &matrix.meta(*b).labels);
            let by_name = names.iter().map(|n| natural(a.value(n), b.value(n))).find(|o| *o != Ordering::Equal);
            let ordering = by_name.unwrap_or_else(|| a.cmp(b));
            if descending { ordering.reverse() } else { ordering }
        }),
    }
    let mut out = Matrix::new(grid);
    for i in order {
        out.push(matrix.meta(i).clone(), matrix.row(i));
    }
    Stream::from_matrix(out, grid)
}

/// Sorts as Go's `sort.Sort` does: short slices by insertion, where an order that calls what is no number less than everything turns such
/// values round. Longer ones keep equal values in place.
pub fn go_sort<T>(items: &mut [T], mut less: impl FnMut(&T, &T) -> bool) {
    const BY_INSERTION: usize = 12;
    if items.len() > BY_INSERTION {
        items.sort_by(|a, b| match (less(a, b), less(b, a)) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            _ => Ordering::Equal,
        });
        return;
    }
    for i in 1..items.len() {
        let mut j = i;
        while j > 0 && less(&items[j], &items[j - 1]) {
            items.swap(j, j - 1);
            j -= 1;
        }
    }
}

/// Pieces of digits and of anything else, in turn.
fn pieces(s: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = s;
    while let Some(first) = rest.as_bytes().first() {
        let digits = first.is_ascii_digit();
        let end = rest.bytes().position(|b| b.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (piece, behind) = rest.split_at(end);
        out.push(piece);
        rest = behind;
    }
    out
}

/// Natural order: runs of digits compare as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let (x, y) = (pieces(a), pieces(b));
    for (p, q) in x.iter().zip(&y) {
        if p == q {
            continue;
        }
        let number = |s: &str| s.bytes().all(|c| c.is_ascii_digit()).then(|| s.trim_start_matches('0').to_string());
        if let (Some(m), Some(n)) = (number(p), number(q)) {
            // Equal numbers: more leading zeros come first.
            let by_value = m.len().cmp(&n.len()).then_with(|| m.cmp(&n)).then_with(|| q.len().cmp(&p.len()));
            if by_value != Ordering::Equal {
                return by_value;
            }
        }
        return p.cmp(q);
    }
    x.len().cmp(&y.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count() {
        for (a, b) in [("cpu2", "cpu10"), ("1", "a"), ("", "a"), ("a1b2", "a1b10"), ("a", "a1"), ("v1.9", "v1.10")] {
            assert_eq!(natural(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(natural(b, a), Ordering::Greater, "{a} {b}");
        }
    }
}
