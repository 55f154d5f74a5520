#![allow(clippy::unwrap_used, clippy::print_stdout)]

use salus_deid::attack::Attack;

use super::{Change, Room, attainable, propose};
use crate::evidence::{AttackLine, AttackResult, Evidence};

fn evidence(attack: Attack, secret: Option<&str>, risk: f64, interval: [f64; 2]) -> Evidence {
    let line = AttackLine {
        attack,
        secret: secret.map(str::to_owned),
        result: AttackResult::Ran {
            risk,
            interval,
            attempts: 2_000,
            successes: 100,
            control_successes: 50,
            leak: interval[0] > 0.0,
        },
    };
    Evidence {
        score: Some(100.0 * (1.0 - interval[1])),
        attacks: vec![line],
        published_verbatim: 0,
        words: String::new(),
        control_verbatim: 0,
        verbatim_decides: false,
        backwards: None,
        confidence: 0.9975,
    }
}

fn room() -> Room {
    Room {
        k: Some(5),
        l: None,
        t: None,
        sensitive: vec!["diagnosis".to_owned()],
        most_diverse: 14,
        members: 15_000,
        epsilon: None,
    }
}

#[test]
fn a_leak_between_groups_asks_for_larger_ones() {
    let found = evidence(Attack::Linkability, None, 0.2, [0.1, 0.3]);
    let next = propose(&found, 90.0, &room()).unwrap();
    assert_eq!((next.change, next.option.as_str()), (Change::GroupSize(10), "--k 10"));
    assert!(next.why.contains("linking two files reaches up to 30.0 %"), "{}", next.why);
}

#[test]
fn a_guessed_secret_asks_for_diversity_and_then_for_closeness() {
    let found = evidence(Attack::Inference, Some("diagnosis"), 0.2, [0.1, 0.3]);
    let change = |room: &Room| propose(&found, 90.0, room).unwrap().change;
    assert_eq!(change(&room()), Change::Diversity(2.0));
    assert_eq!(change(&Room { l: Some(4.0), ..room() }), Change::Closeness(0.4));
    assert_eq!(change(&Room { t: Some(0.2), ..room() }), Change::Closeness(0.15));
    assert_eq!(change(&Room { t: Some(0.1), ..room() }), Change::GroupSize(10));
    // Of another column nothing but larger groups helps.
    let other = evidence(Attack::Inference, Some("city"), 0.2, [0.1, 0.3]);
    assert_eq!(propose(&other, 90.0, &room()).unwrap().change, Change::GroupSize(10));
}

#[test]
fn a_wide_interval_asks_for_more_attempts_first() {
    let found = evidence(Attack::Inference, Some("city"), 0.0, [0.0, 0.15]);
    assert_eq!(propose(&found, 90.0, &room()).unwrap().change, Change::Attempts(8_000));
    // So few records stand alone that no more can be tried: other attacks made more attempts.
    let mut alone = evidence(Attack::SinglingOutMultivariate, None, 0.0, [0.0, 0.3]);
    if let AttackResult::Ran { attempts, successes, control_successes, .. } =
        &mut alone.attacks[0].result
    {
        (*attempts, *successes, *control_successes) = (30, 0, 0);
    }
    alone.attacks.extend(found.attacks.clone());
    assert_eq!(propose(&alone, 90.0, &room()).unwrap().change, Change::GroupSize(10));
    // Everybody was tried: then the release has to change.
    let all = Room { members: 2_000, ..room() };
    assert_eq!(propose(&found, 90.0, &all).unwrap().change, Change::GroupSize(10));
}

#[test]
fn a_private_method_asks_for_half_of_epsilon_until_that_makes_no_sense() {
    let found = evidence(Attack::Membership, None, 0.2, [0.1, 0.3]);
    let with = |epsilon| Room { epsilon: Some(epsilon), ..room() };
    assert_eq!(propose(&found, 90.0, &with(1.0)).unwrap().change, Change::Epsilon(0.5));
    assert_eq!(propose(&found, 90.0, &with(0.25)).unwrap().change, Change::Epsilon(0.12));
    assert!(propose(&found, 90.0, &with(0.015)).is_err());
}

#[test]
fn too_few_people_are_told_that_no_release_can_be_shown_to_score_so_well() {
    let found = evidence(Attack::Membership, None, 0.0, [0.0, 0.2]);
    let few = Room { members: 100, ..room() };
    let best = attainable(100, found.confidence);
    println!("100 people: at best {best:.1}");
    assert!((85.0..95.0).contains(&best), "{best}");
    let refused = propose(&found, 99.0, &few).unwrap_err();
    assert!(refused.0.contains("more records are needed"), "{}", refused.0);
    let largest = Room { k: Some(1_000), ..room() };
    let leak = evidence(Attack::Membership, None, 0.2, [0.1, 0.3]);
    assert!(propose(&leak, 90.0, &largest).unwrap_err().0.contains("nothing left to raise"));
}

#[test]
fn a_column_that_anybody_guesses_often_leaves_less_to_attain() {
    // Half of the control people are guessed: after 2,000 attempts 9.5 % stay open.
    let mut found = evidence(Attack::Inference, Some("diagnosis"), 0.03, [0.0, 0.09]);
    let guessed = |found: &mut Evidence, right: u64| {
        let AttackResult::Ran { control_successes, .. } = &mut found.attacks[0].result else {
            return;
        };
        *control_successes = right;
    };
    let at_once = |found: &Evidence, members| {
        propose(found, 95.0, &Room { members, ..room() }).map(|next| next.change)
    };
    guessed(&mut found, 1_000);
    assert_eq!(at_once(&found, 15_000).unwrap(), Change::Attempts(8_000));
    // With 3,000 people it stays open, as long as the column is published; of a column that larger
    // groups hide, it does not.
    let refused = at_once(&found, 3_000).unwrap_err();
    println!("{}", refused.0);
    assert!(refused.0.contains("1,000 of 2,000 people") && refused.0.contains("more records"));
    found.attacks[0].secret = Some("city".to_owned());
    assert!(at_once(&found, 3_000).is_ok());
    // Nobody is guessed: 2,000 attempts say enough, and the groups are to blame.
    guessed(&mut found, 0);
    assert_eq!(at_once(&found, 15_000).unwrap(), Change::GroupSize(10));
}
