//! A group of rules: evaluated together at an interval, one after the other unless they do not depend on each other.

use crate::alerting::Context;
use crate::eval::Env;
use crate::rule::{Health, Kind, Rule};
use crate::template::{SampleValue, query_escape};
use model::sample::stale_nan;
use model::{Labels, Matcher};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use stdx::shutdown::Shutdown;
use storage::{AppendError, AppendOptions, HistogramSample, Wait};
use tracing::{debug, warn};

pub struct Group {
    pub name: String,
    pub file: String,
    pub interval: Duration,
    pub limit: usize,
    pub query_offset: Duration,
    pub rules: Vec<Rule>,
    pub external_labels: Labels,
    /// Look for the state of alerts of an earlier run.
    pub restore: bool,
    pub(crate) env: Env,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Of each rule the series it wrote last time.
    previous: Vec<BTreeSet<Labels>>,
    /// Series of rules that are gone, to be ended.
    stale: Vec<Labels>,
    evaluation_time: Duration,
    last_evaluation_ms: Option<i64>,
}

/// What a rule's evaluation gave: series and sample.
type Written = Vec<(Labels, SampleValue)>;

impl Group {
    #[allow(clippy::too_many_arguments, reason = "a group is made in one place")]
    pub(crate) fn new(
        name: String,
        file: String,
        interval: Duration,
        limit: usize,
        query_offset: Duration,
        rules: Vec<Rule>,
        external_labels: Labels,
        restore: bool,
        env: Env,
    ) -> Self {
        let state = Mutex::new(State { previous: vec![BTreeSet::new(); rules.len()], ..State::default() });
        Group { name, file, interval, limit, query_offset, rules, external_labels, restore, env, state }
    }

    /// `file;name`: what the metrics call it.
    pub fn key(&self) -> String {
        format!("{};{}", self.file, self.name)
    }

    pub fn evaluation_time(&self) -> Duration {
        self.state.lock().evaluation_time
    }

    /// Milliseconds since the Unix epoch; None before the first evaluation.
    pub fn last_evaluation_ms(&self) -> Option<i64> {
        self.state.lock().last_evaluation_ms
    }

    /// The last regular evaluation time at or before a time, both in nanoseconds. Groups of one interval are spread over it by their names.
    pub fn slot_ns(&self, now_ns: i64) -> i64 {
        let interval = self.interval.as_nanos() as i64;
        let hash = Labels::from_pairs([("name", &self.name), ("file", &self.file)]).stable_hash();
        let offset = (hash % interval as u64) as i64;
        let adjusted = now_ns - offset;
        adjusted - adjusted % interval + offset
    }

    pub(crate) fn register_metrics(&self) {
        let (m, key) = (&self.env.metrics, self.key());
        let k = &[key.as_str()];
        m.interval.with(k).set(self.interval.as_secs_f64());
        m.rules.with(k).set(self.rules.len() as f64);
        m.evaluations.with(k);
        m.failures.with(k);
        m.iterations.with(k);
        m.iterations_missed.with(k);
        m.samples.with(k);
        m.last_evaluation.with(k);
        m.last_duration.with(k);
    }

    /// Evaluates at its times until told to stop. `mark_stale` says whether its series end then: not when the whole server stops, and not when
    /// another group goes on in its place.
    pub(crate) async fn run(self: Arc<Self>, stop: Shutdown) {
        let interval = self.interval.as_nanos() as i64;
        let mut at = self.slot_ns(self.env.clock.now_ns()) + interval;
        let mut evaluations = 0;
        loop {
            let wait = Duration::from_nanos((at - self.env.clock.now_ns()).max(0) as u64);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.requested() => return,
            }
            let missed = ((self.env.clock.now_ns() - at) / interval).max(0);
            if missed > 0 {
                let key = self.key();
                self.env.metrics.iterations_missed.with(&[&key]).add(missed as u64);
                self.env.metrics.iterations.with(&[&key]).add(missed as u64);
                at += missed * interval;
            }
            let group = Arc::clone(&self);
            let (ts, restore) = (at.div_euclid(1_000_000), self.restore && evaluations == 1);
            let stop_eval = stop.clone();
            let done = tokio::task::spawn_blocking(move || {
                group.iterate(ts, &stop_eval);
                if restore {
                    group.restore_state();
                }
            });
            if let Err(e) = done.await {
                warn!(component = "rule manager", group = %self.name, file = %self.file, err = %e, "evaluate rule group");
            }
            evaluations += 1;
            at += interval;
        }
    }

    /// One iteration with its metrics.
    pub fn iterate(&self, ts_ms: i64, stop: &Shutdown) {
        let (m, key) = (&self.env.metrics, self.key());
        let k = &[key.as_str()];
        m.iterations.with(k).inc();
        let started = self.env.clock.monotonic();
        self.eval(ts_ms, stop);
        let took = self.env.clock.monotonic().saturating_sub(started);
        m.group_duration.observe(took.as_secs_f64());
        m.group_duration_histogram.observe(took.as_secs_f64());
        m.last_duration.with(k).set(took.as_secs_f64());
        m.last_evaluation.with(k).set(ts_ms as f64 / 1000.0);
        m.last_rule_duration_sum.with(k).set(self.rules.iter().map(|r| r.outcome().duration.as_secs_f64()).sum());
        let mut s = self.state.lock();
        s.evaluation_time = took;
        s.last_evaluation_ms = Some(self.env.clock.now_ms());
    }

    /// Evaluates every rule once at a time.
    pub fn eval(&self, ts_ms: i64, stop: &Shutdown) {
        let mut samples = 0;
        for batch in self.batches() {
            if stop.is_requested() {
                return;
            }
            if let [one] = batch.as_slice() {
                samples += self.eval_rule(*one, ts_ms);
                continue;
            }
            samples += std::thread::scope(|scope| {
                let mut running = Vec::new();
                let mut own = 0;
                for &i in &batch {
                    match Arc::clone(&self.env.concurrency).try_acquire_owned() {
                        Ok(permit) => running.push(scope.spawn(move || {
                            let n = self.eval_rule(i, ts_ms);
                            drop(permit);
                            n
                        })),
                        Err(_) => own += self.eval_rule(i, ts_ms),
                    }
                }
                own + running.into_iter().map(|t| t.join().unwrap_or(0)).sum::<usize>()
            });
        }
        self.env.metrics.samples.with(&[&self.key()]).set(samples as f64);
        self.end_stale_series(ts_ms);
    }

    /// Which rules may run together: all that read nothing another one of the group writes, when the server was asked to do so.
    fn batches(&self) -> Vec<Vec<usize>> {
        if !self.env.concurrent {
            return (0..self.rules.len()).map(|i| vec![i]).collect();
        }
        // The depth of a rule is one more than that of the deepest rule it reads; rules of one depth are a batch.
        let mut depth = vec![0usize; self.rules.len()];
        for i in 0..self.rules.len() {
            if self.rules[i].reads.is_none() {
                return (0..self.rules.len()).map(|i| vec![i]).collect();
            }
            for j in 0..i {
                if self.rules[i].depends_on(&self.rules[j]) {
                    depth[i] = depth[i].max(depth[j] + 1);
                }
            }
        }
        let mut batches: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, d) in depth.into_iter().enumerate() {
            batches.entry(d).or_default().push(i);
        }
        batches.into_values().collect()
    }

    fn eval_rule(&self, i: usize, ts_ms: i64) -> usize {
        let rule = &self.rules[i];
        let m = &self.env.metrics;
        let key = self.key();
        m.evaluations.with(&[&key]).inc();
        let started_ms = self.env.clock.now_ms();
        let started = self.env.clock.monotonic();
        let sample_ms = ts_ms - self.query_offset.as_millis() as i64;
        let outcome = self.query(rule, ts_ms, sample_ms).and_then(|written| {
            let n = written.len();
            if let Some(a) = rule.alerting() {
                let alerts = a.to_send(ts_ms, self.env.resend_delay_ms, self.interval.as_millis() as i64);
                if !alerts.is_empty() {
                    let url = format!("{}/graph?g0.expr={}&g0.tab=1", self.env.external_url, query_escape(&rule.query));
                    self.env.notify.notify(&url, alerts);
                }
            }
            self.write(i, written, sample_ms).map(|()| n)
        });
        let took = self.env.clock.monotonic().saturating_sub(started);
        m.eval_duration.observe(took.as_secs_f64());
        m.eval_duration_histogram.observe(took.as_secs_f64());
        if let Err(e) = &outcome {
            m.failures.with(&[&key]).inc();
            warn!(component = "rule manager", file = %self.file, group = %self.name, name = %rule.name, index = i, err = %e, "Evaluating rule failed");
        }
        rule.set_outcome(|o| {
            o.duration = took;
            o.evaluated_ms = Some(started_ms);
            o.health = if outcome.is_ok() { Health::Good } else { Health::Bad };
            o.last_error = outcome.as_ref().err().cloned().unwrap_or_default();
        });
        outcome.unwrap_or(0)
    }

    fn query(&self, rule: &Rule, ts_ms: i64, sample_ms: i64) -> Result<Written, String> {
        let result = self.env.evaluate.instant(&rule.query, sample_ms)?;
        match &rule.kind {
            Kind::Recording => self.record(rule, result),
            Kind::Alerting(a) => {
                let query = |q: &str| {
                    self.env.metrics.expansions.inc();
                    self.env.evaluate.instant(q, ts_ms)
                };
                let failed = |e: &str| {
                    self.env.metrics.expansion_failures.inc();
                    warn!(component = "rule manager", alert = %rule.name, err = e, "Expanding alert template failed");
                };
                let cx = Context {
                    ts_ms,
                    limit: self.limit,
                    external_labels: &self.external_labels,
                    external_url: &self.env.external_url,
                    query: &query,
                    template_failed: &failed,
                };
                let samples = a.eval(&rule.name, result, &cx)?;
                Ok(samples.into_iter().map(|(l, v)| (l, SampleValue::Float(v))).collect())
            }
        }
    }

    fn record(&self, rule: &Rule, result: Written) -> Result<Written, String> {
        let mut out = Vec::with_capacity(result.len());
        let mut seen = BTreeSet::new();
        for (labels, value) in result {
            let mut b = labels.builder();
            b.set(model::name::METRIC_NAME, &rule.name);
            for (n, v) in rule.labels.iter() {
                b.set(n, v);
            }
            let labels = b.build();
            if !seen.insert(labels.clone()) {
                return Err("vector contains metrics with the same labelset after applying rule labels".to_string());
            }
            out.push((labels, value));
        }
        if self.limit > 0 && out.len() > self.limit {
            return Err(format!("exceeded limit of {} with {} series", self.limit, out.len()));
        }
        Ok(out)
    }

    /// Appends a rule's samples, and staleness markers for series that it does not give any more.
    fn write(&self, i: usize, written: Written, t_ms: i64) -> Result<(), String> {
        let mut appender = self.env.appendable.appender(AppendOptions::rule());
        let mut returned = BTreeSet::new();
        let mut refused: HashMap<String, usize> = HashMap::new();
        let mut first_error = None;
        for (labels, value) in written {
            let done = appender.series(labels.as_ref()).and_then(|series| match &value {
                SampleValue::Float(v) => appender.append(series, t_ms, *v),
                SampleValue::Histogram(h) => appender.append_histogram(series, t_ms, HistogramSample::Float(h)),
            });
            match done {
                Ok(()) => {
                    returned.insert(labels);
                }
                Err(e) => {
                    *refused.entry(e.to_string()).or_default() += 1;
                    first_error.get_or_insert_with(|| e.to_string());
                }
            }
        }
        for (why, n) in refused {
            warn!(component = "rule manager", group = %self.name, name = %self.rules[i].name, num_dropped = n, err = %why, "Rule evaluation result discarded");
        }
        let previous = std::mem::take(&mut self.state.lock().previous[i]);
        for gone in previous.difference(&returned) {
            let done = appender.series(gone.as_ref()).and_then(|s| appender.append(s, t_ms, stale_nan()));
            log_stale(done);
        }
        match appender.commit(Wait::Written) {
            Ok(_) => {
                self.state.lock().previous[i] = returned;
                first_error.map_or(Ok(()), Err)
            }
            Err(e) => {
                self.state.lock().previous[i] = previous;
                Err(e.to_string())
            }
        }
    }

    fn end_stale_series(&self, ts_ms: i64) {
        let stale = std::mem::take(&mut self.state.lock().stale);
        if stale.is_empty() {
            return;
        }
        let t_ms = ts_ms - self.query_offset.as_millis() as i64;
        let mut appender = self.env.appendable.appender(AppendOptions::rule());
        for labels in &stale {
            let done = appender.series(labels.as_ref()).and_then(|s| appender.append(s, t_ms, stale_nan()));
            log_stale(done);
        }
        if let Err(e) = appender.commit(Wait::Written) {
            warn!(component = "rule manager", group = %self.name, err = %e, "Stale sample appending for previous configuration failed");
            self.state.lock().stale.extend(stale);
        }
    }

    /// Ends all series: the group is gone from the configuration.
    pub(crate) fn end_all_series(&self) {
        {
            let mut s = self.state.lock();
            let all: Vec<Labels> = s.previous.iter_mut().flat_map(std::mem::take).collect();
            s.stale.extend(all);
        }
        self.end_stale_series(self.env.clock.now_ms());
    }

    /// Goes on where a group of the same name and file of the old configuration was.
    pub(crate) fn take_state(&self, from: &Group) {
        let mut by_identity: HashMap<String, Vec<usize>> = HashMap::new();
        for (i, r) in from.rules.iter().enumerate().rev() {
            by_identity.entry(r.identity()).or_default().push(i);
        }
        let mut old = from.state.lock();
        let mut s = self.state.lock();
        s.evaluation_time = old.evaluation_time;
        s.last_evaluation_ms = old.last_evaluation_ms;
        for (i, rule) in self.rules.iter().enumerate() {
            let Some(j) = by_identity.get_mut(&rule.identity()).and_then(Vec::pop) else { continue };
            s.previous[i] = std::mem::take(&mut old.previous[j]);
            if let (Some(new), Some(old)) = (rule.alerting(), from.rules[j].alerting()) {
                new.take_state(old);
            }
        }
        s.stale = std::mem::take(&mut old.stale);
        let rest: Vec<Labels> = old.previous.iter_mut().flat_map(std::mem::take).collect();
        s.stale.extend(rest);
    }

    /// Looks in the storage for when alerts that are active now had begun before the restart.
    fn restore_state(&self) {
        let started = self.env.clock.monotonic();
        let now = self.env.clock.now_ms();
        for rule in &self.rules {
            let Some(a) = rule.alerting() else { continue };
            if a.hold_ms >= self.env.grace_period_ms {
                match self.stored_state(rule, now) {
                    Ok(stored) => a.restore(now, self.env.grace_period_ms, &stored),
                    Err(e) => warn!(component = "rule manager", alertname = %rule.name, err = %e, "Failed to restore 'for' state"),
                }
            }
            a.set_restored();
        }
        let took = self.env.clock.monotonic().saturating_sub(started);
        self.env.metrics.last_restore_duration.with(&[&self.key()]).set(took.as_secs_f64());
    }

    fn stored_state(&self, rule: &Rule, now_ms: i64) -> Result<BTreeMap<Labels, (i64, f64)>, storage::ReadError> {
        let start = now_ms - self.env.outage_tolerance_ms;
        let q = self.env.queryable.querier(start, now_ms)?;
        let mut matchers = vec![Matcher::equal("__name__", "ALERTS_FOR_STATE"), Matcher::equal("alertname", rule.name.as_str())];
        // A label with a template differs from alert to alert.
        matchers.extend(rule.labels.iter().filter(|(n, v)| *n != "alertname" && !v.contains("{{")).map(|(n, v)| Matcher::equal(n, v)));
        let hints = storage::SelectHints { start_ms: start, end_ms: now_ms, ..Default::default() };
        let selection = q.select(false, &hints, &matchers)?;
        let mut out = BTreeMap::new();
        let mut data = storage::SeriesData::default();
        for i in 0..selection.len() {
            data.clear();
            selection.read(i, start, now_ms, &mut data)?;
            if let (Some(t), Some(v)) = (data.t_ms.last(), data.v.last()) {
                out.insert(selection.labels(i).without_name(), (*t, *v));
            }
        }
        Ok(out)
    }
}

/// A staleness marker that comes too late is no news: another rule writes the series.
fn log_stale(done: Result<(), AppendError>) {
    match done {
        Ok(()) | Err(AppendError::OutOfOrder | AppendError::TooOld | AppendError::DuplicateTimestamp) => {}
        Err(e) => debug!(err = %e, "append staleness marker of a rule"),
    }
}
