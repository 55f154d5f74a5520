#![allow(clippy::unwrap_used)]

use super::*;

fn present(names: &[u128]) -> HashSet<u128> {
    names.iter().copied().collect()
}

#[test]
fn units_come_and_leave_as_often_as_they_may() {
    let mut units = HashMap::new();
    assert_eq!(turn(&mut units, &present(&[1, 2, 3]), 3), 3);
    assert_eq!(turn(&mut units, &present(&[2, 3, 4]), 3), 0, "one left, one came");
    assert_eq!(turn(&mut units, &present(&[1, 2, 3, 4]), 3), 1, "1 is back: its third turn");
    // It has turned three times, and stays as it is whatever it does.
    assert_eq!(turn(&mut units, &present(&[2, 3, 4]), 3), 0);
    assert_eq!(turn(&mut units, &present(&[]), 3), -3);
    assert_eq!(units.values().filter(|unit| unit.counted).count(), 1);
}

/// What one unit did, seen from outside: it changes no sum of consecutive changes by more than 1,
/// and turns no more often than it may. That is what the noise is made for.
#[test]
fn nothing_that_a_unit_does_shows_more_than_the_noise_is_made_for() {
    proptest::proptest!(|(here in proptest::collection::vec(proptest::bool::ANY, 1..40), most in 1u32..5)| {
        let run = |with: bool| {
            let mut units = HashMap::new();
            here.iter()
                .map(|here| {
                    let mut names = vec![7, 8];
                    if with && *here {
                        names.push(9);
                    }
                    turn(&mut units, &present(&names), most)
                })
                .collect::<Vec<i64>>()
        };
        let differences: Vec<i64> = run(true).iter().zip(run(false)).map(|(a, b)| a - b).collect();
        let turns = differences.iter().filter(|d| **d != 0).count();
        proptest::prop_assert!(turns <= most as usize);
        for from in 0..differences.len() {
            for to in from..differences.len() {
                proptest::prop_assert!(differences[from..=to].iter().sum::<i64>().abs() <= 1);
            }
        }
    });
}

#[test]
fn the_memory_is_read_as_it_was_written_and_in_no_other_form() {
    let terms = StandingTerms { ticks: 12, turns: 2 };
    let following = Following { terms, rho: MicroRho::new(1_000) };
    let mut memory = Memory::begin(following).unwrap();
    turn(&mut memory.units, &present(&[5, u128::MAX]), 2);
    turn(&mut memory.units, &present(&[5]), 2);
    memory.head.count.tick(1).unwrap();
    let bytes = memory.to_bytes().unwrap();
    let again = Memory::from_bytes(&bytes).unwrap();
    let shown = |memory: &Memory| {
        let units = memory.units.iter().map(|(name, u)| (*name, (u.counted, u.turns)));
        units.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(shown(&again), shown(&memory));
    assert_eq!(shown(&again)[&u128::MAX], (false, 2));
    assert_eq!(again.head.count.at(), 1);
    assert_eq!(again.head.key, memory.head.key);
    for length in [0, 7, 8, 20, bytes.len() - 1] {
        assert!(Memory::from_bytes(&bytes[..length]).is_none(), "{length} bytes");
    }
    let mut long = bytes.to_vec();
    long[..8].copy_from_slice(&u64::MAX.to_be_bytes());
    assert!(Memory::from_bytes(&long).is_none());
}
