use std::io::Write;

use arrow::json::writer::{JsonArray, WriterBuilder};

use super::{Answer, EncodeFailed};

impl Answer {
    /// Writes an array of objects, one a row, every column in each of them.
    ///
    /// Whole numbers and decimals keep all their digits (a reader that turns them into floating
    /// point is the one to lose some); times are ISO 8601; binary values are hexadecimal; NaN and
    /// the infinities, for which JSON has no form, are null.
    ///
    /// # Errors
    /// When a type has no JSON form.
    pub fn write_json(&self, to: impl Write) -> Result<(), EncodeFailed> {
        let failed = |source| EncodeFailed { form: "JSON", source };
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(to);
        for batch in &self.batches {
            writer.write(batch).map_err(failed)?;
        }
        writer.finish().map_err(failed)
    }
}
