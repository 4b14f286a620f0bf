//! A plan as text: one operator a line, what it works on indented below it.

use super::{Plan, RangeInput, Select};
use model::duration::format_ms;
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        node(self, 0, f)
    }
}

fn line(depth: usize, f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(f, "{:1$}{text}", "", depth * 2)
}

/// What a selector looks at: conditions, and the times it moves to.
fn select(s: &Select, range_ms: Option<i64>, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    line(depth, f, format_args!("{text}"))
}

fn input(i: &RangeInput, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match i {
        RangeInput::Select { select: s, range_ms, .. } => select(s, Some(*range_ms), depth, f),
        RangeInput::Subquery(s) => {
            let at = s.at_ms.map(|at| format!(" at {at} ms")).unwrap_or_default();
            let (range, step) = (format_ms(s.range_ms), format_ms(s.step_ms));
            line(depth, f, format_args!("subquery over {range} every {step} offset {}{at}", format_ms(s.offset_ms)))?;
            node(&s.plan, depth + 1, f)
        }
    }
}

fn node(p: &Plan, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match p {
        Plan::Number(v) => line(depth, f, format_args!("number {v}")),
        Plan::Text(t) => line(depth, f, format_args!("text {t:?}")),
        Plan::Time => line(depth, f, format_args!("time of the step")),
        Plan::Select(s) => select(s, None, depth, f),
        Plan::Range(i) => input(i, depth, f),
        Plan::RangeCall(c) => {
            line(depth, f, format_args!("window {}", c.func.name()))?;
            input(&c.input, depth + 1, f)?;
            c.args.iter().try_for_each(|a| node(a, depth + 1, f))
        }
        Plan::Call { call, args, .. } => {
            line(depth, f, format_args!("call {}", call.name()))?;
            args.iter().try_for_each(|a| node(a, depth + 1, f))
        }
        Plan::Aggregate(a) => {
            let word = if a.without { "without" } else { "by" };
            line(depth, f, format_args!("aggregate {} {word} ({})", a.op.as_str(), a.grouping.join(", ")))?;
            a.param.iter().try_for_each(|p| node(p, depth + 1, f))?;
            node(&a.input, depth + 1, f)
        }
        Plan::Binary(b) => {
            let kind = if b.lhs_scalar || b.rhs_scalar { "each" } else { "join" };
            let matching = b
                .matching
                .as_ref()
                .filter(|_| kind == "join")
                .map(|m| format!(" {} {} ({})", m.card.as_str(), if m.on { "on" } else { "ignoring" }, m.labels.join(", ")));
            line(depth, f, format_args!("{kind} {}{}{}", b.op.as_str(), if b.return_bool { " bool" } else { "" }, matching.unwrap_or_default()))?;
            node(&b.lhs, depth + 1, f)?;
            node(&b.rhs, depth + 1, f)
        }
        Plan::Negate(p) => {
            line(depth, f, format_args!("negate"))?;
            node(p, depth + 1, f)
        }
        Plan::Invariant(p) => {
            line(depth, f, format_args!("once for all steps"))?;
            node(p, depth + 1, f)
        }
    }
}
