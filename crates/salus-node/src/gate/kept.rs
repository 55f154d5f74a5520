//! What waits for reviewers, on the site's disk.

use std::path::PathBuf;

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
    /// One at a time waits under a name.
    fn place(&self) -> Digest {
        place(&self.form, &self.name)
    }
}

fn place(form: &Form, name: &str) -> Digest {
    let form: &[u8] = match form {
        Form::Dataset => b"dataset",
        Form::File(_) => b"file",
    };
    Digest::of_parts("salus gate place v1", &[form, name.as_bytes()])
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

impl Kept {
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

    /// What waits, or waited, in an item's place; none when nothing does.
    pub(crate) async fn at_gate(&self, item: &Item) -> Result<Option<Kept>, GateError> {
        self.opened(&item.place()).await
    }

    async fn opened(&self, place: &Digest) -> Result<Option<Kept>, GateError> {
        let path = self.gate_path(place);
        let sealed = match std::fs::read(&path) {
            Ok(sealed) => sealed,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(GateError::Io { path, source }),
        };
        let opened = open_sealed(&*self.keys, &self.master, &self.gate_aad(place), &sealed).await;
        let opened =
            opened.map_err(|e| GateError::Sealed { path: path.clone(), source: Some(e) })?;
        let damaged = || GateError::Sealed { path: path.clone(), source: None };
        let kept: Kept = cbor::decode(&opened, MAX_BYTES).map_err(|_| damaged())?;
        if kept.format == FORMAT { Ok(Some(kept)) } else { Err(damaged()) }
    }

    /// Puts an item on the disk, whole, before the ledger hears of it.
    pub(crate) async fn keep_at_gate(&self, kept: &Kept) -> Result<(), GateError> {
        let place = kept.item.place();
        let path = self.gate_path(&place);
        let bytes = cbor::encode(kept)?;
        let sealed = seal_object(&*self.keys, &self.master, &self.gate_aad(&place), &bytes)
            .await
            .map_err(|e| GateError::Sealed { path: path.clone(), source: Some(e) })?;
        crate::site::make_private_folder(&self.folder.join(FOLDER))
            .and_then(|()| crate::staff::write_private(&path, &sealed))
            .map_err(|source| GateError::Io { path, source })
    }

    /// Forgets the dataset of a name, which is published; none there is no error.
    pub(crate) fn leave_gate(&self, dataset: &DatasetId) -> Result<(), GateError> {
        let path = self.gate_path(&place(&Form::Dataset, dataset.as_str()));
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(GateError::Io { path, source })
            }
            _ => Ok(()),
        }
    }

    /// Everything that waits here, or was given out as a file.
    pub(crate) async fn all_at_gate(&self) -> Result<Vec<Kept>, GateError> {
        let path = self.folder.join(FOLDER);
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(GateError::Io { path, source }),
        };
        let named = |entry: std::io::Result<std::fs::DirEntry>| {
            let name = hex::decode(entry.ok()?.file_name().to_str()?).ok()?;
            Some(Digest::from_bytes(name.try_into().ok()?))
        };
        let mut found = Vec::new();
        for place in entries.filter_map(named) {
            found.extend(self.opened(&place).await?);
        }
        found.sort_by(|a, b| a.item.name.cmp(&b.item.name));
        Ok(found)
    }
}
