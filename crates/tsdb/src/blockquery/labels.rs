//! Label names and values of a block, of all series or of those that fit matchers.

use crate::block::{Block, BlockError};
use crate::index::PostingList;
use model::Matcher;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Values of a label, sorted, of series that fit all matchers; at most `limit`, 0 for all.
pub fn label_values(block: &Block, name: &str, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, BlockError> {
    let full = |out: &Vec<String>| limit > 0 && out.len() >= limit;
    let (own, others): (Vec<Matcher>, Vec<Matcher>) = matchers.iter().cloned().partition(|m| m.name == name);
    let mut out = Vec::new();
    let fits = |v: &str| own.iter().all(|m| m.matches(v));
    if others.is_empty() {
        block.index().each_value(name, "", |v, _| {
            if fits(v) {
                out.push(v.to_string());
            }
            if full(&out) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        return Ok(out);
    }
    let (refs, _) = block.references(matchers)?;
    let Some(symbol) = block.index().find_symbol(name) else { return Ok(out) };
    if refs.len() / 8 < block.index().value_count(name) {
        let mut found = BTreeSet::new();
        for r in refs {
            let v = block.index().label_value(r, symbol)?;
            if !v.is_empty() && !found.contains(v) {
                found.insert(v.to_string());
            }
        }
        out = found.into_iter().collect();
        if limit > 0 {
            out.truncate(limit);
        }
        return Ok(out);
    }
    let wanted = PostingList::Owned(refs);
    let mut failed = None;
    block.index().each_value(name, "", |v, offset| {
        if fits(v) {
            match block.index().postings_at(offset) {
                Ok(list) if list.meets(&wanted) => out.push(v.to_string()),
                Ok(_) => {}
                Err(e) => failed = Some(e),
            }
        }
        if failed.is_some() || full(&out) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    failed.map_or(Ok(out), Err)
}

/// Label names, sorted, of series that fit all matchers.
pub fn label_names(block: &Block, matchers: &[Matcher]) -> Result<Vec<String>, BlockError> {
    if matchers.is_empty() {
        return Ok(block.index().label_names().map(str::to_string).collect());
    }
    let (refs, _) = block.references(matchers)?;
    let mut symbols = BTreeSet::new();
    for r in refs {
        block.index().label_name_symbols(r, |s| {
            symbols.insert(s);
        })?;
    }
    let mut names: Vec<String> = symbols.into_iter().filter_map(|s| block.index().symbol(s)).map(str::to_string).collect();
    names.sort_unstable();
    Ok(names)
}
