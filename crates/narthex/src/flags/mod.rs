//! The command line of the server: from arguments to checked values. Knows nothing of what the flags mean; `settings.rs` does.

mod table;

pub use table::{FLAGS, Flag, Kind, Mode};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Arg, ArgAction, Command};
use std::collections::BTreeMap;

/// Checked values of all flags, by name.
#[derive(Clone, Debug)]
pub struct Flags {
    values: BTreeMap<&'static str, Vec<String>>,
    given: Vec<&'static str>,
}

fn command(program: &'static str) -> Command {
    let mut cmd = Command::new(program)
        .about("Scrapes, stores, answers and forwards metrics: a drop-in Prometheus that loses nothing on the way up.")
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .arg(Arg::new("version").long("version").action(ArgAction::SetTrue).help("Print the version and exit."));
    for f in FLAGS {
        let base = Arg::new(f.name).long(f.name).help(f.help).hide(f.hidden);
        if f.kind == Kind::Bool {
            let no: &'static str = Box::leak(format!("no-{}", f.name).into_boxed_str());
            cmd = cmd
                .arg(base.action(ArgAction::SetTrue).overrides_with(no))
                .arg(Arg::new(no).long(no).action(ArgAction::SetTrue).overrides_with(f.name).hide(true));
        } else {
            let action = if f.kind == Kind::List { ArgAction::Append } else { ArgAction::Set };
            cmd = cmd.arg(base.action(action).num_args(1).allow_hyphen_values(true));
        }
    }
    cmd
}

impl Flags {
    /// Parses arguments (without the program's name). `Err` is a usage error; help and version come back as [`clap::Error`] of their own kind.
    pub fn parse(program: &'static str, args: &[String]) -> Result<Parsed, clap::Error> {
        let matches = command(program).no_binary_name(true).try_get_matches_from(args)?;
        if matches.get_flag("version") {
            return Ok(Parsed::Version);
        }
        let mut values = BTreeMap::new();
        let mut given = Vec::new();
        for f in FLAGS {
            let was_given = matches.value_source(f.name) == Some(clap::parser::ValueSource::CommandLine);
            let value = match f.kind {
                Kind::Bool => {
                    let no = matches.get_flag(&format!("no-{}", f.name));
                    if no {
                        given.push(f.name);
                    }
                    let yes = was_given && matches.get_flag(f.name);
                    vec![if yes {
                        "true".to_string()
                    } else if no {
                        "false".to_string()
                    } else {
                        f.default.to_string()
                    }]
                }
                _ => match matches.get_many::<String>(f.name) {
                    Some(v) => v.cloned().collect(),
                    None => vec![f.default.to_string()],
                },
            };
            if was_given {
                given.push(f.name);
            }
            for v in &value {
                check(f, v).map_err(|e| command(program).error(clap::error::ErrorKind::ValueValidation, format!("--{}: {e}", f.name)))?;
            }
            values.insert(f.name, value);
        }
        Ok(Parsed::Run(Flags { values, given }))
    }

    /// Refuses flags of the other mode, as Prometheus does (exit code 3).
    pub fn check_mode(&self) -> Result<(), String> {
        let agent = self.is_agent();
        let wrong = |f: &&Flag| self.given.contains(&f.name) && f.mode == if agent { Mode::Server } else { Mode::Agent };
        match FLAGS.iter().find(wrong) {
            None => Ok(()),
            Some(f) if agent => Err(format!("The following flag(s) can not be used in agent mode: [\"--{}\"]", f.name)),
            Some(f) => Err(format!("The following flag(s) can only be used in agent mode: [\"--{}\"]", f.name)),
        }
    }

    pub fn list(&self, name: &str) -> &[String] {
        self.values.get(name).expect("only flags of the table are asked for")
    }

    pub fn text(&self, name: &str) -> &str {
        self.list(name).last().map_or("", String::as_str)
    }

    pub fn bool(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    pub fn int(&self, name: &str) -> i64 {
        self.text(name).parse().expect("checked when parsed")
    }

    /// Milliseconds; None when the flag is empty.
    pub fn duration_ms(&self, name: &str) -> Option<i64> {
        let v = self.text(name);
        if v.is_empty() { None } else { Some(model::duration::parse_ms(v).expect("checked when parsed")) }
    }

    /// Bytes; None when the flag is empty.
    pub fn size_bytes(&self, name: &str) -> Option<u64> {
        let v = self.text(name);
        if v.is_empty() { None } else { Some(parse_size(v).expect("checked when parsed")) }
    }

    /// `--agent`, or `--enable-feature=agent` as up to 2.x.
    pub fn is_agent(&self) -> bool {
        self.bool("agent") || self.features().contains(&"agent")
    }

    /// Was the flag on the command line?
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains(&name)
    }

    /// Names given to --enable-feature.
    pub fn features(&self) -> Vec<&str> {
        self.list("enable-feature").iter().flat_map(|v| v.split(',')).map(str::trim).filter(|v| !v.is_empty()).collect()
    }

    /// Every flag with its value as text, for `/api/v1/status/flags`.
    pub fn all(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(n, v)| ((*n).to_string(), v.join(","))).collect()
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Parsed {
    Run(Flags),
    Version,
}

fn check(f: &Flag, v: &str) -> Result<()> {
    if v.is_empty() && f.default.is_empty() {
        return Ok(());
    }
    match f.kind {
        Kind::Int => drop(v.parse::<i64>().with_context(|| format!("expected a whole number, not {v:?}"))?),
        Kind::Float => drop(v.parse::<f64>().with_context(|| format!("expected a number, not {v:?}"))?),
        Kind::Duration => drop(model::duration::parse_ms(v)?),
        Kind::Size => drop(parse_size(v)?),
        Kind::OneOf(words) if !words.contains(&v) => bail!("must be one of {}, not {v:?}", words.join(", ")),
        Kind::OneOf(_) | Kind::Bool | Kind::Text | Kind::List => {}
    }
    Ok(())
}

/// `512MB`, `1.5GiB`: a number and a unit; units are powers of two.
pub fn parse_size(s: &str) -> Result<u64> {
    let digits = s.bytes().take_while(|c| c.is_ascii_digit() || *c == b'.').count();
    let n: f64 = s[..digits].parse().map_err(|_| anyhow!("not a size: {s:?}"))?;
    let shift = match s[digits..].trim_end_matches("iB").trim_end_matches('B') {
        "" if s.ends_with('B') => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        "P" => 50,
        "E" => 60,
        _ => bail!("not a size: {s:?} (units: B, KB, MB, GB, TB, PB, EB)"),
    };
    Ok((n * (1u64 << shift) as f64) as u64)
}

/// The reference page of the flags, in Markdown.
pub fn reference() -> String {
    let mut out = String::from("| flag | default | mode | meaning |\n|---|---|---|---|\n");
    for f in FLAGS {
        let mode = match f.mode {
            Mode::Both => "server, agent",
            Mode::Server => "server",
            Mode::Agent => "agent",
        };
        let repeat = if f.kind == Kind::List { " …" } else { "" };
        let default = if f.default.is_empty() { String::new() } else { format!("`{}`", f.default) };
        out.push_str(&format!("| `--{}`{repeat} | {default} | {mode} | {} |\n", f.name, f.help));
    }
    out
}

#[cfg(test)]
mod tests;
