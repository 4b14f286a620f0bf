//! The functions that Go's text/template itself has.

use super::printf;
use super::value::Value;
use std::cmp::Ordering;

pub const NAMES: &[&str] = &[
    "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index", "slice", "print", "println", "printf", "html", "js", "urlquery", "call",
];

/// Why a call failed.
#[derive(Debug)]
pub struct CallError {
    pub message: String,
    /// The call itself is wrong (number or types of arguments), so that the function never ran.
    pub is_usage: bool,
}

impl From<String> for CallError {
    fn from(message: String) -> Self {
        CallError { message, is_usage: false }
    }
}

impl CallError {
    pub fn usage(message: String) -> Self {
        CallError { message, is_usage: true }
    }
}

pub fn want(name: &str, args: &[Value], n: usize) -> Result<(), CallError> {
    if args.len() == n { Ok(()) } else { Err(CallError::usage(format!("wrong number of args for {name}: want {n} got {}", args.len()))) }
}

pub fn call(name: &str, args: &[Value]) -> Result<Value, CallError> {
    match name {
        "not" => {
            want(name, args, 1)?;
            Ok(Value::Bool(!args[0].is_true()))
        }
        "eq" => {
            if args.len() < 2 {
                return Err("missing argument for comparison".to_string().into());
            }
            for other in &args[1..] {
                if compare(&args[0], other)? == Some(Ordering::Equal) {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        "ne" | "lt" | "le" | "gt" | "ge" => {
            want(name, args, 2)?;
            let order = compare(&args[0], &args[1])?;
            if name != "ne" && matches!(args[0], Value::Bool(_)) {
                return Err("invalid type for comparison".to_string().into());
            }
            Ok(Value::Bool(match name {
                "ne" => order != Some(Ordering::Equal),
                "lt" => order == Some(Ordering::Less),
                "le" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                // As Go has them: what is neither less nor equal is greater, NaN too.
                "gt" => !matches!(order, Some(Ordering::Less | Ordering::Equal)),
                _ => order != Some(Ordering::Less),
            }))
        }
        "len" => {
            want(name, args, 1)?;
            Ok(Value::Int(match &args[0] {
                Value::Str(s) => s.len(),
                Value::List(l) => l.len(),
                Value::Labels(m) => m.len(),
                Value::Map(m) => m.len(),
                Value::Vector(v) => v.len(),
                Value::Nil => return Err("len of nil pointer".to_string().into()),
                other => return Err(format!("len of type {}", other.type_name()).into()),
            } as i64))
        }
        "index" => index(args),
        "slice" => slice(args),
        "print" => Ok(Value::from(print(args))),
        "println" => Ok(Value::from(args.iter().map(plain).collect::<Vec<_>>().join(" ") + "\n")),
        "printf" => match args {
            [Value::Str(format), rest @ ..] => Ok(Value::from(printf::sprintf(format, rest))),
            [] => Err(CallError::usage("wrong number of args for printf: want at least 1 got 0".to_string())),
            [other, ..] => Err(CallError::usage(format!("wrong type for value; expected string; got {}", other.type_name()))),
        },
        "html" => Ok(Value::from(escape_html(&print(args)))),
        "js" => Ok(Value::from(escape_js(&print(args)))),
        "urlquery" => Ok(Value::from(super::funcs::query_escape(&print(args)))),
        _ => Err(format!("{name} is not supported").into()),
    }
}

fn plain(v: &Value) -> String {
    match v {
        Value::Nil => "<nil>".to_string(),
        v => v.text(),
    }
}

/// `fmt.Sprint`: a space between two operands when neither is a string.
fn print(args: &[Value]) -> String {
    let mut out = String::new();
    for (i, a) in args.iter().enumerate() {
        if i > 0 && !matches!(a, Value::Str(_)) && !matches!(args[i - 1], Value::Str(_)) {
            out.push(' ');
        }
        out.push_str(&plain(a));
    }
    out
}

fn compare(a: &Value, b: &Value) -> Result<Option<Ordering>, CallError> {
    let incompatible = || CallError::from("incompatible types for comparison".to_string());
    Ok(match (a, b) {
        (Value::Int(x), Value::Int(y)) | (Value::Duration(x), Value::Duration(y)) | (Value::Time(x), Value::Time(y)) => Some(x.cmp(y)),
        (Value::Uint(x), Value::Uint(y)) => Some(x.cmp(y)),
        (Value::Int(x), Value::Uint(y)) => Some(i128::from(*x).cmp(&i128::from(*y))),
        (Value::Uint(x), Value::Int(y)) => Some(i128::from(*x).cmp(&i128::from(*y))),
        (Value::Float(x), Value::Float(y)) => x.partial_cmp(y),
        (Value::Str(x), Value::Str(y)) => Some(x.cmp(y)),
        (Value::Bool(x), Value::Bool(y)) => Some(x.cmp(y)),
        (Value::Nil, Value::Nil) => Some(Ordering::Equal),
        (Value::Nil, _) | (_, Value::Nil) => None,
        _ => return Err(incompatible()),
    })
}

fn index(args: &[Value]) -> Result<Value, CallError> {
    let Some((first, keys)) = args.split_first() else {
        return Err(CallError::usage("wrong number of args for index: want at least 1 got 0".to_string()));
    };
    let mut v = first.clone();
    for key in keys {
        let at = |len: usize| match key {
            Value::Int(i) if *i >= 0 && (*i as usize) < len => Ok(*i as usize),
            Value::Int(i) => Err(CallError::from(format!("reflect: slice index out of range: {i}"))),
            other => Err(format!("cannot index slice/array with type {}", other.type_name()).into()),
        };
        v = match (&v, key) {
            (Value::Labels(m), Value::Str(k)) => Value::from(m.get(&**k).map_or("", String::as_str)),
            (Value::Map(m), Value::Str(k)) => m.get(&**k).cloned().unwrap_or(Value::Nil),
            (Value::List(l), _) => l[at(l.len())?].clone(),
            (Value::Vector(l), _) => Value::Sample(l[at(l.len())?].clone()),
            (Value::Str(s), _) => Value::Int(i64::from(s.as_bytes()[at(s.len())?])),
            (Value::Nil, _) => return Err("index of untyped nil".to_string().into()),
            (other, _) => return Err(format!("can't index item of type {}", other.type_name()).into()),
        };
    }
    Ok(v)
}

fn slice(args: &[Value]) -> Result<Value, CallError> {
    let Some((first, bounds)) = args.split_first() else {
        return Err(CallError::usage("wrong number of args for slice: want at least 1 got 0".to_string()));
    };
    let len = match first {
        Value::Str(s) => s.len(),
        Value::List(l) => l.len(),
        other => return Err(format!("can't slice item of type {}", other.type_name()).into()),
    };
    let at = |i: usize, default: usize| match bounds.get(i) {
        None => Ok(default),
        Some(Value::Int(n)) if *n >= 0 && *n as usize <= len => Ok(*n as usize),
        Some(other) => Err(CallError::from(format!("index out of range: {}", other.text()))),
    };
    let (from, to) = (at(0, 0)?, at(1, len)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}").into());
    }
    match first {
        Value::Str(s) => Ok(Value::from(String::from_utf8_lossy(&s.as_bytes()[from..to]).into_owned())),
        Value::List(l) => Ok(Value::List(l[from..to].to_vec().into())),
        _ => Ok(Value::Nil),
    }
}

fn escape_html(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn escape_js(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", c as u32)),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out
}
