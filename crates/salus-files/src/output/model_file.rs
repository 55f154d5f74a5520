//! Files of models: what form they have, and what is no model but something else.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{CheckVerdict, OutputCheck};
use crate::generator::Recognised;
use crate::text::count;

/// From so many lines alike on a text is a table.
const LINES: usize = 20;
/// Lines of a text that are looked at.
const MOST_LINES: usize = 100_000;
/// As much as another program writes into a model of ours beside it.
const BESIDE: usize = 1024;

/// What a file that is called a model is in truth.
enum Form {
    /// A model of ours, with so many bytes more than it has when it is written here.
    Ours {
        /// What it is of.
        of: &'static str,
        /// Bytes beside it.
        beside: usize,
    },
    /// Another thing than a model.
    Other(&'static str),
    /// A form of models, or of what may hold models, that nothing here can look into.
    Opaque(&'static str),
    /// It runs what its writer wants.
    Runs(&'static str),
    /// None that is known here.
    Unknown,
}

/// The check of a model's form.
pub(super) fn form(bytes: &[u8], ours: Option<&Recognised>) -> OutputCheck {
    let form = match ours {
        Some(model) => {
            let beside = bytes.len().saturating_sub(model.bytes);
            Form::Ours { of: model.of, beside }
        }
        None => of_magic(bytes).or_else(|| of_text(bytes)).unwrap_or(Form::Unknown),
    };
    let (verdict, words) = match form {
        Form::Ours { of, beside } if beside <= BESIDE => (
            CheckVerdict::Look,
            format!("a model of `salus synthesise` of {of}; values of categories stand in it"),
        ),
        Form::Ours { of, beside } => (
            CheckVerdict::Objects,
            format!(
                "a model of `salus synthesise` of {of}, and {} bytes that are no part of it",
                count(beside as u64)
            ),
        ),
        Form::Other(what) => (
            CheckVerdict::Objects,
            format!("it is no model but {what}; submit it as what it is, a table or a plot"),
        ),
        Form::Opaque(what) => (CheckVerdict::Look, what.to_owned()),
        Form::Runs(what) => (
            CheckVerdict::Objects,
            format!(
                "{what}: it runs whatever its writer put into it when it is loaded; save the \
                 numbers alone, as in safetensors or ONNX"
            ),
        ),
        Form::Unknown => {
            (CheckVerdict::Look, "no form that is known here: it may hold anything".to_owned())
        }
    };
    OutputCheck::new("form", verdict, words)
}

/// By the first bytes, as each format fixes them.
fn of_magic(bytes: &[u8]) -> Option<Form> {
    const OTHER: [(&[u8], &str); 15] = [
        (b"\x89PNG", "a picture (PNG)"),
        (b"\xff\xd8\xff", "a picture (JPEG)"),
        (b"GIF87a", "a picture (GIF)"),
        (b"GIF89a", "a picture (GIF)"),
        (b"II*\0", "a picture (TIFF)"),
        (b"MM\0*", "a picture (TIFF)"),
        (b"RIFF", "a picture, sound or film (RIFF)"),
        (b"PAR1", "a table (Parquet)"),
        (b"ARROW1", "a table (Arrow)"),
        (b"FEA1", "a table (Feather)"),
        (b"SQLite format 3\0", "a database (SQLite)"),
        (b"\xd0\xcf\x11\xe0", "a document (Microsoft Office)"),
        (b"$FL2", "a table (SPSS)"),
        (b"<stata_dta>", "a table (Stata)"),
        (b"Obj\x01", "a table (Avro)"),
    ];
    const OPAQUE: [(&[u8], &str); 12] = [
        (
            b"\x89HDF\r\n\x1a\n",
            "HDF5: it may hold tables beside a model, and nothing looked at them",
        ),
        (b"GGUF", "GGUF: its numbers and texts were not looked at"),
        (b"\x93NUMPY", "an array of NumPy: it may as well hold records"),
        (b"\x1f\x8b", "compressed (gzip): what is in it was not looked at"),
        (b"BZh", "compressed (bzip2): what is in it was not looked at"),
        (b"\xfd7zXZ\0", "compressed (xz): what is in it was not looked at"),
        (b"\x28\xb5\x2f\xfd", "compressed (Zstandard): what is in it was not looked at"),
        (b"\x04\x22\x4d\x18", "compressed (LZ4): what is in it was not looked at"),
        (b"7z\xbc\xaf\x27\x1c", "an archive (7z): what is in it was not looked at"),
        (b"Rar!", "an archive (RAR): what is in it was not looked at"),
        (b"\x78\x9c", "compressed (zlib): what is in it was not looked at"),
        (b"\x78\xda", "compressed (zlib): what is in it was not looked at"),
    ];
    if within(bytes.get(..1024).unwrap_or(bytes), b"%PDF-") {
        return Some(Form::Other("a document (PDF)"));
    }
    if let [0x80, 2..=5, ..] = bytes {
        return Some(Form::Runs("Python pickle"));
    }
    if bytes.starts_with(b"PK") {
        return Some(of_zip(bytes));
    }
    let starts = |(magic, _): &(&[u8], &'static str)| bytes.starts_with(magic);
    if let Some((_, what)) = OTHER.into_iter().find(starts) {
        return Some(Form::Other(what));
    }
    if let Some((_, what)) = OPAQUE.into_iter().find(starts) {
        return Some(Form::Opaque(what));
    }
    if bytes.get(257..262).is_some_and(|name| name == b"ustar") {
        return Some(Form::Opaque("an archive (tar): its members were not looked at"));
    }
    if is_safetensors(bytes) {
        return Some(Form::Opaque("safetensors: its numbers and texts were not looked at"));
    }
    // The version of the format, then the name of the program that wrote it.
    let onnx = matches!(bytes, [0x08, 1..=32, 0x12, ..]);
    onnx.then_some(Form::Opaque("ONNX, as it seems: its numbers and texts were not looked at"))
}

/// What an archive's names tell: these stand in it as they are, whatever is compressed.
fn of_zip(bytes: &[u8]) -> Form {
    if within(bytes, b"xl/workbook") || within(bytes, b"word/document") {
        return Form::Other("a document (Office)");
    }
    if within(bytes, b"content.xml") {
        return Form::Other("a document (OpenDocument)");
    }
    if within(bytes, b".pkl") || within(bytes, b".pickle") {
        return Form::Runs("an archive (zip) with a Python pickle");
    }
    Form::Opaque("an archive (zip): its members were not looked at")
}

/// A length, and a JSON object of that length.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return false };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    rest.get(..length).is_some_and(|header| {
        header.first() == Some(&b'{')
            && serde_json::from_slice::<serde::de::IgnoredAny>(header).is_ok()
    })
}

fn within(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// The text that bytes are, whatever bytes above ASCII mean; none where they are no text.
fn text_of(bytes: &[u8]) -> Option<Cow<'_, str>> {
    if let Some((encoding, _)) = encoding_rs::Encoding::for_bom(bytes) {
        return Some(encoding.decode_with_bom_removal(bytes).0);
    }
    let control = |byte: &u8| matches!(byte, 0..=8 | 14..=31 | 127);
    (!bytes.iter().any(control)).then(|| String::from_utf8_lossy(bytes))
}

fn of_text(bytes: &[u8]) -> Option<Form> {
    let text = text_of(bytes)?;
    let start = text.trim_start();
    if start.starts_with('<') {
        return Some(Form::Other("text with tags (SVG, XML or HTML)"));
    }
    if ["__builtin__\n", "builtins\n", "copy_reg\n", "copyreg\n"].iter().any(|m| text.contains(*m))
    {
        return Some(Form::Runs("Python pickle"));
    }
    if start.starts_with(['{', '[']) && text.contains("\"resourceType\"") {
        return Some(Form::Other("records (FHIR)"));
    }
    let object = |line: &&str| {
        let line = line.trim().trim_end_matches(',');
        line.starts_with('{') && line.ends_with('}')
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty()).take(MOST_LINES);
    let (objects, others): (Vec<&str>, Vec<&str>) = lines.partition(object);
    if objects.len() >= LINES && objects.len() > others.len() {
        return Some(Form::Other("records, an object on each line (NDJSON)"));
    }
    let json = serde_json::from_str::<serde::de::IgnoredAny>(start).is_ok();
    if json {
        return Some(Form::Opaque("text (JSON): it may as well hold records"));
    }
    is_delimited(&text).then_some(Form::Other("a table of text with delimiters"))
}

/// Whether nearly all lines have the same number of fields.
fn is_delimited(text: &str) -> bool {
    let fits = |delimiter: u8| {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut widths: BTreeMap<usize, usize> = BTreeMap::new();
        for record in reader.byte_records().take(MOST_LINES) {
            *widths.entry(record.map_or(0, |record| record.len())).or_default() += 1;
        }
        let all: usize = widths.values().sum();
        let most = widths.iter().filter(|(width, _)| **width > 1).map(|(_, lines)| *lines).max();
        most.is_some_and(|lines| lines >= LINES && lines * 10 >= all * 9)
    };
    [b',', b';', b'\t', b'|'].into_iter().any(fits)
}
