//! Functions over range vectors: each series is decoded once, a window slides over its samples.

mod extended;
mod fast;
mod over_time;
mod rate;
mod regression;
pub mod smooth;
pub mod windows;

pub(super) use over_time::HistMean;

use super::profile::{Cost, Node};
use super::rows::{Grid, Matrix, Meta, Row, bits, hist_samples};
use super::run::Scratch;
use super::select;
use super::series::Series;
use super::stream::{Duplicates, Source, Stream};
use super::{Exec, Scalar, evaluate, scalar};
use crate::annotations::{Annotations, Note};
use crate::engine::QueryError;
use crate::parse::Span;
use crate::plan::{RangeCall, RangeFn, RangeInput, Select, Subquery};
use crate::value::PointSeries;
use model::histogram::ResetHint;
use model::sample::is_stale_nan;
use model::{FloatHistogram, Labels};
use std::sync::Arc;
use storage::{Selection, SeriesData};

/// Where the samples of a range vector come from.
enum Feed {
    Selection {
        selection: Arc<dyn Selection>,
        select: Arc<Select>,
    },
    /// The rows of an evaluated subquery on its own grid.
    Rows {
        grid: Grid,
        matrix: Matrix,
    },
}

/// Which samples belong to a step.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    at_ms: Option<i64>,
    offset_ms: i64,
    pub range_ms: i64,
    /// How much further the window reaches to the left and to the right: for `anchored` and `smoothed`.
    before_ms: i64,
    after_ms: i64,
    pub anchored: bool,
    pub smoothed: bool,
}

impl Frame {
    fn reference(&self, grid: Grid, k: usize) -> i64 {
        self.at_ms.map_or_else(|| grid.time(k), |at| at + grid.pinned_shift_ms) - self.offset_ms
    }

    /// First and last time that any window holds; of pinned windows where they should be, as the reference loads no more.
    fn extent(&self, grid: Grid) -> (i64, i64) {
        let unmoved = Grid { pinned_shift_ms: 0, ..grid };
        let (first, last) = (self.reference(unmoved, 0), self.reference(unmoved, grid.n - 1));
        (first - self.range_ms - self.before_ms + 1, last + self.after_ms)
    }
}

pub struct RangeSource<'p> {
    feed: Feed,
    /// The operator that the samples come from, when the query is explained.
    pub(super) input: Node,
    frame: Frame,
    func: RangeFn,
    args: Vec<Scalar>,
    /// Where notes point to.
    span: Span,
    /// No series has a name that a counter should not have: nobody has to look.
    counter_names: bool,
    /// Labels of the rows of a subquery; a selection knows its own.
    labels: Vec<Labels>,
    from_subquery: bool,
    _call: std::marker::PhantomData<&'p ()>,
}

/// The samples of one step.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    pub t: &'a [i64],
    pub v: &'a [f64],
    /// Start timestamps, when they are looked at; as long as `t`, or empty.
    pub st: &'a [i64],
    pub ht: &'a [i64],
    pub h: &'a [Arc<FloatHistogram>],
    pub hst: &'a [i64],
    /// The window without its extensions: open to the left, closed to the right.
    pub start_ms: i64,
    pub end_ms: i64,
    /// The step's time.
    pub eval_ms: i64,
}

impl<'a> Window<'a> {
    /// Floats without anything around them.
    fn of_floats(t: &'a [i64], v: &'a [f64]) -> Self {
        Window { t, v, st: &[], ht: &[], h: &[], hst: &[], start_ms: 0, end_ms: 0, eval_ms: 0 }
    }

    pub fn is_mixed(&self) -> bool {
        !self.t.is_empty() && !self.h.is_empty()
    }
}

/// What a function gives for a window.
pub enum Out {
    Float(f64),
    Hist(FloatHistogram),
    Shared(Arc<FloatHistogram>),
}

/// What functions need beside the window.
pub struct Env<'a> {
    pub frame: Frame,
    pub span: Span,
    pub called: Called<'a>,
    pub notes: &'a mut Annotations,
    pub values: &'a mut Vec<f64>,
}

impl Env<'_> {
    pub fn note(&mut self, note: Note<'_>) {
        self.notes.add(note, self.called.labels().metric_name(), self.span);
    }
}

/// Labels of the series at hand, built when there is something to be said about it.
#[derive(Clone, Copy)]
pub enum Called<'a> {
    Known(&'a Labels),
    Stored(&'a dyn Selection, usize),
}

impl Called<'_> {
    pub fn labels(self) -> Labels {
        match self {
            Called::Known(labels) => labels.clone(),
            Called::Stored(selection, i) => selection.labels(i),
        }
    }
}

const ANCHORED: [RangeFn; 5] = [RangeFn::Changes, RangeFn::Delta, RangeFn::Increase, RangeFn::Rate, RangeFn::Resets];
const SMOOTHED: [RangeFn; 3] = [RangeFn::Delta, RangeFn::Increase, RangeFn::Rate];

fn check_modifiers(select: &Select, func: RangeFn) -> Result<(), QueryError> {
    let (word, safe): (&str, &[RangeFn]) = match (select.anchored, select.smoothed) {
        (true, _) => ("anchored", &ANCHORED),
        (_, true) => ("smoothed", &SMOOTHED),
        _ => return Ok(()),
    };
    if safe.contains(&func) {
        return Ok(());
    }
    let names: Vec<&str> = safe.iter().map(|f| f.name()).collect();
    Err(QueryError::execution(format!("{word} modifier can only be used with: {} - not with {}", names.join(", "), func.name())))
}

/// The subquery's own steps for the steps of its parent: multiples of its interval. None when there are none.
fn subquery_grid(s: &Subquery, grid: Grid) -> Option<Grid> {
    let reference = |k: usize| s.at_ms.map_or_else(|| grid.time(k), |at| at + grid.pinned_shift_ms) - s.offset_ms;
    let (first, last) = (reference(0) - s.range_ms, reference(grid.n - 1));
    let mut start_ms = s.step_ms * (first / s.step_ms);
    if start_ms <= first {
        start_ms += s.step_ms;
    }
    let pinned_shift_ms = match s.at_ms {
        _ if start_ms != grid.start_ms => 0,
        None => grid.pinned_shift_ms + s.offset_ms,
        Some(at) => s.offset_ms + grid.start_ms - at,
    };
    (last >= start_ms).then(|| Grid { start_ms, step_ms: s.step_ms, n: ((last - start_ms) / s.step_ms) as usize + 1, pinned_shift_ms })
}

fn feed(ex: &Exec<'_>, input: &RangeInput, grid: Grid) -> Result<(Feed, Node, Frame, Series), QueryError> {
    let _at = ex.enter(input);
    let node = ex.here();
    match input {
        RangeInput::Select { select, range_ms, .. } => {
            let lookback = ex.switches.lookback_ms;
            let extended = select.anchored || select.smoothed;
            let frame = Frame {
                at_ms: select.at_ms,
                offset_ms: select.offset_ms,
                range_ms: *range_ms,
                before_ms: if extended { lookback } else { 0 },
                after_ms: if select.smoothed { lookback } else { 0 },
                anchored: select.anchored,
                smoothed: select.smoothed,
            };
            let (start_ms, end_ms) = frame.extent(grid);
            let selection = select::selection(ex, &select.matchers, &select.hints(ex, start_ms, end_ms, *range_ms, grid))?;
            let series = Series::stored(Arc::clone(&selection), select.one_name().is_some());
            Ok((Feed::Selection { selection, select: Arc::clone(select) }, node, frame, series))
        }
        RangeInput::Subquery(s) => {
            let frame =
                Frame { at_ms: s.at_ms, offset_ms: s.offset_ms, range_ms: s.range_ms, before_ms: 0, after_ms: 0, anchored: false, smoothed: false };
            let Some(inner) = subquery_grid(s, grid) else {
                return Ok((Feed::Rows { grid, matrix: Matrix::new(grid) }, node, frame, Series::known(Vec::new())));
            };
            if inner.n as i64 > crate::engine::MAX_STEPS {
                return Err(QueryError::execution(format!("subquery of more than {} steps; ask for fewer", crate::engine::MAX_STEPS)));
            }
            let matrix = match evaluate(ex, &s.plan, inner)? {
                super::Evaluated::Vector(stream) => stream.collect(ex)?,
                super::Evaluated::Scalar(v) => {
                    let mut charge = ex.budget.charge();
                    charge.add_samples(inner.n as u64)?;
                    charge.add_bytes(inner.n as u64 * 8)?;
                    let mut row = Row::new(inner);
                    (0..inner.n).for_each(|k| row.set(k, v.get(k)));
                    let mut m = Matrix::new(inner);
                    m.push(Meta::default(), row.view());
                    m.add_charge(charge);
                    m
                }
                super::Evaluated::Text(_) => return Err(QueryError::bad_data("subquery is only allowed on instant vector")),
            };
            let series = Series::known(matrix.metas().to_vec());
            Ok((Feed::Rows { grid: inner, matrix }, node, frame, series))
        }
    }
}

/// A function over a range vector as a stream.
pub fn call<'p>(ex: &Exec<'_>, c: &'p RangeCall, grid: Grid) -> Result<Stream<'p>, QueryError> {
    if let RangeInput::Select { select, .. } = &c.input {
        check_modifiers(select, c.func)?;
    }
    let (feed, input, frame, series) = feed(ex, &c.input, grid)?;
    let args = c.args.iter().map(|a| scalar(ex, a, grid)).collect::<Result<Vec<_>, _>>()?;
    if c.func == RangeFn::DoubleExponentialSmoothing && series.len() > 0 {
        check_factors(&args, grid)?;
    }
    let labels: Vec<Labels> = match &feed {
        Feed::Rows { matrix, .. } => matrix.metas().iter().map(|m| m.labels.clone()).collect(),
        Feed::Selection { .. } => Vec::new(),
    };
    let counter_names = !ex.switches.type_and_unit
        && matches!(&feed, Feed::Selection { select, .. } if select.one_name().is_some_and(|n| COUNTER_ENDS.iter().any(|s| n.ends_with(s))));
    let source = RangeSource {
        feed,
        input,
        frame,
        func: c.func,
        args,
        span: c.span,
        counter_names,
        labels,
        from_subquery: super::is_subquery(&c.input),
        _call: std::marker::PhantomData,
    };
    let stream = Stream::new(grid, series, Source::Range(Box::new(source))).by(ex);
    // These two keep the name; where presence is all that counts, nobody looks at names.
    if matches!(c.func, RangeFn::LastOverTime | RangeFn::FirstOverTime | RangeFn::AbsentOverTime) {
        Ok(stream)
    } else {
        stream.without_names(ex, Duplicates::Refuse)
    }
}

fn check_factors(args: &[Scalar], grid: Grid) -> Result<(), QueryError> {
    for k in 0..grid.n {
        for (what, v) in [("smoothing factor", args[0].get(k)), ("trend factor", args[1].get(k))] {
            if v <= 0.0 || v >= 1.0 {
                let short = if what == "trend factor" { "tf" } else { "sf" };
                return Err(QueryError::execution(format!("invalid {what}. Expected: 0 < {short} < 1, got: {v:.6}")));
            }
        }
    }
    Ok(())
}

/// Takes samples out that only say that the series has ended.
fn drop_stale(data: &mut SeriesData) {
    if data.v.iter().any(|v| is_stale_nan(*v)) {
        let stale: Vec<bool> = data.v.iter().map(|v| is_stale_nan(*v)).collect();
        let mut i = 0;
        let mut keep = || {
            i += 1;
            !stale[i - 1]
        };
        data.t_ms.retain(|_| keep());
        let mut i = 0;
        data.st_ms.retain(|_| {
            i += 1;
            !stale[i - 1]
        });
        data.v.retain(|v| !is_stale_nan(*v));
    }
    if data.hist.iter().any(|h| h.is_stale()) {
        let stale: Vec<bool> = data.hist.iter().map(|h| h.is_stale()).collect();
        let mut i = 0;
        data.hist_t_ms.retain(|_| {
            i += 1;
            !stale[i - 1]
        });
        let mut i = 0;
        data.hist_st_ms.retain(|_| {
            i += 1;
            !stale[i - 1]
        });
        data.hist.retain(|h| !h.is_stale());
    }
}

impl Feed {
    /// All samples of series `i` that any window may hold, in order of time, without stale ones.
    fn read(&self, i: usize, frame: &Frame, grid: Grid, data: &mut SeriesData) -> Result<(), QueryError> {
        match self {
            Feed::Selection { selection, select } => {
                let (start_ms, end_ms) = frame.extent(grid);
                select::read(selection.as_ref(), i, start_ms, end_ms, select.stats_only, data)?;
                drop_stale(data);
            }
            Feed::Rows { grid, matrix } => {
                data.clear();
                let row = matrix.row(i);
                for (k, v) in row.floats().filter(|(_, v)| !is_stale_nan(*v)) {
                    data.t_ms.push(grid.time(k));
                    data.v.push(v);
                }
                for (k, h) in row.hist.iter().filter(|(_, h)| !h.is_stale()) {
                    data.hist_t_ms.push(grid.time(*k as usize));
                    // A subquery may skip or repeat samples: what the hint says about the previous one is no longer true.
                    data.hist.push(match h.reset_hint {
                        ResetHint::Reset | ResetHint::NotReset => Arc::new(FloatHistogram { reset_hint: ResetHint::Unknown, ..(**h).clone() }),
                        ResetHint::Unknown | ResetHint::Gauge => Arc::clone(h),
                    });
                }
            }
        }
        Ok(())
    }
}

/// How the names of counters end.
const COUNTER_ENDS: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];

/// The part of rising times that lies in a window; moves on with the windows.
#[derive(Default)]
struct Cursor {
    from: usize,
    to: usize,
}

impl Cursor {
    #[inline]
    fn advance(&mut self, t: &[i64], after: i64, until: i64) {
        while self.to < t.len() && t[self.to] <= until {
            self.to += 1;
        }
        while self.from < self.to && t[self.from] <= after {
            self.from += 1;
        }
    }
}

impl RangeSource<'_> {
    pub fn fill(&self, ex: &Exec<'_>, i: usize, grid: Grid, scratch: &mut Scratch, row: &mut Row) -> Result<(), QueryError> {
        let mut data = std::mem::take(&mut scratch.data);
        scratch.read(ex, &mut data, |d| self.feed.read(i, &self.frame, grid, d))?;
        row.reset(grid);
        if !data.is_empty() {
            let own = grid == ex.grid;
            let quick =
                data.hist.is_empty() && self.frame.at_ms.is_none() && !self.frame.anchored && !self.frame.smoothed && scratch.per_step.is_none();
            let with_st = ex.switches.start_timestamps && !data.st_ms.is_empty();
            if !(quick && !with_st && fast::evaluate(self, ex, &data, grid, scratch, row)?) {
                self.slide(ex, i, &data, grid, own, scratch, row)?;
            }
            self.name_notes(ex, i, scratch, row);
        }
        scratch.data = data;
        Ok(())
    }

    fn called(&self, i: usize) -> Called<'_> {
        match &self.feed {
            Feed::Selection { selection, .. } => Called::Stored(selection.as_ref(), i),
            Feed::Rows { .. } => Called::Known(&self.labels[i]),
        }
    }

    /// Counters have names that say so.
    fn name_notes(&self, ex: &Exec<'_>, i: usize, scratch: &mut Scratch, row: &Row) {
        if !matches!(self.func, RangeFn::Rate | RangeFn::Increase) || self.counter_names || !bits::any(&row.valid) {
            return;
        }
        let labels = self.called(i).labels();
        let name = labels.metric_name();
        if name.is_empty() {
            return;
        }
        if ex.switches.type_and_unit {
            let kind = labels.value("__type__");
            if kind != "counter" && kind != "histogram" {
                scratch.notes.add(Note::PossibleNonCounterLabel(kind), name, self.span);
            }
        } else if !COUNTER_ENDS.iter().any(|s| name.ends_with(s)) {
            scratch.notes.add(Note::PossibleNonCounter, name, self.span);
        }
    }

    /// Any function, any samples: window by window.
    fn slide(
        &self,
        ex: &Exec<'_>,
        i: usize,
        data: &SeriesData,
        grid: Grid,
        own: bool,
        scratch: &mut Scratch,
        row: &mut Row,
    ) -> Result<(), QueryError> {
        let frame = self.frame;
        let with_st = ex.switches.start_timestamps
            && matches!(self.func, RangeFn::Rate | RangeFn::Irate | RangeFn::Increase | RangeFn::Resets)
            && !self.from_subquery;
        let (mut floats, mut hists) = (Cursor::default(), Cursor::default());
        let hist_sizes: Vec<u64> = data.hist.iter().map(|h| hist_samples(h) as u64).collect();
        let mut notes = std::mem::take(&mut scratch.notes);
        let mut values = std::mem::take(&mut scratch.values);
        let mut env = Env { frame, span: self.span, called: self.called(i), notes: &mut notes, values: &mut values };
        let mut args = [0.0; 2];
        let mut last_until = i64::MIN;
        let mut largest = 0;
        let mut pace = ex.budget.pace();
        for k in 0..grid.n {
            let reference = frame.reference(grid, k);
            let (start_ms, end_ms) = (reference - frame.range_ms, reference);
            let (after, until) = (start_ms - frame.before_ms, end_ms + frame.after_ms);
            floats.advance(&data.t_ms, after, until);
            hists.advance(&data.hist_t_ms, after, until);
            if floats.from == floats.to && hists.from == hists.to {
                last_until = until;
                continue;
            }
            let part = |st: &[i64], c: &Cursor| -> (usize, usize) { if with_st && !st.is_empty() { (c.from, c.to) } else { (0, 0) } };
            let (st, hst) = (part(&data.st_ms, &floats), part(&data.hist_st_ms, &hists));
            let w = Window {
                t: &data.t_ms[floats.from..floats.to],
                v: &data.v[floats.from..floats.to],
                st: &data.st_ms[st.0..st.1],
                ht: &data.hist_t_ms[hists.from..hists.to],
                h: &data.hist[hists.from..hists.to],
                hst: &data.hist_st_ms[hst.0..hst.1],
                start_ms,
                end_ms,
                eval_ms: grid.time(k),
            };
            let total = w.t.len() as u64 + hist_sizes[hists.from..hists.to].iter().sum::<u64>();
            let new_from = (w.t.partition_point(|t| *t <= last_until), w.ht.partition_point(|t| *t <= last_until));
            let read = (w.t.len() - new_from.0) as u64 + hist_sizes[hists.from + new_from.1..hists.to].iter().sum::<u64>();
            largest = total.max(largest);
            pace.step(total)?;
            if scratch.per_step.is_some() && own {
                scratch.count(true, k, total, if self.from_subquery { 0 } else { read });
            } else {
                scratch.total += total;
                scratch.read += if self.from_subquery { 0 } else { read };
            }
            last_until = until;
            for (a, s) in args.iter_mut().zip(&self.args) {
                *a = s.get(k);
            }
            match apply(self.func, &w, &args, &mut env) {
                Some(Out::Float(v)) => row.set(k, v),
                Some(Out::Hist(h)) => row.set_hist(k, Arc::new(h)),
                Some(Out::Shared(h)) => row.set_hist(k, h),
                None => {}
            }
        }
        scratch.notes = notes;
        scratch.values = values;
        scratch.peek_samples(ex, largest + row.view().samples())
    }
}

fn apply(func: RangeFn, w: &Window<'_>, args: &[f64; 2], env: &mut Env<'_>) -> Option<Out> {
    use RangeFn::*;
    match func {
        Rate => rate::extrapolated(w, env, true, true),
        Increase => rate::extrapolated(w, env, true, false),
        Delta => rate::extrapolated(w, env, false, false),
        Irate => rate::instant(w, env, true),
        Idelta => rate::instant(w, env, false),
        Changes => rate::changes(w, env),
        Resets => rate::resets(w, env),
        Deriv => regression::deriv(w, env),
        PredictLinear => regression::predict(w, env, args[0]),
        DoubleExponentialSmoothing => regression::double_exponential(w, env, args[0], args[1]),
        _ => over_time::apply(func, w, env, args[0]),
    }
}

/// A range vector as the whole query: samples at their own times.
pub fn points(ex: &Exec<'_>, input: &RangeInput, grid: Grid) -> Result<Vec<PointSeries>, QueryError> {
    let (feed, node, frame, mut series) = feed(ex, input, grid)?;
    let _at = ex.enter(input);
    let named = |m: &Meta| {
        let labels = if m.drop_name && ex.switches.delayed_names { super::names::without_schema(&m.labels) } else { m.labels.clone() };
        Meta { labels, drop_name: false }
    };
    let metas: Vec<Meta> = series.named().iter().map(named).collect();
    let mut out: Vec<PointSeries> = Vec::new();
    let mut charge = ex.budget.charge();
    let mut scratch = Scratch::new(ex);
    let reference = frame.reference(grid, 0);
    let (start_ms, end_ms) = (reference - frame.range_ms, reference);
    for (i, meta) in metas.into_iter().enumerate() {
        ex.budget.check()?;
        let mut data = SeriesData::default();
        feed.read(i, &frame, grid, &mut data)?;
        if (frame.anchored || frame.smoothed) && !data.is_empty() {
            if !data.hist.is_empty() {
                let word = if frame.anchored { "anchored" } else { "smoothed" };
                return Err(QueryError::execution(format!("{word} modifier is not supported with histograms")));
            }
            (data.t_ms, data.v) = extended::boundaries(&data.t_ms, &data.v, start_ms, end_ms, frame.smoothed);
        }
        let samples = data.t_ms.len() as u64 + data.hist.iter().map(|h| hist_samples(h) as u64).sum::<u64>();
        if samples == 0 {
            continue;
        }
        charge.add_samples(samples)?;
        charge.add_bytes(data.size_bytes() as u64)?;
        if let Some(profile) = ex.profile {
            profile.add(node, Cost { series: 1, samples, bytes: data.size_bytes() as u64, ..Cost::default() });
        }
        scratch.count(grid == ex.grid, 0, samples, samples);
        out.push(PointSeries { labels: meta.labels, t_ms: data.t_ms, v: data.v, hist_t_ms: data.hist_t_ms, hist: data.hist });
    }
    scratch.finish(ex);
    if ex.switches.delayed_names {
        let mut sorted: Vec<&Labels> = out.iter().map(|s| &s.labels).collect();
        sorted.sort();
        if sorted.windows(2).any(|w| w[0] == w[1]) {
            return merge_points(out);
        }
    }
    Ok(out)
}

/// Series that have come to have the same labels; they must not have a time in common.
fn merge_points(mut series: Vec<PointSeries>) -> Result<Vec<PointSeries>, QueryError> {
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut out: Vec<PointSeries> = Vec::new();
    for s in series {
        let Some(last) = out.last_mut().filter(|l| l.labels == s.labels) else {
            out.push(s);
            continue;
        };
        let mut floats: Vec<(i64, f64)> = last.t_ms.iter().copied().zip(last.v.iter().copied()).chain(s.t_ms.iter().copied().zip(s.v)).collect();
        floats.sort_by_key(|p| p.0);
        let mut hists: Vec<(i64, Arc<FloatHistogram>)> =
            last.hist_t_ms.iter().copied().zip(last.hist.iter().cloned()).chain(s.hist_t_ms.into_iter().zip(s.hist)).collect();
        hists.sort_by_key(|p| p.0);
        if floats.windows(2).any(|w| w[0].0 == w[1].0) || hists.windows(2).any(|w| w[0].0 == w[1].0) {
            return Err(QueryError::duplicate_labels());
        }
        (last.t_ms, last.v) = floats.into_iter().unzip();
        (last.hist_t_ms, last.hist) = hists.into_iter().unzip();
    }
    Ok(out)
}
