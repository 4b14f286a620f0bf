//! `check service-discovery`: the targets of a job, with their labels before and after relabelling.

use super::print::go_json;
use super::{Context, FAILURE, complain, http, print};
use crate::config::{self, LoadOptions};
use model::Labels;
use scrape::ScrapeConfig;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use stdx::fs::RealFs;
use stdx::metrics::Registry;
use stdx::shutdown::Shutdown;

/// What discovery finds right away is all there is for targets that are written down.
const WITHOUT_WAITING: Duration = Duration::from_millis(300);

pub fn run(cx: &Context) -> u8 {
    let (file, name) = (cx.values.arg("config-file"), cx.values.arg("job"));
    let load = LoadOptions { environment: std::env::vars().collect(), ..LoadOptions::default() };
    let loaded = match config::load(&RealFs, Path::new(file), &load) {
        Ok(l) => l,
        Err(e) => {
            complain(&format!("Cannot load config {e}"));
            return FAILURE;
        }
    };
    let jobs = &loaded.config.scrape_configs;
    let Some(job) = jobs.iter().find(|j| j.job_name == name) else {
        complain(&format!("Job {name} not found. Select one of:"));
        jobs.iter().for_each(|j| complain(&format!("\t{}", j.job_name)));
        return FAILURE;
    };
    let timeout_ns = crate::cli::parse_go_duration_ns(cx.values.text("timeout")).unwrap_or(0).max(0);
    match discover(job, Duration::from_nanos(timeout_ns as u64)) {
        Ok(found) => {
            print(&indented(&found, 0));
            0
        }
        Err(e) => {
            complain(&format!("Could not create new discoverer {e}"));
            FAILURE
        }
    }
}

/// What is found until the time is over.
fn discover(job: &ScrapeConfig, timeout: Duration) -> Result<Value, String> {
    let clock = http::clock();
    let environment = client::Environment::read(crate::server::variable);
    let http = client::Options::in_environment(clock.clone(), RealFs::shared(), environment);
    let mut options = discovery::Options::new(http);
    options.environment = std::sync::Arc::new(crate::server::variable);
    options.update_interval = Duration::from_millis(100);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(|e| e.to_string())?;
    let manager = discovery::Manager::new("scrape", options, &Registry::new(clock), runtime.handle().clone());
    manager.apply(BTreeMap::from([(job.job_name.clone(), job.discovery.clone())]));
    let only_static = job.discovery.mechanisms().iter().all(|m| *m == "static");
    let wait = if only_static { WITHOUT_WAITING.min(timeout) } else { timeout };
    let shutdown = Shutdown::new();
    runtime.block_on(async {
        let _ = tokio::time::timeout(wait, manager.run(shutdown)).await;
    });
    let snapshot = manager.snapshot();
    let mut out: Vec<Value> = Vec::new();
    for group in snapshot.get(&job.job_name).into_iter().flat_map(|g| g.iter()) {
        for target in &group.targets {
            let before = scrape::labels::discovered(job, target, &group.labels).build();
            let (after, error) = match scrape::labels::target_labels(job, target, &group.labels) {
                Ok(labels) => (labels.unwrap_or_default(), None),
                Err(e) => (Labels::empty(), Some(e)),
            };
            let mut one = Map::from_iter([("discoveredLabels".to_string(), json(&before)), ("labels".to_string(), json(&after))]);
            if error.is_some() {
                // Go writes an error without fields of its own as an empty object.
                one.insert("error".to_string(), Value::Object(Map::new()));
            }
            let one = Value::Object(one);
            if !out.contains(&one) {
                out.push(one);
            }
        }
    }
    Ok(Value::Array(out))
}

fn json(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|(n, v)| (n.to_string(), Value::String(v.to_string()))).collect())
}

/// As Go's `MarshalIndent` with two blanks; an error stands last.
fn indented(v: &Value, depth: usize) -> String {
    let pad = "  ".repeat(depth + 1);
    let end = "  ".repeat(depth);
    match v {
        Value::Array(a) if !a.is_empty() => {
            let items: Vec<String> = a.iter().map(|v| format!("{pad}{}", indented(v, depth + 1))).collect();
            format!("[\n{}\n{end}]", items.join(",\n"))
        }
        Value::Object(o) if !o.is_empty() => {
            let mut keys: Vec<&String> = o.keys().collect();
            if depth == 1 {
                keys.sort_by_key(|k| (*k == "error", k.as_str()));
            }
            let items: Vec<String> =
                keys.iter().map(|k| format!("{pad}{}: {}", go_json(&Value::String((*k).clone())), indented(&o[*k], depth + 1))).collect();
            format!("{{\n{}\n{end}}}", items.join(",\n"))
        }
        other => go_json(other),
    }
}
