//! The lake: what encryption costs, and how it stands beside its peers.

mod files;
mod imports;
mod observations;
mod peers;
mod rest;
mod site;
mod statements;

use std::path::Path;

use anyhow::Result;

use crate::measure::{Pairs, Quartiles, median};
use crate::report::Report;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Observation rows.
    #[arg(long, default_value_t = 10_000_000)]
    rows: usize,
    /// Alternating pairs of each measurement.
    #[arg(long, default_value_t = 20)]
    pairs: usize,
    /// Size of the NDJSON that is imported, in MB.
    #[arg(long, default_value_t = 2000)]
    ndjson_mb: u64,
    /// Size of the NDJSON whose index is measured, in MB.
    #[arg(long, default_value_t = 200)]
    index_mb: u64,
    /// Transactions over HTTPS, of each kind of client.
    #[arg(long, default_value_t = 2000)]
    bundles: usize,
    /// Only this part, printed and not written down.
    #[arg(long)]
    only: Option<Part>,
}

/// What can be measured alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The same writer and reader, with encryption and without; then whole statements.
    Files,
    /// FHIR NDJSON by the command, and the memory of its index.
    Import,
    /// FHIR transactions over HTTPS.
    Rest,
}

/// Names a scratch folder's files by what they hold, all of which is made by this run.
pub(crate) async fn run(args: Args, report: &Path) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("salus-bench-").tempdir()?;
    let mut out = Report::begin("lake", "Lake");
    out.say(&format!(
        "{} observation rows (id, patient, code, moment, value, unit, status; seeded), {} pairs. \
         Zstandard, row groups of 256 Ki rows, AES-256-GCM with a key for each column.",
        args.rows, args.pairs
    ));
    let wanted = |part| args.only.is_none_or(|only| only == part);
    if wanted(Part::Files) {
        let plain = files::compare(folder.path(), args.rows, args.pairs, &mut out)?;
        statements::compare(folder.path(), &plain, args.pairs, &mut out).await?;
    }
    if wanted(Part::Import) {
        imports::measure(folder.path(), args.ndjson_mb, &mut out)?;
        imports::index_memory(folder.path(), args.index_mb, &mut out)?;
    }
    if wanted(Part::Rest) {
        rest::measure(folder.path(), args.bundles, &mut out).await?;
    }
    if args.only.is_some() { Ok(()) } else { out.write(report) }
}

/// The cells of a comparison by processor time.
fn row(what: &str, pairs: &Pairs) -> Vec<String> {
    let Quartiles { low, median: middle, high } = pairs.ratio();
    vec![
        what.to_owned(),
        format!("{:.3}", median(&pairs.ours)),
        format!("{:.3}", median(&pairs.other)),
        format!("{middle:.3}"),
        format!("{low:.3} to {high:.3}"),
    ]
}
