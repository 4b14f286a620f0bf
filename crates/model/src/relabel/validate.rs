//! Which rules make sense. The texts are Prometheus', as people search for them.

use super::{Action, DEFAULT_REGEX, DEFAULT_REPLACEMENT, DEFAULT_SEPARATOR, RelabelRule, has_variable};
use crate::labels::quote;
use crate::name::Scheme;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelabelError {
    UnknownAction(String),
    NoModulus,
    NoTarget(Action),
    BadTarget { target: String, action: Action },
    BadReplacement { replacement: String, action: Action },
    ReplacementNotAllowed(Action),
    OnlySourceAndTarget(Action),
    OnlyRegex(Action),
}

impl fmt::Display for RelabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RelabelError::UnknownAction(s) => write!(f, "unknown relabel action {}", quote(s)),
            RelabelError::NoModulus => f.write_str("relabel configuration for hashmod requires non-zero modulus"),
            RelabelError::NoTarget(a) => write!(f, "relabel configuration for {a} action requires 'target_label' value"),
            RelabelError::BadTarget { target, action } => write!(f, "{} is invalid 'target_label' for {action} action", quote(target)),
            RelabelError::BadReplacement { replacement, action } => {
                write!(f, "{} is invalid 'replacement' for {action} action", quote(replacement))
            }
            RelabelError::ReplacementNotAllowed(a) => write!(f, "'replacement' can not be set for {a} action"),
            RelabelError::OnlySourceAndTarget(a) => write!(f, "{a} action requires only 'source_labels' and `target_label`, and no other fields"),
            RelabelError::OnlyRegex(a) => write!(f, "{a} action requires only 'regex', and no other fields"),
        }
    }
}

impl std::error::Error for RelabelError {}

impl RelabelRule {
    /// Checks the rule and gives it the scheme for label names if it has none yet.
    pub fn validate(&mut self, scheme: Scheme) -> Result<(), RelabelError> {
        use Action::*;
        let scheme = *self.scheme.get_or_insert(scheme);
        let action = self.action;
        if action == HashMod && self.modulus == 0 {
            return Err(RelabelError::NoModulus);
        }
        if matches!(action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual) {
            if self.target_label.is_empty() {
                return Err(RelabelError::NoTarget(action));
            }
            let ok = if action == Replace && has_variable(&self.target_label) {
                template_ok(scheme, &self.target_label)
            } else {
                scheme.label_ok(&self.target_label)
            };
            if !ok {
                return Err(RelabelError::BadTarget { target: self.target_label.clone(), action });
            }
        }
        if matches!(action, Lowercase | Uppercase | KeepEqual | DropEqual) && self.replacement != DEFAULT_REPLACEMENT {
            return Err(RelabelError::ReplacementNotAllowed(action));
        }
        if action == LabelMap && !template_ok(scheme, &self.replacement) {
            return Err(RelabelError::BadReplacement { replacement: self.replacement.clone(), action });
        }
        let plain = self.modulus == 0 && self.separator == DEFAULT_SEPARATOR && self.replacement == DEFAULT_REPLACEMENT;
        if matches!(action, KeepEqual | DropEqual) && !(plain && self.regex.pattern() == DEFAULT_REGEX) {
            return Err(RelabelError::OnlySourceAndTarget(action));
        }
        if matches!(action, LabelDrop | LabelKeep) && !(plain && self.source_labels.is_empty() && self.target_label.is_empty()) {
            return Err(RelabelError::OnlyRegex(action));
        }
        Ok(())
    }
}

/// May this text, in which `$name` and `${name}` stand for anything, become a label name?
fn template_ok(scheme: Scheme, template: &str) -> bool {
    match scheme {
        Scheme::Utf8 => scheme.label_ok(template),
        Scheme::Legacy => legacy_template_ok(template.as_bytes()),
    }
}

/// Letters, digits, underscores and variables; a digit only behind a letter, an underscore or a variable.
pub(super) fn legacy_template_ok(t: &[u8]) -> bool {
    let word = |c: &u8| c.is_ascii_alphanumeric() || *c == b'_';
    let mut at = 0;
    while at < t.len() {
        if t[at] == b'$' {
            let braced = t.get(at + 1) == Some(&b'{');
            let start = at + 1 + usize::from(braced);
            let len = t[start..].iter().take_while(|c| word(c)).count();
            if len == 0 || (braced && t.get(start + len) != Some(&b'}')) {
                return false;
            }
            at = start + len + usize::from(braced);
        } else if t[at].is_ascii_alphabetic() || t[at] == b'_' || (t[at].is_ascii_digit() && at > 0) {
            at += 1;
        } else {
            return false;
        }
    }
    !t.is_empty()
}
