//! Figures of anonymisation, attacks and synthesis beside those of the field's peers.
//!
//! `cargo xtask bench release [short]`; `short` leaves the peers from PyPI and the million rows
//! out. Prints a section of `docs/benchmarks.md` and writes it between its marks.
#![allow(clippy::print_stdout, reason = "its output is for the person who runs it")]

mod attacks;
mod search;
mod section;
mod synthesis;
mod world;

use anyhow::Result;

fn main() -> Result<()> {
    let short = std::env::args().nth(1).is_some_and(|word| word == "short");
    let peers = if short { world::Peers::None } else { world::Peers::FromPyPi };
    let mut lines = vec![world::machine()];
    lines.extend(search::measure(if short { 0 } else { 1_000_000 })?);
    lines.extend(synthesis::measure(peers)?);
    lines.extend(attacks::measure(peers)?);
    let text = lines.join("\n");
    println!("{text}");
    section::write("release", "Release: anonymise, attack, synthesise", &text)
}
