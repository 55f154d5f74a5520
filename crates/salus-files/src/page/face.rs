//! Font faces: widths of texts, and which glyphs a document uses.

use std::collections::BTreeMap;

use subsetter::GlyphRemapper;

use crate::error::FilesError;

static REGULAR: &[u8] = include_bytes!("../../assets/fonts/Roboto-Regular.ttf");
static BOLD: &[u8] = include_bytes!("../../assets/fonts/Roboto-Bold.ttf");

/// Which face.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    Bold,
}

/// A face, and what of it was used.
pub(super) struct Face {
    pub(super) bytes: &'static [u8],
    pub(super) parsed: ttf_parser::Face<'static>,
    pub(super) name: &'static str,
    pub(super) used: GlyphRemapper,
    /// By new glyph: the character, and the width in thousandths.
    pub(super) glyphs: BTreeMap<u16, (char, f32)>,
}

/// Shown for characters that the font lacks.
const MISSING: char = '\u{FFFD}';

impl Face {
    pub(super) fn new(weight: Weight) -> Result<Self, FilesError> {
        let (bytes, name) = match weight {
            Weight::Regular => (REGULAR, "SALUSR+Roboto-Regular"),
            Weight::Bold => (BOLD, "SALUSB+Roboto-Bold"),
        };
        let parsed = ttf_parser::Face::parse(bytes, 0)
            .map_err(|_| FilesError::option("the document's font cannot be read"))?;
        Ok(Self { bytes, parsed, name, used: GlyphRemapper::new(), glyphs: BTreeMap::new() })
    }

    /// The font's unit as a part of its size, in thousandths.
    pub(super) fn per_mille(&self, units: f32) -> f32 {
        units * 1_000.0 / f32::from(self.parsed.units_per_em())
    }

    fn glyph(&self, c: char) -> (ttf_parser::GlyphId, char) {
        let c = if c.is_control() { ' ' } else { c };
        match self.parsed.glyph_index(c) {
            Some(glyph) => (glyph, c),
            None => (self.parsed.glyph_index(MISSING).unwrap_or_default(), c),
        }
    }

    /// How wide a text is at that size.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        let units: f32 = text
            .chars()
            .map(|c| f32::from(self.parsed.glyph_hor_advance(self.glyph(c).0).unwrap_or(0)))
            .sum();
        self.per_mille(units) * size / 1_000.0
    }

    /// The text as the document shows it: two bytes for each glyph.
    pub(super) fn encode(&mut self, text: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 * text.len());
        for c in text.chars() {
            let (glyph, shown) = self.glyph(c);
            let width =
                self.per_mille(f32::from(self.parsed.glyph_hor_advance(glyph).unwrap_or(0)));
            let new = self.used.remap(glyph.0);
            self.glyphs.entry(new).or_insert((shown, width));
            bytes.extend(new.to_be_bytes());
        }
        bytes
    }

    /// Breaks a text into lines that fit.
    pub(super) fn wrap(&self, text: &str, size: f32, width: f32) -> Vec<String> {
        let mut lines = Vec::new();
        for paragraph in text.split('\n') {
            let mut line = String::new();
            for word in paragraph.split_whitespace() {
                for piece in self.pieces(word, size, width) {
                    let longer =
                        if line.is_empty() { piece.clone() } else { format!("{line} {piece}") };
                    if line.is_empty() || self.width(&longer, size) <= width {
                        line = longer;
                    } else {
                        lines.push(std::mem::replace(&mut line, piece));
                    }
                }
            }
            lines.push(line);
        }
        lines
    }

    /// A word, or its parts when it is wider than a line.
    fn pieces(&self, word: &str, size: f32, width: f32) -> Vec<String> {
        if self.width(word, size) <= width {
            return vec![word.to_owned()];
        }
        let mut pieces = vec![String::new()];
        for c in word.chars() {
            let full = pieces.last().is_some_and(|piece| {
                !piece.is_empty() && self.width(&format!("{piece}{c}"), size) > width
            });
            if full {
                pieces.push(String::new());
            }
            if let Some(piece) = pieces.last_mut() {
                piece.push(c);
            }
        }
        pieces
    }
}
