//! `salus ledger check-fork`: whether a witness's proof shows that the ledger has two histories.

use std::path::{Path, PathBuf};

use salus_ledger::proof::{Fork, MAX_FORK_BYTES};
use serde::Serialize;

use super::verify::{read, trusted};
use crate::output::{Failure, Output, table};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The proof's file, as witnesses keep it under forks/.
    file: PathBuf,
    /// What the ledger began with; by default that of the site.
    #[arg(long)]
    genesis: Option<PathBuf>,
}

#[derive(Serialize)]
struct Proved {
    forked: bool,
    ledger: String,
    /// Those that signed both histories.
    validators: Vec<AtFault>,
}

#[derive(Serialize)]
struct AtFault {
    member: String,
    key: String,
}

pub(super) fn run(args: &Args, site: &Path, output: &Output) -> Result<(), Failure> {
    let genesis = trusted(args.genesis.as_deref(), site)?;
    let nothing = |e: &salus_ledger::proof::ForkError| {
        Failure::not_proved(format!("{} proves nothing", args.file.display()), e)
    };
    let fork = Fork::from_bytes(&read(&args.file, MAX_FORK_BYTES)?).map_err(|e| nothing(&e))?;
    let ledger = genesis.ledger_id().map_err(|e| Failure::corrupt(e.to_string()))?;
    let keys = fork.verify(&ledger, &genesis.config.validator_keys()).map_err(|e| nothing(&e))?;
    let seats = genesis.config.form().validators.iter().filter(|seat| keys.contains(&seat.key));
    let at_fault =
        seats.map(|seat| AtFault { member: seat.member.to_string(), key: seat.key.to_string() });
    let proved =
        Proved { forked: true, ledger: ledger.to_string(), validators: at_fault.collect() };
    output.print(&proved, |p| {
        let row = |v: &AtFault| vec![v.member.clone(), v.key.clone()];
        let rows: Vec<_> = p.validators.iter().map(row).collect();
        format!(
            "Ledger {} has forked. These validators signed both histories:\n{}",
            p.ledger,
            table(&["validator", "key"], &rows)
        )
    });
    Ok(())
}
