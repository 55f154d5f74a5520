#![allow(clippy::unwrap_used)]

use redb::ReadableDatabase as _;
use salus_ledger::order::{Orderer, OrdererInput, SoloOrderer};
use salus_ledger::query;
use salus_model::Timestamp;

use super::*;
use crate::driver::{Core, Progress};
use crate::simulation::dice::Dice;
use crate::simulation::disk::{Disk, DiskFault};
use crate::simulation::world::{genesis, issue, member, signer, validator_name};

type Alone = Core<SoloOrderer>;

fn alone(store: Store) -> Alone {
    let tip = store.view().tip().clone();
    let name = validator_name(0);
    let (key, hash) = (signer(&name).public_key(), tip.hash().unwrap());
    let orderer = SoloOrderer::new(tip.ledger, key, tip.height, hash);
    Core::new(store, orderer, signer(&name)).unwrap()
}

fn clock(number: u64) -> Timestamp {
    let start: Timestamp = "2026-04-01T00:00:00Z".parse().unwrap();
    start.saturating_add_micros(number as i64 * 1_000)
}

fn submit<O: Orderer>(core: &mut Core<O>, number: u64) -> Progress {
    let ledger = *core.store().view().ledger();
    let tx = issue(ledger, number);
    let (answers, progress) = core.submit(&[tx.as_bytes().to_vec()], clock(number));
    for answer in answers {
        if let Err(error) = answer {
            assert!(core.store().is_frozen(), "{error}");
        }
    }
    progress
}

fn founded(disk: &Disk) -> Alone {
    alone(Store::found_on(disk.clone(), &genesis(1, 1)).unwrap())
}

#[test]
fn a_block_is_written_by_one_durable_transaction_and_read_back_after_a_crash() {
    let disk = Disk::new();
    let mut core = founded(&disk);
    let before = disk.syncs();
    assert_eq!(submit(&mut core, 1).acknowledged.len(), 1);
    // Alone there are no proposals to keep: one block is one transaction of the database.
    let one_block = disk.syncs() - before;
    assert!((1..=2).contains(&one_block), "{one_block} syncs");
    for number in 2..=20 {
        submit(&mut core, number);
    }
    let tip = core.store().view().tip().clone();
    drop(core);
    let mut dice = Dice::new("store", 1);
    let store = Store::open_on(disk.crash(&mut dice)).unwrap();
    let view = store.view();
    assert_eq!(*view.tip(), tip);
    assert_eq!(view.block(Height::new(7)).unwrap().unwrap().block.header.height, Height::new(7));
    let funds = query::wallet(view, &member("uni")).unwrap().unwrap();
    assert_eq!(funds.get(), (1..=20).map(|number| 1 + number).sum::<u64>());
    assert_eq!(alone(store).replica().tip().height, Height::new(20));
}

#[test]
fn a_failed_sync_freezes_the_store_and_nothing_is_acknowledged() {
    for failing in 0..6 {
        let disk = Disk::new();
        let mut core = founded(&disk);
        submit(&mut core, 1);
        disk.plant(DiskFault::FailingSync(failing));
        let mut acknowledged = 0;
        for number in 2..=9 {
            acknowledged += submit(&mut core, number).acknowledged.len();
        }
        assert!(core.store().is_frozen(), "sync {failing} failed and went unnoticed");
        let height = core.replica().tip().height;
        assert_eq!(height.get(), 1 + acknowledged as u64);
        // Frozen for good, even when the disk seems to work again.
        disk.plant(DiskFault::None);
        assert!(submit(&mut core, 10).acknowledged.is_empty());
        assert!(core.step(OrdererInput::Pending, clock(11)).acknowledged.is_empty());
        drop(core);
        // After a restart everything that was acknowledged is there, and perhaps one block more.
        let store = Store::open_on(disk.crash(&mut Dice::new("freeze", failing))).unwrap();
        assert!(store.view().tip().height >= height);
        let mut core = alone(store);
        assert_eq!(submit(&mut core, 20).acknowledged.len(), 1);
    }
}

#[test]
fn a_lying_disk_loses_what_was_acknowledged_and_that_shows() {
    let disk = Disk::new();
    let mut core = founded(&disk);
    disk.plant(DiskFault::LyingSync);
    let acknowledged = submit(&mut core, 1).acknowledged;
    assert_eq!(acknowledged.len(), 1);
    drop(core);
    let store = Store::open_on(disk.crash(&mut Dice::new("lie", 1))).unwrap();
    assert_eq!(store.view().recorded(&acknowledged[0].transaction).unwrap(), None);
}

#[test]
fn one_process_at_a_time_has_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    assert!(matches!(Store::open(&path), Err(StoreError::Empty)));
    let store = Store::found(&path, &genesis(1, 1)).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::InUse)));
    drop(store);
    let again = Store::found(&path, &genesis(2, 1));
    assert!(matches!(again, Err(StoreError::Occupied { .. })), "{again:?}");
    Store::open(&path).unwrap();
}

#[test]
fn a_database_of_another_format_is_refused() {
    let disk = Disk::new();
    drop(Store::found_on(disk.clone(), &genesis(1, 1)).unwrap());
    let database = redb::Builder::new().create_with_backend(disk.clone()).unwrap();
    let write = database.begin_write().unwrap();
    write
        .open_table(META)
        .unwrap()
        .insert("format", (FORMAT + 1).to_be_bytes().as_slice())
        .unwrap();
    write.commit().unwrap();
    assert!(database.begin_read().is_ok());
    drop(database);
    let opened = Store::open_on(disk);
    assert!(matches!(opened, Err(StoreError::Format { found }) if found == FORMAT + 1));
    let nothing = Store::open_on(Disk::new());
    assert!(matches!(nothing, Err(StoreError::Empty)));
}

#[test]
fn pruned_blocks_keep_their_proofs() {
    let mut core = founded(&Disk::new());
    let id = submit(&mut core, 1).acknowledged[0].transaction;
    for number in 2..=30 {
        submit(&mut core, number);
    }
    assert_eq!(core.store_mut().prune_below(Height::new(20)).unwrap(), Pruned { blocks: 19 });
    let view = core.store().view();
    assert_eq!(view.block(Height::new(1)).unwrap(), None);
    let anchor = salus_ledger::proof::TrustAnchor::from_genesis(&genesis(1, 1)).unwrap();
    view.pruned_block(Height::new(1)).unwrap().verify(&anchor).unwrap();
    let recorded = view.recorded(&id).unwrap().unwrap();
    assert_eq!(view.transaction(&recorded).unwrap(), None);
    let inclusion = view.inclusion(&recorded).unwrap();
    let block = crate::proof::ProvedBlock {
        finality: view.finality(recorded.entry.height).unwrap().unwrap(),
        handovers: Vec::new(),
    };
    let proof = crate::proof::TransactionProof::new(recorded.entry, &inclusion, block);
    proof.verify(&id, &anchor).unwrap();
    submit(&mut core, 31);
    assert_eq!(core.replica().tip().height, Height::new(31));
}

fn snapshot_of(core: &Alone) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_snapshot(core.store().view(), &mut bytes).unwrap();
    bytes
}

#[test]
fn a_snapshot_begins_a_store_that_goes_on() {
    let mut core = founded(&Disk::new());
    let no_block = write_snapshot(core.store().view(), &mut Vec::new());
    assert!(matches!(no_block, Err(SnapshotError::NoBlocks)));
    for number in 1..=25 {
        submit(&mut core, number);
    }
    core.store_mut().prune_below(Height::new(10)).unwrap();
    let bytes = snapshot_of(&core);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    let ledger = *core.store().view().ledger();
    let store = restore_snapshot(&path, &mut bytes.as_slice(), &ledger).unwrap();
    assert_eq!(store.view().tip(), core.store().view().tip());
    assert_eq!(store.view().epoch().unwrap(), core.store().view().epoch().unwrap());
    assert_eq!(store.view().base().unwrap(), Height::new(25));
    let (mut restored, mut original) = (alone(store), core);
    for number in 26..=30 {
        submit(&mut restored, number);
        submit(&mut original, number);
    }
    assert_eq!(restored.replica().tip(), original.replica().tip());
    let id = submit(&mut restored, 31).acknowledged[0].transaction;
    let recorded = restored.store().view().recorded(&id).unwrap().unwrap();
    restored.store().view().inclusion(&recorded).unwrap();
}

#[test]
fn a_snapshot_is_trusted_only_as_far_as_the_votes_prove_it() {
    let mut core = founded(&Disk::new());
    for number in 1..=5 {
        submit(&mut core, number);
    }
    let (bytes, ledger) = (snapshot_of(&core), *core.store().view().ledger());
    let folder = tempfile::tempdir().unwrap();
    let restore = |bytes: &[u8], ledger: &LedgerId, name: &str| {
        restore_snapshot(&folder.path().join(name), &mut &bytes[..], ledger).map(drop)
    };
    let other = LedgerId::new([3; 32]);
    let refused = restore(&bytes, &other, "other");
    assert!(matches!(refused, Err(SnapshotError::OtherLedger { .. })), "{refused:?}");
    let cut = restore(&bytes[..bytes.len() - 4], &ledger, "cut");
    assert!(matches!(cut, Err(SnapshotError::File(_))), "{cut:?}");
    // One bit anywhere: a value, an entry, a vote, the genesis.
    let mut dice = Dice::new("snapshot", 1);
    for round in 0..60 {
        let mut forged = bytes.clone();
        let at = dice.below(forged.len() as u64 - 4) as usize;
        forged[at] ^= 1 << dice.below(8);
        let refused = restore(&forged, &ledger, &format!("forged-{round}"));
        assert!(refused.is_err(), "a flipped bit at byte {at} of {} passes", bytes.len());
    }
}
