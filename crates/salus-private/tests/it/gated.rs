//! Results without a bound: held for reviewers, and handed out on a receipt of their approvals
//! alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use salus_crypto::Digest;
use salus_ledger::call::{DecideReview, Release, SubmitForReview};
use salus_ledger::policy::Role;
use salus_ledger::review::{Reviewed, Verdict};
use salus_ledger::{CodeHash, ReportDigest, ReviewId};
use salus_model::{Class, Classified as _, ColumnPath, DatasetId, PrivacyCharge};
use salus_private::{
    DeskError, Gated, HeldResult, Job, JobFailed, Ledger as _, LedgerRefused, Question,
    built_in_code, read_texts,
};
use salus_spine::{Checked, Priced, ReceiptRefused};
use salus_store::TableSource;
use salus_testkit::ledger::ca::{seed, signer};
use salus_testkit::ledger::world::{ANNA, HUB, newest};

use crate::network::{Network, PATIENTS, PERSON};

const NAME: &str = "who is there";
const REVIEWERS: [&str; 2] = ["officer 2", "reviewer"];

/// Lists everybody, which has no bound.
struct Everybody {
    looked: Arc<AtomicUsize>,
}

#[async_trait::async_trait]
impl Job for Everybody {
    fn code(&self) -> CodeHash {
        built_in_code()
    }

    fn digest(&self) -> Digest {
        Question::digest(NAME)
    }

    fn statement(&self) -> String {
        NAME.to_owned()
    }

    fn wanted(&self) -> BTreeMap<DatasetId, BTreeSet<ColumnPath>> {
        let column = ColumnPath::new("patient_id").unwrap();
        BTreeMap::from([(DatasetId::new("conditions").unwrap(), BTreeSet::from([column]))])
    }

    async fn compute(
        self: Box<Self>,
        tables: BTreeMap<DatasetId, TableSource>,
    ) -> Result<Checked, JobFailed> {
        self.looked.fetch_add(1, Ordering::SeqCst);
        let (dataset, source) = tables.into_iter().next().unwrap();
        let columns = [ColumnPath::new("patient_id").unwrap()];
        let texts = read_texts(&dataset, &source, &columns, 2).await?;
        let people: BTreeSet<String> = texts[0].iter().flatten().cloned().collect();
        let charges = BTreeMap::from([(dataset, PrivacyCharge::NotBounded)]);
        let result = Priced { value: serde_json::to_vec(&people).unwrap(), charges };
        Ok(Checked { result, checks: format!("{} people", people.len()).into_bytes() })
    }
}

struct Gate {
    network: Network,
    looked: Arc<AtomicUsize>,
}

impl Gate {
    async fn new() -> Self {
        let network = Network::on(newest, |terms| terms, Some("patient_id")).await;
        {
            let mut world = network.chain.world.lock();
            world.bind(HUB, REVIEWERS[0], &[Role::Officer]);
            world.bind(ANNA, REVIEWERS[1], &[Role::Reviewer]);
        }
        Self { network, looked: Arc::default() }
    }

    async fn ask(&self, known: Option<&HeldResult>) -> Result<Gated, DeskError> {
        let request = self.network.request(NAME, PERSON);
        let job = Box::new(Everybody { looked: Arc::clone(&self.looked) });
        self.network.desk.for_review(&request, job, known.map(HeldResult::memory)).await
    }

    async fn held(&self, known: Option<&HeldResult>) -> HeldResult {
        match self.ask(known).await.unwrap() {
            Gated::Held { result, .. } => *result,
            Gated::Known => panic!("it was held already"),
        }
    }

    fn submitted(&self, held: &HeldResult, supersedes: &[ReviewId]) -> ReviewId {
        let release = self.network.desk.wanted(held, None).unwrap();
        let report = ReportDigest::new(seed("report"));
        let supersedes = supersedes.iter().copied().collect();
        let call = SubmitForReview { release, report, score: None, supersedes };
        self.network.chain.world.lock().applied(call, &[ANNA]).review()
    }

    fn approved(&self, review: ReviewId) {
        for who in REVIEWERS {
            let reviewer = signer(who).public_key();
            let call = DecideReview { review, reviewer, verdict: Verdict::Approve };
            self.network.chain.world.lock().applied(call, &[who]);
        }
    }

    fn wanted(&self, held: &HeldResult, review: ReviewId, who: &[&str]) -> Release {
        let approvals = who.iter().map(|name| signer(name).public_key()).collect();
        self.network.desk.wanted(held, Some(Reviewed { review, approvals })).unwrap()
    }

    async fn recorded(&self, release: Release) -> Result<Vec<u8>, String> {
        let signed = self.network.chain.sign(release).await.unwrap();
        self.network.chain.record(&signed).await.map_err(|refused| match refused {
            LedgerRefused::Rule { rule, .. } => rule,
            other => other.to_string(),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_bound_is_held_looked_at_here_and_handed_out_on_its_own_approvals() {
    let gate = Gate::new().await;
    let Gated::Held { result: held, checks } = gate.ask(None).await.unwrap() else {
        panic!("nothing was held")
    };
    // Everybody but who opted out; the report says how many and not who.
    assert_eq!(checks, format!("{} people", PATIENTS - 1).into_bytes());
    let looked = gate.network.desk.look(&held).unwrap();
    let people: BTreeSet<String> = serde_json::from_slice(&looked).unwrap();
    assert!(people.len() == PATIENTS - 1 && !people.contains("p7"));
    // Known, and nothing is read; in the form in which it lies on a disk as well.
    let kept = salus_ledger::cbor::encode(&*held).unwrap();
    let planted = br#""p1234","p1235""#;
    assert!(looked.windows(planted.len()).any(|w| w == planted));
    assert!(!kept.windows(planted.len()).any(|w| w == planted), "it lies in the clear");
    let held: HeldResult = salus_ledger::cbor::decode(&kept, 1 << 24).unwrap();
    assert!(matches!(gate.ask(Some(&held)).await.unwrap(), Gated::Known));
    assert_eq!(gate.looked.load(Ordering::SeqCst), 1);

    // Nothing goes out on no approval, on one, or on those of another result.
    let review = gate.submitted(&held, &[]);
    let refused = gate.recorded(gate.network.desk.wanted(&held, None).unwrap()).await;
    assert_eq!(refused.unwrap_err(), "reviews.not-reviewed");
    assert_eq!(
        gate.recorded(gate.wanted(&held, review, &[])).await.unwrap_err(),
        "reviews.too-few"
    );
    let other = gate.held(None).await;
    let other_review = gate.submitted(&other, &[]);
    gate.approved(other_review);
    let stolen = gate.wanted(&held, other_review, &REVIEWERS);
    assert_eq!(gate.recorded(stolen).await.unwrap_err(), "reviews.other-release");
    let receipt = gate.recorded(gate.wanted(&other, other_review, &REVIEWERS)).await.unwrap();
    let refused = gate.network.desk.hand_out_reviewed(&held, receipt.clone());
    let differs = DeskError::Receipt(ReceiptRefused::Differs { field: "result" });
    assert_eq!(refused.unwrap_err().to_string(), differs.to_string());

    let (reply, reviewed) = gate.network.desk.hand_out_reviewed(&other, receipt).unwrap();
    assert_eq!((reviewed.review, reviewed.approvals.len()), (other_review, 2));
    let request = gate.network.request(NAME, PERSON);
    assert_eq!(gate.network.open::<BTreeSet<String>>(&request, &reply), people);
    assert_eq!(gate.network.spent(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_after_the_approval_makes_another_result_and_the_old_one_stays() {
    let gate = Gate::new().await;
    let old = gate.held(None).await;
    let review = gate.submitted(&old, &[]);
    gate.approved(review);
    gate.network.opt_out(2, &[8]);
    let stays = gate.recorded(gate.wanted(&old, review, &REVIEWERS)).await;
    assert_eq!(stays.unwrap_err(), "accounts.stale-opt-outs");
    let new = gate.held(Some(&old)).await;
    assert_ne!(new.memory(), old.memory());
    let people: BTreeSet<String> =
        serde_json::from_slice(&gate.network.desk.look(&new).unwrap()).unwrap();
    assert!(people.len() == PATIENTS - 2 && !people.contains("p8"));
    let next = gate.submitted(&new, &[review]);
    let stolen = gate.recorded(gate.wanted(&new, review, &REVIEWERS)).await;
    assert_eq!(stolen.unwrap_err(), "reviews.closed");
    gate.approved(next);
    let receipt = gate.recorded(gate.wanted(&new, next, &REVIEWERS)).await.unwrap();
    assert!(gate.network.desk.hand_out_reviewed(&old, receipt.clone()).is_err());
    gate.network.desk.hand_out_reviewed(&new, receipt).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_permit_nothing_is_held_and_a_question_job_without_a_bound_is_not_answered() {
    let gate = Gate::new().await;
    let job = || Box::new(Everybody { looked: Arc::clone(&gate.looked) });
    let stranger = gate.network.request(NAME, "somebody else");
    let refused = gate.network.desk.for_review(&stranger, job(), None).await;
    assert_eq!(refused.err().unwrap().class(), Class::Refused);
    let other = gate.network.request("another question", PERSON);
    let refused = gate.network.desk.for_review(&other, job(), None).await;
    assert!(matches!(refused.err().unwrap(), DeskError::OtherQuestion));
    assert_eq!(gate.looked.load(Ordering::SeqCst), 0);
    // The way of what has a bound leads to no release.
    let request = gate.network.request(NAME, PERSON);
    let refused = gate.network.desk.carry_out(&request, job()).await.unwrap_err();
    assert!(refused.to_string().contains("reviews.not-reviewed"), "{refused}");
    // A request that was used is used up.
    let request = gate.network.request(NAME, PERSON);
    gate.network.desk.for_review(&request, job(), None).await.unwrap();
    let replayed = gate.network.desk.for_review(&request, job(), None).await;
    assert!(matches!(replayed.err().unwrap(), DeskError::Replayed));
}
