//! Command lines as Prometheus' programs read them: tables of commands, flags and arguments, and one parser for the server and the tool.
//!
//! Prometheus reads its command line with kingpin, whose words and order of checks scripts have come to rely on: `--x=y`, `--x y`, `--no-x`,
//! `-xy`, `--`, `@file`. They are kept here; completion scripts are not. What a value means is not known here, only whether it is well formed.

mod usage;
mod value;

pub use usage::usage;
pub use value::parse_go_duration_ns;

use std::collections::BTreeMap;

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `--name`, `--no-name`.
    Bool,
    Text,
    /// Also written as a float, as `1e6`.
    Int,
    Int64,
    Float,
    /// `15d`, `1h30m`.
    Duration,
    /// Go's `1.5h`, `300ms`; no days.
    GoDuration,
    /// `512MB`, powers of two.
    Size,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// The same with a word of its own for the error.
    Word(&'static str, &'static [&'static str]),
    /// May be given many times.
    List,
    /// `KEY=VALUE`, many times.
    Map,
    Url,
    /// An existing file.
    File,
}

impl Kind {
    fn is_repeatable(self) -> bool {
        matches!(self, Kind::List | Kind::Map)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub name: &'static str,
    pub short: Option<char>,
    pub kind: Kind,
    pub default: &'static str,
    pub required: bool,
    pub hidden: bool,
    pub placeholder: &'static str,
    pub help: &'static str,
}

impl Flag {
    pub const fn new(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
        Flag { name, short: None, kind, default, required: false, hidden: false, placeholder: "", help }
    }

    pub const fn short(self, short: char) -> Flag {
        Flag { short: Some(short), ..self }
    }

    pub const fn required(self) -> Flag {
        Flag { required: true, ..self }
    }

    pub const fn hidden(self) -> Flag {
        Flag { hidden: true, ..self }
    }

    pub const fn placeholder(self, placeholder: &'static str) -> Flag {
        Flag { placeholder, ..self }
    }
}

/// An argument without a name. One that takes many is the last.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    pub many: bool,
    pub default: &'static str,
    pub help: &'static str,
}

/// A command, or the whole program.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    pub name: &'static str,
    pub help: &'static str,
    pub flags: &'a [Flag],
    pub args: &'a [Arg],
    pub commands: &'a [Command<'a>],
}

/// Of every program.
const COMMON: [Flag; 4] = [
    Flag::new("help", Kind::Bool, "", "Show context-sensitive help (also try --help-long and --help-man).").short('h'),
    Flag::new("help-long", Kind::Bool, "", "Generate long help.").hidden(),
    Flag::new("help-man", Kind::Bool, "", "Generate a man page.").hidden(),
    Flag::new("version", Kind::Bool, "", "Show application version."),
];

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub text: String,
    /// The words do not fit together, as against: one of them is no value of its flag.
    pub is_structure: bool,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Parsed {
    Run(Values),
    /// The text to show.
    Help(String),
    Version,
}

/// The values of the flags and arguments of the chosen command and of those above it.
#[derive(Clone, Debug, Default)]
pub struct Values {
    pub command: Vec<&'static str>,
    flags: BTreeMap<&'static str, Vec<String>>,
    args: BTreeMap<&'static str, Vec<String>>,
    given: Vec<&'static str>,
}

impl Values {
    pub fn list(&self, flag: &str) -> &[String] {
        self.flags.get(flag).expect("only flags of the command are asked for")
    }

    /// The last value; empty when there is none.
    pub fn text(&self, flag: &str) -> &str {
        self.list(flag).last().map_or("", String::as_str)
    }

    pub fn bool(&self, flag: &str) -> bool {
        self.text(flag) == "true"
    }

    pub fn is_given(&self, flag: &str) -> bool {
        self.given.contains(&flag)
    }

    /// In the order of the command line.
    pub fn given(&self) -> &[&'static str] {
        &self.given
    }

    /// The pairs of a [`Kind::Map`].
    pub fn map(&self, flag: &str) -> BTreeMap<String, String> {
        self.list(flag).iter().filter_map(|v| v.split_once('=')).map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    pub fn args(&self, name: &str) -> &[String] {
        self.args.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn arg(&self, name: &str) -> &str {
        self.args(name).first().map_or("", String::as_str)
    }
}

enum Token {
    Long(String),
    Short(char),
    Arg(String),
    Error(String),
}

/// Words as tokens, one after the other.
struct Words {
    words: std::collections::VecDeque<String>,
    pushed: Option<Token>,
    only_args: bool,
}

impl Words {
    fn next(&mut self, flags: &[Flag]) -> Option<Token> {
        if let Some(t) = self.pushed.take() {
            return Some(t);
        }
        loop {
            let word = self.words.pop_front()?;
            if self.only_args || !word.starts_with(['-', '@']) {
                return Some(Token::Arg(word));
            }
            if word == "--" {
                self.only_args = true;
                continue;
            }
            if let Some(path) = word.strip_prefix('@') {
                match expand(path) {
                    Ok(lines) => lines.into_iter().rev().for_each(|l| self.words.push_front(l)),
                    Err(e) => return Some(Token::Error(e)),
                }
                continue;
            }
            if let Some(long) = word.strip_prefix("--") {
                let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
                self.pushed = value.map(|v| Token::Arg(v.to_string()));
                return Some(Token::Long(name.to_string()));
            }
            let mut rest = word[1..].chars();
            let Some(short) = rest.next() else { return Some(Token::Arg(String::new())) };
            let rest = rest.as_str();
            if !rest.is_empty() {
                match flags.iter().find(|f| f.short == Some(short)) {
                    Some(f) if f.kind != Kind::Bool => self.pushed = Some(Token::Arg(rest.to_string())),
                    _ => self.words.push_front(format!("-{rest}")),
                }
            }
            return Some(Token::Short(short));
        }
    }
}

/// Arguments from a file, one a line; lines that begin with # are comments.
fn expand(path: &str) -> Result<Vec<String>, String> {
    if path.is_empty() {
        return Err("expected @ file to expand arguments from".to_string());
    }
    let text =
        std::fs::read_to_string(path).map_err(|e| format!("failed to open arguments file {path:?}: open {path}: {}", crate::go::io_error(&e)))?;
    Ok(text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()).map(str::to_string).collect())
}

/// What was matched, in the order of the words.
#[derive(Default)]
struct Matched<'a> {
    chain: Vec<&'a Command<'a>>,
    flags: Vec<Flag>,
    args: Vec<Arg>,
    given: Vec<(Given, String)>,
}

#[derive(Clone, Copy)]
enum Given {
    Flag(Flag),
    Arg(Arg),
}

fn structure(text: impl Into<String>) -> Error {
    Error { text: text.into(), is_structure: true }
}

fn matched<'a>(root: &'a Command<'a>, words: &[String]) -> (Matched<'a>, Result<(), Error>) {
    let mut m = Matched::default();
    m.flags.extend(COMMON);
    m.flags.extend(root.flags);
    m.args.extend(root.args);
    let mut commands = root.commands;
    let mut words = Words { words: words.iter().cloned().collect(), pushed: None, only_args: false };
    let mut place = 0;
    loop {
        let Some(token) = words.next(&m.flags) else { return (m, Ok(())) };
        let done = match token {
            Token::Error(e) => Err(structure(e)),
            Token::Long(name) => flag(&mut m, &mut words, &name),
            Token::Short(c) => match m.flags.iter().find(|f| f.short == Some(c)).copied() {
                Some(f) => value(&mut m, &mut words, f, true, &format!("-{c}")),
                None => Err(structure(format!("unknown short flag '-{c}'"))),
            },
            Token::Arg(word) if !commands.is_empty() => match commands.iter().find(|c| c.name == word) {
                Some(c) => {
                    m.chain.push(c);
                    m.flags.extend(c.flags);
                    m.args.extend(c.args);
                    commands = c.commands;
                    Ok(())
                }
                None => Err(structure(format!("expected command but got {word:?}"))),
            },
            Token::Arg(word) => match m.args.get(place).copied() {
                Some(a) => {
                    if !a.many {
                        place += 1;
                    }
                    m.given.push((Given::Arg(a), word));
                    Ok(())
                }
                None => Err(structure(format!("unexpected {word}"))),
            },
        };
        if done.is_err() {
            return (m, done);
        }
    }
}

fn flag(m: &mut Matched<'_>, words: &mut Words, name: &str) -> Result<(), Error> {
    let find = |name: &str| m.flags.iter().find(|f| f.name == name).copied();
    let unknown = || structure(format!("unknown long flag '--{name}'"));
    match (find(name), name.strip_prefix("no-").and_then(find)) {
        (Some(f), _) => value(m, words, f, true, &format!("--{name}")),
        (None, Some(f)) if f.kind == Kind::Bool => value(m, words, f, false, name),
        _ => Err(unknown()),
    }
}

fn value(m: &mut Matched<'_>, words: &mut Words, f: Flag, yes: bool, shown: &str) -> Result<(), Error> {
    if f.kind == Kind::Bool {
        m.given.push((Given::Flag(f), yes.to_string()));
        return Ok(());
    }
    match words.next(&m.flags) {
        Some(Token::Arg(v)) => {
            m.given.push((Given::Flag(f), v));
            Ok(())
        }
        _ => Err(structure(format!("expected argument for flag '{shown}'"))),
    }
}

/// Reads the words that follow the program's name.
pub fn parse(program: &str, root: &Command<'_>, words: &[String]) -> Result<Parsed, Error> {
    let (m, done) = matched(root, words);
    let asked = |name: &str| m.given.iter().any(|(g, _)| matches!(g, Given::Flag(f) if f.name == name));
    if asked("version") {
        return Ok(Parsed::Version);
    }
    done?;
    if asked("help") || asked("help-long") || asked("help-man") {
        return Ok(Parsed::Help(usage(program, root, &m.chain)));
    }
    let mut out = Values { command: m.chain.iter().map(|c| c.name).collect(), ..Values::default() };
    for (given, v) in &m.given {
        let kind = match given {
            Given::Flag(f) => f.kind,
            Given::Arg(a) => a.kind,
        };
        if let Given::Flag(f) = given
            && !f.kind.is_repeatable()
            && out.flags.contains_key(f.name)
        {
            return Err(Error { text: format!("flag '{}' cannot be repeated", f.name), is_structure: false });
        }
        value::check(kind, v).map_err(|text| Error { text, is_structure: false })?;
        match given {
            Given::Flag(f) => {
                out.flags.entry(f.name).or_default().push(v.clone());
                out.given.push(f.name);
            }
            Given::Arg(a) => out.args.entry(a.name).or_default().push(v.clone()),
        }
    }
    let unfinished = m.chain.last().is_some_and(|c| !c.commands.is_empty());
    if unfinished {
        return Err(structure(format!("must select a subcommand of '{}'", out.command.join(" "))));
    }
    let missing: Vec<String> = m.flags.iter().filter(|f| f.required && !out.flags.contains_key(f.name)).map(|f| format!("'--{}'", f.name)).collect();
    if !missing.is_empty() {
        return Err(structure(format!("required flag(s) {} not provided", missing.join(", "))));
    }
    if let Some(a) = m.args.iter().find(|a| a.required && !out.args.contains_key(a.name)) {
        return Err(structure(format!("required argument '{}' not provided", a.name)));
    }
    for f in &m.flags {
        out.flags.entry(f.name).or_insert_with(|| vec![if f.kind == Kind::Bool && f.default.is_empty() { "false" } else { f.default }.to_string()]);
    }
    for a in m.args.iter().filter(|a| !a.default.is_empty()) {
        out.args.entry(a.name).or_insert_with(|| vec![a.default.to_string()]);
    }
    Ok(Parsed::Run(out))
}

/// The help of the command that the words name.
pub fn help(program: &str, root: &Command<'_>, words: &[String]) -> Result<String, Error> {
    let (m, done) = matched(root, words);
    done.map(|()| usage(program, root, &m.chain))
}

#[cfg(test)]
mod tests;
