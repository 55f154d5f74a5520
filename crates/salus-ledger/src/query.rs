//! What the ledger says, for those who act on it: permits in force, accounts, members, warnings.

use std::collections::BTreeSet;

use salus_model::{Class, Classified, DealId, MemberId, PermitId, Purpose, ReceiptId, Timestamp};

use crate::config::PlatformConfig;
use crate::contract::records::{
    Account, ContractSchedule, CrlRecord, DatasetRecord, Deal, HolderOptOuts, KeyRecord,
    MemberRecord, PermitRecord, PermitSpending, PermitState, ReceiptRecord, ReviewRecord,
    RevokedSerial, Standing, Tip,
};
use crate::contract::{Contract, PermitRefusal};
use crate::policy::Role;
use crate::review::ReviewRule;
use crate::state::{StateError, StateStore, slot};
use crate::words::{CodeHash, Column, DatasetRef, Fingerprint, Money, PublicKey, ReviewId};

macro_rules! reads {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $value:ty, $slot:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// When the store cannot answer.
        pub fn $name(store: &dyn StateStore, $($arg: $type),*) -> Result<Option<$value>, StateError> {
            slot::read(store, &$slot)
        }
    )*};
}

reads! {
    /// The last committed block.
    tip() -> Tip, slot::tip();
    /// The configuration in force.
    config() -> PlatformConfig, slot::config();
    /// The configuration with this version, once it has been replaced.
    past_config(version: u64) -> PlatformConfig, slot::past_config(version);
    /// From which block on which version of a contract's rules decides; none while it is the first.
    schedule(contract: Contract) -> ContractSchedule, slot::schedule(contract);
    /// A member.
    member(id: &MemberId) -> MemberRecord, slot::member(id);
    /// A member's key.
    key(key: &PublicKey) -> KeyRecord, slot::key(key);
    /// A dataset.
    dataset(id: &DatasetRef) -> DatasetRecord, slot::dataset(id);
    /// A dataset's privacy account.
    account(id: &DatasetRef) -> Account, slot::account(id);
    /// A holder's opt-out list.
    opt_outs(holder: &MemberId) -> HolderOptOuts, slot::opt_outs(holder);
    /// A permit.
    permit(id: &PermitId) -> PermitRecord, slot::permit(id);
    /// What a permit has spent on a dataset.
    spending(permit: &PermitId, dataset: &DatasetRef) -> PermitSpending,
        slot::spending(permit, dataset);
    /// A receipt.
    receipt(id: &ReceiptId) -> ReceiptRecord, slot::receipt(id);
    /// A review.
    review(id: &ReviewId) -> ReviewRecord, slot::review(id);
    /// The reviews under a permit that have led to nothing yet.
    reviews_waiting(permit: &PermitId) -> BTreeSet<ReviewId>, slot::reviews_waiting(permit);
    /// A dataset's own rule of review, where its holder set one.
    review_rule(dataset: &DatasetRef) -> ReviewRule, slot::review_rule(dataset);
    /// A deal.
    deal(id: &DealId) -> Deal, slot::deal(id);
    /// A member's wallet.
    wallet(member: &MemberId) -> Money, slot::wallet(member);
}

/// The key of a permit in the state, for a state proof of it.
#[must_use]
pub fn permit_key(id: &PermitId) -> Vec<u8> {
    slot::permit(id).key().to_vec()
}

/// The key of a member in the state, for a state proof of it.
#[must_use]
pub fn member_key(id: &MemberId) -> Vec<u8> {
    slot::member(id).key().to_vec()
}

/// The key of a member's wallet in the state, for a state proof of it.
#[must_use]
pub fn wallet_key(id: &MemberId) -> Vec<u8> {
    slot::wallet(id).key().to_vec()
}

/// The key of a dataset's account in the state, for a state proof of it.
#[must_use]
pub fn account_key(id: &DatasetRef) -> Vec<u8> {
    slot::account(id).key().to_vec()
}

/// The key of the configuration in force in the state, for a state proof of it.
#[must_use]
pub fn config_key() -> Vec<u8> {
    slot::config().key().to_vec()
}

/// The key of a configuration that was replaced, for a state proof of it.
#[must_use]
pub fn past_config_key(version: u64) -> Vec<u8> {
    slot::past_config(version).key().to_vec()
}

/// A configuration as the state keeps it.
///
/// # Errors
/// When the bytes are none.
pub fn read_config(bytes: &[u8]) -> Result<PlatformConfig, StateError> {
    slot::config().decode(bytes)
}

/// What somebody wants to read under a permit.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    /// The permit.
    pub permit: &'a PermitId,
    /// The person's key for it.
    pub actor: &'a PublicKey,
    /// The dataset.
    pub dataset: &'a DatasetRef,
    /// The columns.
    pub columns: &'a BTreeSet<Column>,
    /// What for.
    pub purpose: Purpose,
    /// The code that would run.
    pub code: &'a CodeHash,
}

/// Why an access is not permitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The permit does not cover it.
    #[error(transparent)]
    Refused(#[from] PermitRefusal),
    /// The permit is for another purpose.
    #[error("permit {permit} is not for purpose {purpose}")]
    OtherPurpose {
        /// The permit.
        permit: PermitId,
        /// The purpose that was asked for.
        purpose: Purpose,
    },
    /// The state cannot be read.
    #[error("the ledger's state cannot be read")]
    State(#[from] StateError),
}

impl Classified for AccessError {
    fn class(&self) -> Class {
        match self {
            Self::State(error) => error.class(),
            _ => Class::Refused,
        }
    }
}

/// The permit, when it covers the access at this moment: asked before any key is touched.
///
/// # Errors
/// Names what the permit does not cover.
pub fn permitted(
    store: &dyn StateStore,
    access: &Access<'_>,
    now: Timestamp,
) -> Result<PermitRecord, AccessError> {
    let unknown = || PermitRefusal::Unknown { permit: access.permit.clone() };
    let record = permit(store, access.permit)?.ok_or_else(unknown)?;
    record.allows(access, now)?;
    Ok(record)
}

impl PermitRecord {
    /// Whether the permit covers the access at this moment.
    ///
    /// # Errors
    /// Names what it does not cover.
    pub fn allows(&self, access: &Access<'_>, now: Timestamp) -> Result<(), AccessError> {
        let id = || access.permit.clone();
        match self.state {
            PermitState::Granted(_) => {}
            PermitState::Revoked { .. } => {
                return Err(PermitRefusal::Revoked { permit: id() }.into());
            }
            _ => return Err(PermitRefusal::NotGranted { permit: id() }.into()),
        }
        if now >= self.terms.expires {
            return Err(PermitRefusal::Expired { permit: id() }.into());
        }
        if self.pseudonym != *access.actor {
            return Err(PermitRefusal::OtherPerson { permit: id() }.into());
        }
        if self.terms.purpose != access.purpose {
            return Err(AccessError::OtherPurpose { permit: id(), purpose: access.purpose });
        }
        if self.terms.code.is_some_and(|code| code != *access.code) {
            return Err(PermitRefusal::OutsideCode { code: *access.code }.into());
        }
        Ok(self.covers(access.dataset, access.columns)?)
    }
}

/// Something that somebody has to see to before it hurts. Nothing stops for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// A certificate runs out within the notice.
    CertificateExpires {
        /// Whose.
        member: MemberId,
        /// Which key it vouches for.
        key: PublicKey,
        /// When.
        at: Timestamp,
    },
    /// A certificate has run out: the key signs no transaction any more.
    CertificateExpired {
        /// Whose.
        member: MemberId,
        /// Which key it vouched for.
        key: PublicKey,
        /// Since when.
        at: Timestamp,
    },
    /// A validator's certificate has run out. Its votes still count, so that no expiry stops the
    /// ledger; it is to be renewed, or the validator replaced.
    ValidatorCertificateExpired {
        /// Whose.
        member: MemberId,
        /// Since when.
        at: Timestamp,
    },
    /// An authority has not published the revocation list that it promised.
    RevocationListOverdue {
        /// SHA-256 of the authority's key.
        issuer: Vec<u8>,
        /// Since when.
        since: Timestamp,
    },
}

/// How long before the end of a certificate its member is warned: 30 days, in microseconds.
pub const NOTICE_MICROS: i64 = 30 * 86_400 * 1_000_000;

/// All that somebody has to see to.
///
/// # Errors
/// When the store cannot answer.
///
/// # Cost
/// One scan over the members' keys.
pub fn warnings(store: &dyn StateStore, now: Timestamp) -> Result<Vec<Warning>, StateError> {
    let soon = now.saturating_add_micros(NOTICE_MICROS);
    let mut warnings = Vec::new();
    for (key, record) in slot::scan::<KeyRecord>(store, slot::KEY)? {
        let raw = key.get(slot::KEY.len() + 1..).unwrap_or_default();
        let Ok(key) = PublicKey::try_from(raw) else { continue };
        let (member, at) = (record.member, record.certificate.not_after);
        if record.standing != Standing::Active || at > soon {
            continue;
        }
        warnings.push(if at >= now {
            Warning::CertificateExpires { member, key, at }
        } else if record.roles.contains(&Role::Validator) {
            Warning::ValidatorCertificateExpired { member, at }
        } else {
            Warning::CertificateExpired { member, key, at }
        });
    }
    for (key, record) in slot::scan::<CrlRecord>(store, slot::CRL)? {
        if let Some(since) = record.next_update.filter(|next| *next <= now) {
            let issuer = key.get(slot::CRL.len() + 1..).unwrap_or_default().to_vec();
            warnings.push(Warning::RevocationListOverdue { issuer, since });
        }
    }
    Ok(warnings)
}

/// Whose certificate somebody shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The organisation.
    pub member: MemberId,
    /// The ledger key that the certificate vouches for.
    pub key: PublicKey,
    /// What that key may do now.
    pub roles: BTreeSet<Role>,
    /// Since when the certificate has run out: told for validators only, whom it does not stop.
    pub expired: Option<Timestamp>,
}

/// Why a certificate opens no door.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HolderError {
    /// Bound to no key of the ledger.
    #[error("the certificate is bound to no key on this ledger; bind it first")]
    Unknown,
    /// The key or its member does not count any more.
    #[error("the key or the membership behind the certificate was revoked")]
    Revoked {
        /// Whose.
        member: MemberId,
    },
    /// Its authority revoked it.
    #[error("the certificate of {member} was revoked by its authority")]
    CertificateRevoked {
        /// Whose.
        member: MemberId,
    },
    /// Outside its window.
    #[error("the certificate of {member} is not valid now; renew it")]
    NotValidNow {
        /// Whose.
        member: MemberId,
    },
    /// The state cannot be read.
    #[error("the ledger's state cannot be read")]
    State(#[from] StateError),
}

impl Classified for HolderError {
    fn class(&self) -> Class {
        match self {
            Self::State(error) => error.class(),
            _ => Class::Refused,
        }
    }
}

/// The member whose certificate this is, when it may speak for it: key and member in good
/// standing, not revoked by its authority as of the last block, and valid now. A validator whose
/// certificate has run out is let in, so that no expiry stops the ledger, and is told.
///
/// # Errors
/// Names what is against it.
///
/// # Cost
/// One scan over the members' keys.
pub fn certificate_holder(
    store: &dyn StateStore,
    certificate: &Fingerprint,
    now: Timestamp,
) -> Result<Holder, HolderError> {
    let block_time = tip(store)?.map_or(Timestamp::EPOCH, |tip| tip.time);
    let mut against = HolderError::Unknown;
    for (raw, record) in slot::scan::<KeyRecord>(store, slot::KEY)? {
        if record.certificate.fingerprint != *certificate {
            continue;
        }
        let key = raw.get(slot::KEY.len() + 1..).unwrap_or_default();
        let Ok(key) = PublicKey::try_from(key) else { continue };
        match holder(store, key, record, block_time, now)? {
            Ok(holder) => return Ok(holder),
            Err(error) => against = error,
        }
    }
    Err(against)
}

fn holder(
    store: &dyn StateStore,
    key: PublicKey,
    record: KeyRecord,
    block_time: Timestamp,
    now: Timestamp,
) -> Result<Result<Holder, HolderError>, StateError> {
    let member = member(store, &record.member)?;
    let mut revoked = Vec::new();
    for serial in &record.certificate.serials {
        let slot = slot::revoked_serial(serial.issuer.as_bytes(), serial.serial.as_bytes());
        revoked.extend(slot::read(store, &slot)?);
    }
    Ok(judge(key, record, member.as_ref(), &revoked, (block_time, now)))
}

/// What the ledger's records say of a certificate: `revoked` are those of its serials that an
/// authority has revoked, as of the block.
pub(crate) fn judge(
    key: PublicKey,
    record: KeyRecord,
    member: Option<&MemberRecord>,
    revoked: &[RevokedSerial],
    (block_time, now): (Timestamp, Timestamp),
) -> Result<Holder, HolderError> {
    let id = record.member;
    let Some(member) = member else { return Err(HolderError::Unknown) };
    if record.standing != Standing::Active || member.standing != Standing::Active {
        return Err(HolderError::Revoked { member: id });
    }
    if revoked.iter().any(|revoked| revoked.since <= block_time) {
        return Err(HolderError::CertificateRevoked { member: id });
    }
    let roles: BTreeSet<Role> = record.roles.intersection(&member.roles).copied().collect();
    let window = record.certificate;
    let ran_out = window.not_after < now;
    let excused = ran_out && roles.contains(&Role::Validator);
    if now < window.not_before || (ran_out && !excused) {
        return Err(HolderError::NotValidNow { member: id });
    }
    let expired = ran_out.then_some(window.not_after);
    Ok(Holder { member: id, key, roles, expired })
}
