//! Filling captures into a template as Go's `Regexp.Expand` does, for relabelling and `label_replace`.
//!
//! `$1` and `${1}` are groups by number, `$name` and `${name}` by name, `$$` a dollar sign. A name is as long as it can be: `$1x` is
//! the group `1x`. A group that does not exist or did not take part is empty; a `$` that starts none of these stays as it is.

/// Writes `template` to `out`, asking `group` for the text of each reference.
pub(super) fn expand<'t>(template: &str, out: &mut String, group: impl Fn(Reference<'_>) -> Option<&'t str>) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        match reference(rest) {
            Some((reference, after)) => {
                out.push_str(group(reference).unwrap_or(""));
                rest = after;
            }
            None => out.push('$'),
        }
    }
    out.push_str(rest);
}

/// A group as a template names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference<'a> {
    Number(usize),
    Name(&'a str),
}

/// The reference at the start of what follows a `$`, and what follows it.
fn reference(text: &str) -> Option<(Reference<'_>, &str)> {
    let (braced, text) = text.strip_prefix('{').map_or((false, text), |t| (true, t));
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    if end == 0 {
        return None;
    }
    let (name, mut rest) = text.split_at(end);
    if braced {
        rest = rest.strip_prefix('}')?;
    }
    let plain_number = name.len() <= 9 && name.bytes().all(|b| b.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0'));
    let reference = match name.parse() {
        Ok(n) if plain_number => Reference::Number(n),
        _ => Reference::Name(name),
    };
    Some((reference, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_expands() {
        let check = |template: &str, expect: &str| {
            let mut out = String::new();
            expand(template, &mut out, |r| match r {
                Reference::Number(0) => Some("all"),
                Reference::Number(1) => Some("one"),
                Reference::Name("name") => Some("named"),
                _ => None,
            });
            assert_eq!(out, expect, "{template}");
        };
        check("", "");
        check("plain", "plain");
        check("$1", "one");
        check("a$1b", "a");
        check("a${1}b", "aoneb");
        check("$0-$1-$2-", "all-one--");
        check("$name $namex ${name}x", "named  namedx");
        check("$$1", "$1");
        check("$", "$");
        check("a$ b", "a$ b");
        check("${1", "${1");
        check("${}", "${}");
        check("$01", "");
        check("$1$1", "oneone");
        check("$9999999999", "");
        check("${name:1}", "${name:1}");
        check("$1é", "");
        check("$-", "$-");
    }
}
