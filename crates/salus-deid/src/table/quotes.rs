//! Quoted fields of CSV text, watched as its bytes pass by.

use std::io::{self, Read};

use super::CsvFormat;

/// Where the next byte of CSV text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the start of a field: only here a quote opens one.
    Start,
    /// In a field without quotes, or after the closing quote of one.
    Plain,
    /// In a quoted field.
    Quoted,
    /// After a quote in a quoted field, which closes it or is the first of a doubled one.
    AfterQuote,
}

/// A quoted field with line breaks in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongField {
    /// The line on which it opens, counted from 1.
    pub line: u64,
    /// Line breaks in it.
    pub breaks: u64,
}

/// CSV text on its way to a reader: a reader takes the end of the text for the end of a quoted
/// field, so that one stray quote swallows all records after it.
#[derive(Debug)]
pub struct QuotedFields<R> {
    inner: R,
    delimiter: u8,
    quote: u8,
    place: Place,
    /// The line of the next byte.
    line: u64,
    /// The line on which the last quoted field opened.
    opened: u64,
    longest: Option<LongField>,
    /// The last byte that passed; none before the first.
    before: Option<u8>,
    /// Whether lines end in CRLF; none before the end of the first.
    crlf: Option<bool>,
    ended: bool,
}

impl<R: Read> QuotedFields<R> {
    /// Watches a text that is written as `format` says.
    pub const fn new(inner: R, format: CsvFormat) -> Self {
        Self {
            inner,
            delimiter: format.delimiter,
            quote: format.quote,
            place: Place::Start,
            line: 1,
            opened: 1,
            longest: None,
            before: None,
            crlf: None,
            ended: false,
        }
    }

    /// The line on which a quoted field opens that the text ends in.
    pub fn unclosed(&self) -> Option<u64> {
        (self.ended && self.place == Place::Quoted).then_some(self.opened)
    }

    /// The quoted field with the most line breaks, if one has any.
    pub const fn longest(&self) -> Option<LongField> {
        self.longest
    }

    /// Whether lines end in CRLF.
    pub(super) fn has_crlf(&self) -> bool {
        self.crlf == Some(true)
    }

    fn watch(&mut self, mut bytes: &[u8]) {
        if self.before.is_none() {
            // Readers skip a byte-order mark; the first field begins after it.
            bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        }
        let Some(&last) = bytes.last() else { return };
        if self.crlf.is_none()
            && let Some(at) = bytes.iter().position(|byte| *byte == b'\n')
        {
            let before = at.checked_sub(1).and_then(|at| bytes.get(at)).copied().or(self.before);
            self.crlf = Some(before == Some(b'\r'));
        }
        if self.place != Place::Quoted && !bytes.contains(&self.quote) {
            self.line += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.place = self.outside(last);
        } else {
            bytes.iter().for_each(|byte| self.step(*byte));
        }
        self.before = Some(last);
    }

    fn step(&mut self, byte: u8) {
        let quote = byte == self.quote;
        self.place = match self.place {
            Place::Quoted if quote => Place::AfterQuote,
            Place::Quoted => Place::Quoted,
            Place::AfterQuote if quote => Place::Quoted,
            Place::Start if quote => {
                self.opened = self.line;
                Place::Quoted
            }
            Place::Start | Place::Plain | Place::AfterQuote => self.outside(byte),
        };
        if byte == b'\n' {
            self.line += 1;
            let breaks = self.line - self.opened;
            if self.place == Place::Quoted && self.longest.is_none_or(|l| l.breaks < breaks) {
                self.longest = Some(LongField { line: self.opened, breaks });
            }
        }
    }

    /// Where the byte after one outside of quotes stands.
    const fn outside(&self, byte: u8) -> Place {
        if byte == self.delimiter || matches!(byte, b'\n' | b'\r') {
            Place::Start
        } else {
            Place::Plain
        }
    }
}

impl<R: Read> Read for QuotedFields<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.ended |= read == 0 && !buffer.is_empty();
        self.watch(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}
