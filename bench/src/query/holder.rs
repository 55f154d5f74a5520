//! A holder's desk over an encrypted lake, with a ledger of four validators in its memory: what an
//! answer takes without the network and without consensus.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parking_lot::Mutex;
use salus_crypto::aead::AeadKey;
use salus_crypto::hpke::RecipientKey;
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_crypto::{Digest, OsEntropy, SigningKey};
use salus_dp::Answer;
use salus_keys::{KeyStore, LocalKeyStore};
use salus_ledger::block::Outcome;
use salus_ledger::call::{CommitDataset, RecordRelease, RecordTick, Release, ReleaseRule, Tick};
use salus_ledger::proof::{
    Fact, FinalityProof, ReceiptParts, StateEvidence, TrustAnchor, issue_receipt,
};
use salus_ledger::transaction::SignedTransaction;
use salus_ledger::{Commitment, DatasetRef, Opaque, history};
use salus_model::{
    Clock, ColumnPath, DatasetId, DatasetVersion, DealId, HolderId, JournalName, KeyClass, KeyName,
    ManualClock, Purpose, Secret,
};
use salus_private::{
    Desk, DeskParts, Ledger, LedgerRefused, Outbox, Profiles, Question, SignedRelease,
    built_in_code,
};
use salus_spine::{Authority, Freshness, OptOutList, SecondaryRequest, SignedRequest};
use salus_store::audit::{AuditLog, Retention};
use salus_store::journal::JournalSettings;
use salus_store::{DatasetSpec, EncryptionSettings, KeyChoice, KeyPolicy, Lake, Storage};
use salus_testkit::ledger::ca::{seed, signer};
use salus_testkit::ledger::world::{ANNA, VALIDATORS, World, certify, columns, dataset, genesis};

use super::ms;
use crate::measure::median;
use crate::report::Report;

const PERSON: &str = "dr-bench";
const FRESH: Freshness = Freshness { max_age_micros: 60_000_000, max_ahead_micros: 5_000_000 };
const ROWS_TOGETHER: usize = 250_000;
const PROFILE: &str = r#"
[devices]
unit_column = "device_id"
unit = "device"
contribution = [1, 1]
rows_per_unit = "one"
[devices.columns]
os_version = { category = ["a", "b", "c", "d"] }
battery_percent = { number = [0, 100, 0] }
"#;

/// A ledger that is final at once.
struct Memory {
    world: Mutex<World>,
    clock: Arc<ManualClock>,
}

impl Memory {
    fn finality(world: &World) -> FinalityProof {
        let header = world.tip().clone();
        let certificate = certify(&header, &VALIDATORS, &VALIDATORS[..3]);
        FinalityProof { header, certificate }
    }
}

fn ready(signed: &SignedTransaction) -> SignedRelease {
    SignedRelease { transaction: signed.id(), bytes: Opaque::new(signed.as_bytes().to_vec()) }
}

fn failed(e: impl std::fmt::Display) -> LedgerRefused {
    LedgerRefused::Unavailable { reason: e.to_string() }
}

#[async_trait::async_trait]
impl Ledger for Memory {
    async fn evidence(&self, facts: &[Fact], _: Freshness) -> Result<StateEvidence, LedgerRefused> {
        let mut world = self.world.lock();
        world.now = world.now.max(self.clock.now());
        world.block(&[]);
        let ahead = world.now.as_micros() - self.clock.now().as_micros();
        self.clock.advance_micros(ahead);
        StateEvidence::of(&world.store, (Self::finality(&world), Vec::new()), facts).map_err(failed)
    }

    async fn sign(&self, release: Release) -> Result<SignedRelease, LedgerRefused> {
        Ok(ready(&self.world.lock().signed(RecordRelease { release }, &[&signer(ANNA)])))
    }

    async fn sign_tick(
        &self,
        tick: Tick,
        release: Release,
    ) -> Result<SignedRelease, LedgerRefused> {
        Ok(ready(&self.world.lock().signed(RecordTick { tick, release }, &[&signer(ANNA)])))
    }

    async fn record(&self, signed: &SignedRelease) -> Result<Vec<u8>, LedgerRefused> {
        let mut world = self.world.lock();
        let ledger = world.tip().ledger;
        let signed =
            SignedTransaction::from_bytes(signed.bytes.as_bytes(), &ledger).map_err(failed)?;
        let executed = world.block(std::slice::from_ref(&signed));
        let entry = executed.entries.first().ok_or_else(|| failed("no entry"))?;
        if let Outcome::Refused(rule) = &entry.outcome {
            return Err(failed(rule.as_str()));
        }
        let finality = Self::finality(&world);
        let size = finality.header.history_size;
        let inclusion = history::prove_inclusion(&world.store, size - 1, size).map_err(failed)?;
        let parts = ReceiptParts {
            transaction: &signed,
            entry,
            inclusion: &inclusion,
            finality: &finality,
            handovers: &[],
        };
        issue_receipt(&parts, &signer(VALIDATORS[0])).map_err(failed)
    }

    async fn resume(&self, _: &SignedRelease) -> Result<Option<Vec<u8>>, LedgerRefused> {
        Ok(None)
    }
}

/// Sealed answers that nobody keeps: the disk's part is measured through the network.
struct Nowhere;

#[async_trait::async_trait]
impl Outbox for Nowhere {
    async fn put(&self, _: &Digest, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }

    async fn get(&self, _: &Digest) -> std::io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    async fn remove(&self, _: &Digest) -> std::io::Result<()> {
        Ok(())
    }

    async fn all(&self) -> std::io::Result<Vec<Vec<u8>>> {
        Ok(Vec::new())
    }
}

struct Holder {
    desk: Desk,
    clock: Arc<ManualClock>,
    permit: salus_model::PermitId,
    anchor: TrustAnchor,
    recipient: RecipientKey,
    asked: u64,
    /// How many devices every question counts.
    counted: usize,
}

/// The battery of a device, in percent.
const fn charge_of(device: usize) -> usize {
    (device * 7919) % 101
}

#[allow(clippy::cast_precision_loss, reason = "percentages")]
fn rows(from: usize, count: usize) -> Result<RecordBatch> {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let battery = Field::new("battery_percent", DataType::Float64, false);
    let schema = Schema::new(vec![text("device_id"), text("os_version"), battery]);
    let ids: StringArray = (from..from + count).map(|n| Some(format!("device-{n:09}"))).collect();
    let versions: StringArray =
        (from..from + count).map(|n| Some(["a", "b", "c", "d"][n % 4])).collect();
    let charges: Float64Array = (from..from + count).map(|n| Some(charge_of(n) as f64)).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(versions), Arc::new(charges)];
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

async fn fill(lake: &Arc<Lake>, id: &DatasetId, devices: usize) -> Result<()> {
    let spec = DatasetSpec {
        dataset: id.clone(),
        schema: rows(0, 1)?.schema(),
        subject: Some(ColumnPath::new("device_id")?),
        identity: None,
        policy: KeyPolicy::new([
            ("device_id".to_owned(), KeyChoice::Class(KeyClass::Identifiers)),
            ("*".to_owned(), KeyChoice::Class(KeyClass::Clinical)),
        ]),
        encryption: EncryptionSettings::STRICT,
    };
    lake.create(spec).await?;
    let mut writer = lake.append(id).await?;
    for from in (0..devices).step_by(ROWS_TOGETHER) {
        writer.write(&rows(from, ROWS_TOGETHER.min(devices - from))?).await?;
    }
    writer.publish().await?;
    Ok(())
}

impl Holder {
    async fn new(folder: &Path, devices: usize) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut world = World::new();
        let name: DatasetRef = dataset(ANNA, "devices");
        world.register(&name, 1_000_000_000, ReleaseRule::DpOnly);
        let mut terms = world.terms(&[(&name, 1_000_000_000)]);
        let ground = terms.grounds.first_mut().context("no ground")?;
        ground.columns = columns(&["device_id", "os_version", "battery_percent"]);
        terms.releases = ReleaseRule::DpOnly;
        let permit = world.permit(PERSON, terms);
        let anchor = TrustAnchor::from_genesis(&genesis(&world.authority, 1, &VALIDATORS))?;
        let clock = Arc::new(ManualClock::new(world.now));
        let as_clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let passphrase = Passphrase::new(Secret::new("a bench, not a site".to_owned()))?;
        let cost = GuessCost::OWASP_MINIMUM;
        let keys: Arc<dyn KeyStore> = Arc::new(LocalKeyStore::create(
            &folder.join("keys"),
            passphrase,
            cost,
            Arc::clone(&as_clock),
        )?);
        let key = SigningKey::generate(&mut OsEntropy)?;
        let authority = Arc::new(Authority::new(HolderId::new(ANNA)?, key));
        let storage = Storage::local(&folder.join("lake"))?;
        let lake =
            Lake::new(storage, Arc::clone(&keys), Arc::clone(&authority), Arc::clone(&as_clock));
        fill(&lake, &name.dataset, devices).await?;
        // Questions read the version that the ledger has; the first one is empty.
        let commitment = Commitment::new(seed("version 2"));
        let version = DatasetVersion::FIRST.next();
        world.applied(CommitDataset { dataset: name, version, commitment }, &[ANNA]);
        let site = KeyName::new("site")?;
        keys.create(&site).await?;
        let settings = JournalSettings {
            folder: folder.join("audit"),
            holder: HolderId::new(ANNA)?,
            name: JournalName::new("audit")?,
            master: site,
            segment_bytes: 1 << 24,
        };
        let parts = (Arc::clone(&authority), as_clock);
        let (audit, _) = AuditLog::open(settings, keys, parts, Retention::LEAST, 0).await?;
        let ledger = Memory { world: Mutex::new(world), clock: Arc::clone(&clock) };
        let desk = Desk::open(DeskParts {
            lake,
            authority,
            clock: Arc::<ManualClock>::clone(&clock),
            ledger: Arc::new(ledger),
            anchor: anchor.clone(),
            freshness: FRESH,
            audit: Arc::new(audit),
            profiles: Profiles::parse(PROFILE)?,
            opt_outs: OptOutList::none(),
            joint: None,
            partitions: std::thread::available_parallelism().map_or(1, usize::from),
            outbox: Arc::new(Nowhere),
            standing: Arc::new(Nowhere),
            keeping: AeadKey::from_secret(Secret::new(seed("keeping"))),
        })
        .await?;
        let recipient = RecipientKey::generate(&mut OsEntropy)?;
        let counted = (0..devices).filter(|n| charge_of(*n) < 100).count();
        Ok(Self { desk, clock, permit, anchor, recipient, asked: 0, counted })
    }

    /// Asks a question that was not asked before, and says how long the answer took.
    async fn ask(&mut self, query: &str) -> Result<Duration> {
        self.asked += 1;
        // As many conditions as ever, and never the same.
        let bound = 100.0 - f64::from(u32::try_from(self.asked)?) / 1000.0;
        let text = format!(
            r#"{{"dataset":"devices","query":{query},"filter":{{"compare":{{"column":"battery_percent","is":"<","value":{bound}}}}},"spend":{{"rho":100}},"mechanism":"gaussian"}}"#
        );
        let issued = self.clock.now();
        let request = SecondaryRequest {
            ledger: *self.anchor.ledger(),
            permit: self.permit.clone(),
            holder: HolderId::new(ANNA)?,
            deal: DealId::new(format!("deal-{}", self.asked))?,
            purpose: Purpose::Research,
            code: built_in_code(),
            question: Question::digest(&text),
            recipient: self.recipient.public_key(),
            issued,
            expires: issued.saturating_add_micros(300_000_000),
        };
        let key = SigningKey::from_secret(&Secret::new(seed(PERSON)));
        let request = SignedRequest::sign(request, &key);
        let began = Instant::now();
        let reply = self.desk.answer(&request, &text).await?;
        let took = began.elapsed();
        anyhow::ensure!(!reply.charges.is_empty(), "a question was answered from the cache");
        let asked = SecondaryRequest { deal: reply.deal.clone(), ..request.unverified().clone() };
        let opened = self.recipient.open(&asked.result_context(), &[], &reply.message)?;
        let answer: Answer = serde_json::from_slice(&opened)?;
        let found: f64 = answer.rows.iter().filter_map(|row| row.estimate).map(|e| e.value).sum();
        // Seven standard errors of four groups, at ρ = 0.0001 each.
        let off = found - f64::from(u32::try_from(self.counted)?);
        anyhow::ensure!(off.abs() < 1_000.0, "{found} is no count of {} devices", self.counted);
        Ok(took)
    }
}

const QUERIES: [(&str, &str); 2] = [
    ("count", "\"count\""),
    ("by version", r#"{"grouped-count":{"keys":["os_version"],"threshold_delta":null}}"#),
];

pub(super) async fn measure(folder: &Path, millions: &[usize], out: &mut Report) -> Result<()> {
    let mut table = Vec::new();
    let sizes = std::iter::once(10_000).chain(millions.iter().map(|m| m * 1_000_000));
    for devices in sizes {
        let here = folder.join(format!("devices-{devices}"));
        let mut holder = Holder::new(&here, devices).await?;
        let goal = match devices {
            10_000 => "under 10",
            1_000_000 => "under 50",
            10_000_000 => "under 400",
            _ => "",
        };
        for (what, query) in QUERIES {
            let runs = if devices > 1_000_000 { 15 } else { 40 };
            let mut took = Vec::new();
            for run in 0..runs + 2 {
                let one = holder.ask(query).await?;
                if run >= 2 {
                    took.push(one);
                }
            }
            table.push(vec![
                format!("{devices} devices, {what}"),
                ms(median(&took)),
                goal.to_owned(),
            ]);
        }
        drop(holder);
        std::fs::remove_dir_all(&here)?;
    }
    let distinct: BTreeSet<&str> = QUERIES.iter().map(|(what, _)| *what).collect();
    anyhow::ensure!(distinct.len() == QUERIES.len(), "two measurements of one name");
    out.say(
        "An answer at the holder without network and consensus: permit and opt-outs verified on the \
         ledger's proofs, columns decrypted and filtered, noise, seal, charge and receipt on a ledger in \
         memory, the access log synced. Every column is encrypted; the columns read are id, version and \
         battery.",
    );
    out.table(&["question", "median ms", "goal, ms"], &table);
    Ok(())
}
