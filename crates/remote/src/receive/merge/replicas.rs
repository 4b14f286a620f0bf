//! Names of replicas as small numbers, and what is known of each.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Number of a replica. [`NOBODY`] is none.
pub type ReplicaId = u16;
pub const NOBODY: ReplicaId = 0;
/// At most so many different replica names are told apart; samples of any further one are refused.
pub const MAX_REPLICAS: usize = 60_000;

/// What is known of one replica.
#[derive(Debug, Default)]
pub struct Replica {
    pub name: String,
    /// The interval that was last learned for any of its series, for series too young to have one of their own. 0 for none.
    typical_ms: AtomicU32,
    /// Series it owns, as of the last tick.
    pub owned: AtomicU64,
}

impl Replica {
    pub fn typical_ms(&self) -> i64 {
        i64::from(self.typical_ms.load(Ordering::Relaxed))
    }

    /// From the distance of two samples of one series in one request, where nothing better is known.
    pub fn guess_interval(&self, ms: i64) {
        if ms > 0 && self.typical_ms.load(Ordering::Relaxed) == 0 {
            self.note_interval(ms);
        }
    }

    pub fn note_interval(&self, ms: i64) {
        let ms = u32::try_from(ms).unwrap_or(0);
        if ms != 0 && self.typical_ms.load(Ordering::Relaxed) != ms {
            self.typical_ms.store(ms, Ordering::Relaxed);
        }
    }
}

#[derive(Default)]
pub struct Replicas {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    by_name: HashMap<String, ReplicaId, RandomState>,
    /// Number n stands at n - 1.
    all: Vec<Arc<Replica>>,
}

impl Replicas {
    /// Finds or numbers a replica; None past [`MAX_REPLICAS`].
    pub fn id(&self, name: &str) -> Option<(ReplicaId, Arc<Replica>)> {
        {
            let inner = self.inner.read();
            if let Some(id) = inner.by_name.get(name) {
                return Some((*id, Arc::clone(&inner.all[usize::from(*id) - 1])));
            }
        }
        let mut inner = self.inner.write();
        if let Some(id) = inner.by_name.get(name) {
            return Some((*id, Arc::clone(&inner.all[usize::from(*id) - 1])));
        }
        if inner.all.len() >= MAX_REPLICAS {
            return None;
        }
        let replica = Arc::new(Replica { name: name.to_string(), ..Replica::default() });
        inner.all.push(Arc::clone(&replica));
        let id = ReplicaId::try_from(inner.all.len()).expect("MAX_REPLICAS fits");
        inner.by_name.insert(name.to_string(), id);
        Some((id, replica))
    }

    /// All of them; number n stands at n - 1.
    pub fn all(&self) -> Vec<Arc<Replica>> {
        self.inner.read().all.clone()
    }
}
