//! Exports that are made in the background, and wait encrypted until they are fetched.
//!
//! # Source
//! Bulk Data Access IG 2.0.0; FHIR R4, "Asynchronous Request Pattern".

mod spool;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use salus_crypto::{Digest, OsEntropy};
use salus_model::{Class, Classified, Clock, Entropy as _, RoleName, StaffId, Timestamp};
use tokio::task::AbortHandle;

pub use self::spool::{FRAME_BYTES, SpoolError, SpoolFile, SpoolFolder, SpoolWriter};

/// How many exports one caller, and all together, may have.
const JOBS_OF_ONE: usize = 4;
const JOBS_MOST: usize = 64;
/// For how long a finished export can be fetched.
const KEPT_MICROS: i64 = 3_600_000_000;

/// A page of what is exported.
#[derive(Debug, Clone, Default)]
pub struct ExportedPage<C> {
    /// Resources, each with its type, as one line of JSON.
    pub resources: Vec<(&'static str, Arc<str>)>,
    /// What was removed, as `Type/id`.
    pub deleted: Vec<String>,
    /// Where to go on; none at the end.
    pub next: Option<C>,
}

/// Reads what a caller may see, page by page. Each page is an access of its own, decided and
/// recorded as every other.
#[async_trait::async_trait]
pub trait ExportPages: Send + Sync + 'static {
    /// Where a page ends.
    type Cursor: Send;
    /// Why there is no page.
    type Refused: Classified + Send + 'static;

    /// The page after `after`.
    ///
    /// # Errors
    /// When the caller may not, or may no longer, or the store fails.
    async fn page(
        &self,
        after: Option<Self::Cursor>,
    ) -> Result<ExportedPage<Self::Cursor>, Self::Refused>;
}

/// Who asked for an export, as far as it has to be the same who fetches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportOwner {
    /// The person or client.
    pub staff: StaffId,
    /// In which role.
    pub role: Option<RoleName>,
}

/// Why there is no export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExportRefused {
    /// None of that name, or another's: which of them is not told.
    #[error("there is no such export; it was removed, ran out, or was never there")]
    NoJob,
    /// Too many.
    #[error("there are {JOBS_OF_ONE} exports of yours already; fetch or remove one first")]
    TooMany,
    /// Too many of all.
    #[error("there are too many exports at this moment; try again later")]
    Busy,
    /// No random bytes.
    #[error("no export can be begun at this moment")]
    Entropy,
}

impl Classified for ExportRefused {
    fn class(&self) -> Class {
        match self {
            Self::NoJob => Class::BadRequest,
            Self::TooMany => Class::Refused,
            Self::Busy | Self::Entropy => Class::Unavailable,
        }
    }
}

/// A file of a finished export.
#[derive(Clone)]
pub struct ExportedFile {
    /// The resource type; none for the Bundles of deletions.
    pub resource_type: Option<&'static str>,
    /// Its bytes.
    pub file: SpoolFile,
}

/// How an export stands.
#[derive(Clone)]
pub enum ExportStanding {
    /// It is being made; so many resources are done.
    Running {
        /// Resources.
        resources: u64,
    },
    /// It can be fetched.
    Done {
        /// Its files.
        files: Vec<ExportedFile>,
    },
    /// It failed; why is in our log.
    Failed {
        /// Who has to act.
        class: Class,
    },
}

/// An export as its owner sees it.
#[derive(Clone)]
pub struct ExportSeen {
    /// When it was begun: the next export's `_since`.
    pub transaction_time: Timestamp,
    /// The request as it came.
    pub request: String,
    /// How it stands.
    pub standing: ExportStanding,
    /// Until when a finished one is kept.
    pub expires: Timestamp,
}

struct Job {
    owner: ExportOwner,
    seen: ExportSeen,
    task: Option<AbortHandle>,
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// The exports of a site.
///
/// # Privacy
/// An export's name has 128 random bits and is of use only to who began it, in the same role.
pub struct Exports {
    spool: SpoolFolder,
    clock: Arc<dyn Clock>,
    jobs: Arc<Mutex<HashMap<String, Job>>>,
}

/// What is asked for, as far as the job itself has to know.
pub struct ExportOrder<P> {
    /// Who asks.
    pub owner: ExportOwner,
    /// The request's address, as the manifest repeats it.
    pub request: String,
    /// When the first page is read.
    pub transaction_time: Timestamp,
    /// Where the pages come from.
    pub pages: P,
}

impl Exports {
    /// Exports that wait in `folder`; what an earlier process left there is removed.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(folder: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, SpoolError> {
        Ok(Self { spool: SpoolFolder::open(folder)?, clock, jobs: Arc::default() })
    }

    fn sweep(&self) {
        let now = self.clock.now();
        self.jobs.lock().retain(|_, job| now < job.seen.expires);
    }

    /// Begins an export; its name.
    ///
    /// # Errors
    /// When there are too many.
    pub fn begin<P: ExportPages>(
        self: &Arc<Self>,
        order: ExportOrder<P>,
    ) -> Result<String, ExportRefused> {
        self.sweep();
        let mut name = [0; 16];
        OsEntropy.fill(&mut name).map_err(|_| ExportRefused::Entropy)?;
        let name = hex::encode(name);
        let ExportOrder { owner, request, transaction_time, pages } = order;
        let mut jobs = self.jobs.lock();
        if jobs.values().filter(|job| job.owner.staff == owner.staff).count() >= JOBS_OF_ONE {
            return Err(ExportRefused::TooMany);
        }
        if jobs.len() >= JOBS_MOST {
            return Err(ExportRefused::Busy);
        }
        // A day, should it never end.
        let expires = transaction_time.saturating_add_micros(24 * KEPT_MICROS);
        let standing = ExportStanding::Running { resources: 0 };
        let seen = ExportSeen { transaction_time, request, standing, expires };
        let (exports, id) = (Arc::clone(self), name.clone());
        let task = tokio::spawn(async move { exports.make(&id, pages).await });
        jobs.insert(name.clone(), Job { owner, seen, task: Some(task.abort_handle()) });
        Ok(name)
    }

    async fn make<P: ExportPages>(&self, name: &str, pages: P) {
        let made = self.spooled(name, &pages).await;
        let expires = self.clock.now().saturating_add_micros(KEPT_MICROS);
        if let Some(job) = self.jobs.lock().get_mut(name) {
            job.seen.standing = match made {
                Ok(files) => ExportStanding::Done { files },
                Err(class) => ExportStanding::Failed { class },
            };
            job.seen.expires = expires;
        }
    }

    async fn spooled<P: ExportPages>(
        &self,
        name: &str,
        pages: &P,
    ) -> Result<Vec<ExportedFile>, Class> {
        let mut writers: BTreeMap<Option<&'static str>, SpoolWriter> = BTreeMap::new();
        let (mut after, mut resources) = (None, 0);
        loop {
            let page = pages.page(after).await.map_err(|error| {
                tracing::warn!(%error, "an export failed");
                error.class()
            })?;
            resources += page.resources.len() as u64;
            after = page.next;
            // Encrypting is work for a processor, not for the thread that serves others.
            let spooled = tokio::task::block_in_place(|| {
                self.spool_page(&mut writers, &page.resources, &page.deleted)
            });
            spooled.map_err(|error| self.spool_failed(&error))?;
            match self.jobs.lock().get_mut(name) {
                Some(job) => job.seen.standing = ExportStanding::Running { resources },
                // It was removed meanwhile.
                None => return Err(Class::BadRequest),
            }
            if after.is_none() {
                break;
            }
        }
        let finish = |(resource_type, writer): (_, SpoolWriter)| {
            writer.finish().map(|file| ExportedFile { resource_type, file })
        };
        let files = tokio::task::block_in_place(|| writers.into_iter().map(finish).collect());
        let files: Result<_, SpoolError> = files;
        files.map_err(|error| self.spool_failed(&error))
    }

    fn spool_failed(&self, error: &SpoolError) -> Class {
        tracing::error!(%error, "an export cannot be kept");
        error.class()
    }

    fn spool_page(
        &self,
        writers: &mut BTreeMap<Option<&'static str>, SpoolWriter>,
        resources: &[(&'static str, Arc<str>)],
        deleted: &[String],
    ) -> Result<(), SpoolError> {
        for (kind, text) in resources {
            self.writer(writers, Some(kind))?.line(text.as_bytes())?;
        }
        for key in deleted {
            let request = serde_json::json!({"method": "DELETE", "url": key});
            let bundle = serde_json::json!({
                "resourceType": "Bundle", "type": "transaction", "entry": [{"request": request}],
            });
            self.writer(writers, None)?.line(bundle.to_string().as_bytes())?;
        }
        Ok(())
    }

    fn writer<'w>(
        &self,
        writers: &'w mut BTreeMap<Option<&'static str>, SpoolWriter>,
        kind: Option<&'static str>,
    ) -> Result<&'w mut SpoolWriter, SpoolError> {
        match writers.entry(kind) {
            std::collections::btree_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::btree_map::Entry::Vacant(free) => {
                Ok(free.insert(self.spool.create()?))
            }
        }
    }

    /// An export of a caller.
    ///
    /// # Errors
    /// [`ExportRefused::NoJob`] also when it is another's.
    pub fn seen(&self, name: &str, owner: &ExportOwner) -> Result<ExportSeen, ExportRefused> {
        self.sweep();
        let jobs = self.jobs.lock();
        let job = jobs.get(name).filter(|job| job.owner == *owner);
        job.map(|job| job.seen.clone()).ok_or(ExportRefused::NoJob)
    }

    /// Removes an export of a caller, and stops it if it is being made.
    ///
    /// # Errors
    /// [`ExportRefused::NoJob`] also when it is another's.
    pub fn remove(&self, name: &str, owner: &ExportOwner) -> Result<(), ExportRefused> {
        let mut jobs = self.jobs.lock();
        if jobs.get(name).is_some_and(|job| job.owner == *owner) {
            jobs.remove(name);
            Ok(())
        } else {
            Err(ExportRefused::NoJob)
        }
    }
}

/// A validator of a file of an export, which never changes under its name.
#[must_use]
pub fn entity_tag(name: &str, file: usize) -> String {
    let parts = [name.as_bytes(), &file.to_be_bytes()];
    let digest = Digest::of_parts("salus export etag v1", &parts).to_string();
    format!("\"{}\"", digest.get(..32).unwrap_or_default())
}

#[cfg(test)]
mod tests;
