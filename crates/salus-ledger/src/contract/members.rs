//! Members, their roles, keys and certificates.

use std::collections::BTreeSet;

use salus_model::MemberId;

use super::records::{CrlRecord, KeyRecord, MemberRecord, RevokedSerial, Standing};
use super::{Context, Stop, misrouted};
use crate::call::{
    AdmitMember, BindKey, Call, MemberKey, PublishCrl, ReportEquivocation, RevokeKey, RevokeMember,
    SetMemberRoles,
};
use crate::certificate::{self, CertificateError};
use crate::policy::{Endorser, Role};
use crate::state::slot;
use crate::words::PublicKey;

/// The most keys that one transaction admits with a member.
const MAX_KEYS: usize = 8;

super::refusal::refusals! {
    /// Rules of the members contract.
    MemberRefusal {
        Exists { member: MemberId } = "members.exists", "member {member} exists already";
        Unknown { member: MemberId } = "members.unknown", "there is no member {member}";
        NoRoles { member: MemberId } = "members.no-roles", "member {member} would have no role";
        TooManyKeys { count: usize } = "members.too-many-keys",
            "{count} keys are too many for one transaction";
        KeyTaken { key: PublicKey } = "members.key-taken",
            "key {key} belongs to somebody else, or was revoked";
        UnknownKey { key: PublicKey } = "members.unknown-key", "there is no key {key}";
        RoleBeyondMember { role: Role } = "members.role-beyond-member",
            "the member itself does not have role {role}";
        Certificate { reason: CertificateError } = "members.certificate",
            "the certificate does not count: {reason}";
        RevokedKey { key: PublicKey } = "members.revoked-key", "key {key} was revoked";
        RevokedMember { member: MemberId } = "members.revoked-member",
            "member {member} was revoked";
        Equivocated { member: MemberId } = "members.equivocated",
            "member {member} voted for two blocks of one height";
        CertificateExpired { member: MemberId } = "members.certificate-expired",
            "the certificate of {member} has expired";
        CertificateNotYetValid { member: MemberId } = "members.certificate-not-yet-valid",
            "the certificate of {member} is not valid yet";
        CertificateRevoked { member: MemberId } = "members.certificate-revoked",
            "the certificate of {member} was revoked by its authority";
        StaleCrl { number: u64 } = "members.stale-crl",
            "a revocation list with number {number} or higher is already known";
        FalseEvidence = "members.false-evidence", "the two votes prove nothing";
    }
}

pub(super) fn decide(call: &Call, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    match call {
        Call::AdmitMember(call) => admit(call, cx),
        Call::SetMemberRoles(call) => set_roles(call, cx),
        Call::RevokeMember(call) => revoke(call, cx),
        Call::BindKey(call) => bind(call, cx),
        Call::RevokeKey(call) => revoke_key(call, cx),
        Call::PublishCrl(call) => publish_crl(call, cx),
        Call::ReportEquivocation(call) => report(call, cx),
        other => Err(misrouted(other.method())),
    }
}

fn admit(call: &AdmitMember, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_governance()?;
    admit_at_genesis(call, cx)
}

/// Admits without signatures: whoever agrees to a genesis agrees to its members.
pub(crate) fn admit_at_genesis(call: &AdmitMember, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let member = &call.member;
    if cx.view.holds(&slot::member(member))? {
        return Err(MemberRefusal::Exists { member: member.clone() }.into());
    }
    if call.roles.is_empty() {
        return Err(MemberRefusal::NoRoles { member: member.clone() }.into());
    }
    if call.keys.len() > MAX_KEYS {
        return Err(MemberRefusal::TooManyKeys { count: call.keys.len() }.into());
    }
    let record =
        MemberRecord { standing: Standing::Active, roles: call.roles.clone(), since: cx.height };
    cx.view.write(&slot::member(member), &record)?;
    call.keys.iter().try_for_each(|key| bind_checked(member, &call.roles, key, cx))
}

fn active_member(member: &MemberId, cx: &Context<'_, '_>) -> Result<MemberRecord, Stop> {
    let unknown = || MemberRefusal::Unknown { member: member.clone() };
    let record = cx.view.read(&slot::member(member))?.ok_or_else(unknown)?;
    match record.standing {
        Standing::Active => Ok(record),
        _ => Err(MemberRefusal::RevokedMember { member: member.clone() }.into()),
    }
}

fn set_roles(call: &SetMemberRoles, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_governance()?;
    let mut record = active_member(&call.member, cx)?;
    if call.roles.is_empty() {
        return Err(MemberRefusal::NoRoles { member: call.member.clone() }.into());
    }
    record.roles.clone_from(&call.roles);
    Ok(cx.view.write(&slot::member(&call.member), &record)?)
}

fn revoke(call: &RevokeMember, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_governance()?;
    let mut record = active_member(&call.member, cx)?;
    record.standing = Standing::Revoked(cx.height);
    Ok(cx.view.write(&slot::member(&call.member), &record)?)
}

/// A key of the member may bind another with no more roles than it has itself; everything else
/// comes from governance, such as the first key of a member that has lost all others.
fn bind(call: &BindKey, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let own = |e: &Endorser| e.member == call.member && call.key.roles.is_subset(&e.roles);
    if !cx.endorsers.iter().any(own) {
        cx.require_governance()?;
    }
    let record = active_member(&call.member, cx)?;
    bind_checked(&call.member, &record.roles, &call.key, cx)
}

fn bind_checked(
    member: &MemberId,
    allowed: &BTreeSet<Role>,
    key: &MemberKey,
    cx: &mut Context<'_, '_>,
) -> Result<(), Stop> {
    if let Some(role) = key.roles.difference(allowed).next() {
        return Err(MemberRefusal::RoleBeyondMember { role: *role }.into());
    }
    let slot = slot::key(&key.key);
    let known = cx.view.read(&slot)?;
    let rebound =
        known.as_ref().is_none_or(|k| &k.member == member && k.standing == Standing::Active);
    // A key that a person used under a permit stays that person's.
    if !rebound || cx.view.holds(&slot::pseudonym(&key.key))? {
        return Err(MemberRefusal::KeyTaken { key: key.key }.into());
    }
    let certificate = certificate::check_member_key(member, key, &cx.config.form().roots, cx.time)
        .map_err(|reason| MemberRefusal::Certificate { reason })?;
    for serial in &certificate.serials {
        let revoked = slot::revoked_serial(serial.issuer.as_bytes(), serial.serial.as_bytes());
        if cx.view.holds(&revoked)? {
            return Err(MemberRefusal::CertificateRevoked { member: member.clone() }.into());
        }
    }
    let record = KeyRecord {
        member: member.clone(),
        standing: Standing::Active,
        roles: key.roles.clone(),
        certificate,
    };
    Ok(cx.view.write(&slot, &record)?)
}

fn revoke_key(call: &RevokeKey, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let slot = slot::key(&call.key);
    let unknown = MemberRefusal::UnknownKey { key: call.key };
    let mut record = cx.view.read(&slot)?.ok_or(unknown)?;
    if !cx.endorsers.iter().any(|e| e.member == record.member) {
        cx.require_governance()?;
    }
    if record.standing != Standing::Active {
        return Err(MemberRefusal::RevokedKey { key: call.key }.into());
    }
    record.standing = Standing::Revoked(cx.height);
    Ok(cx.view.write(&slot, &record)?)
}

/// The list vouches for itself, so that any member may bring it.
fn publish_crl(call: &PublishCrl, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_any_member()?;
    let list = certificate::check_crl(&call.crl, &call.issuer, &cx.config.form().roots, cx.time)
        .map_err(|reason| MemberRefusal::Certificate { reason })?;
    let slot = slot::crl(list.issuer.as_bytes());
    if cx.view.read(&slot)?.is_some_and(|known| known.number >= list.number) {
        return Err(MemberRefusal::StaleCrl { number: list.number }.into());
    }
    for (serial, since) in &list.revoked {
        let revoked = slot::revoked_serial(list.issuer.as_bytes(), serial);
        cx.view.write(&revoked, &RevokedSerial { since: *since })?;
    }
    let record = CrlRecord { number: list.number, next_update: list.next_update };
    Ok(cx.view.write(&slot, &record)?)
}

/// Takes the standing of a member whose validator voted twice. The validator stays in the set
/// until governance replaces it: dropping it here could leave the ledger without a quorum.
fn report(call: &ReportEquivocation, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_any_member()?;
    let ledger = cx.view.read(&slot::ledger())?;
    let proven = ledger.is_some_and(|ledger| call.evidence.verify(&ledger).is_ok());
    if !proven {
        return Err(MemberRefusal::FalseEvidence.into());
    }
    let key = *call.evidence.validator();
    let slot = slot::key(&key);
    let mut record = cx.view.read(&slot)?.ok_or(MemberRefusal::UnknownKey { key })?;
    if matches!(record.standing, Standing::Equivocated(_)) {
        return Err(MemberRefusal::Equivocated { member: record.member }.into());
    }
    if !record.roles.contains(&Role::Validator) {
        return Err(MemberRefusal::FalseEvidence.into());
    }
    record.standing = Standing::Equivocated(cx.height);
    let member_slot = slot::member(&record.member);
    if let Some(mut member) = cx.view.read(&member_slot)? {
        member.standing = Standing::Equivocated(cx.height);
        cx.view.write(&member_slot, &member)?;
    }
    Ok(cx.view.write(&slot, &record)?)
}
