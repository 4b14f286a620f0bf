//! Wiring on one page: rooms are built in the order in which samples flow, and stopped in reverse.

use crate::config::{self, LoadOptions};
use crate::control::{Controller, FlagRetention, Rooms};
use crate::features::Features;
use crate::flags::Flags;
use crate::log::{self, Form};
use crate::metrics;
use crate::queries::ActiveQueryFile;
use crate::store::{Opening, Store};
use remote::ledger::known::KnownGaps;
use remote::read::client::{Readers, ReadersDeps};
use remote::uplink::{self, Uplinks};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stdx::clock::{SharedClock, SystemClock};
use stdx::fs::{RealFs, SharedFs};
use stdx::metrics::Registry;
use stdx::shutdown::Shutdown;
use tracing::{error, info, warn};
use tsdb::agent::AgentOptions;
use tsdb::config::{DbOptions, HeadOptions};
use tsdb::db::Db;
use tsdb::head::replay::ReplayProgress;
use wal::{CursorBudget, SyncPolicy};
use web::api::{BuildInfo, Options, Replay};
use web::notifications::Notifications;
use web::server::{Guard, Limits};
use web::{App, Front, Site};

/// The version of Prometheus whose behaviour is kept.
const EMULATED: &str = "3.14.0";

pub fn build_info() -> BuildInfo {
    BuildInfo {
        version: EMULATED.to_string(),
        revision: format!("narthex-{}", env!("CARGO_PKG_VERSION")),
        branch: "narthex".to_string(),
        build_user: String::new(),
        build_date: String::new(),
        go_version: "none (rust)".to_string(),
    }
}

pub fn version_text(program: &str) -> String {
    let b = build_info();
    format!(
        "{program}, version {} (branch: {}, revision: {})\n  platform:         {}/{}",
        b.version,
        b.branch,
        b.revision,
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}

/// Why the server did not start or did not end well, with the exit code that Prometheus has for it.
struct Failure {
    code: u8,
    what: String,
}

fn fail(code: u8, what: impl std::fmt::Display) -> Failure {
    Failure { code, what: what.to_string() }
}

pub fn run(flags: Flags) -> ExitCode {
    let clock = SystemClock::shared();
    let form = if flags.text("log.format") == "json" { Form::Json } else { Form::Logfmt };
    log::init(flags.text("log.level"), form, Arc::clone(&clock));
    // ring is the one TLS provider of the tree; a second installation would only repeat it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match serve(&flags, clock) {
        Ok(()) => {
            info!("See you next time!");
            ExitCode::SUCCESS
        }
        Err(f) => {
            error!(err = %f.what, "Fatal error");
            ExitCode::from(f.code)
        }
    }
}

fn serve(flags: &Flags, clock: SharedClock) -> Result<(), Failure> {
    let fs: SharedFs = RealFs::shared();
    let features = Features::parse(&flags.features());
    features.check().map_err(|e| fail(1, format!("error parsing feature list: {e}")))?;
    for name in &features.unknown {
        warn!(option = %name, "Unknown option for --enable-feature");
    }
    let agent = flags.is_agent();
    let load_options = LoadOptions {
        agent,
        protobuf_first: features.start_zeros || features.start_storage,
        ignore_unknown_fields: false,
        main_file_only: false,
        environment: std::env::vars().collect(),
    };
    let config_path = PathBuf::from(flags.text("config.file"));
    let loaded = config::load(&*fs, &config_path, &load_options).map_err(|e| {
        error!(file = %config_path.display(), err = %e, "Error loading config (--config.file={})", config_path.display());
        fail(2, format!("error loading config from {:?}", config_path.display()))
    })?;
    let urls = Urls::from_flags(flags).map_err(|e| fail(2, e))?;
    let cors = model::regex::Regex::new(flags.text("web.cors.origin")).map_err(|e| fail(2, format!("could not compile CORS regex string: {e}")))?;
    info!(mode = if agent { "agent" } else { "server" }, version = EMULATED, narthex = env!("CARGO_PKG_VERSION"), "Starting Narthex");

    let registry = Registry::new(Arc::clone(&clock));
    metrics::register(&registry, Arc::clone(&fs), &*clock);
    let shutdown = Shutdown::new();
    let (stopping, ready) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let notifications = Notifications::new(flags.int("web.max-notifications-subscribers").max(0) as usize, &registry);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| fail(1, format!("start runtime: {e}")))?;
    let handle = runtime.handle().clone();
    metrics::register_tasks(&registry, &handle);

    // The sockets are bound before the storage is opened, so that health can be asked for while the log replays.
    let addresses = flags.list("web.listen-address").to_vec();
    let listeners = web::server::bind(&addresses).map_err(|e| fail(1, e))?;
    let progress = Arc::new(ReplayProgress::default());
    let in_flight = flags.size_bytes("web.max-request-bytes-in-flight").unwrap_or(256 << 20) as usize;
    let seen = Arc::clone(&progress);
    let site = Site::new(Front {
        clock: Arc::clone(&clock),
        registry: registry.clone(),
        route_prefix: urls.prefix.clone(),
        agent,
        max_request_bytes_in_flight: in_flight,
        replay: Box::new(move || Replay {
            min: seen.first_segment.load(Ordering::Relaxed) as i64,
            max: seen.last_segment.load(Ordering::Relaxed) as i64,
            current: seen.current_segment.load(Ordering::Relaxed) as i64,
        }),
    });
    let limits = Limits {
        read_timeout: millis(flags.duration_ms("web.read-timeout").unwrap_or(300_000)),
        max_connections: flags.int("web.max-connections").max(1) as usize,
        ..Limits::default()
    };
    let guard = Guard::open(Arc::clone(&clock));
    if !flags.text("web.config.file").is_empty() {
        web::config::install(&guard, &*fs, Path::new(flags.text("web.config.file"))).map_err(|e| fail(1, e))?;
        let (guard, fs, path) = (Arc::clone(&guard), Arc::clone(&fs), PathBuf::from(flags.text("web.config.file")));
        handle.spawn(web::config::watch(guard, fs, path, shutdown.child()));
    }
    let web_shutdown = Shutdown::new();
    let web_server = handle.spawn(web::server::run(listeners, site.clone(), guard, limits, &registry, web_shutdown.clone(), Duration::from_secs(10)));
    let signals = spawn_signals(&handle, shutdown.clone());

    // Storage.
    let dir = PathBuf::from(flags.text(if agent { "storage.agent.path" } else { "storage.tsdb.path" }));
    info!(dir = %dir.display(), "Starting TSDB ...");
    let retention = FlagRetention {
        time_ms: flags.duration_ms("storage.tsdb.retention.time").or(flags.duration_ms("storage.tsdb.retention")),
        size_bytes: flags.size_bytes("storage.tsdb.retention.size"),
    };
    let controller = Arc::new(Controller::new(
        config_path,
        load_options,
        &features,
        retention,
        Arc::clone(&fs),
        Arc::clone(&clock),
        &registry,
        shutdown.clone(),
        Arc::clone(&notifications),
        loaded,
    ));
    let opening = if agent {
        Opening::LogOnly(Box::new(agent_options(flags, &dir, &fs, &clock, &registry)))
    } else {
        Opening::Whole(Box::new(db_options(flags, &features, &controller, &dir, &fs, &clock, &registry)))
    };
    let started = clock.monotonic();
    let store = Store::open(opening, Arc::clone(&progress)).map_err(|e| fail(1, format!("opening storage failed: {e}")))?;

    // What asks the storage.
    let engine = Arc::new(promql::Engine::new(promql::EngineOptions {
        lookback_delta_ms: flags.duration_ms("query.lookback-delta").unwrap_or(300_000),
        max_samples: flags.int("query.max-samples").max(0) as u64,
        timeout: millis(flags.duration_ms("query.timeout").unwrap_or(120_000)),
        max_concurrency: flags.int("query.max-concurrency").max(1) as usize,
        max_query_bytes: flags.size_bytes("query.max-bytes").unwrap_or(0),
        max_total_bytes: flags.size_bytes("query.max-total-bytes").unwrap_or(0),
        parse: features.parse,
        delayed_name_removal: features.delayed_name_removal,
        type_and_unit_labels: features.type_and_unit_labels,
        use_start_timestamps: features.use_start_timestamps,
        per_step_stats: features.per_step_stats,
        active_queries: (!agent).then(|| active_queries(flags, &fs, &dir, &clock)),
        ..promql::EngineOptions::new(Arc::clone(&clock), registry.clone())
    }));

    // What writes to it, and what sends it on.
    let http = client::Options {
        conntrack: Some(client::Conntrack::new(&registry)),
        ..client::Options::in_environment(Arc::clone(&clock), Arc::clone(&fs), client::Environment::read(variable))
    };
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let hostname = fs.read(Path::new("/proc/sys/kernel/hostname")).map(|b| String::from_utf8_lossy(&b).trim().to_string()).unwrap_or_default();
    let scrape = Arc::new(scrape::ScrapeManager::new(scrape::Deps {
        storage: store.appendable(),
        clock: Arc::clone(&clock),
        fs: Arc::clone(&fs),
        client: http.clone(),
        registry: registry.clone(),
        features: scrape::Features {
            type_and_unit_labels: features.type_and_unit_labels,
            start_zeros: features.start_zeros,
            append_metadata: features.metadata_in_log,
            protobuf_first: features.start_zeros || features.start_storage,
            align_timestamps: flags.bool("scrape.adjust-timestamps"),
            timestamp_tolerance_ms: flags.duration_ms("scrape.timestamp-tolerance").unwrap_or(2),
        },
        hostname,
        runtime: handle.clone(),
        workers,
    }));
    let discovery_options = discovery::Options {
        update_interval: millis(flags.duration_ms("scrape.discovery-reload-interval").unwrap_or(5000)),
        environment: Arc::new(variable),
        ..discovery::Options::new(http.clone())
    };
    let scrape_discovery = discovery::Manager::new("scrape", discovery_options.clone(), &registry, handle.clone());
    let notify_discovery = discovery::Manager::new("notify", discovery_options, &registry, handle.clone());
    let capacity = flags.int("alertmanager.notification-queue-capacity").max(1) as usize;
    let notifier = rules::Notifier::new(
        rules::notifier::NotifierOptions {
            queue_capacity: capacity,
            batch_size: flags.int("alertmanager.notification-batch-size").max(1) as usize,
            drain_on_shutdown: flags.bool("alertmanager.drain-notification-queue-on-shutdown"),
            client: http.clone(),
        },
        rules::notifier::Metrics::new(&registry, capacity),
        Arc::clone(&clock),
        handle.clone(),
        Shutdown::new(),
    );
    // Queries and rules also ask the servers of remote_read; what is about this server's own samples does not.
    let readers = store.db().map(|db| readers(flags, db, store.queryable(), http.clone(), handle.clone(), &clock, &registry));
    let asked = readers.clone().map_or_else(|| store.queryable(), |r| r as Arc<dyn storage::Queryable>);
    let rules_manager = rules::Manager::new(
        rules::Env {
            evaluate: Arc::new(rules::EngineEvaluate { engine: Arc::clone(&engine), queryable: Arc::clone(&asked) }),
            queryable: store.queryable(),
            appendable: store.appendable(),
            notify: notifier.clone(),
            clock: Arc::clone(&clock),
            metrics: rules::Metrics::new(&registry),
            external_url: urls.external.clone(),
            resend_delay_ms: flags.duration_ms("rules.alert.resend-delay").unwrap_or(60_000),
            outage_tolerance_ms: flags.duration_ms("rules.alert.for-outage-tolerance").unwrap_or(3_600_000),
            grace_period_ms: flags.duration_ms("rules.alert.for-grace-period").unwrap_or(600_000),
            concurrency: Arc::new(tokio::sync::Semaphore::new(flags.int("rules.max-concurrent-evals").max(1) as usize)),
            concurrent: features.concurrent_rules,
        },
        Arc::clone(&fs),
        handle.clone(),
        Shutdown::new(),
    );
    let oldest = store.db().cloned();
    let uplinks = Arc::new(Uplinks::new(uplink::Deps {
        wal: Arc::clone(store.wal()),
        series: store.series(),
        blocks: store.db().map(|db| Arc::clone(db) as Arc<dyn storage::Queryable>),
        oldest_stored_ms: Arc::new(move || oldest.as_ref().and_then(|db| db.oldest_ms())),
        metadata: Some(Arc::new(ScrapedMetadata(Arc::clone(&scrape)))),
        fs: Arc::clone(&fs),
        clock: Arc::clone(&clock),
        registry: registry.clone(),
        runtime: handle.clone(),
        tasks: Arc::new(uplink::OnRuntime(handle.clone())),
        dir: dir.join("uplink"),
        flush_deadline: millis(flags.duration_ms("storage.remote.flush-deadline").unwrap_or(60_000)),
        second_lane: uplink::SecondLane::default(),
        connect: uplink::http_connect(http.clone(), urls.external.split_once("://").map_or("", |(_, rest)| rest)),
    }));
    let receiver = flags.bool("web.enable-remote-write-receiver").then(|| receiver(flags, &features, &store, &registry, &clock, in_flight));
    let known_gaps = receiver.as_ref().and(store.db()).map(|db| Arc::new(KnownGaps::new(db.clone(), &registry, Arc::clone(&clock))));
    let request_memory = receiver.as_ref().map_or_else(|| remote::receive::InFlight::new(in_flight, &registry), |r| Arc::clone(r.in_flight()));
    if let Some(r) = &receiver {
        handle.spawn(tick(Arc::clone(r), known_gaps.clone(), Arc::clone(&clock), shutdown.child()));
    }

    // Everything is built: the configuration starts it, then the doors open.
    let rooms = Rooms {
        db: store.db().cloned(),
        engine: Arc::clone(&engine),
        scrape: Arc::clone(&scrape),
        scrape_discovery: scrape_discovery.clone(),
        notify_discovery: notify_discovery.clone(),
        notifier: Arc::clone(&notifier),
        rules: Arc::clone(&rules_manager),
        uplinks: Arc::clone(&uplinks),
        readers,
        http: http.clone(),
    };
    if controller.rooms.set(rooms).is_err() {
        return Err(fail(1, "the server was opened twice"));
    }
    controller.apply_first().map_err(|e| fail(1, format!("error loading config: {e}")))?;
    let app = Arc::new(App {
        options: Options {
            route_prefix: urls.prefix.clone(),
            external_url: urls.external.clone(),
            listen_address: addresses.first().cloned().unwrap_or_default(),
            page_title: flags.text("web.page-title").to_string(),
            user_assets: flags.text("web.user-assets").to_string(),
            cors_origin: cors,
            enable_lifecycle: flags.bool("web.enable-lifecycle"),
            enable_admin: flags.bool("web.enable-admin-api"),
            agent,
            parse: features.parse,
            lookback_delta_ms: flags.duration_ms("query.lookback-delta").unwrap_or(300_000),
            flags: flags.all(),
            build: build_info(),
            features: features.listed(flags, agent),
            enable_search: features.search,
            max_search_limit: flags.int("web.search.max-limit").max(0) as usize,
        },
        clock: Arc::clone(&clock),
        registry: registry.clone(),
        queryable: asked,
        local: store.queryable(),
        exemplars: store.exemplars(),
        db: store.db().cloned(),
        engine,
        scrape: Arc::clone(&scrape),
        rules: (!agent).then(|| Arc::clone(&rules_manager)),
        notifier: (!agent).then(|| Arc::clone(&notifier)),
        receiver,
        known_gaps,
        otlp: flags
            .bool("web.enable-otlp-receiver")
            .then(|| Arc::new(remote::otlp::OtlpReceiver::new(store.merge(), &registry, Arc::clone(&clock), request_memory))),
        reader: store.db().map(|db| Arc::new(remote::read::ReadHandler::new(db.clone(), read_options(flags), &registry))),
        control: controller.clone(),
        notifications: Arc::clone(&notifications),
        stopping: Arc::clone(&stopping),
        ready: Arc::clone(&ready),
    });
    let discovery_shutdown = Shutdown::new();
    for m in [scrape_discovery.clone(), notify_discovery.clone()] {
        let s = discovery_shutdown.clone();
        handle.spawn(async move { m.run(s).await });
    }
    let scrape_shutdown = Shutdown::new();
    let scraping = {
        let (m, targets, s) = (Arc::clone(&scrape), scrape_discovery.subscribe(), scrape_shutdown.clone());
        handle.spawn(async move { m.run(targets, s).await })
    };
    handle.spawn(follow_alertmanagers(Arc::clone(&notifier), notify_discovery.subscribe(), discovery_shutdown.clone()));
    site.open(app);
    // Meanwhile it scrapes, receives and answers; what needs the whole head begins when the log is replayed.
    let filled = {
        let (store, controller, site, shutdown, clock) =
            (store.clone(), Arc::clone(&controller), Arc::clone(&site), shutdown.clone(), Arc::clone(&clock));
        handle.spawn_blocking(move || -> Result<(), Failure> {
            let opened = store.wait_ready().map_err(|e| format!("opening storage failed: {e}"));
            info!(duration = ?clock.monotonic().saturating_sub(started), "TSDB started");
            let result = opened.and_then(|()| controller.apply_filled().map_err(|e| format!("error loading config: {e}")));
            if let Err(e) = result {
                let stopping = shutdown.is_requested();
                shutdown.request();
                return if stopping { Ok(()) } else { Err(fail(1, e)) };
            }
            ready.store(true, Ordering::Release);
            site.announce_ready();
            info!("Server is ready to receive web requests.");
            Ok(())
        })
    };
    handle.spawn(reload_on_hangup(Arc::clone(&controller), shutdown.child()));
    if flags.bool("config.auto-reload") || features.auto_reload {
        let every = millis(flags.duration_ms("config.auto-reload-interval").unwrap_or(30_000).max(1000));
        handle.spawn(Arc::clone(&controller).watch(every, shutdown.child()));
    }
    runtime.block_on(shutdown.requested());

    // In reverse.
    stopping.store(true, Ordering::Release);
    notifications.close();
    signals.abort();
    info!("Stopping scrape manager...");
    scrape_shutdown.request();
    let _ = runtime.block_on(scraping);
    info!("Scrape manager stopped");
    discovery_shutdown.request();
    rules_manager.stop();
    info!("Stopping uplinks...");
    uplinks.stop();
    runtime.block_on(notifier.stop(Duration::from_secs(10)));
    web_shutdown.request();
    let _ = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(12), web_server).await });
    store.close().map_err(|e| fail(1, format!("closing storage failed: {e}")))?;
    if let Ok(outcome) = runtime.block_on(filled) {
        outcome?;
    }
    runtime.shutdown_timeout(Duration::from_secs(2));
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "the binary reads the environment and passes it in")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0) as u64)
}

fn db_options(
    flags: &Flags,
    features: &Features,
    controller: &Controller,
    dir: &Path,
    fs: &SharedFs,
    clock: &SharedClock,
    registry: &Registry,
) -> DbOptions {
    let loaded = controller.loaded();
    let (retention_time_ms, retention_size_bytes, retention_percent) = controller.retention(&loaded);
    let storage = &loaded.config.storage;
    let min_block_ms = flags.duration_ms("storage.tsdb.min-block-duration").unwrap_or(7_200_000);
    let default_max = if retention_time_ms > 0 { (retention_time_ms / 10).min(31 * 86_400_000) } else { 31 * 86_400_000 };
    let mut options = DbOptions::new(dir, Arc::clone(fs), Arc::clone(clock), registry.clone());
    options.retention_time_ms = retention_time_ms;
    options.retention_size_bytes = retention_size_bytes;
    options.retention_percent = retention_percent;
    options.min_block_ms = min_block_ms;
    options.max_block_ms = flags.duration_ms("storage.tsdb.max-block-duration").unwrap_or(default_max).max(min_block_ms);
    options.lock_file = !flags.bool("storage.tsdb.no-lockfile");
    options.delay_compact_file = Some(flags.text("storage.tsdb.delay-compact-file.path")).filter(|p| !p.is_empty()).map(PathBuf::from);
    options.replay_behind = true;
    let max_age_ms = flags.duration_ms("storage.remote.log-budget-time").unwrap_or(6 * 3_600_000);
    options.wal = log_options(flags, "storage.tsdb", max_age_ms);
    let max_exemplars = storage.exemplars.as_ref().map_or(tsdb::config::DEFAULT_MAX_EXEMPLARS, |e| usize::try_from(e.max_exemplars).unwrap_or(0));
    options.head = HeadOptions {
        late_window_ms: storage.tsdb.as_ref().map_or(0, |t| t.out_of_order_time_window.0),
        max_exemplars: if features.exemplars { max_exemplars } else { 0 },
        max_series: flags.int("storage.tsdb.max-series").max(0) as u64,
        max_series_per_job: flags.int("storage.tsdb.max-series-per-job").max(0) as u64,
        ..HeadOptions::default()
    };
    options
}

/// What is asked beside the local storage; without `read_recent` only for what is older than that.
fn readers(
    flags: &Flags,
    db: &Arc<Db>,
    local: Arc<dyn storage::Queryable>,
    http: client::Options,
    runtime: tokio::runtime::Handle,
    clock: &SharedClock,
    registry: &Registry,
) -> Arc<Readers> {
    // As long as it may take until all that scrapes is up.
    let margin_ms = 2 * flags.duration_ms("storage.tsdb.min-block-duration").unwrap_or(7_200_000);
    let (blocks, now) = (Arc::clone(db), Arc::clone(clock));
    let local_start = move || blocks.block_metas().iter().map(|m| m.min_time_ms).min().unwrap_or_else(|| now.now_ms()) + margin_ms;
    let deps = ReadersDeps { local, local_start: Arc::new(local_start), decode: decode_chunk, http, runtime, clock: Arc::clone(clock) };
    Readers::new(deps, registry)
}

fn decode_chunk(encoding: storage::ChunkEncoding, bytes: &[u8], start_ms: i64, end_ms: i64, out: &mut storage::SeriesData) -> Result<(), String> {
    tsdb::chunkenc::decode(encoding, bytes, start_ms, end_ms, out).map_err(|e| e.to_string())
}

fn active_queries(flags: &Flags, fs: &SharedFs, dir: &Path, clock: &SharedClock) -> Arc<dyn promql::ActiveQueries> {
    Arc::new(ActiveQueryFile::open(&**fs, dir, Arc::clone(clock), flags.int("query.max-concurrency").max(1) as usize))
}

/// The log, by the flags that begin with `prefix`.
fn log_options(flags: &Flags, prefix: &str, max_age_ms: i64) -> wal::WalOptions {
    let of = |name: &str| format!("{prefix}.{name}");
    let compression = match (flags.bool(&of("wal-compression")), flags.text(&of("wal-compression-type"))) {
        (false, _) => wal::Compression::None,
        (true, "zstd") => wal::Compression::Zstd,
        (true, _) => wal::Compression::Snappy,
    };
    let sync = match flags.text("storage.tsdb.wal-sync") {
        "interval" => SyncPolicy::Interval(millis(flags.duration_ms("storage.tsdb.wal-sync-interval").unwrap_or(1000))),
        "none" => SyncPolicy::None,
        _ => SyncPolicy::EveryCommit,
    };
    wal::WalOptions {
        segment_size: flags.size_bytes(&of("wal-segment-size")).unwrap_or(128 << 20),
        compression,
        sync,
        cursor_budget: CursorBudget {
            max_bytes: flags.size_bytes("storage.remote.log-budget-bytes").unwrap_or(8 << 30),
            max_age: millis(max_age_ms),
        },
        ..wal::WalOptions::default()
    }
}

fn agent_options(flags: &Flags, dir: &Path, fs: &SharedFs, clock: &SharedClock, registry: &Registry) -> AgentOptions {
    // Prometheus' agent throws away after four hours what was not sent. Here that is done only when it is asked for.
    let max_time =
        if flags.is_given("storage.agent.retention.max-time") { "storage.agent.retention.max-time" } else { "storage.remote.log-budget-time" };
    let duration = |name: &str, default: i64| millis(flags.duration_ms(name).unwrap_or(default));
    AgentOptions {
        dir: dir.to_path_buf(),
        fs: Arc::clone(fs),
        clock: Arc::clone(clock),
        registry: registry.clone(),
        wal: log_options(flags, "storage.agent", flags.duration_ms(max_time).unwrap_or(6 * 3_600_000)),
        lock_file: !flags.bool("storage.agent.no-lockfile"),
        truncate_every: duration("storage.agent.wal-truncate-frequency", 7_200_000),
        min_time: duration("storage.agent.retention.min-time", 300_000),
        max_series: 0,
        background: true,
    }
}

fn receiver(
    flags: &Flags,
    features: &Features,
    store: &Store,
    registry: &Registry,
    clock: &SharedClock,
    in_flight: usize,
) -> Arc<remote::receive::Receiver> {
    let listed =
        |name: &str| flags.list(name).iter().flat_map(|v| v.split(',')).map(|v| v.trim().to_string()).filter(|v| !v.is_empty()).collect::<Vec<_>>();
    let accepted = listed("web.remote-write-receiver.accepted-protobuf-messages")
        .iter()
        .filter_map(|m| match m.as_str() {
            "prometheus.WriteRequest" => Some(remote::wire::Version::V1),
            "io.prometheus.write.v2.Request" => Some(remote::wire::Version::V2),
            _ => None,
        })
        .collect();
    let options = remote::receive::ReceiveOptions {
        // Where nothing is stored nothing can be merged: the labels travel on to a parent that does.
        replica_labels: if store.db().is_some() { listed("storage.ha.replica-label") } else { Vec::new() },
        accepted,
        max_in_flight_bytes: in_flight,
        start_zeros: features.start_zeros,
        ..remote::receive::ReceiveOptions::default()
    };
    Arc::new(remote::receive::Receiver::new(store.merge(), options, registry, Arc::clone(clock)))
}

fn read_options(flags: &Flags) -> remote::read::ReadOptions {
    remote::read::ReadOptions {
        sample_limit: flags.int("storage.remote.read-sample-limit").max(0) as usize,
        concurrent_limit: flags.int("storage.remote.read-concurrent-limit").max(0) as usize,
        max_bytes_in_frame: flags.int("storage.remote.read-max-bytes-in-frame").max(1) as usize,
    }
}

/// Lets held samples of pairs go when nobody speaks any more, and looks for gaps.
async fn tick(receiver: Arc<remote::receive::Receiver>, known: Option<Arc<KnownGaps>>, clock: SharedClock, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
            () = shutdown.requested() => return,
        }
        let (r, k, now) = (Arc::clone(&receiver), known.clone(), clock.now_ms());
        let done = tokio::task::spawn_blocking(move || {
            r.tick(now);
            if let Some(k) = k {
                k.tick();
            }
        });
        let _ = done.await;
    }
}

/// Metadata that scraped pages tell, for parents of remote write 1.0.
struct ScrapedMetadata(Arc<scrape::ScrapeManager>);

impl uplink::MetadataSource for ScrapedMetadata {
    fn metadata(&self) -> Vec<(String, model::Metadata)> {
        let all = self.0.family_metadata();
        all.into_iter().flat_map(|(name, list)| list.into_iter().map(move |m| (name.clone(), m))).collect()
    }
}

async fn follow_alertmanagers(notifier: Arc<rules::Notifier>, mut found: tokio::sync::watch::Receiver<discovery::Snapshot>, shutdown: Shutdown) {
    loop {
        let snapshot = Arc::clone(&found.borrow_and_update());
        for (set, groups) in snapshot.iter() {
            let groups: Vec<discovery::TargetGroup> = groups.iter().map(|g| (**g).clone()).collect();
            notifier.sync(set, &groups);
        }
        tokio::select! {
            changed = found.changed() => if changed.is_err() { return },
            () = shutdown.requested() => return,
        }
    }
}

async fn reload_on_hangup(controller: Arc<Controller>, shutdown: Shutdown) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(s) => s,
        Err(e) => {
            error!(err = %e, "listen for SIGHUP");
            return;
        }
    };
    loop {
        tokio::select! {
            got = hangup.recv() => if got.is_none() { return },
            () = shutdown.requested() => return,
        }
        let c = Arc::clone(&controller);
        // What went wrong has been logged.
        let _ = tokio::task::spawn_blocking(move || c.reload_file()).await;
    }
}

/// SIGTERM and SIGINT ask for the shutdown.
fn spawn_signals(handle: &tokio::runtime::Handle, shutdown: Shutdown) -> tokio::task::JoinHandle<()> {
    use tokio::signal::unix::{SignalKind, signal};
    handle.spawn(async move {
        let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
            error!("listen for SIGTERM and SIGINT");
            return;
        };
        let name = tokio::select! {
            _ = term.recv() => "terminated",
            _ = int.recv() => "interrupt",
        };
        info!(signal = name, "Received an OS signal, exiting gracefully...");
        shutdown.request();
        // A second one does not wait.
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        error!("received a second signal, exiting at once");
        end_now();
    })
}

#[allow(clippy::disallowed_methods, reason = "the one place where a second signal may cut everything short")]
fn end_now() {
    std::process::exit(1);
}

/// Where the server is reached, and where its routes begin.
struct Urls {
    external: String,
    prefix: String,
}

impl Urls {
    fn from_flags(flags: &Flags) -> Result<Urls, String> {
        let given = flags.text("web.external-url").trim_matches(['"', '\'']);
        let listen = flags.text("web.listen-address");
        let port = listen.rsplit_once(':').map_or("9090", |(_, p)| p);
        let external = match given {
            "" => {
                let host = std::fs::read_to_string("/proc/sys/kernel/hostname").map_or("localhost".to_string(), |h| h.trim().to_string());
                format!("http://{host}:{port}")
            }
            url if url.contains("://") => url.trim_end_matches('/').to_string(),
            path if path.starts_with('/') => format!("http://localhost:{port}{}", path.trim_end_matches('/')),
            other => return Err(format!("parse external URL {other:?}: it needs a scheme, as in http://host:9090/path")),
        };
        let path = external.split_once("://").map_or("", |(_, rest)| rest.find('/').map_or("", |i| &rest[i..]));
        let prefix = match flags.text("web.route-prefix") {
            "" => path.to_string(),
            p => format!("/{}", p.trim_matches('/')),
        };
        Ok(Urls { external: external.clone(), prefix: if prefix == "/" { String::new() } else { prefix } })
    }
}
