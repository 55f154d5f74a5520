//! Measures Salus beside its peers, in one run on one machine: `cargo xtask bench <what>`.
//!
//! Figures are CPU time or wall time of whole operations, in pairs that alternate, so that a noisy
//! machine disturbs both sides alike; what is compared is the median of the pairs' ratios.
#![allow(clippy::print_stdout, reason = "its output is for the person who runs it")]

mod lake;
mod measure;
mod query;
mod report;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
    /// The file whose section is written anew.
    #[arg(long, global = true, default_value = "docs/benchmarks.md")]
    report: PathBuf,
}

#[derive(Subcommand)]
enum What {
    /// Encrypted files against plaintext ones, DuckDB and pyarrow; FHIR in.
    Lake(lake::Args),
    /// Private questions: through the ledger, without it, over many devices and several hospitals.
    Query(query::Args),
}

#[tokio::main]
async fn main() -> Result<()> {
    let Args { what, report } = Args::parse();
    match what {
        What::Lake(args) => lake::run(args, &report).await,
        What::Query(args) => query::run(args, &report).await,
    }
}
