use std::collections::BTreeMap;

use salus_crypto::VerifyingKey;
use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};

use crate::record::DeviceId;

/// The devices that may report, each with the key that it signs with.
///
/// ```toml
/// [devices]
/// "pump-0001" = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    devices: BTreeMap<DeviceId, VerifyingKey>,
}

/// Why a list of enrolled devices is refused.
#[derive(Debug, thiserror::Error)]
#[error("the list of enrolled devices cannot be read")]
pub struct EnrolmentError(#[source] Box<toml::de::Error>);

impl Classified for EnrolmentError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

impl Enrolment {
    /// Reads a file's text.
    ///
    /// # Errors
    /// Names line and column of what is wrong.
    pub fn parse(text: &str) -> Result<Self, EnrolmentError> {
        toml::from_str(text).map_err(|e| EnrolmentError(Box::new(e)))
    }

    /// The list as a file's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// Enrols a device; a device that was there gets the new key.
    pub fn enrol(&mut self, device: DeviceId, key: VerifyingKey) {
        self.devices.insert(device, key);
    }

    /// Takes a device off the list: its reports are refused from then on.
    pub fn revoke(&mut self, device: &DeviceId) {
        self.devices.remove(device);
    }

    /// A device's key.
    #[must_use]
    pub fn key(&self, device: &DeviceId) -> Option<&VerifyingKey> {
        self.devices.get(device)
    }

    /// How many devices are enrolled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }
}
