//! One uplink at work: a lane that reads the log at its end and keeps the cursor, and one for the backlog beside it. Each runs in a thread of its own, as
//! it reads the disk; a simulation runs them as tasks.
//!
//! Normally there is one lane: the log is read in order, from the cursor on. When the live lane finds itself far behind and the parent takes samples of any
//! age, it leaves what lies between to the backlog lane and goes on at the end of the log. A parent that does not is served in order: first what has to be read
//! back from blocks, then the log.

use super::backlog::{self, Backlog, Lead};
use super::cursor::{Cursor, LogRange, TimeRange};
use super::feed::Feeder;
use super::lane::Lane;
use super::series::SeriesCache;
use super::shared::Shared;
use super::tasks::{Task, Work};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use stdx::fs::SharedFs;
use storage::Queryable;
use wal::{CursorHold, LogPosition, Tail, TailEvent, Wal};

/// How often the cursor is written, metrics are set, and the lanes are thought about.
const TICK: Duration = Duration::from_secs(1);
/// How often the number of shards is thought about.
const RESHARD_EVERY: Duration = Duration::from_secs(10);
/// A change of less is not worth emptying the shards for.
const RESHARD_TOLERANCE: f64 = 0.3;
/// How long a reference is remembered that nothing is heard of.
const SWEEP_EVERY: Duration = Duration::from_secs(15 * 60);
/// Wait for the log, or for room in a shard, before looking after everything else again.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The live lane leaves the rest to the backlog lane when it is further behind than both.
#[derive(Clone, Copy, Debug)]
pub struct SecondLane {
    pub behind_ms: i64,
    pub behind_bytes: u64,
}

impl Default for SecondLane {
    fn default() -> Self {
        SecondLane { behind_ms: 30_000, behind_bytes: 256 << 10 }
    }
}

/// What the lanes of one uplink need.
pub(super) struct Link {
    pub shared: Arc<Shared>,
    pub wal: Arc<Wal>,
    pub blocks: Option<Arc<dyn Queryable>>,
    /// Time of the oldest sample that is stored; None when nothing is.
    pub oldest_stored_ms: Arc<dyn Fn() -> Option<i64> + Send + Sync>,
    pub fs: SharedFs,
    pub cursor_path: PathBuf,
    pub hold: CursorHold,
    pub cache: Arc<Mutex<SeriesCache>>,
    pub naming: Arc<super::series::Naming>,
    pub flush_deadline: Duration,
    pub second_lane: SecondLane,
    /// The first uplink counts what comes in for all.
    pub counts_in: bool,
}

/// A running uplink.
pub(super) struct Running {
    pub link: Arc<Link>,
    lanes: Vec<Task>,
}

impl Running {
    pub(super) fn start(link: Arc<Link>) -> std::io::Result<Running> {
        let mut running = Running { link, lanes: Vec::new() };
        let live = Box::pin(run_live(Arc::clone(&running.link)));
        let back = Box::pin(Backlog::new(Arc::clone(&running.link)).run());
        match running.start_lane("live", live).and_then(|()| running.start_lane("back", back)) {
            Ok(()) => Ok(running),
            Err(e) => {
                running.link.shared.stop.request();
                Err(e)
            }
        }
    }

    fn start_lane(&mut self, role: &str, work: Work) -> std::io::Result<()> {
        let tasks = &self.link.shared.tasks;
        self.lanes.push(Task::start_reader(tasks.as_ref(), &format!("uplink-{}-{role}", self.link.shared.name), work)?);
        Ok(())
    }

    /// Stops reading, lets what is queued go out if the parent takes it, writes the cursor.
    pub(super) async fn stop(self) {
        self.link.shared.stop.request();
        self.link.wal.wake_readers();
        for lane in self.lanes {
            lane.over().await;
        }
        self.link.save_cursor();
    }
}

impl Link {
    pub(super) fn save_cursor(&self) {
        let cursor = self.shared.cursor.lock().clone();
        match cursor.save(&self.fs, &self.cursor_path) {
            // Only what is written may be let go of.
            Ok(()) => self.hold.advance(cursor.lowest()),
            Err(e) => {
                if self.shared.retry_log.due(1, &self.shared.clock).is_some() {
                    tracing::error!(remote_name = %self.shared.name, path = %self.cursor_path.display(), error = %e, "write uplink cursor");
                }
            }
        }
    }

    /// Notes what the log's budget has removed before it was read.
    fn take_passed(&self) {
        for p in self.hold.take_passed() {
            let mut c = self.shared.cursor.lock();
            c.cut_below(p.to);
            if let Some((start_ms, end_ms)) = p.times_ms {
                c.add_missing(TimeRange { start_ms, end_ms });
                tracing::warn!(
                    remote_name = %self.shared.name, start_ms, end_ms,
                    "the log was cut before it was sent, the range will be read back from blocks"
                );
            }
        }
    }

    fn wanted_shards(&self) -> usize {
        usize::try_from(self.shared.config.queue_config.min_shards).unwrap_or(1)
    }
}

async fn run_live(link: Arc<Link>) {
    while !link.shared.stop.is_requested() {
        Live::new(Arc::clone(&link)).run().await;
    }
}

/// The live lane.
struct Live {
    link: Arc<Link>,
    lane: Lane,
    feeder: Feeder,
    tail: Tail,
    /// Newest sample time that was read.
    read_ms: i64,
    next_tick: Duration,
    next_sweep: Duration,
    rates: Rates,
    /// Another number of shards, as soon as these are empty.
    reshard_to: Option<usize>,
    written: Cursor,
}

impl Live {
    fn new(link: Arc<Link>) -> Live {
        let (shared, cursor) = (Arc::clone(&link.shared), link.shared.cursor.lock().clone());
        let shards = link.wanted_shards();
        let lane = Lane::start(&shared, shards, cursor.live, cursor.acked_ms);
        let feeder = Feeder::new(Arc::clone(&shared), Arc::clone(&link.cache), shards, link.counts_in);
        let tail = link.wal.tail(cursor.live);
        let now = shared.clock.monotonic();
        let m = &shared.metrics;
        let q = &shared.config.queue_config;
        m.shard_capacity.set(q.capacity as f64);
        m.shards.set(shards as f64);
        m.shards_min.set(q.min_shards as f64);
        m.shards_max.set(q.max_shards as f64);
        m.shards_desired.set(shards as f64);
        m.max_samples_per_send.set(q.max_samples_per_send as f64);
        Live {
            lane,
            feeder,
            tail,
            read_ms: cursor.acked_ms,
            next_tick: now,
            next_sweep: now + SWEEP_EVERY,
            rates: Rates::new(now),
            reshard_to: None,
            written: cursor,
            link,
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.link.shared
    }

    fn stopping(&self) -> bool {
        self.link.shared.stop.is_requested()
    }

    async fn run(mut self) {
        while !self.stopping() && !self.lane.is_broken() {
            self.tick();
            if let Some(n) = self.reshard_to {
                if self.lane.wait_empty(LOOK_EVERY).await {
                    self.reshard(n);
                }
                continue;
            }
            if self.missing_first().await {
                continue;
            }
            self.read().await;
        }
        let Live { link, lane, .. } = self;
        let tracker = Arc::clone(&lane.tracker);
        lane.finish(link.flush_deadline).await;
        link.note_acked(&tracker);
        link.save_cursor();
    }

    /// Reads one record, or waits a little for it.
    async fn read(&mut self) {
        let entry = self.lane.tracker.next();
        let (end, fed) = match self.tail.next(Duration::ZERO, &self.link.shared.stop) {
            Ok(TailEvent::Record(r)) => (r.end, self.feeder.take(r.bytes, entry)),
            Ok(TailEvent::Damaged(c)) => {
                tracing::warn!(remote_name = %self.link.shared.name, error = %c, "part of the log cannot be read, it is not sent");
                return;
            }
            Ok(TailEvent::Skipped { from, to }) => return self.skipped(from, to),
            Ok(TailEvent::Idle) => {
                let at = self.tail.position();
                self.lane.tracker.push(0, at, i64::MIN);
                return self.wait_for_log(at).await;
            }
            Ok(TailEvent::Closed) => return self.link.shared.pause(LOOK_EVERY).await,
            Err(e) => {
                tracing::error!(remote_name = %self.link.shared.name, error = %e, "read the log");
                self.tail = self.link.wal.tail(self.tail.position());
                return self.link.shared.pause(TICK).await;
            }
        };
        self.lane.tracker.push(fed.items, end, fed.newest_ms);
        self.read_ms = self.read_ms.max(fed.newest_ms);
        self.rates.read += u64::from(fed.items);
        while !self.lane.push(&mut self.feeder.staged, LOOK_EVERY).await {
            if self.stopping() || self.lane.is_broken() {
                return;
            }
            self.tick();
        }
    }

    /// Waits a little for something to be written behind `at`.
    async fn wait_for_log(&self, at: LogPosition) {
        let s = &self.link.shared;
        let written_or_stop = async {
            tokio::select! {
                biased;
                () = s.stop.requested() => {}
                () = self.link.wal.written_beyond(at) => {}
            }
        };
        s.within(LOOK_EVERY, written_or_stop).await;
    }

    /// The log was cut. What was cut while we were registered is known by its times; else it lies between what was acknowledged and what comes now.
    fn skipped(&mut self, from: LogPosition, to: LogPosition) {
        let s = Arc::clone(self.shared());
        let before = s.cursor.lock().missing.clone();
        self.link.take_passed();
        let told = {
            let c = s.cursor.lock();
            before != c.missing || c.live >= to
        };
        if !told {
            let start_ms = s.cursor.lock().acked_ms.saturating_add(1);
            let end_ms = backlog::first_time_ms(&self.link, to).map_or(s.clock.now_ms(), |t| t - 1);
            tracing::warn!(
                remote_name = %s.name, from = %from, to = %to, start_ms, end_ms,
                "the log no longer holds what was not sent, reading it back from blocks"
            );
            s.cursor.lock().add_missing(TimeRange { start_ms, end_ms });
        }
        s.cursor.lock().cut_below(to);
        self.lane.tracker.push(0, to, i64::MIN);
    }

    /// For a parent that takes no late samples, what has to be read back goes before what comes. True when that was at work.
    async fn missing_first(&mut self) -> bool {
        let Some(range) = self.shared().cursor.lock().missing.first().copied() else { return false };
        match self.shared().parent.takes_late() {
            Some(true) => false,
            // What is under way goes first, so that it is known where the rest begins.
            Some(false) if !self.lane.wait_empty(LOOK_EVERY).await => true,
            Some(false) => {
                // In order: nothing that was acknowledged already would be taken again.
                let start_ms = range.start_ms.max(self.lane.tracker.acked().1.saturating_add(1));
                backlog::send_missing(&self.link, &self.lane, range, start_ms, Lead::Live).await;
                true
            }
            None => {
                backlog::ask_parent(self.shared()).await;
                true
            }
        }
    }

    fn tick(&mut self) {
        let now = self.shared().clock.monotonic();
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        self.link.take_passed();
        self.pass_over_what_was_cut();
        self.link.note_acked(&self.lane.tracker);
        let cursor = self.shared().cursor.lock().clone();
        if cursor != self.written {
            self.link.save_cursor();
            self.written = cursor;
        }
        self.shared().live_delay_ms.store(i64::try_from(self.lane.tracker.oldest().as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP_EVERY;
            self.link.cache.lock().sweep();
        }
        self.leave_backlog();
        self.set_metrics();
        self.think_about_shards(now);
    }

    /// What has left the log comes from the blocks, even where the file could still be read.
    fn pass_over_what_was_cut(&mut self) {
        let first = self.shared().cursor.lock().live;
        if self.tail.position() < first {
            self.lane.tracker.push(0, first, i64::MIN);
            self.tail = self.link.wal.tail(first);
        }
    }

    fn set_metrics(&self) {
        let s = self.shared();
        let m = &s.metrics;
        let c = s.cursor.lock().clone();
        let end = self.link.wal.end();
        m.pending.set(self.lane.tracker.pending() as f64);
        m.current_segment.set(self.tail.position().segment as f64);
        m.acked.set(c.acked_ms as f64 / 1000.0);
        let bytes = self.link.wal.bytes_between(c.live, end) + c.backlog.iter().map(|r| self.link.wal.bytes_between(r.from, r.to)).sum::<u64>();
        m.backlog_bytes.set(bytes as f64);
        m.backlog_seconds.set(self.link.backlog_ms(&c, end) as f64 / 1000.0);
        m.missing_seconds.set(c.missing.iter().map(|r| (r.end_ms - r.start_ms + 1) as f64 / 1000.0).sum());
        m.lanes.set(if c.backlog.is_empty() && c.missing.is_empty() { 1.0 } else { 2.0 });
        if s.parent.takes_late() != Some(true) {
            m.lanes.set(1.0);
        }
    }

    /// Goes on at the end of the log and leaves what lies between to the backlog lane, when that is allowed and worth it.
    fn leave_backlog(&mut self) {
        let s = Arc::clone(self.shared());
        let (read, end) = (self.tail.position(), self.link.wal.end());
        let behind_ms = s.clock.now_ms() - self.read_ms;
        if s.parent.takes_late() != Some(true)
            || behind_ms < self.link.second_lane.behind_ms
            || self.link.wal.bytes_between(read, end) < self.link.second_lane.behind_bytes
        {
            return;
        }
        tracing::info!(remote_name = %s.name, url = %s.url, from = %read, to = %end, behind_ms, "sending the newest samples first and the backlog beside them");
        s.cursor.lock().backlog.push(LogRange { from: read, to: end });
        s.backlog_acked_ms.fetch_min(self.read_ms, Ordering::Relaxed);
        self.lane.tracker.push(0, end, i64::MIN);
        self.tail = self.link.wal.tail(end);
        self.read_ms = s.clock.now_ms();
    }

    fn think_about_shards(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.rates.since);
        if elapsed < RESHARD_EVERY {
            return;
        }
        let (seconds, sent) = self.lane.take_sending_time();
        let read = std::mem::take(&mut self.rates.read);
        self.rates.since = now;
        if sent == 0 {
            return;
        }
        let shared = self.shared();
        let q = &shared.config.queue_config;
        let behind = self.read_ms.saturating_sub(self.lane.tracker.acked().1).max(0) as f64 / 1000.0;
        let rate = read as f64 / elapsed.as_secs_f64();
        // As much as comes in, and a twentieth of what is behind.
        let desired = seconds / sent as f64 * (rate + 0.05 * behind * rate);
        shared.metrics.shards_desired.set(desired);
        let current = self.lane.shards() as f64;
        let wanted = desired.ceil().clamp(q.min_shards as f64, q.max_shards as f64);
        let shrinks_while_behind = wanted < current && behind > 10.0;
        if (wanted - current).abs() > current * RESHARD_TOLERANCE && !shrinks_while_behind {
            self.reshard_to = Some(wanted as usize);
        }
    }

    fn reshard(&mut self, shards: usize) {
        let s = Arc::clone(self.shared());
        tracing::info!(remote_name = %s.name, url = %s.url, from = self.lane.shards(), to = shards, "remote write resharding");
        self.lane.reshard(shards);
        self.feeder.set_shards(shards);
        s.metrics.shards.set(shards as f64);
        self.reshard_to = None;
    }
}

impl Link {
    /// Takes over what the live lane has had acknowledged.
    pub(super) fn note_acked(&self, tracker: &super::tracker::Tracker) {
        let (live, acked_ms) = tracker.acked();
        let mut c = self.shared.cursor.lock();
        c.live = c.live.max(live);
        c.acked_ms = c.acked_ms.max(acked_ms);
    }

    /// Age of the oldest sample that is not acknowledged; 0 when all are.
    pub(super) fn backlog_ms(&self, c: &Cursor, end: LogPosition) -> i64 {
        let mut oldest = i64::MAX;
        if c.live < end && self.wal.bytes_between(c.live, end) > 0 {
            oldest = oldest.min(c.acked_ms);
        }
        if !c.backlog.is_empty() {
            oldest = oldest.min(self.shared.backlog_acked_ms.load(Ordering::Relaxed));
        }
        if let Some(r) = c.missing.first() {
            oldest = oldest.min(r.start_ms);
        }
        if oldest == i64::MAX { 0 } else { (self.shared.clock.now_ms() - oldest).max(0) }
    }
}

/// What came in since shards were last thought about.
struct Rates {
    since: Duration,
    read: u64,
}

impl Rates {
    fn new(since: Duration) -> Self {
        Rates { since, read: 0 }
    }
}
