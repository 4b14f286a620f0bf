//! `narthex-sim [--seeds N] [--from N] [--one-leaf | --one-pair] [--verbose] [--watch MS]`: runs seeds on all cores, says which failed and how. `make sim` calls it.
#![allow(clippy::print_stdout, reason = "a command says what it found")]

use sim::plan::Shape;
use sim::{Options, Outcome};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use stdx::clock::{Clock, SystemClock};

struct Arguments {
    seeds: u64,
    from: u64,
    threads: usize,
    options: Options,
}

fn arguments() -> Result<Arguments, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut a = Arguments { seeds: 100, from: 0, threads, options: Options::default() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|n| n.parse().ok()).ok_or(format!("{word} wants a number"));
        match word.as_str() {
            "--seeds" => a.seeds = number()?,
            "--from" => a.from = number()?,
            "--threads" => a.threads = number()? as usize,
            "--watch" => a.options.watch = Some(number()? as i64),
            "--one-leaf" => a.options.shape = Shape::OneLeaf,
            "--one-pair" => a.options.shape = Shape::OnePair,
            "--verbose" => a.options.verbose = true,
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(a)
}

#[derive(Default)]
struct Sum {
    failed: Vec<u64>,
    events: u64,
    lives: u64,
    servers: u64,
    stored: u64,
    simulated_seconds: u64,
}

impl Sum {
    fn add(&mut self, seed: u64, o: &Outcome) {
        self.events += o.events;
        self.lives += o.lives;
        self.servers += o.servers as u64;
        self.stored += o.stored as u64;
        self.simulated_seconds += o.simulated_seconds;
        if !o.findings.is_empty() {
            self.failed.push(seed);
            println!("seed {seed} (trace {:016x}):", o.trace);
            o.findings.iter().take(6).for_each(|f| println!("  {f}"));
        }
    }
}

fn main() -> ExitCode {
    let a = match arguments() {
        Ok(a) => a,
        Err(e) => {
            println!("{e}");
            return ExitCode::from(2);
        }
    };
    let clock = SystemClock::new();
    let started = clock.monotonic();
    let (next, sum) = (AtomicU64::new(a.from), Mutex::new(Sum::default()));
    std::thread::scope(|s| {
        for _ in 0..a.threads.max(1) {
            s.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= a.from + a.seeds {
                        return;
                    }
                    let outcome = std::panic::catch_unwind(|| sim::run(seed, a.options));
                    let outcome = outcome.unwrap_or_else(|_| Outcome { findings: vec!["panicked".to_string()], ..Outcome::default() });
                    sum.lock().expect("nobody panics while it is held").add(seed, &outcome);
                }
            });
        }
    });
    let sum = sum.into_inner().expect("nobody panics while it is held");
    let took = (clock.monotonic() - started).as_secs_f64();
    println!(
        "{} seeds from {}: {} failed; {} servers, {} lives, {} stored samples, {} events, {:.1} simulated hours in {took:.1} s",
        a.seeds,
        a.from,
        sum.failed.len(),
        sum.servers,
        sum.lives,
        sum.stored,
        sum.events,
        sum.simulated_seconds as f64 / 3600.0,
    );
    if sum.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
