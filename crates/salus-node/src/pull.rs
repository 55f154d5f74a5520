use std::sync::Arc;

use salus_ingest::fhir::pull::{
    BaseUrl, PullError, PullFolder, PullInto, Puller, SourceConfig, SourceError, Told,
};
use salus_model::{Class, Classified};
use salus_store::EncryptionSettings;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::following::Followed;
use crate::hooks::Hooks;
use crate::site::{Site, SiteError};
use crate::subscriptions::SubscriptionsConfig;

const FOLDER: &str = "pull";

/// `[fhir]` in `salus.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FhirConfig {
    /// The address under which others know this site, such as `https://salus.hospital.example`;
    /// by default the one where HTTP listens. Signed assertions name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_url: Option<BaseUrl>,
    /// Who may be told of changes, `[fhir.subscriptions]`; nobody without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscriptions: Option<SubscriptionsConfig>,
    /// The servers that the site keeps up with, `[[fhir.source]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<SourceConfig>,
}

impl FhirConfig {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.source.is_empty() && self.public_url.is_none() && self.subscriptions.is_none()
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

/// Opens a door for the puller's server, when that is to tell of changes.
///
/// # Errors
/// When the public address is none, or what is kept of the door does not open.
pub async fn open_hook(puller: Puller, hooks: &Hooks, public: &str) -> Result<Puller, FollowError> {
    if puller.source().told() == Told::ByPolling {
        return Ok(puller);
    }
    let name = puller.source().name().as_str().to_owned();
    let endpoint = format!("{}{}/{name}", public.trim_end_matches('/'), Hooks::PATH);
    let endpoint: BaseUrl = endpoint.parse().map_err(|source| FollowError::Source {
        url: public.to_owned(),
        source: SourceError::Address(source),
    })?;
    hooks.open(&name, puller.hook_secret().await?, puller.nudge());
    Ok(puller.told_at(endpoint))
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
    /// returned is held. A source that refuses us for good is given up; the others go on. Those
    /// that are to tell us of changes do so below `public`, the address under which others reach
    /// this site.
    ///
    /// # Errors
    /// When a source is refused, or another process pulls.
    pub async fn follow_sources(
        &self,
        hooks: &Hooks,
        public: &str,
    ) -> Result<JoinSet<()>, FollowError> {
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
        let pullers = Puller::open_all(sources, &self.pull_into()?).await?;
        for (puller, config) in pullers.into_iter().zip(&self.config.fhir.source) {
            let puller = open_hook(puller, hooks, public).await?;
            let (following, clock) = (self.following.clone(), Arc::clone(&self.clock));
            following.begin(
                puller.source().name().clone(),
                Followed {
                    url: config.url.as_str().to_owned(),
                    told: config.told,
                    every_seconds: config.every_seconds,
                    last: None,
                    trouble: None,
                },
            );
            tasks.spawn(async move {
                let name = puller.source().name().clone();
                let ended = puller.follow(
                    |_| (),
                    |done| match done {
                        Ok(report) => {
                            following.pulled(&report, clock.now());
                            tracing::info!(
                                source = %name,
                                accepted = report.accepted,
                                deleted = report.deleted,
                                quarantined = report.quarantined,
                                "pulled"
                            );
                        }
                        Err(error) => {
                            following.failed(&name, error.to_string(), clock.now(), false);
                            tracing::warn!(source = %name, "{error}; it is tried again");
                        }
                    },
                );
                let ended = ended.await;
                following.failed(&name, ended.to_string(), clock.now(), true);
                tracing::error!(source = %name, "{ended}; the source is not pulled any more");
            });
        }
        Ok(tasks)
    }
}
