//! What an answer takes from a batch of rows: at once where it can, row by row otherwise.

use std::hash::Hasher as _;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use salus_dp::{Column, Domain, Field, OUTSIDE, Partial, RowsPerUnit, UnitKey, Units};
use salus_model::{ColumnPath, Timestamp};
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use zeroize::Zeroizing;

use crate::compute::ComputeError;
use crate::predicate::{Predicate, as_moments, as_numbers, as_texts, column};

/// Turns batches into observed rows.
pub(crate) struct Reader {
    pub(crate) filter: Option<Predicate>,
    pub(crate) unit: ColumnPath,
    pub(crate) rows_per_unit: RowsPerUnit,
    pub(crate) columns: Vec<(ColumnPath, Column)>,
    /// Of the units' keyed hashes, for one answer.
    pub(crate) key: Zeroizing<[u8; 16]>,
}

/// A column of a batch in the form that the plan reads.
enum Read {
    Numbers(ArrayRef),
    Moments(ArrayRef),
    Texts(ArrayRef),
}

impl Read {
    fn field(&self, row: usize) -> Field<'_> {
        match self {
            Self::Numbers(a) | Self::Moments(a) | Self::Texts(a) if a.is_null(row) => {
                Field::Missing
            }
            Self::Numbers(a) => Field::Number(a.as_primitive::<Float64Type>().value(row)),
            Self::Moments(a) => {
                let micros = a.as_primitive::<TimestampMicrosecondType>().value(row);
                Timestamp::from_micros(micros).map_or(Field::Missing, Field::Instant)
            }
            Self::Texts(a) => Field::Text(a.as_string::<i32>().value(row)),
        }
    }
}

impl Reader {
    /// Takes a batch in.
    ///
    /// # Errors
    /// When a column is missing or of another type than the profile says.
    pub(crate) fn observe(
        &self,
        partial: &mut Partial,
        batch: &RecordBatch,
    ) -> Result<(), ComputeError> {
        let passes = match &self.filter {
            Some(filter) => filter.passes(batch).map_err(ComputeError::Arrow)?.values().clone(),
            None => BooleanBuffer::new_set(batch.num_rows()),
        };
        if partial.takes_codes() {
            return self.observe_groups(partial, batch, &passes);
        }
        let read: Vec<Read> = self
            .columns
            .iter()
            .map(|(name, kind)| {
                let array = column(batch, Some(name))?;
                Ok(match kind {
                    Column::Number(_) => Read::Numbers(as_numbers(&array)?),
                    Column::Instant(_) => Read::Moments(as_moments(&array)?),
                    Column::Category(_) | Column::Open => Read::Texts(as_texts(&array)?),
                })
            })
            .collect::<Result<_, ArrowError>>()
            .map_err(ComputeError::Arrow)?;
        let units = self.units(batch).map_err(ComputeError::Arrow)?;
        let counted = units.counted(&passes);
        if read.is_empty() && self.rows_per_unit == RowsPerUnit::One {
            partial.observe_rows(counted.count_set_bits() as u64)?;
            return Ok(());
        }
        let mut fields = Vec::with_capacity(read.len());
        for row in counted.set_indices() {
            fields.clear();
            fields.extend(read.iter().map(|column| column.field(row)));
            partial.observe(self.unit_key(units.0.value(row)), &fields)?;
        }
        Ok(())
    }

    /// Rows of which the group alone counts.
    fn observe_groups(
        &self,
        partial: &mut Partial,
        batch: &RecordBatch,
        passes: &BooleanBuffer,
    ) -> Result<(), ComputeError> {
        let groups: Vec<(Groups, &Domain)> = self
            .columns
            .iter()
            .filter_map(|(name, kind)| match kind {
                Column::Category(domain) => {
                    Some(column(batch, Some(name)).and_then(|a| Ok((Groups::of(&a)?, domain))))
                }
                _ => None,
            })
            .collect::<Result<_, ArrowError>>()
            .map_err(ComputeError::Arrow)?;
        let units = self.units(batch).map_err(ComputeError::Arrow)?;
        let counted = units.counted(passes);
        let codes: Vec<Vec<u32>> =
            groups.iter().map(|(groups, domain)| groups.codes(domain, &counted)).collect();
        let codes: Vec<&[u32]> = codes.iter().map(Vec::as_slice).collect();
        match self.rows_per_unit {
            RowsPerUnit::One => partial.observe_codes(Units::OneRowEach, &codes)?,
            RowsPerUnit::Many => {
                let keys = counted.set_indices().map(|row| self.unit_key(units.0.value(row)));
                let keys: Vec<UnitKey> = keys.collect();
                partial.observe_codes(Units::Keys(&keys), &codes)?;
            }
        }
        Ok(())
    }

    fn units(&self, batch: &RecordBatch) -> Result<UnitNames, ArrowError> {
        let names = as_texts(&column(batch, Some(&self.unit))?)?;
        Ok(UnitNames(names.as_string::<i32>().clone()))
    }

    fn unit_key(&self, unit: &str) -> UnitKey {
        if self.rows_per_unit == RowsPerUnit::One {
            return UnitKey::new(0);
        }
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(unit.as_bytes());
        UnitKey::new(hasher.finish128().as_u128())
    }
}

/// Whose each row of a batch is.
struct UnitNames(StringArray);

impl UnitNames {
    /// The rows that pass and are somebody's: one of nobody cannot be bounded, so it does not count.
    fn counted(&self, passes: &BooleanBuffer) -> BooleanBuffer {
        match self.0.nulls() {
            Some(known) => passes & known.inner(),
            None => passes.clone(),
        }
    }
}

/// A group column of a batch.
enum Groups {
    /// Each row's place in a list of texts.
    Listed(Int32Array, StringArray),
    /// Each row's text.
    Texts(StringArray),
}

impl Groups {
    fn of(array: &ArrayRef) -> Result<Self, ArrowError> {
        let texts = |array: &ArrayRef| Ok(as_texts(array)?.as_string::<i32>().clone());
        match array.as_dictionary_opt::<Int32Type>() {
            // Of a long list, the rows' own texts are the fewer ones to look up.
            Some(listed) if listed.values().len() <= listed.len() => {
                Ok(Self::Listed(listed.keys().clone(), texts(listed.values())?))
            }
            _ => texts(array).map(Self::Texts),
        }
    }

    /// The places of the counted rows' texts in a domain.
    fn codes(&self, domain: &Domain, counted: &BooleanBuffer) -> Vec<u32> {
        let (places, texts) = match self {
            Self::Listed(places, texts) => (places, texts),
            Self::Texts(texts) => {
                return counted
                    .set_indices()
                    .map(|row| code(domain, texts.is_valid(row).then(|| texts.value(row))))
                    .collect();
            }
        };
        let codes: Vec<u32> = texts.iter().map(|text| code(domain, text)).collect();
        let code_at = |place: i32| {
            let place = usize::try_from(place).ok();
            place.and_then(|place| codes.get(place).copied()).unwrap_or(OUTSIDE)
        };
        if places.null_count() == 0 && counted.count_set_bits() == places.len() {
            return places.values().iter().map(|place| code_at(*place)).collect();
        }
        let of_row = |row| if places.is_valid(row) { code_at(places.value(row)) } else { OUTSIDE };
        counted.set_indices().map(of_row).collect()
    }
}

fn code(domain: &Domain, text: Option<&str>) -> u32 {
    text.and_then(|text| domain.code(text)).unwrap_or(OUTSIDE)
}

#[cfg(test)]
mod tests;
