//! The ledger, driven: ordering, durable state and the validator process.
//!
//! `salus-ledger` decides; this crate gives it a disk, a clock, other validators and clients.
//!
//! **Invariant:** a block is acknowledged after it is final and after one durable transaction has
//! written it with everything that follows from it. After a failed write nothing is committed.
//!
//! **Invariant:** nothing here is trusted that a proof could show. Clients verify votes and Merkle
//! paths themselves; a snapshot is checked against the votes for its block.
//!
//! **Invariant:** what decides is the same code in the simulation and in the process: [`driver::Core`]
//! has no network and no clock.
//!
//! # A validator in a program
//!
//! ```no_run
//! use salus_crypto::passphrase::Passphrase;
//! use salus_model::Secret;
//! use salus_validator::{Folder, Validator};
//!
//! let passphrase = Passphrase::new(Secret::new("correct horse battery staple".to_owned()))?;
//! let validator = Validator::start(&Folder::at("validators/val-01"), &passphrase)?;
//! println!("members reach this validator at https://{}", validator.api());
//! println!("the last block is {}", validator.handle().status().height);
//! validator.stop();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One validator alone, or four and more among each other: the folder's genesis and its list of
//! peers decide. [`dev::DevNetwork`] makes folders for development and for the demonstration.
//!
//! # A node that uses the ledger
//!
//! [`client::LedgerClient`] hands transactions to several validators, waits until one is final and
//! proved, reads state with proofs, and follows block by block.
//!
//! # Where things are
//!
//! | Module | What |
//! | --- | --- |
//! | [`store`] | the database: one durable transaction per block, snapshots, pruning |
//! | [`order`] | `commonware-consensus` behind the ledger's `Orderer` trait |
//! | [`driver`] | what binds replica, orderer, store and network; the running validator |
//! | [`channels`] | ledgers of some members among themselves, in the same process |
//! | [`folder`] | a validator's files: configuration, sealed keys, certificate |
//! | [`api`], [`client`], [`proof`] | HTTPS with mutual TLS, the client that trusts nobody, and the proofs between them |
//! | [`explorer`] | the ledger for people: index, API, the browser's listener, the terminal |
//! | [`dev`] | networks for development |
//! | [`witness`] | an external witness that follows the ledger and cosigns its history |
//! | [`bench`] | the figures of `cargo xtask bench ledger` |
//!
//! # What survives what
//!
//! | Event | Outcome |
//! | --- | --- |
//! | less than a third of the validators stop or lie | nothing stops, nothing forks |
//! | every process is killed at once | everything that was acknowledged is there on return |
//! | a disk fails under one validator | it freezes; the others go on |
//! | one validator loses its folder | restore a snapshot under a **new** key: the engine's journal is what keeps a key from voting twice |
//! | a certificate expires | warned 30 days ahead; a validator's votes still count |

pub mod api;
pub mod bench;
pub mod channels;
pub mod client;
mod clock;
pub mod dev;
pub mod driver;
pub mod explorer;
pub mod folder;
pub mod order;
mod packet;
pub mod proof;
#[cfg(test)]
mod simulation;
pub mod store;
mod validator;
pub mod witness;

pub use folder::{ExplorerConfig, Folder, Identity, Peer, ValidatorConfig};
pub use validator::{StartError, Validator, warning_text};
