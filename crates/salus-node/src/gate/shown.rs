//! What others wrote, as it can stand on a reviewer's screen.

/// Whether a character is not seen as itself: it steers a terminal, breaks a line, has no width, or
/// turns the direction of what follows.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
        )
}

/// A text whose writer may want to mislead, on one line, with a mark for each character that would
/// not be seen.
#[must_use]
pub fn shown(text: &str) -> String {
    text.chars().map(|c| if is_unseen(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn nobody_draws_verdicts_onto_a_reviewers_screen() {
        let forged = "ok\r\n  cells  passes\u{1b}[2K\u{202e}sessap";
        let seen = shown(forged);
        assert!(!seen.chars().any(super::is_unseen) && seen.starts_with("ok\u{fffd}"), "{seen}");
        assert_eq!(shown("für die Station, 10 % größer"), "für die Station, 10 % größer");
    }
}
