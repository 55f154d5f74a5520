//! A development certificate authority, the same in every run.

use std::collections::BTreeSet;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ED25519, RevokedCertParams, SerialNumber,
    SigningKey as _, date_time_ymd,
};
use salus_ledger::call::{KeyProof, MemberKey, ProofAlgorithm};
use salus_ledger::policy::Role;
use salus_ledger::{Opaque, PublicKey, Signer, key_binding_message};
use salus_model::{MemberId, Secret};
use sha2::{Digest as _, Sha256};

/// A year, a month and a day.
pub type Day = (i32, u8, u8);

/// An Ed25519 key whose seed is the hash of a name.
pub fn seed(name: &str) -> [u8; 32] {
    Sha256::digest(name.as_bytes()).into()
}

pub fn signer(name: &str) -> Signer {
    Signer::new(&salus_crypto::SigningKey::from_secret(&Secret::new(seed(name))))
}

/// RFC 8410 wraps a 32-byte seed in these 16 bytes.
fn x509_key(name: &str) -> KeyPair {
    let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
    der.extend_from_slice(&seed(name));
    let der = rustls_pki_types::PrivatePkcs8KeyDer::from(der);
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).unwrap()
}

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub der: Opaque,
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, name);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params
}

/// What a certificate says beside its key.
pub struct Subject<'a> {
    pub organisation: &'a str,
    pub from: Day,
    pub until: Day,
    pub extra: Option<(DnType, &'a str)>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = x509_key(name);
        let params = ca_params(name);
        let der = Opaque::new(params.self_signed(&key).unwrap().der().to_vec());
        Self { issuer: Issuer::new(params, key), der }
    }

    /// An authority below this one.
    pub fn intermediate(&self, name: &str) -> Self {
        let key = x509_key(name);
        let params = ca_params(name);
        let der = Opaque::new(params.signed_by(&key, &self.issuer).unwrap().der().to_vec());
        Self { issuer: Issuer::new(params, key), der }
    }

    pub fn certificate(&self, key_name: &str, subject: &Subject<'_>) -> Opaque {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, subject.organisation);
        if let Some((kind, value)) = &subject.extra {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let (y, m, d) = subject.from;
        params.not_before = date_time_ymd(y, m, d);
        let (y, m, d) = subject.until;
        params.not_after = date_time_ymd(y, m, d);
        let serial: Vec<u8> = seed(&format!("serial {key_name} {:?}", subject.until))[..8].to_vec();
        params.serial_number = Some(SerialNumber::from(serial));
        let key = x509_key(key_name);
        Opaque::new(params.signed_by(&key, &self.issuer).unwrap().der().to_vec())
    }

    /// A ledger key named `key` for `member`, certified by this authority.
    pub fn member_key(&self, member: &MemberId, key: &str, roles: &[Role]) -> MemberKey {
        self.member_key_until(member, key, roles, (2027, 1, 1))
    }

    pub fn member_key_until(
        &self,
        member: &MemberId,
        key: &str,
        roles: &[Role],
        until: Day,
    ) -> MemberKey {
        let subject =
            Subject { organisation: member.as_str(), from: (2026, 1, 1), until, extra: None };
        let certificate = self.certificate(&format!("x509 {key}"), &subject);
        self.bind(member, key, roles, vec![certificate])
    }

    pub fn bind(
        &self,
        member: &MemberId,
        key: &str,
        roles: &[Role],
        chain: Vec<Opaque>,
    ) -> MemberKey {
        let public = signer(key).public_key();
        MemberKey {
            key: public,
            roles: roles.iter().copied().collect::<BTreeSet<_>>(),
            chain,
            proof: key_proof(member, &public, &format!("x509 {key}")),
        }
    }

    /// A revocation list that names these serial numbers.
    pub fn crl(&self, number: u64, serials: &[Vec<u8>], from: Day, next: Day) -> Opaque {
        let day = |(y, m, d): Day| date_time_ymd(y, m, d);
        let params = CertificateRevocationListParams {
            this_update: day(from),
            next_update: day(next),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: serials
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from(serial.clone()),
                    revocation_time: day(from),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Opaque::new(params.signed_by(&self.issuer).unwrap().der().to_vec())
    }
}

pub fn key_proof(member: &MemberId, key: &PublicKey, x509: &str) -> KeyProof {
    let signature = x509_key(x509).sign(&key_binding_message(member, key)).unwrap();
    KeyProof { algorithm: ProofAlgorithm::Ed25519, signature: Opaque::new(signature) }
}

/// The serial number of a certificate, as its authority's list names it.
pub fn serial_of(certificate: &Opaque) -> Vec<u8> {
    use x509_parser::prelude::FromDer as _;
    let (_, parsed) =
        x509_parser::certificate::X509Certificate::from_der(certificate.as_bytes()).unwrap();
    parsed.raw_serial().to_vec()
}
