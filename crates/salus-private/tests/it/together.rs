//! A holder's desk asked for its part of a joint answer: charged once, whatever happens after.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use salus_crypto::{Digest, OsEntropy, SigningKey};
use salus_ledger::proof::verify_receipt;
use salus_model::{Class, Classified as _, HolderId, Secret};
use salus_private::joint::{
    Contribution, Gathering, Invitation, JointQuestion, JointRefused, Party, RevealLog, Revealed,
    SealedShare,
};
use salus_private::{DeskError, Question, QuestionError, Reply};
use salus_spine::{Authority, result_hash};
use salus_testkit::ledger::world::{ANNA, CHARITE};

use crate::network::{Fate, Network, PATIENTS, PERSON, party_key, policy};

const COUNT: &str = r#"{"dataset":"conditions","query":"count","filter":null,
    "spend":{"rho":50000},"mechanism":"gaussian"}"#;
const PARTIES: [&str; 2] = ["first", "second"];

fn holder(name: &str) -> HolderId {
    name.parse().unwrap()
}

fn invitation() -> Invitation {
    Invitation {
        round: "round-1".parse().unwrap(),
        question: Question::digest(COUNT),
        holders: [holder(ANNA), holder(CHARITE)].into(),
        dishonest: 0,
        unit_holders: 2,
        most_rows: 1_000_000,
        parties: PARTIES.map(|name| party_key(name).public_key()).into(),
    }
}

fn text_of(joint: Invitation) -> String {
    serde_json::to_string(&JointQuestion { joint, question: COUNT.to_owned() }).unwrap()
}

async fn refused(network: &Network, text: &str) -> DeskError {
    let request = network.request(text, PERSON);
    network.desk.answer(&request, text).await.unwrap_err()
}

async fn shares(network: &Network, text: &str) -> (Reply, Vec<SealedShare>) {
    let request = network.request(text, PERSON);
    let reply = network.desk.answer(&request, text).await.unwrap();
    let shares = network.open(&request, &reply);
    (reply, shares)
}

#[derive(Default)]
struct Memory(Mutex<BTreeMap<Digest, Revealed>>);

impl RevealLog for Memory {
    fn first(&self, invitation: &Digest, revealed: &Revealed) -> std::io::Result<Revealed> {
        Ok(self.0.lock().entry(*invitation).or_insert_with(|| revealed.clone()).clone())
    }

    fn look(&self, invitation: &Digest) -> std::io::Result<Option<Revealed>> {
        Ok(self.0.lock().get(invitation).cloned())
    }
}

/// The other hospital's shares over so many patients.
fn charite(patients: u64) -> (Arc<Authority>, Vec<SealedShare>) {
    let key = SigningKey::from_secret(&Secret::new([7; 32]));
    let authority = Arc::new(Authority::new(holder(CHARITE), key));
    let profiles = salus_private::Profiles::parse(crate::network::PROFILES).unwrap();
    let question = Question::parse(COUNT).unwrap();
    let plan = question.plan(profiles.of(&question.dataset).unwrap()).unwrap();
    let (me, signs) = (holder(CHARITE), Arc::clone(&authority));
    let mine = Contribution::accept(invitation(), &policy(), &me, plan, signs).unwrap();
    let mut partial = mine.partial();
    for patient in 0..patients {
        partial.observe(salus_dp::UnitKey::new(patient.into()), &[]).unwrap();
    }
    (authority, mine.shares(partial, &mut OsEntropy).unwrap())
}

/// The other hospital fails; asked again, this one gives the same shares for nothing, through a
/// restart too; and once both are there, the total is.
#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_failed_is_asked_again_for_nothing() {
    let mut network = Network::new().await;
    let text = text_of(invitation());
    let (reply, mine) = shares(&network, &text).await;
    assert_eq!(network.spent(), 50_000);
    let verified = verify_receipt(&reply.receipt, &network.anchor).unwrap();
    assert_eq!(verified.result, result_hash(&reply.salt, &reply.message));
    assert_eq!(mine.len(), 2);

    let mut gathering = Gathering::new(invitation());
    gathering.give(&holder(ANNA), mine.clone()).unwrap();
    gathering.fail(&holder(CHARITE));
    let failed = gathering.wanted(0).unwrap_err();
    assert!(matches!(failed, JointRefused::TooFew { found: 1, wanted: 2 }), "{failed}");

    let (again, same) = shares(&network, &text).await;
    assert!(again.charges.is_empty());
    assert_eq!((&again.message, &same), (&reply.message, &mine));
    network.restart().await;
    let (later, same) = shares(&network, &text).await;
    assert!(later.charges.is_empty());
    assert_eq!((network.spent(), &same), (50_000, &mine));

    let patients = 1234;
    let (other, theirs) = charite(patients);
    gathering = Gathering::new(invitation());
    gathering.give(&holder(ANNA), same).unwrap();
    gathering.give(&holder(CHARITE), theirs).unwrap();
    let known = [
        (holder(ANNA), *network.authority.verifier().key()),
        (holder(CHARITE), *other.verifier().key()),
    ];
    let sums: Vec<_> = (0u8..)
        .zip(PARTIES)
        .map(|(party, name)| {
            let party_at =
                Party::new(party_key(name), known.clone().into(), Arc::<Memory>::default());
            party_at.reveal(&gathering.wanted(party).unwrap()).unwrap()
        })
        .collect();
    let question = Question::parse(COUNT).unwrap();
    let plan = question.plan(network.desk.profiles().of(&question.dataset).unwrap()).unwrap();
    let total = gathering.total(plan, &sums).unwrap();
    // Patient 7 opted out of the first's 3,000. A patient may bring two rows at each of two
    // hospitals: σ is 4/√(2·0.05) = 12.6, and twelve of them miss once in 10^32 runs.
    let exact = PATIENTS as f64 - 1.0 + patients as f64;
    let error = total.numbers()[0] as f64 - exact;
    println!("joint total of two desks: error {error}, bound 152");
    assert!(error.abs() < 152.0, "{error}");
}

/// The node is killed between charge and answer: what was paid for comes when it is asked again.
#[tokio::test(flavor = "multi_thread")]
async fn shares_that_were_charged_survive_a_crash() {
    let mut network = Network::new().await;
    let text = text_of(invitation());
    *network.chain.fate.lock() = Fate::Killed;
    let request = network.request(&text, PERSON);
    let asked = network.desk.answer(&request, &text);
    let killed = tokio::time::timeout(std::time::Duration::from_secs(5), asked).await;
    assert!(killed.is_err(), "the desk waits for the ledger until it is killed");
    assert_eq!(network.spent(), 50_000);
    *network.chain.fate.lock() = Fate::Answered;
    network.restart().await;
    let (reply, mine) = shares(&network, &text).await;
    assert_eq!((network.spent(), mine.len()), (50_000, 2));
    assert!(verify_receipt(&reply.receipt, &network.anchor).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_holder_does_not_accept_costs_nothing() {
    let network = Network::new().await;
    // A holder that the permit does not name would bring no noise.
    let mut invented = invitation();
    invented.holders.insert(holder("st-nobody"));
    invented.unit_holders = 3;
    let said = refused(&network, &text_of(invented)).await;
    assert!(matches!(said, DeskError::Joint(JointRefused::NotInvited)), "{said}");
    // Whoever asks is no party.
    let mut own = invitation();
    own.parties[1] = network.recipient.public_key();
    let said = refused(&network, &text_of(own)).await;
    assert!(matches!(said, DeskError::Joint(JointRefused::ForeignParty { .. })), "{said}");
    let mut alone = invitation();
    alone.dishonest = 1;
    let said = refused(&network, &text_of(alone)).await;
    assert!(matches!(said, DeskError::Joint(JointRefused::TooFewHonest { .. })), "{said}");
    let mut disjoint = invitation();
    disjoint.unit_holders = 1;
    let said = refused(&network, &text_of(disjoint)).await;
    assert!(matches!(said, DeskError::Joint(JointRefused::UnitHolders { holders: 2 })), "{said}");
    let mut other = invitation();
    other.question = Digest::of(b"another question");
    let said = refused(&network, &text_of(other)).await;
    let wanted = DeskError::Question(QuestionError::Joint(JointRefused::OtherQuestion));
    assert_eq!(said.to_string(), wanted.to_string());
    assert_eq!(said.class(), Class::BadRequest);
    assert_eq!(network.spent(), 0);
}
