use salus_crypto::aead::Aad;
use salus_crypto::hpke::{RecipientKey, RecipientPublicKey, SealFailed};
use salus_crypto::{Signature, SigningKey};
use salus_model::{Class, Classified, Entropy, HolderId};
use serde_json::{Map, Value};

use crate::enrolment::Enrolment;
use crate::record::{DeviceId, DeviceRecord};

const DOMAIN: &str = "salus device report v1";
const SIGNATURE_BYTES: usize = 64;
/// The longest report; a record is a tenth of it.
pub(crate) const MAX_REPORT_BYTES: usize = 64 * 1024;

/// A report that is not believed. Which check it failed is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the report is not one that an enrolled device signed for this collector")]
pub struct ReportRefused;

impl Classified for ReportRefused {
    fn class(&self) -> Class {
        Class::Refused
    }
}

fn info(holder: &HolderId) -> Aad {
    Aad::new(DOMAIN, &[holder.as_str().as_bytes()])
}

/// What is signed: the holder, so that a report for one is no report for another, and the text.
fn signed(holder: &HolderId, text: &[u8]) -> Vec<u8> {
    let name = holder.as_str().as_bytes();
    [&(name.len() as u64).to_be_bytes(), name, text].concat()
}

/// To whom a device reports.
#[derive(Debug, Clone)]
pub struct ReportSealer {
    /// The holder.
    pub holder: HolderId,
    /// The collector's key.
    pub collector: RecipientPublicKey,
}

/// A device that signs its reports and seals them to its collector.
pub struct DeviceSigner {
    key: SigningKey,
    to: ReportSealer,
}

impl DeviceSigner {
    /// A device with this key.
    #[must_use]
    pub const fn new(key: SigningKey, to: ReportSealer) -> Self {
        Self { key, to }
    }

    /// A record as it travels: HPKE (RFC 9180) around the device's Ed25519 signature and the
    /// record's JSON.
    ///
    /// # Errors
    /// When no ephemeral key can be drawn.
    pub fn report(
        &self,
        record: &DeviceRecord,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, SealFailed> {
        let text = serde_json::to_vec(record).unwrap_or_default();
        self.report_text(&text, entropy)
    }

    /// As [`DeviceSigner::report`], of a text that the device made itself.
    ///
    /// # Errors
    /// As [`DeviceSigner::report`].
    pub fn report_text(
        &self,
        text: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, SealFailed> {
        let signature = self.key.sign(DOMAIN, &signed(&self.to.holder, text));
        let plain = [signature.to_bytes().as_slice(), text].concat();
        self.to.collector.seal(entropy, &info(&self.to.holder), &[], &plain)
    }
}

/// A report whose signature holds: the device, and the record that is still to be checked.
pub(crate) struct Authentic {
    pub(crate) device: DeviceId,
    pub(crate) text: String,
    pub(crate) fields: Map<String, Value>,
}

/// Opens a report and verifies that the device that it names signed it.
pub(crate) fn open(
    key: &RecipientKey,
    holder: &HolderId,
    enrolled: &Enrolment,
    report: &[u8],
) -> Result<Authentic, ReportRefused> {
    if report.len() > MAX_REPORT_BYTES {
        return Err(ReportRefused);
    }
    let plain = key.open(&info(holder), &[], report).map_err(|_| ReportRefused)?;
    let (signature, text) = plain.split_at_checked(SIGNATURE_BYTES).ok_or(ReportRefused)?;
    let signature = <&[u8; SIGNATURE_BYTES]>::try_from(signature).map_err(|_| ReportRefused)?;
    let text = std::str::from_utf8(text).map_err(|_| ReportRefused)?;
    // Whose key it has to be stands in the text; nothing else of it is looked at before.
    let fields: Map<String, Value> = serde_json::from_str(text).map_err(|_| ReportRefused)?;
    let named = fields.get("device_id").and_then(Value::as_str).ok_or(ReportRefused)?;
    let device = DeviceId::new(named).map_err(|_| ReportRefused)?;
    let verifier = enrolled.key(&device).ok_or(ReportRefused)?;
    let signature = Signature::from_bytes(signature);
    let message = signed(holder, text.as_bytes());
    verifier.verify(DOMAIN, &message, &signature).map_err(|_| ReportRefused)?;
    Ok(Authentic { device, text: text.to_owned(), fields })
}
