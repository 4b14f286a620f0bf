//! Network namespaces: a process in one reaches the others only through links that a test can cut, as if somebody pulled the cable.
//!
//! Needs root and iproute2. Where they are missing a test says so and ends.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Removed, with its links, when dropped. End the processes in it first.
pub struct Namespace {
    pub name: String,
}

/// Two addresses that reach each other until the link is cut.
#[derive(Clone, Debug)]
pub struct Link {
    device: String,
    /// The test's end.
    pub outside: String,
    /// The namespace's end.
    pub inside: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Numbers that no other test of this machine uses, most probably.
fn number() -> (u32, u32) {
    (std::process::id() % 100, NEXT.fetch_add(1, Ordering::SeqCst))
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

impl Namespace {
    /// None where there can be none (which is said).
    pub fn new() -> Option<Namespace> {
        let (process, n) = number();
        let name = format!("narthex-{process}-{n}");
        if !ip(&["netns", "add", &name]) {
            eprintln!("skipped: network namespaces need root and iproute2");
            return None;
        }
        let ns = Namespace { name };
        assert!(ip(&["-n", &ns.name, "link", "set", "lo", "up"]), "sets up the loopback of {}", ns.name);
        Some(ns)
    }

    /// A new link between the test and the namespace.
    pub fn link(&self) -> Link {
        let (process, n) = number();
        let (device, other) = (format!("nx{process}o{n}"), format!("nx{process}i{n}"));
        let address = |last: u32| format!("10.{}.{}.{last}", 100 + process, n % 250);
        let l = Link { device, outside: address(1), inside: address(2) };
        let steps: [&[&str]; 5] = [
            &["link", "add", &l.device, "type", "veth", "peer", "name", &other, "netns", &self.name],
            &["addr", "add", &format!("{}/30", l.outside), "dev", &l.device],
            &["link", "set", &l.device, "up"],
            &["-n", &self.name, "addr", "add", &format!("{}/30", l.inside), "dev", &other],
            &["-n", &self.name, "link", "set", &other, "up"],
        ];
        for s in steps {
            assert!(ip(s), "ip {}", s.join(" "));
        }
        l
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.name]);
    }
}

impl Link {
    /// Nothing gets through from now on, and nobody is told.
    pub fn cut(&self) {
        assert!(ip(&["link", "set", &self.device, "down"]), "cuts {}", self.device);
    }

    pub fn mend(&self) {
        assert!(ip(&["link", "set", &self.device, "up"]), "mends {}", self.device);
    }
}
