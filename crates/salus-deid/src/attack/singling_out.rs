//! Predicates that isolate one record of the release, tried on people.

use hashbrown::HashMap;
use salus_model::EntropyFailed;

use super::frame::{Cover, Field, Frame};
use super::{Attack, Plan, Tally};
use crate::dice::Dice;

/// Fewer predicates than this give an interval that says nothing.
const FEWEST: usize = 20;

/// So many sets of columns are tried on one record.
const SETS: usize = 10;

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
        let value = |code: u32| field.numbers.as_ref().and_then(|n| n.of_value[code as usize]);
        let both = |label: u32, code: u32| bound(label).zip(value(code));
        (0..field.values as u32)
            .map(|code| match self {
                Self::Is(label) => field.gap(label, code) == 0.0,
                Self::AtLeast(label) => both(label, code).is_some_and(|(b, v)| v >= b),
                Self::AtMost(label) => both(label, code).is_some_and(|(b, v)| v <= b),
            })
            .collect()
    }
}

/// How many records meet all conditions, counted up to two.
fn meeting(rows: usize, conditions: &[(&[u32], &[bool])]) -> usize {
    fitting(rows, conditions).take(2).count()
}

/// The records that meet all conditions.
fn fitting(rows: usize, conditions: &[(&[u32], &[bool])]) -> impl Iterator<Item = usize> {
    let meets = |row: &usize| conditions.iter().all(|(codes, meets)| meets[codes[*row] as usize]);
    (0..rows).filter(meets)
}

fn isolates_in_release(frame: &Frame, predicate: &Predicate) -> bool {
    let meets: Vec<Vec<bool>> =
        predicate.iter().map(|&(f, c)| c.labels(&frame.fields[f])).collect();
    let conditions: Vec<(&[u32], &[bool])> = predicate
        .iter()
        .zip(&meets)
        .map(|(&(f, _), meets)| (frame.fields[f].released.as_slice(), meets.as_slice()))
        .collect();
    meeting(frame.released, &conditions) == 1
}

/// Tries predicates on all members and on the control people.
///
/// A predicate that a single member fits is a hit. Chance is counted twice, and the larger counts:
///
/// - as predicates that a single control person fits, which is all of it where there are as many of
///   them as members;
/// - as control people who fit a predicate that no member fits, times the members for each of them.
///   Were the release about nobody, those who fit a predicate would be members or control people by
///   lot; of `k` who fit it, a single member and `k` − 1 others are `k` times as likely as `k`
///   others, times the members for each control person. This holds for groups of any sizes.
///
/// # Source
/// Giomi et al. 2023, section 4.1, which has the first.
fn tally(frame: &Frame, attack: Attack, predicates: &[Predicate]) -> Tally {
    if predicates.len() < FEWEST {
        return Tally::not_run(
            attack,
            match predicates.len() {
                0 => "no predicate isolates one record of the release".to_owned(),
                1 => "only one predicate isolates one record of the release".to_owned(),
                n => format!("only {n} predicates isolate one record of the release"),
            },
        );
    }
    let (mut hits, mut single, mut without) = (0, 0u64, 0);
    for predicate in predicates {
        let meets: Vec<Vec<bool>> =
            predicate.iter().map(|&(f, c)| c.values(&frame.fields[f])).collect();
        let of = |pick: fn(&Field) -> &[u32]| -> Vec<(&[u32], &[bool])> {
            let codes = predicate.iter().map(|&(f, _)| pick(&frame.fields[f]));
            codes.zip(meets.iter().map(Vec::as_slice)).collect()
        };
        let members = meeting(frame.members, &of(|f| &f.real));
        let most = if members == 0 { usize::MAX } else { 2 };
        let others = fitting(frame.people, &of(|f| &f.control)).take(most).count();
        hits += u64::from(members == 1);
        single += u64::from(others == 1);
        without += if members == 0 { others as u64 } else { 0 };
    }
    let (attempts, times) = (predicates.len() as u64, frame.times());
    let control = without.max((single as f64 / times).ceil() as u64).min(attempts);
    Tally::Counted { attack, secret: None, attempts, hits, control, times }
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

/// Records of the release that no other is like in all columns.
///
/// What a record shares with another in every column, no predicate made of its values can part.
fn alone(frame: &Frame) -> Vec<usize> {
    let mut classes = vec![0u32; frame.released];
    for field in &frame.fields {
        let mut known: HashMap<(u32, u32), u32> = HashMap::new();
        for (class, &label) in classes.iter_mut().zip(&field.released) {
            let next = known.len() as u32;
            *class = *known.entry((*class, label)).or_insert(next);
        }
    }
    let mut sizes = vec![0u32; frame.released];
    for &class in &classes {
        sizes[class as usize] += 1;
    }
    (0..frame.released).filter(|&row| sizes[classes[row] as usize] == 1).collect()
}

/// Makes predicates of one record's values in a few columns: equal for texts, beyond for numbers
/// away from the median.
struct Maker<'f> {
    frame: &'f Frame,
    medians: Vec<Option<f64>>,
    columns: usize,
}

impl Maker<'_> {
    /// A predicate of columns drawn by lot that isolates the record; none where the sets that are
    /// tried, which are counted down, do not.
    fn isolating(
        &self,
        row: usize,
        tries: &mut usize,
        dice: &mut Dice<'_>,
    ) -> Result<Option<Predicate>, EntropyFailed> {
        let fields = &self.frame.fields;
        // There is one set of all columns.
        let sets = if self.columns < fields.len() { SETS } else { 1 };
        for _ in 0..sets.min(*tries) {
            *tries -= 1;
            let mut columns = dice.choose(fields.len(), self.columns)?;
            columns.sort_unstable();
            let predicate: Predicate = columns
                .into_iter()
                .filter(|&f| {
                    !matches!(fields[f].covers[fields[f].released[row] as usize], Cover::All)
                })
                .map(|f| (f, condition(&fields[f], row, self.medians[f])))
                .collect();
            if !predicate.is_empty() && isolates_in_release(self.frame, &predicate) {
                return Ok(Some(predicate));
            }
        }
        Ok(None)
    }
}

/// Combinations of values that isolate a record, one of each record that has one.
///
/// Records are drawn among those that are alone, however few they are. Several predicates of one
/// record would hit the same person or nobody, and pass for as many attempts as they are.
///
/// # Source
/// Giomi et al. 2023, section 4.1; there a record may give several predicates.
pub(super) fn multivariate(
    frame: &Frame,
    plan: &Plan,
    dice: &mut Dice<'_>,
) -> Result<Tally, EntropyFailed> {
    let attack = Attack::SinglingOutMultivariate;
    let alone = alone(frame);
    if alone.is_empty() {
        return Ok(Tally::not_run(attack, "no record of the release differs from all others"));
    }
    let maker = Maker {
        frame,
        medians: frame.fields.iter().map(median).collect(),
        columns: plan.predicate_columns.max(1),
    };
    let mut isolating = Vec::new();
    let mut tries = plan.attempts.saturating_mul(SETS);
    for at in dice.choose(alone.len(), alone.len())? {
        if isolating.len() >= plan.attempts || tries == 0 {
            break;
        }
        isolating.extend(maker.isolating(alone[at], &mut tries, dice)?);
    }
    if isolating.len() < FEWEST {
        return Ok(Tally::not_run(
            attack,
            match isolating.len() {
                0 => "no record of the release is isolated by its values".to_owned(),
                1 => "only one record of the release is isolated by its values".to_owned(),
                n => format!("only {n} records of the release are isolated by their values"),
            },
        ));
    }
    Ok(tally(frame, attack, &isolating))
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
