//! `cargo xtask bench <what>`: the release build, then figures measured on the machine at hand.

use anyhow::{Result, bail};

use crate::tests_run::{cargo, step};

/// What Hyperledger Fabric gave on a machine of two cores, for comparison.
const FABRIC: &str = "Hyperledger Fabric on two cores: 335 tx/s (BFT) or 491 (Raft) with 4 orderers, \
light p50 216 ms, longest gap 25 s, 143 to 275 MB each, first receipt after about 40 s";

/// Builds what is measured, in one selection so that every run reuses the last one's build, and
/// hands on the words after `bench`.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let Some((what, rest)) = words.split_first() else {
        bail!(
            "say what: cargo xtask bench lake, cargo xtask bench ledger [short|long], cargo xtask bench \
             query [--short], or cargo xtask bench release [short]"
        )
    };
    if what == "release" {
        // Without the data engine, which it does not need.
        let mut run = cargo();
        run.args(["run", "--release", "--quiet", "-p", "salus-release-bench", "--"]).args(rest);
        return step("bench", &mut run);
    }
    step("release build", cargo().args(["build", "--release", "--workspace", "--bins"]))?;
    let program = match what.as_str() {
        "lake" | "query" => "salus-bench",
        "ledger" => "salus-validator",
        other => bail!("'{other}' cannot be measured: say lake, ledger, query or release"),
    };
    let mut run = cargo();
    run.args(["run", "--release", "--quiet", "--workspace", "--bin", program, "--"]);
    if what == "ledger" {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!("machine: {cores} cores; every validator is a process of its own\n{FABRIC}\n");
        run.arg("bench").args(rest);
        // A short run is an indication; only a whole one is published.
        if !rest.iter().any(|word| word == "short") {
            run.args(["into", "docs/benchmarks.md"]);
        }
    } else {
        run.args(words);
    }
    step("bench", &mut run)
}
