//! Histogram functions over a vector: series that are buckets of one classic histogram are brought together by their labels without `le`;
//! native histograms are taken one by one. Where both are there at one step, neither counts.

use super::quantile::{ClassicBucket, fraction_of_classic, fraction_of_native, of_classic, of_native};
use super::rows::{Cell, Grid, Matrix, Meta, Row};
use super::stream::{Duplicates, Stream};
use super::{Exec, Scalar};
use crate::annotations::{Annotations, Monotonicity, Note};
use crate::engine::QueryError;
use crate::parse::Span;
use hashbrown::HashMap;
use model::name::BUCKET_LABEL;
use model::number::format_g;
use model::{FloatHistogram, Labels};

/// One histogram: the rows of its classic buckets, sorted by bound, and the row that may hold it in native form.
struct Group {
    labels: Labels,
    buckets: Vec<(f64, u32)>,
    native: Option<u32>,
}

struct Input {
    matrix: Matrix,
    groups: Vec<Group>,
}

/// Brings rows together. Notes series whose `le` is missing or no number, where they have floats.
fn gather(ex: &Exec<'_>, stream: Stream<'_>, span: Span) -> Result<Input, QueryError> {
    let matrix = stream.collect(ex)?;
    let mut place: HashMap<Labels, usize, foldhash::fast::RandomState> = HashMap::default();
    let mut groups: Vec<Group> = Vec::new();
    let mut group_of = |labels: Labels| {
        *place.entry(labels).or_insert_with_key(|labels| {
            groups.push(Group { labels: labels.clone(), buckets: Vec::new(), native: None });
            groups.len() - 1
        })
    };
    let mut buckets = Vec::new();
    let mut natives = Vec::new();
    let mut notes = Annotations::default();
    for i in 0..matrix.len() {
        let (row, labels) = (matrix.row(i), &matrix.meta(i).labels);
        if !row.hist.is_empty() {
            natives.push((group_of(labels.clone()), i as u32));
        }
        if !row.has_floats() {
            continue;
        }
        let le = labels.value(BUCKET_LABEL);
        match le.parse::<f64>() {
            Ok(bound) => buckets.push((group_of(labels.without(&[BUCKET_LABEL])), bound, i as u32)),
            Err(_) => notes.add(Note::BadBucketLabel(le), name(ex, labels), span),
        }
    }
    for (g, bound, i) in buckets {
        groups[g].buckets.push((bound, i));
    }
    for (g, i) in natives {
        groups[g].native = Some(i);
    }
    groups.iter_mut().for_each(|g| g.buckets.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal)));
    ex.notes.lock().merge(notes);
    Ok(Input { matrix, groups })
}

/// The metric name as notes tell it: gone already, unless names are dropped late.
fn name<'a>(ex: &Exec<'_>, labels: &'a Labels) -> &'a str {
    if ex.switches.delayed_names { labels.metric_name() } else { "" }
}

impl Input {
    /// Computes rows: `classic` and `native` each give a value for a step, for every one of `outputs`.
    fn rows(
        &self,
        ex: &Exec<'_>,
        grid: Grid,
        span: Span,
        outputs: &[&dyn Fn(&Labels) -> Labels],
        mut classic: impl FnMut(usize, usize, &mut Vec<ClassicBucket>, &Labels, &mut Annotations) -> f64,
        mut native: impl FnMut(usize, usize, &FloatHistogram, &Labels, &mut Annotations) -> f64,
    ) -> Result<Matrix, QueryError> {
        let mut out = Matrix::new(grid);
        let mut charge = ex.budget.charge();
        let mut notes = Annotations::default();
        let mut buckets: Vec<ClassicBucket> = Vec::new();
        for g in &self.groups {
            ex.budget.check()?;
            let mut rows: Vec<Row> = outputs.iter().map(|_| Row::new(grid)).collect();
            let parts: Vec<_> = g.buckets.iter().map(|(bound, i)| (*bound, self.matrix.row(*i as usize))).collect();
            let native_row = g.native.map(|i| self.matrix.row(i as usize));
            for k in 0..grid.n {
                buckets.clear();
                buckets.extend(parts.iter().filter_map(|(bound, r)| r.float(k).map(|v| (*bound, v))));
                let whole = native_row.and_then(|r| r.cell(k)).and_then(|c| match c {
                    Cell::Hist(h) => Some(h),
                    Cell::Float(_) => None,
                });
                match (buckets.is_empty(), whole) {
                    (false, Some(_)) => notes.add(Note::MixedClassicNative, name(ex, &g.labels), span),
                    (true, Some(h)) => rows.iter_mut().enumerate().for_each(|(o, row)| row.set(k, native(o, k, h, &g.labels, &mut notes))),
                    (false, None) => {
                        if let [row] = rows.as_mut_slice() {
                            row.set(k, classic(0, k, &mut buckets, &g.labels, &mut notes));
                        } else {
                            for (o, row) in rows.iter_mut().enumerate() {
                                let mut own = buckets.clone();
                                row.set(k, classic(o, k, &mut own, &g.labels, &mut notes));
                            }
                        }
                    }
                    (true, None) => {}
                }
            }
            for (row, output) in rows.iter().zip(outputs) {
                charge.add_samples(row.view().samples())?;
                charge.add_bytes(out.push(Meta { labels: output(&g.labels), drop_name: false }, row.view()))?;
            }
        }
        out.add_charge(charge);
        ex.notes.lock().merge(notes);
        Ok(out)
    }
}

/// histogram_quantile and, with a label that tells the quantile, histogram_quantiles.
pub fn quantiles<'p>(
    ex: &Exec<'_>,
    stream: Stream<'p>,
    grid: Grid,
    qs: &[(Scalar, Span)],
    label: Option<&String>,
    native_span: Span,
    vector_span: Span,
) -> Result<Stream<'p>, QueryError> {
    for (q, span) in qs {
        for v in (0..grid.n).map(|k| q.get(k)) {
            if v.is_nan() || !(0.0..=1.0).contains(&v) {
                ex.note(Note::InvalidQuantile(v), "", *span);
            }
            if matches!(q, Scalar::Same(_)) {
                break;
            }
        }
    }
    let input = gather(ex, stream, vector_span)?;
    let plain = |l: &Labels| l.clone();
    let labelled: Vec<Box<dyn Fn(&Labels) -> Labels>> = match label {
        None => vec![Box::new(plain)],
        Some(label) => qs
            .iter()
            .map(|(q, _)| {
                // A quantile that changes from step to step is named by its first value.
                let text = open_metrics_float(q.get(0));
                Box::new(move |l: &Labels| {
                    let mut b = l.builder();
                    b.set(label, &text);
                    b.build()
                }) as Box<dyn Fn(&Labels) -> Labels>
            })
            .collect(),
    };
    let outputs: Vec<&dyn Fn(&Labels) -> Labels> = labelled.iter().map(|f| f.as_ref() as &dyn Fn(&Labels) -> Labels).collect();
    let matrix = input.rows(
        ex,
        grid,
        vector_span,
        &outputs,
        |o, k, buckets, labels, notes| {
            let (v, fixed) = of_classic(qs[o].0.get(k), buckets);
            if let Some(f) = fixed {
                let t = grid.time(k);
                let m = Monotonicity { t_ms: (t, t), bucket: f.bucket, max_diff: f.max_diff, count: 1 };
                notes.add(Note::ForcedMonotonicity(m), name(ex, labels), vector_span);
            }
            v
        },
        |o, k, h, labels, notes| of_native(qs[o].0.get(k), h, name(ex, labels), native_span, notes),
    )?;
    // The new label may have replaced one that told series apart.
    Stream::from_matrix(matrix, grid).rename(ex, Duplicates::Merge, |_| {})?.without_names(ex, Duplicates::Merge)
}

pub fn fraction<'p>(
    ex: &Exec<'_>,
    stream: Stream<'p>,
    grid: Grid,
    lower: &Scalar,
    upper: &Scalar,
    native_span: Span,
    vector_span: Span,
) -> Result<Stream<'p>, QueryError> {
    let input = gather(ex, stream, vector_span)?;
    let plain = |l: &Labels| l.clone();
    let matrix = input.rows(
        ex,
        grid,
        vector_span,
        &[&plain],
        |_, k, buckets, _, _| fraction_of_classic(lower.get(k), upper.get(k), buckets),
        |_, k, h, labels, notes| fraction_of_native(lower.get(k), upper.get(k), h, name(ex, labels), native_span, notes),
    )?;
    Stream::from_matrix(matrix, grid).without_names(ex, Duplicates::Merge)
}

/// A float as OpenMetrics writes label values: always with a point or an exponent.
fn open_metrics_float(v: f64) -> String {
    let text = format_g(v);
    if v.is_finite() && !text.contains(['.', 'e']) { format!("{text}.0") } else { text }
}
