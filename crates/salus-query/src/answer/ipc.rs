use std::io::{Read, Write};

use arrow::ipc::reader::StreamReader;
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

    /// Reads an Arrow IPC stream that [`Answer::write_arrow`] wrote: an answer that another
    /// process of the same site has cleared and put on record.
    ///
    /// # Errors
    /// When it is no such stream.
    pub fn read_arrow(from: impl Read) -> Result<Self, EncodeFailed> {
        let failed = |source| EncodeFailed { form: "an Arrow stream", source };
        let reader = StreamReader::try_new(from, None).map_err(failed)?;
        let schema = reader.schema();
        let batches = reader.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        Ok(Self { schema, batches })
    }
}
