//! Figures, measured on the machine at hand and printed with it.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// What Hyperledger Fabric gave on a machine of two cores, for comparison.
const FABRIC: &str = "Hyperledger Fabric on two cores: 335 tx/s (BFT) or 491 (Raft) with 4 orderers, \
light p50 216 ms, longest gap 25 s, 143 to 275 MB each, first receipt after about 40 s";

pub(crate) fn run(words: &[String]) -> Result<()> {
    match words {
        [what] if what == "ledger" => ledger(&["bench"]),
        [what, how] if what == "ledger" && how == "short" => ledger(&["bench", "short"]),
        _ => bail!("say what to measure: cargo xtask bench ledger [short]"),
    }
}

fn ledger(arguments: &[&str]) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!("machine: {cores} cores; every validator is a process of its own");
    println!("{FABRIC}\n");
    let done = Command::new(env!("CARGO"))
        .args(["run", "--release", "--quiet", "-p", "salus-validator"])
        .args(["--bin", "salus-validator", "--"])
        .args(arguments)
        .status()
        .context("cargo cannot be started")?;
    if done.success() { Ok(()) } else { bail!("the measurement failed") }
}
