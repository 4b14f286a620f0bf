//! What a seed means: a tree, how its servers are set up, and what happens to them when.

use crate::net::{Manner, Mode};
use crate::time::{MS, SECOND};
use stdx::fs::Lie;
use stdx::rand::Rand;

/// A rule broken on purpose, to see that the oracle finds it. Only the simulation knows of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    #[default]
    None,
    /// The central acknowledges before its log is on the disk.
    AckBeforeSync,
    /// A cursor moves although the parent has acknowledged nothing.
    CursorBeforeAck,
    /// An uplink that starts again goes on at "now".
    ResumeAtNow,
    /// The central stores what both replicas send.
    MergeTakesBoth,
    /// The central takes one replica only, and another half a minute after that one was last heard of, as an HA tracker does.
    MergeDropsAtFailover,
    /// The central refuses late samples.
    RefusesLate,
    /// What arrives twice is stored twice.
    StoredTwice,
    /// A leaf fills its holes with invented scrapes, so that no ledger tells of them.
    LedgerNotTold,
}

impl Sabotage {
    pub const ALL: [Sabotage; 8] = [
        Sabotage::AckBeforeSync,
        Sabotage::CursorBeforeAck,
        Sabotage::ResumeAtNow,
        Sabotage::MergeTakesBoth,
        Sabotage::MergeDropsAtFailover,
        Sabotage::RefusesLate,
        Sabotage::StoredTwice,
        Sabotage::LedgerNotTold,
    ];

    pub fn lie(self) -> Lie {
        if self == Sabotage::AckBeforeSync { Lie::Files("/wal/") } else { Lie::None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Leaf,
    Relay,
    Central,
}

/// One server as it is set up.
#[derive(Clone, Debug)]
pub struct ServerPlan {
    pub name: String,
    pub role: Role,
    pub parent: Option<usize>,
    /// Which leaf of the plan's groups it belongs to.
    pub group: Option<usize>,
    /// The replica's name in a pair.
    pub replica: Option<&'static str>,
    pub ahead_ms: i64,
    /// Replica labels that it takes off and merges by.
    pub merges: bool,
    /// Length of a block.
    pub block_ms: i64,
    pub log_budget_bytes: u64,
    pub second_lane: (i64, u64),
}

/// The same targets, scraped by one leaf or by a pair.
#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    pub members: Vec<usize>,
    pub targets: usize,
    pub interval_ms: i64,
}

/// Something happens to a server, its disk or its link.
#[derive(Clone, Copy, Debug)]
pub enum Blow {
    /// Killed after so many more changes of its disk, or at once; with the power, if that goes too.
    Kill {
        server: usize,
        after_steps: Option<u64>,
        power: bool,
        down_ns: u64,
    },
    /// Stopped and started as a good operator would.
    Restart {
        server: usize,
        down_ns: u64,
    },
    /// Another queue configuration.
    Reload {
        server: usize,
    },
    Link {
        from: usize,
        manner: Manner,
        for_ns: u64,
    },
    DiskFull {
        server: usize,
        for_ns: u64,
    },
    /// Each sync takes so long.
    DiskSlow {
        server: usize,
        sync_ns: u64,
        for_ns: u64,
    },
    /// A replica does not reach a target.
    Unreachable {
        server: usize,
        target: usize,
        for_ns: u64,
    },
    /// Nobody does.
    TargetDown {
        group: usize,
        target: usize,
        for_ns: u64,
    },
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub servers: Vec<ServerPlan>,
    pub groups: Vec<Group>,
    /// In order of time.
    pub blows: Vec<(u64, Blow)>,
    /// Until then there are blows.
    pub chaos_ns: u64,
}

pub const CENTRAL: usize = 0;

/// How large a tree may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Any,
    /// One leaf and the central.
    OneLeaf,
    /// One pair and the central.
    OnePair,
}

fn between(r: &mut Rand, lo: u64, hi: u64) -> u64 {
    lo + r.below(hi - lo + 1)
}

impl Plan {
    pub fn of_seed(r: &mut Rand, shape: Shape) -> Plan {
        let mut plan = Plan { servers: Vec::new(), groups: Vec::new(), blows: Vec::new(), chaos_ns: between(r, 6 * 60, 15 * 60) * SECOND };
        let relays = if shape == Shape::Any { r.below(4) as usize } else { 0 };
        plan.server(r, Role::Central, None, "central".to_string());
        for n in 0..relays {
            // A relay may stand behind another one.
            let above: Vec<usize> = (1..plan.servers.len()).filter(|s| plan.servers[*s].parent == Some(CENTRAL)).collect();
            let parent = if r.chance(0.4) { r.pick(&above).copied().unwrap_or(CENTRAL) } else { CENTRAL };
            plan.server(r, Role::Relay, Some(parent), format!("relay-{n}"));
        }
        let groups = if shape == Shape::Any { between(r, 1, 3) } else { 1 };
        for n in 0..groups {
            plan.group(r, n as usize, shape);
        }
        plan.blows(r);
        plan
    }

    fn server(&mut self, r: &mut Rand, role: Role, parent: Option<usize>, name: String) -> usize {
        self.servers.push(ServerPlan {
            name,
            role,
            parent,
            group: None,
            replica: None,
            ahead_ms: 0,
            merges: role == Role::Central || r.chance(0.5),
            block_ms: *r.pick(&[60_000, 120_000, 300_000, 7_200_000]).expect("not empty"),
            log_budget_bytes: *r.pick(&[16 << 10, 64 << 10, 8 << 30]).expect("not empty"),
            second_lane: (between(r, 5_000, 40_000) as i64, between(r, 512, 16 << 10)),
        });
        self.servers.len() - 1
    }

    fn group(&mut self, r: &mut Rand, n: usize, shape: Shape) {
        let pair = match shape {
            Shape::Any => r.chance(0.6),
            Shape::OneLeaf => false,
            Shape::OnePair => true,
        };
        let interval_ms = *r.pick(&[5_000, 10_000, 15_000]).expect("not empty");
        let above: Vec<usize> = (0..self.servers.len()).filter(|s| self.servers[*s].role != Role::Leaf).collect();
        let parent = *r.pick(&above).expect("the central is there");
        // Members of a pair may go up by different ways where nobody merges before they meet.
        let forwards: Vec<usize> =
            above.iter().copied().filter(|s| *s == CENTRAL || self.way_up(*s).iter().all(|s| !self.servers[*s].merges)).collect();
        let apart = r.chance(0.4);
        let mut members = Vec::new();
        for replica in if pair { &["a", "b"][..] } else { &[""][..] } {
            let parent = if pair && apart { *r.pick(&forwards).expect("the central is there") } else { parent };
            let name = if pair { format!("leaf-{n}{replica}") } else { format!("leaf-{n}") };
            let s = self.server(r, Role::Leaf, Some(parent), name);
            self.servers[s].group = Some(n);
            if pair {
                self.servers[s].replica = Some(if *replica == "a" { "a" } else { "b" });
                // Together up to half an interval.
                let quarter = interval_ms / 4;
                self.servers[s].ahead_ms = r.below(2 * quarter as u64 + 1) as i64 - quarter;
            }
            members.push(s);
        }
        let targets = between(r, 1, 3) as usize;
        self.groups.push(Group { name: format!("g{n}"), members, targets, interval_ms });
    }

    /// Relays between a server and the central, itself included.
    fn way_up(&self, mut server: usize) -> Vec<usize> {
        let mut way = Vec::new();
        while server != CENTRAL {
            way.push(server);
            server = self.servers[server].parent.unwrap_or(CENTRAL);
        }
        way
    }

    fn blows(&mut self, r: &mut Rand) {
        let count = between(r, 3, 25);
        for _ in 0..count {
            let at = r.below(self.chaos_ns);
            let blow = self.blow(r);
            self.blows.push((at, blow));
        }
        self.blows.sort_by_key(|(at, _)| *at);
    }

    fn blow(&self, r: &mut Rand) -> Blow {
        let server = r.below(self.servers.len() as u64) as usize;
        let senders: Vec<usize> = (0..self.servers.len()).filter(|s| self.servers[*s].parent.is_some()).collect();
        let from = *r.pick(&senders).expect("there is a leaf");
        let for_ns = match r.below(4) {
            0 => between(r, 1, 10) * SECOND,
            1 | 2 => between(r, 10, 90) * SECOND,
            _ => between(r, 90, 400) * SECOND,
        };
        let down_ns = if r.chance(0.7) { between(r, 1, 20_000) * MS } else { for_ns };
        match r.below(20) {
            0..=5 => {
                let after_steps = r.chance(0.6).then(|| r.below(200));
                Blow::Kill { server, after_steps, power: r.chance(0.5), down_ns }
            }
            6 => Blow::Restart { server, down_ns },
            7 | 8 => Blow::Reload { server: from },
            9..=13 => {
                let mut manner = Manner::good();
                match r.below(5) {
                    0 => manner.mode = Mode::Refused,
                    1 => manner.mode = Mode::Silent,
                    2 => manner.latency_ms = (between(r, 0, 500), between(r, 500, 8_000)),
                    3 => (manner.lose_request, manner.lose_answer) = (r.f64() * 0.5, r.f64() * 0.5),
                    _ => (manner.twice, manner.latency_ms) = (r.f64(), (0, between(r, 1, 3_000))),
                }
                Blow::Link { from, manner, for_ns }
            }
            14 => Blow::DiskFull { server, for_ns },
            15 => Blow::DiskSlow { server, sync_ns: between(r, 10, 2_000) * MS, for_ns },
            16 | 17 => {
                let leaves: Vec<usize> = (0..self.servers.len()).filter(|s| self.servers[*s].role == Role::Leaf).collect();
                let server = *r.pick(&leaves).expect("there is a leaf");
                let group = self.servers[server].group.expect("a leaf has a group");
                Blow::Unreachable { server, target: r.below(self.groups[group].targets as u64) as usize, for_ns }
            }
            18 => {
                let group = r.below(self.groups.len() as u64) as usize;
                Blow::TargetDown { group, target: r.below(self.groups[group].targets as u64) as usize, for_ns }
            }
            _ => Blow::Kill { server: from, after_steps: None, power: r.chance(0.5), down_ns },
        }
    }
}
