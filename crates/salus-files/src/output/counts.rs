//! What the review of a table of counts comes to, in words that tell no category and no count.

use std::collections::BTreeMap;

use serde_json::json;

use super::{CheckVerdict, OutputCheck, OutputChecks, RARE};
use crate::review::{Compared, Finding, ReviewReport, TableRules, listed};
use crate::text::count;

/// The checks of a table of counts.
pub(super) fn of_counts(report: &ReviewReport, rules: &TableRules) -> OutputChecks {
    let (totals, columns): (Vec<&Finding>, Vec<&Finding>) =
        report.findings.iter().partition(|found| found.kind.of_totals());
    let checks = vec![
        cells(report, rules),
        worked_out(report),
        earlier(report),
        found(("columns", "categories and counts, and nothing else"), &columns),
        found(("totals", "no total is written as a category"), &totals),
        fewest(rules.least),
        OutputCheck::new(
            "dominance",
            CheckVerdict::NotChecked,
            "whether a few people make up most of a number: no sums or largest contributions were \
             given",
        ),
    ];
    OutputChecks { checks, details: details(report), notes: report.notes.clone() }
}

const fn verdict(against: usize) -> CheckVerdict {
    if against == 0 { CheckVerdict::Passes } else { CheckVerdict::Objects }
}

fn cells(report: &ReviewReport, rules: &TableRules) -> OutputCheck {
    let own = report.objections.iter().map(|line| line.objection.kind());
    let against = own.filter(|kind| *kind != EARLIER).count();
    let one = |name: &String| listed(std::slice::from_ref(name));
    let words = format!(
        "{} cells shown, {} held back; people in: {}; totals written: {}; by: {}; fewest people \
         {}; objections: {against}",
        count(report.cells.saturating_sub(report.held_back)),
        count(report.held_back),
        one(&rules.count),
        one(&rules.total),
        listed(&report.by),
        rules.least
    );
    OutputCheck::new("cells", verdict(against), words)
}

fn worked_out(report: &ReviewReport) -> OutputCheck {
    let against = report.inferred.len();
    let words = format!("cells held back that follow from those shown: {against}");
    OutputCheck::new("worked out", verdict(against), words)
}

/// The word for an objection to what a table tells together with an earlier one.
const EARLIER: &str = "earlier-output";

fn earlier(report: &ReviewReport) -> OutputCheck {
    let (all, mut subtracted, mut new) = (report.earlier.len(), 0_usize, 0_u64);
    for compared in &report.earlier {
        if let Compared::Subtracted { new: own, .. } = compared {
            subtracted += 1;
            new += own;
        }
    }
    let found = report.objections.iter().filter(|line| line.objection.kind() == EARLIER).count();
    let verdict = match (found, subtracted) {
        (1.., _) => CheckVerdict::Objects,
        (_, 0) => CheckVerdict::NotChecked,
        _ if subtracted < all || new > 0 => CheckVerdict::Look,
        _ => CheckVerdict::Passes,
    };
    let words = if all == 0 {
        "what it tells together with tables that went out before; none was named".to_owned()
    } else {
        format!(
            "subtracted from {subtracted} of {all} tables that went out before; of other columns \
             or unreadable: {}; cells without a counterpart: {}; differences of too few people: \
             {found}",
            all - subtracted,
            count(new)
        )
    };
    OutputCheck::new("earlier tables", verdict, words)
}

fn found((check, nothing): (&str, &str), findings: &[&Finding]) -> OutputCheck {
    if findings.is_empty() {
        return OutputCheck::new(check, CheckVerdict::Passes, nothing);
    }
    let objects = findings.iter().any(|found| found.verdict == CheckVerdict::Objects);
    let verdict = if objects { CheckVerdict::Objects } else { CheckVerdict::Look };
    let words: Vec<&str> = findings.iter().map(|found| found.words.as_str()).collect();
    OutputCheck::new(check, verdict, words.join("; "))
}

fn fewest(least: u64) -> OutputCheck {
    let (verdict, words) = if least >= RARE {
        (CheckVerdict::Passes, format!("a cell shows {least} people or more"))
    } else {
        let words = format!("a cell may show {least} people, where {RARE} are usual");
        (CheckVerdict::Objects, words)
    };
    OutputCheck::new("fewest people", verdict, words)
}

/// How many objections of each kind, and about which columns; no category, and no count of a cell.
fn details(report: &ReviewReport) -> serde_json::Value {
    let mut objections: BTreeMap<&str, u64> = BTreeMap::new();
    for line in &report.objections {
        *objections.entry(line.objection.kind()).or_default() += 1;
    }
    let short = |names: &[String]| -> Vec<String> {
        names.iter().map(|name| listed(std::slice::from_ref(name))).collect()
    };
    let finding = |found: &Finding| {
        json!({
            "kind": found.kind,
            "verdict": found.verdict,
            "columns": short(&found.columns),
        })
    };
    json!({
        "passes": report.passes,
        "cells": report.cells,
        "held_back": report.held_back,
        "by": short(&report.by),
        "objections": objections,
        "worked_out": report.inferred.len(),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "earlier": report.earlier,
    })
}
