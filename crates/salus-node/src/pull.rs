use std::sync::Arc;

use salus_ingest::fhir::pull::{
    BaseUrl, PullError, PullFolder, PullInto, Puller, SourceConfig, SourceError,
};
use salus_model::{Class, Classified};
use salus_store::EncryptionSettings;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::site::{Site, SiteError};

const FOLDER: &str = "pull";

/// `[fhir]` in `salus.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FhirConfig {
    /// The address under which others know this site, such as `https://salus.hospital.example`;
    /// by default the one where HTTP listens. Signed assertions name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_url: Option<BaseUrl>,
    /// The servers that the site keeps up with, `[[fhir.source]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<SourceConfig>,
}

impl FhirConfig {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.source.is_empty() && self.public_url.is_none()
    }
}

/// Why a site cannot keep up with its sources.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// A source is refused.
    #[error("the source {url} in salus.toml is refused")]
    Source {
        /// Its address.
        url: String,
        /// Why.
        #[source]
        source: SourceError,
    },
    /// What is kept of earlier pulls does not open.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The site.
    #[error(transparent)]
    Site(#[from] SiteError),
}

impl Classified for FollowError {
    fn class(&self) -> Class {
        match self {
            Self::Source { source, .. } => source.class(),
            Self::Pull(e) => e.class(),
            Self::Site(e) => e.class(),
        }
    }
}

impl Site {
    /// Where pulled records go.
    ///
    /// # Errors
    /// When a fixed name does not fit, which is a bug.
    pub fn pull_into(&self) -> Result<PullInto, SiteError> {
        let keys = Arc::clone(&self.keys);
        let holder = self.config.holder.clone();
        let folder = PullFolder::new(self.folder.join(FOLDER), keys, self.master.clone(), holder);
        Ok(PullInto {
            lake: Arc::clone(&self.lake),
            clock: Arc::clone(&self.clock),
            encryption: EncryptionSettings::STRICT,
            folder,
        })
    }

    /// Keeps up with the configured sources, each in a task of its own, for as long as what is
    /// returned is held. A source that refuses us for good is given up; the others go on.
    ///
    /// # Errors
    /// When a source is refused, or another process pulls.
    pub async fn follow_sources(&self) -> Result<JoinSet<()>, FollowError> {
        let mut tasks = JoinSet::new();
        let open = |config: &SourceConfig| {
            config.open(&self.folder).map_err(|source| FollowError::Source {
                url: config.url.as_str().to_owned(),
                source,
            })
        };
        let sources: Vec<_> = self.config.fhir.source.iter().map(open).collect::<Result<_, _>>()?;
        if sources.is_empty() {
            return Ok(tasks);
        }
        for puller in Puller::open_all(sources, &self.pull_into()?).await? {
            tasks.spawn(async move {
                let name = puller.source().name().clone();
                let ended = puller.follow(
                    |_| (),
                    |done| match done {
                        Ok(report) => tracing::info!(
                            source = %name,
                            accepted = report.accepted,
                            deleted = report.deleted,
                            quarantined = report.quarantined,
                            "pulled"
                        ),
                        Err(error) => tracing::warn!(source = %name, "{error}; it is tried again"),
                    },
                );
                let ended = ended.await;
                tracing::error!(source = %name, "{ended}; the source is not pulled any more");
            });
        }
        Ok(tasks)
    }
}
