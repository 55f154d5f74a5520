//! What follows from all published counts together, and which further cells have to be held back.
//!
//! A table with cells left out is a system of linear equations: each published cell is the sum of
//! the finest cells below it, and counts are not negative. The least and the greatest value that a
//! cell which is not published can have is found by linear programming. That covers subtraction
//! along any chain of margins and across several tables of the same people.
//!
//! # Source
//! Fischetti and Salazar 2001, "Solving the cell suppression problem on tabular data with linear
//! constraints", Management Science 47(7): the attacker's problems. Hundepool et al. 2012, section
//! 4.4.

use std::collections::{BTreeMap, BTreeSet};

use clarabel::algebra::CscMatrix;
use clarabel::solver::SupportedConeT::{NonnegativeConeT, ZeroConeT};
use clarabel::solver::{DefaultSettings, DefaultSolver, IPSolver as _, SolverStatus};
use salus_model::{Class, Classified};
use serde::Serialize;

use super::{Cell, Rules};

/// A category in each dimension; none is the total over it.
pub type Place = Vec<Option<String>>;

/// The most finest cells that are reasoned about.
pub const MOST_CELLS: usize = 2_000;

/// Counts from which nothing can be inferred.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferenceError {
    /// Cells of tables of different dimensions.
    #[error("cell {cell} has {found} categories where the first has {wanted}")]
    Dimensions {
        /// Position of the cell.
        cell: usize,
        /// Its categories.
        found: usize,
        /// Those of the first.
        wanted: usize,
    },
    /// Too large for linear programming in reasonable time.
    #[error("{cells} combinations of categories; review at most {MOST_CELLS} together")]
    TooLarge {
        /// Combinations of categories.
        cells: usize,
    },
    /// Counts that no people can have.
    #[error("the counts contradict each other: a total is not the sum of its parts")]
    Contradiction,
    /// The solver did not come to an end.
    #[error("no bounds could be found for these counts; let a reviewer look at the table")]
    Unsolved,
}

impl Classified for InferenceError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// A cell that was left out, and that the others give away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inferred {
    /// Where it stands.
    pub place: Place,
    /// The fewest people who can be in it.
    pub low: u64,
    /// The most people who can be in it.
    pub high: u64,
}

/// Which cells go out and which do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suppression {
    /// Positions of cells that hold too few people.
    pub primary: Vec<usize>,
    /// Positions of cells held back so that those cannot be worked out.
    pub secondary: Vec<usize>,
}

/// The equations of what is published.
struct Attacker {
    /// The finest cells.
    finest: Vec<Place>,
    /// The sum over these finest cells is that number.
    known: Vec<(Vec<usize>, u64)>,
}

/// The cells that are not published and of which the published ones tell that some, but too few,
/// people are in them.
///
/// `cells` may be of several tables over the same dimensions and people: a dimension that a table
/// does not have is its total. Positions of cells that are held back are in `held_back`; a cell
/// whose combination is not in `cells` at all is looked at as well.
///
/// # Errors
/// When the cells are not of the same dimensions, are too many, or contradict each other.
///
/// # Cost
/// Two linear programs for each cell that is not published.
pub fn inferred(
    rules: Rules,
    cells: &[Cell],
    held_back: &BTreeSet<usize>,
) -> Result<Vec<Inferred>, InferenceError> {
    let attacker = Attacker::new(cells, held_back)?;
    // Counts that no people can have are told even where nothing is held back.
    attacker.extreme(1.0, &[])?;
    let published: BTreeSet<&Place> = cells
        .iter()
        .enumerate()
        .filter(|(i, _)| !held_back.contains(i))
        .map(|(_, cell)| &cell.categories)
        .collect();
    let mut places: BTreeSet<&Place> = attacker.finest.iter().collect();
    places.extend(cells.iter().map(|cell| &cell.categories));
    let mut found = Vec::new();
    for place in places.difference(&published) {
        let (low, high) = attacker.range(place)?;
        if low >= 1 && high < rules.least {
            found.push(Inferred { place: (*place).clone(), low, high });
        }
    }
    Ok(found)
}

/// Chooses cells to hold back, small ones first and then as few people's cells as it finds, until
/// nothing that is small can be inferred.
///
/// # Privacy
/// Protects against inference that a cell holds at least one and fewer than the rules' least
/// number of people. The choice is greedy: none of the cells that it holds back could be shown, but
/// another choice may hold back fewer.
///
/// # Errors
/// Those of [`inferred`].
///
/// # Cost
/// Two [`inferred`] for each further cell that is held back.
pub fn protect(rules: Rules, cells: &[Cell]) -> Result<Suppression, InferenceError> {
    let small = |i: &usize| rules.small(cells[*i].count);
    let primary: Vec<usize> = (0..cells.len()).filter(small).collect();
    let mut held_back: BTreeSet<usize> = primary.iter().copied().collect();
    let mut secondary = Vec::new();
    while let Some(exposed) = inferred(rules, cells, &held_back)?.first() {
        let Some(next) = companion(cells, &held_back, &exposed.place) else { break };
        held_back.insert(next);
        secondary.push(next);
    }
    // Some were taken on the way to others that do the work alone.
    for i in secondary.clone() {
        held_back.remove(&i);
        if inferred(rules, cells, &held_back)?.is_empty() {
            secondary.retain(|other| *other != i);
        } else {
            held_back.insert(i);
        }
    }
    Ok(Suppression { primary, secondary })
}

/// The published cell with the fewest people among those nearest to a place.
fn companion(cells: &[Cell], held_back: &BTreeSet<usize>, place: &Place) -> Option<usize> {
    let distance = |cell: &Cell| {
        let differs = cell.categories.iter().zip(place).filter(|(a, b)| a != b).count();
        // A total tells of more cells than one of its parts: it goes last.
        let totals = cell.categories.iter().filter(|c| c.is_none()).count();
        (totals, differs, cell.count)
    };
    let candidates = (0..cells.len()).filter(|i| !held_back.contains(i) && cells[*i].count > 0);
    candidates.min_by_key(|i| distance(&cells[*i]))
}

impl Attacker {
    fn new(cells: &[Cell], held_back: &BTreeSet<usize>) -> Result<Self, InferenceError> {
        let dimensions = cells.first().map_or(0, |cell| cell.categories.len());
        let mut domains: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); dimensions];
        for (i, cell) in cells.iter().enumerate() {
            if cell.categories.len() != dimensions {
                let found = cell.categories.len();
                return Err(InferenceError::Dimensions { cell: i, found, wanted: dimensions });
            }
            for (domain, category) in domains.iter_mut().zip(&cell.categories) {
                domain.extend(category.as_deref());
            }
        }
        let sizes = domains.iter().map(|domain| domain.len().max(1));
        let count = sizes.fold(1_usize, usize::saturating_mul);
        if count > MOST_CELLS {
            return Err(InferenceError::TooLarge { cells: count });
        }
        let finest = combinations(&domains);
        let mut sums: BTreeMap<Vec<usize>, u64> = BTreeMap::new();
        for (_, cell) in cells.iter().enumerate().filter(|(i, _)| !held_back.contains(i)) {
            let below = below(&finest, &cell.categories);
            if sums.insert(below, cell.count).is_some_and(|before| before != cell.count) {
                return Err(InferenceError::Contradiction);
            }
        }
        Ok(Self { finest, known: sums.into_iter().collect() })
    }

    /// The least and the greatest number of people at a place, as whole numbers.
    fn range(&self, place: &Place) -> Result<(u64, u64), InferenceError> {
        let below = below(&self.finest, place);
        let low = self.extreme(1.0, &below)?;
        let bounded = |fine: &usize| self.known.iter().any(|(sum, _)| sum.contains(fine));
        // A cell under no published total can be as large as it likes.
        let high =
            if below.iter().all(bounded) { -self.extreme(-1.0, &below)? } else { f64::INFINITY };
        // People are whole: an end between two numbers is the one inside.
        let slack = 1e-4;
        Ok(((low - slack).ceil().max(0.0) as u64, (high + slack).floor().max(0.0) as u64))
    }

    /// The least value of `sign` times the people in these finest cells.
    fn extreme(&self, sign: f64, below: &[usize]) -> Result<f64, InferenceError> {
        let (columns, rows) = (self.finest.len(), self.known.len());
        let mut objective = vec![0.0; columns];
        for fine in below {
            objective[*fine] = sign;
        }
        // First the published sums, then that nobody counts less than zero.
        let sums = self
            .known
            .iter()
            .enumerate()
            .flat_map(|(row, (sum, _))| sum.iter().map(move |column| (row, *column, 1.0)));
        let bounds = (0..columns).map(|column| (rows + column, column, -1.0));
        let (at, (columns_at, values)): (Vec<usize>, (Vec<usize>, Vec<f64>)) =
            sums.chain(bounds).map(|(row, column, value)| (row, (column, value))).unzip();
        let matrix = CscMatrix::new_from_triplets(rows + columns, columns, at, columns_at, values);
        let mut right: Vec<f64> = self.known.iter().map(|(_, count)| *count as f64).collect();
        right.resize(rows + columns, 0.0);
        let cones = [ZeroConeT(rows), NonnegativeConeT(columns)];
        let settings = DefaultSettings { verbose: false, ..DefaultSettings::default() };
        let nothing = CscMatrix::zeros((columns, columns));
        let mut solver =
            DefaultSolver::new(&nothing, &objective, &matrix, &right, &cones, settings);
        solver.solve();
        match solver.solution.status {
            SolverStatus::Solved | SolverStatus::AlmostSolved => Ok(solver.solution.obj_val),
            SolverStatus::PrimalInfeasible | SolverStatus::AlmostPrimalInfeasible => {
                Err(InferenceError::Contradiction)
            }
            _ => Err(InferenceError::Unsolved),
        }
    }
}

fn combinations(domains: &[BTreeSet<&str>]) -> Vec<Place> {
    let mut places: Vec<Place> = vec![Vec::new()];
    for domain in domains {
        let categories: Vec<Option<String>> = if domain.is_empty() {
            vec![None]
        } else {
            domain.iter().map(|category| Some((*category).to_owned())).collect()
        };
        let grown = places.iter().flat_map(|place| {
            categories.iter().map(move |category| {
                let mut longer = place.clone();
                longer.push(category.clone());
                longer
            })
        });
        places = grown.collect();
    }
    places
}

/// Positions of the finest cells that a cell sums up.
fn below(finest: &[Place], place: &Place) -> Vec<usize> {
    let is_below = |fine: &Place| {
        fine.iter().zip(place).all(|(own, wanted)| wanted.is_none() || own == wanted)
    };
    (0..finest.len()).filter(|i| is_below(&finest[*i])).collect()
}

#[cfg(test)]
mod tests;
