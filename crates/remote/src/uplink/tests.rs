use super::testing::*;
use super::*;
use wal::CursorBudget;

fn now_ms() -> i64 {
    stdx::clock::SystemClock::shared().now_ms()
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("temporary directory")
}

#[test]
fn everything_arrives_once_and_in_order_through_shards_and_refusals_to_come_later() {
    for manner in [Manner { flaky: 30, ..Manner::ours() }, Manner { flaky: 30, ..Manner::prometheus() }] {
        let (dir, parent) = (dir(), TestParent::new(manner));
        let mut leaf = Leaf::open(dir.path(), &parent);
        leaf.scrape(5, 1);
        leaf.logged.clear();
        leaf.uplinks.apply(&[config(SMALL)], &Labels::empty()).expect("apply");
        let t0 = now_ms();
        for i in 0..50 {
            leaf.scrape(20, t0 + i);
        }
        wait_until("all arrived", || parent.samples() >= 1000);
        assert_same(&parent, &leaf.logged);
        wait_until("it is acknowledged", || leaf.uplinks.status()[0].acked_ms == t0 + 49);
        leaf.uplinks.stop();
        assert_eq!(leaf.metric("prometheus_remote_storage_samples_total"), 1000.0);
        assert!(leaf.metric("prometheus_remote_storage_samples_retried_total") > 0.0);
        assert_eq!(leaf.metric("narthex_uplink_refused_samples_total"), 0.0);
    }
}

#[test]
fn external_labels_are_added_on_the_way() {
    let (dir, parent) = (dir(), TestParent::new(Manner::ours()));
    let mut leaf = Leaf::open(dir.path(), &parent);
    leaf.uplinks.apply(&[config(SMALL)], &Labels::from_pairs([("grade", "1학년"), ("i", "outer")])).expect("apply");
    leaf.scrape(1, now_ms());
    wait_until("it arrived", || parent.samples() == 1);
    assert!(parent.seen.lock().stored.contains_key(r#"{__name__="m", grade="1학년", i="1"}"#));
    leaf.uplinks.stop();
}

/// A Prometheus in this place resumes at "now" and loses what it had not sent.
#[test]
fn killed_while_the_parent_is_down_nothing_that_was_logged_is_missing() {
    for manner in [Manner::ours(), Manner::prometheus()] {
        let (dir, copy, parent) = (dir(), dir(), TestParent::new(manner));
        let mut leaf = Leaf::open(dir.path(), &parent);
        leaf.uplinks.apply(&[config(SMALL)], &Labels::empty()).expect("apply");
        let t0 = now_ms() - 1000;
        for i in 0..20 {
            leaf.scrape(10, t0 + i);
        }
        wait_until("the first part arrived", || parent.samples() > 50);
        parent.manner.lock().up = false;
        for i in 20..40 {
            leaf.scrape(10, t0 + i);
        }
        copy_as_after_a_kill(dir.path(), copy.path());
        let logged = leaf.logged.clone();
        parent.manner.lock().hangs = true;
        let names = Arc::clone(&leaf.names);
        leaf.uplinks.stop();

        {
            let mut m = parent.manner.lock();
            (m.up, m.hangs) = (true, false);
        }
        let mut again = Leaf::open(copy.path(), &parent);
        again.knows_what(&names);
        again.scrape(10, t0 + 40);
        again.uplinks.apply(&[config(SMALL)], &Labels::empty()).expect("apply");
        wait_until("the rest arrived", || parent.samples() >= 410);
        let mut want = logged;
        want.values_mut().for_each(|v| v.push((t0 + 40, (t0 + 40) as f64)));
        assert_same(&parent, &want);
        again.uplinks.stop();
    }
}

#[test]
fn a_refused_sample_does_not_take_its_neighbours_with_it() {
    for (manner, per_sample) in [(Manner::prometheus(), false), (Manner { v2: true, ..Manner::prometheus() }, true), (Manner::ours(), true)] {
        let (dir, parent) = (dir(), TestParent::new(Manner { poison: Some("i=\"3\""), ..manner }));
        let mut leaf = Leaf::open(dir.path(), &parent);
        let text = if per_sample { format!("{SMALL}protobuf_message: io.prometheus.write.v2.Request\n") } else { SMALL.to_string() };
        leaf.uplinks.apply(&[config(&text)], &Labels::empty()).expect("apply");
        let t0 = now_ms();
        for i in 0..30 {
            leaf.scrape(10, t0 + i);
        }
        wait_until("the others arrived", || parent.samples() >= 270);
        let mut want = leaf.logged.clone();
        want.retain(|l, _| !l.contains("i=\"3\""));
        assert_same(&parent, &want);
        wait_until("it was counted", || leaf.metric("narthex_uplink_refused_samples_total") == 30.0);
        assert_eq!(leaf.metric("prometheus_remote_storage_samples_failed_total"), 30.0);
        wait_until("the cursor passed it", || leaf.uplinks.status()[0].acked_ms == t0 + 29);
        leaf.uplinks.stop();
    }
}

#[test]
fn the_version_is_found_out() {
    let v2 = "protobuf_message: io.prometheus.write.v2.Request\n";
    let v1 = "protobuf_message: prometheus.WriteRequest\n";
    for (manner, text, last) in [
        (Manner::ours(), "", Version::V2),
        (Manner::ours(), v1, Version::V1),
        (Manner::prometheus(), "", Version::V1),
        (Manner::prometheus(), v2, Version::V1),
        (Manner { v2: true, ..Manner::prometheus() }, v2, Version::V2),
    ] {
        let (dir, parent) = (dir(), TestParent::new(manner.clone()));
        let mut leaf = Leaf::open(dir.path(), &parent);
        leaf.uplinks.apply(&[config(&format!("{SMALL}{text}"))], &Labels::empty()).expect("apply");
        let t0 = now_ms();
        for i in 0..3 {
            leaf.scrape(5, t0 + i);
            wait_until("a scrape arrived", || parent.samples() == 5 * (i as usize + 1));
        }
        assert_eq!(parent.seen.lock().requests.last().expect("a request").0, last, "{manner:?} {text}");
        leaf.uplinks.stop();
    }
}

#[test]
fn after_an_outage_the_newest_go_first_where_the_parent_takes_late_samples() {
    let (dir, parent) = (dir(), TestParent::new(Manner { up: false, takes: Duration::from_millis(20), ..Manner::ours() }));
    let mut leaf = Leaf::open(dir.path(), &parent);
    let quick = "queue_config: {max_samples_per_send: 200, capacity: 400, batch_send_deadline: 10ms, min_backoff: 1ms, max_backoff: 20ms}\n";
    let t0 = now_ms() - 3_600_000;
    leaf.begin_at(&config(quick), t0 - 1);
    leaf.uplinks.apply(&[config(quick)], &Labels::empty()).expect("apply");
    for i in 0..720 {
        leaf.scrape(100, t0 + i * 5_000);
    }
    wait_until("it is behind", || leaf.metric("narthex_uplink_backlog_bytes") > 500_000.0);
    assert!(leaf.metric("narthex_uplink_backlog_seconds") > 3000.0);
    parent.manner.lock().up = true;
    wait_until("there are two lanes", || leaf.metric("narthex_uplink_lanes") == 2.0);
    let live = now_ms();
    leaf.scrape(100, live);
    wait_until("all arrived", || parent.samples() >= 72_100);
    let arrivals = parent.seen.lock().arrivals.clone();
    let first_live = arrivals.iter().position(|t| *t == live).expect("it arrived");
    assert!(first_live < 71_000, "the live scrape came {first_live}th, behind the backlog");
    let (mut got, mut want) = (parent.seen.lock().stored.clone(), leaf.logged.clone());
    got.values_mut().chain(want.values_mut()).for_each(|s| s.sort_by_key(|p| p.0));
    assert!(got == want);
    wait_until("the cursor is at the end", || leaf.uplinks.status()[0].backlog_bytes == 0);
    leaf.uplinks.stop();
    assert_eq!(leaf.wal.lowest_cursor_segment(), None, "a stopped uplink holds nothing");
}

#[test]
fn past_the_logs_budget_the_rest_is_read_back_from_blocks_and_what_is_gone_is_said() {
    for manner in [Manner::ours(), Manner::prometheus()] {
        let (dir, parent) = (dir(), TestParent::new(Manner { up: false, ..manner }));
        let t0 = now_ms() - 3_600_000;
        let budget = CursorBudget { max_bytes: 0, ..CursorBudget::default() };
        let ours = parent.manner.lock().ours;
        let mut leaf = Leaf::open_with(dir.path(), &parent, budget, Some(t0 + 50_000));
        leaf.begin_at(&config(SMALL), t0 - 1);
        leaf.uplinks.apply(&[config(SMALL)], &Labels::empty()).expect("apply");
        for i in 0..720 {
            leaf.scrape(50, t0 + i * 5_000);
        }
        let next = leaf.wal.next_segment().expect("switch");
        let cut = leaf.wal.truncate(next).expect("truncate");
        assert!(cut.removed_segments > 1 && cut.passed.len() == 1);
        leaf.scrape(50, t0 + 3_599_000);
        wait_until("it is known", || leaf.metric("narthex_uplink_missing_seconds") > 3000.0);
        parent.manner.lock().up = true;
        wait_until("the cursor is at the end", || {
            let s = &leaf.uplinks.status()[0];
            s.backlog_bytes == 0 && s.missing.is_empty()
        });
        leaf.uplinks.stop();
        let mut got = parent.seen.lock().stored.clone();
        for (labels, want) in &leaf.logged {
            let got = got.get_mut(labels).expect("series arrived");
            if ours {
                got.sort_by_key(|p| p.0);
            }
            let want: Vec<_> = want.iter().copied().filter(|p| p.0 >= t0 + 50_000).collect();
            assert!(got.ends_with(&want), "{labels}: {} of {}", got.len(), want.len());
        }
        let gap = leaf.metric("narthex_uplink_hard_gap_seconds_total");
        assert!((10.0..51.0).contains(&gap), "{gap}");
        assert_eq!(leaf.metric("narthex_uplink_refused_samples_total"), 0.0);
    }
}

#[test]
fn a_reload_keeps_the_cursor_and_what_did_not_change_keeps_running() {
    let (dir, parent) = (dir(), TestParent::new(Manner::prometheus()));
    let mut leaf = Leaf::open(dir.path(), &parent);
    let other = "write_relabel_configs: [{source_labels: [i], regex: '2', action: drop}]\n";
    let t0 = now_ms();
    for round in 0..6 {
        let text = if round % 2 == 0 { SMALL.to_string() } else { format!("{SMALL}{other}") };
        leaf.uplinks.apply(&[config(&text)], &Labels::empty()).expect("apply");
        for i in 0..10 {
            leaf.scrape(3, t0 + round * 10 + i);
        }
    }
    wait_until("all arrived", || leaf.uplinks.status()[0].acked_ms == t0 + 59);
    leaf.uplinks.stop();
    leaf.logged.remove(r#"{__name__="m", i="2"}"#);
    assert_same(&parent, &leaf.logged);
    let twice = [config(SMALL), config(SMALL)];
    assert!(matches!(leaf.uplinks.apply(&twice, &Labels::empty()), Err(UplinkError::Duplicate { .. })));
}

#[test]
fn stopping_does_not_wait_for_a_parent_that_is_down_nor_for_ever_for_one_that_hangs() {
    let (dir, parent) = (dir(), TestParent::new(Manner { up: false, ..Manner::prometheus() }));
    let mut leaf = Leaf::open(dir.path(), &parent);
    leaf.uplinks.apply(&[config(SMALL)], &Labels::empty()).expect("apply");
    leaf.scrape(30, now_ms());
    wait_until("it tried", || leaf.metric("prometheus_remote_storage_samples_retried_total") > 0.0);
    let start = now_ms();
    leaf.uplinks.stop();
    assert!(now_ms() - start < 5_000);
    leaf.uplinks.apply(&[config(SMALL)], &Labels::empty()).expect("apply");
    parent.manner.lock().up = true;
    wait_until("all arrived", || parent.samples() == 30);
    leaf.uplinks.stop();
}

#[test]
fn more_shards_are_taken_only_when_the_old_ones_are_empty() {
    let (dir, parent) = (dir(), TestParent::new(Manner::prometheus()));
    let mut leaf = Leaf::open(dir.path(), &parent);
    leaf.uplinks.apply(&[config(SMALL)], &Labels::empty()).expect("apply");
    let shared = Arc::clone(&leaf.uplinks.entries.lock()[0].running.link.shared);
    let mut lane = lane::Lane::start(&shared, 1, leaf.wal.end(), 0);
    let naming = Arc::clone(&leaf.uplinks.entries.lock()[0].running.link.naming);
    let mut logged = std::collections::BTreeMap::new();
    for round in 0..20i64 {
        let shards = lane.shards();
        let mut staged: Vec<Vec<batch::Item>> = (0..shards).map(|_| Vec::new()).collect();
        let entry = lane.tracker.next();
        for i in 0..30 {
            let labels = Labels::from_pairs([("__name__", "x"), ("i", i.to_string().as_str())]);
            let series::Known::Send(s) = naming.series(&labels, None) else { panic!("nothing is dropped") };
            logged.entry(labels.to_string()).or_insert_with(Vec::new).push((round, 1.0));
            let value = batch::Value::Float { v: 1.0, start_ms: 0 };
            staged[(s.hash % shards as u64) as usize].push(batch::Item { series: s, entry, t_ms: round, value });
        }
        lane.tracker.push(30, leaf.wal.end(), round);
        while !leaf.handle().block_on(lane.push(&mut staged, Duration::from_secs(1))) {}
        if round % 5 == 4 {
            assert!(leaf.handle().block_on(lane.wait_empty(Duration::from_secs(20))));
            lane.reshard(1 + round as usize % 4);
        }
    }
    leaf.handle().block_on(lane.finish(Duration::from_secs(20)));
    assert_same(&parent, &logged);
    leaf.scrape(1, 1);
    leaf.uplinks.stop();
}

#[test]
fn names_become_file_names() {
    for (name, want) in [("central", "central"), ("../x", "%2E%2E%2Fx"), ("서", "%EC%84%9C"), ("a b", "a%20b")] {
        assert_eq!(file_name(name), want);
    }
    let urls = ["http://a", "http://b", "http://a"]
        .map(|u| RemoteWriteConfig { url: yaml::Url::parse(u).expect("url"), ..config("send_exemplars: true\n") });
    let mut third = urls[2].clone();
    third.send_exemplars = false;
    let k = keys(&[urls[0].clone(), urls[1].clone(), third]).expect("keys");
    assert_eq!(k[2], format!("{}-2", k[0]));
    assert_ne!(k[0], k[1]);
}

use crate::wire::Version;

/// What stands in the request, over a real socket.
#[test]
fn over_http_the_headers_are_those_of_the_protocol() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://user:pass@{}/api/v1/write?x=1", listener.local_addr().expect("address"));
    let server = std::thread::spawn(move || {
        let mut heads = Vec::new();
        for reply in [
            "HTTP/1.1 503 x\r\nRetry-After: 0\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlater",
            "HTTP/1.1 204 x\r\nX-Narthex: late-samples\r\nConnection: close\r\n\r\n",
        ] {
            let (mut s, _) = listener.accept().expect("accept");
            let (mut got, mut buf) = (Vec::new(), [0; 4096]);
            let body_at = loop {
                let n = s.read(&mut buf).expect("read");
                got.extend_from_slice(&buf[..n]);
                let text = String::from_utf8_lossy(&got).to_lowercase();
                let Some(at) = text.find("\r\n\r\n") else { continue };
                let len: usize = text.split("content-length: ").nth(1).and_then(|r| r.split("\r\n").next()?.parse().ok()).expect("length");
                if got.len() >= at + 4 + len {
                    break at;
                }
            };
            heads.push(String::from_utf8_lossy(&got[..body_at]).into_owned());
            s.write_all(reply.as_bytes()).expect("reply");
        }
        heads
    });
    let (dir, unused) = (dir(), TestParent::new(Manner::ours()));
    let mut leaf = Leaf::open(dir.path(), &unused);
    leaf.connect(http_connect(client::Options::new(stdx::clock::SystemClock::shared(), stdx::fs::RealFs::shared()), "leaf-1"));
    let c = RemoteWriteConfig { url: yaml::Url::parse(&url).expect("url"), ..config(&format!("{SMALL}headers: {{X-Scope-OrgID: me}}\n")) };
    leaf.uplinks.apply(&[c], &Labels::empty()).expect("apply");
    leaf.scrape(1, now_ms());
    wait_until("it is acknowledged", || leaf.uplinks.status()[0].takes_late_samples == Some(true));
    assert!(leaf.uplinks.status()[0].url.contains(":xxxxx@"));
    leaf.uplinks.stop();
    let heads = server.join().expect("server").join("\n").to_lowercase();
    for want in [
        "post /api/v1/write?x=1 http/1.1",
        "content-encoding: snappy",
        "content-type: application/x-protobuf",
        "x-prometheus-remote-write-version: 0.1.0",
        "user-agent: narthex/",
        "authorization: basic dxnlcjpwyxnz",
        "x-scope-orgid: me",
        "retry-attempt: 1",
        "x-narthex-sender: leaf-1",
    ] {
        assert!(heads.contains(want), "{want} in {heads}");
    }
}
