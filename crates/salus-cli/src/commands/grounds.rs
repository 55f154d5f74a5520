//! What a permit is for, as a person writes it: datasets, columns, budgets, dates.

use salus_dp::{Delta, Epsilon, epsilon_from_rho, rho_from_epsilon};
use salus_ledger::call::{Ground, PermitTerms, ReleaseRule};
use salus_ledger::contract::records::Account;
use salus_ledger::proof::Fact;
use salus_ledger::{Column, DatasetRef};
use salus_model::{Clock as _, DatasetId, MemberId, MicroRho, Purpose, Timestamp};
use salus_node::{HolderLedger, SystemClock};

use crate::output::Failure;

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// One dataset of a permit: `HOLDER/DATASET:COLUMN,COLUMN:EPSILON`.
#[derive(Debug, Clone)]
pub(crate) struct GroundWanted {
    dataset: DatasetRef,
    columns: std::collections::BTreeSet<Column>,
    epsilon: Epsilon,
}

/// A holder's dataset: `HOLDER/DATASET`.
pub(crate) fn dataset_ref(text: &str) -> Result<DatasetRef, String> {
    let (holder, dataset) = text.split_once('/').ok_or("write HOLDER/DATASET")?;
    Ok(DatasetRef {
        holder: MemberId::new(holder).map_err(|e| e.to_string())?,
        dataset: DatasetId::new(dataset).map_err(|e| e.to_string())?,
    })
}

pub(crate) fn epsilon(text: &str) -> Result<Epsilon, String> {
    let number: f64 = text.parse().map_err(|_| format!("'{text}' is no number"))?;
    let epsilon = Epsilon::new(number).map_err(|e| e.to_string())?;
    if number > 0.0 { Ok(epsilon) } else { Err("ε has to be more than 0".to_owned()) }
}

pub(crate) fn ground(text: &str) -> Result<GroundWanted, String> {
    let form =
        "write HOLDER/DATASET:COLUMN,COLUMN:EPSILON, such as st-mary/visits:patient_id,sex:2";
    let mut parts = text.split(':');
    let (Some(dataset), Some(columns), Some(budget), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(form.to_owned());
    };
    let column = |name: &str| Column::new(name).map_err(|e| format!("column '{name}': {e}"));
    let columns: Result<_, String> = columns.split(',').map(column).collect();
    Ok(GroundWanted {
        dataset: dataset_ref(dataset)?,
        columns: columns?,
        epsilon: epsilon(budget)?,
    })
}

/// A secondary purpose by its word.
pub(crate) fn purpose(word: &str) -> Result<Purpose, String> {
    let all = [
        Purpose::PublicHealth,
        Purpose::PolicyMaking,
        Purpose::Statistics,
        Purpose::Education,
        Purpose::Research,
        Purpose::CareImprovement,
    ];
    all.into_iter().find(|p| p.as_str() == word).ok_or_else(|| {
        let words: Vec<&str> = all.iter().map(|p| p.as_str()).collect();
        format!("'{word}' needs no permit or is no purpose; use {}", words.join(", "))
    })
}

/// A moment: `2027-06-30`, which is over at its end, or RFC 3339.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let day: Timestamp = format!("{text}T00:00:00Z")
        .parse()
        .map_err(|_| format!("'{text}' is neither a date such as 2027-06-30 nor RFC 3339"))?;
    Ok(day.saturating_add_micros(DAY_MICROS))
}

/// Terms on the command line.
#[derive(Debug, clap::Args)]
pub(crate) struct TermsArgs {
    /// A dataset with columns and budget, such as st-mary/visits:patient_id,sex:2 for ε 2; repeat.
    #[arg(long = "ground", required = true, value_parser = ground)]
    grounds: Vec<GroundWanted>,
    /// What for: research, statistics, public-health, policy-making, education, care-improvement.
    #[arg(long, default_value = "research", value_parser = purpose)]
    purpose: Purpose,
    /// Until when it holds: a date or RFC 3339; a year from now by default.
    #[arg(long, value_parser = moment)]
    until: Option<Timestamp>,
    /// Ask for releases without a stated bound as well, which reviewers have to approve each.
    #[arg(long)]
    allow_gate: bool,
}

/// δ of an account.
pub(crate) fn delta_of(account: &Account) -> Result<Delta, Failure> {
    let delta = 10f64.powi(-i32::from(account.delta.get()));
    Delta::new(delta).map_err(|e| Failure::corrupt(e.to_string()))
}

/// A dataset's account on the ledger, proved.
pub(crate) async fn account_of(
    ledger: &HolderLedger,
    dataset: &DatasetRef,
) -> Result<Account, Failure> {
    let state = ledger.state(&[Fact::Account(dataset.clone())]).await?;
    state.account(dataset)?.ok_or_else(|| {
        let DatasetRef { holder, dataset } = dataset;
        Failure::request(format!(
            "{holder}/{dataset} is not on this ledger; its holder puts it there with: salus dataset share {dataset} --epsilon …"
        ))
    })
}

impl TermsArgs {
    /// The terms, with budgets in the unit of the accounts.
    pub(crate) async fn terms(&self, ledger: &HolderLedger) -> Result<PermitTerms, Failure> {
        let mut grounds = Vec::new();
        for wanted in &self.grounds {
            let account = account_of(ledger, &wanted.dataset).await?;
            grounds.push(Ground {
                dataset: wanted.dataset.clone(),
                columns: wanted.columns.clone(),
                budget: rho_from_epsilon(wanted.epsilon, delta_of(&account)?),
            });
        }
        let year = || SystemClock.now().saturating_add_micros(365 * DAY_MICROS);
        Ok(PermitTerms {
            grounds,
            purpose: self.purpose,
            code: None,
            releases: if self.allow_gate { ReleaseRule::GateAllowed } else { ReleaseRule::DpOnly },
            expires: self.until.unwrap_or_else(year),
        })
    }
}

/// A loss as ε at the account's δ.
pub(crate) fn as_epsilon(rho: MicroRho, account: &Account) -> Result<f64, Failure> {
    Ok(epsilon_from_rho(rho, delta_of(account)?).get())
}
