//! The second lane: ranges of the log that the live lane left behind, and time ranges that are read back from the storage. Also used by the live lane itself where the
//! parent wants everything in order.
//!
//! It gives way: while the live lane's samples are under way for longer than they should be, it waits.

use super::batch::{Item, Value};
use super::cursor::{LogRange, TimeRange};
use super::feed::Feeder;
use super::lane::Lane;
use super::link::Link;
use super::series::Known;
use super::shared::Shared;
use super::transport::Push;
use model::{Labels, Matcher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use storage::{SelectHints, SeriesData};
use wal::record::RefSample;
use wal::replay::LogReader;
use wal::{LogPosition, TailEvent, WalError};

const LOOK_EVERY: Duration = Duration::from_millis(200);
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// The live lane may be this much later than its batches are old by themselves.
const LIVE_MAY_WAIT_MS: i64 = 2_000;
/// How much time of the storage is read back at once.
const WINDOW_MS: i64 = 10 * 60_000;
/// Shards of the backlog lane.
const SHARDS: u64 = 4;

pub(super) struct Backlog {
    link: Arc<Link>,
}

impl Backlog {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Backlog { link }
    }

    fn stopping(&self) -> bool {
        self.link.shared.stop.is_requested()
    }

    pub(super) async fn run(self) {
        while !self.stopping() {
            if self.link.shared.parent.takes_late() == Some(true) {
                let (log, time) = {
                    let c = self.link.shared.cursor.lock();
                    (c.backlog.first().copied(), c.missing.first().copied())
                };
                match (log, time) {
                    (Some(range), _) => {
                        self.send_log(range).await;
                        continue;
                    }
                    (None, Some(range)) => {
                        let lane = self.lane(LogPosition::default());
                        send_missing(&self.link, &lane, range, range.start_ms, Lead::Backlog).await;
                        self.finish(lane).await;
                        continue;
                    }
                    (None, None) => self.link.shared.backlog_acked_ms.store(i64::MAX, Ordering::Relaxed),
                }
            }
            self.link.shared.pause(LOOK_EVERY).await;
        }
    }

    fn shards(&self) -> usize {
        usize::try_from(self.link.shared.config.queue_config.max_shards.clamp(1, SHARDS)).unwrap_or(1)
    }

    fn lane(&self, at: LogPosition) -> Lane {
        Lane::start(&self.link.shared, self.shards(), at, i64::MIN)
    }

    async fn finish(&self, lane: Lane) {
        lane.finish(self.link.flush_deadline).await;
    }

    /// Sends one range of the log, as far as it gets before a stop.
    async fn send_log(&self, range: LogRange) {
        let link = &self.link;
        let s = &link.shared;
        let lane = self.lane(range.from);
        let mut feeder = Feeder::new(Arc::clone(s), Arc::clone(&link.cache), lane.shards(), false);
        let mut tail = link.wal.tail(range.from);
        let mut next_note = s.clock.monotonic() + NOTE_EVERY;
        loop {
            let at = tail.position();
            let done = at >= range.to;
            if done && lane.wait_empty(LOOK_EVERY).await {
                break;
            }
            if self.stopping() || lane.is_broken() {
                break;
            }
            if s.clock.monotonic() >= next_note {
                next_note = s.clock.monotonic() + NOTE_EVERY;
                self.note(&lane, range);
                give_way(link).await;
            }
            if done {
                continue;
            }
            let entry = lane.tracker.next();
            let (end, fed) = match tail.next(Duration::ZERO, &s.stop) {
                Ok(TailEvent::Record(r)) => (r.end, feeder.take(r.bytes, entry)),
                Ok(TailEvent::Damaged(_) | TailEvent::Skipped { .. }) => continue,
                Ok(TailEvent::Idle | TailEvent::Closed) => {
                    // The range ends with what holds no record.
                    if tail.position() == at {
                        tail = link.wal.tail(range.to);
                    }
                    continue;
                }
                Err(e) => {
                    tracing::error!(remote_name = %s.name, error = %e, "read the log for the backlog");
                    s.pause(NOTE_EVERY).await;
                    tail = link.wal.tail(at);
                    continue;
                }
            };
            lane.tracker.push(fed.items, end, fed.newest_ms);
            while !lane.push(&mut feeder.staged, LOOK_EVERY).await {
                if self.stopping() || lane.is_broken() {
                    break;
                }
                if s.clock.monotonic() >= next_note {
                    next_note = s.clock.monotonic() + NOTE_EVERY;
                    self.note(&lane, range);
                }
            }
        }
        let complete = tail.position() >= range.to && lane.tracker.is_empty();
        let tracker = Arc::clone(&lane.tracker);
        self.finish(lane).await;
        let complete = complete || (tail.position() >= range.to && tracker.is_empty());
        let mut c = s.cursor.lock();
        if complete {
            c.backlog.retain(|r| r.to != range.to);
            tracing::info!(remote_name = %s.name, url = %s.url, "backlog of the log is sent");
        } else {
            let acked = tracker.acked().0;
            c.backlog.iter_mut().filter(|r| r.to == range.to).for_each(|r| r.from = r.from.max(acked));
        }
    }

    /// Moves the range's start up to what is acknowledged.
    fn note(&self, lane: &Lane, range: LogRange) {
        let (acked, acked_ms) = lane.tracker.acked();
        let s = &self.link.shared;
        let mut c = s.cursor.lock();
        for r in c.backlog.iter_mut().filter(|r| r.to == range.to) {
            r.from = r.from.max(acked).min(r.to);
        }
        if acked_ms > i64::MIN {
            s.backlog_acked_ms.store(acked_ms, Ordering::Relaxed);
        }
    }
}

/// The first sample time at or behind a place of the log.
pub(super) fn first_time_ms(link: &Link, at: LogPosition) -> Option<i64> {
    let mut reader = LogReader::open(Arc::clone(link.wal.fs()), link.wal.dir(), at.segment, u64::MAX).ok()?;
    let mut scratch: Vec<RefSample> = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(r)) => {
                if let Some((first, _)) = wal::record::time_range(r.bytes, &mut scratch) {
                    return Some(first);
                }
            }
            Err(WalError::Corrupt(_)) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Finds out whom we talk to, with a request that carries nothing.
pub(super) async fn ask_parent(s: &Shared) {
    let version = s.parent.version(s.config.protobuf_message);
    let encoding = crate::wire::body::ContentEncoding::Snappy;
    let body = super::batch::Encoder::new().encode(&[], version, encoding, true).unwrap_or_default();
    let push = Push { version, encoding, body: client::Bytes::from(body), attempt: 0 };
    let answer = tokio::select! {
        biased;
        a = s.transport.send(push) => Some(a),
        () = s.stop.requested() => None,
    };
    match answer {
        Some(Ok(a)) if a.status < 500 && a.status != 429 => s.parent.learn(&super::transport::Answer { status: 200, ..a }),
        _ => s.pause(Duration::from_secs(1)).await,
    }
}

/// Waits while the live lane is late.
async fn give_way(link: &Link) {
    let s = &link.shared;
    let may = s.config.queue_config.batch_send_deadline.ms() + LIVE_MAY_WAIT_MS;
    while s.live_delay_ms.load(Ordering::Relaxed) > may && !s.stop.is_requested() {
        s.pause(LOOK_EVERY).await;
    }
}

/// Which lane sends what is read back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lead {
    Live,
    Backlog,
}

impl Lead {
    async fn between(self, link: &Link, lane: &Lane) {
        match self {
            Lead::Backlog => give_way(link).await,
            Lead::Live => {
                link.note_acked(&lane.tracker);
                link.save_cursor();
            }
        }
    }
}

/// Reads a time range back from the storage and sends it through a lane, window by window, from `start_ms` on. The cursor's range shrinks as windows are
/// acknowledged. What the storage does not hold any more is a hard gap.
pub(super) async fn send_missing(link: &Link, lane: &Lane, range: TimeRange, start_ms: i64, lead: Lead) {
    let s = &link.shared;
    let forget_until = |t_ms: i64| {
        let mut c = s.cursor.lock();
        for r in c.missing.iter_mut().filter(|r| r.end_ms == range.end_ms) {
            r.start_ms = r.start_ms.max(t_ms);
        }
        c.missing.retain(|r| r.start_ms <= r.end_ms);
    };
    let Some(blocks) = &link.blocks else {
        s.hard_gap(range);
        return forget_until(range.end_ms.saturating_add(1));
    };
    let oldest = (link.oldest_stored_ms)().unwrap_or(i64::MAX);
    let mut at = start_ms;
    if oldest > at {
        s.hard_gap(TimeRange { start_ms: at, end_ms: range.end_ms.min(oldest - 1) });
        at = oldest;
    }
    forget_until(at);
    while at <= range.end_ms {
        let end = range.end_ms.min(at.saturating_add(WINDOW_MS - 1));
        lead.between(link, lane).await;
        if let Err(e) = send_window(link, lane, blocks.as_ref(), at, end).await {
            tracing::error!(remote_name = %s.name, error = %e, "read samples back for the uplink, trying again");
            s.pause(Duration::from_secs(5)).await;
            return;
        }
        while !lane.wait_empty(LOOK_EVERY).await {
            if s.stop.is_requested() || lane.is_broken() {
                return;
            }
        }
        if s.stop.is_requested() {
            return;
        }
        at = end.saturating_add(1);
        forget_until(at);
    }
    tracing::info!(remote_name = %s.name, url = %s.url, start_ms = range.start_ms, end_ms = range.end_ms, "sent what was read back from blocks");
}

async fn send_window(link: &Link, lane: &Lane, blocks: &dyn storage::Queryable, start_ms: i64, end_ms: i64) -> Result<(), storage::ReadError> {
    let s = &link.shared;
    let querier = blocks.querier(start_ms, end_ms)?;
    let hints = SelectHints { start_ms, end_ms, ..SelectHints::default() };
    let all = querier.select(false, &hints, &[Matcher::not_equal(model::name::METRIC_NAME, "")])?;
    let mut staged: Vec<Vec<Item>> = (0..lane.shards()).map(|_| Vec::new()).collect();
    let mut data = SeriesData::default();
    for i in 0..all.len() {
        data.clear();
        all.read(i, start_ms, end_ms, &mut data)?;
        if data.is_empty() {
            continue;
        }
        let labels: Labels = all.labels(i);
        let Known::Send(series) = link.naming.series(&labels, None) else { continue };
        let entry = lane.tracker.next();
        let out = &mut staged[(series.hash % lane.shards() as u64) as usize];
        let start_of = |st: &[i64], k: usize| st.get(k).copied().unwrap_or(0);
        let item = |t_ms: i64, value: Value| Item { series: Arc::clone(&series), entry, t_ms, value };
        out.extend((0..data.t_ms.len()).map(|k| item(data.t_ms[k], Value::Float { v: data.v[k], start_ms: start_of(&data.st_ms, k) })));
        out.extend(
            (0..data.hist_t_ms.len())
                .map(|k| item(data.hist_t_ms[k], Value::FloatHistogram { h: Arc::clone(&data.hist[k]), start_ms: start_of(&data.hist_st_ms, k) })),
        );
        // A series may change from floats to histograms; its order is by time all the same.
        if !data.hist_t_ms.is_empty() {
            out.sort_by_key(|i| i.t_ms);
        }
        let newest = out.iter().map(|i| i.t_ms).max().unwrap_or(i64::MIN);
        lane.tracker.push_beside(u32::try_from(out.len()).unwrap_or(u32::MAX), newest);
        while !lane.push(&mut staged, LOOK_EVERY).await {
            if s.stop.is_requested() || lane.is_broken() {
                return Ok(());
            }
        }
    }
    Ok(())
}
