//! The tool: `narthex check config …` and the like, and everything of it when the program is called as `promtool`. Words, output and exit
//! codes are promtool's; docs/tools.md lists where they differ.

mod analyze;
mod config;
mod debug;
mod families;
mod http;
mod lint;
mod print;
mod promql;
mod push;
mod query;
mod rules;
mod sd;
mod table;
mod tsdb;
mod unit;
mod unit_file;
mod unit_store;
mod web_config;

use crate::cli::{self, Parsed, Values};
use ::promql::parse::ParseOptions;
use std::process::ExitCode;

/// 1: something is wrong with what was looked at, or with the call.
const FAILURE: u8 = 1;
/// 3: only lint checks found something, and --lint-fatal was given.
const LINT: u8 = 3;

/// Is it the first word of a command line of the tool?
pub fn is_command(word: &str) -> bool {
    matches!(word, "help" | "--experimental") || table::ROOT.commands.iter().any(|c| c.name == word)
}

/// Commands of `tsdb` that read their flags themselves.
const TSDB: [&str; 6] = ["list", "analyze", "dump", "dump-openmetrics", "create-blocks-from", "verify"];

/// What all commands are told.
struct Context {
    values: Values,
    parse: ParseOptions,
    delayed_name_removal: bool,
}

/// Runs a command line, without the program's name.
pub fn run(program: &str, args: &[String]) -> ExitCode {
    if args.is_empty() {
        return shown(&cli::usage(program, &table::ROOT, &[]));
    }
    if args[0] == "help" {
        return match cli::help(program, &table::ROOT, &args[1..]) {
            Ok(text) => shown(&text),
            Err(e) => failed(&format!("{program}: error: {}", e.text)),
        };
    }
    // These read their own flags; the table has them for the help.
    let own = args.get(1).is_some_and(|w| TSDB.contains(&w.as_str()));
    if args[0] == "tsdb" && own && !args.iter().any(|a| matches!(a.as_str(), "-h" | "--help" | "--version")) {
        let words: Vec<&str> = args[1..].iter().map(String::as_str).collect();
        return tsdb::run(&words);
    }
    match cli::parse(program, &table::ROOT, args) {
        Ok(Parsed::Help(text)) => shown(&text),
        Ok(Parsed::Version) => shown(&crate::server::version_text("promtool")),
        Ok(Parsed::Run(values)) if values.command.is_empty() => shown(&cli::usage(program, &table::ROOT, &[])),
        Ok(Parsed::Run(values)) => {
            let mut cx = Context { values, parse: ParseOptions { duration_expr: true, ..ParseOptions::default() }, delayed_name_removal: false };
            cx.features();
            ExitCode::from(dispatch(&cx))
        }
        Err(e) => failed(&format!("{program}: error: {}, try --help", e.text)),
    }
}

fn dispatch(cx: &Context) -> u8 {
    match cx.values.command.as_slice() {
        ["check", "config"] => config::run(cx),
        ["check", "rules"] => rules::run(cx),
        ["check", "web-config"] => web_config::run(cx),
        ["check", "metrics"] => lint::run(cx),
        ["check", "service-discovery"] => sd::run(cx),
        ["check", "healthy"] => http::status(cx, "/-/healthy"),
        ["check", "ready"] => http::status(cx, "/-/ready"),
        ["query", "analyze"] => analyze::run(cx),
        ["query", what] => query::run(cx, what),
        ["push", "metrics"] => push::run(cx),
        ["test", "rules"] => unit::run(cx),
        ["debug", what] => debug::run(cx, what),
        ["promql", rest @ ..] => promql::run(cx, rest),
        other => {
            complain(&format!("{}: unknown command", other.join(" ")));
            FAILURE
        }
    }
}

impl Context {
    fn features(&mut self) {
        let names: Vec<String> = self.values.list("enable-feature").iter().flat_map(|v| v.split(',')).map(str::to_string).collect();
        for name in names {
            match name.as_str() {
                "promql-experimental-functions" => self.parse.experimental_functions = true,
                "promql-extended-range-selectors" => self.parse.extended_range_selectors = true,
                "promql-binop-fill-modifiers" => self.parse.fill_modifiers = true,
                "promql-delayed-name-removal" => self.delayed_name_removal = true,
                "promql-duration-expr" | "" => {}
                other => print(&format!("  WARNING: Unknown feature passed to --enable-feature: {other}")),
            }
        }
    }
}

/// A call that is wrong.
fn usage(why: &str) -> ExitCode {
    failed(&format!("error: {why}, try --help"))
}

fn shown(text: &str) -> ExitCode {
    crate::say(text);
    ExitCode::SUCCESS
}

fn failed(text: &str) -> ExitCode {
    crate::complain(text);
    ExitCode::from(FAILURE)
}

/// One line to standard output, as it is.
fn line(text: &str) {
    print(&format!("{text}\n"));
}

/// To standard output without a line's end.
fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// One line to standard error, as it is.
fn complain(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// `run` and what it gives as an exit code: promtool's `checkErr`.
fn exit(result: Result<(), String>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(e) => {
            complain(&e);
            FAILURE
        }
    }
}

fn stdin() -> Result<Vec<u8>, String> {
    use std::io::Read;
    let mut out = Vec::new();
    std::io::stdin().read_to_end(&mut out).map_err(|e| crate::go::io_error(&e))?;
    Ok(out)
}
