use salus_crypto::Digest;
use salus_model::{HolderId, StaffId, Timestamp};

use crate::authority::{HolderAuthority, SignedStatement, Statement, StatementRefused};

/// A holder's order that an auditor may read part of its access log.
///
/// The log tells who looked at what, and statements may name patients, so reading it needs a word
/// of its own; a care grant or upkeep order does not cover it.
#[derive(Debug, Clone)]
pub struct AuditReadingOrder {
    /// Whose log.
    pub holder: HolderId,
    /// Who reads.
    pub auditor: StaffId,
    /// Entries from this moment on may be read.
    pub entries_from: Timestamp,
    /// Entries before this moment may be read.
    pub entries_until: Timestamp,
    /// From when the order holds.
    pub issued: Timestamp,
    /// Until when the order holds.
    pub expires: Timestamp,
}

impl Statement for AuditReadingOrder {
    const DOMAIN: &'static str = "salus audit reading v1";

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
                self.auditor.as_str().as_bytes(),
                &self.entries_from.as_micros().to_be_bytes(),
                &self.entries_until.as_micros().to_be_bytes(),
                &self.issued.as_micros().to_be_bytes(),
                &self.expires.as_micros().to_be_bytes(),
            ],
        )
    }
}

/// Proof that the holder lets this auditor read these entries of its access log.
///
/// It is used up by one reading.
#[derive(Debug)]
pub struct AuditReading {
    holder: HolderId,
    auditor: StaffId,
    entries_from: Timestamp,
    entries_until: Timestamp,
}

impl AuditReading {
    /// Verifies the order, and that it is `auditor` who asks.
    ///
    /// # Errors
    /// When holder, signature, time or person do not fit.
    pub fn verify(
        order: &SignedStatement<AuditReadingOrder>,
        authority: &HolderAuthority,
        now: Timestamp,
        auditor: &StaffId,
    ) -> Result<Self, StatementRefused> {
        let order = authority.verify(order, now)?;
        if order.auditor != *auditor {
            return Err(StatementRefused::OtherRecipient);
        }
        Ok(Self {
            holder: order.holder.clone(),
            auditor: order.auditor.clone(),
            entries_from: order.entries_from,
            entries_until: order.entries_until,
        })
    }

    /// Whose log it opens.
    #[must_use]
    pub const fn holder(&self) -> &HolderId {
        &self.holder
    }

    /// Who reads.
    #[must_use]
    pub const fn auditor(&self) -> &StaffId {
        &self.auditor
    }

    /// Whether an entry of this moment may be read.
    #[must_use]
    pub fn covers(&self, entry: Timestamp) -> bool {
        self.entries_from <= entry && entry < self.entries_until
    }
}
