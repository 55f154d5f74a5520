//! Channels: ledgers of some members among themselves.
//!
//! A channel is a whole ledger with a genesis, and therefore an id, of its own: its signatures
//! count nowhere else, and nothing of it is written to the ledger on which its members met.

use std::collections::{BTreeMap, BTreeSet};

use salus_model::{Class, Classified, MemberId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::call::AdmitMember;
use crate::cbor::{self, CborError};
use crate::contract::records::Standing;
use crate::genesis::Genesis;
use crate::sign::{self, Signer};
use crate::state::{StateError, StateStore, slot};
use crate::transaction::{Envelope, TransactionError};
use crate::words::{LedgerId, PublicKey, SignatureBytes};

const CONSENT: &[u8] = b"salus-ledger/channel-consent/v1\0";
/// The most bytes of a charter.
pub const MAX_CHARTER_BYTES: usize = crate::genesis::MAX_GENESIS_BYTES + 64 * 1024;

/// A channel's genesis with the consent of every member in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charter {
    /// The ledger on which the members met.
    pub parent: LedgerId,
    /// How the channel begins.
    pub genesis: Genesis,
    /// The consents, key by key.
    pub consents: BTreeMap<PublicKey, SignatureBytes>,
}

/// Why a charter founds no channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CharterError {
    /// It cannot be read.
    #[error("the charter cannot be read")]
    File(#[from] CborError),
    /// Of another ledger's members.
    #[error("the charter is of members of ledger {found}, this is {wanted}")]
    OtherParent {
        /// The ledger that it names.
        found: LedgerId,
        /// The ledger at hand.
        wanted: LedgerId,
    },
    /// A member has not agreed by a key that counts on the parent ledger.
    #[error("member {member} has not agreed by a key that counts on the parent ledger")]
    NoConsent {
        /// The member.
        member: MemberId,
    },
    /// A consent is forged.
    #[error("the consent of key {key} is forged")]
    Forged {
        /// The key.
        key: PublicKey,
    },
    /// Two charters of two channels.
    #[error("the charters are not of one channel")]
    OtherChannel,
    /// The parent's state cannot be read.
    #[error("the parent ledger's state cannot be read")]
    State(#[from] StateError),
}

impl Classified for CharterError {
    fn class(&self) -> Class {
        match self {
            Self::State(error) => error.class(),
            Self::File(_) | Self::OtherChannel => Class::BadRequest,
            _ => Class::Refused,
        }
    }
}

fn message(parent: &LedgerId, channel: &LedgerId) -> Vec<u8> {
    [CONSENT, parent.as_bytes(), channel.as_bytes()].concat()
}

impl Charter {
    /// A charter that nobody has agreed to yet.
    #[must_use]
    pub const fn new(parent: LedgerId, genesis: Genesis) -> Self {
        Self { parent, genesis, consents: BTreeMap::new() }
    }

    /// Agrees with one of a member's keys on the parent ledger.
    ///
    /// # Errors
    /// None in practice: a genesis can always be encoded.
    pub fn agree(mut self, signer: &Signer) -> Result<Self, CharterError> {
        let channel = self.genesis.ledger_id()?;
        let signature = signer.sign(&message(&self.parent, &channel));
        self.consents.insert(signer.public_key(), signature);
        Ok(self)
    }

    /// The founders that agreed with a key with which the channel begins. Whether that key counts on
    /// the parent ledger is for [`Charter::verify`], which has its state.
    ///
    /// # Errors
    /// Names the key whose consent is forged.
    pub fn agreed(&self) -> Result<BTreeSet<MemberId>, CharterError> {
        let message = message(&self.parent, &self.genesis.ledger_id()?);
        for (key, signature) in &self.consents {
            sign::verify(key, &message, signature)
                .map_err(|_| CharterError::Forged { key: *key })?;
        }
        let has_agreed = |founder: &&AdmitMember| {
            founder.keys.iter().any(|listed| self.consents.contains_key(&listed.key))
        };
        Ok(self.genesis.members.iter().filter(has_agreed).map(|m| m.member.clone()).collect())
    }

    /// Takes the consents of another copy of the same charter, on which others agreed.
    ///
    /// # Errors
    /// When it is another channel's, or one of its consents is forged.
    pub fn with_consents_of(mut self, other: Self) -> Result<Self, CharterError> {
        if (self.parent, &self.genesis) != (other.parent, &other.genesis) {
            return Err(CharterError::OtherChannel);
        }
        other.agreed()?;
        self.consents.extend(other.consents);
        Ok(self)
    }

    /// Reads a charter; its consents are not checked yet.
    ///
    /// # Errors
    /// When it is too large, or not in its one form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CharterError> {
        Ok(cbor::decode(bytes, MAX_CHARTER_BYTES)?)
    }

    /// Its one form in bytes.
    ///
    /// # Errors
    /// None in practice: a charter can always be encoded.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CharterError> {
        Ok(cbor::encode(self)?)
    }

    /// Accepts when every member of the genesis agreed by a key in good standing on the parent.
    ///
    /// # Errors
    /// Names the member or the key.
    pub fn verify(
        &self,
        parent: &dyn StateStore,
        now: Timestamp,
    ) -> Result<LedgerId, CharterError> {
        let wanted = slot::read(parent, &slot::ledger())?;
        if wanted != Some(self.parent) {
            let wanted = wanted.unwrap_or(LedgerId::new([0; 32]));
            return Err(CharterError::OtherParent { found: self.parent, wanted });
        }
        let channel = self.genesis.ledger_id()?;
        let message = message(&self.parent, &channel);
        let mut agreed = BTreeSet::new();
        for (key, signature) in &self.consents {
            sign::verify(key, &message, signature)
                .map_err(|_| CharterError::Forged { key: *key })?;
            let Some(record) = slot::read(parent, &slot::key(key))? else { continue };
            let member = slot::read(parent, &slot::member(&record.member))?;
            let counts = record.standing == Standing::Active
                && member.is_some_and(|member| member.standing == Standing::Active)
                && now <= record.certificate.not_after;
            if counts {
                agreed.insert(record.member);
            }
        }
        match self.genesis.members.iter().find(|founder| !agreed.contains(&founder.member)) {
            Some(founder) => Err(CharterError::NoConsent { member: founder.member.clone() }),
            None => Ok(channel),
        }
    }
}

/// The ledgers that a node takes part in, each kept by itself.
#[derive(Debug)]
pub struct Channels<L> {
    ledgers: BTreeMap<LedgerId, L>,
}

/// Why a transaction goes to none of a node's ledgers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// It cannot be read.
    #[error("the transaction cannot be read")]
    Transaction(#[from] TransactionError),
    /// This node has no part in its ledger. The same answer whether or not there is such a one.
    #[error("this node has no part in ledger {0}")]
    NoPart(LedgerId),
}

impl Classified for RouteError {
    fn class(&self) -> Class {
        match self {
            Self::Transaction(error) => error.class(),
            Self::NoPart(_) => Class::Refused,
        }
    }
}

impl<L> Channels<L> {
    /// A node with this one ledger.
    #[must_use]
    pub fn new(ledger: LedgerId, main: L) -> Self {
        Self { ledgers: BTreeMap::from([(ledger, main)]) }
    }

    /// Takes part in one more ledger; gives it back when it has a part in it already.
    ///
    /// # Errors
    /// The ledger that was handed in.
    pub fn join(&mut self, ledger: LedgerId, channel: L) -> Result<(), L> {
        match self.ledgers.entry(ledger) {
            std::collections::btree_map::Entry::Occupied(_) => Err(channel),
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(channel);
                Ok(())
            }
        }
    }

    /// The ledger that a transaction is for, by its signed payload alone.
    ///
    /// # Errors
    /// When it cannot be read, or this node has no part in its ledger.
    pub fn route(&mut self, bytes: &[u8]) -> Result<(&mut L, Envelope), RouteError> {
        let envelope = Envelope::from_bytes(bytes)?;
        let ledger = *envelope.transaction().ledger();
        let channel = self.ledgers.get_mut(&ledger).ok_or(RouteError::NoPart(ledger))?;
        Ok((channel, envelope))
    }

    /// One of the ledgers.
    #[must_use]
    pub fn ledger_mut(&mut self, ledger: &LedgerId) -> Option<&mut L> {
        self.ledgers.get_mut(ledger)
    }

    /// The ids of the ledgers.
    pub fn ids(&self) -> impl Iterator<Item = &LedgerId> {
        self.ledgers.keys()
    }
}
