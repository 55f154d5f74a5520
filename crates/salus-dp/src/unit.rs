use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::num::NonZeroU32;

use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};

use crate::outward::{from_u128_up, sqrt_up};

/// Whose presence an answer must hide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrivacyUnit {
    /// One device with all of its rows.
    Device,
    /// One patient with all of his or her rows.
    Patient,
    /// One hospital with all of its rows.
    Hospital,
}

/// A privacy unit's key: a keyed hash of its identifier, unknown outside the holder.
///
/// Two units that collide would be bounded as one; with 128 bits of a keyed hash that does not
/// happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnitKey(u128);

impl UnitKey {
    /// A key from 128 bits of a keyed hash.
    #[must_use]
    pub const fn new(hash: u128) -> Self {
        Self(hash)
    }
}

impl std::fmt::Debug for UnitKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UnitKey(redacted)")
    }
}

/// A contribution bound that bounds nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// No rows at all.
    #[error("a unit must be allowed at least 1 row, and at least 1 per group")]
    Zero,
    /// More rows per group than rows.
    #[error("{per_group} rows per group exceed the {rows} rows that a unit may contribute")]
    GroupAboveTotal {
        /// Rows of one unit.
        rows: u32,
        /// Rows of one unit in one group.
        per_group: u32,
    },
}

impl Classified for UnitError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// How many rows of one unit count: the first ones met, the rest are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u32, u32)", into = "(u32, u32)")]
pub struct ContributionBound {
    rows: NonZeroU32,
    per_group: NonZeroU32,
}

impl ContributionBound {
    /// At most `rows` rows of a unit in an answer, and at most `per_group` of them in one group.
    ///
    /// # Errors
    /// When either is zero or `per_group` exceeds `rows`.
    pub fn new(rows: u32, per_group: u32) -> Result<Self, UnitError> {
        if per_group > rows {
            return Err(UnitError::GroupAboveTotal { rows, per_group });
        }
        let positive = |n| NonZeroU32::new(n).ok_or(UnitError::Zero);
        Ok(Self { rows: positive(rows)?, per_group: positive(per_group)? })
    }

    /// One row of each unit.
    pub const ONE_ROW: Self = Self { rows: NonZeroU32::MIN, per_group: NonZeroU32::MIN };

    /// The most rows of one unit.
    #[must_use]
    pub const fn rows(self) -> u32 {
        self.rows.get()
    }

    /// The most rows of one unit in one group.
    #[must_use]
    pub const fn per_group(self) -> u32 {
        self.per_group.get()
    }

    /// The L1 sensitivity of counts.
    pub(crate) fn l1(self) -> f64 {
        f64::from(self.rows())
    }

    /// The L2 sensitivity of counts per group, not below the exact one: the worst unit fills as
    /// many groups as it can.
    pub(crate) fn grouped_l2(self) -> f64 {
        let (rows, cap) = (u128::from(self.rows()), u128::from(self.per_group()));
        let rest = rows % cap;
        sqrt_up(from_u128_up((rows / cap) * cap * cap + rest * rest))
    }
}

impl TryFrom<(u32, u32)> for ContributionBound {
    type Error = UnitError;

    fn try_from((rows, per_group): (u32, u32)) -> Result<Self, UnitError> {
        Self::new(rows, per_group)
    }
}

impl From<ContributionBound> for (u32, u32) {
    fn from(bound: ContributionBound) -> Self {
        (bound.rows(), bound.per_group())
    }
}

/// Whether a unit can have several rows in the scanned table at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowsPerUnit {
    /// The table's key is the unit, enforced where the table is written; nothing has to be counted.
    One,
    /// Any number; rows beyond the bound are left out.
    Many,
}

/// Two parts of a scan hold rows of the same unit, so that neither could bound them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnitSplit;

/// Keyed hashes are uniform already; half of their bits are a hash.
#[derive(Default)]
struct TakeBits(u64);

impl Hasher for TakeBits {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(b);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = (key as u64) ^ ((key >> 64) as u64);
    }
}

#[derive(Default)]
struct Seen {
    rows: u32,
    groups: Vec<(u64, u32)>,
}

/// Counts each unit's rows against its bound.
#[derive(Default)]
pub(crate) struct Contributions {
    units: HashMap<u128, Seen, BuildHasherDefault<TakeBits>>,
}

impl Contributions {
    /// Whether one more row of `unit`, in `group` where there are groups, still counts. Depends on
    /// the unit's own rows only.
    pub(crate) fn admit(
        &mut self,
        bound: ContributionBound,
        unit: UnitKey,
        group: Option<u64>,
    ) -> bool {
        let seen = self.units.entry(unit.0).or_default();
        if seen.rows >= bound.rows() {
            return false;
        }
        if let Some(group) = group.filter(|_| bound.per_group() < bound.rows()) {
            match seen.groups.iter_mut().find(|(g, _)| *g == group) {
                Some((_, n)) if *n >= bound.per_group() => return false,
                Some((_, n)) => *n += 1,
                None => seen.groups.push((group, 1)),
            }
        }
        seen.rows += 1;
        true
    }

    pub(crate) fn merge(&mut self, other: Self) -> Result<(), UnitSplit> {
        for (unit, seen) in other.units {
            if self.units.insert(unit, seen).is_some() {
                return Err(UnitSplit);
            }
        }
        Ok(())
    }
}
