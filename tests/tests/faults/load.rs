//! A central is killed, or loses its power, while a sender that keeps nothing writes to it: what it was told 2xx about must be there.

use crate::system::central_of;
use crate::tools::sleep;
use crate::wire::{self, Series};
use narthex_tests::{Disk, Kind, get, now};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// kill -9: what it wrote is the kernel's, and stays.
    Kill,
    /// What it did not sync is gone.
    PowerCut,
}

pub struct Load {
    pub acknowledged: u64,
    pub lost: u64,
    /// From the first lost sample to the last.
    pub lost_seconds: f64,
}

pub fn central_ends_under_load(kind: Kind, how: End, times: u64, seconds: u64) -> Option<Load> {
    let mut central = central_of(kind, "central", &[])?;
    // Under the server's directory: it must outlive the server.
    let mut disk = None;
    if how == End::PowerCut {
        disk = Some(Disk::under(&central, 256)?);
    }
    central.start();
    let mut out = Load { acknowledged: 0, lost: 0, lost_seconds: 0.0 };
    for round in 0..times {
        let name = format!("said_yes_to_{round}");
        let (said, dead, url) = (Mutex::new(Vec::new()), AtomicBool::new(false), central.url());
        std::thread::scope(|s| {
            s.spawn(|| {
                let mut n = 0.0;
                while !dead.load(Ordering::Acquire) {
                    n += 1.0;
                    let sample = ((now() * 1000.0) as i64, n);
                    let body = wire::snappy(&wire::write_request(&[Series { labels: &[("__name__", &name)], samples: &[sample] }]));
                    if wire::try_post(&url, &body).is_ok_and(|a| (200..300).contains(&a.status)) {
                        said.lock().expect("not poisoned").push(sample);
                    }
                    std::thread::sleep(Duration::from_millis(4));
                }
            });
            sleep(seconds);
            match &mut disk {
                Some(d) => d.cut_power(&mut central),
                None => central.kill(),
            }
            dead.store(true, Ordering::Release);
        });
        central.start();
        if kind == Kind::VictoriaMetrics {
            let _ = get(&format!("{}/internal/force_flush", central.url()));
        }
        let said = said.into_inner().expect("not poisoned");
        assert!(said.len() > 50, "{} requests in {seconds} s are no load", said.len());
        let there: Vec<(i64, f64)> = central.samples(&name, 600).into_iter().flat_map(|s| s.1).collect();
        let lost: Vec<_> = said.iter().filter(|p| !there.contains(p)).collect();
        out.acknowledged += said.len() as u64;
        out.lost += lost.len() as u64;
        if let (Some(a), Some(b)) = (lost.first(), lost.last()) {
            out.lost_seconds += (b.0 - a.0) as f64 / 1000.0;
        }
    }
    central.kill();
    Some(out)
}
