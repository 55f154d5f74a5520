use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use salus_crypto::{OsEntropy, SigningKey};
use salus_keys::KeyStore;
use salus_model::*;
use salus_spine::{
    AccessRecorded, AuditReading, AuditReadingOrder, Authority, SignedStatement, Statement as _,
};
use salus_store::audit::*;
use salus_store::journal::{Journal, JournalError, JournalName, JournalSettings};
use tempfile::TempDir;

use crate::journal::{keys, settings};
use crate::keys::MemoryKeys;

const DAY: i64 = 24 * 3600 * 1_000_000;

struct Hospital {
    folder: TempDir,
    keys: Arc<MemoryKeys>,
    authority: Arc<Authority>,
    clock: Arc<ManualClock>,
}

fn entry(deal: &str, staff: &str, statement: &str) -> AuditEntry {
    let columns = [ColumnPath::new("patient").unwrap(), ColumnPath::new("value").unwrap()];
    AuditEntry {
        deal: DealId::new(deal).unwrap(),
        staff: StaffId::new(staff).unwrap(),
        role: RoleName::new("dietitian").unwrap(),
        purpose: Purpose::Treatment,
        kind: AccessKind::Sql,
        statement: statement.to_owned(),
        datasets: BTreeMap::from([(DatasetId::new("meals").unwrap(), columns.into())]),
        outcome: Outcome::Answered { rows: 3 },
    }
}

impl Hospital {
    async fn new() -> Self {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let holder = HolderId::new("st-mary").unwrap();
        let key = SigningKey::generate(&mut OsEntropy).unwrap();
        Self {
            folder: TempDir::new().unwrap(),
            keys: keys().await,
            authority: Arc::new(Authority::new(holder, key)),
            clock: Arc::new(ManualClock::new(start)),
        }
    }

    fn settings(&self, folder: &Path) -> JournalSettings {
        let name = JournalName::new("audit").unwrap();
        JournalSettings { name, ..settings(folder, 2_000) }
    }

    async fn open(&self) -> Result<AuditLog, AuditError> {
        let signs = (self.authority.clone(), self.clock.clone() as Arc<dyn Clock>);
        let settings = self.settings(self.folder.path());
        let opened =
            AuditLog::open(settings, self.keys.clone(), signs, Retention::LEAST, 0).await?;
        Ok(opened.0)
    }

    /// Entries one to `n`, a day apart, with the heads that were acknowledged.
    async fn filled(&self, log: &AuditLog, n: usize) -> Vec<AuditHead> {
        let mut heads = Vec::new();
        for i in 1..=n {
            let staff = if i % 2 == 0 { "Ann" } else { "Bob" };
            let statement = format!("SELECT {i} FROM meals WHERE patient = 'MARKER-4711'");
            let record = log.append(entry(&format!("s{i}"), staff, &statement)).await.unwrap();
            heads.push(AuditHead::from(record.unverified()));
            self.clock.advance_micros(DAY);
        }
        heads
    }

    fn reading(&self, from: &str, until: &str) -> AuditReading {
        let auditor = StaffId::new("Eve Auditor").unwrap();
        let now = self.clock.now();
        let order = self.authority.sign(AuditReadingOrder {
            holder: HolderId::new("st-mary").unwrap(),
            auditor: auditor.clone(),
            entries_from: from.parse().unwrap(),
            entries_until: until.parse().unwrap(),
            issued: now,
            expires: now.saturating_add_micros(DAY),
        });
        AuditReading::verify(&order, &self.authority.verifier(), now, &auditor).unwrap()
    }

    async fn read(&self, log: &AuditLog, filter: &AuditFilter) -> Vec<AuditRecord> {
        let reading = self.reading("2026-01-01T00:00:00Z", "2036-01-01T00:00:00Z");
        let under = (DealId::new("audit-1").unwrap(), RoleName::new("auditor").unwrap());
        log.read(reading, under, filter).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_is_acknowledged_with_the_holders_word_and_survives() {
    let hospital = Hospital::new().await;
    let log = hospital.open().await.unwrap();
    let record = log.append(entry("s1", "Ann", "SELECT 1")).await.unwrap();
    assert_eq!(record.unverified().sequence, 1);
    assert_eq!(record.unverified().scope.deal().as_str(), "s1");
    AccessRecorded::verify(&record, &hospital.authority.verifier()).unwrap();
    let forged = SignedStatement::new(
        salus_spine::AccessRecord { sequence: 2, ..record.unverified().clone() },
        record.signature(),
    );
    assert!(AccessRecorded::verify(&forged, &hospital.authority.verifier()).is_err());
    assert_ne!(forged.unverified().digest(), record.unverified().digest());
    let heads = hospital.filled(&log, 30).await;
    let head = log.head();
    assert_eq!((head.sequence, heads[29]), (31, head));
    log.close().await;
    let log = hospital.open().await.unwrap();
    assert_eq!(log.head(), head);
    let verdict = log.verify(&heads).await.unwrap();
    assert_eq!(verdict, AuditVerdict { first: 1, head, compared: 30 });
    let found = hospital.read(&log, &AuditFilter::default()).await;
    assert_eq!(found.len(), 31);
    assert_eq!(found[0].entry, entry("s1", "Ann", "SELECT 1"));
    for file in std::fs::read_dir(hospital.folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for marker in ["MARKER-4711", "dietitian", "SELECT"] {
            assert!(!bytes.windows(marker.len()).any(|w| w == marker.as_bytes()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_entries_form_one_chain() {
    let hospital = Hospital::new().await;
    let log = Arc::new(hospital.open().await.unwrap());
    let tasks: Vec<_> = (0..16)
        .map(|t| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut heads = Vec::new();
                for n in 0..10 {
                    let record = log.append(entry(&format!("s{t}-{n}"), "Ann", "SELECT 1")).await;
                    heads.push(AuditHead::from(record.unwrap().unverified()));
                }
                heads
            })
        })
        .collect();
    let mut heads = Vec::new();
    for task in tasks {
        heads.extend(task.await.unwrap());
    }
    let verdict = log.verify(&heads).await.unwrap();
    assert_eq!((verdict.head.sequence, verdict.compared), (160, 160));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_could_not_be_recorded_leaves_the_chain_whole() {
    let hospital = Hospital::new().await;
    let log = Arc::new(hospital.open().await.unwrap());
    hospital.filled(&log, 3).await;
    hospital.keys.set_away(true);
    let (mut taken, mut refused) = (3, 0);
    for n in 0..40 {
        let both = [log.append(entry("a", "Ann", "x")), log.append(entry("b", "Bob", "y"))];
        for done in futures::future::join_all(both).await {
            match done {
                Ok(_) => taken += 1,
                Err(AuditError::Journal(
                    JournalError::NotTaken { .. } | JournalError::OtherPlace { .. },
                )) => refused += 1,
                Err(e) => panic!("{n}: {e}"),
            }
        }
    }
    assert!(refused > 0);
    hospital.keys.set_away(false);
    let head = log.append(entry("c", "Ann", "z")).await.unwrap();
    assert_eq!(head.unverified().sequence, taken + 1);
    let verdict = log.verify(&[AuditHead::from(head.unverified())]).await.unwrap();
    assert_eq!((verdict.head.sequence, verdict.compared), (taken + 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_needs_an_order_and_is_recorded_itself() {
    let hospital = Hospital::new().await;
    let log = hospital.open().await.unwrap();
    hospital.filled(&log, 10).await;
    let ann = StaffId::new("Ann").unwrap();
    let filter =
        AuditFilter { staff: Some(ann.clone()), latest: Some(3), ..AuditFilter::default() };
    let found = hospital.read(&log, &filter).await;
    assert_eq!(found.iter().map(|r| r.sequence).collect::<Vec<_>>(), [6, 8, 10]);
    assert!(found.iter().all(|r| r.entry.staff == ann));
    let filter = AuditFilter { kind: Some(AccessKind::AuditReading), ..AuditFilter::default() };
    let readings = hospital.read(&log, &filter).await;
    assert_eq!(readings.len(), 1);
    assert_eq!(readings[0].entry.staff.as_str(), "Eve Auditor");
    let from: Timestamp = "2026-01-04T00:00:00Z".parse().unwrap();
    let until = from.saturating_add_micros(2 * DAY);
    let filter = AuditFilter { from: Some(from), until: Some(until), ..AuditFilter::default() };
    let found = hospital.read(&log, &filter).await;
    assert_eq!(found.iter().map(|r| r.sequence).collect::<Vec<_>>(), [4, 5]);
    // An order for two days shows these two days, whatever is asked.
    let reading = hospital.reading("2026-01-02T00:00:00Z", "2026-01-04T00:00:00Z");
    let under = || (DealId::new("audit-2").unwrap(), RoleName::new("auditor").unwrap());
    let found = log.read(reading, under(), &AuditFilter::default()).await.unwrap();
    assert_eq!(found.iter().map(|r| r.sequence).collect::<Vec<_>>(), [2, 3]);
    // An order of another holder opens nothing here.
    let other = Hospital::new().await;
    let stranger = Authority::new(
        HolderId::new("st-john").unwrap(),
        SigningKey::generate(&mut OsEntropy).unwrap(),
    );
    let auditor = StaffId::new("Eve Auditor").unwrap();
    let order = stranger.sign(AuditReadingOrder {
        holder: HolderId::new("st-john").unwrap(),
        auditor: auditor.clone(),
        entries_from: Timestamp::EPOCH,
        entries_until: until,
        issued: other.clock.now(),
        expires: other.clock.now().saturating_add_micros(DAY),
    });
    let reading =
        AuditReading::verify(&order, &stranger.verifier(), other.clock.now(), &auditor).unwrap();
    let refused = log.read(reading, under(), &AuditFilter::default()).await;
    assert!(matches!(refused, Err(AuditError::OtherHolder)));
}

#[tokio::test(flavor = "multi_thread")]
async fn young_records_are_kept_and_old_ones_go_in_whole_segments() {
    let hospital = Hospital::new().await;
    assert_eq!(Retention::new(365), Err(RetentionTooShort { days: 365 }));
    assert!(Retention::new(3650).is_ok());
    let log = hospital.open().await.unwrap();
    let heads = hospital.filled(&log, 40).await;
    let now = hospital.clock.now();
    for too_young in [now, now.saturating_add_micros(-365 * DAY)] {
        let refused = log.trim(too_young).await.unwrap_err();
        assert!(matches!(refused, AuditError::Retained { .. }));
        assert_eq!(refused.class(), Class::Refused);
    }
    hospital.clock.advance_micros(346 * DAY);
    // Now the first twenty are older than 366 days.
    let kept_from = hospital.clock.now().saturating_add_micros(-366 * DAY);
    assert!(log.trim(kept_from).await.unwrap() > 0);
    let verdict = log.verify(&heads).await.unwrap();
    assert!(verdict.first > 1 && verdict.first <= 21, "{verdict:?}");
    assert_eq!(verdict.compared as u64, 40 - verdict.first + 1);
    log.close().await;
    let log = hospital.open().await.unwrap();
    assert_eq!(log.verify(&heads).await.unwrap(), verdict);
    let found = hospital.read(&log, &AuditFilter::default()).await;
    assert!(found.iter().any(|r| r.sequence == 21), "a record of the last 366 days is gone");
}

/// What somebody with all the keys can do: write the log anew, with these changes to its records.
async fn rewritten(
    hospital: &Hospital,
    change: impl FnOnce(&mut Vec<AuditRecord>),
) -> Result<TempDir, AuditError> {
    let log = hospital.open().await?;
    let mut records = hospital.read(&log, &AuditFilter::default()).await;
    log.close().await;
    change(&mut records);
    let folder = TempDir::new().unwrap();
    let keys: Arc<dyn KeyStore> = hospital.keys.clone();
    let settings = hospital.settings(folder.path());
    let (journal, _) = Journal::open(settings, keys, 0, &mut |_, _| Ok(())).await?;
    for record in records {
        let bytes = serde_json::to_vec(&record).unwrap();
        journal.append(vec![Bytes::from(bytes)]).await?;
    }
    journal.close().await;
    Ok(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insider_with_the_keys_cannot_change_the_past_unnoticed() {
    let hospital = Hospital::new().await;
    let log = hospital.open().await.unwrap();
    let heads = hospital.filled(&log, 9).await;
    log.close().await;
    let broken_at = async |folder: &TempDir, heads: &[AuditHead]| {
        let settings = hospital.settings(folder.path());
        match verify_offline(settings, hospital.keys.clone(), heads).await {
            Ok(_) => None,
            Err(AuditError::Broken { sequence, what }) => Some((sequence, what)),
            Err(e) => panic!("{e}"),
        }
    };
    let same = rewritten(&hospital, |_| ()).await.unwrap();
    assert_eq!(broken_at(&same, &heads).await, None, "an unchanged copy is fine");
    let deleted = rewritten(&hospital, |r| drop(r.remove(3))).await.unwrap();
    assert_eq!(broken_at(&deleted, &[]).await, Some((4, AuditBreak::Place)));
    let altered = rewritten(&hospital, |r| r[3].entry.statement = "SELECT 1".into()).await.unwrap();
    assert_eq!(broken_at(&altered, &[]).await, Some((5, AuditBreak::Chain)));
    let reordered = rewritten(&hospital, |r| r.swap(3, 4)).await.unwrap();
    assert_eq!(broken_at(&reordered, &[]).await, Some((4, AuditBreak::Place)));
    let renumbered = rewritten(&hospital, |r| {
        r.swap(3, 4);
        (r[3].sequence, r[4].sequence) = (4, 5);
    });
    assert_eq!(broken_at(&renumbered.await.unwrap(), &[]).await, Some((4, AuditBreak::Chain)));
    // Only what was handed out tells of these: the end cut off, and a chain computed anew.
    let cut = rewritten(&hospital, |r| r.truncate(7)).await.unwrap();
    assert_eq!(broken_at(&cut, &[]).await, None);
    assert_eq!(broken_at(&cut, &heads).await, Some((8, AuditBreak::Missing)));
    let last = rewritten(&hospital, |r| {
        r.truncate(9);
        r[8].entry.outcome = Outcome::Answered { rows: 0 };
    });
    let last = last.await.unwrap();
    assert_eq!(broken_at(&last, &[]).await, None);
    assert_eq!(broken_at(&last, &heads).await, Some((9, AuditBreak::Head)));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_lacks_the_keys_cannot_change_the_log_at_all() {
    let hospital = Hospital::new().await;
    let log = hospital.open().await.unwrap();
    let heads = hospital.filled(&log, 12).await;
    log.close().await;
    let segments: Vec<_> = std::fs::read_dir(hospital.folder.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "journal"))
        .collect();
    assert!(segments.len() > 2);
    for path in segments {
        let original = std::fs::read(&path).unwrap();
        for at in (0..original.len()).step_by(211) {
            let mut bytes = original.clone();
            bytes[at] ^= 0x20;
            std::fs::write(&path, bytes).unwrap();
            let settings = hospital.settings(hospital.folder.path());
            let found = verify_offline(settings, hospital.keys.clone(), &heads).await;
            assert!(found.is_err(), "{} at {at}", path.display());
        }
        std::fs::write(&path, original).unwrap();
    }
    let settings = hospital.settings(hospital.folder.path());
    verify_offline(settings, hospital.keys.clone(), &heads).await.unwrap();
}
