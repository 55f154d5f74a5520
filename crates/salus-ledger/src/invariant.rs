//! What has to hold of every state, whatever was done: checked by the simulation and the property
//! tests, and by an operator's doctor.

use std::collections::BTreeMap;

use salus_model::{PermitId, PrivacyCharge, Timestamp};

use crate::block::BlockHeader;
use crate::contract::records::{
    Account, Deal, DealState, Job, PermitRecord, PermitSpending, ReceiptRecord,
};
use crate::state::{self, MemoryStore, StateError, StateStore, slot};
use crate::words::{Height, Money};

/// A state that breaks an invariant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The state cannot be read.
    #[error("the state cannot be read")]
    State(#[from] StateError),
    /// The invariant's name, and where it is broken.
    #[error("{invariant}: {place}")]
    Invariant {
        /// Which one.
        invariant: &'static str,
        /// Where.
        place: String,
    },
}

fn broken(invariant: &'static str, place: impl Into<String>) -> Broken {
    Broken::Invariant { invariant, place: place.into() }
}

fn name(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// All wallets and all escrow together are what was issued and not redeemed.
///
/// # Errors
/// When money came from nowhere or went there.
pub fn invariant_money_conserved(store: &dyn StateStore) -> Result<(), Broken> {
    let supply = slot::read(store, &slot::supply())?.unwrap_or(Money::ZERO);
    let wallets = slot::scan::<Money>(store, slot::WALLET)?.into_iter().map(|(_, m)| m);
    let escrow = slot::scan::<Deal>(store, slot::DEAL)?.into_iter().map(|(_, d)| d.escrow);
    let total = wallets.chain(escrow).try_fold(Money::ZERO, Money::checked_add);
    if total == Some(supply) {
        Ok(())
    } else {
        Err(broken("money conserved", format!("{total:?} of a supply of {supply}")))
    }
}

/// An open deal's escrow is the sum of its shares; a closed one's is nothing.
///
/// # Errors
/// Names the deal.
pub fn invariant_escrow_matches_shares(store: &dyn StateStore) -> Result<(), Broken> {
    for (key, deal) in slot::scan::<Deal>(store, slot::DEAL)? {
        let shares = deal.shares.iter().map(|s| s.amount).try_fold(Money::ZERO, Money::checked_add);
        let wanted = match deal.state {
            DealState::Open => shares,
            DealState::Settled | DealState::Refunded => Some(Money::ZERO),
        };
        if wanted != Some(deal.escrow) {
            return Err(broken("escrow matches shares", name(&key)));
        }
    }
    Ok(())
}

/// On every account, spent and reserved together are within the budget.
///
/// # Errors
/// Names the account.
pub fn invariant_budget_never_exceeded(
    store: &dyn StateStore,
    now: Timestamp,
) -> Result<(), Broken> {
    for (key, account) in slot::scan::<Account>(store, slot::ACCOUNT)? {
        if account.left_at(now).is_none() {
            return Err(broken("budget never exceeded", name(&key)));
        }
    }
    Ok(())
}

type Charges = BTreeMap<Vec<u8>, (u64, u64)>;

fn add(charges: &mut Charges, key: &[u8], charge: PrivacyCharge) {
    let sum = charges.entry(key.to_vec()).or_default();
    match charge {
        PrivacyCharge::Bounded(rho) => sum.0 = sum.0.saturating_add(rho.get()),
        PrivacyCharge::NotBounded => sum.1 += 1,
    }
}

/// Every account and every permit has spent exactly what its receipts say: no charge forgotten,
/// none booked twice.
///
/// # Errors
/// Names the account or the permit.
pub fn invariant_charges_match_receipts(store: &dyn StateStore) -> Result<(), Broken> {
    let mut wanted = Charges::new();
    for (_, receipt) in slot::scan::<ReceiptRecord>(store, slot::RECEIPT)? {
        for used in &receipt.charges {
            add(&mut wanted, slot::account(&used.dataset).key(), used.charge);
            let spending = slot::spending(&receipt.permit, &used.dataset);
            add(&mut wanted, spending.key(), used.charge);
        }
    }
    let accounts = slot::scan::<Account>(store, slot::ACCOUNT)?
        .into_iter()
        .map(|(key, account)| (key, (account.spent.get(), account.not_bounded)));
    let permits = slot::scan::<PermitSpending>(store, slot::SPENDING)?
        .into_iter()
        .map(|(key, permit)| (key, (permit.spent.get(), permit.not_bounded)));
    for (key, found) in accounts.chain(permits) {
        if wanted.remove(&key).unwrap_or_default() != found {
            return Err(broken("charges match receipts", name(&key)));
        }
    }
    match wanted.into_keys().next() {
        Some(key) => Err(broken("charges match receipts", name(&key))),
        None => Ok(()),
    }
}

/// No permit has spent more on a dataset than its terms allow.
///
/// # Errors
/// Names the permit and the dataset.
pub fn invariant_permits_within_terms(store: &dyn StateStore) -> Result<(), Broken> {
    for (key, permit) in slot::scan::<PermitRecord>(store, slot::PERMIT)? {
        let Some(id) = permit_id(&key) else {
            return Err(broken("permits within terms", name(&key)));
        };
        for ground in &permit.terms.grounds {
            let spending = slot::read(store, &slot::spending(&id, &ground.dataset))?;
            if spending.is_some_and(|spending| spending.spent > ground.budget) {
                let place = format!("{id} on {}", ground.dataset);
                return Err(broken("permits within terms", place));
            }
        }
    }
    Ok(())
}

fn permit_id(key: &[u8]) -> Option<PermitId> {
    let text = std::str::from_utf8(key.get(slot::PERMIT.len() + 1..)?).ok()?;
    PermitId::new(text).ok()
}

/// Every reservation belongs to a job that names its dataset with that charge.
///
/// # Errors
/// Names the account and the job.
pub fn invariant_reservations_have_jobs(store: &dyn StateStore) -> Result<(), Broken> {
    for (key, account) in slot::scan::<Account>(store, slot::ACCOUNT)? {
        for (id, held) in &account.reservations {
            let job: Option<Job> = slot::read(store, &slot::job(id))?;
            let named = job.is_some_and(|job| {
                job.permit == held.permit
                    && job.amounts.iter().any(|amount| {
                        slot::account(&amount.dataset).key() == key && amount.charge == held.charge
                    })
            });
            if !named {
                return Err(broken("reservations have jobs", format!("{} {id}", name(&key))));
            }
        }
    }
    Ok(())
}

/// From one state to a later one, no account's spent budget shrinks and no budget grows.
///
/// # Errors
/// Names the account.
pub fn invariant_spent_only_grows(
    earlier: &dyn StateStore,
    later: &dyn StateStore,
) -> Result<(), Broken> {
    let later: BTreeMap<_, _> = slot::scan::<Account>(later, slot::ACCOUNT)?.into_iter().collect();
    for (key, before) in slot::scan::<Account>(earlier, slot::ACCOUNT)? {
        let grown = later.get(&key).is_some_and(|after| {
            after.spent >= before.spent
                && after.not_bounded >= before.not_bounded
                && after.budget == before.budget
        });
        if !grown {
            return Err(broken("spent only grows", name(&key)));
        }
    }
    Ok(())
}

/// The values are those that the header's state root commits to: a tree built anew from them has
/// that root.
///
/// # Errors
/// When a value was written, lost or changed outside a block.
///
/// # Cost
/// Builds the whole tree.
pub fn invariant_values_match_root(
    store: &dyn StateStore,
    header: &BlockHeader,
) -> Result<(), Broken> {
    let values = store.scan(&[]).map_err(StateError::from)?;
    let values = values.into_iter().map(|(key, value)| (key, Some(value))).collect();
    let rebuilt = state::update(&MemoryStore::new(), Height::GENESIS, values)?;
    if rebuilt.root == header.state {
        Ok(())
    } else {
        Err(broken("values match root", format!("block {}", header.height)))
    }
}

/// All invariants of one state.
///
/// # Errors
/// The first that is broken.
pub fn invariants(store: &dyn StateStore, header: &BlockHeader) -> Result<(), Broken> {
    invariant_money_conserved(store)?;
    invariant_escrow_matches_shares(store)?;
    invariant_budget_never_exceeded(store, header.time)?;
    invariant_charges_match_receipts(store)?;
    invariant_permits_within_terms(store)?;
    invariant_reservations_have_jobs(store)?;
    invariant_values_match_root(store, header)
}
