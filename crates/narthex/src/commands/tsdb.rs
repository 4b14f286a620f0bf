//! `tsdb list|analyze|dump|verify` look at a data directory without changing it; `create-blocks-from openmetrics` makes blocks of a text.

use crate::complain;
use promql::parse::parse_metric_selector;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use stdx::clock::SystemClock;
use stdx::fs::{Fs, RealFs, SharedFs};
use stdx::metrics::Registry;
use storage::{Queryable, SelectHints, Selection};
use tsdb::block::{BlockError, Ulid};
use tsdb::tools::{self, ToolError};

const DEFAULT_DIR: &str = "data/";

/// Flags with their values, and the other words.
struct Args<'a> {
    flags: Vec<(&'a str, &'a str)>,
    words: Vec<&'a str>,
}

impl<'a> Args<'a> {
    /// `switches` are flags without a value.
    fn parse(args: &[&'a str], switches: &[&str]) -> Result<Args<'a>, String> {
        let mut out = Args { flags: Vec::new(), words: Vec::new() };
        let mut it = args.iter();
        while let Some(a) = it.next() {
            match a.strip_prefix('-') {
                Some(_) if switches.contains(a) => out.flags.push((a, "true")),
                Some(_) => match a.split_once('=') {
                    Some((n, v)) => out.flags.push((n, v)),
                    None => out.flags.push((a, it.next().ok_or_else(|| format!("expected a value for {a}"))?)),
                },
                None => out.words.push(a),
            }
        }
        Ok(out)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.flags.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    fn number(&self, name: &str, default: i64) -> Result<i64, String> {
        self.get(name).map_or(Ok(default), |v| v.parse().map_err(|_| format!("{name}: expected a whole number, not {v:?}")))
    }

    fn dir(&self) -> PathBuf {
        PathBuf::from(self.words.first().copied().unwrap_or(DEFAULT_DIR))
    }
}

pub fn run(args: &[&str]) -> ExitCode {
    let Some((command, rest)) = args.split_first() else { return super::usage("tsdb: name a command") };
    let parsed = match Args::parse(rest, &["-r", "--human-readable", "--extended"]) {
        Ok(a) => a,
        Err(e) => return super::usage(&e),
    };
    let mut out = BufWriter::new(std::io::stdout());
    let fs = RealFs::shared();
    let done = match *command {
        "list" => {
            let human = parsed.get("-r").or(parsed.get("--human-readable")).is_some();
            tools::list::list(&fs, &parsed.dir(), human, &mut out).map_err(|e| e.to_string())
        }
        "analyze" => analyze(&fs, &parsed, &mut out),
        "dump" => match parsed.get("--format") {
            None | Some("prom") => dump(&fs, &parsed, tools::dump::Format::Prom, &mut out),
            Some("seriesjson") => dump(&fs, &parsed, tools::dump::Format::SeriesJson, &mut out),
            Some(other) => Err(format!("--format: {other:?} is neither prom nor seriesjson")),
        },
        "dump-openmetrics" => dump(&fs, &parsed, tools::dump::Format::OpenMetrics, &mut out),
        "create-blocks-from" => create_blocks(&fs, &parsed, &mut out),
        "verify" => match tools::verify::verify(&fs, &parsed.dir(), &mut out) {
            Ok(0) => Ok(()),
            Ok(n) => Err(format!("{n} blocks are damaged")),
            Err(e) => Err(e.to_string()),
        },
        other => return super::usage(&format!("tsdb: unknown command {other:?}")),
    };
    // A reader that has seen enough is no error.
    let _ = out.flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            complain(&format!("error: {e}"));
            ExitCode::from(1)
        }
    }
}

fn analyze(fs: &SharedFs, args: &Args<'_>, out: &mut dyn Write) -> Result<(), String> {
    let block = tools::open_block(fs, &args.dir(), args.words.get(1).copied().unwrap_or("")).map_err(|e| e.to_string())?;
    let matchers = match args.get("--match") {
        Some(m) => Some((m, parse_metric_selector(m).map_err(|e| e.to_string())?)),
        None => None,
    };
    let options =
        tools::analyze::Options { limit: args.number("--limit", 20)?.max(0) as usize, extended: args.get("--extended").is_some(), matchers };
    tools::analyze::analyze(&block, &options, out).map_err(|e| e.to_string())
}

/// Dumps blocks and log. The log is read by opening a copy of it, so that the directory stays as it is and may belong to a running server.
fn dump(fs: &SharedFs, args: &Args<'_>, format: tools::dump::Format, out: &mut dyn Write) -> Result<(), String> {
    let (start, end) = (args.number("--min-time", i64::MIN)?, args.number("--max-time", i64::MAX)?);
    let dir = args.dir();
    let copy = Copy::of_log(fs, &dir).map_err(|e| format!("copy the log of {}: {e}", dir.display()))?;
    let clock = SystemClock::shared();
    let mut options = tsdb::config::DbOptions::new(&copy.dir, Arc::clone(fs), Arc::clone(&clock), Registry::new(clock));
    options.retention_time_ms = 0;
    options.background = false;
    let db = tsdb::db::Db::open(options).map_err(|e| e.to_string())?;
    let querier = db.querier(start, end).map_err(|e| e.to_string())?;
    let mut selectors: Vec<&str> = args.flags.iter().filter(|(n, _)| *n == "--match").map(|(_, v)| *v).collect();
    if selectors.is_empty() {
        selectors.push("{__name__=~'(?s:.*)'}");
    }
    let hints = SelectHints { start_ms: start, end_ms: end, ..SelectHints::default() };
    let mut selections = Vec::new();
    for s in selectors {
        let matchers = parse_metric_selector(s).map_err(|e| e.to_string())?;
        selections.push(querier.select(true, &hints, &matchers).map_err(|e| e.to_string())?);
    }
    let all: Vec<&dyn Selection> = selections.iter().map(|s| &**s).collect();
    let done = tools::dump::dump(&all, start, end, format, out);
    drop((selections, querier));
    let closed = db.close();
    match done {
        Ok(()) => closed.map_err(|e| e.to_string()),
        // Whoever reads has gone.
        Err(ToolError::Output(_)) => Ok(()),
        Err(e) => Err(e.to_string()),
    }
}

/// `create-blocks-from openmetrics <file> [dir]`
fn create_blocks(fs: &SharedFs, args: &Args<'_>, out: &mut dyn Write) -> Result<(), String> {
    let ["openmetrics", file, rest @ ..] = args.words.as_slice() else {
        return Err("usage: tsdb create-blocks-from openmetrics <file> [dir]".to_string());
    };
    let dir = PathBuf::from(rest.first().copied().unwrap_or(DEFAULT_DIR));
    let body = fs.read(Path::new(file)).map_err(|e| format!("{file}: {e}"))?;
    fs.create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let max_block_ms = args
        .get("--max-block-duration")
        .map_or(Ok(tools::import::DEFAULT_BLOCK_MS), |d| model::duration::parse_ms(d).map_err(|e| format!("--max-block-duration: {e}")))?;
    let clock = SystemClock::shared();
    let mut rand = stdx::rand::Rand::from_entropy();
    let writer = tsdb::block::BlockWriter::new(Arc::clone(fs));
    let mut input = OpenMetrics { path: Path::new(file), body: &body };
    let mut written = Vec::new();
    tools::import::create_blocks(&writer, &dir, max_block_ms, &mut input, &mut || Ulid::new(clock.now_ms(), &mut rand), &mut |meta| {
        written.push(dir.join(meta.ulid.to_string()));
        Ok(())
    })
    .map_err(|e| e.to_string())?;
    let mut blocks = Vec::new();
    for block in &written {
        blocks.push(tsdb::block::Block::open(fs, block).map_err(|e| e.to_string())?);
    }
    tools::list::print(&blocks, true, args.get("-r").is_some(), out).map_err(|e| e.to_string())
}

/// An OpenMetrics page in which every sample has a time.
struct OpenMetrics<'a> {
    path: &'a Path,
    body: &'a [u8],
}

impl tools::import::SampleInput for OpenMetrics<'_> {
    fn walk(&mut self, each: &mut dyn FnMut(model::LabelsRef<'_>, i64, f64) -> Result<(), BlockError>) -> Result<(), BlockError> {
        let wrong = |e: String| BlockError::Invalid(format!("{}: {e}", self.path.display()));
        let options = exposition::ParserOptions::default();
        let mut parser = exposition::Parser::new(self.body, exposition::Format::OpenMetrics, options);
        let mut labels = exposition::LabelBuf::new();
        while let Some(entry) = parser.next().map_err(|e| wrong(e.to_string()))? {
            if !matches!(entry, exposition::Entry::Series) {
                continue;
            }
            parser.labels(&mut labels).map_err(|e| wrong(e.to_string()))?;
            let Some(t_ms) = parser.timestamp_ms() else {
                return Err(wrong(format!("expected timestamp for series {}, got none", String::from_utf8_lossy(parser.raw()))));
            };
            each(labels.as_ref(), t_ms, parser.value())?;
        }
        Ok(())
    }
}

/// A directory beside the original with hard links of its blocks and copies of its log; removed at the end.
struct Copy {
    dir: PathBuf,
    fs: SharedFs,
}

impl Copy {
    fn of_log(fs: &SharedFs, from: &Path) -> std::io::Result<Copy> {
        let copy = Copy { dir: from.join(format!("dump-{}.tmp", std::process::id())), fs: Arc::clone(fs) };
        fs.create_dir_all(&copy.dir)?;
        copy_tree(&**fs, from, &copy.dir, 0)?;
        Ok(copy)
    }
}

fn copy_tree(fs: &dyn Fs, from: &Path, to: &Path, depth: usize) -> std::io::Result<()> {
    for e in fs.list(from)? {
        let (a, b) = (from.join(&e.name), to.join(&e.name));
        if e.name.ends_with(".tmp") || matches!(e.name.as_str(), "lock" | "snapshots" | "uplink" | "queries.active") {
            continue;
        }
        if e.is_dir {
            if depth < 3 {
                fs.create_dir_all(&b)?;
                copy_tree(fs, &a, &b, depth + 1)?;
            }
        } else if from.ends_with("chunks") {
            fs.hard_link(&a, &b)?;
        } else {
            fs.open(&b, stdx::fs::Open::Truncate)?.append(&fs.read(&a)?)?;
        }
    }
    Ok(())
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = self.fs.remove_dir_all(&self.dir);
    }
}
