//! Predicates that isolate one record of the release, tried on people.

use hashbrown::HashSet;
use salus_model::EntropyFailed;

use super::frame::{Cover, Field, Frame, shared_columns};
use super::{Attack, Plan, Scene, Tally};
use crate::dice::Dice;
use crate::risk::joint_classes;
use crate::table::{Table, TableError};

/// Fewer predicates than this give an interval that says nothing.
const FEWEST: usize = 20;

/// A condition on one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Condition {
    Is(u32),
    AtLeast(u32),
    AtMost(u32),
}

/// A condition by column.
type Predicate = Vec<(usize, Condition)>;

impl Condition {
    /// Which labels of the release meet it.
    fn labels(self, field: &Field) -> Vec<bool> {
        let number = |label: u32| field.numbers.as_ref().and_then(|n| n.of_label[label as usize]);
        (0..field.covers.len() as u32)
            .map(|label| match self {
                Self::Is(own) => label == own,
                Self::AtLeast(own) => number(label) >= number(own),
                Self::AtMost(own) => {
                    number(label).is_some_and(|x| number(own).is_some_and(|y| x <= y))
                }
            })
            .collect()
    }

    /// Which values of people meet it.
    fn values(self, field: &Field) -> Vec<bool> {
        let bound = |label: u32| field.numbers.as_ref().and_then(|n| n.of_label[label as usize]);
        let value = |code: u32| field.numbers.as_ref().map_or(0.0, |n| n.of_value[code as usize]);
        (0..field.values as u32)
            .map(|code| match self {
                Self::Is(label) => field.covers[label as usize].holds(code),
                Self::AtLeast(label) => bound(label).is_some_and(|b| value(code) >= b),
                Self::AtMost(label) => bound(label).is_some_and(|b| value(code) <= b),
            })
            .collect()
    }
}

/// Whether exactly one record meets all conditions.
fn isolates(rows: usize, conditions: &[(&[u32], Vec<bool>)]) -> bool {
    let mut found = 0;
    for row in 0..rows {
        if conditions.iter().all(|(codes, meets)| meets[codes[row] as usize]) {
            found += 1;
            if found > 1 {
                return false;
            }
        }
    }
    found == 1
}

fn isolates_in_release(frame: &Frame, predicate: &Predicate) -> bool {
    let conditions: Vec<(&[u32], Vec<bool>)> = predicate
        .iter()
        .map(|&(f, c)| (frame.fields[f].released.as_slice(), c.labels(&frame.fields[f])))
        .collect();
    isolates(frame.released, &conditions)
}

/// Tries predicates on members and control people.
fn tally(frame: &Frame, attack: Attack, predicates: &[Predicate]) -> Tally {
    if predicates.len() < FEWEST {
        return Tally::not_run(
            attack,
            format!("only {} predicates isolate one record of the release", predicates.len()),
        );
    }
    let (mut hits, mut control) = (0, 0);
    for predicate in predicates {
        let meets: Vec<Vec<bool>> =
            predicate.iter().map(|&(f, c)| c.values(&frame.fields[f])).collect();
        let on = |pick: fn(&Field) -> &[u32]| {
            let conditions: Vec<(&[u32], Vec<bool>)> = predicate
                .iter()
                .zip(&meets)
                .map(|(&(f, _), m)| (pick(&frame.fields[f]), m.clone()))
                .collect();
            isolates(frame.people, &conditions)
        };
        hits += u64::from(on(|f| &f.real));
        control += u64::from(on(|f| &f.control));
    }
    Tally::Counted { attack, secret: None, attempts: predicates.len() as u64, hits, control }
}

/// Values that occur once in the release, and the ends of numeric columns.
pub(super) fn univariate(
    frame: &Frame,
    plan: &Plan,
    dice: &mut Dice<'_>,
) -> Result<Tally, EntropyFailed> {
    let mut predicates: Vec<Predicate> = Vec::new();
    for (f, field) in frame.fields.iter().enumerate() {
        let mut counts = vec![0u32; field.covers.len()];
        for &label in &field.released {
            counts[label as usize] += 1;
        }
        let alone = (0..counts.len() as u32).filter(|&l| counts[l as usize] == 1);
        predicates.extend(alone.map(|l| vec![(f, Condition::Is(l))]));
        if let Some(numbers) = &field.numbers {
            let used = (0..counts.len() as u32)
                .filter(|&l| counts[l as usize] > 0 && numbers.of_label[l as usize].is_some());
            let by_number = |a: &u32, b: &u32| {
                let number = |l: u32| numbers.of_label[l as usize].unwrap_or(f64::NAN);
                number(*a).total_cmp(&number(*b))
            };
            for end in [
                used.clone().min_by(by_number).map(Condition::AtMost),
                used.max_by(by_number).map(Condition::AtLeast),
            ] {
                predicates.extend(end.map(|c| vec![(f, c)]));
            }
        }
    }
    let order = dice.choose(predicates.len(), predicates.len())?;
    let isolating: Vec<Predicate> = order
        .into_iter()
        .map(|i| predicates[i].clone())
        .filter(|p| isolates_in_release(frame, p))
        .take(plan.attempts)
        .collect();
    Ok(tally(frame, Attack::SinglingOutUnivariate, &isolating))
}

/// Values of one record in a few columns: equal for texts, beyond for numbers away from the
/// median.
pub(super) fn multivariate(
    frame: &Frame,
    plan: &Plan,
    dice: &mut Dice<'_>,
) -> Result<Tally, EntropyFailed> {
    let medians: Vec<Option<f64>> = frame.fields.iter().map(median).collect();
    let mut seen: HashSet<Predicate> = HashSet::new();
    let mut isolating = Vec::new();
    for _ in 0..plan.attempts.saturating_mul(10) {
        if isolating.len() >= plan.attempts {
            break;
        }
        let row = dice.below(frame.released)?;
        let mut columns = dice.choose(frame.fields.len(), plan.predicate_columns.max(1))?;
        columns.sort_unstable();
        let predicate: Predicate = columns
            .into_iter()
            .filter(|&f| {
                let label = frame.fields[f].released[row];
                !matches!(frame.fields[f].covers[label as usize], Cover::All)
            })
            .map(|f| (f, condition(&frame.fields[f], row, medians[f])))
            .collect();
        if !predicate.is_empty()
            && seen.insert(predicate.clone())
            && isolates_in_release(frame, &predicate)
        {
            isolating.push(predicate);
        }
    }
    Ok(tally(frame, Attack::SinglingOutMultivariate, &isolating))
}

fn condition(field: &Field, row: usize, median: Option<f64>) -> Condition {
    let label = field.released[row];
    let number = field.numbers.as_ref().and_then(|n| n.of_label[label as usize]);
    match (number, median) {
        (Some(x), Some(middle)) if x > middle => Condition::AtLeast(label),
        (Some(_), Some(_)) => Condition::AtMost(label),
        _ => Condition::Is(label),
    }
}

fn median(field: &Field) -> Option<f64> {
    let numbers = field.numbers.as_ref()?;
    let mut all: Vec<f64> =
        field.released.iter().filter_map(|&l| numbers.of_label[l as usize]).collect();
    let middle = all.len() / 2;
    (!all.is_empty()).then(|| *all.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// Who has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Nobody,
    /// One person: a member or a control person, and which.
    One((usize, u32)),
    Several,
}

impl Owner {
    fn and(self, person: (usize, u32)) -> Self {
        match self {
            Self::Nobody => Self::One(person),
            Self::One(known) if known == person => self,
            Self::One(_) | Self::Several => Self::Several,
        }
    }
}

/// Members with a value that nobody else has and whose whole record is in the release as it is.
///
/// Not a rate: one such record is one person exposed, and so all members are looked at, not a
/// draw of them. Chance does not explain it, for it would have to repeat a unique value and every
/// other value along with it.
pub(super) fn verbatim_tail(scene: &Scene<'_>) -> Result<u64, TableError> {
    let names = shared_columns(scene);
    let whose = |table: &Table| -> Result<Vec<u32>, TableError> {
        match scene.person {
            Some(person) => Ok(table.column(person)?.codes().to_vec()),
            None => Ok((0..table.rows() as u32).collect()),
        }
    };
    let (members, others) = (whose(scene.real)?, whose(scene.control)?);
    let tables = [scene.real, scene.released];
    let (split, classes) = joint_classes(&tables, &names)?;
    let mut published = vec![false; classes];
    for &class in &split[1] {
        published[class as usize] = true;
    }
    let mut alone = vec![false; scene.real.rows()];
    for name in &names {
        let (split, values) = joint_classes(&[scene.real, scene.control], &[name])?;
        let mut owners: Vec<Owner> = vec![Owner::Nobody; values];
        for (side, (people, values)) in [&members, &others].into_iter().zip(&split).enumerate() {
            for (&person, &value) in people.iter().zip(values) {
                let own = &mut owners[value as usize];
                *own = own.and((side, person));
            }
        }
        for (alone, &value) in alone.iter_mut().zip(&split[0]) {
            *alone |= matches!(owners[value as usize], Owner::One(_));
        }
    }
    let records = alone.iter().zip(&split[0]).zip(&members);
    let exposed: HashSet<u32> = records
        .filter(|((alone, class), _)| **alone && published[**class as usize])
        .map(|(_, person)| *person)
        .collect();
    Ok(exposed.len() as u64)
}
