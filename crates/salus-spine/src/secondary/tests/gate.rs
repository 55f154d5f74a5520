//! The release gate from the holder's side: nothing without a bound leaves on less than the
//! approvals that the ledger counted, of exactly this result.

use salus_crypto::aead::AeadKey;
use salus_ledger::GateDecision;
use salus_ledger::call::{DecideReview, Release, RevokeKey, SetMemberRoles, SubmitForReview};
use salus_ledger::policy::Role;
use salus_ledger::proof::{GatePassed, ReceiptError, verify_receipt};
use salus_ledger::review::{Reviewed, Verdict};
use salus_ledger::{ReportDigest, ReviewId};
use salus_testkit::ledger::world::UNI;

use super::*;

const OFFICER: &str = "officer";
const REVIEWER: &str = "reviewer";
const BOTH: [&str; 2] = [OFFICER, REVIEWER];

type Waiting = crate::Held<SealedResult, Secondary>;

/// A network with two reviewers, and a result without a bound that waits for them.
fn gate() -> (Network, Waiting) {
    let mut network = Network::new();
    network.world.bind(HUB, OFFICER, &[Role::Officer]);
    network.world.bind(ANNA, REVIEWER, &[Role::Reviewer]);
    let held = network.held(PrivacyCharge::NotBounded);
    (network, held)
}

impl Network {
    fn submit(&mut self, release: Release) -> ReviewId {
        let report = ReportDigest::new(seed("report"));
        let call = SubmitForReview { release, report, score: None, supersedes: [].into() };
        self.world.applied(call, &[ANNA]).review()
    }

    fn decides(&mut self, review: ReviewId, who: &str, verdict: Verdict) {
        let call = DecideReview { review, reviewer: signer(who).public_key(), verdict };
        self.world.applied(call, &[who]);
    }

    fn approved(&mut self, release: Release) -> ReviewId {
        let review = self.submit(release);
        BOTH.iter().for_each(|who| self.decides(review, who, Verdict::Approve));
        review
    }

    /// What the holder's node learns when it records the result on these approvals.
    fn out(
        &mut self,
        held: &Waiting,
        review: ReviewId,
        approvals: &[&str],
    ) -> Result<(ReleaseApproved, ReceiptFinal), ReceiptRefused> {
        let approvals = approvals.iter().map(|name| signer(name).public_key()).collect();
        let wanted = held.receipt_wanted(&read(), Some(Reviewed { review, approvals })).unwrap();
        let receipt = self.receipt(wanted, &[ANNA]);
        ReleaseApproved::verify(&receipt, &self.anchor(), held)
    }
}

fn rule(refused: Result<(ReleaseApproved, ReceiptFinal), ReceiptRefused>) -> String {
    match refused {
        Err(ReceiptRefused::Receipt(ReceiptError::Refused { rule })) => rule.as_str().to_owned(),
        other => format!("{other:?}"),
    }
}

fn bare(held: &Waiting) -> Release {
    held.receipt_wanted(&read(), None).unwrap()
}

#[test]
fn what_has_no_bound_goes_out_on_two_approvals_and_the_receipt_names_them() {
    let (mut network, held) = gate();
    let review = network.approved(bare(&held));
    let keys: BTreeSet<_> = BOTH.iter().map(|name| signer(name).public_key()).collect();
    let wanted = Reviewed { review, approvals: keys };
    let release_call = held.receipt_wanted(&read(), Some(wanted.clone())).unwrap();
    let receipt = network.receipt(release_call, &[ANNA]);
    let anchor = network.anchor();
    let shown = verify_receipt(&receipt, &anchor).unwrap();
    assert_eq!(shown.gate, Some(GatePassed::Reviewed(wanted.clone())));
    let refused = BudgetCharged::verify(&receipt, &anchor, &held).unwrap_err();
    assert_eq!(refused, ReceiptRefused::NotBounded);
    let (approved, final_) = ReleaseApproved::verify(&receipt, &anchor, &held).unwrap();
    assert_eq!(approved.reviewed(), &wanted);
    let released = release(held, SecondaryClearance::Approved(approved), final_).unwrap();
    let message = released.into_inner().into_message();
    let context = network.request().result_context();
    assert_eq!(network.recipient.open(&context, &[], &message).unwrap().as_slice(), b"42");
}

#[test]
fn nothing_goes_out_without_a_review_before_the_second_approval_or_after_a_refusal() {
    let (mut network, held) = gate();
    let unreviewed = network.receipt(bare(&held), &[ANNA, HUB]);
    let refused = ReleaseApproved::verify(&unreviewed, &network.anchor(), &held);
    assert_eq!(rule(refused), "reviews.not-reviewed");
    let review = network.submit(bare(&held));
    network.decides(review, OFFICER, Verdict::Approve);
    assert_eq!(rule(network.out(&held, review, &[OFFICER])), "reviews.too-few");
    assert_eq!(rule(network.out(&held, review, &BOTH)), "reviews.no-approval");
    network.decides(review, REVIEWER, Verdict::Refuse);
    assert_eq!(rule(network.out(&held, review, &BOTH)), "reviews.refused");
    network.decides(review, REVIEWER, Verdict::Approve);
    network.decides(review, OFFICER, Verdict::Refuse);
    assert_eq!(rule(network.out(&held, review, &BOTH)), "reviews.refused");
    network.decides(review, OFFICER, Verdict::Approve);
    assert!(network.out(&held, review, &BOTH).is_ok());
}

#[test]
fn nobody_approves_twice_or_what_is_their_own() {
    let (mut network, held) = gate();
    network.world.bind(UNI, "uni officer", &[Role::Officer]);
    network.world.bind(ANNA, ANNA, &[Role::Holder, Role::Administrator, Role::Reviewer]);
    let review = network.submit(bare(&held));
    network.decides(review, OFFICER, Verdict::Approve);
    for (who, refused) in [
        (OFFICER, "reviews.twice"),
        (PERSON, "reviews.no-reviewer"),
        ("uni officer", "reviews.own"),
        (ANNA, "reviews.own"),
    ] {
        let (reviewer, verdict) = (signer(who).public_key(), Verdict::Approve);
        network.world.refused(DecideReview { review, reviewer, verdict }, &[who], refused);
        let out = network.out(&held, review, &[OFFICER, who]);
        let expected = if who == OFFICER { "reviews.too-few" } else { "reviews.no-approval" };
        assert_eq!(rule(out), expected, "{who}");
    }
}

#[test]
fn approvals_for_another_result_permit_or_deal_release_nothing() {
    let (mut network, held) = gate();
    let other = network.held(PrivacyCharge::NotBounded);
    let review = network.approved(bare(&other));
    assert_eq!(rule(network.out(&held, review, &BOTH)), "reviews.other-release");
    // The receipt of the approved one is a true one, and is not this result's.
    let approvals = BOTH.iter().map(|name| signer(name).public_key()).collect();
    let wanted = other.receipt_wanted(&read(), Some(Reviewed { review, approvals })).unwrap();
    let receipt = network.receipt(wanted, &[ANNA]);
    let anchor = network.anchor();
    let refused = ReleaseApproved::verify(&receipt, &anchor, &held).unwrap_err();
    assert_eq!(refused, ReceiptRefused::Differs { field: "result" });
    let (approved, final_) = ReleaseApproved::verify(&receipt, &anchor, &other).unwrap();
    let refused = release(held, SecondaryClearance::Approved(approved), final_);
    assert_eq!(refused.err(), Some(ReleaseRefused::OtherResult));

    // The same result under another permit of the same person's.
    let (mut network, held) = gate();
    let review = network.approved(bare(&held));
    let terms = network.world.terms(&[(&network.dataset.clone(), 1_000)]);
    let permit = network.world.permit("another person", terms);
    let approvals = BOTH.iter().map(|name| signer(name).public_key()).collect();
    let mut replayed = held.receipt_wanted(&read(), Some(Reviewed { review, approvals })).unwrap();
    (replayed.permit, replayed.actor) = (permit, signer("another person").public_key());
    let receipt = network.receipt(replayed, &[ANNA]);
    let refused = ReleaseApproved::verify(&receipt, &network.anchor(), &held);
    assert_eq!(rule(refused), "reviews.other-release");
}

#[test]
fn a_reviewer_whose_key_or_role_is_gone_clears_nothing() {
    for lost in ["key", "role"] {
        let (mut network, held) = gate();
        let review = network.approved(bare(&held));
        match lost {
            "key" => {
                let key = signer(REVIEWER).public_key();
                network.world.applied(RevokeKey { key }, &[ANNA]);
            }
            _ => {
                let member = network.dataset.holder.clone();
                let roles = [Role::Holder, Role::Administrator].into();
                network.world.applied(SetMemberRoles { member, roles }, &[HUB, ANNA]);
            }
        }
        assert_eq!(rule(network.out(&held, review, &BOTH)), "reviews.no-approval", "{lost}");
        assert_eq!(rule(network.out(&held, review, &[OFFICER])), "reviews.too-few", "{lost}");
    }
}

#[test]
fn an_officers_signature_under_the_first_rules_approves_nothing_here() {
    let mut network = Network::on(|genesis| genesis, |terms| terms);
    let held = network.held(PrivacyCharge::NotBounded);
    let mut signed_off = bare(&held);
    signed_off.gate = Some(GateDecision::new(seed("gate")));
    let receipt = network.receipt(signed_off, &[ANNA, HUB]);
    let anchor = network.anchor();
    let shown = verify_receipt(&receipt, &anchor).unwrap();
    assert!(matches!(shown.gate, Some(GatePassed::SignedOff(_))));
    let refused = ReleaseApproved::verify(&receipt, &anchor, &held).unwrap_err();
    assert_eq!(refused, ReceiptRefused::NotReviewed);
    // And a release that names approvals is not decided by rules that count none.
    let named = Reviewed { review: ReviewId::new([1; 32]), approvals: [].into() };
    let wanted = held.receipt_wanted(&read(), Some(named)).unwrap();
    let receipt = network.receipt(wanted, &[ANNA, HUB]);
    let refused = ReleaseApproved::verify(&receipt, &anchor, &held);
    assert_eq!(rule(refused), "reviews.later-rules");
}

#[test]
fn a_receipt_whose_approvals_were_changed_proves_nothing() {
    let (mut network, held) = gate();
    let review = network.approved(bare(&held));
    let approvals = BOTH.iter().map(|name| signer(name).public_key()).collect();
    let wanted = held.receipt_wanted(&read(), Some(Reviewed { review, approvals })).unwrap();
    let receipt = network.receipt(wanted, &[ANNA]);
    let officer = *signer(OFFICER).public_key().as_bytes();
    let at = receipt.windows(32).position(|window| window == officer).unwrap();
    let mut forged = receipt.clone();
    forged[at..at + 32].copy_from_slice(signer("mallory").public_key().as_bytes());
    let refused = ReleaseApproved::verify(&forged, &network.anchor(), &held);
    assert!(matches!(refused, Err(ReceiptRefused::Receipt(_))), "{refused:?}");
}

impl Network {
    fn for_review(&self, value: &[u8]) -> crate::ForReview {
        let charges = BTreeMap::from([(self.dataset.dataset.clone(), PrivacyCharge::NotBounded)]);
        let result = Priced { value: value.to_vec(), charges };
        let checked = Checked { result, checks: b"score 91".to_vec() };
        let key = AeadKey::from_secret(Secret::new(seed("keeping")));
        seal_for_review(self.key_release().enclose(checked), &key, &mut OsEntropy).unwrap()
    }

    fn premises_of(&self, deal: &str) -> OnPremises {
        let statement = PremisesStatement {
            scope: Scope::new(holder(), DealId::new(deal).unwrap()),
            issued: self.world.now,
            expires: self.world.now.saturating_add_micros(60_000_000),
        };
        let signed = self.premises.sign(statement);
        OnPremises::verify(&signed, &self.premises.verifier(), self.now()).unwrap()
    }
}

#[test]
fn a_review_copy_opens_on_the_holders_premises_for_its_own_deal_and_result_alone() {
    let network = Network::new();
    let (one, other) = (network.for_review(b"table of beds"), network.for_review(b"table of beds"));
    assert_eq!(one.checks, b"score 91");
    let key = AeadKey::from_secret(Secret::new(seed("keeping")));
    let here = network.premises_of("deal-1");
    assert_eq!(one.copy.open(&one.held, &here, &key).unwrap().as_slice(), b"table of beds");
    let stored = one.copy.clone().into_bytes();
    assert!(!stored.windows(13).any(|w| w == b"table of beds"), "the copy lies in the clear");
    let again = ReviewCopy::from_bytes(stored.clone());
    assert_eq!(again.open(&one.held, &here, &key).unwrap().as_slice(), b"table of beds");
    // The same rows under another salt are another result, on which others decided.
    assert!(one.copy.open(&other.held, &here, &key).is_err());
    assert!(one.copy.open(&one.held, &network.premises_of("deal-2"), &key).is_err());
    let foreign = AeadKey::from_secret(Secret::new(seed("another holder's")));
    assert!(one.copy.open(&one.held, &here, &foreign).is_err());
    for at in [0, stored.len() / 2, stored.len() - 1] {
        let mut altered = stored.clone();
        altered[at] ^= 1;
        assert!(ReviewCopy::from_bytes(altered).open(&one.held, &here, &key).is_err(), "{at}");
    }
}

#[test]
fn what_waits_with_its_copy_goes_out_on_the_approvals_of_exactly_it() {
    let (mut network, _) = gate();
    let waits = network.for_review(b"table of beds");
    let kept = network.for_review(b"table of beds").held;
    let review = network.approved(bare(&waits.held));
    assert_eq!(rule(network.out(&kept, review, &BOTH)), "reviews.other-release");
    let (approved, final_) = network.out(&waits.held, review, &BOTH).unwrap();
    let released = release(waits.held, SecondaryClearance::Approved(approved), final_).unwrap();
    let message = released.into_inner().into_message();
    let context = network.request().result_context();
    let opened = network.recipient.open(&context, &[], &message).unwrap();
    assert_eq!(opened.as_slice(), b"table of beds");
}
