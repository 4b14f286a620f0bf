//! info(): labels of info metrics, joined by `instance` and `job`.

use super::rows::{Cell, Grid, Matrix, Meta, Row, bits};
use super::stream::{Duplicates, Stream};
use super::{Exec, select, vector};
use crate::engine::QueryError;
use crate::plan::{Plan, RangeInput};
use hashbrown::{HashMap, HashSet};
use model::name::METRIC_NAME;
use model::sample::is_stale_nan;
use model::{Labels, LabelsBuilder, MatchOp, Matcher};
use std::collections::{BTreeMap, BTreeSet};
use storage::{SelectHints, SeriesData};

/// What identifies a target, the same for all info metrics.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// The name conditions that select info metrics: those given; `.+_info` where only exclusions are; `target_info` where nothing is said.
fn name_matchers(given: &[Matcher]) -> Result<Vec<Matcher>, QueryError> {
    if given.iter().any(|m| matches!(m.op, MatchOp::Equal | MatchOp::Regex)) {
        return Ok(given.to_vec());
    }
    if given.is_empty() {
        return Ok(vec![Matcher::equal(METRIC_NAME, "target_info")]);
    }
    let any = Matcher::new(MatchOp::Regex, METRIC_NAME, ".+_info").map_err(|e| QueryError::execution(e.to_string()))?;
    Ok(std::iter::once(any).chain(given.iter().cloned()).collect())
}

fn quote_meta(s: &str) -> String {
    s.chars().fold(String::with_capacity(s.len()), |mut out, c| {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

/// The first selector of an expression. Its `@` and offset say of which time info metrics are read, as in the reference, although they are then
/// looked up at the steps of the query: beyond the lookback nothing is found.
fn first_selector(plan: &Plan) -> Option<(Option<i64>, i64)> {
    match plan {
        Plan::Select(s) => Some((s.at_ms, s.offset_ms)),
        Plan::Range(input) => from_input(input),
        Plan::RangeCall(c) => from_input(&c.input).or_else(|| c.args.iter().find_map(first_selector)),
        Plan::Call { args, .. } => args.iter().find_map(first_selector),
        Plan::Aggregate(a) => first_selector(&a.input).or_else(|| a.param.as_ref().and_then(first_selector)),
        Plan::Binary(b) => first_selector(&b.lhs).or_else(|| first_selector(&b.rhs)),
        Plan::Negate(p) | Plan::Invariant(p) => first_selector(p),
        Plan::Number(_) | Plan::Text(_) | Plan::Time => None,
    }
}

fn from_input(input: &RangeInput) -> Option<(Option<i64>, i64)> {
    match input {
        RangeInput::Select { select, .. } => Some((select.at_ms, select.offset_ms)),
        RangeInput::Subquery(s) => first_selector(&s.plan),
    }
}

/// An info series: which target and metric it belongs to, and at each step how old its sample is.
struct Info {
    labels: Labels,
    row: Row,
}

pub fn evaluate<'p>(ex: &Exec<'_>, base: &'p Plan, matchers: &[Matcher], grid: Grid) -> Result<Stream<'p>, QueryError> {
    let matrix = vector(ex, base, grid)?.collect(ex)?;
    let (names, data): (Vec<Matcher>, Vec<Matcher>) = matchers.iter().cloned().partition(|m| m.name == METRIC_NAME);
    let names = name_matchers(&names)?;
    let is_info: Vec<bool> = matrix.metas().iter().map(|m| names.iter().all(|n| n.matches(m.labels.metric_name()))).collect();
    let infos = fetch(ex, base, &matrix, &is_info, &names, &data, grid)?;
    combine(ex, &matrix, &is_info, &infos, &data, grid)
}

/// Info series of the targets that the base series name.
fn fetch(
    ex: &Exec<'_>,
    base: &Plan,
    matrix: &Matrix,
    is_info: &[bool],
    names: &[Matcher],
    data: &[Matcher],
    grid: Grid,
) -> Result<Vec<Info>, QueryError> {
    let mut values: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let with_samples = matrix.metas().iter().enumerate().filter(|(i, _)| !is_info[*i] && !matrix.row(*i).is_empty());
    for (_, m) in with_samples {
        for name in IDENTIFYING {
            if let Some(v) = m.labels.get(name) {
                values.entry(name).or_default().insert(v.to_string());
            }
        }
    }
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let mut all: Vec<Matcher> = Vec::new();
    for (name, values) in values {
        let pattern = values.iter().map(|v| quote_meta(v)).collect::<Vec<_>>().join("|");
        all.push(Matcher::new(MatchOp::Regex, name, pattern).map_err(|e| QueryError::execution(e.to_string()))?);
    }
    all.extend_from_slice(data);
    all.extend_from_slice(names);
    let (at, offset) = first_selector(base).unwrap_or((None, 0));
    let lookback = ex.switches.lookback_ms;
    let (start_ms, end_ms) = (at.unwrap_or(grid.start_ms) - lookback + 1 - offset, at.unwrap_or_else(|| grid.end_ms()) - offset);
    let hints = SelectHints { start_ms, end_ms, step_ms: grid.step_ms, func: "info".to_string(), range_ms: 0, limit: 0 };
    let selection = select::selection(ex, &all, &hints)?;
    let mut out = Vec::new();
    let mut samples = SeriesData::default();
    for i in 0..selection.len() {
        ex.budget.check()?;
        samples.clear();
        selection.read(i, start_ms, end_ms, &mut samples)?;
        let labels = selection.labels(i);
        let mut row = Row::new(grid);
        for k in 0..grid.n {
            let t = grid.time(k);
            let newest = |times: &[i64]| times.partition_point(|x| *x <= t).checked_sub(1).filter(|i| times[*i] > t - lookback);
            let (f, h) = (newest(&samples.t_ms), newest(&samples.hist_t_ms));
            let hist_newer = match (f, h) {
                (Some(f), Some(h)) => samples.hist_t_ms[h] > samples.t_ms[f],
                (None, Some(_)) => true,
                _ => false,
            };
            if hist_newer && h.is_some_and(|h| !samples.hist[h].is_stale()) {
                return Err(QueryError::execution(format!("this should be an info metric, with float samples: {labels}")));
            }
            if let Some(f) = f.filter(|f| !hist_newer && !is_stale_nan(samples.v[*f])) {
                row.set(k, samples.t_ms[f] as f64);
            }
        }
        if !row.is_empty() {
            out.push(Info { labels, row });
        }
    }
    Ok(out)
}

/// Identity of a target for one info metric.
fn identity(labels: &Labels) -> [String; 2] {
    IDENTIFYING.map(|n| labels.value(n).to_string())
}

fn combine<'p>(ex: &Exec<'_>, matrix: &Matrix, is_info: &[bool], infos: &[Info], data: &[Matcher], grid: Grid) -> Result<Stream<'p>, QueryError> {
    let wanted: HashSet<&str, foldhash::fast::RandomState> = data.iter().map(|m| m.name.as_str()).collect();
    let needs_info = data.iter().any(|m| !m.matches_empty());
    // Info series by target, then by metric.
    let mut by_target: HashMap<[String; 2], BTreeMap<String, Vec<usize>>, foldhash::fast::RandomState> = HashMap::default();
    for (i, info) in infos.iter().enumerate() {
        by_target.entry(identity(&info.labels)).or_default().entry(info.labels.metric_name().to_string()).or_default().push(i);
    }
    // The newest series of each metric and target, at each step; two that are equally new contradict each other.
    let newest = |candidates: &[usize], k: usize| -> Result<Option<usize>, QueryError> {
        let mut best: Option<usize> = None;
        for i in candidates.iter().copied().filter(|i| bits::get(&infos[*i].row.valid, k)) {
            let t = infos[i].row.v[k];
            match best {
                Some(b) if infos[b].row.v[k] > t => {}
                Some(b) if infos[b].row.v[k] == t => {
                    return Err(QueryError::execution(format!(
                        "found duplicate series for info metric: existing {} @ {}, new {} @ {}",
                        infos[b].labels, t as i64, infos[i].labels, t as i64
                    )));
                }
                _ => best = Some(i),
            }
        }
        Ok(best)
    };
    let any_base = |k: usize| (0..matrix.len()).any(|i| matrix.row(i).cell(k).is_some());
    for k in 0..grid.n {
        if any_base(k) {
            for metrics in by_target.values() {
                for candidates in metrics.values() {
                    newest(candidates, k)?;
                }
            }
        }
    }
    let mut place: HashMap<Labels, usize, foldhash::fast::RandomState> = HashMap::default();
    let mut rows: Vec<(Labels, Row)> = Vec::new();
    let nothing = BTreeMap::new();
    for (i, is_info) in is_info.iter().enumerate() {
        ex.budget.check()?;
        let (labels, row) = (&matrix.meta(i).labels, matrix.row(i));
        let metrics = by_target.get(&identity(labels)).unwrap_or(&nothing);
        let mut known: HashMap<Vec<usize>, Option<Labels>, foldhash::fast::RandomState> = HashMap::default();
        for k in 0..grid.n {
            let Some(cell) = row.cell(k) else { continue };
            let result = if *is_info {
                Some(labels.clone())
            } else {
                let mut found = Vec::new();
                for candidates in metrics.values() {
                    found.extend(newest(candidates, k)?);
                }
                match known.get(&found) {
                    Some(l) => l.clone(),
                    None => {
                        let l = if found.is_empty() && needs_info {
                            None
                        } else {
                            Some(enrich(labels, found.iter().map(|i| &infos[*i].labels), &wanted)?)
                        };
                        known.insert(found, l.clone());
                        l
                    }
                }
            };
            let Some(result) = result else { continue };
            let at = *place.entry(result).or_insert_with_key(|l| {
                rows.push((l.clone(), Row::new(grid)));
                rows.len() - 1
            });
            let out = &mut rows[at].1;
            if out.view().cell(k).is_some() {
                return Err(QueryError::duplicate_labels());
            }
            match cell {
                Cell::Float(v) => out.set(k, v),
                Cell::Hist(h) => {
                    out.set_hist(k, h.clone());
                    out.hist.sort_by_key(|(k, _)| *k);
                }
            }
        }
    }
    let mut out = Matrix::new(grid);
    let mut charge = ex.budget.charge();
    for (labels, row) in rows {
        charge.add_samples(row.view().samples())?;
        charge.add_bytes((grid.n * 8) as u64)?;
        out.push(Meta { labels, drop_name: false }, row.view());
    }
    out.add_charge(charge);
    Stream::from_matrix(out, grid).rename(ex, Duplicates::Merge, |_| {})
}

/// The base labels and those of the info series that were asked for; info series must not contradict each other.
fn enrich<'a>(
    base: &Labels,
    infos: impl Iterator<Item = &'a Labels>,
    wanted: &HashSet<&str, foldhash::fast::RandomState>,
) -> Result<Labels, QueryError> {
    let mut added: BTreeMap<&str, &str> = BTreeMap::new();
    for labels in infos {
        for (n, v) in labels.iter().filter(|(n, _)| *n != METRIC_NAME && (wanted.is_empty() || wanted.contains(n))) {
            if added.get(n).is_some_and(|other| *other != v) {
                return Err(QueryError::execution(format!("conflicting label: {n}")));
            }
            if base.get(n).is_none() {
                added.insert(n, v);
            }
        }
    }
    let mut b: LabelsBuilder = base.builder();
    added.iter().for_each(|(n, v)| {
        b.set(n, v);
    });
    Ok(b.build())
}
