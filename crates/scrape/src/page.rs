//! Storing one page: walk it, find each line's series, append. Synchronous; runs on a worker that may block.
//!
//! A page is stored whole or not at all: a fault in it, or a limit it breaks, takes all of its samples with it, and the target's series end there.
//! Only what the storage refuses sample by sample (late, doubled, far in the future) is left out and counted.

use crate::buckets::{Fitted, fitted, sample_of};
use crate::cache::{Id, Line, SeriesCache};
use crate::labels::{self, SampleRules};
use crate::metadata::{Said, is_part_of};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::target::Target;
use exposition::{Entry, LabelBuf, Parser};
use model::Metadata;
use storage::{AppendError, Appender, HistogramSample, SeriesRef};

/// A sample further ahead of now than this is refused.
pub const MAX_AHEAD_MS: i64 = 10 * 60_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples on the page.
    pub total: u64,
    /// Left after relabelling.
    pub added: u64,
    /// Whose series were not on the last page.
    pub new_series: u64,
}

/// Samples that the storage refused.
#[derive(Clone, Copy, Debug, Default)]
struct Refused {
    out_of_order: u64,
    duplicates: u64,
    out_of_bounds: u64,
    exemplars: u64,
}

/// Why a page is not stored.
#[derive(Clone, Debug, PartialEq)]
pub struct PageError(pub String);

/// One page's walk.
pub struct PageWriter<'a> {
    pub target: &'a Target,
    pub settings: &'a Settings,
    pub metrics: &'a Metrics,
    pub cache: &'a mut SeriesCache,
    pub app: &'a mut dyn Appender,
    pub buf: &'a mut LabelBuf,
    pub families_seen: &'a mut Vec<u32>,
    /// The scrape's time.
    pub t_ms: i64,
    pub now_ms: i64,
    pub page: u32,
    pub counts: Counts,
}

/// What became of one sample.
enum Taken {
    Yes,
    /// Refused and counted.
    No,
}

/// State along the walk that is no part of the result.
#[derive(Default)]
struct Walk {
    refused: Refused,
    /// Samples that count for the limit.
    limited: u64,
    sample_limit_hit: bool,
    bucket_limit_hit: bool,
    family: Option<FamilyNow>,
}

/// The family whose lines are being read, when metadata goes into the log.
struct FamilyNow {
    name: String,
    metadata: Metadata,
    changed: bool,
}

impl PageWriter<'_> {
    /// Walks the page. The cache must have begun it. On Ok all good samples are in the appender; the caller marks ends and commits.
    pub fn write(&mut self, parser: &mut Parser<'_>) -> Result<(), PageError> {
        let mut walk = Walk::default();
        let result = self.walk(parser, &mut walk);
        self.target.metadata().seen(self.families_seen, self.page);
        self.tell(&walk);
        result?;
        if walk.sample_limit_hit {
            return Err(PageError("sample limit exceeded".to_string()));
        }
        if walk.bucket_limit_hit {
            return Err(PageError("histogram bucket limit exceeded".to_string()));
        }
        Ok(())
    }

    fn walk(&mut self, parser: &mut Parser<'_>, walk: &mut Walk) -> Result<(), PageError> {
        let fast = !self.settings.append_metadata;
        loop {
            // As long as the page repeats the last one, its bytes say which series comes next.
            if let Some((id, line, raw)) = self.cache.expected() {
                match line {
                    Line::Series(series) if parser.next_if(raw) => {
                        self.cache.follow(id);
                        self.known(parser, id, series, walk)?;
                        continue;
                    }
                    Line::Dropped if parser.next_if(raw) => {
                        self.cache.follow(id);
                        self.cache.mark(id);
                        self.counts.total += 1;
                        continue;
                    }
                    Line::Metadata(family)
                        if fast
                            && family != u32::MAX
                            && (raw.starts_with(b"# HELP ") && parser.skip_if(raw) || raw.starts_with(b"# TYPE ") && parser.skip_type_if(raw)) =>
                    {
                        self.cache.follow(id);
                        self.cache.mark(id);
                        self.families_seen.push(family);
                        continue;
                    }
                    _ => {}
                }
            }
            match parser.next().map_err(|e| PageError(e.to_string()))? {
                None => return Ok(()),
                Some(Entry::Comment) => {}
                Some(entry @ (Entry::Type | Entry::Help | Entry::Unit)) => self.metadata(parser, entry, walk),
                Some(Entry::Series | Entry::Histogram) => self.sample(parser, walk)?,
            }
        }
    }

    fn metadata(&mut self, parser: &Parser<'_>, entry: Entry, walk: &mut Walk) {
        let line = parser.line();
        let known = line.and_then(|line| match self.cache.expected() {
            Some((id, Line::Metadata(family), raw)) if raw == line => {
                self.cache.follow(id);
                Some((id, family))
            }
            _ => match self.cache.find(line) {
                Some((id, Line::Metadata(family))) => Some((id, family)),
                _ => None,
            },
        });
        let family = match known {
            Some((id, family)) if family != u32::MAX => {
                self.cache.mark(id);
                self.families_seen.push(family);
                family
            }
            _ => {
                let text = parser.meta_text();
                let said = match entry {
                    Entry::Type => Said::Type(parser.meta_type()),
                    Entry::Unit => Said::Unit(&text),
                    _ => Said::Help(&text),
                };
                let family = self.target.metadata().note(&parser.meta_name(), said, self.page) as u32;
                match (known, line) {
                    (Some((id, _)), _) => {
                        self.cache.set_metadata(id, family);
                        self.cache.mark(id);
                    }
                    (None, Some(line)) => {
                        if let Some(id) = self.cache.add(line, Line::Metadata(family)) {
                            self.cache.mark(id);
                        }
                    }
                    (None, None) => {}
                }
                family
            }
        };
        if self.settings.append_metadata {
            walk.family =
                self.target.metadata().family(family as usize, self.page).map(|(name, metadata, changed)| FamilyNow { name, metadata, changed });
        }
    }

    /// A sample that the order did not foretell.
    fn sample(&mut self, parser: &mut Parser<'_>, walk: &mut Walk) -> Result<(), PageError> {
        match self.cache.find(parser.raw()) {
            Some((id, Line::Series(series))) => self.known(parser, id, series, walk),
            Some((id, _)) => {
                self.cache.mark(id);
                self.counts.total += 1;
                Ok(())
            }
            None => self.unknown(parser, walk),
        }
    }

    #[inline]
    fn time(&self, parser: &Parser<'_>) -> (i64, bool) {
        match parser.timestamp_ms() {
            Some(t) if self.settings.config.honor_timestamps => (t, true),
            _ => (self.t_ms, false),
        }
    }

    #[inline]
    fn known(&mut self, parser: &mut Parser<'_>, id: Id, series: SeriesRef, walk: &mut Walk) -> Result<(), PageError> {
        self.counts.total += 1;
        let first = self.cache.mark(id);
        let (t_ms, own_time) = self.time(parser);
        if !first && !own_time {
            // The same series twice on one page.
            return self.settle(parser, id, own_time, Err(AppendError::DuplicateTimestamp), walk);
        }
        let mut result = self.append(parser, series, t_ms, walk);
        if matches!(result, Err(AppendError::UnknownSeries)) {
            // The storage has let go of it: ask again by its labels.
            let Some(labels) = self.stored_labels(parser)? else { return Ok(()) };
            let series = self.app.series(labels.as_ref()).map_err(|e| PageError(e.to_string()))?;
            self.cache.set_series(id, series);
            result = self.append(parser, series, t_ms, walk);
        }
        self.settle(parser, id, own_time, result, walk)
    }

    fn unknown(&mut self, parser: &mut Parser<'_>, walk: &mut Walk) -> Result<(), PageError> {
        self.counts.total += 1;
        let Some(stored) = self.stored_labels(parser)? else {
            // What is read of a line may have grown by looking at it closely: so its bytes are taken only now.
            if let Some(id) = self.cache.add(parser.raw(), Line::Dropped) {
                self.cache.mark(id);
            }
            return Ok(());
        };
        labels::check(&stored, self.settings.scheme).map_err(PageError)?;
        self.settings.label_limits.check(&stored).map_err(|e| {
            self.metrics.exceeded_label_limits.inc();
            PageError(e)
        })?;
        let (t_ms, own_time) = self.time(parser);
        if self.limit_hit(walk) {
            return Ok(());
        }
        let series = self.app.series(stored.as_ref()).map_err(|e| PageError(e.to_string()))?;
        let Some(id) = self.cache.add(parser.raw(), Line::Series(series)) else {
            return Err(PageError("page is too large to be remembered".to_string()));
        };
        self.cache.mark(id);
        let result = self.append_counted(parser, series, t_ms, walk);
        if result.is_ok() {
            self.counts.new_series += 1;
        }
        self.settle(parser, id, own_time, result, walk)
    }

    fn stored_labels(&mut self, parser: &mut Parser<'_>) -> Result<Option<model::Labels>, PageError> {
        parser.labels(self.buf).map_err(|e| PageError(e.to_string()))?;
        if let Some(name) = self.buf.duplicate() {
            return Err(PageError(format!("label name {} is not unique: invalid sample", model::labels::quote(name))));
        }
        let rules = SampleRules {
            target: &self.target.public,
            honor_labels: self.settings.config.honor_labels,
            rules: &self.settings.config.metric_relabel_configs,
        };
        Ok(rules.apply(self.buf))
    }

    /// Counts a sample against the limit. True when it is one too many: the page is lost, but goes on being counted.
    #[inline]
    fn limit_hit(&mut self, walk: &mut Walk) -> bool {
        walk.limited += 1;
        let hit = self.settings.sample_limit > 0 && walk.limited > self.settings.sample_limit;
        if hit {
            walk.sample_limit_hit = true;
            self.counts.added += 1;
        }
        hit
    }

    #[inline]
    fn append(&mut self, parser: &mut Parser<'_>, series: SeriesRef, t_ms: i64, walk: &mut Walk) -> Result<Taken, AppendError> {
        if self.limit_hit(walk) {
            return Ok(Taken::No);
        }
        let result = self.append_counted(parser, series, t_ms, walk);
        if matches!(result, Err(AppendError::UnknownSeries)) {
            walk.limited -= 1;
        }
        result
    }

    #[inline]
    fn append_counted(&mut self, parser: &mut Parser<'_>, series: SeriesRef, t_ms: i64, walk: &mut Walk) -> Result<Taken, AppendError> {
        if t_ms > self.now_ms + MAX_AHEAD_MS {
            return Err(AppendError::OutOfBounds);
        }
        if self.settings.start_zeros
            && let Some(start_ms) = parser.start_ms()
        {
            let histogram = parser.histogram().is_some();
            // Refused when something newer is stored already, as it is for every page but the first.
            let _ = self.app.append_start_zero(series, t_ms, start_ms, histogram);
        }
        match parser.histogram() {
            None => self.app.append(series, t_ms, parser.value())?,
            Some(h) => {
                let limits = (self.settings.bucket_limit, self.settings.max_schema);
                match fitted(h, limits) {
                    Fitted::AsIs => self.app.append_histogram(series, t_ms, sample_of(h))?,
                    Fitted::Int(h) => self.app.append_histogram(series, t_ms, HistogramSample::Int(&h))?,
                    Fitted::Float(h) => self.app.append_histogram(series, t_ms, HistogramSample::Float(&h))?,
                    Fitted::TooMany => {
                        walk.bucket_limit_hit = true;
                        self.counts.added += 1;
                        return Ok(Taken::No);
                    }
                }
            }
        }
        Ok(Taken::Yes)
    }

    /// Counts the result, and adds what belongs to a sample that was taken.
    #[inline]
    fn settle(
        &mut self,
        parser: &mut Parser<'_>,
        id: Id,
        own_time: bool,
        result: Result<Taken, AppendError>,
        walk: &mut Walk,
    ) -> Result<(), PageError> {
        match result {
            Ok(Taken::Yes) => {}
            Ok(Taken::No) => return Ok(()),
            Err(e) => {
                let counter = match e {
                    AppendError::OutOfOrder => (&mut walk.refused.out_of_order, &self.metrics.out_of_order),
                    AppendError::DuplicateTimestamp => (&mut walk.refused.duplicates, &self.metrics.duplicate_timestamp),
                    AppendError::OutOfBounds | AppendError::TooOld => (&mut walk.refused.out_of_bounds, &self.metrics.out_of_bounds),
                    other => return Err(PageError(other.to_string())),
                };
                *counter.0 += 1;
                counter.1.inc();
                self.counts.added += 1;
                return Ok(());
            }
        }
        self.counts.added += 1;
        if !own_time || self.settings.config.track_timestamps_staleness {
            self.cache.track(id);
        }
        if let Some(first) = parser.exemplar() {
            self.exemplars(parser, first, id, walk);
        }
        if walk.family.is_some() {
            self.log_metadata(parser, id, walk);
        }
        Ok(())
    }

    fn exemplars(&mut self, parser: &mut Parser<'_>, first: model::Exemplar, id: Id, walk: &mut Walk) {
        let Some(series) = self.cache.series(id) else { return };
        let (t_ms, _) = self.time(parser);
        let mut all = vec![first];
        while let Some(e) = parser.exemplar() {
            all.push(e);
        }
        // One without a time has that of its sample; a native histogram's must have their own.
        if parser.histogram().is_some() {
            all.retain(|e| e.t_ms.is_some());
        }
        all.iter_mut().for_each(|e| e.t_ms = e.t_ms.or(Some(t_ms)));
        all.sort_by_key(|e| e.t_ms);
        for e in &all {
            if let Err(AppendError::OutOfOrderExemplar) = self.app.append_exemplar(series, e) {
                walk.refused.exemplars += 1;
                self.metrics.exemplar_out_of_order.inc();
            }
        }
    }

    fn log_metadata(&mut self, parser: &mut Parser<'_>, id: Id, walk: &mut Walk) {
        let Some(family) = &walk.family else { return };
        let Some(series) = self.cache.series(id) else { return };
        if !family.changed && !self.cache.is_new(id) {
            return;
        }
        if parser.labels(self.buf).is_ok() && is_part_of(self.buf.metric_name(), &family.name, family.metadata.kind) {
            // The sample stands without it.
            let _ = self.app.update_metadata(series, &family.metadata);
        }
    }

    fn tell(&self, walk: &Walk) {
        let r = &walk.refused;
        let target = self.target.url.as_str();
        if walk.sample_limit_hit {
            self.metrics.exceeded_sample_limit.inc();
        }
        if walk.bucket_limit_hit {
            self.metrics.exceeded_bucket_limit.inc();
        }
        if r.out_of_order > 0 {
            tracing::warn!(target = target, num_dropped = r.out_of_order, "error on ingesting out-of-order samples");
        }
        if r.duplicates > 0 {
            tracing::warn!(target = target, num_dropped = r.duplicates, "error on ingesting samples with different value but same timestamp");
        }
        if r.out_of_bounds > 0 {
            tracing::warn!(
                target = target,
                num_dropped = r.out_of_bounds,
                "error on ingesting samples that are too old or are too far into the future"
            );
        }
        if r.exemplars > 0 {
            tracing::warn!(target = target, num_dropped = r.exemplars, "error on ingesting out-of-order exemplars");
        }
    }
}
