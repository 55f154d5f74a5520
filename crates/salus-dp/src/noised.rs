use std::sync::Arc;

use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, derive};
use crate::cost::Cost;
use crate::noise::Noise;
use crate::plan::{Plan, Shape};

/// Noisy integers: one for each number of the plan, or the groups above the threshold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Values {
    Vector(Vec<i128>),
    Groups(Vec<(Vec<String>, i128)>),
}

/// Released numbers of a question: integers with their noise, from one holder or several.
///
/// # Privacy
/// Public. Whatever is worked out from it costs nothing more.
#[derive(Debug, Clone, PartialEq)]
pub struct Noised {
    pub(crate) shape: Arc<Shape>,
    pub(crate) values: Values,
    /// For each block, the noise of each source.
    pub(crate) noise: Vec<Vec<Noise>>,
    pub(crate) sources: usize,
}

/// Released numbers as they travel; [`Plan::adopt`] checks them against the question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoisedParts {
    values: Values,
    noise: Vec<Vec<Noise>>,
    sources: usize,
}

/// Released numbers that do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// No answers at all.
    #[error("there is no answer to combine")]
    Nothing,
    /// Answers to different questions, or over different schemas.
    #[error("answers combine only when every holder was asked the same over the same schema")]
    DifferentQuestions,
}

impl Classified for CombineError {
    fn class(&self) -> Class {
        Class::Peer
    }
}

impl Noised {
    pub(crate) fn of_one(shape: Arc<Shape>, values: Values) -> Self {
        let noise = shape.blocks.iter().map(|b| vec![b.noise]).collect();
        Self { shape, values, noise, sources: 1 }
    }

    /// The answer: estimates with intervals, bias, noise and cost.
    #[must_use]
    pub fn answer(&self) -> Answer {
        derive(self)
    }

    /// The released integers in the plan's order; none for open groups.
    ///
    /// # Shape and units
    /// Counts are rows; sums are in steps of the column's bounds; moments are of twice the distance
    /// from the middle of the bounds, in steps.
    #[must_use]
    pub fn numbers(&self) -> &[i128] {
        match &self.values {
            Values::Vector(numbers) => numbers,
            Values::Groups(_) => &[],
        }
    }

    /// The noise in each of [`Noised::numbers`], one term for each source.
    pub fn noises(&self) -> impl Iterator<Item = &[Noise]> {
        let lens = self.shape.blocks.iter().map(|b| b.len);
        self.noise.iter().zip(lens).flat_map(|(n, len)| std::iter::repeat_n(n.as_slice(), len))
    }

    /// What each source was charged for its part.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.shape.cost
    }

    /// How many holders' numbers are in it.
    #[must_use]
    pub const fn sources(&self) -> usize {
        self.sources
    }

    /// The sum of several holders' numbers, each noised and charged on its own (independent mode).
    ///
    /// # Errors
    /// When there is none, or they answer different questions.
    pub fn combine(answers: impl IntoIterator<Item = Self>) -> Result<Self, CombineError> {
        let mut answers = answers.into_iter();
        let first = answers.next().ok_or(CombineError::Nothing)?;
        answers.try_fold(first, Self::plus)
    }

    fn plus(mut self, other: Self) -> Result<Self, CombineError> {
        let (mine, theirs) = (&self.shape, &other.shape);
        let comparable = mine.layout_matches(theirs) && self.noise.len() == other.noise.len();
        if !comparable {
            return Err(CombineError::DifferentQuestions);
        }
        match (&mut self.values, other.values) {
            (Values::Vector(mine), Values::Vector(theirs)) if mine.len() == theirs.len() => {
                for (sum, more) in mine.iter_mut().zip(theirs) {
                    *sum = sum.saturating_add(more);
                }
            }
            (Values::Groups(mine), Values::Groups(theirs)) => {
                for (key, count) in theirs {
                    match mine.binary_search_by(|(k, _)| k.cmp(&key)) {
                        Ok(at) => {
                            if let Some((_, sum)) = mine.get_mut(at) {
                                *sum = sum.saturating_add(count);
                            }
                        }
                        Err(at) => mine.insert(at, (key, count)),
                    }
                }
            }
            _ => return Err(CombineError::DifferentQuestions),
        }
        for (terms, more) in self.noise.iter_mut().zip(other.noise) {
            terms.extend(more);
        }
        self.sources += other.sources;
        Ok(self)
    }

    /// The released numbers, to be sent.
    #[must_use]
    pub fn into_parts(self) -> NoisedParts {
        NoisedParts { values: self.values, noise: self.noise, sources: self.sources }
    }
}

impl Shape {
    /// Whether two holders were asked the same; their noise and cost may differ.
    fn layout_matches(&self, other: &Self) -> bool {
        let lens = |s: &Self| s.blocks.iter().map(|b| b.len).collect::<Vec<_>>();
        self.layout.same_question(&other.layout)
            && self.columns == other.columns
            && lens(self) == lens(other)
    }
}

impl Plan {
    /// Released numbers of another holder, read as answers to this plan's question.
    ///
    /// # Errors
    /// When their shape is not the question's.
    pub fn adopt(&self, parts: NoisedParts) -> Result<Noised, CombineError> {
        let lens: Vec<usize> = self.shape.blocks.iter().map(|b| b.len).collect();
        let fits = match &parts.values {
            Values::Vector(values) => values.len() == lens.iter().sum::<usize>() && !self.is_open(),
            Values::Groups(groups) => {
                self.is_open()
                    && groups.iter().all(|(key, _)| key.len() == self.shape.columns.len())
                    && groups.windows(2).all(|pair| matches!(pair, [a, b] if a.0 < b.0))
            }
        };
        let noises = parts.noise.len() == lens.len()
            && parts.sources > 0
            && parts.noise.iter().all(|terms| !terms.is_empty());
        if !fits || !noises {
            return Err(CombineError::DifferentQuestions);
        }
        Ok(Noised {
            shape: Arc::clone(&self.shape),
            values: parts.values,
            noise: parts.noise,
            sources: parts.sources,
        })
    }

    fn is_open(&self) -> bool {
        self.threshold().is_some()
    }
}
