//! The command line of the server: from arguments to checked values. Knows nothing of what the flags mean; who asks for them does.

mod table;

pub use table::{FLAGS, Mode};

use crate::cli::{self, Kind};
use std::collections::BTreeMap;

/// Checked values of all flags, by name.
#[derive(Clone, Debug)]
pub struct Flags {
    values: cli::Values,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Parsed {
    Run(Flags),
    Help(String),
    Version,
}

const ABOUT: &str = "Scrapes, stores, answers and forwards metrics: a drop-in Prometheus that loses nothing on the way up.";

impl Flags {
    /// Parses arguments (without the program's name).
    pub fn parse(program: &str, args: &[String]) -> Result<Parsed, cli::Error> {
        let flags: Vec<cli::Flag> = FLAGS.iter().map(|f| f.flag).collect();
        let root = cli::Command { name: "", help: ABOUT, flags: &flags, args: &[], commands: &[] };
        Ok(match cli::parse(program, &root, args)? {
            cli::Parsed::Run(values) => Parsed::Run(Flags { values }),
            cli::Parsed::Help(text) => Parsed::Help(text),
            cli::Parsed::Version => Parsed::Version,
        })
    }

    /// The text of `--help`.
    pub fn usage(program: &str) -> String {
        let flags: Vec<cli::Flag> = FLAGS.iter().map(|f| f.flag).collect();
        cli::usage(program, &cli::Command { name: "", help: ABOUT, flags: &flags, args: &[], commands: &[] }, &[])
    }

    /// Refuses what each flag alone may say and all together may not; with Prometheus' exit code.
    pub fn check(&self) -> Result<(), (u8, String)> {
        if self.int("web.search.max-limit") < 0 {
            let n = self.int("web.search.max-limit");
            return Err((1, format!("--web.search.max-limit must be non-negative; got {n} (use 0 to disable the cap)")));
        }
        let agent = self.is_agent();
        let wrong: Vec<String> = self
            .values
            .given()
            .iter()
            .filter(|n| FLAGS.iter().any(|f| f.flag.name == **n && f.mode == if agent { Mode::Server } else { Mode::Agent }))
            .map(|n| format!("{:?}", format!("--{n}")))
            .collect();
        if !wrong.is_empty() {
            let may = if agent { "not be used in agent mode" } else { "only be used in agent mode" };
            return Err((3, format!("The following flag(s) can {may}: [{}]", wrong.join(" "))));
        }
        if agent && self.int("storage.agent.checkpoint-batch-size") <= 0 {
            return Err((1, "--storage.agent.checkpoint-batch-size must be greater than 0.".to_string()));
        }
        let ratio: f64 = self.text("auto-gomemlimit.ratio").parse().unwrap_or(f64::NAN);
        if !(ratio > 0.0 && ratio <= 1.0) {
            return Err((1, "--auto-gomemlimit.ratio must be greater than 0 and less than or equal to 1.".to_string()));
        }
        Ok(())
    }

    pub fn list(&self, name: &str) -> &[String] {
        self.values.list(name)
    }

    pub fn text(&self, name: &str) -> &str {
        self.values.text(name)
    }

    pub fn bool(&self, name: &str) -> bool {
        self.values.bool(name)
    }

    /// Also `5e7` is a whole number.
    pub fn int(&self, name: &str) -> i64 {
        let v = self.text(name);
        v.parse::<i64>().unwrap_or_else(|_| v.parse::<f64>().expect("checked when parsed") as i64)
    }

    /// Milliseconds; None when the flag is empty.
    pub fn duration_ms(&self, name: &str) -> Option<i64> {
        let v = self.text(name);
        if v.is_empty() {
            return None;
        }
        let ms = model::duration::parse_ms(v).ok().or_else(|| cli::parse_go_duration_ns(v).ok().map(|ns| ns / 1_000_000));
        Some(ms.expect("checked when parsed"))
    }

    /// Bytes; None when the flag is empty.
    pub fn size_bytes(&self, name: &str) -> Option<u64> {
        let v = self.text(name);
        if v.is_empty() { None } else { Some(yaml::Size::parse(v).expect("checked when parsed").bytes()) }
    }

    /// `--agent`, or `--enable-feature=agent` as up to 2.x.
    pub fn is_agent(&self) -> bool {
        self.bool("agent") || self.features().contains(&"agent")
    }

    /// Was the flag on the command line?
    pub fn is_given(&self, name: &str) -> bool {
        self.values.is_given(name)
    }

    /// Names given to --enable-feature.
    pub fn features(&self) -> Vec<&str> {
        self.list("enable-feature").iter().flat_map(|v| v.split(',')).map(str::trim).filter(|v| !v.is_empty()).collect()
    }

    /// Every flag with its value as text, for `/api/v1/status/flags`.
    pub fn all(&self) -> BTreeMap<String, String> {
        FLAGS.iter().map(|f| (f.flag.name.to_string(), self.list(f.flag.name).join(","))).collect()
    }
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
        let f = f.flag;
        let repeat = if f.kind == Kind::List { " …" } else { "" };
        let default = if f.default.is_empty() { String::new() } else { format!("`{}`", f.default) };
        out.push_str(&format!("| `--{}`{repeat} | {default} | {mode} | {} |\n", f.name, f.help));
    }
    out
}

#[cfg(test)]
mod tests;
