//! Models, anonymised and synthetic sets: each under the receipt of its release.

use salus_model::ReceiptId;

use super::records::ArtefactRecord;
use super::{Context, Contract, ContractVersion, Stop, misrouted};
use crate::call::{Call, RegisterArtefact, WithdrawArtefact};
use crate::state::slot;
use crate::words::ArtefactId;

/// From this version on, an owner has one artefact under a receipt.
const ONE_EACH: ContractVersion = ContractVersion::new(2);

super::refusal::refusals! {
    /// Rules of the artefacts contract.
    ArtefactRefusal {
        NotOwner = "artefacts.not-owner", "the artefact's owner has not signed";
        NoReceipt { receipt: ReceiptId } = "artefacts.no-receipt",
            "there is no receipt {receipt}; nothing is registered that was not released";
        Another { receipt: ReceiptId, artefact: ArtefactId } = "artefacts.another",
            "receipt {receipt} has the owner's artefact {artefact} already; one release is one artefact";
        Unknown { artefact: ArtefactId } = "artefacts.unknown", "there is no artefact {artefact}";
        Withdrawn { artefact: ArtefactId } = "artefacts.withdrawn",
            "artefact {artefact} is withdrawn already";
    }
}

pub(super) fn decide(call: &Call, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    match call {
        Call::RegisterArtefact(call) => register(call, cx),
        Call::WithdrawArtefact(call) => withdraw(call, cx),
        other => Err(misrouted(other.method())),
    }
}

fn require_owner(owner: &salus_model::MemberId, cx: &Context<'_, '_>) -> Result<(), Stop> {
    if cx.endorsers.iter().any(|e| &e.member == owner) {
        Ok(())
    } else {
        Err(ArtefactRefusal::NotOwner.into())
    }
}

fn register(call: &RegisterArtefact, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    require_owner(&call.owner, cx)?;
    if !cx.view.holds(&slot::receipt(&call.receipt))? {
        return Err(ArtefactRefusal::NoReceipt { receipt: call.receipt.clone() }.into());
    }
    let record = ArtefactRecord {
        kind: call.kind,
        commitment: call.commitment,
        receipt: call.receipt.clone(),
        owner: call.owner.clone(),
        withdrawn: None,
    };
    let id = cx.tx.artefact();
    if cx.version_of(Contract::Artefacts)? >= ONE_EACH {
        let one = slot::artefact_under(&call.receipt, &call.owner);
        if let Some(artefact) = cx.view.read(&one)? {
            let receipt = call.receipt.clone();
            return Err(ArtefactRefusal::Another { receipt, artefact }.into());
        }
        cx.view.write(&one, &id)?;
    }
    Ok(cx.view.write(&slot::artefact(&id), &record)?)
}

fn withdraw(call: &WithdrawArtefact, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let artefact = call.artefact;
    let slot = slot::artefact(&artefact);
    let mut record = cx.view.read(&slot)?.ok_or(ArtefactRefusal::Unknown { artefact })?;
    require_owner(&record.owner, cx)?;
    if record.withdrawn.is_some() {
        return Err(ArtefactRefusal::Withdrawn { artefact }.into());
    }
    record.withdrawn = Some(cx.height);
    Ok(cx.view.write(&slot, &record)?)
}
