//! A tree of servers in one process and one thread, from one seed: leaves, pairs, relays and a central with their real rooms (store, log, uplink, receiver with its
//! merge, ledger), over a simulated clock, network and disk. Processes are killed anywhere, power goes, links are cut, disks are full; then everything heals, and
//! the central must have what the leaves stored.
//!
//! What a run does follows from its seed alone: [`run`] twice with the same one ends the same, to the last byte on the disks.
//!
//! Read in this order: [`plan`] (what a seed means), [`world`] (events), [`server`] (a process), [`oracle`] (what is checked). Below them [`exec`] (tasks and time),
//! [`net`], [`time`], [`scrape`]. Only tests and `make sim` use this crate.

pub mod exec;
pub mod net;
pub mod oracle;
pub mod plan;
pub mod scrape;
pub mod server;
pub mod time;
pub mod world;

use plan::{Plan, Sabotage, Shape};
use stdx::rand::Rand;
use world::World;

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub findings: Vec<String>,
    /// Two runs that agree in it did the same.
    pub trace: u64,
    pub events: u64,
    pub servers: usize,
    pub lives: u64,
    /// Samples that the leaves stored and that the central had to have.
    pub stored: usize,
    pub simulated_seconds: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub shape: Shape,
    pub sabotage: Sabotage,
    /// Tell on stderr what happens.
    pub verbose: bool,
    /// See [`World::watch`].
    pub watch: Option<i64>,
}

impl Default for Options {
    fn default() -> Self {
        Options { shape: Shape::Any, sabotage: Sabotage::None, verbose: false, watch: None }
    }
}

pub fn run(seed: u64, options: Options) -> Outcome {
    let mut rand = Rand::seeded(seed);
    let plan = Plan::of_seed(&mut rand, options.shape);
    let mut world = World::new(plan, rand, options.sabotage);
    (world.verbose, world.watch) = (options.verbose, options.watch);
    if options.verbose {
        for s in &world.plan.servers {
            world.tell(|| format!("{s:?}"));
        }
    }
    world.run();
    Outcome {
        trace: world.trace,
        events: world.events,
        servers: world.servers.len(),
        lives: world.servers.iter().map(|s| u64::from(s.lives)).sum(),
        stored: world.oracle.stored(),
        simulated_seconds: world.exec.now_ns() / time::SECOND,
        findings: world.findings,
    }
}

#[cfg(test)]
mod tests;
