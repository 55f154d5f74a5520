use salus_ledger::call::{PermitTerms, RevocationReason, RevokePermit};
use salus_ledger::proof::verify_receipt;
use salus_model::{Class, Classified as _, MicroRho, PrivacyCharge};
use salus_private::{DeskError, LedgerRefused};
use salus_spine::{OptOutsRefused, RequestRefused, result_hash};
use salus_testkit::ledger::world::{HUB, columns};

use crate::network::{Fate, Network, PATIENTS, PERSON};

const COUNT: &str = r#"{"dataset":"conditions","query":"count",
    "filter":{"compare":{"column":"code","is":"=","value":"c1"}},
    "spend":{"rho":50000},"mechanism":"gaussian"}"#;

fn with_rho(rho: u64) -> String {
    COUNT.replace("50000", &rho.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_noisy_count_comes_back_with_a_receipt_that_verifies_offline() {
    let network = Network::new().await;
    let request = network.request(COUNT, PERSON);
    let reply = network.desk.answer(&request, COUNT).await.unwrap();
    let answer = network.open::<salus_dp::Answer>(&request, &reply);
    let estimate = answer.rows[0].estimate.unwrap();
    // Patient 7 has code c1 and opted out.
    let exact = (0..PATIENTS).filter(|i| i % 3 == 1 && *i != 7).count() as f64;
    // ρ = 0.05 at sensitivity 2 (a unit may contribute two rows, each in one group of one):
    // the standard deviation is 2/sqrt(2ρ) = 6.3; twelve of them miss once in 10^32 runs.
    println!("estimate {} exact {exact} bound {}", estimate.value, 12.0 * 6.4);
    assert!((estimate.value - exact).abs() < 12.0 * 6.4, "{estimate:?} {exact}");

    let verified = verify_receipt(&reply.receipt, &network.anchor).unwrap();
    assert_eq!(verified.permit, network.permit);
    assert_eq!(verified.uses.len(), 1);
    assert_eq!(verified.uses[0].columns, columns(&["patient_id", "code"]));
    assert_eq!(verified.uses[0].optout_epoch, 1);
    let charge = PrivacyCharge::Bounded(MicroRho::new(50_000));
    assert_eq!(verified.uses[0].charge, charge);
    assert_eq!(verified.result, result_hash(&reply.salt, &reply.message));
    assert_eq!(network.spent(), 50_000);
    assert_eq!(network.audit.head().sequence, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_costs_nothing_and_says_the_same() {
    let network = Network::new().await;
    let first = network.request(COUNT, PERSON);
    let reply = network.desk.answer(&first, COUNT).await.unwrap();
    let again = network.request(COUNT, PERSON);
    let repeated = network.desk.answer(&again, COUNT).await.unwrap();
    assert_eq!(repeated.message, reply.message);
    assert!(repeated.charges.is_empty());
    assert_eq!(network.spent(), 50_000);
    // The very same request is a recording of it.
    let replayed = network.desk.answer(&again, COUNT).await.unwrap_err();
    assert!(matches!(replayed, DeskError::Replayed));
    // The same words with a blank more are another question, with noise and price of its own.
    let other = format!("{COUNT} ");
    let request = network.request(&other, PERSON);
    network.desk.answer(&request, &other).await.unwrap();
    assert_eq!(network.spent(), 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_ends_it_and_two_that_race_for_the_last_do_not_both_win() {
    let network = Network::new().await;
    // 500,000 on the permit: four of 120,000 fit, and of the two that race for the rest none;
    // then one of 20,000 does.
    for round in 0..4 {
        let text = format!("{}{}", with_rho(120_000), " ".repeat(round));
        let request = network.request(&text, PERSON);
        network.desk.answer(&request, &text).await.unwrap();
    }
    let (one, two) = (with_rho(15_000), format!("{} ", with_rho(15_000)));
    let (first, second) = (network.request(&one, PERSON), network.request(&two, PERSON));
    let (first, second) =
        tokio::join!(network.desk.answer(&first, &one), network.desk.answer(&second, &two));
    assert_eq!([&first, &second].iter().filter(|r| r.is_ok()).count(), 1);
    let refused = first.err().or(second.err()).unwrap();
    assert_eq!(refused.class(), Class::Refused);
    assert!(
        matches!(
            &refused,
            DeskError::Ledger(LedgerRefused::Rule { rule, .. }) if rule == "permits.budget"
        ),
        "{refused}"
    );
    assert_eq!(network.spent(), 495_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_permit_no_key_is_touched() {
    let network = Network::new().await;
    let stranger = network.request(COUNT, "eve");
    let refused = network.desk.answer(&stranger, COUNT).await.unwrap_err();
    assert!(matches!(refused, DeskError::Request(RequestRefused::NotCovered(_))), "{refused}");

    let text = COUNT.replace("\"code\"", "\"family_name\"");
    let request = network.request(&text, PERSON);
    let refused = network.desk.answer(&request, &text).await.unwrap_err();
    assert!(matches!(refused, DeskError::Question(_)), "{refused}");

    let other = network.request("another question", PERSON);
    let refused = network.desk.answer(&other, COUNT).await.unwrap_err();
    assert!(matches!(refused, DeskError::OtherQuestion));

    let late = network.request(COUNT, PERSON);
    network.clock.advance_micros(301_000_000);
    let refused = network.desk.answer(&late, COUNT).await.unwrap_err();
    assert!(matches!(refused, DeskError::Request(RequestRefused::Time { .. })), "{refused}");

    let permit = network.permit.clone();
    let reason = RevocationReason::Breach;
    network.chain.world.lock().applied(RevokePermit { permit, reason }, &[HUB]);
    let revoked = network.request(COUNT, PERSON);
    let refused = network.desk.answer(&revoked, COUNT).await.unwrap_err().to_string();
    assert!(refused.contains("revoked"), "{refused}");
    assert_eq!(network.spent(), 0);
    // Every one of them is in the access log.
    assert_eq!(network.audit.head().sequence, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_outside_the_permit_is_named() {
    let narrow = |mut terms: PermitTerms| {
        terms.grounds[0].columns = columns(&["patient_id", "sex"]);
        terms
    };
    let network = Network::with(narrow, Some("patient_id")).await;
    let request = network.request(COUNT, PERSON);
    let refused = network.desk.answer(&request, COUNT).await.unwrap_err().to_string();
    assert!(refused.contains("column code"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_without_a_subject_is_not_used() {
    let network = Network::with(|terms| terms, None).await;
    let request = network.request(COUNT, PERSON);
    let refused = network.desk.answer(&request, COUNT).await.unwrap_err();
    assert_eq!(refused.class(), Class::Refused);
    assert!(matches!(refused, DeskError::Scan(_)), "{refused}");
    assert_eq!(network.spent(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn opt_outs_of_another_epoch_stop_everything() {
    let network = Network::new().await;
    network.desk.apply_opt_outs(salus_spine::OptOutList::none());
    let request = network.request(COUNT, PERSON);
    let refused = network.desk.answer(&request, COUNT).await.unwrap_err();
    let wanted = OptOutsRefused::OtherEpoch { current: 1, list: 0 };
    assert!(matches!(refused, DeskError::OptOuts(found) if found == wanted));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_out_when_the_ledger_is_away_or_books_another_price() {
    let network = Network::new().await;
    *network.chain.down.lock() = true;
    let request = network.request(COUNT, PERSON);
    let refused = network.desk.answer(&request, COUNT).await.unwrap_err();
    assert_eq!(refused.class(), Class::Unavailable);
    *network.chain.down.lock() = false;
    *network.chain.spoil.lock() = true;
    let request = network.request(COUNT, PERSON);
    let refused = network.desk.answer(&request, COUNT).await.unwrap_err();
    assert!(refused.to_string().contains("charge"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_personal_reaches_the_ledger() {
    let network = Network::new().await;
    let text = COUNT.replace("c1", "Plantedliteral");
    let request = network.request(&text, PERSON);
    network.desk.answer(&request, &text).await.unwrap();
    let recorded = network.chain.recorded.lock().concat();
    assert!(!recorded.is_empty());
    for planted in ["Plantedliteral", "Plantedname", "p7", PERSON] {
        let found = recorded.windows(planted.len()).any(|window| window == planted.as_bytes());
        assert!(!found, "'{planted}' is on the ledger");
    }
    // The test sees what it looks for: the dataset's name is there.
    assert!(recorded.windows(10).any(|window| window == b"conditions"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_beyond_the_bound_of_a_unit_do_not_count() {
    let network = Network::new().await;
    // The same people once more: with a bound of two rows each, the count doubles; a third time
    // changes nothing.
    let text =
        r#"{"dataset":"conditions","query":"count","spend":{"rho":200000},"mechanism":"gaussian"}"#;
    let request = network.request(text, PERSON);
    let reply = network.desk.answer(&request, text).await.unwrap();
    let answer = network.open::<salus_dp::Answer>(&request, &reply);
    let estimate = answer.rows[0].estimate.unwrap().value;
    assert!((estimate - (PATIENTS as f64 - 1.0)).abs() < 40.0, "{estimate}");
    let _ = (&network.lake, &network.folder);
}

/// A node is killed while it waits for the ledger, which has recorded the release.
async fn killed_between_receipt_and_release(network: &mut Network) {
    *network.chain.fate.lock() = Fate::Killed;
    let request = network.request(COUNT, PERSON);
    let answer = network.desk.answer(&request, COUNT);
    let killed = tokio::time::timeout(std::time::Duration::from_secs(3), answer).await;
    assert!(killed.is_err(), "it was answered before it was killed");
    assert_eq!(network.spent(), 50_000, "the ledger had recorded it");
    *network.chain.fate.lock() = Fate::Answered;
    network.restart().await;
    // The very request that was under way is known after the restart too.
    let replayed = network.desk.answer(&request, COUNT).await.unwrap_err();
    assert!(matches!(replayed, DeskError::Replayed), "{replayed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_between_receipt_and_release_the_answer_is_fetched_for_nothing() {
    let mut network = Network::new().await;
    killed_between_receipt_and_release(&mut network).await;
    let request = network.request(COUNT, PERSON);
    let reply = network.desk.answer(&request, COUNT).await.unwrap();
    assert!(reply.charges.is_empty());
    assert_eq!(network.spent(), 50_000);
    let estimate =
        network.open::<salus_dp::Answer>(&request, &reply).rows[0].estimate.unwrap().value;
    assert!((estimate - PATIENTS as f64 / 3.0).abs() < 40.0, "{estimate}");
    assert!(verify_receipt(&reply.receipt, &network.anchor).is_ok());
    // And once more, from memory.
    let request = network.request(COUNT, PERSON);
    assert_eq!(network.desk.answer(&request, COUNT).await.unwrap().message, reply.message);
    assert_eq!(network.spent(), 50_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_receipt_got_lost_on_the_way_is_not_charged_twice() {
    let network = Network::new().await;
    *network.chain.fate.lock() = Fate::AnswerLost;
    let request = network.request(COUNT, PERSON);
    let lost = network.desk.answer(&request, COUNT).await.unwrap_err();
    assert_eq!(lost.class(), Class::Unavailable);
    *network.chain.fate.lock() = Fate::Answered;
    let request = network.request(COUNT, PERSON);
    network.desk.answer(&request, COUNT).await.unwrap();
    assert_eq!(network.spent(), 50_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_never_recorded_is_computed_and_charged_anew() {
    let mut network = Network::new().await;
    killed_between_receipt_and_release(&mut network).await;
    *network.chain.never.lock() = true;
    let request = network.request(COUNT, PERSON);
    let reply = network.desk.answer(&request, COUNT).await.unwrap();
    assert!(!reply.charges.is_empty());
    assert_eq!(network.spent(), 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_opens_for_nobody_else_and_damage_is_counted() {
    let mut network = Network::new().await;
    killed_between_receipt_and_release(&mut network).await;
    {
        let mut kept = network.kept.0.lock();
        let (_, entry) = kept.iter_mut().next().unwrap();
        for word in [COUNT.as_bytes(), b"conditions", PERSON.as_bytes()] {
            assert!(!entry.windows(word.len()).any(|w| w == word), "kept in the clear");
        }
        *entry.last_mut().unwrap() ^= 1;
    }
    network.restart().await;
    assert_eq!(network.desk.unreadable(), 1);
    let request = network.request(COUNT, PERSON);
    let reply = network.desk.answer(&request, COUNT).await.unwrap();
    assert!(!reply.charges.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_ask_the_same_at_once_are_charged_once() {
    let network = Network::new().await;
    let (one, other) = (network.request(COUNT, PERSON), network.request(COUNT, PERSON));
    let both = tokio::join!(network.desk.answer(&one, COUNT), network.desk.answer(&other, COUNT));
    assert_eq!(both.0.unwrap().message, both.1.unwrap().message);
    assert_eq!(network.spent(), 50_000);
}
