//! What the site has published of its datasets: anonymised and synthetic tables, each under the
//! receipt of its release.
//!
//! # Privacy
//! All that is kept here was released: sealed to the permit's key, charged, receipted. It lies
//! sealed under the site's master key all the same, until somebody fetches it.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use salus_crypto::aead::Aad;
use salus_crypto::{Digest, OsEntropy};
use salus_files::release::Kind;
use salus_ingest::tabular::{ImportError, Importer, LineFormat, SchemaFile, Source};
use salus_ledger::call::{ArtefactKind, DeltaExponent, RegisterArtefact, ReleaseRule};
use salus_ledger::proof::Fact;
use salus_ledger::review::Reviewed;
use salus_ledger::{ArtefactId, Commitment, DatasetRef, Opaque};
use salus_model::{
    Class, Classified, DatasetId, DatasetVersion, Entropy as _, EntropyFailed, MicroRho, PermitId,
    ReceiptId, Timestamp,
};
use salus_private::{LedgerRefused, SignedRelease};
use salus_store::{EncryptionSettings, LakeError, SealedError, open_sealed, seal_object};
use serde::{Deserialize, Serialize};

use crate::ledger::HolderLedger;
use crate::sharing::{AccountTerms, ShareError};
use crate::site::Site;

const FOLDER: &str = "published";
const FORMAT: u8 = 1;

/// A table that was released, and what everybody may know of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedDataset {
    format: u8,
    /// Its name.
    pub dataset: DatasetId,
    /// The dataset whose records it was made from.
    pub source: DatasetId,
    /// What it is.
    pub kind: Kind,
    /// What it was made for.
    pub purpose: String,
    /// Its columns and what they hold.
    pub columns: Vec<PublishedColumn>,
    /// Records.
    pub records: u64,
    /// ε of its release at the account's δ; none where it has no bound.
    pub epsilon: Option<f64>,
    /// The same loss in micro-ρ.
    pub micro_rho: Option<MicroRho>,
    /// k, where the δ of the account that was charged is 10^-k.
    pub delta_exponent: DeltaExponent,
    /// The permit under which it was released.
    pub permit: PermitId,
    /// The receipt of the release.
    pub receipt: ReceiptId,
    /// The review that it went out on, and the keys of those who approved; none where it has a
    /// bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Reviewed>,
    /// When it was made.
    pub made: Timestamp,
    /// SHA-256 of the CSV.
    pub sha256: Digest,
    /// SHA-256 of what is published beside it: `html` and `pdf`, the certificate, and `ndjson`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Digest>,
    /// The salt of the artefact's commitment, in hexadecimal: with it everybody can show that the
    /// CSV is the one that stands on the ledger.
    pub salt: String,
    /// The artefact on the ledger, once it stands there.
    pub artefact: Option<ArtefactId>,
    /// Its version in the site's lake, once it is there.
    pub version: Option<DatasetVersion>,
}

/// A column of a published table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedColumn {
    /// Its name.
    pub name: String,
    /// `text`, `integer`, `number`, `boolean`, `date` or `timestamp`.
    pub holds: String,
}

/// Which of a publication's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublishedFile {
    /// The records.
    Csv,
    /// The records as FHIR resources, where the plan wanted them.
    Ndjson,
    /// The certificate, as a page.
    Html,
    /// The certificate, as PDF.
    Pdf,
    /// The receipt of the release.
    Receipt,
}

impl PublishedFile {
    /// What it is called in [`PublishedDataset::files`].
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Html => "html",
            Self::Pdf => "pdf",
            Self::Receipt => "receipt",
        }
    }
}

/// A publication with its files, on its way to the disk.
pub(crate) struct Fresh {
    pub(crate) record: PublishedDataset,
    pub(crate) contents: Contents,
    pub(crate) receipt: Vec<u8>,
}

/// What is kept beside the record until it stands on the ledger.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    record: PublishedDataset,
    /// The plan with all that it names.
    plan: Digest,
    /// The artefact's transaction, signed: handing it in twice registers one artefact.
    #[serde(default)]
    registering: Option<SignedRelease>,
}

/// Why a publication cannot be kept, read or finished.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no such publication.
    #[error("{dataset} is no published dataset of this site")]
    Unknown {
        /// The name.
        dataset: DatasetId,
    },
    /// It does not open.
    #[error("the publication in {path} does not open: restore it from a backup")]
    Sealed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Option<SealedError>,
    },
    /// A file cannot be read or written.
    #[error("{path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The rows do not get into the lake.
    #[error("the released records do not get into the lake")]
    Import(#[from] ImportError),
    /// The rows do not fit the columns, which is a bug.
    #[error("{refused} released records do not fit their own columns")]
    Unfit {
        /// How many.
        refused: u64,
    },
    /// The lake refused.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The dataset does not get onto the ledger.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// The ledger refused.
    #[error(transparent)]
    Ledger(#[from] LedgerRefused),
    /// The ledger's proofs do not hold.
    #[error(transparent)]
    Evidence(#[from] salus_ledger::proof::EvidenceError),
    /// No salt can be drawn.
    #[error("no salt can be drawn")]
    Entropy(#[from] EntropyFailed),
}

impl Classified for PublishError {
    fn class(&self) -> Class {
        match self {
            Self::Unknown { .. } => Class::BadRequest,
            Self::Sealed { .. } => Class::Corrupt,
            Self::Io { .. } | Self::Entropy(_) => Class::Unavailable,
            Self::Import(e) => e.class(),
            Self::Unfit { .. } => Class::Bug,
            Self::Lake(e) => e.class(),
            Self::Share(e) => e.class(),
            Self::Ledger(e) => e.class(),
            Self::Evidence(e) => e.class(),
        }
    }
}

/// The commitment to a table and to what is published beside it under a salt, as the artefact on the
/// ledger has it.
#[must_use]
pub fn artefact_commitment(
    salt: &[u8; 32],
    sha256: &Digest,
    files: &BTreeMap<String, Digest>,
) -> Commitment {
    let mut parts: Vec<&[u8]> = vec![salt, sha256.as_bytes()];
    for (name, digest) in files {
        parts.extend([name.as_bytes(), digest.as_bytes().as_slice()]);
    }
    Commitment::new(*Digest::of_parts("salus artefact v1", &parts).as_bytes())
}

/// What is known of a release when it is about to be kept.
pub(crate) struct Origin {
    pub(crate) dataset: DatasetId,
    pub(crate) source: DatasetId,
    pub(crate) kind: Kind,
    pub(crate) purpose: String,
    pub(crate) columns: Vec<PublishedColumn>,
    pub(crate) records: u64,
    pub(crate) epsilon: Option<f64>,
    pub(crate) micro_rho: Option<MicroRho>,
    pub(crate) delta_exponent: DeltaExponent,
    pub(crate) permit: PermitId,
    pub(crate) receipt: ReceiptId,
    pub(crate) review: Option<Reviewed>,
}

/// What is published, as bytes.
pub(crate) struct Contents {
    pub(crate) csv: Vec<u8>,
    pub(crate) ndjson: Option<Vec<u8>>,
    pub(crate) html: Vec<u8>,
    pub(crate) pdf: Vec<u8>,
}

impl Contents {
    /// SHA-256 of all but the CSV, by what they are called.
    fn digests(&self) -> BTreeMap<String, Digest> {
        let beside = [
            (PublishedFile::Html, Some(&self.html)),
            (PublishedFile::Pdf, Some(&self.pdf)),
            (PublishedFile::Ndjson, self.ndjson.as_ref()),
        ];
        let digest = |(file, bytes): (PublishedFile, Option<&Vec<u8>>)| {
            bytes.map(|bytes| (file.suffix().to_owned(), Digest::of(bytes)))
        };
        beside.into_iter().filter_map(digest).collect()
    }
}

impl PublishedDataset {
    pub(crate) fn new(
        origin: Origin,
        contents: &Contents,
        made: Timestamp,
    ) -> Result<Self, EntropyFailed> {
        let mut salt = [0; 32];
        OsEntropy.fill(&mut salt)?;
        let Origin { dataset, source, kind, purpose, columns, records, .. } = origin;
        let Origin { epsilon, micro_rho, delta_exponent, permit, receipt, review, .. } = origin;
        Ok(Self {
            format: FORMAT,
            dataset,
            source,
            kind,
            purpose,
            columns,
            records,
            epsilon,
            micro_rho,
            delta_exponent,
            permit,
            receipt,
            review,
            made,
            sha256: Digest::of(&contents.csv),
            files: contents.digests(),
            salt: hex::encode(salt),
            artefact: None,
            version: None,
        })
    }

    /// Whether it is in the lake and on the ledger.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.artefact.is_some() && self.version.is_some()
    }

    fn schema(&self) -> Result<SchemaFile, salus_ingest::tabular::SchemaFileError> {
        let mut text = format!("dataset = \"{}\"\n", self.dataset);
        for PublishedColumn { name, holds } in &self.columns {
            let name = toml::Value::String(name.clone());
            text.push_str(&format!(
                "[[column]]\nname = {name}\ntype = \"{holds}\"\nclass = \"clinical\"\n"
            ));
        }
        SchemaFile::parse(&text)
    }
}

impl Site {
    fn publication_path(&self, dataset: &DatasetId, suffix: &str) -> PathBuf {
        let name = hex::encode(dataset.as_str());
        self.folder.join(FOLDER).join(format!("{name}.{suffix}"))
    }

    fn publication_aad(&self, dataset: &DatasetId, suffix: &str) -> Aad {
        let holder = self.config.holder.as_str().as_bytes();
        let parts: [&[u8]; 3] = [holder, dataset.as_str().as_bytes(), suffix.as_bytes()];
        Aad::new("salus published v1", &parts)
    }

    async fn keep_part(
        &self,
        dataset: &DatasetId,
        suffix: &str,
        bytes: &[u8],
    ) -> Result<(), PublishError> {
        let path = self.publication_path(dataset, suffix);
        let aad = self.publication_aad(dataset, suffix);
        let sealed = seal_object(&*self.keys, &self.master, &aad, bytes)
            .await
            .map_err(|e| PublishError::Sealed { path: path.clone(), source: Some(e) })?;
        crate::site::make_private_folder(&self.folder.join(FOLDER))
            .and_then(|()| crate::staff::write_private(&path, &sealed))
            .map_err(|source| PublishError::Io { path, source })
    }

    async fn part(&self, dataset: &DatasetId, suffix: &str) -> Result<Vec<u8>, PublishError> {
        let path = self.publication_path(dataset, suffix);
        let sealed = match std::fs::read(&path) {
            Ok(sealed) => sealed,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(PublishError::Unknown { dataset: dataset.clone() });
            }
            Err(source) => return Err(PublishError::Io { path, source }),
        };
        let aad = self.publication_aad(dataset, suffix);
        let opened = open_sealed(&*self.keys, &self.master, &aad, &sealed).await;
        let opened = opened.map_err(|e| PublishError::Sealed { path, source: Some(e) })?;
        Ok(opened.to_vec())
    }

    async fn kept(&self, dataset: &DatasetId) -> Result<Kept, PublishError> {
        let bytes = self.part(dataset, "record").await?;
        let path = self.publication_path(dataset, "record");
        serde_json::from_slice(&bytes).map_err(|_| PublishError::Sealed { path, source: None })
    }

    async fn keep(&self, kept: &Kept) -> Result<(), PublishError> {
        let dataset = &kept.record.dataset;
        let path = self.publication_path(dataset, "record");
        let bytes =
            serde_json::to_vec(kept).map_err(|_| PublishError::Sealed { path, source: None })?;
        self.keep_part(dataset, "record", &bytes).await
    }

    /// What the site has published, finished or not. One that does not open is told to the log.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn published(&self) -> Result<Vec<PublishedDataset>, PublishError> {
        let path = self.folder.join(FOLDER);
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(PublishError::Io { path, source }),
        };
        let named = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.ok()?.path();
            let name = hex::decode(path.file_stem()?.to_str()?).ok()?;
            path.extension().filter(|e| *e == "record")?;
            DatasetId::new(String::from_utf8(name).ok()?).ok()
        };
        let mut found = Vec::new();
        for dataset in entries.filter_map(named) {
            match self.kept(&dataset).await {
                Ok(kept) => found.push(kept.record),
                // One that is damaged hides no other; asked for by its name, it says so itself.
                Err(PublishError::Sealed { path, .. }) => {
                    tracing::error!(path = %path.display(), "a publication does not open");
                }
                Err(error) => return Err(error),
            }
        }
        found.sort_by(|a, b| a.dataset.cmp(&b.dataset));
        Ok(found)
    }

    /// A publication with the plan that it came of; none when there is none of that name.
    ///
    /// # Errors
    /// When it does not open.
    pub async fn publication(
        &self,
        dataset: &DatasetId,
    ) -> Result<Option<(PublishedDataset, Digest)>, PublishError> {
        match self.kept(dataset).await {
            Ok(kept) => Ok(Some((kept.record, kept.plan))),
            Err(PublishError::Unknown { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// A file of a publication.
    ///
    /// # Errors
    /// When there is none, or it does not open.
    pub async fn published_file(
        &self,
        dataset: &DatasetId,
        file: PublishedFile,
    ) -> Result<Vec<u8>, PublishError> {
        // Without its record it is not published, whatever a crash left.
        self.kept(dataset).await?;
        self.part(dataset, file.suffix()).await
    }

    /// Keeps what was released: from here on it outlives its sealed answer.
    pub(crate) async fn keep_publication(
        &self,
        fresh: Fresh,
        plan: Digest,
    ) -> Result<(), PublishError> {
        let Fresh { record, contents, receipt } = fresh;
        let Contents { csv, ndjson, html, pdf } = contents;
        let dataset = record.dataset.clone();
        self.keep_part(&dataset, PublishedFile::Csv.suffix(), &csv).await?;
        if let Some(ndjson) = ndjson {
            self.keep_part(&dataset, PublishedFile::Ndjson.suffix(), &ndjson).await?;
        }
        self.keep_part(&dataset, PublishedFile::Html.suffix(), &html).await?;
        self.keep_part(&dataset, PublishedFile::Pdf.suffix(), &pdf).await?;
        self.keep_part(&dataset, PublishedFile::Receipt.suffix(), &receipt).await?;
        self.keep(&Kept { record, plan, registering: None }).await
    }

    /// Brings a publication into the lake and onto the ledger, as far as it is not there yet.
    ///
    /// # Errors
    /// When lake or ledger refuse; what was done stays done, and the next call does the rest.
    pub(crate) async fn finish_publication(
        &self,
        ledger: &HolderLedger,
        dataset: &DatasetId,
    ) -> Result<PublishedDataset, PublishError> {
        let mut kept = self.kept(dataset).await?;
        if kept.record.version.is_none() {
            kept.record.version = Some(self.import_released(&kept.record).await?);
            self.keep(&kept).await?;
        }
        if kept.record.artefact.is_none() {
            self.onto_ledger(ledger, &kept.record).await?;
            kept.record.artefact = Some(self.register(ledger, &mut kept).await?);
            self.keep(&kept).await?;
        }
        Ok(kept.record)
    }

    async fn import_released(
        &self,
        record: &PublishedDataset,
    ) -> Result<DatasetVersion, PublishError> {
        match self.lake.snapshot(&record.dataset, None).await {
            Ok(found) if found.manifest().rows() > 0 => return Ok(found.manifest().version),
            Ok(_) | Err(LakeError::NoDataset { .. }) => {}
            Err(e) => return Err(e.into()),
        }
        let schema = record.schema().map_err(ImportError::from)?;
        let csv = self.part(&record.dataset, PublishedFile::Csv.suffix()).await?;
        let lines = Source::Lines(Box::new(Cursor::new(csv)), LineFormat::Csv { delimiter: b',' });
        let importer = Importer::new(Arc::clone(&self.lake), schema, EncryptionSettings::STRICT);
        let report = importer.run("release", lines, |_| ()).await?;
        match report.quarantined {
            0 => Ok(report.version),
            refused => Err(PublishError::Unfit { refused }),
        }
    }

    /// Registers the dataset with an account that has nothing to spend: it is released already, and
    /// costs nobody anything.
    async fn onto_ledger(
        &self,
        ledger: &HolderLedger,
        record: &PublishedDataset,
    ) -> Result<(), PublishError> {
        let dataset = record.dataset.clone();
        let reference = DatasetRef { holder: ledger.member().clone(), dataset };
        let state = ledger.state(&[Fact::Dataset(reference.clone())]).await?;
        let terms = AccountTerms {
            budget: MicroRho::ZERO,
            delta: record.delta_exponent,
            releases: ReleaseRule::DpOnly,
        };
        let terms = state.dataset(&reference)?.is_none().then_some(terms);
        self.share(ledger, &record.dataset, terms).await?;
        Ok(())
    }

    async fn register(
        &self,
        ledger: &HolderLedger,
        kept: &mut Kept,
    ) -> Result<ArtefactId, PublishError> {
        if let Some(signed) = &kept.registering
            && let Some(transaction) = ledger.take_up(signed).await?
        {
            return Ok(transaction.artefact());
        }
        let record = &kept.record;
        let salt = hex::decode(&record.salt).ok().and_then(|s| <[u8; 32]>::try_from(s).ok());
        let path = self.publication_path(&record.dataset, "record");
        let salt = salt.ok_or(PublishError::Sealed { path, source: None })?;
        let kind = match record.kind {
            Kind::Anonymised => ArtefactKind::AnonymisedSet,
            Kind::Synthetic => ArtefactKind::SyntheticSet,
        };
        let call = RegisterArtefact {
            kind,
            commitment: artefact_commitment(&salt, &record.sha256, &record.files),
            receipt: record.receipt.clone(),
            owner: ledger.member().clone(),
        };
        let signed = ledger.signed(call.into(), &[]).await?;
        let bytes = Opaque::new(signed.as_bytes().to_vec());
        let signed = SignedRelease { transaction: signed.id(), bytes };
        kept.registering = Some(signed.clone());
        self.keep(kept).await?;
        Ok(ledger.hand_in_bytes(&signed).await?.artefact())
    }
}

/// Bytes as text, for answers in JSON.
pub(crate) fn as_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Text as bytes; none when it is none.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
