//! One thread and one time for all servers of a tree. Tasks are polled in an order that the seed decides; time goes on only when nobody has anything to do.
//!
//! A server that is busy with its disk is blocked: its tasks are polled when it is through. One that is killed loses its tasks.

use parking_lot::Mutex;
use remote::uplink::{Tasks, Work};
use std::collections::{BTreeMap, BinaryHeap};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use stdx::rand::Rand;

/// One life of one server: what belongs to it ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life {
    pub server: usize,
    pub number: u32,
}

#[derive(Clone)]
pub struct Exec(Arc<Inner>);

struct Inner {
    now_ns: AtomicU64,
    state: Mutex<State>,
    ready: Arc<Mutex<Vec<u64>>>,
}

struct State {
    rand: Rand,
    tasks: BTreeMap<u64, Slot>,
    started: u64,
    timers: BinaryHeap<Timer>,
    timers_set: u64,
    blocked_until: BTreeMap<usize, u64>,
}

struct Slot {
    life: Life,
    /// Taken out while it is polled.
    work: Option<Work>,
    awake: Arc<Awake>,
}

struct Awake {
    task: u64,
    queued: AtomicBool,
    ready: Arc<Mutex<Vec<u64>>>,
}

impl Wake for Awake {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.lock().push(self.task);
        }
    }
}

/// The earliest is the greatest, as the heap wants it.
struct Timer {
    at_ns: u64,
    number: u64,
    waker: Waker,
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at_ns, other.number).cmp(&(self.at_ns, self.number))
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Timer {}

impl Exec {
    pub fn new(rand: Rand) -> Self {
        let state = State { rand, tasks: BTreeMap::new(), started: 0, timers: BinaryHeap::new(), timers_set: 0, blocked_until: BTreeMap::new() };
        Exec(Arc::new(Inner { now_ns: AtomicU64::new(0), state: Mutex::new(state), ready: Arc::default() }))
    }

    /// Since the beginning.
    pub fn now_ns(&self) -> u64 {
        self.0.now_ns.load(Ordering::Relaxed)
    }

    pub fn start(&self, life: Life, work: Work) {
        let mut s = self.0.state.lock();
        let task = s.started;
        s.started += 1;
        let awake = Arc::new(Awake { task, queued: AtomicBool::new(true), ready: Arc::clone(&self.0.ready) });
        s.tasks.insert(task, Slot { life, work: Some(work), awake });
        drop(s);
        self.0.ready.lock().push(task);
    }

    /// Drops all tasks of a life.
    pub fn kill(&self, life: Life) {
        let dead: Vec<Slot> = {
            let mut s = self.0.state.lock();
            s.blocked_until.remove(&life.server);
            let ids: Vec<u64> = s.tasks.iter().filter(|(_, t)| t.life == life).map(|(id, _)| *id).collect();
            ids.iter().filter_map(|id| s.tasks.remove(id)).collect()
        };
        // What a task drops may wake others.
        drop(dead);
    }

    /// Its tasks are not polled before this time.
    pub fn block(&self, server: usize, until_ns: u64) {
        let mut s = self.0.state.lock();
        let until = s.blocked_until.entry(server).or_default();
        *until = (*until).max(until_ns);
    }

    pub fn blocked_until(&self, server: usize) -> u64 {
        self.0.state.lock().blocked_until.get(&server).copied().unwrap_or(0)
    }

    /// Polls one task that is ready. Whose it was; None when none is ready.
    pub fn run_one(&self) -> Option<Life> {
        loop {
            let task = {
                let mut ready = self.0.ready.lock();
                let n = ready.len() as u64;
                if n == 0 {
                    return None;
                }
                let at = self.0.state.lock().rand.below(n) as usize;
                ready.swap_remove(at)
            };
            let (mut work, awake, life) = {
                let mut s = self.0.state.lock();
                let s = &mut *s;
                let Some(slot) = s.tasks.get_mut(&task) else { continue };
                let until = s.blocked_until.get(&slot.life.server).copied().unwrap_or(0);
                if until > self.now_ns() {
                    slot.awake.queued.store(false, Ordering::Relaxed);
                    let waker = Waker::from(Arc::clone(&slot.awake));
                    s.timers_set += 1;
                    s.timers.push(Timer { at_ns: until, number: s.timers_set, waker });
                    continue;
                }
                slot.awake.queued.store(false, Ordering::Relaxed);
                (slot.work.take().expect("one poll at a time"), Arc::clone(&slot.awake), slot.life)
            };
            let waker = Waker::from(awake);
            let done = work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
            let mut s = self.0.state.lock();
            if done {
                s.tasks.remove(&task);
            } else if let Some(slot) = s.tasks.get_mut(&task) {
                slot.work = Some(work);
                return Some(life);
            }
            drop(s);
            drop(work);
            return Some(life);
        }
    }

    pub fn next_timer_ns(&self) -> Option<u64> {
        self.0.state.lock().timers.peek().map(|t| t.at_ns)
    }

    /// Time goes on; whoever waited for it is woken.
    pub fn advance(&self, to_ns: u64) {
        self.0.now_ns.fetch_max(to_ns, Ordering::Relaxed);
        loop {
            let waker = {
                let mut s = self.0.state.lock();
                match s.timers.peek() {
                    Some(t) if t.at_ns <= to_ns => s.timers.pop().expect("was just seen").waker,
                    _ => return,
                }
            };
            waker.wake();
        }
    }

    pub fn sleep(&self, time: Duration) -> Sleep {
        Sleep { exec: self.clone(), at_ns: self.now_ns() + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2), set: false }
    }

    /// A life's way to start tasks.
    pub fn tasks(&self, life: Life, rand: Rand) -> Arc<dyn Tasks> {
        Arc::new(LifeTasks { exec: self.clone(), life, rand: Mutex::new(rand) })
    }
}

pub struct Sleep {
    exec: Exec,
    at_ns: u64,
    set: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.exec.now_ns() >= self.at_ns {
            return Poll::Ready(());
        }
        if !self.set {
            self.set = true;
            let mut s = self.exec.0.state.lock();
            s.timers_set += 1;
            let timer = Timer { at_ns: self.at_ns, number: s.timers_set, waker: cx.waker().clone() };
            s.timers.push(timer);
        }
        Poll::Pending
    }
}

struct LifeTasks {
    exec: Exec,
    life: Life,
    rand: Mutex<Rand>,
}

impl Tasks for LifeTasks {
    fn start(&self, work: Work) {
        self.exec.start(self.life, work);
    }

    fn start_reader(&self, _: &str, work: Work) -> io::Result<()> {
        self.exec.start(self.life, work);
        Ok(())
    }

    fn sleep(&self, time: Duration) -> Work {
        Box::pin(self.exec.sleep(time))
    }

    fn rand(&self) -> Rand {
        Rand::seeded(self.rand.lock().next_u64())
    }
}
