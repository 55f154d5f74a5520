#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use salus_crypto::hpke::RecipientKey;
use salus_crypto::{Digest, OsEntropy, SigningKey};
use salus_ledger::block::Executed;
use salus_ledger::call::{AdvanceOptOutEpoch, RecordRelease, ReleaseRule, RevokePermit};
use salus_ledger::call::{PermitTerms, RevocationReason};
use salus_ledger::genesis::Genesis;
use salus_ledger::proof::{
    Fact, FinalityProof, ProvenState, ReceiptParts, StateEvidence, TrustAnchor, issue_receipt,
};
use salus_ledger::transaction::SignedTransaction;
use salus_ledger::{CodeHash, Commitment, DatasetRef, history};
use salus_model::{
    ColumnPath, DatasetId, DatasetVersion, DealId, HolderId, PermitId, PrivacyCharge, Purpose,
    Secret, Timestamp,
};
use salus_testkit::ledger::ca::{seed, signer};
use salus_testkit::ledger::world::{
    ANNA, HUB, VALIDATORS, World, bounded, certify, dataset, genesis, newest,
};

mod gate;

use super::*;
use crate::{
    Authority, KeyRelease, OnPremises, PermitChecked, Place, PremisesStatement, ReleaseRefused,
    Scope, Secondary, authorise, release,
};

const PERSON: &str = "dr-who";
const FRESH: Freshness = Freshness { max_age_micros: 60_000_000, max_ahead_micros: 5_000_000 };

/// A network with one dataset and one permit, and what each party keeps to itself.
struct Network {
    world: World,
    dataset: DatasetRef,
    permit: PermitId,
    list: OptOutList,
    recipient: RecipientKey,
    premises: Authority,
    anchor: TrustAnchor,
}

impl Network {
    fn new() -> Self {
        Self::with(|terms| terms)
    }

    fn with(change: impl FnOnce(PermitTerms) -> PermitTerms) -> Self {
        Self::on(newest, change)
    }

    /// On a ledger that begins by the rules that `begin` gives it.
    fn on(begin: fn(Genesis) -> Genesis, change: impl FnOnce(PermitTerms) -> PermitTerms) -> Self {
        let mut world = World::with(begin);
        let first = begin(genesis(&world.authority, 1, &VALIDATORS));
        let anchor = TrustAnchor::from_genesis(&first).unwrap();
        let dataset = dataset(ANNA, "conditions");
        world.register(&dataset, 1_000_000, ReleaseRule::GateAllowed);
        let terms = change(world.terms(&[(&dataset, 500_000)]));
        let permit = world.permit(PERSON, terms);
        let list = OptOutList::after(0, ["p7".to_owned()], &mut OsEntropy).unwrap();
        let premises = Authority::new(holder(), SigningKey::generate(&mut OsEntropy).unwrap());
        let recipient = RecipientKey::generate(&mut OsEntropy).unwrap();
        let mut network = Self { world, dataset, permit, list, recipient, premises, anchor };
        network.publish_opt_outs();
        network
    }

    fn publish_opt_outs(&mut self) {
        let (epoch, root) = (self.list.epoch(), self.list.root());
        let call = AdvanceOptOutEpoch { holder: self.dataset.holder.clone(), epoch, root };
        self.world.applied(call, &[ANNA]);
    }

    fn anchor(&self) -> TrustAnchor {
        self.anchor.clone()
    }

    fn finality(&self) -> FinalityProof {
        let header = self.world.tip().clone();
        let certificate = certify(&header, &VALIDATORS, &VALIDATORS[..3]);
        FinalityProof { header, certificate }
    }

    fn evidence(&self) -> StateEvidence {
        let facts = [
            Fact::Permit(self.permit.clone()),
            Fact::Dataset(self.dataset.clone()),
            Fact::OptOuts(self.dataset.holder.clone()),
        ];
        StateEvidence::of(&self.world.store, (self.finality(), Vec::new()), &facts).unwrap()
    }

    fn state(&self) -> ProvenState {
        ProvenState::verify(&self.evidence(), &self.anchor()).unwrap()
    }

    fn now(&self) -> Timestamp {
        self.world.now.saturating_add_micros(1_000_000)
    }

    fn request(&self) -> SecondaryRequest {
        SecondaryRequest {
            ledger: self.world.ledger,
            permit: self.permit.clone(),
            holder: holder(),
            deal: DealId::new("deal-1").unwrap(),
            purpose: Purpose::Research,
            code: CodeHash::new(seed("code")),
            question: Digest::of(b"how many?"),
            recipient: self.recipient.public_key(),
            issued: self.world.now,
            expires: self.world.now.saturating_add_micros(60_000_000),
        }
    }

    fn checked(
        &self,
        request: SecondaryRequest,
    ) -> Result<PermitChecked<Secondary>, RequestRefused> {
        let signed = SignedRequest::sign(request, &key(PERSON));
        PermitChecked::verify_request(
            &signed,
            &holder(),
            &wanted(&["sex", "code"]),
            &self.state(),
            self.now(),
            FRESH,
        )
    }

    fn key_release(&self) -> KeyRelease<Secondary> {
        let permit = self.checked(self.request()).unwrap();
        let scope = Scope::new(holder(), DealId::new("deal-1").unwrap());
        let rows = OptOutsApplied::bind(
            scope.clone(),
            &self.list,
            &self.state(),
            [self.dataset.dataset.clone()],
        )
        .unwrap();
        let statement = PremisesStatement {
            scope,
            issued: self.world.now,
            expires: self.world.now.saturating_add_micros(60_000_000),
        };
        let signed = self.premises.sign(statement);
        let place = OnPremises::verify(&signed, &self.premises.verifier(), self.now()).unwrap();
        authorise(permit, rows, Place::Premises(place)).unwrap()
    }

    fn held(&self, charge: PrivacyCharge) -> crate::Held<SealedResult, Secondary> {
        let charges = BTreeMap::from([(self.dataset.dataset.clone(), charge)]);
        let unreleased = self.key_release().enclose(Priced { value: b"42".to_vec(), charges });
        seal_result(unreleased, &mut OsEntropy).unwrap()
    }

    /// Records the release and hands out the receipt's file.
    fn receipt(&mut self, call: salus_ledger::call::Release, signers: &[&str]) -> Vec<u8> {
        let keys: Vec<_> = signers.iter().map(|name| signer(name)).collect();
        let keys: Vec<_> = keys.iter().collect();
        let signed = self.world.signed(RecordRelease { release: call }, &keys);
        let executed = self.world.block(std::slice::from_ref(&signed));
        self.file(&signed, &executed)
    }

    fn file(&self, signed: &SignedTransaction, executed: &Executed) -> Vec<u8> {
        let entry = &executed.entries[0];
        let finality = self.finality();
        let size = finality.header.history_size;
        let inclusion = history::prove_inclusion(&self.world.store, size - 1, size).unwrap();
        let parts = ReceiptParts {
            transaction: signed,
            entry,
            inclusion: &inclusion,
            finality: &finality,
            handovers: &[],
        };
        issue_receipt(&parts, &signer(VALIDATORS[0])).unwrap()
    }
}

fn holder() -> HolderId {
    HolderId::new(ANNA).unwrap()
}

fn key(name: &str) -> SigningKey {
    SigningKey::from_secret(&Secret::new(seed(name)))
}

fn wanted(columns: &[&str]) -> BTreeMap<DatasetId, BTreeSet<ColumnPath>> {
    let columns = columns.iter().map(|c| ColumnPath::new(*c).unwrap()).collect();
    BTreeMap::from([(DatasetId::new("conditions").unwrap(), columns)])
}

fn read() -> InputRead {
    let versions = BTreeMap::from([(DatasetId::new("conditions").unwrap(), DatasetVersion::FIRST)]);
    InputRead { versions, input: Commitment::new(seed("input")) }
}

#[test]
fn a_result_goes_out_once_charged_and_on_record() {
    let mut network = Network::new();
    let held = network.held(bounded(100));
    let receipt = network.receipt(held.receipt_wanted(&read(), None).unwrap(), &[ANNA]);
    let anchor = network.anchor();
    let (charged, final_) = BudgetCharged::verify(&receipt, &anchor, &held).unwrap();
    let released = release(held, SecondaryClearance::Charged(charged), final_).unwrap();
    let request = network.request();
    let message = released.into_inner().into_message();
    let opened = network.recipient.open(&request.result_context(), &[], &message).unwrap();
    assert_eq!(opened.as_slice(), b"42");
    let other = SecondaryRequest { deal: DealId::new("deal-2").unwrap(), ..request };
    assert!(network.recipient.open(&other.result_context(), &[], &message).is_err());
}

#[test]
fn opted_out_people_are_left_out_whatever_the_column_is_called() {
    let network = Network::new();
    let release = network.key_release();
    let access = release.access(&network.dataset.dataset).unwrap();
    let rules = access.rules(Some(&ColumnPath::new("patient_id").unwrap())).unwrap();
    assert_eq!(rules.len(), 1);
    assert!(!rules[0].admits(Some("p7")));
    assert!(!rules[0].admits(Some("Patient/p7")));
    assert!(rules[0].admits(Some("p8")) && rules[0].admits(None));
    // A dataset that does not say whom its rows are about is not read at all.
    assert!(access.rules(None).is_err());
}

#[test]
fn the_withdrawal_of_an_opt_out_is_a_new_epoch() {
    let mut network = Network::new();
    let first = network.list.root();
    network.list = OptOutList::after(1, [], &mut OsEntropy).unwrap();
    let scope = Scope::new(holder(), DealId::new("deal-1").unwrap());
    let early = OptOutsApplied::bind(scope.clone(), &network.list, &network.state(), []);
    assert_eq!(early.unwrap_err(), OptOutsRefused::OtherEpoch { current: 1, list: 2 });
    network.publish_opt_outs();
    assert_ne!(first, network.list.root());
    let release = network.key_release();
    let access = release.access(&network.dataset.dataset).unwrap();
    let rules = access.rules(Some(&ColumnPath::new("patient_id").unwrap())).unwrap();
    assert!(rules[0].admits(Some("p7")));
    assert_eq!(release.terms().optout_epoch(), 2);
}

#[test]
fn a_list_that_was_shortened_is_not_the_published_one() {
    let network = Network::new();
    let shortened = OptOutList::stored(1, Secret::new(*network.list.salt().expose()), []);
    let scope = Scope::new(holder(), DealId::new("deal-1").unwrap());
    let refused = OptOutsApplied::bind(scope, &shortened, &network.state(), []).unwrap_err();
    assert_eq!(refused, OptOutsRefused::OtherList { epoch: 1 });
}

#[test]
fn each_way_around_the_permit_is_refused_and_named() {
    let network = Network::new();
    let said = |request| network.checked(request).unwrap_err().to_string();
    let ask = || network.request();
    assert!(said(SecondaryRequest { purpose: Purpose::Statistics, ..ask() }).contains("purpose"));
    let other = PermitId::new("permit-0").unwrap();
    let state = network.checked(SecondaryRequest { permit: other, ..ask() }).unwrap_err();
    assert!(matches!(state, RequestRefused::Evidence(_)), "{state}");
    let ahead = network.now().saturating_add_micros(1);
    let late = ahead.saturating_add_micros(60_000_000);
    let early = SecondaryRequest { issued: ahead, expires: late, ..ask() };
    assert!(matches!(network.checked(early).unwrap_err(), RequestRefused::Time { .. }));
    let long = ask().issued.saturating_add_micros(MAX_REQUEST_MICROS + 1);
    let long = network.checked(SecondaryRequest { expires: long, ..ask() }).unwrap_err();
    assert!(matches!(long, RequestRefused::Time { .. }));
    let elsewhere = HolderId::new("charite").unwrap();
    let elsewhere = network.checked(SecondaryRequest { holder: elsewhere, ..ask() }).unwrap_err();
    assert!(matches!(elsewhere, RequestRefused::OtherHolder { .. }));
    let foreign = World::with(|mut genesis| {
        genesis.nonce = salus_ledger::Nonce::new([9; 16]);
        genesis
    });
    let foreign = SecondaryRequest { ledger: foreign.ledger, ..ask() };
    assert!(matches!(network.checked(foreign).unwrap_err(), RequestRefused::OtherLedger));
}

#[test]
fn a_permit_of_somebody_else_does_not_help() {
    let network = Network::new();
    let signed = SignedRequest::sign(network.request(), &key("eve"));
    let state = network.state();
    let (now, columns) = (network.now(), wanted(&["sex"]));
    let refused = PermitChecked::verify_request(&signed, &holder(), &columns, &state, now, FRESH);
    assert!(refused.unwrap_err().to_string().contains("another key"));
    // Nor does changing what somebody else signed.
    let signed = SignedRequest::sign(network.request(), &key(PERSON));
    let mut changed = serde_json::to_value(&signed).unwrap();
    changed["request"]["question"] = serde_json::to_value(Digest::of(b"who?")).unwrap();
    let changed: SignedRequest = serde_json::from_value(changed).unwrap();
    let refused = PermitChecked::verify_request(&changed, &holder(), &columns, &state, now, FRESH);
    assert_eq!(refused.unwrap_err(), RequestRefused::Signature);
}

#[test]
fn columns_and_datasets_outside_the_permit_are_named() {
    let network = Network::new();
    let signed = SignedRequest::sign(network.request(), &key(PERSON));
    let check = |wanted: &BTreeMap<DatasetId, BTreeSet<ColumnPath>>| {
        let (state, now) = (network.state(), network.now());
        PermitChecked::verify_request(&signed, &holder(), wanted, &state, now, FRESH).unwrap_err()
    };
    let refused = check(&wanted(&["sex", "family_name"])).to_string();
    assert!(refused.contains("family_name"), "{refused}");
    let other = BTreeMap::from([(
        DatasetId::new("billing").unwrap(),
        BTreeSet::from([ColumnPath::new("sum").unwrap()]),
    )]);
    assert!(check(&other).to_string().contains("billing"));
    assert_eq!(check(&BTreeMap::new()), RequestRefused::Nothing);
}

#[test]
fn expiry_and_revocation_end_a_permit() {
    let network = Network::with(|terms| PermitTerms {
        expires: "2026-03-01T00:01:00Z".parse().unwrap(),
        ..terms
    });
    let mut late = Network { world: network.world.clone(), ..network };
    late.world.now = "2026-03-01T00:00:59Z".parse().unwrap();
    late.publish_next_epoch();
    let refused = late.checked(late.request()).unwrap_err().to_string();
    assert!(refused.contains("expired"), "{refused}");

    let mut revoked = Network::new();
    let (permit, reason) = (revoked.permit.clone(), RevocationReason::Breach);
    revoked.world.applied(RevokePermit { permit, reason }, &[HUB]);
    let refused = revoked.checked(revoked.request()).unwrap_err().to_string();
    assert!(refused.contains("revoked"), "{refused}");
}

impl Network {
    fn publish_next_epoch(&mut self) {
        let before = self.list.epoch();
        self.list = OptOutList::after(before, [], &mut OsEntropy).unwrap();
        self.publish_opt_outs();
    }
}

#[test]
fn an_old_state_hides_no_revocation() {
    let mut network = Network::new();
    let evidence = network.evidence();
    let (permit, reason) = (network.permit.clone(), RevocationReason::Breach);
    network.world.applied(RevokePermit { permit, reason }, &[HUB]);
    network.world.now = network.world.now.saturating_add_micros(FRESH.max_age_micros);
    let old = ProvenState::verify(&evidence, &network.anchor()).unwrap();
    let signed = SignedRequest::sign(network.request(), &key(PERSON));
    let (now, columns) = (network.now(), wanted(&["sex"]));
    let refused = PermitChecked::verify_request(&signed, &holder(), &columns, &old, now, FRESH);
    assert!(matches!(refused.unwrap_err(), RequestRefused::Stale { .. }));
}

#[test]
fn forged_evidence_proves_nothing() {
    let network = Network::new();
    let anchor = network.anchor();
    let mut two = network.evidence();
    two.finality.certificate =
        certify_with(&two.finality.header, &["val-1", "val-2", "mallory", "eve"]);
    assert!(ProvenState::verify(&two, &anchor).is_err());
    let mut swapped = network.evidence();
    swapped.finality.header.state = salus_ledger::StateRoot::new([7; 32]);
    assert!(ProvenState::verify(&swapped, &anchor).is_err());
}

fn certify_with(
    header: &salus_ledger::block::BlockHeader,
    names: &[&str; 4],
) -> salus_ledger::block::Certificate {
    certify(header, names, &names[..3])
}

#[test]
fn a_receipt_for_another_result_or_charge_releases_nothing() {
    let mut network = Network::new();
    let (held, other) = (network.held(bounded(100)), network.held(bounded(100)));
    let anchor = network.anchor();
    let wanted = other.receipt_wanted(&read(), None).unwrap();
    let receipt = network.receipt(wanted, &[ANNA]);
    let refused = BudgetCharged::verify(&receipt, &anchor, &held).unwrap_err();
    assert_eq!(refused, ReceiptRefused::Differs { field: "result" });

    let mut cheap = held.receipt_wanted(&read(), None).unwrap();
    cheap.uses[0].charge = bounded(1);
    let receipt = network.receipt(cheap, &[ANNA]);
    let refused = BudgetCharged::verify(&receipt, &anchor, &held).unwrap_err();
    assert_eq!(refused, ReceiptRefused::Differs { field: "charge" });

    // Two results of one deal: the receipt of one does not let the other out.
    let receipt = network.receipt(held.receipt_wanted(&read(), None).unwrap(), &[ANNA]);
    let (charged, final_) = BudgetCharged::verify(&receipt, &anchor, &held).unwrap();
    let refused = release(other, SecondaryClearance::Charged(charged), final_);
    assert_eq!(refused.err(), Some(ReleaseRefused::OtherResult));
}

#[test]
fn a_charge_that_the_account_cannot_bear_yields_no_receipt() {
    let mut network = Network::new();
    let held = network.held(bounded(500_001));
    let call = held.receipt_wanted(&read(), None).unwrap();
    let receipt = network.receipt(call, &[ANNA]);
    let refused = BudgetCharged::verify(&receipt, &network.anchor(), &held).unwrap_err();
    assert!(matches!(refused, ReceiptRefused::Receipt(_)), "{refused}");
}

#[test]
fn a_result_without_a_price_is_not_sealed() {
    let network = Network::new();
    let unpriced =
        network.key_release().enclose(Priced { value: Vec::new(), charges: BTreeMap::new() });
    let refused = seal_result(unpriced, &mut OsEntropy).err();
    let dataset = network.dataset.dataset.clone();
    assert_eq!(refused, Some(SealResultRefused::Unpriced { dataset }));
}
