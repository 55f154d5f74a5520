use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use salus_crypto::{Digest, OsEntropy};
use salus_ledger::call::Release;
use salus_ledger::proof::{EvidenceError, Fact, ProvenState, StateEvidence, TrustAnchor};
use salus_ledger::{CodeHash, Commitment, DatasetRef};
use salus_model::{
    Class, Classified, Clock, DatasetId, DatasetVersion, DealId, Entropy as _, EntropyFailed,
    IdError, MemberId, PrivacyCharge, RoleName, StaffId, Timestamp,
};
use salus_spine::{
    AuthoriseError, Authority, BudgetCharged, Freshness, InputRead, KeyRelease, OnPremises,
    OptOutList, OptOutsApplied, OptOutsRefused, PermitChecked, Place, PremisesStatement,
    ReceiptFinal, ReceiptRefused, ReleaseRefused, RequestRefused, Scope, SealResultRefused,
    Secondary, SecondaryClearance, SignedRequest, StatementRefused, authorise, release,
    seal_result,
};
use salus_store::audit::{AccessKind, AuditEntry, AuditError, AuditLog, Outcome, RefusalReason};
use salus_store::{Lake, ScanError};

use crate::compute::ComputeError;
use crate::profile::{ProfileError, Profiles};
use crate::question::{Prepared, Question, QuestionError};

/// How long a statement of the holder's own premises holds.
const PREMISES_MICROS: i64 = 10 * 60 * 1_000_000;
/// Answers that are remembered, to repeat them for nothing.
const REMEMBERED: usize = 4096;

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
    #[error("the ledger refused by rule '{rule}'")]
    Rule {
        /// The rule.
        rule: String,
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

    /// Records a release, signed by the holder, and returns the receipt's file once it is final.
    ///
    /// # Errors
    /// When a rule refuses it, or the ledger is out of reach.
    async fn record(&self, release: Release) -> Result<Vec<u8>, LedgerRefused>;
}

/// What the person who asked gets.
#[derive(Debug, Clone)]
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
    /// Parts of a dataset that are read beside each other.
    pub partitions: usize,
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
}

#[derive(Default)]
struct Remembered {
    replies: HashMap<Digest, Reply>,
    order: std::collections::VecDeque<Digest>,
}

impl Remembered {
    fn insert(&mut self, key: Digest, reply: Reply) {
        if self.replies.insert(key, reply).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.replies.remove(&oldest);
            }
        }
    }
}

/// The code that answers questions, as permits and receipts name it.
#[must_use]
pub fn built_in_code() -> CodeHash {
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    let digest = Digest::of_parts("salus built-in code v1", &[b"salus-private", version]);
    CodeHash::new(*digest.as_bytes())
}

/// A question under way: everything that was decided before the first key.
struct Admitted {
    scope: Scope,
    state: ProvenState,
    prepared: Prepared,
    versions: BTreeMap<DatasetId, DatasetVersion>,
    memory: Digest,
}

impl Desk {
    /// A desk of these parts.
    #[must_use]
    pub fn new(mut parts: DeskParts) -> Self {
        let list = std::mem::replace(&mut parts.opt_outs, OptOutList::none());
        Self {
            parts,
            opt_outs: Mutex::new(Arc::new(list)),
            seen: Mutex::default(),
            remembered: Mutex::default(),
        }
    }

    /// Puts a new opt-out list in force; it has to be on the ledger before the next question.
    pub fn apply_opt_outs(&self, list: OptOutList) {
        *self.opt_outs.lock() = Arc::new(list);
    }

    /// What a question would cost and how exact it would be; reads nothing and charges nothing.
    ///
    /// # Errors
    /// When the question does not fit.
    pub fn explain(&self, text: &str) -> Result<Prepared, DeskError> {
        let question = Question::parse(text)?;
        let profile = self.parts.profiles.of(&question.dataset)?;
        Ok(question.prepare(profile)?)
    }

    /// Answers a request, or says why not; either is in the access log.
    ///
    /// # Errors
    /// Names what stands against it. Nothing is charged then, unless the ledger was out of reach
    /// after the release was sent to it.
    pub async fn answer(&self, request: &SignedRequest, text: &str) -> Result<Reply, DeskError> {
        let wanted = self.explain(text);
        let columns = wanted.as_ref().map(Prepared::wanted).unwrap_or_default();
        let answered = match wanted {
            Ok(prepared) => self.decide(request, text, prepared).await,
            Err(e) => Err(e),
        };
        let outcome = match &answered {
            Ok(_) => Outcome::Answered { rows: 1 },
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
            statement: text.to_owned(),
            datasets: columns,
            outcome,
        };
        self.parts.audit.append(entry).await?;
        answered
    }

    async fn decide(
        &self,
        request: &SignedRequest,
        text: &str,
        prepared: Prepared,
    ) -> Result<Reply, DeskError> {
        let asked = request.unverified();
        if Question::digest(text) != asked.question {
            return Err(DeskError::OtherQuestion);
        }
        let here = built_in_code();
        if asked.code != here {
            return Err(DeskError::OtherCode { here });
        }
        let (permit, admitted) = self.admit(request, prepared).await?;
        self.only_once(request)?;
        let repeated = self.remembered.lock().replies.get(&admitted.memory).cloned();
        if let Some(reply) = repeated {
            return Ok(Reply { charges: BTreeMap::new(), ..reply });
        }
        self.release(permit, admitted).await
    }

    /// Verifies the permit on the ledger's present state; no key is touched.
    async fn admit(
        &self,
        request: &SignedRequest,
        prepared: Prepared,
    ) -> Result<(PermitChecked<Secondary>, Admitted), DeskError> {
        let asked = request.unverified();
        let holder = self.parts.lake.holder();
        let member = MemberId::new(holder.as_str())?;
        let wanted = prepared.wanted();
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
        Ok((permit, Admitted { scope, state, prepared, versions, memory }))
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
        admitted: Admitted,
    ) -> Result<Reply, DeskError> {
        let key_release = self.key_release(permit, &admitted)?;
        let Admitted { scope, prepared, versions, memory, .. } = admitted;
        let session = self.parts.lake.open_at(key_release, &versions).await?;
        let read = input(&session.versions())?;
        let computed = prepared.compute(session, self.parts.partitions).await?;
        let held = seal_result(computed, &mut OsEntropy)?;
        let wanted = held.receipt_wanted(&read, None)?;
        let receipt = self.parts.ledger.record(wanted).await?;
        let charged = BudgetCharged::verify(&receipt, &self.parts.anchor, &held)?;
        let on_record = ReceiptFinal::verify(&receipt, &self.parts.anchor, &held)?;
        let charges = held.charges().clone();
        let sealed = release(held, SecondaryClearance::Charged(charged), on_record)?.into_inner();
        let salt = *sealed.salt();
        let deal = scope.deal().clone();
        let reply = Reply { deal, message: sealed.into_message(), salt, receipt, charges };
        self.remembered.lock().insert(memory, reply.clone());
        Ok(reply)
    }
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
        DeskError::Ledger(LedgerRefused::Rule { rule }) if rule.ends_with(".budget") => {
            RefusalReason::Budget
        }
        _ => RefusalReason::Policy,
    }
}
