//! One question with its answers.

use salus_crypto::Digest;

use super::draw::Draws;

/// An answer to choose.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    pub(super) text: String,
    /// Why it is right or wrong.
    pub(super) why: String,
}

/// A multiple-choice question with one right answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Question {
    pub(super) kind: &'static str,
    /// The case.
    pub(super) vignette: String,
    /// A table of the case: header and rows.
    pub(super) table: Option<(Vec<String>, Vec<Vec<String>>)>,
    /// The question.
    pub(super) ask: String,
    pub(super) choices: Vec<Choice>,
    pub(super) right: usize,
    pub(super) explanation: String,
}

/// The most answers of a question.
const MOST_CHOICES: usize = 5;

impl Question {
    /// A question from its right answer and wrong ones; those that read like the right one or
    /// another wrong one are dropped. None when fewer than three answers are left.
    #[allow(clippy::too_many_arguments, reason = "each is one part of a question")]
    pub(super) fn new(
        kind: &'static str,
        vignette: String,
        table: Option<(Vec<String>, Vec<Vec<String>>)>,
        ask: String,
        right: Choice,
        wrong: Vec<Choice>,
        explanation: String,
        draws: &mut Draws,
    ) -> Option<Self> {
        let mut all = vec![right];
        for choice in wrong {
            if all.len() < MOST_CHOICES && all.iter().all(|known| known.text != choice.text) {
                all.push(choice);
            }
        }
        if all.len() < 3 {
            return None;
        }
        let order = draws.some(all.len(), all.len());
        let right = order.iter().position(|&i| i == 0)?;
        let choices = order.iter().filter_map(|&i| all.get(i).cloned()).collect();
        Some(Self { kind, vignette, table, ask, choices, right, explanation })
    }

    /// What makes a question the same one: the case, its numbers and what is asked, in whatever
    /// order the answers stand.
    pub(super) fn digest(&self) -> String {
        let mut content = vec![self.kind, &self.vignette, &self.ask];
        for row in self.table.iter().flat_map(|(header, rows)| std::iter::once(header).chain(rows))
        {
            content.push("\u{1e}");
            content.extend(row.iter().map(String::as_str));
        }
        Digest::of(content.join("\u{1f}").as_bytes()).to_string()
    }

    /// A name for files, which tells nothing.
    pub(super) fn identifier(&self) -> String {
        format!("q-{}", self.digest().get(..16).unwrap_or_default())
    }
}
