//! The configuration in force, and how another one takes its place: everything is read and checked first; only then anything changes.

use crate::config::{self, LoadOptions, Loaded, RetentionConfig};
use crate::features::Features;
use crate::metrics::ConfigMetrics;
use crate::queries::QueryLogFile;
use parking_lot::{Mutex, RwLock};
use rules::{ManagerConfig, Notifier};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::SharedClock;
use stdx::fs::SharedFs;
use stdx::metrics::Registry;
use stdx::shutdown::Shutdown;
use tracing::{error, info, warn};
use tsdb::db::Db;
use web::api::RuntimeInfo;
use web::notifications::Notifications;

/// The rooms that a configuration is handed to.
pub struct Rooms {
    /// None for a forward-only leaf.
    pub db: Option<Arc<Db>>,
    pub engine: Arc<promql::Engine>,
    pub scrape: Arc<scrape::ScrapeManager>,
    pub scrape_discovery: discovery::Manager,
    pub notify_discovery: discovery::Manager,
    pub notifier: Arc<Notifier>,
    pub rules: Arc<rules::Manager>,
    pub uplinks: Arc<remote::uplink::Uplinks>,
    /// None for a forward-only leaf.
    pub readers: Option<Arc<remote::read::client::Readers>>,
    /// What clients are made with, to see beforehand whether they can be.
    pub http: client::Options,
}

/// Retention that flags ask for; the file wins.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlagRetention {
    pub time_ms: Option<i64>,
    pub size_bytes: Option<u64>,
}

pub struct Controller {
    pub path: PathBuf,
    pub load_options: LoadOptions,
    pub parse: promql::parse::ParseOptions,
    pub retention: FlagRetention,
    pub fs: SharedFs,
    pub clock: SharedClock,
    pub metrics: ConfigMetrics,
    pub shutdown: Shutdown,
    pub notifications: Arc<Notifications>,
    pub started_ms: i64,
    start_zeros: bool,
    delta: remote::otlp::Delta,
    pub rooms: std::sync::OnceLock<Rooms>,
    state: RwLock<State>,
    /// One reload at a time.
    reloading: Mutex<()>,
}

struct State {
    loaded: Arc<Loaded>,
    success: bool,
    applied_ms: i64,
}

const RELOAD_FAILED: &str = "Configuration reload has failed.";

impl Controller {
    #[allow(clippy::too_many_arguments, reason = "built in one place")]
    pub fn new(
        path: PathBuf,
        load_options: LoadOptions,
        features: &Features,
        retention: FlagRetention,
        fs: SharedFs,
        clock: SharedClock,
        registry: &Registry,
        shutdown: Shutdown,
        notifications: Arc<Notifications>,
        first: Loaded,
    ) -> Self {
        let now = clock.now_ms();
        Controller {
            path,
            load_options,
            parse: features.parse,
            retention,
            metrics: ConfigMetrics::new(registry),
            state: RwLock::new(State { loaded: Arc::new(first), success: true, applied_ms: now }),
            started_ms: now,
            start_zeros: features.start_zeros,
            delta: features.delta(),
            fs,
            clock,
            shutdown,
            notifications,
            rooms: std::sync::OnceLock::new(),
            reloading: Mutex::default(),
        }
    }

    pub fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.state.read().loaded)
    }

    /// Time in milliseconds, size in bytes, percent of the disk; 0 for no limit.
    pub fn retention(&self, loaded: &Loaded) -> (i64, u64, f64) {
        let file = loaded.config.storage.tsdb.as_ref().and_then(|t| t.retention.clone());
        retention(file.as_ref(), self.retention)
    }

    /// Reads the file and puts it in place.
    pub fn reload_file(&self) -> Result<(), String> {
        let _one = self.reloading.lock();
        info!(filename = %self.path.display(), "Loading configuration file");
        let outcome = config::load(&*self.fs, &self.path, &self.load_options)
            .map_err(|e| format!("couldn't load configuration (--config.file={:?}): {e}", self.path))
            .and_then(|l| self.apply(l));
        match &outcome {
            Ok(()) => self.notifications.remove(RELOAD_FAILED),
            Err(e) => {
                error!(err = %e, "Error reloading config");
                self.metrics.successful.set(0.0);
                self.state.write().success = false;
                self.notifications.add(RELOAD_FAILED, &model::time::format_rfc3339_ms(self.clock.now_ms()));
            }
        }
        outcome
    }

    /// The configuration once more, when the head is filled: for what waited for that.
    pub fn apply_filled(&self) -> Result<(), String> {
        let _one = self.reloading.lock();
        self.apply((*self.loaded()).clone())
    }

    /// The first configuration, once the rooms are there.
    pub fn apply_first(&self) -> Result<(), String> {
        let _one = self.reloading.lock();
        info!(filename = %self.path.display(), "Loading configuration file");
        self.apply((*self.loaded()).clone())
    }

    fn apply(&self, loaded: Loaded) -> Result<(), String> {
        let rooms = self.rooms.get().ok_or("the server is not open yet")?;
        let started = self.clock.monotonic();
        let c = &loaded.config;
        for name in &loaded.empty_variables {
            warn!(name = %name, "Empty environment variable");
        }
        if c.tracing.is_some() {
            warn!("The section tracing is read and checked; no traces are sent");
        }
        for file in c.rule_files.iter().map(yaml::FilePath::as_str).filter(|f| !f.contains('*') && !self.fs.exists(std::path::Path::new(f))) {
            warn!(file, "Rule file does not exist");
        }
        // All that may be refused comes before all that changes something.
        let rule_config = ManagerConfig {
            files: loaded.rule_files.clone(),
            evaluation_interval: c.global.evaluation_interval.duration(),
            query_offset: c.global.rule_query_offset.duration(),
            external_labels: c.global.external_labels.clone(),
            scheme: c.name_scheme(),
            parse: self.parse,
        };
        let rule_files = rooms.rules.load(&rule_config).map_err(|errors| {
            errors.iter().for_each(|e| error!(component = "rule manager", err = %e, "loading groups failed"));
            format!("error loading rules: {}", errors.join("; "))
        })?;
        let query_log = match c.global.query_log_file.get() {
            Some(path) => {
                let log =
                    QueryLogFile::open(&*self.fs, path, Arc::clone(&self.clock)).map_err(|e| format!("open query log {}: {e}", path.display()))?;
                Some(Arc::new(log) as Arc<dyn promql::QueryLog>)
            }
            None => None,
        };
        let external = &c.global.external_labels;
        check_clients(c, &rooms.http)?;
        let readers = rooms.readers.as_ref().map(|r| r.prepare(&c.remote_read, external)).transpose()?;
        // Uplinks and rules need the whole head: they begin when it is filled.
        let filled = rooms.db.as_ref().is_none_or(|db| db.is_ready());
        if filled {
            rooms.uplinks.apply(&c.remote_write, external).map_err(|e| e.to_string())?;
        }
        rooms.notifier.apply(&c.alerting, external)?;
        let (time_ms, size_bytes, percent) = self.retention(&loaded);
        if let Some(db) = &rooms.db {
            db.set_retention(time_ms, size_bytes, percent);
            if let Some(t) = &c.storage.tsdb {
                db.set_late_window_ms(t.out_of_order_time_window.0);
            }
            if let Some(e) = &c.storage.exemplars {
                db.set_max_exemplars(usize::try_from(e.max_exemplars).unwrap_or(0));
            }
        }
        if let (Some(r), Some(prepared)) = (&rooms.readers, readers) {
            r.put(prepared);
        }
        rooms.engine.set_default_step_ms(c.global.evaluation_interval.0);
        rooms.engine.set_query_log(query_log);
        let jobs: Vec<Arc<scrape::config::ScrapeConfig>> = c.scrape_configs.iter().cloned().map(Arc::new).collect();
        rooms.scrape.apply(&jobs, external).map_err(|e| e.to_string())?;
        rooms.scrape_discovery.apply(c.scrape_configs.iter().map(|j| (j.job_name.clone(), j.discovery.clone())).collect());
        let sets = c.alerting.alertmanagers.iter().enumerate().map(|(i, a)| (rules::notifier::set_name(i), a.discovery.clone()));
        rooms.notify_discovery.apply(sets.collect::<BTreeMap<_, _>>());
        if filled {
            rooms.rules.apply(&rule_config, rule_files);
        }
        let now = self.clock.now_ms();
        *self.state.write() = State { loaded: Arc::new(loaded), success: true, applied_ms: now };
        self.metrics.successful.set(1.0);
        self.metrics.success_timestamp.set(now as f64 / 1000.0);
        let took = self.clock.monotonic().saturating_sub(started);
        info!(filename = %self.path.display(), totalDuration = ?took, "Completed loading of configuration file");
        Ok(())
    }

    /// A number that changes when the configuration file, or a file it names, does.
    pub fn fingerprint(&self) -> u64 {
        let loaded = self.loaded();
        let mut text = Vec::new();
        // Patterns are looked up again: a file that is new to one counts too.
        let patterns = loaded.config.rule_files.iter().chain(&loaded.config.scrape_config_files);
        let named = patterns.flat_map(|p| config::glob(&*self.fs, p.as_str()));
        for file in std::iter::once(self.path.display().to_string()).chain(named) {
            text.extend_from_slice(file.as_bytes());
            text.extend(self.fs.read(std::path::Path::new(&file)).unwrap_or_default());
        }
        u64::from(stdx::crc::crc32c(&text)) | (text.len() as u64) << 32
    }

    /// Looks for changes until the end (`--config.auto-reload`).
    pub async fn watch(self: Arc<Self>, every: Duration, shutdown: Shutdown) {
        let mut seen = self.fingerprint();
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = shutdown.requested() => return,
            }
            let me = Arc::clone(&self);
            let result = tokio::task::spawn_blocking(move || {
                let now = me.fingerprint();
                if now != seen {
                    info!("Configuration file change detected, reloading the configuration.");
                    let _ = me.reload_file();
                }
                now
            });
            seen = result.await.unwrap_or(seen);
        }
    }
}

/// Makes every client once, so that a file of certificates or credentials that is not there is told before anything has changed.
fn check_clients(c: &config::Config, http: &client::Options) -> Result<(), String> {
    for job in &c.scrape_configs {
        let name = model::labels::quote(&job.job_name);
        client::HttpClient::new(&job.http, &job.job_name, http).map_err(|e| format!("error creating HTTP client of scrape job {name}: {e}"))?;
    }
    for am in &c.alerting.alertmanagers {
        client::HttpClient::new(&am.http, "alertmanager", http).map_err(|e| format!("error creating HTTP client of an Alertmanager: {e}"))?;
    }
    Ok(())
}

fn retention(file: Option<&RetentionConfig>, flags: FlagRetention) -> (i64, u64, f64) {
    let time = file.map(|r| r.time.0).filter(|t| *t > 0).or(flags.time_ms);
    let size = file.map(|r| r.size.0).filter(|s| *s > 0).or(flags.size_bytes);
    let percent = file.map_or(0.0, |r| r.percentage);
    match (time, size) {
        (None, None) if percent == 0.0 => (tsdb::config::DEFAULT_RETENTION_MS, 0, 0.0),
        (t, s) => (t.unwrap_or(0), s.unwrap_or(0), percent),
    }
}

impl web::api::Control for Controller {
    fn reload(&self) -> Result<(), String> {
        self.reload_file()
    }

    fn quit(&self) {
        warn!("Received termination request via web service, exiting gracefully...");
        self.shutdown.request();
    }

    fn config_yaml(&self) -> String {
        self.loaded().text.clone()
    }

    fn external_labels(&self) -> model::Labels {
        self.loaded().external_labels().clone()
    }

    fn otlp_options(&self) -> remote::otlp::OtlpOptions {
        let loaded = self.loaded();
        let o = &loaded.config.otlp;
        remote::otlp::OtlpOptions {
            translation: remote::otlp::Translation::parse(&o.translation_strategy).unwrap_or_default(),
            promote_all_resource_attributes: o.promote_all_resource_attributes,
            promote_resource_attributes: o.promote_resource_attributes.clone(),
            ignore_resource_attributes: o.ignore_resource_attributes.clone(),
            keep_identifying_resource_attributes: o.keep_identifying_resource_attributes,
            convert_histograms_to_nhcb: o.convert_histograms_to_nhcb,
            promote_scope_metadata: o.promote_scope_metadata,
            label_name_underscore_sanitization: o.label_name_underscore_sanitization,
            label_name_preserve_multiple_underscores: o.label_name_preserve_multiple_underscores,
            start_zeros: self.start_zeros,
            delta: self.delta,
        }
    }

    fn runtime_info(&self) -> RuntimeInfo {
        let s = self.state.read();
        let time = |ms: i64| model::time::format_rfc3339_ms(ms);
        let (time_ms, size, percent) = self.retention(&s.loaded);
        let mut parts = Vec::new();
        if time_ms > 0 {
            parts.push(model::duration::format_ms(time_ms));
        }
        if size > 0 {
            parts.push(format!("{}", yaml::Size(size)));
        }
        if percent > 0.0 {
            parts.push(format!("{percent}%"));
        }
        let hostname = self.fs.read(std::path::Path::new("/proc/sys/kernel/hostname")).unwrap_or_default();
        RuntimeInfo {
            start_time: time(self.started_ms),
            cwd: std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default(),
            hostname: String::from_utf8_lossy(&hostname).trim().to_string(),
            server_time: time(self.clock.now_ms()),
            reload_config_success: s.success,
            last_config_time: time(s.applied_ms),
            corruption_count: 0,
            goroutine_count: 0,
            gomaxprocs: std::thread::available_parallelism().map_or(1, usize::from),
            gomemlimit: i64::MAX,
            gogc: s.loaded.config.runtime.gogc.to_string(),
            godebug: String::new(),
            storage_retention: parts.join(" or "),
        }
    }
}
