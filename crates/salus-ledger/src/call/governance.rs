use std::collections::BTreeSet;

use salus_model::MemberId;
use serde::{Deserialize, Serialize};

use crate::block::Equivocation;
use crate::config::PlatformConfig;
use crate::contract::{Contract, ContractVersion};
use crate::policy::Role;
use crate::words::{ConfigHash, Height, Opaque, PublicKey};

/// Admits an organisation, together with its first keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmitMember {
    /// The organisation.
    pub member: MemberId,
    /// What its keys may be allowed.
    pub roles: BTreeSet<Role>,
    /// Its first keys.
    pub keys: Vec<MemberKey>,
}

/// Changes what an organisation's keys may be allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetMemberRoles {
    /// The organisation.
    pub member: MemberId,
    /// The roles from now on. A key keeps those of its own that are still among them.
    pub roles: BTreeSet<Role>,
}

/// Ends a membership; every signature of the member is refused from the next transaction on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeMember {
    /// The organisation.
    pub member: MemberId,
}

/// A ledger key of an organisation, bound to its X.509 certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberKey {
    /// The Ed25519 key that signs transactions, or votes.
    pub key: PublicKey,
    /// What this key may do; a part of what its member may.
    pub roles: BTreeSet<Role>,
    /// The organisation's certificate, then its intermediates.
    pub chain: Vec<Opaque>,
    /// The certificate's own key says that the ledger key is the organisation's.
    pub proof: KeyProof,
}

/// A signature by the key of a certificate over the binding of a ledger key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyProof {
    /// How it is signed.
    pub algorithm: ProofAlgorithm,
    /// The signature, as X.509 writes it for the algorithm.
    pub signature: Opaque,
}

/// The signature algorithms of certificates that Salus accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProofAlgorithm {
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// ECDSA over P-256 with SHA-256.
    EcdsaP256Sha256,
    /// ECDSA over P-384 with SHA-384.
    EcdsaP384Sha384,
    /// RSA PKCS#1 v1.5 with SHA-256, 2048 to 8192 bits.
    RsaPkcs1Sha256,
}

/// Binds one more key to a member, or binds a key of it anew under a newer certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindKey {
    /// The organisation.
    pub member: MemberId,
    /// The key and its certificate.
    pub key: MemberKey,
}

/// Ends a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeKey {
    /// The key.
    pub key: PublicKey,
}

/// Publishes a revocation list (RFC 5280, section 5) of a trusted authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishCrl {
    /// The list.
    pub crl: Opaque,
    /// The authority's certificate, then its intermediates; empty when it is a root of the
    /// configuration.
    pub issuer: Vec<Opaque>,
}

/// Shows two votes of one validator for different blocks of one height.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportEquivocation {
    /// The proof.
    pub evidence: Equivocation,
}

/// Replaces the platform configuration as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeConfig {
    /// The configuration that this one replaces; of two racing changes one loses.
    pub base: ConfigHash,
    /// The configuration from the next block on.
    pub config: PlatformConfig,
}

/// Makes another version of a contract's rules effective at a height.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivateContract {
    /// The contract.
    pub contract: Contract,
    /// The version of its rules.
    pub version: ContractVersion,
    /// The first block that they decide.
    pub at: Height,
}

/// Asks for nothing but a block, so that the state has a time that is recent.
///
/// A ledger on which nothing happens makes no blocks, and whoever relies on a permit has to know
/// that no revocation came since the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkTime {}
