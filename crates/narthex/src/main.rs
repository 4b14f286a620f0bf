//! The one binary. What it is called as decides what it does: `narthex` and `prometheus` serve, `promtool` is the tool; a first word that is a
//! command runs that command.

mod commands;
mod config;
mod control;
mod features;
mod flags;
mod log;
mod metrics;
mod queries;
mod server;
mod store;
mod tree;

use flags::{Flags, Parsed};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut args = std::env::args();
    let called = args.next().unwrap_or_default();
    let args: Vec<String> = args.collect();
    let name = std::path::Path::new(&called).file_name().and_then(|n| n.to_str()).unwrap_or("narthex");
    if name == "promtool" {
        return commands::run(&args);
    }
    match args.first().map(String::as_str) {
        Some("tree") => return tree::run(&args[1..]),
        Some(first) if commands::NAMES.contains(&first) => return commands::run(&args),
        _ => {}
    }
    let program = if name == "prometheus" { "prometheus" } else { "narthex" };
    match Flags::parse(program, &args) {
        Ok(Parsed::Version) => {
            say(&server::version_text(program));
            ExitCode::SUCCESS
        }
        Ok(Parsed::Run(flags)) if flags.bool("write-documentation") => {
            say(&flags::reference());
            ExitCode::SUCCESS
        }
        Ok(Parsed::Run(flags)) => match flags.check_mode() {
            Ok(()) => server::run(flags),
            Err(e) => {
                complain(&e);
                ExitCode::from(3)
            }
        },
        Err(e) if e.exit_code() == 0 => {
            say(&e.to_string());
            ExitCode::SUCCESS
        }
        Err(e) => {
            complain(&format!("Error parsing command line arguments: {e}"));
            ExitCode::from(2)
        }
    }
}

/// Writes to standard output; a reader that has gone is no error.
pub fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// Writes to standard error.
pub fn complain(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
}
