//! x
pub mod block;
pub mod call;
pub mod cbor;
mod certificate;
pub mod config;
pub mod contract;
pub mod genesis;
pub mod history;
pub mod policy;
mod sign;
pub mod state;
pub mod transaction;
mod words;
pub use certificate::{CertificateError, key_binding_message};
pub use sign::{ForgedSignature, Signer};
pub use words::*;
