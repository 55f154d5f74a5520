//! Hierarchies that lie in the codes themselves.

use super::{Hierarchy, HierarchyError};

/// A code system whose prefixes are its groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeSystem {
    /// ICD-10: subcategory, three-character category, letter block and the chapter of WHO's
    /// tabular list.
    Icd10,
    /// ATC: substance, chemical subgroup, pharmacological subgroup, therapeutic subgroup, main
    /// group (7, 5, 4, 3 and 1 characters).
    Atc,
    /// Postcodes: one character less at each level.
    Postcode,
}

impl Hierarchy {
    /// A hierarchy from the prefixes of a code system.
    ///
    /// # Errors
    /// When there is no value or one comes twice.
    ///
    /// # Source
    /// ICD-10 chapters: WHO, ICD-10 version 2019, tabular list. ATC levels: WHO Collaborating
    /// Centre for Drug Statistics Methodology, structure and principles.
    pub fn codes(values: &[String], system: CodeSystem) -> Result<Self, HierarchyError> {
        Self::from_steps(values, steps(values, system))
    }
}

/// What each code becomes at levels 1, 2 and so on.
pub(super) fn steps(values: &[String], system: CodeSystem) -> Vec<Vec<String>> {
    let steps: Vec<Vec<String>> = match system {
        CodeSystem::Icd10 => vec![
            values.iter().map(|v| prefix(&normal(v), 3)).collect(),
            values.iter().map(|v| prefix(&normal(v), 2)).collect(),
            values.iter().map(|v| icd10_chapter(&normal(v))).collect(),
        ],
        CodeSystem::Atc => [5, 4, 3, 1]
            .iter()
            .map(|&n| values.iter().map(|v| prefix(&normal(v), n)).collect())
            .collect(),
        CodeSystem::Postcode => {
            let longest = values.iter().map(|v| v.chars().count()).max().unwrap_or(0);
            (1..longest)
                .map(|cut| values.iter().map(|v| masked(v, longest, cut)).collect())
                .collect()
        }
    };
    nested(steps)
}

/// Three-character categories of ICD-10-CM that end in a letter.
const LETTERED: [&str; 7] = ["C4A", "C7A", "C7B", "D3A", "M1A", "O9A", "Z3A"];

/// Whether a text is written as an ICD-10 code of a chapter: a category, with or without what
/// follows it, dotted or not.
pub(super) fn is_icd10(text: &str) -> bool {
    let code = normal(text.trim_end_matches(['*', '+', '!', '\u{2020}']));
    let bytes = code.as_bytes();
    let category = prefix(&code, 3);
    let digits = matches!(bytes, [letter, tens, ones, ..]
        if letter.is_ascii_uppercase() && tens.is_ascii_digit() && ones.is_ascii_digit());
    (3..=7).contains(&bytes.len())
        && (digits || LETTERED.contains(&category.as_str()))
        && bytes.iter().all(u8::is_ascii_alphanumeric)
        && icd10_chapter(&code) != NO_CHAPTER
}

/// Whether a text is written as an ATC code, of a substance or of a group.
pub(super) fn is_atc(text: &str) -> bool {
    let code = normal(text);
    let bytes = code.as_bytes();
    let shaped = bytes.iter().enumerate().all(|(i, byte)| match i {
        0 => b"ABCDGHJLMNPRSV".contains(byte),
        3 | 4 => byte.is_ascii_uppercase(),
        _ => byte.is_ascii_digit(),
    });
    shaped && matches!(bytes.len(), 1 | 3 | 4 | 5 | 7)
}

/// The system that a column's values are codes of, by how they are written; at least nineteen in
/// twenty have to be. A few letters and digits are postcodes as well: what tells ICD-10 apart is a
/// dot, a fourth character, or the column's name, and what tells ATC apart is its fifth character.
pub(super) fn recognised(column: &str, values: &[String]) -> Option<CodeSystem> {
    let share = |reads: &dyn Fn(&str) -> bool| {
        values.iter().filter(|v| reads(v)).count() as f64 / values.len().max(1) as f64
    };
    if share(&is_atc) >= 0.95 && share(&|v| is_atc(v) && v.trim().len() >= 5) >= 0.5 {
        return Some(CodeSystem::Atc);
    }
    let column = column.to_lowercase();
    let named = ["icd", "diag", "dx", "condition", "cause"].iter().any(|w| column.contains(w));
    let longer = || share(&|v| is_icd10(v) && normal(v).len() > 3) > 0.0;
    (share(&is_icd10) >= 0.95 && (named || longer())).then_some(CodeSystem::Icd10)
}

fn normal(code: &str) -> String {
    code.trim().to_uppercase().replace('.', "")
}

fn prefix(code: &str, length: usize) -> String {
    code.chars().take(length).collect()
}

/// `10115` cut by 2 is `101**`; shorter codes are filled up, so that equal shapes stay equal.
fn masked(code: &str, longest: usize, cut: usize) -> String {
    let kept = longest - cut;
    let mut text: String = code.chars().take(kept).collect();
    text.extend(std::iter::repeat_n('*', longest - text.chars().count()));
    text
}

/// Two-character blocks may straddle a chapter (D4 is neoplasms, D5 is blood; H5 is eye, H6 is
/// ear, but D4 holds D48 and D49): where a step does not nest in the next, the parent's name is
/// put before the label.
fn nested(mut steps: Vec<Vec<String>>) -> Vec<Vec<String>> {
    for lower in (0..steps.len().saturating_sub(1)).rev() {
        let (below, above) = steps.split_at_mut(lower + 1);
        let (Some(below), Some(above)) = (below.last_mut(), above.first()) else { continue };
        let mut parent = hashbrown::HashMap::new();
        let clash =
            below.iter().zip(above.iter()).any(|(b, a)| *parent.entry(b.clone()).or_insert(a) != a);
        if clash {
            for (b, a) in below.iter_mut().zip(above) {
                *b = format!("{a}/{b}");
            }
        }
    }
    steps
}

const ICD10_CHAPTERS: [(&str, &str, &str); 22] = [
    ("A00", "B99", "I"),
    ("C00", "D48", "II"),
    ("D50", "D89", "III"),
    ("E00", "E90", "IV"),
    ("F00", "F99", "V"),
    ("G00", "G99", "VI"),
    ("H00", "H59", "VII"),
    ("H60", "H95", "VIII"),
    ("I00", "I99", "IX"),
    ("J00", "J99", "X"),
    ("K00", "K93", "XI"),
    ("L00", "L99", "XII"),
    ("M00", "M99", "XIII"),
    ("N00", "N99", "XIV"),
    ("O00", "O99", "XV"),
    ("P00", "P96", "XVI"),
    ("Q00", "Q99", "XVII"),
    ("R00", "R99", "XVIII"),
    ("S00", "T98", "XIX"),
    ("V01", "Y98", "XX"),
    ("Z00", "Z99", "XXI"),
    ("U00", "U99", "XXII"),
];

const NO_CHAPTER: &str = "no chapter";

fn icd10_chapter(code: &str) -> String {
    let category = prefix(code, 3);
    ICD10_CHAPTERS
        .iter()
        .find(|(from, to, _)| category.as_str() >= *from && category.as_str() <= *to)
        .map_or_else(|| NO_CHAPTER.to_owned(), |(_, _, chapter)| format!("chapter {chapter}"))
}
