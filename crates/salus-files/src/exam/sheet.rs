//! Sheets for print.

use salus_model::Timestamp;

use super::Sheet;
use super::cohort::Cohort;
use super::question::Question;
use crate::page::{Block, Page, letter};

/// What is the same on all sheets.
pub(super) struct Print<'a> {
    pub(super) title: &'a str,
    pub(super) cohort: &'a Cohort,
    pub(super) made: Timestamp,
}

impl Print<'_> {
    /// A student's sheet, without answers.
    pub(super) fn questions(&self, sheet: &Sheet) -> Page {
        let mut blocks = vec![Block::Paragraph(self.cohort.origin())];
        for (i, question) in sheet.questions.iter().enumerate() {
            blocks.push(Block::Heading(format!("Question {}", i + 1)));
            blocks.extend(case(question));
            let choices = question.choices.iter().map(|c| c.text.clone()).collect();
            blocks.push(Block::Choices(choices));
        }
        Page {
            title: format!("{}: {}", self.title, sheet.student),
            kind: "Synthetic patients".to_owned(),
            made: self.made,
            blocks,
        }
    }

    /// All answers with their explanations, for the teacher.
    pub(super) fn answers(&self, sheets: &[Sheet]) -> Page {
        let mut blocks = vec![Block::Paragraph(self.cohort.origin())];
        for (n, sheet) in sheets.iter().enumerate() {
            if n > 0 {
                blocks.push(Block::Break);
            }
            blocks.push(Block::Heading(format!("{} ({:03})", sheet.student, sheet.number)));
            let rows = sheet.questions.iter().enumerate().map(|(i, q)| {
                let right = q.choices.get(q.right).map_or("", |c| c.text.as_str());
                vec![
                    (i + 1).to_string(),
                    format!("{}. {right}", letter(q.right)),
                    q.explanation.clone(),
                ]
            });
            let header = ["Question", "Answer", "Explanation"].map(str::to_owned).to_vec();
            blocks.push(Block::Table { header, rows: rows.collect() });
        }
        Page {
            title: format!("{}: answers", self.title),
            kind: "For the teacher".to_owned(),
            made: self.made,
            blocks,
        }
    }
}

/// The case and the question.
fn case(question: &Question) -> Vec<Block> {
    let mut blocks = vec![Block::Paragraph(question.vignette.clone())];
    if let Some((header, rows)) = &question.table {
        blocks.push(Block::Table { header: header.clone(), rows: rows.clone() });
    }
    blocks.push(Block::Paragraph(question.ask.clone()));
    blocks
}
