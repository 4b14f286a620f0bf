//! The alerts of one rule: pending, firing, resolved.

use crate::template::{ALERT_PRELUDE, Functions, SampleValue, Value, expand};
use model::Labels;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// How long a resolved alert is kept and sent again.
const RESOLVED_RETENTION_MS: i64 = 15 * 60 * 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    Unknown,
    Inactive,
    Pending,
    Firing,
}

impl AlertState {
    pub fn as_str(self) -> &'static str {
        match self {
            AlertState::Unknown => "unknown",
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

/// One alert. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug)]
pub struct Alert {
    pub state: AlertState,
    pub labels: Labels,
    pub annotations: Labels,
    pub value: f64,
    pub active_at_ms: i64,
    pub fired_at_ms: Option<i64>,
    pub resolved_at_ms: Option<i64>,
    pub last_sent_ms: Option<i64>,
    pub valid_until_ms: Option<i64>,
    pub keep_firing_since_ms: Option<i64>,
}

impl Alert {
    fn needs_sending(&self, now_ms: i64, resend_delay_ms: i64) -> bool {
        if self.state == AlertState::Pending {
            return false;
        }
        // Resolved since it was sent.
        if self.resolved_at_ms.is_some_and(|r| self.last_sent_ms.is_none_or(|s| r > s)) {
            return true;
        }
        self.last_sent_ms.is_none_or(|s| s + resend_delay_ms < now_ms)
    }
}

/// What an evaluation needs from outside.
pub(crate) struct Context<'a> {
    /// Time of the evaluation.
    pub ts_ms: i64,
    pub limit: usize,
    pub external_labels: &'a Labels,
    pub external_url: &'a str,
    pub query: &'a dyn Fn(&str) -> Result<Vec<(Labels, SampleValue)>, String>,
    /// Told of every template that failed.
    pub template_failed: &'a dyn Fn(&str),
}

/// Alerts by their labels, with what the rule says of them.
pub struct Alerting {
    pub hold_ms: i64,
    pub keep_firing_ms: i64,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    active: BTreeMap<Labels, Alert>,
    /// State series are written only after the state of the last run was looked for.
    restored: bool,
    evaluated: bool,
}

impl Alerting {
    pub fn new(hold_ms: i64, keep_firing_ms: i64, labels: BTreeMap<String, String>, annotations: BTreeMap<String, String>, restored: bool) -> Self {
        Alerting { hold_ms, keep_firing_ms, labels, annotations, inner: Mutex::new(Inner { restored, ..Inner::default() }) }
    }

    /// Takes the result of the rule's query and moves the alerts on. Returns the samples of ALERTS and ALERTS_FOR_STATE.
    pub(crate) fn eval(&self, name: &str, result: Vec<(Labels, SampleValue)>, cx: &Context<'_>) -> Result<Vec<(Labels, f64)>, String> {
        let mut found: BTreeMap<Labels, Alert> = BTreeMap::new();
        for (labels, value) in result {
            let (labels, alert) = self.alert(name, &labels, value, cx);
            if found.insert(labels, alert).is_some() {
                return Err("vector contains metrics with the same labelset after applying alert labels".to_string());
            }
        }
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        inner.evaluated = true;
        let present: Vec<Labels> = found.keys().cloned().collect();
        for (labels, alert) in found {
            match inner.active.get_mut(&labels) {
                Some(known) if known.state != AlertState::Inactive => {
                    known.value = alert.value;
                    known.annotations = alert.annotations;
                }
                _ => {
                    inner.active.insert(labels, alert);
                }
            }
        }
        let mut out = Vec::new();
        let mut alive = 0;
        let (hold, keep, restored) = (self.hold_ms, self.keep_firing_ms, inner.restored);
        inner.active.retain(|labels, a| {
            let ts = cx.ts_ms;
            if present.binary_search(labels).is_ok() {
                a.keep_firing_since_ms = None;
            } else {
                let mut keeps = false;
                if a.state == AlertState::Firing && keep > 0 {
                    let since = *a.keep_firing_since_ms.get_or_insert(ts);
                    keeps = ts - since < keep;
                }
                let stays = a.state != AlertState::Pending && a.resolved_at_ms.is_none_or(|r| ts - r <= RESOLVED_RETENTION_MS);
                if a.state != AlertState::Inactive && !keeps {
                    a.state = AlertState::Inactive;
                    a.resolved_at_ms = Some(ts);
                }
                if !keeps {
                    return stays;
                }
            }
            alive += 1;
            if a.state == AlertState::Pending && ts - a.active_at_ms >= hold {
                a.state = AlertState::Firing;
                a.fired_at_ms = Some(ts);
            }
            // The hold time may have grown since.
            if a.state == AlertState::Firing && ts - a.active_at_ms < hold {
                a.state = AlertState::Pending;
                a.fired_at_ms = None;
                a.last_sent_ms = None;
                a.keep_firing_since_ms = None;
            }
            if restored {
                let state = a.state.as_str();
                let series = |metric: &str, with_state: bool| {
                    let mut b = a.labels.builder();
                    b.set(model::name::METRIC_NAME, metric).set(model::name::ALERT_NAME, name);
                    if with_state {
                        b.set("alertstate", state);
                    }
                    b.build()
                };
                out.push((series("ALERTS", true), 1.0));
                out.push((series("ALERTS_FOR_STATE", false), a.active_at_ms.div_euclid(1000) as f64));
            }
            true
        });
        if cx.limit > 0 && alive > cx.limit {
            inner.active.clear();
            return Err(format!("exceeded limit of {} with {alive} alerts", cx.limit));
        }
        Ok(out)
    }

    fn alert(&self, name: &str, series: &Labels, value: SampleValue, cx: &Context<'_>) -> (Labels, Alert) {
        let number = match &value {
            SampleValue::Float(v) => *v,
            SampleValue::Histogram(_) => 0.0,
        };
        let data = Value::alert_data(series, cx.external_labels, cx.external_url, value);
        let functions = Functions { query: cx.query, now_ms: cx.ts_ms, external_url: cx.external_url };
        let template = format!("__alert_{name}");
        let text = |text: &str| {
            if !text.contains("{{") {
                return text.to_string();
            }
            expand(&template, &format!("{ALERT_PRELUDE}{text}"), &data, &functions).unwrap_or_else(|e| {
                (cx.template_failed)(&e.0);
                format!("<error expanding template: {e}>")
            })
        };
        let mut b = series.builder();
        b.del(model::name::METRIC_NAME);
        for (n, v) in &self.labels {
            b.set(n, &text(v));
        }
        b.set(model::name::ALERT_NAME, name);
        let labels = b.build();
        let annotations = Labels::from_pairs(self.annotations.iter().map(|(n, v)| (n, text(v))));
        let alert = Alert {
            state: AlertState::Pending,
            labels: labels.clone(),
            annotations,
            value: number,
            active_at_ms: cx.ts_ms,
            fired_at_ms: None,
            resolved_at_ms: None,
            last_sent_ms: None,
            valid_until_ms: None,
            keep_firing_since_ms: None,
        };
        (labels, alert)
    }

    /// Alerts that Alertmanager should hear of now.
    pub(crate) fn to_send(&self, ts_ms: i64, resend_delay_ms: i64, interval_ms: i64) -> Vec<Alert> {
        let mut inner = self.inner.lock();
        let mut out = Vec::new();
        for a in inner.active.values_mut() {
            if a.needs_sending(ts_ms, resend_delay_ms) {
                a.last_sent_ms = Some(ts_ms);
                // Survives two failed evaluations or sendings.
                a.valid_until_ms = Some(ts_ms + 4 * interval_ms.max(resend_delay_ms));
                out.push(a.clone());
            }
        }
        out
    }

    /// The highest state of any alert.
    pub fn state(&self) -> AlertState {
        let inner = self.inner.lock();
        if !inner.evaluated {
            return AlertState::Unknown;
        }
        inner.active.values().map(|a| a.state).max().unwrap_or(AlertState::Inactive)
    }

    /// Alerts that are not resolved.
    pub fn active(&self) -> Vec<Alert> {
        self.inner.lock().active.values().filter(|a| a.resolved_at_ms.is_none()).cloned().collect()
    }

    pub(crate) fn take_state(&self, from: &Alerting) {
        let other = from.inner.lock().active.clone();
        let mut inner = self.inner.lock();
        inner.active.extend(other);
        inner.evaluated = true;
    }

    pub(crate) fn set_restored(&self) {
        self.inner.lock().restored = true;
    }

    /// Moves the beginning of alerts back to what their state series say. `stored` gives time and value of the last sample of
    /// ALERTS_FOR_STATE of an alert.
    pub(crate) fn restore(&self, now_ms: i64, grace_ms: i64, stored: &BTreeMap<Labels, (i64, f64)>) {
        let mut inner = self.inner.lock();
        for a in inner.active.values_mut() {
            let Some((t_ms, v)) = stored.get(&a.labels) else { continue };
            if model::sample::is_stale_nan(*v) {
                continue;
            }
            let (down_at, began) = (*t_ms, (*v as i64).saturating_mul(1000));
            let remaining = self.hold_ms - (down_at - began);
            a.active_at_ms = if remaining <= 0 {
                began
            } else if remaining < grace_ms {
                now_ms + grace_ms - self.hold_ms
            } else {
                began + (now_ms - down_at)
            };
        }
        inner.restored = true;
    }
}

#[cfg(test)]
#[path = "alerting_tests.rs"]
mod tests;
