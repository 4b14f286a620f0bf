//! The text of `--help`: of the whole program, or of a command with the flags of those above it.

use super::{Arg, COMMON, Command, Flag, Kind};

const WIDTH: usize = 80;
/// Longer first columns stand on a line of their own.
const COLUMN: usize = 30;

pub fn usage(program: &str, root: &Command<'_>, chain: &[&Command<'_>]) -> String {
    let chosen = chain.last().copied().unwrap_or(root);
    let mut head = format!("usage: {program}");
    for c in chain {
        head.push(' ');
        head.push_str(c.name);
    }
    let with_common: Vec<Flag> = COMMON.iter().chain(root.flags).copied().collect();
    head.push_str(&summary(if chain.is_empty() { &with_common } else { chosen.flags }, chosen.args));
    if !chosen.commands.is_empty() {
        head.push_str(" <command> [<args> ...]");
    }
    let mut out = format!("{head}\n\n{}\n\n\n", wrap(chosen.help, WIDTH).join("\n"));
    let flags: Vec<Flag> = with_common.into_iter().chain(chain.iter().flat_map(|c| c.flags.iter().copied())).collect();
    out.push_str("Flags:\n");
    out.push_str(&columns(&flags.iter().filter(|f| !f.hidden).map(|f| (form(f), f.help.to_string())).collect::<Vec<_>>()));
    let args: Vec<Arg> = chain.iter().flat_map(|c| c.args.iter().copied()).collect();
    if !args.is_empty() {
        let shown = |a: &Arg| if a.required { format!("<{}>", a.name) } else { format!("[<{}>]", a.name) };
        out.push_str("\nArgs:\n");
        out.push_str(&columns(&args.iter().map(|a| (shown(a), a.help.to_string())).collect::<Vec<_>>()));
    }
    if !chosen.commands.is_empty() {
        out.push_str(if chain.is_empty() { "\nCommands:\n" } else { "\nSubcommands:\n" });
        let path: Vec<&str> = chain.iter().map(|c| c.name).collect();
        if chain.is_empty() {
            out.push_str("help [<command>...]\n    Show help.\n\n");
        }
        chosen.commands.iter().for_each(|c| commands(&path, c, &mut out));
    }
    out
}

/// The commands that do something, each with its own path.
fn commands(path: &[&str], c: &Command<'_>, out: &mut String) {
    let path = [path, &[c.name]].concat();
    if !c.commands.is_empty() {
        return c.commands.iter().for_each(|sub| commands(&path, sub, out));
    }
    out.push_str(&format!("{}{}\n", path.join(" "), summary(c.flags, c.args)));
    for line in wrap(c.help, WIDTH - 4) {
        out.push_str(&format!("    {line}\n"));
    }
    out.push('\n');
}

fn summary(flags: &[Flag], args: &[Arg]) -> String {
    let mut out = String::new();
    let required: Vec<&Flag> = flags.iter().filter(|f| f.required).collect();
    for f in &required {
        out.push_str(&format!(" --{}={}", f.name, placeholder(f)));
    }
    let common = flags.iter().filter(|f| f.name.starts_with("help")).count();
    if flags.len() - common > required.len() {
        out.push_str(" [<flags>]");
    }
    for a in args {
        let dots = if a.many { "..." } else { "" };
        out.push_str(&if a.required { format!(" <{}>{dots}", a.name) } else { format!(" [<{}>{dots}]", a.name) });
    }
    out
}

fn placeholder(f: &Flag) -> String {
    match (f.placeholder, f.default, f.kind) {
        ("", "", _) => f.name.to_uppercase(),
        ("", d, Kind::Text) => format!("{d:?}"),
        ("", d, _) => d.to_string(),
        (p, _, _) => p.to_string(),
    }
}

fn form(f: &Flag) -> String {
    let short = f.short.map_or("    ".to_string(), |c| format!("-{c}, "));
    let no = if f.kind == Kind::Bool { "[no-]" } else { "" };
    let value = if f.kind == Kind::Bool { String::new() } else { format!("={}", placeholder(f)) };
    let dots = if f.kind.is_repeatable() { " ..." } else { "" };
    format!("{short}--{no}{}{value}{dots}", f.name)
}

fn columns(rows: &[(String, String)]) -> String {
    let first = rows.iter().map(|(a, _)| a.len()).filter(|n| *n < COLUMN).max().unwrap_or(0);
    let offset = " ".repeat(first + 4);
    let mut out = String::new();
    for (a, b) in rows {
        let mut lines = wrap(b, WIDTH - first - 4).into_iter();
        out.push_str(&format!("  {a:first$}  "));
        if a.len() >= COLUMN {
            out.push_str(&format!("\n{offset}"));
        }
        out.push_str(&format!("{}\n", lines.next().unwrap_or_default()));
        for line in lines {
            out.push_str(&format!("{offset}{line}\n"));
        }
    }
    out
}

/// Lines of at most `width`; lines that the text has are kept.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut out = Vec::new();
    for line in text.lines() {
        let mut current = String::new();
        for word in line.split(' ') {
            if !current.is_empty() && current.chars().count() + 1 + word.chars().count() > width {
                out.push(std::mem::take(&mut current));
            }
            if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
        }
        out.push(current);
    }
    out
}
