use jsonwebtoken::{Validation, decode, decode_header};
use salus_model::Timestamp;
use serde::Deserialize;

use super::file::Client;

/// How far in the future an assertion may end.
const LIFE_SECONDS: i64 = 300;
/// How much a client's clock may be ahead.
const SKEW_SECONDS: i64 = 60;
const JTI_MOST: usize = 200;
const ASSERTION_MOST: usize = 16 << 10;

/// Why an assertion is not accepted; for our own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each says itself what it is")]
pub enum AssertionRefused {
    #[error("it is no JWT of a kind that is accepted")]
    Form,
    #[error("its issuer is no registered client, or has no such key")]
    Unknown,
    #[error("its algorithm is not the one of the key")]
    Algorithm,
    #[error("its signature does not verify")]
    Signature,
    #[error("issuer and subject differ")]
    Subject,
    #[error("it is not for this token endpoint")]
    Audience,
    #[error("it has run out, or holds longer than five minutes, or is from the future")]
    Time,
    #[error("its jti is missing or too long")]
    Jti,
    #[error("it was used before")]
    Replayed,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    nbf: Option<i64>,
    iat: Option<i64>,
    jti: Option<String>,
}

/// An assertion that may be used once.
pub(super) struct Used {
    pub(super) jti: String,
    /// In seconds since the epoch.
    pub(super) expires: i64,
}

/// The issuer as the assertion claims it, before anything of it is believed.
fn claimed_issuer(assertion: &str) -> Option<String> {
    use base64::Engine as _;
    let payload = assertion.split('.').nth(1)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    claims.get("iss")?.as_str().map(str::to_owned)
}

/// The client that signed an assertion for us, for now.
///
/// # Errors
/// The first check that fails; whether it was used before is for the caller to say.
pub(super) fn verify<'c>(
    assertion: &str,
    audience: &str,
    now: Timestamp,
    clients: &'c [Client],
) -> Result<(&'c Client, Used), AssertionRefused> {
    if assertion.len() > ASSERTION_MOST {
        return Err(AssertionRefused::Form);
    }
    // A header with an algorithm that we do not know does not parse.
    let header = decode_header(assertion).map_err(|_| AssertionRefused::Form)?;
    let kid = header.kid.ok_or(AssertionRefused::Form)?;
    let issuer = claimed_issuer(assertion).ok_or(AssertionRefused::Form)?;
    let client = clients.iter().find(|client| client.id.as_str() == issuer);
    let client = client.ok_or(AssertionRefused::Unknown)?;
    let key = client.keys.iter().find(|key| key.kid() == kid).ok_or(AssertionRefused::Unknown)?;
    // The key says how it signs; what the header says has no vote.
    if header.alg != key.algorithm() {
        return Err(AssertionRefused::Algorithm);
    }
    let mut validation = Validation::new(key.algorithm());
    // Times are compared with our own clock, below, and the audience as well.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let decoding = key.decoding().ok_or(AssertionRefused::Unknown)?;
    let claims: Claims = decode(assertion, &decoding, &validation)
        .map_err(|e| match e.kind() {
            jsonwebtoken::errors::ErrorKind::Json(_) => AssertionRefused::Form,
            _ => AssertionRefused::Signature,
        })?
        .claims;
    if claims.iss != claims.sub || claims.iss != issuer {
        return Err(AssertionRefused::Subject);
    }
    let for_us = match &claims.aud {
        Audience::One(one) => one == audience,
        Audience::Many(many) => many.iter().any(|one| one == audience),
    };
    if !for_us {
        return Err(AssertionRefused::Audience);
    }
    let now = now.as_micros() / 1_000_000;
    let begun = |at: Option<i64>| at.is_none_or(|at| at <= now + SKEW_SECONDS);
    if claims.exp <= now
        || claims.exp > now + LIFE_SECONDS
        || !begun(claims.nbf)
        || !begun(claims.iat)
    {
        return Err(AssertionRefused::Time);
    }
    let jti = claims.jti.filter(|jti| (1..=JTI_MOST).contains(&jti.len()));
    let jti = jti.ok_or(AssertionRefused::Jti)?;
    Ok((client, Used { jti, expires: claims.exp }))
}
