//! `promql format|label-matchers`: rewrites a query.

use super::{Context, FAILURE, complain, exit, line};
use model::{MatchOp, Matcher};
use promql::parse::{Expr, parse_expr};

pub fn run(cx: &Context, what: &[&str]) -> u8 {
    if !cx.values.bool("experimental") {
        complain("This command is experimental and requires the --experimental flag to be set.");
        return FAILURE;
    }
    exit(rewrite(cx, what))
}

fn rewrite(cx: &Context, what: &[&str]) -> Result<(), String> {
    let mut expr = parse_expr(cx.values.arg("query"), &cx.parse).map_err(|e| e.to_string())?;
    let name = cx.values.arg("name");
    match what {
        ["label-matchers", "set"] => set(&mut expr, cx.values.text("type"), name, cx.values.arg("value"))?,
        ["label-matchers", "delete"] => expr.each_selector(&mut |s| s.matchers.retain(|m| m.name != name)),
        _ => {}
    }
    line(&promql::parse::prettify(&expr));
    Ok(())
}

fn set(expr: &mut Expr, op: &str, name: &str, value: &str) -> Result<(), String> {
    let op = match op {
        "=" => MatchOp::Equal,
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regex,
        _ => MatchOp::NotRegex,
    };
    let matcher = Matcher::new(op, name, value).map_err(|e| e.to_string())?;
    expr.each_selector(&mut |s| {
        let mut found = false;
        for m in s.matchers.iter_mut().filter(|m| m.name == name) {
            *m = matcher.clone();
            found = true;
        }
        if !found {
            s.matchers.push(matcher.clone());
        }
    });
    Ok(())
}
