//! What a query answers. Columns stay as the operators left them; whoever writes them out walks over them and copies nothing.

use crate::exec::rows::{Grid, Matrix, RowRef};
use model::{FloatHistogram, Labels};
use std::sync::Arc;

/// A query's answer.
#[derive(Debug)]
pub enum Value {
    Scalar { t_ms: i64, v: f64 },
    String { t_ms: i64, v: String },
    Vector(VectorValue),
    Matrix(MatrixValue),
}

impl Value {
    /// As the API names it: `scalar`, `string`, `vector`, `matrix`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Scalar { .. } => "scalar",
            Value::String { .. } => "string",
            Value::Vector(_) => "vector",
            Value::Matrix(_) => "matrix",
        }
    }
}

#[derive(Clone, Debug)]
pub enum SampleValue {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// One sample for each series, all at one time. Sorted only when the query sorts.
#[derive(Clone, Debug, Default)]
pub struct VectorValue {
    pub t_ms: i64,
    pub samples: Vec<VectorSample>,
}

#[derive(Clone, Debug)]
pub struct VectorSample {
    pub labels: Labels,
    pub value: SampleValue,
}

/// Series with samples over time, sorted by labels. No series is empty.
#[derive(Debug, Default)]
pub struct MatrixValue {
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    /// Samples at the steps of a range query.
    Steps { grid: Grid, matrix: Matrix, order: Vec<u32> },
    /// Samples at their own times, from a range selector.
    Points(Vec<PointSeries>),
}

impl Default for Inner {
    fn default() -> Self {
        Inner::Points(Vec::new())
    }
}

/// Samples as stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct PointSeries {
    pub labels: Labels,
    pub t_ms: Vec<i64>,
    pub v: Vec<f64>,
    pub hist_t_ms: Vec<i64>,
    pub hist: Vec<Arc<FloatHistogram>>,
}

impl MatrixValue {
    pub(crate) fn from_steps(grid: Grid, matrix: Matrix) -> Self {
        let mut order: Vec<u32> = (0..matrix.len() as u32).filter(|i| !matrix.row(*i as usize).is_empty()).collect();
        order.sort_by(|a, b| matrix.meta(*a as usize).labels.cmp(&matrix.meta(*b as usize).labels));
        MatrixValue { inner: Inner::Steps { grid, matrix, order } }
    }

    pub(crate) fn from_points(mut series: Vec<PointSeries>) -> Self {
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        MatrixValue { inner: Inner::Points(series) }
    }

    pub fn len(&self) -> usize {
        match &self.inner {
            Inner::Steps { order, .. } => order.len(),
            Inner::Points(series) => series.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The times that all samples are at, when they are at the steps of a query.
    pub fn steps(&self) -> Option<Steps> {
        match &self.inner {
            Inner::Steps { grid, .. } => Some(Steps { start_ms: grid.start_ms, step_ms: grid.step_ms, n: grid.n }),
            Inner::Points(_) => None,
        }
    }

    /// Series `i`, in order of the labels.
    pub fn get(&self, i: usize) -> SeriesView<'_> {
        match &self.inner {
            Inner::Steps { grid, matrix, order } => {
                let at = order[i] as usize;
                let row = matrix.row(at);
                SeriesView { labels: &matrix.meta(at).labels, samples: Samples::Steps { grid: *grid, row } }
            }
            Inner::Points(series) => {
                let s = &series[i];
                SeriesView { labels: &s.labels, samples: Samples::Points(s) }
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = SeriesView<'_>> {
        (0..self.len()).map(|i| self.get(i))
    }
}

/// `start_ms`, `start_ms + step_ms`, ...: `n` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    pub start_ms: i64,
    pub step_ms: i64,
    pub n: usize,
}

/// One series of a matrix, borrowed.
#[derive(Clone, Copy)]
pub struct SeriesView<'a> {
    pub labels: &'a Labels,
    samples: Samples<'a>,
}

#[derive(Clone, Copy)]
enum Samples<'a> {
    Steps { grid: Grid, row: RowRef<'a> },
    Points(&'a PointSeries),
}

impl<'a> SeriesView<'a> {
    pub fn float_count(&self) -> usize {
        match self.samples {
            Samples::Steps { row, .. } => row.float_count(),
            Samples::Points(p) => p.t_ms.len(),
        }
    }

    pub fn histogram_count(&self) -> usize {
        match self.samples {
            Samples::Steps { row, .. } => row.hist.len(),
            Samples::Points(p) => p.hist.len(),
        }
    }

    /// Number of the step ([`MatrixValue::steps`]) and value, in order of time. Nothing where samples are at times of their own.
    #[inline]
    pub fn each_step(&self, each: impl FnMut(usize, f64)) {
        if let Samples::Steps { row, .. } = self.samples {
            row.each_float(each);
        }
    }

    /// Time in milliseconds and value, in order of time.
    pub fn floats(&self) -> impl Iterator<Item = (i64, f64)> + 'a {
        let (steps, points) = match self.samples {
            Samples::Steps { grid, row } => (Some(row.floats().map(move |(k, v)| (grid.time(k), v))), None),
            Samples::Points(p) => (None, Some(p.t_ms.iter().copied().zip(p.v.iter().copied()))),
        };
        steps.into_iter().flatten().chain(points.into_iter().flatten())
    }

    /// Time in milliseconds and histogram, in order of time.
    pub fn histograms(&self) -> impl Iterator<Item = (i64, &'a Arc<FloatHistogram>)> + 'a {
        let (steps, points) = match self.samples {
            Samples::Steps { grid, row } => (Some(row.hist.iter().map(move |(k, h)| (grid.time(*k as usize), h))), None),
            Samples::Points(p) => (None, Some(p.hist_t_ms.iter().copied().zip(p.hist.iter()))),
        };
        steps.into_iter().flatten().chain(points.into_iter().flatten())
    }
}
