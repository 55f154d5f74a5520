//! What wants out of the site without a bound: put before reviewers, and handed out on their
//! approvals.
//!
//! ```text
//! job ──computed──▶ kept on the disk ──submitted──▶ under review ──approved──▶ receipt ──▶ out
//! ```
//!
//! The disk has the result before the ledger hears of it. From there on the ledger alone says how
//! far it has come, and is asked each time: so a crash at any point leads nowhere else than the same
//! command without one. A review clears one release, so that whatever happens there is one.
//!
//! # Privacy
//! What waits lies sealed in the folder `gate` of the site. Reviewers elsewhere get the report of
//! the automatic checks; the result itself is looked at here, on the holder's premises
//! ([`GateCall::Part`]), and who looks is on record first.

mod checks;
mod file;
mod kept;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use salus_crypto::OsEntropy;
use salus_files::output::OutputKind;
use salus_ledger::call::ReleaseRule;
use salus_ledger::contract::records::ReviewState;
use salus_ledger::{DatasetRef, PublicKey, ReviewId, cbor};
use salus_model::{
    Class, Classified, ColumnPath, DatasetId, HolderId, IdError, MemberId, PermitId,
};
use salus_private::{DeskError, Gated, Job, Ledger as _, LedgerRefused, Reply};
use salus_spine::SignedRequest;
use salus_store::SealedError;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use self::file::{FileItem, FileJob, FileWork};
use self::kept::{AtGate, Head, Kept};
use crate::ledger::HolderLedger;
use crate::operations::OnLedger;
use crate::permits::{Asked, Left, PermitError, PermitKey, SignedFor, left, permit_on};
use crate::published::as_base64;
use crate::releasing::{GateState, Submission, UnderReview};
use crate::review::{ReportError, ReviewError, ReviewOutcome, ReviewReport, ReviewStanding};
use crate::site::Site;

pub(crate) use self::checks::JobChecks;
pub use self::checks::{AttackOutcome, AttackShown, ReviewChecks};
pub use self::file::{FileOutcome, FileWanted, PeopleWanted, output_code};
pub(crate) use self::kept::{Form, Item};
pub use self::shown::{is_unseen, shown};

/// How long a request for what goes before reviewers holds.
const REQUEST_MICROS: i64 = salus_spine::MAX_REQUEST_MICROS;
/// How often the ledger is asked anew when somebody acts between two looks.
const LOOKS: usize = 3;

/// What an operator asks about what waits at this site.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum GateCall {
    /// What is kept here for reviewers.
    List,
    /// A part of what is under review.
    Part {
        /// The review.
        review: ReviewId,
        /// Which part.
        part: GatePart,
    },
    /// To put a file before the reviewers, or to say how far it has come.
    Submit(Box<FileWanted>),
    /// To hand a file out that they approved.
    Fetch {
        /// The review.
        review: ReviewId,
    },
}

/// A part of what is under review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatePart {
    /// The report of the automatic checks, for the reviewers.
    Report,
    /// What wants out, for the holder's own people.
    Result,
}

/// What is answered about what waits at this site.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateReply {
    /// What is kept here.
    Kept {
        /// Each item.
        items: Vec<KeptHere>,
        /// Files that do not open: damaged, or sealed by another key.
        damaged: Vec<PathBuf>,
    },
    /// A part, in base64.
    Part {
        /// The name of what wants out.
        name: String,
        /// Its bytes.
        content: String,
    },
    /// What became of a file.
    File(Box<FileOutcome>),
}

/// Something that is kept here for reviewers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeptHere {
    /// Its review; none when the ledger has not told of it yet.
    pub review: Option<ReviewId>,
    /// What it is called once it is out.
    pub name: String,
    /// `dataset`, `table`, `model` or `plot`.
    pub of: String,
    /// The dataset whose records it was made from.
    pub source: DatasetId,
    /// Under which permit.
    pub permit: PermitId,
}

/// Why something does not come before reviewers, or not out.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The dataset takes bounded releases only.
    #[error(
        "{dataset} takes releases with a bounded privacy loss only, as was decided when it was \
         shared, and this has no bound; a plan with [synthesise] has one"
    )]
    DpOnly {
        /// The dataset.
        dataset: DatasetId,
    },
    /// The permit covers bounded releases only.
    #[error(
        "{permit} covers releases with a bounded privacy loss only, and this has no bound; apply \
         for a permit with --allow-gate"
    )]
    PermitDpOnly {
        /// The permit.
        permit: PermitId,
    },
    /// A check objects, and nobody says why it should go out.
    #[error(
        "{path}: {words}. Nothing was submitted: change it (`salus review --out` protects a table), \
         or say to the reviewers with --reason why it should go out all the same"
    )]
    Objected {
        /// The file.
        path: PathBuf,
        /// What the checks say.
        words: String,
    },
    /// Too large.
    #[error("{path} is too large: {most} MB are the most")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most.
        most: u64,
    },
    /// It is no file, but a folder, a pipe or a device.
    #[error("{path} is no regular file")]
    NoRegularFile {
        /// What it is called.
        path: PathBuf,
    },
    /// The file's name cannot be used.
    #[error(
        "{path:?} has no name that can be kept: at most 200 bytes of UTF-8, without control \
         characters and marks that change the direction of text"
    )]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// Nothing here is under that review.
    #[error("nothing of review {review} is kept at this site; it is where it was submitted from")]
    Unknown {
        /// The review.
        review: ReviewId,
    },
    /// A dataset is published and not fetched.
    #[error(
        "review {review} is about dataset {name}, which `salus release` publishes once it is approved"
    )]
    NoFile {
        /// The review.
        review: ReviewId,
        /// The dataset.
        name: String,
    },
    /// The ledger's answers do not fit together.
    #[error("the review changes as often as it is looked at; give the same command again")]
    Unsettled,
    /// The held result does not open, which is a bug.
    #[error("the reviewed result does not open")]
    Result,
    /// What waits does not open.
    #[error("{path} does not open: restore it from a backup, or remove it to begin anew")]
    Sealed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Option<SealedError>,
    },
    /// A file cannot be read or written.
    #[error("{path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what it is said to be.
    #[error(transparent)]
    Files(#[from] salus_files::FilesError),
    /// The review does not clear it.
    #[error(transparent)]
    Review(#[from] ReviewError),
    /// The report cannot be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The desk refused or failed.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The permit cannot be used from here.
    #[error(transparent)]
    Permit(#[from] PermitError),
    /// The ledger refused.
    #[error(transparent)]
    Ledger(#[from] LedgerRefused),
    /// The ledger's proofs do not hold.
    #[error(transparent)]
    Evidence(#[from] salus_ledger::proof::EvidenceError),
    /// It cannot be encoded, which is a bug.
    #[error(transparent)]
    Encoding(#[from] cbor::CborError),
    /// A name that does not fit, which is a bug.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl Classified for GateError {
    fn class(&self) -> Class {
        match self {
            Self::DpOnly { .. } | Self::PermitDpOnly { .. } | Self::Objected { .. } => {
                Class::Refused
            }
            Self::TooLarge { .. }
            | Self::Name { .. }
            | Self::NoRegularFile { .. }
            | Self::Unknown { .. }
            | Self::NoFile { .. } => Class::BadRequest,
            Self::Unsettled | Self::Io { .. } => Class::Unavailable,
            Self::Sealed { .. } => Class::Corrupt,
            Self::Files(e) => e.class(),
            Self::Review(e) => e.class(),
            Self::Report(e) => e.class(),
            Self::Desk(e) => e.class(),
            Self::Permit(e) => e.class(),
            Self::Ledger(e) => e.class(),
            Self::Evidence(e) => e.class(),
            Self::Result | Self::Encoding(_) | Self::Id(_) => Class::Bug,
        }
    }
}

/// Whether dataset and permit take what has no bound, before anything is read.
pub(crate) fn check_allowed(
    left: &Left,
    dataset: &DatasetId,
    permit: &PermitId,
) -> Result<(), GateError> {
    if left.account.releases == ReleaseRule::DpOnly {
        return Err(GateError::DpOnly { dataset: dataset.clone() });
    }
    if left.permit.terms.releases == ReleaseRule::DpOnly {
        return Err(GateError::PermitDpOnly { permit: permit.clone() });
    }
    Ok(())
}

/// What came of an item.
pub(crate) enum Passed {
    UnderReview(Box<UnderReview>),
    /// Approved, or out already, and only to be submitted.
    Approved(ReviewId),
    Out(Box<Out>),
}

/// An item that is out.
pub(crate) struct Out {
    pub(crate) item: Item,
    /// The result.
    pub(crate) opened: Zeroizing<Vec<u8>>,
    /// The receipt's file.
    pub(crate) receipt: Vec<u8>,
    /// The review that it went out on.
    pub(crate) review: ReviewId,
    /// Who approved.
    pub(crate) approvals: BTreeMap<PublicKey, MemberId>,
}

/// The gate at one site.
pub(crate) struct Gate<'a> {
    pub(crate) site: &'a Site,
    pub(crate) on: &'a OnLedger,
}

impl Gate<'_> {
    fn ledger(&self) -> &HolderLedger {
        self.on.ledger()
    }

    /// Brings an item one step further: held and before its reviewers, or out on their approvals.
    ///
    /// One that was released already, whatever of it reached this disk, comes out first, also when
    /// another is asked for in its place by now.
    pub(crate) async fn pass(
        &self,
        item: Item,
        (request, goal): (&SignedRequest, Goal),
        job: Box<dyn Job>,
    ) -> Result<Passed, GateError> {
        let before = self.before(&item).await?;
        if let Some((kept, Some(standing))) = &before
            && let ReviewOutcome::Released(_) = standing.outcome()
        {
            return self.settle(kept.clone(), goal).await;
        }
        let same = before.as_ref().map(|(kept, _)| kept).filter(|kept| kept.item == item);
        let known = same.map(|kept| *kept.result.memory());
        match self.on.desk().for_review(request, job, known.as_ref()).await? {
            Gated::Known => match before {
                Some((kept, _)) => self.settle(kept, goal).await,
                None => Err(GateError::Result),
            },
            Gated::Held { result, checks } => {
                let checks = JobChecks::from_bytes(&checks).ok_or(GateError::Result)?;
                let said = serde_json::to_value(&checks.checks).map_err(|_| GateError::Result)?;
                let report = ReviewReport::new(said, checks.score, &mut OsEntropy)?;
                let replaces = match before {
                    Some((kept, _)) => kept.review,
                    None => self.open_version_of(&item).await?,
                };
                let kept = Kept::new(item, (*result, report.as_bytes().to_vec()), replaces);
                self.site.keep_at_gate(&kept).await?;
                self.settle(kept, goal).await
            }
        }
    }

    /// The review of another version of a file, where that is still open.
    async fn open_version_of(&self, item: &Item) -> Result<Option<ReviewId>, GateError> {
        for review in self.site.other_versions(item).await? {
            let standing = self.ledger().review(&review).await?;
            if standing.record.state == ReviewState::Waiting {
                return Ok(Some(review));
            }
        }
        Ok(None)
    }

    /// Tables that went out of this site before and were made from the same dataset.
    async fn tables_out(&self, dataset: &DatasetId) -> Result<Vec<(PathBuf, Vec<u8>)>, GateError> {
        let mut found = Vec::new();
        for Head { item, review, .. } in self.site.heads_at_gate().await?.heads {
            let is_table = matches!(&item.form, Form::File(file) if file.kind == file::TABLE);
            let Some(review) = review.filter(|_| is_table && item.source == *dataset) else {
                continue;
            };
            let standing = self.ledger().review(&review).await?;
            if let ReviewOutcome::Released(_) = standing.outcome()
                && let Some(kept) = self.site.at_gate(&item).await?
            {
                let bytes = self.on.desk().look(&kept.result)?.to_vec();
                found.push((PathBuf::from(item.name), bytes));
            }
        }
        Ok(found)
    }

    /// What is in an item's place, and how its review stands where the ledger has one.
    async fn before(
        &self,
        item: &Item,
    ) -> Result<Option<(Kept, Option<ReviewStanding>)>, GateError> {
        let Some(mut kept) = self.site.at_gate(item).await? else { return Ok(None) };
        if kept.review.is_none() {
            // Submitted, perhaps, by a process that did not live to hear of it.
            let release = self.on.desk().wanted(&kept.result, None)?;
            kept.review = self.ledger().review_of(&release).await?.map(|(review, _)| review);
            if kept.review.is_some() {
                self.site.keep_at_gate(&kept).await?;
            }
        }
        let standing = match &kept.review {
            Some(review) => Some(self.ledger().review(review).await?),
            None => None,
        };
        Ok(Some((kept, standing)))
    }

    /// Asks the ledger how far an item is, and does what is next.
    async fn settle(&self, mut kept: Kept, goal: Goal) -> Result<Passed, GateError> {
        let mut submission = Submission::Earlier;
        for _ in 0..LOOKS {
            let review = match kept.review {
                Some(review) => review,
                None => {
                    submission = Submission::Now;
                    self.submit(&mut kept).await?
                }
            };
            let standing = self.ledger().review(&review).await?;
            match standing.outcome() {
                ReviewOutcome::Waiting { .. } => {
                    let state = (GateState::Waiting, submission);
                    return Ok(Passed::UnderReview(Box::new(under_review(&kept, standing, state))));
                }
                ReviewOutcome::Refused { .. } => {
                    let state = (GateState::Refused, submission);
                    return Ok(Passed::UnderReview(Box::new(under_review(&kept, standing, state))));
                }
                // Another item of the same permit and dataset had to name it: it is asked for anew.
                ReviewOutcome::Superseded(_) => (kept.review, kept.replaces) = (None, None),
                ReviewOutcome::Released(_) | ReviewOutcome::Approved(_) if goal == Goal::Submit => {
                    return Ok(Passed::Approved(review));
                }
                ReviewOutcome::Released(receipt) => {
                    let receipt = self.ledger().receipt_file(&receipt).await?;
                    return self.out(kept, (review, receipt)).await;
                }
                ReviewOutcome::Approved(reviewed) => {
                    let release = self.on.desk().wanted(&kept.result, Some(reviewed))?;
                    let signed = self.ledger().sign(release).await?;
                    match self.ledger().record(&signed).await {
                        Ok(receipt) => return self.out(kept, (review, receipt)).await,
                        // Released by a transaction whose answer was lost: the next look finds it.
                        Err(LedgerRefused::Rule { rule, .. }) if rule == "reviews.closed" => {}
                        Err(refused) => return Err(refused.into()),
                    }
                }
            }
        }
        Err(GateError::Unsettled)
    }

    /// Submits what is kept, in place of what stands in its way, and keeps its review.
    async fn submit(&self, kept: &mut Kept) -> Result<ReviewId, GateError> {
        let release = self.on.desk().wanted(&kept.result, None)?;
        let report = ReviewReport::from_bytes(kept.report.as_bytes())?;
        let review = match self.ledger().review_of(&release).await? {
            Some((review, record)) if record.report == report.digest() => review,
            _ => {
                let old = self.in_the_way(kept).await?;
                self.ledger().submit_for_review(&release, &report, old).await?
            }
        };
        kept.review = Some(review);
        self.site.keep_at_gate(kept).await?;
        Ok(review)
    }

    /// The reviews that a submission has to name: the one whose place it takes, and those about the
    /// same dataset that somebody refused.
    async fn in_the_way(&self, kept: &Kept) -> Result<BTreeSet<ReviewId>, GateError> {
        let source = DatasetRef {
            holder: self.ledger().member().clone(),
            dataset: kept.item.source.clone(),
        };
        let waiting = self.ledger().reviews_waiting(&kept.item.permit).await?;
        let named = waiting.into_iter().filter(|(review, record)| {
            let refused = !record.refused_by().is_empty() && record.datasets.contains(&source);
            record.state == ReviewState::Waiting && (kept.replaces == Some(*review) || refused)
        });
        Ok(named.map(|(review, _)| review).collect())
    }

    /// Hands out what a receipt clears.
    async fn out(
        &self,
        kept: Kept,
        (review, receipt): (ReviewId, Vec<u8>),
    ) -> Result<Passed, GateError> {
        let (reply, reviewed) = self.on.desk().hand_out_reviewed(&kept.result, receipt)?;
        let opened = self.open(&kept.item.permit, &reply).await?;
        let record = self.ledger().review(&review).await?.record;
        let member = |key: &PublicKey| {
            let said = record.decisions.iter().find(|decision| decision.reviewer == *key);
            said.map(|decision| (*key, decision.member.clone()))
        };
        let approvals = reviewed.approvals.iter().filter_map(member).collect();
        let item = kept.item;
        Ok(Passed::Out(Box::new(Out { item, opened, receipt: reply.receipt, review, approvals })))
    }

    /// Opens what was sealed to the person of a permit of this site.
    async fn open(
        &self,
        permit: &PermitId,
        reply: &Reply,
    ) -> Result<Zeroizing<Vec<u8>>, GateError> {
        let key = self.site.permit_key(permit).await?;
        let job = SignedFor {
            code: output_code(),
            digest: salus_crypto::Digest::of(b""),
            micros: REQUEST_MICROS,
        };
        // Signed for nobody: its address is what the result was sealed under.
        let request = self.request(permit, &key, job).await?;
        key.open(&request, &reply.deal, &reply.message).ok_or(GateError::Result)
    }

    async fn request(
        &self,
        permit: &PermitId,
        key: &PermitKey,
        signed_for: SignedFor,
    ) -> Result<SignedRequest, GateError> {
        let record = permit_on(self.ledger(), permit).await?;
        let holder = HolderId::new(self.site.lake.holder().as_str())?;
        let asked = Asked {
            ledger: *self.ledger().anchor().ledger(),
            permit,
            purpose: record.terms.purpose,
            holder: &holder,
            question: "",
            now: self.site.clock.now(),
        };
        Ok(key.request_for(&asked, signed_for)?)
    }

    /// Puts a file before the reviewers, or says how far it has come.
    pub(crate) async fn submit_file(&self, wanted: FileWanted) -> Result<FileOutcome, GateError> {
        let reference =
            DatasetRef { holder: self.ledger().member().clone(), dataset: wanted.dataset.clone() };
        let left = left(self.ledger(), &wanted.permit, &reference).await?;
        check_allowed(&left, &wanted.dataset, &wanted.permit)?;
        let columns: BTreeSet<ColumnPath> = match &wanted.columns {
            Some(columns) => columns.clone(),
            None => {
                let all = left.ground.columns.iter();
                all.map(|column| ColumnPath::new(column.to_string())).collect::<Result<_, _>>()?
            }
        };
        let kind = wanted.kind.as_str().to_owned();
        let (source, permit) = (wanted.dataset.clone(), wanted.permit.clone());
        let out = match wanted.kind {
            OutputKind::Table { .. } => self.tables_out(&wanted.dataset).await?,
            OutputKind::Model | OutputKind::Plot => Vec::new(),
        };
        let read = tokio::task::spawn_blocking(move || file::read(&wanted, &out)).await;
        let read = read.map_err(|_| GateError::Result)??;
        let form = Form::File(FileItem { kind, columns: columns.clone() });
        let (name, made_of) = (read.name.clone(), read.made_of);
        let item = Item { name, form, source, permit, made_of };
        let job = FileJob {
            dataset: item.source.clone(),
            columns,
            name: read.name,
            made_of,
            bytes: read.bytes,
            checks: read.checks,
            work: read.work,
        };
        self.file(item, job, Goal::Submit).await
    }

    /// Hands a file out that reviewers approved. Once more, it is the same file for nothing.
    pub(crate) async fn fetch_file(&self, review: &ReviewId) -> Result<FileOutcome, GateError> {
        let kept = self.under(review).await?;
        let Form::File(file) = &kept.item.form else {
            return Err(GateError::NoFile { review: *review, name: kept.item.name });
        };
        let report = ReviewReport::from_bytes(kept.report.as_bytes())?;
        let checks = ReviewChecks::of_report(report.checks()).ok_or(GateError::Result)?;
        let checks = JobChecks { score: report.score(), checks };
        let job = FileJob {
            dataset: kept.item.source.clone(),
            columns: file.columns.clone(),
            name: kept.item.name.clone(),
            made_of: kept.item.made_of,
            bytes: self.on.desk().look(&kept.result)?.to_vec(),
            checks,
            work: FileWork::HandOut,
        };
        self.file(kept.item, job, Goal::Fetch).await
    }

    async fn file(&self, item: Item, job: FileJob, goal: Goal) -> Result<FileOutcome, GateError> {
        let name = item.name.clone();
        let key = self.site.permit_key(&item.permit).await?;
        let signed_for =
            SignedFor { code: output_code(), digest: job.digest(), micros: REQUEST_MICROS };
        let request = self.request(&item.permit, &key, signed_for).await?;
        match self.pass(item, (&request, goal), Box::new(job)).await? {
            Passed::UnderReview(review) => Ok(FileOutcome::UnderReview(review)),
            Passed::Approved(review) => Ok(FileOutcome::Approved { review, name }),
            Passed::Out(out) => Ok(FileOutcome::Out {
                review: out.review,
                name: out.item.name,
                content: as_base64(&out.opened),
                receipt: as_base64(&out.receipt),
            }),
        }
    }

    /// What is kept here under a review.
    async fn under(&self, review: &ReviewId) -> Result<Kept, GateError> {
        let heads = self.site.heads_at_gate().await?.heads;
        let is_its = |kept: &Kept| kept.review.as_ref() == Some(review);
        for head in heads.iter().filter(|head| head.review.as_ref() == Some(review)) {
            if let Some(kept) = self.site.at_gate(&head.item).await?.filter(is_its) {
                return Ok(kept);
            }
        }
        // A crash may have kept the item alone, without what it is known by.
        for head in &heads {
            if let Some(kept) = self.site.at_gate(&head.item).await?.filter(is_its) {
                return Ok(kept);
            }
        }
        Err(GateError::Unknown { review: *review })
    }

    /// A part of what is under review.
    pub(crate) async fn part(
        &self,
        review: &ReviewId,
        part: GatePart,
    ) -> Result<GateReply, GateError> {
        let kept = self.under(review).await?;
        let content = match part {
            GatePart::Report => as_base64(kept.report.as_bytes()),
            GatePart::Result => {
                let opened = self.on.desk().look(&kept.result)?;
                match kept.item.form {
                    Form::Dataset => {
                        let made = crate::releasing::records_of(&opened);
                        as_base64(made.ok_or(GateError::Result)?.as_bytes())
                    }
                    Form::File(_) => as_base64(&opened),
                }
            }
        };
        Ok(GateReply::Part { name: kept.item.name, content })
    }
}

/// How far an item shall come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// To be before its reviewers.
    Submit,
    /// To be out.
    Fetch,
}

impl Site {
    /// The dataset that something under review was made from, and of a file the columns.
    pub(crate) async fn source_at_gate(
        &self,
        review: &ReviewId,
    ) -> Result<BTreeMap<DatasetId, BTreeSet<ColumnPath>>, GateError> {
        let heads = self.heads_at_gate().await?.heads;
        let about = heads.into_iter().filter(|head| head.review.as_ref() == Some(review));
        let columns = |form| match form {
            Form::Dataset => BTreeSet::new(),
            Form::File(file) => file.columns,
        };
        Ok(about.map(|head| (head.item.source, columns(head.item.form))).collect())
    }

    /// What is kept here for reviewers.
    pub(crate) async fn kept_at_gate(&self) -> Result<GateReply, GateError> {
        let AtGate { heads, damaged } = self.heads_at_gate().await?;
        let shown = |kept: Head| {
            let Item { name, form, source, permit, .. } = kept.item;
            let of = match form {
                Form::Dataset => "dataset".to_owned(),
                Form::File(file) => file.kind,
            };
            KeptHere { review: kept.review, name, of, source, permit }
        };
        Ok(GateReply::Kept { items: heads.into_iter().map(shown).collect(), damaged })
    }
}

fn under_review(
    kept: &Kept,
    standing: ReviewStanding,
    (state, submission): (GateState, Submission),
) -> UnderReview {
    UnderReview {
        review: standing.id,
        name: kept.item.name.clone(),
        source: kept.item.source.clone(),
        state,
        submission,
        approvals: standing.tally.different,
        needed: standing.rule.reviewers(),
        of: standing.rule.independence(),
        score: standing.record.score,
        decisions: standing.record.decisions,
        supersedes: standing.record.supersedes,
        report: as_base64(kept.report.as_bytes()),
    }
}
