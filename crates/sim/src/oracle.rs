//! What every leaf has stored, and whether the central has it as the promise says.

use crate::plan::Plan;
use crate::time::SELF_SCRAPE_MS;
use model::sample::is_stale_nan;
use model::{Labels, Matcher, name};
use remote::ledger::gaps::{GapKind, gaps};
use remote::receive::DEFAULT_REPLICA_LABEL;
use std::collections::{BTreeMap, BTreeSet};
use storage::{Queryable, SelectHints, SeriesData};
use tsdb::db::Db;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Committed: to be found at the central.
    Stored,
    /// The server died while it was being committed.
    Maybe,
    /// A power cut took it before it was synced. May have been sent before.
    Lost,
}

#[derive(Clone, Copy, Debug)]
pub struct Point {
    pub v: f64,
    /// When it was scraped, by the one true time.
    pub at_ns: u64,
    pub kept: Kept,
}

/// Points of one series of one server, by their times.
pub type Track = BTreeMap<i64, Point>;

/// Samples by series and time. Histograms by their sums.
pub type Stored = BTreeMap<Labels, BTreeMap<i64, f64>>;

#[derive(Default)]
pub struct Oracle {
    /// By server and its own labels.
    pub tracks: BTreeMap<(usize, Labels), Track>,
}

/// Longest distance of neighbours that is not a hole.
fn hole(i: i64) -> i64 {
    i + i / 2 + i / 20
}

/// Everything that a store answers.
pub fn read_all(db: &Db) -> Result<Stored, String> {
    let q = db.querier(i64::MIN / 2, i64::MAX / 2).map_err(|e| e.to_string())?;
    let found = q.select(true, &SelectHints::default(), &[Matcher::not_equal(name::METRIC_NAME, "")]).map_err(|e| e.to_string())?;
    if !found.warnings().is_empty() {
        return Err(format!("answers with warnings {:?}", found.warnings()));
    }
    let mut out = Stored::new();
    let mut d = SeriesData::default();
    for n in 0..found.len() {
        d.clear();
        let labels = found.labels(n);
        found.read(n, i64::MIN, i64::MAX, &mut d).map_err(|e| e.to_string())?;
        let points: BTreeMap<i64, f64> =
            d.t_ms.iter().copied().zip(d.v.iter().copied()).chain(d.hist_t_ms.iter().copied().zip(d.hist.iter().map(|h| h.sum))).collect();
        if points.len() != d.len() {
            return Err(format!("{labels} has a time twice"));
        }
        if out.insert(labels.clone(), points).is_some() {
            return Err(format!("{labels} is answered in two parts"));
        }
    }
    Ok(out)
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (is_stale_nan(a) && is_stale_nan(b))
}

/// Does a sample say that its target was seen?
fn is_live(labels: &Labels, v: f64) -> bool {
    !(is_stale_nan(v) || (labels.metric_name() == "up" && v == 0.0))
}

impl Oracle {
    pub fn note(&mut self, server: usize, labels: &Labels, t_ms: i64, point: Point) {
        self.tracks.entry((server, labels.clone())).or_default().insert(t_ms, point);
    }

    /// A server has started again: what it stored is there, but for what a power cut at `cut_ns` may have taken.
    pub fn check_restarted(&mut self, server: usize, stored: &Stored, cut: Option<(u64, u64)>) -> Vec<String> {
        let mut bad = Vec::new();
        let empty = BTreeMap::new();
        for ((_, labels), track) in self.tracks.iter_mut().filter(|((s, _), _)| *s == server) {
            let there = stored.get(labels).unwrap_or(&empty);
            for (t, p) in track.iter_mut() {
                match (p.kept, there.get(t)) {
                    (_, Some(v)) if !same(*v, p.v) => bad.push(format!("{labels} has {v} at {t}, scraped was {}", p.v)),
                    (Kept::Maybe, found) => p.kept = if found.is_some() { Kept::Stored } else { Kept::Lost },
                    (Kept::Stored, None) => match cut {
                        Some((at_ns, window_ns)) if p.at_ns + window_ns >= at_ns => p.kept = Kept::Lost,
                        _ => bad.push(format!("{labels} lost what was stored at {t}")),
                    },
                    _ => {}
                }
            }
        }
        bad
    }

    /// What the promise says about the central's store, after everything healed and caught up.
    pub fn check_central(&self, plan: &Plan, central: &Stored) -> Vec<String> {
        let mut found: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
        for (labels, points) in central {
            found.entry(labels.without(&[DEFAULT_REPLICA_LABEL])).or_default().extend(points.iter().map(|(t, v)| (*t, *v)));
        }
        found.values_mut().for_each(|p| p.sort_by_key(|(t, _)| *t));
        let mut bad = Vec::new();
        let mut known = BTreeSet::new();
        for (server, labels) in self.tracks.keys() {
            let s = &plan.servers[*server];
            let group = s.group.map(|g| &plan.groups[g]);
            let labels_up = group.map_or(labels.clone(), |g| labels.with("group", &g.name));
            if !known.insert(labels_up.clone()) {
                continue;
            }
            let got = found.get(&labels_up).map_or(&[][..], Vec::as_slice);
            let members = group.map_or(vec![*server], |g| g.members.clone());
            let tracks: Vec<&Track> = members.iter().filter_map(|m| self.tracks.get(&(*m, labels.clone()))).collect();
            let complaints = if s.replica.is_none() {
                check_single(tracks[0], got)
            } else {
                let own = labels.value("job") == "narthex";
                let interval_ms = group.filter(|_| !own).map_or(SELF_SCRAPE_MS, |g| g.interval_ms);
                check_merged(labels, &tracks, interval_ms, got)
            };
            bad.extend(complaints.into_iter().take(3).map(|c| format!("{labels_up}: {c}")));
        }
        bad.extend(found.keys().filter(|l| !known.contains(l)).map(|l| format!("{l} is at the central and was never scraped")));
        bad
    }

    /// Every interval in which no replica stored a scrape of a target is told of, and no other.
    pub fn check_ledger(&self, plan: &Plan, db: &Db, start_ms: i64, end_ms: i64, now_ms: i64, lies: bool) -> Vec<String> {
        let mut report = match gaps(db, start_ms, end_ms, now_ms, &[]) {
            Ok(r) => r,
            Err(e) => return vec![format!("gaps cannot be asked for: {e}")],
        };
        if lies {
            report.targets.clear();
        }
        let central = match read_all(db) {
            Ok(c) => c,
            Err(e) => return vec![format!("cannot be read: {e}")],
        };
        let mut bad = Vec::new();
        for group in &plan.groups {
            let mut times: BTreeMap<Labels, BTreeSet<i64>> = BTreeMap::new();
            let mut live: BTreeMap<Labels, BTreeSet<i64>> = BTreeMap::new();
            for ((server, labels), track) in &self.tracks {
                if group.members.contains(server) && labels.metric_name() == "up" && labels.value("job") == "sim" {
                    let target = labels.with("group", &group.name);
                    let there = |t: &i64| central.get(&target).is_some_and(|got| got.contains_key(t));
                    // What a leaf has lost may have been sent before.
                    let stored = track.iter().filter(|(t, p)| p.kept == Kept::Stored || there(t)).map(|(t, _)| *t);
                    times.entry(target.without_name()).or_default().extend(stored);
                    let seen = track.iter().filter(|(_, p)| p.kept == Kept::Stored && is_live(labels, p.v)).map(|(t, _)| *t);
                    live.entry(target.without_name()).or_default().extend(seen);
                }
            }
            let i = group.interval_ms;
            for (target, times) in times {
                let told: Vec<_> = report.targets.iter().filter(|t| t.labels == target).flat_map(|t| &t.gaps).collect();
                let times: Vec<i64> = times.into_iter().filter(|t| (start_ms..=end_ms).contains(t)).collect();
                for w in times.windows(2).filter(|w| w[1] - w[0] > 2 * i + i / 2) {
                    match told.iter().find(|g| g.start_ms <= w[0] + i && g.end_ms >= w[1] - i) {
                        None => bad.push(format!("the ledger does not tell that {target} lacks scrapes from {} to {}", w[0], w[1])),
                        Some(g) if g.kind != GapKind::Hard => {
                            bad.push(format!(
                                "the ledger calls the gap of {target} from {} to {} {}, and nobody has it",
                                w[0],
                                w[1],
                                g.kind.as_str()
                            ));
                        }
                        _ => {}
                    }
                }
                for g in told.iter().filter(|g| g.end_ms < end_ms) {
                    let within = live[&target].iter().filter(|t| **t > g.start_ms + i / 2 && **t < g.end_ms - i / 2).count();
                    if within > 0 {
                        bad.push(format!(
                            "the ledger tells of a gap of {target} from {} to {}, in which {within} scrapes were stored",
                            g.start_ms, g.end_ms
                        ));
                    }
                }
            }
        }
        bad
    }

    /// Asked in the middle of it all: what is told to be a hard gap is held by nobody, and what the central lacks is told of.
    pub fn check_ledger_meanwhile(&self, plan: &Plan, db: &Db, start_ms: i64, now_ms: i64) -> Vec<String> {
        let (report, central) = match (gaps(db, start_ms, now_ms, now_ms, &[]), read_all(db)) {
            (Ok(r), Ok(c)) => (r, c),
            (Err(e), _) => return vec![format!("gaps cannot be asked for: {e}")],
            (_, Err(e)) => return vec![format!("cannot be read: {e}")],
        };
        let mut bad = Vec::new();
        for ((server, labels), track) in &self.tracks {
            let Some(group) = plan.servers[*server].group.map(|g| &plan.groups[g]) else { continue };
            if labels.metric_name() != "up" || labels.value("job") != "sim" {
                continue;
            }
            let i = group.interval_ms;
            let target = labels.with("group", &group.name);
            let Some(got) = central.get(&target).filter(|got| got.len() > 1) else { continue };
            let times: Vec<i64> = got.keys().copied().collect();
            let target = target.without_name();
            let told: Vec<_> = report.targets.iter().filter(|t| t.labels == target).flat_map(|t| &t.gaps).collect();
            let first = times[0];
            // The newest may be on their way.
            let lacking = track.iter().filter(|(t, p)| {
                p.kept == Kept::Stored && is_live(labels, p.v) && **t > first && **t < now_ms - 6 * i && !is_covered(&times, **t, i)
            });
            for (t, _) in lacking {
                match told.iter().find(|g| g.start_ms <= *t && *t <= g.end_ms) {
                    None => bad.push(format!("the ledger does not tell that {target} lacks the scrape at {t}")),
                    // One that began before the cut is called hard until the uplink was silent for two minutes.
                    Some(g) if g.kind == GapKind::Hard && *t > g.start_ms + i + i / 2 && now_ms - *t < 150_000 => {}
                    // The central holds the first of a standby back until its owner is heard of.
                    Some(g) if g.kind == GapKind::Hard && group.members.len() > 1 && *t <= g.start_ms + i + i / 2 => {}
                    Some(g) if g.kind == GapKind::Hard => bad.push(format!(
                        "the ledger calls the gap of {target} from {} to {} hard, but {} has the scrape at {t}",
                        g.start_ms, g.end_ms, plan.servers[*server].name
                    )),
                    _ => {}
                }
            }
        }
        bad.truncate(2);
        bad
    }

    pub fn stored(&self) -> usize {
        self.tracks.values().flat_map(BTreeMap::values).filter(|p| p.kept == Kept::Stored).count()
    }
}

/// A series of one server arrives as it is.
fn check_single(track: &Track, got: &[(i64, f64)]) -> Vec<String> {
    let mut bad = Vec::new();
    bad.extend(got.windows(2).filter(|w| w[0].0 == w[1].0).map(|w| format!("the sample at {} is there twice", w[0].0)));
    for (t, v) in got {
        match track.get(t) {
            Some(p) if same(p.v, *v) => {}
            Some(p) => bad.push(format!("has {v} at {t}, scraped was {}", p.v)),
            None => bad.push(format!("has {v} at {t}, which was never scraped")),
        }
    }
    let there: BTreeSet<i64> = got.iter().map(|(t, _)| *t).collect();
    let missing: Vec<i64> = track.iter().filter(|(t, p)| p.kept == Kept::Stored && !there.contains(t)).map(|(t, _)| *t).collect();
    if let (Some(first), Some(last)) = (missing.first(), missing.last()) {
        bad.push(format!("{} of {} stored samples are missing, from {first} to {last}", missing.len(), track.len()));
    }
    bad
}

/// A series of a pair arrives as one: no interval missing that one of them has, none twice, no counter going back.
fn check_merged(labels: &Labels, tracks: &[&Track], i: i64, got: &[(i64, f64)]) -> Vec<String> {
    let mut bad = Vec::new();
    for (t, v) in got {
        if !tracks.iter().any(|track| track.get(t).is_some_and(|p| same(p.v, *v))) {
            bad.push(format!("has {v} at {t}, which was never scraped"));
        }
    }
    for w in got.windows(2) {
        let ((p, pv), (n, nv)) = (w[0], w[1]);
        if !is_live(labels, pv) || !is_live(labels, nv) {
            continue;
        }
        if n - p < i * 2 / 5 {
            let around: Vec<i64> = got.iter().map(|(t, _)| t - p).filter(|t| t.abs() < 4 * i).collect();
            bad.push(format!("two samples within one interval: at {p} and {n}, among {around:?}"));
        }
        if labels.metric_name() == "ticks_total" && nv < pv {
            bad.push(format!("the counter goes back from {pv} at {p} to {nv} at {n}"));
        }
    }
    let times: Vec<i64> = got.iter().map(|(t, _)| *t).collect();
    // As long as nothing says how far apart scrapes are, one that is near to a stored one is taken for covered.
    let young_until = times.first().map_or(i64::MIN, |first| first + 4 * i);
    let is_there = |t: i64| is_covered(&times, t, i) || (t < young_until && times.iter().any(|x| (x - t).abs() < i));
    for track in tracks {
        let missing: Vec<i64> =
            track.iter().filter(|(t, p)| p.kept == Kept::Stored && is_live(labels, p.v) && !is_there(**t)).map(|(t, _)| *t).collect();
        if let (Some(first), Some(last)) = (missing.first(), missing.last()) {
            let around = |times: &mut dyn Iterator<Item = i64>| times.filter(|t| (t - first).abs() < 4 * i).map(|t| t - first).collect::<Vec<_>>();
            let scraped: Vec<_> = tracks.iter().map(|track| around(&mut track.keys().copied())).collect();
            bad.push(format!(
                "{} of {} stored scrapes of one replica are missing, from {first} to {last}; around the first of them were scraped {scraped:?} and stored {:?}",
                missing.len(),
                track.len(),
                around(&mut times.iter().copied())
            ));
        }
    }
    bad
}

/// Is the interval around a time there: itself, a neighbour too near for both, or two with no hole between them?
fn is_covered(times: &[i64], t: i64, i: i64) -> bool {
    let at = times.partition_point(|x| *x < t);
    if times.get(at) == Some(&t) {
        return true;
    }
    let before = at.checked_sub(1).map(|b| times[b]);
    let after = times.get(at).copied();
    let near = |x: Option<i64>| x.is_some_and(|x| (x - t).abs() <= i / 2 + i / 20);
    near(before) || near(after) || matches!((before, after), (Some(p), Some(n)) if n - p <= hole(i))
}
