//! A dataset before its release, as the studio shows it.

use salus_files::release::Kind;
use salus_ledger::call::ReleaseRule;
use salus_model::{DatasetId, KeyClass, PermitId, Purpose, ReceiptId, Timestamp};
use salus_node::study::{
    AccountFound, AccountLeft, KnownColumn, KnownDomain, Outset, PermitHeld, PublishedLine,
    ReviewLine, StudyId,
};
use schemars::JsonSchema;
use serde::Serialize;

/// What is known of a dataset before it is released.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReleaseOutset")]
pub(crate) struct OutsetShown {
    #[schemars(with = "String")]
    dataset: DatasetId,
    version: u64,
    /// Rows in its files, superseded ones among them.
    rows: u64,
    /// The most rows that a study takes.
    most_rows: u64,
    /// The column that says whose a row is; it is never published.
    person: Option<String>,
    /// How many rows of a person count, where the privacy profile bounds that.
    records_per_person: Option<u32>,
    /// Why no study is possible, in words.
    withheld: Option<String>,
    columns: Vec<ColumnShown>,
    /// None where it has none on the ledger, and where the ledger did not say.
    account: Option<AccountShown>,
    /// Which of the two; none where there is an account.
    no_account: Option<NoAccountShown>,
    /// Permits on it whose key this site has.
    permits: Vec<PermitShown>,
    /// Why these are not known, in words.
    permits_unknown: Option<String>,
    /// What was released of it.
    published: Vec<PublishedShown>,
    /// What waits for reviewers.
    reviews: Vec<ReviewShown>,
    /// Why these are not all that wait, in words.
    reviews_unknown: Option<String>,
    /// The study that this account has running, of whichever dataset.
    #[schemars(with = "Option<String>")]
    running: Option<StudyId>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReleaseColumn")]
struct ColumnShown {
    name: String,
    /// `integer`, `number`, `text`, `boolean`, `date`, `timestamp` or `other`.
    kind: &'static str,
    /// How sensitive it was declared; none where it has a key of its own.
    #[schemars(with = "Option<String>")]
    key_class: Option<KeyClass>,
    domain: DomainShown,
    /// Whether a study gets its values.
    readable: bool,
}

/// What the privacy profile publishes of a column.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
#[schemars(rename = "ReleaseDomain")]
enum DomainShown {
    Number {
        low: f64,
        high: f64,
        decimals: u8,
    },
    Category {
        values: Vec<String>,
    },
    Instant {
        #[schemars(with = "String")]
        low: Timestamp,
        #[schemars(with = "String")]
        high: Timestamp,
    },
    /// Values of any kind.
    Open,
    /// Nothing.
    None,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReleaseAccount")]
struct AccountShown {
    delta: f64,
    epsilon: f64,
    epsilon_left: f64,
    /// `dp-only` or `gate-allowed`.
    #[schemars(with = "String")]
    releases: ReleaseRule,
    /// Releases so far that had no bound.
    not_bounded: u64,
}

/// Why no account is shown.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
#[schemars(rename = "ReleaseNoAccount")]
enum NoAccountShown {
    /// The site is on no ledger.
    NoLedger,
    /// The dataset is not on the ledger.
    NotShared,
    /// The ledger did not say; there may be one.
    Unknown {
        /// Why, in words.
        why: String,
    },
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReleasePermit")]
struct PermitShown {
    #[schemars(with = "String")]
    permit: PermitId,
    /// `applied`, `granted`, `refused` or `revoked`.
    state: &'static str,
    #[schemars(with = "String")]
    purpose: Purpose,
    columns: Vec<String>,
    #[schemars(with = "String")]
    expires: Timestamp,
    /// What one more release may cost, of the permit's and of the dataset's budget.
    epsilon_left: f64,
    /// `dp-only` or `gate-allowed`.
    #[schemars(with = "String")]
    releases: ReleaseRule,
    usable: bool,
    /// Why nothing can be released under it now, in words.
    why_not: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReleasedBefore")]
struct PublishedShown {
    #[schemars(with = "String")]
    dataset: DatasetId,
    /// `synthetic` or `anonymised`.
    #[schemars(with = "String")]
    kind: Kind,
    purpose: String,
    records: u64,
    /// None where it has no bound.
    epsilon: Option<f64>,
    #[schemars(with = "String")]
    permit: PermitId,
    #[schemars(with = "String")]
    receipt: ReceiptId,
    #[schemars(with = "String")]
    made: Timestamp,
    /// Whether it is in the lake and on the ledger; otherwise the same release finishes it.
    complete: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReleaseReview")]
struct ReviewShown {
    review: String,
    #[schemars(with = "String")]
    permit: PermitId,
    /// `waiting`, `approved` or `refused`.
    standing: &'static str,
    /// What the automatic checks gave, 0 to 100.
    #[schemars(with = "Option<u8>")]
    score: Option<salus_ledger::review::ReviewScore>,
    /// Approvals that count.
    found: usize,
    /// How many it takes.
    needed: u8,
}

impl From<KnownColumn> for ColumnShown {
    fn from(column: KnownColumn) -> Self {
        let domain = match column.domain {
            KnownDomain::Number { low, high, decimals } => {
                DomainShown::Number { low, high, decimals }
            }
            KnownDomain::Category(values) => DomainShown::Category { values },
            KnownDomain::Instant { low, high } => DomainShown::Instant { low, high },
            KnownDomain::Open => DomainShown::Open,
            KnownDomain::None => DomainShown::None,
        };
        Self {
            name: column.name,
            kind: column.kind,
            key_class: column.class,
            domain,
            readable: column.is_readable,
        }
    }
}

impl From<AccountLeft> for AccountShown {
    fn from(account: AccountLeft) -> Self {
        let AccountLeft { delta, epsilon, epsilon_left, releases, not_bounded } = account;
        Self { delta, epsilon, epsilon_left, releases, not_bounded }
    }
}

/// An account, or why none is shown.
fn account(found: AccountFound) -> (Option<AccountShown>, Option<NoAccountShown>) {
    match found {
        AccountFound::Held(account) => (Some(account.into()), None),
        AccountFound::NoLedger => (None, Some(NoAccountShown::NoLedger)),
        AccountFound::NotShared => (None, Some(NoAccountShown::NotShared)),
        AccountFound::Unknown { why } => (None, Some(NoAccountShown::Unknown { why })),
    }
}

impl From<PermitHeld> for PermitShown {
    fn from(held: PermitHeld) -> Self {
        let PermitHeld { permit, state, purpose, columns, expires, epsilon_left, .. } = held;
        Self {
            permit,
            state,
            purpose,
            columns,
            expires,
            epsilon_left,
            releases: held.releases,
            usable: held.why_not.is_none(),
            why_not: held.why_not,
        }
    }
}

impl From<PublishedLine> for PublishedShown {
    fn from(line: PublishedLine) -> Self {
        let PublishedLine { dataset, kind, purpose, records, epsilon, permit, receipt, .. } = line;
        Self {
            dataset,
            kind,
            purpose,
            records,
            epsilon,
            permit,
            receipt,
            made: line.made,
            complete: line.is_complete,
        }
    }
}

impl From<ReviewLine> for ReviewShown {
    fn from(line: ReviewLine) -> Self {
        let ReviewLine { review, permit, standing, score, found, needed } = line;
        Self { review: review.to_string(), permit, standing, score, found, needed }
    }
}

impl From<Outset> for OutsetShown {
    fn from(outset: Outset) -> Self {
        fn all<A, B: From<A>>(lines: Vec<A>) -> Vec<B> {
            lines.into_iter().map(B::from).collect()
        }
        let (account, no_account) = account(outset.account);
        Self {
            dataset: outset.dataset,
            version: outset.version,
            rows: outset.rows,
            most_rows: outset.most_rows,
            person: outset.person,
            records_per_person: outset.records_per_person,
            withheld: outset.withheld,
            columns: all(outset.columns),
            account,
            no_account,
            permits: all(outset.permits),
            permits_unknown: outset.permits_unknown,
            published: all(outset.published),
            reviews: all(outset.reviews),
            reviews_unknown: outset.reviews_unknown,
            running: outset.running,
        }
    }
}

#[cfg(test)]
mod tests;
