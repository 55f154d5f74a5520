//! The lake: what encryption costs, and how it stands beside its peers.

mod files;
mod imports;
mod observations;
mod peers;
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
    let plain = files::compare(folder.path(), args.rows, args.pairs, &mut out)?;
    statements::compare(folder.path(), &plain, args.pairs, &mut out).await?;
    imports::measure(folder.path(), args.ndjson_mb, &mut out)?;
    out.write(report)
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
