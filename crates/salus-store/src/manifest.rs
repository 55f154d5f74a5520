//! What a dataset's version consists of, signed by the holder.

use arrow::datatypes::SchemaRef;
use salus_crypto::merkle::{self, LeafHash};
use salus_crypto::{Digest, Signature};
use salus_model::{Class, Classified, ColumnPath, DatasetId, DatasetVersion, HolderId, Timestamp};
use salus_spine::{Authority, HolderAuthority, SignedStatement, Statement};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::admit::Identity;
use crate::keytools::EncryptionSettings;
use crate::policy::KeyChoice;

/// The newest format. Format 2 has `settled_below`; a manifest without it is written in format 1.
const FORMAT: u32 = 2;

/// One encrypted Parquet file of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// The file's name in the dataset's data folder.
    pub name: String,
    /// The version that wrote it; later versions may keep it.
    pub first_version: DatasetVersion,
    /// Rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the file as it lies in the store.
    pub sha256: Digest,
}

/// A version of a dataset: what it holds and how it is protected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format of this manifest.
    pub format: u32,
    /// Whose dataset.
    pub holder: HolderId,
    /// Which dataset.
    pub dataset: DatasetId,
    /// Which version.
    pub version: DatasetVersion,
    /// The digest of the version before; none for the first.
    pub previous: Option<Digest>,
    /// When the version was published.
    pub created: Timestamp,
    /// The Arrow schema.
    #[serde(with = "schema_as_ipc")]
    pub schema: SchemaRef,
    /// The column that names the person (or device) whom a row is about.
    pub subject: Option<ColumnPath>,
    /// How rows replace each other; none for a dataset that is only appended to.
    pub identity: Option<Identity>,
    /// The key of every leaf column.
    pub keys: BTreeMap<ColumnPath, KeyChoice>,
    /// How new files are encrypted.
    pub encryption: EncryptionSettings,
    /// The files, in the order of their names.
    pub files: Vec<DataFile>,
    /// The sealed list of superseded rows, if there is one.
    pub superseded: Option<DataFile>,
    /// The journal's position up to which the files hold its rows.
    pub journal_through: u64,
    /// Files first written before this version that no kept version names may be gone. Whoever
    /// wrote such files and has not published them publishes them no more.
    pub retired_before: DatasetVersion,
    /// Entries below this sequence may have been dropped from the list of superseded rows: whoever
    /// publishes rows with lower sequences has to look for newer rows in the files first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_below: Option<i64>,
    /// RFC 9162 root over the files' entries; the ledger commits to it.
    pub root: Digest,
}

/// A manifest with the holder's signature over its exact bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    manifest: String,
    signature: Signature,
}

/// Why a manifest is not believed.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The bytes are no manifest.
    #[error("the manifest of {dataset} version {version} cannot be read")]
    Malformed {
        /// The dataset that it should describe.
        dataset: DatasetId,
        /// The version that it should describe.
        version: DatasetVersion,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It was not signed by the holder, or has been altered since.
    #[error("the manifest of {dataset} version {version} does not carry the holder's signature")]
    Signature {
        /// The dataset that it should describe.
        dataset: DatasetId,
        /// The version that it should describe.
        version: DatasetVersion,
    },
    /// It is a true manifest of something else, put in this place.
    #[error("the manifest in the place of {dataset} version {version} describes something else")]
    OtherPlace {
        /// The dataset that it should describe.
        dataset: DatasetId,
        /// The version that it should describe.
        version: DatasetVersion,
    },
    /// It comes from a newer Salus.
    #[error(
        "the manifest has format {found}; this Salus reads up to {FORMAT}, a newer one is needed"
    )]
    Format {
        /// The format found.
        found: u32,
    },
    /// Its root is not that of its files.
    #[error("the manifest of {dataset} version {version} has a root that is not that of its files")]
    Root {
        /// The dataset.
        dataset: DatasetId,
        /// The version.
        version: DatasetVersion,
    },
}

impl Classified for ManifestError {
    fn class(&self) -> Class {
        Class::Corrupt
    }
}

impl DataFile {
    fn leaf(&self) -> LeafHash {
        let entry = Digest::of_parts(
            "salus data file v1",
            &[
                self.name.as_bytes(),
                &self.first_version.number().to_be_bytes(),
                &self.rows.to_be_bytes(),
                &self.bytes.to_be_bytes(),
                self.sha256.as_bytes(),
            ],
        );
        LeafHash::of(entry.as_bytes())
    }
}

/// The root over a version's files, and its list of superseded rows as the last leaf.
#[must_use]
pub fn root_of(files: &[DataFile], superseded: Option<&DataFile>) -> Digest {
    let leaves: Vec<LeafHash> = files.iter().chain(superseded).map(DataFile::leaf).collect();
    merkle::root(&leaves)
}

/// What the holder signs: this manifest, these exact bytes.
struct ManifestBytes<'a> {
    holder: HolderId,
    bytes: &'a [u8],
}

impl Statement for ManifestBytes<'_> {
    const DOMAIN: &'static str = "salus manifest v1";

    fn holder(&self) -> &HolderId {
        &self.holder
    }

    fn valid(&self) -> Option<(Timestamp, Timestamp)> {
        None
    }

    fn digest(&self) -> Digest {
        Digest::of(self.bytes)
    }
}

impl Manifest {
    /// The format that this Salus writes.
    pub const FORMAT: u32 = FORMAT;

    /// The manifest's bytes with the holder's signature, and its digest.
    ///
    /// # Errors
    /// When the schema cannot be written, which is a bug.
    pub fn sign(&self, authority: &Authority) -> Result<(Vec<u8>, Digest), serde_json::Error> {
        let manifest = serde_json::to_string(self)?;
        let bytes = manifest.as_bytes();
        let digest = Digest::of(bytes);
        let signed = authority.sign(ManifestBytes { holder: self.holder.clone(), bytes });
        let signature = signed.signature();
        Ok((serde_json::to_vec(&Envelope { manifest, signature })?, digest))
    }

    /// Reads a manifest and verifies that the holder signed it for this place.
    ///
    /// # Errors
    /// When it is malformed, not signed by the holder, of another place, or of a newer format.
    pub fn open(
        bytes: &[u8],
        authority: &HolderAuthority,
        (dataset, version): (&DatasetId, DatasetVersion),
    ) -> Result<(Self, Digest), ManifestError> {
        let place = || (dataset.clone(), version);
        let malformed = |source| {
            let (dataset, version) = place();
            ManifestError::Malformed { dataset, version, source }
        };
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(malformed)?;
        let signed = envelope.manifest.as_bytes();
        let statement = ManifestBytes { holder: authority.holder().clone(), bytes: signed };
        let statement = SignedStatement::new(statement, envelope.signature);
        authority.verify(&statement, Timestamp::EPOCH).map_err(|_| {
            let (dataset, version) = place();
            ManifestError::Signature { dataset, version }
        })?;
        let format: FormatOnly = serde_json::from_slice(signed).map_err(malformed)?;
        if format.format > FORMAT {
            return Err(ManifestError::Format { found: format.format });
        }
        let manifest: Self = serde_json::from_slice(signed).map_err(malformed)?;
        let here = (&manifest.holder, &manifest.dataset, manifest.version);
        if here != (authority.holder(), dataset, version) {
            let (dataset, version) = place();
            return Err(ManifestError::OtherPlace { dataset, version });
        }
        if manifest.root != root_of(&manifest.files, manifest.superseded.as_ref()) {
            let (dataset, version) = place();
            return Err(ManifestError::Root { dataset, version });
        }
        Ok((manifest, Digest::of(signed)))
    }

    /// The oldest format that can say it, so that an older Salus reads what it understands.
    pub(crate) const fn format_for(settled_below: Option<i64>) -> u32 {
        if settled_below.is_some() { FORMAT } else { 1 }
    }

    /// Rows over all files, before any superseded row is left out.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|f| f.rows).sum()
    }

    /// Bytes over all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }

    /// What each file's pages are bound to: holder, dataset, first-written version, file name.
    #[must_use]
    pub fn aad_prefix(&self, file: &DataFile) -> Vec<u8> {
        aad_prefix(&self.holder, &self.dataset, file.first_version, &file.name)
    }
}

pub(crate) fn aad_prefix(
    holder: &HolderId,
    dataset: &DatasetId,
    version: DatasetVersion,
    name: &str,
) -> Vec<u8> {
    format!("salus/v1/{holder}/{dataset}/{version}/{name}").into_bytes()
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

mod schema_as_ipc {
    use std::sync::Arc;

    use arrow::datatypes::{Schema, SchemaRef};
    use arrow::ipc::convert::{IpcSchemaEncoder, fb_to_schema};
    use arrow::ipc::root_as_schema;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(schema: &Schema, to: S) -> Result<S::Ok, S::Error> {
        let encoded = IpcSchemaEncoder::new().schema_to_fb(schema);
        to.serialize_str(&BASE64.encode(encoded.finished_data()))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<SchemaRef, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = BASE64.decode(text).map_err(D::Error::custom)?;
        // Signed by the holder before it comes here, so that no stranger's types are met.
        let schema = root_as_schema(&bytes).map_err(D::Error::custom)?;
        Ok(Arc::new(fb_to_schema(schema)))
    }
}
