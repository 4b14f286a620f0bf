//! One rule and what its last evaluation came to.

use crate::alerting::Alerting;
use model::Labels;
use parking_lot::Mutex;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Health {
    #[default]
    Unknown,
    Good,
    Bad,
}

impl Health {
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Good => "ok",
            Health::Bad => "err",
        }
    }
}

/// How the last evaluation went.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub health: Health,
    pub last_error: String,
    /// Wall clock, milliseconds; None before the first evaluation.
    pub evaluated_ms: Option<i64>,
    pub duration: Duration,
}

pub enum Kind {
    Recording,
    Alerting(Alerting),
}

pub struct Rule {
    pub name: String,
    /// The expression as the printer writes it.
    pub query: String,
    /// Of the group and of the rule; the rule's win.
    pub labels: Labels,
    pub kind: Kind,
    /// Metric names the expression reads; None when it may read any. For finding out which rules depend on which.
    pub reads: Option<Vec<String>>,
    outcome: Mutex<Outcome>,
}

impl Rule {
    pub fn new(name: String, query: String, labels: Labels, kind: Kind, reads: Option<Vec<String>>) -> Self {
        Rule { name, query, labels, kind, reads, outcome: Mutex::default() }
    }

    pub fn outcome(&self) -> Outcome {
        self.outcome.lock().clone()
    }

    pub(crate) fn set_outcome(&self, change: impl FnOnce(&mut Outcome)) {
        change(&mut self.outcome.lock());
    }

    pub fn alerting(&self) -> Option<&Alerting> {
        match &self.kind {
            Kind::Alerting(a) => Some(a),
            Kind::Recording => None,
        }
    }

    /// What tells the rule of one configuration to be the rule of the next.
    pub(crate) fn identity(&self) -> String {
        format!("{}{}", self.name, self.labels)
    }

    /// Does this rule read what `other` writes?
    pub(crate) fn depends_on(&self, other: &Rule) -> bool {
        let Some(reads) = &self.reads else { return true };
        match other.kind {
            Kind::Recording => reads.contains(&other.name),
            Kind::Alerting(_) => reads.iter().any(|r| r == "ALERTS" || r == "ALERTS_FOR_STATE"),
        }
    }
}
