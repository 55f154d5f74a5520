//! A hospital with a lake, and a ledger of four validators in memory.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parking_lot::Mutex;
use salus_crypto::aead::AeadKey;
use salus_crypto::hpke::RecipientKey;
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_crypto::{Digest, OsEntropy, SigningKey};
use salus_keys::LocalKeyStore;
use salus_ledger::block::Outcome;
use salus_ledger::call::{
    AdvanceOptOutEpoch, PermitTerms, RecordRelease, RecordTick, Release, ReleaseRule, Tick,
};
use salus_ledger::genesis::Genesis;
use salus_ledger::proof::{
    Fact, FinalityProof, ReceiptParts, StateEvidence, TrustAnchor, issue_receipt,
};
use salus_ledger::transaction::SignedTransaction;
use salus_ledger::{DatasetRef, Opaque, TxId, history};
use salus_model::{
    Clock as _, ColumnPath, DatasetId, DealId, HolderId, JournalName, KeyClass, KeyName,
    ManualClock, PermitId, Purpose, Secret,
};
use salus_private::joint::HolderPolicy;
use salus_private::{
    Desk, DeskParts, Ledger, LedgerRefused, Outbox, Profiles, Question, SignedRelease,
    built_in_code,
};
use salus_spine::{Authority, Freshness, OptOutList, SecondaryRequest, SignedRequest};
use salus_store::audit::{AuditLog, Retention};
use salus_store::journal::JournalSettings;
use salus_store::{DatasetSpec, EncryptionSettings, KeyChoice, KeyPolicy, Lake, Storage};
use salus_testkit::ledger::ca::{seed, signer};
use salus_testkit::ledger::world::{
    ANNA, CHARITE, VALIDATORS, World, certify, columns, dataset, genesis, member,
};
use tempfile::TempDir;

pub(crate) const PERSON: &str = "dr-who";
pub(crate) const FRESH: Freshness =
    Freshness { max_age_micros: 60_000_000, max_ahead_micros: 5_000_000 };
/// Patients in the lake; each third has `p` in its code, and `p7` opts out.
pub(crate) const PATIENTS: usize = 3000;

pub(crate) const PROFILES: &str = r#"
[conditions]
unit_column = "patient_id"
unit = "patient"
contribution = [2, 1]
rows_per_unit = "many"

[conditions.columns]
sex = { category = ["female", "male"] }
code = "open"
birth_year = { number = [1900, 2030, 0] }
"#;

/// The ledger, with a switch that takes it out of reach.
pub(crate) struct Chain {
    pub(crate) world: Mutex<World>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) down: Mutex<bool>,
    pub(crate) recorded: Mutex<Vec<Vec<u8>>>,
    pub(crate) spoil: Mutex<bool>,
    /// What happens once a release is recorded.
    pub(crate) fate: Mutex<Fate>,
    /// Whether the ledger says that it never recorded anything.
    pub(crate) never: Mutex<bool>,
    receipts: Mutex<HashMap<TxId, Vec<u8>>>,
}

/// What happens to the answer of a ledger that has recorded a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fate {
    #[default]
    Answered,
    /// It never arrives, and the node knows that it is out of reach.
    AnswerLost,
    /// The node is killed while it waits.
    Killed,
}

/// Sealed answers in memory, which outlive a desk.
#[derive(Default)]
pub(crate) struct Kept(pub(crate) Mutex<HashMap<Digest, Vec<u8>>>);

#[async_trait::async_trait]
impl Outbox for Kept {
    async fn put(&self, name: &Digest, entry: &[u8]) -> std::io::Result<()> {
        self.0.lock().insert(*name, entry.to_vec());
        Ok(())
    }

    async fn get(&self, name: &Digest) -> std::io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().get(name).cloned())
    }

    async fn remove(&self, name: &Digest) -> std::io::Result<()> {
        self.0.lock().remove(name);
        Ok(())
    }

    async fn all(&self) -> std::io::Result<Vec<Vec<u8>>> {
        Ok(self.0.lock().values().cloned().collect())
    }
}

impl Chain {
    fn finality(world: &World) -> FinalityProof {
        let header = world.tip().clone();
        let certificate = certify(&header, &VALIDATORS, &VALIDATORS[..3]);
        FinalityProof { header, certificate }
    }

    fn reachable(&self) -> Result<(), LedgerRefused> {
        if *self.down.lock() {
            return Err(LedgerRefused::Unavailable { reason: "unplugged".to_owned() });
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Ledger for Chain {
    async fn evidence(&self, facts: &[Fact], _: Freshness) -> Result<StateEvidence, LedgerRefused> {
        self.reachable()?;
        let mut world = self.world.lock();
        world.now = world.now.max(self.clock.now());
        world.block(&[]);
        let ahead = world.now.as_micros() - self.clock.now().as_micros();
        self.clock.advance_micros(ahead);
        Ok(StateEvidence::of(&world.store, (Self::finality(&world), Vec::new()), facts).unwrap())
    }

    async fn sign(&self, mut release: Release) -> Result<SignedRelease, LedgerRefused> {
        self.reachable()?;
        if *self.spoil.lock() {
            // A node that books less than the answer costs.
            release.uses[0].charge =
                salus_model::PrivacyCharge::Bounded(salus_model::MicroRho::new(1));
        }
        let mut world = self.world.lock();
        let signed = world.signed(RecordRelease { release }, &[&signer(ANNA)]);
        let bytes = Opaque::new(signed.as_bytes().to_vec());
        Ok(SignedRelease { transaction: signed.id(), bytes })
    }

    async fn sign_tick(
        &self,
        tick: Tick,
        release: Release,
    ) -> Result<SignedRelease, LedgerRefused> {
        self.reachable()?;
        let mut world = self.world.lock();
        let signed = world.signed(RecordTick { tick, release }, &[&signer(ANNA)]);
        let bytes = Opaque::new(signed.as_bytes().to_vec());
        Ok(SignedRelease { transaction: signed.id(), bytes })
    }

    async fn record(&self, signed: &SignedRelease) -> Result<Vec<u8>, LedgerRefused> {
        self.reachable()?;
        let receipt = self.execute(signed)?;
        let fate = *self.fate.lock();
        match fate {
            Fate::Answered => Ok(receipt),
            Fate::AnswerLost => {
                Err(LedgerRefused::Unavailable { reason: "the connection broke".to_owned() })
            }
            Fate::Killed => std::future::pending().await,
        }
    }

    async fn resume(&self, signed: &SignedRelease) -> Result<Option<Vec<u8>>, LedgerRefused> {
        self.reachable()?;
        let known = self.receipts.lock().get(&signed.transaction).cloned();
        Ok(known.filter(|_| !*self.never.lock()))
    }
}

impl Chain {
    fn execute(&self, signed: &SignedRelease) -> Result<Vec<u8>, LedgerRefused> {
        let mut world = self.world.lock();
        let ledger = world.tip().ledger;
        let signed = SignedTransaction::from_bytes(signed.bytes.as_bytes(), &ledger).unwrap();
        let executed = world.block(std::slice::from_ref(&signed));
        let entry = &executed.entries[0];
        if let Outcome::Refused(rule) = &entry.outcome {
            let (rule, says) = (rule.as_str().to_owned(), "a rule".to_owned());
            return Err(LedgerRefused::Rule { rule, says });
        }
        let finality = Self::finality(&world);
        let size = finality.header.history_size;
        let inclusion = history::prove_inclusion(&world.store, size - 1, size).unwrap();
        let parts = ReceiptParts {
            transaction: &signed,
            entry,
            inclusion: &inclusion,
            finality: &finality,
            handovers: &[],
        };
        let receipt = issue_receipt(&parts, &signer(VALIDATORS[0])).unwrap();
        self.recorded.lock().push(signed.as_bytes().to_vec());
        self.receipts.lock().insert(signed.id(), receipt.clone());
        Ok(receipt)
    }
}

pub(crate) struct Network {
    pub(crate) chain: Arc<Chain>,
    pub(crate) desk: Desk,
    pub(crate) permit: PermitId,
    pub(crate) dataset: DatasetRef,
    pub(crate) recipient: RecipientKey,
    pub(crate) lake: Arc<Lake>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) anchor: TrustAnchor,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) kept: Arc<Kept>,
    pub(crate) standing: Arc<Kept>,
    pub(crate) authority: Arc<Authority>,
    deals: Mutex<u64>,
    pub(crate) folder: TempDir,
}

fn conditions() -> RecordBatch {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let schema = Schema::new(vec![
        text("patient_id"),
        text("sex"),
        text("code"),
        text("family_name"),
        Field::new("birth_year", DataType::Int64, true),
    ]);
    let patients: StringArray = (0..PATIENTS).map(|i| Some(format!("p{i}"))).collect();
    let sexes: StringArray =
        (0..PATIENTS).map(|i| Some(if i % 2 == 0 { "female" } else { "male" })).collect();
    let codes: StringArray = (0..PATIENTS).map(|i| Some(format!("c{}", i % 3))).collect();
    let names: StringArray = (0..PATIENTS).map(|i| Some(format!("Plantedname{i}"))).collect();
    let years: arrow::array::Int64Array =
        (0..PATIENTS).map(|i| Some(1950 + (i % 50) as i64)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(patients),
        Arc::new(sexes),
        Arc::new(codes),
        Arc::new(names),
        Arc::new(years),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

async fn fill(lake: &Arc<Lake>, id: &DatasetId, subject: Option<&str>) {
    let batch = conditions();
    let spec = DatasetSpec {
        dataset: id.clone(),
        schema: batch.schema(),
        subject: subject.map(|s| ColumnPath::new(s).unwrap()),
        identity: None,
        policy: KeyPolicy::new([
            ("patient_id".to_owned(), KeyChoice::Class(KeyClass::Identifiers)),
            ("family_name".to_owned(), KeyChoice::Class(KeyClass::Identifiers)),
            ("*".to_owned(), KeyChoice::Class(KeyClass::Clinical)),
        ]),
        encryption: EncryptionSettings::STRICT,
    };
    lake.create(spec).await.unwrap();
    let mut writer = lake.append(id).await.unwrap();
    for half in 0..2 {
        writer.write(&batch.slice(half * PATIENTS / 2, PATIENTS / 2)).await.unwrap();
        writer.flush().await.unwrap();
    }
    writer.publish().await.unwrap();
}

/// The key of a party that holders trust.
pub(crate) fn party_key(name: &str) -> RecipientKey {
    RecipientKey::from_secret(&Secret::new(seed(name))).unwrap()
}

/// Two parties are trusted, and two honest holders wanted.
pub(crate) fn policy() -> HolderPolicy {
    let named = |name: &str| (name.parse().unwrap(), party_key(name).public_key());
    HolderPolicy { fewest_honest: 2, parties: ["first", "second"].map(named).into() }
}

struct Parts {
    lake: Arc<Lake>,
    authority: Arc<Authority>,
    clock: Arc<ManualClock>,
    chain: Arc<Chain>,
    anchor: TrustAnchor,
    audit: Arc<AuditLog>,
    kept: Arc<Kept>,
    standing: Arc<Kept>,
}

impl Parts {
    async fn desk(&self, opt_outs: OptOutList) -> Desk {
        let parts = DeskParts {
            lake: self.lake.clone(),
            authority: self.authority.clone(),
            clock: self.clock.clone(),
            ledger: self.chain.clone(),
            anchor: self.anchor.clone(),
            freshness: FRESH,
            audit: self.audit.clone(),
            profiles: Profiles::parse(PROFILES).unwrap(),
            opt_outs,
            joint: Some(policy()),
            partitions: 2,
            outbox: self.kept.clone(),
            standing: self.standing.clone(),
            keeping: AeadKey::from_secret(Secret::new(seed("keeping"))),
        };
        Desk::open(parts).await.unwrap()
    }
}

impl Network {
    pub(crate) async fn new() -> Self {
        Self::with(|terms| terms, Some("patient_id")).await
    }

    pub(crate) async fn with(
        change: impl FnOnce(PermitTerms) -> PermitTerms,
        subject: Option<&str>,
    ) -> Self {
        Self::on(|genesis| genesis, change, subject).await
    }

    /// On a ledger that begins by the rules that `begin` gives it.
    pub(crate) async fn on(
        begin: fn(Genesis) -> Genesis,
        change: impl FnOnce(PermitTerms) -> PermitTerms,
        subject: Option<&str>,
    ) -> Self {
        let mut world = World::with(begin);
        let dataset = dataset(ANNA, "conditions");
        world.register(&dataset, 1_000_000, ReleaseRule::GateAllowed);
        let call = salus_ledger::call::CommitDataset {
            dataset: dataset.clone(),
            version: salus_model::DatasetVersion::FIRST.next(),
            commitment: salus_ledger::Commitment::new(seed("version 2")),
        };
        world.applied(call, &[ANNA]);
        let other = DatasetRef { holder: member(CHARITE), dataset: dataset.dataset.clone() };
        world.register(&other, 1_000_000, ReleaseRule::GateAllowed);
        let mut terms = world.terms(&[(&dataset, 500_000), (&other, 500_000)]);
        terms.grounds[0].columns = columns(&["patient_id", "sex", "code", "birth_year"]);
        let permit = world.permit(PERSON, change(terms));
        let list = OptOutList::after(0, ["p7".to_owned()], &mut OsEntropy).unwrap();
        let holder = dataset.holder.clone();
        let (epoch, root) = (list.epoch(), list.root());
        world.applied(AdvanceOptOutEpoch { holder, epoch, root }, &[ANNA]);
        let first = begin(genesis(&world.authority, 1, &VALIDATORS));
        let anchor = TrustAnchor::from_genesis(&first).unwrap();
        let clock = Arc::new(ManualClock::new(world.now));

        let folder = TempDir::new().unwrap();
        let passphrase =
            Passphrase::new(Secret::new("a test's own passphrase".to_owned())).unwrap();
        let file = folder.path().join("keys");
        let keys =
            LocalKeyStore::create(&file, passphrase, GuessCost::OWASP_MINIMUM, clock.clone());
        let keys: Arc<dyn salus_keys::KeyStore> = Arc::new(keys.unwrap());
        let key = SigningKey::generate(&mut OsEntropy).unwrap();
        let authority = Arc::new(Authority::new(HolderId::new(ANNA).unwrap(), key));
        let storage = Storage::local(&folder.path().join("lake")).unwrap();
        let lake = Lake::new(storage, keys.clone(), authority.clone(), clock.clone());
        fill(&lake, &dataset.dataset, subject).await;
        let site = KeyName::new("site").unwrap();
        keys.create(&site).await.unwrap();
        let settings = JournalSettings {
            folder: folder.path().join("audit"),
            holder: HolderId::new(ANNA).unwrap(),
            name: JournalName::new("audit").unwrap(),
            master: site,
            segment_bytes: 1 << 20,
        };
        let parts = (authority.clone(), clock.clone() as Arc<dyn salus_model::Clock>);
        let (audit, _) = AuditLog::open(settings, keys, parts, Retention::LEAST, 0).await.unwrap();
        let audit = Arc::new(audit);
        let chain = Arc::new(Chain {
            world: Mutex::new(world),
            clock: clock.clone(),
            down: Mutex::default(),
            recorded: Mutex::default(),
            spoil: Mutex::default(),
            fate: Mutex::default(),
            never: Mutex::default(),
            receipts: Mutex::default(),
        });
        let kept = Arc::new(Kept::default());
        let standing = Arc::new(Kept::default());
        let parts = Parts { lake, authority, clock, chain, anchor, audit, kept, standing };
        let desk = parts.desk(list).await;
        let recipient = RecipientKey::generate(&mut OsEntropy).unwrap();
        let deals = Mutex::new(0);
        let Parts { lake, clock, chain, anchor, audit, kept, standing, authority } = parts;
        Self {
            chain,
            desk,
            permit,
            dataset,
            recipient,
            lake,
            clock,
            anchor,
            audit,
            kept,
            standing,
            authority,
            deals,
            folder,
        }
    }

    /// The desk of the next process over the same folders, as after a crash.
    pub(crate) async fn restart(&mut self) {
        self.restart_at(1, &[]).await;
    }

    /// The same, once these have opted out as well.
    pub(crate) async fn restart_at(&mut self, epoch: u64, opted_out: &[usize]) {
        let salt = *self.desk.opt_outs().salt().expose();
        let people = opted_out.iter().chain(&[7]).map(|i| format!("p{i}"));
        let list = OptOutList::stored(epoch, Secret::new(salt), people);
        let parts = Parts {
            lake: self.lake.clone(),
            authority: self.authority.clone(),
            clock: self.clock.clone(),
            chain: self.chain.clone(),
            anchor: self.anchor.clone(),
            audit: self.audit.clone(),
            kept: self.kept.clone(),
            standing: self.standing.clone(),
        };
        self.desk = parts.desk(list).await;
    }

    /// A request for a question, signed by the named person.
    pub(crate) fn request(&self, text: &str, person: &str) -> SignedRequest {
        self.request_as(text, person, |request| request)
    }

    pub(crate) fn request_as(
        &self,
        text: &str,
        person: &str,
        change: impl FnOnce(SecondaryRequest) -> SecondaryRequest,
    ) -> SignedRequest {
        let mut deals = self.deals.lock();
        *deals += 1;
        let issued = self.clock.now();
        let request = SecondaryRequest {
            ledger: *self.anchor.ledger(),
            permit: self.permit.clone(),
            holder: HolderId::new(ANNA).unwrap(),
            deal: DealId::new(format!("deal-{deals}")).unwrap(),
            purpose: Purpose::Research,
            code: built_in_code(),
            question: Question::digest(text),
            recipient: self.recipient.public_key(),
            issued,
            expires: issued.saturating_add_micros(300_000_000),
        };
        let key = SigningKey::from_secret(&Secret::new(seed(person)));
        SignedRequest::sign(change(request), &key)
    }

    /// Opens a reply, as the person who asked does.
    pub(crate) fn open<T: serde::de::DeserializeOwned>(
        &self,
        request: &SignedRequest,
        reply: &salus_private::Reply,
    ) -> T {
        let asked = SecondaryRequest { deal: reply.deal.clone(), ..request.unverified().clone() };
        let opened = self.recipient.open(&asked.result_context(), &[], &reply.message).unwrap();
        serde_json::from_slice(&opened).unwrap()
    }

    /// What was spent on the dataset.
    pub(crate) fn spent(&self) -> u64 {
        let world = self.chain.world.lock();
        let account = salus_ledger::query::account(&world.store, &self.dataset).unwrap().unwrap();
        account.spent.get()
    }
}
