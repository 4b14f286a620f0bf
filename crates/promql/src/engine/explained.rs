//! A query that was run to see where its time goes: the plan with what each operator took and gave.

use super::QueryStats;
use crate::exec::profile::{Cost, Profile};
use crate::plan::Described;
use std::fmt;

/// An operator of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operator {
    /// What it does.
    pub text: String,
    pub cost: Cost,
    /// What it works on.
    pub inputs: Vec<Operator>,
}

impl Operator {
    pub(super) fn new(described: Described, profile: &Profile) -> Self {
        let cost = profile.cost_at(described.place);
        Operator { text: described.text, cost, inputs: described.inputs.into_iter().map(|i| Operator::new(i, profile)).collect() }
    }

    /// What it and all below it took.
    pub fn total(&self) -> Cost {
        self.inputs.iter().fold(self.cost, |mut sum, i| {
            sum.add(i.total());
            sum
        })
    }

    fn write(&self, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.cost;
        let text = format!("{:1$}{2}", "", depth * 2, self.text);
        let ms = c.time.as_secs_f64() * 1e3;
        writeln!(f, "{text:<72} {ms:>10.3} ms {:>9} series {:>11} samples {:>12} bytes", c.series, c.samples, c.bytes)?;
        self.inputs.iter().try_for_each(|i| i.write(depth + 1, f))
    }
}

/// One operator a line, what it works on indented below it.
impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(0, f)
    }
}

/// How a query went.
#[derive(Debug)]
pub struct Explained {
    pub root: Operator,
    pub stats: QueryStats,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
}
