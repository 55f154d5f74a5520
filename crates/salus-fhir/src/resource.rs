use std::fmt;

use salus_model::{Entropy, EntropyFailed, Timestamp};
use serde_json::{Value as Json, json};

use crate::definitions::definitions;
use crate::primitive::is_id;

/// The logical id of a resource.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceId(String);

/// A text that is no id of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a resource id has 1 to 64 characters of A-Z, a-z, 0-9, - and .")]
pub struct ResourceIdError;

impl ResourceId {
    /// The id, when the text is a valid one.
    ///
    /// # Errors
    /// Says what an id consists of.
    pub fn new(text: impl Into<String>) -> Result<Self, ResourceIdError> {
        let text = text.into();
        if is_id(&text) { Ok(Self(text)) } else { Err(ResourceIdError) }
    }

    /// A random id: a version 4 UUID.
    ///
    /// # Errors
    /// When the source of randomness does not answer.
    pub fn generate(entropy: &mut dyn Entropy) -> Result<Self, EntropyFailed> {
        let mut bytes = [0u8; 16];
        entropy.fill(&mut bytes)?;
        // RFC 9562 §5.4: version 4, variant 10.
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let mut text = String::with_capacity(36);
        for (at, byte) in bytes.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push_str(&format!("{byte:02x}"));
        }
        Ok(Self(text))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ResourceId {
    type Error = ResourceIdError;
    fn try_from(text: String) -> Result<Self, ResourceIdError> {
        Self::new(text)
    }
}

impl From<ResourceId> for String {
    fn from(id: ResourceId) -> Self {
        id.0
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A resource's type and id, written `Patient/1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKey {
    resource_type: &'static str,
    id: ResourceId,
}

impl ResourceKey {
    /// The key; none when R4 has no such resource type.
    #[must_use]
    pub fn new(resource_type: &str, id: ResourceId) -> Option<Self> {
        let type_id = definitions().resource_named(resource_type)?;
        Some(Self { resource_type: definitions().definition(type_id).name, id })
    }

    /// The resource type.
    #[must_use]
    pub const fn resource_type(&self) -> &'static str {
        self.resource_type
    }

    /// The id.
    #[must_use]
    pub const fn id(&self) -> &ResourceId {
        &self.id
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.resource_type, self.id)
    }
}

/// Sets the id, version and time of a resource as the server that stores it must.
pub fn stamp(resource: &mut Json, id: &ResourceId, version: u64, last_updated: Timestamp) {
    let Some(object) = resource.as_object_mut() else { return };
    object.insert("id".to_owned(), json!(id.as_str()));
    let meta = object.entry("meta").or_insert_with(|| json!({}));
    if let Some(meta) = meta.as_object_mut() {
        meta.insert("versionId".to_owned(), json!(version.to_string()));
        meta.insert("lastUpdated".to_owned(), json!(last_updated.to_string()));
    }
}
