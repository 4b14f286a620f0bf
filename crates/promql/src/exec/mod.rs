//! Evaluates plans: operators over streams of rows.
//!
//! [`evaluate`] walks the plan once and gives a scalar, a text or a [`stream::Stream`]: series whose labels and rows are computed when
//! somebody takes them. What needs one series at a time (functions, scalars, many sides of joins) is done on the row while it
//! is hot; what needs them together (aggregations, joins, histograms of classic buckets) takes the stream row by row, in order, from as many
//! threads as are allowed.

mod aggregate;
pub mod binop;
pub mod calendar;
mod classic;
mod info;
mod join;
mod labels_fn;
pub mod limits;
mod maps;
mod names;
pub mod profile;
mod quantile;
mod range;
pub mod rows;
mod run;
mod select;
mod series;
mod set;
mod sort;
mod stream;
mod topk;

pub use quantile::almost_equal;

use crate::annotations::{Annotations, Note};
use crate::engine::{QueryError, QueryStats};
use crate::parse::Expr;
use crate::plan::{Call, Plan, RangeInput, SortBy};
use crate::value::{MatrixValue, SampleValue, Value, VectorSample, VectorValue};
use limits::Budget;
use maps::Map;
use parking_lot::Mutex;
use profile::{Entered, Node, Profile, place};
use rows::{Cell, Grid, Matrix, Meta, Row, bits};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use storage::Queryable;
use stream::{Duplicates, Stream};

/// Settings of one query.
#[derive(Clone, Copy, Debug)]
pub struct Switches {
    pub lookback_ms: i64,
    pub delayed_names: bool,
    pub type_and_unit: bool,
    pub start_timestamps: bool,
    pub threads: usize,
    /// From how much work on (series times steps) threads are used.
    pub parallel_from_cells: usize,
    /// The query's step as selections are told it.
    pub hint_step_ms: i64,
}

/// One query to be run.
pub struct Run<'q> {
    pub storage: &'q dyn Queryable,
    pub budget: &'q Arc<Budget>,
    pub switches: Switches,
    pub grid: Grid,
    pub instant: bool,
    pub per_step: bool,
    /// Of a query that is explained.
    pub profile: Option<&'q Profile>,
}

/// Samples looked at, for each step of the query's own grid.
#[derive(Default)]
struct PerStep {
    total: Vec<u64>,
    read: Vec<u64>,
}

/// What all operators of a query share.
pub struct Exec<'q> {
    storage: &'q dyn Queryable,
    budget: Arc<Budget>,
    switches: Switches,
    grid: Grid,
    notes: Mutex<Annotations>,
    selections: Mutex<Vec<select::Known>>,
    total: AtomicU64,
    read: AtomicU64,
    per_step: Option<Mutex<PerStep>>,
    profile: Option<&'q Profile>,
}

impl Exec<'_> {
    /// From here on, until the guard is dropped, time is that of the operator at this place.
    fn enter<T>(&self, operator: &T) -> Option<Entered<'_>> {
        self.profile.map(|p| p.enter(place(operator)))
    }

    /// The operator that is at work.
    fn here(&self) -> Node {
        self.profile.map_or(0, Profile::here)
    }

    fn note(&self, note: Note<'_>, metric: &str, span: crate::parse::Span) {
        self.notes.lock().add(note, metric, span);
    }
}

/// A number at every step.
#[derive(Clone, Debug)]
pub enum Scalar {
    Same(f64),
    Steps(Vec<f64>),
}

impl Scalar {
    #[inline]
    pub fn get(&self, k: usize) -> f64 {
        match self {
            Scalar::Same(v) => *v,
            Scalar::Steps(v) => v[k],
        }
    }

    fn map2(a: &Scalar, b: &Scalar, n: usize, f: impl Fn(f64, f64) -> f64) -> Scalar {
        match (a, b) {
            (Scalar::Same(x), Scalar::Same(y)) => Scalar::Same(f(*x, *y)),
            _ => Scalar::Steps((0..n).map(|k| f(a.get(k), b.get(k))).collect()),
        }
    }
}

/// What a plan gives.
#[allow(clippy::large_enum_variant, reason = "one at a time, and mostly the large one")]
pub enum Evaluated<'p> {
    Scalar(Scalar),
    Vector(Stream<'p>),
    Text(String),
}

/// How much stack a level of nesting may take, and how much there is without asking.
const STACK_PER_LEVEL: usize = 24 << 10;
const LEVELS_AT_HAND: usize = 40;

/// More levels of operators than this are not evaluated, and more than that not explained: a chain has as many as it has terms, and an
/// explanation indents each.
const MAX_LEVELS: usize = 50_000;
const MAX_EXPLAINED_LEVELS: usize = 1_000;

/// Refuses what is too deep.
pub fn check_depth(expr: &Expr, explained: bool) -> Result<(), QueryError> {
    let (levels, at_most, done) =
        (depth(expr), if explained { MAX_EXPLAINED_LEVELS } else { MAX_LEVELS }, if explained { "explained" } else { "evaluated" });
    if levels > at_most {
        return Err(QueryError::bad_data(format!("query has {levels} levels of operators, at most {at_most} can be {done}")));
    }
    Ok(())
}

/// Runs `work` where the nesting of the expression fits on the stack. A chain of ten thousand terms is as deep as it is long.
pub fn on_deep_stack<T: Send>(expr: &Expr, work: impl FnOnce() -> T + Send) -> T {
    let levels = depth(expr);
    if levels <= LEVELS_AT_HAND {
        return work();
    }
    std::thread::scope(|s| {
        let thread = std::thread::Builder::new().name("promql-deep".to_string()).stack_size((levels + 64) * STACK_PER_LEVEL).spawn_scoped(s, work);
        match thread {
            Ok(t) => t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(e) => panic!("cannot start a thread for a query of {levels} levels: {e}"),
        }
    })
}

fn depth(expr: &Expr) -> usize {
    let mut deepest = 0;
    let mut stack = vec![(expr, 1)];
    while let Some((e, level)) = stack.pop() {
        deepest = deepest.max(level);
        match e {
            Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => {}
            Expr::Subquery(s) => stack.push((&s.expr, level + 1)),
            Expr::Call(c) => stack.extend(c.args.iter().map(|a| (a, level + 1))),
            Expr::Aggregate(a) => stack.extend(a.param.iter().chain([&a.expr]).map(|a| (a, level + 1))),
            Expr::Binary(b) => stack.extend([(&b.lhs, level + 1), (&b.rhs, level + 1)]),
            Expr::Unary(u) => stack.push((&u.expr, level + 1)),
            Expr::Paren(p) => stack.push((&p.expr, level + 1)),
        }
    }
    deepest
}

/// Evaluates a whole query.
pub fn run(
    query: &Run<'_>,
    plan: &Plan,
    clock: &stdx::clock::SharedClock,
    annotations: &mut Annotations,
    stats: &mut QueryStats,
) -> Result<Value, QueryError> {
    let steps = query.grid.n;
    let ex = Exec {
        storage: query.storage,
        budget: Arc::clone(query.budget),
        switches: query.switches,
        grid: query.grid,
        notes: Mutex::default(),
        selections: Mutex::default(),
        total: AtomicU64::new(0),
        read: AtomicU64::new(0),
        per_step: query.per_step.then(|| Mutex::new(PerStep { total: vec![0; steps], read: vec![0; steps] })),
        profile: query.profile,
    };
    let value = whole(&ex, query, plan, clock, stats);
    *annotations = std::mem::take(&mut *ex.notes.lock());
    stats.samples.total_queryable = ex.total.load(Ordering::Relaxed);
    stats.samples.read = ex.read.load(Ordering::Relaxed);
    if let Some(per_step) = ex.per_step {
        let per_step = per_step.into_inner();
        let timed = |counts: Vec<u64>| Some(counts.into_iter().enumerate().map(|(k, c)| (query.grid.time(k), c)).collect());
        stats.samples.total_queryable_per_step = timed(per_step.total);
        stats.samples.read_per_step = timed(per_step.read);
    }
    value
}

fn whole(ex: &Exec<'_>, query: &Run<'_>, plan: &Plan, clock: &stdx::clock::SharedClock, stats: &mut QueryStats) -> Result<Value, QueryError> {
    if let Plan::Range(input) = plan {
        return range::points(ex, input, query.grid).map(|series| Value::Matrix(MatrixValue::from_points(series)));
    }
    let t_ms = query.grid.start_ms;
    let evaluated = evaluate(ex, plan, query.grid)?;
    match evaluated {
        Evaluated::Text(v) => Ok(Value::String { t_ms, v }),
        Evaluated::Scalar(s) if query.instant => Ok(Value::Scalar { t_ms, v: s.get(0) }),
        Evaluated::Scalar(s) => {
            let mut row = Row::new(query.grid);
            (0..query.grid.n).for_each(|k| row.set(k, s.get(k)));
            let mut matrix = Matrix::new(query.grid);
            matrix.push(Meta::default(), row.view());
            Ok(Value::Matrix(MatrixValue::from_steps(query.grid, matrix)))
        }
        Evaluated::Vector(stream) => {
            let matrix = finish_names(ex, stream)?;
            if !query.instant {
                let sorting = clock.monotonic();
                let value = MatrixValue::from_steps(query.grid, matrix);
                stats.timings.result_sort = clock.monotonic().saturating_sub(sorting);
                return Ok(Value::Matrix(value));
            }
            let samples = (0..matrix.len())
                .filter_map(|i| {
                    let value = match matrix.row(i).cell(0)? {
                        Cell::Float(v) => SampleValue::Float(v),
                        Cell::Hist(h) => SampleValue::Histogram(Arc::clone(h)),
                    };
                    Some(VectorSample { labels: matrix.meta(i).labels.clone(), value })
                })
                .collect();
            Ok(Value::Vector(VectorValue { t_ms, samples }))
        }
    }
}

/// Drops the names that were kept for later, and collects.
fn finish_names(ex: &Exec<'_>, stream: Stream<'_>) -> Result<Matrix, QueryError> {
    if !ex.switches.delayed_names {
        return stream.collect(ex);
    }
    let stream = stream.rename(ex, Duplicates::Merge, |m| {
        if m.drop_name {
            m.labels = names::without_schema(&m.labels);
        }
    })?;
    stream.collect(ex)
}

fn scalar(ex: &Exec<'_>, plan: &Plan, grid: Grid) -> Result<Scalar, QueryError> {
    match evaluate(ex, plan, grid)? {
        Evaluated::Scalar(s) => Ok(s),
        Evaluated::Vector(_) | Evaluated::Text(_) => Err(QueryError::bad_data("expected a scalar")),
    }
}

fn vector<'p>(ex: &Exec<'_>, plan: &'p Plan, grid: Grid) -> Result<Stream<'p>, QueryError> {
    match evaluate(ex, plan, grid)? {
        Evaluated::Vector(s) => Ok(s),
        Evaluated::Scalar(_) | Evaluated::Text(_) => Err(QueryError::bad_data("expected an instant vector")),
    }
}

fn evaluate<'p>(ex: &Exec<'_>, plan: &'p Plan, grid: Grid) -> Result<Evaluated<'p>, QueryError> {
    ex.budget.check()?;
    // Scalars and rows are as long as the grid: better to say no before they are made.
    ex.budget.peek_bytes(grid.n as u64 * 8)?;
    let Some(profile) = ex.profile else { return operator(ex, plan, grid) };
    let _at = profile.enter(place(plan));
    let given = operator(ex, plan, grid)?;
    if let Evaluated::Vector(stream) = &given {
        profile.add(profile.here(), stream.given_already());
    }
    Ok(given)
}

fn operator<'p>(ex: &Exec<'_>, plan: &'p Plan, grid: Grid) -> Result<Evaluated<'p>, QueryError> {
    Ok(match plan {
        Plan::Number(v) => Evaluated::Scalar(Scalar::Same(*v)),
        Plan::Text(s) => Evaluated::Text(s.clone()),
        Plan::Time if grid.n == 1 => Evaluated::Scalar(Scalar::Same(grid.start_ms as f64 / 1000.0)),
        Plan::Time => Evaluated::Scalar(Scalar::Steps((0..grid.n).map(|k| grid.time(k) as f64 / 1000.0).collect())),
        Plan::Select(s) => Evaluated::Vector(select::instant(ex, s, grid)?),
        Plan::Range(_) => return Err(QueryError::bad_data("a range vector must be the argument of a function")),
        Plan::Call { call, args, spans, span } => function(ex, call, args, spans, *span, grid)?,
        Plan::RangeCall(call) => Evaluated::Vector(range::call(ex, call, grid)?),
        Plan::Aggregate(a) => Evaluated::Vector(aggregate::evaluate(ex, a, grid)?),
        Plan::Negate(inner) => match evaluate(ex, inner, grid)? {
            Evaluated::Scalar(Scalar::Same(v)) => Evaluated::Scalar(Scalar::Same(-v)),
            Evaluated::Scalar(Scalar::Steps(v)) => Evaluated::Scalar(Scalar::Steps(v.into_iter().map(|v| -v).collect())),
            Evaluated::Vector(s) => Evaluated::Vector(s.map(ex, Map::Negate).without_names(ex, Duplicates::Merge)?),
            text @ Evaluated::Text(_) => text,
        },
        Plan::Binary(b) => binop::evaluate(ex, b, grid)?,
        Plan::Invariant(inner) if grid.n == 1 => evaluate(ex, inner, grid)?,
        Plan::Invariant(inner) => match evaluate(ex, inner, Grid { n: 1, ..grid })? {
            Evaluated::Scalar(s) => Evaluated::Scalar(Scalar::Same(s.get(0))),
            Evaluated::Vector(s) => Evaluated::Vector(Stream::repeat(s.collect(ex)?, grid)),
            text @ Evaluated::Text(_) => text,
        },
    })
}

/// Functions that do not take a range vector.
fn function<'p>(
    ex: &Exec<'_>,
    call: &'p Call,
    args: &'p [Plan],
    spans: &'p [crate::parse::Span],
    span: crate::parse::Span,
    grid: Grid,
) -> Result<Evaluated<'p>, QueryError> {
    let vector_at = |i: usize| vector(ex, &args[i], grid);
    let scalar_at = |i: usize| scalar(ex, &args[i], grid);
    // A function that computes new values: one map over rows, and the name goes.
    let mapped = |stream: Stream<'p>, map: Map<'p>| stream.map(ex, map).without_names(ex, Duplicates::Merge).map(Evaluated::Vector);
    match call {
        Call::Math(f) => mapped(vector_at(0)?, Map::Math(*f)),
        Call::Hist(f) => mapped(vector_at(0)?, Map::Hist(*f)),
        Call::Clamp => mapped(vector_at(0)?, Map::Clamp { min: scalar_at(1)?, max: scalar_at(2)? }),
        Call::ClampMin => mapped(vector_at(0)?, Map::Clamp { min: scalar_at(1)?, max: Scalar::Same(f64::INFINITY) }),
        Call::ClampMax => mapped(vector_at(0)?, Map::Clamp { min: Scalar::Same(f64::NEG_INFINITY), max: scalar_at(1)? }),
        Call::Round => mapped(vector_at(0)?, Map::Round(if args.len() > 1 { scalar_at(1)? } else { Scalar::Same(1.0) })),
        Call::Date(f) if args.is_empty() => {
            let mut row = Row::new(grid);
            (0..grid.n).for_each(|k| row.set(k, maps::date(*f, grid.time(k) / 1000)));
            Ok(Evaluated::Vector(Stream::single(grid, Meta::default(), &row)))
        }
        Call::Date(f) => mapped(vector_at(0)?, Map::Date(*f)),
        Call::Timestamp => match &args[0] {
            Plan::Select(s) => select::timestamps(ex, s, grid, false)?.without_names(ex, Duplicates::Merge).map(Evaluated::Vector),
            _ => mapped(vector_at(0)?, Map::StepTime),
        },
        Call::StartTimestamp => match &args[0] {
            Plan::Select(s) if ex.switches.start_timestamps => {
                select::timestamps(ex, s, grid, true)?.without_names(ex, Duplicates::Merge).map(Evaluated::Vector)
            }
            _ => Ok(Evaluated::Vector(Stream::from_matrix(Matrix::new(grid), grid))),
        },
        Call::HistogramQuantile => {
            let q = scalar_at(0)?;
            classic::quantiles(ex, vector_at(1)?, grid, &[(q, spans[0])], None, spans[0], spans[1]).map(Evaluated::Vector)
        }
        Call::HistogramQuantiles(label) => {
            let stream = vector_at(0)?;
            let qs = (1..args.len()).map(|i| Ok((scalar_at(i)?, spans[i + 1]))).collect::<Result<Vec<_>, QueryError>>()?;
            classic::quantiles(ex, stream, grid, &qs, Some(label), spans[0], spans[0]).map(Evaluated::Vector)
        }
        Call::HistogramFraction => {
            let (lower, upper) = (scalar_at(0)?, scalar_at(1)?);
            classic::fraction(ex, vector_at(2)?, grid, &lower, &upper, spans[0], spans[2]).map(Evaluated::Vector)
        }
        Call::Sort { by, descending } => {
            if grid.n > 1 || ex.grid.n > 1 {
                ex.note(Note::SortInRange, "", span);
            }
            let stream = vector_at(0)?;
            let stream = if *by == SortBy::Value { stream.map(ex, Map::FloatsOnly) } else { stream };
            if grid.n > 1 {
                return Ok(Evaluated::Vector(stream));
            }
            Ok(Evaluated::Vector(sort::sort(stream.collect(ex)?, grid, by, *descending)))
        }
        Call::LabelReplace { dst, replacement, src, regex } => {
            labels_fn::replace(ex, vector_at(0)?, dst, replacement, src, regex).map(Evaluated::Vector)
        }
        Call::LabelJoin { dst, separator, src } => labels_fn::join(ex, vector_at(0)?, dst, separator, src).map(Evaluated::Vector),
        Call::Info(matchers) => info::evaluate(ex, &args[0], matchers, grid).map(Evaluated::Vector),
        Call::Absent(labels) => {
            let mut present = vec![0u64; grid.words()];
            vector_at(0)?.for_each(ex, &mut |_, row| {
                row.view().add_presence(&mut present);
                Ok(())
            })?;
            let mut row = Row::new(grid);
            (0..grid.n).filter(|k| !bits::get(&present, *k)).for_each(|k| row.set(k, 1.0));
            Ok(Evaluated::Vector(Stream::single(grid, Meta { labels: labels.clone(), drop_name: false }, &row)))
        }
        Call::Scalar => {
            let mut seen = vec![0u32; grid.n];
            let mut value = vec![f64::NAN; grid.n];
            vector_at(0)?.for_each(ex, &mut |_, row| {
                for k in bits::ones(&row.valid) {
                    seen[k] += 1;
                    value[k] = if seen[k] == 1 { row.v[k] } else { f64::NAN };
                }
                Ok(())
            })?;
            Ok(Evaluated::Scalar(if grid.n == 1 { Scalar::Same(value[0]) } else { Scalar::Steps(value) }))
        }
        Call::Vector => {
            let s = scalar_at(0)?;
            let mut row = Row::new(grid);
            (0..grid.n).for_each(|k| row.set(k, s.get(k)));
            Ok(Evaluated::Vector(Stream::single(grid, Meta::default(), &row)))
        }
        Call::Pi => Ok(Evaluated::Scalar(Scalar::Same(std::f64::consts::PI))),
        Call::MaxOf => Ok(Evaluated::Scalar(Scalar::map2(&scalar_at(0)?, &scalar_at(1)?, grid.n, binop::max))),
        Call::MinOf => Ok(Evaluated::Scalar(Scalar::map2(&scalar_at(0)?, &scalar_at(1)?, grid.n, binop::min))),
    }
}

/// Keeps the input alive for operators that look at it again.
fn is_subquery(input: &RangeInput) -> bool {
    matches!(input, RangeInput::Subquery(_))
}
