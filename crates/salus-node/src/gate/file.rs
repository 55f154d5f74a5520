//! Files that were made at the site and that somebody wants out: tables of counts, models, plots.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use salus_crypto::Digest;
use salus_files::FilesError;
use salus_files::output::{self, CheckVerdict, OutputCheck, OutputKind};
use salus_ledger::{CodeHash, ReviewId};
use salus_model::{ColumnPath, DatasetId, PermitId, PrivacyCharge};
use salus_private::{Job, JobFailed, MAX_RESULT_BYTES};
use salus_spine::{Checked, Priced};
use salus_store::TableSource;
use serde::{Deserialize, Serialize};

use super::GateError;
use super::checks::{JobChecks, ReviewChecks};
use crate::releasing::UnderReview;

/// A file that shall come before the reviewers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileWanted {
    /// The file.
    pub file: PathBuf,
    /// What kind of file.
    pub kind: OutputKind,
    /// The dataset that it was made from.
    pub dataset: DatasetId,
    /// Under which permit.
    pub permit: PermitId,
    /// The columns that it was made from; all of the permit's if not given.
    pub columns: Option<BTreeSet<ColumnPath>>,
    /// Tables of the same columns that went out before.
    pub earlier: Vec<PathBuf>,
    /// Why it should go out although a check objects, for the reviewers.
    pub reason: Option<String>,
}

/// What became of a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileOutcome {
    /// It is before its reviewers.
    UnderReview(Box<UnderReview>),
    /// They approved it; it is fetched by its review.
    Approved {
        /// The review.
        review: ReviewId,
        /// The file's name.
        name: String,
    },
    /// It is out.
    Out {
        /// The review that it went out on.
        review: ReviewId,
        /// The file's name.
        name: String,
        /// Its bytes, in base64.
        content: String,
        /// The receipt's file, in base64.
        receipt: String,
    },
}

/// What is kept of a file beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileItem {
    pub(crate) kind: String,
    pub(crate) columns: BTreeSet<ColumnPath>,
}

/// The code that hands out files which people have reviewed, as permits and receipts name it.
#[must_use]
pub fn output_code() -> CodeHash {
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    let digest = Digest::of_parts("salus built-in code v1", &[b"salus-output", version]);
    CodeHash::new(*digest.as_bytes())
}

/// A file with what the checks say of it.
pub(super) struct Read {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) made_of: Digest,
    pub(super) checks: JobChecks,
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, GateError> {
    let failed = |source| GateError::Io { path: path.to_owned(), source };
    let most = MAX_RESULT_BYTES as u64;
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > most {
        return Err(GateError::TooLarge { path: path.to_owned(), most: most >> 20 });
    }
    std::fs::read(path).map_err(failed)
}

/// Reads a file once: the bytes that are checked are those that are sealed.
pub(super) fn read(wanted: &FileWanted) -> Result<Read, GateError> {
    let path = &wanted.file;
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| name.len() <= 200);
    let name = name.ok_or_else(|| GateError::Name { path: path.clone() })?.to_owned();
    let bytes = bytes_of(path)?;
    let earlier = wanted
        .earlier
        .iter()
        .map(|path| Ok((path.as_path(), bytes_of(path)?)))
        .collect::<Result<Vec<_>, GateError>>()?;
    let found = output::check((path, &bytes), &wanted.kind, &earlier)?;
    if found.objects() && wanted.reason.is_none() {
        return Err(objected(path, &found.checks));
    }
    let kind = serde_json::to_vec(&wanted.kind)
        .map_err(|_| FilesError::Option("the kind cannot be written".to_owned()))?;
    let reason = wanted.reason.clone().unwrap_or_default();
    let mut parts: Vec<&[u8]> = vec![name.as_bytes(), &bytes, &kind, reason.as_bytes()];
    parts.extend(earlier.iter().map(|(_, bytes)| bytes.as_slice()));
    let made_of = Digest::of_parts("salus output v1", &parts);
    let about = vec![
        ("Wants out".to_owned(), format!("{name}, a {}", wanted.kind.as_str())),
        ("Made from".to_owned(), wanted.dataset.to_string()),
        ("Size".to_owned(), format!("{} bytes", bytes.len())),
        ("Earlier tables".to_owned(), earlier.len().to_string()),
    ];
    let checks = ReviewChecks {
        of: wanted.kind.as_str().to_owned(),
        about,
        checks: found.checks,
        attacks: Vec::new(),
        notes: Vec::new(),
        reason: wanted.reason.clone(),
        plan: None,
        certificate: None,
        details: found.details,
    };
    Ok(Read { name, bytes, made_of, checks: JobChecks { score: None, checks } })
}

fn objected(path: &Path, checks: &[OutputCheck]) -> GateError {
    let against = checks.iter().filter(|check| check.verdict == CheckVerdict::Objects);
    let words: Vec<String> = against.map(|c| format!("{}: {}", c.check, c.words)).collect();
    GateError::Objected { path: path.to_owned(), words: words.join("; ") }
}

/// The file as a job: it is made already, so no row is read; but what was made of rows goes their
/// way, under the permit, with the opt-outs of the moment.
pub(super) struct FileJob {
    pub(super) dataset: DatasetId,
    pub(super) columns: BTreeSet<ColumnPath>,
    pub(super) name: String,
    pub(super) made_of: Digest,
    pub(super) bytes: Vec<u8>,
    pub(super) checks: Vec<u8>,
}

#[async_trait::async_trait]
impl Job for FileJob {
    fn code(&self) -> CodeHash {
        output_code()
    }

    fn digest(&self) -> Digest {
        let columns: Vec<&str> = self.columns.iter().map(ColumnPath::as_str).collect();
        let parts: [&[u8]; 3] = [
            self.dataset.as_str().as_bytes(),
            &columns.join("\n").into_bytes(),
            self.made_of.as_bytes(),
        ];
        Digest::of_parts("salus output job v1", &parts)
    }

    fn statement(&self) -> String {
        format!("put {} of {} before the reviewers", self.name, self.dataset)
    }

    fn wanted(&self) -> BTreeMap<DatasetId, BTreeSet<ColumnPath>> {
        BTreeMap::from([(self.dataset.clone(), self.columns.clone())])
    }

    async fn compute(
        self: Box<Self>,
        _: BTreeMap<DatasetId, TableSource>,
    ) -> Result<Checked, JobFailed> {
        let charges = BTreeMap::from([(self.dataset, PrivacyCharge::NotBounded)]);
        let result = Priced { value: self.bytes, charges };
        Ok(Checked { result, checks: self.checks })
    }
}
