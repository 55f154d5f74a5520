//! A dictionary-coded column.

use hashbrown::HashMap;

use super::TableError;

/// A column: each distinct text once, and a code per record.
#[derive(Clone, PartialEq, Eq)]
pub struct Column {
    pub(super) name: String,
    pub(super) dictionary: Vec<String>,
    pub(super) codes: Vec<u32>,
}

/// Prints sizes only: values may be personal.
impl std::fmt::Debug for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Column({}, {} records, {} values)",
            self.name,
            self.codes.len(),
            self.dictionary.len()
        )
    }
}

impl Column {
    /// A column from its values in record order.
    ///
    /// # Errors
    /// When there are more than 32 bits can number.
    pub fn from_values<S: AsRef<str>>(
        name: impl Into<String>,
        values: impl IntoIterator<Item = S>,
    ) -> Result<Self, TableError> {
        let mut builder = ColumnBuilder::new(name.into());
        for value in values {
            builder.push(value.as_ref())?;
        }
        Ok(builder.finish())
    }

    /// The column's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The distinct values; a record's code is a position in this list.
    #[must_use]
    pub fn dictionary(&self) -> &[String] {
        &self.dictionary
    }

    /// One code per record.
    #[must_use]
    pub fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// The text of a record, or none beyond the end.
    #[must_use]
    pub fn value(&self, row: usize) -> Option<&str> {
        let code = *self.codes.get(row)?;
        self.dictionary.get(code as usize).map(String::as_str)
    }

    /// How often each dictionary entry occurs.
    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.dictionary.len()];
        for &code in &self.codes {
            counts[code as usize] += 1;
        }
        counts
    }

    /// The number of each dictionary entry, none for those that stand for a missing value; nothing
    /// at all where a used entry is something else, or no number is used.
    #[must_use]
    pub fn numbers_and_gaps(&self) -> Option<Vec<Option<f64>>> {
        let numbers: Vec<Option<f64>> =
            self.dictionary.iter().map(|text| crate::number::parse(text)).collect();
        let used = self.counts().into_iter().zip(self.dictionary.iter().zip(&numbers));
        let mut used = used.filter(|(count, _)| *count > 0).map(|(_, entry)| entry);
        let readable = used.clone().all(|(text, n)| n.is_some() || crate::number::is_missing(text));
        (readable && used.any(|(_, number)| number.is_some())).then_some(numbers)
    }

    /// The same column with each distinct value rewritten; equal results merge.
    #[must_use]
    pub fn map(&self, mut rewrite: impl FnMut(&str) -> String) -> Self {
        let mut index: HashMap<String, u32> = HashMap::new();
        let mut dictionary = Vec::new();
        let renamed: Vec<u32> = self
            .dictionary
            .iter()
            .map(|old| {
                let new = rewrite(old);
                *index.entry(new.clone()).or_insert_with(|| {
                    dictionary.push(new);
                    dictionary.len() as u32 - 1
                })
            })
            .collect();
        let codes = self.codes.iter().map(|&code| renamed[code as usize]).collect();
        Self { name: self.name.clone(), dictionary, codes }
    }

    /// The column under another name.
    #[must_use]
    pub fn renamed(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// A column from a dictionary and codes that point into it.
    pub(crate) fn from_parts(name: String, dictionary: Vec<String>, codes: Vec<u32>) -> Self {
        debug_assert!(codes.iter().all(|&c| (c as usize) < dictionary.len()));
        Self { name, dictionary, codes }
    }

    /// Each dictionary entry as a finite number; none when any is not.
    #[must_use]
    pub fn numbers(&self) -> Option<Vec<f64>> {
        self.dictionary.iter().map(|text| crate::number::parse(text)).collect()
    }
}

/// Builds a column value by value.
pub(crate) struct ColumnBuilder {
    name: String,
    index: HashMap<String, u32>,
    dictionary: Vec<String>,
    codes: Vec<u32>,
}

impl ColumnBuilder {
    pub(crate) fn new(name: String) -> Self {
        Self { name, index: HashMap::new(), dictionary: Vec::new(), codes: Vec::new() }
    }

    pub(crate) fn push(&mut self, value: &str) -> Result<(), TableError> {
        // The last code is kept free, so that a count of codes fits 32 bits too.
        if self.codes.len() >= (u32::MAX - 1) as usize {
            return Err(TableError::TooLarge);
        }
        let code = match self.index.get(value) {
            Some(&code) => code,
            None => {
                let code = self.dictionary.len() as u32;
                self.dictionary.push(value.to_owned());
                self.index.insert(value.to_owned(), code);
                code
            }
        };
        self.codes.push(code);
        Ok(())
    }

    pub(crate) fn finish(self) -> Column {
        Column { name: self.name, dictionary: self.dictionary, codes: self.codes }
    }
}
