//! The project's own commands: `cargo xtask <command>`.
#![allow(clippy::print_stdout, reason = "its output is for the person who runs it")]

mod bench;
mod layers;
mod tests_run;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test [FILTER…]   install what the tests need, check layers and format, run every test
cargo xtask check-layers     check that crates use only what lies below them
cargo xtask bench WHAT       measure in the release profile: lake, ledger [short|long], query [--short], or release [short]
cargo xtask inventory        write docs/inventory.md anew from the code
cargo xtask openapi          write web/openapi and the console's types anew from the code
cargo xtask screenshots      make docs/screenshots anew, in Chromium against real validators
cargo xtask lint             clippy over everything, warnings are errors";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let rest: Vec<String> = words.collect();
    let done = match command.as_str() {
        "test" => tests_run::run(&rest),
        "bench" => bench::run(&rest),
        "check-layers" => layers::check(),
        "inventory" => tests_run::inventory(),
        "openapi" => tests_run::openapi(),
        "screenshots" => tests_run::screenshots(),
        "lint" => tests_run::lint(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask {command}: {e:#}");
            ExitCode::FAILURE
        }
    }
}
