//! What is kept of a subscription.

use salus_fhir::subscription::{NotificationHeader, SubscriptionRequest, WantedStatus};
use salus_fhir::{ResourceId, ResourceKey, stamp};
use salus_model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use zeroize::Zeroizing;

use super::{RESOURCE_TYPE, SubscribeError, Subscriber, with_kept_values};
use crate::fhir::repository::{ChangeMark, Stored};
use crate::fhir::sealed_folder::SealedFolder;

const FORMAT: u32 = 1;
const ENDING: &str = ".subscription";
/// What is shown in place of a header's value.
pub(super) const SEALED_VALUE: &str = "(sealed)";

/// Where a subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubscriptionStatus {
    /// Its endpoint has not answered yet.
    Requested,
    /// Its subscriber is told.
    Active,
    /// It was tried in vain, and is tried on.
    Error,
    /// It rests: its subscriber or its endpoint wants no more, or its end has come.
    Off,
}

impl SubscriptionStatus {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Active => "active",
            Self::Error => "error",
            Self::Off => "off",
        }
    }
}

/// A subscription.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) id: ResourceId,
    pub(super) version: u64,
    last_updated: Timestamp,
    pub(super) subscriber: Subscriber,
    /// As the client sent it, without the values of headers.
    resource: Json,
    headers: Vec<NotificationHeader>,
    pub(super) status: SubscriptionStatus,
    pub(super) error: Option<String>,
    /// Up to where its subscriber has been told.
    pub(super) mark: ChangeMark,
}

/// The form on the disk, inside the seal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    id: ResourceId,
    version: u64,
    last_updated: Timestamp,
    subscriber: Subscriber,
    resource: Json,
    headers: Vec<(String, String)>,
    status: SubscriptionStatus,
    error: Option<String>,
    mark: ChangeMark,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

pub(super) fn file_name(id: &ResourceId) -> String {
    format!("{id}{ENDING}")
}

/// Every subscription of a folder.
pub(super) async fn read_all(folder: &SealedFolder) -> Result<Vec<Kept>, SubscribeError> {
    let mut all = Vec::new();
    for name in folder.names(ENDING)? {
        let Some(bytes) = folder.read(&name).await? else { continue };
        let damaged = |_| SubscribeError::Damaged;
        let FormatOnly { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if format != FORMAT {
            return Err(SubscribeError::Format { found: format });
        }
        let file: File = serde_json::from_slice(&bytes).map_err(damaged)?;
        if file_name(&file.id) != name {
            return Err(SubscribeError::Damaged);
        }
        all.push(Kept::from(file));
    }
    Ok(all)
}

impl From<File> for Kept {
    fn from(file: File) -> Self {
        let header = |(name, value)| NotificationHeader { name, value };
        Self {
            id: file.id,
            version: file.version,
            last_updated: file.last_updated,
            subscriber: file.subscriber,
            resource: file.resource,
            headers: file.headers.into_iter().map(header).collect(),
            status: file.status,
            error: file.error,
            mark: file.mark,
        }
    }
}

/// The resource with the names of its headers alone.
fn without_values(mut resource: Json, headers: &[NotificationHeader]) -> Json {
    let shown: Vec<String> =
        headers.iter().map(|header| format!("{}: {SEALED_VALUE}", header.name)).collect();
    if let Some(channel) = resource.get_mut("channel").and_then(Json::as_object_mut)
        && channel.contains_key("header")
    {
        channel.insert("header".to_owned(), json!(shown));
    }
    // Status and error are the server's to tell.
    if let Some(object) = resource.as_object_mut() {
        object.remove("error");
    }
    resource
}

const fn begun(status: WantedStatus) -> SubscriptionStatus {
    match status {
        WantedStatus::Requested => SubscriptionStatus::Requested,
        WantedStatus::Off => SubscriptionStatus::Off,
    }
}

impl Kept {
    pub(super) fn new(
        id: ResourceId,
        subscriber: Subscriber,
        (resource, request): (Json, SubscriptionRequest),
        mark: ChangeMark,
        now: Timestamp,
    ) -> Result<Self, SubscribeError> {
        let headers = with_kept_values(request.headers, &[])?;
        Ok(Self {
            id,
            version: 1,
            last_updated: now,
            subscriber,
            resource: without_values(resource, &headers),
            headers,
            status: begun(request.status),
            error: None,
            mark,
        })
    }

    /// The next version; its subscriber has still been told up to the same mark.
    pub(super) fn replaced_by(
        self,
        subscriber: Subscriber,
        (resource, request): (Json, SubscriptionRequest),
        now: Timestamp,
    ) -> Result<Self, SubscribeError> {
        let headers = with_kept_values(request.headers, &self.headers)?;
        Ok(Self {
            version: self.version.saturating_add(1),
            last_updated: now,
            subscriber,
            resource: without_values(resource, &headers),
            headers,
            status: begun(request.status),
            error: None,
            ..self
        })
    }

    /// The resource with the status of now.
    pub(super) fn resource_now(&self) -> Json {
        let mut resource = self.resource.clone();
        if let Some(object) = resource.as_object_mut() {
            object.insert("status".to_owned(), json!(self.status.as_str()));
            if let Some(error) = &self.error {
                object.insert("error".to_owned(), json!(error));
            }
        }
        stamp(&mut resource, &self.id, self.version, self.last_updated);
        resource
    }

    /// As it is shown to its subscriber.
    pub(super) fn shown(&self) -> Option<Stored> {
        Some(Stored {
            key: ResourceKey::new(RESOURCE_TYPE, self.id.clone())?,
            version: self.version,
            last_updated: self.last_updated,
            text: self.resource_now().to_string().into(),
        })
    }

    /// What it asks for; none when it could not be asked for any more.
    pub(super) fn request(&self, now: Timestamp) -> Option<SubscriptionRequest> {
        let mut resource = self.resource.clone();
        resource.as_object_mut()?.insert("status".to_owned(), json!("requested"));
        let request = SubscriptionRequest::parse(&resource, now).ok()?;
        Some(SubscriptionRequest { headers: self.headers.clone(), ..request })
    }

    /// Puts it on the disk.
    pub(super) async fn write(&self, folder: &SealedFolder) -> Result<(), SubscribeError> {
        let file = File {
            format: FORMAT,
            id: self.id.clone(),
            version: self.version,
            last_updated: self.last_updated,
            subscriber: self.subscriber.clone(),
            resource: self.resource.clone(),
            headers: self.headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect(),
            status: self.status,
            error: self.error.clone(),
            mark: self.mark,
        };
        let bytes = serde_json::to_vec(&file).map_err(|_| SubscribeError::Damaged)?;
        Ok(folder.write(&file_name(&self.id), &Zeroizing::new(bytes)).await?)
    }
}
