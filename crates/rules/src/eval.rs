//! What rules need from the rest of the server, and the query engine as rules see it.

use crate::alerting::Alert;
use crate::metrics::Metrics;
use crate::template::SampleValue;
use model::Labels;
use std::sync::Arc;
use stdx::clock::SharedClock;
use storage::{Appendable, Queryable};

/// Evaluates one expression at one time.
pub trait Evaluate: Send + Sync {
    /// A vector; a scalar becomes a vector of one sample without labels.
    fn instant(&self, query: &str, ts_ms: i64) -> Result<Vec<(Labels, SampleValue)>, String>;
}

/// The engine over a storage.
pub struct EngineEvaluate {
    pub engine: Arc<promql::Engine>,
    pub queryable: Arc<dyn Queryable>,
}

impl Evaluate for EngineEvaluate {
    fn instant(&self, query: &str, ts_ms: i64) -> Result<Vec<(Labels, SampleValue)>, String> {
        let result = self.engine.instant(self.queryable.as_ref(), query, ts_ms, &promql::QueryOptions::default()).map_err(|e| e.to_string())?;
        match result.value {
            promql::Value::Vector(v) => Ok(v
                .samples
                .into_iter()
                .map(|s| {
                    let value = match s.value {
                        promql::SampleValue::Float(f) => SampleValue::Float(f),
                        promql::SampleValue::Histogram(h) => SampleValue::Histogram(h),
                    };
                    (s.labels, value)
                })
                .collect()),
            promql::Value::Scalar { v, .. } => Ok(vec![(Labels::empty(), SampleValue::Float(v))]),
            promql::Value::String { .. } | promql::Value::Matrix(_) => Err("rule result is not a vector or scalar".to_string()),
        }
    }
}

/// Who hears of alerts.
pub trait Notify: Send + Sync {
    /// `generator_url` leads to the expression. Must not block.
    fn notify(&self, generator_url: &str, alerts: Vec<Alert>);
}

/// Everything a group evaluates with. Shared by all groups.
#[derive(Clone)]
pub struct Env {
    pub evaluate: Arc<dyn Evaluate>,
    pub queryable: Arc<dyn Queryable>,
    pub appendable: Arc<dyn Appendable>,
    pub notify: Arc<dyn Notify>,
    pub clock: SharedClock,
    pub metrics: Metrics,
    pub external_url: String,
    pub resend_delay_ms: i64,
    pub outage_tolerance_ms: i64,
    pub grace_period_ms: i64,
    /// Rules that may run at the same time in the whole server; 1 for one after the other.
    pub concurrency: Arc<tokio::sync::Semaphore>,
    pub concurrent: bool,
}
