//! What a steward needs to know before studying a dataset.

use arrow::datatypes::DataType;
use salus_dp::{Column, Delta, LossError, epsilon_from_rho};
use salus_files::release::{DatasetPlan, Kind, Spent};
use salus_ledger::call::{DeltaExponent, ReleaseRule};
use salus_ledger::contract::records::{Account, PermitRecord, PermitState};
use salus_ledger::proof::Fact;
use salus_ledger::review::ReviewScore;
use salus_ledger::{DatasetRef, ReviewId};
use salus_model::{
    Class, Classified as _, DatasetId, KeyClass, MicroRho, PermitId, Purpose, ReceiptId, StaffId,
    Timestamp,
};

use super::read::{Known, is_plain};
use super::{MOST_ROWS, Most, Studies, StudyError, StudyId};
use crate::ledger::HolderLedger;
use crate::releasing::release_code;
use crate::review::ReviewOutcome;

/// Permits whose facts are asked for at once; each has two.
const PERMITS: usize = 100;

/// A dataset at the outset of its release.
#[derive(Debug, Clone)]
pub struct Outset {
    /// The dataset.
    pub dataset: DatasetId,
    /// Its newest version.
    pub version: u64,
    /// Rows in its files, superseded ones among them.
    pub rows: u64,
    /// The most rows that a study takes.
    pub most_rows: u64,
    /// The column that says whose a row is; it is never published.
    pub person: Option<String>,
    /// How many rows of a person count, where the privacy profile bounds that.
    pub records_per_person: Option<u32>,
    /// Why no study is possible, in words.
    pub withheld: Option<String>,
    /// Its columns.
    pub columns: Vec<KnownColumn>,
    /// Its account, as far as it is known.
    pub account: AccountFound,
    /// The permits that the site could release it under.
    pub permits: Vec<PermitHeld>,
    /// Why these are not known, in words.
    pub permits_unknown: Option<String>,
    /// What was released of it.
    pub published: Vec<PublishedLine>,
    /// What waits for reviewers.
    pub reviews: Vec<ReviewLine>,
    /// Why these are not all that wait, in words.
    pub reviews_unknown: Option<String>,
    /// The study that the account has running, of whichever dataset.
    pub running: Option<StudyId>,
}

/// A column, and what is publicly known of it.
#[derive(Debug, Clone)]
pub struct KnownColumn {
    /// Its name.
    pub name: String,
    /// `integer`, `number`, `text`, `boolean`, `date`, `timestamp` or `other`.
    pub kind: &'static str,
    /// How sensitive it was declared; none where it has a key of its own.
    pub class: Option<KeyClass>,
    /// What the privacy profile publishes of it.
    pub domain: KnownDomain,
    /// Whether the role `steward` gets its values, and a study can take them.
    pub is_readable: bool,
}

/// What the privacy profile publishes of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum KnownDomain {
    /// Numbers between two bounds.
    Number {
        /// The lower one.
        low: f64,
        /// The upper one.
        high: f64,
        /// Decimals that count.
        decimals: u8,
    },
    /// One of these values.
    Category(Vec<String>),
    /// Moments between two.
    Instant {
        /// The first.
        low: Timestamp,
        /// The last.
        high: Timestamp,
    },
    /// Values of any kind.
    Open,
    /// Nothing.
    None,
}

/// A dataset's account, as far as it is known. That none was found is told from that nobody could
/// look: whoever opens one chooses for ever.
#[derive(Debug, Clone)]
pub enum AccountFound {
    /// It has one.
    Held(AccountLeft),
    /// The site is on no ledger.
    NoLedger,
    /// The ledger has none of it.
    NotShared,
    /// The ledger did not say.
    Unknown {
        /// Why, in words.
        why: String,
    },
}

/// What is left of a dataset's account.
#[derive(Debug, Clone, Copy)]
pub struct AccountLeft {
    /// The δ at which ε is shown.
    pub delta: f64,
    /// All that may ever be spent.
    pub epsilon: f64,
    /// What is left of it.
    pub epsilon_left: f64,
    /// Whether releases without a bound are possible.
    pub releases: ReleaseRule,
    /// How many there were.
    pub not_bounded: u64,
}

/// A permit whose key the site has, on this dataset.
#[derive(Debug, Clone)]
pub struct PermitHeld {
    /// The permit.
    pub permit: PermitId,
    /// `applied`, `granted`, `refused` or `revoked`.
    pub state: &'static str,
    /// What for.
    pub purpose: Purpose,
    /// The columns that it covers.
    pub columns: Vec<String>,
    /// The first moment at which it is over.
    pub expires: Timestamp,
    /// What one more release may cost, of the permit's and of the dataset's budget.
    pub epsilon_left: f64,
    /// Whether releases without a bound are possible under it.
    pub releases: ReleaseRule,
    /// Why nothing can be released under it now; none when it can.
    pub why_not: Option<String>,
}

/// A release of the dataset.
#[derive(Debug, Clone)]
pub struct PublishedLine {
    /// Its name.
    pub dataset: DatasetId,
    /// What it is.
    pub kind: Kind,
    /// What it was made for.
    pub purpose: String,
    /// Records.
    pub records: u64,
    /// ε of its release; none where it has no bound.
    pub epsilon: Option<f64>,
    /// The permit.
    pub permit: PermitId,
    /// The receipt.
    pub receipt: ReceiptId,
    /// When it was made.
    pub made: Timestamp,
    /// Whether it is in the lake and on the ledger.
    pub is_complete: bool,
}

/// What waits for reviewers.
#[derive(Debug, Clone)]
pub struct ReviewLine {
    /// The review.
    pub review: ReviewId,
    /// The permit.
    pub permit: PermitId,
    /// `waiting`, `approved` or `refused`.
    pub standing: &'static str,
    /// What the automatic checks gave.
    pub score: Option<ReviewScore>,
    /// Approvals that count.
    pub found: usize,
    /// How many it takes.
    pub needed: u8,
}

fn delta_at(exponent: DeltaExponent) -> Result<Delta, LossError> {
    Delta::new(10f64.powi(-i32::from(exponent.get())))
}

fn kind_of(kind: &DataType) -> &'static str {
    match kind {
        DataType::Boolean => "boolean",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Timestamp(..) => "timestamp",
        kind if kind.is_integer() => "integer",
        kind if kind.is_numeric() => "number",
        kind if is_plain(kind) => "text",
        _ => "other",
    }
}

fn domain_of(column: Option<&Column>) -> KnownDomain {
    match column {
        Some(Column::Number(bounds)) => KnownDomain::Number {
            low: bounds.value(bounds.low().into()),
            high: bounds.value(bounds.high().into()),
            decimals: bounds.decimals(),
        },
        Some(Column::Category(domain)) => KnownDomain::Category(domain.values().to_vec()),
        Some(Column::Instant(bounds)) => {
            let moment = |seconds: i64| {
                Timestamp::EPOCH.saturating_add_micros(seconds.saturating_mul(1_000_000))
            };
            KnownDomain::Instant { low: moment(bounds.low()), high: moment(bounds.high()) }
        }
        Some(Column::Open) => KnownDomain::Open,
        None => KnownDomain::None,
    }
}

impl Studies {
    /// What is known of a dataset before it is studied; no row is read.
    ///
    /// # Errors
    /// When there is none, or it does not open.
    pub async fn outset(&self, by: &StaffId, dataset: &DatasetId) -> Result<Outset, StudyError> {
        let known = self.known(by, dataset).await?;
        let profiles = self.operations.site().profiles()?;
        let profile = profiles.of(dataset).ok();
        let columns = known
            .columns()
            .map(|(name, kind)| KnownColumn {
                name: name.to_owned(),
                kind: kind_of(kind),
                class: known.class(name),
                domain: domain_of(profile.and_then(|profile| {
                    let columns = profile.schema.columns.iter();
                    columns.into_iter().find(|(known, _)| known.as_str() == name).map(|(_, c)| c)
                })),
                is_readable: known.is_readable(name),
            })
            .collect();
        let mut outset = Outset {
            dataset: dataset.clone(),
            version: known.manifest.version.number(),
            rows: known.manifest.rows(),
            most_rows: MOST_ROWS,
            person: known.person().map(ToString::to_string),
            records_per_person: profile.map(|profile| profile.schema.contribution.rows()),
            withheld: withheld(&known),
            columns,
            account: AccountFound::NoLedger,
            permits: Vec::new(),
            permits_unknown: None,
            published: self.published(dataset).await?,
            reviews: Vec::new(),
            reviews_unknown: None,
            running: self.running(by),
        };
        self.on_ledger(&mut outset).await;
        Ok(outset)
    }

    async fn published(&self, dataset: &DatasetId) -> Result<Vec<PublishedLine>, StudyError> {
        let all = self.operations.site().published().await?;
        let own = all.into_iter().filter(|published| published.source == *dataset);
        Ok(own
            .map(|published| PublishedLine {
                is_complete: published.is_complete(),
                dataset: published.dataset,
                kind: published.kind,
                purpose: published.purpose,
                records: published.records,
                epsilon: published.epsilon,
                permit: published.permit,
                receipt: published.receipt,
                made: published.made,
            })
            .collect())
    }

    /// Account, permits and reviews, proved by the ledger's last state. Where it does not say, that
    /// is told in their place: the dataset can be studied all the same.
    async fn on_ledger(&self, outset: &mut Outset) {
        let Some(on) = self.operations.on() else { return };
        let ledger = on.ledger();
        let reference = reference(ledger, &outset.dataset);
        let (account, delta) = match account_with_delta(ledger, &reference).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                outset.account = AccountFound::NotShared;
                return;
            }
            Err(error) => {
                outset.account = AccountFound::Unknown { why: why(&error) };
                return;
            }
        };
        let left = account.budget.checked_sub(account.spent).unwrap_or(MicroRho::ZERO);
        outset.account = AccountFound::Held(AccountLeft {
            delta: delta.probability(),
            epsilon: epsilon_from_rho(account.budget, delta).get(),
            epsilon_left: epsilon_from_rho(left, delta).get(),
            releases: account.releases,
            not_bounded: account.not_bounded,
        });
        match self.permits(ledger, &reference, left, delta).await {
            Ok(permits) => outset.permits = permits,
            Err(error) => outset.permits_unknown = Some(why(&error)),
        }
        for permit in &outset.permits {
            if permit.state != "granted" || permit.releases != ReleaseRule::GateAllowed {
                continue;
            }
            match reviews(ledger, &permit.permit, &reference).await {
                Ok(lines) => outset.reviews.extend(lines),
                Err(error) => {
                    // One that does not answer would be waited for once for each permit.
                    outset.reviews_unknown = Some(why(&error));
                    break;
                }
            }
        }
    }

    /// The permits whose key the site has, on a dataset of whose budget `left` is left.
    async fn permits(
        &self,
        ledger: &HolderLedger,
        dataset: &DatasetRef,
        left: MicroRho,
        delta: Delta,
    ) -> Result<Vec<PermitHeld>, StudyError> {
        let mut permits = Vec::new();
        let held = self.operations.site().own_permits()?;
        for held in held.chunks(PERMITS) {
            let facts = held.iter().flat_map(|permit| {
                [Fact::Permit(permit.clone()), Fact::Spending(permit.clone(), dataset.clone())]
            });
            let state = ledger.state(&facts.collect::<Vec<_>>()).await?;
            for permit in held {
                let Some(record) = state.permit(permit)? else { continue };
                let spent = state.spending(permit, dataset)?.map_or(MicroRho::ZERO, |s| s.spent);
                let now = self.operations.site().clock.now();
                permits.extend(
                    Shown { permit, record: &record, spent, of_all: left, delta, now }.on(dataset),
                );
            }
        }
        Ok(permits)
    }

    /// The δ of a dataset's account; none where it has none.
    pub(super) async fn delta(&self, dataset: &DatasetId) -> Result<Option<Delta>, StudyError> {
        let Some(on) = self.operations.on() else { return Ok(None) };
        let account = account(on.ledger(), &reference(on.ledger(), dataset)).await?;
        Ok(account.map(|account| delta_at(account.delta)).transpose()?)
    }

    /// The most that a plan can cost.
    pub(super) async fn most(
        &self,
        dataset: &DatasetId,
        plan: &DatasetPlan,
    ) -> Result<Most, StudyError> {
        if plan.kind() == Kind::Anonymised {
            return Ok(Most::NotBounded);
        }
        let Some(delta) = self.delta(dataset).await? else { return Ok(Most::NoAccount) };
        Ok(match plan.most(delta.probability())? {
            Spent::Bounded(micro_rho) => {
                Most::Bounded { micro_rho, epsilon: epsilon_from_rho(micro_rho, delta).get() }
            }
            Spent::NotBounded => Most::NotBounded,
        })
    }
}

/// Why nothing of a dataset can be studied.
fn withheld(known: &Known) -> Option<String> {
    let own = known.person().into_iter().chain(known.subject.as_ref());
    let hidden = own.map(ToString::to_string).find(|column| !known.is_readable(column));
    match (&known.visible, &known.subject, hidden) {
        (None, ..) => Some(
            "the site's policies show nothing of it to the role steward, or its keys are away"
                .to_owned(),
        ),
        (_, None, _) => Some(salus_spine::NoSubject.to_string()),
        (_, _, Some(column)) => Some(format!(
            "the role steward does not get {column}, which says whose a row is: nobody who opted \
             out could be left out"
        )),
        _ => None,
    }
}

fn reference(ledger: &HolderLedger, dataset: &DatasetId) -> DatasetRef {
    DatasetRef { holder: ledger.member().clone(), dataset: dataset.clone() }
}

async fn account(
    ledger: &HolderLedger,
    dataset: &DatasetRef,
) -> Result<Option<Account>, StudyError> {
    let state = ledger.state(&[Fact::Account(dataset.clone())]).await?;
    Ok(state.account(dataset)?)
}

/// The account, and the δ at which its ε is shown.
async fn account_with_delta(
    ledger: &HolderLedger,
    dataset: &DatasetRef,
) -> Result<Option<(Account, Delta)>, StudyError> {
    let Some(account) = account(ledger, dataset).await? else { return Ok(None) };
    let delta = delta_at(account.delta)?;
    Ok(Some((account, delta)))
}

/// Why something of the ledger is not known, as the steward is told it. What is broken inside stays
/// in the log.
fn why(error: &StudyError) -> String {
    if matches!(error.class(), Class::Bug | Class::Corrupt) {
        tracing::error!(%error, "what the ledger says of a dataset cannot be told");
        return "the node cannot tell it; its operator has the reason in the log".to_owned();
    }
    error.to_string()
}

/// A permit as it is about to be shown.
struct Shown<'a> {
    permit: &'a PermitId,
    record: &'a PermitRecord,
    spent: MicroRho,
    of_all: MicroRho,
    delta: Delta,
    now: Timestamp,
}

impl Shown<'_> {
    /// None where it says nothing of the dataset.
    fn on(&self, dataset: &DatasetRef) -> Option<PermitHeld> {
        let terms = &self.record.terms;
        let ground = terms.grounds.iter().find(|ground| ground.dataset == *dataset)?;
        let own = ground.budget.checked_sub(self.spent).unwrap_or(MicroRho::ZERO);
        let (state, not_granted) = match &self.record.state {
            PermitState::Applied => ("applied", Some("it waits for its grant")),
            PermitState::Granted(_) => ("granted", None),
            PermitState::Refused(_) => ("refused", Some("it was refused")),
            PermitState::Revoked { .. } => ("revoked", Some("it was revoked")),
        };
        let over = (terms.expires <= self.now).then_some("it is over");
        let other = terms.code.filter(|code| *code != release_code());
        let other = other.map(|_| "it is for other code than releases");
        Some(PermitHeld {
            permit: self.permit.clone(),
            state,
            purpose: terms.purpose,
            columns: ground.columns.iter().map(ToString::to_string).collect(),
            expires: terms.expires,
            epsilon_left: epsilon_from_rho(own.min(self.of_all), self.delta).get(),
            releases: terms.releases,
            why_not: not_granted.or(over).or(other).map(str::to_owned),
        })
    }
}

/// What waits for reviewers under a permit, of this dataset.
async fn reviews(
    ledger: &HolderLedger,
    permit: &PermitId,
    dataset: &DatasetRef,
) -> Result<Vec<ReviewLine>, StudyError> {
    let mut lines = Vec::new();
    for (review, record) in ledger.reviews_waiting(permit).await? {
        if !record.datasets.contains(dataset) {
            continue;
        }
        let standing = ledger.review(&review).await?;
        let word = match standing.outcome() {
            ReviewOutcome::Waiting { .. } => "waiting",
            ReviewOutcome::Approved(_) => "approved",
            ReviewOutcome::Refused { .. } => "refused",
            ReviewOutcome::Released(_) | ReviewOutcome::Superseded(_) => continue,
        };
        lines.push(ReviewLine {
            review,
            permit: permit.clone(),
            standing: word,
            score: record.score,
            found: standing.tally.different,
            needed: standing.rule.reviewers(),
        });
    }
    Ok(lines)
}
