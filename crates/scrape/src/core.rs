//! One target's memory from scrape to scrape, and what is done with each: store the page or mark the ends, then report.

use crate::cache::SeriesCache;
use crate::labels::report_labels;
use crate::metrics::Metrics;
use crate::page::{Counts, PageError, PageWriter};
use crate::settings::Settings;
use crate::target::{Health, LastScrape, Target};
use exposition::{LabelBuf, Parser};
use model::sample::stale_nan;
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::Clock;
use storage::{AppendError, AppendOptions, Appendable, Appender, SeriesRef, Wait};

/// What came of asking the target.
#[derive(Debug)]
pub enum Fetched {
    Page {
        body: Vec<u8>,
        content_type: String,
    },
    Failed {
        error: String,
        /// The page was larger than allowed.
        too_large: bool,
    },
}

/// The synthetic series, in the order in which they are written.
const REPORTS: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];

/// How many of them are written without `extra_scrape_metrics`.
const PLAIN_REPORTS: usize = 5;

/// Belongs to one runner.
pub struct TargetCore {
    target: Arc<Target>,
    metrics: Metrics,
    cache: SeriesCache,
    reports: [Option<SeriesRef>; REPORTS.len()],
    buf: LabelBuf,
    families_seen: Vec<u32>,
    /// Settings of the last page.
    settings: Option<Arc<Settings>>,
    /// Something was stored, and has not been ended.
    ran: bool,
}

impl TargetCore {
    pub fn new(target: Arc<Target>, metrics: Metrics) -> Self {
        TargetCore {
            target,
            metrics,
            cache: SeriesCache::default(),
            reports: [None; REPORTS.len()],
            buf: LabelBuf::new(),
            families_seen: Vec::new(),
            settings: None,
            ran: false,
        }
    }

    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Stores what was fetched under the time `t_ms`, and reports. `started` is when the scrape began, by the clock's monotonic time. Returns why the
    /// scrape failed, if it did. The page's buffer comes back through `fetched`.
    pub fn scrape(
        &mut self,
        storage: &dyn Appendable,
        clock: &dyn Clock,
        settings: &Arc<Settings>,
        fetched: &Fetched,
        t_ms: i64,
        started: Duration,
    ) -> Result<(), String> {
        if self.settings.as_ref().is_some_and(|old| !Arc::ptr_eq(old, settings) && !old.same_series(settings)) {
            self.cache.forget_lines();
        }
        self.settings = Some(Arc::clone(settings));
        let now_ms = clock.now_ms();
        let mut counts = Counts::default();
        let mut app = storage.appender(AppendOptions::scrape());
        let (mut error, bytes) = match fetched {
            Fetched::Failed { error, too_large } => (Some(error.clone()), if *too_large { -1.0 } else { 0.0 }),
            Fetched::Page { body, .. } => (None, body.len() as f64),
        };
        if let Fetched::Page { body, content_type } = fetched {
            match self.store(&mut *app, settings, body, content_type, t_ms, now_ms) {
                Ok(c) => counts = c,
                Err((c, PageError(e))) => {
                    counts = c;
                    tracing::debug!(target = self.target.url.as_str(), err = e.as_str(), "append failed");
                    error = Some(e);
                    app.rollback();
                    app = storage.appender(AppendOptions::scrape());
                }
            }
        } else {
            self.cache.begin();
        }
        if error.is_some() {
            self.end_all(&mut *app, t_ms);
        }
        let duration = clock.monotonic().saturating_sub(started).as_secs_f64();
        let at_ms = clock.now_ms() - (duration * 1000.0) as i64;
        let health = if error.is_none() { Health::Up } else { Health::Down };
        let last = LastScrape { health, error: error.clone().unwrap_or_default(), at_ms: Some(at_ms), duration_seconds: duration };
        self.target.report(last);
        let values = [
            f64::from(u8::from(error.is_none())),
            duration,
            counts.total as f64,
            counts.added as f64,
            counts.new_series as f64,
            settings.timeout_ms as f64 / 1000.0,
            settings.sample_limit as f64,
            bytes,
        ];
        self.ran = true;
        let extra = settings.config.extra_metrics();
        if let Err(e) = self.report(&mut *app, t_ms, &values[..if extra { REPORTS.len() } else { PLAIN_REPORTS }]) {
            tracing::warn!(target = self.target.url.as_str(), err = %e, "appending scrape report failed");
            app.rollback();
            return Err(error.unwrap_or_else(|| e.to_string()));
        }
        let committed = app.commit(Wait::Written);
        if extra {
            self.metrics.scrape_duration.observe(clock.monotonic().saturating_sub(started).as_secs_f64());
        }
        match (committed, error) {
            (Err(e), error) => {
                tracing::error!(target = self.target.url.as_str(), err = %e, "scrape commit failed");
                Err(error.unwrap_or_else(|| e.to_string()))
            }
            (Ok(_), Some(e)) => Err(e),
            (Ok(_), None) => Ok(()),
        }
    }

    /// The target is gone: marks the end of all its series at `t_ms`, except of those that have gone on since, elsewhere.
    pub fn end(&mut self, storage: &dyn Appendable, t_ms: i64) {
        if !self.ran {
            return;
        }
        self.ran = false;
        self.cache.begin();
        let mut app = storage.appender(AppendOptions::scrape());
        self.end_all(&mut *app, t_ms);
        let extra = self.settings.as_ref().is_some_and(|s| s.config.extra_metrics());
        let values = [stale_nan(); REPORTS.len()];
        let result = self.report(&mut *app, t_ms, &values[..if extra { REPORTS.len() } else { PLAIN_REPORTS }]);
        let result = match result {
            Ok(()) => app.commit(Wait::Written).map(|_| ()).map_err(|e| e.to_string()),
            Err(e) => {
                app.rollback();
                Err(e.to_string())
            }
        };
        if let Err(e) = result {
            tracing::warn!(target = self.target.url.as_str(), err = e.as_str(), "stale report failed");
        }
    }

    fn store(
        &mut self,
        app: &mut dyn Appender,
        settings: &Settings,
        body: &[u8],
        content_type: &str,
        t_ms: i64,
        now_ms: i64,
    ) -> Result<Counts, (Counts, PageError)> {
        let page = self.cache.begin();
        if body.is_empty() {
            // An empty page is a good one, on which every series has ended.
            self.succeed(app, t_ms);
            return Ok(Counts::default());
        }
        let (format, warning) = exposition::parse::format_of(content_type, settings.fallback).map_err(|e| (Counts::default(), PageError(e)))?;
        if let Some(w) = warning {
            tracing::debug!(target = self.target.url.as_str(), warning = w.as_str(), "invalid content type on scrape, using fallback setting");
        }
        self.families_seen.clear();
        let mut parser = Parser::new(body, format, settings.parser);
        let mut writer = PageWriter {
            target: &self.target,
            settings,
            metrics: &self.metrics,
            cache: &mut self.cache,
            app: &mut *app,
            buf: &mut self.buf,
            families_seen: &mut self.families_seen,
            t_ms,
            now_ms,
            page,
            counts: Counts::default(),
        };
        let result = writer.write(&mut parser);
        let counts = writer.counts;
        result.map_err(|e| (counts, e))?;
        self.succeed(app, t_ms);
        if self.target.metadata().forget_old(page) {
            self.cache.forget_metadata();
        }
        Ok(counts)
    }

    fn succeed(&mut self, app: &mut dyn Appender, t_ms: i64) {
        self.cache.succeed(|series| mark_end(app, series, t_ms));
    }

    fn end_all(&mut self, app: &mut dyn Appender, t_ms: i64) {
        if self.cache.fail(|series| mark_end(app, series, t_ms)) {
            self.metrics.cache_flush_forced.inc();
        }
    }

    fn report(&mut self, app: &mut dyn Appender, t_ms: i64, values: &[f64]) -> Result<(), AppendError> {
        for (i, v) in values.iter().enumerate() {
            let mut result = match self.reports[i] {
                Some(series) => app.append(series, t_ms, *v),
                None => Err(AppendError::UnknownSeries),
            };
            if matches!(result, Err(AppendError::UnknownSeries)) {
                let series = app.series(report_labels(REPORTS[i], &self.target.public).as_ref())?;
                self.reports[i] = Some(series);
                result = app.append(series, t_ms, *v);
            }
            match result {
                Ok(()) | Err(AppendError::OutOfOrder | AppendError::DuplicateTimestamp | AppendError::TooOld) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// A series that the storage no longer knows, or that has newer samples, needs no mark.
fn mark_end(app: &mut dyn Appender, series: SeriesRef, t_ms: i64) {
    if let Err(e) = app.append(series, t_ms, stale_nan()) {
        tracing::trace!(series = series.0, err = %e, "staleness marker not taken");
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
