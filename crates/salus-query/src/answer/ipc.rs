use std::io::Write;

use arrow::ipc::writer::StreamWriter;

use super::{Answer, EncodeFailed};

impl Answer {
    /// Writes an Arrow IPC stream.
    ///
    /// # Errors
    /// When writing fails.
    pub fn write_arrow(&self, to: impl Write) -> Result<(), EncodeFailed> {
        let failed = |source| EncodeFailed { form: "an Arrow stream", source };
        let mut writer = StreamWriter::try_new(to, &self.schema).map_err(failed)?;
        for batch in &self.batches {
            writer.write(batch).map_err(failed)?;
        }
        writer.finish().map_err(failed)
    }
}
