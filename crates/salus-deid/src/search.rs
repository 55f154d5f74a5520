//! Search for the least lossy node of the lattice at which the models hold.

mod anytime;
mod exact;
mod seed;
mod swift;

use salus_model::{Class, Classified};

use crate::engine::Engine;
use crate::model::ClassRule;
use crate::problem::{Problem, ProblemError};
use crate::quasi::Levels;

pub(crate) use seed::Seeds;

/// Why no node was found.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The problem itself is wrong.
    #[error(transparent)]
    Problem(#[from] ProblemError),
    /// No node satisfies the models within the suppression limit.
    #[error(
        "no generalisation satisfies the models within the suppression limit; raise the limit, \
         add levels to the hierarchies or relax a model"
    )]
    Unsatisfiable,
    /// δ-presence demands a chance that some people do not have, however coarse the groups.
    #[error(
        "δ-presence cannot hold: at every generalisation some people of the population are in a \
         group with too few records, and suppressing takes more away; lower the least chance, or \
         add coarser levels to the hierarchies"
    )]
    TooLittlePresence,
    /// A model that local recoding cannot hold class by class.
    #[error(
        "local recoding works class by class: it cannot keep models about a population table or \
         about the whole release; use full-domain generalisation"
    )]
    NotLocal,
    /// A level that a hierarchy does not have, or not one per quasi-identifier.
    #[error("the levels do not fit the hierarchies of the quasi-identifiers")]
    NoSuchLevels,
    /// Too many nodes could be better than the best one known.
    #[error(
        "{candidates} or more combinations of levels would have to be weighed for a proven \
         optimum; use the anytime search"
    )]
    TooManyCandidates {
        /// Candidates counted before giving up.
        candidates: usize,
    },
}

impl Classified for SearchError {
    fn class(&self) -> Class {
        match self {
            Self::Problem(inner) => inner.class(),
            _ => Class::BadRequest,
        }
    }
}

/// How good an outcome is known to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimality {
    /// No combination of levels that satisfies the models has a smaller loss.
    Proven,
    /// The best that was found in the time given.
    BestFound,
    /// The levels were given, not searched.
    Given,
}

/// A generalisation that satisfies the models, and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// A level per quasi-identifier.
    pub levels: Levels,
    /// The loss, by the problem's measure.
    pub loss: f64,
    /// Records that are suppressed, in order, counted from 0.
    pub suppressed: Vec<u32>,
    /// Nodes whose classes were counted.
    pub checked: u64,
    /// Nodes of the lattice; none when 64 bits do not count them.
    pub nodes: Option<u64>,
    /// Whether it is the best there is.
    pub optimality: Optimality,
}

/// Calls a generic function with the number of words that the problem's keys need.
macro_rules! with_words {
    ($problem:expr, $function:ident ( $($argument:expr),* )) => {
        match $crate::engine::key_words($problem)? {
            0 | 1 => $function::<1>($($argument),*),
            2 => $function::<2>($($argument),*),
            3 | 4 => $function::<4>($($argument),*),
            5..=8 => $function::<8>($($argument),*),
            _ => $function::<16>($($argument),*),
        }
    };
}
pub(crate) use with_words;

impl Problem<'_> {
    /// Finds the node with the smallest loss at which all models hold, and proves it.
    ///
    /// Lower bounds order the work: what generalisation alone costs, plus what is known to be
    /// suppressed at any more general node. A node that fails a model that joining classes cannot
    /// break rules out all more specific ones. Where suppression makes a model non-monotone
    /// (entropy and recursive l-diversity, t-closeness, β-likeness, δ-presence, rules about the
    /// whole release) only the bound is used, so that the result stays the optimum.
    ///
    /// # Errors
    /// When nothing satisfies the models, or the lattice holds more candidates than memory.
    ///
    /// # Cost
    /// Each check costs time in the number of classes at the nearest more specific node.
    ///
    /// # Source
    /// Optimal full-domain search with roll-up: LeFevre et al. 2005 (Incognito), section 3;
    /// predictive tagging: Kohlmayer et al. 2012 (Flash); bounds for non-monotone loss:
    /// Prasser, Kohlmayer and Kuhn 2016, "Efficient and effective pruning strategies for health
    /// data de-identification".
    pub fn optimum(&self) -> Result<Outcome, SearchError> {
        fn run<const W: usize>(problem: &Problem<'_>) -> Result<Outcome, SearchError> {
            let mut engine = Engine::<W>::new(problem);
            let seed = Seeds::new(&mut engine).climb(&mut engine);
            let best = exact::search(&mut engine, seed)?;
            let (levels, loss) = best.ok_or_else(|| problem.unsatisfiable())?;
            Ok(outcome(&mut engine, &levels, loss, Optimality::Proven))
        }
        with_words!(self, run(self))
    }
}

impl Problem<'_> {
    /// Why no node satisfies the models: with a least chance of presence no suppression helps.
    pub(crate) fn unsatisfiable(&self) -> SearchError {
        let demanding =
            |rule: &ClassRule| matches!(rule, ClassRule::Presence { least, .. } if *least > 0.0);
        if self.class_rules.iter().any(demanding) {
            SearchError::TooLittlePresence
        } else {
            SearchError::Unsatisfiable
        }
    }

    /// What given levels cost on this problem's table: a scheme found earlier, on new data.
    ///
    /// # Errors
    /// When the levels do not exist, or the models cannot hold at them within the suppression
    /// limit.
    pub fn evaluate(&self, levels: &Levels) -> Result<Outcome, SearchError> {
        fn run<const W: usize>(
            problem: &Problem<'_>,
            levels: &Levels,
        ) -> Result<Outcome, SearchError> {
            let mut engine = Engine::<W>::new(problem);
            let inward: Vec<u8> = engine.order.iter().map(|&i| levels.as_slice()[i]).collect();
            let groups = engine.groups_at(&inward);
            let verdict = engine.check(&groups, &inward);
            if !verdict.holds(problem.limit) {
                return Err(problem.unsatisfiable());
            }
            Ok(outcome(&mut engine, &inward, verdict.loss, Optimality::Given))
        }
        if !self.quasi.lattice().contains(levels) {
            return Err(SearchError::NoSuchLevels);
        }
        with_words!(self, run(self, levels))
    }
}

/// Completes an outcome with its suppressed rows.
pub(crate) fn outcome<const W: usize>(
    engine: &mut Engine<'_, W>,
    levels: &[u8],
    loss: f64,
    optimality: Optimality,
) -> Outcome {
    Outcome {
        suppressed: engine.suppressed_rows(levels),
        levels: Levels::new(engine.outward(levels)),
        loss,
        checked: engine.checked,
        nodes: engine.problem.quasi.lattice().size(),
        optimality,
    }
}

#[cfg(test)]
mod brute;
#[cfg(test)]
mod tests;
