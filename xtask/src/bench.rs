//! `cargo xtask bench <what>`: the release build, then the measurements.

use anyhow::{Result, bail};

use crate::tests_run::{cargo, step};

/// Builds what is measured, in one selection so that every run reuses the last one's build, and
/// hands on the words after `bench`.
pub(crate) fn run(words: &[String]) -> Result<()> {
    if words.is_empty() {
        bail!("say what: cargo xtask bench lake");
    }
    step("release build", cargo().args(["build", "--release", "--workspace", "--bins"]))?;
    let mut run = cargo();
    run.args(["run", "--release", "--workspace", "--bin", "salus-bench", "--"]).args(words);
    step("bench", &mut run)
}
