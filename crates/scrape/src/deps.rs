//! What scraping is given by the binary.

use crate::metrics::Metrics;
use crate::settings::Features;
use parking_lot::Mutex;
use std::sync::Arc;
use stdx::clock::SharedClock;
use stdx::fs::SharedFs;
use storage::Appendable;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

pub struct Deps {
    pub storage: Arc<dyn Appendable>,
    pub clock: SharedClock,
    pub fs: SharedFs,
    pub client: client::Options,
    pub registry: stdx::metrics::Registry,
    pub features: Features,
    /// Fully qualified, as far as it is known: spreads the scrapes of replicas over the interval.
    pub hostname: String,
    /// Runs the waiting and fetching; pages are stored on its blocking threads.
    pub runtime: Handle,
    /// How many pages are stored at the same time; the number of processors is right.
    pub workers: usize,
}

/// The same, with what all runners share.
pub(crate) struct Shared {
    pub storage: Arc<dyn Appendable>,
    pub clock: SharedClock,
    pub fs: SharedFs,
    pub client: client::Options,
    pub features: Features,
    pub hostname: String,
    pub runtime: Handle,
    pub metrics: Metrics,
    pub workers: Arc<Semaphore>,
    pub buffers: Buffers,
}

impl Shared {
    pub fn new(d: Deps) -> Self {
        let workers = d.workers.max(1);
        Shared {
            metrics: Metrics::new(&d.registry),
            storage: d.storage,
            clock: d.clock,
            fs: d.fs,
            client: d.client,
            features: d.features,
            hostname: d.hostname,
            runtime: d.runtime,
            workers: Arc::new(Semaphore::new(workers)),
            buffers: Buffers { free: Mutex::default(), max: workers * 2 },
        }
    }
}

/// Memory for pages, used again; a few, as only few pages are there at the same time.
pub(crate) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
    max: usize,
}

/// A buffer larger than this is given back to the system.
const KEEP_BYTES: usize = 8 << 20;

impl Buffers {
    /// One that holds `size` bytes.
    pub fn take(&self, size: usize) -> Vec<u8> {
        let mut b = self.free.lock().pop().unwrap_or_default();
        b.clear();
        b.reserve(size);
        b
    }

    pub fn give(&self, b: Vec<u8>) {
        let mut free = self.free.lock();
        if free.len() < self.max && b.capacity() > 0 && b.capacity() <= KEEP_BYTES {
            free.push(b);
        }
    }
}
