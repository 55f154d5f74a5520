//! Automatic checks of output that somebody wants to take out: tables of counts and magnitudes.

use hashbrown::HashMap;
use salus_model::{Class, Classified};
use serde::Serialize;

/// One cell of an output table, by the categories that it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// A category per dimension; none means the total over that dimension.
    pub categories: Vec<Option<String>>,
    /// How many people the cell is about.
    pub count: u64,
    /// For sums and means: what each person contributes, in any order.
    pub contributions: Vec<f64>,
}

/// A parameter that protects nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RulesError(&'static str);

impl Classified for RulesError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// What automatic review demands.
///
/// # Source
/// Hundepool et al. 2012, "Statistical Disclosure Control", section 4.2: threshold rule,
/// (n, k)-dominance and p %-rule; section 4.3 for differencing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    least: u64,
    dominant: usize,
    dominance: f64,
    prior: f64,
}

/// Why a cell may not go out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Objection {
    /// Too few people.
    SmallCount {
        /// Position of the cell.
        cell: usize,
        /// People in it.
        count: u64,
    },
    /// The largest contributors make up too much of the sum.
    Dominance {
        /// Position of the cell.
        cell: usize,
        /// The share of the largest.
        share: f64,
    },
    /// The second largest contributor can tell the largest one's value too well.
    Estimable {
        /// Position of the cell.
        cell: usize,
        /// How far off the estimate is, relative to the true value.
        error: f64,
    },
    /// A total minus its published parts leaves too few people.
    Differencing {
        /// Position of the total.
        total: usize,
        /// People left.
        count: u64,
    },
    /// Everybody in a margin falls into one category, which tells it of each of them.
    GroupDisclosure {
        /// Position of the cell.
        cell: usize,
    },
    /// The cell matches an earlier output but for too few people.
    EarlierOutput {
        /// Position of the cell.
        cell: usize,
        /// Position among the earlier cells.
        earlier: usize,
        /// People in whom the two differ.
        count: u64,
    },
    /// Contributions are not one per person.
    Contributions {
        /// Position of the cell.
        cell: usize,
    },
}

impl Objection {
    /// The position of the cell that it is about.
    #[must_use]
    pub const fn cell_mut(&mut self) -> &mut usize {
        match self {
            Self::SmallCount { cell, .. }
            | Self::Dominance { cell, .. }
            | Self::Estimable { cell, .. }
            | Self::Differencing { total: cell, .. }
            | Self::GroupDisclosure { cell }
            | Self::EarlierOutput { cell, .. }
            | Self::Contributions { cell } => cell,
        }
    }

    /// The word for its kind, the same as in JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SmallCount { .. } => "small-count",
            Self::Dominance { .. } => "dominance",
            Self::Estimable { .. } => "estimable",
            Self::Differencing { .. } => "differencing",
            Self::GroupDisclosure { .. } => "group-disclosure",
            Self::EarlierOutput { .. } => "earlier-output",
            Self::Contributions { .. } => "contributions",
        }
    }
}

impl std::fmt::Display for Objection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SmallCount { count, .. } => write!(f, "too few people: {count}"),
            Self::Dominance { share, .. } => {
                write!(f, "the largest contributors make up {:.0} % of the sum", share * 100.0)
            }
            Self::Estimable { error, .. } => write!(
                f,
                "the second largest contributor can tell the largest one's value within {:.1} %",
                error * 100.0
            ),
            Self::Differencing { count, .. } => {
                write!(f, "this total less its parts leaves {count}")
            }
            Self::GroupDisclosure { .. } => {
                f.write_str("everybody in this group falls into this one category")
            }
            Self::EarlierOutput { count, .. } => {
                write!(f, "differs by {count} from what went out before")
            }
            Self::Contributions { .. } => f.write_str("contributions are not one per person"),
        }
    }
}

impl Rules {
    /// At least `least` people a cell; the `dominant` largest contributors make up at most
    /// `dominance` of a sum; nobody's value can be told closer than `prior` of itself.
    ///
    /// # Errors
    /// When `least` is below 2, `dominant` is 0, or a share lies outside 0 to 1.
    pub fn new(
        least: u64,
        dominant: usize,
        dominance: f64,
        prior: f64,
    ) -> Result<Self, RulesError> {
        if least < 2 {
            return Err(RulesError("a threshold below 2 lets single people out"));
        }
        if dominant == 0 || !(dominance > 0.0 && dominance < 1.0) || !(0.0..1.0).contains(&prior) {
            return Err(RulesError("dominance needs n of at least 1 and shares between 0 and 1"));
        }
        Ok(Self { least, dominant, dominance, prior })
    }

    /// Checks one output, on its own, by its margins, and against earlier outputs.
    ///
    /// # Privacy
    /// Finds what it looks for: small cells, dominance, subtraction along one dimension of a
    /// table and between outputs with the same categories. What follows from all margins, and from
    /// several tables, together is found by [`inference`]. Empty cells pass: that nobody is in a
    /// cell is disclosed only through [`Objection::GroupDisclosure`].
    #[must_use]
    pub fn review(&self, cells: &[Cell], earlier: &[Cell]) -> Vec<Objection> {
        let mut found = Vec::new();
        for (i, cell) in cells.iter().enumerate() {
            self.single(i, cell, &mut found);
        }
        self.margins(cells, &mut found);
        self.against(cells, earlier, &mut found);
        found
    }

    /// What each of `people` contributes to a sum of which only the largest two are known: the rest
    /// alike. The rules look at no more than the largest two and the sum, where `dominant` is at
    /// most 2; none where the numbers contradict each other.
    #[must_use]
    pub fn contributions(people: u64, sum: f64, largest: f64, second: f64) -> Option<Vec<f64>> {
        let people = usize::try_from(people).ok()?;
        let rest = sum - largest - second;
        let slack = 1e-9 * sum.abs().max(1.0);
        let ordered = largest >= second && second >= 0.0 && rest >= -slack;
        match people {
            0 => (sum.abs() <= slack).then(Vec::new),
            1 => ((sum - largest).abs() <= slack && second == 0.0).then(|| vec![largest]),
            _ => {
                let others = people - 2;
                let each = if others == 0 { 0.0 } else { rest.max(0.0) / others as f64 };
                let fits = each <= second + slack && (others > 0 || rest <= slack);
                (ordered && fits).then(|| {
                    let mut all = vec![largest, second];
                    all.resize(people, each);
                    all
                })
            }
        }
    }

    fn small(&self, count: u64) -> bool {
        (1..self.least).contains(&count)
    }

    /// The cells whose sum must not be shown: those of which a few people make up too much, and
    /// every total that they are a part of. So each equation that such a sum stands in has a second
    /// number that is not known.
    #[must_use]
    pub fn sums_to_hold_back(&self, cells: &[Cell]) -> Vec<usize> {
        let telling = |i: usize| {
            let mut found = Vec::new();
            self.single(i, &cells[i], &mut found);
            let one = |o: &Objection| {
                matches!(o, Objection::Dominance { .. } | Objection::Estimable { .. })
            };
            found.iter().any(one)
        };
        let telling: Vec<usize> = (0..cells.len()).filter(|&i| telling(i)).collect();
        let covers = |whole: &Cell, part: &Cell| {
            let mut places = whole.categories.iter().zip(&part.categories);
            places.all(|(whole, part)| whole.is_none() || whole == part)
        };
        (0..cells.len())
            .filter(|&i| telling.iter().any(|&part| covers(&cells[i], &cells[part])))
            .collect()
    }

    fn single(&self, i: usize, cell: &Cell, found: &mut Vec<Objection>) {
        if self.small(cell.count) {
            found.push(Objection::SmallCount { cell: i, count: cell.count });
        }
        if cell.contributions.is_empty() {
            return;
        }
        if cell.contributions.len() as u64 != cell.count
            || cell.contributions.iter().any(|x| !x.is_finite())
        {
            found.push(Objection::Contributions { cell: i });
            return;
        }
        let mut sizes: Vec<f64> = cell.contributions.iter().map(|x| x.abs()).collect();
        sizes.sort_by(|a, b| b.total_cmp(a));
        let total: f64 = sizes.iter().sum();
        if total <= 0.0 {
            return;
        }
        let share = sizes.iter().take(self.dominant).sum::<f64>() / total;
        if share > self.dominance {
            found.push(Objection::Dominance { cell: i, share });
        }
        // Who knows their own value subtracts it: what is left over the largest is the error.
        let rest: f64 = sizes.iter().skip(2).sum();
        let error = rest / sizes[0];
        if error < self.prior {
            found.push(Objection::Estimable { cell: i, error });
        }
    }

    /// Compares each total with its parts along each dimension.
    fn margins(&self, cells: &[Cell], found: &mut Vec<Objection>) {
        let dimensions = cells.iter().map(|c| c.categories.len()).max().unwrap_or(0);
        for dimension in 0..dimensions {
            let mut parts: HashMap<Vec<Option<String>>, Vec<usize>> = HashMap::new();
            let mut totals: HashMap<Vec<Option<String>>, usize> = HashMap::new();
            for (i, cell) in cells.iter().enumerate() {
                let Some(own) = cell.categories.get(dimension) else { continue };
                let mut margin = cell.categories.clone();
                margin[dimension] = None;
                if own.is_some() {
                    parts.entry(margin).or_default().push(i);
                } else {
                    totals.insert(margin, i);
                }
            }
            for (margin, parts) in &parts {
                let counts = parts.iter().map(|&p| cells[p].count);
                let published = counts.fold(0_u64, u64::saturating_add);
                let full = parts.iter().copied().find(|&p| cells[p].count == published);
                if let Some(cell) = full.filter(|_| parts.len() > 1 && published > 0) {
                    found.push(Objection::GroupDisclosure { cell });
                }
                if let Some(&total) = totals.get(margin) {
                    let left = cells[total].count.abs_diff(published);
                    if self.small(left) {
                        found.push(Objection::Differencing { total, count: left });
                    }
                }
            }
        }
        found.sort_by_key(|o| format!("{o:?}"));
    }

    fn against(&self, cells: &[Cell], earlier: &[Cell], found: &mut Vec<Objection>) {
        let known: HashMap<&[Option<String>], Vec<usize>> =
            earlier.iter().enumerate().fold(HashMap::new(), |mut known, (i, cell)| {
                known.entry(cell.categories.as_slice()).or_insert_with(Vec::new).push(i);
                known
            });
        for (i, cell) in cells.iter().enumerate() {
            for &before in known.get(cell.categories.as_slice()).into_iter().flatten() {
                let count = cell.count.abs_diff(earlier[before].count);
                if self.small(count) {
                    found.push(Objection::EarlierOutput { cell: i, earlier: before, count });
                }
            }
        }
    }
}

pub mod inference;

#[cfg(test)]
mod tests;
