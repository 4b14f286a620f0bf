//! A storage in memory that scripts load into. Histograms come back as from Prometheus' chunks: all but the first of a run that a chunk could
//! hold say that there was no reset, the first says nothing.

use super::script::{Load, LoadSeries, Point};
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};
use model::name::{BUCKET_LABEL, METRIC_NAME};
use model::{FloatHistogram, Labels, Matcher};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use storage::{EncodedChunk, LabelHints, Querier, Queryable, ReadError, SelectHints, Selection, SeriesData, Warnings};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError(String);

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

#[derive(Clone, Default)]
struct Stored {
    data: SeriesData,
    /// The newest histogram as it was loaded, while the chunk that holds it could take more.
    open: Option<FloatHistogram>,
}

/// Series with all their samples. Cloning is a reference count.
#[derive(Clone, Default)]
pub struct TestStore {
    inner: Arc<Inner>,
}

#[derive(Clone, Default)]
struct Inner {
    places: HashMap<Labels, usize>,
    series: Vec<(Labels, Stored)>,
}

/// Some of the series.
struct Picked {
    inner: Arc<Inner>,
    numbers: Vec<usize>,
}

impl TestStore {
    pub fn load(&mut self, load: &Load) -> Result<(), LoadError> {
        for s in &load.series {
            let mut t_ms = 0;
            for (i, point) in s.points.iter().enumerate() {
                let st_ms = s.start_offsets_ms.get(i).copied().flatten().map_or(0, |offset| t_ms + offset);
                match point {
                    Point::Gap => {}
                    Point::Float(v) => self.append(&s.labels, t_ms, st_ms, *v)?,
                    Point::Histogram { histogram, .. } => self.append_histogram(&s.labels, t_ms, st_ms, histogram)?,
                }
                t_ms += load.step_ms;
            }
        }
        if load.with_nhcb {
            for (labels, t_ms, h) in custom_histograms(load)? {
                self.append_histogram(&labels, t_ms, 0, &h)?;
            }
        }
        Ok(())
    }

    fn stored(&mut self, labels: &Labels, t_ms: i64) -> Result<Option<&mut Stored>, LoadError> {
        let Inner { places, series } = Arc::make_mut(&mut self.inner);
        let place = *places.entry(labels.clone()).or_insert_with(|| {
            series.push((labels.clone(), Stored::default()));
            series.len() - 1
        });
        let stored = &mut series[place].1;
        let newest = stored.data.t_ms.last().copied().max(stored.data.hist_t_ms.last().copied());
        match newest {
            Some(newest) if newest > t_ms => Err(LoadError(format!("out of order sample for {labels} at {t_ms} ms"))),
            Some(newest) if newest == t_ms => Ok(None),
            _ => Ok(Some(stored)),
        }
    }

    pub fn append(&mut self, labels: &Labels, t_ms: i64, st_ms: i64, v: f64) -> Result<(), LoadError> {
        let Some(s) = self.stored(labels, t_ms)? else { return Ok(()) };
        s.open = None;
        s.data.t_ms.push(t_ms);
        s.data.v.push(v);
        s.data.st_ms.push(st_ms);
        Ok(())
    }

    pub fn append_histogram(&mut self, labels: &Labels, t_ms: i64, st_ms: i64, h: &FloatHistogram) -> Result<(), LoadError> {
        h.validate().map_err(|e| LoadError(format!("invalid histogram for {labels}: {e}")))?;
        let Some(s) = self.stored(labels, t_ms)? else { return Ok(()) };
        let same_chunk = s.open.as_ref().is_some_and(|before| continues(before, h));
        s.open = Some(h.clone());
        let hint = match h.reset_hint {
            ResetHint::Gauge => ResetHint::Gauge,
            _ if same_chunk => ResetHint::NotReset,
            _ => ResetHint::Unknown,
        };
        s.data.hist_t_ms.push(t_ms);
        s.data.hist_st_ms.push(st_ms);
        s.data.hist.push(Arc::new(FloatHistogram { reset_hint: hint, ..h.clone() }));
        Ok(())
    }

    fn matching(&self, matchers: &[Matcher]) -> impl Iterator<Item = (usize, &Labels)> {
        let all = self.inner.series.iter().enumerate().map(|(i, (l, _))| (i, l));
        all.filter(move |(_, l)| matchers.iter().all(|m| m.matches_labels(l.as_ref())))
    }
}

/// Could a chunk that ends with `before` take `h` too?
fn continues(before: &FloatHistogram, h: &FloatHistogram) -> bool {
    if (before.reset_hint == ResetHint::Gauge) != (h.reset_hint == ResetHint::Gauge) || h.reset_hint == ResetHint::Reset {
        return false;
    }
    if h.is_stale() {
        return true;
    }
    let plain = FloatHistogram { reset_hint: ResetHint::Unknown, ..h.clone() };
    !before.is_stale()
        && h.schema == before.schema
        && h.zero_threshold == before.zero_threshold
        && h.custom_values == before.custom_values
        && (h.reset_hint == ResetHint::Gauge || !plain.detect_reset(before))
}

/// Buckets, count and sum of a classic histogram at one time.
#[derive(Default)]
struct Classic {
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// Classic histograms of a load as native ones with custom buckets.
fn custom_histograms(load: &Load) -> Result<Vec<(Labels, i64, FloatHistogram)>, LoadError> {
    let mut found: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
    for LoadSeries { labels, points, .. } in &load.series {
        let name = labels.metric_name();
        let Some((base, suffix)) = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s).map(|b| (b, *s))) else { continue };
        let bound = labels.value(BUCKET_LABEL).parse::<f64>().ok().filter(|b| !b.is_nan());
        if suffix == "_bucket" && bound.is_none() {
            continue;
        }
        let mut b = labels.builder();
        b.set(METRIC_NAME, base).del(BUCKET_LABEL);
        let times = found.entry(b.build()).or_default();
        for (i, point) in points.iter().enumerate() {
            let Point::Float(v) = point else { continue };
            let classic = times.entry(i as i64 * load.step_ms).or_default();
            match (suffix, bound) {
                ("_bucket", Some(bound)) => classic.buckets.push((bound, *v)),
                ("_count", _) => classic.count = Some(*v),
                _ => classic.sum = *v,
            }
        }
    }
    let mut out = Vec::new();
    for (labels, times) in found {
        for (t_ms, classic) in times {
            out.push((labels.clone(), t_ms, classic.convert().map_err(|e| LoadError(format!("{labels}: {e}")))?));
        }
    }
    Ok(out)
}

impl Classic {
    fn convert(mut self) -> Result<FloatHistogram, &'static str> {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.buckets.dedup_by(|b, a| a.0 == b.0);
        if self.buckets.windows(2).any(|w| w[1].1 < w[0].1) {
            return Err("count is not cumulative");
        }
        let highest = self.buckets.last().copied();
        let count = self.count.or(highest.map(|b| b.1)).unwrap_or(0.0);
        if highest.is_none_or(|b| b.0 != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        if self.buckets.last().is_some_and(|b| b.1 != count) {
            return Err("count mismatch");
        }
        let mut before = 0.0;
        let counts = self.buckets.iter().map(|(_, c)| c - std::mem::replace(&mut before, *c)).collect::<Vec<f64>>();
        let whole = self.buckets.iter().all(|(_, c)| c.fract() == 0.0) && count.fract() == 0.0;
        let mut h = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
            positive_buckets: counts,
            custom_values: self.buckets.iter().map(|b| b.0).filter(|b| *b != f64::INFINITY).collect(),
            ..FloatHistogram::default()
        };
        h.compact(if whole { 2 } else { 0 });
        Ok(h)
    }
}

impl Queryable for TestStore {
    fn querier(&self, _mint_ms: i64, _maxt_ms: i64) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(self.clone()))
    }
}

impl Querier for TestStore {
    fn select(&self, sorted: bool, _hints: &SelectHints, matchers: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        let mut numbers: Vec<usize> = self.matching(matchers).map(|(i, _)| i).collect();
        if sorted {
            numbers.sort_by(|a, b| self.inner.series[*a].0.cmp(&self.inner.series[*b].0));
        }
        Ok(Arc::new(Picked { inner: Arc::clone(&self.inner), numbers }))
    }

    fn label_values(&self, name: &str, _hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        let mut values: Vec<String> = self.matching(matchers).filter_map(|(_, l)| l.get(name).map(str::to_string)).collect();
        values.sort();
        values.dedup();
        Ok((values, Warnings::new()))
    }

    fn label_names(&self, _hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        let mut names: Vec<String> = self.matching(matchers).flat_map(|(_, l)| l.iter().map(|(n, _)| n.to_string()).collect::<Vec<_>>()).collect();
        names.sort();
        names.dedup();
        Ok((names, Warnings::new()))
    }
}

impl Selection for Picked {
    fn len(&self) -> usize {
        self.numbers.len()
    }

    fn labels(&self, i: usize) -> Labels {
        self.inner.series[self.numbers[i]].0.clone()
    }

    fn read(&self, i: usize, start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ReadError> {
        let d = &self.inner.series[self.numbers[i]].1.data;
        let inside = |t: &[i64]| t.partition_point(|t| *t < start_ms)..t.partition_point(|t| *t <= end_ms).max(t.partition_point(|t| *t < start_ms));
        let (f, h) = (inside(&d.t_ms), inside(&d.hist_t_ms));
        out.t_ms.extend_from_slice(&d.t_ms[f.clone()]);
        out.v.extend_from_slice(&d.v[f.clone()]);
        out.st_ms.extend_from_slice(&d.st_ms[f]);
        out.hist_t_ms.extend_from_slice(&d.hist_t_ms[h.clone()]);
        out.hist.extend_from_slice(&d.hist[h.clone()]);
        out.hist_st_ms.extend_from_slice(&d.hist_st_ms[h]);
        Ok(())
    }

    fn chunks(&self, _i: usize, _start_ms: i64, _end_ms: i64, _each: &mut dyn FnMut(EncodedChunk)) -> Result<(), ReadError> {
        Err(ReadError::Other("series in memory have no chunks; read the samples".to_string()))
    }
}
