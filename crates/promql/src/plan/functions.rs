//! Functions by name, sorted by how they are evaluated.

use super::invariant::depends_on_time;
use super::{Around, Builder, Invariant, Plan, RangeCall};
use crate::engine::QueryError;
use crate::parse::Span;
use crate::parse::ast::{self, Expr, ValueType};
use model::{Labels, MatchOp, Matcher, gomath};

/// Functions over a range vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeFn {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    AvgOverTime,
    SumOverTime,
    CountOverTime,
    MinOverTime,
    MaxOverTime,
    FirstOverTime,
    LastOverTime,
    PresentOverTime,
    AbsentOverTime,
    MadOverTime,
    QuantileOverTime,
    StddevOverTime,
    StdvarOverTime,
    TsOfFirst,
    TsOfLast,
    TsOfMax,
    TsOfMin,
    Changes,
    Resets,
    Deriv,
    PredictLinear,
    DoubleExponentialSmoothing,
}

/// Functions from float to float.
pub type MathFn = fn(f64) -> f64;

/// Functions from histogram to float.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistFn {
    Count,
    Sum,
    Avg,
    Stddev,
    Stdvar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateFn {
    DaysInMonth,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    Hour,
    Minute,
    Month,
    Year,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortBy {
    Value,
    Labels(Vec<String>),
}

/// Functions that do not take a range vector.
#[derive(Clone, Debug)]
pub enum Call {
    Math(MathFn),
    Clamp,
    ClampMin,
    ClampMax,
    Round,
    Hist(HistFn),
    HistogramQuantile,
    /// With the label that tells the quantile.
    HistogramQuantiles(String),
    HistogramFraction,
    Date(DateFn),
    Timestamp,
    StartTimestamp,
    Sort {
        by: SortBy,
        descending: bool,
    },
    LabelReplace {
        dst: String,
        replacement: String,
        src: String,
        regex: String,
    },
    LabelJoin {
        dst: String,
        separator: String,
        src: Vec<String>,
    },
    Info(Vec<model::Matcher>),
    Absent(Labels),
    Scalar,
    Vector,
    Pi,
    MaxOf,
    MinOf,
}

impl Call {
    /// For explaining a plan.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Call::Math(_) => "a function of one number",
            Call::Clamp | Call::ClampMin | Call::ClampMax => "clamp",
            Call::Round => "round",
            Call::Hist(HistFn::Count) => "histogram_count",
            Call::Hist(HistFn::Sum) => "histogram_sum",
            Call::Hist(HistFn::Avg) => "histogram_avg",
            Call::Hist(HistFn::Stddev) => "histogram_stddev",
            Call::Hist(HistFn::Stdvar) => "histogram_stdvar",
            Call::HistogramQuantile => "histogram_quantile",
            Call::HistogramQuantiles(_) => "histogram_quantiles",
            Call::HistogramFraction => "histogram_fraction",
            Call::Date(_) => "a part of a date",
            Call::Timestamp => "timestamp",
            Call::StartTimestamp => "start_timestamp",
            Call::Sort { descending: false, .. } => "sort",
            Call::Sort { descending: true, .. } => "sort, the largest first",
            Call::LabelReplace { .. } => "label_replace",
            Call::LabelJoin { .. } => "label_join",
            Call::Info(_) => "info",
            Call::Absent(_) => "absent",
            Call::Scalar => "scalar",
            Call::Vector => "vector",
            Call::Pi => "pi",
            Call::MaxOf => "max_of",
            Call::MinOf => "min_of",
        }
    }
}

pub(super) fn range_fn(name: &str) -> Option<RangeFn> {
    use RangeFn::*;
    Some(match name {
        "rate" => Rate,
        "increase" => Increase,
        "delta" => Delta,
        "irate" => Irate,
        "idelta" => Idelta,
        "avg_over_time" => AvgOverTime,
        "sum_over_time" => SumOverTime,
        "count_over_time" => CountOverTime,
        "min_over_time" => MinOverTime,
        "max_over_time" => MaxOverTime,
        "first_over_time" => FirstOverTime,
        "last_over_time" => LastOverTime,
        "present_over_time" => PresentOverTime,
        "absent_over_time" => AbsentOverTime,
        "mad_over_time" => MadOverTime,
        "quantile_over_time" => QuantileOverTime,
        "stddev_over_time" => StddevOverTime,
        "stdvar_over_time" => StdvarOverTime,
        "ts_of_first_over_time" => TsOfFirst,
        "ts_of_last_over_time" => TsOfLast,
        "ts_of_max_over_time" => TsOfMax,
        "ts_of_min_over_time" => TsOfMin,
        "changes" => Changes,
        "resets" => Resets,
        "deriv" => Deriv,
        "predict_linear" => PredictLinear,
        "double_exponential_smoothing" => DoubleExponentialSmoothing,
        _ => return None,
    })
}

impl RangeFn {
    pub fn name(self) -> &'static str {
        use RangeFn::*;
        match self {
            Rate => "rate",
            Increase => "increase",
            Delta => "delta",
            Irate => "irate",
            Idelta => "idelta",
            AvgOverTime => "avg_over_time",
            SumOverTime => "sum_over_time",
            CountOverTime => "count_over_time",
            MinOverTime => "min_over_time",
            MaxOverTime => "max_over_time",
            FirstOverTime => "first_over_time",
            LastOverTime => "last_over_time",
            PresentOverTime => "present_over_time",
            AbsentOverTime => "absent_over_time",
            MadOverTime => "mad_over_time",
            QuantileOverTime => "quantile_over_time",
            StddevOverTime => "stddev_over_time",
            StdvarOverTime => "stdvar_over_time",
            TsOfFirst => "ts_of_first_over_time",
            TsOfLast => "ts_of_last_over_time",
            TsOfMax => "ts_of_max_over_time",
            TsOfMin => "ts_of_min_over_time",
            Changes => "changes",
            Resets => "resets",
            Deriv => "deriv",
            PredictLinear => "predict_linear",
            DoubleExponentialSmoothing => "double_exponential_smoothing",
        }
    }
}

fn sign(v: f64) -> f64 {
    if v < 0.0 {
        -1.0
    } else if v > 0.0 {
        1.0
    } else {
        v
    }
}

fn math_fn(name: &str) -> Option<MathFn> {
    use std::f64::consts::PI;
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => gomath::exp,
        "sqrt" => f64::sqrt,
        "ln" => gomath::ln,
        "log2" => gomath::log2,
        "log10" => gomath::log10,
        "sin" => gomath::sin,
        "cos" => gomath::cos,
        "tan" => gomath::tan,
        "asin" => gomath::asin,
        "acos" => gomath::acos,
        "atan" => gomath::atan,
        "sinh" => gomath::sinh,
        "cosh" => gomath::cosh,
        "tanh" => gomath::tanh,
        "asinh" => gomath::asinh,
        "acosh" => gomath::acosh,
        "atanh" => gomath::atanh,
        "rad" => |v| v * PI / 180.0,
        "deg" => |v| v * 180.0 / PI,
        "sgn" => sign,
        _ => return None,
    })
}

fn date_fn(name: &str) -> Option<DateFn> {
    Some(match name {
        "days_in_month" => DateFn::DaysInMonth,
        "day_of_month" => DateFn::DayOfMonth,
        "day_of_week" => DateFn::DayOfWeek,
        "day_of_year" => DateFn::DayOfYear,
        "hour" => DateFn::Hour,
        "minute" => DateFn::Minute,
        "month" => DateFn::Month,
        "year" => DateFn::Year,
        _ => return None,
    })
}

fn text(e: &Expr) -> Result<String, QueryError> {
    match e.unwrap_parens() {
        Expr::String(s) => Ok(s.value.clone()),
        other => Err(QueryError::bad_data(format!("expected a string literal, got {}", other.value_type().documented()))),
    }
}

fn texts(args: &[Expr]) -> Result<Vec<String>, QueryError> {
    args.iter().map(text).collect()
}

/// The labels that an absent series would have had: those that its selector asks for by exactly one equality.
fn absent_labels(e: &Expr) -> Labels {
    let matchers = match e.unwrap_parens() {
        Expr::Vector(v) => &v.matchers,
        Expr::Matrix(m) => &m.selector.matchers,
        _ => return Labels::empty(),
    };
    let mut labels = model::LabelsBuilder::default();
    let mut seen: Vec<&str> = Vec::new();
    // In the order in which the reference's storage has left them: those that take series away come last.
    let (adding, taking): (Vec<&Matcher>, Vec<&Matcher>) = matchers.iter().partition(|m| {
        let must_be_set = matchers.iter().any(|o| o.name == m.name && !o.matches_empty());
        must_be_set && !(matches!(m.op, MatchOp::NotEqual | MatchOp::NotRegex) && m.matches_empty())
    });
    for m in adding.into_iter().chain(taking).filter(|m| m.name != model::name::METRIC_NAME) {
        if m.op == MatchOp::Equal && !seen.contains(&m.name.as_str()) {
            labels.set(&m.name, &m.value);
            seen.push(&m.name);
        } else {
            labels.del(&m.name);
        }
    }
    labels.build()
}

impl Builder<'_> {
    pub(super) fn call(&self, c: &ast::Call, around: Around<'_>) -> Result<(Plan, Invariant), QueryError> {
        let name = c.func.name;
        if let Some(v) = self.constant(name) {
            return Ok((Plan::Number(v), Invariant { same: true, wrap: false }));
        }
        if name == "time" {
            return Ok((Plan::Time, Invariant::NO));
        }
        let mut within = Around { func: name, ..around };
        if !within.stats_decided {
            match name {
                "histogram_count" | "histogram_sum" | "histogram_avg" => within.stats_only = true,
                "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                    within = Around { stats_only: false, stats_decided: true, ..within };
                }
                _ => {}
            }
        }
        let args: Vec<&Expr> = c.args.iter().map(Expr::unwrap_parens).collect();
        if let Some(func) = range_fn(name) {
            return self.range_call(func, &args, within);
        }
        let timestamp_of_selector = name == "timestamp" && args.iter().all(|a| matches!(a, Expr::Vector(_)));
        let mut same = !(depends_on_time(name) || name == "info" && args.len() > 1);
        let mut built = Vec::with_capacity(args.len());
        for a in &args {
            // Of `info`, the second argument is no selection but a list of conditions.
            if a.value_type() == ValueType::String || (name == "info" && !built.is_empty()) {
                continue;
            }
            let (plan, invariant) = self.node(a, within)?;
            same = same && invariant.same;
            built.push((plan, invariant));
        }
        let whole_same = same || (timestamp_of_selector && built.iter().all(|(_, i)| i.same));
        let plans = built.into_iter().map(|(p, i)| if whole_same { p } else { i.wrap(p) }).collect();
        let spans: Vec<Span> = args.iter().map(|a| a.span()).collect();
        let plan = Plan::Call { call: self.call_kind(name, &c.args)?, args: plans, spans, span: c.span };
        Ok((plan, if whole_same { Invariant { same: true, wrap: true } } else { Invariant::NO }))
    }

    /// Functions that are numbers once the times of the query are known.
    fn constant(&self, name: &str) -> Option<f64> {
        let c = self.context;
        Some(match name {
            "start" => c.start_ms as f64 / 1000.0,
            "end" => c.end_ms as f64 / 1000.0,
            "range" => (c.end_ms - c.start_ms) as f64 / 1000.0,
            "step" if c.start_ms == c.end_ms => 0.0,
            "step" => c.step_ms as f64 / 1000.0,
            _ => return None,
        })
    }

    fn range_call(&self, func: RangeFn, args: &[&Expr], within: Around<'_>) -> Result<(Plan, Invariant), QueryError> {
        let at = args.iter().position(|a| a.value_type() == ValueType::Matrix).unwrap_or(0);
        let (input, ranged) = self.range_input(args[at], within)?;
        let mut same = ranged.same && !depends_on_time(func.name());
        let mut scalars = Vec::new();
        for a in args.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, a)| a) {
            let (plan, invariant) = self.node(a, within)?;
            same = same && invariant.same;
            scalars.push((plan, invariant));
        }
        let span = input.note_span();
        let place = |i: usize| if i == at { span } else { args[i].span() };
        let absent = if func == RangeFn::AbsentOverTime { Some(absent_labels(args[at])) } else { None };
        let call = RangeCall { func, input, args: scalars.into_iter().map(|(p, i)| if same { p } else { i.wrap(p) }).collect(), span: place(0) };
        let mut plan = Plan::RangeCall(Box::new(call));
        if let Some(labels) = absent {
            plan = Plan::Call { call: Call::Absent(labels), args: vec![plan], spans: vec![span], span };
        }
        Ok((plan, if same { Invariant { same: true, wrap: true } } else { Invariant::NO }))
    }

    fn call_kind(&self, name: &str, args: &[Expr]) -> Result<Call, QueryError> {
        if let Some(f) = math_fn(name) {
            return Ok(Call::Math(f));
        }
        if let Some(f) = date_fn(name) {
            return Ok(Call::Date(f));
        }
        Ok(match name {
            "clamp" => Call::Clamp,
            "clamp_min" => Call::ClampMin,
            "clamp_max" => Call::ClampMax,
            "round" => Call::Round,
            "histogram_count" => Call::Hist(HistFn::Count),
            "histogram_sum" => Call::Hist(HistFn::Sum),
            "histogram_avg" => Call::Hist(HistFn::Avg),
            "histogram_stddev" => Call::Hist(HistFn::Stddev),
            "histogram_stdvar" => Call::Hist(HistFn::Stdvar),
            "histogram_quantile" => Call::HistogramQuantile,
            "histogram_quantiles" => Call::HistogramQuantiles(text(&args[1])?),
            "histogram_fraction" => Call::HistogramFraction,
            "timestamp" => Call::Timestamp,
            "start_timestamp" => Call::StartTimestamp,
            "sort" | "sort_desc" => Call::Sort { by: SortBy::Value, descending: name == "sort_desc" },
            "sort_by_label" | "sort_by_label_desc" => Call::Sort { by: SortBy::Labels(texts(&args[1..])?), descending: name == "sort_by_label_desc" },
            "label_replace" => {
                if let Some(raw) = self.not_utf8(&args[1]) {
                    return Err(QueryError::execution(format!(
                        "invalid destination label name in label_replace(): {}",
                        raw.trim_matches(['"', '\''])
                    )));
                }
                Call::LabelReplace { dst: text(&args[1])?, replacement: text(&args[2])?, src: text(&args[3])?, regex: text(&args[4])? }
            }
            "label_join" if args[1..2].iter().chain(&args[3..]).any(|a| self.not_utf8(a).is_some()) => {
                return Err(QueryError::execution("invalid label name in label_join(): not UTF-8"));
            }
            "label_join" => Call::LabelJoin { dst: text(&args[1])?, separator: text(&args[2])?, src: texts(&args[3..])? },
            "info" => Call::Info(match args.get(1).map(Expr::unwrap_parens) {
                Some(Expr::Vector(v)) => v.matchers.clone(),
                Some(other) => return Err(QueryError::bad_data(format!("expected label selectors only, got {}", other.value_type().documented()))),
                None => vec![model::Matcher::equal(model::name::METRIC_NAME, "target_info")],
            }),
            "absent" => Call::Absent(absent_labels(&args[0])),
            "scalar" => Call::Scalar,
            "vector" => Call::Vector,
            "pi" => Call::Pi,
            "max_of" => Call::MaxOf,
            "min_of" => Call::MinOf,
            other => return Err(QueryError::bad_data(format!("unknown function with name \"{other}\""))),
        })
    }
}
