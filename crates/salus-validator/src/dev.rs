//! A network for development and demonstration: an authority, members and validators with their
//! folders, made in one go. Its genesis says that it is a demonstration, for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, RevokedCertParams, SerialNumber,
    SigningKey as _,
};
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_crypto::{OsEntropy, SigningKey};
use salus_ledger::call::{AdmitMember, KeyProof, MemberKey, ProofAlgorithm, PublishCrl};
use salus_ledger::config::{ConfigForm, Limits, PlatformConfig, Validator};
use salus_ledger::contract::Contract;
use salus_ledger::genesis::{Genesis, NetworkKind};
use salus_ledger::policy::{Policy, Role};
use salus_ledger::{Nonce, Opaque, key_binding_message};
use salus_model::{Class, Classified, Entropy as _, MemberId, Secret, Timestamp};

use crate::folder::{Folder, FolderError, Identity, Peer, ValidatorConfig};

const YEAR_SECONDS: i64 = 365 * 24 * 3600;

/// Why a development network cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// A certificate cannot be made.
    #[error("a certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// No random bytes.
    #[error("no random bytes could be drawn")]
    Entropy(#[from] salus_model::EntropyFailed),
    /// A folder cannot be written.
    #[error("a validator's folder cannot be written")]
    Folder(#[from] FolderError),
    /// A name is no member's.
    #[error("'{0}' is no name for a member")]
    Name(String),
    /// A rule of the ledger is broken.
    #[error("the genesis is none: {0}")]
    Genesis(String),
    /// No free port on the loopback interface.
    #[error("no free port was found")]
    Port(#[source] std::io::Error),
}

impl Classified for DevError {
    fn class(&self) -> Class {
        match self {
            Self::Folder(error) => error.class(),
            Self::Name(_) | Self::Genesis(_) => Class::BadRequest,
            _ => Class::Unavailable,
        }
    }
}

fn since_epoch(at: Timestamp) -> std::time::Duration {
    std::time::Duration::from_micros(u64::try_from(at.as_micros()).unwrap_or(0))
}

/// A certificate authority for development.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: Opaque,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(redacted)")
    }
}

impl Authority {
    /// An authority that certifies organisations.
    ///
    /// # Errors
    /// When no key can be drawn.
    pub fn new(name: &str) -> Result<Self, DevError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, name);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = Opaque::new(params.self_signed(&key)?.der().to_vec());
        Ok(Self { issuer: Issuer::new(params, key), root })
    }

    /// Its own certificate.
    #[must_use]
    pub const fn root(&self) -> &Opaque {
        &self.root
    }

    /// An organisation's certificate over its key, for a window around now.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn certify(
        &self,
        organisation: &str,
        key: &KeyPair,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Opaque, DevError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, organisation);
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + since_epoch(from);
        params.not_after = epoch + since_epoch(until);
        Ok(Opaque::new(params.signed_by(key, &self.issuer)?.der().to_vec()))
    }

    /// The authority's revocation list of this number, with these certificates on it since a minute
    /// before `now`; the next one is due in a week.
    ///
    /// # Errors
    /// When a certificate cannot be read, or the list cannot be signed.
    pub fn revoke(
        &self,
        certificates: &[&Opaque],
        number: u64,
        now: Timestamp,
    ) -> Result<PublishCrl, DevError> {
        use x509_parser::prelude::FromDer as _;
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let since = epoch + since_epoch(now.saturating_add_micros(-60_000_000));
        let mut revoked_certs = Vec::new();
        for certificate in certificates {
            let parsed =
                x509_parser::certificate::X509Certificate::from_der(certificate.as_bytes());
            let (_, parsed) = parsed.map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
            revoked_certs.push(RevokedCertParams {
                serial_number: SerialNumber::from(parsed.raw_serial().to_vec()),
                revocation_time: since,
                reason_code: None,
                invalidity_date: None,
            });
        }
        let params = CertificateRevocationListParams {
            this_update: since,
            next_update: since + std::time::Duration::from_secs(7 * 24 * 3600),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let crl = Opaque::new(params.signed_by(&self.issuer)?.der().to_vec());
        Ok(PublishCrl { crl, issuer: Vec::new() })
    }

    /// A member's ledger key with a certificate of ten years, and the secrets of both.
    ///
    /// # Errors
    /// When the name is none, or no key can be drawn.
    pub fn enrol(
        &self,
        name: &str,
        roles: &[Role],
        now: Timestamp,
    ) -> Result<(AdmitMember, Identity), DevError> {
        let until = now.saturating_add_micros(10 * YEAR_SECONDS * 1_000_000);
        self.enrol_until(name, roles, now, until)
    }

    /// [`Authority::enrol`] with a certificate that ends at a moment.
    ///
    /// # Errors
    /// As there.
    pub fn enrol_until(
        &self,
        name: &str,
        roles: &[Role],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(AdmitMember, Identity), DevError> {
        let member = MemberId::new(name).map_err(|_| DevError::Name(name.to_owned()))?;
        let ledger = SigningKey::generate(&mut OsEntropy)?;
        let public = salus_ledger::Signer::new(&ledger).public_key();
        let tls = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let from = now.saturating_add_micros(-86_400_000_000);
        let certificate = self.certify(name, &tls, from, until)?;
        let signature = tls.sign(&key_binding_message(&member, &public))?;
        let roles: BTreeSet<Role> = roles.iter().copied().collect();
        let key = MemberKey {
            key: public,
            roles: roles.clone(),
            chain: vec![certificate.clone()],
            proof: KeyProof {
                algorithm: ProofAlgorithm::EcdsaP256Sha256,
                signature: Opaque::new(signature),
            },
        };
        let identity = Identity {
            ledger: ledger.to_secret(),
            tls: Secret::new(tls.serialize_der()),
            chain: vec![certificate],
        };
        Ok((AdmitMember { member, roles, keys: vec![key] }, identity))
    }
}

/// A development network that has not begun yet.
#[derive(Debug)]
pub struct DevNetwork {
    /// Its authority.
    pub authority: Authority,
    /// Its genesis.
    pub genesis: Genesis,
    /// The secrets of its members, by name.
    pub members: BTreeMap<String, Identity>,
    /// The secrets of its validators, in the order of their names.
    pub validators: Vec<(String, Identity)>,
}

impl DevNetwork {
    /// A network of so many validators, `val-01` and so on, and of these members.
    ///
    /// # Errors
    /// When a name is none, or the genesis breaks a rule.
    pub fn new(
        validators: usize,
        members: &[(&str, &[Role])],
        governance: Policy,
        now: Timestamp,
    ) -> Result<Self, DevError> {
        let authority = Authority::new("Salus development authority")?;
        let (mut admitted, mut secrets) = (Vec::new(), BTreeMap::new());
        for (name, roles) in members {
            let (admission, identity) = authority.enrol(name, roles, now)?;
            admitted.push(admission);
            secrets.insert((*name).to_owned(), identity);
        }
        let (mut listed, mut identities) = (BTreeSet::new(), Vec::new());
        for number in 1..=validators {
            let name = format!("val-{number:02}");
            let (admission, identity) = authority.enrol(&name, &[Role::Validator], now)?;
            let key = identity.signer().public_key();
            listed.insert(Validator { member: admission.member.clone(), key });
            admitted.push(admission);
            identities.push((name, identity));
        }
        let form = ConfigForm {
            version: 0,
            roots: vec![authority.root().clone()],
            validators: listed,
            governance,
            policies: BTreeMap::new(),
            limits: DEV_LIMITS,
            review: None,
        };
        let config =
            PlatformConfig::new(form).map_err(|error| DevError::Genesis(error.to_string()))?;
        let mut nonce = [0; 16];
        OsEntropy.fill(&mut nonce)?;
        let genesis = Genesis {
            nonce: Nonce::new(nonce),
            kind: NetworkKind::Demonstration,
            time: now,
            config,
            members: admitted,
            contracts: Contract::newest_rules(),
        };
        genesis.found().map_err(|error| DevError::Genesis(error.to_string()))?;
        Ok(Self { authority, genesis, members: secrets, validators: identities })
    }

    /// Lays out one folder per validator below `path`, on free ports of the loopback interface.
    ///
    /// # Errors
    /// When a folder cannot be written, or no port is free.
    pub fn lay_out(
        &self,
        path: &Path,
        passphrase: &Passphrase,
        cost: GuessCost,
    ) -> Result<Vec<Folder>, DevError> {
        let ports = free_ports(self.validators.len() * 2)?;
        let (listen, api) = ports.split_at(self.validators.len());
        let peers: Vec<Peer> = self
            .validators
            .iter()
            .zip(listen)
            .map(|((_, identity), address)| Peer {
                key: identity.signer().public_key(),
                address: *address,
            })
            .collect();
        let lay = |number: usize| -> Result<Folder, DevError> {
            let missing = || DevError::Genesis("a validator has no port".to_owned());
            let (name, identity) = self.validators.get(number).ok_or_else(missing)?;
            let listen = *listen.get(number).ok_or_else(missing)?;
            let api = *api.get(number).ok_or_else(missing)?;
            let own = identity.signer().public_key();
            let peers = peers.iter().filter(|peer| peer.key != own).cloned().collect();
            let config = ValidatorConfig { listen, api, peers, keep_blocks: None, explorer: None };
            let folder = Folder::at(path.join(name));
            folder.create(&config, identity, &self.genesis, passphrase, cost, &mut OsEntropy)?;
            Ok(folder)
        };
        // Each stretches the passphrase anew, which is meant to take its time.
        std::thread::scope(|scope| {
            let lay = &lay;
            let laying: Vec<_> =
                (0..self.validators.len()).map(|number| scope.spawn(move || lay(number))).collect();
            let stopped = |_| DevError::Genesis("a folder was not finished".to_owned());
            laying.into_iter().map(|thread| thread.join().map_err(stopped)?).collect()
        })
    }
}

/// An HTTPS client that shows an identity's certificate, and trusts a ledger's authorities.
///
/// # Errors
/// When the certificate or its key cannot be used.
pub fn http_client(identity: &Identity, roots: &[Opaque]) -> Result<reqwest::Client, DevError> {
    let tls = crate::api::client_config(identity, roots)
        .map_err(|error| DevError::Genesis(error.to_string()))?;
    let client = reqwest::Client::builder().use_preconfigured_tls(tls).no_proxy().build();
    client.map_err(|error| DevError::Genesis(error.to_string()))
}

/// Blocks of at most a megabyte and five hundred transactions; a transaction lives a thousand
/// blocks.
pub const DEV_LIMITS: Limits = Limits {
    block_bytes: 1024 * 1024,
    block_transactions: 500,
    lifetime_blocks: 10_000,
    clock_skew_micros: 5_000_000,
};

/// Ports that were free a moment ago, below those that outgoing connections take: a validator that
/// restarts finds its own free again.
///
/// # Errors
/// When too few are free.
pub fn free_ports(count: usize) -> Result<Vec<SocketAddr>, DevError> {
    let mut start = [0; 2];
    OsEntropy.fill(&mut start)?;
    let start = u16::from_be_bytes(start) % 10_000;
    let (mut held, mut last) = (Vec::new(), std::io::ErrorKind::AddrInUse.into());
    for step in 0..10_000 {
        if held.len() == count {
            break;
        }
        let port = 20_000 + (start + step) % 10_000;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => held.push(listener),
            Err(error) => last = error,
        }
    }
    if held.len() < count {
        return Err(DevError::Port(last));
    }
    held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>().map_err(DevError::Port)
}
