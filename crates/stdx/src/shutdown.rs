//! One signal that says "stop": waited for by threads and by futures alike, sent once, never taken back.

use parking_lot::{Condvar, Mutex};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

#[derive(Clone, Default)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requested: bool,
    wakers: Vec<Waker>,
    children: Vec<std::sync::Weak<Inner>>,
}

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// A signal of its own that is also sent when this one is.
    pub fn child(&self) -> Shutdown {
        let child = Shutdown::new();
        let mut state = self.inner.state.lock();
        if state.requested {
            drop(state);
            child.request();
        } else {
            state.children.retain(|c| c.strong_count() > 0);
            state.children.push(Arc::downgrade(&child.inner));
        }
        child
    }

    pub fn request(&self) {
        let (wakers, children) = {
            let mut state = self.inner.state.lock();
            state.requested = true;
            (std::mem::take(&mut state.wakers), std::mem::take(&mut state.children))
        };
        self.inner.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        for inner in children.into_iter().filter_map(|c| c.upgrade()) {
            Shutdown { inner }.request();
        }
    }

    pub fn is_requested(&self) -> bool {
        self.inner.state.lock().requested
    }

    /// Blocks the thread until the signal or the time-out; true when it was the signal.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let mut state = self.inner.state.lock();
        self.inner.changed.wait_while_for(&mut state, |s| !s.requested, timeout);
        state.requested
    }

    /// Completes when the signal is sent. Cancel-safe.
    pub fn requested(&self) -> Requested {
        Requested { inner: Arc::clone(&self.inner) }
    }
}

impl std::fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shutdown(requested: {})", self.is_requested())
    }
}

pub struct Requested {
    inner: Arc<Inner>,
}

impl Future for Requested {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.inner.state.lock();
        if state.requested {
            return Poll::Ready(());
        }
        if !state.wakers.iter().any(|w| w.will_wake(cx.waker())) {
            state.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_hears_its_parent_but_not_the_other_way_round() {
        let parent = Shutdown::new();
        let (a, b) = (parent.child(), parent.child());
        a.request();
        assert!(a.is_requested() && !b.is_requested() && !parent.is_requested());
        parent.request();
        assert!(b.wait_timeout(Duration::from_millis(1)));
        assert!(parent.child().is_requested());
    }
}
