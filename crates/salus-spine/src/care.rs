use std::collections::{BTreeMap, BTreeSet};

use salus_crypto::Digest;
use salus_model::{ColumnPath, DatasetId, HolderId, Purpose, RoleName, StaffId, Timestamp};

use crate::authority::{HolderAuthority, SignedStatement, Statement, StatementRefused};
use crate::release::PermitChecked;
use crate::rows::{DatasetAccess, RowLimits, RowRestriction, RowRule};
use crate::scope::{Care, Scope};
use crate::unreleased::{Acknowledges, Recipient, Scoped};

/// What a care grant allows on one dataset.
#[derive(Debug, Clone)]
pub struct CareAccess {
    /// Leaf columns whose values may be seen.
    pub columns: BTreeSet<ColumnPath>,
    /// Leaf columns shown as null.
    pub masked: BTreeSet<ColumnPath>,
    /// Rules that every row seen must satisfy; none means every row.
    pub rules: Vec<RowRule>,
}

/// The policy decision point's answer to one statement of one member of staff.
#[derive(Debug, Clone)]
pub struct CareGrant {
    /// The holder, and the id of the statement.
    pub scope: Scope,
    /// Who asks.
    pub staff: StaffId,
    /// In which role.
    pub role: RoleName,
    /// For what; a primary use.
    pub purpose: Purpose,
    /// On which datasets.
    pub datasets: BTreeMap<DatasetId, CareAccess>,
    /// From when it holds.
    pub issued: Timestamp,
    /// Until when it holds.
    pub expires: Timestamp,
}

fn digest_of_columns(columns: &BTreeSet<ColumnPath>) -> Digest {
    let parts: Vec<&[u8]> = columns.iter().map(|c| c.as_str().as_bytes()).collect();
    Digest::of_parts("salus columns v1", &parts)
}

impl CareAccess {
    fn digest(&self) -> Digest {
        let rules: Vec<Digest> = self.rules.iter().map(RowRule::digest).collect();
        let rules: Vec<&[u8]> = rules.iter().map(|d| d.as_bytes().as_slice()).collect();
        Digest::of_parts(
            "salus care access v1",
            &[
                digest_of_columns(&self.columns).as_bytes(),
                digest_of_columns(&self.masked).as_bytes(),
                Digest::of_parts("salus row rules v1", &rules).as_bytes(),
            ],
        )
    }
}

impl Statement for CareGrant {
    const DOMAIN: &'static str = "salus care grant v1";

    fn holder(&self) -> &HolderId {
        self.scope.holder()
    }

    fn valid(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.issued, self.expires))
    }

    fn digest(&self) -> Digest {
        let accesses: Vec<(&[u8], Digest)> =
            self.datasets.iter().map(|(id, a)| (id.as_str().as_bytes(), a.digest())).collect();
        let mut datasets: Vec<&[u8]> = Vec::with_capacity(2 * accesses.len());
        for (id, access) in &accesses {
            datasets.push(id);
            datasets.push(access.as_bytes());
        }
        Digest::of_parts(
            Self::DOMAIN,
            &[
                self.scope.holder().as_str().as_bytes(),
                self.scope.deal().as_str().as_bytes(),
                self.staff.as_str().as_bytes(),
                self.role.as_str().as_bytes(),
                self.purpose.as_str().as_bytes(),
                &self.issued.as_micros().to_be_bytes(),
                &self.expires.as_micros().to_be_bytes(),
                Digest::of_parts("salus datasets v1", &datasets).as_bytes(),
            ],
        )
    }
}

fn verify_grant<'g>(
    grant: &'g SignedStatement<CareGrant>,
    authority: &HolderAuthority,
    now: Timestamp,
) -> Result<&'g CareGrant, StatementRefused> {
    let grant = authority.verify(grant, now)?;
    if grant.purpose.is_secondary() {
        return Err(StatementRefused::NotCare(grant.purpose));
    }
    Ok(grant)
}

impl PermitChecked<Care> {
    /// Verifies a care grant.
    ///
    /// # Errors
    /// When holder, signature, time or purpose do not fit.
    pub fn verify(
        grant: &SignedStatement<CareGrant>,
        authority: &HolderAuthority,
        now: Timestamp,
    ) -> Result<Self, StatementRefused> {
        let grant = verify_grant(grant, authority, now)?;
        let accesses = grant
            .datasets
            .iter()
            .map(|(id, access)| {
                (id.clone(), DatasetAccess::of(access.columns.clone(), access.masked.clone()))
            })
            .collect();
        Ok(Self::made(grant.scope.clone(), accesses, grant.expires, ()))
    }
}

/// The care restrictions of a grant, ready to be bound to a scan.
#[derive(Debug)]
pub struct CareRestricted {
    scope: Scope,
    limits: Vec<(DatasetId, RowLimits)>,
}

impl CareRestricted {
    /// Takes the row rules from a verified care grant.
    ///
    /// # Errors
    /// When holder, signature, time or purpose do not fit.
    pub fn bind(
        grant: &SignedStatement<CareGrant>,
        authority: &HolderAuthority,
        now: Timestamp,
    ) -> Result<Self, StatementRefused> {
        let grant = verify_grant(grant, authority, now)?;
        let limits =
            |access: &CareAccess| RowLimits { rules: access.rules.clone(), opted_out: None };
        let limits = grant.datasets.iter().map(|(id, access)| (id.clone(), limits(access)));
        Ok(Self { scope: grant.scope.clone(), limits: limits.collect() })
    }
}

impl RowRestriction for CareRestricted {
    fn scope(&self) -> &Scope {
        &self.scope
    }

    fn into_limits(self) -> Vec<(DatasetId, RowLimits)> {
        self.limits
    }
}

/// The authenticated session that receives a care result in the clear, over its own connection.
///
/// That it is the session of the person granted is what [`CareDisclosure`] verifies.
#[derive(Debug)]
pub struct CareSession {
    scope: Scope,
}

impl CareSession {
    /// The session that asked under `scope`.
    #[must_use]
    pub const fn new(scope: Scope) -> Self {
        Self { scope }
    }
}

impl<T> Recipient<T, Care> for CareSession {
    type Sealed = T;

    fn scope(&self) -> &Scope {
        &self.scope
    }

    fn seal(self, value: T) -> T {
        value
    }
}

/// Clears a care result for the very person to whom the grant was given.
#[derive(Debug)]
pub struct CareDisclosure {
    scope: Scope,
}

impl CareDisclosure {
    /// Verifies that the grant still holds and is for `staff`.
    ///
    /// # Errors
    /// When the grant does not verify, has expired, or is for somebody else.
    pub fn verify(
        grant: &SignedStatement<CareGrant>,
        authority: &HolderAuthority,
        now: Timestamp,
        staff: &StaffId,
    ) -> Result<Self, StatementRefused> {
        let grant = verify_grant(grant, authority, now)?;
        if grant.staff != *staff {
            return Err(StatementRefused::OtherRecipient);
        }
        Ok(Self { scope: grant.scope.clone() })
    }
}

impl Scoped for CareDisclosure {
    fn scope(&self) -> &Scope {
        &self.scope
    }
}

/// The audit log's word that a use has been recorded durably.
#[derive(Debug, Clone)]
pub struct AccessRecord {
    /// The use that was recorded.
    pub scope: Scope,
    /// The record's place in the log.
    pub sequence: u64,
    /// The hash chain's head after the record.
    pub head: Digest,
}

impl Statement for AccessRecord {
    const DOMAIN: &'static str = "salus access record v1";

    fn holder(&self) -> &HolderId {
        self.scope.holder()
    }

    fn valid(&self) -> Option<(Timestamp, Timestamp)> {
        None
    }

    fn digest(&self) -> Digest {
        Digest::of_parts(
            Self::DOMAIN,
            &[
                self.scope.holder().as_str().as_bytes(),
                self.scope.deal().as_str().as_bytes(),
                &self.sequence.to_be_bytes(),
                self.head.as_bytes(),
            ],
        )
    }
}

/// Proof that a care use is in the holder's audit log.
#[derive(Debug)]
pub struct AccessRecorded {
    scope: Scope,
}

impl AccessRecorded {
    /// Verifies the audit log's acknowledgement.
    ///
    /// # Errors
    /// When holder or signature do not fit.
    pub fn verify(
        record: &SignedStatement<AccessRecord>,
        authority: &HolderAuthority,
    ) -> Result<Self, StatementRefused> {
        let record = authority.verify(record, Timestamp::EPOCH)?;
        Ok(Self { scope: record.scope.clone() })
    }
}

impl Scoped for AccessRecorded {
    fn scope(&self) -> &Scope {
        &self.scope
    }
}

/// A care result goes to the person in front of the screen; the record speaks of the statement.
impl<S> Acknowledges<S> for AccessRecorded {
    fn acknowledges(&self, _: &S) -> bool {
        true
    }
}
