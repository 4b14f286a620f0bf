//! Go's time.Time and time.Duration as templates see them: String, Format, Add, Unix and their like. Always UTC.

use super::value::Value;
use model::time::{civil_from_days, days_from_civil};

const NS: i64 = 1_000_000_000;
const MONTHS: [&str; 12] = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

struct Parts {
    year: i64,
    month: u32,
    day: u32,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    weekday: usize,
    year_day: i64,
}

fn parts(ns: i64) -> Parts {
    let (s, nanos) = (ns.div_euclid(NS), ns.rem_euclid(NS));
    let (days, t) = (s.div_euclid(86_400), s.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    Parts {
        year,
        month,
        day,
        hour: t / 3600,
        minute: t / 60 % 60,
        second: t % 60,
        nanos,
        weekday: (days + 4).rem_euclid(7) as usize,
        year_day: days - days_from_civil(year, 1, 1) + 1,
    }
}

/// `2015-06-23 13:19:44.128 +0000 UTC`
pub fn to_string(ns: i64) -> String {
    format(ns, "2006-01-02 15:04:05.999999999 -0700 MST")
}

/// `time.Duration.String`: `1h2m3.5s`, `12ms`, `0s`.
pub fn duration_string(ns: i64) -> String {
    if ns == 0 {
        return "0s".to_string();
    }
    let sign = if ns < 0 { "-" } else { "" };
    let u = ns.unsigned_abs();
    let fraction = |v: u64, unit: u64| {
        let mut t = format!("{}", v / unit);
        let rest = v % unit;
        if rest > 0 {
            let width = unit.ilog10() as usize;
            t.push('.');
            t.push_str(format!("{rest:0width$}").trim_end_matches('0'));
        }
        t
    };
    if u < NS as u64 {
        return match u {
            0..1_000 => format!("{sign}{u}ns"),
            1_000..1_000_000 => format!("{sign}{}µs", fraction(u, 1_000)),
            _ => format!("{sign}{}ms", fraction(u, 1_000_000)),
        };
    }
    let (h, m, s) = (u / (3600 * NS as u64), u / (60 * NS as u64) % 60, u % (60 * NS as u64));
    let mut t = sign.to_string();
    if h > 0 {
        t.push_str(&format!("{h}h"));
    }
    if h > 0 || m > 0 {
        t.push_str(&format!("{m}m"));
    }
    t.push_str(&fraction(s, NS as u64));
    t.push('s');
    t
}

/// Go's reference-time layouts.
pub fn format(ns: i64, layout: &str) -> String {
    let p = parts(ns);
    let hour12 = if p.hour % 12 == 0 { 12 } else { p.hour % 12 };
    let month = MONTHS[p.month as usize - 1];
    let day = DAYS[p.weekday];
    let table: [(&str, String); 27] = [
        ("January", month.to_string()),
        ("Jan", month[..3].to_string()),
        ("Monday", day.to_string()),
        ("Mon", day[..3].to_string()),
        ("MST", "UTC".to_string()),
        ("2006", format!("{:04}", p.year)),
        ("002", format!("{:03}", p.year_day)),
        ("01", format!("{:02}", p.month)),
        ("02", format!("{:02}", p.day)),
        ("03", format!("{hour12:02}")),
        ("04", format!("{:02}", p.minute)),
        ("05", format!("{:02}", p.second)),
        ("06", format!("{:02}", p.year.rem_euclid(100))),
        ("15", format!("{:02}", p.hour)),
        ("PM", if p.hour >= 12 { "PM" } else { "AM" }.to_string()),
        ("pm", if p.hour >= 12 { "pm" } else { "am" }.to_string()),
        ("-07:00:00", "+00:00:00".to_string()),
        ("-07:00", "+00:00".to_string()),
        ("-0700", "+0000".to_string()),
        ("-07", "+00".to_string()),
        ("Z07:00", "Z".to_string()),
        ("Z0700", "Z".to_string()),
        ("_2", format!("{:2}", p.day)),
        ("1", p.month.to_string()),
        ("2", p.day.to_string()),
        ("3", hour12.to_string()),
        ("4", p.minute.to_string()),
    ];
    let mut out = String::new();
    let mut rest = layout;
    'outer: while !rest.is_empty() {
        let fraction =
            rest.strip_prefix(['.', ',']).map(|r| r.bytes().take_while(|b| *b == b'0').count().max(r.bytes().take_while(|b| *b == b'9').count()));
        if let Some(n @ 1..=9) = fraction
            && !rest[1 + n..].starts_with(|c: char| c.is_ascii_digit())
        {
            let digits = &format!("{:09}", p.nanos)[..n];
            let shown = if rest.as_bytes()[1] == b'9' { digits.trim_end_matches('0') } else { digits };
            if !shown.is_empty() {
                out.push_str(&rest[..1]);
                out.push_str(shown);
            }
            rest = &rest[1 + n..];
            continue;
        }
        for (key, value) in &table {
            if let Some(r) = rest.strip_prefix(key) {
                // "Jan" must not eat the beginning of another word.
                if matches!(*key, "Jan" | "Mon") && r.starts_with(|c: char| c.is_ascii_lowercase()) {
                    continue;
                }
                out.push_str(value);
                rest = r;
                continue 'outer;
            }
        }
        if let Some(r) = rest.strip_prefix('5') {
            out.push_str(&p.second.to_string());
            rest = r;
            continue;
        }
        let c = rest.chars().next().expect("not empty");
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

type MethodResult = Option<Result<Value, String>>;

/// A method of time.Time; None when there is no such method.
pub fn time_method(ns: i64, name: &str, args: &[Value]) -> MethodResult {
    let p = parts(ns);
    let value = match (name, args) {
        ("Format", [Value::Str(layout)]) => Value::from(format(ns, layout)),
        ("Add", [Value::Duration(d)]) => Value::Time(ns.saturating_add(*d)),
        ("Sub", [Value::Time(t)]) => Value::Duration(ns.saturating_sub(*t)),
        ("After", [Value::Time(t)]) => Value::Bool(ns > *t),
        ("Before", [Value::Time(t)]) => Value::Bool(ns < *t),
        ("Equal", [Value::Time(t)]) => Value::Bool(ns == *t),
        ("String", []) => Value::from(to_string(ns)),
        ("UTC" | "Local", []) => Value::Time(ns),
        ("Unix", []) => Value::Int(ns.div_euclid(NS)),
        ("UnixMilli", []) => Value::Int(ns.div_euclid(1_000_000)),
        ("UnixMicro", []) => Value::Int(ns.div_euclid(1_000)),
        ("UnixNano", []) => Value::Int(ns),
        ("Year", []) => Value::Int(p.year),
        ("Month", []) => Value::from(MONTHS[p.month as usize - 1]),
        ("Weekday", []) => Value::from(DAYS[p.weekday]),
        ("Day", []) => Value::Int(i64::from(p.day)),
        ("YearDay", []) => Value::Int(p.year_day),
        ("Hour", []) => Value::Int(p.hour),
        ("Minute", []) => Value::Int(p.minute),
        ("Second", []) => Value::Int(p.second),
        ("Nanosecond", []) => Value::Int(p.nanos),
        ("IsZero", []) => Value::Bool(false),
        ("Format" | "Add" | "Sub" | "After" | "Before" | "Equal", _) => return Some(Err(format!("wrong number or type of args for {name}"))),
        _ => return None,
    };
    Some(Ok(value))
}

/// A method of time.Duration; None when there is no such method.
pub fn duration_method(ns: i64, name: &str, args: &[Value]) -> MethodResult {
    let value = match (name, args) {
        ("String", []) => Value::from(duration_string(ns)),
        ("Seconds", []) => Value::Float(ns as f64 / 1e9),
        ("Minutes", []) => Value::Float(ns as f64 / 6e10),
        ("Hours", []) => Value::Float(ns as f64 / 3.6e12),
        ("Milliseconds", []) => Value::Int(ns / 1_000_000),
        ("Microseconds", []) => Value::Int(ns / 1_000),
        ("Nanoseconds", []) => Value::Int(ns),
        ("Abs", []) => Value::Duration(ns.saturating_abs()),
        ("Round", [Value::Duration(m)]) if *m > 0 => Value::Duration((ns as f64 / *m as f64).round() as i64 * m),
        ("Truncate", [Value::Duration(m)]) if *m > 0 => Value::Duration(ns - ns % m),
        _ => return None,
    };
    Some(Ok(value))
}
