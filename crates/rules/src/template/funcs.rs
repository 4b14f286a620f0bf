//! The functions that Prometheus adds to templates.

use super::builtin::{CallError, want};
use super::printf::float_text;
use super::value::{SampleValue, TemplateSample, Value};
use model::Labels;
use model::regex::Search;
use std::collections::BTreeMap;
use std::rc::Rc;

pub const FUNCTION_NAMES: &[&str] = &[
    "query",
    "first",
    "label",
    "value",
    "strvalue",
    "args",
    "reReplaceAll",
    "safeHtml",
    "match",
    "title",
    "toUpper",
    "toLower",
    "graphLink",
    "tableLink",
    "sortByLabel",
    "stripPort",
    "stripDomain",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "toTime",
    "toDuration",
    "now",
    "pathPrefix",
    "externalURL",
    "parseDuration",
    "urlQueryEscape",
];

/// What the functions need from outside.
pub struct Functions<'a> {
    /// Evaluates an instant query at the time of the expansion.
    pub query: &'a dyn Fn(&str) -> Result<Vec<(Labels, SampleValue)>, String>,
    pub now_ms: i64,
    pub external_url: &'a str,
}

type Call = Result<Value, CallError>;

fn str_arg(args: &[Value], i: usize) -> Result<&str, CallError> {
    match &args[i] {
        Value::Str(s) => Ok(s),
        other => Err(CallError::usage(format!("wrong type for value; expected string; got {}", other.type_name()))),
    }
}

impl Functions<'_> {
    pub(super) fn call(&self, name: &str, args: &[Value]) -> Call {
        let arity = match name {
            "args" => args.len(),
            "now" | "pathPrefix" | "externalURL" => 0,
            "label" | "match" | "sortByLabel" => 2,
            "reReplaceAll" => 3,
            _ => 1,
        };
        want(name, args, arity)?;
        let text = |s: String| Ok(Value::from(s));
        match name {
            "query" => self.query(str_arg(args, 0)?),
            "first" => match &args[0] {
                Value::Vector(v) => match v.first() {
                    Some(s) => Ok(Value::Sample(Rc::clone(s))),
                    None => Err("first() called on vector with no elements".to_string().into()),
                },
                other => Err(CallError::usage(format!("wrong type for value; expected template.queryResult; got {}", other.type_name()))),
            },
            "label" => text(sample_arg(args, 1)?.labels.get(str_arg(args, 0)?).cloned().unwrap_or_default()),
            "value" => Ok(sample_arg(args, 0)?.value.clone().into()),
            "strvalue" => text(sample_arg(args, 0)?.labels.get("__value__").cloned().unwrap_or_default()),
            "args" => Ok(Value::Map(Rc::new(args.iter().enumerate().map(|(i, a)| (format!("arg{i}"), a.clone())).collect()))),
            "reReplaceAll" => {
                let pattern = str_arg(args, 0)?;
                let re = Search::new(pattern).map_err(|e| CallError::from(format!("regexp: Compile(`{pattern}`): {e}")))?;
                text(re.replace_all(str_arg(args, 2)?, str_arg(args, 1)?))
            }
            "match" => Ok(Value::Bool(unanchored(str_arg(args, 0)?)?.is_match(str_arg(args, 1)?))),
            "safeHtml" => text(str_arg(args, 0)?.to_string()),
            "title" => text(title(str_arg(args, 0)?)),
            "toUpper" => text(str_arg(args, 0)?.to_uppercase()),
            "toLower" => text(str_arg(args, 0)?.to_lowercase()),
            "graphLink" => text(format!("/graph?g0.expr={}&g0.tab=0", query_escape(str_arg(args, 0)?))),
            "tableLink" => text(format!("/graph?g0.expr={}&g0.tab=1", query_escape(str_arg(args, 0)?))),
            "sortByLabel" => match &args[1] {
                Value::Vector(v) => {
                    let by = str_arg(args, 0)?;
                    let mut sorted = (**v).clone();
                    sorted.sort_by(|a, b| a.labels.get(by).cmp(&b.labels.get(by)));
                    Ok(Value::Vector(Rc::new(sorted)))
                }
                other => Err(CallError::usage(format!("wrong type for value; expected template.queryResult; got {}", other.type_name()))),
            },
            "stripPort" => {
                let s = str_arg(args, 0)?;
                text(split_host_port(s).map_or(s, |(host, _)| host).to_string())
            }
            "stripDomain" => text(strip_domain(str_arg(args, 0)?)),
            "humanize" => text(humanize(to_float(&args[0])?)),
            "humanize1024" => text(humanize1024(to_float(&args[0])?)),
            "humanizeDuration" => text(humanize_duration(to_float(&args[0])?)),
            "humanizePercentage" => text(format!("{}%", g4(to_float(&args[0])? * 100.0))),
            "humanizeTimestamp" => {
                let v = to_float(&args[0])?;
                if v.is_nan() || v.is_infinite() { text(g4(v)) } else { text(super::gotime::to_string(in_whole_ms(to_nanos(v)?))) }
            }
            "toTime" => {
                let v = to_float(&args[0])?;
                if v.is_nan() || v.is_infinite() {
                    return Err("value is NaN or Inf".to_string().into());
                }
                Ok(Value::Time(in_whole_ms(to_nanos(v)?)))
            }
            "toDuration" => Ok(Value::Duration((to_float(&args[0])? * 1e9) as i64)),
            "now" => Ok(Value::Float(self.now_ms as f64 / 1000.0)),
            "pathPrefix" => text(path_of(self.external_url).to_string()),
            "externalURL" => text(self.external_url.to_string()),
            "parseDuration" => match model::duration::parse_signed_ms(str_arg(args, 0)?) {
                Ok(ms) => Ok(Value::Float(ms as f64 / 1000.0)),
                Err(e) => Err(e.to_string().into()),
            },
            "urlQueryEscape" => text(query_escape(str_arg(args, 0)?)),
            _ => Err(CallError::usage(format!("{name:?} is not a defined function"))),
        }
    }

    fn query(&self, q: &str) -> Call {
        let vector = (self.query)(q)?;
        let samples = vector.into_iter().map(|(labels, value)| {
            let labels: BTreeMap<String, String> = labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            Rc::new(TemplateSample { labels: Rc::new(labels), value })
        });
        Ok(Value::Vector(Rc::new(samples.collect())))
    }
}

fn sample_arg(args: &[Value], i: usize) -> Result<&TemplateSample, CallError> {
    match &args[i] {
        Value::Sample(s) => Ok(s),
        other => Err(CallError::usage(format!("wrong type for value; expected *template.sample; got {}", other.type_name()))),
    }
}

fn unanchored(pattern: &str) -> Result<Search, CallError> {
    Search::new(pattern).map_err(|e| CallError::from(e.to_string()))
}

fn to_float(v: &Value) -> Result<f64, CallError> {
    match v {
        Value::Float(f) => Ok(*f),
        Value::Int(n) => Ok(*n as f64),
        Value::Uint(n) => Ok(*n as f64),
        Value::Duration(ns) => Ok(*ns as f64 / 1e9),
        Value::Str(s) => parse_go_float(s).ok_or_else(|| format!("strconv.ParseFloat: parsing {s:?}: invalid syntax").into()),
        other => Err(format!("can't convert {} to float", other.type_name()).into()),
    }
}

fn parse_go_float(s: &str) -> Option<f64> {
    if s.is_empty() || s.contains(char::is_whitespace) { None } else { s.parse().ok() }
}

fn to_nanos(v: f64) -> Result<i64, CallError> {
    let ns = v * 1e9;
    if ns > i64::MAX as f64 || ns < i64::MIN as f64 {
        return Err(format!("{} cannot be represented as a nanoseconds timestamp since it overflows int64", model::number::format_g(v)).into());
    }
    Ok(ns as i64)
}

/// Points in time have milliseconds in Prometheus, and no finer digits.
fn in_whole_ms(ns: i64) -> i64 {
    ns / 1_000_000 * 1_000_000
}

/// `%.4g`
fn g4(v: f64) -> String {
    if v.is_nan() {
        return "NaN".to_string();
    }
    let sign = if v.is_sign_negative() && v != 0.0 {
        "-"
    } else if v.is_infinite() {
        "+"
    } else {
        ""
    };
    format!("{sign}{}", float_text('g', Some(4), v.abs(), false))
}

fn humanize(mut v: f64) -> String {
    if v == 0.0 || v.is_nan() || v.is_infinite() {
        return g4(v);
    }
    let mut prefix = "";
    if v.abs() >= 1.0 {
        for p in ["k", "M", "G", "T", "P", "E", "Z", "Y"] {
            if v.abs() < 1000.0 {
                break;
            }
            prefix = p;
            v /= 1000.0;
        }
    } else {
        for p in ["m", "u", "n", "p", "f", "a", "z", "y"] {
            if v.abs() >= 1.0 {
                break;
            }
            prefix = p;
            v *= 1000.0;
        }
    }
    format!("{}{prefix}", g4(v))
}

fn humanize1024(mut v: f64) -> String {
    if v.abs() <= 1.0 || v.is_nan() || v.is_infinite() {
        return g4(v);
    }
    let mut prefix = "";
    for p in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
        if v.abs() < 1024.0 {
            break;
        }
        prefix = p;
        v /= 1024.0;
    }
    format!("{}{prefix}", g4(v))
}

fn humanize_duration(v: f64) -> String {
    if v.is_nan() || v.is_infinite() {
        return g4(v);
    }
    if v == 0.0 {
        return "0s".to_string();
    }
    if v.abs() >= 1.0 {
        let sign = if v < 0.0 { "-" } else { "" };
        let v = v.abs();
        // What does not fit wraps to the least number, as it does there.
        let whole = if v < 9.223_372_036_854_776e18 { v as i64 } else { i64::MIN };
        let (s, m, h, d) = (whole % 60, whole / 60 % 60, whole / 3600 % 24, whole / 86_400);
        if d != 0 {
            return format!("{sign}{d}d {h}h {m}m {s}s");
        }
        if h != 0 {
            return format!("{sign}{h}h {m}m {s}s");
        }
        if m != 0 {
            return format!("{sign}{m}m {s}s");
        }
        return format!("{sign}{}s", g4(v));
    }
    let mut v = v;
    let mut prefix = "";
    for p in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if v.abs() >= 1.0 {
            break;
        }
        prefix = p;
        v *= 1000.0;
    }
    format!("{}{prefix}s", g4(v))
}

/// A capital at the start of each word; the rest stays.
fn title(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut inside = false;
    for c in s.chars() {
        if c.is_alphanumeric() || (inside && matches!(c, '\'' | '’' | '_')) {
            if inside {
                out.push(c)
            } else {
                out.extend(c.to_uppercase())
            }
            inside = true;
        } else {
            out.push(c);
            inside = false;
        }
    }
    out
}

/// As `net.SplitHostPort`; None when it would be an error.
fn split_host_port(s: &str) -> Option<(&str, &str)> {
    let colon = s.rfind(':')?;
    let (host, port) = (&s[..colon], &s[colon + 1..]);
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').filter(|h| !h.contains(['[', ']']))?,
        None if host.contains([':', '[', ']']) => return None,
        None => host,
    };
    (!port.contains(['[', ']'])).then_some((host, port))
}

fn strip_domain(s: &str) -> String {
    let (host, port) = split_host_port(s).unwrap_or((s, ""));
    if host.parse::<std::net::IpAddr>().is_ok() {
        return s.to_string();
    }
    let host = host.split('.').next().unwrap_or("");
    match port {
        "" => host.to_string(),
        p if host.contains(':') => format!("[{host}]:{p}"),
        p => format!("{host}:{p}"),
    }
}

fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, r)| r);
    let rest = rest.find('/').map_or("", |i| &rest[i..]);
    rest.split(['?', '#']).next().unwrap_or("")
}

/// As Go's `url.QueryEscape`.
pub fn query_escape(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for b in s.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(b as char),
            b' ' => out.push('+'),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}
