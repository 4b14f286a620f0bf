//! What rules count of themselves.

use stdx::metrics::{Counter, CounterVec, DEFAULT_BUCKETS, GaugeVec, Histogram, Registry, Summary};

#[derive(Clone)]
pub struct Metrics {
    pub eval_duration: Summary,
    pub eval_duration_histogram: Histogram,
    pub group_duration: Summary,
    pub group_duration_histogram: Histogram,
    pub iterations_missed: CounterVec,
    pub iterations: CounterVec,
    pub evaluations: CounterVec,
    pub failures: CounterVec,
    pub interval: GaugeVec,
    pub last_evaluation: GaugeVec,
    pub last_duration: GaugeVec,
    pub last_rule_duration_sum: GaugeVec,
    pub last_restore_duration: GaugeVec,
    pub rules: GaugeVec,
    pub samples: GaugeVec,
    pub expansions: Counter,
    pub expansion_failures: Counter,
}

const GROUP: &[&str] = &["rule_group"];

impl Metrics {
    pub fn new(r: &Registry) -> Self {
        Metrics {
            eval_duration: r.summary("prometheus_rule_evaluation_duration_seconds", "The duration for a rule to execute.", &[0.5, 0.9, 0.99]),
            eval_duration_histogram: r.histogram(
                "prometheus_rule_evaluation_duration_histogram_seconds",
                "The duration for a rule to execute.",
                &DEFAULT_BUCKETS,
            ),
            group_duration: r.summary(
                "prometheus_rule_group_duration_seconds",
                "The duration of rule group evaluations.",
                &[0.01, 0.05, 0.5, 0.9, 0.99],
            ),
            group_duration_histogram: r.histogram(
                "prometheus_rule_group_duration_histogram_seconds",
                "The duration of rule group evaluations.",
                &DEFAULT_BUCKETS,
            ),
            iterations_missed: r.counter_vec(
                "prometheus_rule_group_iterations_missed_total",
                "The total number of rule group evaluations missed due to slow rule group evaluation.",
                GROUP,
            ),
            iterations: r.counter_vec(
                "prometheus_rule_group_iterations_total",
                "The total number of scheduled rule group evaluations, whether executed or missed.",
                GROUP,
            ),
            evaluations: r.counter_vec("prometheus_rule_evaluations_total", "The total number of rule evaluations.", GROUP),
            failures: r.counter_vec("prometheus_rule_evaluation_failures_total", "The total number of rule evaluation failures.", GROUP),
            interval: r.gauge_vec("prometheus_rule_group_interval_seconds", "The interval of a rule group.", GROUP),
            last_evaluation: r.gauge_vec(
                "prometheus_rule_group_last_evaluation_timestamp_seconds",
                "The timestamp of the last rule group evaluation in seconds.",
                GROUP,
            ),
            last_duration: r.gauge_vec("prometheus_rule_group_last_duration_seconds", "The duration of the last rule group evaluation.", GROUP),
            last_rule_duration_sum: r.gauge_vec(
                "prometheus_rule_group_last_rule_duration_sum_seconds",
                "The sum of time in seconds it took to evaluate each rule in the group regardless of concurrency.",
                GROUP,
            ),
            last_restore_duration: r.gauge_vec(
                "prometheus_rule_group_last_restore_duration_seconds",
                "The duration of the last alert rules alerts restoration using the `ALERTS_FOR_STATE` series.",
                GROUP,
            ),
            rules: r.gauge_vec("prometheus_rule_group_rules", "The number of rules.", GROUP),
            samples: r.gauge_vec(
                "prometheus_rule_group_last_evaluation_samples",
                "The number of samples returned during the last rule group evaluation.",
                GROUP,
            ),
            expansions: r.counter("prometheus_template_text_expansions_total", "The total number of template text expansions."),
            expansion_failures: r
                .counter("prometheus_template_text_expansion_failures_total", "The total number of template text expansion failures."),
        }
    }

    /// Forgets a group that is gone.
    pub fn remove(&self, group: &str) {
        let g = &[group];
        [&self.iterations_missed, &self.iterations, &self.evaluations, &self.failures].iter().for_each(|v| v.remove(g));
        [
            &self.interval,
            &self.last_evaluation,
            &self.last_duration,
            &self.last_rule_duration_sum,
            &self.last_restore_duration,
            &self.rules,
            &self.samples,
        ]
        .iter()
        .for_each(|v| v.remove(g));
    }
}
