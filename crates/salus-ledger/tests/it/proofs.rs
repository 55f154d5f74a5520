//! Proofs that verify with an anchor alone, and their forgeries.

use std::collections::{BTreeMap, BTreeSet};

use salus_crypto::Digest;
use salus_crypto::merkle::{self, LeafHash};
use salus_ledger::block::{Block, CertificateError, FinalBlock, HistoryEntry, Outcome};
use salus_ledger::call::{
    ArtefactKind, ChangeConfig, GrantPermit, RecordRelease, RegisterArtefact, ReleaseRule,
    WithdrawArtefact,
};
use salus_ledger::config::{ConfigForm, PlatformConfig, Validator};
use salus_ledger::genesis::Genesis;
use salus_ledger::proof::{
    AnchorError, Checkpoint, CheckpointError, CheckpointTrust, EvidenceError, Fact, FinalityError,
    FinalityProof, Fork, ForkError, Handover, ProvenState, PrunedBlock, PrunedError, ReceiptError,
    ReceiptParts, SignedCheckpoint, StateEvidence, TlogError, TlogProof, TrustAnchor, Witness,
    WitnessName, WitnessRefused, issue_receipt, verify_receipt,
};
use salus_ledger::restore::{RestoreError, restore};
use salus_ledger::state::StateStore as _;
use salus_ledger::transaction::SignedTransaction;
use salus_ledger::{ArtefactId, BlockHash, Commitment, TreeRoot, history, query, state};
use salus_model::PermitId;

use crate::ca::signer;
use crate::world::{
    ANNA, CHARITE, HUB, UNI, VALIDATORS, World, at, bounded, certify, columns, dataset, genesis,
    hash, member, release, used,
};

/// A ledger with a release in its history, and all that proves it.
pub(crate) struct Archive {
    pub(crate) world: World,
    pub(crate) anchor: TrustAnchor,
    pub(crate) permit: PermitId,
    tx: SignedTransaction,
    block: Block,
    entries: Vec<HistoryEntry>,
    index: u64,
    handovers: Vec<Handover>,
    validators: Vec<&'static str>,
}

impl Archive {
    pub(crate) fn new() -> Self {
        let mut world = World::new();
        let first = genesis(&world.authority, 1, &VALIDATORS);
        let anchor = TrustAnchor::from_genesis(&first).unwrap();
        let data = dataset(ANNA, "observations");
        world.register(&data, 1_000, ReleaseRule::DpOnly);
        let terms = world.terms(&[(&data, 1_000)]);
        let permit = world.permit("ada", terms);
        let call =
            RecordRelease { release: release("ada", &permit, vec![used(&data, bounded(40))]) };
        let tx = world.signed(call, &[&signer(ANNA)]);
        let other = world.signed(GrantPermit { permit: permit.clone() }, &[&signer(HUB)]);
        let executed = world.block(&[other, tx.clone()]);
        let index = executed.block.header.history_size - 1;
        let (block, entries) = (executed.block, executed.entries);
        let validators = VALIDATORS.to_vec();
        Self { world, anchor, permit, tx, block, entries, index, handovers: Vec::new(), validators }
    }

    fn finality(&self) -> FinalityProof {
        let header = self.world.tip().clone();
        let certificate = certify(&header, &self.validators, &self.validators[..3]);
        FinalityProof { header, certificate }
    }

    fn receipt_of(&self, tx: &SignedTransaction, place: usize) -> Result<Vec<u8>, ReceiptError> {
        let finality = self.finality();
        let size = finality.header.history_size;
        let index = self.index - 1 + place as u64;
        let inclusion = history::prove_inclusion(&self.world.store, index, size).unwrap();
        let parts = ReceiptParts {
            transaction: tx,
            entry: &self.entries[place],
            inclusion: &inclusion,
            finality: &finality,
            handovers: &self.handovers,
        };
        issue_receipt(&parts, &signer("val-1"))
    }

    pub(crate) fn receipt(&self) -> Vec<u8> {
        self.receipt_of(&self.tx, 1).unwrap()
    }

    pub(crate) fn final_block(&self) -> FinalBlock {
        FinalBlock { block: self.block.clone(), certificate: self.finality().certificate }
    }

    pub(crate) fn pruned(&self) -> PrunedBlock {
        PrunedBlock::of(&self.block, self.finality().certificate, self.entries.clone()).unwrap()
    }

    /// The facts that a question under the permit needs.
    pub(crate) fn evidence(&self) -> StateEvidence {
        let data = dataset(ANNA, "observations");
        let facts = [
            Fact::Permit(self.permit.clone()),
            Fact::Dataset(data.clone()),
            Fact::Account(data),
            Fact::OptOuts(member(CHARITE)),
        ];
        StateEvidence::of(&self.world.store, (self.finality(), Vec::new()), &facts).unwrap()
    }

    pub(crate) fn genesis(&self) -> Genesis {
        genesis(&self.world.authority, 1, &VALIDATORS)
    }

    pub(crate) fn checkpoint(&self) -> SignedCheckpoint {
        let new = SignedCheckpoint::new(Checkpoint::of(self.world.tip()));
        self.validators[..3].iter().fold(new, |c, name| c.sign(&signer(name)))
    }

    pub(crate) fn tlog_proof(&self) -> TlogProof {
        let size = self.world.tip().history_size;
        let inclusion = history::prove_inclusion(&self.world.store, self.index, size).unwrap();
        TlogProof::new(&self.entries[1], inclusion, self.checkpoint()).unwrap()
    }

    fn trust(&self, threshold: usize) -> CheckpointTrust {
        let witness = |n: u8| (WitnessName::new(format!("w{n}.example")).unwrap(), n);
        CheckpointTrust {
            ledger: self.world.ledger,
            validators: self.anchor.validators().clone(),
            witnesses: [witness(1), witness(2)]
                .into_iter()
                .map(|(name, n)| (name, signer(&format!("witness {n}")).public_key()))
                .collect(),
            threshold,
        }
    }

    fn witness(&self, n: u8) -> Witness {
        let name = WitnessName::new(format!("w{n}.example")).unwrap();
        Witness::new(name, signer(&format!("witness {n}")), self.trust(0), None)
    }
}

#[test]
fn a_receipt_says_offline_who_used_what_under_which_permit_at_what_charge_and_when() {
    let archive = Archive::new();
    let verified = verify_receipt(&archive.receipt(), &archive.anchor).unwrap();
    assert_eq!(verified.permit, archive.permit);
    assert_eq!(verified.pseudonym, signer("ada").public_key());
    assert_eq!(verified.uses.len(), 1);
    assert_eq!(verified.uses[0].dataset, dataset(ANNA, "observations"));
    assert_eq!(verified.uses[0].columns, columns(&["sex", "code"]));
    assert_eq!(verified.uses[0].charge, bounded(40));
    assert_eq!(verified.time, archive.block.header.time);
    assert_eq!(verified.receipt, archive.tx.id().receipt().unwrap());
    assert_eq!(verified.ledger, archive.world.ledger);
}

#[test]
fn a_receipt_can_be_issued_from_a_later_block() {
    let mut archive = Archive::new();
    for _ in 0..5 {
        let tx =
            archive.world.signed(GrantPermit { permit: archive.permit.clone() }, &[&signer(HUB)]);
        archive.world.block(&[tx]);
    }
    assert!(verify_receipt(&archive.receipt(), &archive.anchor).is_ok());
}

#[test]
fn every_changed_byte_of_a_receipt_is_refused() {
    let archive = Archive::new();
    let bytes = archive.receipt();
    let original = verify_receipt(&bytes, &archive.anchor).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let result = verify_receipt(&changed, &archive.anchor);
        assert!(result.is_err(), "byte {at} of {} gave {result:?}, not {original:?}", bytes.len());
    }
}

#[test]
fn a_transaction_that_was_refused_or_releases_nothing_gives_no_receipt() {
    let archive = Archive::new();
    assert!(matches!(archive.entries[0].outcome, Outcome::Refused(_)));
    let grant = SignedTransaction::from_bytes(
        archive.block.transactions[0].as_bytes(),
        &archive.world.ledger,
    )
    .unwrap();
    let refused = verify_receipt(&archive.receipt_of(&grant, 0).unwrap(), &archive.anchor);
    assert!(
        matches!(refused, Err(ReceiptError::Refused { rule }) if rule.as_str() == "permits.not-applied")
    );
    // The right entry with another transaction's bytes.
    let swapped = verify_receipt(&archive.receipt_of(&grant, 1).unwrap(), &archive.anchor);
    assert_eq!(swapped, Err(ReceiptError::OtherTransaction));
}

#[test]
fn a_receipt_needs_a_quorum_of_the_trusted_validators() {
    let archive = Archive::new();
    let mut finality = archive.finality();
    let (first, _) = finality.certificate.votes.pop_first().unwrap();
    let refused = finality.verify(&archive.anchor);
    assert_eq!(
        refused,
        Err(FinalityError::Certificate(CertificateError::TooFew {
            votes: 2,
            wanted: 3,
            validators: 4
        }))
    );
    // A stranger's vote in its place.
    let stranger = signer("stranger");
    let header = &finality.header;
    let vote = salus_ledger::block::Vote::cast(
        &stranger,
        &header.ledger,
        header.height,
        header.hash().unwrap(),
    );
    finality.certificate.votes.insert(vote.validator, vote.signature);
    let key = stranger.public_key();
    assert_ne!(key, first);
    assert_eq!(
        finality.verify(&archive.anchor),
        Err(FinalityError::Certificate(CertificateError::NoValidator { key }))
    );
    // A vote for another block under a validator's name.
    let mut forged = archive.finality();
    let wrong = salus_ledger::block::Vote::cast(
        &signer("val-1"),
        &header.ledger,
        header.height,
        BlockHash::new(hash("other")),
    );
    forged.certificate.votes.insert(wrong.validator, wrong.signature);
    assert!(matches!(
        forged.verify(&archive.anchor),
        Err(FinalityError::Certificate(CertificateError::Forged { .. }))
    ));
}

/// Replaces validator 4 by validator 5 and gives the handover.
fn hand_over(archive: &mut Archive) {
    let world = &mut archive.world;
    let id = member("val-5");
    let keys =
        vec![world.authority.member_key(&id, "val-5", &[salus_ledger::policy::Role::Validator])];
    let admit = salus_ledger::call::AdmitMember {
        member: id.clone(),
        roles: BTreeSet::from([salus_ledger::policy::Role::Validator]),
        keys,
    };
    world.applied(admit, &[HUB, ANNA]);
    let current = query::config(&world.store).unwrap().unwrap();
    let mut form: ConfigForm = current.form().clone();
    form.version = 1;
    form.validators.retain(|v| v.member != member("val-4"));
    form.validators.insert(Validator { member: id, key: signer("val-5").public_key() });
    let config = PlatformConfig::new(form).unwrap();
    let change = ChangeConfig { base: current.hash().unwrap(), config: config.clone() };
    world.applied(change, &[HUB, ANNA]);
    let header = world.tip().clone();
    let certificate = certify(&header, &VALIDATORS, &VALIDATORS[1..]);
    archive.handovers.push(Handover { finality: FinalityProof { header, certificate }, config });
    archive.validators = vec!["val-5", "val-1", "val-2", "val-3"];
    archive.world.block(&[]);
}

#[test]
fn validators_hand_over_and_the_genesis_stays_enough_to_trust() {
    let mut archive = Archive::new();
    hand_over(&mut archive);
    assert!(verify_receipt(&archive.receipt(), &archive.anchor).is_ok());
    // Without the handover the new validator is a stranger.
    let handover = archive.handovers.pop().unwrap();
    assert!(matches!(
        verify_receipt(&archive.receipt(), &archive.anchor),
        Err(ReceiptError::NotFinal(FinalityError::Certificate(
            CertificateError::NoValidator { .. }
        )))
    ));
    // A handover to other validators than the block says, or signed by the new ones.
    let mut other = handover.clone();
    other.config = genesis(&archive.world.authority, 1, &VALIDATORS).config;
    assert!(matches!(archive.anchor.follow(&other), Err(AnchorError::OtherConfig { .. })));
    let mut unsigned = handover.clone();
    unsigned.finality.certificate.votes.clear();
    assert!(matches!(archive.anchor.follow(&unsigned), Err(AnchorError::NotSigned { .. })));
    // Followed once, an older one leads nowhere.
    let later = archive.anchor.follow(&handover).unwrap();
    assert!(matches!(later.follow(&handover), Err(AnchorError::Older { .. })));
}

#[test]
fn a_changed_configuration_keeps_its_history_and_one_of_two_racing_changes_loses() {
    let mut archive = Archive::new();
    let before = query::config(&archive.world.store).unwrap().unwrap();
    hand_over(&mut archive);
    let world = &mut archive.world;
    assert_eq!(query::past_config(&world.store, 0).unwrap(), Some(before.clone()));
    let current = query::config(&world.store).unwrap().unwrap();
    assert_eq!(current.form().version, 1);
    let mut form = before.form().clone();
    form.version = 2;
    let config = PlatformConfig::new(form).unwrap();
    let stale = ChangeConfig { base: before.hash().unwrap(), config: config.clone() };
    world.refused(stale, &[HUB, ANNA], "platform.stale-base");
    let mut skipped = config.form().clone();
    skipped.version = 5;
    let config = PlatformConfig::new(skipped).unwrap();
    let skipped = ChangeConfig { base: current.hash().unwrap(), config };
    world.refused(skipped.clone(), &[HUB, ANNA], "platform.version");
    world.refused(skipped, &[HUB], "endorsement.governance");
}

#[test]
fn a_checkpoint_counts_with_a_quorum_of_validators_and_enough_witnesses() {
    let archive = Archive::new();
    let now = at("2026-03-02T00:00:00Z");
    let bare = archive.checkpoint();
    assert!(bare.verify(&archive.trust(0)).is_ok());
    let few = CheckpointError::TooFewWitnesses { found: 0, wanted: 2 };
    assert_eq!(bare.verify(&archive.trust(2)), Err(few));
    let (mut one, mut two) = (archive.witness(1), archive.witness(2));
    let cosigned = bare
        .clone()
        .with(one.cosign(&bare, None, now).unwrap())
        .with(two.cosign(&bare, None, now).unwrap());
    assert!(cosigned.verify(&archive.trust(2)).is_ok());
    // Its text is its one form, and every line of it matters.
    let text = cosigned.to_string();
    assert_eq!(SignedCheckpoint::from_text(&text), Ok(cosigned.clone()));
    for (at, _) in text.char_indices().filter(|(_, c)| c.is_ascii_alphanumeric()) {
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        let accepted = SignedCheckpoint::from_text(&changed)
            .is_ok_and(|c| c.verify(&archive.trust(2)).is_ok());
        assert!(!accepted, "character {at}");
    }
    let alone = SignedCheckpoint::new(*bare.checkpoint()).sign(&signer("val-1"));
    let few = CheckpointError::TooFewValidators { found: 1, wanted: 3 };
    assert_eq!(alone.verify(&archive.trust(0)), Err(few));
}

#[test]
fn a_witness_cosigns_only_what_extends_what_it_cosigned() {
    let mut archive = Archive::new();
    let now = at("2026-03-02T00:00:00Z");
    let mut witness = archive.witness(1);
    let old = archive.checkpoint();
    witness.cosign(&old, None, now).unwrap();
    let small = old.checkpoint().size;
    hand_over(&mut archive);
    archive.validators = VALIDATORS.to_vec();
    let new = archive.checkpoint();
    let size = new.checkpoint().size;
    let proof = history::prove_consistency(&archive.world.store, small, size).unwrap();
    assert_eq!(witness.cosign(&new, None, now), Err(WitnessRefused::NotConsistent));
    let mut bent = proof.clone();
    bent.path[0] = Digest::of(b"other");
    assert_eq!(witness.cosign(&new, Some(&bent), now), Err(WitnessRefused::NotConsistent));
    witness.cosign(&new, Some(&proof), now).unwrap();
    let older = WitnessRefused::Older { known: size, size: small };
    assert_eq!(witness.cosign(&old, None, now), Err(older));
    let mut forked = *new.checkpoint();
    forked.root = TreeRoot::new(hash("fork"));
    let forked =
        VALIDATORS[..3].iter().fold(SignedCheckpoint::new(forked), |c, name| c.sign(&signer(name)));
    assert!(matches!(witness.cosign(&forked, None, now), Err(WitnessRefused::Fork { .. })));
}

#[test]
fn two_checkpoints_that_fork_prove_who_signed_both() {
    let mut archive = Archive::new();
    let (ledger, keys) = (archive.world.ledger, archive.anchor.validators().clone());
    let honest = archive.checkpoint();
    let mut other = *honest.checkpoint();
    other.root = TreeRoot::new(hash("fork"));
    let sign = |checkpoint: Checkpoint, names: &[&str]| {
        names.iter().fold(SignedCheckpoint::new(checkpoint), |c, name| c.sign(&signer(name)))
    };
    // Honest: 1, 2, 3. The fork: 2, 4.
    let forked = sign(other, &["val-2", "val-4"]);
    let fork = Fork::of_one_size(&honest, &forked);
    let guilty = BTreeSet::from([signer("val-2").public_key()]);
    let read = Fork::from_bytes(&fork.to_bytes().unwrap()).unwrap();
    assert_eq!(read.verify(&ledger, &keys), Ok(guilty.clone()));
    // No contradiction, nobody in both, another ledger.
    let same = Fork::of_one_size(&honest, &honest);
    assert_eq!(same.verify(&ledger, &keys), Err(ForkError::NoContradiction));
    let apart = Fork::of_one_size(&honest, &sign(other, &["val-4"]));
    assert_eq!(apart.verify(&ledger, &keys), Err(ForkError::NobodyAtFault));
    let elsewhere = genesis(&archive.world.authority, 9, &VALIDATORS).ledger_id().unwrap();
    assert!(matches!(fork.verify(&elsewhere, &keys), Err(ForkError::OtherLedger { .. })));
    // Of two sizes: the later history has another root where the earlier checkpoint speaks.
    let real = *honest.checkpoint();
    archive.world.run(GrantPermit { permit: archive.permit.clone() }, &[HUB]);
    let later = archive.checkpoint();
    let proof =
        history::prove_consistency(&archive.world.store, real.size, later.checkpoint().size)
            .unwrap();
    let fork = Fork::of_two_sizes(&forked, &later, real.root, &proof);
    assert_eq!(fork.verify(&ledger, &keys), Ok(guilty));
    let honest_pair = Fork::of_two_sizes(&honest, &later, real.root, &proof);
    assert_eq!(honest_pair.verify(&ledger, &keys), Err(ForkError::NoContradiction));
}

#[test]
fn a_tlog_proof_covers_an_entry_and_nothing_else() {
    let archive = Archive::new();
    let size = archive.world.tip().history_size;
    let inclusion = history::prove_inclusion(&archive.world.store, archive.index, size).unwrap();
    let proof =
        TlogProof::new(&archive.entries[1], inclusion.clone(), archive.checkpoint()).unwrap();
    let text = proof.to_string();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{text}");
    let verified = TlogProof::from_text(&text).unwrap().verify(&archive.trust(0)).unwrap();
    assert_eq!((verified.entry, verified.index), (archive.entries[1].clone(), archive.index));
    assert_eq!(
        TlogProof::new(&archive.entries[0], inclusion, archive.checkpoint()).map(|_| ()),
        Err(TlogError::NotIncluded)
    );
    let renumbered = text.replace(&format!("index {}", archive.index), "index 0");
    let refused = TlogProof::from_text(&renumbered).unwrap().verify(&archive.trust(0));
    assert_eq!(refused.map(|_| ()), Err(TlogError::NotIncluded));
    for (wrong, by) in [("index 4", "index 04"), ("@v1", "@v2"), ("extra ", "extra  ")] {
        assert!(TlogProof::from_text(&text.replace(wrong, by)).is_err(), "{by}");
    }
}

#[test]
fn pruned_blocks_still_prove_their_transactions() {
    let archive = Archive::new();
    let finality = archive.finality();
    let pruned =
        PrunedBlock::of(&archive.block, finality.certificate.clone(), archive.entries.clone())
            .unwrap();
    assert_eq!(pruned.verify(&archive.anchor), Ok(()));
    assert!(pruned.entries()[1].is_of(archive.tx.as_bytes()));
    assert!(!pruned.entries()[0].is_of(archive.tx.as_bytes()));
    // The receipt is made from entries, nodes and the transaction that its holder kept.
    assert!(verify_receipt(&archive.receipt(), &archive.anchor).is_ok());
    let mut other = archive.entries.clone();
    other[0].outcome = Outcome::Applied;
    assert_eq!(
        PrunedBlock::of(&archive.block, finality.certificate, other),
        Err(PrunedError::OtherEntries)
    );
}

#[test]
fn the_state_proves_what_stands_in_it_and_what_does_not() {
    let archive = Archive::new();
    let (store, tip) = (&archive.world.store, archive.world.tip());
    let key = query::permit_key(&archive.permit);
    let proof = state::prove(store, tip.height, &key).unwrap();
    assert!(proof.verify(&tip.state).unwrap().is_some());
    let nobody = query::permit_key(&PermitId::new("permit-0").unwrap());
    let absent = state::prove(store, tip.height, &nobody).unwrap();
    assert_eq!(absent.verify(&tip.state), Ok(None));
    let earlier = &archive.world.headers[2];
    assert!(proof.verify(&earlier.state).is_err());
    assert!(absent.verify(&earlier.state).is_err());
}

#[test]
fn the_history_kept_as_nodes_is_the_tree_of_rfc_9162() {
    // Against the recursive definition over all leaves, for every size up to 40.
    let mut world = World::new();
    let mut leaves: Vec<LeafHash> = Vec::new();
    for count in [1_usize, 2, 3, 1, 5, 1, 8, 1, 1, 17] {
        let txs: Vec<_> = (0..count)
            .map(|_| {
                let revoke = salus_ledger::call::RevokeMember { member: member(UNI) };
                world.signed(revoke, &[&signer(CHARITE)])
            })
            .collect();
        let executed = world.block(&txs);
        leaves.extend(executed.entries.iter().map(|e| e.leaf().unwrap()));
        let size = leaves.len() as u64;
        assert_eq!(world.tip().history_size, size);
        assert_eq!(world.tip().history.as_bytes(), merkle::root(&leaves).as_bytes());
    }
    let size = leaves.len();
    for part in 1..=size {
        let root = history::root(&world.store, part as u64).unwrap();
        assert_eq!(root.as_bytes(), merkle::root(&leaves[..part]).as_bytes(), "size {part}");
        let ours = history::prove_consistency(&world.store, part as u64, size as u64).unwrap();
        assert_eq!(ours, merkle::prove_consistency(&leaves, part).unwrap());
        for index in 0..part {
            let ours = history::prove_inclusion(&world.store, index as u64, part as u64).unwrap();
            assert_eq!(ours, merkle::prove_inclusion(&leaves[..part], index).unwrap());
        }
    }
    assert!(history::prove_inclusion(&world.store, 40, 40).is_err());
    assert!(history::prove_consistency(&world.store, 0, 40).is_err());
}

#[test]
fn witnesses_are_named_like_keys_of_signed_notes() {
    for bad in ["", "two words", "a+b", "line\n"] {
        assert!(WitnessName::new(bad).is_err(), "{bad:?}");
    }
    let names: BTreeMap<_, _> = [(WitnessName::new("w.example/1").unwrap(), 1)].into();
    assert_eq!(names.len(), 1);
}

#[test]
fn a_snapshot_restores_only_what_the_header_commits_to() {
    let mut world = World::new();
    let data = dataset(ANNA, "observations");
    world.register(&data, 1_000, ReleaseRule::DpOnly);
    let terms = world.terms(&[(&data, 800)]);
    let permit = world.permit("ada", terms);
    let call = RecordRelease { release: release("ada", &permit, vec![used(&data, bounded(7))]) };
    let key = signer(ANNA);
    let tx = world.signed(call, &[&key]);
    let last = world.block(&[tx]);
    let header = world.tip().clone();
    let values: BTreeMap<_, _> = world.store.scan(b"").unwrap().into_iter().collect();
    // Every block of this world has one transaction; only the last block's entry is at hand, so
    // the history is rebuilt from a header that has just that one.
    let wrong = restore(&header, values.clone(), &last.entries);
    assert_eq!(wrong, Err(RestoreError::OtherHistory));
    let mut other = values.clone();
    other.pop_last();
    assert_eq!(restore(&header, other, &last.entries), Err(RestoreError::OtherState));
}

#[test]
fn an_artefact_is_proved_with_its_commitment_its_receipt_and_its_withdrawal() {
    let mut archive = Archive::new();
    let receipt = archive.tx.id().receipt().unwrap();
    let commitment = Commitment::new(hash("table"));
    let kind = ArtefactKind::AnonymisedSet;
    let call = RegisterArtefact { kind, commitment, receipt: receipt.clone(), owner: member(UNI) };
    let artefact = archive.world.applied(call, &[UNI]).artefact();
    let none = ArtefactId::new(hash("none"));
    let proved = |archive: &Archive| {
        let facts =
            [Fact::Artefact(artefact), Fact::Artefact(none), Fact::Receipt(receipt.clone())];
        let finality = (archive.finality(), Vec::new());
        let evidence = StateEvidence::of(&archive.world.store, finality, &facts).unwrap();
        ProvenState::verify(&evidence, &archive.anchor).unwrap()
    };
    let state = proved(&archive);
    assert_eq!(state.receipt(&receipt).unwrap().unwrap().transaction, archive.tx.id());
    let found = state.artefact(&artefact).unwrap().unwrap();
    assert_eq!((found.kind, found.commitment), (kind, commitment));
    assert_eq!((&found.receipt, found.owner, found.withdrawn), (&receipt, member(UNI), None));
    assert!(state.artefact(&none).unwrap().is_none());
    let unknown = state.artefact(&ArtefactId::new(hash("not asked for")));
    assert!(matches!(unknown, Err(EvidenceError::NotProven { .. })), "{unknown:?}");
    archive.world.applied(WithdrawArtefact { artefact }, &[UNI]);
    assert!(proved(&archive).artefact(&artefact).unwrap().unwrap().withdrawn.is_some());
}
