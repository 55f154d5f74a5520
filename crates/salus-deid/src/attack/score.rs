//! One number out of the whole vector.

use std::num::NonZeroU32;

use serde::Serialize;

use super::statistics::{normal_quantile, residual, wilson};
use super::{Attack, Entry, Finding, Tally};

/// The chance that any interval of a report misses.
const ERROR: f64 = 0.05;

/// The chance that a single interval may miss. Each attack has two rates, so that with m attacks
/// each interval takes 0.05 / 2m of the error (Bonferroni), and of that its part of the looks.
fn error_of_each(attacks: usize, looks: NonZeroU32) -> f64 {
    ERROR / (2.0 * attacks.max(1) as f64 * f64::from(looks.get()))
}

/// The chance with which each single interval holds, so that those of so many attacks hold together
/// with 95 % over so many looks.
#[must_use]
pub fn confidence_of_each(attacks: usize, looks: NonZeroU32) -> f64 {
    1.0 - error_of_each(attacks, looks)
}

/// What the attacks found, together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// 100 · (1 − the largest upper bound of risk), and 0 when a person is published verbatim.
    pub score: f64,
    /// A line per attack.
    pub entries: Vec<Entry>,
    /// Members with a value that nobody else has and whose whole record is in the release.
    pub published_verbatim: u64,
    /// Control people with a value that nobody else has and whose whole record is in the release:
    /// they are no control people then.
    pub control_verbatim: u64,
    /// The chance that each single interval holds; all hold together with 95 %, over all looks.
    pub confidence: f64,
    /// The result in a few sentences.
    pub words: String,
}

impl Report {
    /// Puts intervals around the counts.
    pub(super) fn from_tallies(
        tallies: Vec<Tally>,
        published_verbatim: u64,
        looks: NonZeroU32,
    ) -> Self {
        let run = tallies.iter().filter(|t| matches!(t, Tally::Counted { .. })).count();
        let error = error_of_each(run, looks);
        let z = normal_quantile(1.0 - error / 2.0);
        let entries: Vec<Entry> = tallies.into_iter().map(|tally| entry(tally, z)).collect();
        let mut report = Self {
            score: 0.0,
            entries,
            published_verbatim,
            control_verbatim: 0,
            confidence: 1.0 - error,
            words: String::new(),
        };
        report.score = match report.worst() {
            _ if published_verbatim > 0 => 0.0,
            Some(worst) => 100.0 * (1.0 - worst.risk.upper),
            None => 0.0,
        };
        report.words = report.say();
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

    fn say(&self) -> String {
        let Some(worst) = self.worst() else {
            return "No attack could be run, so nothing is known about the risk.".to_owned();
        };
        let percent = |x: f64| format!("{:.1} %", 100.0 * x);
        let mut words = format!(
            "Of {} attacks the most successful was {}: of {} attempts {} succeeded, against {} \
             on people who are not in the data. With 95 % confidence over all attacks, at most {} \
             of the members are exposed by being in the data.",
            self.findings().count(),
            worst.attack.name(),
            worst.attempts,
            worst.successes,
            worst.control_successes,
            percent(worst.risk.upper),
        );
        if self.proven().next().is_some() {
            words.push_str(" At least one attack does better on members than chance explains.");
        } else {
            words.push_str(" No attack does better on members than chance explains.");
        }
        if self.published_verbatim > 0 {
            words.push_str(&format!(
                " {} members with a value that nobody else has are published as they are: the \
                 score is 0 whatever the rates.",
                self.published_verbatim
            ));
        }
        words
    }
}

fn entry(tally: Tally, z: f64) -> Entry {
    match tally {
        Tally::NotRun { attack, reason } => Entry::NotRun { attack, reason },
        Tally::Counted { attack, secret, attempts, hits, control } => {
            let (rate, control_rate) = (wilson(hits, attempts, z), wilson(control, attempts, z));
            Entry::Run(Finding {
                attack,
                secret,
                attempts,
                successes: hits,
                control_successes: control,
                rate,
                control: control_rate,
                risk: residual(rate, control_rate),
            })
        }
    }
}
