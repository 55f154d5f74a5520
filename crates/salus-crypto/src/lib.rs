//! The cryptography that Salus uses: digests, signatures, Merkle trees, envelopes and Parquet key
//! material, each over a published crate and checked against published vectors.
//!
//! **Invariant:** no file, socket, clock or task is known here. Randomness is an argument;
//! [`OsEntropy`] is the one place in Salus that asks the operating system for it.
//!
//! **Invariant:** failures to authenticate are opaque: an error says that an envelope, signature
//! or proof was refused, never which byte or which step refused it.
//!
//! **Invariant:** whatever is signed or sealed is bound to a domain, so that bytes made for one
//! use are refused in every other.

pub mod aead;
mod digest;
mod entropy;
pub mod hpke;
mod keyed;
pub mod merkle;
pub mod passphrase;
pub mod pkmt1;
mod signature;

pub use digest::{Digest, DigestHasher, DigestText, PartsHasher};
pub use entropy::{EntropyRng, OsEntropy};
pub use keyed::PseudonymKey;
pub use signature::{Signature, SignatureRefused, SigningKey, VerifyingKey, VerifyingKeyRefused};

#[cfg(test)]
mod tests;
