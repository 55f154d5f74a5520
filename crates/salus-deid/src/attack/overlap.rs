//! Control people who are in the data: whole records that both files have.

use hashbrown::HashSet;

use super::statistics::binomial_tail;
use crate::risk::joint_classes;
use crate::table::{Column, Table, TableError};

/// How rarely files of different people pass for files of the same.
const LEVEL: f64 = 1e-6;

/// How many people of a control group have the records of real ones, and whether that is chance.
///
/// Few columns with few values have equal records of different people, and many of them; so their
/// number alone tells nothing. But people of one population fall on the two sides by lot. Where just
/// two people have a record, they are then one on each side as often as lots have it, whatever the
/// columns are: with n real and m control people 2nm/((n + m)(n + m − 1)) of such pairs are, about
/// half for equal numbers. Whoever is in both files is a pair that is always one on each side.
/// Where more people share each record, none is a pair; then still no chance makes two whole files
/// have each record equally often.
///
/// Files that were divided otherwise than by lot, as in turns from a sorted file, look like files
/// of the same people; coarse files of which one is a part of the other are not told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// Control people with a record that a real person has, by all shared columns.
    pub control: u64,
    /// Records that just two people have.
    pub pairs: u64,
    /// Those that a real and a control person have.
    pub across: u64,
    /// Whether lots would do that in fewer than one in a million of files.
    pub beyond_chance: bool,
}

/// Who has a record: how many real and control people, and the first two of them.
#[derive(Clone, Default)]
struct Owners {
    real: u64,
    control: u64,
    first: Vec<(usize, u32)>,
}

impl Overlap {
    /// Compares a control group with the data.
    ///
    /// # Errors
    /// When `person` is no column of both.
    pub fn of(real: &Table, control: &Table, person: Option<&str>) -> Result<Self, TableError> {
        let names = real.columns().iter().map(Column::name);
        let names: Vec<&str> =
            names.filter(|n| control.column(n).is_ok() && person != Some(*n)).collect();
        if names.is_empty() {
            return Ok(Self { control: 0, pairs: 0, across: 0, beyond_chance: false });
        }
        let (split, classes) = joint_classes(&[real, control], &names)?;
        let mut owners = vec![Owners::default(); classes];
        let (mut met, mut people) = (HashSet::new(), [0u64; 2]);
        let mut exposed: HashSet<u32> = HashSet::new();
        for (side, (table, own)) in [real, control].into_iter().zip(&split).enumerate() {
            let whose: Vec<u32> = match person {
                Some(person) => table.column(person)?.codes().to_vec(),
                None => (0..table.rows() as u32).collect(),
            };
            people[side] = whose.iter().collect::<HashSet<_>>().len() as u64;
            for (&who, &class) in whose.iter().zip(own) {
                // A person who has a record twice has it.
                if person.is_some() && !met.insert((side, who, class)) {
                    continue;
                }
                let owners = &mut owners[class as usize];
                match side {
                    0 => owners.real += 1,
                    _ => owners.control += 1,
                }
                if owners.first.len() < 2 {
                    owners.first.push((side, who));
                }
                if side == 1 && owners.real > 0 {
                    exposed.insert(who);
                }
            }
        }
        // Two people who have several records in common are one pair.
        let pairs: HashSet<&[(usize, u32)]> =
            owners.iter().filter(|o| o.real + o.control == 2).map(|o| o.first.as_slice()).collect();
        let across = pairs.iter().filter(|pair| pair.iter().any(|who| who.0 == 1));
        let across = across.filter(|pair| pair.iter().any(|who| who.0 == 0)).count() as u64;
        let [n, m] = people.map(|n| n as f64);
        let apart = 2.0 * n * m / ((n + m) * (n + m - 1.0)).max(1.0);
        let pairs = pairs.len() as u64;
        let by_lot = binomial_tail(across, pairs, apart);
        let alike = person.is_none() && chance_of_halves(&owners).is_some_and(|c| c <= LEVEL);
        Ok(Self {
            control: exposed.len() as u64,
            pairs,
            across,
            beyond_chance: alike || by_lot <= LEVEL,
        })
    }
}

/// The chance that lots give both sides each record equally often; none where they did not.
fn chance_of_halves(owners: &[Owners]) -> Option<f64> {
    if owners.iter().any(|o| o.real != o.control) {
        return None;
    }
    // ln of the ways to choose a half of so many.
    let halves = |of_half: u64| {
        let half = of_half as f64;
        libm::lgamma(2.0 * half + 1.0) - 2.0 * libm::lgamma(half + 1.0)
    };
    let all = halves(owners.iter().map(|o| o.real).sum());
    Some((owners.iter().map(|o| halves(o.real)).sum::<f64>() - all).exp())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Overlap;
    use crate::table::{Column, Table};

    /// People of one population: a number of each, and a column with so many values.
    fn people(range: std::ops::Range<u64>, values: u64) -> Table {
        // The end of SplitMix64.
        let mixed = |x: u64| {
            let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (x ^ (x >> 31)) % values
        };
        let column = |name: &str, with: u64| {
            let texts = range.clone().map(|i| mixed((i * 7 + with) << 32).to_string());
            Column::from_values(name, texts).unwrap()
        };
        Table::from_columns(vec![column("a", 1), column("b", 2), column("c", 5)]).unwrap()
    }

    #[test]
    fn different_people_with_equal_records_are_chance() {
        // Many, some and no equal records.
        for values in [3, 12, 1_000_000] {
            let found = Overlap::of(&people(0..1_000, values), &people(1_000..2_000, values), None)
                .unwrap();
            assert!(!found.beyond_chance, "{values}: {found:?}");
            assert_eq!(found.control == 0, values == 1_000_000, "{values}: {found:?}");
        }
    }

    #[test]
    fn people_on_both_sides_are_not() {
        for (values, control) in [
            (1_000_000, 0..1_000),
            (1_000_000, 980..1_980),
            (1_000_000, 500..600),
            (12, 700..1_700),
            (3, 0..1_000),
        ] {
            let found =
                Overlap::of(&people(0..1_000, values), &people(control.clone(), values), None)
                    .unwrap();
            assert!(found.beyond_chance, "{values} {control:?}: {found:?}");
            assert!(found.control > 0);
        }
        // A handful may be chance, and is counted.
        let few = Overlap::of(&people(0..1_000, 1_000_000), &people(997..1_997, 1_000_000), None)
            .unwrap();
        assert_eq!((few.control, few.across, few.beyond_chance), (3, 3, false));
    }
}
