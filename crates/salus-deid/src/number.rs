//! Numbers and missing values as people's files write them.

/// A finite number; a lone comma counts as the decimal mark, as most of Europe writes it.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    let number = match text.split_once(',') {
        Some((whole, fraction)) => {
            let digits = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
            if !digits || whole.contains('.') {
                return None;
            }
            format!("{whole}.{fraction}").parse::<f64>()
        }
        None => text.parse::<f64>(),
    };
    number.ok().filter(|x| x.is_finite())
}

/// Whether a field says that there is no value: nothing at all, or one of the marks that statistics
/// programs and spreadsheets write.
#[must_use]
pub fn is_missing(text: &str) -> bool {
    const MARKS: [&str; 10] = ["na", "n/a", "#n/a", "nan", "null", "none", "nil", "?", ".", "-"];
    let text = text.trim();
    text.is_empty() || MARKS.iter().any(|mark| text.eq_ignore_ascii_case(mark))
}
