//! A prepared statement's handle: the text, and the values bound so far.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use tonic::Status;

use crate::gateway::Parameter;

/// A statement and its parameters, as the client carries them back and forth.
///
/// It holds nothing that the client did not send itself, and gives no right to anything.
pub(super) struct Prepared {
    pub(super) sql: String,
    values: Option<RecordBatch>,
}

fn unreadable<E>(_: E) -> Status {
    Status::invalid_argument("the prepared statement's handle is not one of this server's")
}

impl Prepared {
    pub(super) const fn new(sql: String) -> Self {
        Self { sql, values: None }
    }

    /// Reads a handle: the text's length in four bytes, the text, and an Arrow stream or nothing.
    pub(super) fn from_handle(handle: &Bytes) -> Result<Self, Status> {
        let (length, rest) = handle.split_at_checked(4).ok_or(()).map_err(unreadable)?;
        let length = u32::from_be_bytes(length.try_into().map_err(unreadable)?);
        let length = usize::try_from(length).map_err(unreadable)?;
        let (sql, values) = rest.split_at_checked(length).ok_or(()).map_err(unreadable)?;
        let sql = String::from_utf8(sql.to_vec()).map_err(unreadable)?;
        let values = if values.is_empty() {
            None
        } else {
            let reader = StreamReader::try_new(values, None).map_err(unreadable)?;
            reader.into_iter().next().transpose().map_err(unreadable)?
        };
        Ok(Self { sql, values })
    }

    pub(super) fn bind(&mut self, values: RecordBatch) -> Result<(), Status> {
        if values.num_rows() > 1 {
            return Err(Status::invalid_argument("bind one row of parameters at a time"));
        }
        self.values = Some(values).filter(|v| v.num_rows() == 1);
        Ok(())
    }

    pub(super) fn to_handle(&self) -> Result<Bytes, Status> {
        let length = u32::try_from(self.sql.len()).map_err(unreadable)?;
        let mut handle = length.to_be_bytes().to_vec();
        handle.extend_from_slice(self.sql.as_bytes());
        if let Some(values) = &self.values {
            let mut writer =
                StreamWriter::try_new(&mut handle, &values.schema()).map_err(unreadable)?;
            writer.write(values).map_err(unreadable)?;
            writer.finish().map_err(unreadable)?;
        }
        Ok(handle.into())
    }

    pub(super) fn parameters(&self) -> Vec<Parameter> {
        let columns = self.values.iter().flat_map(RecordBatch::columns);
        columns.map(|column| Parameter::Arrow(std::sync::Arc::clone(column))).collect()
    }
}

/// The shape in which parameters are to be bound.
pub(super) fn parameter_schema(kinds: &[Option<DataType>]) -> Schema {
    let field = |(place, kind): (usize, &Option<DataType>)| {
        let kind = kind.clone().unwrap_or(DataType::Utf8);
        Field::new(format!("${}", place + 1), kind, true)
    };
    Schema::new(kinds.iter().enumerate().map(field).collect::<Vec<_>>())
}
