//! A file of any size as text, decoded as it is read.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use encoding_rs::{Decoder, DecoderResult};
use salus_deid::transform::TransformError;

use crate::error::FilesError;
use crate::file::{Form, Format, unwritten};

/// Bytes that are read and decoded at once.
const PIECE: usize = 1 << 16;
/// Bytes of text by which a file is judged.
const START: u64 = 1 << 20;

/// The text of a file, UTF-8 whatever the file is.
pub(super) struct Text {
    path: PathBuf,
    file: BufReader<File>,
    decoder: Decoder,
    /// Decoded text, and how much of it was handed on.
    piece: Vec<u8>,
    at: usize,
    /// Bytes at the start that are not handed on.
    skip: usize,
    /// Whether the decoder knows that the file has ended.
    ended: bool,
    /// Where the text stands that comes next: lines before it, and bytes of its own line.
    lines: usize,
    bytes: usize,
    damaged: bool,
    /// All of the text so far.
    seen: DefaultHasher,
}

impl Text {
    /// Opens a file, without its first bytes of text.
    pub(super) fn open(path: &Path, options: &Format, skip: usize) -> Result<Self, FilesError> {
        let failed = || FilesError::file(path, "the file cannot be read");
        let file = File::open(path).map_err(failed())?;
        if !file.metadata().map_err(failed())?.is_file() {
            return Err(FilesError::option(format!(
                "{}: this is no plain file, and it is read twice; name a file",
                path.display()
            )));
        }
        let mut file = BufReader::with_capacity(PIECE, file);
        let start = file.fill_buf().map_err(failed())?;
        let decoder = options.encoding.of_bytes(start).new_decoder_with_bom_removal();
        Ok(Self {
            path: path.to_owned(),
            file,
            decoder,
            piece: Vec::new(),
            at: 0,
            skip,
            ended: false,
            lines: 0,
            bytes: 0,
            damaged: false,
            seen: DefaultHasher::new(),
        })
    }

    /// Finds out how a file is written, by its start.
    pub(super) fn form(path: &Path, options: &Format) -> Result<Form, FilesError> {
        let mut text = Self::open(path, options, 0)?;
        let mut start = Vec::new();
        let read = text.by_ref().take(START).read_to_end(&mut start);
        if let Err(error) = read {
            return Err(text.unreadable(error));
        }
        let whole = (start.len() as u64) < START;
        let start = String::from_utf8_lossy(&start);
        // The last line may be cut off.
        let lines = start.rsplit_once('\n').filter(|_| !whole).map_or(&*start, |(lines, _)| lines);
        Form::of_text(path, lines, options)
    }

    fn fill(&mut self) -> io::Result<()> {
        while self.at >= self.piece.len() && !self.ended {
            let input = self.file.fill_buf()?;
            let last = input.is_empty();
            self.piece.resize(PIECE, 0);
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(input, &mut self.piece, last);
            self.file.consume(read);
            self.piece.truncate(written);
            self.seen.write(&self.piece);
            self.lines += self.piece.iter().filter(|byte| **byte == b'\n').count();
            self.bytes = match self.piece.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => written - end - 1,
                None => self.bytes + written,
            };
            self.at = self.skip.min(written);
            self.skip -= self.at;
            match result {
                DecoderResult::InputEmpty => self.ended = last,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => {
                    self.damaged = true;
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
        Ok(())
    }

    /// Tells two readings of other text apart; no more than that.
    pub(super) fn seen(&self) -> u64 {
        self.seen.finish()
    }

    /// What went wrong with reading.
    pub(super) fn unreadable(self, error: io::Error) -> FilesError {
        match self.damage() {
            Some(damage) => damage,
            None => FilesError::file(&self.path, "the file cannot be read")(error),
        }
    }

    /// What went wrong with what was read.
    pub(super) fn misfit(self, error: TransformError) -> FilesError {
        match (self.damage(), error) {
            (Some(damage), _) => damage,
            (None, TransformError::Table(source)) => FilesError::Table { path: self.path, source },
            (None, other) => FilesError::option(format!("{}: {other}", self.path.display())),
        }
    }

    /// Where the text is not in its encoding, as other commands say it.
    fn damage(&self) -> Option<FilesError> {
        let (path, encoding) = (self.path.clone(), self.decoder.encoding());
        self.damaged.then(|| {
            if encoding == encoding_rs::UTF_8 {
                FilesError::NotUtf8 { path, line: self.lines + 1, column: self.bytes + 1 }
            } else {
                FilesError::Undecodable { path, encoding: encoding.name() }
            }
        })
    }
}

impl Read for Text {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let mut rest = self.piece.get(self.at..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

/// A file that is written, which says when writing was what failed.
pub(super) struct Sink<W> {
    inner: W,
    failed: Option<io::ErrorKind>,
}

impl<W: Write> Sink<W> {
    pub(super) const fn new(inner: W) -> Self {
        Self { inner, failed: None }
    }

    /// Whose fault an error is: of the file that was to be written, or of the text.
    pub(super) fn blame(&self, out: &Path, text: Text, error: TransformError) -> FilesError {
        match self.failed {
            Some(kind) => unwritten(out, kind.into()),
            None => text.misfit(error),
        }
    }

    fn noted<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &done {
            self.failed = Some(error.kind());
        }
        done
    }
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.inner.write(bytes);
        self.noted(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.inner.flush();
        self.noted(done)
    }
}
