//! Names by pattern, as Go's `filepath.Glob`: `*`, `?` and `[a-z]` within one path element, `\` before a character that means itself.

use super::Fs;
use std::path::{Path, PathBuf};

/// The paths that match, sorted. A pattern without wildcards gives the path itself when it exists. What cannot be listed matches nothing.
pub fn glob(fs: &dyn Fs, pattern: &str) -> Vec<PathBuf> {
    let absolute = pattern.starts_with('/');
    let mut found = vec![PathBuf::from(if absolute { "/" } else { "" })];
    for element in pattern.split('/').filter(|e| !e.is_empty()) {
        if !element.contains(['*', '?', '[', '\\']) {
            found.iter_mut().for_each(|p| p.push(element));
            continue;
        }
        let mut next = Vec::new();
        for dir in &found {
            let place = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
            let names = fs.list(place).unwrap_or_default();
            next.extend(names.into_iter().filter(|e| matches(element, &e.name)).map(|e| dir.join(e.name)));
        }
        found = next;
    }
    found.retain(|p| fs.exists(p));
    found.sort();
    found
}

/// Whether one path element matches a pattern.
pub fn matches(pattern: &str, name: &str) -> bool {
    let p: Vec<char> = pattern.chars().collect();
    let n: Vec<char> = name.chars().collect();
    // Where to go back to: the last star, and how much of the name it has taken.
    let (mut i, mut j, mut star) = (0, 0, None);
    while j < n.len() {
        match element(&p[i..], n[j]) {
            Some(used) => (i, j) = (i + used, j + 1),
            None if p.get(i) == Some(&'*') => {
                star = Some((i, j));
                i += 1;
            }
            None => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (i, j) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    p[i..].iter().all(|c| *c == '*')
}

/// How much of the pattern one character uses up; None when it does not match (a star never does).
fn element(p: &[char], c: char) -> Option<usize> {
    match p {
        ['*', ..] | [] => None,
        ['?', ..] => Some(1),
        ['\\', x, ..] => (*x == c).then_some(2),
        ['[', rest @ ..] => {
            let (negated, rest, skipped) = match rest {
                ['^', rest @ ..] => (true, rest, 2),
                rest => (false, rest, 1),
            };
            let end = rest.iter().skip(1).position(|x| *x == ']')? + 1;
            let mut set = &rest[..end];
            let mut hit = false;
            while let [a, tail @ ..] = set {
                match tail {
                    ['-', b, tail @ ..] => {
                        hit |= (*a..=*b).contains(&c);
                        set = tail;
                    }
                    _ => {
                        hit |= *a == c;
                        set = tail;
                    }
                }
            }
            (hit != negated).then_some(skipped + end + 1)
        }
        [x, ..] => (*x == c).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_match() {
        for (pattern, name, expect) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXc", false),
            ("?", "é", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[ab", "a", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("**", "", true),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, name), expect, "{pattern} {name}");
        }
    }
}
