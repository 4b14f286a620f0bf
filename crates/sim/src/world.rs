//! A tree at work: events in order of time, from the first start until everything has healed and caught up.

use crate::exec::{Exec, Life};
use crate::net::{Delivery, Link, Manner, Mode, Reply, over_http};
use crate::oracle::{Oracle, read_all};
use crate::plan::{Blow, CENTRAL, Plan, Role, Sabotage};
use crate::scrape;
use crate::server::{Process, Server, queue_config};
use crate::time::{EPOCH_MS, MS, SECOND, SELF_SCRAPE_MS, ServerClock};
use parking_lot::Mutex;
use remote::receive::Request;
use remote::uplink::{Answer, TransportError};
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use stdx::clock::Clock;
use stdx::crc::crc32c;
use stdx::fs::Disk;
use stdx::rand::Rand;

pub enum Event {
    Start(usize),
    /// `beat_ns`: when it should be, exactly.
    Scrape {
        server: usize,
        target: usize,
        beat_ns: u64,
    },
    SelfScrape(usize),
    Tick(Life),
    Deliver(Delivery),
    Answer {
        reply: Arc<Reply>,
        result: Result<Answer, TransportError>,
    },
    /// A request was worked on; the answer leaves if the server still lives.
    Answered {
        life: Life,
        link: Arc<Link>,
        reply: Arc<Reply>,
        result: Answer,
    },
    /// The uplinks are set up, or why not.
    Configured {
        life: Life,
        error: Option<String>,
    },
    /// The uplinks of a server that is being stopped are through.
    Stopped {
        life: Life,
        down_ns: u64,
    },
    Blow(Blow),
    LinkHeals(usize),
    DiskHasRoom(usize),
    /// The central is asked what is missing.
    AskLedger,
    Calm,
    Quiet,
    Look,
}

struct Entry {
    at_ns: u64,
    number: u64,
    event: Event,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at_ns, other.number).cmp(&(self.at_ns, self.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

/// What is to happen when.
#[derive(Clone, Default)]
pub struct Queue(Arc<Mutex<(BinaryHeap<Entry>, u64)>>);

impl Queue {
    pub fn put(&self, at_ns: u64, event: Event) {
        let mut q = self.0.lock();
        q.1 += 1;
        let number = q.1;
        q.0.push(Entry { at_ns, number, event });
    }

    fn next_ns(&self) -> Option<u64> {
        self.0.lock().0.peek().map(|e| e.at_ns)
    }

    fn pop_due(&self, now_ns: u64) -> Option<Event> {
        let mut q = self.0.lock();
        match q.0.peek() {
            Some(e) if e.at_ns <= now_ns => q.0.pop().map(|e| e.event),
            _ => None,
        }
    }
}

/// A tree must have caught up so long after everything healed.
const CATCH_UP_NS: u64 = 2 * 3600 * SECOND;
/// Held samples wait so long for their owner, and a little more.
const HELD_NS: u64 = 330 * SECOND;
const SELF_SCRAPE_NS: u64 = SELF_SCRAPE_MS as u64 * MS;
/// How long what is written may stay unsynced: the log's lazy sync, a tick, and the time that a slow disk may take.
const UNSYNCED_NS: u64 = 7 * SECOND;
/// How often the central is asked in the middle of it all what is missing.
const ASK_NS: u64 = 97 * SECOND;
const MAX_FINDINGS: usize = 20;

pub struct World {
    pub plan: Plan,
    pub sabotage: Sabotage,
    pub exec: Exec,
    pub queue: Queue,
    pub servers: Vec<Server>,
    /// By the server that sends.
    pub links: Vec<Option<Arc<Link>>>,
    pub oracle: Oracle,
    pub rand: Rand,
    pub findings: Vec<String>,
    /// What happened, as a number: two runs that agree in it were the same.
    pub trace: u64,
    pub events: u64,
    /// (server, target) pairs that do not reach each other, until then.
    pub unreachable: Vec<(usize, usize, u64)>,
    pub scraping: bool,
    self_scraping: bool,
    over: bool,
    calm_ns: u64,
    quiet_ns: Option<u64>,
    caught_up_ns: Option<u64>,
    /// Sabotage: whom an HA tracker listens to, and since when it was not heard of.
    elected: Option<(usize, u64)>,
    pub verbose: bool,
    /// A time, milliseconds after the beginning: who comes to have or to lack a sample of it is told.
    pub watch: Option<i64>,
    watched: Vec<usize>,
}

impl World {
    pub fn new(plan: Plan, mut rand: Rand, sabotage: Sabotage) -> World {
        let exec = Exec::new(Rand::seeded(rand.next_u64()));
        let queue = Queue::default();
        let (mut servers, mut links) = (Vec::new(), Vec::new());
        for (n, p) in plan.servers.iter().enumerate() {
            let disk: Arc<Disk> = Arc::default();
            if p.role != Role::Leaf {
                disk.set_lie(sabotage.lie());
            }
            let mut rand = Rand::seeded(rand.next_u64());
            let all = sabotage == Sabotage::CursorBeforeAck;
            links.push(p.parent.map(|to| Link::new(n, to, exec.clone(), queue.clone(), Rand::seeded(rand.next_u64()), all)));
            servers.push(Server {
                plan: p.clone(),
                disk,
                clock: ServerClock::new(exec.clone(), p.ahead_ms),
                lives: 0,
                process: None,
                dying: None,
                power_was_cut: false,
                died_ns: 0,
                full_until_ns: 0,
                slow_until_ns: 0,
                sync_ns: 0,
                queue_config: queue_config(&mut rand),
                rand,
            });
        }
        World {
            plan,
            sabotage,
            exec,
            queue,
            servers,
            links,
            oracle: Oracle::default(),
            rand,
            findings: Vec::new(),
            trace: 0,
            events: 0,
            unreachable: Vec::new(),
            scraping: true,
            self_scraping: true,
            over: false,
            calm_ns: 0,
            quiet_ns: None,
            caught_up_ns: None,
            elected: None,
            verbose: false,
            watch: None,
            watched: Vec::new(),
        }
    }

    pub fn run(&mut self) {
        self.lay_out();
        while !self.over && self.findings.len() < MAX_FINDINGS {
            while let Some(life) = self.exec.run_one() {
                self.look_after(life.server);
            }
            let next = [self.queue.next_ns(), self.exec.next_timer_ns()].into_iter().flatten().min();
            let Some(next) = next else {
                self.find("nothing happens any more".to_string());
                break;
            };
            self.exec.advance(next);
            if let Some(event) = self.queue.pop_due(next) {
                self.events += 1;
                self.handle(event);
                self.watch_on();
            }
        }
        if self.findings.is_empty() {
            self.check_end();
        }
        for n in 0..self.servers.len() {
            self.note(90, self.servers[n].disk.digest());
        }
    }

    fn watch_on(&mut self) {
        let Some(t) = self.watch.map(|ms| EPOCH_MS + ms) else { return };
        let count = |s: &Server| {
            let stored = s.process.as_ref().and_then(|p| read_all(&p.db).ok()).unwrap_or_default();
            stored.values().filter(|points| points.contains_key(&t)).count()
        };
        let now: Vec<usize> = self.servers.iter().map(count).collect();
        if now != self.watched {
            self.tell(|| format!("series with a sample of the watched time, by server: {now:?}"));
            self.watched = now;
        }
    }

    fn lay_out(&mut self) {
        for s in 0..self.servers.len() {
            self.queue.put(0, Event::Start(s));
            if self.servers[s].plan.role != Role::Central {
                self.queue.put(self.rand.below(SELF_SCRAPE_NS), Event::SelfScrape(s));
            }
            if let Some(g) = self.plan.servers[s].group {
                let (targets, interval_ns) = (self.plan.groups[g].targets, self.plan.groups[g].interval_ms as u64 * MS);
                for target in 0..targets {
                    let beat_ns = MS + self.rand.below(interval_ns);
                    self.queue.put(beat_ns, Event::Scrape { server: s, target, beat_ns });
                }
            }
        }
        for (at, blow) in self.plan.blows.clone() {
            self.queue.put(at, Event::Blow(blow));
        }
        self.queue.put(ASK_NS, Event::AskLedger);
        self.queue.put(self.plan.chaos_ns, Event::Calm);
    }

    pub fn note(&mut self, what: u64, more: u64) {
        let mix = self.trace ^ self.exec.now_ns() ^ (what << 56) ^ more.wrapping_mul(0x2545_f491_4f6c_dd1d);
        self.trace = mix.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    }

    pub fn find(&mut self, what: String) {
        self.tell(|| what.clone());
        self.findings.push(format!("{:.3} s: {what}", self.exec.now_ns() as f64 / 1e9));
    }

    #[allow(clippy::print_stderr, reason = "for a person who replays a seed and asked for it")]
    pub fn tell(&self, what: impl Fn() -> String) {
        if self.verbose {
            eprintln!("{:10.3} {}", self.exec.now_ns() as f64 / 1e9, what());
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Start(s) => self.start(s),
            Event::Scrape { server, target, beat_ns } => {
                if self.scraping {
                    scrape::scrape(self, server, target);
                    let group = self.plan.servers[server].group.expect("only leaves scrape");
                    let beat_ns = beat_ns + self.plan.groups[group].interval_ms as u64 * MS;
                    self.queue.put(beat_ns + self.rand.below(5 * MS), Event::Scrape { server, target, beat_ns });
                    self.look_after(server);
                }
            }
            Event::SelfScrape(s) => {
                if self.self_scraping {
                    scrape::scrape_itself(self, s);
                    self.queue.put(self.exec.now_ns() + SELF_SCRAPE_NS, Event::SelfScrape(s));
                    self.look_after(s);
                }
            }
            Event::Tick(life) => self.tick(life),
            Event::Deliver(d) => self.deliver(d),
            Event::Answer { reply, result } => reply.put(result),
            Event::Answered { life, link, reply, result } => {
                let lives = self.process(life).is_some();
                let result = if lives { Ok(result) } else { Err(TransportError("connection reset".to_string())) };
                link.answer(&reply, 0, result);
            }
            Event::Configured { life, error } => {
                if let (Some(error), Some(_)) = (error, self.process(life)) {
                    self.note(2, life.server as u64);
                    self.tell(|| format!("{} cannot set up its uplink: {error}", self.servers[life.server].plan.name));
                    if !self.is_troubled(life.server) {
                        self.find(format!("{} cannot set up its uplink: {error}", self.servers[life.server].plan.name));
                    }
                    self.die(life.server, false, 5 * SECOND);
                }
            }
            Event::Stopped { life, down_ns } => self.stopped(life, down_ns),
            Event::Blow(blow) => self.blow(blow),
            Event::LinkHeals(from) => {
                if let Some(l) = &self.links[from] {
                    l.set(Manner::good());
                }
                self.tell(|| format!("the link of {} is good again", self.servers[from].plan.name));
            }
            Event::DiskHasRoom(s) => {
                if self.servers[s].full_until_ns <= self.exec.now_ns() {
                    self.servers[s].disk.set_full(false);
                    self.tell(|| format!("the disk of {} has room again", self.servers[s].plan.name));
                }
            }
            Event::AskLedger => self.ask_ledger(),
            Event::Calm => self.calm(),
            Event::Quiet => {
                self.tell(|| "targets are scraped no more".to_string());
                self.scraping = false;
                self.quiet_ns = Some(self.exec.now_ns());
                self.queue.put(self.exec.now_ns() + 5 * SECOND, Event::Look);
            }
            Event::Look => self.look(),
        }
    }

    pub fn process(&self, life: Life) -> Option<&Process> {
        self.servers[life.server].process.as_ref().filter(|p| p.life == life)
    }

    /// A server whose disk is full, or will be cut off in the middle of something: its errors are to be expected.
    fn is_troubled(&self, s: usize) -> bool {
        let server = &self.servers[s];
        server.full_until_ns > self.exec.now_ns() || server.process.as_ref().is_some_and(|p| p.mount.is_cut_off())
    }

    fn start(&mut self, s: usize) {
        if self.servers[s].process.is_some() {
            return;
        }
        self.note(1, s as u64);
        let link = self.links[s].clone();
        let group = self.plan.servers[s].group.map(|g| self.plan.groups[g].name.clone());
        let server = &mut self.servers[s];
        server.lives += 1;
        let mount = server.disk.mount(server.clock.clone());
        // The next blow may fall while it starts.
        if server.rand.chance(0.1) && !self.is_calm() {
            let steps = self.servers[s].rand.below(60);
            mount.cut_off_after(steps);
            self.servers[s].dying = Some((self.servers[s].rand.chance(0.5), 2 * SECOND));
        }
        let server = &mut self.servers[s];
        let started = server.start(s, &self.exec, link.as_ref(), Arc::clone(&mount), self.sabotage);
        let process = match started {
            Ok(p) => p,
            Err(e) => {
                self.tell(|| format!("{} cannot be opened: {e}", self.servers[s].plan.name));
                if !mount.is_cut_off() && self.servers[s].full_until_ns <= self.exec.now_ns() {
                    let name = self.servers[s].plan.name.clone();
                    self.find(format!("{name} cannot be opened: {e}"));
                }
                let (power, down_ns) = if mount.is_cut_off() { self.servers[s].dying.take().unwrap_or((false, SECOND)) } else { (false, 5 * SECOND) };
                mount.cut_off();
                if power {
                    let server = &mut self.servers[s];
                    server.disk.power_cut(&mut server.rand);
                    server.power_was_cut = true;
                }
                self.queue.put(self.exec.now_ns() + down_ns, Event::Start(s));
                return;
            }
        };
        let life = process.life;
        self.tell(|| format!("{} starts, life {}: {}", self.servers[s].plan.name, life.number, process.describe()));
        match &process.uplinks {
            Some(uplinks) => {
                let (uplinks, open, queue, exec) = (Arc::clone(uplinks), Arc::clone(&process.open), self.queue.clone(), self.exec.clone());
                let (config, external) = (self.servers[s].config(), self.servers[s].external(group.as_deref()));
                let work = async move {
                    let result = uplinks.change(&[config], &external).await;
                    open.store(result.is_ok(), Ordering::Relaxed);
                    queue.put(exec.now_ns(), Event::Configured { life, error: result.err().map(|e| e.to_string()) });
                };
                self.exec.start(life, Box::pin(work));
            }
            None => process.open.store(true, Ordering::Relaxed),
        }
        self.servers[s].process = Some(process);
        self.check_restarted(s);
        self.queue.put(self.exec.now_ns() + SECOND, Event::Tick(life));
        self.look_after(s);
    }

    fn is_calm(&self) -> bool {
        self.calm_ns > 0
    }

    fn check_restarted(&mut self, s: usize) {
        let server = &self.servers[s];
        let cut = server.power_was_cut.then_some((server.died_ns, UNSYNCED_NS + server.sync_ns * 4));
        let Some(p) = &self.servers[s].process else { return };
        if p.mount.is_cut_off() || !self.oracle.tracks.keys().any(|(server, _)| *server == s) {
            return;
        }
        let name = self.servers[s].plan.name.clone();
        match read_all(&p.db) {
            Ok(stored) => {
                for bad in self.oracle.check_restarted(s, &stored, cut).into_iter().take(3) {
                    self.find(format!("{name} has started again: {bad}"));
                }
                self.servers[s].power_was_cut = false;
            }
            Err(e) => self.find(format!("{name} cannot be read: {e}")),
        }
    }

    /// After anything that a server did: its disk takes time, and it may have died of it.
    pub fn look_after(&mut self, s: usize) {
        let now = self.exec.now_ns();
        let server = &mut self.servers[s];
        let syncs = server.disk.take_syncs();
        if syncs > 0 && server.slow_until_ns > now {
            self.exec.block(s, now.max(self.exec.blocked_until(s)) + syncs * server.sync_ns);
        }
        if server.process.as_ref().is_some_and(|p| p.mount.is_cut_off()) {
            let (power, down_ns) = server.dying.take().unwrap_or((false, SECOND));
            self.die(s, power, down_ns);
        }
    }

    /// A process ends, wherever it is.
    fn die(&mut self, s: usize, power: bool, down_ns: u64) {
        let server = &mut self.servers[s];
        let Some(p) = server.process.take() else { return };
        p.mount.cut_off();
        (server.dying, server.died_ns) = (None, self.exec.now_ns());
        self.exec.kill(p.life);
        drop(p);
        if power {
            server.disk.power_cut(&mut server.rand);
            server.power_was_cut = true;
        }
        self.note(3, s as u64 * 2 + u64::from(power));
        self.tell(|| format!("{} is killed{}", self.servers[s].plan.name, if power { ", the power is cut" } else { "" }));
        self.queue.put(self.exec.now_ns() + down_ns, Event::Start(s));
    }

    fn tick(&mut self, life: Life) {
        let s = life.server;
        if self.process(life).is_none() {
            return;
        }
        let now = self.exec.now_ns();
        let until = self.exec.blocked_until(s);
        if until > now {
            return self.queue.put(until, Event::Tick(life));
        }
        let troubled = self.is_troubled(s);
        let server = &mut self.servers[s];
        let now_ms = server.clock.now_ms();
        let Some(p) = &mut server.process else { return };
        p.ticks += 1;
        p.db.tick();
        if p.ticks.is_multiple_of(5) {
            if let Some(r) = &p.receiver {
                r.tick(now_ms);
            }
            if let Some(k) = &p.known {
                k.tick();
            }
        }
        let mut failed = None;
        if now >= p.maintain_ns || p.db.is_head_compactable() {
            p.maintain_ns = now + 60 * SECOND;
            if let Err(e) = p.db.maintain() {
                p.maintain_ns = now + 5 * SECOND;
                failed = Some(e.to_string()).filter(|_| !troubled && !p.mount.is_cut_off());
            }
        }
        let gaps: Vec<_> = p.uplinks.iter().flat_map(|u| u.status()).flat_map(|u| u.hard_gaps).collect();
        let name = server.plan.name.clone();
        if let Some(e) = failed {
            self.find(format!("{name} cannot look after its store: {e}"));
        }
        if let Some(g) = gaps.first() {
            self.find(format!("{name} says that nobody holds {} to {} any more, and nothing was deleted", g.start_ms, g.end_ms));
        }
        self.queue.put(now + SECOND, Event::Tick(life));
        self.look_after(s);
    }

    fn deliver(&mut self, d: Delivery) {
        let (link, s) = (Arc::clone(&d.link), d.link.to);
        if link.manner().mode == Mode::Silent {
            return;
        }
        let now = self.exec.now_ns();
        let until = self.exec.blocked_until(s);
        let open = self.servers[s].process.as_ref().is_some_and(|p| p.open.load(Ordering::Relaxed));
        if !open || link.manner().mode == Mode::Refused {
            if let Some(reply) = &d.reply {
                link.answer(reply, 0, Err(TransportError("connection refused".to_string())));
            }
            return;
        }
        if until > now {
            return self.queue.put(until, Event::Deliver(d));
        }
        if self.sabotage == Sabotage::MergeDropsAtFailover && self.is_not_elected(link.from) {
            if let Some(reply) = &d.reply {
                let taken = remote::receive::Answer { status: 204, headers: vec![("X-Narthex", "late-samples".to_string())], body: String::new() };
                link.answer(reply, 0, Ok(over_http(&taken, 0)));
            }
            return;
        }
        let p = self.servers[s].process.as_ref().expect("is open");
        let life = p.life;
        let receiver = p.receiver.as_ref().expect("a parent receives");
        let answer = receiver.handle(&Request {
            content_type: d.push.version.content_type(),
            content_encoding: d.push.encoding.header_value(),
            sender: &self.servers[link.from].plan.name,
            only_labels: &[],
            body: &d.push.body,
        });
        if self.sabotage == Sabotage::StoredTwice && d.reply.is_none() {
            scrape::store_again(&p.db, &d.push);
        }
        let result = over_http(&answer, self.servers[link.from].clock.now_ms());
        self.tell(|| {
            format!(
                "{} answers {} {}: {}",
                self.servers[s].plan.name,
                self.servers[link.from].plan.name,
                answer.status,
                scrape::what_it_brings(&d.push)
            )
        });
        self.note(4, u64::from(answer.status) << 32 | u64::from(crc32c(&d.push.body)));
        if (400..500).contains(&answer.status) {
            let (name, text) = (self.servers[s].plan.name.clone(), answer.body.lines().next().unwrap_or_default().to_string());
            self.find(format!("{name} answers {}: {text}", answer.status));
        }
        self.look_after(s);
        if let Some(reply) = d.reply {
            let at = now.max(self.exec.blocked_until(s));
            self.queue.put(at, Event::Answered { life, link, reply, result });
        }
    }

    /// Sabotage: an HA tracker that listens to one sender until it was silent for half a minute.
    fn is_not_elected(&mut self, from: usize) -> bool {
        let now = self.exec.now_ns();
        match self.elected {
            Some((who, heard)) if who != from && now < heard + 30 * SECOND => true,
            _ => {
                self.elected = Some((from, now));
                false
            }
        }
    }

    fn blow(&mut self, blow: Blow) {
        let now = self.exec.now_ns();
        self.tell(|| format!("{blow:?}"));
        self.note(5, 0);
        match blow {
            Blow::Kill { server, after_steps, power, down_ns } => match (after_steps, &self.servers[server].process) {
                (Some(steps), Some(p)) => {
                    p.mount.cut_off_after(steps);
                    self.servers[server].dying = Some((power, down_ns));
                }
                (None, Some(_)) => self.die(server, power, down_ns),
                (_, None) => {}
            },
            Blow::Restart { server, down_ns } => self.stop(server, down_ns),
            Blow::Reload { server } => self.reload(server),
            Blow::Link { from, manner, for_ns } => {
                if let Some(l) = &self.links[from] {
                    l.set(manner);
                    self.queue.put(now + for_ns, Event::LinkHeals(from));
                }
            }
            Blow::DiskFull { server, for_ns } => {
                self.servers[server].full_until_ns = now + for_ns;
                self.servers[server].disk.set_full(true);
                self.queue.put(now + for_ns, Event::DiskHasRoom(server));
            }
            Blow::DiskSlow { server, sync_ns, for_ns } => {
                self.servers[server].slow_until_ns = now + for_ns;
                self.servers[server].sync_ns = sync_ns;
            }
            Blow::Unreachable { server, target, for_ns } => self.unreachable.push((server, target, now + for_ns)),
            Blow::TargetDown { group, target, for_ns } => {
                for server in self.plan.groups[group].members.clone() {
                    self.unreachable.push((server, target, now + for_ns));
                }
            }
        }
    }

    fn stop(&mut self, s: usize, down_ns: u64) {
        let Some(p) = &mut self.servers[s].process else { return };
        if p.stopping || !p.open.load(Ordering::Relaxed) {
            return;
        }
        p.stopping = true;
        let (life, uplinks, queue, exec) = (p.life, p.uplinks.clone(), self.queue.clone(), self.exec.clone());
        let work = async move {
            if let Some(u) = uplinks {
                u.finish().await;
            }
            queue.put(exec.now_ns(), Event::Stopped { life, down_ns });
        };
        self.exec.start(life, Box::pin(work));
    }

    fn stopped(&mut self, life: Life, down_ns: u64) {
        let troubled = self.is_troubled(life.server);
        let Some(p) = self.process(life) else { return };
        let closed = p.db.close();
        let cut = p.mount.is_cut_off();
        if let (Err(e), false, false) = (closed, troubled, cut) {
            let name = self.servers[life.server].plan.name.clone();
            self.find(format!("{name} cannot be closed: {e}"));
        }
        self.look_after(life.server);
        self.die(life.server, false, down_ns);
    }

    fn reload(&mut self, s: usize) {
        let group = self.plan.servers[s].group.map(|g| self.plan.groups[g].name.clone());
        let server = &mut self.servers[s];
        let Some(p) = &server.process else { return };
        let (Some(uplinks), false, true) = (p.uplinks.clone(), p.stopping, p.open.load(Ordering::Relaxed)) else { return };
        let (life, queue, exec) = (p.life, self.queue.clone(), self.exec.clone());
        server.queue_config = queue_config(&mut server.rand);
        let (config, external) = (server.config(), server.external(group.as_deref()));
        let work = async move {
            let result = uplinks.change(&[config], &external).await;
            queue.put(exec.now_ns(), Event::Configured { life, error: result.err().map(|e| e.to_string()) });
        };
        self.exec.start(life, Box::pin(work));
    }

    /// Everything heals.
    fn calm(&mut self) {
        self.tell(|| "everything heals".to_string());
        let now = self.exec.now_ns();
        self.calm_ns = now;
        self.unreachable.clear();
        for s in 0..self.servers.len() {
            if let Some(l) = &self.links[s] {
                l.set(Manner::good());
            }
            let server = &mut self.servers[s];
            server.disk.set_full(false);
            (server.full_until_ns, server.slow_until_ns, server.dying) = (0, 0, None);
            match &server.process {
                Some(p) => p.mount.cut_off_after(u64::MAX),
                None => self.queue.put(now + SECOND, Event::Start(s)),
            }
        }
        self.queue.put(now + 120 * SECOND, Event::Quiet);
    }

    /// Has the tree caught up? Held samples get the time to be given up waiting for.
    fn look(&mut self) {
        let now = self.exec.now_ns();
        let behind = self.behind(if self.self_scraping { 25_000 } else { 0 });
        match (behind, self.self_scraping) {
            (None, true) => {
                let since = *self.caught_up_ns.get_or_insert(now);
                if now >= since + HELD_NS {
                    self.self_scraping = false;
                }
            }
            (None, false) => {
                self.over = true;
                return;
            }
            (Some(why), _) => {
                if now > self.calm_ns + CATCH_UP_NS {
                    return self.find(format!("does not catch up: {why}"));
                }
            }
        }
        self.queue.put(now + 5 * SECOND, Event::Look);
    }

    /// Which server is how far behind, if any is.
    fn behind(&self, may_ms: i64) -> Option<String> {
        for s in &self.servers {
            let name = &s.plan.name;
            let Some(p) = s.process.as_ref().filter(|p| p.open.load(Ordering::Relaxed)) else { return Some(format!("{name} does not run")) };
            for u in p.uplinks.iter().flat_map(|u| u.status()) {
                if u.backlog_ms > may_ms || !u.missing.is_empty() {
                    return Some(format!("the uplink of {name} has a backlog of {} ms, {} ranges to be read back", u.backlog_ms, u.missing.len()));
                }
            }
        }
        None
    }

    fn ask_ledger(&mut self) {
        if self.scraping {
            self.queue.put(self.exec.now_ns() + ASK_NS, Event::AskLedger);
        }
        let central = &self.servers[CENTRAL];
        let now_ms = central.clock.now_ms();
        let Some(p) = &central.process else { return };
        for bad in self.oracle.check_ledger_meanwhile(&self.plan, &p.db, EPOCH_MS, now_ms) {
            self.find(bad);
        }
    }

    fn check_end(&mut self) {
        let mut bad = Vec::new();
        for s in 0..self.servers.len() {
            let Some(p) = &self.servers[s].process else { continue };
            let name = &self.servers[s].plan.name;
            match read_all(&p.db) {
                Ok(stored) if s == CENTRAL => bad.extend(self.oracle.check_central(&self.plan, &stored)),
                Ok(stored) => bad.extend(self.oracle.check_restarted(s, &stored, None).into_iter().map(|b| format!("{name} at the end: {b}"))),
                Err(e) => bad.push(format!("{name} cannot be read: {e}")),
            }
        }
        if let Some(p) = &self.servers[CENTRAL].process {
            let end_ms = EPOCH_MS + (self.quiet_ns.unwrap_or(0) / MS) as i64;
            let now_ms = self.servers[CENTRAL].clock.now_ms();
            let lies = self.sabotage == Sabotage::LedgerNotTold;
            bad.extend(self.oracle.check_ledger(&self.plan, &p.db, EPOCH_MS, end_ms, now_ms, lies));
        }
        let mut told = BTreeSet::new();
        for b in bad {
            if told.len() < MAX_FINDINGS && told.insert(b.clone()) {
                self.find(b);
            }
        }
    }
}
