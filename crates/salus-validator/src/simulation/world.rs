//! A small network, the same in every run: a hub that books money, and validators.

use std::collections::{BTreeMap, BTreeSet};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ED25519, SerialNumber, SigningKey as _, date_time_ymd,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use salus_ledger::call::{
    AdmitMember, ChangeConfig, IssueFunds, KeyProof, MemberKey, ProofAlgorithm,
};
use salus_ledger::config::{ConfigForm, Limits, PlatformConfig, Validator};
use salus_ledger::contract::Contract;
use salus_ledger::genesis::{Genesis, NetworkKind};
use salus_ledger::policy::{Policy, Role};
use salus_ledger::transaction::{SignedTransaction, Transaction};
use salus_ledger::{
    Commitment, Height, LedgerId, Money, Nonce, Opaque, Signer, key_binding_message,
};
use salus_model::{MemberId, Secret, Timestamp};
use sha2::{Digest as _, Sha256};

pub(crate) const HUB: &str = "hub";

pub(crate) fn seed(name: &str) -> [u8; 32] {
    Sha256::digest(name.as_bytes()).into()
}

pub(crate) fn secret(name: &str) -> Secret<[u8; 32]> {
    Secret::new(seed(name))
}

pub(crate) fn signer(name: &str) -> Signer {
    Signer::new(&salus_crypto::SigningKey::from_secret(&secret(name)))
}

pub(crate) fn member(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

/// RFC 8410 wraps a 32-byte seed in these 16 bytes.
fn x509_key(name: &str) -> KeyPair {
    let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
    der.extend_from_slice(&seed(name));
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ED25519).unwrap()
}

fn authority() -> (Opaque, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "Dev CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from(1_u64));
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    let key = x509_key("ca");
    let der = Opaque::new(params.self_signed(&key).unwrap().der().to_vec());
    (der, Issuer::new(params, key))
}

pub(crate) fn admission(
    issuer: &Issuer<'static, KeyPair>,
    name: &str,
    roles: &[Role],
) -> AdmitMember {
    let id = member(name);
    let key = signer(name).public_key();
    let x509 = x509_key(&format!("x509 {name}"));
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2039, 1, 1);
    params.serial_number = Some(SerialNumber::from(seed(name)[..8].to_vec()));
    let certificate = params.signed_by(&x509, issuer).unwrap();
    let signature = x509.sign(&key_binding_message(&id, &key)).unwrap();
    let proof = KeyProof { algorithm: ProofAlgorithm::Ed25519, signature: Opaque::new(signature) };
    let roles: BTreeSet<Role> = roles.iter().copied().collect();
    let chain = vec![Opaque::new(certificate.der().to_vec())];
    let key = MemberKey { key, roles: roles.clone(), chain, proof };
    AdmitMember { member: id, roles, keys: vec![key] }
}

pub(crate) fn validator_name(number: usize) -> String {
    format!("val-{number}")
}

fn listed(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<Validator> {
    numbers
        .into_iter()
        .map(validator_name)
        .map(|name| Validator { member: member(&name), key: signer(&name).public_key() })
        .collect()
}

/// A ledger on which the first `voting` of `known` validators order.
pub(crate) fn genesis(known: usize, voting: usize) -> Genesis {
    let (root, issuer) = authority();
    let mut members = vec![admission(&issuer, HUB, &[Role::Administrator, Role::Treasurer])];
    members.push(admission(&issuer, "uni", &[Role::Research]));
    for number in 0..known {
        members.push(admission(&issuer, &validator_name(number), &[Role::Validator]));
    }
    let form = ConfigForm {
        version: 0,
        roots: vec![root],
        validators: listed(0..voting),
        governance: Policy::role(Role::Administrator),
        policies: BTreeMap::new(),
        limits: Limits {
            block_bytes: 256 * 1024,
            block_transactions: 500,
            lifetime_blocks: 1000,
            clock_skew_micros: 5_000_000,
        },
        review: None,
    };
    Genesis {
        nonce: Nonce::new([7; 16]),
        kind: NetworkKind::Demonstration,
        time: "2026-03-01T00:00:00Z".parse::<Timestamp>().unwrap(),
        config: PlatformConfig::new(form).unwrap(),
        members,
        contracts: Contract::newest_rules(),
    }
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    Nonce::new(nonce)
}

/// Books `number` units for the university; no two numbers give the same transaction.
pub(crate) fn issue(ledger: LedgerId, number: u64) -> SignedTransaction {
    let call = IssueFunds {
        to: member("uni"),
        amount: Money::new(1 + number % 100),
        reference: Commitment::new(seed("payment")),
    };
    let tx = Transaction::new(ledger, nonce(number), Height::new(900), call);
    tx.draft().unwrap().sign(&signer(HUB)).finish().unwrap()
}

/// Makes these validators order from the next block on.
pub(crate) fn change_validators(
    ledger: LedgerId,
    before: &PlatformConfig,
    numbers: impl IntoIterator<Item = usize>,
) -> SignedTransaction {
    let mut form = before.form().clone();
    form.version += 1;
    form.validators = listed(numbers);
    let call =
        ChangeConfig { base: before.hash().unwrap(), config: PlatformConfig::new(form).unwrap() };
    let tx = Transaction::new(ledger, nonce(u64::MAX), Height::new(900), call);
    tx.draft().unwrap().sign(&signer(HUB)).finish().unwrap()
}
