//! Words and tables for people.

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

/// Rows with aligned columns under a header and a rule.
pub(crate) fn columns(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let numeric = |c: usize| {
        let looks = |cell: &str| cell.starts_with(|d: char| d.is_ascii_digit() || d == '<');
        rows.iter().filter_map(|row| row.get(c)).all(|cell| cell.is_empty() || looks(cell))
    };
    let right: Vec<bool> = (0..header.len()).map(numeric).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(widths.iter().zip(&right)).map(|(cell, (&w, &right))| {
            if right { format!("{cell:>w$}") } else { format!("{cell:<w$}") }
        });
        format!("  {}", padded.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    let rules: Vec<String> = widths.iter().map(|&w| "-".repeat(w)).collect();
    let mut lines = vec![line(header.to_vec()), line(rules.iter().map(String::as_str).collect())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

/// Pairs of a word and what it is, aligned.
pub(crate) fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(word, _)| word.chars().count()).max().unwrap_or(0);
    let lines = rows.iter().map(|(word, value)| format!("  {word:<width$}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Warnings, each on its own line; nothing when there are none.
pub(crate) fn notes(notes: &[String]) -> String {
    if notes.is_empty() {
        return String::new();
    }
    let lines = notes.iter().map(|note| format!("\n  ! {note}"));
    format!("\n\nTo note{}", lines.collect::<String>())
}
