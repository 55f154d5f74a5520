mod follow;
mod gated;

pub use self::gated::{Gated, HeldResult};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use salus_crypto::aead::AeadKey;
use salus_crypto::{Digest, OsEntropy};
use salus_ledger::call::{Release, Tick};
use salus_ledger::proof::{EvidenceError, Fact, ProvenState, StateEvidence, TrustAnchor};
use salus_ledger::{CodeHash, Commitment, DatasetRef, Opaque};
use salus_model::{
    Class, Classified, Clock, ColumnPath, DatasetId, DatasetVersion, DealId, Entropy as _,
    EntropyFailed, HolderId, IdError, MemberId, PermitId, PrivacyCharge, RoleName, StaffId,
    Timestamp,
};
use salus_spine::{
    AuthoriseError, Authority, BudgetCharged, Checked, ForReviewRefused, Freshness, Held,
    InputRead, KeepError, KeyRelease, OnPremises, OptOutList, OptOutsApplied, OptOutsRefused,
    PermitChecked, Place, PremisesStatement, ReceiptRefused, ReleaseRefused, RequestRefused, Scope,
    SealResultRefused, SealedResult, Secondary, SecondaryClearance, SignedRequest,
    StatementRefused, Unreleased, authorise, release, seal_result,
};
use salus_store::audit::{AccessKind, AuditEntry, AuditError, AuditLog, Outcome, RefusalReason};
use salus_store::{Lake, ReadSession, ScanError};
use serde::{Deserialize, Serialize};

use crate::compute::ComputeError;
use crate::job::Job;
use crate::joint::{Contribution, HolderPolicy, JointRefused};
use crate::outbox::{Entry, Outbox, Remembered, SignedRelease};
use crate::profile::{ProfileError, Profiles};
use crate::question::{Asked, Prepared, Question, QuestionError};

/// How long a statement of the holder's own premises holds.
const PREMISES_MICROS: i64 = 10 * 60 * 1_000_000;

/// Why the ledger did not record a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerRefused {
    /// It cannot be reached, or does not answer in time. Whether it recorded is not known.
    #[error("the ledger cannot be reached: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// A rule of a contract refused.
    #[error("the ledger refused: {says} (rule {rule})")]
    Rule {
        /// The rule.
        rule: String,
        /// What stands against it, where the ledger says so.
        says: String,
    },
}

impl Classified for LedgerRefused {
    fn class(&self) -> Class {
        match self {
            Self::Unavailable { .. } => Class::Unavailable,
            Self::Rule { .. } => Class::Refused,
        }
    }
}

/// The ledger as a holder uses it; whoever implements it is not trusted, proofs are.
#[async_trait::async_trait]
pub trait Ledger: Send + Sync {
    /// Proofs of these facts in a state that is final and not older than asked for.
    ///
    /// # Errors
    /// When no validator gives them.
    async fn evidence(
        &self,
        facts: &[Fact],
        freshness: Freshness,
    ) -> Result<StateEvidence, LedgerRefused>;

    /// Signs a release for the holder; nothing is sent yet.
    ///
    /// # Errors
    /// When the ledger is out of reach, whose last block bounds how long the signature holds.
    async fn sign(&self, release: Release) -> Result<SignedRelease, LedgerRefused>;

    /// Signs one answer of a standing question for the holder; nothing is sent yet.
    ///
    /// # Errors
    /// As [`Ledger::sign`].
    async fn sign_tick(&self, tick: Tick, release: Release)
    -> Result<SignedRelease, LedgerRefused>;

    /// Records a signed release, and returns the receipt's file once it is final.
    ///
    /// # Errors
    /// When a rule refuses it, or the ledger is out of reach.
    async fn record(&self, signed: &SignedRelease) -> Result<Vec<u8>, LedgerRefused>;

    /// What became of a release that was perhaps sent: its receipt's file, after handing it in
    /// again where that can still matter, or none once it can never be recorded.
    ///
    /// # Errors
    /// When a rule refused it, or the ledger is out of reach.
    async fn resume(&self, signed: &SignedRelease) -> Result<Option<Vec<u8>>, LedgerRefused>;
}

/// What the person who asked gets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// The deal that the message was sealed under; an earlier one when the answer is repeated.
    pub deal: DealId,
    /// The answer, sealed to the request's recipient.
    pub message: Vec<u8>,
    /// The salt of the result's hash in the receipt.
    pub salt: [u8; 32],
    /// The receipt's file, which anybody can verify.
    pub receipt: Vec<u8>,
    /// What this reply cost; nothing when it is repeated.
    pub charges: BTreeMap<DatasetId, PrivacyCharge>,
    /// Under which name it is remembered.
    pub(crate) memory: Digest,
}

/// Why a request is not answered.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The question cannot be asked.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// The dataset has no privacy profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The holder does not take part in the joint answer.
    #[error(transparent)]
    Joint(#[from] JointRefused),
    /// The request was signed for another question.
    #[error("the request was signed for another question than the one that came with it")]
    OtherQuestion,
    /// The request names other code than what answers questions here.
    #[error("the request is for other code; questions are answered by {here}")]
    OtherCode {
        /// The code here.
        here: CodeHash,
    },
    /// The same request came before.
    #[error("this request was answered or refused already; sign a new one")]
    Replayed,
    /// The permit does not cover it.
    #[error(transparent)]
    Request(#[from] RequestRefused),
    /// The opt-outs cannot be applied.
    #[error(transparent)]
    OptOuts(#[from] OptOutsRefused),
    /// The ledger's proofs do not hold.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The ledger refused, or is out of reach.
    #[error(transparent)]
    Ledger(#[from] LedgerRefused),
    /// A token was refused, which is a bug.
    #[error(transparent)]
    Statement(#[from] StatementRefused),
    /// Tokens do not fit together, which is a bug.
    #[error(transparent)]
    Authorise(#[from] AuthoriseError),
    /// The dataset cannot be opened.
    #[error("the dataset cannot be opened")]
    Scan(#[from] ScanError),
    /// The answer was not computed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The answer was not sealed.
    #[error(transparent)]
    Seal(#[from] SealResultRefused),
    /// It was not sealed for reviewers.
    #[error(transparent)]
    ForReview(#[from] ForReviewRefused),
    /// The sealed answer cannot be kept.
    #[error("the sealed answer cannot be kept, so it is not charged either")]
    Keep(#[from] KeepError),
    /// The sealed answers cannot be read or written.
    #[error("the folder of sealed answers cannot be used")]
    Outbox(#[source] std::io::Error),
    /// The receipt does not fit.
    #[error(transparent)]
    Receipt(#[from] ReceiptRefused),
    /// Receipt and result do not fit together, which is a bug.
    #[error(transparent)]
    Release(#[from] ReleaseRefused),
    /// The access log cannot be written.
    #[error("the access log cannot be written, so nothing is answered")]
    Audit(#[from] AuditError),
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
    /// A name that does not fit, which is a bug.
    #[error(transparent)]
    Name(#[from] IdError),
}

impl Classified for DeskError {
    fn class(&self) -> Class {
        match self {
            Self::Question(e) => e.class(),
            Self::Profile(e) => e.class(),
            Self::Joint(e) => e.class(),
            Self::OtherQuestion | Self::OtherCode { .. } | Self::Replayed => Class::Refused,
            Self::Request(e) => e.class(),
            Self::OptOuts(e) => e.class(),
            Self::Evidence(e) => e.class(),
            Self::Ledger(e) => e.class(),
            Self::Statement(_) | Self::Authorise(_) | Self::Release(_) | Self::Name(_) => {
                Class::Bug
            }
            Self::Scan(e) => e.class(),
            Self::Compute(e) => e.class(),
            Self::Seal(e) => e.class(),
            Self::ForReview(e) => e.class(),
            Self::Keep(e) => e.class(),
            Self::Outbox(_) => Class::Unavailable,
            Self::Receipt(e) => e.class(),
            Self::Audit(e) => e.class(),
            Self::Entropy(_) => Class::Unavailable,
        }
    }
}

/// What a desk is made of.
pub struct DeskParts {
    /// The holder's datasets.
    pub lake: Arc<Lake>,
    /// The holder's authority.
    pub authority: Arc<Authority>,
    /// The present moment.
    pub clock: Arc<dyn Clock>,
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// Whom to believe about the ledger.
    pub anchor: TrustAnchor,
    /// How old its state may be.
    pub freshness: Freshness,
    /// The holder's access log.
    pub audit: Arc<AuditLog>,
    /// What is publicly known of the datasets.
    pub profiles: Profiles,
    /// Who opted out.
    pub opt_outs: OptOutList,
    /// Under which conditions the holder answers jointly with others; it does not when there are
    /// none.
    pub joint: Option<HolderPolicy>,
    /// Parts of a dataset that are read beside each other.
    pub partitions: usize,
    /// Where sealed answers outlive the process.
    pub outbox: Arc<dyn Outbox>,
    /// Where standing questions lie between their answers.
    pub standing: Arc<dyn Outbox>,
    /// The holder's key for both.
    pub keeping: AeadKey,
}

/// Where a holder's node answers questions under permits.
///
/// # Privacy
/// One request is one release: noised, sealed to the permit's person, charged and receipted on the
/// ledger before it goes out. The same question of the same person at the same version and opt-out
/// epoch gets the same message again and costs nothing.
pub struct Desk {
    parts: DeskParts,
    opt_outs: Mutex<Arc<OptOutList>>,
    seen: Mutex<HashMap<Digest, Timestamp>>,
    remembered: Mutex<Remembered>,
    turns: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    unreadable: usize,
}

/// The code that answers questions, as permits and receipts name it.
#[must_use]
pub fn built_in_code() -> CodeHash {
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    let digest = Digest::of_parts("salus built-in code v1", &[b"salus-private", version]);
    CodeHash::new(*digest.as_bytes())
}

/// What is to be computed under a permit.
enum Work {
    Question { prepared: Box<Prepared>, digest: Digest },
    Job(Box<dyn Job>),
}

impl Work {
    fn wanted(&self) -> BTreeMap<DatasetId, BTreeSet<ColumnPath>> {
        match self {
            Self::Question { prepared, .. } => prepared.wanted(),
            Self::Job(job) => job.wanted(),
        }
    }

    fn digest(&self) -> Digest {
        match self {
            Self::Question { digest, .. } => *digest,
            Self::Job(job) => job.digest(),
        }
    }

    fn code(&self) -> CodeHash {
        match self {
            Self::Question { .. } => built_in_code(),
            Self::Job(job) => job.code(),
        }
    }

    async fn compute(
        self,
        session: ReadSession<Secondary>,
        partitions: usize,
    ) -> Result<Unreleased<Checked, Secondary>, ComputeError> {
        match self {
            Self::Question { prepared, .. } => {
                let priced = prepared.compute(session, partitions).await?;
                Ok(priced.compute(|result| Checked { result, checks: Vec::new() }))
            }
            Self::Job(job) => {
                let computed = session.compute(|tables| job.compute(tables)).await;
                Ok(computed.transpose()?)
            }
        }
    }
}

/// Work under way: everything that was decided before the first key.
struct Admitted {
    scope: Scope,
    permit: PermitId,
    state: ProvenState,
    versions: BTreeMap<DatasetId, DatasetVersion>,
    memory: Digest,
}

impl Desk {
    /// A desk of these parts, with the answers that an earlier process kept.
    ///
    /// # Errors
    /// When the kept answers cannot be read.
    pub async fn open(mut parts: DeskParts) -> Result<Self, DeskError> {
        let list = std::mem::replace(&mut parts.opt_outs, OptOutList::none());
        let all = parts.outbox.all().await.map_err(DeskError::Outbox)?;
        let (holder, found) = (parts.lake.holder(), all.len());
        let mut entries: Vec<Entry> =
            all.iter().filter_map(|b| Entry::open(b, holder, &parts.keeping).ok()).collect();
        let unreadable = found - entries.len();
        entries.sort_by_key(|entry| entry.since);
        let (mut seen, mut remembered, mut forgotten) =
            (HashMap::new(), Remembered::default(), Vec::new());
        for entry in entries {
            seen.insert(entry.request, entry.request_expires);
            forgotten.extend(remembered.waits(entry));
        }
        for name in forgotten {
            parts.outbox.remove(&name).await.map_err(DeskError::Outbox)?;
        }
        Ok(Self {
            parts,
            opt_outs: Mutex::new(Arc::new(list)),
            seen: Mutex::new(seen),
            remembered: Mutex::new(remembered),
            turns: Mutex::default(),
            unreadable,
        })
    }

    /// How many kept answers were damaged and are left aside.
    #[must_use]
    pub const fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// Puts a new opt-out list in force; it has to be on the ledger before the next question.
    pub fn apply_opt_outs(&self, list: OptOutList) {
        *self.opt_outs.lock() = Arc::new(list);
    }

    /// What is publicly known of the datasets.
    #[must_use]
    pub const fn profiles(&self) -> &Profiles {
        &self.parts.profiles
    }

    /// The opt-out list in force.
    #[must_use]
    pub fn opt_outs(&self) -> Arc<OptOutList> {
        Arc::clone(&self.opt_outs.lock())
    }

    /// What a question would cost and how exact it would be; reads nothing and charges nothing.
    ///
    /// # Errors
    /// When the question does not fit.
    pub fn explain(&self, text: &str) -> Result<Prepared, DeskError> {
        let (question, invitation) = match Asked::parse(text)? {
            Asked::Alone(question) => (question, None),
            Asked::Joint(joint) => (joint.inner()?, Some(joint.joint)),
            Asked::Standing(standing) => {
                let question = standing.inner()?;
                let profile = self.parts.profiles.of(&question.dataset)?;
                let following = standing.following(&question, profile)?;
                return Ok(question.prepare(profile)?.followed(following));
            }
        };
        let profile = self.parts.profiles.of(&question.dataset)?;
        let Some(invitation) = invitation else { return Ok(question.prepare(profile)?) };
        let policy = self.parts.joint.as_ref().ok_or(JointRefused::NoJoint)?;
        let plan = question.plan(profile)?;
        let (me, authority) = (self.parts.lake.holder(), Arc::clone(&self.parts.authority));
        let contribution = Contribution::accept(invitation, policy, me, plan, authority)?;
        Ok(question.prepare(profile)?.jointly(contribution))
    }

    /// Answers a request, or says why not; either is in the access log.
    ///
    /// # Errors
    /// Names what stands against it. Nothing is charged then, unless the ledger was out of reach
    /// after the release was sent to it.
    pub async fn answer(&self, request: &SignedRequest, text: &str) -> Result<Reply, DeskError> {
        let prepared = self.explain(text);
        let work = prepared.map(|prepared| {
            let digest = Question::digest(text);
            Work::Question { prepared: Box::new(prepared), digest }
        });
        self.on_record(request, text.to_owned(), work).await
    }

    /// Does a job under a permit, or says why not; either is in the access log. The same job at the
    /// same version and opt-out epoch gives the same message again, for nothing.
    ///
    /// # Errors
    /// As [`Desk::answer`].
    pub async fn carry_out(
        &self,
        request: &SignedRequest,
        job: Box<dyn Job>,
    ) -> Result<Reply, DeskError> {
        self.on_record(request, job.statement(), Ok(Work::Job(job))).await
    }

    /// Forgets a reply, for whoever keeps what it released: the same job would be computed and
    /// charged anew.
    ///
    /// # Errors
    /// When the kept entry cannot be removed.
    pub async fn put_away(&self, reply: &Reply) -> Result<(), DeskError> {
        self.forget(&reply.memory).await
    }

    async fn on_record(
        &self,
        request: &SignedRequest,
        statement: String,
        work: Result<Work, DeskError>,
    ) -> Result<Reply, DeskError> {
        let columns = work.as_ref().map(Work::wanted).unwrap_or_default();
        let answered = match work {
            Ok(work) => self.decide(request, work).await,
            Err(e) => Err(e),
        };
        let outcome = answered.as_ref().map(|_| Outcome::Answered { rows: 1 });
        self.log(request, statement, columns, outcome).await?;
        answered
    }

    /// Puts on record what was done under a request, or why not.
    async fn log(
        &self,
        request: &SignedRequest,
        statement: String,
        columns: BTreeMap<DatasetId, BTreeSet<ColumnPath>>,
        outcome: Result<Outcome, &DeskError>,
    ) -> Result<(), DeskError> {
        let outcome = match outcome {
            Ok(done) => done,
            Err(e) if e.class() == Class::Refused => Outcome::Refused { reason: reason(e) },
            Err(_) => Outcome::Failed,
        };
        let asked = request.unverified();
        let entry = AuditEntry {
            deal: asked.deal.clone(),
            staff: StaffId::new(format!("permit:{}", asked.permit))?,
            role: RoleName::new("researcher")?,
            purpose: asked.purpose,
            kind: AccessKind::UnderPermit,
            statement,
            datasets: columns,
            outcome,
        };
        self.parts.audit.append(entry).await?;
        Ok(())
    }

    /// Checks a request once, before a key is touched.
    async fn admitted(
        &self,
        request: &SignedRequest,
        work: &Work,
    ) -> Result<(PermitChecked<Secondary>, Admitted), DeskError> {
        let asked = request.unverified();
        if work.digest() != asked.question {
            return Err(DeskError::OtherQuestion);
        }
        let here = work.code();
        if asked.code != here {
            return Err(DeskError::OtherCode { here });
        }
        let (permit, admitted) = self.admit(request, work).await?;
        self.only_once(request)?;
        Ok((permit, admitted))
    }

    async fn decide(&self, request: &SignedRequest, work: Work) -> Result<Reply, DeskError> {
        let (permit, admitted) = self.admitted(request, &work).await?;
        let work = match work {
            Work::Question { prepared, digest } => match prepared.standing {
                Some(following) => {
                    let names = (request.digest(), digest);
                    return self.follow(permit, *prepared, admitted, (following, names)).await;
                }
                None => Work::Question { prepared, digest },
            },
            job @ Work::Job(_) => job,
        };
        // Two who ask the same at once: the second gets the first one's answer.
        let turn = self.turn(&admitted.memory);
        let _mine = turn.lock().await;
        if let Some(reply) = self.earlier(&admitted.memory).await? {
            return Ok(Reply { charges: BTreeMap::new(), ..reply });
        }
        if let Work::Job(job) = &work {
            job.begin().map_err(ComputeError::Job)?;
        }
        let seen = (request.digest(), request.unverified().expires);
        self.release(permit, work, admitted, seen).await
    }

    fn turn(&self, memory: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock();
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(*memory).or_default())
    }

    /// The answer that was given before, or that was kept before the ledger recorded it.
    async fn earlier(&self, memory: &Digest) -> Result<Option<Reply>, DeskError> {
        let (reply, waiting) = {
            let remembered = self.remembered.lock();
            (remembered.reply(memory), remembered.waiting(memory))
        };
        let Some(entry) = waiting.filter(|_| reply.is_none()) else { return Ok(reply) };
        let holder = self.parts.lake.holder();
        let held = Held::resume(entry.held.as_bytes(), holder, &self.parts.keeping)?;
        match self.parts.ledger.resume(&entry.signed).await {
            Ok(Some(receipt)) => self.hand_out(held, receipt, *memory).await.map(Some),
            // Never charged, so there is nothing to repeat.
            Ok(None) | Err(LedgerRefused::Rule { .. }) => {
                self.forget(memory).await?;
                Ok(None)
            }
            Err(unavailable) => Err(unavailable.into()),
        }
    }

    async fn forget(&self, memory: &Digest) -> Result<(), DeskError> {
        self.remembered.lock().forget(memory);
        self.parts.outbox.remove(memory).await.map_err(DeskError::Outbox)
    }

    /// Verifies the permit on the ledger's present state; no key is touched.
    async fn admit(
        &self,
        request: &SignedRequest,
        work: &Work,
    ) -> Result<(PermitChecked<Secondary>, Admitted), DeskError> {
        let asked = request.unverified();
        let holder = self.parts.lake.holder();
        let member = MemberId::new(holder.as_str())?;
        let wanted = work.wanted();
        let reference =
            |dataset: &DatasetId| DatasetRef { holder: member.clone(), dataset: dataset.clone() };
        let mut facts = vec![Fact::Permit(asked.permit.clone()), Fact::OptOuts(member.clone())];
        facts.extend(wanted.keys().map(|dataset| Fact::Dataset(reference(dataset))));
        let freshness = self.parts.freshness;
        let evidence = self.parts.ledger.evidence(&facts, freshness).await?;
        let state = ProvenState::verify(&evidence, &self.parts.anchor)?;
        let now = self.parts.clock.now();
        let permit =
            PermitChecked::verify_request(request, holder, &wanted, &state, now, freshness)?;
        if let Work::Question { prepared, .. } = work {
            check_invited(&asked.permit, &state, prepared)?;
        }
        let mut versions = BTreeMap::new();
        let mut seen = Vec::new();
        for dataset in wanted.keys() {
            // The version that the ledger has a commitment to, and not what came since.
            if let Some(record) = state.dataset(&reference(dataset))? {
                versions.insert(dataset.clone(), record.version);
                seen.extend_from_slice(dataset.as_str().as_bytes());
                seen.extend_from_slice(&record.version.number().to_be_bytes());
            }
        }
        let epoch = state.opt_outs(&member)?.map_or(0, |list| list.epoch);
        let memory = Digest::of_parts(
            "salus remembered answer v1",
            &[
                asked.permit.as_str().as_bytes(),
                &asked.recipient.to_bytes(),
                asked.question.as_bytes(),
                &seen,
                &epoch.to_be_bytes(),
            ],
        );
        let scope = Scope::new(holder.clone(), asked.deal.clone());
        let id = asked.permit.clone();
        Ok((permit, Admitted { scope, permit: id, state, versions, memory }))
    }

    /// Takes a request once: a recording of it, sent again, would charge the account again.
    fn only_once(&self, request: &SignedRequest) -> Result<(), DeskError> {
        let now = self.parts.clock.now();
        let mut seen = self.seen.lock();
        seen.retain(|_, until| *until > now);
        match seen.insert(request.digest(), request.unverified().expires) {
            None => Ok(()),
            Some(_) => Err(DeskError::Replayed),
        }
    }

    fn key_release(
        &self,
        permit: PermitChecked<Secondary>,
        admitted: &Admitted,
    ) -> Result<KeyRelease<Secondary>, DeskError> {
        let list = Arc::clone(&self.opt_outs.lock());
        let scope = admitted.scope.clone();
        let datasets = admitted.versions.keys().cloned();
        let rows = OptOutsApplied::bind(scope.clone(), &list, &admitted.state, datasets)?;
        let issued = self.parts.clock.now();
        let expires = issued.saturating_add_micros(PREMISES_MICROS);
        let statement = self.parts.authority.sign(PremisesStatement { scope, issued, expires });
        let place = OnPremises::verify(&statement, &self.parts.authority.verifier(), issued)?;
        Ok(authorise(permit, rows, Place::Premises(place))?)
    }

    async fn release(
        &self,
        permit: PermitChecked<Secondary>,
        work: Work,
        admitted: Admitted,
        (request, request_expires): (Digest, Timestamp),
    ) -> Result<Reply, DeskError> {
        let key_release = self.key_release(permit, &admitted)?;
        let Admitted { versions, memory, .. } = admitted;
        let session = self.parts.lake.open_at(key_release, &versions).await?;
        let read = input(&session.versions())?;
        let computed = work.compute(session, self.parts.partitions).await?;
        let held = seal_result(computed.compute(|checked| checked.result), &mut OsEntropy)?;
        let signed = self.parts.ledger.sign(held.receipt_wanted(&read, None)?).await?;
        let (holder, key) = (self.parts.lake.holder(), &self.parts.keeping);
        let entry = Entry {
            memory,
            request,
            request_expires,
            since: self.parts.clock.now(),
            held: Opaque::new(held.keep(key, &mut OsEntropy)?),
            signed,
        };
        // On the disk first: from the next line on the account may be charged.
        let kept = entry.seal(holder, key)?;
        self.parts.outbox.put(&memory, &kept).await.map_err(DeskError::Outbox)?;
        match self.parts.ledger.record(&entry.signed).await {
            Ok(receipt) => self.hand_out(held, receipt, memory).await,
            Err(refused @ LedgerRefused::Rule { .. }) => {
                self.forget(&memory).await?;
                Err(refused.into())
            }
            Err(unavailable) => {
                let forgotten = self.remembered.lock().waits(entry);
                self.drop_kept(forgotten).await?;
                Err(unavailable.into())
            }
        }
    }

    async fn drop_kept(&self, name: Option<Digest>) -> Result<(), DeskError> {
        match name {
            Some(name) => self.parts.outbox.remove(&name).await.map_err(DeskError::Outbox),
            None => Ok(()),
        }
    }

    /// Releases what a final receipt clears.
    async fn hand_out(
        &self,
        held: Held<SealedResult, Secondary>,
        receipt: Vec<u8>,
        memory: Digest,
    ) -> Result<Reply, DeskError> {
        let cleared = self.cleared(held, receipt, memory);
        match cleared {
            Ok(reply) => {
                let forgotten = self.remembered.lock().released(memory, reply.clone());
                self.drop_kept(forgotten).await?;
                Ok(reply)
            }
            Err(e) => {
                self.forget(&memory).await?;
                Err(e)
            }
        }
    }

    fn cleared(
        &self,
        held: Held<SealedResult, Secondary>,
        receipt: Vec<u8>,
        memory: Digest,
    ) -> Result<Reply, DeskError> {
        let (charged, on_record) = BudgetCharged::verify(&receipt, &self.parts.anchor, &held)?;
        let (charges, deal) = (held.charges().clone(), held.deal().clone());
        let sealed = release(held, SecondaryClearance::Charged(charged), on_record)?.into_inner();
        let salt = *sealed.salt();
        Ok(Reply { deal, message: sealed.into_message(), salt, receipt, charges, memory })
    }
}

/// Whether the permit covers every holder that a joint answer relies on for noise: a holder that
/// nobody knows adds none.
fn check_invited(
    permit: &PermitId,
    state: &ProvenState,
    prepared: &Prepared,
) -> Result<(), DeskError> {
    let Some(joint) = &prepared.joint else { return Ok(()) };
    let record = state.permit(permit)?;
    let grounds = record.map(|record| record.terms.grounds).unwrap_or_default();
    let covered = |holder: &HolderId| {
        let of = |d: &DatasetRef| {
            d.holder.as_str() == holder.as_str() && d.dataset == *prepared.dataset()
        };
        grounds.iter().any(|ground| of(&ground.dataset))
    };
    if joint.holders().iter().all(covered) { Ok(()) } else { Err(JointRefused::NotInvited.into()) }
}

/// What was read, committed to under a salt that nobody keeps: it is there to be unequal for
/// different inputs, and to be opened by nobody.
fn input(
    versions: &BTreeMap<DatasetId, (DatasetVersion, Digest)>,
) -> Result<InputRead, EntropyFailed> {
    let mut salt = [0; 32];
    OsEntropy.fill(&mut salt)?;
    let mut parts: Vec<&[u8]> = vec![&salt];
    parts.extend(versions.values().map(|(_, digest)| digest.as_bytes().as_slice()));
    let commitment = Digest::of_parts("salus input v1", &parts);
    Ok(InputRead {
        versions: versions.iter().map(|(id, (version, _))| (id.clone(), *version)).collect(),
        input: Commitment::new(*commitment.as_bytes()),
    })
}

fn reason(error: &DeskError) -> RefusalReason {
    match error {
        DeskError::Request(RequestRefused::Signature) | DeskError::Replayed => {
            RefusalReason::Authentication
        }
        DeskError::Request(RequestRefused::Time { .. }) => RefusalReason::Expired,
        DeskError::OptOuts(_) => RefusalReason::Consent,
        DeskError::Ledger(LedgerRefused::Rule { rule, .. }) if rule.ends_with(".budget") => {
            RefusalReason::Budget
        }
        _ => RefusalReason::Policy,
    }
}
