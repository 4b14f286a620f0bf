//! admin: delete, clean, snapshot; the snapshot is a data directory of Prometheus'.

use crate::tools::{RECEIVER, assert_every_scrape, config, data, job, points, sorted, wait_for_points};
use crate::wire::{self, Series};
use narthex_tests::{CounterTarget, Kind, Server, now, peer, post_form, request, vector};
use std::path::Path;
use std::process::Command;

const ADMIN: &str = "--web.enable-admin-api";

fn admin(server: &Server, path: &str, form: &[(&str, &str)]) -> narthex_tests::Answer {
    post_form(&format!("{}/api/v1/admin/tsdb/{path}", server.url()), form).expect("answers")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("makes a directory");
    for entry in std::fs::read_dir(from).expect("reads a directory") {
        let entry = entry.expect("reads a directory");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("has a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copies");
        }
    }
}

fn promtool(args: &[&str]) -> Option<String> {
    let out = Command::new(peer("promtool")?).args(args).output().expect("promtool runs");
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "promtool {args:?}: {text}");
    Some(text)
}

#[test]
fn deleted_cleaned_and_taken_away() {
    let target = CounterTarget::start(30);
    let text = config("", &[job("서버-1", &target.address, "class: \"6반\"")], &[]);
    let mut server = Server::narthex("server", &text, &[ADMIN, RECEIVER]);
    server.start();
    let t = (now() * 1000.0) as i64;
    let samples: Vec<(i64, f64)> = (0..200).map(|i| (t - 60_000 + i * 300, i as f64)).collect();
    let old = |class| [("__name__", "성적"), ("class", class), ("grade", "1학년")];
    let pushed = wire::push(&server, &[Series { labels: &old("6반"), samples: &samples }, Series { labels: &old("7반"), samples: &samples }]);
    assert_eq!(pushed.status, 204, "{}", pushed.text());
    wait_for_points(&server, "scrapes_total", 5);

    // One of two series goes, whole; of another one only the older half.
    let deleted = admin(&server, "delete_series", &[("match[]", r#"성적{class="6반"}"#)]);
    // A name outside ASCII is quoted, as everywhere in PromQL.
    assert_eq!(deleted.status, 400, "{}", deleted.text());
    let whole = r#"{"성적",class="6반"}"#;
    let deleted = admin(&server, "delete_series", &[("match[]", whole)]);
    assert_eq!((deleted.status, deleted.text().as_str()), (204, ""));
    let middle = format!("{:.3}", samples[100].0 as f64 / 1000.0);
    let deleted = admin(&server, "delete_series", &[("match[]", r#"{"성적",class="7반"}"#), ("end", &middle)]);
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    let missing = admin(&server, "delete_series", &[]);
    assert_eq!((missing.status, missing.json()["errorType"].as_str()), (400, Some("bad_data")), "{}", missing.text());

    let as_deleted = |server: &Server| {
        assert_eq!(points(server, whole).len(), 0, "deleted samples are back");
        assert_eq!(points(server, r#"{"성적",class="7반"}"#), samples[101..], "the newer half stays");
        assert_every_scrape(&points(server, "scrapes_total"));
    };
    as_deleted(&server);
    assert_eq!(admin(&server, "clean_tombstones", &[]).status, 204);
    as_deleted(&server);

    let time = format!("{:.3}", now());
    let taken = admin(&server, "snapshot", &[]);
    assert_eq!(taken.status, 200, "{}", taken.text());
    let name = data(&taken.json())["name"].as_str().expect("a name").to_string();
    let snapshot = server.data().join("snapshots").join(&name);
    // PUT is how older tools ask.
    let again = request("PUT", &format!("{}/api/v1/admin/tsdb/snapshot?skip_head=true", server.url()), &[], b"").expect("answers");
    assert_eq!(again.status, 200, "{}", again.text());

    // What was deleted stays deleted over a restart.
    server.stop();
    server.start();
    as_deleted(&server);

    let questions =
        [r#"sum by (class, i) (series_value)"#, r#"count by (__name__) ({__name__=~".+"})"#, r#"{"성적"}[2m]"#, "rate(scrapes_total[1m])"];
    let dir = snapshot.to_str().expect("a path");
    let Some(listed) = promtool(&["tsdb", "list", dir]) else { return };
    let rows: Vec<&str> = listed.lines().filter(|l| l.starts_with("01")).collect();
    assert_eq!(rows.len(), 1, "{listed}");
    let analyzed = promtool(&["tsdb", "analyze", dir]).expect("was there a moment ago");
    assert!(
        analyzed.contains("Total Series: ") && analyzed.contains("Highest cardinality metric names:") && analyzed.contains("series_value"),
        "{analyzed}"
    );

    let Some(mut theirs) = Server::new(Kind::Prometheus, "theirs", &config("", &[], &[]), &[]) else { return };
    let mut ours = Server::narthex("ours", &config("", &[], &[]), &[]);
    for s in [&mut theirs, &mut ours] {
        copy(&snapshot, &s.data());
        s.start();
    }
    for q in questions {
        let ask = |s: &Server| s.api("query", &[("query", q), ("time", &time)]);
        assert!(!data(&ask(&theirs))["result"].as_array().expect("a list").is_empty(), "{q} asks for nothing");
        assert_eq!(ask(&ours), ask(&theirs), "{q}");
        // Out of the head they come in another order.
        assert_eq!(sorted(ask(&server)), sorted(ask(&theirs)), "{q}");
    }
    assert_eq!(vector(&theirs.query(whole)).len(), 0);
    server.stop();
    ours.stop();
}

/// What a server says that was not told to allow it.
fn closed(kind: Kind) -> Option<Vec<(u16, String)>> {
    let mut server = Server::new(kind, "closed", &config("", &[], &[]), &[])?;
    server.start();
    let answers = ["delete_series", "clean_tombstones", "snapshot"].map(|path| {
        let a = admin(&server, path, &[("match[]", "up")]);
        (a.status, a.text())
    });
    server.stop();
    Some(answers.to_vec())
}

#[test]
fn without_the_flag_nothing_is_done() {
    let ours = closed(Kind::Narthex).expect("our own binary");
    assert!(ours.iter().all(|(status, text)| *status >= 400 && text.contains("admin APIs disabled")), "{ours:?}");
    let Some(theirs) = closed(Kind::Prometheus) else { return };
    assert_eq!(ours, theirs);
}
