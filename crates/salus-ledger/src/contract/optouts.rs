//! Opt-out lists: one epoch after the other, each a salted root.

use super::records::HolderOptOuts;
use super::{Context, Stop, misrouted};
use crate::call::Call;
use crate::policy::Role;
use crate::state::slot;

super::refusal::refusals! {
    /// Rules of the opt-out contract.
    OptOutRefusal {
        NextEpoch { wanted: u64, found: u64 } = "optouts.next-epoch",
            "the next epoch is {wanted}, this one is {found}";
        SameRoot = "optouts.same-root",
            "the root is that of the epoch before; every epoch is salted anew";
    }
}

pub(super) fn decide(call: &Call, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let Call::AdvanceOptOutEpoch(call) = call else { return Err(misrouted(call.method())) };
    cx.require_member_as(&call.holder, Role::Holder)?;
    let slot = slot::opt_outs(&call.holder);
    let known = cx.view.read(&slot)?;
    let wanted = known.as_ref().map_or(0, |list| list.epoch) + 1;
    if call.epoch != wanted {
        return Err(OptOutRefusal::NextEpoch { wanted, found: call.epoch }.into());
    }
    if known.is_some_and(|list| list.root == call.root) {
        return Err(OptOutRefusal::SameRoot.into());
    }
    Ok(cx.view.write(&slot, &HolderOptOuts { epoch: call.epoch, root: call.root })?)
}
