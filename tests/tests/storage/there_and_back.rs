//! One data directory, there and back twice under load: Prometheus, Narthex, Prometheus, Narthex, Prometheus. Each takes it over as the other left
//! it, after a clean stop with Prometheus' memory snapshot and after kill -9. Everything that one answers the next one answers too: samples in
//! order and late, in blocks, log and head chunks, native histograms of both kinds, with custom buckets, staleness markers, exemplars, what was deleted.

use crate::contents::{self, Contents};
use crate::load::Load;
use crate::on_disk::{OnDisk, both};
use crate::{RECEIVER, config, now_ms};
use narthex_tests::{CounterTarget, Kind, Server, post_form, request, wait_for};
use std::path::Path;
use std::time::Duration;

const MINUTE: i64 = 60_000;

/// Bytes of one series of a remote-write 1.0 request, field by field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    fn bytes(mut self, number: u64, bytes: &[u8]) -> Self {
        self.varint(number << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, number: u64, text: &str) -> Self {
        self.bytes(number, text.as_bytes())
    }

    fn message(self, number: u64, m: Message) -> Self {
        self.bytes(number, &m.0)
    }

    fn double(mut self, number: u64, v: f64) -> Self {
        self.varint(number << 3 | 1);
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }

    fn int(mut self, number: u64, v: i64) -> Self {
        self.varint(number << 3);
        self.varint(v as u64);
        self
    }

    fn signed(self, number: u64, v: i64) -> Self {
        self.int(number, v << 1 ^ v >> 63)
    }
}

fn series(name: &str, label: &str) -> Message {
    let pair = |n: &str, v: &str| Message::default().text(1, n).text(2, v);
    Message::default().message(1, pair("__name__", name)).message(1, pair("과목", label))
}

fn float(t: i64, v: f64) -> Message {
    Message::default().double(1, v).int(2, t)
}

#[derive(Clone, Copy)]
enum Form {
    Int,
    Float,
    Custom,
}

fn histogram(form: Form, t: i64, n: i64) -> Message {
    let span = |offset: i64, length: i64| Message::default().signed(1, offset).int(2, length);
    let m = Message::default();
    match form {
        Form::Int => m
            .int(1, 2 * n + 4)
            .double(3, n as f64 * 1.5)
            .signed(4, 3)
            .double(5, 0.001)
            .int(6, 1)
            .message(11, span(0, 2))
            .signed(12, n + 1)
            .signed(12, 1),
        Form::Float => m
            .double(2, n as f64 + 1.5)
            .double(3, 0.25)
            .signed(4, 0)
            .double(5, 0.001)
            .double(7, 1.0)
            .message(11, span(1, 1))
            .double(13, n as f64 + 0.5),
        Form::Custom => m.int(1, n + 2).double(3, n as f64).signed(4, -53).message(11, span(0, 2)).signed(12, n).signed(12, 2 - n).double(16, 1.0),
    }
    .int(15, t)
}

fn exemplar(t: i64, v: f64) -> Message {
    let pair = Message::default().text(1, "trace_id").text(2, &format!("t{t}"));
    Message::default().message(1, pair).double(2, v).int(3, t)
}

fn push(server: &Server, all: Vec<Message>) {
    let body = all.into_iter().fold(Message::default(), |m, s| m.message(1, s));
    let body = snap::raw::Encoder::new().compress_vec(&body.0).expect("compresses");
    let headers = [("Content-Type", "application/x-protobuf"), ("Content-Encoding", "snappy"), ("X-Prometheus-Remote-Write-Version", "0.1.0")];
    let a = request("POST", &format!("{}/api/v1/write", server.url()), &headers, &body).expect("answers");
    assert_eq!(a.status, 204, "{}: {}", server.name, a.text());
}

/// Everything that can be pushed, every half minute from `from` on.
fn fill(server: &Server, turn: &str, from: i64, steps: i64) {
    for k in 0..steps {
        let t = from + k * MINUTE / 2;
        let mut all = vec![
            series("floats", turn).message(2, float(t, k as f64)).message(3, exemplar(t, k as f64)),
            series("constant", "모두").message(2, float(t, 1.0)),
            series("ints", "모두").message(4, histogram(Form::Int, t, k)),
            series("float_histograms", "모두").message(4, histogram(Form::Float, t, k)),
            series("custom", "모두").message(4, histogram(Form::Custom, t, k)),
        ];
        if k % 7 == 0 {
            // A series that ends again and again.
            let v = if k % 2 == 0 { k as f64 } else { f64::from_bits(0x7ff0_0000_0000_0002) };
            all.push(series("ending", turn).message(2, float(t, v)));
        }
        push(server, all);
    }
    // Late, of all ages that a window of three hours takes, one after the other and across each other.
    for k in (0..steps).filter(|k| k % 5 == 0) {
        let t = from + k * MINUTE / 2 + 7_000;
        push(
            server,
            vec![
                series("floats", turn).message(2, float(t, -1.0 - k as f64)),
                series("ints", "모두").message(4, histogram(Form::Int, t, k + 1000)),
                series("late_only", turn).message(2, float(from + (steps - k) * 1000, k as f64)),
            ],
        );
    }
}

fn delete(server: &Server, selector: &str, from: i64, to: i64) {
    let time = |t: i64| format!("{:.3}", t as f64 / 1000.0);
    let form = [("match[]", selector), ("start", &*time(from)), ("end", &*time(to))];
    let a = post_form(&format!("{}/api/v1/admin/tsdb/delete_series", server.url()), &form).expect("answers");
    assert_eq!(a.status, 204, "{}", a.text());
}

const ALL: &str = r#"{__name__=~"floats|constant|ints|float_histograms|custom|ending|late_only|load|scrapes_total|up"}"#;

fn contents_of(server: &Server) -> (Contents, Contents) {
    (contents::of(server, ALL, 6), contents::exemplars(server, "floats", 6))
}

fn new(kind: Kind, name: &str, target: &CounterTarget) -> Option<Server> {
    let storage = "storage: {tsdb: {out_of_order_time_window: 3h}, exemplars: {max_exemplars: 100000}}\n";
    let text = format!("{}{storage}", config(Some(&target.address)));
    let features = "--enable-feature=memory-snapshot-on-shutdown,exemplar-storage,native-histograms,metadata-wal-records";
    let blocks = ["--storage.tsdb.min-block-duration=10m", "--storage.tsdb.max-block-duration=30m"];
    Server::new(kind, name, &text, &[RECEIVER, features, "--web.enable-admin-api", blocks[0], blocks[1]])
}

fn has(dir: &Path, prefix: &str) -> bool {
    std::fs::read_dir(dir).expect("a directory").any(|e| e.expect("an entry").file_name().to_string_lossy().starts_with(prefix))
}

fn blocks(dir: &Path) -> usize {
    std::fs::read_dir(dir).expect("a directory").filter(|e| e.as_ref().expect("an entry").path().join("meta.json").exists()).count()
}

struct Walk<'a> {
    load: Load,
    target: &'a CounterTarget,
    turn: usize,
    /// What the last one answered.
    last: (Contents, Contents),
}

impl Walk<'_> {
    /// The next program takes the directory over and answers the same.
    fn take_over(&mut self, from: &Server, kind: Kind) -> Server {
        self.turn += 1;
        let name = format!("turn {} ({kind:?})", self.turn);
        let mut server = new(kind, &name, self.target).expect("was there before");
        server.expect_log(&["a lock file from a previous execution was replaced", "memory-snapshot-on-shutdown", "refers to series", "head chunks"]);
        std::fs::rename(from.data(), server.data()).expect("moves the directory");
        let there = OnDisk::of(&server.data());
        server.start();
        let now = contents_of(&server);
        // It scrapes already.
        let before = |c: &Contents| -> Contents {
            let own = |l: &str| l.contains("scrapes_total") || l.contains("\"up\"");
            c.iter().filter(|(l, _)| !own(l)).map(|(l, s)| (l.clone(), s.clone())).collect()
        };
        contents::assert_equal(&before(&now.0), &before(&self.last.0), &format!("{name} after {}", from.name));
        for (labels, samples) in self.last.0.iter().filter(|(l, _)| l.contains("scrapes_total")) {
            assert!(now.0[labels].starts_with(samples), "{name}: scrapes are lost");
        }
        // We answer every exemplar that Prometheus answered and did not forget before it ended: its checkpoint and its snapshot leave out those of
        // series that have left its head. It may also forget at a start those that are older than its head; it must not invent any.
        let kept = both(&self.last.1, &there.exemplars);
        let count = |c: &Contents| c.values().map(Vec::len).sum::<usize>();
        println!("{name}: {} exemplars before, {} of them on the disk, {} now", count(&self.last.1), count(&kept), count(&now.1));
        let (part, whole) = if kind == Kind::Narthex { (&kept, &now.1) } else { (&now.1, &self.last.1) };
        for (labels, exemplars) in part {
            let lost: Vec<_> = exemplars.iter().filter(|e| whole.get(labels).is_none_or(|w| !w.contains(e))).collect();
            assert!(lost.is_empty(), "{name} after {}: {} exemplars of {labels}: {lost:?}", from.name, lost.len());
        }
        self.load.go_on(&server.url());
        server
    }

    /// Remembers what it answers, with nothing under way.
    fn note(&mut self, server: &Server) {
        self.load.pause();
        self.last = contents_of(server);
    }
}

#[test]
fn there_and_back_twice_under_load() {
    let target = CounterTarget::start(2);
    let Some(mut p1) = new(Kind::Prometheus, "turn 1 (Prometheus)", &target) else { return };
    p1.start();
    let mut walk = Walk { load: Load::start(&p1.url(), 2), target: &target, turn: 1, last: Default::default() };
    let start = now_ms() - 150 * MINUTE;
    // A checkpoint is made of several segments, and each start begins one.
    for part in 0..4 {
        fill(&p1, "국어", start + part * 20 * MINUTE, 40);
        if part < 3 {
            p1.kill();
            p1.start();
        }
    }
    delete(&p1, "constant", start + 3 * MINUTE, start + 5 * MINUTE);
    wait_for("Prometheus to make blocks", Duration::from_secs(60), || (blocks(&p1.data()) >= 2).then_some(()));
    std::thread::sleep(Duration::from_secs(2));
    walk.note(&p1);
    p1.stop();
    let dir = p1.data();
    for (place, what) in [(dir.clone(), "chunk_snapshot."), (dir.join("wal"), "checkpoint."), (dir.clone(), "chunks_head"), (dir.join("wbl"), "0")] {
        assert!(has(&place, what), "Prometheus left no {what} in {}", place.display());
    }

    let mut n1 = walk.take_over(&p1, Kind::Narthex);
    assert!(!has(&n1.data(), "chunk_snapshot."), "it is wrong from here on");
    fill(&n1, "수학", start + 81 * MINUTE, 70);
    delete(&n1, "constant", start + 90 * MINUTE, start + 91 * MINUTE);
    std::thread::sleep(Duration::from_secs(3));
    walk.note(&n1);
    n1.kill();

    let mut p2 = walk.take_over(&n1, Kind::Prometheus);
    fill(&p2, "과학", start + 118 * MINUTE, 20);
    walk.note(&p2);
    p2.kill();

    let mut n2 = walk.take_over(&p2, Kind::Narthex);
    fill(&n2, "영어", start + 130 * MINUTE, 20);
    delete(&n2, "floats", start, start + MINUTE);
    walk.note(&n2);
    n2.stop();

    let p3 = walk.take_over(&n2, Kind::Prometheus);
    let before = walk.load.acknowledged();
    wait_for("the load to go on", Duration::from_secs(20), || (walk.load.acknowledged() > before).then_some(()));
    walk.load.pause();
    let there = contents::of(&p3, "load", 6);
    let Walk { load, .. } = walk;
    let (_, acknowledged) = load.stop();
    for (sender, n, t) in &acknowledged {
        let found =
            there.iter().filter(|(l, _)| l.contains(&format!("\"w\":\"{sender}\""))).filter(|(_, s)| s.contains(&(*t, n.to_string()))).count();
        assert_eq!(found, crate::load::WIDTH, "batch {n} of sender {sender} at {t}");
    }
    println!(
        "{} batches of the load, {} series, {} exemplars",
        acknowledged.len(),
        contents_of(&p3).0.len(),
        contents_of(&p3).1.values().map(Vec::len).sum::<usize>()
    );
}
