//! One number out of the whole vector.

use std::num::NonZeroU32;

use serde::Serialize;

use super::statistics::{chance, normal_quantile, residual, wilson};
use super::verbatim::Verbatim;
use super::{Attack, Entry, Finding, Tally};

/// The chance that any interval of a report misses.
const ERROR: f64 = 0.05;

/// The chance that a single interval may miss. Each attack has two rates, so that with m attacks
/// each interval takes 0.05 / 2m of the error (Bonferroni), and of that its part of the looks.
fn error_of_each(attacks: usize, looks: NonZeroU32) -> f64 {
    ERROR / (2.0 * attacks.max(1) as f64 * f64::from(looks.get()))
}

/// Where fewer attacks than this were run, the words name those that were not.
const FEW: usize = 3;

/// The chance with which each single interval holds, so that those of so many attacks hold together
/// with 95 % over so many looks.
#[must_use]
pub fn confidence_of_each(attacks: usize, looks: NonZeroU32) -> f64 {
    1.0 - error_of_each(attacks, looks)
}

/// What the attacks found, together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// 100 · (1 − the largest upper bound of risk), and 0 when people are published verbatim
    /// beyond what chance explains, or when no attack could be run.
    pub score: f64,
    /// A line per attack.
    pub entries: Vec<Entry>,
    /// Members with a value that nobody else has and whose whole record is in the release.
    pub published_verbatim: u64,
    /// Control people with a value that nobody else has and whose whole record is in the release:
    /// they are no control people then.
    pub control_verbatim: u64,
    /// Whether the score is 0 for those who are published verbatim, whatever the rates.
    pub verbatim_decides: bool,
    /// The chance that each single interval holds; all hold together with 95 %, over all looks.
    pub confidence: f64,
    /// The result in a few sentences.
    pub words: String,
}

impl Report {
    /// Puts intervals around the counts.
    pub(super) fn from_tallies(tallies: Vec<Tally>, verbatim: Verbatim, looks: NonZeroU32) -> Self {
        let run = tallies.iter().filter(|t| matches!(t, Tally::Counted { .. })).count();
        let error = error_of_each(run, looks);
        let z = normal_quantile(1.0 - error / 2.0);
        let entries: Vec<Entry> = tallies.into_iter().map(|tally| entry(tally, z)).collect();
        let mut report = Self {
            score: 0.0,
            entries,
            published_verbatim: verbatim.members,
            control_verbatim: verbatim.control,
            verbatim_decides: verbatim.decides(looks),
            confidence: 1.0 - error,
            words: String::new(),
        };
        report.score = match report.worst() {
            _ if report.verbatim_decides => 0.0,
            Some(worst) => 100.0 * (1.0 - worst.risk.upper),
            None => 0.0,
        };
        report.words = report.say() + &verbatim.words(report.verbatim_decides);
        report
    }

    /// The attacks that were run.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Run(finding) => Some(finding),
            Entry::NotRun { .. } => None,
        })
    }

    /// The attack with the largest upper bound of risk.
    #[must_use]
    pub fn worst(&self) -> Option<&Finding> {
        self.findings().max_by(|a, b| a.risk.upper.total_cmp(&b.risk.upper))
    }

    /// Attacks whose risk is above chance beyond doubt.
    pub fn proven(&self) -> impl Iterator<Item = &Finding> {
        self.findings().filter(|f| f.risk.lower > 0.0)
    }

    /// The attack that does better on control people than on members beyond doubt, if one does:
    /// then the control people are in the data, or the two are exchanged, and no rate says
    /// anything.
    ///
    /// Only attacks that look for a person's own record are asked: of a generalised release each
    /// member fits several records, and a control person may well fit a single one.
    #[must_use]
    pub fn backwards(&self) -> Option<&Finding> {
        let own = |attack: Attack| {
            matches!(
                attack,
                Attack::SinglingOutUnivariate
                    | Attack::SinglingOutMultivariate
                    | Attack::Membership
                    | Attack::PopulationLinkage
                    | Attack::LikelihoodRatio
                    | Attack::ShadowModels
            )
        };
        self.findings().find(|f| own(f.attack) && f.control.lower > f.rate.upper)
    }

    pub(super) fn say(&self) -> String {
        let Some(worst) = self.worst() else {
            let nothing = "No attack could be run, so nothing is known about the risk.";
            return nothing.to_owned() + &self.not_run();
        };
        let percent = |x: f64| format!("{:.1} %", 100.0 * x);
        // Of the others nothing was tried.
        let whom = match worst.attack {
            Attack::SinglingOutMultivariate => "of the records that stand alone",
            _ => "of the members",
        };
        let about = worst.secret.as_ref().map_or(String::new(), |column| format!(" of {column}"));
        let mut words = format!(
            "Of {} attacks the most successful was {}{about}: of {} attempts {} succeeded, against \
             {} on people who are not in the data. With 95 % confidence over all attacks, at most \
             {} {whom} are exposed by being in the data.",
            self.findings().count(),
            worst.attack.name(),
            count(worst.attempts),
            count(worst.successes),
            count(worst.control_successes),
            percent(worst.risk.upper),
        );
        if self.proven().next().is_some() {
            words.push_str(" At least one attack does better on members than chance explains.");
        } else {
            words.push_str(" No attack does better on members than chance explains.");
        }
        if self.findings().count() < FEW {
            words.push_str(&self.not_run());
        }
        words
    }

    /// Which attacks were not run and why: they count as no risk in the score.
    fn not_run(&self) -> String {
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for entry in &self.entries {
            let Entry::NotRun { attack, reason } = entry else { continue };
            match reasons.iter_mut().find(|(known, _)| known == reason) {
                Some((_, attacks)) => attacks.push(attack.name()),
                None => reasons.push((reason, vec![attack.name()])),
            }
        }
        if reasons.is_empty() {
            return String::new();
        }
        let said = reasons.iter().map(|(why, attacks)| format!("{} ({why})", attacks.join(", ")));
        format!(" Not run, and no risk in the score: {}.", said.collect::<Vec<_>>().join("; "))
    }
}

/// A number with its thousands apart.
fn count(n: u64) -> String {
    match n / 1_000 {
        0 => n.to_string(),
        thousands => format!("{},{:03}", count(thousands), n % 1_000),
    }
}

fn entry(tally: Tally, z: f64) -> Entry {
    match tally {
        Tally::NotRun { attack, reason } => Entry::NotRun { attack, reason },
        Tally::Counted { attack, secret, attempts, hits, control, times } => {
            let rate = wilson(hits, attempts, z);
            let control_rate = chance(control, attempts, z, times);
            let scaled = (control as f64 * times).round().min(attempts as f64) as u64;
            Entry::Run(Finding {
                attack,
                secret,
                attempts,
                successes: hits,
                control_successes: scaled,
                rate,
                control: control_rate,
                risk: residual(rate, control_rate),
            })
        }
    }
}
