//! Log lines as Prometheus 3 writes them: `time=… level=… source=… msg=… key=value`, or the same keys as JSON.

use std::fmt::{self, Write};
use stdx::clock::SharedClock;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Logfmt,
    Json,
}

/// Sends everything from `level` up to standard error. Call once.
pub fn init(level: &str, form: Form, clock: SharedClock) {
    let max = match level {
        "debug" => Level::DEBUG,
        "warn" => Level::WARN,
        "error" => Level::ERROR,
        _ => Level::INFO,
    };
    tracing_subscriber::fmt().with_max_level(max).with_writer(std::io::stderr).event_format(Format { form, clock }).init();
}

struct Format {
    form: Form,
    clock: SharedClock,
}

/// Key and value of one event in the order they were written; `message` becomes `msg`.
#[derive(Default)]
struct Fields {
    msg: String,
    rest: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_string());
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.msg = value;
        } else {
            self.rest.push((field.name(), value));
        }
    }
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _ctx: &FmtContext<'_, S, N>, mut w: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let meta = event.metadata();
        let file = meta.file().map_or("", |f| f.rsplit('/').next().unwrap_or(f));
        let source = format!("{file}:{}", meta.line().unwrap_or(0));
        let time = model::time::format_rfc3339_ms(self.clock.now_ms());
        let level = match *meta.level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARN",
            Level::INFO => "INFO",
            Level::DEBUG | Level::TRACE => "DEBUG",
        };
        let mut line = String::with_capacity(160);
        let head = [("time", time.as_str()), ("level", level), ("source", source.as_str()), ("msg", fields.msg.as_str())];
        let all = head.into_iter().chain(fields.rest.iter().map(|(k, v)| (*k, v.as_str())));
        match self.form {
            Form::Logfmt => all.for_each(|(k, v)| push_logfmt(&mut line, k, v)),
            Form::Json => {
                line.push('{');
                for (i, (k, v)) in all.enumerate() {
                    let _ = write!(line, "{}{}:{}", if i > 0 { "," } else { "" }, json_string(k), json_string(v));
                }
                line.push('}');
            }
        }
        writeln!(w, "{line}")
    }
}

fn push_logfmt(line: &mut String, key: &str, value: &str) {
    if !line.is_empty() {
        line.push(' ');
    }
    line.push_str(key);
    line.push('=');
    let plain = !value.is_empty() && value.chars().all(|c| c > ' ' && c != '"' && c != '=' && !c.is_control());
    if plain {
        line.push_str(value);
    } else {
        line.push_str(&model::labels::quote(value));
    }
}

fn json_string(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_only_where_they_must_be() {
        let mut line = String::new();
        for (k, v) in [("level", "INFO"), ("msg", "two words"), ("empty", ""), ("q", "a\"b")] {
            push_logfmt(&mut line, k, v);
        }
        assert_eq!(line, r#"level=INFO msg="two words" empty="" q="a\"b""#);
        assert_eq!(json_string("a\"\n\u{1}"), r#""a\"\n\u0001""#);
    }
}
