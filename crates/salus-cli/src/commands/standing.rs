//! `salus query --ticks`: a count that is followed over time, for one charge.

use std::path::PathBuf;

use salus_dp::Noise;
use salus_model::MicroRho;
use salus_node::permits::left;
use salus_private::standing::{Followed, Point, StandingQuestion, StandingTerms};
use serde::Serialize;

use super::grounds::{as_epsilon, delta_of};
use super::query::{Ready, ReceiptPlace, fetch, keep};
use crate::output::{Failure, Output, table};

/// The newest answer, with all before it.
#[derive(Debug, Serialize)]
pub(super) struct FollowedShown {
    tick: u32,
    ticks: u32,
    turns: u32,
    series: Vec<PointShown>,
    epsilon_spent: f64,
    epsilon_left: f64,
    delta: f64,
    noise: Noise,
    /// Whether nothing has changed since the last answer, which is given again for nothing.
    repeated: bool,
    permit: String,
    dataset: String,
    receipt: ReceiptPlace,
}

#[derive(Debug, Serialize)]
struct PointShown {
    tick: u32,
    version: u64,
    at: String,
    estimate: f64,
    lower: f64,
    upper: f64,
}

impl PointShown {
    fn of(point: &Point) -> Self {
        let Point { tick, version, at, estimate } = *point;
        Self {
            tick,
            version: version.number(),
            at: at.to_string(),
            estimate: estimate.value,
            lower: estimate.lower,
            upper: estimate.upper,
        }
    }
}

/// The text of a question that is followed.
pub(super) fn wrapped(ticks: u32, turns: u32, question: String) -> Result<String, Failure> {
    let standing = StandingQuestion { standing: StandingTerms { ticks, turns }, question };
    serde_json::to_string(&standing).map_err(|e| Failure::request(e.to_string()))
}

/// Asks for the next answer, and shows it.
pub(super) async fn ask(
    ready: &Ready<'_>,
    receipt_file: Option<PathBuf>,
    output: &Output,
) -> Result<(), Failure> {
    let fetched = fetch(ready).await?;
    let followed: Followed = serde_json::from_slice(&fetched.opened).map_err(|_| {
        Failure::peer("the node's answer is refused: it is in words of another version")
    })?;
    let left = left(ready.ledger, &ready.permit, &ready.dataset).await?;
    let charged = |used: &salus_ledger::call::DatasetUse| match used.charge {
        salus_model::PrivacyCharge::Bounded(rho) => rho,
        salus_model::PrivacyCharge::NotBounded => MicroRho::ZERO,
    };
    let repeated = fetched.answered.charges.is_empty();
    let spent = fetched.verified.uses.first().filter(|_| !repeated).map_or(MicroRho::ZERO, charged);
    let shown = FollowedShown {
        tick: followed.series.last().map_or(0, |point| point.tick),
        ticks: followed.terms.ticks,
        turns: followed.terms.turns,
        series: followed.series.iter().map(PointShown::of).collect(),
        epsilon_spent: as_epsilon(spent, &left.account)?,
        epsilon_left: as_epsilon(left.left, &left.account)?,
        delta: delta_of(&left.account)?.probability(),
        noise: followed.noise,
        repeated,
        permit: ready.permit.to_string(),
        dataset: format!("{}/{}", ready.dataset.holder, ready.dataset.dataset),
        receipt: keep(
            ready.site,
            ready.ledger,
            (&fetched.verified, &fetched.receipt),
            receipt_file,
        )?,
    };
    output.print(&shown, text);
    Ok(())
}

/// How many of the series a person is shown.
const SHOWN: usize = 12;

fn text(shown: &FollowedShown) -> String {
    let row = |p: &PointShown| {
        let number = |n: f64| format!("{n:.0}");
        let (estimate, lower, upper) = (number(p.estimate), number(p.lower), number(p.upper));
        vec![p.tick.to_string(), p.at.clone(), p.version.to_string(), estimate, lower, upper]
    };
    let earlier = shown.series.len().saturating_sub(SHOWN);
    let rows: Vec<_> = shown.series.iter().skip(earlier).map(row).collect();
    let heads = ["answer", "at", "version", "count", "lower 95 %", "upper 95 %"];
    let before = match earlier {
        0 => String::new(),
        n => format!("… {n} earlier answers; --json has all\n"),
    };
    let spent = match (shown.repeated, shown.tick) {
        (true, _) => "nothing: the dataset has not changed since this answer".to_owned(),
        (false, 1) => format!(
            "ε {:.4} at δ {:e}, for all {} answers",
            shown.epsilon_spent, shown.delta, shown.ticks
        ),
        (false, _) => "nothing: the first answer paid for it".to_owned(),
    };
    format!(
        "{before}{}\n\nAnswer   {} of {}; ask in the same words for the next\nCounted  whoever comes or leaves up to {} times; after that one stays as counted\nSpent    {spent}; one more question may cost ε {:.4}\nReceipt  {} in block {}, verified\n         {}",
        table(&heads, &rows),
        shown.tick,
        shown.ticks,
        shown.turns,
        shown.epsilon_left,
        shown.receipt.says.receipt,
        shown.receipt.says.block,
        shown.receipt.file.display()
    )
}
