//! Where a ledger begins: its first configuration and members, and its id, which is their hash.

use std::collections::BTreeMap;

use salus_crypto::Digest;
use salus_model::{Class, Classified, Timestamp};
use serde::{Deserialize, Serialize};

use crate::block::{Block, BlockHeader, receipts_root, transactions_root};
use crate::call::AdmitMember;
use crate::cbor::{self, CborError};
use crate::config::PlatformConfig;
use crate::contract::records::{ContractSchedule, Standing, Tip};
use crate::contract::{self, Context, Contract, ContractVersion, Refusal, Stop};
use crate::policy::Role;
use crate::state::{self, MemoryStore, StateChanges, StateError, View, slot};
use crate::words::{BlockHash, Height, LedgerId, Nonce, PublicKey, TreeRoot, TxId, tagged_hash};

/// The most bytes of an encoded genesis.
pub const MAX_GENESIS_BYTES: usize = 1024 * 1024;

/// Whether simulated attestation evidence may count on a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkKind {
    /// Real evidence only.
    Production,
    /// A demonstration, for ever: the kind is part of the ledger's id.
    Demonstration,
}

/// What a ledger begins with. A channel is a ledger of its own, with a genesis of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Random bytes, so that two ledgers that begin alike have different ids.
    pub nonce: Nonce,
    /// What kind of network it is.
    pub kind: NetworkKind,
    /// The first block's time.
    pub time: Timestamp,
    /// The first configuration.
    pub config: PlatformConfig,
    /// The first members.
    pub members: Vec<AdmitMember>,
    /// The contracts that begin by later rules than their first ones; new ledgers begin by
    /// [`Contract::newest_rules`]. A ledger from before this field began by the first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contracts: BTreeMap<Contract, ContractVersion>,
}

/// Why a genesis begins no ledger.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// It cannot be encoded.
    #[error("the genesis cannot be encoded")]
    Encoding(#[from] CborError),
    /// A member cannot be admitted.
    #[error("a first member cannot be admitted: {0}")]
    Member(Refusal),
    /// A validator that is nobody's key.
    #[error("validator key {key} is not a key of its member with role validator")]
    UnboundValidator {
        /// The key.
        key: PublicKey,
    },
    /// Rules that this program does not have.
    #[error("{contract:?} would begin by version {version:?}, this program has up to {newest:?}")]
    Contract {
        /// The contract.
        contract: Contract,
        /// The version.
        version: ContractVersion,
        /// The newest version at hand.
        newest: ContractVersion,
    },
    /// The state cannot be written.
    #[error("the state cannot be used")]
    State(#[from] StateError),
}

impl Classified for GenesisError {
    fn class(&self) -> Class {
        match self {
            Self::State(error) => error.class(),
            _ => Class::BadRequest,
        }
    }
}

/// A ledger's first block and state.
#[derive(Debug, Clone)]
pub struct Founded {
    /// The ledger.
    pub ledger: LedgerId,
    /// Its first block, which has no transactions and no certificate: the id vouches for it.
    pub block: Block,
    /// Its first state.
    pub changes: StateChanges,
}

impl Genesis {
    /// The ledger that begins so.
    ///
    /// # Errors
    /// None in practice: a genesis can always be encoded.
    pub fn ledger_id(&self) -> Result<LedgerId, CborError> {
        Ok(LedgerId::new(tagged_hash("salus-ledger/genesis/v1", &cbor::encode(self)?)))
    }

    /// Makes the first block and the first state.
    ///
    /// # Errors
    /// When a member's certificate does not count, or a validator is not bound to a member.
    pub fn found(&self) -> Result<Founded, GenesisError> {
        let ledger = self.ledger_id()?;
        let empty = MemoryStore::new();
        let mut view = View::new(&empty);
        view.write(&slot::ledger(), &ledger)?;
        view.write(&slot::config(), &self.config)?;
        self.begin_contracts(&mut view)?;
        self.admit_members(&mut view)?;
        self.check_validators(&view)?;
        let parent = BlockHash::new([0; 32]);
        let tip = Tip { height: Height::GENESIS, parent, time: self.time, history_size: 0 };
        view.write(&slot::tip(), &tip)?;
        view.keep();
        let changes = state::update(&empty, Height::GENESIS, view.into_writes())?;
        let header = BlockHeader {
            ledger,
            height: Height::GENESIS,
            parent,
            time: self.time,
            transactions: transactions_root(&[]),
            history_size: 0,
            history: TreeRoot::new(*Digest::of(&[]).as_bytes()),
            state: changes.root,
            receipts: receipts_root(&[])?,
            config: self.config.hash()?,
        };
        Ok(Founded { ledger, block: Block { header, transactions: Vec::new() }, changes })
    }

    fn begin_contracts(&self, view: &mut View<'_>) -> Result<(), GenesisError> {
        for (&contract, &version) in &self.contracts {
            let newest = contract.newest();
            if version < ContractVersion::FIRST || version > newest {
                return Err(GenesisError::Contract { contract, version, newest });
            }
            let schedule = ContractSchedule { from: [(Height::GENESIS, version)].into() };
            view.write(&slot::schedule(contract), &schedule)?;
        }
        Ok(())
    }

    fn admit_members(&self, view: &mut View<'_>) -> Result<(), GenesisError> {
        let mut cx = Context {
            view,
            height: Height::GENESIS,
            time: self.time,
            tx: TxId::new([0; 32]),
            config: &self.config,
            endorsers: Vec::new(),
            pseudonyms: std::collections::BTreeSet::new(),
        };
        for member in &self.members {
            contract::admit_at_genesis(member, &mut cx).map_err(|stop| match stop {
                Stop::Refused(refusal) => GenesisError::Member(refusal),
                Stop::State(error) => error.into(),
                Stop::Misrouted(_) => CborError::Unencodable.into(),
            })?;
        }
        Ok(())
    }

    fn check_validators(&self, view: &View<'_>) -> Result<(), GenesisError> {
        for validator in &self.config.form().validators {
            let key = view.read(&slot::key(&validator.key))?;
            let bound = key.is_some_and(|key| {
                key.member == validator.member
                    && key.standing == Standing::Active
                    && key.roles.contains(&Role::Validator)
            });
            if !bound {
                return Err(GenesisError::UnboundValidator { key: validator.key });
            }
        }
        Ok(())
    }
}
