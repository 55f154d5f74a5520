//! Attacks that hold several releases of the same data against each other.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use salus_model::EntropyFailed;

use super::frame::{Cover, Field, Frame, covers, hierarchy_of};
use super::{Attack, Plan, Scene, Tally};
use crate::dice::Dice;
use crate::table::{Column, Table};

/// Fewer people of growing groups than this give an interval that says nothing.
const FEWEST: usize = 20;

/// Groups of a release by the columns that the attacker knows, with how often each secret is in
/// them.
struct Groups {
    /// Positions of the known columns that this release has.
    known: Vec<usize>,
    groups: Vec<(Vec<u32>, BTreeMap<String, u64>)>,
    covers: Vec<Vec<Cover>>,
}

impl Groups {
    /// None where the release lacks the secret or every known column.
    fn of(
        release: &Table,
        scene: &Scene<'_>,
        frame: &Frame,
        known: &[usize],
        secret: &str,
    ) -> Option<Self> {
        let secrets = release.column(secret).ok()?;
        let shared: Vec<(usize, &Column)> = known
            .iter()
            .enumerate()
            .filter_map(|(i, &f)| Some((i, release.column(&frame.fields[f].name).ok()?)))
            .collect();
        if shared.is_empty() {
            return None;
        }
        let mut index: HashMap<Vec<u32>, usize> = HashMap::new();
        let mut groups: Vec<(Vec<u32>, BTreeMap<String, u64>)> = Vec::new();
        for row in 0..release.rows() {
            let labels: Vec<u32> = shared.iter().map(|(_, c)| c.codes()[row]).collect();
            let at = *index.entry(labels.clone()).or_insert_with(|| {
                groups.push((labels, BTreeMap::new()));
                groups.len() - 1
            });
            let secret = secrets.value(row).unwrap_or_default().to_owned();
            *groups[at].1.entry(secret).or_insert(0) += 1;
        }
        let covers = shared
            .iter()
            .map(|(i, column)| {
                let name = &frame.fields[known[*i]].name;
                let texts = super::frame::value_codes(scene.real, scene.control, name);
                covers(column, &texts, hierarchy_of(scene, name))
            })
            .collect();
        Some(Self { known: shared.into_iter().map(|(i, _)| i).collect(), groups, covers })
    }

    /// How often each secret is among the records that a person fits; none when none fits.
    fn fitting(&self, values: &[u32]) -> Option<BTreeMap<&str, u64>> {
        let mut found: Option<BTreeMap<&str, u64>> = None;
        for (labels, secrets) in &self.groups {
            let mut known = labels.iter().zip(&self.covers).zip(&self.known);
            if known.all(|((&label, covers), &i)| covers[label as usize].holds(values[i])) {
                let found = found.get_or_insert_default();
                for (secret, count) in secrets {
                    *found.entry(secret).or_insert(0) += count;
                }
            }
        }
        found
    }
}

/// One secret's place in the scene.
struct Target<'s> {
    scene: &'s Scene<'s>,
    frame: &'s Frame,
    known: Vec<usize>,
    field: &'s Field,
    text_of: Vec<&'s str>,
}

impl<'s> Target<'s> {
    fn of(scene: &'s Scene<'s>, frame: &'s Frame, secret: &str) -> Option<Self> {
        let at = frame.position(secret)?;
        let texts = super::frame::value_codes(scene.real, scene.control, secret);
        let mut text_of: Vec<&str> = vec![""; texts.len()];
        for (text, &code) in &texts {
            text_of[code as usize] = text;
        }
        let known = (0..frame.fields.len()).filter(|&f| f != at).collect();
        Some(Self { scene, frame, known, field: &frame.fields[at], text_of })
    }

    fn groups(&self, release: &Table) -> Option<Groups> {
        Groups::of(release, self.scene, self.frame, &self.known, &self.field.name)
    }

    fn values(&self, row: usize, member: bool) -> Vec<u32> {
        super::neighbours::values(self.frame, &self.known, row, member)
    }

    fn truth(&self, row: usize, member: bool) -> &'s str {
        self.text_of[if member { self.field.real[row] } else { self.field.control[row] } as usize]
    }
}

const LACKING: &str = "no earlier release has the guessed column and a known one";

/// Intersects the secrets that every release leaves possible for a person, each by the columns that
/// it has; a single one left is the guess.
///
/// # Source
/// Ganta, Kasiviswanathan and Smith 2008, "Composition attacks and auxiliary information in data
/// privacy", section 3 (intersection attack).
pub(super) fn differencing(
    frame: &Frame,
    scene: &Scene<'_>,
    plan: &Plan,
    secret: &str,
    dice: &mut Dice<'_>,
) -> Result<Tally, EntropyFailed> {
    let attack = Attack::Differencing;
    let Some(target) = Target::of(scene, frame, secret) else {
        return Ok(Tally::not_run(attack, format!("the release has no column '{secret}'")));
    };
    let earlier: Vec<Groups> = scene.earlier.iter().filter_map(|e| target.groups(e)).collect();
    let (Some(own), false) = (target.groups(scene.released), earlier.is_empty()) else {
        return Ok(Tally::not_run(attack, LACKING));
    };
    let targets = dice.choose(frame.people, plan.attempts)?;
    let found = |row: usize, member: bool| {
        let values = target.values(row, member);
        let left = std::iter::once(&own)
            .chain(&earlier)
            .filter_map(|release| release.fitting(&values))
            .reduce(|a, b| a.into_iter().filter(|(secret, _)| b.contains_key(secret)).collect());
        left.is_some_and(|left| left.len() == 1 && left.contains_key(target.truth(row, member)))
    };
    let count = |member| targets.iter().filter(|&&row| found(row, member)).count() as u64;
    Ok(Tally::Counted {
        attack,
        secret: Some(secret.to_owned()),
        attempts: targets.len() as u64,
        hits: count(true),
        control: count(false),
        times: 1.0,
    })
}

/// Subtracts counts: who is known to have joined since an earlier release has the secret of which
/// there is more now among the records that they fit.
///
/// Tried on people whose groups grew, members and control people alike: what a control person's
/// group gained is somebody else's, and right by chance.
///
/// # Source
/// Fung, Wang, Fu and Xiong 2008, "Anonymity for continuous data publishing", section 3 (the
/// forward and the backward attack, as differences of counts).
pub(super) fn joining(
    frame: &Frame,
    scene: &Scene<'_>,
    plan: &Plan,
    secret: &str,
    dice: &mut Dice<'_>,
) -> Result<Tally, EntropyFailed> {
    let attack = Attack::Joining;
    let Some(target) = Target::of(scene, frame, secret) else {
        return Ok(Tally::not_run(attack, format!("the release has no column '{secret}'")));
    };
    // The last one given is the one that joiners are not in.
    let before = scene.earlier.iter().rev().find_map(|e| target.groups(e));
    let Some(before) = before else { return Ok(Tally::not_run(attack, LACKING)) };
    // By the columns of the earlier release alone, so that both count the same people.
    let common = Target {
        known: before.known.iter().map(|&i| target.known[i]).collect(),
        text_of: target.text_of.clone(),
        ..target
    };
    let (Some(now), Some(before)) =
        (common.groups(scene.released), scene.earlier.iter().rev().find_map(|e| common.groups(e)))
    else {
        return Ok(Tally::not_run(attack, LACKING));
    };
    // The guess for each person whose group grew, and whether it is right.
    let guesses = |member: bool, order: Vec<usize>| -> Vec<bool> {
        let guess = |row: usize| {
            let values = common.values(row, member);
            let now = now.fitting(&values)?;
            let before = before.fitting(&values).unwrap_or_default();
            if now.values().sum::<u64>() <= before.values().sum::<u64>() {
                return None;
            }
            let gained: Vec<&str> = now
                .iter()
                .filter(|(secret, count)| **count > before.get(*secret).copied().unwrap_or(0))
                .map(|(secret, _)| *secret)
                .collect();
            Some(gained == [common.truth(row, member)])
        };
        order.into_iter().filter_map(guess).take(plan.attempts).collect()
    };
    let members = guesses(true, dice.choose(frame.people, frame.people)?);
    let others = guesses(false, dice.choose(frame.people, frame.people)?);
    let attempts = members.len().min(others.len());
    if attempts < FEWEST {
        return Ok(Tally::not_run(
            attack,
            match attempts {
                0 => "nobody is of a group that grew since an earlier release".to_owned(),
                1 => "only one person is of a group that grew since an earlier release".to_owned(),
                n => format!("only {n} people are of groups that grew since an earlier release"),
            },
        ));
    }
    let right = |guesses: &[bool]| guesses.iter().take(attempts).filter(|g| **g).count() as u64;
    Ok(Tally::Counted {
        attack,
        secret: Some(secret.to_owned()),
        attempts: attempts as u64,
        hits: right(&members),
        control: right(&others),
        times: 1.0,
    })
}
