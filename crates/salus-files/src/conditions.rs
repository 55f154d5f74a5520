//! Conditions on a record as people write them: `bmi >= 30`.

use chrono::NaiveDate;

use crate::synthesise::DATE_FORMS;

/// A column, a sign and what it is compared with.
pub(crate) struct Condition {
    pub(crate) column: String,
    sign: Sign,
    pub(crate) value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    AtLeast,
    AtMost,
    Above,
    Below,
    Is,
    IsNot,
}

/// Longer signs first, so that `>=` is not read as `>`.
const SIGNS: [(&str, Sign); 6] = [
    (">=", Sign::AtLeast),
    ("<=", Sign::AtMost),
    ("!=", Sign::IsNot),
    (">", Sign::Above),
    ("<", Sign::Below),
    ("=", Sign::Is),
];

/// What is wrong with a text that is no condition.
pub(crate) const HOW: &str =
    "is no condition; write one as column >= 140, with >=, <=, >, <, = or !=";

impl Condition {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // The sign that stands first; of those that begin there, the longest.
        let (at, (word, sign)) =
            SIGNS
                .iter()
                .filter_map(|pair| Some((text.find(pair.0)?, pair)))
                .min_by_key(|(at, (word, _))| (*at, std::cmp::Reverse(word.len())))?;
        let (column, value) = (text.get(..at)?.trim(), text.get(at + word.len()..)?.trim());
        if column.is_empty() || value.is_empty() {
            return None;
        }
        Some(Self { column: column.to_owned(), sign: *sign, value: value.to_owned() })
    }

    /// Whether it holds for a value; none when that cannot be told.
    pub(crate) fn holds(&self, own: &str) -> Option<bool> {
        self.compare(own, &self.value)
    }

    /// The same with another value in place of the written one.
    pub(crate) fn compare(&self, own: &str, value: &str) -> Option<bool> {
        if let Some((own, value)) = number(own).zip(number(value)) {
            return Some(match self.sign {
                Sign::AtLeast => own >= value,
                Sign::AtMost => own <= value,
                Sign::Above => own > value,
                Sign::Below => own < value,
                Sign::Is => (own - value).abs() < 1e-9,
                Sign::IsNot => (own - value).abs() >= 1e-9,
            });
        }
        match self.sign {
            Sign::Is => Some(own == value),
            Sign::IsNot => Some(own != value),
            _ => None,
        }
    }
}

/// A number, or a date as a number of days.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let number = text.replace(',', ".").parse::<f64>().ok().filter(|x| x.is_finite());
    number.or_else(|| {
        let day = DATE_FORMS.iter().find_map(|f| NaiveDate::parse_from_str(text, f).ok())?;
        Some(f64::from(day.to_epoch_days()))
    })
}
