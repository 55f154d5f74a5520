//! A document as PDF: tagged, in its language, with its fonts in it, so that a screen reader reads
//! it in order and a search finds its words.
//!
//! # Source
//! ISO 32000-1 sections 9.7 (composite fonts), 14.7 and 14.8 (structure); ISO 14289-1 (PDF/UA-1).

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use pdf_writer::types::{
    CidFontType, FontFlags, StructRole, SystemInfo, TabOrder, TableHeaderScope, UnicodeCmap,
};
use pdf_writer::{Filter, Finish as _, Name, Pdf, Rect, Ref, Str, TextStr};

use super::face::{Face, Weight};
use super::sheet::{
    ACCENT, ElementId, Kid, MARGIN, MEASURE, PAPER, RULE, SOFT, Sheets, Style, WARN,
};
use super::{Block, INTERVAL_HEADER, IntervalRow, Page, letter};
use crate::error::FilesError;
use crate::text::percent;

const BODY: f32 = 9.5;
const SMALL: f32 = 8.0;

/// The document's bytes.
pub(super) fn document(page: &Page) -> Result<Vec<u8>, FilesError> {
    let mut sheets = Sheets::new()?;
    head(&mut sheets, page);
    for block in &page.blocks {
        draw(&mut sheets, block);
    }
    feet(&mut sheets, page);
    write(page, sheets)
}

fn lines(sheets: &mut Sheets, of: ElementId, text: &str, style: Style, x: f32, width: f32) {
    for line in sheets.wrap(text, style, width) {
        sheets.need(style.line());
        let top = sheets.y;
        sheets.text(of, &line, style, x, top);
        sheets.y += style.line();
    }
}

fn head(sheets: &mut Sheets, page: &Page) {
    let kind = sheets.element(StructRole::P, Sheets::ROOT);
    let style = Style { weight: Weight::Bold, size: BODY, colour: ACCENT };
    lines(sheets, kind, &page.kind, style, MARGIN, MEASURE);
    let title = sheets.element(StructRole::H1, Sheets::ROOT);
    lines(sheets, title, &page.title, Style::bold(20.0), MARGIN, MEASURE);
    sheets.y += 8.0;
}

/// Page numbers, which are no part of what is read aloud.
fn feet(sheets: &mut Sheets, page: &Page) {
    let all = sheets.sheets.len();
    let style = Style::soft(SMALL);
    for at in 0..all {
        let number = format!("{} of {all}", at + 1);
        let x = PAPER.0 - MARGIN - sheets.width(&number, style);
        let top = PAPER.1 - MARGIN + 14.0;
        sheets.ornament(at, &number, style, x, top);
        let left = format!("{} · {}", page.title, page.day());
        sheets.ornament(at, &left, style, MARGIN, top);
    }
}

fn draw(sheets: &mut Sheets, block: &Block) {
    match block {
        Block::Heading(title) => {
            sheets.y += 10.0;
            // A title is not left alone at the foot of a sheet.
            sheets.need(60.0);
            let element = sheets.element(StructRole::H2, Sheets::ROOT);
            lines(sheets, element, title, Style::bold(12.0), MARGIN, MEASURE);
            sheets.y += 3.0;
        }
        Block::Paragraph(text) => {
            let element = sheets.element(StructRole::P, Sheets::ROOT);
            lines(sheets, element, text, Style::regular(BODY), MARGIN, MEASURE);
            sheets.y += 5.0;
        }
        Block::Score { number, words } => score(sheets, number, words),
        Block::List(items) => list(sheets, items, |_| "•".to_owned()),
        Block::Choices(items) => list(sheets, items, |i| format!("{}.", letter(i))),
        Block::Pairs(pairs) => facts(sheets, pairs),
        Block::Table { header, rows } => {
            let header: Vec<&str> = header.iter().map(String::as_str).collect();
            table(sheets, &header, rows);
        }
        Block::Intervals(rows) => intervals(sheets, rows),
        Block::Break => sheets.turn(),
    }
}

fn score(sheets: &mut Sheets, number: &str, words: &str) {
    let (figure, style) = (Style::bold(28.0), Style::regular(BODY));
    let left = MARGIN + 14.0;
    let x = left + 82.0;
    let wrapped = sheets.wrap(words, style, MARGIN + MEASURE - x - 10.0);
    let height = (wrapped.len() as f32 * style.line()).max(50.0) + 18.0;
    sheets.need(height);
    let top = sheets.y;
    sheets.bar(MARGIN, top, MEASURE, height, [0.965, 0.973, 0.976]);
    sheets.bar(MARGIN, top, 4.0, height, ACCENT);
    let element = sheets.element(StructRole::P, Sheets::ROOT);
    sheets.text(element, number, figure, left, top + 8.0);
    sheets.text(element, "of 100", Style::soft(SMALL), left, top + 42.0);
    let element = sheets.element(StructRole::P, Sheets::ROOT);
    for (i, line) in wrapped.iter().enumerate() {
        sheets.text(element, line, style, x, top + 9.0 + i as f32 * style.line());
    }
    sheets.y = top + height + 6.0;
}

fn list(sheets: &mut Sheets, items: &[String], label: impl Fn(usize) -> String) {
    let style = Style::regular(BODY);
    let all = sheets.element(StructRole::L, Sheets::ROOT);
    for (i, item) in items.iter().enumerate() {
        let element = sheets.element(StructRole::LI, all);
        let mark = sheets.element(StructRole::Lbl, element);
        let body = sheets.element(StructRole::LBody, element);
        sheets.need(style.line());
        let top = sheets.y;
        sheets.text(mark, &label(i), style, MARGIN + 4.0, top);
        lines(sheets, body, item, style, MARGIN + 20.0, MEASURE - 20.0);
        sheets.y += 1.5;
    }
    sheets.y += 4.0;
}

/// Words and what they are: a table whose first column is its header.
fn facts(sheets: &mut Sheets, pairs: &[(String, String)]) {
    let (word, what) = (Style::soft(BODY), Style::regular(BODY));
    let widest = pairs.iter().map(|(w, _)| sheets.width(w, word)).fold(60.0, f32::max);
    let split = widest.min(MEASURE * 0.42) + 16.0;
    let all = sheets.element(StructRole::Table, Sheets::ROOT);
    for (left, right) in pairs {
        let lefts = sheets.wrap(left, word, split - 16.0);
        let rights = sheets.wrap(right, what, MEASURE - split);
        let rows = lefts.len().max(rights.len());
        sheets.need(rows as f32 * what.line());
        let row = sheets.element(StructRole::TR, all);
        let (th, td) = (sheets.element(StructRole::TH, row), sheets.element(StructRole::TD, row));
        let top = sheets.y;
        for (i, line) in lefts.iter().enumerate() {
            sheets.text(th, line, word, MARGIN, top + i as f32 * what.line());
        }
        for (i, line) in rights.iter().enumerate() {
            sheets.text(td, line, what, MARGIN + split, top + i as f32 * what.line());
        }
        sheets.y = top + rows as f32 * what.line();
    }
    sheets.y += 5.0;
}

/// Widths of columns: what their widest cell takes, the wide ones sharing what is left.
fn widths(sheets: &Sheets, header: &[&str], rows: &[Vec<String>]) -> Vec<f32> {
    const GAP: f32 = 10.0;
    let style = Style::bold(BODY);
    let wanted: Vec<f32> = (0..header.len())
        .map(|c| {
            let cells = rows.iter().filter_map(|row| row.get(c)).map(String::as_str);
            let all = cells.chain(header.get(c).copied());
            all.map(|cell| sheets.width(cell, style)).fold(20.0, f32::max) + GAP
        })
        .collect();
    let total: f32 = wanted.iter().sum();
    if total <= MEASURE {
        return wanted;
    }
    let fair = MEASURE / header.len().max(1) as f32;
    let narrow: f32 = wanted.iter().filter(|w| **w <= fair).sum();
    let wide: f32 = wanted.iter().filter(|w| **w > fair).sum();
    let share = (MEASURE - narrow) / wide;
    wanted.iter().map(|w| if *w <= fair { *w } else { w * share }).collect()
}

/// Starts of columns from their widths.
fn starts(widths: &[f32]) -> Vec<f32> {
    let mut x = MARGIN;
    let place = |w: &f32| {
        let own = x;
        x += w;
        own
    };
    widths.iter().map(place).collect()
}

fn table(sheets: &mut Sheets, header: &[&str], rows: &[Vec<String>]) {
    let widths = widths(sheets, header, rows);
    let xs = starts(&widths);
    let style = Style::regular(BODY);
    let all = sheets.element(StructRole::Table, Sheets::ROOT);
    sheets.need(3.0 * style.line());
    header_row(sheets, Some(all), header, &xs, &widths);
    for cells in rows {
        let wrapped: Vec<Vec<String>> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| sheets.wrap(cell, style, (width - 8.0).max(12.0)))
            .collect();
        let height = wrapped.iter().map(Vec::len).max().unwrap_or(1) as f32 * style.line() + 4.0;
        if sheets.need(height) {
            header_row(sheets, None, header, &xs, &widths);
        }
        let row = sheets.element(StructRole::TR, all);
        let top = sheets.y;
        for (lines, x) in wrapped.iter().zip(&xs) {
            let cell = sheets.element(StructRole::TD, row);
            for (i, line) in lines.iter().enumerate() {
                sheets.text(cell, line, style, *x, top + 2.0 + i as f32 * style.line());
            }
        }
        sheets.bar(MARGIN, top + height - 0.5, MEASURE, 0.5, RULE);
        sheets.y = top + height;
    }
    sheets.y += 6.0;
}

/// The titles of columns; said once, shown again on each sheet.
fn header_row(
    sheets: &mut Sheets,
    table: Option<ElementId>,
    header: &[&str],
    xs: &[f32],
    widths: &[f32],
) {
    let style = Style { weight: Weight::Bold, size: BODY - 0.5, colour: SOFT };
    let row = table.map(|table| sheets.element(StructRole::TR, table));
    let wrapped: Vec<Vec<String>> = header
        .iter()
        .zip(widths)
        .map(|(cell, width)| sheets.wrap(cell, style, (width - 8.0).max(12.0)))
        .collect();
    let top = sheets.y;
    let at = sheets.sheets.len().saturating_sub(1);
    for (lines, x) in wrapped.iter().zip(xs) {
        let cell = row.map(|row| sheets.element(StructRole::TH, row));
        for (i, line) in lines.iter().enumerate() {
            let y = top + i as f32 * style.line();
            match cell {
                Some(cell) => sheets.text(cell, line, style, *x, y),
                None => sheets.ornament(at, line, style, *x, y),
            }
        }
    }
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(1) as f32 * style.line() + 3.0;
    sheets.bar(MARGIN, top + height - 1.0, MEASURE, 1.0, RULE);
    sheets.y = top + height;
}

fn intervals(sheets: &mut Sheets, rows: &[IntervalRow]) {
    let widths = [158.0, 52.0, 168.0, MEASURE - 378.0];
    let xs = starts(&widths);
    let all = sheets.element(StructRole::Table, Sheets::ROOT);
    sheets.need(60.0);
    header_row(sheets, Some(all), &INTERVAL_HEADER, &xs, &widths);
    for line in rows {
        interval(sheets, all, line, &xs, &widths);
    }
    sheets.y += 6.0;
}

fn interval(sheets: &mut Sheets, table: ElementId, line: &IntervalRow, xs: &[f32], widths: &[f32]) {
    let style = Style::regular(BODY);
    let (cells, colour): (Vec<String>, _) = match &line.measured {
        Ok(m) => (
            vec![
                line.name.clone(),
                percent(m.risk),
                format!("{} to {}", percent(m.low), percent(m.high)),
                m.counts.clone(),
            ],
            if m.leak { Some(WARN) } else { None },
        ),
        Err(reason) => {
            let said = format!("not run: {reason}");
            (vec![line.name.clone(), "–".to_owned(), said, "–".to_owned()], Some(SOFT))
        }
    };
    let wrapped: Vec<Vec<String>> = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| sheets.wrap(cell, style, (width - 8.0).max(12.0)))
        .collect();
    let bar = if line.measured.is_ok() { 9.0 } else { 0.0 };
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(1) as f32 * style.line() + bar + 4.0;
    if sheets.need(height) {
        header_row(sheets, None, &INTERVAL_HEADER, xs, widths);
    }
    let row = sheets.element(StructRole::TR, table);
    let top = sheets.y;
    for (c, (lines, x)) in wrapped.iter().zip(xs).enumerate() {
        let cell = sheets.element(StructRole::TD, row);
        let own = Style { colour: colour.unwrap_or(style.colour), ..style };
        let below = if c == 2 { bar } else { 0.0 };
        for (i, text) in lines.iter().enumerate() {
            sheets.text(cell, text, own, *x, top + 2.0 + below + i as f32 * style.line());
        }
    }
    if let (Ok(m), Some(x)) = (&line.measured, xs.get(2)) {
        let track = 156.0;
        let (low, high) = (m.low as f32, m.high as f32);
        sheets.bar(*x, top + 3.5, track, 5.0, [0.906, 0.922, 0.937]);
        let width = ((high - low) * track).max(1.0);
        let colour = if m.leak { WARN } else { ACCENT };
        sheets.bar(x + low * track, top + 3.5, width, 5.0, colour);
    }
    sheets.bar(MARGIN, top + height - 0.5, MEASURE, 0.5, RULE);
    sheets.y = top + height;
}

/// Gives out numbers of objects.
struct Numbers(i32);

impl Numbers {
    fn next(&mut self) -> Ref {
        self.0 += 1;
        Ref::new(self.0)
    }
}

fn squeezed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing into memory does not fail; what is left out would show at once.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn write(page: &Page, sheets: Sheets) -> Result<Vec<u8>, FilesError> {
    let mut numbers = Numbers(0);
    let (catalog, tree, info, metadata) =
        (numbers.next(), numbers.next(), numbers.next(), numbers.next());
    let fonts = [numbers.next(), numbers.next()];
    let pages: Vec<Ref> = sheets.sheets.iter().map(|_| numbers.next()).collect();
    let elements: Vec<Ref> = sheets.elements.iter().map(|_| numbers.next()).collect();
    let mut pdf = Pdf::new();
    pdf.set_version(1, 7);
    let parents: Vec<Ref> = sheets
        .sheets
        .iter()
        .map(|sheet| {
            let id = numbers.next();
            let of = sheet.marked.iter().filter_map(|e| elements.get(e.0).copied());
            pdf.indirect(id).array().items(of);
            id
        })
        .collect();
    let root = numbers.next();
    write_catalog(&mut pdf, catalog, tree, metadata, root);
    let mut structure = pdf.indirect(root).dict();
    structure.pair(Name(b"Type"), Name(b"StructTreeRoot"));
    structure.insert(Name(b"K")).array().items(elements.first().copied());
    let mut tree_of_parents = structure.insert(Name(b"ParentTree")).dict();
    let mut nums = tree_of_parents.insert(Name(b"Nums")).array();
    for (i, id) in parents.iter().enumerate() {
        nums.item(i as i32).item(*id);
    }
    nums.finish();
    tree_of_parents.finish();
    structure.pair(Name(b"ParentTreeNextKey"), parents.len() as i32);
    structure.finish();
    write_elements(&mut pdf, &sheets, &elements, &pages, root);
    for (face, id) in [&sheets.regular, &sheets.bold].into_iter().zip(fonts) {
        write_font(&mut pdf, face, id, &mut numbers)?;
    }
    write_sheets(&mut pdf, sheets, tree, &pages, fonts, &mut numbers);
    pdf.pages(tree).kids(pages.iter().copied()).count(pages.len() as i32);
    pdf.document_info(info).title(TextStr(&page.title)).producer(TextStr("Salus"));
    pdf.metadata(metadata, xmp(page).as_bytes());
    Ok(pdf.finish())
}

fn write_catalog(pdf: &mut Pdf, catalog: Ref, tree: Ref, metadata: Ref, structure: Ref) {
    let mut writer = pdf.catalog(catalog);
    writer.pages(tree).lang(TextStr("en")).metadata(metadata);
    writer.mark_info().marked(true);
    writer.viewer_preferences().display_doc_title(true);
    writer.pair(Name(b"StructTreeRoot"), structure);
}

fn write_elements(pdf: &mut Pdf, sheets: &Sheets, ids: &[Ref], pages: &[Ref], root: Ref) {
    for (element, id) in sheets.elements.iter().zip(ids) {
        let mut writer = pdf.struct_element(*id);
        writer.kind(element.role);
        writer.parent(element.parent.and_then(|p| ids.get(p.0).copied()).unwrap_or(root));
        let mut kids = writer.children();
        for kid in &element.kids {
            match kid {
                Kid::Element(kid) => {
                    if let Some(id) = ids.get(kid.0) {
                        kids.struct_element(*id);
                    }
                }
                Kid::Content(sheet, number) => {
                    if let Some(page) = pages.get(*sheet) {
                        kids.marked_content_ref().page(*page).marked_content_id(*number);
                    }
                }
            }
        }
        kids.finish();
        if element.role == StructRole::TH {
            // A header beside another cell speaks for its row.
            let scope = if is_row_header(sheets, element.parent) {
                TableHeaderScope::Row
            } else {
                TableHeaderScope::Column
            };
            writer.attributes().push().table().scope(scope);
        }
    }
}

/// Whether a row has cells beside its headers.
fn is_row_header(sheets: &Sheets, row: Option<ElementId>) -> bool {
    let Some(row) = row.and_then(|row| sheets.elements.get(row.0)) else { return false };
    row.kids.iter().any(|kid| match kid {
        Kid::Element(id) => sheets.elements.get(id.0).is_some_and(|e| e.role == StructRole::TD),
        Kid::Content(..) => false,
    })
}

fn write_sheets(
    pdf: &mut Pdf,
    sheets: Sheets,
    tree: Ref,
    pages: &[Ref],
    fonts: [Ref; 2],
    numbers: &mut Numbers,
) {
    for (i, (sheet, id)) in sheets.sheets.into_iter().zip(pages).enumerate() {
        let content = numbers.next();
        let mut page = pdf.page(*id);
        page.parent(tree)
            .media_box(Rect::new(0.0, 0.0, PAPER.0, PAPER.1))
            .contents(content)
            .struct_parents(i as i32)
            .tab_order(TabOrder::StructureOrder);
        page.resources().fonts().pair(Name(b"F1"), fonts[0]).pair(Name(b"F2"), fonts[1]);
        page.finish();
        let bytes = squeezed(&sheet.content.finish());
        pdf.stream(content, &bytes).filter(Filter::FlateDecode);
    }
}

const SYSTEM: SystemInfo<'static> =
    SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"Identity"), supplement: 0 };

fn write_font(
    pdf: &mut Pdf,
    face: &Face,
    id: Ref,
    numbers: &mut Numbers,
) -> Result<(), FilesError> {
    let (cid, descriptor, file, unicode) =
        (numbers.next(), numbers.next(), numbers.next(), numbers.next());
    let name = Name(face.name.as_bytes());
    pdf.type0_font(id)
        .base_font(name)
        .encoding_predefined(Name(b"Identity-H"))
        .descendant_font(cid)
        .to_unicode(unicode);
    let mut font = pdf.cid_font(cid);
    font.subtype(CidFontType::Type2)
        .base_font(name)
        .system_info(SYSTEM)
        .font_descriptor(descriptor)
        .default_width(0.0)
        .cid_to_gid_map_predefined(Name(b"Identity"));
    let mut widths = font.widths();
    for (glyph, (_, width)) in &face.glyphs {
        widths.consecutive(*glyph, [*width]);
    }
    widths.finish();
    font.finish();
    let parsed = &face.parsed;
    let scaled = |units: i16| face.per_mille(f32::from(units));
    let area = parsed.global_bounding_box();
    pdf.font_descriptor(descriptor)
        .name(name)
        .flags(FontFlags::NON_SYMBOLIC)
        .bbox(Rect::new(
            scaled(area.x_min),
            scaled(area.y_min),
            scaled(area.x_max),
            scaled(area.y_max),
        ))
        .italic_angle(0.0)
        .ascent(scaled(parsed.ascender()))
        .descent(scaled(parsed.descender()))
        .cap_height(scaled(parsed.capital_height().unwrap_or(1_456)))
        .stem_v(if parsed.is_bold() { 140.0 } else { 90.0 })
        .font_file2(file);
    let part = subsetter::subset(face.bytes, 0, &face.used)
        .map_err(|_| FilesError::option("the document's font cannot be taken apart"))?;
    let length = part.len() as i32;
    let part = squeezed(&part);
    pdf.stream(file, &part).filter(Filter::FlateDecode).pair(Name(b"Length1"), length);
    let mut map = UnicodeCmap::<u16>::new(Name(b"Salus-Identity-UCS"), SYSTEM);
    for (glyph, (c, _)) in &face.glyphs {
        map.pair(*glyph, *c);
    }
    pdf.cmap(unicode, &map.finish());
    Ok(())
}

/// The document's metadata, which say that it is accessible.
fn xmp(page: &Page) -> String {
    let title = super::escape(&page.title);
    format!(
        "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\
         <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\
         <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\
         <rdf:Description rdf:about=\"\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\" \
         xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\" xmlns:pdfuaid=\"http://www.aiim.org/pdfua/ns/id/\">\
         <dc:format>application/pdf</dc:format>\
         <dc:title><rdf:Alt><rdf:li xml:lang=\"x-default\">{title}</rdf:li></rdf:Alt></dc:title>\
         <dc:language><rdf:Bag><rdf:li>en</rdf:li></rdf:Bag></dc:language>\
         <xmp:CreateDate>{}</xmp:CreateDate><pdfuaid:part>1</pdfuaid:part>\
         </rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end=\"r\"?>",
        page.day()
    )
}
