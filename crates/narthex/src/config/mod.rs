//! prometheus.yml: the sections of all rooms put together, read, checked against each other, and written back.

mod global;
mod sections;

pub use global::GlobalConfig;
use remote::config::RemoteReadConfig;
pub use sections::{OtlpConfig, RetentionConfig, RuntimeConfig, StorageConfig, TracingConfig};

use model::Labels;
use model::labels::quote;
use model::name::Scheme;
use remote::config::RemoteWriteConfig;
use rules::notifier::AlertingConfig;
use scrape::config::ScrapeConfig;
use std::collections::BTreeMap;
use std::path::Path;
use stdx::fs::Fs;

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct Config as "config.plain" check(Config::check) {
        pub global: GlobalConfig => with(global::section);
        pub runtime: RuntimeConfig => with(sections::runtime);
        pub alerting: AlertingConfig;
        pub rule_files: Vec<yaml::FilePath> => with(|n, cx| patterns(n, cx, "rule"));
        pub scrape_config_files: Vec<yaml::FilePath> => with(|n, cx| patterns(n, cx, "scrape config"));
        pub scrape_configs: Vec<ScrapeConfig> => with(|n, cx| yaml::list(n, cx, "empty or null scrape config section"));
        pub storage: StorageConfig;
        pub tracing: Option<TracingConfig>;
        pub remote_write: Vec<RemoteWriteConfig> => with(|n, cx| yaml::list(n, cx, "empty or null remote write config section"));
        pub remote_read: Vec<RemoteReadConfig> => with(|n, cx| yaml::list(n, cx, "empty or null remote read config section"));
        pub otlp: OtlpConfig;
    }
}

yaml::table! {
    /// A file of `scrape_config_files`.
    #[derive(Clone, Debug, PartialEq)]
    struct ScrapeConfigFile as "config.ScrapeConfigs" {
        scrape_configs: Vec<ScrapeConfig> => with(|n, cx| yaml::list(n, cx, "empty or null scrape config section"));
    }
}

/// How a file is to be read.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    pub agent: bool,
    /// A feature asks for protobuf before text wherever a job says nothing.
    pub protobuf_first: bool,
    pub ignore_unknown_fields: bool,
    /// Files that this one names are not read.
    pub main_file_only: bool,
    /// For `${NAME}` in external labels.
    pub environment: BTreeMap<String, String>,
}

/// A configuration that was read and checked.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Resolved: jobs hold what they inherit, external labels are expanded.
    pub config: Config,
    /// As `/api/v1/status/config` gives it back, without jobs of other files.
    pub text: String,
    /// Rule files, globs resolved.
    pub rule_files: Vec<String>,
    /// Names in external labels that the environment does not have.
    pub empty_variables: Vec<String>,
}

impl Config {
    fn check(&mut self) -> Result<(), String> {
        let scheme = self.name_scheme();
        let am = &mut self.alerting;
        let of_sets = am.alertmanagers.iter_mut().flat_map(|a| a.relabel_configs.iter_mut().chain(&mut a.alert_relabel_configs));
        for rule in am.alert_relabel_configs.iter_mut().chain(of_sets) {
            rule.validate(scheme).map_err(|e| e.to_string())?;
        }
        twice(self.remote_write.iter().map(|w| w.name.as_str()), "remote write configs")?;
        twice(self.remote_read.iter().map(|r| r.name.as_str()), "remote read configs")?;
        for w in &mut self.remote_write {
            for rule in &mut w.write_relabel_configs {
                rule.validate(scheme).map_err(|e| e.to_string())?;
            }
        }
        self.otlp.check_names(scheme)
    }

    pub fn name_scheme(&self) -> Scheme {
        self.global.scrape.metric_name_validation_scheme.unwrap_or_default().into()
    }
}

/// Paths in which a star may stand in the last element only.
fn patterns(node: &yaml::Node, cx: &mut yaml::Cx, what: &str) -> Option<Vec<yaml::FilePath>> {
    let starred_dir = |n: &&yaml::Node| n.text().and_then(|t| t.rsplit_once('/')).is_some_and(|(dir, _)| dir.contains('*'));
    if let Some(bad) = node.items().into_iter().flatten().find(starred_dir) {
        return cx.invalid(bad, format!("invalid {what} file path {}", quote(bad.text().unwrap_or_default())));
    }
    yaml::FromYaml::from_yaml(node, cx)
}

fn twice<'a>(names: impl Iterator<Item = &'a str>, what: &str) -> Result<(), String> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names.filter(|n| !n.is_empty()) {
        if !seen.insert(name) {
            return Err(format!("found multiple {what} with job name {}", quote(name)));
        }
    }
    Ok(())
}

/// Reads a file with all that it names. Errors say the file, and in it the line.
pub fn load(fs: &dyn Fs, path: &Path, options: &LoadOptions) -> Result<Loaded, String> {
    let bytes = fs.read(path).map_err(|e| format!("open {}: {e}", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("parsing YAML file {}: not valid UTF-8", path.display()))?;
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let in_file = |e: String| format!("parsing YAML file {}: {e}", path.display());
    let loaded = parse(fs, &text, dir, options).map_err(in_file)?;
    if options.agent {
        check_agent(&loaded.config)?;
    }
    Ok(loaded)
}

/// The same from a text; relative paths in it start at `dir`.
pub fn parse(fs: &dyn Fs, text: &str, dir: &Path, options: &LoadOptions) -> Result<Loaded, String> {
    let yaml_options = yaml::Options { ignore_unknown_fields: options.ignore_unknown_fields, ..yaml::Options::in_dir(dir) };
    let tree = yaml::parse(text).map_err(|e| e.to_string())?;
    let mut config: Config = if tree.is_null() { Config::default() } else { yaml::from_node(&tree, &yaml_options).map_err(|e| e.to_string())? };
    let empty_variables = config.global.expand_external_labels(&options.environment);
    let section = tree.get("global").and_then(|g| g.entries());
    config.global.fill_in(section.is_some_and(|e| !e.is_empty()));
    let global = config.global.scrape.clone();
    let mut first_seen: BTreeMap<String, String> = BTreeMap::new();
    for job in &mut config.scrape_configs {
        job.resolve(&global, options.protobuf_first)?;
        if first_seen.insert(job.job_name.clone(), "main config file".to_string()).is_some() {
            return Err(format!("found multiple scrape configs with job name {}", quote(&job.job_name)));
        }
    }
    let text = shown(&config, &tree);
    let others = if options.main_file_only { Vec::new() } else { config.scrape_config_files.clone() };
    for pattern in &others {
        for file in glob(fs, pattern.as_str()) {
            let in_file = |e: String| format!("{file}: {e}");
            let bytes = fs.read(Path::new(&file)).map_err(|e| in_file(e.to_string()))?;
            let text = String::from_utf8(bytes).map_err(|_| in_file("not valid UTF-8".to_string()))?;
            let dir = Path::new(&file).parent().unwrap_or(Path::new("."));
            let jobs: ScrapeConfigFile = yaml::from_str(&text, &yaml::Options::in_dir(dir)).map_err(|e| in_file(e.to_string()))?;
            for mut job in jobs.scrape_configs {
                job.resolve(&global, options.protobuf_first).map_err(in_file)?;
                let place = format!("{file:?}");
                if let Some(first) = first_seen.insert(job.job_name.clone(), place) {
                    return Err(in_file(format!("found multiple scrape configs with job name {}, first found in {first}", quote(&job.job_name))));
                }
                config.scrape_configs.push(job);
            }
        }
    }
    let rule_files = config.rule_files.iter().flat_map(|p| glob(fs, p.as_str())).collect();
    Ok(Loaded { config, text, rule_files, empty_variables })
}

/// What `/api/v1/status/config` gives back.
fn shown(config: &Config, tree: &yaml::Node) -> String {
    let labels = &config.global.external_labels;
    let written = tree.get("global").and_then(|g| g.get("external_labels")).and_then(|l| l.entries()).unwrap_or_default();
    let blank: Vec<String> = written.iter().filter_map(|(n, _)| n.text()).filter(|n| !labels.has(n)).map(str::to_string).collect();
    let yaml::Value::Map(mut entries) = yaml::MapWriter::table(config) else { return String::new() };
    for (key, value) in &mut entries {
        if key == "global" {
            *value = config.global.shown(&blank);
        }
    }
    yaml::to_string(&yaml::Value::Map(entries))
}

fn check_agent(c: &Config) -> Result<(), String> {
    let refused = [
        ("alerting", !c.alerting.alert_relabel_configs.is_empty() || !c.alerting.alertmanagers.is_empty()),
        ("rule_files", !c.rule_files.is_empty()),
        ("remote_read", !c.remote_read.is_empty()),
    ];
    match refused.iter().find(|(_, set)| *set) {
        Some((name, _)) => Err(format!("field {name} is not allowed in agent mode")),
        None => Ok(()),
    }
}

/// Existing files that a pattern names, sorted. As in Prometheus a name of which there is no file is no fault.
pub fn glob(fs: &dyn Fs, pattern: &str) -> Vec<String> {
    if !pattern.contains(['*', '?', '[']) {
        return if fs.exists(Path::new(pattern)) { vec![pattern.to_string()] } else { Vec::new() };
    }
    let (dir, last) = pattern.rsplit_once('/').unwrap_or((".", pattern));
    let mut out: Vec<String> = fs
        .list(Path::new(if dir.is_empty() { "/" } else { dir }))
        .unwrap_or_default()
        .into_iter()
        .filter(|e| !e.is_dir && glob_matches(last.as_bytes(), e.name.as_bytes()))
        .map(|e| format!("{dir}/{}", e.name))
        .collect();
    out.sort();
    out
}

/// `*`, `?` and `[a-z]` as Go's filepath.Match has them.
fn glob_matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|i| glob_matches(rest, &name[i..])),
        [b'?', rest @ ..] => !name.is_empty() && glob_matches(rest, &name[1..]),
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().skip(1).position(|b| *b == b']').map(|i| i + 1) else { return false };
            let Some((c, tail)) = name.split_first() else { return false };
            let (negated, set) = match &rest[..end] {
                [b'^', set @ ..] => (true, set),
                set => (false, set),
            };
            let mut inside = false;
            let mut i = 0;
            while i < set.len() {
                if i + 2 < set.len() && set[i + 1] == b'-' {
                    inside |= (set[i]..=set[i + 2]).contains(c);
                    i += 3;
                } else {
                    inside |= set[i] == *c;
                    i += 1;
                }
            }
            inside != negated && glob_matches(&rest[end + 1..], tail)
        }
        [b'\\', c, rest @ ..] | [c, rest @ ..] => name.first() == Some(c) && glob_matches(rest, &name[1..]),
    }
}

impl Loaded {
    pub fn external_labels(&self) -> &Labels {
        &self.config.global.external_labels
    }
}

#[cfg(test)]
mod tests;
