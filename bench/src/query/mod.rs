//! Private questions: through a ledger of four validators, without it, over millions of devices, and
//! over several hospitals.

mod holder;
mod network;
mod several;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use salus_dp::{
    Bounds, Column, ContributionBound, Domain, Field, Mechanism, PrivacyUnit, Query, RowsPerUnit,
    Schema, Spend, UnitKey, plan,
};
use salus_model::{ColumnPath, MicroRho};

use crate::measure::median;
use crate::report::Report;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Questions through the ledger, each another one.
    #[arg(long, default_value_t = 200)]
    questions: usize,
    /// Devices of the hospital that is asked through the ledger.
    #[arg(long, default_value_t = 10_000)]
    devices: usize,
    /// Devices of the compute part, in millions; repeat it for several sizes.
    #[arg(long, default_values_t = [1, 10])]
    millions: Vec<usize>,
    /// Answers of each mode over several hospitals.
    #[arg(long, default_value_t = 4000)]
    runs: usize,
    /// Measure these parts alone: printed and not written down. All of them without it.
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// A run of a minute or two, as an indication: printed and not written down.
    #[arg(long)]
    short: bool,
}

/// What can be measured alone, when a change is compared with what was before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// What noise adds.
    Noise,
    /// Several hospitals.
    Several,
    /// A holder's desk.
    Holder,
    /// Request to answer.
    Network,
}

/// What the published system gave for the same, on its own machine.
const MEDTECH_CHAIN: &str = "MedTech Chain over 10,000 devices: 243.3 ms a query, of which DP 0.17 ms; it \
reads at most 100,000 devices and has no figure for more.";

pub(crate) async fn run(mut args: Args, report: &Path) -> Result<()> {
    if args.short {
        (args.questions, args.devices, args.runs) = (20, 2_000, 400);
        args.millions = vec![1];
    }
    let folder = tempfile::Builder::new().prefix("salus-bench-").tempdir()?;
    let mut out = Report::begin("query", "Private questions");
    out.say(&format!(
        "Release build, encrypted datasets, every question another one and none from the cache. {MEDTECH_CHAIN}"
    ));
    let wanted = |part| args.part.is_empty() || args.part.contains(&part);
    if wanted(Part::Noise) {
        added_by_noise(&mut out)?;
    }
    if wanted(Part::Several) {
        several::measure(args.runs, &mut out)?;
    }
    if wanted(Part::Holder) {
        holder::measure(folder.path(), &args.millions, &mut out).await?;
    }
    if wanted(Part::Network) {
        network::measure(folder.path(), (args.devices, args.questions), &mut out).await?;
    }
    if args.short || !args.part.is_empty() { Ok(()) } else { out.write(report) }
}

/// Milliseconds of a time in seconds.
fn ms(seconds: f64) -> String {
    format!("{:.3}", seconds * 1000.0)
}

fn column(name: &str) -> Result<ColumnPath> {
    Ok(ColumnPath::new(name)?)
}

/// One row a device: a version of four, one of 55 specialities, a battery.
pub(super) fn schema() -> Result<Schema> {
    let words = |words: Vec<String>| Ok::<_, anyhow::Error>(Column::Category(Domain::new(words)?));
    let specialities = salus_collect::Speciality::ALL.iter().map(|s| s.as_str().to_owned());
    let columns = [
        (column("os_version")?, words(["a", "b", "c", "d"].map(str::to_owned).to_vec())?),
        (column("speciality")?, words(specialities.collect())?),
        (column("battery_percent")?, Column::Number(Bounds::new(0.0, 100.0, 0)?)),
    ];
    Ok(Schema {
        unit: PrivacyUnit::Device,
        contribution: ContributionBound::ONE_ROW,
        rows_per_unit: RowsPerUnit::One,
        columns: columns.into(),
    })
}

/// What the noise adds to a local count, and to one of 55 groups: the whole of plan and noise against
/// adding nothing.
fn added_by_noise(out: &mut Report) -> Result<()> {
    let schema = schema()?;
    let groups = Query::GroupedCount { keys: vec![column("speciality")?], threshold_delta: None };
    let mut rows = Vec::new();
    for (what, goal, query) in [("count", "0.1", Query::Count), ("55 groups", "1", groups)] {
        let mut took: Vec<Duration> = Vec::new();
        for _ in 0..2_000 {
            let began = Instant::now();
            let plan = plan(&query, &schema, Spend::Rho(MicroRho::new(1000)), Mechanism::Gaussian)?;
            let mut partial = plan.partial();
            let field = [Field::Text("cardiology")];
            let fields = if plan.columns().is_empty() { &field[..0] } else { &field[..] };
            partial.observe(UnitKey::new(1), fields)?;
            std::hint::black_box(plan.execute(partial)?.answer());
            took.push(began.elapsed());
        }
        rows.push(vec![what.to_owned(), ms(median(&took)), format!("under {goal}")]);
    }
    out.say("What differential privacy adds to a local answer: plan, noise, interval.");
    out.table(&["answer", "ms", "goal, ms"], &rows);
    Ok(())
}
