use std::collections::BTreeSet;

use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_consensus::Epochable as _;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{
    Activity, Attributable as _, ConflictingFinalize, ConflictingNotarize, NullifyFinalize,
};
use commonware_cryptography::ed25519::PublicKey as EngineKey;
use commonware_cryptography::sha256::Digest;
use commonware_parallel::Sequential;
use commonware_utils::Participant;
use commonware_utils::ordered::Set;
use rand_core::CryptoRng;
use salus_ledger::{LedgerId, Opaque, PublicKey};
use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};

/// Which rule of consensus a validator broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineRule {
    /// It stood for two blocks in one view, as a leader does who proposes two.
    TwoBlocksInOneView,
    /// It finalised two blocks in one view.
    TwoFinalInOneView,
    /// It skipped a view and finalised a block of it.
    SkippedAndFinal,
}

/// Two messages of one validator to the consensus engine that contradict each other, both signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineFault {
    /// Who signed both.
    pub validator: PublicKey,
    /// Which rule that breaks.
    pub rule: EngineRule,
    /// The version of the configuration under which they were signed.
    pub config_version: u64,
    /// Both messages, as the engine encodes them.
    messages: Opaque,
}

/// Why two messages prove nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EngineFaultError {
    /// They cannot be read, agree, or are of different validators or views.
    #[error("the messages are no two of one validator that contradict each other")]
    NoConflict,
    /// They are of another validator or another configuration than the proof says.
    #[error("the messages are of another validator or configuration than the proof says")]
    OtherSigner,
    /// A signature is forged, or made for another ledger.
    #[error("a message is forged, or of another ledger")]
    Forged,
}

impl Classified for EngineFaultError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// What the messages of one ledger's engines are signed under.
pub(crate) fn engine_namespace(ledger: &LedgerId) -> Vec<u8> {
    [b"salus-ledger/engine/v1/".as_slice(), ledger.as_bytes()].concat()
}

/// The validators of a configuration as the engine numbers them.
pub(crate) fn participants<'a>(
    validators: impl IntoIterator<Item = &'a PublicKey>,
) -> Option<Set<EngineKey>> {
    let keys: Vec<EngineKey> = validators
        .into_iter()
        .map(|key| EngineKey::decode(Copying(key.as_bytes())))
        .collect::<Result<_, _>>()
        .ok()?;
    Set::try_from(keys).ok()
}

fn named(participants: &Set<EngineKey>, signer: Participant) -> Option<PublicKey> {
    let key: &EngineKey = participants.get(usize::from(signer))?;
    PublicKey::try_from(key.as_ref()).ok()
}

impl EngineFault {
    /// What an engine reports, where it is a fault; nothing in it is verified yet.
    pub(super) fn reported(
        activity: &Activity<Scheme, Digest>,
        config_version: u64,
        participants: &Set<EngineKey>,
    ) -> Option<Self> {
        let (rule, signer, messages) = match activity {
            Activity::ConflictingNotarize(two) => {
                (EngineRule::TwoBlocksInOneView, two.signer(), two.encode())
            }
            Activity::ConflictingFinalize(two) => {
                (EngineRule::TwoFinalInOneView, two.signer(), two.encode())
            }
            Activity::NullifyFinalize(two) => {
                (EngineRule::SkippedAndFinal, two.signer(), two.encode())
            }
            _ => return None,
        };
        let validator = named(participants, signer)?;
        Some(Self { validator, rule, config_version, messages: Opaque::new(messages.to_vec()) })
    }

    /// Accepts when the validator really signed both, under a configuration with these validators.
    ///
    /// # Errors
    /// When there is no conflict, or it is not this validator's.
    pub fn verify<R: CryptoRng>(
        &self,
        ledger: &LedgerId,
        validators: &BTreeSet<PublicKey>,
        rng: &mut R,
    ) -> Result<(), EngineFaultError> {
        let participants = participants(validators).ok_or(EngineFaultError::OtherSigner)?;
        let scheme = Scheme::verifier(&engine_namespace(ledger), participants.clone());
        let bytes = Copying(self.messages.as_bytes());
        let none = |_| EngineFaultError::NoConflict;
        let (signer, epoch, right) = match self.rule {
            EngineRule::TwoBlocksInOneView => {
                let two = ConflictingNotarize::<Scheme, Digest>::decode(bytes).map_err(none)?;
                (two.signer(), two.epoch(), two.verify(rng, &scheme, &Sequential))
            }
            EngineRule::TwoFinalInOneView => {
                let two = ConflictingFinalize::<Scheme, Digest>::decode(bytes).map_err(none)?;
                (two.signer(), two.epoch(), two.verify(rng, &scheme, &Sequential))
            }
            EngineRule::SkippedAndFinal => {
                let two = NullifyFinalize::<Scheme, Digest>::decode(bytes).map_err(none)?;
                (two.signer(), two.epoch(), two.verify(rng, &scheme, &Sequential))
            }
        };
        let same = named(&participants, signer) == Some(self.validator);
        if !same || epoch.get() != self.config_version {
            return Err(EngineFaultError::OtherSigner);
        }
        if right { Ok(()) } else { Err(EngineFaultError::Forged) }
    }
}
