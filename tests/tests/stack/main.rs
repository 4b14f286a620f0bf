//! Every expression of the rules and dashboards of kube-prometheus-stack, asked of Narthex and of a real Prometheus that were given the
//! same samples: the answers must be equal.
//!
//! Not a test of one function after the other: promql has that. This is what people really ask, with all its joins, on data that is
//! made up so that at least half of the expressions find something. The expressions come from the conformance data beside the
//! repository (or in NARTHEX_CONFORMANCE); without these, or without a Prometheus, the test says so and ends.

#![allow(clippy::disallowed_methods, reason = "tests live in real time, on the real disk, in a real environment")]

mod answers;
mod expressions;
mod invent;
mod rules;
#[path = "../story/wire.rs"]
mod wire;

use answers::{Asked, difference, is_empty};
use narthex_tests::{Kind, Server};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Series in one request.
const BATCH: usize = 500;
/// Differences that are told in full.
const SHOWN: usize = 20;

fn start(kind: Kind, name: &str) -> Option<Server> {
    let mut server = Server::new(kind, name, "global: {scrape_interval: 30s}\n", &["--web.enable-remote-write-receiver"])?;
    server.start();
    Some(server)
}

fn fill(server: &Server, all: &[invent::Series]) {
    for batch in all.chunks(BATCH) {
        let labels: Vec<Vec<(&str, &str)>> = batch.iter().map(|s| s.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()).collect();
        let series: Vec<wire::Series<'_>> = batch.iter().zip(&labels).map(|(s, labels)| wire::Series { labels, samples: &s.samples }).collect();
        let answer = wire::push(server, &series);
        assert!(answer.status / 100 == 2, "{} did not take the samples: {} {}", server.name, answer.status, answer.text());
    }
}

#[test]
fn rules_and_dashboards_are_answered_alike() {
    let Some(all) = expressions::read() else { return };
    let Some(theirs) = start(Kind::Prometheus, "reference") else { return };
    let ours = start(Kind::Narthex, "ours").expect("our own binary");

    // Full minutes, some of them ago.
    let end = (narthex_tests::now() as i64 / 60 - 8) * 60;
    let data = invent::series(&all, end * 1000);
    let samples: usize = data.iter().map(|s| s.samples.len()).sum();
    eprintln!("stack: {} expressions, {} series, {samples} samples", all.len(), data.len());
    fill(&theirs, &data);
    fill(&ours, &data);

    let questions = [
        Asked::At((end - 760) as f64 + 0.5),
        Asked::At(end as f64),
        Asked::At((end + 200) as f64),
        Asked::Over { start: end - 30 * 60, end: end + 6 * 60, step: 60 },
    ];
    let next = AtomicUsize::new(0);
    let found = Mutex::new((0, 0, 0, Vec::new()));
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                while let Some(expr) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (mut full, mut refused, mut wrong) = (false, false, None);
                    for q in &questions {
                        let (a, b) = (q.ask(&ours, expr), q.ask(&theirs, expr));
                        full |= !is_empty(&b);
                        refused |= b["status"] != "success";
                        if wrong.is_none() {
                            wrong = difference(&a, &b).map(|d| format!("{expr}\n  {q:?}: {d}"));
                        }
                    }
                    let mut found = found.lock().expect("not poisoned");
                    found.0 += usize::from(wrong.is_none());
                    found.1 += usize::from(full);
                    found.2 += usize::from(refused);
                    found.3.extend(wrong);
                }
            });
        }
    });
    let (equal, full, refused, wrong) = found.into_inner().expect("not poisoned");
    eprintln!("stack: {equal}/{} expressions equal, {full} of them non-empty, {refused} refused by both at some time", all.len());
    let shown = wrong.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(wrong.is_empty(), "{} expressions differ:\n{shown}", wrong.len());
    assert!(full * 2 >= all.len(), "only {full} of {} expressions found anything: the invented data says too little", all.len());
}
