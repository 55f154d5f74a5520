//! Mutual TLS between organisations: certificates are checked against the members on the ledger.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme,
};
use salus_ledger::query::{Holder, HolderError, certificate_holder};
use salus_ledger::{Fingerprint, Opaque};
use salus_model::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::folder::Identity;
use crate::store::Reader;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// SHA-256 over a certificate.
pub(crate) fn fingerprint(certificate: &[u8]) -> Fingerprint {
    Fingerprint::new(Sha256::digest(certificate).into())
}

fn chain(identity: &Identity) -> Vec<CertificateDer<'static>> {
    identity.chain.iter().map(|der| CertificateDer::from(der.as_bytes().to_vec())).collect()
}

fn private_key(identity: &Identity) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.tls.expose().clone()))
}

/// The server's side: whoever shows no certificate of a member is not let in.
pub(crate) fn server_config(
    identity: &Identity,
    reader: Reader,
) -> Result<Arc<ServerConfig>, Error> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Arc::new(MembersOnly { reader, algorithms });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(identity), private_key(identity))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The client's side: the server's certificate leads to one of the ledger's authorities.
pub(crate) fn client_config(identity: &Identity, roots: &[Opaque]) -> Result<ClientConfig, Error> {
    let provider = provider();
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(CertificateDer::from(root.as_bytes().to_vec()))?;
    }
    let verifier = Arc::new(LedgerAuthorities {
        roots: store,
        algorithms: provider.signature_verification_algorithms,
    });
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(chain(identity), private_key(identity))
}

/// Lets in whoever holds the key of a certificate that is bound to a member's key.
#[derive(Debug)]
struct MembersOnly {
    reader: Reader,
    algorithms: WebPkiSupportedAlgorithms,
}

fn moment(now: UnixTime) -> Timestamp {
    let micros = i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    Timestamp::from_micros(micros).unwrap_or(Timestamp::EPOCH)
}

fn tls_error(error: &HolderError) -> Error {
    match error {
        HolderError::Unknown => CertificateError::UnknownIssuer.into(),
        HolderError::Revoked { .. } | HolderError::CertificateRevoked { .. } => {
            CertificateError::Revoked.into()
        }
        HolderError::NotValidNow { .. } => CertificateError::Expired.into(),
        HolderError::State(_) => Error::General("the ledger cannot be read".into()),
    }
}

/// The member behind a certificate, as the last committed block has it.
pub(crate) fn member_behind(
    reader: &Reader,
    certificate: &[u8],
    now: Timestamp,
) -> Result<Holder, Error> {
    let view = reader.view().map_err(|_| Error::General("the ledger cannot be read".into()))?;
    let holder = certificate_holder(&view, &fingerprint(certificate), now);
    let holder = holder.map_err(|error| {
        tracing::warn!(%error, "a connection is refused");
        tls_error(&error)
    })?;
    if let Some(since) = holder.expired {
        tracing::warn!(member = %holder.member, %since, "a validator's certificate has expired; it is let in, renew it");
    }
    Ok(holder)
}

impl ClientCertVerifier for MembersOnly {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    /// The certificate was checked against the authorities when a block bound it; what counts now
    /// is that binding, and what the ledger says of it since.
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        member_behind(&self.reader, end_entity, moment(now))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Accepts servers whose certificates lead to an authority of the ledger, whatever their host name.
///
/// # Privacy
/// Certificates of the ledger name organisations and no hosts. Another member that sits in the
/// way would see what it may read anyway, and cannot change anything: transactions are signed end
/// to end, and the client checks the proof in every answer.
#[derive(Debug)]
struct LedgerAuthorities {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
}

impl LedgerAuthorities {
    fn check(
        &self,
        certificate: &ParsedCertificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            certificate,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )
    }
}

/// The last moment at which a certificate was valid.
fn last_moment(certificate: &[u8]) -> Option<UnixTime> {
    use x509_parser::prelude::FromDer as _;
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
    Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
}

impl ServerCertVerifier for LedgerAuthorities {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        match self.check(&certificate, intermediates, now) {
            Ok(()) => {}
            // No expiry stops the ledger: the chain still has to hold as of its last moment.
            Err(Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => {
                let last = last_moment(end_entity).ok_or(CertificateError::BadEncoding)?;
                self.check(&certificate, intermediates, last.min(now))?;
                tracing::warn!(
                    "a validator's certificate has expired; its operator has to renew it"
                );
            }
            Err(error) => return Err(error),
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
