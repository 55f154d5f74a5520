//! Membership inference against any model, by how well it fits each person.

use std::num::NonZeroU32;

use salus_model::Entropy;

use super::generator::tell_apart;
use super::score::Report;
use super::verbatim::Verbatim;
use super::{Attack, AttackError, Linking, Plan};
use crate::dice::Dice;

/// Tells people whom a model was fitted to from others by a threshold on its loss, or on any other
/// number that it has for each of them: below it, and above it, each an attack of its own.
///
/// The threshold is chosen on one half of the people and judged on the other, with as many people
/// from either side.
///
/// # Errors
/// When a loss is infinite or no number, or without randomness.
///
/// # Source
/// Yeom, Giacomelli, Fredrikson and Jha 2018, "Privacy risk in machine learning: analyzing the
/// connection to overfitting", section 3 (adversary 2, with the threshold learnt).
pub fn by_loss(
    members: &[f64],
    others: &[f64],
    looks: NonZeroU32,
    entropy: &mut dyn Entropy,
) -> Result<Report, AttackError> {
    if members.iter().chain(others).any(|loss| !loss.is_finite()) {
        return Err(AttackError::Plan("a loss is infinite or no number"));
    }
    let mut dice = Dice::new(entropy);
    let plan = Plan {
        attempts: members.len().max(others.len()),
        predicate_columns: 0,
        secrets: Vec::new(),
        linking: Linking::by_lot(),
        looks,
    };
    let negative = |losses: &[f64]| losses.iter().map(|loss| -loss).collect::<Vec<_>>();
    let below = (negative(members), negative(others));
    let tallies = vec![
        tell_apart(Attack::SmallLoss, &below.0, &below.1, &plan, &mut dice)?,
        tell_apart(Attack::LargeLoss, members, others, &plan, &mut dice)?,
    ];
    Ok(Report::from_tallies(tallies, Verbatim::NONE, looks))
}
