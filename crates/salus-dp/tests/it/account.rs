use proptest::prelude::*;
use salus_dp::{Account, AccountError, AccountPolicy, Charge, Cost, Delta, NotBoundedPolicy};
use salus_model::{JobId, MicroRho, PrivacyCharge, Timestamp};

fn policy(budget: u64, not_bounded: NotBoundedPolicy) -> AccountPolicy {
    AccountPolicy {
        budget: MicroRho::new(budget),
        delta: Delta::new(1e-6).unwrap(),
        threshold_delta: Delta::new(1e-7).ok(),
        not_bounded,
    }
}

fn rho(micro: u64) -> Charge {
    Cost::of_rho(MicroRho::new(micro)).into()
}

fn job(n: u8) -> JobId {
    JobId::new(format!("job-{n}")).unwrap()
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

#[test]
fn the_budget_ends_it() {
    let mut account = Account::open(policy(10, NotBoundedPolicy::Booked));
    account.charge(rho(7)).unwrap();
    let refused = account.charge(rho(4)).unwrap_err();
    assert_eq!(
        refused,
        AccountError::Exhausted { asked: MicroRho::new(4), left: MicroRho::new(3) }
    );
    account.charge(rho(3)).unwrap();
    assert!(account.charge(rho(1)).is_err());
    assert_eq!(account.left(), MicroRho::ZERO);
    assert!(account.epsilon_spent() == account.epsilon_budget());
}

#[test]
fn of_two_that_race_for_the_last_part_one_wins() {
    let mut account = Account::open(policy(10, NotBoundedPolicy::Booked));
    account.reserve(job(1), rho(6), at(0), at(100)).unwrap();
    assert!(matches!(
        account.reserve(job(2), rho(6), at(0), at(100)),
        Err(AccountError::Exhausted { .. })
    ));
    assert!(matches!(account.charge(rho(5)), Err(AccountError::Exhausted { .. })));
    account.commit(&job(1), rho(4), at(50)).unwrap();
    assert_eq!((account.spent(), account.left()), (MicroRho::new(4), MicroRho::new(6)));
    assert!(matches!(
        account.commit(&job(1), rho(1), at(50)),
        Err(AccountError::NotReserved { .. })
    ));
}

#[test]
fn a_reservation_returns_unreleased_and_never_after() {
    let mut account = Account::open(policy(10, NotBoundedPolicy::Booked));
    account.reserve(job(1), rho(6), at(0), at(100)).unwrap();
    assert!(matches!(account.commit(&job(1), rho(6), at(100)), Err(AccountError::Expired { .. })));
    assert!(matches!(
        account.commit(&job(1), rho(7), at(99)),
        Err(AccountError::MoreThanReserved { .. })
    ));
    assert_eq!(account.expire(at(99)), []);
    assert_eq!(account.expire(at(100)), [job(1)]);
    assert_eq!(account.left(), MicroRho::new(10));
    assert!(account.reserve(job(1), rho(6), at(5), at(5)).is_err());
    account.reserve(job(1), rho(6), at(0), at(9)).unwrap();
    account.cancel(&job(1)).unwrap();
    assert_eq!(account.left(), MicroRho::new(10));
}

#[test]
fn a_dp_only_dataset_refuses_what_has_no_bound() {
    let free = Charge { loss: PrivacyCharge::NotBounded, threshold_delta: None };
    let mut strict = Account::open(policy(10, NotBoundedPolicy::Refused));
    assert_eq!(strict.charge(free), Err(AccountError::DpOnly));
    assert_eq!(strict.reserve(job(1), free, at(0), at(1)), Err(AccountError::DpOnly));
    let mut open = Account::open(policy(10, NotBoundedPolicy::Booked));
    open.charge(free).unwrap();
    open.reserve(job(1), free, at(0), at(9)).unwrap();
    open.commit(&job(1), free, at(1)).unwrap();
    assert_eq!((open.not_bounded_releases(), open.spent()), (2, MicroRho::ZERO));
    // A bounded reservation does not turn into an unbounded release.
    open.reserve(job(2), rho(5), at(0), at(9)).unwrap();
    assert!(matches!(
        open.commit(&job(2), free, at(1)),
        Err(AccountError::MoreThanReserved { .. })
    ));
}

#[test]
fn thresholds_draw_on_their_own_delta() {
    let mut account = Account::open(policy(10, NotBoundedPolicy::Booked));
    let open = Charge { threshold_delta: Delta::new(6e-8).ok(), ..rho(1) };
    account.charge(open).unwrap();
    assert_eq!(account.charge(open), Err(AccountError::ThresholdsExhausted));
    account.charge(rho(1)).unwrap();
}

#[test]
fn a_stored_account_that_holds_too_much_does_not_load() {
    let mut account = Account::open(policy(10, NotBoundedPolicy::Refused));
    account.charge(rho(9)).unwrap();
    account.reserve(job(1), rho(1), at(0), at(9)).unwrap();
    let text = serde_json::to_string(&account).unwrap();
    assert_eq!(serde_json::from_str::<Account>(&text).unwrap(), account);
    for (from, to) in [
        ("\"spent\":9", "\"spent\":10"),
        ("\"not_bounded_releases\":0", "\"not_bounded_releases\":1"),
    ] {
        assert!(text.contains(from), "{text}");
        assert!(serde_json::from_str::<Account>(&text.replace(from, to)).is_err(), "{to}");
    }
}

#[derive(Debug, Clone)]
enum Event {
    Charge(u64),
    Reserve(u8, u64, i64),
    Commit(u8, u64),
    Cancel(u8),
    Pass(i64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0u64..40).prop_map(Event::Charge),
        (0u8..5, 0u64..40, 1i64..20).prop_map(|(j, c, t)| Event::Reserve(j, c, t)),
        (0u8..5, 0u64..40).prop_map(|(j, c)| Event::Commit(j, c)),
        (0u8..5).prop_map(Event::Cancel),
        (1i64..10).prop_map(Event::Pass),
    ]
}

fn invariant_budget_holds(account: &Account) -> bool {
    let held: u64 = account
        .reservations()
        .values()
        .map(|r| match r.charge.loss {
            PrivacyCharge::Bounded(rho) => rho.get(),
            PrivacyCharge::NotBounded => 0,
        })
        .sum();
    account.spent().get() + held + account.left().get() == account.policy().budget.get()
}

proptest! {
    #[test]
    fn no_sequence_of_events_overspends_or_refunds(events in prop::collection::vec(event(), 0..60)) {
        let mut account = Account::open(policy(100, NotBoundedPolicy::Refused));
        let mut now = 0;
        for event in events {
            let before = account.clone();
            let moved = match event {
                Event::Charge(c) => account.charge(rho(c)),
                Event::Reserve(j, c, t) => account.reserve(job(j), rho(c), at(now), at(now + t)),
                Event::Commit(j, c) => account.commit(&job(j), rho(c), at(now)),
                Event::Cancel(j) => account.cancel(&job(j)),
                Event::Pass(t) => {
                    now += t;
                    account.expire(at(now));
                    Ok(())
                }
            };
            prop_assert!(invariant_budget_holds(&account));
            prop_assert!(account.spent() >= before.spent());
            if moved.is_err() {
                prop_assert_eq!(&account, &before);
            }
        }
    }
}
