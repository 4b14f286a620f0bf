//! What is counted of outgoing connections, by the name of the client that dialed: `net_conntrack_dialer_*`.

use crate::error::{Error, ErrorKind};
use std::fmt;
use stdx::metrics::{Counter, CounterVec, Registry};

/// The counters of all clients of a program.
#[derive(Clone)]
pub struct Conntrack {
    attempted: CounterVec,
    established: CounterVec,
    failed: CounterVec,
    closed: CounterVec,
}

impl fmt::Debug for Conntrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Conntrack")
    }
}

/// Why a connection could not be made; each is there from the start.
const REASONS: [&str; 4] = ["resolution", "refused", "timeout", "unknown"];

impl Conntrack {
    pub fn new(r: &Registry) -> Self {
        let of = |name: &str, help: &str, labels: &[&str]| r.counter_vec(&format!("net_conntrack_dialer_conn_{name}_total"), help, labels);
        Conntrack {
            attempted: of("attempted", "Total number of connections attempted by the given dialer a given name.", &["dialer_name"]),
            established: of(
                "established",
                "Total number of connections successfully established by the given dialer a given name.",
                &["dialer_name"],
            ),
            failed: of("failed", "Total number of connections failed to dial by the dialer a given name.", &["dialer_name", "reason"]),
            closed: of("closed", "Total number of connections closed which originated from the dialer of a given name.", &["dialer_name"]),
        }
    }

    pub(crate) fn dialer(&self, name: &str) -> Dialer {
        Dialer {
            attempted: self.attempted.with(&[name]),
            established: self.established.with(&[name]),
            failed: REASONS.map(|r| self.failed.with(&[name, r])),
            closed: self.closed.with(&[name]),
        }
    }
}

/// The counters of one client.
#[derive(Clone)]
pub(crate) struct Dialer {
    attempted: Counter,
    established: Counter,
    failed: [Counter; 4],
    closed: Counter,
}

/// A connection that is counted as closed when it is dropped.
pub(crate) struct Open(Option<Counter>);

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(c) = &self.0 {
            c.inc();
        }
    }
}

impl Dialer {
    pub fn attempt(&self) {
        self.attempted.inc();
    }

    pub fn fail(&self, e: &Error) {
        let text = e.to_string();
        let reason = match e.kind() {
            _ if text.contains("lookup ") => 0,
            _ if text.contains("connection refused") => 1,
            ErrorKind::Timeout => 2,
            _ if text.contains("i/o timeout") => 2,
            _ => 3,
        };
        self.failed[reason].inc();
    }

    pub fn open(&self) -> Open {
        self.established.inc();
        Open(Some(self.closed.clone()))
    }
}

impl Open {
    pub fn uncounted() -> Self {
        Open(None)
    }
}
