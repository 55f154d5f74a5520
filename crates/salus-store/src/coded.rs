//! Text columns that leave a file as they stand in it: as codes of a dictionary.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use parquet::arrow::parquet_column;
use parquet::basic::Encoding;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

/// The schema to read a file with: `schema`, with those of the `wanted` top-level places as
/// dictionaries that are texts and that the file keeps in dictionaries throughout.
///
/// Where some page has its texts in full, a dictionary would have to be made of them, which takes
/// longer than reading them.
pub(crate) fn coded(
    schema: &SchemaRef,
    metadata: &ParquetMetaData,
    wanted: &BTreeSet<usize>,
) -> SchemaRef {
    let fits = |place: usize, field: &Field| {
        wanted.contains(&place)
            && *field.data_type() == DataType::Utf8
            && in_dictionaries(schema, metadata, field.name())
    };
    if !schema.fields().iter().enumerate().any(|(place, field)| fits(place, field)) {
        return Arc::clone(schema);
    }
    let fields = schema.fields().iter().enumerate().map(|(place, field)| {
        let coded = || field.as_ref().clone().with_data_type(dictionary_of_texts());
        if fits(place, field) { Arc::new(coded()) } else { Arc::clone(field) }
    });
    Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()))
}

fn dictionary_of_texts() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn in_dictionaries(schema: &Schema, metadata: &ParquetMetaData, name: &str) -> bool {
    let place = parquet_column(metadata.file_metadata().schema_descr(), schema, name);
    let Some((place, _)) = place else { return false };
    let mut chunks = metadata.row_groups().iter().map(|group| group.columns().get(place));
    chunks.all(|chunk| chunk.is_some_and(is_dictionary))
}

fn is_dictionary(chunk: &ColumnChunkMetaData) -> bool {
    let pages = chunk.page_encoding_stats_mask();
    chunk.dictionary_page_offset().is_some()
        && pages.is_some_and(|pages| {
            pages.is_only(Encoding::RLE_DICTIONARY) || pages.is_only(Encoding::PLAIN_DICTIONARY)
        })
}
