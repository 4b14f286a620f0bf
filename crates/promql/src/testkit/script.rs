//! The text of a script, taken apart.

use crate::parse::{self, SequenceItem, SeriesDescription};
use model::duration;
use model::regex::Search;
use model::{FloatHistogram, Labels};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// From 1.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ScriptError {}

pub enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

/// One value of a series.
#[derive(Clone, Debug)]
pub enum Point {
    Gap,
    Float(f64),
    Histogram { histogram: Box<FloatHistogram>, hint_set: bool },
}

pub struct Load {
    pub line: usize,
    pub step_ms: i64,
    /// Native histograms with custom buckets are made of classic ones, and loaded too.
    pub with_nhcb: bool,
    pub series: Vec<LoadSeries>,
}

pub struct LoadSeries {
    pub labels: Labels,
    pub points: Vec<Point>,
    /// Start times, as distances from the sample's time; None for unknown. Empty or as long as `points`.
    pub start_offsets_ms: Vec<Option<i64>>,
}

/// A text that is expected: exactly, or by pattern.
#[derive(Clone, Debug)]
pub enum Expect {
    Message(String),
    Pattern(Search, String),
    Any,
}

impl Expect {
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Expect::Message(m) => m == text,
            Expect::Pattern(p, _) => p.is_match(text),
            Expect::Any => true,
        }
    }
}

#[derive(Default)]
pub struct Eval {
    /// From 1.
    pub line: usize,
    pub query: String,
    pub start_ms: i64,
    pub end_ms: i64,
    /// Of a range evaluation.
    pub step_ms: Option<i64>,
    /// Times of the points that are expected of a range vector.
    pub points_step_ms: i64,
    pub ordered: bool,
    /// Results that a range evaluation cannot have.
    pub instant_only: bool,
    pub fail: Vec<Expect>,
    pub warn: Vec<Expect>,
    pub info: Vec<Expect>,
    pub no_warn: bool,
    pub no_info: bool,
    pub string: Option<String>,
    pub scalar: Option<f64>,
    pub series: Vec<(Labels, Vec<Point>)>,
}

impl Eval {
    /// When an instant evaluation takes place.
    pub fn at_ms(&self) -> i64 {
        if self.step_ms.is_none() && self.points_step_ms > 0 { self.end_ms } else { self.start_ms }
    }

    pub fn expects_failure(&self) -> bool {
        !self.fail.is_empty()
    }

    pub fn check_failure(&self, message: &str) -> Result<(), String> {
        match self.fail.iter().find(|e| !e.matches(message)) {
            None => Ok(()),
            Some(e) => Err(format!("expected an error matching {e:?}, got: {message}")),
        }
    }
}

/// Takes a script apart. The first line that is wrong is told.
pub fn parse(text: &str) -> Result<Vec<Command>, ScriptError> {
    let lines: Vec<&str> = text
        .split('\n')
        .map(|l| {
            let l = l.trim();
            if l.starts_with('#') { "" } else { l }
        })
        .collect();
    let mut commands = Vec::new();
    let mut i = 0;
    while i < lines.len() {
        let start = i;
        let fail = |line: usize, message: String| ScriptError { line: line + 1, message };
        let mut body = Vec::new();
        i += 1;
        if lines[start].is_empty() {
            continue;
        }
        let (word, rest) = lines[start].split_once([' ', '\t']).unwrap_or((lines[start], ""));
        if word.eq_ignore_ascii_case("clear") {
            commands.push(Command::Clear);
            continue;
        }
        while i < lines.len() && !lines[i].is_empty() {
            body.push((i, lines[i]));
            i += 1;
        }
        match word.to_ascii_lowercase().as_str() {
            "load" | "load_with_nhcb" => {
                let step_ms = duration::parse_ms(rest.trim()).map_err(|e| fail(start, format!("invalid step definition \"{rest}\": {e}")))?;
                let mut load = Load { line: start + 1, step_ms, with_nhcb: word.len() > 4, series: Vec::new() };
                load_body(&mut load, &body)?;
                commands.push(Command::Load(load));
            }
            w if w.starts_with("eval") => {
                let mut eval = Eval { line: start + 1, ..Eval::default() };
                eval_head(&mut eval, &w[4..], rest).map_err(|m| fail(start, m))?;
                for (n, line) in body {
                    eval_line(&mut eval, line).map_err(|m| fail(n, m))?;
                }
                commands.push(Command::Eval(Box::new(eval)));
            }
            _ => return Err(fail(start, format!("invalid command \"{}\"", lines[start]))),
        }
    }
    Ok(commands)
}

fn load_body(load: &mut Load, body: &[(usize, &str)]) -> Result<(), ScriptError> {
    let mut starts: Option<SeriesDescription> = None;
    for (n, line) in body {
        let fail = |message: String| ScriptError { line: n + 1, message };
        if let Some(parsed) = parse::parse_start_times(line) {
            starts = Some(parsed.map_err(fail)?);
            continue;
        }
        let description = parse::parse_series(line).map_err(|e| fail(e.to_string()))?;
        let points = expand(&description).map_err(fail)?;
        let mut start_offsets_ms = Vec::new();
        if let Some(s) = starts.take() {
            if s.labels != description.labels {
                return Err(fail("@st metric does not match the following sample line metric".to_string()));
            }
            start_offsets_ms = expand(&s)
                .map_err(fail)?
                .iter()
                .map(|p| match p {
                    Point::Float(v) => Some(*v as i64),
                    _ => None,
                })
                .collect();
            if start_offsets_ms.len() != points.len() {
                return Err(fail(format!("@st line has {} values but sample line has {}", start_offsets_ms.len(), points.len())));
            }
        }
        // A series that is written twice is the one written last.
        load.series.retain(|s| s.labels != description.labels);
        load.series.push(LoadSeries { labels: description.labels, points, start_offsets_ms });
    }
    Ok(())
}

/// All values of a series, one by one.
fn expand(description: &SeriesDescription) -> Result<Vec<Point>, String> {
    let mut out = Vec::new();
    for item in &description.items {
        match item {
            SequenceItem::Omitted { count } => out.extend((0..*count).map(|_| Point::Gap)),
            SequenceItem::Float { start, step, count } => {
                let mut v = *start;
                for i in 0..*count {
                    if i > 0 && *step != 0.0 {
                        v += step;
                    }
                    out.push(Point::Float(v));
                }
            }
            SequenceItem::Histogram { start, step, count, hint_set } => {
                let mut h = start.clone();
                for i in 0..*count {
                    if let (Some((op, step)), true) = (step, i > 0) {
                        let merged = if *op == crate::parse::ast::BinaryOp::Sub { h.sub(step) } else { h.add(step) };
                        merged.map_err(|e| e.to_string())?;
                    }
                    out.push(Point::Histogram { histogram: h.clone(), hint_set: *hint_set });
                }
            }
        }
    }
    Ok(out)
}

/// The next word and what follows.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once([' ', '\t']).unwrap_or((text, ""))
}

fn ms(text: &str) -> Result<i64, String> {
    duration::parse_ms(text).map_err(|e| format!("invalid time definition \"{text}\": {e}"))
}

fn eval_head(eval: &mut Eval, modifier: &str, rest: &str) -> Result<(), String> {
    let (kind, rest) = word(rest);
    match kind {
        "instant" => {
            let mut query = rest.trim_start();
            if let ("at", behind) = word(query) {
                let (at, behind) = word(behind);
                eval.start_ms = ms(at)?;
                query = behind.trim_start();
            }
            eval.end_ms = eval.start_ms;
            eval.query = query.to_string();
        }
        "range" => {
            let mut times = [0i64; 3];
            let mut rest = rest;
            for (slot, expected) in times.iter_mut().zip(["from", "to", "step"]) {
                let (keyword, behind) = word(rest);
                if keyword != expected {
                    return Err(format!("invalid evaluation command, expected \"{expected}\""));
                }
                let (value, behind) = word(behind);
                *slot = ms(value)?;
                rest = behind;
            }
            (eval.start_ms, eval.end_ms, eval.step_ms) = (times[0], times[1], Some(times[2]));
            eval.query = rest.trim_start().to_string();
        }
        _ => return Err("invalid evaluation command: neither instant nor range".to_string()),
    }
    match modifier {
        "" => {}
        "_ordered" => eval.ordered = true,
        "_fail" => eval.fail.push(Expect::Any),
        "_warn" => eval.warn_any(),
        "_info" => eval.info_any(),
        other => return Err(format!("invalid evaluation modifier \"{other}\"")),
    }
    Ok(())
}

impl Eval {
    fn warn_any(&mut self) {
        self.warn.push(Expect::Any);
    }

    fn info_any(&mut self) {
        self.info.push(Expect::Any);
    }
}

fn pattern(text: &str) -> Result<Expect, String> {
    Search::new(text).map(|r| Expect::Pattern(r, text.to_string())).map_err(|_| format!("invalid regex {text}"))
}

fn eval_line(eval: &mut Eval, line: &str) -> Result<(), String> {
    if let Some(rest) = line.strip_prefix("expect range vector") {
        let mut probe = Eval::default();
        eval_head(&mut probe, "", &format!("range {rest} x"))?;
        (eval.start_ms, eval.end_ms, eval.points_step_ms) = (probe.start_ms, probe.end_ms, probe.step_ms.unwrap_or(1));
        eval.instant_only = true;
        return Ok(());
    }
    if let Some(text) = line.strip_prefix("expect string") {
        let quoted = text.trim();
        eval.string = match crate::parse::parse_expr(quoted, &crate::parse::ParseOptions::ALL) {
            Ok(parse::Expr::String(s)) => Some(s.value),
            _ => return Err("expected string literal not valid - check that the string is correctly quoted".to_string()),
        };
        eval.instant_only = true;
        return Ok(());
    }
    if let Some(text) = line.strip_prefix("expected_fail_message") {
        eval.fail.push(Expect::Message(text.trim().to_string()));
        return Ok(());
    }
    if let Some(text) = line.strip_prefix("expected_fail_regexp") {
        eval.fail.push(pattern(text.trim())?);
        return Ok(());
    }
    if let ("expect", rest) = word(line) {
        let (mode, rest) = word(rest);
        let expect = match rest.trim_start().split_once(':') {
            _ if rest.trim().is_empty() => Expect::Any,
            Some(("msg", text)) => Expect::Message(text.trim().to_string()),
            Some(("regex", text)) => pattern(text.trim())?,
            _ => return Err(format!("invalid expect statement \"{line}\"")),
        };
        match mode {
            "ordered" => eval.ordered = true,
            "fail" => eval.fail.push(expect),
            "warn" => eval.warn.push(expect),
            "info" => eval.info.push(expect),
            "no_warn" => eval.no_warn = true,
            "no_info" => eval.no_info = true,
            other => return Err(format!("invalid expected error/annotation type {other}")),
        }
        return Ok(());
    }
    if let Some(v) = number(line) {
        eval.scalar = Some(v);
        return Ok(());
    }
    let description = parse::parse_series(line).map_err(|e| e.to_string())?;
    let points = expand(&description)?;
    eval.series.push((description.labels, points));
    Ok(())
}

fn number(text: &str) -> Option<f64> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).and_then(|h| i64::from_str_radix(h, 16).ok());
    hex.map(|n| n as f64).or_else(|| text.parse().ok())
}
