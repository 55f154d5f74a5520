//! The same writer and reader with encryption and without, and nothing else in between.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::encryption::decrypt::FileDecryptionProperties;
use parquet::encryption::encrypt::FileEncryptionProperties;
use salus_crypto::OsEntropy;
use salus_model::Entropy as _;

use super::{observations, row};
use crate::measure::{Pairs, Spent};
use crate::report::Report;

/// Rows in one file, so that there are several as in a lake.
const FILE_ROWS: usize = 4 * 1024 * 1024;

struct Keys {
    encrypt: Arc<FileEncryptionProperties>,
    decrypt: Arc<FileDecryptionProperties>,
}

impl Keys {
    fn generate() -> Result<Self> {
        let key = || {
            let mut key = vec![0; 32];
            OsEntropy.fill(&mut key).map(|()| key)
        };
        let footer = key()?;
        let mut encrypt = FileEncryptionProperties::builder(footer.clone());
        let mut decrypt = FileDecryptionProperties::builder(footer);
        for field in observations::schema().fields() {
            let key = key()?;
            encrypt = encrypt.with_column_key(field.name(), key.clone());
            decrypt = decrypt.with_column_key(field.name(), key);
        }
        Ok(Self { encrypt: encrypt.build()?, decrypt: decrypt.build()? })
    }
}

fn write(folder: &Path, batches: &[RecordBatch], keys: Option<&Keys>) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for (number, group) in batches.chunks(FILE_ROWS / (64 * 1024)).enumerate() {
        let path = folder.join(format!("{number:04}.parquet"));
        let mut layout = salus_store::file_layout();
        if let Some(keys) = keys {
            layout = layout.with_file_encryption_properties(Arc::clone(&keys.encrypt));
        }
        let file = File::create(&path)?;
        let mut writer = ArrowWriter::try_new(file, observations::schema(), Some(layout.build()))?;
        for batch in group {
            writer.write(batch)?;
        }
        writer.close()?;
        files.push(path);
    }
    Ok(files)
}

/// Decodes the columns and counts the rows.
fn read(files: &[PathBuf], columns: &[&str], keys: Option<&Keys>) -> Result<usize> {
    let mut rows = 0;
    for path in files {
        let mut options = ArrowReaderOptions::new();
        if let Some(keys) = keys {
            options = options.with_file_decryption_properties(Arc::clone(&keys.decrypt));
        }
        let builder =
            ParquetRecordBatchReaderBuilder::try_new_with_options(File::open(path)?, options)?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        for batch in builder.with_projection(mask).with_batch_size(8192).build()? {
            rows += batch?.num_rows();
        }
    }
    Ok(rows)
}

fn bytes(files: &[PathBuf]) -> Result<u64> {
    files.iter().map(|f| Ok(std::fs::metadata(f)?.len())).sum()
}

/// Measures; returns the plaintext files for what comes next.
pub(crate) fn compare(
    folder: &Path,
    rows: usize,
    pairs: usize,
    out: &mut Report,
) -> Result<Vec<PathBuf>> {
    let batches: Vec<RecordBatch> = observations::batches(rows).collect::<Result<_>>()?;
    let keys = Keys::generate()?;
    let (sealed, plain) = (folder.join("sealed"), folder.join("plain"));
    std::fs::create_dir_all(&sealed)?;
    std::fs::create_dir_all(&plain)?;
    let mut files = (write(&sealed, &batches, Some(&keys))?, write(&plain, &batches, None)?);
    let mut found = Vec::new();

    let mut writing = Pairs::default();
    for pair in 0..pairs {
        let encrypted = || Spent::on(|| write(&sealed, &batches, Some(&keys)));
        let plaintext = || Spent::on(|| write(&plain, &batches, None));
        // Who goes first alternates too.
        let (ours, other) = if pair % 2 == 0 {
            let ours = encrypted()?;
            (ours, plaintext()?)
        } else {
            let other = plaintext()?;
            (encrypted()?, other)
        };
        writing.push(ours.1.cpu, other.1.cpu);
        files = (ours.0, other.0);
    }
    found.push(row("write", &writing));
    drop(batches);

    let names: Vec<String> =
        observations::schema().fields().iter().map(|f| f.name().clone()).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    for (what, columns) in [("scan, all columns", &all[..]), ("scan, value alone", &["value"][..])]
    {
        let mut reading = Pairs::default();
        for pair in 0..pairs {
            let encrypted = || Spent::on(|| read(&files.0, columns, Some(&keys)));
            let plaintext = || Spent::on(|| read(&files.1, columns, None));
            let (ours, other) = if pair % 2 == 0 {
                let ours = encrypted()?;
                (ours, plaintext()?)
            } else {
                let other = plaintext()?;
                (encrypted()?, other)
            };
            anyhow::ensure!(ours.0 == rows && other.0 == rows, "rows are missing");
            reading.push(ours.1.cpu, other.1.cpu);
        }
        found.push(row(what, &reading));
    }
    out.say("### Encrypted and plaintext files, the same writer and reader (processor time)");
    out.table(&["operation", "encrypted s", "plaintext s", "ratio", "middle half"], &found);
    out.say(&format!(
        "Size: {} MB encrypted, {} MB plaintext. Goals: 1.05 on scans, 1.10 on writes.",
        bytes(&files.0)? / 1_000_000,
        bytes(&files.1)? / 1_000_000
    ));
    Ok(files.1)
}
