//! The file with which an organisation enters a ledger.

use std::path::{Path, PathBuf};

use salus_node::membership::{Enrolment, Membership};

use super::verify;
use crate::output::Failure;
use crate::passphrase::{self, Asking};

/// The file, and what it lacks.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file: st-mary.member, or st-mary.keys with --genesis and --validator.
    file: PathBuf,
    /// What the ledger began with, for a file that `salus ledger request` made.
    #[arg(long, requires = "validators")]
    genesis: Option<PathBuf>,
    /// Where a validator serves members, such as https://10.0.0.1:7443; repeat.
    #[arg(long = "validator", requires = "genesis")]
    validators: Vec<String>,
    /// Leave the file where it is; it is not needed any more.
    #[arg(long)]
    keep: bool,
}

/// What becomes of a file whose keys lie sealed elsewhere now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Afterwards {
    /// In two places they are twice as easily stolen.
    Remove,
    Keep,
}

/// An opened file.
pub(super) struct Opened {
    pub(super) membership: Membership,
    file: PathBuf,
    afterwards: Afterwards,
}

impl Args {
    pub(super) fn open(self) -> Result<Opened, Failure> {
        let founded =
            self.genesis.map(|path| verify::trusted(Some(&path), Path::new("."))).transpose()?;
        let bytes = std::fs::read(&self.file).map_err(|e| {
            Failure::request(format!("{} cannot be read: {e}", self.file.display()))
        })?;
        let passphrase = passphrase::member_file(Asking::Known)?;
        let membership = match founded {
            Some(genesis) => Enrolment::open(&passphrase, &bytes)?.on(genesis, self.validators),
            None => Membership::open(&passphrase, &bytes)?,
        };
        let afterwards = if self.keep { Afterwards::Keep } else { Afterwards::Remove };
        Ok(Opened { membership, file: self.file, afterwards })
    }
}

impl Opened {
    /// Does away with the file, once its keys are where they belong.
    pub(super) fn taken_over(self) -> Result<Membership, Failure> {
        if self.afterwards == Afterwards::Remove {
            std::fs::remove_file(&self.file)
                .map_err(|e| Failure::unavailable(format!("{} stays: {e}", self.file.display())))?;
        }
        Ok(self.membership)
    }
}
