//! How a column's numbers are spelt: how many decimals, and with a comma or a point.
//!
//! A synthetic column is to look like the real one, and what it looks like must not follow from one
//! record: one 72.35 among whole numbers would show in every synthetic value.
//!
//! # Source
//! The number of decimals is a quantile selected by the exponential mechanism (Smith 2011,
//! "Privacy-preserving Statistical Estimation with Optimal Convergence Rates"), over seven levels
//! of which each finer one costs a little.

use std::collections::HashMap;

use salus_dp::{UnitKey, measure_counts, select};
use salus_model::MicroRho;

use crate::discover::DiscoverError;

/// The most decimals that are told apart.
const MOST_DECIMALS: u8 = 6;
/// Scores are in parts of a row.
const PARTS: i64 = 64;
/// One row in so many may have more decimals than the column is written with.
const FINER: i64 = 50;
/// What a further decimal costs, in noise scales: a level that no row needs is chosen about three
/// times in 10,000.
const LEVEL_COST: f64 = 8.0;

/// What stands before the decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Nothing: the number is whole.
    None,
    /// A point.
    Point,
    /// A comma.
    Comma,
}

/// How numbers are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spelling {
    /// Digits after the mark that are not zeros at the end; at most 6.
    pub decimals: u8,
    /// The mark before them.
    pub mark: Mark,
}

impl Spelling {
    /// A whole number.
    pub const WHOLE: Self = Self { decimals: 0, mark: Mark::None };

    /// How a text spells its number; none where it is no number.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let number: f64 = text.trim().replace(',', ".").parse().ok()?;
        if !number.is_finite() {
            return None;
        }
        // The shortest text of the number: `63.0` is a whole one that a program wrote.
        let shortest = number.to_string();
        let digits = shortest.split_once('.').map_or(0, |(_, digits)| digits.len());
        let mark = match (text.contains(','), text.contains('.')) {
            (true, _) => Mark::Comma,
            (false, true) => Mark::Point,
            _ => Mark::None,
        };
        Some(Self { decimals: digits.min(usize::from(MOST_DECIMALS)) as u8, mark })
    }

    /// The spelling that covers 98 % of numbers, without noise: for what one person has of them.
    /// Whole where there are none.
    #[must_use]
    pub fn usual(own: &[Self]) -> Self {
        let mut levels: Vec<u8> = own.iter().map(|s| s.decimals).collect();
        levels.sort_unstable();
        let last = (levels.len() * 98).div_ceil(100).saturating_sub(1);
        let decimals = levels.get(last).copied().unwrap_or(0);
        Self { decimals, mark: marked(own.iter().map(|s| s.sign()).sum(), decimals) }
    }

    /// The spelling that covers all numbers, without noise: for those that are public.
    #[must_use]
    pub fn finest(all: &[Self]) -> Self {
        let decimals = all.iter().map(|s| s.decimals).max().unwrap_or(0);
        Self { decimals, mark: marked(all.iter().map(|s| s.sign()).sum(), decimals) }
    }

    /// 1 for a comma, -1 for a point.
    const fn sign(self) -> i64 {
        match self.mark {
            Mark::Comma => 1,
            Mark::Point => -1,
            Mark::None => 0,
        }
    }
}

/// The mark of which there are more; a column of whole numbers has none.
const fn marked(commas_over_points: i64, decimals: u8) -> Mark {
    match (decimals, commas_over_points > 0) {
        (0, _) => Mark::None,
        (_, true) => Mark::Comma,
        _ => Mark::Point,
    }
}

/// How a column's numbers are spelt: with as many decimals as nearly all need, and the mark that most
/// have.
///
/// # Privacy
/// `rho`-zCDP for a unit with at most `rows_per_unit` of its rows: three quarters select the number
/// of decimals, the rest measures by how many rows commas outweigh points.
///
/// # Errors
/// When less than 4 µρ is allowed, or a unit may have too many rows.
pub fn discover_spelling(
    numbers: &[(UnitKey, Spelling)],
    rows_per_unit: u32,
    rho: MicroRho,
) -> Result<Spelling, DiscoverError> {
    if rho.get() < 4 || rows_per_unit == 0 {
        return Err(DiscoverError::TooLittle);
    }
    let kept = bounded(numbers, rows_per_unit);
    let marking = MicroRho::new(rho.get() / 4);
    let decimals = decimals(&kept, rows_per_unit, MicroRho::new(rho.get() - marking.get()))?;
    let over: i64 = kept.iter().map(|s| s.sign()).sum();
    let noisy = measure_counts(&[over], rows_per_unit, marking)?;
    let over = noisy.counts.first().copied().unwrap_or(0).signum() as i64;
    Ok(Spelling { decimals, mark: marked(over, decimals) })
}

/// As many of a unit's numbers as count.
fn bounded(numbers: &[(UnitKey, Spelling)], rows_per_unit: u32) -> Vec<Spelling> {
    let mut seen: HashMap<UnitKey, u32> = HashMap::new();
    let counts = |(unit, _): &&(UnitKey, Spelling)| {
        let seen = seen.entry(*unit).or_insert(0);
        *seen = seen.saturating_add(1);
        *seen <= rows_per_unit
    };
    numbers.iter().filter(counts).map(|(_, spelling)| *spelling).collect()
}

/// The level beyond which about one row in fifty lies.
///
/// A row more raises the rows beyond a level by at most 1, and what may lie beyond by 1/50: a score
/// moves by less than one row, and rounding stays within it.
fn decimals(kept: &[Spelling], rows_per_unit: u32, rho: MicroRho) -> Result<u8, DiscoverError> {
    let too_many = DiscoverError::TooManyRows { rows_per_unit };
    let sensitivity = (PARTS as u32).checked_mul(rows_per_unit).ok_or(too_many)?;
    let scale = f64::from(sensitivity) / (2e-6 * rho.get() as f64).sqrt();
    let level_cost = (LEVEL_COST * scale).ceil() as i64;
    let may = kept.len() as i64 * PARTS / FINER;
    let scores: Vec<i64> = (0..=MOST_DECIMALS)
        .map(|level| {
            let beyond = kept.iter().filter(|s| s.decimals > level).count() as i64;
            let off = (beyond * PARTS - may).max(0);
            -off.saturating_add(level_cost.saturating_mul(level.into()))
        })
        .collect();
    Ok(u8::try_from(select(&scores, sensitivity, rho)?).unwrap_or(MOST_DECIMALS))
}
