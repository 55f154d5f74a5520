//! A model in which an outcome no longer depends on who a person is.
//!
//! # Source
//! The weights of Kamiran and Calders 2012, "Data preprocessing techniques for classification
//! without discrimination" (reweighing), applied to a fitted distribution in place of records:
//! P'(x) = P(x) · P(s)·P(y) / P(s, y).

use salus_model::{Class, Classified, ColumnPath};

use crate::junction::{Junction, model_cells};
use crate::marginal::{Scope, normalise, sum_by};
use crate::model::{Graph, Inner, Model, SampleError, position};
use crate::sample::Tilt;

/// Why a model was not made fair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FairError {
    /// No such attribute.
    #[error(transparent)]
    Attribute(#[from] SampleError),
    /// No sensitive attribute, or the outcome itself.
    #[error("name sensitive attributes, and not the outcome among them")]
    Sensitive,
    /// A method without marginals.
    #[error("a copula cannot be made fair; fit the model with aim, mst or privbayes")]
    Copula,
    /// Too many combinations.
    #[error(
        "the outcome with all sensitive attributes makes too large a model; name fewer, or coarser \
         ones"
    )]
    TooLarge,
}

impl Classified for FairError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// Combinations of the outcome with the sensitive attributes, at most.
const MOST_COMBINATIONS: usize = 100_000;
/// Cells that the fair model may have.
const MOST_CELLS: f64 = 4e6;
/// The least share that is told from none.
const LEAST: f64 = 1e-30;

impl Model {
    /// The model in which `outcome` is independent of the `sensitive` attributes, of each and of
    /// all of them together: everybody has the same chances, and everything else given outcome and
    /// group stays as it was.
    ///
    /// What tells the group, tells it still: what is learnt from such a table without the sensitive
    /// attributes may treat groups differently where other attributes stand for them.
    ///
    /// # Privacy
    /// Made from the fitted model alone: it costs nothing more.
    ///
    /// # Errors
    /// When there is no such attribute, the combinations are too many, or the method has no
    /// marginals.
    pub fn independent(
        &self,
        outcome: &ColumnPath,
        sensitive: &[ColumnPath],
    ) -> Result<Self, FairError> {
        let Inner::Graph(graph) = self.inner() else { return Err(FairError::Copula) };
        let outcome = position(self.attributes(), outcome)?;
        let groups = sensitive
            .iter()
            .map(|name| position(self.attributes(), name))
            .collect::<Result<Vec<_>, _>>()?;
        if groups.is_empty() || groups.contains(&outcome) {
            return Err(FairError::Sensitive);
        }
        let sizes = &graph.sizes;
        let both = Scope::new([groups.as_slice(), &[outcome]].concat(), sizes);
        let groups = Scope::new(groups, sizes);
        let own = Scope::new(vec![outcome], sizes);
        let mut scopes: Vec<Vec<usize>> = graph.potentials.iter().map(|(a, _)| a.clone()).collect();
        scopes.push(both.attrs.clone());
        let combinations = both.sizes.iter().try_fold(1usize, |n, size| n.checked_mul(*size));
        if combinations.is_none_or(|n| n > MOST_COMBINATIONS)
            || model_cells(sizes, &scopes) > MOST_CELLS
        {
            return Err(FairError::TooLarge);
        }
        let joint = joint(graph, &scopes, &both);
        let (to_groups, to_own) = (both.map_onto(&groups), both.map_onto(&own));
        let by_group = sum_by(&joint, &to_groups, groups.cells());
        let by_outcome = sum_by(&joint, &to_own, own.cells());
        let share = |of: &[f64], at: &u32| of.get(*at as usize).copied().unwrap_or(0.0).max(LEAST);
        let weights = joint
            .iter()
            .zip(to_groups.iter().zip(&to_own))
            .map(|(both, (g, o))| {
                (share(&by_group, g) * share(&by_outcome, o) / both.max(LEAST)).ln()
            })
            .collect();
        let mut fair = graph.clone();
        fair.potentials.push((both.attrs, weights));
        Ok(self.with_graph(fair))
    }
}

/// The distribution over the attributes of one of the scopes.
fn joint(graph: &Graph, scopes: &[Vec<usize>], of: &Scope) -> Vec<f64> {
    let junction = Junction::new(&graph.sizes, scopes);
    let beliefs = junction.beliefs(&Tilt::of(graph, &junction).into_cells());
    let home = junction.home(&of.attrs);
    let clique = home.and_then(|c| junction.cliques.get(c).zip(beliefs.get(c)));
    let mut joint = clique.map_or_else(
        || vec![1.0; of.cells()],
        |(scope, belief)| sum_by(belief, &scope.map_onto(of), of.cells()),
    );
    normalise(&mut joint);
    joint
}
