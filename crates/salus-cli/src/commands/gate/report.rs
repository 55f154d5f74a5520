//! The report of the automatic checks, as a reviewer reads it.

use std::path::Path;

use salus_node::gate::{AttackOutcome, AttackShown, ReviewChecks, shown};
use salus_node::write_private;

use crate::output::{Failure, table};

/// The words of a report; of another program's the JSON.
pub(super) fn text(checks: &serde_json::Value) -> String {
    let Some(checks) = ReviewChecks::of_report(checks) else {
        let json = serde_json::to_string_pretty(checks).unwrap_or_default();
        return format!("The automatic checks:\n{json}");
    };
    // Whoever submits it chose names and reasons: none of them is to pass for a part of this page.
    let about: Vec<(String, String)> =
        checks.about.iter().map(|(word, what)| (shown(word), shown(what))).collect();
    let about: Vec<(&str, &str)> =
        about.iter().map(|(w, what)| (w.as_str(), what.as_str())).collect();
    let mut parts = vec![format!("What wants out\n{}", pairs(&about))];
    if let Some(reason) = &checks.reason {
        parts.push(format!("Why it should go out, says who submits it\n  {}", shown(reason)));
    }
    parts.push(format!("Checks\n{}", of_checks(&checks)));
    if !checks.attacks.is_empty() {
        parts.push(format!(
            "Attacks, on people in the data and on as many who are not\n{}",
            attacks(&checks.attacks)
        ));
    }
    if !checks.notes.is_empty() {
        let notes: Vec<String> =
            checks.notes.iter().map(|note| format!("  - {}", shown(note))).collect();
        parts.push(format!("To note\n{}", notes.join("\n")));
    }
    if let Some(plan) = &checks.plan {
        let lines: Vec<String> = plan.lines().map(shown).collect();
        parts.push(format!("The plan\n{}", indented(&lines.join("\n"))));
    }
    if checks.certificate.is_some() {
        parts.push("The certificate is in the report: --certificate FILE writes it.".to_owned());
    }
    parts.join("\n\n")
}

fn of_checks(checks: &ReviewChecks) -> String {
    let row = |check: &salus_files::output::OutputCheck| {
        vec![shown(&check.check), check.verdict.as_str().to_owned(), shown(&check.words)]
    };
    let rows: Vec<_> = checks.checks.iter().map(row).collect();
    indented(&table(&["check", "verdict", "in words"], &rows))
}

fn attacks(attacks: &[AttackShown]) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let row = |line: &AttackShown| match &line.result {
        AttackOutcome::Ran {
            risk,
            interval: [low, high],
            attempts,
            successes,
            control_successes,
            leak,
        } => {
            vec![
                shown(&line.attack),
                percent(*risk),
                format!("{} to {}", percent(*low), percent(*high)),
                format!("{successes} / {control_successes} of {attempts}"),
                if *leak { "leaks" } else { "" }.to_owned(),
            ]
        }
        AttackOutcome::NotRun { .. } => vec![shown(&line.attack), "·".to_owned()],
    };
    let rows: Vec<_> = attacks.iter().map(row).collect();
    let header = ["attack", "risk", "95 % over all", "hits / on others", ""];
    let mut said = indented(&table(&header, &rows));
    let why = |line: &AttackShown| match &line.result {
        AttackOutcome::NotRun { why } => Some(shown(why)),
        AttackOutcome::Ran { .. } => None,
    };
    let mut reasons: Vec<String> = attacks.iter().filter_map(why).collect();
    reasons.sort();
    reasons.dedup();
    for reason in reasons {
        said.push_str(&format!("\n  · {reason}"));
    }
    said
}

/// Pairs of a word and what it is, aligned.
pub(super) fn pairs(rows: &[(&str, &str)]) -> String {
    let width = rows.iter().map(|(word, _)| word.chars().count()).max().unwrap_or(0);
    let lines = rows.iter().map(|(word, what)| format!("  {word:<width$}  {what}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn indented(text: &str) -> String {
    text.trim().lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Writes the certificate that is in a report.
pub(super) fn write_certificate(checks: &serde_json::Value, path: &Path) -> Result<(), Failure> {
    let page = ReviewChecks::of_report(checks).and_then(|checks| checks.certificate);
    let page = page.ok_or_else(|| {
        Failure::request("there is no certificate in this report: it is about a file")
    })?;
    write_private(path, page.as_bytes())
        .map_err(|e| Failure::unavailable(format!("{}: {e}", path.display())))
}
