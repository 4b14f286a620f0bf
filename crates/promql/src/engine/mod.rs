//! Runs queries: takes turns, sets limits, plans, evaluates, and tells how it went.

mod error;
mod explained;
mod gate;
mod stats;
mod weight;

pub use crate::exec::profile::Cost;
pub use error::{ErrorKind, QueryError};
pub use explained::{Explained, Operator};
pub use gate::Place;
pub use stats::{QueryStats, SampleStats, Timings};

use crate::annotations::Annotations;
use crate::exec::limits::{Budget, TotalBytes};
use crate::exec::profile::Profile;
use crate::exec::rows::Grid;
use crate::exec::{self, Switches};
use crate::metrics::EngineMetrics;
use crate::parse::{self, Expr, ParseOptions, ValueType};
use crate::plan;
use crate::value::Value;
use gate::Gate;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use stdx::clock::SharedClock;
use stdx::metrics::Registry;
use stdx::shutdown::Shutdown;
use storage::Queryable;

/// Steps of one query; beyond it nobody could hold the answer. The API refuses far fewer already.
pub const MAX_STEPS: i64 = 100_000_000;

/// Cells of a query that is little work: well below a millisecond.
const MOST_LIGHT_CELLS: u64 = 30_000;
/// Bytes of the text of such a query: it is not nested deeply either.
const LONGEST_LIGHT: usize = 256;

/// How an engine is set up. `new` gives Prometheus' defaults.
#[derive(Clone)]
pub struct EngineOptions {
    /// How far back an instant selector looks for a sample.
    pub lookback_delta_ms: i64,
    /// Samples that one query may hold in memory (`--query.max-samples`).
    pub max_samples: u64,
    /// From the call to the answer, the wait for a turn included (`--query.timeout`).
    pub timeout: Duration,
    /// Queries that run at once (`--query.max-concurrency`).
    pub max_concurrency: usize,
    /// Memory for the results of one query; 0 for no limit.
    pub max_query_bytes: u64,
    /// Memory for the results of all running queries; 0 for no limit.
    pub max_total_bytes: u64,
    /// Threads that one query may use.
    pub threads: usize,
    /// From how much work on (series times steps) a query uses them.
    pub parallel_from_cells: usize,
    /// Step of subqueries that have none: the global evaluation interval. See [`Engine::set_default_step_ms`].
    pub default_step_ms: i64,
    pub parse: ParseOptions,
    /// `--enable-feature=promql-delayed-name-removal`
    pub delayed_name_removal: bool,
    /// `--enable-feature=type-and-unit-labels`
    pub type_and_unit_labels: bool,
    /// `--enable-feature=use-start-timestamps`
    pub use_start_timestamps: bool,
    /// `--enable-feature=promql-per-step-stats`
    pub per_step_stats: bool,
    pub clock: SharedClock,
    pub registry: Registry,
    /// Told about every query that runs, for the active-query log.
    pub active_queries: Option<Arc<dyn ActiveQueries>>,
}

impl EngineOptions {
    pub fn new(clock: SharedClock, registry: Registry) -> Self {
        EngineOptions {
            lookback_delta_ms: 300_000,
            max_samples: 50_000_000,
            timeout: Duration::from_secs(120),
            max_concurrency: 20,
            max_query_bytes: 0,
            max_total_bytes: 0,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            parallel_from_cells: 40_000,
            default_step_ms: 60_000,
            parse: ParseOptions::default(),
            delayed_name_removal: false,
            type_and_unit_labels: false,
            use_start_timestamps: false,
            per_step_stats: false,
            clock,
            registry,
            active_queries: None,
        }
    }
}

/// Keeps a list of the queries that run, so that a crash can tell what it died of.
pub trait ActiveQueries: Send + Sync {
    /// Returns a number for [`ActiveQueries::end`].
    fn begin(&self, query: &str) -> u64;
    fn end(&self, id: u64);
}

/// Where finished queries are logged. May block for a short time.
pub trait QueryLog: Send + Sync {
    /// An error is counted.
    fn log(&self, entry: &QueryLogEntry<'_>) -> Result<(), String>;
}

/// One finished query.
#[derive(Debug)]
pub struct QueryLogEntry<'a> {
    pub query: &'a str,
    pub start_ms: i64,
    pub end_ms: i64,
    /// 0 for instant queries.
    pub step_ms: i64,
    pub error: Option<&'a QueryError>,
    pub stats: &'a QueryStats,
    /// As given in [`QueryOptions::origin`].
    pub origin: &'a [(String, String)],
}

/// Says "stop" to a running query, from any thread; heard within one batch.
#[derive(Clone, Default)]
pub struct Cancel {
    said: Arc<AtomicBool>,
    /// Says it too when it is requested.
    signal: Option<Shutdown>,
}

impl Cancel {
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops also when the signal is given: when a client has gone away.
    pub fn on(signal: Shutdown) -> Self {
        Cancel { signal: Some(signal), ..Cancel::default() }
    }

    pub fn cancel(&self) {
        self.said.store(true, Ordering::Relaxed);
    }

    pub fn is_canceled(&self) -> bool {
        self.said.load(Ordering::Relaxed) || self.signal.as_ref().is_some_and(Shutdown::is_requested)
    }
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cancel({})", self.is_canceled())
    }
}

/// What may differ from query to query.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    pub lookback_delta_ms: Option<i64>,
    /// A shorter time-out than the engine's.
    pub timeout: Option<Duration>,
    pub per_step_stats: bool,
    pub cancel: Option<Cancel>,
    /// The caller holds a turn ([`Engine::turn_at_once`]) as long as the query runs.
    pub has_turn: bool,
    /// Who asked, for the query log: names and values.
    pub origin: Vec<(String, String)>,
    /// Where the operators and their costs go to, if they are wanted; see [`Engine::explain`].
    pub explained: Option<Arc<Mutex<Option<Operator>>>>,
}

/// An answer.
#[derive(Debug)]
pub struct QueryResult {
    pub value: Value,
    /// With their place in the query, sorted.
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
    pub stats: QueryStats,
}

/// Runs queries for any number of threads. Cheap to share.
pub struct Engine {
    options: EngineOptions,
    metrics: EngineMetrics,
    gate: Gate,
    total_bytes: Arc<TotalBytes>,
    default_step_ms: AtomicI64,
    log: RwLock<Option<Arc<dyn QueryLog>>>,
}

/// One evaluation's times: `step_ms` 0 for an instant query.
#[derive(Clone, Copy)]
struct Times {
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
}

impl Engine {
    pub fn new(options: EngineOptions) -> Self {
        let metrics = EngineMetrics::new(&options.registry, options.max_concurrency);
        let total_bytes = TotalBytes { limit: options.max_total_bytes, shown: metrics.memory_bytes.clone(), ..TotalBytes::default() };
        Engine {
            metrics,
            gate: Gate::new(options.max_concurrency),
            total_bytes: Arc::new(total_bytes),
            default_step_ms: AtomicI64::new(options.default_step_ms),
            log: RwLock::new(None),
            options,
        }
    }

    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// For a configuration reload: the step of subqueries that have none.
    pub fn set_default_step_ms(&self, step_ms: i64) {
        self.default_step_ms.store(step_ms.max(1), Ordering::Relaxed);
    }

    pub fn set_query_log(&self, log: Option<Arc<dyn QueryLog>>) {
        self.metrics.query_log_enabled.set(if log.is_some() { 1.0 } else { 0.0 });
        *self.log.write() = log;
    }

    /// Evaluates at one time. Blocks the thread until it is done.
    pub fn instant(&self, storage: &dyn Queryable, query: &str, t_ms: i64, options: &QueryOptions) -> Result<QueryResult, QueryError> {
        self.run(storage, query, Times { start_ms: t_ms, end_ms: t_ms, step_ms: 0 }, options)
    }

    /// Evaluates at `start_ms`, `start_ms + step_ms`, ... up to `end_ms`. Blocks the thread until it is done. The value is a matrix.
    pub fn range(
        &self,
        storage: &dyn Queryable,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        if step_ms <= 0 {
            return Err(QueryError::bad_data("zero or negative query resolution step widths are not accepted. Try a positive integer"));
        }
        if end_ms < start_ms {
            return Err(QueryError::bad_data("end timestamp must not be before start time"));
        }
        if end_ms.saturating_sub(start_ms) / step_ms >= MAX_STEPS {
            return Err(QueryError::bad_data(format!("more than {MAX_STEPS} steps; ask for fewer")));
        }
        self.run(storage, query, Times { start_ms, end_ms, step_ms }, options)
    }

    /// An expression that has been parsed already, as rules hold them.
    pub fn instant_expr(
        &self,
        storage: &dyn Queryable,
        query: &str,
        expr: &Expr,
        t_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        self.run_parsed(storage, query, Some(expr), Times { start_ms: t_ms, end_ms: t_ms, step_ms: 0 }, options)
    }

    /// A turn for one query, if there is one now: for callers that must not wait. Goes with [`QueryOptions::has_turn`].
    pub fn turn_at_once(&self) -> Option<Place<'_>> {
        self.gate.try_enter()
    }

    /// Is a query so little work that it need not be given to another thread? Asked of numbers that the storage has at hand; `step_ms` 0 for an
    /// instant query, at `end_ms`. A query that cannot be run is little work.
    pub fn is_light(&self, storage: &dyn Queryable, query: &str, start_ms: i64, end_ms: i64, step_ms: i64) -> bool {
        if query.len() > LONGEST_LIGHT {
            return false;
        }
        let Ok(expr) = parse::parse_expr(query, &self.options.parse) else { return true };
        let default_step_ms = self.default_step_ms.load(Ordering::Relaxed);
        let Ok(plan) = plan::build(&expr, &plan::Context { query, start_ms, end_ms, step_ms, default_step_ms }) else { return true };
        let steps = if step_ms > 0 { (end_ms.saturating_sub(start_ms) / step_ms).max(0) as u64 + 1 } else { 1 };
        let scales = weight::Scales { storage, start_ms, end_ms, steps, lookback_ms: self.options.lookback_delta_ms };
        scales.weigh(&plan).is_some_and(|cells| cells <= MOST_LIGHT_CELLS)
    }

    /// Runs a query and tells where its time went; the answer is thrown away. `step_ms` 0 for an instant query, at `end_ms`.
    pub fn explain(
        &self,
        storage: &dyn Queryable,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<Explained, QueryError> {
        let explained = Arc::new(Mutex::new(None));
        let options = QueryOptions { explained: Some(Arc::clone(&explained)), ..options.clone() };
        let result = match step_ms {
            0 => self.instant(storage, query, end_ms, &options)?,
            _ => self.range(storage, query, start_ms, end_ms, step_ms, &options)?,
        };
        let root = explained.lock().take().unwrap_or_default();
        Ok(Explained { root, stats: result.stats, warnings: result.warnings, infos: result.infos })
    }

    /// What would be done for a query, one operator a line, those inside indented. `step_ms` 0 for an instant query. Nothing is read.
    pub fn plan(&self, query: &str, start_ms: i64, end_ms: i64, step_ms: i64) -> Result<String, QueryError> {
        let expr = parse::parse_expr(query, &self.options.parse).map_err(|e| QueryError::bad_data(e.to_string()))?;
        let default_step_ms = self.default_step_ms.load(Ordering::Relaxed);
        exec::check_depth(&expr, true)?;
        exec::on_deep_stack(&expr, || {
            plan::build(&expr, &plan::Context { query, start_ms, end_ms, step_ms, default_step_ms }).map(|p| plan::describe(&p).to_string())
        })
    }

    fn run(&self, storage: &dyn Queryable, query: &str, times: Times, options: &QueryOptions) -> Result<QueryResult, QueryError> {
        self.run_parsed(storage, query, None, times, options)
    }

    fn run_parsed(
        &self,
        storage: &dyn Queryable,
        query: &str,
        expr: Option<&Expr>,
        times: Times,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let clock = &self.options.clock;
        let began = clock.monotonic();
        let deadline = began + options.timeout.unwrap_or(self.options.timeout).min(self.options.timeout);
        let cancel = options.cancel.clone().unwrap_or_default();
        let mut stats = QueryStats::default();
        self.metrics.queries.add(1.0);
        let result = self.turn(storage, query, expr, times, options, &cancel, deadline, &mut stats);
        self.metrics.queries.add(-1.0);
        stats.timings.exec_total = clock.monotonic().saturating_sub(began);
        self.metrics.samples.add(stats.samples.total_queryable);
        self.metrics.samples_read.add(stats.samples.read);
        let log = self.log.read().clone();
        if let Some(log) = log {
            let entry = QueryLogEntry {
                query,
                start_ms: times.start_ms,
                end_ms: times.end_ms,
                step_ms: times.step_ms,
                error: result.as_ref().err(),
                stats: &stats,
                origin: &options.origin,
            };
            if let Err(why) = log.log(&entry) {
                self.metrics.query_log_failures.inc();
                tracing::error!(error = why, "can't log query");
            }
        }
        let (value, notes) = result?;
        Ok(QueryResult { value, warnings: notes.warnings, infos: notes.infos, stats })
    }

    /// Parses, waits for its turn, evaluates.
    fn turn(
        &self,
        storage: &dyn Queryable,
        query: &str,
        parsed: Option<&Expr>,
        times: Times,
        options: &QueryOptions,
        cancel: &Cancel,
        deadline: Duration,
        stats: &mut QueryStats,
    ) -> Result<(Value, crate::Notes), QueryError> {
        let clock = &self.options.clock;
        let owned;
        let expr = match parsed {
            Some(e) => e,
            None => {
                owned = parse::parse_expr(query, &self.options.parse).map_err(|e| QueryError::bad_data(e.to_string()))?;
                &owned
            }
        };
        exec::check_depth(expr, options.explained.is_some())?;
        let kind = expr.value_type();
        if times.step_ms > 0 && !matches!(kind, ValueType::Vector | ValueType::Scalar) {
            return Err(QueryError::bad_data(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                kind.documented()
            )));
        }
        let waited = clock.monotonic();
        let place = if options.has_turn { Ok(None) } else { self.gate.enter(cancel, clock, deadline).map(Some) };
        stats.timings.exec_queue = clock.monotonic().saturating_sub(waited);
        self.metrics.queue.observe(stats.timings.exec_queue);
        let _place = place?;
        let _active = self.options.active_queries.as_ref().map(|a| Active { list: Arc::clone(a), id: a.begin(query) });

        let prepare = clock.monotonic();
        let budget = Budget::new(
            self.options.max_samples,
            self.options.max_query_bytes,
            Arc::clone(&self.total_bytes),
            cancel.clone(),
            Arc::clone(clock),
            deadline,
        );
        budget.check_in("query execution")?;
        let context = plan::Context {
            query,
            start_ms: times.start_ms,
            end_ms: times.end_ms,
            step_ms: times.step_ms,
            default_step_ms: self.default_step_ms.load(Ordering::Relaxed),
        };
        let switches = Switches {
            lookback_ms: options.lookback_delta_ms.filter(|ms| *ms > 0).unwrap_or(self.options.lookback_delta_ms),
            delayed_names: self.options.delayed_name_removal,
            type_and_unit: self.options.type_and_unit_labels,
            start_timestamps: self.options.use_start_timestamps,
            threads: self.options.threads.max(1),
            parallel_from_cells: self.options.parallel_from_cells,
            hint_step_ms: times.step_ms,
        };
        let grid = match times.step_ms {
            0 => Grid::instant(times.start_ms),
            step_ms => Grid { start_ms: times.start_ms, step_ms, n: ((times.end_ms - times.start_ms) / step_ms) as usize + 1, pinned_shift_ms: 0 },
        };
        let mut annotations = Annotations::default();
        let per_step = self.options.per_step_stats && options.per_step_stats;
        stats.timings.query_preparation = clock.monotonic().saturating_sub(prepare);
        let evaluation = clock.monotonic();
        let outcome = exec::on_deep_stack(expr, || {
            let plan = plan::build(expr, &context)?;
            let described = options.explained.as_ref().map(|_| plan::describe(&plan));
            let profile = described.as_ref().map(|d| {
                let mut places = Vec::new();
                d.places(&mut places);
                Profile::new(places.into_iter(), Arc::clone(clock))
            });
            let instant = times.step_ms == 0;
            let query_run = exec::Run { storage, budget: &budget, switches, grid, instant, per_step, profile: profile.as_ref() };
            let value = exec::run(&query_run, &plan, clock, &mut annotations, stats);
            if let (Some(out), Some(d), Some(p)) = (&options.explained, described, &profile) {
                *out.lock() = Some(Operator::new(d, p));
            }
            value
        });
        stats.timings.inner_eval = clock.monotonic().saturating_sub(evaluation).saturating_sub(stats.timings.result_sort);
        stats.timings.eval_total = clock.monotonic().saturating_sub(prepare);
        stats.samples.peak = budget.peak_samples();
        self.metrics.prepare.observe(stats.timings.query_preparation);
        self.metrics.inner_eval.observe(stats.timings.inner_eval);
        self.metrics.result_sort.observe(stats.timings.result_sort);
        Ok((outcome?, annotations.notes(query)))
    }
}

/// Takes the query off the list of running ones, however it ends.
struct Active {
    list: Arc<dyn ActiveQueries>,
    id: u64,
}

impl Drop for Active {
    fn drop(&mut self) {
        self.list.end(self.id);
    }
}
