//! A count followed over time for one charge, by the binary-tree mechanism.
//!
//! # Source
//! Chan, Shi, Song 2011 and Dwork, Naor, Pitassi, Rothblum 2010; with discrete Gaussian noise in
//! zCDP: each event is counted in one node per level, so that σ² = m²·levels/(2ρ) for m events of
//! one unit, whenever they come. Of a unit that is either counted or not, a node sees the difference
//! between the ends of its ticks, which is at most 1 whatever happened between; with m turns it
//! differs in at most m nodes per level, so that σ² = m·levels/(2ρ).

use salus_model::{Class, Classified, MicroRho};
use serde::{Deserialize, Serialize};

use crate::answer::Estimate;
use crate::cost::Cost;
use crate::loss::rho_down;
use crate::noise::{Noise, NoiseError};
use crate::outward::{down, mul_up, sqrt_up};
use crate::plan::ExpectedError;

/// Why a standing count does not start or move.
#[derive(Debug, thiserror::Error)]
pub enum StandingError {
    /// No ticks, or more than 2³⁰.
    #[error("a standing count runs for 1 to 1,073,741,824 ticks, not {found}")]
    Horizon {
        /// What was asked.
        found: u64,
    },
    /// It has run to its end.
    #[error("the standing count has run its {ticks} ticks; start a new one, at a new charge")]
    Over {
        /// How many ticks it was charged for.
        ticks: u64,
    },
    /// Noise could not be drawn.
    #[error("no noise for the standing count")]
    Noise(#[from] NoiseError),
}

impl Classified for StandingError {
    fn class(&self) -> Class {
        match self {
            Self::Horizon { .. } => Class::BadRequest,
            Self::Over { .. } => Class::Refused,
            Self::Noise(e) => e.class(),
        }
    }
}

/// What one unit may do to a standing count over all its ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// So many events of +1 or -1, in whichever ticks.
    Events(u32),
    /// It is counted or not, and turns from one to the other so many times; it begins uncounted.
    Turns(u32),
}

impl Changes {
    /// The L2 sensitivity of all nodes together, rounded up.
    fn sensitivity(self, levels: u32) -> f64 {
        match self {
            // The worst unit makes all of its changes in one tick: one node per level.
            Self::Events(events) => mul_up(f64::from(events), sqrt_up(f64::from(levels))),
            Self::Turns(turns) => sqrt_up(mul_up(f64::from(turns), f64::from(levels))),
        }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Node {
    exact: i128,
    noisy: i128,
}

/// A running count over a fixed number of ticks.
///
/// # Privacy
/// All outputs together are ρ-zCDP for one unit that keeps to its [`Changes`]. The state holds exact
/// counts and is as sensitive as the rows; it has no `Debug` of its content. It can be serialised,
/// so that a restart does not begin a new count, and must then be sealed.
#[derive(Serialize, Deserialize)]
pub struct StandingCount {
    ticks: u64,
    at: u64,
    rho: MicroRho,
    noise: Noise,
    levels: Vec<Option<Node>>,
}

impl std::fmt::Debug for StandingCount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StandingCount(tick {} of {}, redacted)", self.at, self.ticks)
    }
}

impl StandingCount {
    /// A count over `ticks` ticks, in which one unit keeps to `changes`.
    ///
    /// # Errors
    /// When the horizon is empty or too long, or ρ is 0.
    pub fn start(ticks: u64, changes: Changes, rho: MicroRho) -> Result<Self, StandingError> {
        if ticks == 0 || ticks > 1 << 30 {
            return Err(StandingError::Horizon { found: ticks });
        }
        let levels = u64::BITS - ticks.leading_zeros();
        let noise = Noise::gaussian(changes.sensitivity(levels), down(rho_down(rho)))?;
        Ok(Self { ticks, at: 0, rho, noise, levels: vec![None; levels as usize] })
    }

    /// What all outputs together cost, to be charged before the first.
    #[must_use]
    pub const fn cost(&self) -> Cost {
        Cost::of_rho(self.rho)
    }

    /// The noise of each node.
    #[must_use]
    pub const fn noise(&self) -> Noise {
        self.noise
    }

    /// The error at the worst tick, known before the first.
    #[must_use]
    pub fn worst_error(&self) -> ExpectedError {
        // A tick sums as many nodes as its number has ones in binary.
        let full = 63 - (self.ticks + 1).leading_zeros();
        let nodes = full.max(self.ticks.count_ones());
        let standard_error = (f64::from(nodes) * self.noise.variance()).sqrt();
        ExpectedError::Value { standard_error, half_width: (1.96 * standard_error).ceil() }
    }

    /// The ticks that have passed.
    #[must_use]
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// Takes in one tick's change of the count and gives the count so far.
    ///
    /// The caller bounds each unit's changes over the whole horizon.
    ///
    /// # Errors
    /// When the horizon is over or the private generator does not answer; the count has not moved
    /// then.
    pub fn tick(&mut self, change: i64) -> Result<Estimate, StandingError> {
        if self.at == self.ticks {
            return Err(StandingError::Over { ticks: self.ticks });
        }
        let noise = self.noise.draw()?;
        let level = (self.at + 1).trailing_zeros() as usize;
        // The new node takes in the full nodes below it, whose own noise is never used again.
        let merged: i128 =
            self.levels.iter_mut().take(level).filter_map(Option::take).map(|n| n.exact).sum();
        let exact = merged + i128::from(change);
        if let Some(slot) = self.levels.get_mut(level) {
            *slot = Some(Node { exact, noisy: exact.saturating_add(noise) });
        }
        self.at += 1;
        Ok(self.estimate())
    }

    fn estimate(&self) -> Estimate {
        let nodes: Vec<&Node> = self.levels.iter().flatten().collect();
        let value = nodes.iter().map(|n| n.noisy).sum::<i128>() as f64;
        let standard_error = (nodes.len() as f64 * self.noise.variance()).sqrt();
        let half = (1.96 * standard_error).ceil();
        Estimate { value, lower: value - half, upper: value + half, standard_error }
    }
}
