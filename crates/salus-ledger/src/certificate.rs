//! X.509 certificates of organisations: chains, key proofs and revocation lists.
//!
//! Path validation is `rustls-webpki`'s; this module adds what a ledger of organisations wants on
//! top, and reads the fields that the state keeps. Time is always the block's.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use salus_model::Timestamp;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{
    CertificateRevocationList, FromDer as _, GeneralName, ParsedExtension, X509Certificate,
    X509Name,
};
use x509_parser::time::ASN1Time;

use crate::call::{KeyProof, MemberKey, ProofAlgorithm};
use crate::contract::records::{CertificateRecord, Serial};
use crate::words::{Fingerprint, Opaque, PublicKey};

/// The most certificates of one chain.
pub(crate) const MAX_CHAIN: usize = 4;
/// The most bytes of one certificate.
const MAX_CERTIFICATE_BYTES: usize = 4096;
const BINDING: &[u8] = b"salus-ledger/key-binding/v1\0";

/// Why a certificate, a key proof or a revocation list does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No certificate, too many, or one that is too large.
    #[error("a chain has 1 to {MAX_CHAIN} certificates of at most {MAX_CERTIFICATE_BYTES} bytes")]
    Size,
    /// Not a certificate.
    #[error("certificate {position} of the chain cannot be read (counted from 1)")]
    Unreadable {
        /// Which one.
        position: usize,
    },
    /// A certificate that names a person.
    #[error(
        "certificate {position} names a person (e-mail, given name, surname, user id or serial number); use one of the organisation"
    )]
    Personal {
        /// Which one.
        position: usize,
    },
    /// A certificate without an organisation.
    #[error("the certificate's subject has no organisation (O)")]
    NoOrganisation,
    /// The chain leads to no root of the configuration, or breaks a rule of RFC 5280.
    #[error("the chain is not valid at the block's time: {reason}")]
    Chain {
        /// What the path validation says.
        reason: String,
    },
    /// The certificates do not follow each other.
    #[error("certificate {position} is not issued by the one that follows it")]
    Order {
        /// Which one.
        position: usize,
    },
    /// The certificate's key did not sign the binding.
    #[error("the key proof is not a signature of the certificate's key over this member and key")]
    Proof,
    /// Not a revocation list, or without a number.
    #[error("the revocation list cannot be read, or has no CRL number")]
    UnreadableCrl,
    /// A revocation list that no trusted authority signed.
    #[error("the revocation list is not signed by a trusted authority")]
    ForgedCrl,
    /// A revocation list from the future, or one that was over before the block.
    #[error("the revocation list is not current at the block's time")]
    CrlNotCurrent,
}

const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::ring::ED25519,
    webpki::ring::ECDSA_P256_SHA256,
    webpki::ring::ECDSA_P256_SHA384,
    webpki::ring::ECDSA_P384_SHA256,
    webpki::ring::ECDSA_P384_SHA384,
    webpki::ring::RSA_PKCS1_2048_8192_SHA256,
    webpki::ring::RSA_PKCS1_2048_8192_SHA384,
    webpki::ring::RSA_PKCS1_2048_8192_SHA512,
];

/// What the key of a certificate signs to bind a ledger key to its member.
#[must_use]
pub fn key_binding_message(member: &salus_model::MemberId, key: &PublicKey) -> Vec<u8> {
    let name = member.as_str().as_bytes();
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    [BINDING, &[length], name, key.as_bytes()].concat()
}

/// Checks a member key's chain and its proof at a moment.
pub(crate) fn check_member_key(
    member: &salus_model::MemberId,
    key: &MemberKey,
    roots: &[Opaque],
    at: Timestamp,
) -> Result<CertificateRecord, CertificateError> {
    let record = check_chain(&key.chain, roots, at)?;
    let leaf = key.chain.first().ok_or(CertificateError::Size)?;
    check_proof(leaf, &key.proof, &key_binding_message(member, &key.key))?;
    Ok(record)
}

fn check_proof(leaf: &Opaque, proof: &KeyProof, message: &[u8]) -> Result<(), CertificateError> {
    let algorithm: &dyn SignatureVerificationAlgorithm = match proof.algorithm {
        ProofAlgorithm::Ed25519 => webpki::ring::ED25519,
        ProofAlgorithm::EcdsaP256Sha256 => webpki::ring::ECDSA_P256_SHA256,
        ProofAlgorithm::EcdsaP384Sha384 => webpki::ring::ECDSA_P384_SHA384,
        ProofAlgorithm::RsaPkcs1Sha256 => webpki::ring::RSA_PKCS1_2048_8192_SHA256,
    };
    let der = CertificateDer::from(leaf.as_bytes());
    let certificate = webpki::EndEntityCert::try_from(&der)
        .map_err(|_| CertificateError::Unreadable { position: 1 })?;
    certificate
        .verify_signature(algorithm, message, proof.signature.as_bytes())
        .map_err(|_| CertificateError::Proof)
}

/// Checks a chain of organisations' certificates from the leaf upwards.
fn check_chain(
    chain: &[Opaque],
    roots: &[Opaque],
    at: Timestamp,
) -> Result<CertificateRecord, CertificateError> {
    let too_large = chain.iter().any(|der| der.as_bytes().len() > MAX_CERTIFICATE_BYTES);
    if !(1..=MAX_CHAIN).contains(&chain.len()) || too_large {
        return Err(CertificateError::Size);
    }
    let mut parsed = Vec::with_capacity(chain.len());
    for (index, der) in chain.iter().enumerate() {
        let position = index + 1;
        let certificate = parse(der).ok_or(CertificateError::Unreadable { position })?;
        if names_a_person(&certificate) {
            return Err(CertificateError::Personal { position });
        }
        parsed.push(certificate);
    }
    if parsed.first().is_none_or(|leaf| leaf.subject().iter_organization().next().is_none()) {
        return Err(CertificateError::NoOrganisation);
    }
    check_path(chain, roots, at)?;
    record(chain, &parsed, roots)
}

fn parse(der: &Opaque) -> Option<X509Certificate<'_>> {
    match X509Certificate::from_der(der.as_bytes()) {
        Ok(([], certificate)) => Some(certificate),
        _ => None,
    }
}

/// The rules of RFC 5280, section 6, by `rustls-webpki`.
fn check_path(chain: &[Opaque], roots: &[Opaque], at: Timestamp) -> Result<(), CertificateError> {
    let refused = |reason: String| CertificateError::Chain { reason };
    let seconds = u64::try_from(at.as_micros() / 1_000_000)
        .map_err(|_| refused("the block's time is before 1970".into()))?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let ders: Vec<CertificateDer<'_>> =
        chain.iter().map(|der| CertificateDer::from(der.as_bytes())).collect();
    let roots: Vec<CertificateDer<'_>> =
        roots.iter().map(|der| CertificateDer::from(der.as_bytes())).collect();
    let anchors: Vec<TrustAnchor<'_>> =
        roots.iter().filter_map(|der| webpki::anchor_from_trusted_cert(der).ok()).collect();
    let (leaf, intermediates) = ders.split_first().ok_or(CertificateError::Size)?;
    let leaf = webpki::EndEntityCert::try_from(leaf)
        .map_err(|_| CertificateError::Unreadable { position: 1 })?;
    let usage = webpki::KeyUsage::client_auth();
    leaf.verify_for_usage(ALGORITHMS, &anchors, intermediates, time, usage, None, None)
        .map(|_| ())
        .map_err(|e| refused(format!("{e:?}").chars().take(80).collect()))
}

/// What the state keeps of a chain: its window and, link by link, issuer and serial number.
fn record(
    chain: &[Opaque],
    parsed: &[X509Certificate<'_>],
    roots: &[Opaque],
) -> Result<CertificateRecord, CertificateError> {
    let mut not_before = Timestamp::EPOCH;
    let mut not_after = None;
    let mut serials = Vec::with_capacity(parsed.len());
    for (index, certificate) in parsed.iter().enumerate() {
        let wrong_order = CertificateError::Order { position: index + 1 };
        let issuer = match parsed.get(index + 1) {
            Some(next) if next.subject().as_raw() == certificate.issuer().as_raw() => {
                key_fingerprint(next)
            }
            Some(_) => return Err(wrong_order),
            None => root_of(certificate, roots).ok_or(wrong_order)?,
        };
        serials
            .push(Serial { issuer, serial: Opaque::new(plain_serial(certificate.raw_serial())) });
        not_before = not_before.max(moment(certificate.validity().not_before));
        let end = moment(certificate.validity().not_after);
        not_after = Some(not_after.map_or(end, |known: Timestamp| known.min(end)));
    }
    let leaf = chain.first().ok_or(CertificateError::Size)?;
    Ok(CertificateRecord {
        fingerprint: Fingerprint::new(Sha256::digest(leaf.as_bytes()).into()),
        not_before,
        not_after: not_after.ok_or(CertificateError::Size)?,
        serials,
    })
}

/// A serial number without leading zeros, which authorities write now with and now without.
fn plain_serial(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().skip_while(|byte| *byte == 0).collect()
}

fn key_fingerprint(certificate: &X509Certificate<'_>) -> Fingerprint {
    Fingerprint::new(Sha256::digest(certificate.public_key().raw).into())
}

/// The root that signed the chain's last certificate.
fn root_of(last: &X509Certificate<'_>, roots: &[Opaque]) -> Option<Fingerprint> {
    roots.iter().filter_map(parse).find_map(|root| {
        let signed = root.subject().as_raw() == last.issuer().as_raw()
            && last.verify_signature(Some(root.public_key())).is_ok();
        signed.then(|| key_fingerprint(&root))
    })
}

fn moment(time: ASN1Time) -> Timestamp {
    let micros = time.timestamp().saturating_mul(1_000_000);
    Timestamp::EPOCH.saturating_add_micros(micros)
}

/// E-mail address, surname, serial number, title, given name, initials, pseudonym, user id.
const PERSONAL: &[&str] = &[
    "1.2.840.113549.1.9.1",
    "2.5.4.4",
    "2.5.4.5",
    "2.5.4.12",
    "2.5.4.42",
    "2.5.4.43",
    "2.5.4.65",
    "0.9.2342.19200300.100.1.1",
    "0.9.2342.19200300.100.1.3",
];

fn names_a_person(certificate: &X509Certificate<'_>) -> bool {
    let personal = |name: &X509Name<'_>| {
        name.iter_attributes().any(|a| PERSONAL.contains(&a.attr_type().to_id_string().as_str()))
    };
    let personal_alternative = certificate.extensions().iter().any(|extension| {
        let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else {
            return false;
        };
        names.general_names.iter().any(|name| match name {
            GeneralName::RFC822Name(_) | GeneralName::OtherName(..) => true,
            GeneralName::DirectoryName(name) => personal(name),
            _ => false,
        })
    });
    personal(certificate.subject()) || personal_alternative
}

/// A revocation list that a trusted authority signed.
#[derive(Debug)]
pub(crate) struct CheckedCrl {
    pub(crate) issuer: Fingerprint,
    pub(crate) number: u64,
    pub(crate) next_update: Option<Timestamp>,
    pub(crate) revoked: Vec<(Vec<u8>, Timestamp)>,
}

/// Checks a revocation list: who signed it, and that it is current at the moment.
pub(crate) fn check_crl(
    crl: &Opaque,
    issuer: &[Opaque],
    roots: &[Opaque],
    at: Timestamp,
) -> Result<CheckedCrl, CertificateError> {
    let Ok(([], list)) = CertificateRevocationList::from_der(crl.as_bytes()) else {
        return Err(CertificateError::UnreadableCrl);
    };
    let number = list.crl_number().and_then(|n| n.to_u64_digits().first().copied());
    let number = number.ok_or(CertificateError::UnreadableCrl)?;
    let issuer = crl_issuer(&list, issuer, roots, at)?;
    let next_update = list.next_update().map(moment);
    if moment(list.last_update()) > at || next_update.is_some_and(|next| next <= at) {
        return Err(CertificateError::CrlNotCurrent);
    }
    let revoked = list
        .iter_revoked_certificates()
        .map(|entry| (plain_serial(entry.raw_serial()), moment(entry.revocation_date)))
        .collect();
    Ok(CheckedCrl { issuer, number, next_update, revoked })
}

fn crl_issuer(
    list: &CertificateRevocationList<'_>,
    issuer: &[Opaque],
    roots: &[Opaque],
    at: Timestamp,
) -> Result<Fingerprint, CertificateError> {
    let signed_by = |authority: &X509Certificate<'_>| {
        let may = authority.key_usage().ok().flatten().is_none_or(|usage| usage.value.crl_sign());
        may && authority.subject().as_raw() == list.issuer().as_raw()
            && list.verify_signature(authority.public_key()).is_ok()
    };
    let Some(first) = issuer.first() else {
        let root = roots.iter().filter_map(parse).find(signed_by);
        return root.map(|root| key_fingerprint(&root)).ok_or(CertificateError::ForgedCrl);
    };
    // An intermediate authority: linked by signatures up to a root, valid at the moment.
    let authority = parse(first).ok_or(CertificateError::Unreadable { position: 1 })?;
    let record = check_authority_chain(issuer, roots)?;
    let current = record.0 <= at && at <= record.1;
    let trusted = current && authority.is_ca() && signed_by(&authority);
    if trusted { Ok(key_fingerprint(&authority)) } else { Err(CertificateError::ForgedCrl) }
}

/// The window of a chain of authorities, every link of which is signed by the next.
fn check_authority_chain(
    chain: &[Opaque],
    roots: &[Opaque],
) -> Result<(Timestamp, Timestamp), CertificateError> {
    if chain.len() > MAX_CHAIN {
        return Err(CertificateError::Size);
    }
    let parsed: Option<Vec<_>> = chain.iter().map(parse).collect();
    let parsed = parsed.ok_or(CertificateError::Unreadable { position: 1 })?;
    for (index, pair) in parsed.windows(2).enumerate() {
        let [lower, upper] = pair else { continue };
        if !upper.is_ca() || lower.verify_signature(Some(upper.public_key())).is_err() {
            return Err(CertificateError::Order { position: index + 1 });
        }
    }
    let record = record(chain, &parsed, roots)?;
    Ok((record.not_before, record.not_after))
}
