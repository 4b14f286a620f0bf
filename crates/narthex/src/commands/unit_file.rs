//! A file of unit tests for rules, as `test rules` reads it.

use model::Labels;
use std::collections::BTreeMap;
use std::path::Path;
use yaml::{Cx, Millis, Node};

yaml::table! {
    #[derive(Clone, Debug)]
    pub struct UnitFile as "main.unitTestFile" {
        pub rule_files: Vec<String>;
        pub evaluation_interval: Millis;
        pub group_eval_order: Vec<String>;
        pub tests: Vec<TestGroup>;
        pub fuzzy_compare: bool;
    }
}

yaml::table! {
    #[derive(Clone, Debug)]
    pub struct TestGroup as "main.testGroup" {
        pub interval: Millis;
        pub input_series: Vec<InputSeries>;
        pub alert_rule_test: Vec<AlertCase>;
        pub promql_expr_test: Vec<QueryCase>;
        pub external_labels: Labels;
        pub external_url: String;
        pub name: String;
        /// None for the epoch.
        pub start_timestamp: Option<i64> => with(start);
    }
}

yaml::table! {
    #[derive(Clone, Debug)]
    pub struct InputSeries as "main.series" {
        pub series: String;
        pub values: String;
    }
}

yaml::table! {
    #[derive(Clone, Debug)]
    pub struct AlertCase as "main.alertTestCase" {
        pub eval_time: Millis;
        pub alertname: String;
        pub exp_alerts: Vec<ExpectedAlert>;
    }
}

yaml::table! {
    #[derive(Clone, Debug)]
    pub struct ExpectedAlert as "main.alert" {
        pub exp_labels: BTreeMap<String, String>;
        pub exp_annotations: BTreeMap<String, String>;
    }
}

yaml::table! {
    #[derive(Clone, Debug)]
    pub struct QueryCase as "main.promqlTestCase" {
        pub expr: String;
        pub eval_time: Millis;
        pub exp_samples: Vec<ExpectedSample>;
    }
}

yaml::table! {
    #[derive(Clone, Debug)]
    pub struct ExpectedSample as "main.sample" {
        pub labels: String;
        pub value: f64;
        /// When given, the value is not looked at.
        pub histogram: String;
    }
}

fn start(node: &Node, cx: &mut Cx) -> Option<Option<i64>> {
    match crate::go::parse_time_ms(node.text().unwrap_or_default()) {
        Ok(ms) => Some(Some(ms)),
        Err(e) => cx.invalid(node, e),
    }
}

impl UnitFile {
    /// Reads a file; its rule files become paths from where the process stands.
    pub fn read(path: &str) -> Result<UnitFile, String> {
        let bytes = std::fs::read(path).map_err(|e| format!("open {path}: {}", crate::go::io_error(&e)))?;
        let text = String::from_utf8(bytes).map_err(|_| "yaml: invalid UTF-8".to_string())?;
        let tree = yaml::parse(&text).map_err(|e| e.to_string())?;
        let mut file = if tree.is_null() {
            UnitFile::default()
        } else {
            yaml::from_node::<UnitFile>(&tree, &yaml::Options::default()).map_err(|e| e.to_string())?
        };
        let dir = Path::new(path).parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut found = Vec::new();
        for pattern in &file.rule_files {
            let pattern = yaml::join_dir(dir, pattern);
            let mut files: Vec<String> = crate::config::glob(&stdx::fs::RealFs, &pattern);
            files.retain(|f| Path::new(f).exists());
            if files.is_empty() {
                super::complain(&format!("  WARNING: no file match pattern {pattern}"));
            }
            found.extend(files);
        }
        file.rule_files = found;
        if file.evaluation_interval.is_zero() {
            file.evaluation_interval = Millis::from_mins(1);
        }
        Ok(file)
    }
}
