//! Words and tables for people.
//!
//! An answer is put together without regard to any width. [`laid_out`] fits it to the width of
//! whoever reads it, once, where it is printed.

/// A name in a list: white space around it is no part of it, as in `sex, age`.
pub(crate) fn name(text: &str) -> Result<String, String> {
    Ok(text.trim().to_owned())
}

/// A share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.0005 {
        return "<0.1 %".to_owned();
    }
    format!("{:.1} %", 100.0 * share)
}

/// A count with its thousands apart.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut said = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            said.push(',');
        }
        said.push(digit);
    }
    said
}

/// How many there are of something, in the singular for one.
pub(crate) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A number with five decimals; nothing is less than nothing.
pub(crate) fn decimals(number: f64) -> String {
    let said = format!("{number:.5}");
    if said == "-0.00000" { said.trim_start_matches('-').to_owned() } else { said }
}

/// ε with four decimals, where they say something.
pub(crate) fn epsilon(value: f64) -> String {
    /// Above that, a number is no longer read by its digits.
    const LONG: f64 = 1e15;
    if (value > 0.0 && value < 0.0001) || value > LONG {
        return power(value);
    }
    if value >= 1_000.0 { count(value.ceil() as u64) } else { format!("{value:.4}") }
}

/// A bound of privacy: ε and the δ that it holds at.
pub(crate) fn bound(of: f64, delta: f64) -> String {
    format!("ε = {} at δ = {}", epsilon(of), power(delta))
}

/// A number as a power of ten, without the digits that only its binary form has.
fn power(number: f64) -> String {
    /// The digits of a number that somebody chose.
    const CHOSEN: usize = 8;
    let said = format!("{number:e}");
    if said.len() <= CHOSEN {
        return said;
    }
    // A bound is never told smaller than it is, but for what only its binary form adds.
    let near = format!("{number:.2e}");
    if near.parse::<f64>().is_ok_and(|told| told >= number * (1.0 - 1e-9)) {
        return near;
    }
    let step = 10_f64.powi(number.log10().floor() as i32 - 2);
    format!("{:.2e}", number + step / 2.0)
}

/// What stands before each line of a table or a list.
const INDENT: &str = "  ";
/// What stands between the columns of a table, and between a word and what it is.
const GAP: &str = "  ";

/// A name or a value may hold the end of a line, which would end the row, the pair or the note.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// Rows with aligned columns under a header and a rule.
pub(crate) fn columns(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(|head| one_line(head)).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    let shape: Vec<Shape> =
        header.iter().enumerate().map(|(c, h)| Shape::of(c, h, &rows)).collect();
    table(&header, &rows, &shape).join("\n")
}

/// The same without the columns in which no row has anything.
pub(crate) fn columns_in_use(header: &[&str], rows: &[Vec<String>]) -> String {
    let used: Vec<bool> = (0..header.len())
        .map(|c| rows.iter().any(|row| row.get(c).is_none_or(|cell| !cell.is_empty())))
        .collect();
    let kept: Vec<&str> =
        header.iter().zip(&used).filter(|(_, used)| **used).map(|(head, _)| *head).collect();
    let cells = |row: &Vec<String>| -> Vec<String> {
        row.iter().zip(&used).filter(|(_, used)| **used).map(|(cell, _)| cell.clone()).collect()
    };
    columns(&kept, &rows.iter().map(cells).collect::<Vec<_>>())
}

/// Pairs of a word and what it is, aligned.
pub(crate) fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(word, _)| long(word)).max().unwrap_or(0);
    let line =
        |(word, value): &(&str, String)| format!("{INDENT}{word:<width$}{GAP}{}", one_line(value));
    let lines = rows.iter().map(line);
    lines.collect::<Vec<_>>().join("\n")
}

/// Entries of a list, each on its own line.
pub(crate) fn list(entries: &[String]) -> String {
    let lines = entries.iter().map(|entry| format!("{INDENT}- {}", one_line(entry)));
    lines.collect::<Vec<_>>().join("\n")
}

/// Warnings, each on its own line; nothing when there are none.
pub(crate) fn notes(notes: &[String]) -> String {
    if notes.is_empty() {
        return String::new();
    }
    let lines = notes.iter().map(|note| format!("\n{INDENT}! {}", one_line(note)));
    format!("\n\nTo note{}", lines.collect::<String>())
}

/// The same text with no line longer than `width`, as far as its words allow.
///
/// Long lines are broken between words and go on under the word that they began with: under the
/// text of a note, under what a word is. Of a table that is too wide the headings are broken first,
/// and then the cells of words; numbers stay whole and aligned. Words that are longer than a line,
/// such as paths, stay whole but for those in tables, and so do commands, which are copied. What
/// would steer a terminal is blank.
#[must_use]
pub fn laid_out(text: &str, width: usize) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
    let text: String = text.chars().map(shown).collect();
    let lines: Vec<&str> = text.lines().collect();
    let mut laid = Vec::with_capacity(lines.len());
    let mut rest = lines.as_slice();
    while let Some((first, after)) = rest.split_first() {
        let ruled = after.first().and_then(|line| ruled(line));
        rest = match ruled {
            Some(spans) => {
                let rows = after.iter().take_while(|line| line.starts_with(INDENT)).count();
                let (rows, below) = after.split_at(rows);
                laid.extend(table_within(first, rows, &spans, width));
                below
            }
            None => {
                laid.extend(line_within(first, width));
                after
            }
        };
    }
    laid.join("\n")
}

/// How many characters a text has.
fn long(text: &str) -> usize {
    text.chars().count()
}

/// How many characters the longest word of a text has.
fn longest_word(text: &str) -> usize {
    text.split(' ').map(long).max().unwrap_or(0)
}

/// Whether a cell is a number, a range of numbers, or stands for one that there is not.
fn is_number(cell: &str) -> bool {
    let bare = cell.trim_start_matches(['-', '<']);
    let begins = bare.starts_with(|c: char| c.is_ascii_digit());
    matches!(cell, "–" | "none") || (begins && !cell.contains(char::is_alphabetic))
}

/// How a column of a table is shown.
struct Shape {
    width: usize,
    /// The longest of its cells.
    cells: usize,
    /// The longest word of its heading.
    heading: usize,
    /// As narrow as its words allow.
    least: usize,
    /// Numbers are on the right, and never broken.
    numbers: bool,
}

impl Shape {
    fn of(at: usize, heading: &str, rows: &[Vec<String>]) -> Self {
        /// No column of words is narrower, if it has longer ones.
        const NARROW: usize = 8;
        /// Words that are longer are broken.
        const WIDE: usize = 24;
        let own = || rows.iter().filter_map(move |row| row.get(at)).map(String::as_str);
        let cells = own().map(long).max().unwrap_or(0);
        let width = cells.max(long(heading));
        let word = own().chain([heading]).map(longest_word).max().unwrap_or(0);
        // What goes on below in the first column does so behind more room.
        let hanging = if at == 0 { INDENT.len() } else { 0 };
        Self {
            width,
            cells,
            heading: longest_word(heading),
            least: (word.clamp(NARROW, WIDE) + hanging).min(width),
            numbers: own().all(|cell| cell.is_empty() || is_number(cell)),
        }
    }

    /// How much narrower it is when its heading is broken.
    fn of_heading(&self) -> usize {
        self.width.saturating_sub(self.cells.max(self.heading))
    }

    /// What it can give: first what only its heading takes, then words by the widest column.
    fn gives(&self) -> Option<(bool, usize)> {
        let heading = self.of_heading();
        if heading > 0 {
            return Some((true, heading));
        }
        (!self.numbers && self.width > self.least).then_some((false, self.width))
    }

    fn narrow(&mut self) {
        let less = match self.of_heading() {
            0 => 1,
            heading => heading,
        };
        self.width = self.width.saturating_sub(less);
    }
}

/// A table's lines: the header, its rule, and the rows.
fn table(header: &[String], rows: &[Vec<String>], shape: &[Shape]) -> Vec<String> {
    let rules: Vec<String> = shape.iter().map(|s| "-".repeat(s.width)).collect();
    let mut lines = row_lines(header, shape, "");
    lines.extend(row_lines(&rules, shape, ""));
    lines.extend(rows.iter().flat_map(|row| row_lines(row, shape, INDENT)));
    lines
}

/// A row's lines. Where its first cell is broken, that goes on behind `hanging`, so that nobody
/// takes it for a row.
fn row_lines(cells: &[String], shape: &[Shape], hanging: &str) -> Vec<String> {
    let broken: Vec<Vec<String>> = cells
        .iter()
        .zip(shape)
        .enumerate()
        .map(|(c, (cell, shape))| in_cell(cell, shape.width, if c == 0 { hanging } else { "" }))
        .collect();
    let high = broken.iter().map(Vec::len).max().unwrap_or(1);
    let line = |at: usize| {
        let parts = broken.iter().zip(shape).map(|(lines, shape)| {
            let part = lines.get(at).map_or("", String::as_str);
            let width = shape.width;
            if shape.numbers { format!("{part:>width$}") } else { format!("{part:<width$}") }
        });
        format!("{INDENT}{}", parts.collect::<Vec<_>>().join(GAP)).trim_end().to_owned()
    };
    (0..high).map(line).collect()
}

fn in_cell(cell: &str, width: usize, hanging: &str) -> Vec<String> {
    if long(cell) <= width {
        return vec![cell.to_owned()];
    }
    let within = width.saturating_sub(long(hanging)).max(1);
    let pieces = |word: &String| -> Vec<String> {
        let letters: Vec<char> = word.chars().collect();
        letters.chunks(within).map(|piece| piece.iter().collect()).collect()
    };
    let lines = filled(words(cell).iter().flat_map(pieces), within);
    let line = |(at, line): (usize, String)| match at {
        0 => line,
        _ => format!("{hanging}{line}"),
    };
    lines.into_iter().enumerate().map(line).collect()
}

/// The words of a text, where a number and its percent sign are one.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match words.last_mut() {
            Some(number) if word.starts_with('%') => {
                number.push(' ');
                number.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// Words on as few lines as hold them.
fn filled(words: impl Iterator<Item = String>, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if long(line) + 1 + long(&word) <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// Where the columns of a table begin and how wide they are, if the line is the rule under its
/// header.
fn ruled(line: &str) -> Option<Vec<(usize, usize)>> {
    let mut at = INDENT.len();
    let mut spans = Vec::new();
    for rule in line.strip_prefix(INDENT)?.split(GAP) {
        if rule.is_empty() || rule.chars().any(|c| c != '-') {
            return None;
        }
        spans.push((at, rule.len()));
        at += rule.len() + GAP.len();
    }
    Some(spans)
}

/// A table as it fits; `below` begins with the rule under its header.
fn table_within(
    header: &str,
    below: &[&str],
    spans: &[(usize, usize)],
    width: usize,
) -> Vec<String> {
    let all = std::iter::once(header).chain(below.iter().copied());
    if all.clone().all(|line| long(line) <= width) {
        return all.map(str::to_owned).collect();
    }
    let cells = |line: &str| -> Vec<String> {
        let cell = |&(at, wide): &(usize, usize)| {
            line.chars().skip(at).take(wide).collect::<String>().trim().to_owned()
        };
        spans.iter().map(cell).collect()
    };
    let header = cells(header);
    let rows: Vec<Vec<String>> = below.iter().skip(1).map(|line| cells(line)).collect();
    let mut shape: Vec<Shape> =
        header.iter().enumerate().map(|(c, h)| Shape::of(c, h, &rows)).collect();
    let gaps = INDENT.len() + GAP.len() * shape.len().saturating_sub(1);
    while gaps + shape.iter().map(|s| s.width).sum::<usize>() > width {
        match shape.iter_mut().max_by_key(|s| s.gives()) {
            Some(widest) if widest.gives().is_some() => widest.narrow(),
            _ => break,
        }
    }
    table(&header, &rows, &shape)
}

/// A line as it fits, with what goes on below it under its first word.
fn line_within(line: &str, width: usize) -> Vec<String> {
    let command = line.starts_with(INDENT) && line.trim_start().starts_with("salus ");
    if command || long(line) <= width {
        return vec![line.to_owned()];
    }
    let (start, hanging) = hanging(line, width);
    let kept: String = line.chars().take(start).collect();
    let rest: String = line.chars().skip(start).collect();
    let lines = filled(words(&rest).into_iter(), width.saturating_sub(hanging).max(1));
    let line = |(at, line): (usize, String)| match at {
        0 => format!("{kept}{line}"),
        _ => format!("{}{line}", " ".repeat(hanging)),
    };
    lines.into_iter().enumerate().map(line).collect()
}

/// Where the words of a line begin that may be broken, and where they go on.
fn hanging(line: &str, width: usize) -> (usize, usize) {
    let bare = line.trim_start_matches(' ');
    let lead = line.len() - bare.len();
    let digits = bare.chars().take_while(char::is_ascii_digit).count();
    let numbered = digits > 0 && bare.get(digits..).is_some_and(|rest| rest.starts_with(". "));
    if numbered || bare.starts_with("! ") || bare.starts_with("- ") {
        // Two more for the mark and the blank, or for the point and the blank.
        let at = lead + digits + 2;
        return (at, at);
    }
    // A word, and what it is.
    if let Some((word, what)) = bare.split_once(GAP) {
        let more = what.len() - what.trim_start_matches(' ').len();
        let at = lead + long(word) + GAP.len() + more;
        if 2 * at <= width {
            return (at, at);
        }
    }
    (lead, if lead == 0 { 0 } else { lead + INDENT.len() })
}

#[cfg(test)]
mod tests;
