//! What waits for reviewers, on the site's disk.

use std::path::{Path, PathBuf};

use salus_crypto::Digest;
use salus_crypto::aead::Aad;
use salus_ledger::{Opaque, ReviewId, cbor};
use salus_model::{DatasetId, PermitId};
use salus_private::HeldResult;
use salus_store::{open_sealed, seal_object};
use serde::{Deserialize, Serialize};

use super::GateError;
use crate::site::Site;

const FOLDER: &str = "gate";
/// What is known of an item lies beside it under this extension.
const HEAD: &str = "head";
const FORMAT: u8 = 1;
/// A result twice, as it is sealed to the person and to the holder, and the report.
const MAX_BYTES: usize = 192 * 1024 * 1024;

/// What is put before reviewers, and how it is found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item {
    /// What it is called once it is out.
    pub(crate) name: String,
    /// Whether that is a dataset's name or a file's.
    pub(crate) form: Form,
    /// The dataset whose records it was made from.
    pub(crate) source: DatasetId,
    /// Under which permit.
    pub(crate) permit: PermitId,
    /// All that decides what it is: the plan, or the file.
    pub(crate) made_of: Digest,
}

/// What goes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Form {
    Dataset,
    File(super::file::FileItem),
}

impl Item {
    /// Where it is kept: one dataset at a time waits under a name, and every file by itself.
    fn place(&self) -> Digest {
        match &self.form {
            Form::Dataset => dataset_place(&self.name),
            Form::File(_) => {
                let parts: [&[u8]; 5] = [
                    b"file",
                    self.name.as_bytes(),
                    self.source.as_str().as_bytes(),
                    self.permit.as_str().as_bytes(),
                    self.made_of.as_bytes(),
                ];
                Digest::of_parts(PLACE, &parts)
            }
        }
    }

    /// Whether this is a file of the same name as another, from the same dataset under the same
    /// permit, with other bytes or by other rules.
    fn is_another_version_of(&self, other: &Self) -> bool {
        matches!((&self.form, &other.form), (Form::File(_), Form::File(_)))
            && (&self.name, &self.source, &self.permit)
                == (&other.name, &other.source, &other.permit)
            && self.made_of != other.made_of
    }
}

const PLACE: &str = "salus gate place v1";

fn dataset_place(name: &str) -> Digest {
    Digest::of_parts(PLACE, &[b"dataset", name.as_bytes()])
}

/// An item that waits, or was given out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    format: u8,
    pub(crate) item: Item,
    pub(crate) result: HeldResult,
    /// The report's file for the reviewers.
    pub(crate) report: Opaque,
    /// The review that it shall take the place of.
    pub(crate) replaces: Option<ReviewId>,
    /// Its review, once the ledger has told of it.
    pub(crate) review: Option<ReviewId>,
}

/// What is known of an item without opening its result.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    format: u8,
    pub(crate) item: Item,
    pub(crate) review: Option<ReviewId>,
}

/// Everything at the gate that opens, and where what does not open lies.
#[derive(Default)]
pub(crate) struct AtGate {
    pub(crate) heads: Vec<Head>,
    pub(crate) damaged: Vec<PathBuf>,
}

impl Kept {
    fn head(&self) -> Head {
        Head { format: FORMAT, item: self.item.clone(), review: self.review }
    }

    pub(crate) fn new(
        item: Item,
        (result, report): (HeldResult, Vec<u8>),
        replaces: Option<ReviewId>,
    ) -> Self {
        let report = Opaque::new(report);
        Self { format: FORMAT, item, result, report, replaces, review: None }
    }
}

impl Site {
    fn gate_path(&self, place: &Digest) -> PathBuf {
        self.folder.join(FOLDER).join(hex::encode(place.as_bytes()))
    }

    fn gate_aad(&self, place: &Digest) -> Aad {
        let holder = self.config.holder.as_str().as_bytes();
        Aad::new("salus gate v1", &[holder, place.as_bytes()])
    }

    fn head_aad(&self, place: &Digest) -> Aad {
        let holder = self.config.holder.as_str().as_bytes();
        Aad::new("salus gate head v1", &[holder, place.as_bytes()])
    }

    /// What waits, or waited, in an item's place; none when nothing does.
    pub(crate) async fn at_gate(&self, item: &Item) -> Result<Option<Kept>, GateError> {
        self.opened(&item.place()).await
    }

    async fn opened(&self, place: &Digest) -> Result<Option<Kept>, GateError> {
        let path = self.gate_path(place);
        let Some(kept) = self.unsealed::<Kept>(&path, &self.gate_aad(place)).await? else {
            return Ok(None);
        };
        if kept.format == FORMAT {
            Ok(Some(kept))
        } else {
            Err(GateError::Sealed { path, source: None })
        }
    }

    async fn unsealed<T: Serialize + serde::de::DeserializeOwned>(
        &self,
        path: &Path,
        aad: &Aad,
    ) -> Result<Option<T>, GateError> {
        let path = || path.to_owned();
        let sealed = match std::fs::read(path()) {
            Ok(sealed) => sealed,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(GateError::Io { path: path(), source }),
        };
        let opened = open_sealed(&*self.keys, &self.master, aad, &sealed).await;
        let opened = opened.map_err(|e| GateError::Sealed { path: path(), source: Some(e) })?;
        let decoded = cbor::decode(&opened, MAX_BYTES);
        Ok(Some(decoded.map_err(|_| GateError::Sealed { path: path(), source: None })?))
    }

    /// Puts an item on the disk, whole, before the ledger hears of it.
    pub(crate) async fn keep_at_gate(&self, kept: &Kept) -> Result<(), GateError> {
        let place = kept.item.place();
        let path = self.gate_path(&place);
        self.sealed(&path, &self.gate_aad(&place), kept).await?;
        self.sealed(&path.with_extension(HEAD), &self.head_aad(&place), &kept.head()).await
    }

    async fn sealed(
        &self,
        path: &Path,
        aad: &Aad,
        value: &impl Serialize,
    ) -> Result<(), GateError> {
        let bytes = cbor::encode(value)?;
        let sealed = seal_object(&*self.keys, &self.master, aad, &bytes).await;
        let sealed =
            sealed.map_err(|e| GateError::Sealed { path: path.to_owned(), source: Some(e) })?;
        crate::site::make_private_folder(&self.folder.join(FOLDER))
            .and_then(|()| crate::staff::write_private(path, &sealed))
            .map_err(|source| GateError::Io { path: path.to_owned(), source })
    }

    /// Forgets the dataset of a name, which is published; none there is no error.
    pub(crate) fn leave_gate(&self, dataset: &DatasetId) -> Result<(), GateError> {
        let path = self.gate_path(&dataset_place(dataset.as_str()));
        // What it is known by goes last: without it the rest would be looked at again.
        for path in [path.clone(), path.with_extension(HEAD)] {
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(GateError::Io { path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Everything that waits here, or was given out as a file, by what is known of it.
    pub(crate) async fn heads_at_gate(&self) -> Result<AtGate, GateError> {
        let path = self.folder.join(FOLDER);
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(AtGate::default()),
            Err(source) => return Err(GateError::Io { path, source }),
        };
        let named = |entry: std::io::Result<std::fs::DirEntry>| {
            let name = hex::decode(entry.ok()?.file_name().to_str()?).ok()?;
            Some(Digest::from_bytes(name.try_into().ok()?))
        };
        let mut found = AtGate::default();
        for place in entries.filter_map(named) {
            match self.head(&place).await {
                Ok(head) => found.heads.extend(head),
                Err(GateError::Sealed { path, .. }) => found.damaged.push(path),
                Err(error) => return Err(error),
            }
        }
        found.heads.sort_by(|a, b| a.item.name.cmp(&b.item.name));
        found.damaged.sort();
        Ok(found)
    }

    /// What is known of the item in a place. Where that is missing, or is damaged, or a crash left
    /// it without the review that the whole item knows of, the item is opened.
    async fn head(&self, place: &Digest) -> Result<Option<Head>, GateError> {
        let path = self.gate_path(place).with_extension(HEAD);
        match self.unsealed::<Head>(&path, &self.head_aad(place)).await {
            Ok(Some(head)) if head.format == FORMAT && head.review.is_some() => Ok(Some(head)),
            Ok(_) | Err(GateError::Sealed { .. }) => {
                Ok(self.opened(place).await?.map(|kept| kept.head()))
            }
            Err(error) => Err(error),
        }
    }

    /// The review of the newest other version of a file, by what is kept of them.
    pub(crate) async fn other_versions(&self, item: &Item) -> Result<Vec<ReviewId>, GateError> {
        let heads = self.heads_at_gate().await?.heads;
        let others = heads.into_iter().filter(|head| head.item.is_another_version_of(item));
        Ok(others.filter_map(|head| head.review).collect())
    }
}
