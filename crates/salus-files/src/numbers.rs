//! Which numbers options take, so that one that makes no sense is refused before any work.

use std::num::NonZeroU32;

/// The smallest δ that a loss is computed for.
const LEAST_DELTA: f64 = 1e-18;

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|x: &f64| x.is_finite())
}

/// A score.
pub(crate) fn score(text: &str) -> Result<f64, String> {
    number(text)
        .filter(|x| (0.0..=100.0).contains(x))
        .ok_or_else(|| "a score lies between 0 and 100".to_owned())
}

/// A share, a utility or a chance.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    number(text)
        .filter(|x| (0.0..=1.0).contains(x))
        .ok_or_else(|| "it lies between 0 and 1".to_owned())
}

/// ε of a release.
pub(crate) fn epsilon(text: &str) -> Result<f64, String> {
    number(text)
        .filter(|x| *x > 0.0)
        .ok_or_else(|| "ε is a number above 0; less is more private, and 1 is usual".to_owned())
}

/// The most that an account may hold, as ε; nothing more may be answered at 0.
pub(crate) fn budget(text: &str) -> Result<f64, String> {
    number(text)
        .filter(|x| *x >= 0.0)
        .ok_or_else(|| "a budget is an ε that is not negative".to_owned())
}

/// δ of a release.
pub(crate) fn delta(text: &str) -> Result<f64, String> {
    number(text).filter(|x| (LEAST_DELTA..1.0).contains(x)).ok_or_else(|| {
        "δ is above 0 (at least 1e-18) and below 1; 1e-6 is usual, and it should be well below one \
         in the number of people"
            .to_owned()
    })
}

/// A time.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    number(text)
        .filter(|x| *x > 0.0)
        .ok_or_else(|| "a search needs some time: say a number of seconds above 0".to_owned())
}

/// A number of people.
pub(crate) fn people(text: &str) -> Result<u64, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|n: &u64| *n > 0)
        .ok_or_else(|| "it is a whole number from 1 on".to_owned())
}

/// A number of days.
pub(crate) fn days(text: &str) -> Result<NonZeroU32, String> {
    text.trim().parse().map_err(|_| "it is a whole number of days from 1 on".to_owned())
}

/// What drives a sampling.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| "a seed is a whole number from 0 on".to_owned())
}

/// Why δ is too large for so many people, if it is: one in as many could be published whole.
pub(crate) fn too_large(delta: f64, people: u64) -> Option<String> {
    (delta * people as f64 >= 1.0).then(|| {
        format!(
            "--delta {delta:e}: with {people} people a δ of one in as many ({:e}) would allow to \
             publish somebody's record as it is; say one well below that, such as 1e-6",
            1.0 / people as f64
        )
    })
}

#[cfg(test)]
mod tests;
