//! Whether a value is like one of the searched terms, and how much: 1 for what begins with it, less the further it is.

use super::score::{jaro_winkler, subsequence};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// All letters of the term in their order, with anything between them.
    Subsequence,
    /// The term as it is, or, with a threshold, anything that is spelled like it.
    JaroWinkler,
}

#[derive(Debug)]
pub struct Like {
    /// In lower case unless case counts.
    terms: Vec<String>,
    algorithm: Algorithm,
    /// 0 to 1.
    threshold: f64,
    case_sensitive: bool,
}

impl Like {
    /// None when every term is empty: then all is like it.
    pub fn new(terms: &[&str], algorithm: Algorithm, threshold: f64, case_sensitive: bool) -> Option<Like> {
        let fold = |t: &&str| if case_sensitive { (*t).to_string() } else { t.to_lowercase() };
        let terms: Vec<String> = terms.iter().filter(|t| !t.is_empty()).map(fold).collect();
        (!terms.is_empty()).then_some(Like { terms, algorithm, threshold, case_sensitive })
    }

    /// The best score of the terms; None when it is like none.
    pub fn score(&self, value: &str) -> Option<f64> {
        let folded;
        let value = if self.case_sensitive {
            value
        } else {
            folded = value.to_lowercase();
            &folded
        };
        self.terms.iter().filter_map(|t| self.score_of(t, value)).reduce(f64::max)
    }

    fn score_of(&self, term: &str, value: &str) -> Option<f64> {
        match self.algorithm {
            Algorithm::Subsequence if value.starts_with(term) => Some(1.0),
            Algorithm::Subsequence => Some(subsequence(term, value)).filter(|s| *s > 0.0 && *s >= self.threshold),
            Algorithm::JaroWinkler => position(term, value)
                .or_else(|| if self.threshold > 0.0 { Some(jaro_winkler(term, value)).filter(|s| *s >= self.threshold) } else { None }),
        }
    }
}

/// 1 at the start of the value, falling to 0.1 at its end.
fn position(term: &str, value: &str) -> Option<f64> {
    let at = value.find(term)?;
    let last = value.chars().count() - term.chars().count();
    if at == 0 || last == 0 {
        return Some(1.0);
    }
    Some(1.0 - 0.9 * value[..at].chars().count() as f64 / last as f64)
}
