use salus_crypto::Digest;
use salus_model::{DatasetId, HolderId, Timestamp};

use crate::authority::{HolderAuthority, SignedStatement, Statement, StatementRefused};

/// Work on a dataset that may decrypt inside the store and yields no rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Upkeep {
    /// Moves journalled and small files into larger ones.
    Compact,
    /// Decrypts every page to check it; yields findings, no values.
    Verify,
    /// Removes old versions, and files that no version names; decrypts no page.
    Expire,
    /// Removes everything of a dataset whose keys have been destroyed; decrypts no page.
    Destroy,
}

impl Upkeep {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Verify => "verify",
            Self::Expire => "expire",
            Self::Destroy => "destroy",
        }
    }
}

/// A holder's order for upkeep of one dataset.
#[derive(Debug, Clone)]
pub struct UpkeepOrder {
    /// Whose dataset.
    pub holder: HolderId,
    /// Which dataset.
    pub dataset: DatasetId,
    /// What work.
    pub work: Upkeep,
    /// From when it holds.
    pub issued: Timestamp,
    /// Until when it holds.
    pub expires: Timestamp,
}

impl Statement for UpkeepOrder {
    const DOMAIN: &'static str = "salus upkeep v1";

    fn holder(&self) -> &HolderId {
        &self.holder
    }

    fn valid(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.issued, self.expires))
    }

    fn digest(&self) -> Digest {
        Digest::of_parts(
            Self::DOMAIN,
            &[
                self.holder.as_str().as_bytes(),
                self.dataset.as_str().as_bytes(),
                self.work.as_str().as_bytes(),
                &self.issued.as_micros().to_be_bytes(),
                &self.expires.as_micros().to_be_bytes(),
            ],
        )
    }
}

/// Proof that the holder ordered this upkeep.
///
/// The store's upkeep functions ask for it, and none of them returns rows.
#[derive(Debug)]
pub struct UpkeepAuthorised {
    dataset: DatasetId,
    work: Upkeep,
}

impl UpkeepAuthorised {
    /// Verifies the order.
    ///
    /// # Errors
    /// When holder, signature or time do not fit.
    pub fn verify(
        order: &SignedStatement<UpkeepOrder>,
        authority: &HolderAuthority,
        now: Timestamp,
    ) -> Result<Self, StatementRefused> {
        let order = authority.verify(order, now)?;
        Ok(Self { dataset: order.dataset.clone(), work: order.work })
    }

    /// Whether it covers this work on this dataset.
    ///
    /// # Errors
    /// When it is for another dataset or other work.
    pub fn covers(&self, dataset: &DatasetId, work: Upkeep) -> Result<(), StatementRefused> {
        if self.dataset == *dataset && self.work == work {
            Ok(())
        } else {
            Err(StatementRefused::OtherWork)
        }
    }
}
