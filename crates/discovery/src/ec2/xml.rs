//! As much XML as AWS writes: elements and text. Attributes, comments and processing instructions are skipped, entities are the five of the
//! standard and numbers; document types are not read, so nothing can be defined and nothing fetched.

const MAX_DEPTH: usize = 64;

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name == name)
    }

    /// The text of a child; "" when there is none.
    pub fn text(&self, name: &str) -> &str {
        self.child(name).map_or("", |c| &c.text)
    }

    /// The `item`s of a child that is a list.
    pub fn items(&self, name: &str) -> impl Iterator<Item = &Element> {
        self.child(name).into_iter().flat_map(|c| c.children.iter().filter(|c| c.name == "item"))
    }
}

/// The root element; None when the text is not well-formed.
pub(crate) fn parse(text: &str) -> Option<Element> {
    let mut open: Vec<Element> = Vec::new();
    let mut rest = text;
    loop {
        let at = rest.find('<')?;
        if let Some(e) = open.last_mut() {
            e.text.push_str(&unescape(rest[..at].trim()));
        }
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->")?.1;
            continue;
        }
        let (tag, after) = rest.split_once('>')?;
        rest = after;
        if tag.starts_with(['?', '!']) {
            continue;
        }
        let done = if let Some(name) = tag.strip_prefix('/') {
            let e = open.pop()?;
            if e.name != name.trim() {
                return None;
            }
            e
        } else {
            let (head, closed) = tag.strip_suffix('/').map_or((tag, false), |t| (t, true));
            let name = head.split_whitespace().next()?.to_string();
            let e = Element { name, ..Element::default() };
            if !closed {
                open.push(e);
                if open.len() > MAX_DEPTH {
                    return None;
                }
                continue;
            }
            e
        };
        match open.last_mut() {
            Some(parent) => parent.children.push(done),
            None => return Some(done),
        }
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let Some((entity, tail)) = after.split_once(';') else {
            out.push('&');
            rest = after;
            continue;
        };
        let number = |s: &str, radix| u32::from_str_radix(s, radix).ok().and_then(char::from_u32);
        let c = match entity {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            e => e.strip_prefix("#x").map_or_else(|| number(e.strip_prefix('#').unwrap_or(""), 10), |h| number(h, 16)),
        };
        out.extend(c);
        rest = tail;
    }
    out.push_str(rest);
    out
}
