use std::collections::BTreeSet;

use salus_model::{MemberId, Timestamp};

use super::{Contract, ContractVersion, MemberRefusal, Refusal};
use crate::call::Method;
use crate::config::PlatformConfig;
use crate::contract::records::Standing;
use crate::policy::{Endorser, Policy, Role};
use crate::state::{StateError, View, slot};
use crate::transaction::SignedTransaction;
use crate::words::{DatasetRef, Height, PublicKey, TxId};

super::refusal::refusals! {
    /// Who signed is not who has to.
    EndorsementRefusal {
        Policy { method: Method, policy: String } = "endorsement.policy",
            "{method:?} needs signatures of {policy}";
        Governance { policy: String } = "endorsement.governance",
            "this needs the signatures of the governance policy: {policy}";
        DatasetPolicy { dataset: DatasetRef, policy: String } = "endorsement.dataset-policy",
            "dataset {dataset} asks for signatures of {policy}";
        Role { role: Role } = "endorsement.wrong-role",
            "no signature is by a key with role {role}";
        MemberRole { member: MemberId, role: Role } = "endorsement.wrong-member-or-role",
            "no signature is by a key of {member} with role {role}";
        NoMember = "endorsement.no-member", "no signature is by a member's key";
        Pseudonym { key: PublicKey } = "endorsement.pseudonym",
            "the person's key {key} has not signed";
    }
}

/// Why a call is not applied.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It breaks a rule.
    Refused(Refusal),
    /// The state cannot be read; nothing can be decided.
    State(StateError),
    /// The table of calls sends it to the wrong contract.
    Misrouted(Method),
}

impl From<StateError> for Stop {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

/// What a contract decides by: state, block and signatures.
pub(crate) struct Context<'v, 's> {
    pub(crate) view: &'v mut View<'s>,
    pub(crate) height: Height,
    pub(crate) time: Timestamp,
    pub(crate) tx: TxId,
    pub(crate) config: &'v PlatformConfig,
    pub(crate) endorsers: Vec<Endorser>,
    pub(crate) pseudonyms: BTreeSet<PublicKey>,
}

impl Context<'_, '_> {
    pub(crate) fn require_configured_policy(&self, method: Method) -> Result<(), Stop> {
        match self.config.form().policies.get(&method) {
            Some(policy) if !policy.is_satisfied_by(&self.endorsers) => {
                Err(EndorsementRefusal::Policy { method, policy: policy.to_string() }.into())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn is_governed(&self) -> bool {
        self.config.form().governance.is_satisfied_by(&self.endorsers)
    }

    pub(crate) fn require_governance(&self) -> Result<(), Stop> {
        if self.is_governed() {
            return Ok(());
        }
        let policy = self.config.form().governance.to_string();
        Err(EndorsementRefusal::Governance { policy }.into())
    }

    pub(crate) fn require_policy_of(
        &self,
        dataset: &DatasetRef,
        policy: Option<&Policy>,
    ) -> Result<(), Stop> {
        match policy {
            Some(policy) if !policy.is_satisfied_by(&self.endorsers) => {
                let (dataset, policy) = (dataset.clone(), policy.to_string());
                Err(EndorsementRefusal::DatasetPolicy { dataset, policy }.into())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn require_role(&self, role: Role) -> Result<(), Stop> {
        if self.endorsers.iter().any(|e| e.roles.contains(&role)) {
            Ok(())
        } else {
            Err(EndorsementRefusal::Role { role }.into())
        }
    }

    pub(crate) fn is_signed_by(&self, member: &MemberId, role: Role) -> bool {
        self.endorsers.iter().any(|e| &e.member == member && e.roles.contains(&role))
    }

    pub(crate) fn require_member_as(&self, member: &MemberId, role: Role) -> Result<(), Stop> {
        if self.is_signed_by(member, role) {
            Ok(())
        } else {
            Err(EndorsementRefusal::MemberRole { member: member.clone(), role }.into())
        }
    }

    pub(crate) fn require_any_member(&self) -> Result<(), Stop> {
        if self.endorsers.is_empty() { Err(EndorsementRefusal::NoMember.into()) } else { Ok(()) }
    }

    /// The version of a contract's rules that decides this block.
    pub(crate) fn version_of(&self, contract: Contract) -> Result<ContractVersion, Stop> {
        let schedule = self.view.read(&slot::schedule(contract))?;
        Ok(schedule.map_or(ContractVersion::FIRST, |schedule| schedule.at(self.height)))
    }

    pub(crate) fn require_pseudonym(&self, key: &PublicKey) -> Result<(), Stop> {
        if self.pseudonyms.contains(key) {
            Ok(())
        } else {
            Err(EndorsementRefusal::Pseudonym { key: *key }.into())
        }
    }
}

/// Sorts a transaction's keys into members' and persons', and refuses every key that once was a
/// member's and no longer counts, so that none falls back to being a person's.
pub(crate) fn resolve_endorsers(
    tx: &SignedTransaction,
    view: &View<'_>,
    time: Timestamp,
) -> Result<(Vec<Endorser>, BTreeSet<PublicKey>), Stop> {
    let mut endorsers = Vec::new();
    let mut pseudonyms = BTreeSet::new();
    for key in tx.keys() {
        match endorser(key, view, time)? {
            Some(endorser) => endorsers.push(endorser),
            None => drop(pseudonyms.insert(*key)),
        }
    }
    Ok((endorsers, pseudonyms))
}

/// The member's key in good standing at `time`, with what it may do; none where it is no member's.
pub(super) fn endorser(
    key: &PublicKey,
    view: &View<'_>,
    time: Timestamp,
) -> Result<Option<Endorser>, Stop> {
    let Some(record) = view.read(&slot::key(key))? else { return Ok(None) };
    let member = record.member;
    match record.standing {
        Standing::Active => {}
        Standing::Revoked(_) => return Err(MemberRefusal::RevokedKey { key: *key }.into()),
        Standing::Equivocated(_) => return Err(MemberRefusal::Equivocated { member }.into()),
    }
    let allowed = match view.read(&slot::member(&member))? {
        Some(m) if m.standing == Standing::Active => m.roles,
        Some(m) if matches!(m.standing, Standing::Equivocated(_)) => {
            return Err(MemberRefusal::Equivocated { member }.into());
        }
        _ => return Err(MemberRefusal::RevokedMember { member }.into()),
    };
    let certificate = record.certificate;
    if time < certificate.not_before {
        return Err(MemberRefusal::CertificateNotYetValid { member }.into());
    }
    if time > certificate.not_after {
        return Err(MemberRefusal::CertificateExpired { member }.into());
    }
    for serial in &certificate.serials {
        let slot = slot::revoked_serial(serial.issuer.as_bytes(), serial.serial.as_bytes());
        if view.read(&slot)?.is_some_and(|revoked| revoked.since <= time) {
            return Err(MemberRefusal::CertificateRevoked { member }.into());
        }
    }
    let roles = record.roles.intersection(&allowed).copied().collect();
    Ok(Some(Endorser { member, key: *key, roles }))
}
