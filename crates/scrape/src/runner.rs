//! One target's rhythm: wait for its time, fetch, have the page stored, again. And at its end, the marks.
//!
//! The rhythm is kept by the wall clock: a scrape is due at each point of the interval that is the target's own, so the timestamps of a target
//! lie exactly one interval apart as long as its scrapes begin in time. What is scraped and how may change at any time through the
//! [`Control`], without a scrape being lost.

use crate::core::{Fetched, TargetCore};
use crate::deps::Shared;
use crate::failure_log::FailureLog;
use crate::fetch::Fetcher;
use crate::settings::Settings;
use crate::target::{Target, offset_ns};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stdx::metrics::{Histogram, Summary};
use stdx::shutdown::Shutdown;
use tokio::sync::{Notify, mpsc};

/// What to do at each scrape.
#[derive(Clone)]
pub(crate) struct Plan {
    pub settings: Arc<Settings>,
    pub fetcher: Arc<Fetcher>,
    pub interval_ms: i64,
    /// Spreads targets over the interval.
    pub seed: u64,
    /// Fail each scrape with this, without asking the target.
    pub forced_error: Option<String>,
    pub failure_log: Option<Arc<FailureLog>>,
}

/// The pool's hand on a runner.
pub(crate) struct Control {
    plan: Mutex<Arc<Plan>>,
    changed: Notify,
    stopped: AtomicBool,
}

impl Control {
    pub fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Control { plan: Mutex::new(Arc::new(plan)), changed: Notify::new(), stopped: AtomicBool::new(false) })
    }

    pub fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan.lock())
    }

    pub fn set_plan(&self, plan: Plan) {
        *self.plan.lock() = Arc::new(plan);
        self.changed.notify_one();
    }

    /// The target is gone. The runner ends its series when it is sure that it stays gone.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.changed.notify_one();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

pub(crate) struct Runner {
    shared: Arc<Shared>,
    target: Arc<Target>,
    control: Arc<Control>,
    shutdown: Shutdown,
    /// None only while a worker has it.
    core: Option<TargetCore>,
    last_size: usize,
    last_start: Option<Duration>,
    lengths: Option<(i64, Summary, Histogram)>,
}

/// Why a wait ended.
#[derive(PartialEq, Eq)]
enum Woken {
    Due,
    Changed,
    Shutdown,
}

impl Runner {
    pub fn new(shared: Arc<Shared>, target: Arc<Target>, control: Arc<Control>, shutdown: Shutdown) -> Self {
        let core = TargetCore::new(Arc::clone(&target), shared.metrics.clone());
        Runner { shared, target, control, shutdown, core: Some(core), last_size: 0, last_start: None, lengths: None }
    }

    /// `_alive` tells the manager, by being dropped, that this runner has ended.
    pub async fn run(mut self, _alive: mpsc::Sender<()>) {
        let mut plan = self.control.plan();
        let mut due_ns = self.first_due(&plan);
        loop {
            let now_ns = self.shared.clock.now_ns();
            let interval_ns = plan.interval_ms * 1_000_000;
            if due_ns - now_ns > 2 * interval_ns {
                // The clock was set back.
                due_ns = self.first_due(&plan);
                continue;
            }
            match self.wait(due_ns - now_ns).await {
                Woken::Shutdown => return,
                Woken::Changed => {
                    if self.control.is_stopped() {
                        break;
                    }
                    let new = self.control.plan();
                    if new.interval_ms != plan.interval_ms {
                        due_ns = self.first_due(&new);
                    }
                    plan = new;
                }
                Woken::Due => {
                    let t_ms = self.timestamp(due_ns, interval_ns);
                    if !self.scrape(&plan, t_ms).await {
                        return;
                    }
                    // Of the points that were missed only the newest is made up for.
                    due_ns += interval_ns;
                    let late = self.shared.clock.now_ns() - due_ns;
                    if late > interval_ns {
                        due_ns += late / interval_ns * interval_ns;
                    }
                }
            }
        }
        self.end(due_ns, plan.interval_ms * 1_000_000).await;
    }

    fn first_due(&self, plan: &Plan) -> i64 {
        let now_ns = self.shared.clock.now_ns();
        now_ns + offset_ns(self.target.key, plan.seed, now_ns, plan.interval_ms * 1_000_000)
    }

    async fn wait(&self, ns: i64) -> Woken {
        let wait = Duration::from_nanos(ns.max(0).unsigned_abs());
        tokio::select! {
            biased;
            () = self.shutdown.requested() => Woken::Shutdown,
            () = self.control.changed.notified() => Woken::Changed,
            () = tokio::time::sleep(wait) => Woken::Due,
        }
    }

    fn timestamp(&self, due_ns: i64, interval_ns: i64) -> i64 {
        let f = &self.shared.features;
        let tolerance_ms = if f.align_timestamps { f.timestamp_tolerance_ms } else { -1 };
        aligned_ms(due_ns, self.shared.clock.now_ns(), interval_ns, tolerance_ms)
    }

    /// False when the server stops.
    async fn scrape(&mut self, plan: &Arc<Plan>, t_ms: i64) -> bool {
        let started = self.shared.clock.monotonic();
        self.observe_interval(plan.interval_ms, started);
        let fetched = match &plan.forced_error {
            Some(e) => Fetched::Failed { error: e.clone(), too_large: false },
            None => {
                let body = self.shared.buffers.take(self.last_size);
                tokio::select! {
                    biased;
                    f = plan.fetcher.fetch(body, &self.shared.metrics) => f,
                    () = self.shutdown.requested() => return false,
                }
            }
        };
        match &fetched {
            Fetched::Page { body, .. } => self.last_size = body.len(),
            Fetched::Failed { error, .. } => {
                tracing::debug!(target = self.target.url.as_str(), err = error.as_str(), "scrape failed");
                if let Some(log) = plan.failure_log.as_ref().filter(|_| plan.forced_error.is_none()) {
                    log.write(&plan.settings.config.job_name, &self.target.url, error);
                }
            }
        }
        let settings = Arc::clone(&plan.settings);
        let shared = Arc::clone(&self.shared);
        self.on_worker(move |core| {
            // What went wrong stands in the target's state and in `up`.
            let _ = core.scrape(&*shared.storage, &*shared.clock, &settings, &fetched, t_ms, started);
            if let Fetched::Page { body, .. } = fetched {
                shared.buffers.give(body);
            }
        })
        .await;
        true
    }

    /// Runs a step of the core where it may block, not more of them at once than there are workers.
    async fn on_worker(&mut self, step: impl FnOnce(&mut TargetCore) + Send + 'static) {
        let Some(mut core) = self.core.take() else { return };
        self.shared.metrics.waiting.add(1.0);
        let permit = Arc::clone(&self.shared.workers).acquire_owned().await;
        self.shared.metrics.waiting.add(-1.0);
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            step(&mut core);
            core
        })
        .await;
        self.core = Some(done.unwrap_or_else(|e| {
            tracing::error!(target = self.target.url.as_str(), err = %e, "scrape worker panicked");
            TargetCore::new(Arc::clone(&self.target), self.shared.metrics.clone())
        }));
    }

    fn observe_interval(&mut self, interval_ms: i64, started: Duration) {
        let last = self.last_start.replace(started);
        if self.lengths.as_ref().is_none_or(|(ms, ..)| *ms != interval_ms) {
            let (m, name) = (&self.shared.metrics, go_duration(interval_ms));
            self.lengths = Some((interval_ms, m.interval_length.with(&[&name]), m.interval_length_histogram.with(&[&name])));
        }
        if let (Some(last), Some((_, summary, histogram))) = (last, &self.lengths) {
            let seconds = started.saturating_sub(last).as_secs_f64();
            summary.observe(seconds);
            histogram.observe(seconds);
        }
    }

    /// Waits until a target that comes back would have been scraped, then marks the end of what did not go on. At shutdown nothing is marked.
    async fn end(&mut self, due_ns: i64, interval_ns: i64) {
        if self.last_start.is_none() {
            return;
        }
        if !self.sleep(due_ns - self.shared.clock.now_ns()).await {
            return;
        }
        let t_ms = self.shared.clock.now_ms();
        if !self.sleep(interval_ns + interval_ns / 10).await {
            return;
        }
        let storage = Arc::clone(&self.shared.storage);
        self.on_worker(move |core| core.end(&*storage, t_ms)).await;
    }

    /// False when the server stops meanwhile.
    async fn sleep(&self, ns: i64) -> bool {
        tokio::select! {
            biased;
            () = self.shutdown.requested() => false,
            () = tokio::time::sleep(Duration::from_nanos(ns.max(0).unsigned_abs())) => true,
        }
    }
}

/// The due time if that was just now (no longer ago than the tolerance, which is at most a hundredth of the interval), else now.
fn aligned_ms(due_ns: i64, now_ns: i64, interval_ns: i64, tolerance_ms: i64) -> i64 {
    let tolerance_ns = (interval_ns / 100).min(tolerance_ms * 1_000_000);
    let aligned = (0..=tolerance_ns).contains(&(now_ns - due_ns));
    (if aligned { due_ns } else { now_ns }).div_euclid(1_000_000)
}

/// A duration as Go prints it, which is what the `interval` label holds: `15s`, `1m0s`, `1h0m0s`, `1.5s`, `500ms`.
pub(crate) fn go_duration(ms: i64) -> String {
    let (seconds, rest) = (ms / 1000, ms % 1000);
    if seconds == 0 {
        return format!("{ms}ms");
    }
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:03}").trim_end_matches('0').to_string() };
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}{fraction}s"),
        (0, m, s) => format!("{m}m{s}{fraction}s"),
        (h, m, s) => format!("{h}h{m}m{s}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn timestamps_are_aligned_within_the_tolerance() {
        let ms = 1_000_000;
        for (late_ms, interval_ms, tolerance_ms, expect) in [
            (0, 1000, 2, 5000),
            (2, 1000, 2, 5000),
            (3, 1000, 2, 5003),
            (2, 100, 2, 5002),
            (-1, 1000, 2, 4999),
            (0, 1000, -1, 5000),
            (1, 1000, -1, 5001),
        ] {
            assert_eq!(super::aligned_ms(5000 * ms, (5000 + late_ms) * ms, interval_ms * ms, tolerance_ms), expect, "{late_ms} {tolerance_ms}");
        }
    }

    #[test]
    fn intervals_as_go_prints_them() {
        for (ms, expect) in [(500, "500ms"), (15_000, "15s"), (60_000, "1m0s"), (3_600_000, "1h0m0s"), (1500, "1.5s"), (90_250, "1m30.25s")] {
            assert_eq!(super::go_duration(ms), expect);
        }
    }
}
