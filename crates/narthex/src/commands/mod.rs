//! The tool: `narthex check config …` and the like, and everything of it when the program is called as `promtool`.

mod check;
mod tsdb;

use std::process::ExitCode;

/// First words that are commands and not flags of the server.
pub const NAMES: &[&str] = &["check", "tsdb"];

const USAGE: &str = "\
usage: narthex <command>

  check config [--agent] <file>...      is a configuration file right?
  check rules <file>...                 are rule files right?
  check web-config <file>...            is a file for --web.config.file right?
  tsdb list [-r] [dir]                  the blocks of a data directory
  tsdb analyze [--limit N] [dir] [block]   what takes the room in a block
  tsdb dump [--min-time T] [--max-time T] [--match M]... [dir]   all samples as text
  tsdb dump-openmetrics [dir]           the same as OpenMetrics
  tsdb verify [dir]                     checks every section, series and chunk
  tsdb create-blocks-from openmetrics <file> [dir]
  tree [--dir D]                        a small tree on this machine, to look at

Without a command the server is started; narthex --help lists its flags.";

/// Runs a command; 0 when all is well, 1 when something is wrong with what was looked at, 2 when the call is wrong.
pub fn run(args: &[String]) -> ExitCode {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["check", "config", rest @ ..] => check::config(rest),
        ["check", "rules", rest @ ..] => check::rules(rest),
        ["check", "web-config", rest @ ..] => check::web_config(rest),
        ["tsdb", rest @ ..] => tsdb::run(rest),
        ["--version", ..] => {
            crate::say(&crate::server::version_text("promtool"));
            ExitCode::SUCCESS
        }
        ["--help" | "-h", ..] => {
            crate::say(USAGE);
            ExitCode::SUCCESS
        }
        _ => usage(""),
    }
}

fn usage(why: &str) -> ExitCode {
    if !why.is_empty() {
        crate::complain(why);
    }
    crate::complain(USAGE);
    ExitCode::from(2)
}
