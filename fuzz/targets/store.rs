//! A store that takes everything and keeps nothing.

use model::{Exemplar, LabelsRef, Metadata};
use storage::{
    AppendError, AppendOptions, Appendable, Appender, CommitError, CommitStats, Held, HeldValue, HistogramSample, MergeStore, ReadError, SeriesRef,
    Wait,
};

pub struct Nowhere;

struct Batch(u64);

impl Appendable for Nowhere {
    fn appender(&self, _: AppendOptions) -> Box<dyn Appender + '_> {
        Box::new(Batch(0))
    }
}

impl MergeStore for Nowhere {
    fn newest_ms(&self, _: SeriesRef) -> Option<i64> {
        None
    }

    fn times(&self, _: SeriesRef, _: i64, _: i64, _: &mut Vec<i64>) -> Result<(), ReadError> {
        Ok(())
    }

    fn take_held(&self) -> Vec<Held> {
        Vec::new()
    }
}

impl Appender for Batch {
    fn series(&mut self, labels: LabelsRef<'_>) -> Result<SeriesRef, AppendError> {
        let names: Vec<&str> = labels.iter().map(|(n, v)| (!v.is_empty()).then_some(n).expect("no empty values")).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{labels}");
        self.0 += 1;
        Ok(SeriesRef(self.0))
    }

    fn append(&mut self, _: SeriesRef, _: i64, _: f64) -> Result<(), AppendError> {
        Ok(())
    }

    fn append_histogram(&mut self, _: SeriesRef, _: i64, h: HistogramSample<'_>) -> Result<(), AppendError> {
        let fine = match h {
            HistogramSample::Int(h) => h.validate(),
            HistogramSample::Float(h) => h.validate(),
        };
        fine.map_err(|e| AppendError::InvalidHistogram(e.to_string()))
    }

    fn append_start_zero(&mut self, _: SeriesRef, _: i64, _: i64, _: bool) -> Result<(), AppendError> {
        Ok(())
    }

    fn hold(&mut self, _: SeriesRef, _: &str, _: i64, _: HeldValue) -> Result<(), AppendError> {
        Ok(())
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
