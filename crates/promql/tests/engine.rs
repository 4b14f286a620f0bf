//! The engine around evaluation: limits, time, turns, cancellation, statistics, odd queries.

use model::{Labels, Matcher};
use promql::testkit::{self, TestStore};
use promql::{ActiveQueries, Cancel, Engine, EngineOptions, ErrorKind, QueryError, QueryOptions, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use stdx::clock::{ManualClock, SharedClock, SystemClock};
use storage::{EncodedChunk, LabelHints, Querier, Queryable, ReadError, SelectHints, Selection, SeriesData, Warnings};

fn store(series: usize, samples: i64) -> TestStore {
    let mut s = TestStore::default();
    for i in 0..series {
        let labels = Labels::from_pairs([("__name__", "seat_total".to_string()), ("n", i.to_string())]);
        for t in 0..samples {
            s.append(&labels, t * 15_000, 0, (t * (i as i64 + 1)) as f64).expect("samples come in order");
        }
    }
    s
}

fn engine(change: impl FnOnce(&mut EngineOptions)) -> Engine {
    let mut options = testkit::engine_options(SystemClock::shared());
    change(&mut options);
    Engine::new(options)
}

fn message(r: Result<promql::QueryResult, QueryError>) -> (ErrorKind, String) {
    let e = r.expect_err("the query must fail");
    (e.kind, e.message)
}

#[test]
fn a_query_that_holds_too_many_samples_ends() {
    let e = engine(|o| o.max_samples = 50);
    let got = message(e.range(&store(10, 20), "seat_total", 0, 200_000, 15_000, &QueryOptions::default()));
    assert_eq!(got, (ErrorKind::Execution, "query processing would load too many samples into memory in query execution".to_string()));
    e.instant(&store(10, 20), "sum(seat_total)", 200_000, &QueryOptions::default()).expect("ten samples are not too many");
}

#[test]
fn memory_limits_name_themselves() {
    let one = engine(|o| o.max_query_bytes = 1000);
    let (kind, text) = message(one.range(&store(10, 20), "seat_total", 0, 200_000, 15_000, &QueryOptions::default()));
    assert!(kind == ErrorKind::Execution && text.starts_with("query would use more than 1000 bytes of memory"), "{text}");
    let all = engine(|o| o.max_total_bytes = 1000);
    let (_, text) = message(all.range(&store(10, 20), "seat_total", 0, 200_000, 15_000, &QueryOptions::default()));
    assert!(text.starts_with("running queries would use more than 1000 bytes"), "{text}");
    // What a failed query held is given back.
    all.instant(&store(1, 2), "seat_total", 15_000, &QueryOptions::default()).expect("there is room again");
}

#[test]
fn impossible_times_are_refused() {
    let e = engine(|_| {});
    let range = |start, end, step, q: &str| message(e.range(&store(1, 1), q, start, end, step, &QueryOptions::default())).1;
    assert_eq!(range(0, 10, 0, "1"), "zero or negative query resolution step widths are not accepted. Try a positive integer");
    assert_eq!(range(10, 0, 1, "1"), "end timestamp must not be before start time");
    assert_eq!(range(0, 1, 1, "x[5m]"), "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector");
    assert_eq!(range(0, 1, 1, "sum("), "1:5: parse error: unclosed left parenthesis");
}

#[test]
fn a_canceled_query_ends_and_a_late_one_too() {
    let e = engine(|_| {});
    let cancel = Cancel::new();
    cancel.cancel();
    let options = QueryOptions { cancel: Some(cancel), ..QueryOptions::default() };
    let (kind, text) = message(e.instant(&store(3, 3), "sum(seat_total)", 30_000, &options));
    assert_eq!((kind, text.as_str()), (ErrorKind::Canceled, "query was canceled in query execution"));
    let clock = ManualClock::at_ms(1_000);
    let shared: SharedClock = clock.clone();
    let slow = Engine::new(EngineOptions { timeout: Duration::from_secs(1), ..testkit::engine_options(shared) });
    let (kind, text) = message(slow.instant(&Slow(store(3, 3), clock), "sum(seat_total)", 30_000, &QueryOptions::default()));
    assert_eq!((kind, text.as_str()), (ErrorKind::Timeout, "query timed out in expression evaluation"));
}

/// A storage whose every read takes a second.
#[derive(Clone)]
struct Slow(TestStore, Arc<ManualClock>);

struct SlowSelection(Arc<dyn Selection>, Arc<ManualClock>);

impl Queryable for Slow {
    fn querier(&self, _mint_ms: i64, _maxt_ms: i64) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(self.clone()))
    }
}

impl Querier for Slow {
    fn select(&self, sorted: bool, hints: &SelectHints, matchers: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        Ok(Arc::new(SlowSelection(self.0.select(sorted, hints, matchers)?, self.1.clone())))
    }

    fn label_values(&self, name: &str, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        self.0.label_values(name, hints, matchers)
    }

    fn label_names(&self, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        self.0.label_names(hints, matchers)
    }
}

impl Selection for SlowSelection {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, i: usize) -> Labels {
        self.0.labels(i)
    }

    fn read(&self, i: usize, start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ReadError> {
        self.1.advance(Duration::from_secs(1));
        self.0.read(i, start_ms, end_ms, out)
    }

    fn chunks(&self, i: usize, start_ms: i64, end_ms: i64, each: &mut dyn FnMut(EncodedChunk)) -> Result<(), ReadError> {
        self.0.chunks(i, start_ms, end_ms, each)
    }
}

#[derive(Default)]
struct Counted {
    running: AtomicU64,
    seen: AtomicU64,
}

impl ActiveQueries for Counted {
    fn begin(&self, _query: &str) -> u64 {
        self.running.fetch_add(1, Ordering::SeqCst);
        self.seen.fetch_add(1, Ordering::SeqCst)
    }

    fn end(&self, _id: u64) {
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn running_queries_are_listed_and_taken_off() {
    let list = Arc::new(Counted::default());
    let e = engine(|o| o.active_queries = Some(list.clone()));
    e.instant(&store(1, 1), "1", 0, &QueryOptions::default()).expect("a number");
    message(e.instant(&store(1, 1), "topk(NaN, seat_total)", 0, &QueryOptions::default()));
    assert_eq!((list.running.load(Ordering::SeqCst), list.seen.load(Ordering::SeqCst)), (0, 2));
}

#[test]
fn statistics_count_windows_and_samples() {
    let e = engine(|o| o.per_step_stats = true);
    let options = QueryOptions { per_step_stats: true, ..QueryOptions::default() };
    for (query, total, read) in [("seat_total", 8, 8), ("sum(count_over_time(seat_total[30s]))", 16, 10), ("seat_total + seat_total", 16, 16)] {
        let stats = e.range(&store(2, 20), query, 60_000, 105_000, 15_000, &options).expect(query).stats.samples;
        assert_eq!((stats.total_queryable, stats.read), (total, read), "{query}");
        let per_step: u64 = stats.total_queryable_per_step.expect("asked for").iter().map(|s| s.1).sum();
        assert_eq!(per_step, total, "{query}");
        let plain = e.range(&store(2, 20), query, 60_000, 105_000, 15_000, &QueryOptions::default()).expect(query).stats.samples;
        assert_eq!((plain.total_queryable, plain.read), (total, read), "{query} without steps");
    }
}

#[test]
fn a_chain_of_ten_thousand_terms_is_only_long() {
    let query = vec!["1"; 10_000].join(" + ");
    let r = engine(|_| {}).instant(&store(1, 1), &query, 0, &QueryOptions::default()).expect("a long sum");
    assert!(matches!(r.value, Value::Scalar { v, .. } if v == 10_000.0));
    let query = vec!["vector(1)"; 20_000].join(" + ");
    let (e, store, options) = (engine(|_| {}), store(1, 1), QueryOptions::default());
    let r = e.instant(&store, &query, 0, &options).expect("a long sum of vectors");
    assert!(matches!(r.value, Value::Vector(v) if v.samples.len() == 1));
    // Each operator of an explanation is indented by its depth.
    let refused = "query has 20001 levels of operators, at most 1000 can be explained";
    assert_eq!(e.explain(&store, &query, 0, 0, 0, &options).map(|_| ()).map_err(|e| e.message), Err(refused.to_string()));
    assert_eq!(e.plan(&query, 0, 0, 0).map_err(|e| e.message), Err(refused.to_string()));
    let query = vec!["1"; 60_000].join(" + ");
    let refused = e.instant(&store, &query, 0, &options).map(|_| ()).map_err(|e| e.message);
    assert_eq!(refused, Err("query has 60000 levels of operators, at most 50000 can be evaluated".to_string()));
}

#[test]
fn notes_say_where() {
    let e = engine(|_| {});
    let r = e.instant(&store(1, 3), "1 +\n  rate(seat_total[1m]) + quantile_over_time(2, seat_total[1m])", 30_000, &QueryOptions::default());
    let r = r.expect("a sum");
    assert_eq!(r.warnings, ["PromQL warning: quantile value should be between 0 and 1, got 2 (2:45)"]);
    assert!(r.infos.is_empty(), "{:?}", r.infos);
}

#[test]
fn threads_change_no_bit() {
    let query = "sum by (m) (label_replace(rate(seat_total[1m]), \"m\", \"$1\", \"n\", \".*(.)\")) / 3";
    let s = store(200, 40);
    let ask = |threads: usize| {
        let e = engine(|o| (o.threads, o.parallel_from_cells, o.max_samples) = (threads, 0, 1_000_000));
        let r = e.range(&s, query, 60_000, 500_000, 7_000, &QueryOptions::default()).expect("a range");
        let Value::Matrix(m) = r.value else { panic!("a range query gives a matrix") };
        m.iter().map(|s| (s.labels.clone(), s.floats().map(|(t, v)| (t, v.to_bits())).collect::<Vec<_>>())).collect::<Vec<_>>()
    };
    let alone = ask(1);
    assert_eq!(alone.len(), 10);
    assert_eq!(alone, ask(4));
}

#[test]
fn a_plan_can_be_looked_at() {
    let plan = engine(|_| {}).plan("sum by (n) (rate(seat_total[5m])) / scalar(up @ 60)", 0, 60_000, 15_000).expect("a plan");
    let want = "each /
  aggregate sum by (n)
    window rate
      select {__name__=\"seat_total\"} over 5m
  once for all steps
    call scalar
      select {__name__=\"up\"} at 60000 ms
";
    assert_eq!(plan, want);
}

#[test]
fn an_explained_query_tells_what_every_operator_took() {
    let e = engine(|o| (o.threads, o.parallel_from_cells) = (2, 100));
    let text = "sum by (n) (rate(seat_total[1m])) / scalar(count(seat_total))";
    let explained = e.explain(&store(40, 40), text, 0, 600_000, 15_000, &QueryOptions::default()).expect("it runs");
    let shown: Vec<String> = explained.root.to_string().lines().map(|l| l.split("  ").find(|p| !p.is_empty()).unwrap_or("").to_string()).collect();
    assert_eq!(shown[..4], ["each /", "aggregate sum by (n)", "window rate", "select {__name__=\"seat_total\"} over 1m"], "{}", explained.root);
    let sum = &explained.root.inputs[0];
    let (window, select) = (&sum.inputs[0].cost, &sum.inputs[0].inputs[0].cost);
    assert_eq!((sum.cost.series, window.series, select.series), (40, 40, 40));
    // 40 samples of each series, in windows from the second step on.
    assert_eq!(select.samples, 1600);
    assert!(select.bytes >= 1600 * 16, "{}", explained.root);
    assert_eq!(window.samples, sum.cost.samples);
    let all = explained.root.total().time;
    assert!(all > Duration::ZERO && select.time > Duration::ZERO, "{}", explained.root);
    assert!(sum.cost.bytes > 0);
}
