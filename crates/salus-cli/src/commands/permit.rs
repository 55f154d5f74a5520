//! `salus permit`: applied for with a key of its own, decided by the hub's officer.

use std::path::{Path, PathBuf};

use salus_ledger::Height;
use salus_ledger::call::{ReleaseRule, RevocationReason};
use salus_ledger::contract::records::{PermitRecord, PermitState};
use salus_ledger::proof::Fact;
use salus_model::{Clock as _, PermitId};
use salus_node::operations::{Call, PermitCall, PermitDone, Reply};
use salus_node::permits::{Left, left, permit_on};
use salus_node::{HolderLedger, Site, SystemClock};
use serde::Serialize;

use super::grounds::{TermsArgs, as_epsilon};
use crate::output::{Failure, Output, table};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Apply for a permit; whoever asks under it appears as a new key that stays in this site.
    Apply(TermsArgs),
    /// Grant an application, as the hub's officer.
    Grant {
        /// The permit.
        permit: PermitId,
    },
    /// Refuse an application, as the hub's officer.
    Refuse {
        /// The permit.
        permit: PermitId,
    },
    /// Change the terms of a granted permit, as the hub's officer; they are stated anew as a whole.
    Amend {
        /// The permit.
        permit: PermitId,
        #[command(flatten)]
        terms: TermsArgs,
    },
    /// Revoke a permit, as the hub's officer.
    Revoke {
        /// The permit.
        permit: PermitId,
        /// Why.
        #[arg(long, value_enum, default_value = "authority")]
        reason: Reason,
    },
    /// Every permit of the ledger with its state.
    List {
        /// Those whose keys are in this site alone.
        #[arg(long)]
        own: bool,
    },
    /// Write the permit's keys for the query studio: a file, sealed under a code that is shown once.
    Key {
        /// The permit.
        permit: PermitId,
        /// The file, which is made with mode 0600.
        #[arg(long)]
        out: PathBuf,
    },
    /// One permit: terms, state, what is spent and left.
    Show {
        /// The permit.
        permit: PermitId,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Reason {
    /// The person asked for it.
    Requested,
    /// The terms were broken.
    Breach,
    /// The application was not true.
    FalseStatement,
    /// An order of an authority.
    Authority,
}

impl From<Reason> for RevocationReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Requested => Self::Requested,
            Reason::Breach => Self::Breach,
            Reason::FalseStatement => Self::FalseStatement,
            Reason::Authority => Self::Authority,
        }
    }
}

/// Has a call done, by the node that runs or here.
async fn done(site: &Site, call: PermitCall) -> Result<PermitDone, Failure> {
    match crate::site::ask(site, Call::Permit(call)).await? {
        Reply::Permit(done) => Ok(done),
        _ => Err(crate::site::protocol()),
    }
}

pub(crate) async fn run(command: Command, folder: &Path, output: &Output) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    let (call, word) = match command {
        Command::List { own } => return list(&site, own, output).await,
        Command::Key { permit, out } => return key(&site, &permit, &out, output).await,
        Command::Show { permit } => {
            let ledger = site.ledger().await?;
            output.print(&show(&ledger, &permit).await?, text);
            return Ok(());
        }
        Command::Apply(args) => {
            let terms = args.terms(&site.ledger().await?).await?;
            let applied = done(&site, PermitCall::Apply(terms)).await?;
            output.print(&applied, |a| {
                format!(
                    "{} is applied for.\nThe hub's officer decides: salus permit grant {}",
                    a.permit, a.permit
                )
            });
            return Ok(());
        }
        Command::Grant { permit } => (PermitCall::Grant(permit), "granted"),
        Command::Refuse { permit } => (PermitCall::Refuse(permit), "refused"),
        Command::Amend { permit, terms } => {
            let ledger = site.ledger().await?;
            let revision = permit_on(&ledger, &permit).await?.revision;
            let terms = terms.terms(&ledger).await?;
            (PermitCall::Amend { permit, revision, terms }, "amended")
        }
        Command::Revoke { permit, reason } => {
            (PermitCall::Revoke { permit, reason: reason.into() }, "revoked")
        }
    };
    let decided = done(&site, call).await?;
    output.print(&decided, |d| format!("{} is {word}.", d.permit));
    Ok(())
}

#[derive(Serialize)]
struct KeyWritten {
    permit: String,
    file: PathBuf,
    code: String,
}

async fn key(site: &Site, permit: &PermitId, out: &Path, output: &Output) -> Result<(), Failure> {
    let key = site.permit_key(permit).await?;
    let ledger = *site.ledger().await?.anchor().ledger();
    let (file, code) = key.for_browser(&ledger, permit)?;
    let text = serde_json::to_vec_pretty(&file).map_err(|e| Failure::corrupt(e.to_string()))?;
    salus_node::write_private(out, &text)
        .map_err(|e| Failure::unavailable(format!("{}: {e}", out.display())))?;
    let written = KeyWritten {
        permit: permit.to_string(),
        file: out.to_owned(),
        code: code.expose().clone(),
    };
    output.print(&written, |w| {
        format!(
            "{} holds the keys of {}, sealed.\nCode     {}\nThe code is shown this once. Give file and code apart to whoever asks under the permit; \
             the query studio takes both.",
            w.file.display(),
            w.permit,
            w.code
        )
    });
    Ok(())
}

#[derive(Serialize)]
pub(crate) struct PermitShown {
    permit: String,
    state: String,
    purpose: String,
    until: String,
    pseudonym: String,
    revision: u64,
    /// Whether releases without a bound are possible under it, each by the release gate.
    releases: ReleaseRule,
    grounds: Vec<GroundShown>,
}

#[derive(Serialize)]
struct GroundShown {
    dataset: String,
    columns: Vec<String>,
    epsilon: f64,
    epsilon_spent: f64,
    epsilon_left: f64,
    delta: f64,
    /// Releases without a bound, which reviewers approved each.
    not_bounded: u64,
}

fn state(record: &PermitRecord) -> String {
    match &record.state {
        PermitState::Applied => "applied for".to_owned(),
        PermitState::Refused(at) => format!("refused at block {at}"),
        PermitState::Revoked { at, .. } => format!("revoked at block {at}"),
        PermitState::Granted(_) if record.terms.expires <= SystemClock.now() => {
            "expired".to_owned()
        }
        PermitState::Granted(at) => format!("granted at block {at}"),
    }
}

async fn show(ledger: &HolderLedger, permit: &PermitId) -> Result<PermitShown, Failure> {
    let record = permit_on(ledger, permit).await?;
    let mut grounds = Vec::new();
    for ground in &record.terms.grounds {
        let Left { spent, not_bounded, left, account, .. } =
            left(ledger, permit, &ground.dataset).await?;
        grounds.push(GroundShown {
            dataset: format!("{}/{}", ground.dataset.holder, ground.dataset.dataset),
            columns: ground.columns.iter().map(|c| c.as_str().to_owned()).collect(),
            epsilon: as_epsilon(ground.budget, &account)?,
            epsilon_spent: as_epsilon(spent, &account)?,
            epsilon_left: as_epsilon(left, &account)?,
            delta: super::grounds::delta_of(&account)?.probability(),
            not_bounded,
        });
    }
    Ok(PermitShown {
        permit: permit.to_string(),
        state: state(&record),
        purpose: record.terms.purpose.to_string(),
        until: record.terms.expires.to_string(),
        pseudonym: record.pseudonym.to_string(),
        revision: record.revision,
        releases: record.terms.releases,
        grounds,
    })
}

fn text(permit: &PermitShown) -> String {
    let mut lines = vec![
        format!("Permit   {}", permit.permit),
        format!("State    {}", permit.state),
        format!("Purpose  {}", permit.purpose),
        format!("Until    {}", permit.until),
        format!("Person   {} (a key for this permit alone)", permit.pseudonym),
        match permit.releases {
            ReleaseRule::DpOnly => "Releases with a bounded loss alone".to_owned(),
            ReleaseRule::GateAllowed => {
                "Releases also without a bound, as far as reviewers approve them".to_owned()
            }
        },
    ];
    for ground in &permit.grounds {
        lines.push(format!("Dataset  {}: {}", ground.dataset, ground.columns.join(", ")));
        lines.push(format!(
            "Budget   ε {:.3} at δ {:e}; spent {:.3}, one more answer may cost {:.3}",
            ground.epsilon, ground.delta, ground.epsilon_spent, ground.epsilon_left
        ));
        if ground.not_bounded > 0 {
            lines.push(format!(
                "Besides  {} releases without a bound, on reviewers' approvals",
                ground.not_bounded
            ));
        }
    }
    lines.join("\n")
}

/// The permits that the ledger knows, from the first block on.
///
/// # Cost
/// A page of blocks each 200; the names come from one validator, and each permit's state is proved.
async fn known(ledger: &HolderLedger) -> Result<Vec<PermitId>, Failure> {
    let (mut found, mut after) = (Vec::new(), Height::GENESIS);
    loop {
        let page = ledger.client().blocks(after).await?;
        let Some(last) = page.last().map(|line| line.height) else { return Ok(found) };
        let applied = page.iter().flat_map(|line| &line.transactions);
        for transaction in applied.filter(|t| t.method == "permits.apply") {
            found.extend(transaction.transaction.permit());
        }
        after = last;
    }
}

async fn list(site: &Site, own: bool, output: &Output) -> Result<(), Failure> {
    let ledger = site.ledger().await?;
    let mine = site.own_permits()?;
    let permits = if own { mine.clone() } else { known(&ledger).await? };
    let mut shown = Vec::new();
    for chunk in permits.chunks(100) {
        let facts: Vec<Fact> = chunk.iter().cloned().map(Fact::Permit).collect();
        let state_of = ledger.state(&facts).await?;
        for permit in chunk {
            // An application that a rule refused is in a block and makes no permit.
            let Some(record) = state_of.permit(permit)? else { continue };
            shown.push(Listed {
                permit: permit.to_string(),
                state: state(&record),
                purpose: record.terms.purpose.to_string(),
                until: record.terms.expires.to_string(),
                datasets: record
                    .terms
                    .grounds
                    .iter()
                    .map(|g| format!("{}/{}", g.dataset.holder, g.dataset.dataset))
                    .collect(),
                own: mine.contains(permit),
            });
        }
    }
    output.print(&shown, |shown| {
        let row = |p: &Listed| {
            let datasets = p.datasets.join(", ");
            let own = if p.own { "here" } else { "" }.to_owned();
            vec![
                p.permit.clone(),
                p.state.clone(),
                p.purpose.clone(),
                datasets,
                p.until.clone(),
                own,
            ]
        };
        let rows: Vec<_> = shown.iter().map(row).collect();
        table(&["permit", "state", "purpose", "datasets", "until", "key"], &rows)
    });
    Ok(())
}

#[derive(Serialize)]
struct Listed {
    permit: String,
    state: String,
    purpose: String,
    until: String,
    datasets: Vec<String>,
    own: bool,
}
