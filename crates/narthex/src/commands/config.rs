//! `check config`: is a configuration right, with all the files that it names?

use super::rules::{self, Found, Settings};
use super::{Context, complain, line};
use crate::config::{self, Config, LoadOptions};
use discovery::{SdConfig, SdConfigs, TargetGroup};
use model::labels::quote;
use scrape::ScrapeConfig;
use std::path::Path;
use stdx::fs::{Fs, RealFs};

struct Options<'a> {
    syntax_only: bool,
    agent: bool,
    /// Jobs of a longer interval are complained of.
    longest_interval_ns: Option<i64>,
    rules: &'a Settings,
}

pub fn run(cx: &Context) -> u8 {
    let lint = cx.values.text("lint");
    let words: Vec<&str> = lint.split(',').collect();
    let none = words.contains(&"none");
    let long = words.iter().any(|w| matches!(*w, "all" | "too-long-scrape-interval"));
    let for_rules: Vec<&str> = words.into_iter().filter(|w| !matches!(*w, "too-long-scrape-interval" | "none")).collect();
    let settings = Settings::new(cx, &if none { String::new() } else { for_rules.join(",") });
    let options = Options {
        syntax_only: cx.values.bool("syntax-only"),
        agent: cx.values.bool("agent"),
        longest_interval_ns: (long && !none)
            .then(|| crate::cli::parse_go_duration_ns(cx.values.text("query.lookback-delta")).unwrap_or(0))
            .filter(|n| *n > 0),
        rules: &settings,
    };
    let mut found = Found::default();
    for file in cx.values.args("config-files") {
        one(file, &options, &mut found);
    }
    found.code(settings.fatal)
}

fn one(file: &str, options: &Options<'_>, found: &mut Found) {
    line(&format!("Checking {file}"));
    let (rule_files, jobs) = match check(file, options) {
        Ok((rule_files, config)) => {
            if !rule_files.is_empty() {
                line(&format!("  SUCCESS: {} rule files found", rule_files.len()));
            }
            line(&format!(" SUCCESS: {file} is valid prometheus config file syntax"));
            (rule_files, config.scrape_configs)
        }
        Err(e) => {
            complain(&format!("  FAILED: {e}"));
            *found = Found { failed: true, errors: true };
            (Vec::new(), Vec::new())
        }
    };
    line("");
    if options.syntax_only {
        return;
    }
    let too_long = |j: &&ScrapeConfig| options.longest_interval_ns.is_some_and(|longest| j.scrape_interval.ms() * 1_000_000 >= longest);
    if let Some(job) = jobs.iter().find(too_long) {
        found.failed = true;
        complain(&format!(
            "  FAILED: too long scrape interval found, data point will be marked as stale - job: {}, interval: {}",
            job.job_name, job.scrape_interval
        ));
    }
    let of_rules = rules::check(&rule_files, options.rules);
    found.failed |= of_rules.failed;
    found.errors |= of_rules.errors;
}

fn check(file: &str, options: &Options<'_>) -> Result<(Vec<String>, Config), String> {
    let load =
        LoadOptions { agent: options.agent, main_file_only: options.syntax_only, environment: std::env::vars().collect(), ..LoadOptions::default() };
    let loaded = config::load(&RealFs, Path::new(file), &load)?;
    for key in loaded.config.remote_write.iter().filter_map(|w| w.unsupported()) {
        line(&format!("  WARNING: remote_write: {key} is not supported yet; a server does not start with it"));
    }
    let mut rule_files = Vec::new();
    if !options.syntax_only {
        for pattern in &loaded.config.rule_files {
            let files: Vec<String> = config::glob(&RealFs, pattern.as_str()).into_iter().filter(|f| RealFs.exists(Path::new(f))).collect();
            if files.is_empty() && !pattern.as_str().contains('*') {
                return Err(format!("{} does not point to an existing file", quote(pattern.as_str())));
            }
            rule_files.extend(files);
        }
    }
    for job in &loaded.config.scrape_configs {
        of_job(job, options)?;
    }
    for am in &loaded.config.alerting.alertmanagers {
        discovered(&am.discovery, "alertmanager config", options, &mut |group| {
            for target in &group.targets {
                ::rules::notifier::check_target(am, group, target)?;
            }
            Ok(())
        })?;
    }
    Ok((rule_files, loaded.config))
}

fn of_job(job: &ScrapeConfig, options: &Options<'_>) -> Result<(), String> {
    if let Some(a) = job.http.authorization.as_ref().filter(|_| !options.syntax_only) {
        exists(a.credentials_file.as_str(), "authorization credentials or bearer token file")?;
    }
    tls(&job.http.tls_config, options)?;
    for sd in &job.discovery.configs {
        if let SdConfig::Kubernetes(k) = sd {
            tls(&k.http.tls_config, options)?;
        }
    }
    discovered(&job.discovery, &format!("scrape job {}", quote(&job.job_name)), options, &mut |group| {
        for (i, target) in group.targets.iter().enumerate() {
            scrape::labels::target_labels(job, target, &group.labels).map_err(|e| format!("instance {i} in group {}: {e}", group.source))?;
        }
        Ok(())
    })
}

fn tls(t: &client::TlsConfig, options: &Options<'_>) -> Result<(), String> {
    if options.syntax_only {
        return Ok(());
    }
    exists(t.cert_file.as_str(), "client cert file")?;
    exists(t.key_file.as_str(), "client key file")
}

fn exists(path: &str, what: &str) -> Result<(), String> {
    match std::fs::metadata(path) {
        Err(e) if !path.is_empty() => Err(format!("error checking {what} {}: stat {path}: {}", quote(path), crate::go::io_error(&e))),
        _ => Ok(()),
    }
}

/// Gives all groups that are written down: in the configuration, and in the files that it names.
fn discovered(sds: &SdConfigs, owner: &str, options: &Options<'_>, each: &mut dyn FnMut(&TargetGroup) -> Result<(), String>) -> Result<(), String> {
    for sd in &sds.configs {
        match sd {
            SdConfig::Static(groups) => groups.iter().try_for_each(&mut *each)?,
            SdConfig::File(f) if !options.syntax_only => {
                for pattern in &f.files {
                    let files = stdx::fs::glob(&RealFs, pattern.as_str());
                    if files.is_empty() {
                        line(&format!("  WARNING: file {} for file_sd in {owner} does not exist", quote(pattern.as_str())));
                    }
                    for path in files {
                        let groups =
                            discovery::read_targets(&RealFs, &path).map_err(|e| format!("checking SD file {}: {e}", quote(pattern.as_str())))?;
                        groups.iter().try_for_each(&mut *each)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}
