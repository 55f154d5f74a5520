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
/// half for equal numbers. Of people who were drawn from two populations it may be more, where the
/// smaller file is of those who are rare in the larger one, and never more than a half: that is
/// what is asked for, whatever the numbers. Whoever is in both files is a pair that is always one on
/// each side. A column that numbers the records of both files is left aside.
/// Where more people share each record, none is a pair; then still no chance makes two whole files
/// have each record equally often.
///
/// Files that were divided otherwise than by lot, as in turns from a sorted file, or whose records
/// were made different from each other each by itself, look like files of the same people; coarse
/// files of which one is a part of the other are not told from others.
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
        let names: Vec<&str> = names
            .filter(|n| control.column(n).is_ok() && person != Some(*n))
            .filter(|n| ![real, control].iter().all(|table| counts_rows(table, n)))
            .collect();
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
        // Lots fall for people, not for records: each is in one pair at most, and which is chosen
        // does not hang on the side.
        let mut twos: Vec<(u64, &Owners)> = (1_u64..)
            .zip(&owners)
            .filter(|(_, o)| o.real + o.control == 2)
            .map(|(class, o)| {
                let x = class.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                ((x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9), o)
            })
            .collect();
        twos.sort_by_key(|(order, _)| *order);
        let mut taken: HashSet<(usize, u32)> = HashSet::new();
        let mut pairs: Vec<&[(usize, u32)]> = Vec::new();
        for (_, owners) in twos {
            if owners.first.iter().all(|who| !taken.contains(who)) {
                taken.extend(owners.first.iter().copied());
                pairs.push(owners.first.as_slice());
            }
        }
        let across = pairs.iter().filter(|pair| pair.iter().any(|who| who.0 == 1));
        let across = across.filter(|pair| pair.iter().any(|who| who.0 == 0)).count() as u64;
        let [n, m] = people.map(|n| n as f64);
        let apart = 2.0 * n * m / ((n + m) * (n + m - 1.0)).max(1.0);
        let pairs = pairs.len() as u64;
        // Files drawn apart have a half across at most, however the shares of their records differ.
        let by_lot = binomial_tail(across, pairs, apart.max(0.5));
        let alike = person.is_none() && chance_of_halves(&owners).is_some_and(|c| c <= LEVEL);
        Ok(Self {
            control: exposed.len() as u64,
            pairs,
            across,
            beyond_chance: alike || by_lot <= LEVEL,
        })
    }
}

/// Whether a column numbers the records of its own file, and so tells nothing of people.
fn counts_rows(table: &Table, name: &str) -> bool {
    let Ok(column) = table.column(name) else { return false };
    [0, 1].into_iter().any(|first| {
        (0..table.rows()).all(|row| column.value(row) == Some((row + first).to_string().as_str()))
    })
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

    /// Lots fall for people: one with many records that others have once is one pair.
    #[test]
    fn one_person_of_many_records_is_one_chance() {
        let table = |records: &[(String, String)]| {
            let column = |name: &str, of: &dyn Fn(&(String, String)) -> String| {
                let values: Vec<String> = records.iter().map(of).collect();
                Column::from_values(name, values.iter().map(String::as_str)).unwrap()
            };
            let columns = vec![column("who", &|r| r.0.clone()), column("visit", &|r| r.1.clone())];
            Table::from_columns(columns).unwrap()
        };
        let real: Vec<_> = (0..400).map(|i| (format!("r{i}"), format!("v{i}"))).collect();
        let control: Vec<_> = (0..200).map(|i| ("c".to_owned(), format!("v{i}"))).collect();
        let found = Overlap::of(&table(&real), &table(&control), Some("who")).unwrap();
        assert_eq!((found.pairs, found.beyond_chance), (1, false), "{found:?}");
        let visits = |records| table(records).without_columns(&["who"]).unwrap();
        let alone = Overlap::of(&visits(&real), &visits(&control), None).unwrap();
        assert!(alone.beyond_chance && alone.pairs == 200, "{alone:?}");
    }

    /// Cases of a large table beside cases alone: rare records are across as often as not.
    #[test]
    fn a_small_file_of_rare_people_is_no_copy() {
        let rare = |range| people(range, 30);
        let mut real = rare(0..1_000).columns().to_vec();
        // And eight thousand who are alike.
        for column in &mut real {
            let values: Vec<String> = (0..9_000)
                .map(|row| column.value(row).map_or("plain".to_owned(), str::to_owned))
                .collect();
            *column =
                Column::from_values(column.name(), values.iter().map(String::as_str)).unwrap();
        }
        let real = Table::from_columns(real).unwrap();
        let found = Overlap::of(&real, &rare(5_000..6_000), None).unwrap();
        assert!(found.pairs > 20 && !found.beyond_chance, "{found:?}");
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
        // A number of each record in both files, in another order, hides nobody.
        let numbered = |rows: Vec<usize>| {
            let table = people(0..1_000, 1_000_000).select(rows).unwrap();
            let numbers: Vec<String> = (0..table.rows()).map(|row| row.to_string()).collect();
            let numbers = numbers.iter().map(String::as_str);
            let mut columns = table.columns().to_vec();
            columns.push(Column::from_values("index", numbers).unwrap());
            Table::from_columns(columns).unwrap()
        };
        let (real, control) =
            (numbered((0..1_000).collect()), numbered((0..1_000).rev().collect()));
        assert!(Overlap::of(&real, &control, None).unwrap().beyond_chance);
        // A handful may be chance, and is counted.
        let few = Overlap::of(&people(0..1_000, 1_000_000), &people(997..1_997, 1_000_000), None)
            .unwrap();
        assert_eq!((few.control, few.across, few.beyond_chance), (3, 3, false));
    }
}
