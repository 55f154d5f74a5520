//! The ledger of Salus: members, permits, one privacy account per dataset, and proofs that anyone
//! can check offline.
//!
//! **Invariant:** this crate knows no file, socket, thread, clock or source of randomness. Bytes
//! and time come in as arguments; decisions, writes and bytes go out.
//!
//! **Invariant:** nothing about patients can be written. No kind of transaction has a field of
//! free text; ids of permits, jobs, receipts, deals and orders are hashes that nobody chooses;
//! persons are keys made for one permit; commitments are salted before they come here.
//!
//! **Invariant:** whatever is signed, hashed or stored has one form in bytes. Any other is refused.
//!
//! # The way of a transaction
//!
//! 1. A client builds a [`transaction::Transaction`] around a [`call::Call`] for one ledger,
//!    collects the endorsers' signatures in a [`transaction::Draft`], and sends the bytes.
//! 2. [`order::Replica::admit`] reads and verifies them and tries them on the present state.
//! 3. An [`order::Orderer`] asks for a block ([`order::Replica::propose_on`]); every validator
//!    executes it again ([`order::Replica::check`]) and, once it is agreed, votes
//!    ([`order::Replica::cast`]).
//! 4. With enough votes ([`block::Certificate`]) the block is final; [`order::Replica::finalise`]
//!    gives an [`order::Commit`], the driver makes it durable as a whole, and only
//!    [`order::Replica::committed`] acknowledges.
//! 5. [`proof::issue_receipt`] and [`proof::TlogProof`] prove it to whoever has a
//!    [`proof::TrustAnchor`]; [`proof::verify_receipt`] needs nothing else.
//!
//! # Where things are
//!
//! | Module | What |
//! | --- | --- |
//! | [`call`], [`transaction`], [`cbor`] | what can be asked for, and its form in bytes |
//! | [`policy`], [`config`], [`genesis`] | who has to sign, under which configuration, from the beginning |
//! | [`contract`] | the rules: members, platform, datasets, devices, permits, opt-outs, accounts, market, artefacts |
//! | [`state`], [`history`] | the authenticated state (a Jellyfish Merkle tree) and the RFC 9162 tree over all transactions |
//! | [`block`], [`order`] | execution, votes, finality; the replica and the orderer that drive it |
//! | [`proof`] | receipts, finality, checkpoints and witnesses, misbehaviour, pruning |
//! | [`review`] | the release gate: rules of review, and which approvals count |
//! | [`channel`] | ledgers of some members among themselves |
//! | [`restore`] | a state and a history from a snapshot |
//! | [`query`], [`invariant`] | what the ledger says, and what has to hold of it |
//!
//! # Endorsement
//!
//! Every method has rules of its own in its contract about who signs. A policy of the
//! configuration, or of a dataset, comes on top and can only ask for more: there is no policy that
//! means "anybody", and none that a method could be without.
//!
//! # What happens at the same time
//!
//! Transactions are decided one after the other, in the order of their block. Of two that race for
//! the last budget, the first is applied and the second is recorded as refused by
//! `accounts.budget`. A refused transaction changes nothing and cannot be replayed.
//!
//! # Privacy
//! The ledger shows its members which organisation worked under which pseudonymous permit on which
//! columns at what cost. It does not hide that from them: a network whose members must not see
//! each other's activity uses a [`channel`].

pub mod block;
pub mod call;
pub mod cbor;
mod certificate;
pub mod channel;
pub mod config;
pub mod contract;
pub mod genesis;
pub mod history;
pub mod invariant;
pub mod order;
pub mod policy;
pub mod proof;
pub mod query;
pub mod restore;
pub mod review;
mod sign;
pub mod state;
pub mod transaction;
mod words;

pub use certificate::{CertificateError, key_binding_message};
pub use sign::{ForgedSignature, Signer};
pub use words::{
    ArtefactId, AttestationDigest, BlockHash, CodeHash, Column, ColumnError, Commitment,
    ConfigHash, DatasetRef, Fingerprint, GateDecision, Height, LedgerId, LengthError, Money, Nonce,
    Opaque, OptOutRoot, OrderId, PublicKey, ReportDigest, ResultHash, ReviewId, ReviewIdError,
    SignatureBytes, StateRoot, SubjectDigest, TreeRoot, TxId,
};
