use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use futures::TryStreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use salus_crypto::Digest;
use salus_model::{ColumnPath, DatasetId, DatasetVersion};
use salus_spine::{Upkeep, UpkeepAuthorised};

use super::ONE_AT_A_TIME;
use crate::file::{FileError, OpenFile};
use crate::keytools::{KeyToolsError, Unwrapped};
use crate::lake::{Lake, LakeError};
use crate::manifest::{DataFile, Manifest};
use crate::sealed::{self, SealedError};
use crate::storage::StorageError;
use crate::visible::leaves_of;

/// What is wrong with a version or a file of it.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The manifest is not believed, or does not open.
    #[error("its manifest does not open")]
    Manifest(#[source] LakeError),
    /// A version between two others is missing.
    #[error("it is missing between its neighbours")]
    MissingVersion,
    /// It does not name the version before it by its digest.
    #[error("it does not follow the version before it")]
    Chain,
    /// Two versions describe one file differently.
    #[error("an earlier version describes the file differently")]
    OtherDescription,
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Unreadable(#[source] StorageError),
    /// The file has another size.
    #[error("the file has {found} bytes, the manifest says {wanted}")]
    Size {
        /// What the manifest says.
        wanted: u64,
        /// What is there.
        found: u64,
    },
    /// The file has other bytes.
    #[error("the file's SHA-256 is not the manifest's: it was altered, or is another file")]
    Sha256,
    /// The file's key material is missing, damaged or another file's, or its footer is.
    #[error("the file does not open")]
    File(#[source] FileError),
    /// A column's key is not available, or its material does not fit.
    #[error("the key of column '{column}' does not unwrap")]
    Key {
        /// The column.
        column: ColumnPath,
        /// Why.
        #[source]
        source: KeyToolsError,
    },
    /// A page of a column does not decrypt or decode.
    #[error("a page of column '{column}' does not decrypt or decode")]
    Column {
        /// The column.
        column: ColumnPath,
        /// Why.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A column has another number of rows than the manifest says.
    #[error("column '{column}' has {found} rows, the manifest says {wanted}")]
    Rows {
        /// The column.
        column: ColumnPath,
        /// What the manifest says.
        wanted: u64,
        /// What is there.
        found: u64,
    },
    /// The list of superseded rows does not open.
    #[error("the list of superseded rows does not open")]
    Superseded(#[source] LakeError),
    /// The list of superseded rows is no sealed object.
    #[error("the list of superseded rows is no sealed object")]
    NotSealed(#[source] SealedError),
}

/// One thing that is wrong.
#[derive(Debug)]
pub struct Finding {
    /// The (first) version in which it shows.
    pub version: DatasetVersion,
    /// The file; none when it is about the version as a whole.
    pub file: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

/// What verification looked at and found.
#[derive(Debug)]
pub struct VerifyReport {
    /// How many versions there are.
    pub versions: usize,
    /// How many different files they name.
    pub files: usize,
    /// How many bytes were read and hashed.
    pub bytes: u64,
    /// What is wrong; empty when all is well.
    pub findings: Vec<Finding>,
}

impl Lake {
    /// Checks a dataset wholly: every version's manifest, signature, root and place in the chain;
    /// every file's size and SHA-256; that every column chunk decrypts and decodes.
    ///
    /// Does not stop at the first finding.
    ///
    /// # Privacy
    /// Decrypts in memory and keeps nothing; the report has no values.
    ///
    /// # Errors
    /// When the order does not cover it, there is no such dataset, or the storage cannot list.
    ///
    /// # Cost
    /// Reads each file twice.
    pub async fn verify(
        &self,
        order: &UpkeepAuthorised,
        dataset: &DatasetId,
    ) -> Result<VerifyReport, LakeError> {
        let not_ordered = |source| LakeError::Upkeep { dataset: dataset.clone(), source };
        order.covers(dataset, Upkeep::Verify).map_err(not_ordered)?;
        let _one_at_a_time = ONE_AT_A_TIME.lock().await;
        let versions = self.versions(dataset).await?;
        let mut check = Check {
            lake: self,
            session: Unwrapped::default(),
            known: BTreeMap::new(),
            report: VerifyReport { versions: versions.len(), files: 0, bytes: 0, findings: vec![] },
        };
        let mut before: Option<(DatasetVersion, Option<Digest>)> = None;
        for version in versions {
            let digest = check.version(dataset, version, before).await;
            before = Some((version, digest));
        }
        Ok(check.report)
    }
}

struct Check<'l> {
    lake: &'l Lake,
    session: Unwrapped,
    known: BTreeMap<String, DataFile>,
    report: VerifyReport,
}

impl Check<'_> {
    fn found(&mut self, version: DatasetVersion, file: Option<&DataFile>, problem: Problem) {
        let file = file.map(|f| f.name.clone());
        self.report.findings.push(Finding { version, file, problem });
    }

    /// Checks a version and what is new in it; its digest, when it can be read.
    async fn version(
        &mut self,
        dataset: &DatasetId,
        version: DatasetVersion,
        before: Option<(DatasetVersion, Option<Digest>)>,
    ) -> Option<Digest> {
        if let Some((before, _)) = before {
            let mut missing = before.next();
            while missing < version {
                self.found(missing, None, Problem::MissingVersion);
                missing = missing.next();
            }
        }
        let (manifest, digest) = match self.lake.read_manifest(dataset, version).await {
            Ok(read) => read,
            Err(e) => {
                self.found(version, None, Problem::Manifest(e));
                return None;
            }
        };
        let follows = match before {
            Some((before, Some(digest))) if before.next() == version => {
                manifest.previous == Some(digest)
            }
            // The one before is missing or damaged, which has been told, or expired.
            _ => manifest.previous.is_some() || version == DatasetVersion::FIRST,
        };
        if !follows {
            self.found(version, None, Problem::Chain);
        }
        for file in &manifest.files {
            if self.is_new(version, file) {
                self.file(&manifest, file).await;
            }
        }
        if let Some(file) = manifest.superseded.as_ref().filter(|f| self.is_new(version, f)) {
            self.superseded(&manifest, file).await;
        }
        Some(digest)
    }

    fn is_new(&mut self, version: DatasetVersion, file: &DataFile) -> bool {
        match self.known.get(&file.name) {
            Some(known) => {
                if known != file {
                    self.found(version, Some(file), Problem::OtherDescription);
                }
                false
            }
            None => {
                self.known.insert(file.name.clone(), file.clone());
                self.report.files += 1;
                true
            }
        }
    }

    async fn superseded(&mut self, manifest: &Manifest, file: &DataFile) {
        let version = manifest.version;
        let path = self.lake.data_path(&manifest.dataset, &file.name);
        let object = match self.lake.storage.read(&path).await {
            Ok(object) => object,
            Err(e) => return self.found(version, Some(file), Problem::Unreadable(e)),
        };
        self.report.bytes += object.len() as u64;
        match sealed::measure(&object) {
            Err(e) => return self.found(version, Some(file), Problem::NotSealed(e)),
            Ok((_, sha256)) if sha256 != file.sha256 => {
                self.found(version, Some(file), Problem::Sha256);
            }
            Ok(_) => {}
        }
        if let Err(e) = self.lake.stored_superseded(manifest).await {
            self.found(version, Some(file), Problem::Superseded(e));
        }
    }

    async fn file(&mut self, manifest: &Manifest, file: &DataFile) {
        let version = manifest.version;
        let path = self.lake.data_path(&manifest.dataset, &file.name);
        let bytes = match self.lake.storage.read(&path).await {
            Ok(bytes) => bytes,
            Err(e) => return self.found(version, Some(file), Problem::Unreadable(e)),
        };
        let found = bytes.len() as u64;
        self.report.bytes += found;
        if found != file.bytes {
            self.found(version, Some(file), Problem::Size { wanted: file.bytes, found });
        }
        if Digest::of(&bytes) != file.sha256 {
            self.found(version, Some(file), Problem::Sha256);
        }
        drop(bytes);
        for (places, columns) in readable_alone(&manifest.schema) {
            let column = columns[0].clone();
            match self.columns(manifest, file, (places, &columns)).await {
                Ok(()) => {}
                // One column's key says nothing about the others.
                Err(Problem::File(FileError::Keys { source, .. })) if !is_footer(&source) => {
                    self.found(version, Some(file), Problem::Key { column, source });
                }
                Err(problem @ Problem::File(_)) => {
                    return self.found(version, Some(file), problem);
                }
                Err(problem) => self.found(version, Some(file), problem),
            }
        }
    }

    async fn columns(
        &self,
        manifest: &Manifest,
        file: &DataFile,
        (places, columns): (Vec<usize>, &[ColumnPath]),
    ) -> Result<(), Problem> {
        let wanted = columns.iter().cloned().collect();
        let opened = self.lake.open_file(manifest, file, &wanted, &self.session).await;
        let OpenFile { reader, metadata } = opened.map_err(Problem::File)?;
        let failed = |source| Problem::Column { column: columns[0].clone(), source };
        let options = ArrowReaderOptions::new().with_schema(Arc::clone(&manifest.schema));
        let metadata = ArrowReaderMetadata::try_new(metadata, options).map_err(failed)?;
        let mask = ProjectionMask::leaves(metadata.parquet_schema(), places);
        let mut batches = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
            .with_projection(mask)
            .build()
            .map_err(failed)?;
        let mut found = 0;
        while let Some(batch) = batches.try_next().await.map_err(failed)? {
            found += batch.num_rows() as u64;
        }
        if found == file.rows {
            Ok(())
        } else {
            Err(Problem::Rows { column: columns[0].clone(), wanted: file.rows, found })
        }
    }
}

/// The leaves with their places, in the smallest groups that can be read by themselves: each one
/// alone, but for those of a column with a map in it, whose entries are read together.
fn readable_alone(schema: &Schema) -> Vec<(Vec<usize>, Vec<ColumnPath>)> {
    let (mut groups, mut next) = (Vec::new(), 0);
    for field in schema.fields() {
        let leaves = leaves_of(field);
        let places = next..next + leaves.len();
        next = places.end;
        if has_map(field.data_type()) && !leaves.is_empty() {
            groups.push((places.collect(), leaves));
        } else {
            groups.extend(places.zip(leaves).map(|(place, leaf)| (vec![place], vec![leaf])));
        }
    }
    groups
}

fn has_map(kind: &DataType) -> bool {
    match kind {
        DataType::Map(..) => true,
        DataType::Struct(fields) => fields.iter().any(|f| has_map(f.data_type())),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            has_map(item.data_type())
        }
        _ => false,
    }
}

fn is_footer(error: &KeyToolsError) -> bool {
    match error {
        KeyToolsError::KeyStore { what, .. }
        | KeyToolsError::NoMaterial { what }
        | KeyToolsError::OtherKey { what }
        | KeyToolsError::Unwrap { what, .. } => what == crate::keytools::FOOTER,
        _ => true,
    }
}
