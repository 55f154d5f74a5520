//! Attempts at a score, and what they cost.

use std::num::{NonZeroU8, NonZeroU32};

use salus_dp::{Cost, epsilon_from_rho, sequential};
use salus_model::{Entropy, MicroRho};

use super::domains::check_bounds;
use super::make::{Made, make};
use super::measures::check;
use super::report::report;
use super::{SynthesiseArgs, SynthesiseReport};
use crate::adjust::{self, Attempt, Change, Room};
use crate::error::FilesError;
use crate::evidence::{self, Effort, Evidence, Trial};
use crate::file::Source;

/// What attempts have cost, also those that came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meter(MicroRho);

impl Meter {
    pub(crate) const fn new() -> Self {
        Self(MicroRho::ZERO)
    }

    /// All that was spent; the largest number where it does not fit.
    pub(crate) const fn spent(self) -> MicroRho {
        self.0
    }

    pub(super) fn charge(&mut self, rho: MicroRho) {
        self.0 = self.0.checked_add(rho).unwrap_or(MicroRho::new(u64::MAX));
    }

    /// Gives back what an attempt was allowed and did not use.
    pub(super) fn settle(&mut self, allowed: MicroRho, used: MicroRho) {
        let unused = allowed.checked_sub(used).unwrap_or(MicroRho::ZERO);
        self.0 = self.0.checked_sub(unused).unwrap_or(self.0);
    }
}

/// Makes a sample, and where a score is asked for, tries the same way on a half of the people;
/// with `--until-score`, at ever smaller ε.
pub(crate) fn tried(
    args: &SynthesiseArgs,
    source: &Source,
    meter: &mut Meter,
    entropy: &mut dyn Entropy,
) -> Result<(Made, SynthesiseReport, Option<Evidence>), FilesError> {
    let wanted = args.until_score.or(args.least_score);
    let looks = match args.until_score {
        Some(_) => NonZeroU32::from(NonZeroU8::new(args.most_attempts).unwrap_or(NonZeroU8::MIN)),
        None => NonZeroU32::MIN,
    };
    check(args, source)?;
    let wished: Vec<String> = args.wishes.columns().into_iter().map(str::to_owned).collect();
    source.require("--only, --not-above or --never", &wished)?;
    check_bounds(args, source)?;
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut now = args.clone();
    let mut earlier: Option<Cost> = None;
    loop {
        let made = make(&now, source, meter, entropy)?;
        let spent = sequential([Some(made.spent), earlier].into_iter().flatten())
            .ok_or_else(|| FilesError::option("the privacy loss does not fit its number"))?;
        let mut report = report(&now, source, &made, spent)?;
        if wanted.is_none() && !args.attacks {
            return Ok((made, report, None));
        }
        let effort = now.attempts.map_or(Effort::Beside, |n| Effort::Attempts(n as usize));
        let person = args.person.as_deref();
        let trial = Trial { effort, looks, person, drawn: true };
        let evidence = evidence::of_recipe(&source.table, None, &[], trial, entropy, |half, e| {
            let half = source.with_table(half.clone());
            Ok(make(&now, &half, &mut Meter::new(), e)?.table)
        })?;
        report.score = evidence.score;
        report.attacks.clone_from(&evidence.attacks);
        let Some(wanted) = wanted else { return Ok((made, report, Some(evidence))) };
        let room = Room {
            k: None,
            l: None,
            t: None,
            sensitive: Vec::new(),
            most_diverse: 0,
            members: (source.table.rows() / 2) as u64,
            epsilon: Some(now.epsilon),
        };
        let enough = report.score.is_some_and(|score| score >= wanted);
        let next = if enough { None } else { Some(adjust::propose(&evidence, wanted, &room)) };
        if args.until_score.is_none() {
            report.next = next.and_then(Result::ok);
            return Ok((made, report, Some(evidence)));
        }
        attempts.push(Attempt {
            attempt: attempts.len() as u32 + 1,
            settings: vec![format!("--epsilon {}", now.epsilon)],
            score: report.score,
            utility: report.quality,
            epsilon_charged: Some(epsilon_from_rho(made.spent.rho, made.at).get()),
            adjusted: None,
        });
        let stop = |why: &str| {
            let charged = format!(
                "All attempts are charged: ε = {:.4} at δ = {:e} in all.",
                report.epsilon_spent, report.delta
            );
            Err(FilesError::no_release(wanted, why, &charged, &attempts))
        };
        if report.quality < args.utility_floor {
            return stop(&format!("the quality fell below {}", args.utility_floor));
        }
        let next = match next {
            None => {
                // For the steward: everybody is told how many there might have been.
                report.notes.push(format!(
                    "{} attempts are charged; that this one was the first to pass was found out \
                     from the records without noise, and ε does not cover that",
                    attempts.len()
                ));
                report.attempts = attempts;
                return Ok((made, report, Some(evidence)));
            }
            Some(Err(none)) => return stop(&none.0),
            Some(Ok(next)) => next,
        };
        if attempts.len() >= looks.get() as usize {
            return stop(&format!("{looks} attempts were made (next would be {})", next.option));
        }
        match next.change {
            Change::Epsilon(epsilon) => now.epsilon = epsilon,
            Change::Attempts(n) => now.attempts = Some(n),
            _ => return stop("nothing else can be changed"),
        }
        if let Some(last) = attempts.last_mut() {
            last.adjusted = Some(next);
        }
        // A trial with more attempts needs no new model, but the table is made anew: it is
        // charged again rather than chosen after a look.
        earlier = Some(spent);
    }
}
