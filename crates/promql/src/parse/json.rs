//! A tree as JSON, for the tree view of the page (`/api/v1/parse_query`). Written straight as text, keys sorted.

use super::ast::*;
use super::functions::Function;
use model::Matcher;
use model::number::format_f;

/// The JSON object of an expression.
pub fn to_json(e: &Expr) -> String {
    let mut out = String::new();
    expr(&mut out, e);
    out
}

fn expr(out: &mut String, e: &Expr) {
    match e {
        Expr::Aggregate(a) => {
            out.push_str("{\"expr\":");
            expr(out, &a.expr);
            out.push_str(",\"grouping\":");
            strings(out, &a.grouping);
            out.push_str(",\"op\":");
            string(out, a.op.as_str());
            out.push_str(",\"param\":");
            match &a.param {
                Some(param) => expr(out, param),
                None => out.push_str("null"),
            }
            out.push_str(&format!(",\"type\":\"aggregation\",\"without\":{}}}", a.without));
        }
        Expr::Binary(b) => chain(out, b),
        Expr::Call(c) => {
            out.push_str("{\"args\":");
            list(out, &c.args, expr);
            out.push_str(",\"func\":");
            function(out, c.func);
            out.push_str(",\"type\":\"call\"}");
        }
        Expr::Matrix(m) => {
            let (ms, computed) = length(Some(&m.range));
            selector(out, &m.selector, |out| {
                out.push_str(&format!(",\"range\":{ms},\"rangeExpr\":"));
                optional_duration(out, computed);
            });
            out.push_str(",\"type\":\"matrixSelector\"}");
        }
        Expr::Vector(v) => {
            selector(out, v, |_| {});
            out.push_str(",\"type\":\"vectorSelector\"}");
        }
        Expr::Subquery(s) => subquery(out, s),
        Expr::Number(n) => {
            out.push_str("{\"type\":\"numberLiteral\",\"val\":");
            string(out, &format_f(n.value));
            out.push('}');
        }
        Expr::String(s) => {
            out.push_str("{\"type\":\"stringLiteral\",\"val\":");
            string(out, &s.value);
            out.push('}');
        }
        Expr::Paren(p) => {
            out.push_str("{\"expr\":");
            expr(out, &p.expr);
            out.push_str(",\"type\":\"parenExpr\"}");
        }
        Expr::Unary(u) => {
            out.push_str("{\"expr\":");
            expr(out, &u.expr);
            out.push_str(&format!(",\"op\":\"{}\",\"type\":\"unaryExpr\"}}", if u.negative { '-' } else { '+' }));
        }
    }
}

fn chain(out: &mut String, b: &BinaryExpr) {
    let spine: Vec<&BinaryExpr> = b.left_spine().collect();
    for b in &spine {
        out.push_str(&format!("{{\"bool\":{},\"lhs\":", b.return_bool));
    }
    if let Some(innermost) = spine.last() {
        expr(out, &innermost.lhs);
    }
    for b in spine.iter().rev() {
        out.push_str(",\"matching\":");
        match &b.matching {
            Some(m) => matching(out, m),
            None => out.push_str("null"),
        }
        out.push_str(",\"op\":");
        string(out, b.op.as_str());
        out.push_str(",\"rhs\":");
        expr(out, &b.rhs);
        out.push_str(",\"type\":\"binaryExpr\"}");
    }
}

fn matching(out: &mut String, m: &VectorMatching) {
    out.push_str("{\"card\":");
    string(out, m.card.as_str());
    out.push_str(",\"fillValues\":{\"lhs\":");
    fill(out, m.fill_left);
    out.push_str(",\"rhs\":");
    fill(out, m.fill_right);
    out.push_str("},\"include\":");
    strings(out, &m.include);
    out.push_str(",\"labels\":");
    strings(out, &m.labels);
    out.push_str(&format!(",\"on\":{}}}", m.on));
}

/// JSON has no infinite numbers; these are left out.
fn fill(out: &mut String, value: Option<f64>) {
    match value.filter(|v| v.is_finite()) {
        Some(v) => out.push_str(&format_f(v)),
        None => out.push_str("null"),
    }
}

fn function(out: &mut String, f: &Function) {
    out.push_str("{\"argTypes\":");
    list(out, f.args, |out, t| string(out, t.as_str()));
    out.push_str(",\"name\":");
    string(out, f.name);
    out.push_str(",\"returnType\":");
    string(out, f.return_type.as_str());
    out.push_str(&format!(",\"variadic\":{}}}", f.variadic));
}

/// Everything of a selector up to its type; `more` writes what sorts between `offsetExpr` and `smoothed`.
fn selector(out: &mut String, v: &VectorSelector, more: impl FnOnce(&mut String)) {
    out.push_str(&format!("{{\"anchored\":{},\"matchers\":", v.anchored));
    list(out, &v.matchers, matcher);
    out.push_str(",\"name\":");
    string(out, &v.name);
    offset(out, &v.offset);
    more(out);
    out.push_str(&format!(",\"smoothed\":{}", v.smoothed));
    at(out, v.at);
}

fn matcher(out: &mut String, m: &Matcher) {
    out.push_str("{\"name\":");
    string(out, &m.name);
    out.push_str(&format!(",\"type\":\"{}\",\"value\":", m.op.as_str()));
    string(out, &m.value);
    out.push('}');
}

fn subquery(out: &mut String, s: &SubqueryExpr) {
    out.push_str("{\"expr\":");
    expr(out, &s.expr);
    offset(out, &s.offset);
    let (range_ms, range) = length(Some(&s.range));
    out.push_str(&format!(",\"range\":{range_ms},\"rangeExpr\":"));
    optional_duration(out, range);
    // startOrEnd sorts before step, timestamp behind it.
    let (start_or_end, timestamp) = at_parts(s.at);
    let (step_ms, step) = length(s.step.as_ref());
    out.push_str(&format!(",\"startOrEnd\":{start_or_end},\"step\":{step_ms},\"stepExpr\":"));
    optional_duration(out, step);
    out.push_str(&format!(",\"timestamp\":{timestamp},\"type\":\"subquery\"}}"));
}

fn offset(out: &mut String, o: &Offset) {
    out.push_str(&format!(",\"offset\":{},\"offsetExpr\":", o.ms));
    optional_duration(out, o.expr.as_deref());
}

fn at(out: &mut String, at: Option<At>) {
    let (start_or_end, timestamp) = at_parts(at);
    out.push_str(&format!(",\"startOrEnd\":{start_or_end},\"timestamp\":{timestamp}"));
}

fn at_parts(at: Option<At>) -> (&'static str, String) {
    match at {
        None => ("null", "null".to_string()),
        Some(At::Timestamp(ms)) => ("null", ms.to_string()),
        Some(At::Start) => ("\"start\"", "null".to_string()),
        Some(At::End) => ("\"end\"", "null".to_string()),
    }
}

fn length(l: Option<&Length>) -> (i64, Option<&DurationExpr>) {
    match l {
        None => (0, None),
        Some(Length::Ms(ms)) => (*ms, None),
        Some(Length::Expr(e)) => (0, Some(e)),
    }
}

fn optional_duration(out: &mut String, e: Option<&DurationExpr>) {
    match e {
        Some(e) => duration(out, e),
        None => out.push_str("null"),
    }
}

fn duration(out: &mut String, e: &DurationExpr) {
    let (op, lhs, rhs) = match &e.kind {
        DurationKind::Number(n) => {
            out.push_str(&format!("{{\"duration\":{},\"type\":\"numberLiteral\",\"val\":", n.duration));
            string(out, &format_f(n.value));
            out.push('}');
            return;
        }
        DurationKind::Step => ("step", None, None),
        DurationKind::Range => ("range", None, None),
        DurationKind::Neg(inner) => ("-", None, Some(inner)),
        DurationKind::Pos(inner) => ("+", None, Some(inner)),
        DurationKind::Binary(op, a, b) => (op.as_str(), Some(a), Some(b)),
        DurationKind::MinOf(a, b) => ("min_of", Some(a), Some(b)),
        DurationKind::MaxOf(a, b) => ("max_of", Some(a), Some(b)),
    };
    out.push_str("{\"lhs\":");
    optional_duration(out, lhs.map(|e| &**e));
    out.push_str(&format!(",\"op\":\"{op}\",\"rhs\":"));
    optional_duration(out, rhs.map(|e| &**e));
    out.push_str(&format!(",\"type\":\"durationExpr\",\"wrapped\":{}}}", e.wrapped));
}

fn list<T>(out: &mut String, items: &[T], write: impl Fn(&mut String, &T)) {
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

fn strings(out: &mut String, items: &[String]) {
    list(out, items, |out, s| string(out, s));
}

fn string(out: &mut String, s: &str) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}
