//! Senders that keep nothing: they note what they were told 2xx about.

use crate::wire::{self, Series};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Series of one batch.
pub const WIDTH: usize = 20;

/// Sender, number, time.
pub type Batch = (usize, u64, i64);

#[derive(Default)]
struct Shared {
    url: Mutex<String>,
    stop: AtomicBool,
    pause: AtomicBool,
    /// Requests under way.
    busy: AtomicU64,
    sent: Mutex<Vec<Batch>>,
    acknowledged: Mutex<Vec<Batch>>,
}

/// Each sender's batch has one sample for each of its series; the value is the number of the batch.
pub struct Load {
    shared: Arc<Shared>,
    senders: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(url: &str, senders: usize) -> Load {
        let shared = Arc::new(Shared { url: Mutex::new(url.to_string()), ..Shared::default() });
        let senders = (0..senders).map(|w| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || send(&shared, w))
        });
        Load { senders: senders.collect(), shared }
    }

    /// Returns when no request is under way any more.
    pub fn pause(&self) {
        self.shared.pause.store(true, Ordering::SeqCst);
        narthex_tests::wait_for("requests to end", Duration::from_secs(60), || (self.shared.busy.load(Ordering::SeqCst) == 0).then_some(()));
    }

    pub fn go_on(&self, url: &str) {
        *self.shared.url.lock().expect("not poisoned") = url.to_string();
        self.shared.pause.store(false, Ordering::SeqCst);
    }

    pub fn stop(mut self) -> (Vec<Batch>, Vec<Batch>) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.senders.drain(..).for_each(|s| s.join().expect("senders do not panic"));
        let take = |m: &Mutex<Vec<_>>| std::mem::take(&mut *m.lock().expect("not poisoned"));
        (take(&self.shared.sent), take(&self.shared.acknowledged))
    }

    pub fn acknowledged(&self) -> usize {
        self.shared.acknowledged.lock().expect("not poisoned").len()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

fn send(shared: &Shared, sender: usize) {
    let (mut number, mut last) = (0u64, 0);
    while !shared.stop.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(3));
        shared.busy.fetch_add(1, Ordering::SeqCst);
        if !shared.pause.load(Ordering::SeqCst) {
            number += 1;
            last = crate::now_ms().max(last + 1);
            one(shared, sender, number, last);
        }
        shared.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

fn one(shared: &Shared, sender: usize, number: u64, t_ms: i64) {
    let texts: Vec<(String, String)> = (0..WIDTH).map(|s| (sender.to_string(), s.to_string())).collect();
    let labels: Vec<[(&str, &str); 3]> = texts.iter().map(|(w, s)| [("__name__", "load"), ("s", s.as_str()), ("w", w.as_str())]).collect();
    let samples = [(t_ms, number as f64)];
    let all: Vec<Series<'_>> = labels.iter().map(|l| Series { labels: l, samples: &samples }).collect();
    let url = shared.url.lock().expect("not poisoned").clone();
    shared.sent.lock().expect("not poisoned").push((sender, number, t_ms));
    if wire::try_post(&url, &wire::snappy(&wire::write_request(&all))).is_ok_and(|a| a.status == 204) {
        shared.acknowledged.lock().expect("not poisoned").push((sender, number, t_ms));
    }
}
