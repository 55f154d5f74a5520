//! Certificates of the site's services.
//!
//! The site has a certificate authority of its own: its certificate, `ca.pem`, is what clients
//! verify with; its key is sealed under the site's master key. Certificates for the services are
//! issued at the start, hold for some days, and are issued anew while the services run; their keys
//! never touch a disk. A site with certificates from elsewhere names their files instead.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName as Name, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use salus_crypto::aead::Aad;
use salus_keys::KeyStore;
use salus_ledger::Opaque;
use salus_model::{Class, Classified, Clock, HolderId, KeyName, Timestamp};
use salus_store::{SealedError, open_sealed, seal_object};
use salus_validator::Identity;
use zeroize::Zeroizing;

use crate::config::TlsConfig;
use crate::keystore::SecretFileError;
use crate::site::{Site, SiteError};

/// The site's certificate authority, as clients want it.
pub const AUTHORITY_CERTIFICATE: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca-key";
const AUTHORITY_YEARS: u64 = 10;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a certificate of a service holds.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How far a client's clock may be behind.
const SKEW: Duration = Duration::from_secs(60 * 60);
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The authority's key does not open.
    #[error("the key of the site's certificate authority does not open")]
    AuthorityKey(#[source] SealedError),
    /// A certificate cannot be made.
    #[error("a certificate cannot be made; the names in salus.toml must be DNS names or addresses")]
    Make(#[source] rcgen::Error),
    /// A file cannot be read or written.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{} holds no {what} as PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The private key's file is refused.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error("{} and its key are not a pair that TLS can use", path.display())]
    Pair {
        /// The certificate.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// TLS cannot be set up, which is a bug.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

impl Classified for TlsError {
    fn class(&self) -> Class {
        match self {
            Self::AuthorityKey(e) => e.class(),
            Self::Make(_) | Self::Pem { .. } | Self::Pair { .. } => Class::BadRequest,
            Self::Io { .. } => Class::Unavailable,
            Self::Secret(e) => e.class(),
            Self::Setup(_) => Class::Bug,
        }
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> TlsError + use<> {
    let path = path.to_owned();
    move |source| TlsError::Io { path, source }
}

fn authority_aad(holder: &HolderId) -> Aad {
    Aad::new("salus site certificate authority v1", &[holder.as_str().as_bytes()])
}

/// The authority's name and powers, which follow from the holder's id alone.
fn authority_params(holder: &HolderId) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = Name::new();
    name.push(DnType::CommonName, format!("Salus site {holder}"));
    params.distinguished_name = name;
    // It issues for services, and makes no further authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn between(params: &mut CertificateParams, now: Timestamp, lifetime: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = epoch + Duration::from_micros(u64::try_from(now.as_micros()).unwrap_or_default());
    params.not_before = now - SKEW;
    params.not_after = now + lifetime;
}

/// Makes the site's certificate authority.
pub(crate) async fn make_authority(
    folder: &Path,
    holder: &HolderId,
    keys: &dyn KeyStore,
    site_key: &KeyName,
) -> Result<(), TlsError> {
    let key = KeyPair::generate().map_err(TlsError::Make)?;
    let mut params = authority_params(holder);
    let lifetime = DAY * u32::try_from(AUTHORITY_YEARS * 365).unwrap_or(u32::MAX);
    between(&mut params, crate::SystemClock.now(), lifetime);
    let certificate = params.self_signed(&key).map_err(TlsError::Make)?;
    let secret = Zeroizing::new(key.serialize_der());
    let sealed = seal_object(keys, site_key, &authority_aad(holder), &secret)
        .await
        .map_err(TlsError::AuthorityKey)?;
    let path = folder.join(AUTHORITY_KEY);
    crate::staff::write_private(&path, &sealed).map_err(io(&path))?;
    let path = folder.join(AUTHORITY_CERTIFICATE);
    std::fs::write(&path, certificate.pem()).map_err(io(&path))
}

/// Where certificates come from.
enum Source {
    Authority { issuer: Box<Issuer<'static, KeyPair>>, names: Vec<String>, holder: HolderId },
    Files { certificate: PathBuf, key: PathBuf },
}

/// The certificate that the services show at the moment, and how it is replaced.
pub struct Certificates {
    source: Source,
    clock: Arc<dyn Clock>,
    trust_pem: String,
    current: Arc<Current>,
}

/// What a handshake is answered with.
struct Current(RwLock<Shown>);

#[derive(Clone)]
struct Shown {
    key: Arc<CertifiedKey>,
    expires: Option<Timestamp>,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().key))
    }
}

impl Certificates {
    /// What clients verify with: the site's authority, or the configured chain, as PEM.
    #[must_use]
    pub fn trust_pem(&self) -> &str {
        &self.trust_pem
    }

    /// When the certificate that is shown now ends; none where that cannot be told.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.current.0.read().expires
    }

    /// Issues a new certificate, or reads the files anew; connections that are open stay.
    ///
    /// # Errors
    /// When it cannot be made or read; the one before stays.
    pub fn renew(&self) -> Result<(), TlsError> {
        let shown = show(&self.source, self.clock.now())?;
        *self.current.0.write() = shown;
        Ok(())
    }

    /// The server side of TLS for one service, with the protocols that it speaks.
    ///
    /// # Errors
    /// When TLS cannot be set up, which is a bug.
    pub fn server(&self, protocols: &[&str]) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// As [`Certificates::server`], for a service with routes that members of a ledger alone may
    /// use: it asks for a client certificate, and goes on without one.
    ///
    /// # Privacy
    /// The handshake proves that the caller has the certificate's key, and nothing else: what the
    /// certificate means is decided at each request ([`crate::MemberDoor`]). Under TLS 1.3 it is
    /// encrypted.
    ///
    /// # Errors
    /// When an authority's certificate cannot be read, or TLS cannot be set up.
    pub fn server_asking(
        &self,
        protocols: &[&str],
        authorities: &[Opaque],
    ) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut hints = RootCertStore::empty();
        for authority in authorities {
            let der = CertificateDer::from(authority.as_bytes().to_vec());
            hints.add(der).map_err(TlsError::Setup)?;
        }
        let verifier = AnyCertificate {
            hints: hints.subjects(),
            algorithms: provider.signature_verification_algorithms,
        };
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// Asks for a certificate, and takes any whose key the client has, or none.
#[derive(Debug)]
struct AnyCertificate {
    /// Whose certificates are wanted, so that browsers do not offer others.
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A client that trusts what `trusted_pem` holds and nothing else, and shows the certificate of
/// `identity` where it is asked for one.
pub(crate) fn client(
    trusted_pem: &str,
    identity: &Identity,
) -> Result<rustls::ClientConfig, TlsError> {
    let trusted = || PathBuf::from("what the node is verified with");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trusted_pem.as_bytes()) {
        let no_pem = |_| TlsError::Pem { path: trusted(), what: "certificate" };
        let pair = |source| TlsError::Pair { path: trusted(), source };
        roots.add(certificate.map_err(no_pem)?).map_err(pair)?;
    }
    if roots.is_empty() {
        return Err(TlsError::Pem { path: trusted(), what: "certificate" });
    }
    let chain = identity.chain.iter().map(|der| CertificateDer::from(der.as_bytes().to_vec()));
    let key = PrivateKeyDer::Pkcs8(identity.tls.expose().clone().into());
    let own = |source| TlsError::Pair { path: PathBuf::from("the membership"), source };
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.collect(), key)
        .map_err(own)
}

fn show(source: &Source, now: Timestamp) -> Result<Shown, TlsError> {
    match source {
        Source::Authority { issuer, names, holder } => {
            let key = KeyPair::generate().map_err(TlsError::Make)?;
            let certificate = issue(issuer, names, holder, &key, now)?;
            let lifetime = i64::try_from(LIFETIME.as_micros()).unwrap_or(i64::MAX);
            let der = PrivateKeyDer::Pkcs8(key.serialize_der().into());
            let shown = certified(vec![certificate.der().clone()], der, Path::new("the site"))?;
            Ok(Shown { key: shown, expires: Some(now.saturating_add_micros(lifetime)) })
        }
        Source::Files { certificate, key } => {
            let chain = read_chain(certificate)?;
            let secret = crate::keystore::read_secret(key)?;
            let der = PrivateKeyDer::from_pem_slice(secret.expose().as_bytes())
                .map_err(|_| TlsError::Pem { path: key.clone(), what: "private key" })?;
            let expires = chain.first().and_then(|leaf| not_after(leaf));
            Ok(Shown { key: certified(chain, der, certificate)?, expires })
        }
    }
}

fn issue(
    issuer: &Issuer<'static, KeyPair>,
    names: &[String],
    holder: &HolderId,
    key: &KeyPair,
    now: Timestamp,
) -> Result<Certificate, TlsError> {
    let mut params = CertificateParams::new(names).map_err(TlsError::Make)?;
    let mut name = Name::new();
    name.push(DnType::CommonName, format!("Salus node of {holder}"));
    params.distinguished_name = name;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    between(&mut params, now, LIFETIME);
    params.signed_by(key, issuer).map_err(TlsError::Make)
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    path: &Path,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let provider = rustls::crypto::ring::default_provider();
    let pair = CertifiedKey::from_der(chain, key, &provider);
    pair.map(Arc::new).map_err(|source| TlsError::Pair { path: path.to_owned(), source })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = std::fs::read(path).map_err(io(path))?;
    let no_pem = || TlsError::Pem { path: path.to_owned(), what: "certificate" };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|_| no_pem())?;
    if chain.is_empty() { Err(no_pem()) } else { Ok(chain) }
}

fn not_after(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Timestamp::from_micros(parsed.validity().not_after.timestamp().saturating_mul(1_000_000)).ok()
}

/// A certificate in the site's folder, as `doctor` and `node certificate` tell of it.
#[derive(Debug, Clone)]
pub struct TrustFile {
    /// The file.
    pub path: PathBuf,
    /// Its content.
    pub pem: String,
    /// When its first certificate ends.
    pub expires: Option<Timestamp>,
}

/// What clients verify the site's services with; the key store is not needed for it.
///
/// # Errors
/// When the file cannot be read or holds no certificate.
pub fn trust_of(folder: &Path, config: &TlsConfig) -> Result<TrustFile, TlsError> {
    let path = match config {
        TlsConfig::SiteAuthority { .. } => folder.join(AUTHORITY_CERTIFICATE),
        TlsConfig::Files { certificate, .. } => folder.join(certificate),
    };
    let expires = read_chain(&path)?.first().and_then(|first| not_after(first));
    let pem = std::fs::read_to_string(&path).map_err(io(&path))?;
    Ok(TrustFile { path, pem, expires })
}

impl Site {
    /// The site's certificates: issued now, or read from the configured files.
    ///
    /// # Errors
    /// When the authority's key does not open, or the files do not fit.
    pub async fn certificates(&self) -> Result<Certificates, SiteError> {
        let trust = trust_of(&self.folder, &self.config.tls)?;
        let source = match &self.config.tls {
            TlsConfig::SiteAuthority { names } => {
                let names = LOOPBACK.iter().map(|n| (*n).to_owned()).chain(names.iter().cloned());
                let issuer = Box::new(self.issuer().await?);
                let holder = self.config.holder.clone();
                Source::Authority { issuer, names: names.collect(), holder }
            }
            TlsConfig::Files { certificate, key } => Source::Files {
                certificate: self.folder.join(certificate),
                key: self.folder.join(key),
            },
        };
        let shown = show(&source, self.clock.now())?;
        let current = Arc::new(Current(RwLock::new(shown)));
        let clock = Arc::clone(&self.clock);
        Ok(Certificates { source, clock, trust_pem: trust.pem, current })
    }

    async fn issuer(&self) -> Result<Issuer<'static, KeyPair>, SiteError> {
        let path = self.folder.join(AUTHORITY_KEY);
        let sealed = std::fs::read(&path).map_err(io(&path))?;
        let holder = &self.config.holder;
        let secret = open_sealed(&*self.keys, &self.master, &authority_aad(holder), &sealed)
            .await
            .map_err(TlsError::AuthorityKey)?;
        let key = KeyPair::try_from(secret.as_slice()).map_err(TlsError::Make)?;
        Ok(Issuer::new(authority_params(holder), key))
    }
}
