//! From the ledger's records to what the explorer answers.

pub(super) mod blocks;
pub(super) mod data;
pub(super) mod members;
pub(super) mod overview;
pub(super) mod permits;
pub(super) mod transactions;

use salus_dp::{Delta, epsilon_from_rho};
use salus_ledger::call::{DeltaExponent, ReleaseRule};
use salus_ledger::contract::records::Standing;
use salus_ledger::policy::Role;
use salus_model::MicroRho;

use super::answers::Loss;
use crate::store::StoreError;

/// The largest record of the state.
const MAX_RECORD_BYTES: usize = 1 << 22;

/// A page of what has names has at most so many lines.
pub(super) const MOST_LINES: usize = 200;

pub(super) fn damaged<E>(what: &'static str) -> impl Fn(E) -> StoreError {
    move |_| StoreError::Damaged { what }
}

/// δ = 10^-k as the accountant takes it.
fn delta(exponent: DeltaExponent) -> Result<Delta, StoreError> {
    let atto = 10u64.pow(18 - u32::from(exponent.get().min(18)));
    Delta::from_atto(atto).ok_or(StoreError::Damaged { what: "account's δ" })
}

pub(super) fn loss(rho: MicroRho, exponent: DeltaExponent) -> Result<Loss, StoreError> {
    let epsilon = epsilon_from_rho(rho, delta(exponent)?).get();
    Ok(Loss { micro_rho: rho.get(), epsilon })
}

pub(super) const fn release_rule(rule: ReleaseRule) -> &'static str {
    match rule {
        ReleaseRule::DpOnly => "dp-only",
        ReleaseRule::GateAllowed => "gate-allowed",
    }
}

pub(super) fn standing(standing: &Standing) -> (String, Option<u64>) {
    match standing {
        Standing::Active => ("active".into(), None),
        Standing::Revoked(at) => ("revoked".into(), Some(at.get())),
        Standing::Equivocated(at) => ("equivocated".into(), Some(at.get())),
    }
}

pub(super) fn roles<'a>(roles: impl IntoIterator<Item = &'a Role>) -> Vec<String> {
    roles.into_iter().map(|role| role.as_str().to_owned()).collect()
}

/// Where a page of named things ended, when there may be more: one line more than wanted was read.
pub(super) fn cut<T>(
    items: &mut Vec<T>,
    limit: usize,
    name: impl Fn(&T) -> String,
) -> Option<String> {
    if items.len() <= limit {
        return None;
    }
    items.truncate(limit);
    items.last().map(name)
}
