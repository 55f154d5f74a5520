use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use salus_model::{Class, Classified, Secret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Why a private key file is refused.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("the file {path} cannot be read")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others on this machine can read it.
    #[error("the file {path} holds a secret that others can read; run: chmod 600 {path}")]
    Readable {
        /// The file.
        path: PathBuf,
    },
    /// It is neither PEM nor a JSON Web Key.
    #[error("{path} is neither a PEM private key nor a JSON Web Key with its private part")]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// A kind of key that SMART does not name.
    #[error(
        "{path} is no RSA key of 2048 bits or more and no P-384 key; make one with: openssl \
         genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384"
    )]
    Kind {
        /// The file.
        path: PathBuf,
    },
    /// No key id.
    #[error("the server has to be told which key signs: name it as it is registered (--key-id)")]
    NoKeyId,
}

impl Classified for KeyFileError {
    fn class(&self) -> Class {
        match self {
            Self::Io { .. } => Class::Unavailable,
            _ => Class::BadRequest,
        }
    }
}

/// Reads a file that nobody but its owner may read.
///
/// # Errors
/// When it cannot be read, or others can read it too.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(io)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Readable { path: path.to_owned() });
    }
    std::fs::read(path).map(Zeroizing::new).map_err(io)
}

/// How a client signs.
///
/// # Source
/// SMART App Launch 2.2, "Client Authentication: Asymmetric", which names these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// ECDSA on P-384 with SHA-384.
    Es384,
}

impl SigningAlgorithm {
    /// As JOSE writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs384 => "RS384",
            Self::Es384 => "ES384",
        }
    }
}

/// A client's private key, with the name under which its server knows the public part.
///
/// # Privacy
/// The key lies in memory that is overwritten at the end; each signature makes a copy of it for
/// the signing library, which is freed and not overwritten.
#[derive(Debug)]
pub struct ClientKey {
    algorithm: SigningAlgorithm,
    key_id: String,
    /// PKCS#1 for RSA, PKCS#8 for P-384.
    der: Secret<Vec<u8>>,
}

impl ClientKey {
    /// Reads a PEM or JWK file; `key_id` is needed where the file does not tell it.
    ///
    /// # Errors
    /// When others can read the file, or it holds no key of a kind that SMART names.
    pub fn read(path: &Path, key_id: Option<&str>) -> Result<Self, KeyFileError> {
        let text = read_private(path)?;
        let format = || KeyFileError::Format { path: path.to_owned() };
        let text = std::str::from_utf8(&text).map_err(|_| format())?;
        let (found, named) = if text.trim_start().starts_with('{') {
            from_jwk(text).ok_or_else(format)?
        } else {
            (from_pem(text).ok_or_else(format)?, None)
        };
        let (algorithm, der) = found;
        let key_id = key_id.map(str::to_owned).or(named).ok_or(KeyFileError::NoKeyId)?;
        let key = Self { algorithm, key_id, der: Secret::new(der) };
        // A key of the wrong size or curve shows only when it signs.
        match key.sign(&serde_json::json!({"sub": "trial"})) {
            Some(_) => Ok(key),
            None => Err(KeyFileError::Kind { path: path.to_owned() }),
        }
    }

    /// How it signs.
    #[must_use]
    pub const fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }

    /// Signs claims as a JWT.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> Option<String> {
        let (algorithm, key) = match self.algorithm {
            SigningAlgorithm::Rs384 => {
                (Algorithm::RS384, EncodingKey::from_rsa_der(self.der.expose()))
            }
            SigningAlgorithm::Es384 => {
                (Algorithm::ES384, EncodingKey::from_ec_der(self.der.expose()))
            }
        };
        let mut header = Header::new(algorithm);
        header.kid = Some(self.key_id.clone());
        jsonwebtoken::encode(&header, claims, &key).ok()
    }
}

type Found = (SigningAlgorithm, Vec<u8>);

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
/// id-ecPublicKey with the curve secp384r1, as AlgorithmIdentifier.
const P384: &[u8] = &[
    0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
    0x00, 0x22,
];
/// The object identifier rsaEncryption, as it stands in an AlgorithmIdentifier.
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// A DER value: tag, length, content.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        short @ 0..128 => out.push(short as u8),
        long => {
            let bytes: Vec<u8> =
                long.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            out.push(0x80 | bytes.len() as u8);
            out.extend(bytes);
        }
    }
    out.extend(content);
    out
}

/// A DER INTEGER of an unsigned number.
fn unsigned(number: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
    let sign = if digits.first().is_none_or(|byte| byte & 0x80 != 0) { &[0][..] } else { &[] };
    der(INTEGER, &[sign, &digits].concat())
}

/// PKCS#8 around a P-384 key in the form of RFC 5915.
fn pkcs8_p384(key: &[u8]) -> Vec<u8> {
    der(SEQUENCE, &[unsigned(&[0]), P384.to_vec(), der(OCTETS, key)].concat())
}

fn from_pem(text: &str) -> Option<Found> {
    let begin =
        text.lines().find_map(|l| l.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    let label = begin?;
    let body = text.split_once(&format!("-----BEGIN {label}-----"))?.1;
    let body = body.split_once(&format!("-----END {label}-----"))?.0;
    let body: Zeroizing<String> =
        Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    let bytes = STANDARD.decode(&*body).ok()?;
    match label {
        "RSA PRIVATE KEY" => Some((SigningAlgorithm::Rs384, bytes)),
        "EC PRIVATE KEY" => Some((SigningAlgorithm::Es384, pkcs8_p384(&bytes))),
        "PRIVATE KEY" => {
            // The algorithm stands within the first bytes: SEQUENCE, version, SEQUENCE, OID.
            let head = bytes.get(..bytes.len().min(40))?;
            if head.windows(RSA.len()).any(|w| w == RSA) {
                Some((SigningAlgorithm::Rs384, inner_octets(&bytes)?))
            } else {
                Some((SigningAlgorithm::Es384, bytes))
            }
        }
        _ => None,
    }
}

/// The key within PKCS#8: the third element of the outer SEQUENCE.
fn inner_octets(pkcs8: &[u8]) -> Option<Vec<u8>> {
    let (outer, _) = element(pkcs8, SEQUENCE)?;
    let (_, rest) = element(outer, INTEGER)?;
    let (_, rest) = element(rest, SEQUENCE)?;
    Some(element(rest, OCTETS)?.0.to_vec())
}

/// The content of a DER value with the tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit)), rest)
    };
    if found == tag { rest.split_at_checked(length) } else { None }
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    crv: String,
    kid: Option<String>,
    #[serde(flatten)]
    numbers: std::collections::BTreeMap<String, serde_json::Value>,
}

impl Jwk {
    fn number(&self, name: &str) -> Option<Zeroizing<Vec<u8>>> {
        let text = self.numbers.get(name)?.as_str()?;
        URL_SAFE_NO_PAD.decode(text).ok().map(Zeroizing::new)
    }
}

fn from_jwk(text: &str) -> Option<(Found, Option<String>)> {
    let jwk: Jwk = serde_json::from_str(text).ok()?;
    let found = match (jwk.kty.as_str(), jwk.crv.as_str()) {
        ("RSA", _) => {
            let mut content = unsigned(&[0]);
            for name in ["n", "e", "d", "p", "q", "dp", "dq", "qi"] {
                content.extend(unsigned(&jwk.number(name)?));
            }
            (SigningAlgorithm::Rs384, der(SEQUENCE, &content))
        }
        ("EC", "P-384") => {
            let (d, x, y) = (jwk.number("d")?, jwk.number("x")?, jwk.number("y")?);
            if d.len() != 48 || x.len() != 48 || y.len() != 48 {
                return None;
            }
            // BIT STRING without unused bits, of an uncompressed point, under the context tag 1.
            let point = der(0x03, &[&[0, 4][..], &x[..], &y[..]].concat());
            let key = [unsigned(&[1]), der(OCTETS, &d), der(0xa1, &point)].concat();
            (SigningAlgorithm::Es384, pkcs8_p384(&der(SEQUENCE, &key)))
        }
        _ => return None,
    };
    Some((found, jwk.kid))
}
