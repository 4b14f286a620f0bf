//! `--enable-feature`, and what `/api/v1/features` says.

use crate::flags::Flags;
use promql::parse::ParseOptions;
use std::collections::BTreeMap;

/// Features that Prometheus knows and that change something here, with their names.
#[derive(Clone, Debug, Default)]
pub struct Features {
    pub concurrent_rules: bool,
    pub start_zeros: bool,
    pub exemplars: bool,
    pub metadata_in_log: bool,
    pub delayed_name_removal: bool,
    pub per_step_stats: bool,
    pub type_and_unit_labels: bool,
    pub use_start_timestamps: bool,
    pub start_storage: bool,
    pub auto_reload: bool,
    pub search: bool,
    pub add_up_deltas: bool,
    pub keep_deltas: bool,
    pub parse: ParseOptions,
    /// Given names that mean nothing here or nowhere.
    pub unknown: Vec<String>,
}

/// Accepted without effect: stable here, or of Go's runtime, or not built.
const WITHOUT_EFFECT: &[&str] = &[
    // Read with the flags.
    "agent",
    "promql-duration-expr",
    "native-histograms",
    "ooo-native-histograms",
    "extra-scrape-metrics",
    "memory-snapshot-on-shutdown",
    "old-ui",
    "st-synthesis",
    "use-uncached-io",
    "xor2-encoding",
    "histograms-st-encoding",
    "fast-startup",
    "delayed-compaction",
    "new-service-discovery-manager",
];

/// What stands between operands, and the aggregations; as the reference spells them.
const OPERATORS: &[&str] = &[
    "!=",
    "!~",
    "%",
    "*",
    "+",
    "-",
    "/",
    "<",
    "</",
    "<=",
    "==",
    "=~",
    ">",
    ">/",
    ">=",
    "@",
    "^",
    "and",
    "atan2",
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "max",
    "min",
    "or",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
    "unless",
];

impl Features {
    pub fn parse(names: &[&str]) -> Self {
        let mut f = Features::default();
        for name in names {
            match *name {
                "concurrent-rule-eval" => f.concurrent_rules = true,
                "created-timestamp-zero-ingestion" => f.start_zeros = true,
                "exemplar-storage" => f.exemplars = true,
                "metadata-wal-records" => f.metadata_in_log = true,
                "promql-delayed-name-removal" => f.delayed_name_removal = true,
                "promql-per-step-stats" => f.per_step_stats = true,
                "type-and-unit-labels" => f.type_and_unit_labels = true,
                "use-start-timestamps" => f.use_start_timestamps = true,
                "st-storage" => f.start_storage = true,
                "auto-reload-config" => f.auto_reload = true,
                "otlp-deltatocumulative" => f.add_up_deltas = true,
                "otlp-native-delta-ingestion" => f.keep_deltas = true,
                "search-api" => f.search = true,
                "promql-experimental-functions" => f.parse.experimental_functions = true,
                "promql-extended-range-selectors" => f.parse.extended_range_selectors = true,
                "promql-binop-fill-modifiers" => f.parse.fill_modifiers = true,
                known if WITHOUT_EFFECT.contains(&known) => {}
                other => f.unknown.push(other.to_string()),
            }
        }
        f
    }

    /// What of it cannot be together.
    pub fn check(&self) -> Result<(), String> {
        if self.add_up_deltas && self.keep_deltas {
            return Err("cannot enable otlp-deltatocumulative and otlp-native-delta-ingestion features at the same time".to_string());
        }
        Ok(())
    }

    /// What becomes of OTLP's delta temporality.
    pub fn delta(&self) -> remote::otlp::Delta {
        match (self.add_up_deltas, self.keep_deltas) {
            (true, _) => remote::otlp::Delta::Accumulate,
            (_, true) => remote::otlp::Delta::Keep,
            _ => remote::otlp::Delta::Refuse,
        }
    }

    /// By category, as the API lists them.
    pub fn listed(&self, flags: &Flags, agent: bool) -> BTreeMap<String, BTreeMap<String, bool>> {
        let set = |pairs: &[(&str, bool)]| pairs.iter().map(|(n, on)| ((*n).to_string(), *on)).collect::<BTreeMap<String, bool>>();
        let functions =
            promql::parse::functions::FUNCTIONS.iter().map(|f| (f.name.to_string(), !f.experimental || self.parse.experimental_functions)).collect();
        let discovery = discovery::NAMES.iter().map(|n| ((*n).to_string(), true)).collect();
        let templates = rules::template::FUNCTION_NAMES.iter().map(|n| ((*n).to_string(), true)).collect();
        let operators = OPERATORS.iter().map(|n| ((*n).to_string(), true)).chain(
            // Aggregations that are still experiments.
            ["limitk", "limit_ratio"].map(|n| (n.to_string(), self.parse.experimental_functions)),
        );
        BTreeMap::from([
            (
                "api".to_string(),
                set(&[
                    ("admin", flags.bool("web.enable-admin-api")),
                    ("exclude_alerts", true),
                    ("label_values_match", true),
                    ("lifecycle", flags.bool("web.enable-lifecycle")),
                    ("openapi_3.1", true),
                    ("openapi_3.2", true),
                    ("otlp_write_receiver", flags.bool("web.enable-otlp-receiver")),
                    ("query_stats", true),
                    ("query_warnings", true),
                    ("remote_write_receiver", flags.bool("web.enable-remote-write-receiver")),
                    ("search", self.search),
                    ("search_fuzz_alg_jarowinkler", true),
                    ("search_fuzz_alg_subsequence", true),
                    ("time_range_labels", true),
                    ("time_range_series", true),
                ]),
            ),
            ("otlp_receiver".to_string(), set(&[("delta_conversion", self.add_up_deltas), ("native_delta_ingestion", self.keep_deltas)])),
            (
                "prometheus".to_string(),
                set(&[("agent_mode", agent), ("auto_reload_config", self.auto_reload || flags.bool("config.auto-reload")), ("server_mode", !agent)]),
            ),
            ("promql_operators".to_string(), operators.collect()),
            (
                "scrape".to_string(),
                set(&[
                    ("extra_scrape_metrics", true),
                    ("start_timestamp_zero_ingestion", self.start_zeros),
                    ("type_and_unit_labels", self.type_and_unit_labels),
                ]),
            ),
            (
                "promql".to_string(),
                set(&[
                    ("anchored", self.parse.extended_range_selectors),
                    ("at_modifier", true),
                    ("bool", true),
                    ("by", true),
                    ("delayed_name_removal", self.delayed_name_removal),
                    ("duration_expr", true),
                    ("fill", self.parse.fill_modifiers),
                    ("fill_left", self.parse.fill_modifiers),
                    ("fill_right", self.parse.fill_modifiers),
                    ("group_left", true),
                    ("group_right", true),
                    ("ignoring", true),
                    ("negative_offset", true),
                    ("offset", true),
                    ("on", true),
                    ("per_query_lookback_delta", true),
                    ("per_step_stats", self.per_step_stats),
                    ("smoothed", self.parse.extended_range_selectors),
                    ("subqueries", true),
                    ("type_and_unit_labels", self.type_and_unit_labels),
                    ("without", true),
                ]),
            ),
            ("promql_functions".to_string(), functions),
            ("service_discovery_providers".to_string(), discovery),
            ("templating_functions".to_string(), templates),
            ("rules".to_string(), set(&[("concurrent_rule_eval", self.concurrent_rules), ("keep_firing_for", true), ("query_offset", true)])),
            (
                "tsdb".to_string(),
                set(&[
                    ("delayed_compaction", false),
                    ("exemplar_storage", self.exemplars),
                    ("histograms_st_encoding", false),
                    ("isolation", false),
                    ("native_histograms", true),
                    ("st_storage", self.start_storage),
                    ("use_uncached_io", false),
                    ("xor2_encoding", false),
                ]),
            ),
        ])
    }
}
