use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use salus_ingest::fhir::Repository;
use salus_ingest::fhir::pull::Origin;
use salus_ingest::fhir::subscribe::{
    NotifyPace, Standing, SubscribeError, SubscriptionParts, Subscriptions,
};
use serde::{Deserialize, Serialize};

use crate::site::{Site, SiteError};

const FOLDER: &str = "subscriptions";

/// `[fhir.subscriptions]` in `salus.toml`: who may be told of changes.
///
/// # Privacy
/// A notification goes to a listed origin and nowhere else, whatever a subscription says, so that
/// nobody with a token can make the site send records, or knock, where the holder did not mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionsConfig {
    /// Origins, such as `https://his.example.org`; http for this machine alone.
    pub allow: BTreeSet<Origin>,
    /// Certificate authorities to trust besides the public ones, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl Site {
    /// The site's subscriptions, when its configuration allows any; `standing` reads for those
    /// who are not there.
    ///
    /// # Errors
    /// When one does not open, or the certificate file cannot be read.
    pub async fn open_subscriptions(
        &self,
        repository: Repository,
        standing: Arc<dyn Standing>,
    ) -> Result<Option<Subscriptions>, SiteError> {
        let Some(config) = &self.config.fhir.subscriptions else { return Ok(None) };
        let mut authorities = Vec::new();
        if let Some(file) = &config.ca_file {
            let path = self.folder.join(file);
            let bytes = std::fs::read(&path).map_err(|source| SiteError::Io { path, source })?;
            authorities.push(bytes);
        }
        let parts = SubscriptionParts {
            repository,
            standing,
            clock: Arc::clone(&self.clock),
            keys: Arc::clone(&self.keys),
            master: self.master.clone(),
            holder: self.config.holder.clone(),
            folder: self.folder.join(FOLDER),
            allowed: config.allow.clone(),
            authorities,
            pace: NotifyPace::CONSIDERATE,
        };
        Ok(Some(Subscriptions::open(parts).await?))
    }
}

impl From<SubscribeError> for SiteError {
    fn from(error: SubscribeError) -> Self {
        Self::Subscriptions(Box::new(error))
    }
}
