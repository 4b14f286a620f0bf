//! The one binary. What it is called as decides what it does: `narthex` and `prometheus` serve, `promtool` is the tool; a first word that is a
//! command runs that command.

mod cli;
mod commands;
mod config;
mod control;
mod features;
mod flags;
mod go;
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

/// Read by the allocator before anything else runs.
const HUGE_PAGES: &str = "MIMALLOC_ALLOW_THP";

/// A forward-only leaf is to be small. Huge pages make what it has a little faster and take tens of megabytes that it never touches; whether there may be any is decided before
/// `main`, so the program replaces itself once, unless the environment says what is wanted.
#[allow(clippy::disallowed_methods, reason = "the binary may read the environment")]
fn with_small_pages(called: &str, args: &[String]) {
    use std::os::unix::process::CommandExt;
    if std::env::var_os(HUGE_PAGES).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        // Only an error comes back; then it goes on as it is.
        let _ = std::process::Command::new(program).arg0(called).args(args).env(HUGE_PAGES, "0").exec();
    }
}

fn main() -> ExitCode {
    let mut args = std::env::args();
    let called = args.next().unwrap_or_default();
    let args: Vec<String> = args.collect();
    let name = std::path::Path::new(&called).file_name().and_then(|n| n.to_str()).unwrap_or("narthex");
    if name == "promtool" {
        return commands::run(name, &args);
    }
    // Prometheus has no commands: called by its name neither has this.
    let program = if name == "prometheus" { "prometheus" } else { "narthex" };
    match args.first().map(String::as_str) {
        Some("tree") if program == "narthex" => return tree::run(&args[1..]),
        Some(first) if program == "narthex" && commands::is_command(first) => return commands::run(program, &args),
        _ => {}
    }
    match Flags::parse(program, &args) {
        Ok(Parsed::Version) => {
            say(&server::version_text(program));
            ExitCode::SUCCESS
        }
        Ok(Parsed::Help(text)) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Ok(Parsed::Run(flags)) if flags.bool("write-documentation") => {
            say(&flags::reference());
            ExitCode::SUCCESS
        }
        Ok(Parsed::Run(flags)) => match flags.check() {
            Ok(()) => {
                if flags.is_agent() {
                    with_small_pages(&called, &args);
                }
                server::run(flags)
            }
            Err((code, text)) => {
                complain(&text);
                ExitCode::from(code)
            }
        },
        Err(e) => {
            complain(&format!("Error parsing command line arguments: {}", e.text));
            if e.is_structure {
                complain(&format!("{program}: error: {}", e.text));
                return ExitCode::from(1);
            }
            say(&Flags::usage(program));
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
