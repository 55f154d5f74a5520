use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use salus_crypto::hpke::RecipientKey;
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_crypto::{OsEntropy, SigningKey};
use salus_ledger::block::Outcome;
use salus_ledger::call::{
    AdvanceOptOutEpoch, ApplyForPermit, Call, CommitDataset, DeltaExponent, GrantPermit, Ground,
    PermitTerms, RegisterDataset, ReleaseRule, RevocationReason, RevokePermit,
};
use salus_ledger::policy::{Expression, Policy, Role};
use salus_ledger::proof::verify_receipt;
use salus_ledger::transaction::Transaction;
use salus_ledger::{Column, Commitment, DatasetRef, Height, Nonce, Signer, TxId};
use salus_model::{
    Clock as _, ColumnPath, DatasetId, DatasetVersion, DealId, Entropy as _, HolderId, KeyClass,
    MemberId, MicroRho, PermitId, Purpose, Secret, Timestamp,
};
use salus_node::{Config, HolderLedger, ListenConfig, PROFILES_FILE, Site, SystemClock};
use salus_private::{Question, built_in_code};
use salus_spine::{SecondaryRequest, SignedRequest};
use salus_store::{DatasetSpec, EncryptionSettings, KeyChoice, KeyPolicy};
use salus_validator::Validator;
use salus_validator::client::LedgerClient;
use salus_validator::dev::DevNetwork;

const HUB: &[Role] = &[Role::Administrator, Role::Officer];
const HOLDER: &[Role] = &[Role::Holder];
const RESEARCH: &[Role] = &[Role::Research];
const ROWS: usize = 2000;
const QUESTION: &str = r#"{"dataset":"visits","query":"count",
    "filter":{"compare":{"column":"sex","is":"=","value":"female"}},
    "spend":{"rho":50000},"mechanism":"gaussian"}"#;
const PROFILES: &str = r#"
[visits]
unit_column = "patient_id"
unit = "patient"
contribution = [1, 1]
rows_per_unit = "many"

[visits.columns]
sex = { category = ["female", "male"] }
"#;

fn word() -> Passphrase {
    Passphrase::new(Secret::new("correct horse battery".to_owned())).unwrap()
}

async fn site(folder: &Path) -> Site {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = ListenConfig { http: any, postgres: any, flight: any };
    let config = Config::embedded(HolderId::new("st-mary").unwrap(), listen);
    Site::init(folder, &config, word(), GuessCost::OWASP_MINIMUM).await.unwrap();
    std::fs::write(folder.join(PROFILES_FILE), PROFILES).unwrap();
    let site = Site::open(folder, word(), GuessCost::OWASP_MINIMUM).await.unwrap();
    let schema = Arc::new(Schema::new(vec![
        Field::new("patient_id", DataType::Utf8, false),
        Field::new("sex", DataType::Utf8, false),
    ]));
    let dataset = DatasetId::new("visits").unwrap();
    let spec = DatasetSpec {
        dataset: dataset.clone(),
        schema: schema.clone(),
        subject: Some(ColumnPath::new("patient_id").unwrap()),
        identity: None,
        policy: KeyPolicy::new([("*".to_owned(), KeyChoice::Class(KeyClass::Clinical))]),
        encryption: EncryptionSettings::STRICT,
    };
    site.lake.create(spec).await.unwrap();
    let patients: StringArray = (0..ROWS).map(|i| Some(format!("p{i}"))).collect();
    let sexes: StringArray =
        (0..ROWS).map(|i| Some(if i % 2 == 0 { "female" } else { "male" })).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(patients), Arc::new(sexes)];
    let mut writer = site.lake.append(&dataset).await.unwrap();
    writer.write(&RecordBatch::try_new(schema, columns).unwrap()).await.unwrap();
    writer.publish().await.unwrap();
    site
}

/// Hands in a call with several signatures, as the hub's office does.
async fn run(client: &LedgerClient, call: impl Into<Call>, signers: &[&Signer]) -> TxId {
    let height = client.tip(Height::GENESIS).await.unwrap().finality.header.height;
    let mut nonce = [0; 16];
    OsEntropy.fill(&mut nonce).unwrap();
    let transaction = Transaction::new(*client.ledger(), Nonce::new(nonce), height.after(50), call);
    let draft = transaction.draft().unwrap();
    let signed = signers.iter().fold(draft, |d, s| d.sign(s)).finish().unwrap();
    let recorded = client.submit(&signed).await.unwrap();
    assert_eq!(recorded.entry.outcome, Outcome::Applied);
    signed.id()
}

fn reference() -> DatasetRef {
    DatasetRef {
        holder: MemberId::new("st-mary").unwrap(),
        dataset: DatasetId::new("visits").unwrap(),
    }
}

fn terms(now: Timestamp) -> PermitTerms {
    PermitTerms {
        grounds: vec![Ground {
            dataset: reference(),
            columns: ["patient_id", "sex"].map(|c| Column::new(c).unwrap()).into(),
            budget: MicroRho::new(200_000),
        }],
        purpose: Purpose::Research,
        code: None,
        releases: ReleaseRule::DpOnly,
        expires: now.saturating_add_micros(86_400_000_000),
    }
}

struct Asker {
    person: SigningKey,
    recipient: RecipientKey,
    permit: PermitId,
    asked: u32,
}

impl Asker {
    fn request(&mut self, holder: &HolderLedger, text: &str) -> SignedRequest {
        self.asked += 1;
        let issued = SystemClock.now();
        let request = SecondaryRequest {
            ledger: *holder.anchor().ledger(),
            permit: self.permit.clone(),
            holder: HolderId::new("st-mary").unwrap(),
            deal: DealId::new(format!("deal-{}", self.asked)).unwrap(),
            purpose: Purpose::Research,
            code: built_in_code(),
            question: Question::digest(text),
            recipient: self.recipient.public_key(),
            issued,
            expires: issued.saturating_add_micros(120_000_000),
        };
        SignedRequest::sign(request, &self.person)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_under_a_permit_from_application_to_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemClock.now();
    let governance = Expression::Quorum { k: 1, role: Role::Administrator };
    let members = [("hub", HUB), ("st-mary", HOLDER), ("uni", RESEARCH)];
    let mut network = DevNetwork::new(4, &members, Policy::new(governance).unwrap(), now).unwrap();
    let folders = network
        .lay_out(&folder.path().join("validators"), &word(), GuessCost::OWASP_MINIMUM)
        .unwrap();
    let mut validators: Vec<Validator> =
        folders.iter().map(|f| Validator::start(f, &word()).unwrap()).collect();
    let urls: Vec<String> = validators.iter().map(|v| format!("https://{}", v.api())).collect();
    let client =
        |name: &str| LedgerClient::new(&urls, &network.genesis, &network.members[name]).unwrap();
    let (hub, own) = (client("hub"), client("st-mary"));
    let (office, uni) = (network.members["hub"].signer(), network.members["uni"].signer());

    let site = site(&folder.path().join("site")).await;
    let identity = network.members.remove("st-mary").unwrap();
    let holder = Arc::new(HolderLedger::new(
        (reference().holder, network.genesis.clone()),
        own,
        identity,
        Arc::clone(&site.clock),
    ));
    let commitment = |n: u8| Commitment::new([n; 32]);
    let register = RegisterDataset {
        dataset: reference(),
        budget: MicroRho::new(1_000_000),
        delta: DeltaExponent::new(6).unwrap(),
        releases: ReleaseRule::DpOnly,
        commitment: commitment(1),
    };
    holder.submit(register).await.unwrap();
    let version = DatasetVersion::FIRST.next();
    let commit = CommitDataset { dataset: reference(), version, commitment: commitment(2) };
    holder.submit(commit).await.unwrap();
    let list = site.next_opt_outs(|people| people.push("p4".to_owned())).await.unwrap();
    let advance =
        AdvanceOptOutEpoch { holder: reference().holder, epoch: list.epoch(), root: list.root() };
    holder.submit(advance).await.unwrap();

    let person = SigningKey::generate(&mut OsEntropy).unwrap();
    let pseudonym = Signer::new(&person);
    let apply = ApplyForPermit { pseudonym: pseudonym.public_key(), terms: terms(now) };
    let permit = run(&hub, apply, &[&uni, &pseudonym]).await.permit().unwrap();
    let recipient = RecipientKey::generate(&mut OsEntropy).unwrap();
    let mut asker = Asker { person, recipient, permit: permit.clone(), asked: 0 };

    let audit = site.open_audit().await.unwrap();
    let ledger: Arc<dyn salus_private::Ledger> = Arc::clone(&holder) as _;
    let desk = site.desk(ledger, holder.anchor().clone(), audit).await.unwrap();

    // Before it is granted, nothing.
    let early = asker.request(&holder, QUESTION);
    let refused = desk.answer(&early, QUESTION).await.unwrap_err().to_string();
    assert!(refused.contains("not granted"), "{refused}");
    run(&hub, GrantPermit { permit: permit.clone() }, &[&office]).await;

    // One validator dies; nothing stops.
    validators.pop().unwrap().stop();
    let request = asker.request(&holder, QUESTION);
    let began = std::time::Instant::now();
    let reply = desk.answer(&request, QUESTION).await.unwrap();
    println!("answered in {} ms with three of four validators", began.elapsed().as_millis());
    let opened =
        asker.recipient.open(&request.unverified().result_context(), &[], &reply.message).unwrap();
    let answer: salus_dp::Answer = serde_json::from_slice(&opened).unwrap();
    let estimate = answer.rows[0].estimate.unwrap().value;
    // ρ = 0.05 at sensitivity 1: standard deviation 3.2; 12 of them miss once in 10^32 runs.
    let exact = ROWS as f64 / 2.0 - 1.0;
    assert!((estimate - exact).abs() < 39.0, "{estimate} {exact}");
    let verified = verify_receipt(&reply.receipt, holder.anchor()).unwrap();
    assert_eq!(verified.permit, permit);
    assert_eq!(verified.uses[0].optout_epoch, 1);

    // Revoked: refused before any key is touched.
    let revoke = RevokePermit { permit, reason: RevocationReason::Authority };
    run(&hub, revoke, &[&office]).await;
    let other = format!("{QUESTION} ");
    let late = asker.request(&holder, &other);
    let refused = desk.answer(&late, &other).await.unwrap_err().to_string();
    assert!(refused.contains("revoked"), "{refused}");
    validators.into_iter().for_each(Validator::stop);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_opt_out_list_is_sealed_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site");
    let root = {
        let site = site(&path).await;
        assert_eq!(site.opt_outs().await.unwrap().epoch(), 0);
        let list = site.next_opt_outs(|people| people.push("Plantedperson".to_owned())).await;
        list.unwrap().root()
    };
    let site = Site::open(&path, word(), GuessCost::OWASP_MINIMUM).await.unwrap();
    let list = site.opt_outs().await.unwrap();
    assert_eq!((list.epoch(), list.len(), list.root()), (1, 1, root));
    assert!(list.contains("Patient/Plantedperson"));
    let file = path.join("opt-outs");
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(7).any(|w| w == b"Planted"));
    let mut altered = bytes.clone();
    *altered.last_mut().unwrap() ^= 1;
    std::fs::write(&file, altered).unwrap();
    assert!(site.opt_outs().await.is_err());
    std::fs::write(&file, bytes).unwrap();
    let next = site.next_opt_outs(Vec::clear).await.unwrap();
    assert_eq!((next.epoch(), next.len()), (2, 0));
}
