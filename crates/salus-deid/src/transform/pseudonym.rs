//! Keyed pseudonyms, date shifts and samples.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime};
use hmac::{Hmac, Mac};
use salus_model::{Class, Classified, Entropy, EntropyFailed, Secret};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use super::TransformError;
use crate::dice::Dice;
use crate::table::{Column, Table};

/// A key too short to withstand guessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key has {bytes} bytes; at least 32 random ones are needed")]
pub struct KeyTooShort {
    bytes: usize,
}

fn long_enough(key: Vec<u8>) -> Result<Secret<Vec<u8>>, KeyTooShort> {
    let key = Secret::new(key);
    match key.expose().len() {
        bytes @ 0..32 => Err(KeyTooShort { bytes }),
        _ => Ok(key),
    }
}

impl Classified for KeyTooShort {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// HMAC-SHA256 over length-prefixed parts, so that no two part lists collide.
fn mac(key: &Secret<Vec<u8>>, parts: &[&[u8]]) -> [u8; 32] {
    // The key as a whole block, as HMAC defines it: the constructor from a block cannot fail.
    let mut block = [0u8; 64];
    let key = key.expose();
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    block.zeroize();
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Replaces identifiers by keyed hashes: the same person gets the same pseudonym in every table of
/// one domain, and different ones in different domains.
///
/// # Privacy
/// Whoever holds the key can link a known identifier to its pseudonym, and no-one else. A
/// pseudonym is still personal data. Destroy the key to make the link irreversible.
#[derive(Debug)]
pub struct Pseudonyms {
    key: Secret<Vec<u8>>,
    domain: String,
}

impl Pseudonyms {
    /// Pseudonyms of one domain (a project, a recipient).
    ///
    /// # Errors
    /// When the key has fewer than 32 bytes.
    pub fn new(key: Vec<u8>, domain: impl Into<String>) -> Result<Self, KeyTooShort> {
        Ok(Self { key: long_enough(key)?, domain: domain.into() })
    }

    /// The pseudonym of an identifier: 128 bits in hexadecimal.
    #[must_use]
    pub fn of(&self, identifier: &str) -> String {
        let tag =
            mac(&self.key, &[b"salus pseudonym", self.domain.as_bytes(), identifier.as_bytes()]);
        tag.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// A column of identifiers as pseudonyms.
    #[must_use]
    pub fn replace(&self, column: &Column) -> Column {
        column.map(|identifier| self.of(identifier))
    }
}

/// Shifts all dates of a patient by one number of days, which depends on the patient and the key:
/// intervals within a patient stay exact, calendar dates do not.
///
/// # Privacy
/// Whoever knows one true date of a patient knows them all. Weekdays and seasons are hidden only
/// as far as the shift is wide.
#[derive(Debug)]
pub struct DateShift {
    key: Secret<Vec<u8>>,
    most_days: u32,
}

impl DateShift {
    /// Shifts by 1 to `most_days` days back or forth; never by 0.
    ///
    /// # Errors
    /// When the key has fewer than 32 bytes.
    pub fn new(key: Vec<u8>, most_days: std::num::NonZeroU32) -> Result<Self, KeyTooShort> {
        Ok(Self { key: long_enough(key)?, most_days: most_days.get() })
    }

    /// The shift of a patient in days.
    #[must_use]
    pub fn days(&self, patient: &str) -> i64 {
        let tag = mac(&self.key, &[b"salus date shift", patient.as_bytes()]);
        let mut word = [0; 8];
        word.copy_from_slice(&tag[..8]);
        let choices = 2 * u64::from(self.most_days);
        // The bias of the remainder is below 2⁻³¹ of a choice.
        let drawn = (u64::from_be_bytes(word) % choices) as i64;
        let most = i64::from(self.most_days);
        if drawn < most { drawn - most } else { drawn - most + 1 }
    }

    /// Shifts a column of ISO 8601 dates or times by the shift of each record's patient.
    ///
    /// # Errors
    /// When a value is no date, or the columns differ in length. Empty cells stay empty.
    pub fn shift(&self, dates: &Column, patients: &Column) -> Result<Column, TransformError> {
        if dates.codes().len() != patients.codes().len() {
            return Err(TransformError::Parameter("there must be a patient for each date"));
        }
        let shifts: Vec<i64> = patients.dictionary().iter().map(|p| self.days(p)).collect();
        let texts = dates
            .codes()
            .iter()
            .zip(patients.codes())
            .enumerate()
            .map(|(record, (&date, &patient))| {
                let text = dates.dictionary()[date as usize].trim();
                moved(text, shifts[patient as usize]).ok_or_else(|| TransformError::Value {
                    column: dates.name().to_owned(),
                    record: record + 1,
                    expected: "ISO 8601 date",
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Column::from_values(dates.name(), texts)?)
    }
}

/// A date or time some days later, in the form that it came in.
fn moved(text: &str, days: i64) -> Option<String> {
    let step = Days::new(days.unsigned_abs());
    let by = |date: NaiveDate| {
        if days < 0 { date.checked_sub_days(step) } else { date.checked_add_days(step) }
    };
    if text.is_empty() {
        return Some(String::new());
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return by(date).map(|d| d.to_string());
    }
    // The clock time and the offset are kept as text: only the ten bytes of the date change.
    let known = DateTime::parse_from_rfc3339(text).is_ok()
        || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").is_ok();
    let (date, time) = text.split_at_checked(10)?;
    let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok().filter(|_| known)?;
    by(date).map(|d| format!("{d}{time}"))
}

/// Draws `records` of a table without replacement, in random order.
///
/// # Errors
/// When the randomness fails or no record is drawn.
pub fn sample(
    table: &Table,
    records: usize,
    entropy: &mut dyn Entropy,
) -> Result<Table, TransformError> {
    let rows = draw(table.rows(), records, entropy)?;
    Ok(table.select(rows)?)
}

/// The numbers below `n` in random order.
///
/// # Errors
/// When there is no randomness.
pub fn shuffle(n: usize, entropy: &mut dyn Entropy) -> Result<Vec<usize>, EntropyFailed> {
    draw(n, n, entropy)
}

fn draw(n: usize, k: usize, entropy: &mut dyn Entropy) -> Result<Vec<usize>, EntropyFailed> {
    Dice::new(entropy).choose(n, k)
}
