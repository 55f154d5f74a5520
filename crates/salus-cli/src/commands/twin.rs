//! `salus twin`: a synthetic twin of a dataset with a small privacy loss, on which researchers try
//! their programs before they ask for a permit.
//!
//! Nobody spends a dataset's budget without a permit, the holder neither. So the steward applies for
//! one that names exactly the twin's columns, loss and code; the hub's officer grants it like any.

use std::path::{Path, PathBuf};

use salus_dp::{Column as Domain, Epsilon, rho_from_epsilon};
use salus_files::synthesise::MethodName;
use salus_ledger::call::{Ground, PermitTerms, ReleaseRule};
use salus_ledger::contract::records::PermitState;
use salus_ledger::{Column, DatasetRef};
use salus_model::{Class, Clock as _, DatasetId, MicroRho, PermitId, Purpose};
use salus_node::operations::{Call, PermitCall, Reply};
use salus_node::permits::{left, permit_on};
use salus_node::published::PublishedDataset;
use salus_node::releasing::{ReleaseWanted, release_code};
use salus_node::{HolderLedger, Site, SystemClock};
use serde::Serialize;

use super::grounds::{account_of, delta_of, epsilon, purpose};
use super::release::{TWIN_DAYS, in_days, released, show};
use crate::output::{Failure, Output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The dataset.
    dataset: DatasetId,
    /// The most that the twin tells of a person; charged once, to the dataset's account.
    #[arg(long, default_value = "0.5", value_parser = epsilon)]
    epsilon: Epsilon,
    /// How many synthetic records; as many as were counted, with noise, if not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rows: Option<u32>,
    /// How the distribution is modelled.
    #[arg(long, value_enum, default_value = "mst")]
    method: MethodName,
    /// The twin's name; the dataset's with `_twin` if not given.
    #[arg(long)]
    name: Option<DatasetId>,
    /// What the permit that is applied for is for.
    #[arg(long, default_value = "research", value_parser = purpose)]
    purpose: Purpose,
    /// The permit to use; one of this site's that fits, if not given, or a new application.
    #[arg(long)]
    permit: Option<PermitId>,
    /// The file for the twin's certificate (PDF for .pdf, else HTML).
    #[arg(long)]
    certificate: Option<PathBuf>,
}

/// A permit that has to be granted first.
#[derive(Serialize)]
struct Applied {
    of: &'static str,
    permit: PermitId,
    state: &'static str,
    then: String,
}

pub(crate) async fn run(args: Args, folder: &Path, output: &Output) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    let ledger = site.ledger().await?;
    let terms = terms(&site, &ledger, &args).await?;
    let permit = match &args.permit {
        Some(permit) => permit.clone(),
        None => match fitting(&site, &ledger, &args, &terms).await? {
            Some((permit, Fit::Granted | Fit::Begun)) => permit,
            Some((permit, Fit::Waits)) => return waits(permit, "waits for its grant", output),
            None => {
                let call = Call::Permit(PermitCall::Apply(terms));
                let Reply::Permit(done) = crate::site::ask(&site, call).await? else {
                    return Err(crate::site::protocol());
                };
                return waits(done.permit, "is applied for", output);
            }
        },
    };
    let wanted = ReleaseWanted {
        plan: plan(&args)?,
        dataset: args.dataset,
        permit,
        folder: std::env::current_dir().map_err(|e| Failure::unavailable(e.to_string()))?,
    };
    let done = released(&site, wanted).await?;
    show(&site, done, args.certificate.as_deref(), output).await
}

fn waits(permit: PermitId, state: &'static str, output: &Output) -> Result<(), Failure> {
    let then = format!("salus permit grant {permit}");
    output.print(&Applied { of: "dataset", permit, state, then }, |a| {
        format!(
            "A twin spends of the dataset's budget, which needs a permit: {} {}.\nThe hub's \
             officer decides: {}\nThen give the same command again.",
            a.permit, a.state, a.then
        )
    });
    Err(Failure::answered("the twin's permit is not granted yet", Class::Refused))
}

fn twin_of(args: &Args) -> Result<DatasetId, Failure> {
    match &args.name {
        Some(name) => Ok(name.clone()),
        None => DatasetId::new(format!("{}_twin", args.dataset)).map_err(|e| {
            Failure::request(format!("the twin's name does not fit, say --name: {e}"))
        }),
    }
}

/// The plan of a twin: synthetic records, and no score that they have to reach.
fn plan(args: &Args) -> Result<String, Failure> {
    use clap::ValueEnum as _;
    let name = twin_of(args)?;
    let method = args.method.to_possible_value();
    let method = method.as_ref().map_or("mst", clap::builder::PossibleValue::get_name);
    let rows = args.rows.map(|n| format!("rows = {n}\n")).unwrap_or_default();
    Ok(format!(
        "purpose = \"dry runs of analyses before a permit is asked for\"\n[synthesise]\n\
         method = \"{method}\"\nepsilon = {}\n{rows}[publish]\ndataset = \"{name}\"\n\
         least-score = 0\n",
        args.epsilon.get()
    ))
}

/// What a twin's permit allows: the columns with public domains, the loss once, and no other code.
async fn terms(site: &Site, ledger: &HolderLedger, args: &Args) -> Result<PermitTerms, Failure> {
    let profiles = site.profiles()?;
    let profile = profiles.of(&args.dataset)?;
    let modelled = profile.schema.columns.iter();
    let modelled = modelled.filter(|(_, domain)| !matches!(domain, Domain::Open));
    let names = modelled.map(|(name, _)| name).chain([&profile.unit_column]);
    let columns = names
        .map(|name| Column::new(name.as_str()).map_err(|e| Failure::request(e.to_string())))
        .collect::<Result<_, _>>()?;
    let dataset = DatasetRef { holder: ledger.member().clone(), dataset: args.dataset.clone() };
    let account = account_of(ledger, &dataset).await?;
    let budget: MicroRho = rho_from_epsilon(args.epsilon, delta_of(&account)?);
    Ok(PermitTerms {
        grounds: vec![Ground { dataset, columns, budget }],
        purpose: args.purpose,
        code: Some(release_code()),
        releases: ReleaseRule::DpOnly,
        expires: in_days(TWIN_DAYS),
    })
}

enum Fit {
    /// Nothing was spent of it yet.
    Granted,
    /// It was spent, and no publication came of it: an earlier command was cut short.
    Begun,
    Waits,
}

/// A permit of this site that was applied for with these terms, and has a twin to give: the one
/// that the twin of that name was made under, else one that is not used up.
async fn fitting(
    site: &Site,
    ledger: &HolderLedger,
    args: &Args,
    wanted: &PermitTerms,
) -> Result<Option<(PermitId, Fit)>, Failure> {
    let [ground] = wanted.grounds.as_slice() else { return Ok(None) };
    let name = twin_of(args)?;
    let published = published(site).await?;
    if let Some(made) = published.iter().find(|p| p.dataset == name && p.source == args.dataset) {
        return Ok(Some((made.permit.clone(), Fit::Begun)));
    }
    let (mut begun, mut waiting) = (None, None);
    for permit in site.own_permits()? {
        let record = permit_on(ledger, &permit).await?;
        let same = PermitTerms { expires: wanted.expires, ..record.terms.clone() } == *wanted;
        if !same || record.terms.expires <= SystemClock.now() {
            continue;
        }
        match record.state {
            PermitState::Granted(_) => {
                let left = left(ledger, &permit, &ground.dataset).await?;
                if left.spent == MicroRho::ZERO {
                    return Ok(Some((permit, Fit::Granted)));
                }
                if !published.iter().any(|p| p.permit == permit) {
                    begun = Some((permit, Fit::Begun));
                }
            }
            PermitState::Applied => waiting = Some((permit, Fit::Waits)),
            _ => {}
        }
    }
    Ok(begun.or(waiting))
}

async fn published(site: &Site) -> Result<Vec<PublishedDataset>, Failure> {
    match crate::site::ask(site, Call::Published).await? {
        Reply::Published(all) => Ok(all),
        _ => Err(crate::site::protocol()),
    }
}
