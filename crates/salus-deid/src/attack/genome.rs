//! Membership of a genome in a group whose allele frequencies are published.

use std::num::NonZeroU32;

use salus_model::{Entropy, EntropyFailed};
use serde::Serialize;

use super::generator::tell_apart;
use super::verbatim::Verbatim;
use super::{Attack, AttackError, Linking, Plan, Report};
use crate::dice::Dice;

/// Copies of the alternative allele at one site: 0, 1 or 2; none when not called.
pub type Dosage = Option<u8>;

/// Genotypes of some people at the sites whose frequencies are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genotypes {
    /// By person, one dosage for each site.
    pub people: Vec<Vec<Dosage>>,
}

/// Frequencies of the alternative allele, one for each site.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Frequencies(pub Vec<f64>);

impl Genotypes {
    /// The frequencies in these people; a site that nobody is called at has none and gets ½.
    #[must_use]
    pub fn frequencies(&self) -> Frequencies {
        let sites = self.people.first().map_or(0, Vec::len);
        let of = |site: usize| {
            let called = self.people.iter().filter_map(|p| p.get(site).copied().flatten());
            let (copies, alleles) =
                called.fold((0u64, 0u64), |(c, n), d| (c + u64::from(d), n + 2));
            if alleles == 0 { 0.5 } else { copies as f64 / alleles as f64 }
        };
        Frequencies((0..sites).map(of).collect())
    }
}

/// Tells members of a group from others by its published allele frequencies.
///
/// The test statistic is the log-likelihood ratio of a person's alleles under the group's and under
/// the population's frequencies, the latter from the first half of the control people; the second
/// half is judged beside as many members.
///
/// # Privacy
/// Published frequencies of thousands of sites tell who is in a group of hundreds: this measures
/// how surely. Rounding and small counts weaken it; noise with a stated ε bounds it.
///
/// # Errors
/// When people differ in the number of sites, or there is no site or too few people.
///
/// # Source
/// Sankararaman, Obozinski, Jordan and Halperin 2009, "Genomic privacy and limits of individual
/// detection in a pool", equation 1; Homer et al. 2008 for the attack.
pub fn allele_frequencies(
    published: &Frequencies,
    members: &Genotypes,
    control: &Genotypes,
    attempts: usize,
    entropy: &mut dyn Entropy,
) -> Result<Report, AttackError> {
    let sites = published.0.len();
    let fits = |g: &Genotypes| g.people.iter().all(|person| person.len() == sites);
    if sites == 0 || !fits(members) || !fits(control) {
        return Err(AttackError::Plan(
            "every person needs a genotype at each of the published sites, and there must be one",
        ));
    }
    let mut dice = Dice::new(entropy);
    let (reference, judged) = split(control, &mut dice)?;
    let population = reference.frequencies();
    let scores = |g: &Genotypes| -> Vec<f64> {
        g.people.iter().map(|p| log_ratio(p, &published.0, &population.0)).collect()
    };
    let looks = NonZeroU32::MIN;
    let plan = Plan {
        attempts,
        predicate_columns: 1,
        linking: Linking::by_lot(),
        secrets: Vec::new(),
        looks,
    };
    let tally =
        tell_apart(Attack::AlleleFrequency, &scores(members), &scores(&judged), &plan, &mut dice)?;
    Ok(Report::from_tallies(vec![tally], Verbatim::NONE, looks))
}

fn split(
    control: &Genotypes,
    dice: &mut Dice<'_>,
) -> Result<(Genotypes, Genotypes), EntropyFailed> {
    let order = dice.choose(control.people.len(), control.people.len())?;
    let (first, second) = order.split_at(order.len() / 2);
    let pick = |rows: &[usize]| Genotypes {
        people: rows.iter().map(|&row| control.people[row].clone()).collect(),
    };
    Ok((pick(first), pick(second)))
}

/// Σ over sites of x ln(p̂/p) + (2 − x) ln((1 − p̂)/(1 − p)).
fn log_ratio(person: &[Dosage], group: &[f64], population: &[f64]) -> f64 {
    // Alleles that a side never saw are rare, not impossible.
    const EDGE: f64 = 1e-3;
    person
        .iter()
        .zip(group.iter().zip(population))
        .filter_map(|(dosage, (&group, &population))| {
            let copies = f64::from((*dosage)?.min(2));
            let (g, p) = (group.clamp(EDGE, 1.0 - EDGE), population.clamp(EDGE, 1.0 - EDGE));
            Some(copies * (g / p).ln() + (2.0 - copies) * ((1.0 - g) / (1.0 - p)).ln())
        })
        .sum()
}
