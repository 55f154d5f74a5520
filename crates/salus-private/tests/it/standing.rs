//! A count that is followed over time: charged once, and never twice with other noise.

use salus_crypto::OsEntropy;
use salus_ledger::call::{AdvanceOptOutEpoch, RevocationReason, RevokePermit};
use salus_ledger::proof::verify_receipt;
use salus_model::{Class, Classified as _, MicroRho, PrivacyCharge};
use salus_private::standing::Followed;
use salus_private::{DeskError, LedgerRefused, QuestionError, Reply};
use salus_spine::{OptOutList, SignedRequest};
use salus_testkit::ledger::world::{ANNA, HUB};

use crate::network::{Fate, Network, PATIENTS, PERSON};

const INNER: &str = r#"{"dataset":"conditions","query":"distinct-units",
    "filter":{"compare":{"column":"code","is":"=","value":"c1"}},
    "spend":{"rho":400000},"mechanism":"gaussian"}"#;

fn standing(ticks: u32, turns: u32, inner: &str) -> String {
    serde_json::json!({ "standing": { "ticks": ticks, "turns": turns }, "question": inner })
        .to_string()
}

/// Patient 7 has code c1 and opted out before the first answer.
fn exact(opted_out: &[usize]) -> f64 {
    (0..PATIENTS).filter(|i| i % 3 == 1 && *i != 7 && !opted_out.contains(i)).count() as f64
}

impl Network {
    async fn asked(&self, text: &str) -> (SignedRequest, Result<Reply, DeskError>) {
        let request = self.request(text, PERSON);
        let reply = self.desk.answer(&request, text).await;
        (request, reply)
    }

    /// The next answer.
    async fn next(&self, text: &str) -> (Followed, Reply) {
        let (request, reply) = self.asked(text).await;
        let reply = reply.unwrap();
        (self.open(&request, &reply), reply)
    }

    /// These patients opt out as well.
    pub(crate) fn opt_out(&self, epoch: u64, more: &[usize]) {
        let people = more.iter().chain(&[7]).map(|i| format!("p{i}"));
        let list = OptOutList::after(epoch - 1, people, &mut OsEntropy).unwrap();
        let (epoch, root) = (list.epoch(), list.root());
        let holder = self.dataset.holder.clone();
        let call = AdvanceOptOutEpoch { holder, epoch, root };
        self.chain.world.lock().applied(call, &[ANNA]);
        self.desk.apply_opt_outs(list);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_is_followed_for_one_charge_and_ends_when_it_said() {
    let network = Network::new().await;
    let text = standing(3, 2, INNER);
    let planned = network.desk.explain(&text).unwrap();
    assert_eq!(planned.cost().rho, MicroRho::new(400_000));
    let (first, reply) = network.next(&text).await;
    assert_eq!(network.spent(), 400_000);
    // Nothing has changed: the same answer, for nothing, and no tick is used up.
    let (again, repeated) = network.next(&text).await;
    assert_eq!((again, repeated.message), (first.clone(), reply.message.clone()));
    assert!(repeated.charges.is_empty());

    network.opt_out(2, &[1, 4, 10, 13]);
    let (second, reply) = network.next(&text).await;
    network.opt_out(3, &[1, 4, 10, 13, 16]);
    let (third, _) = network.next(&text).await;
    assert_eq!(network.spent(), 400_000, "charged once");
    assert_eq!(third.series[..2], second.series[..]);
    assert_eq!(third.series[..1], first.series[..]);
    let verified = verify_receipt(&reply.receipt, &network.anchor).unwrap();
    assert_eq!(verified.uses[0].charge, PrivacyCharge::Bounded(MicroRho::ZERO));
    assert_eq!(verified.uses[0].optout_epoch, 2);
    // Two levels and two turns at ρ = 0.4: σ² = 2·2/0.8 = 5 for each of up to two nodes, so a
    // standard error of 3.2 at the most; twelve of them miss once in 10^32 runs.
    let truth = [exact(&[]), exact(&[1, 4, 10, 13]), exact(&[1, 4, 10, 13, 16])];
    for (point, truth) in third.series.iter().zip(truth) {
        let error = (point.estimate.value - truth).abs();
        println!("tick {} estimate {} exact {truth}", point.tick, point.estimate.value);
        assert!(error < 12.0 * point.estimate.standard_error, "{point:?} {truth}");
        assert!(point.estimate.standard_error < 3.3);
    }
    network.opt_out(4, &[1]);
    let (_, over) = network.asked(&text).await;
    assert_eq!(over.unwrap_err().class(), Class::Refused);
    assert_eq!(network.spent(), 400_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_ledger_and_answer_loses_nothing_and_draws_no_second_noise() {
    for fate in [Fate::AnswerLost, Fate::Killed] {
        let mut network = Network::new().await;
        let text = standing(4, 2, INNER);
        let (first, _) = network.next(&text).await;
        network.opt_out(2, &[1, 4]);
        *network.chain.fate.lock() = fate;
        let request = network.request(&text, PERSON);
        let waiting = std::time::Duration::from_millis(1500);
        let lost = tokio::time::timeout(waiting, network.desk.answer(&request, &text)).await;
        assert!(!matches!(lost, Ok(Ok(_))), "it was answered");
        *network.chain.fate.lock() = Fate::Answered;
        network.restart_at(2, &[1, 4]).await;
        let recorded = network.chain.recorded.lock().len();
        let (second, reply) = network.next(&text).await;
        assert_eq!(network.chain.recorded.lock().len(), recorded, "handed out, not made anew");
        assert_eq!(second.series.len(), 2);
        assert_eq!(second.series[0], first.series[0]);
        verify_receipt(&reply.receipt, &network.anchor).unwrap();
        network.opt_out(3, &[1, 4, 10]);
        let (third, _) = network.next(&text).await;
        assert_eq!(third.series[..2], second.series[..]);
        assert_eq!(network.spent(), 400_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_out_of_reach_draws_nothing_and_loses_nothing() {
    let mut network = Network::new().await;
    let text = standing(2, 2, INNER);
    network.next(&text).await;
    network.opt_out(2, &[1]);
    *network.chain.fate.lock() = Fate::AnswerLost;
    network.asked(&text).await.1.unwrap_err();
    *network.chain.fate.lock() = Fate::Answered;
    // A ledger out of reach: nothing is drawn, nothing is lost.
    *network.chain.down.lock() = true;
    let (_, down) = network.asked(&text).await;
    assert_eq!(down.unwrap_err().class(), Class::Unavailable);
    *network.chain.down.lock() = false;
    network.restart_at(2, &[1]).await;
    let (second, _) = network.next(&text).await;
    assert_eq!(second.series.len(), 2);
}

/// Whoever puts an older copy of the holder's memory back would get a tick again with other noise,
/// and could average it away.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_memory_put_back_gets_nothing_from_the_ledger() {
    let network = Network::new().await;
    let text = standing(8, 2, INNER);
    network.next(&text).await;
    let older = network.standing.0.lock().clone();
    network.opt_out(2, &[1]);
    network.next(&text).await;
    *network.standing.0.lock() = older;
    network.opt_out(3, &[1, 4]);
    let (_, refused) = network.asked(&text).await;
    let rule = match refused.unwrap_err() {
        DeskError::Ledger(LedgerRefused::Rule { rule, .. }) => rule,
        other => panic!("{other:?}"),
    };
    assert_eq!(rule, "accounts.tick-order");
    // An altered one does not open, and no new count begins at its place.
    for entry in network.standing.0.lock().values_mut() {
        let middle = entry.len() / 2;
        entry[middle] ^= 1;
    }
    let (_, altered) = network.asked(&text).await;
    assert_eq!(altered.unwrap_err().class(), Class::Corrupt);
    assert_eq!(network.spent(), 400_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_permit_a_replay_and_another_kind_of_question_follow_nothing() {
    let network = Network::new().await;
    let text = standing(8, 2, INNER);
    let (request, reply) = network.asked(&text).await;
    reply.unwrap();
    let replayed = network.desk.answer(&request, &text).await.unwrap_err();
    assert!(matches!(replayed, DeskError::Replayed));
    for (ticks, turns, inner, class) in [
        (0, 1, INNER.to_owned(), Class::BadRequest),
        (10_001, 1, INNER.to_owned(), Class::BadRequest),
        (1, 0, INNER.to_owned(), Class::BadRequest),
        (1, 1, INNER.replace("\"distinct-units\"", "\"count\""), Class::BadRequest),
        (1, 1, INNER.replace("gaussian", "laplace"), Class::BadRequest),
    ] {
        let text = standing(ticks, turns, &inner);
        let (_, refused) = network.asked(&text).await;
        let refused = refused.unwrap_err();
        println!("{refused}");
        assert_eq!(refused.class(), class, "{text}");
    }
    let nested = standing(2, 1, &standing(2, 1, INNER));
    let (_, refused) = network.asked(&nested).await;
    assert!(matches!(refused, Err(DeskError::Question(QuestionError::Text { .. }))));
    // Beyond the permit's budget the ledger refuses, and nothing is remembered of the count.
    let dear = standing(2, 1, &INNER.replace("400000", "450000"));
    let (_, refused) = network.asked(&dear).await;
    assert_eq!(refused.unwrap_err().class(), Class::Refused);
    assert_eq!(network.spent(), 400_000);
    let permit = network.permit.clone();
    let reason = RevocationReason::Requested;
    network.chain.world.lock().applied(RevokePermit { permit, reason }, &[HUB]);
    network.opt_out(2, &[1]);
    let (_, revoked) = network.asked(&text).await;
    assert_eq!(revoked.unwrap_err().class(), Class::Refused);
}

/// Nothing that lies on the disk names a patient or shows a count.
#[tokio::test(flavor = "multi_thread")]
async fn the_memory_on_the_disk_is_sealed() {
    let network = Network::new().await;
    let text = standing(8, 2, INNER);
    network.next(&text).await;
    let kept: Vec<Vec<u8>> = network.standing.0.lock().values().cloned().collect();
    assert_eq!(kept.len(), 1);
    for needle in ["\"series\"", "\"levels\"", "\"exact\"", "standing", "conditions"] {
        let found = kept[0].windows(needle.len()).any(|w| w == needle.as_bytes());
        assert!(!found, "{needle}");
    }
}
