//! Four validators on the engine's own deterministic runtime, over a simulated network and
//! simulated disks: partitions, lost messages, crashes of one and of all, also between agreement
//! and commit, torn writes, a validator that votes twice, one that runs two processes with one key
//! and so proposes two blocks; and planted faults that the checkers must flag.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

pub(crate) mod cluster;
pub(crate) mod dice;
pub(crate) mod disk;
pub(crate) mod world;

use cluster::{Fault, Summary, simulate};

/// Runs the seeds and reports the first that breaks an invariant.
fn run(seeds: std::ops::Range<u64>) {
    let mut total = Summary::default();
    for seed in seeds.clone() {
        match simulate(seed, Fault::None) {
            Ok(summary) => total.add(&summary),
            Err(broken) => panic!("seed {seed}: {broken}"),
        }
    }
    println!("seeds {seeds:?}: {total:?}");
    // A run in which nothing happens shows nothing.
    let runs = seeds.end - seeds.start;
    assert!(total.blocks > 2 * runs && total.acknowledged > 2 * runs, "{total:?}");
    assert!(total.crashes > runs, "{total:?}");
    let lied = total.evidence > 0 && total.faults > 0;
    assert!(runs < 30 || (total.partitions > 0 && total.stranded > 0 && lied), "{total:?}");
}

#[test]
fn seeds_0_to_127_keep_every_invariant() {
    run(0..128);
}

#[test]
fn seeds_128_to_255_keep_every_invariant() {
    run(128..256);
}

#[test]
fn seeds_256_to_383_keep_every_invariant() {
    run(256..384);
}

#[test]
fn seeds_384_to_511_keep_every_invariant() {
    run(384..512);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let once = |seed| simulate(seed, Fault::None).unwrap();
    assert_eq!(once(3), once(3));
    assert_ne!(once(3).fingerprint, once(4).fingerprint);
}

#[test]
fn a_skipped_fsync_is_flagged() {
    let runs = 12;
    let found: Vec<String> =
        (2000..2000 + runs).filter_map(|s| simulate(s, Fault::SkippedFsync).err()).collect();
    assert!(found.len() as u64 >= runs - 3, "{found:#?}");
    assert!(found.iter().all(|text| text.starts_with("acknowledged is durable")), "{found:#?}");
}

#[test]
fn bodies_that_are_voted_for_and_not_synced_are_flagged() {
    let runs = 6;
    let found: Vec<String> =
        (3000..3000 + runs).filter_map(|s| simulate(s, Fault::UnsyncedBodies).err()).collect();
    assert!(found.len() as u64 >= runs - 2, "{found:#?}");
    let stands_still = "all is well, yet the ledger does not go on";
    assert!(found.iter().all(|text| text.starts_with(stands_still)), "{found:#?}");
}

#[test]
fn a_quorum_that_signs_twice_is_flagged() {
    let runs = 6;
    let found: Vec<String> =
        (4000..4000 + runs).filter_map(|s| simulate(s, Fault::QuorumSignsTwice).err()).collect();
    assert!(found.len() as u64 >= runs - 2, "{found:#?}");
    assert!(found.iter().all(|text| text.starts_with("agreement")), "{found:#?}");
}
