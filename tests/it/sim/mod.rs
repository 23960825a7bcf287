//! A whole quorum in one thread: several controllers (the real `Core`, rules and image) over one
//! replicated log in memory, brokers that register, live, die and return, clients that want things,
//! clocks that jump, leadership that flaps, proposals that are lost.
//!
//! Everything is drawn from one seed, so a failure is replayed by the line that it prints:
//! `scripts/sim --seed N --steps M`. After every step the invariants are asked, one file each.
//!
//! | file | what it is |
//! |---|---|
//! | `world` | nodes, the log, time: what may happen, and how likely |
//! | `log` | raft as the controllers see it: terms, commitment, what a change of leader cuts off |
//! | `brokers` | brokers and clients: what is asked, what was answered |
//! | `invariants` | what must be true whatever happens |

mod brokers;
mod invariants;
mod log;
mod world;

use world::World;

/// Steps of each seed in the ordinary tests.
const STEPS: usize = 1_000;
/// Seeds of the ordinary tests.
const SEEDS: std::ops::Range<u64> = 0..8;

/// One run. Panics with the invariant that broke and the line that replays it.
fn run(seed: u64, steps: usize) -> World {
    let mut world = World::new(seed);
    for step in 0..steps {
        world.step();
        if let Err(broken) = invariants::check(&mut world) {
            panic!(
                "{broken}\n  after step {step} of seed {seed}; the last events:\n{}\n  replay: scripts/sim --seed {seed} --steps {}",
                world.story(),
                step + 1
            );
        }
    }
    world.calm_down();
    if let Err(broken) = invariants::check_calm(&mut world) {
        panic!(
            "{broken}\n  when calm again, after {steps} steps\n{}\n  replay: scripts/sim --seed {seed} --steps {steps}",
            world.story()
        );
    }
    world
}

#[test]
fn seeds() {
    // `scripts/sim` names a seed of its own.
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let steps = number("YAKT_SIM_STEPS").map_or(STEPS, |steps| steps as usize);
    let seeds = match (number("YAKT_SIM_SEED"), number("YAKT_SIM_SEEDS")) {
        (Some(seed), count) => seed..seed + count.unwrap_or(1),
        (None, _) => SEEDS,
    };
    let mut acknowledged = 0;
    let mut leaders = 0;
    let mut void = 0;
    for seed in seeds {
        let world = run(seed, steps);
        acknowledged += world.deeds.acknowledged;
        leaders += world.log.term;
        void += world.void;
    }
    // A simulation in which nothing happens proves nothing.
    println!("{acknowledged} acknowledged writes, {leaders} terms, {void} void batches");
    assert!(
        acknowledged > steps as u64 / 50,
        "hardly anything was acknowledged: {acknowledged}"
    );
    assert!(leaders > 2, "leadership never moved");
    assert!(void > 0, "the guard had nothing to refuse");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let (a, b) = (run(7, 400), run(7, 400));
    assert_eq!(a.log.digest(), b.log.digest());
}
