//! The platform configuration and the versions of the contracts.

use std::collections::BTreeMap;

use super::records::{ContractSchedule, Standing};
use super::{Context, Contract, ContractVersion, Stop, misrouted};
use crate::call::{ActivateContract, Call, ChangeConfig};
use crate::policy::Role;
use crate::state::slot;
use crate::words::{Height, PublicKey};

super::refusal::refusals! {
    /// Rules of the platform contract.
    PlatformRefusal {
        Based = "platform.stale-base", "the configuration has changed since; look at it and decide anew";
        Version { wanted: u64, found: u64 } = "platform.version",
            "the next configuration has version {wanted}, this one says {found}";
        UnboundValidator { key: PublicKey } = "platform.unbound-validator",
            "validator key {key} is not an active key of that member with role validator";
        PastHeight { at: Height } = "platform.past-height",
            "block {at} is decided already; name a later one";
        NotNextVersion { contract: Contract, version: ContractVersion, present: ContractVersion }
            = "platform.not-next-version",
            "{contract:?} is at version {present:?}; the next is one more, not {version:?}";
    }
}

pub(super) fn decide(call: &Call, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    match call {
        Call::ChangeConfig(call) => change_config(call, cx),
        Call::ActivateContract(call) => activate(call, cx),
        Call::MarkTime(_) => cx.require_any_member(),
        other => Err(misrouted(other.method())),
    }
}

fn change_config(call: &ChangeConfig, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_governance()?;
    // The block's own configuration is fixed; what an earlier transaction of it set comes after.
    let current = cx.view.read(&slot::config())?.unwrap_or_else(|| cx.config.clone());
    let hash = current
        .hash()
        .map_err(|source| crate::state::StateError::Damaged { slot: "config", source })?;
    if hash != call.base {
        return Err(PlatformRefusal::Based.into());
    }
    let wanted = current.form().version + 1;
    let found = call.config.form().version;
    if found != wanted {
        return Err(PlatformRefusal::Version { wanted, found }.into());
    }
    for validator in &call.config.form().validators {
        let record = cx.view.read(&slot::key(&validator.key))?;
        let bound = record.is_some_and(|key| {
            key.member == validator.member
                && key.standing == Standing::Active
                && key.roles.contains(&Role::Validator)
        });
        if !bound {
            return Err(PlatformRefusal::UnboundValidator { key: validator.key }.into());
        }
    }
    cx.view.write(&slot::past_config(current.form().version), &current)?;
    Ok(cx.view.write(&slot::config(), &call.config)?)
}

/// Accepts the present version's successor whether or not this program knows it: every program
/// decides alike, and one that does not know it stops at its height, by name. Whatever was
/// scheduled for later is replaced, so that naming the present version takes a plan back.
fn activate(call: &ActivateContract, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_governance()?;
    let (contract, version) = (call.contract, call.version);
    if call.at <= cx.height {
        return Err(PlatformRefusal::PastHeight { at: call.at }.into());
    }
    let slot = slot::schedule(contract);
    let mut schedule = cx.view.read(&slot)?.unwrap_or(ContractSchedule { from: BTreeMap::new() });
    let present = schedule.at(cx.height);
    if version != present && version != present.next() {
        return Err(PlatformRefusal::NotNextVersion { contract, version, present }.into());
    }
    schedule.from.retain(|at, _| *at <= cx.height);
    schedule.from.insert(call.at, version);
    Ok(cx.view.write(&slot, &schedule)?)
}
