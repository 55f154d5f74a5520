//! Membership inference against a generator that the attacker can query for likelihoods.

use salus_model::EntropyFailed;

use super::{Attack, Plan, Tally};
use crate::dice::Dice;

/// How likely a model deems people: natural logarithms, by record.
#[derive(Debug, Clone, PartialEq)]
pub struct Likelihoods {
    /// Records of the real table.
    pub real: Vec<f64>,
    /// Records of the control table.
    pub control: Vec<f64>,
}

/// A model like the attacked one, fitted by the attacker to people whom he knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Shadow {
    /// What it deems likely.
    pub likelihoods: Likelihoods,
    /// Which records of the real table it was fitted to.
    pub real: Vec<bool>,
    /// Which records of the control table.
    pub control: Vec<bool>,
}

/// A generator under attack, and what the attacker compares it with.
#[derive(Debug, Clone, PartialEq)]
pub struct Generator {
    /// The generator itself.
    pub attacked: Likelihoods,
    /// A model of the population, with the control records that it was *not* fitted to: only
    /// those can be judged.
    pub reference: Option<(Likelihoods, Vec<bool>)>,
    /// Models of the same method and privacy, each fitted to a random half of all people.
    pub shadows: Vec<Shadow>,
}

/// What a person scores with the generator, with shadows fitted to her, and with the others.
type Scores = (f64, Vec<f64>, Vec<f64>);

/// Shadows with and without a person that a comparison needs, each.
const FEWEST_SHADOWS: usize = 2;

/// Fewer people than this on a side give an interval that says nothing.
const FEWEST_PEOPLE: usize = 20;

impl Generator {
    /// ln p(person | generator) − ln p(person | population).
    ///
    /// # Source
    /// van Breugel et al. 2023, "Membership inference attacks against synthetic data through
    /// overfitting detection", section 4 (density ratio).
    pub(super) fn likelihood_ratio(
        &self,
        plan: &Plan,
        dice: &mut Dice<'_>,
    ) -> Result<Tally, EntropyFailed> {
        let attack = Attack::LikelihoodRatio;
        let Some((reference, judged)) = &self.reference else {
            return Ok(Tally::not_run(attack, "there is no model of the population"));
        };
        let ratio = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>();
        let members = ratio(&self.attacked.real, &reference.real);
        let others = ratio(&self.attacked.control, &reference.control);
        let others: Vec<f64> =
            others.into_iter().zip(judged).filter(|(_, judged)| **judged).map(|(x, _)| x).collect();
        tell_apart(attack, &members, &others, plan, dice)
    }

    /// How much better the generator fits among the shadows fitted to a person than among those
    /// that were not.
    ///
    /// # Source
    /// Carlini et al. 2022, "Membership inference attacks from first principles", algorithm 1
    /// (online, with one variance over all people, as its section VI-B has it for few shadows).
    pub(super) fn shadow_models(
        &self,
        plan: &Plan,
        dice: &mut Dice<'_>,
    ) -> Result<Tally, EntropyFailed> {
        let attack = Attack::ShadowModels;
        let side = |pick: fn(&Likelihoods) -> &[f64], fitted: fn(&Shadow) -> &[bool]| {
            (0..pick(&self.attacked).len())
                .map(|person| {
                    let split = |with: bool| -> Vec<f64> {
                        self.shadows
                            .iter()
                            .filter(|s| fitted(s).get(person) == Some(&with))
                            .filter_map(|s| pick(&s.likelihoods).get(person).copied())
                            .collect()
                    };
                    (pick(&self.attacked)[person], split(true), split(false))
                })
                .filter(|(_, with, without)| with.len().min(without.len()) >= FEWEST_SHADOWS)
                .collect::<Vec<_>>()
        };
        let members = side(|l| &l.real, |s| &s.real);
        let others = side(|l| &l.control, |s| &s.control);
        if members.len().min(others.len()) < FEWEST_PEOPLE {
            return Ok(Tally::not_run(attack, "there are too few shadow models"));
        }
        let all = || members.iter().chain(&others);
        let spread = |pick: fn(&Scores) -> &[f64]| {
            let squares: f64 = all().map(|p| deviation(pick(p))).sum();
            let free: usize = all().map(|p| pick(p).len() - 1).sum();
            (squares / free.max(1) as f64).max(1e-12)
        };
        let (with, without) = (spread(|p| &p.1), spread(|p| &p.2));
        let score = |(own, inside, outside): &Scores| {
            let fit = |values: &[f64], variance: f64| {
                -(own - mean(values)).powi(2) / (2.0 * variance) - variance.ln() / 2.0
            };
            fit(inside, with) - fit(outside, without)
        };
        let members: Vec<f64> = members.iter().map(score).collect();
        let others: Vec<f64> = others.iter().map(score).collect();
        tell_apart(attack, &members, &others, plan, dice)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Σ (x − mean)².
fn deviation(values: &[f64]) -> f64 {
    let middle = mean(values);
    values.iter().map(|x| (x - middle).powi(2)).sum()
}

/// Calls everybody a member whose score reaches a threshold, which is chosen on one half of the
/// people and judged on the other; as many members as others.
pub(super) fn tell_apart(
    attack: Attack,
    members: &[f64],
    others: &[f64],
    plan: &Plan,
    dice: &mut Dice<'_>,
) -> Result<Tally, EntropyFailed> {
    let people = members.len().min(others.len()).min(plan.attempts.saturating_mul(2));
    if people < FEWEST_PEOPLE {
        return Ok(Tally::not_run(attack, format!("only {people} people of each kind")));
    }
    let pick = |scores: &[f64], dice: &mut Dice<'_>| -> Result<Vec<f64>, EntropyFailed> {
        Ok(dice.choose(scores.len(), people)?.into_iter().map(|i| scores[i]).collect())
    };
    let (members, others) = (pick(members, dice)?, pick(others, dice)?);
    let half = people / 2;
    let mut marks: Vec<(f64, i64)> = members[..half]
        .iter()
        .map(|&score| (score, 1))
        .chain(others[..half].iter().map(|&score| (score, -1)))
        .collect();
    marks.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut threshold, mut most, mut advantage, mut wrong) = (f64::INFINITY, 0, 0, 0);
    for (i, &(at, mark)) in marks.iter().enumerate() {
        advantage += mark;
        wrong += usize::from(mark < 0);
        let last_of_its_kind = marks.get(i + 1).is_none_or(|next| next.0 < at);
        // A call that is wrong on most others would say nothing, and its interval neither.
        if last_of_its_kind && advantage > most && wrong * 2 <= half {
            (threshold, most) = (at, advantage);
        }
    }
    let count = |scores: &[f64]| scores[half..].iter().filter(|s| **s >= threshold).count() as u64;
    Ok(Tally::Counted {
        attack,
        secret: None,
        attempts: (people - half) as u64,
        hits: count(&members),
        control: count(&others),
        times: 1.0,
    })
}
