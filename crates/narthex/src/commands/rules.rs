//! `check rules`: is every rule of the files right, and does none of them stand there twice?

use super::{Context, FAILURE, LINT, complain, line};
use ::rules::file::RuleFile;
use model::Labels;
use model::name::Scheme;
use promql::parse::ParseOptions;
use std::path::Path;
use stdx::fs::{Fs, RealFs};

/// How rule files are looked at.
pub(super) struct Settings {
    pub duplicates: bool,
    pub fatal: bool,
    pub ignore_unknown_fields: bool,
    pub scheme: Scheme,
    pub parse: ParseOptions,
}

impl Settings {
    /// `lint` is the value of --lint.
    pub fn new(cx: &Context, lint: &str) -> Settings {
        let mut duplicates = false;
        for word in lint.split(',').filter(|_| !lint.is_empty()) {
            match word {
                "all" | "duplicate-rules" => duplicates = true,
                "none" => {}
                other => line(&format!("WARNING: unknown lint option: {}", model::labels::quote(other))),
            }
        }
        Settings {
            duplicates,
            fatal: cx.values.bool("lint-fatal"),
            ignore_unknown_fields: cx.values.bool("ignore-unknown-fields"),
            scheme: Scheme::Utf8,
            parse: cx.parse,
        }
    }
}

/// What was found in all files.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub failed: bool,
    /// Beyond what lint checks find.
    pub errors: bool,
}

impl Found {
    pub fn code(self, fatal: bool) -> u8 {
        match (self.failed, self.errors) {
            (true, true) => FAILURE,
            (true, false) if fatal => LINT,
            _ => 0,
        }
    }
}

pub fn run(cx: &Context) -> u8 {
    let settings = Settings::new(cx, cx.values.text("lint"));
    let files = cx.values.args("rule-files");
    let found = if files.is_empty() { standard_input(&settings) } else { check(files, &settings) };
    found.code(settings.fatal)
}

fn standard_input(settings: &Settings) -> Found {
    line("Checking standard input");
    let mut found = Found::default();
    match super::stdin() {
        Ok(bytes) => one(&bytes, "", settings, &mut found),
        Err(e) => {
            complain(&format!("  FAILED: {e}"));
            found = Found { failed: true, errors: true };
        }
    }
    found
}

pub(super) fn check(files: &[String], settings: &Settings) -> Found {
    let mut found = Found::default();
    for file in files {
        line(&format!("Checking {file}"));
        match RealFs.read(Path::new(file)) {
            Ok(bytes) => one(&bytes, &format!("{file}: "), settings, &mut found),
            Err(e) => refuse(&[format!("{file}: open {file}: {}", crate::go::io_error(&e))], &mut found),
        }
    }
    found
}

fn refuse(errors: &[String], found: &mut Found) {
    *found = Found { failed: true, errors: true };
    complain("  FAILED:");
    errors.iter().for_each(|e| complain(e));
}

fn one(bytes: &[u8], place: &str, settings: &Settings, found: &mut Found) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return refuse(&[format!("{place}yaml: control characters are not allowed")], found);
    };
    match ::rules::file::parse(text, settings.scheme, &settings.parse, settings.ignore_unknown_fields) {
        Err(errors) => return refuse(&errors.iter().map(|e| format!("{place}{e}")).collect::<Vec<_>>(), found),
        Ok(file) => match if settings.duplicates { duplicates(&file) } else { None } {
            Some(text) => {
                found.failed = true;
                complain("  FAILED:");
                complain(&text);
            }
            None => line(&format!("  SUCCESS: {} rules found", file.groups.iter().map(|g| g.rules.len()).sum::<usize>())),
        },
    }
    line("");
}

/// Rules of the same name and labels, in any groups of the file.
fn duplicates(file: &RuleFile) -> Option<String> {
    let mut all: Vec<(&str, Labels)> = Vec::new();
    for group in &file.groups {
        for rule in &group.rules {
            let mut labels = group.labels.clone();
            labels.extend(rule.labels.clone());
            all.push((if rule.alert.is_empty() { &rule.record } else { &rule.alert }, Labels::from_pairs(&labels)));
        }
    }
    all.sort();
    let mut twice: Vec<&(&str, Labels)> = all.windows(2).filter(|w| w[0] == w[1]).map(|w| &w[0]).collect();
    twice.dedup();
    if twice.is_empty() {
        return None;
    }
    let mut text = format!("lint error {} duplicate rule(s) found.\n", twice.len());
    for (name, labels) in twice {
        text.push_str(&format!("Metric: {name}\nLabel(s):\n"));
        labels.iter().for_each(|(n, v)| text.push_str(&format!("\t{n}: {v}\n")));
    }
    text.push_str("Might cause inconsistency while recording expressions");
    Some(text)
}
