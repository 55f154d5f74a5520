use std::collections::BTreeSet;

use salus_model::{Class, Classified, MemberId, Timestamp};

use super::facts::{EvidenceError, Fact, ProvenState};
use crate::contract::records::{KeyRecord, Standing};
use crate::policy::Role;
use crate::words::{Fingerprint, PublicKey};

/// What a key may do in its member's name, as the contracts would decide at the proven block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStanding {
    /// Whose key it is.
    pub member: MemberId,
    /// What it may do: what is allowed to the key and to its member.
    pub roles: BTreeSet<Role>,
    /// The member's certificate that vouches for it.
    pub certificate: Fingerprint,
}

/// Why a key counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoStanding {
    /// The evidence is short of a fact, or broken.
    #[error("what the ledger says of the key is not proved")]
    Evidence(#[from] EvidenceError),
    /// The ledger has no such key.
    #[error("the ledger has no key {0}")]
    Unknown(PublicKey),
    /// The key was revoked, or signed twice what excludes itself.
    #[error("the key was revoked on the ledger")]
    RevokedKey,
    /// The member was revoked.
    #[error("the membership of {0} has ended on the ledger")]
    RevokedMember(MemberId),
    /// The certificate is not valid yet.
    #[error("the certificate of {0} is not valid yet")]
    NotYetValid(MemberId),
    /// The certificate has expired.
    #[error("the certificate of {0} has expired")]
    Expired(MemberId),
    /// The certificate was revoked by its authority.
    #[error("the certificate of {0} was revoked by its authority")]
    RevokedCertificate(MemberId),
}

impl Classified for NoStanding {
    fn class(&self) -> Class {
        match self {
            Self::Evidence(e) => e.class(),
            _ => Class::Refused,
        }
    }
}

/// The facts that [`ProvenState::key_standing`] needs, as far as they are known without the key's
/// record; with it, all of them.
#[must_use]
pub fn facts_of_key(key: &PublicKey, record: Option<&KeyRecord>) -> Vec<Fact> {
    let mut facts = vec![Fact::Key(*key)];
    if let Some(record) = record {
        facts.push(Fact::Member(record.member.clone()));
        let serials = record.certificate.serials.iter();
        facts.extend(serials.map(|s| Fact::RevokedSerial(s.issuer, s.serial.clone())));
    }
    facts
}

impl ProvenState {
    /// What a key may do at `now`; the rules are those by which contracts take a signature.
    ///
    /// # Errors
    /// When it may do nothing, with the reason, or the evidence lacks one of [`facts_of_key`].
    pub fn key_standing(&self, key: &PublicKey, now: Timestamp) -> Result<KeyStanding, NoStanding> {
        let record = self.key(key)?.ok_or(NoStanding::Unknown(*key))?;
        if record.standing != Standing::Active {
            return Err(NoStanding::RevokedKey);
        }
        let member = record.member;
        let allowed = match self.member(&member)? {
            Some(found) if found.standing == Standing::Active => found.roles,
            _ => return Err(NoStanding::RevokedMember(member)),
        };
        let certificate = record.certificate;
        if now < certificate.not_before {
            return Err(NoStanding::NotYetValid(member));
        }
        if now > certificate.not_after {
            return Err(NoStanding::Expired(member));
        }
        for serial in &certificate.serials {
            let revoked = self.revoked_serial(&serial.issuer, &serial.serial)?;
            if revoked.is_some_and(|revoked| revoked.since <= now) {
                return Err(NoStanding::RevokedCertificate(member));
            }
        }
        let roles = record.roles.intersection(&allowed).copied().collect();
        Ok(KeyStanding { member, roles, certificate: certificate.fingerprint })
    }
}
