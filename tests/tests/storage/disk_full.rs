//! A disk that is full: writes are refused with 503, reads go on, and when there is room again writing goes on by itself.

use crate::wire::{self, Series};
use crate::{RECEIVER, config, contents, now_ms};
use narthex_tests::{Server, wait_for};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server whose data directory is a small file system in memory that only it sees; None where that is not allowed.
fn start_on_small_disk(server: &Server) -> Option<Child> {
    std::fs::create_dir_all(server.data()).expect("makes the directory");
    let allowed = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    if !allowed {
        println!("skipped: no mount namespaces here");
        return None;
    }
    let plain = server.command();
    let mount = format!("mount -t tmpfs -o size=24m tmpfs {} && exec \"$0\" \"$@\"", server.data().display());
    let log = std::fs::File::create(server.path().join("small-disk-log")).expect("opens the log");
    let child = Command::new("unshare").args(["-rm", "sh", "-c", &mount]).arg(plain.get_program()).args(plain.get_args()).stderr(log).spawn();
    Some(child.expect("unshare runs"))
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_full_disk_refuses_writes_and_goes_on_by_itself() {
    let server = Server::narthex("server", &config(None), &[RECEIVER]);
    let Some(child) = start_on_small_disk(&server) else { return };
    // The process is replaced twice, so its number stays.
    let child = Ended(child);
    let inside = PathBuf::from(format!("/proc/{}/root{}", child.0.id(), server.data().display()));
    let ready = || narthex_tests::get(&format!("{}/-/ready", server.url())).ok().filter(|a| a.status == 200);
    wait_for("the server on a small disk", Duration::from_secs(30), ready);
    let mut at = now_ms();
    let mut push = |v: f64| {
        at += 10;
        wire::push(&server, &[Series { labels: &[("__name__", "kept")], samples: &[(at, v)] }]).status
    };
    assert_eq!(push(1.0), 204);
    // All the room goes to something else.
    let filler = inside.join("filler");
    let mut room = vec![0u8; 1 << 20];
    let mut file = std::fs::File::create(&filler).expect("creates a file on the small disk");
    while !room.is_empty() {
        if std::io::Write::write_all(&mut file, &room).is_err() {
            room.truncate(room.len() / 2);
        }
    }
    let mut taken = 1;
    let refused = (0..20_000).find(|n| match push(2.0 + f64::from(*n)) {
        204 => {
            taken += 1;
            false
        }
        503 => true,
        other => panic!("status {other}"),
    });
    assert!(refused.is_some(), "the disk was never full");
    assert_eq!(push(-1.0), 503, "still full");
    let there = contents::of(&server, "kept", 1);
    assert_eq!(there.values().map(Vec::len).sum::<usize>(), taken, "what was taken is answered, what was refused is not");
    drop(file);
    std::fs::remove_file(&filler).expect("makes room");
    wait_for("writing to go on", Duration::from_secs(10), || (push(5.0) == 204).then_some(()));
    let there = contents::of(&server, "kept", 1);
    assert_eq!(there.values().map(Vec::len).sum::<usize>(), taken + 1);
    let page = narthex_tests::get(&format!("{}/metrics", server.url())).expect("answers").text();
    let counted = page.lines().find(|l| l.starts_with("narthex_tsdb_disk_full_refused_total")).expect("a counter");
    assert!(!counted.ends_with(" 0"), "{counted}");
}
