//! Top and bottom coding, rounding, suppression of rare cells.

use super::{TransformError, numbers_of};
use crate::hierarchy::SUPPRESSED;
use crate::number::parse;
use crate::table::Column;

/// The least and the most that is published as it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Smaller numbers become `<lowest`.
    pub lowest: f64,
    /// Larger numbers become `>highest`.
    pub highest: f64,
}

/// Replaces numbers beyond the bounds, such as ages over 89. Missing values stay.
///
/// # Errors
/// When a value is something else than a number or the bounds are not in order.
pub fn top_and_bottom_code(column: &Column, bounds: Bounds) -> Result<Column, TransformError> {
    if bounds.lowest.is_nan() || bounds.highest.is_nan() || bounds.lowest > bounds.highest {
        return Err(TransformError::Parameter("the lowest bound must not exceed the highest"));
    }
    numbers_of(column)?;
    Ok(column.map(|text| match parse(text) {
        Some(x) if x < bounds.lowest => format!("<{}", bounds.lowest),
        Some(x) if x > bounds.highest => format!(">{}", bounds.highest),
        _ => text.to_owned(),
    }))
}

/// Rounds numbers to multiples of `base`, ties to even multiples. Missing values stay.
///
/// # Errors
/// When a value is something else than a number or the base is not above 0.
pub fn round_to(column: &Column, base: f64) -> Result<Column, TransformError> {
    if !(base.is_finite() && base > 0.0) {
        return Err(TransformError::Parameter("the base of rounding must be above 0"));
    }
    numbers_of(column)?;
    let decimals = (0..12).find(|&d| {
        let scaled = base * 10f64.powi(d);
        (scaled - scaled.round()).abs() < 1e-9 * scaled
    });
    Ok(column.map(|text| match parse(text) {
        Some(x) => {
            // Adding 0 turns −0 into 0.
            let rounded = (x / base).round_ties_even() * base + 0.0;
            format!("{rounded:.*}", decimals.unwrap_or(12) as usize)
        }
        None => text.to_owned(),
    }))
}

/// Suppresses cells whose value fewer than `least` records share.
#[must_use]
pub fn suppress_rare(column: &Column, least: u64) -> Column {
    let counts = column.counts();
    let mut code = 0;
    column.map(|text| {
        // `map` goes through the dictionary in order.
        code += 1;
        if counts[code - 1] < least { SUPPRESSED.to_owned() } else { text.to_owned() }
    })
}
