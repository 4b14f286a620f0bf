//! The storage of a unit test: input series that come in as time goes on, and what the rules write. In memory.

use model::{Exemplar, Labels, LabelsRef, Metadata};
use parking_lot::Mutex;
use promql::testkit::{Command, Load, Point, TestStore, parse};
use std::collections::HashMap;
use storage::{
    AppendError, AppendOptions, Appendable, Appender, CommitError, CommitStats, HeldValue, HistogramSample, Querier, Queryable, ReadError, SeriesRef,
    Wait,
};

#[derive(Default)]
pub struct UnitStore {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    store: TestStore,
    /// Time of the newest sample of each series, and its bits when it is a float.
    newest: HashMap<Labels, (i64, Option<u64>)>,
}

/// Input series, and how far each has come in.
pub struct Inputs {
    load: Load,
    start_ms: i64,
    next: Vec<usize>,
}

impl Inputs {
    /// `text` is a `load` command of the test language.
    pub fn parse(text: &str, start_ms: i64) -> Result<Inputs, String> {
        let commands = parse(text).map_err(|e| {
            // The place of a fault in a series is told from the beginning of its line; the line is the script's.
            match e.message.strip_prefix("1:") {
                Some(rest) => format!("{}:{rest}", e.line),
                None => format!("error in line {}: {}", e.line, e.message),
            }
        })?;
        match commands.into_iter().next() {
            Some(Command::Load(load)) => Ok(Inputs { next: vec![0; load.series.len()], load, start_ms }),
            _ => Err("no series".to_string()),
        }
    }
}

impl UnitStore {
    /// Takes in what the input series have up to a time.
    pub fn advance(&self, inputs: &mut Inputs, until_ms: i64) -> Result<(), String> {
        let mut inner = self.inner.lock();
        for (series, next) in inputs.load.series.iter().zip(&mut inputs.next) {
            while let Some(point) = series.points.get(*next) {
                let t_ms = inputs.start_ms + *next as i64 * inputs.load.step_ms;
                if t_ms > until_ms {
                    break;
                }
                let done = match point {
                    Point::Gap => Ok(()),
                    Point::Float(v) => inner.append(&series.labels, t_ms, *v),
                    Point::Histogram { histogram, .. } => inner.append_histogram(&series.labels, t_ms, histogram),
                };
                done.map_err(|e| e.to_string())?;
                *next += 1;
            }
        }
        Ok(())
    }
}

impl Inner {
    fn check(&mut self, labels: &Labels, t_ms: i64, bits: Option<u64>) -> Result<bool, AppendError> {
        match self.newest.get(labels) {
            Some((newest, _)) if *newest > t_ms => Err(AppendError::OutOfOrder),
            Some((newest, same)) if *newest == t_ms => {
                if bits.is_some() && *same == bits {
                    Ok(false)
                } else {
                    Err(AppendError::DuplicateTimestamp)
                }
            }
            _ => {
                self.newest.insert(labels.clone(), (t_ms, bits));
                Ok(true)
            }
        }
    }

    fn append(&mut self, labels: &Labels, t_ms: i64, v: f64) -> Result<(), AppendError> {
        if self.check(labels, t_ms, Some(v.to_bits()))? {
            self.store.append(labels, t_ms, 0, v).map_err(|_| AppendError::OutOfOrder)?;
        }
        Ok(())
    }

    fn append_histogram(&mut self, labels: &Labels, t_ms: i64, h: &model::FloatHistogram) -> Result<(), AppendError> {
        if self.check(labels, t_ms, None)? {
            self.store.append_histogram(labels, t_ms, 0, h).map_err(|e| AppendError::InvalidHistogram(e.to_string()))?;
        }
        Ok(())
    }
}

impl Queryable for UnitStore {
    fn querier(&self, mint_ms: i64, maxt_ms: i64) -> Result<Box<dyn Querier>, ReadError> {
        self.inner.lock().store.querier(mint_ms, maxt_ms)
    }
}

impl Appendable for UnitStore {
    fn appender(&self, _: AppendOptions) -> Box<dyn Appender + '_> {
        Box::new(Batch { store: self, series: Vec::new() })
    }
}

/// A batch is visible at once: nobody reads while rules write.
struct Batch<'a> {
    store: &'a UnitStore,
    series: Vec<Labels>,
}

impl Batch<'_> {
    fn labels(&self, series: SeriesRef) -> Result<&Labels, AppendError> {
        self.series.get((series.0 - 1) as usize).ok_or(AppendError::UnknownSeries)
    }
}

impl Appender for Batch<'_> {
    fn series(&mut self, labels: LabelsRef<'_>) -> Result<SeriesRef, AppendError> {
        self.series.push(labels.to_labels());
        Ok(SeriesRef(self.series.len() as u64))
    }

    fn append(&mut self, series: SeriesRef, t_ms: i64, v: f64) -> Result<(), AppendError> {
        self.store.inner.lock().append(self.labels(series)?, t_ms, v)
    }

    fn append_histogram(&mut self, series: SeriesRef, t_ms: i64, h: HistogramSample<'_>) -> Result<(), AppendError> {
        let labels = self.labels(series)?;
        match h {
            HistogramSample::Float(h) => self.store.inner.lock().append_histogram(labels, t_ms, h),
            HistogramSample::Int(h) => self.store.inner.lock().append_histogram(labels, t_ms, &h.to_float()),
        }
    }

    fn append_start_zero(&mut self, _: SeriesRef, _: i64, _: i64, _: bool) -> Result<(), AppendError> {
        Ok(())
    }

    fn hold(&mut self, _: SeriesRef, _: &str, _: i64, _: HeldValue) -> Result<(), AppendError> {
        Err(AppendError::Unavailable("nothing is held here".to_string()))
    }

    fn append_exemplar(&mut self, _: SeriesRef, _: &Exemplar) -> Result<(), AppendError> {
        Ok(())
    }

    fn update_metadata(&mut self, _: SeriesRef, _: &Metadata) -> Result<(), AppendError> {
        Ok(())
    }

    fn commit(self: Box<Self>, _: Wait) -> Result<CommitStats, CommitError> {
        Ok(CommitStats::default())
    }

    fn rollback(self: Box<Self>) {}
}
