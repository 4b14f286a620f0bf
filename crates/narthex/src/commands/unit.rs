//! `test rules`: evaluates rules over series that a test writes down, and compares alerts and query results with what it expects.

use super::unit_file::{AlertCase, QueryCase, TestGroup, UnitFile};
use super::unit_store::{Inputs, UnitStore};
use super::{Context, FAILURE, complain, http, line};
use crate::go;
use ::rules::file::RuleFile;
use ::rules::{AlertState, EngineEvaluate, Env, Group, ManagerConfig, Metrics, Notify};
use model::name::Scheme;
use model::regex::Search;
use model::{FloatHistogram, Labels};
use promql::{Engine, EngineOptions, QueryOptions, SampleValue, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stdx::fs::Fs;
use stdx::metrics::Registry;
use stdx::shutdown::Shutdown;

/// As promtool's.
const MAX_SAMPLES: u64 = 10_000;
const QUERY_TIMEOUT: Duration = Duration::from_secs(100);

pub fn run(cx: &Context) -> u8 {
    let patterns = cx.values.list("run");
    let wanted = match cx.values.is_given("run").then(|| Search::new(&patterns.join("|"))).transpose() {
        Ok(w) => w,
        Err(e) => {
            complain(&format!("--run: {e}"));
            return FAILURE;
        }
    };
    let mut junit = String::from("<testsuites>");
    let mut failed = false;
    for file in cx.values.args("test-rule-file") {
        let mut suite = Suite { name: file.clone(), ..Suite::default() };
        let errors = test_file(cx, file, wanted.as_ref(), &mut suite);
        if errors.is_empty() {
            line("  SUCCESS");
        } else {
            failed = true;
            complain("  FAILED:");
            for e in errors {
                complain(&e);
                line("");
            }
        }
        line("");
        suite.write(&mut junit);
    }
    junit.push_str("</testsuites>");
    let path = cx.values.text("junit");
    if !path.is_empty() {
        let write = || stdx::fs::RealFs.open(std::path::Path::new(path), stdx::fs::Open::Truncate)?.append(junit.as_bytes());
        if let Err(e) = write() {
            complain(&format!("failed to write JUnit XML: {}", go::io_error(&e)));
        }
    }
    if failed { FAILURE } else { 0 }
}

/// Empty when all is as expected.
fn test_file(cx: &Context, path: &str, wanted: Option<&Search>, suite: &mut Suite) -> Vec<String> {
    let file = match UnitFile::read(path).and_then(|f| order(&f.group_eval_order).map(|o| (f, o))) {
        Ok(f) => f,
        Err(e) => {
            suite.error = Some(e.clone());
            return vec![e];
        }
    };
    let (file, order) = file;
    suite.timestamp = model::time::format_rfc3339_ms(http::now_ms())[..19].to_string();
    let mut errors = Vec::new();
    for (i, group) in file.tests.iter().enumerate() {
        if wanted.is_some_and(|w| !w.is_match(&group.name)) {
            continue;
        }
        let name = if group.name.is_empty() { format!("unnamed#{i}") } else { group.name.clone() };
        let debug = cx.values.bool("debug");
        let started = http::clock().monotonic();
        if debug {
            complain(&format!("DEBUG: Starting test {name}"));
        }
        let found = Run { cx, file: &file, order: &order, group }.test();
        if debug {
            let took = http::clock().monotonic().saturating_sub(started);
            complain(&format!("DEBUG: Test {name} finished, took {}", go::duration(took.as_nanos() as i64)));
        }
        suite.cases.push((name, found.clone()));
        errors.extend(found);
    }
    errors
}

fn order(names: &[String]) -> Result<BTreeMap<String, usize>, String> {
    let mut out = BTreeMap::new();
    for (i, name) in names.iter().enumerate() {
        if out.insert(name.clone(), i).is_some() {
            return Err(format!("group name repeated in evaluation order: {name}"));
        }
    }
    Ok(out)
}

struct Nobody;

impl Notify for Nobody {
    fn notify(&self, _: &str, _: Vec<::rules::Alert>) {}
}

/// One group of tests.
struct Run<'a> {
    cx: &'a Context,
    file: &'a UnitFile,
    order: &'a BTreeMap<String, usize>,
    group: &'a TestGroup,
}

impl Run<'_> {
    fn test(&self) -> Vec<String> {
        self.try_test().unwrap_or_else(|e| e)
    }

    fn interval_ms(&self) -> i64 {
        if self.group.interval.is_zero() { self.file.evaluation_interval.ms() } else { self.group.interval.ms() }
    }

    fn start_ms(&self) -> i64 {
        self.group.start_timestamp.unwrap_or(0)
    }

    fn try_test(&self) -> Result<Vec<String>, Vec<String>> {
        let one = |e: String| vec![e];
        let mut text = format!("load {}\n", model::duration::format_ms(self.interval_ms()));
        for s in &self.group.input_series {
            text.push_str(&format!("  {} {}\n", s.series, s.values));
        }
        let mut inputs = Inputs::parse(&text, self.start_ms()).map_err(one)?;
        let store = Arc::new(UnitStore::default());
        let engine = Arc::new(self.engine());
        let groups = self.groups(&store, &engine)?;
        let mut errors = Vec::new();
        let mut checks: Vec<&AlertCase> = self.group.alert_rule_test.iter().collect();
        if let Some(bad) = checks.iter().find(|c| c.alertname.is_empty()) {
            let of = if self.group.name.is_empty() { String::new() } else { format!(" (in TestGroup {})", self.group.name) };
            return Err(one(format!("an item under alert_rule_test misses required attribute alertname at eval_time {}{of}", bad.eval_time)));
        }
        checks.sort_by_key(|c| c.eval_time);
        let mut checks = checks.into_iter().peekable();
        let (start, step) = (self.start_ms(), self.file.evaluation_interval.ms());
        let end = start + self.last_ms();
        let mut now = start;
        while now <= end {
            match store.advance(&mut inputs, now) {
                Err(e) => errors.push(e),
                Ok(()) => {
                    let mut failures = Vec::new();
                    for g in &groups {
                        g.eval(now, &Shutdown::new());
                        let wrong = g.rules.iter().map(|r| (r, r.outcome().last_error)).filter(|(_, e)| !e.is_empty());
                        failures.extend(wrong.map(|(r, e)| format!("    rule: {}, time: {}, err: {e}", r.name, go::duration(now * 1_000_000))));
                    }
                    if !failures.is_empty() {
                        errors.extend(failures);
                        return Err(errors);
                    }
                }
            }
            while let Some(case) = checks.next_if(|c| now - start <= c.eval_time.ms() && c.eval_time.ms() < now + step - start) {
                errors.extend(self.check_alerts(case, &groups));
            }
            now += step;
        }
        errors.extend(self.group.promql_expr_test.iter().filter_map(|case| self.check_query(case, &engine, &store).err()));
        if self.cx.values.bool("debug") {
            self.dump(&engine, &store);
        }
        Ok(errors)
    }

    fn last_ms(&self) -> i64 {
        let alerts = self.group.alert_rule_test.iter().map(|c| c.eval_time.ms());
        alerts.chain(self.group.promql_expr_test.iter().map(|c| c.eval_time.ms())).max().unwrap_or(0)
    }

    fn engine(&self) -> Engine {
        let clock = stdx::clock::SystemClock::shared();
        Engine::new(EngineOptions {
            max_samples: MAX_SAMPLES,
            timeout: QUERY_TIMEOUT,
            default_step_ms: self.file.evaluation_interval.ms(),
            parse: self.cx.parse,
            delayed_name_removal: self.cx.delayed_name_removal,
            ..EngineOptions::new(Arc::clone(&clock), Registry::new(clock))
        })
    }

    fn groups(&self, store: &Arc<UnitStore>, engine: &Arc<Engine>) -> Result<Vec<Group>, Vec<String>> {
        let clock = stdx::clock::SystemClock::shared();
        let env = Env {
            evaluate: Arc::new(EngineEvaluate { engine: Arc::clone(engine), queryable: store.clone() }),
            queryable: store.clone(),
            appendable: store.clone(),
            notify: Arc::new(Nobody),
            clock: Arc::clone(&clock),
            metrics: Metrics::new(&Registry::new(clock)),
            external_url: self.group.external_url.clone(),
            resend_delay_ms: 0,
            outage_tolerance_ms: 0,
            grace_period_ms: 0,
            concurrency: Arc::new(tokio::sync::Semaphore::new(1)),
            concurrent: false,
        };
        let config = ManagerConfig {
            files: self.file.rule_files.clone(),
            evaluation_interval: Duration::from_millis(self.interval_ms().max(0) as u64),
            query_offset: Duration::ZERO,
            external_labels: self.group.external_labels.clone(),
            scheme: Scheme::Utf8,
            parse: self.cx.parse,
        };
        let mut files: Vec<(String, RuleFile)> = Vec::new();
        for name in &self.file.rule_files {
            let text = std::fs::read_to_string(name).map_err(|e| vec![format!("{name}: open {name}: {}", go::io_error(&e))])?;
            let file = ::rules::file::parse(&text, Scheme::Utf8, &self.cx.parse, self.cx.values.bool("ignore-unknown-fields"))
                .map_err(|errors| errors.into_iter().map(|e| format!("{name}: {e}")).collect::<Vec<_>>())?;
            files.push((name.clone(), file));
        }
        let mut groups = ::rules::groups(&env, &config, &files);
        groups.sort_by_key(|g| self.order.get(&g.name).copied().unwrap_or(0));
        Ok(groups)
    }

    fn check_alerts(&self, case: &AlertCase, groups: &[Group]) -> Option<String> {
        let mut got = Vec::new();
        for rule in groups.iter().flat_map(|g| &g.rules).filter(|r| r.name == case.alertname) {
            let active = rule.alerting().map(|a| a.active()).unwrap_or_default();
            got.extend(active.into_iter().filter(|a| a.state == AlertState::Firing).map(|a| (a.labels, a.annotations)));
        }
        let mut expected: Vec<(Labels, Labels)> = case
            .exp_alerts
            .iter()
            .map(|a| {
                let mut labels = a.exp_labels.clone();
                labels.insert(model::name::ALERT_NAME.to_string(), case.alertname.clone());
                (Labels::from_pairs(&labels), Labels::from_pairs(&a.exp_annotations))
            })
            .collect();
        got.sort();
        expected.sort();
        if got == expected {
            return None;
        }
        let name = if self.group.name.is_empty() { String::new() } else { format!("    name: {},\n", self.group.name) };
        let head = format!("{name}    alertname: {}, time: {}, \n", case.alertname, case.eval_time);
        if self.cx.values.bool("diff") {
            return Some(format!("{head}        diff: {}", indented(&difference(&expected, &got), 12)));
        }
        let shown = |alerts: &[(Labels, Labels)]| indented(&alerts_text(alerts), 12);
        Some(format!("{head}        exp:{}, \n        got:{}", shown(&expected), shown(&got)))
    }

    fn check_query(&self, case: &QueryCase, engine: &Engine, store: &UnitStore) -> Result<(), String> {
        let head = format!("    expr: {}, time: {},", model::labels::quote(&case.expr), case.eval_time);
        let at = self.start_ms() + case.eval_time.ms();
        let result = engine.instant(store, &case.expr, at, &QueryOptions::default()).map_err(|e| format!("{head} err: {e}"))?;
        let mut got: Vec<Sample> = match result.value {
            Value::Vector(v) => v.samples.into_iter().map(|s| Sample::new(s.labels, &s.value)).collect(),
            Value::Scalar { v, .. } => vec![Sample::new(Labels::empty(), &SampleValue::Float(v))],
            _ => return Err(format!("{head} err: rule result is not a vector or scalar")),
        };
        let mut expected = Vec::new();
        for s in &case.exp_samples {
            let sample = expected_sample(&s.labels, s.value, &s.histogram);
            expected.push(sample.map_err(|e| format!("{head} err: labels {}: {e}", model::labels::quote(&s.labels)))?);
        }
        got.sort_by(|a, b| a.labels.cmp(&b.labels));
        expected.sort_by(|a, b| a.labels.cmp(&b.labels));
        let fuzzy = self.file.fuzzy_compare;
        if got.len() == expected.len() && got.iter().zip(&expected).all(|(a, b)| a.equals(b, fuzzy)) {
            return Ok(());
        }
        let shown = |samples: &[Sample]| {
            let all: Vec<String> = samples.iter().map(Sample::to_string).collect();
            if all.is_empty() { "nil".to_string() } else { all.join(", ") }
        };
        Err(format!("{head}\n        exp: {}\n        got: {}", shown(&expected), shown(&got)))
    }

    /// All samples there are, to standard error.
    fn dump(&self, engine: &Engine, store: &UnitStore) {
        let range_ms = (self.last_ms() + 1000) / 1000 * 1000;
        let range = go::duration(range_ms * 1_000_000);
        let expr = format!("{{__name__=~\".+\"}}[{range}]");
        match engine.instant(store, &expr, self.start_ms() + range_ms, &QueryOptions::default()).map(|r| r.value) {
            Ok(Value::Matrix(m)) => {
                complain(&format!("DEBUG: Dump of all data (input_series and rules) at {range}:"));
                let mut lines = Vec::new();
                for s in m.iter() {
                    lines.push(format!("{} =>", s.labels));
                    lines.extend(s.floats().map(|(t, v)| format!("{} @[{t}]", model::number::format_f(v))));
                    lines.extend(s.histograms().map(|(t, h)| format!("{} @[{t}]", h.test_expression())));
                }
                complain(&lines.join("\n"));
            }
            Ok(_) => complain("DEBUG: Got unexpected type"),
            Err(e) => complain(&format!("DEBUG: Failed query exec, expr: {expr:?}, err: {e}")),
        }
    }
}

#[derive(Debug)]
struct Sample {
    labels: Labels,
    v: f64,
    /// Empty for a float.
    histogram: String,
}

impl Sample {
    fn new(labels: Labels, value: &SampleValue) -> Sample {
        match value {
            SampleValue::Float(v) => Sample { labels, v: *v, histogram: String::new() },
            SampleValue::Histogram(h) => Sample { labels, v: 0.0, histogram: h.test_expression() },
        }
    }

    /// NaN is like nothing, as in promtool; `fuzzy`: neighbours are alike.
    fn equals(&self, other: &Sample, fuzzy: bool) -> bool {
        let (a, b) = (self.v, other.v);
        let close = fuzzy && (a.next_up() == b || a.next_down() == b);
        self.labels == other.labels && self.histogram == other.histogram && (a == b || close)
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.histogram.is_empty() {
            write!(f, "{} {}", self.labels, go::format_e(self.v))
        } else {
            write!(f, "{} {}", self.labels, self.histogram)
        }
    }
}

fn expected_sample(labels: &str, v: f64, histogram: &str) -> Result<Sample, String> {
    let labels = promql::parse::parse_metric(labels).map_err(|e| e.to_string())?;
    if histogram.is_empty() {
        return Ok(Sample { labels, v, histogram: String::new() });
    }
    let text = format!("load 1m\n{{}} {histogram}\n");
    let inputs = promql::testkit::parse(&text).map_err(|e| e.message)?;
    let points = match inputs.first() {
        Some(promql::testkit::Command::Load(l)) => l.series.first().map_or(&[][..], |s| &s.points),
        _ => &[],
    };
    let h: &FloatHistogram = match points {
        [promql::testkit::Point::Histogram { histogram, .. }] => histogram,
        [other] => return Err(format!("expected histogram, got {other:?}")),
        many => return Err(format!("expected 1 value, got {}", many.len())),
    };
    Ok(Sample { labels, v: 0.0, histogram: h.test_expression() })
}

/// Every line but the first behind that many blanks.
fn indented(text: &str, blanks: usize) -> String {
    text.replace('\n', &format!("\n{}", " ".repeat(blanks)))
}

fn alerts_text(alerts: &[(Labels, Labels)]) -> String {
    if alerts.is_empty() {
        return "[]".to_string();
    }
    let one = |(i, (labels, annotations)): (usize, &(Labels, Labels))| {
        format!("{i}:{}", indented(&format!("\nLabels:{labels}\nAnnotations:{annotations}"), 2))
    };
    let all: Vec<String> = alerts.iter().enumerate().map(one).collect();
    format!("[\n{}\n]", all.join(",\n"))
}

/// What is expected and missing, and what came and was not expected, line by line.
fn difference(expected: &[(Labels, Labels)], got: &[(Labels, Labels)]) -> String {
    let text = |(labels, annotations): &(Labels, Labels)| format!("Labels:{labels} Annotations:{annotations}");
    let missing = expected.iter().filter(|e| !got.contains(e)).map(|e| format!("\u{1b}[0;31m- {}\u{1b}[0m", text(e)));
    let added = got.iter().filter(|g| !expected.contains(g)).map(|g| format!("\u{1b}[0;32m+ {}\u{1b}[0m", text(g)));
    missing.chain(added).collect::<Vec<_>>().join("\n")
}

/// What JUnit's XML says of a file.
#[derive(Default)]
struct Suite {
    name: String,
    timestamp: String,
    /// The file could not be read.
    error: Option<String>,
    cases: Vec<(String, Vec<String>)>,
}

impl Suite {
    fn write(&self, out: &mut String) {
        let failures: usize = self.cases.iter().map(|c| c.1.len()).sum();
        let (tests, errors) = if self.error.is_some() { (1, 1) } else { (self.cases.len(), 0) };
        out.push_str(&format!(
            "<testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" timestamp=\"{}\">",
            escape(&self.name),
            self.timestamp
        ));
        if let Some(e) = &self.error {
            out.push_str(&format!("<testcase name=\"unknown\"><error>{}</error></testcase>", escape(e)));
        }
        for (name, failures) in &self.cases {
            out.push_str(&format!("<testcase name=\"{}\">", escape(name)));
            failures.iter().for_each(|f| out.push_str(&format!("<failure>{}</failure>", escape(f))));
            out.push_str("</testcase>");
        }
        out.push_str("</testsuite>");
    }
}

/// As Go's `encoding/xml`.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            other => out.push(other),
        }
    }
    out
}
