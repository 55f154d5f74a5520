//! Sheets of paper: texts and shapes on them, each text with its place in the document's structure.

use pdf_writer::types::{ArtifactType, StructRole};
use pdf_writer::{Content, Name, Str};

use super::face::{Face, Weight};
use crate::error::FilesError;

/// A4 in points.
pub(super) const PAPER: (f32, f32) = (595.28, 841.89);
pub(super) const MARGIN: f32 = 56.0;
/// Width of what is written.
pub(super) const MEASURE: f32 = PAPER.0 - 2.0 * MARGIN;

pub(super) type Colour = [f32; 3];
pub(super) const INK: Colour = [0.086, 0.125, 0.169];
pub(super) const SOFT: Colour = [0.302, 0.353, 0.412];
pub(super) const RULE: Colour = [0.82, 0.85, 0.88];
pub(super) const ACCENT: Colour = [0.043, 0.431, 0.431];
pub(super) const WARN: Colour = [0.702, 0.149, 0.118];

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) weight: Weight,
    pub(super) size: f32,
    pub(super) colour: Colour,
}

impl Style {
    pub(super) const fn regular(size: f32) -> Self {
        Self { weight: Weight::Regular, size, colour: INK }
    }

    pub(super) const fn bold(size: f32) -> Self {
        Self { weight: Weight::Bold, size, colour: INK }
    }

    pub(super) const fn soft(size: f32) -> Self {
        Self { weight: Weight::Regular, size, colour: SOFT }
    }

    pub(super) const fn line(self) -> f32 {
        self.size * 1.42
    }
}

/// An element of the structure, by its position in [`Sheets::elements`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ElementId(pub(super) usize);

/// What an element holds.
pub(super) enum Kid {
    Element(ElementId),
    /// Marked content: sheet and number on it.
    Content(usize, i32),
}

/// An element of the structure.
pub(super) struct Element {
    pub(super) role: StructRole,
    pub(super) parent: Option<ElementId>,
    pub(super) kids: Vec<Kid>,
}

/// One side of paper.
pub(super) struct Sheet {
    pub(super) content: Content,
    /// By number of marked content: the element that it belongs to.
    pub(super) marked: Vec<ElementId>,
}

/// The sheets of a document and its structure.
pub(super) struct Sheets {
    pub(super) regular: Face,
    pub(super) bold: Face,
    pub(super) sheets: Vec<Sheet>,
    pub(super) elements: Vec<Element>,
    /// Distance from the top of the paper to what is written next.
    pub(super) y: f32,
}

impl Sheets {
    pub(super) fn new() -> Result<Self, FilesError> {
        let root = Element { role: StructRole::Document, parent: None, kids: Vec::new() };
        let mut sheets = Self {
            regular: Face::new(Weight::Regular)?,
            bold: Face::new(Weight::Bold)?,
            sheets: Vec::new(),
            elements: vec![root],
            y: MARGIN,
        };
        sheets.turn();
        Ok(sheets)
    }

    /// The whole document.
    pub(super) const ROOT: ElementId = ElementId(0);

    /// Starts a new sheet.
    pub(super) fn turn(&mut self) {
        self.sheets.push(Sheet { content: Content::new(), marked: Vec::new() });
        self.y = MARGIN;
    }

    /// Starts a new sheet unless that much is left.
    pub(super) fn need(&mut self, height: f32) -> bool {
        let full = self.y + height > PAPER.1 - MARGIN;
        if full {
            self.turn();
        }
        full
    }

    /// A new element under another.
    pub(super) fn element(&mut self, role: StructRole, parent: ElementId) -> ElementId {
        let id = ElementId(self.elements.len());
        self.elements.push(Element { role, parent: Some(parent), kids: Vec::new() });
        if let Some(parent) = self.elements.get_mut(parent.0) {
            parent.kids.push(Kid::Element(id));
        }
        id
    }

    pub(super) fn face(&self, weight: Weight) -> &Face {
        match weight {
            Weight::Regular => &self.regular,
            Weight::Bold => &self.bold,
        }
    }

    pub(super) fn width(&self, text: &str, style: Style) -> f32 {
        self.face(style.weight).width(text, style.size)
    }

    pub(super) fn wrap(&self, text: &str, style: Style, width: f32) -> Vec<String> {
        self.face(style.weight).wrap(text, style.size, width)
    }

    /// One line of an element's text at `x`, its top at `top`.
    pub(super) fn text(&mut self, of: ElementId, line: &str, style: Style, x: f32, top: f32) {
        let last = self.sheets.len().saturating_sub(1);
        let Some(element) = self.elements.get_mut(of.0) else { return };
        let Some(sheet) = self.sheets.get_mut(last) else { return };
        let number = sheet.marked.len() as i32;
        sheet.marked.push(of);
        element.kids.push(Kid::Content(last, number));
        let role = element.role.to_name();
        sheet.content.begin_marked_content_with_properties(role).properties().identify(number);
        self.show(last, line, style, x, top);
        if let Some(sheet) = self.sheets.get_mut(last) {
            sheet.content.end_marked_content();
        }
    }

    /// A line that no reader needs: page numbers, a header that comes again.
    pub(super) fn ornament(&mut self, at: usize, line: &str, style: Style, x: f32, top: f32) {
        if let Some(sheet) = self.sheets.get_mut(at) {
            artifact(&mut sheet.content);
        }
        self.show(at, line, style, x, top);
        if let Some(sheet) = self.sheets.get_mut(at) {
            sheet.content.end_marked_content();
        }
    }

    fn show(&mut self, at: usize, line: &str, style: Style, x: f32, top: f32) {
        let (face, name) = match style.weight {
            Weight::Regular => (&mut self.regular, Name(b"F1")),
            Weight::Bold => (&mut self.bold, Name(b"F2")),
        };
        // A space at the end keeps the words of two lines apart for who copies the text.
        let glyphs = face.encode(&format!("{line} "));
        let Some(sheet) = self.sheets.get_mut(at) else { return };
        let [r, g, b] = style.colour;
        let baseline = PAPER.1 - top - style.size;
        sheet
            .content
            .begin_text()
            .set_fill_rgb(r, g, b)
            .set_font(name, style.size)
            .set_text_matrix([1.0, 0.0, 0.0, 1.0, x, baseline])
            .show(Str(&glyphs))
            .end_text();
    }

    /// A filled rectangle, an ornament.
    pub(super) fn bar(&mut self, x: f32, top: f32, width: f32, height: f32, colour: Colour) {
        let Some(sheet) = self.sheets.last_mut() else { return };
        artifact(&mut sheet.content);
        let [r, g, b] = colour;
        sheet
            .content
            .set_fill_rgb(r, g, b)
            .rect(x, PAPER.1 - top - height, width, height)
            .fill_nonzero()
            .end_marked_content();
    }
}

fn artifact(content: &mut Content) {
    content
        .begin_marked_content_with_properties(Name(b"Artifact"))
        .properties()
        .artifact()
        .kind(ArtifactType::Layout);
}
