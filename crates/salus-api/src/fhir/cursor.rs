//! Where a page ended, sealed into its link.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use salus_crypto::OsEntropy;
use salus_crypto::aead::{Aad, AeadKey};
use salus_fhir::IssueCode;
use salus_ingest::fhir::repository::After;

use super::outcome::FhirError;

/// The parameter that continues a search or history.
pub(super) const CURSOR: &str = "_cursor";

/// Seals and opens page links with a key that ends with the process.
///
/// # Privacy
/// The places inside count resources of all patients, so the client gets them sealed. Each is
/// bound to its request; whoever presents it sees what their own role lets them see.
pub(super) struct Cursors(AeadKey);

impl Cursors {
    pub(super) const fn new(key: AeadKey) -> Self {
        Self(key)
    }

    fn aad(request: &str) -> Aad {
        Aad::new("salus fhir page v1", &[request.as_bytes()])
    }

    /// The value of [`CURSOR`] for the next page of a request.
    pub(super) fn seal(&self, request: &str, after: After) -> Option<String> {
        let place = [after.offset.to_be_bytes(), after.last.to_be_bytes()].concat();
        let sealed = self.0.seal(&mut OsEntropy, &Self::aad(request), &place).ok()?;
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    pub(super) fn open(&self, request: &str, cursor: &str) -> Result<After, FhirError> {
        let place = URL_SAFE_NO_PAD.decode(cursor).ok();
        let place = place.and_then(|sealed| self.0.open(&Self::aad(request), &sealed).ok());
        let numbers = place.and_then(|place| {
            let (offset, last) = place.split_first_chunk::<8>()?;
            Some((u64::from_be_bytes(*offset), u64::from_be_bytes(last.try_into().ok()?)))
        });
        let gone = "the page link is of another search or has ended; begin again with the search";
        let (offset, last) =
            numbers.ok_or_else(|| FhirError::bad_request(IssueCode::Value, gone))?;
        Ok(After { offset, last })
    }
}
