//! Attacks by nearest released records: inference, membership.

use std::cmp::Ordering;

use hashbrown::HashMap;
use salus_model::EntropyFailed;

use super::frame::{Cover, Field, Frame};
use super::{Attack, Plan, Tally};
use crate::dice::Dice;

/// A guess of a number counts when it lies within this share of the column's spread of the truth.
const TOLERANCE: f64 = 0.05;

/// Finds nearest released records by some columns; among equally near ones the first of the
/// shuffled release.
struct Nearest<'f> {
    fields: Vec<&'f Field>,
    /// First row of each distinct combination of labels.
    rows: Vec<u32>,
    exact: HashMap<Vec<u32>, u32>,
    /// By column and label: what a label adds to the distance of a value that it stands for.
    wide: Vec<Vec<f64>>,
}

/// What labels that stand for several values say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Labels {
    /// One of their values as well as a single value would.
    Alike,
    /// The less, the more values they stand for: of the records that a person fits, the one with
    /// the narrowest labels is the nearest, and a record of suppressed cells is near to nobody.
    NarrowFirst,
}

/// What standing for every value adds to the distance of one: little, so that any mismatch weighs
/// more.
const WIDEST: f64 = 0.01;

fn widths(field: &Field, labels: Labels) -> Vec<f64> {
    let others = field.values.saturating_sub(1).max(1) as f64;
    let width = |cover: &Cover| match (labels, cover) {
        (Labels::Alike, _) | (_, Cover::One(_)) => 0.0,
        (_, Cover::Some(values)) => WIDEST * values.len().saturating_sub(1) as f64 / others,
        (_, Cover::All) => WIDEST,
    };
    field.covers.iter().map(width).collect()
}

impl<'f> Nearest<'f> {
    fn new(frame: &'f Frame, columns: &[usize], labels: Labels) -> Self {
        let fields: Vec<&Field> = columns.iter().map(|&f| &frame.fields[f]).collect();
        let wide = fields.iter().map(|field| widths(field, labels)).collect();
        let mut known: HashMap<Vec<u32>, ()> = HashMap::new();
        let mut rows = Vec::new();
        let mut exact = HashMap::new();
        for row in 0..frame.released {
            let labels: Vec<u32> = fields.iter().map(|f| f.released[row]).collect();
            let values: Option<Vec<u32>> = fields
                .iter()
                .map(|f| match f.covers[f.released[row] as usize] {
                    Cover::One(value) => value,
                    _ => None,
                })
                .collect();
            if known.insert(labels, ()).is_none() {
                rows.push(row as u32);
                if let Some(values) = values {
                    exact.entry(values).or_insert(row as u32);
                }
            }
        }
        Self { fields, rows, exact, wide }
    }

    /// The nearest released row and its distance.
    fn find(&self, values: &[u32]) -> (u32, f64) {
        if let Some(&row) = self.exact.get(values) {
            return (row, 0.0);
        }
        let mut best = (0, f64::INFINITY);
        for &row in &self.rows {
            let mut distance = 0.0;
            for ((field, wide), &value) in self.fields.iter().zip(&self.wide).zip(values) {
                let label = field.released[row as usize];
                distance += field.gap(label, value) + wide[label as usize];
                if distance >= best.1 {
                    break;
                }
            }
            if distance < best.1 {
                best = (row, distance);
            }
        }
        best
    }
}

pub(super) fn values(frame: &Frame, columns: &[usize], row: usize, member: bool) -> Vec<u32> {
    let pick = |f: &Field| if member { f.real[row] } else { f.control[row] };
    columns.iter().map(|&f| pick(&frame.fields[f])).collect()
}

/// How far people's numbers are apart.
struct Spread {
    /// Between the quartiles.
    middle: f64,
    /// Between the least and the largest.
    range: f64,
}

impl Spread {
    /// Over members and control people; none where a column holds no numbers.
    fn of(field: &Field) -> Option<Self> {
        let numbers = field.numbers.as_ref()?;
        let mut all: Vec<f64> = field
            .real
            .iter()
            .chain(&field.control)
            .filter_map(|&code| numbers.of_value[code as usize])
            .collect();
        if all.is_empty() {
            return None;
        }
        all.sort_unstable_by(f64::total_cmp);
        let at = |share: usize| all[(all.len() - 1) * share / 4];
        Some(Self { middle: at(3) - at(1), range: at(4) - at(0) })
    }

    /// How far a guess may be off. Where half of the people have one value, a share of the truth,
    /// and no more than that of the range.
    fn tolerance(&self, truth: f64) -> f64 {
        let spread = if self.middle > 0.0 { self.middle } else { self.range.min(truth.abs()) };
        TOLERANCE * spread
    }
}

/// Guesses a column as the nearest record by all others has it.
///
/// A number is guessed where it is off by at most a twentieth of the distance between the column's
/// quartiles.
///
/// # Source
/// Giomi et al. 2023, section 4.3. There a number may be off by a twentieth of itself, which says
/// of years, temperatures or saturations that anybody guesses them.
pub(super) fn inference(
    frame: &Frame,
    plan: &Plan,
    secret: &str,
    dice: &mut Dice<'_>,
) -> Result<Tally, EntropyFailed> {
    let Some(at) = frame.position(secret) else {
        let reason = format!("the release has no column '{secret}'");
        return Ok(Tally::not_run(Attack::Inference, reason));
    };
    let known: Vec<usize> = (0..frame.fields.len()).filter(|&f| f != at).collect();
    let nearest = Nearest::new(frame, &known, Labels::Alike);
    let field = &frame.fields[at];
    let spread = Spread::of(field);
    let targets = dice.choose(frame.people, plan.attempts)?;
    let guessed = |row: usize, member: bool| {
        let (found, _) = nearest.find(&values(frame, &known, row, member));
        let truth = if member { field.real[row] } else { field.control[row] };
        right(field, spread.as_ref(), field.released[found as usize], truth)
    };
    let count = |member| targets.iter().filter(|&&row| guessed(row, member)).count() as u64;
    Ok(Tally::Counted {
        attack: Attack::Inference,
        secret: Some(secret.to_owned()),
        attempts: targets.len() as u64,
        hits: count(true),
        control: count(false),
        times: 1.0,
    })
}

/// A label that leaves several values open is no guess.
fn right(field: &Field, spread: Option<&Spread>, label: u32, truth: u32) -> bool {
    if let (Some(numbers), Some(spread)) = (&field.numbers, spread) {
        match (numbers.of_label[label as usize], numbers.of_value[truth as usize]) {
            (Some(guess), Some(truth)) => return (guess - truth).abs() <= spread.tolerance(truth),
            (Some(_), None) => return false,
            (None, truth) if numbers.missing[label as usize] => return truth.is_none(),
            (None, _) => {}
        }
    }
    match &field.covers[label as usize] {
        Cover::One(value) => *value == Some(truth),
        Cover::Some(values) => values.len() == 1 && values.contains(&truth),
        Cover::All => false,
    }
}

/// Whom the attacker calls members.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Call {
    /// Everybody nearer than this,
    at: f64,
    /// and of those exactly as near so large a share, drawn by lot.
    share: f64,
}

impl Call {
    /// The call with the most members above control people, of those that are wrong on at most
    /// half of the control people: one that is wrong on more would say little, and its interval
    /// nothing. Where records are generalised most people are equally near, and a whole call would
    /// be wrong on too many: then a part of them is called.
    ///
    /// `marks` are distances, of members (1) and control people (−1), as many of each.
    fn best(mut marks: Vec<(f64, i64)>) -> Self {
        marks.sort_by(|a, b| a.0.total_cmp(&b.0));
        let most_wrong = marks.len() as f64 / 4.0;
        // Below every distance: where nobody can be told apart, nobody is called a member.
        let (mut best, mut most) = (Self { at: -1.0, share: 0.0 }, 0.0);
        let (mut right, mut wrong) = (0.0, 0.0);
        for equal in marks.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
            let members = equal.iter().filter(|(_, mark)| *mark > 0).count() as f64;
            let others = equal.len() as f64 - members;
            let room = most_wrong - wrong;
            let share = if others <= room { 1.0 } else { room / others };
            let advantage = right - wrong + share * (members - others);
            if advantage > most {
                (best, most) = (Self { at: equal[0].0, share }, advantage);
            }
            if share < 1.0 {
                break;
            }
            (right, wrong) = (right + members, wrong + others);
        }
        best
    }

    fn calls(self, distance: f64, dice: &mut Dice<'_>) -> Result<bool, EntropyFailed> {
        Ok(match distance.total_cmp(&self.at) {
            Ordering::Less => true,
            Ordering::Equal if self.share >= 1.0 => true,
            // 53 bits, as many as a double has.
            Ordering::Equal => (dice.bits()? >> 11) as f64 / ((1u64 << 53) as f64) < self.share,
            Ordering::Greater => false,
        })
    }
}

/// Calls everybody a member whose nearest record is near enough, which is chosen on one half of
/// the people and judged on the other.
///
/// # Source
/// Chen et al. 2020, "GAN-Leaks", section 4.2 (distance to the nearest generated record).
pub(super) fn membership(
    frame: &Frame,
    plan: &Plan,
    dice: &mut Dice<'_>,
) -> Result<Tally, EntropyFailed> {
    let all: Vec<usize> = (0..frame.fields.len()).collect();
    let nearest = Nearest::new(frame, &all, Labels::NarrowFirst);
    let targets = dice.choose(frame.people, plan.attempts.saturating_mul(2))?;
    let distance = |row: usize, member| nearest.find(&values(frame, &all, row, member)).1;
    let (tuning, judged) = targets.split_at(targets.len() / 2);
    if tuning.is_empty() {
        return Ok(Tally::not_run(Attack::Membership, "fewer than two people to tell apart"));
    }
    let marks =
        tuning.iter().flat_map(|&row| [(distance(row, true), 1), (distance(row, false), -1)]);
    let call = Call::best(marks.collect());
    let mut count = |member| -> Result<u64, EntropyFailed> {
        let mut called = 0;
        for &row in judged {
            called += u64::from(call.calls(distance(row, member), dice)?);
        }
        Ok(called)
    };
    let (hits, control) = (count(true)?, count(false)?);
    Ok(Tally::Counted {
        attack: Attack::Membership,
        secret: None,
        attempts: judged.len() as u64,
        hits,
        control,
        times: 1.0,
    })
}

#[cfg(test)]
mod tests {
    use super::Call;

    fn marks(distances: &[(f64, usize, usize)]) -> Vec<(f64, i64)> {
        let equal = |&(at, members, others): &(f64, usize, usize)| {
            std::iter::repeat_n((at, 1), members).chain(std::iter::repeat_n((at, -1), others))
        };
        distances.iter().flat_map(equal).collect()
    }

    #[test]
    fn a_part_of_those_equally_near_is_called_where_all_would_be_wrong_on_too_many() {
        // All members and 80 of 100 others fit a record: 5 of 8 are called, wrong on half.
        let call = Call::best(marks(&[(0.0, 100, 80), (1.0, 0, 20)]));
        assert_eq!(call, Call { at: 0.0, share: 0.625 });
        // Up to a half the whole is called.
        let call = Call::best(marks(&[(0.0, 60, 10), (0.5, 30, 40), (1.0, 10, 50)]));
        assert_eq!(call, Call { at: 0.0, share: 1.0 });
        let call = Call::best(marks(&[(0.0, 40, 10), (0.5, 50, 20), (1.0, 10, 70)]));
        assert_eq!(call, Call { at: 0.5, share: 1.0 });
        // The second distance is taken in part: 30 more may be wrong of 60.
        let call = Call::best(marks(&[(0.0, 20, 20), (0.5, 80, 60), (1.0, 0, 20)]));
        assert_eq!(call, Call { at: 0.5, share: 0.5 });
        // Nobody is nearer for being in the data.
        let call = Call::best(marks(&[(0.0, 50, 50), (1.0, 50, 50)]));
        assert!(call.share.abs() < 1e-12 && call.at < 0.0);
    }
}
