//! The loop of providers that ask again and again: now, and then after each interval. A failure keeps what was found before.

use crate::error::Error;
use crate::group::TargetGroup;
use crate::provider::{Context, Updates};
use std::time::Duration;

/// Nobody is asked more often.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) async fn run(
    mechanism: &'static str,
    interval: Duration,
    cx: Context,
    updates: Updates,
    mut refresh: impl AsyncFnMut() -> Result<Vec<TargetGroup>, Error>,
) {
    let failures = cx.metrics.refresh_failures.with(&[mechanism, &cx.job]);
    let duration = cx.metrics.refresh_duration.with(&[mechanism, &cx.job]);
    let histogram = cx.metrics.refresh_histogram.with(&[mechanism]);
    let mut ticks = tokio::time::interval(interval.max(MIN_INTERVAL));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let start = cx.options.http.clock.monotonic();
        let result = refresh().await;
        let took = cx.options.http.clock.monotonic().saturating_sub(start).as_secs_f64();
        duration.observe(took);
        histogram.observe(took);
        match result {
            Ok(groups) => updates.replace(groups),
            Err(e) => {
                failures.inc();
                tracing::error!(discovery = mechanism, config = cx.job, err = %e, "unable to refresh target groups");
            }
        }
    }
}
