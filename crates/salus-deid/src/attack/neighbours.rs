//! Attacks by nearest released records: inference, membership.

use hashbrown::HashMap;
use salus_model::EntropyFailed;

use super::frame::{Cover, Field, Frame};
use super::{Attack, Plan, Tally};
use crate::dice::Dice;

/// A guess of a number counts when it lies within this share of the truth.
const TOLERANCE: f64 = 0.05;

/// Finds nearest released records by some columns; among equally near ones the first of the
/// shuffled release.
struct Nearest<'f> {
    fields: Vec<&'f Field>,
    /// First row of each distinct combination of labels.
    rows: Vec<u32>,
    exact: HashMap<Vec<u32>, u32>,
}

impl<'f> Nearest<'f> {
    fn new(frame: &'f Frame, columns: &[usize]) -> Self {
        let fields: Vec<&Field> = columns.iter().map(|&f| &frame.fields[f]).collect();
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
        Self { fields, rows, exact }
    }

    /// The nearest released row and its distance.
    fn find(&self, values: &[u32]) -> (u32, f64) {
        if let Some(&row) = self.exact.get(values) {
            return (row, 0.0);
        }
        let mut best = (0, f64::INFINITY);
        for &row in &self.rows {
            let mut distance = 0.0;
            for (field, &value) in self.fields.iter().zip(values) {
                distance += field.gap(field.released[row as usize], value);
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

/// Guesses a column as the nearest record by all others has it.
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
    let nearest = Nearest::new(frame, &known);
    let field = &frame.fields[at];
    let targets = dice.choose(frame.people, plan.attempts)?;
    let guessed = |row: usize, member: bool| {
        let (found, _) = nearest.find(&values(frame, &known, row, member));
        let truth = if member { field.real[row] } else { field.control[row] };
        right(field, field.released[found as usize], truth)
    };
    let count = |member| targets.iter().filter(|&&row| guessed(row, member)).count() as u64;
    Ok(Tally::Counted {
        attack: Attack::Inference,
        secret: Some(secret.to_owned()),
        attempts: targets.len() as u64,
        hits: count(true),
        control: count(false),
    })
}

/// A label that leaves several values open is no guess.
fn right(field: &Field, label: u32, truth: u32) -> bool {
    if let Some(numbers) = &field.numbers
        && let Some(guess) = numbers.of_label[label as usize]
    {
        let truth = numbers.of_value[truth as usize];
        return (guess - truth).abs() <= TOLERANCE * truth.abs();
    }
    match &field.covers[label as usize] {
        Cover::One(value) => *value == Some(truth),
        Cover::Some(values) => values.len() == 1 && values.contains(&truth),
        Cover::All => false,
    }
}

/// Calls everybody a member whose nearest record is at most as far as a threshold, which is
/// chosen on one half of the people and judged on the other.
///
/// # Source
/// Chen et al. 2020, "GAN-Leaks", section 4.2 (distance to the nearest generated record).
pub(super) fn membership(
    frame: &Frame,
    plan: &Plan,
    dice: &mut Dice<'_>,
) -> Result<Tally, EntropyFailed> {
    let all: Vec<usize> = (0..frame.fields.len()).collect();
    let nearest = Nearest::new(frame, &all);
    let targets = dice.choose(frame.people, plan.attempts.saturating_mul(2))?;
    let distance = |row: usize, member| nearest.find(&values(frame, &all, row, member)).1;
    let (tuning, judged) = targets.split_at(targets.len() / 2);
    if tuning.is_empty() {
        return Ok(Tally::not_run(Attack::Membership, "fewer than two people to tell apart"));
    }
    let mut marks: Vec<(f64, i64)> = tuning
        .iter()
        .flat_map(|&row| [(distance(row, true), 1), (distance(row, false), -1)])
        .collect();
    marks.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Below every distance: where nobody can be told apart, nobody is called a member.
    let (mut threshold, mut most, mut advantage, mut wrong) = (-1.0, 0, 0, 0);
    for (i, &(at, mark)) in marks.iter().enumerate() {
        advantage += mark;
        wrong += usize::from(mark < 0);
        let last_of_its_kind = marks.get(i + 1).is_none_or(|next| next.0 > at);
        // A call that is wrong on most others would say nothing, and its interval neither.
        if last_of_its_kind && advantage > most && wrong * 2 <= tuning.len() {
            (threshold, most) = (at, advantage);
        }
    }
    let count =
        |member| judged.iter().filter(|&&row| distance(row, member) <= threshold).count() as u64;
    Ok(Tally::Counted {
        attack: Attack::Membership,
        secret: None,
        attempts: judged.len() as u64,
        hits: count(true),
        control: count(false),
    })
}
