//! `check config|rules|web-config`: says of each file whether it is right, and else where it is wrong.

use crate::config::{self, LoadOptions};
use crate::{complain, say};
use model::name::Scheme;
use promql::parse::ParseOptions;
use std::path::Path;
use std::process::ExitCode;
use stdx::fs::{Fs, RealFs};

fn code(ok: bool) -> ExitCode {
    if ok { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

pub fn config(args: &[&str]) -> ExitCode {
    let agent = args.contains(&"--agent");
    let files: Vec<&&str> = args.iter().filter(|a| !a.starts_with("--")).collect();
    if files.is_empty() {
        return super::usage("check config: name a file");
    }
    let mut ok = true;
    for file in files {
        say(&format!("Checking {file}"));
        let options = LoadOptions { agent, environment: std::env::vars().collect(), ..LoadOptions::default() };
        match config::load(&RealFs, Path::new(file), &options) {
            Ok(loaded) => {
                for key in loaded.config.remote_write.iter().filter_map(|w| w.unsupported()) {
                    say(&format!("  WARNING: remote_write: {key} is not supported yet; a server does not start with it"));
                }
                if !loaded.rule_files.is_empty() {
                    say(&format!("  SUCCESS: {} rule files found", loaded.rule_files.len()));
                }
                say(&format!(" SUCCESS: {file} is valid prometheus config file syntax\n"));
                for f in &loaded.rule_files {
                    ok &= rule_file(f, loaded.config.name_scheme());
                }
            }
            Err(e) => {
                complain(&format!("  FAILED: {e}"));
                ok = false;
            }
        }
    }
    code(ok)
}

pub fn rules(args: &[&str]) -> ExitCode {
    let files: Vec<&&str> = args.iter().filter(|a| !a.starts_with("--")).collect();
    if files.is_empty() {
        return super::usage("check rules: name a file");
    }
    // Every file is looked at, also after a wrong one.
    let wrong = files.into_iter().filter(|f| !rule_file(f, Scheme::Utf8)).count();
    code(wrong == 0)
}

fn rule_file(file: &str, scheme: Scheme) -> bool {
    say(&format!("Checking {file}"));
    let text = match RealFs.read(Path::new(file)).map(String::from_utf8) {
        Ok(Ok(t)) => t,
        Ok(Err(_)) => {
            complain(&format!("  FAILED:\n{file}: not valid UTF-8"));
            return false;
        }
        Err(e) => {
            complain(&format!("  FAILED:\n{file}: {e}"));
            return false;
        }
    };
    match ::rules::file::parse(&text, scheme, &ParseOptions::ALL, false) {
        Ok(f) => {
            let n: usize = f.groups.iter().map(|g| g.rules.len()).sum();
            say(&format!("  SUCCESS: {n} rules found\n"));
            true
        }
        Err(errors) => {
            complain("  FAILED:");
            errors.iter().for_each(|e| complain(&format!("{file}: {e}")));
            false
        }
    }
}

pub fn web_config(args: &[&str]) -> ExitCode {
    if args.is_empty() {
        return super::usage("check web-config: name a file");
    }
    let mut ok = true;
    for file in args {
        match web::config::check(&RealFs, Path::new(file)) {
            // Where promtool says it, too.
            Ok(_) => complain(&format!("{file} SUCCESS")),
            Err(e) => {
                complain(&format!("{file} FAILED: {e}"));
                ok = false;
            }
        }
    }
    code(ok)
}
