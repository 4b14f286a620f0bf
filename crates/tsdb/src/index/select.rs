//! From matchers to series references.
//!
//! Matchers that the empty string does not fit say which series may be in the result: their lists are intersected, shortest first. The others
//! only take series away: those whose label has a value that does not fit. A regular expression over a label with many values is asked series by
//! series when few series are left.

use super::postings::{self, PostingList};
use super::reader::IndexReader;
use crate::block::error::BlockError;
use model::matcher::{MatchOp, Matcher};
use std::ops::ControlFlow;

/// References of the series that fit all matchers, sorted; this is also the order of their labels.
pub fn select(index: &IndexReader, matchers: &[Matcher]) -> Result<Vec<u32>, BlockError> {
    let (mut need, mut take): (Vec<&Matcher>, Vec<&Matcher>) = (Vec::new(), Vec::new());
    for m in matchers {
        if m.name.is_empty() && m.value.is_empty() && m.op == MatchOp::Equal {
            continue;
        }
        match (m.op, m.value.as_str()) {
            (MatchOp::Regex, ".*") => {}
            (MatchOp::NotRegex, ".*") => return Ok(Vec::new()),
            _ if m.matches_empty() => take.push(m),
            _ => need.push(m),
        }
    }
    // Exact ones first: they are cheap and leave little for the others.
    let (exact, broad): (Vec<_>, Vec<_>) = need.into_iter().partition(|m| literals(m).is_some());
    let mut lists = Vec::with_capacity(exact.len());
    for m in exact {
        let list = exact_list(index, m)?;
        if list.is_empty() {
            return Ok(Vec::new());
        }
        lists.push(list);
    }
    lists.sort_by(postings::by_length);
    let mut found = intersection(lists);
    for m in broad {
        found = Some(match found {
            Some(refs) if few(refs.len(), index, m) => filter(index, refs, m)?,
            Some(refs) => postings::intersect(refs, &PostingList::Owned(matching(index, m, true)?)),
            None => matching(index, m, true)?,
        });
        if found.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
    }
    let mut refs = match found {
        Some(refs) => refs,
        None => index.all_postings()?.into_vec(),
    };
    for m in take {
        if refs.is_empty() {
            break;
        }
        refs = if few(refs.len(), index, m) {
            filter(index, refs, m)?
        } else if let Some(values) = excluded(m) {
            let lists = values.map(|v| index.postings(&m.name, v)).collect::<Result<Vec<_>, _>>()?;
            lists.iter().fold(refs, postings::subtract)
        } else {
            postings::subtract(refs, &PostingList::Owned(matching(index, m, false)?))
        };
    }
    Ok(refs)
}

/// Is it cheaper to look at each series than at each value?
fn few(series: usize, index: &IndexReader, m: &Matcher) -> bool {
    let values = match m.op {
        MatchOp::NotEqual => return false,
        _ if excluded(m).is_some() => return false,
        _ => index.value_count(&m.name),
    };
    series * 4 < values
}

fn filter(index: &IndexReader, mut refs: Vec<u32>, m: &Matcher) -> Result<Vec<u32>, BlockError> {
    let Some(name) = index.find_symbol(&m.name) else {
        return Ok(if m.matches_empty() { refs } else { Vec::new() });
    };
    let mut error = None;
    // A series that cannot be read costs itself: it is left in, and whoever reads it reports it.
    refs.retain(|r| match index.label_value(*r, name) {
        Ok(v) => m.matches(v),
        Err(e) => {
            error.get_or_insert(e);
            true
        }
    });
    if let Some(e) = error {
        tracing::warn!(error = %e, "a series cannot be read and was not filtered");
    }
    Ok(refs)
}

/// All values that fit, when known without looking.
fn literals(m: &Matcher) -> Option<&[String]> {
    match m.op {
        MatchOp::Equal => Some(std::slice::from_ref(&m.value)),
        MatchOp::Regex => m.regex().and_then(|r| r.literals()),
        _ => None,
    }
}

/// All values that do not fit, when known without looking.
fn excluded(m: &Matcher) -> Option<impl Iterator<Item = &str>> {
    let values = match m.op {
        MatchOp::NotEqual => Some(std::slice::from_ref(&m.value)),
        MatchOp::NotRegex => m.regex().and_then(|r| r.literals()),
        _ => None,
    };
    values.map(|v| v.iter().map(String::as_str))
}

fn exact_list<'a>(index: &'a IndexReader, m: &Matcher) -> Result<PostingList<'a>, BlockError> {
    let values = literals(m).unwrap_or(&[]);
    if let [one] = values {
        return index.postings(&m.name, one);
    }
    let lists = values.iter().map(|v| index.postings(&m.name, v)).collect::<Result<Vec<_>, _>>()?;
    Ok(PostingList::Owned(postings::union(&lists)))
}

/// None when there are no lists: everything.
fn intersection(lists: Vec<PostingList<'_>>) -> Option<Vec<u32>> {
    let mut lists = lists.into_iter();
    let first = lists.next()?;
    let Some(second) = lists.next() else { return Some(first.into_vec()) };
    // The first two without copying the shorter one whole when it is long itself.
    let start = postings::intersect(first.into_vec(), &second);
    Some(lists.fold(start, |refs, l| postings::intersect(refs, &l)))
}

/// Series that have the label with a value that fits (or that does not).
fn matching(index: &IndexReader, m: &Matcher, fits: bool) -> Result<Vec<u32>, BlockError> {
    let prefix = match m.op {
        MatchOp::Regex if fits => m.regex().map_or("", |r| r.prefix()),
        MatchOp::NotRegex if !fits => m.regex().map_or("", |r| r.prefix()),
        _ => "",
    };
    let mut offsets = Vec::new();
    index.each_value(&m.name, prefix, |value, offset| {
        if !value.starts_with(prefix) {
            return ControlFlow::Break(());
        }
        if m.matches(value) == fits {
            offsets.push(offset);
        }
        ControlFlow::Continue(())
    })?;
    let lists = offsets.into_iter().map(|o| index.postings_at(o)).collect::<Result<Vec<_>, _>>()?;
    Ok(postings::union(&lists))
}
