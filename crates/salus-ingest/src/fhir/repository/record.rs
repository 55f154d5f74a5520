//! What one append to the journal says.

use salus_fhir::{ResourceId, ResourceKey};
use salus_model::{RoleName, StaffId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::RepositoryError;

/// How a version came about; its code in a history Bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Method {
    /// The server chose the id.
    #[serde(rename = "POST")]
    Create,
    /// The client named the id.
    #[serde(rename = "PUT")]
    Update,
    /// It was removed.
    #[serde(rename = "DELETE")]
    Delete,
    /// It came from a file, and was kept here when it was first changed.
    #[serde(rename = "IMPORT")]
    Import,
}

impl Method {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "POST",
            Self::Update => "PUT",
            Self::Delete => "DELETE",
            Self::Import => "IMPORT",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Create, Self::Update, Self::Delete, Self::Import]
            .into_iter()
            .find(|method| method.as_str() == text)
    }

    /// The HTTP verb that a history Bundle shows.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Create | Self::Import => "POST",
            Self::Update => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// One version of one resource.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    pub(super) method: Method,
    #[serde(rename = "type")]
    pub(super) resource_type: String,
    pub(super) id: ResourceId,
    pub(super) version: u64,
    /// `lastUpdated` in microseconds; no two changes have the same.
    pub(super) sequence: i64,
    pub(super) patient: Option<String>,
    /// None when it was removed.
    pub(super) resource: Option<Box<RawValue>>,
}

impl Change {
    pub(super) fn key(&self) -> Result<ResourceKey, RepositoryError> {
        ResourceKey::new(&self.resource_type, self.id.clone())
            .ok_or(RepositoryError::Record { what: "it names no resource type of R4" })
    }

    pub(super) fn last_updated(&self) -> Result<Timestamp, RepositoryError> {
        Timestamp::from_micros(self.sequence)
            .map_err(|_| RepositoryError::Record { what: "its time is none" })
    }
}

/// Changes that stand or fall together, and who made them.
///
/// # Source
/// Version 1 is this structure as JSON; `testdata/journal/v1.json` is one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) format: u32,
    pub(super) staff: StaffId,
    pub(super) role: RoleName,
    pub(super) changes: Vec<Change>,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl Record {
    pub(super) const FORMAT: u32 = 1;

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, RepositoryError> {
        let unreadable = |_| RepositoryError::Record { what: "a journal record does not parse" };
        let FormatOnly { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if format != Self::FORMAT {
            return Err(RepositoryError::Format { found: format });
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }
}
