//! A way of releasing a table: applied to the whole, and to a half that is attacked.

use std::time::Duration;

use salus_deid::safepub::SafePub;
use salus_deid::transform::{Scheme, UnknownValue, shuffle};
use salus_deid::utility::Utility;
use salus_deid::{
    Loss, Outcome, PrivacyModel, Problem, QuasiIdentifiers, SearchError, SuppressionLimit, Table,
};
use salus_model::{Clock, Entropy, Timestamp};

use super::{AnonymiseArgs, Partition, Search};
use crate::error::FilesError;
use crate::evidence::{self, Evidence, Trial};
use crate::watch::{go_on_by, never};

/// Combinations of levels up to which an optimum is to be proved, unless it is said how to search.
const FEW_NODES: u64 = 50_000;
/// The share of ε by which a private generalisation chooses its levels.
const SEARCH_SHARE: f64 = 0.3;
/// Steps of that choice.
const SEARCH_STEPS: u32 = 25;

/// What was found, whichever way.
pub(crate) struct Release {
    pub(super) table: Table,
    pub(super) loss: f64,
    pub(super) granularity: f64,
    /// All of what it is still good for; none where the levels were given.
    pub(super) utility: Option<Utility>,
    pub(super) outcome: Option<Outcome>,
    /// The levels that each quasi-identifier is generalised to; none where groups differ.
    pub(super) levels: Option<Vec<u8>>,
    pub(super) suppressed: Vec<u32>,
    pub(super) private: Option<SafePub>,
}

impl Release {
    /// Suppressed records that have a place in the table.
    pub(super) fn published_as_gaps(&self) -> Vec<u32> {
        match self.private {
            Some(_) => Vec::new(),
            None => self.suppressed.clone(),
        }
    }
}

/// Everything that a release is made with.
pub(crate) struct Recipe<'a> {
    pub(super) args: &'a AnonymiseArgs,
    pub(super) quasi: &'a QuasiIdentifiers,
    pub(super) models: Vec<PrivacyModel>,
    pub(super) loss: Loss,
    pub(super) population: Option<&'a Table>,
    pub(super) clock: &'a dyn Clock,
}

impl Recipe<'_> {
    /// Releases a table, by levels found earlier if there are any.
    pub(super) fn release(
        &self,
        table: &Table,
        levels: Option<&Outcome>,
        entropy: &mut dyn Entropy,
    ) -> Result<Release, FilesError> {
        if let Some(epsilon) = self.args.epsilon {
            return self.privately(table, epsilon, entropy);
        }
        let limit = match levels {
            Some(_) => SuppressionLimit::new(1.0)?,
            None => SuppressionLimit::new(self.args.suppression)?,
        };
        let mut problem =
            Problem::new(table, self.quasi, &self.models, limit, self.loss, self.population)?;
        if let Some(person) = &self.args.person {
            problem = problem.for_people(table.column(person)?)?;
        }
        let whose: Vec<&str> = self.args.person.as_deref().into_iter().collect();
        if self.args.local {
            let local = match self.args.partition {
                Partition::Auto => problem.recode_locally()?,
                Partition::Mondrian => problem.mondrian()?,
            };
            let utility = Utility::measure(table, &local.table, self.quasi)?;
            return Ok(Release {
                table: local.table.without_columns(&whose)?,
                loss: loss_of(&utility),
                granularity: local.granularity,
                utility: Some(utility),
                outcome: None,
                levels: None,
                suppressed: Vec::new(),
                private: None,
            });
        }
        let outcome = match levels {
            Some(found) => problem.evaluate(&found.levels)?,
            None => self.search(&problem)?,
        };
        let hidden: Vec<&str> = self.args.sensitive.iter().map(String::as_str).collect();
        let released = outcome.scheme(self.quasi, UnknownValue::Refuse)?.apply(
            table,
            &outcome.suppressed,
            &hidden,
        )?;
        // Of the half that is attacked, nobody asks what it is good for.
        let utility = match levels {
            Some(_) => None,
            None => Some(Utility::measure(table, &released, self.quasi)?),
        };
        Ok(Release {
            granularity: utility.as_ref().map_or(0.0, |u| u.granularity),
            utility,
            table: released.without_columns(&whose)?,
            loss: outcome.loss,
            levels: Some(outcome.levels.as_slice().to_vec()),
            suppressed: outcome.suppressed.clone(),
            outcome: Some(outcome),
            private: None,
        })
    }

    /// A differentially private generalisation: sampled records, their quasi-identifiers only, in
    /// an order that tells nothing.
    fn privately(
        &self,
        table: &Table,
        epsilon: f64,
        entropy: &mut dyn Entropy,
    ) -> Result<Release, FilesError> {
        let search = epsilon * SEARCH_SHARE;
        let plan = SafePub::new(epsilon - search, search, self.args.delta, SEARCH_STEPS)?;
        // The models of the problem play no part in it, but a problem needs one.
        let any = [PrivacyModel::k_anonymity(1)?];
        let limit = SuppressionLimit::new(1.0)?;
        let problem = Problem::new(table, self.quasi, &any, limit, self.loss, None)?;
        let made = plan.publish(&problem, entropy)?;
        let mut kept = vec![false; table.rows()];
        for &row in &made.published {
            kept[row as usize] = true;
        }
        let gone: Vec<u32> = (0..table.rows() as u32).filter(|r| !kept[*r as usize]).collect();
        let scheme = Scheme::new(self.quasi, made.levels.clone(), UnknownValue::Refuse)?;
        let whole = scheme.apply(table, &gone, &[])?;
        let utility = Utility::measure(table, &whole, self.quasi)?;
        let order =
            shuffle(made.published.len(), entropy).map_err(|e| FilesError::Transform(e.into()))?;
        let rows: Vec<usize> = order.iter().map(|&i| made.published[i] as usize).collect();
        if rows.is_empty() {
            return Err(FilesError::option(format!(
                "--epsilon {epsilon}: no group of records is large enough to be published (it \
                 takes {}); allow a larger ε or δ, or name fewer quasi-identifiers",
                plan.smallest_class()
            )));
        }
        let columns = self
            .quasi
            .items()
            .iter()
            .map(|item| Ok(whole.column(&item.column)?.clone()))
            .collect::<Result<Vec<_>, FilesError>>()?;
        Ok(Release {
            table: Table::from_columns(columns)?.select(rows)?,
            loss: loss_of(&utility),
            granularity: utility.granularity,
            utility: Some(utility),
            outcome: None,
            levels: Some(made.levels.as_slice().to_vec()),
            suppressed: gone,
            private: Some(plan),
        })
    }

    fn search(&self, problem: &Problem<'_>) -> Result<Outcome, FilesError> {
        let few = self.quasi.lattice().size().is_some_and(|nodes| nodes <= FEW_NODES);
        let exact = match self.args.search {
            Search::Auto => few,
            Search::Optimal => true,
            Search::Anytime => false,
        };
        let deadline = self.deadline(exact)?;
        let found = if exact {
            problem.optimum_until(&|| self.clock.now() >= deadline)
        } else {
            problem.anytime(self.clock, deadline)
        };
        // Whoever stopped the work does not want the best that was found until then.
        go_on_by(self.clock)?;
        Ok(found?)
    }

    /// When a search ends. A proof takes however long the owner of a file waits for it; for a
    /// dataset in a node's memory, on which others wait as well, it has no more than its seconds.
    fn deadline(&self, exact: bool) -> Result<Timestamp, FilesError> {
        if exact && !self.is_in_memory() {
            return Ok(never());
        }
        let seconds = Duration::try_from_secs_f64(self.args.seconds)
            .map_err(|_| FilesError::option("--seconds must be a number from 0 on"))?;
        let micros = i64::try_from(seconds.as_micros()).unwrap_or(i64::MAX);
        Ok(self.clock.now().saturating_add_micros(micros))
    }

    /// Whether no file is read or written: input and result have the dataset's name then, which a
    /// file and its result never share.
    fn is_in_memory(&self) -> bool {
        self.args.file == self.args.out
    }

    pub(super) fn attack(
        &self,
        input: &Table,
        release: &Release,
        trial: Trial<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<Evidence, FilesError> {
        if self.args.no_attacks {
            return Ok(Evidence::none("not asked for"));
        }
        let secrets = &self.args.sensitive;
        let found = release.outcome.as_ref();
        let done =
            evidence::of_recipe(input, Some(self.quasi), secrets, trial, entropy, |half, e| {
                Ok(self.release(half, found, e)?.table)
            });
        match done {
            // A half may be too small for models that the whole satisfies.
            Err(FilesError::Search(
                SearchError::Unsatisfiable | SearchError::TooLittlePresence,
            )) => Ok(Evidence::none(
                "half of the records cannot satisfy the models, so that no control group is left",
            )),
            other => other,
        }
    }
}

/// The loss of a table by its columns' granularities: the geometric mean of 2 − granularity,
/// minus 1, which is what the search makes small.
fn loss_of(utility: &Utility) -> f64 {
    let columns = utility.columns.len().max(1) as f64;
    let product: f64 = utility.columns.iter().map(|c| 2.0 - c.granularity).product();
    product.powf(1.0 / columns) - 1.0
}
