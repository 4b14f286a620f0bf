//! The real programs beside which Narthex is tested. Where they are missing a test says so and ends, unless the environment requires them.

use crate::server::free_port;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// What `NARTHEX_REQUIRE` may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Require {
    Peers,
    Conformance,
}

/// Whether a missing thing is a failure here.
pub fn required(what: Require) -> bool {
    let word = if what == Require::Peers { "peers" } else { "conformance" };
    std::env::var("NARTHEX_REQUIRE").is_ok_and(|v| v.split(',').any(|w| w == word))
}

/// Ends a test that lacks something; panics where it is required.
pub fn skip(what: Require, why: &str) {
    assert!(!required(what), "{why}, and NARTHEX_REQUIRE asks for it");
    eprintln!("skipped: {why}");
}

/// Path of a program: in `NARTHEX_PEERS`, in /opt/peers/usr/bin, or on PATH.
pub fn peer(name: &str) -> Option<PathBuf> {
    let dirs = std::env::var("NARTHEX_PEERS").into_iter().chain(["/opt/peers/usr/bin".to_string()]);
    let path = std::env::var("PATH").unwrap_or_default();
    let all = dirs.chain(path.split(':').map(str::to_string));
    let found = all.map(|d| PathBuf::from(d).join(name)).find(|p| p.is_file());
    if found.is_none() {
        skip(Require::Peers, &format!("{name} was not found"));
    }
    found
}

/// A real node_exporter on a port of its own, ended when dropped.
pub struct NodeExporter {
    pub address: String,
    child: Child,
}

pub fn node_exporter() -> Option<NodeExporter> {
    let program = peer("prometheus-node-exporter")?;
    let address = format!("127.0.0.1:{}", free_port());
    let child = Command::new(program)
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("node_exporter starts");
    crate::wait_for("node_exporter", std::time::Duration::from_secs(20), || crate::get(&format!("http://{address}/metrics")).ok());
    Some(NodeExporter { address, child })
}

impl Drop for NodeExporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
