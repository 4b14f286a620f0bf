//! A plan as a tree of operators with a line of text each: to be shown, and to say which operator took what.

use super::{Plan, RangeInput, Select};
use crate::exec::profile::place;
use model::duration::format_ms;
use std::fmt;

/// An operator as it is shown.
pub struct Described {
    pub text: String,
    /// Where the operator lies in the plan: names it in a [`crate::exec::profile::Profile`].
    pub place: usize,
    /// What it works on.
    pub inputs: Vec<Described>,
}

impl Described {
    fn new(text: impl Into<String>, place: usize, inputs: Vec<Described>) -> Self {
        Described { text: text.into(), place, inputs }
    }

    /// Places of this operator and of all below it.
    pub fn places(&self, out: &mut Vec<usize>) {
        out.push(self.place);
        self.inputs.iter().for_each(|i| i.places(out));
    }

    fn write(&self, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:1$}{2}", "", depth * 2, self.text)?;
        self.inputs.iter().try_for_each(|i| i.write(depth + 1, f))
    }
}

/// One operator a line, what it works on indented below it.
impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(0, f)
    }
}

/// What a selector looks at: conditions, and the times it moves to.
fn select(s: &Select, range_ms: Option<i64>) -> String {
    let matchers: Vec<String> = s.matchers.iter().map(ToString::to_string).collect();
    let mut text = format!("select {{{}}}", matchers.join(", "));
    if let Some(range) = range_ms {
        text.push_str(&format!(" over {}", format_ms(range)));
    }
    if s.offset_ms != 0 {
        text.push_str(&format!(" offset {}", format_ms(s.offset_ms)));
    }
    if let Some(at) = s.at_ms {
        text.push_str(&format!(" at {at} ms"));
    }
    for (set, word) in [(s.anchored, " anchored"), (s.smoothed, " smoothed"), (s.stats_only, " (histograms: count and sum only)")] {
        if set {
            text.push_str(word);
        }
    }
    text
}

fn input(i: &RangeInput) -> Described {
    match i {
        RangeInput::Select { select: s, range_ms, .. } => Described::new(select(s, Some(*range_ms)), place(i), Vec::new()),
        RangeInput::Subquery(s) => {
            let at = s.at_ms.map(|at| format!(" at {at} ms")).unwrap_or_default();
            let (range, step) = (format_ms(s.range_ms), format_ms(s.step_ms));
            let text = format!("subquery over {range} every {step} offset {}{at}", format_ms(s.offset_ms));
            Described::new(text, place(i), vec![describe(&s.plan)])
        }
    }
}

/// The tree of a plan. The plan must stay where it is as long as places mean something.
pub fn describe(p: &Plan) -> Described {
    let all = |plans: &[Plan]| plans.iter().map(describe).collect::<Vec<_>>();
    let (text, inputs) = match p {
        Plan::Number(v) => (format!("number {v}"), Vec::new()),
        Plan::Text(t) => (format!("text {t:?}"), Vec::new()),
        Plan::Time => ("time of the step".to_string(), Vec::new()),
        Plan::Select(s) => (select(s, None), Vec::new()),
        Plan::Range(i) => return input(i),
        Plan::RangeCall(c) => (format!("window {}", c.func.name()), std::iter::once(input(&c.input)).chain(all(&c.args)).collect()),
        Plan::Call { call, args, .. } => (format!("call {}", call.name()), all(args)),
        Plan::Aggregate(a) => {
            let word = if a.without { "without" } else { "by" };
            let text = format!("aggregate {} {word} ({})", a.op.as_str(), a.grouping.join(", "));
            (text, a.param.iter().map(describe).chain([describe(&a.input)]).collect())
        }
        Plan::Binary(b) => {
            let kind = if b.lhs_scalar || b.rhs_scalar { "each" } else { "join" };
            let matching = b
                .matching
                .as_ref()
                .filter(|_| kind == "join")
                .map(|m| format!(" {} {} ({})", m.card.as_str(), if m.on { "on" } else { "ignoring" }, m.labels.join(", ")));
            let text = format!("{kind} {}{}{}", b.op.as_str(), if b.return_bool { " bool" } else { "" }, matching.unwrap_or_default());
            (text, vec![describe(&b.lhs), describe(&b.rhs)])
        }
        Plan::Negate(p) => ("negate".to_string(), vec![describe(p)]),
        Plan::Invariant(p) => ("once for all steps".to_string(), vec![describe(p)]),
    };
    Described::new(text, place(p), inputs)
}
