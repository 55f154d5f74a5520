//! What is said of an anonymised table.

use salus_deid::risk::{ClassSizes, Risk};
use salus_deid::{Optimality, Table};
use salus_model::Clock;

use super::recipe::Release;
use super::{AnonymiseArgs, AnonymiseReport, Made};
use crate::adjust;
use crate::certificate::Certificate;
use crate::error::FilesError;
use crate::evidence::Evidence;
use crate::text::{columns, count, notes, pairs, percent};

pub(super) fn without(table: &Table, columns: &[String]) -> Result<Table, FilesError> {
    let names: Vec<&str> = columns.iter().map(String::as_str).collect();
    Ok(table.clone().without_columns(&names)?)
}

/// Columns that leave as they are and look like names or numbers of people.
pub(super) fn likely_identifiers(
    table: &Table,
    quasi: &[String],
    sensitive: &[String],
) -> Vec<String> {
    let named = |name: &str| quasi.iter().chain(sensitive).any(|n| n == name);
    let rows = table.rows();
    table
        .columns()
        .iter()
        .filter(|c| !named(c.name()) && rows >= 20)
        .filter(|c| c.counts().iter().filter(|n| **n > 0).count() * 10 >= rows * 9)
        .map(|c| {
            format!(
                "column '{}' is left as it is and has nearly as many values as there are records: \
                 name it with --identifiers to leave it out, or with --quasi-identifiers",
                c.name()
            )
        })
        .collect()
}

/// What was asked for.
pub(super) struct Asked<'a> {
    pub(super) args: &'a AnonymiseArgs,
    pub(super) names: &'a [String],
    pub(super) words: Vec<String>,
    pub(super) input: &'a Table,
}

/// The smallest published group and the average risk in them.
fn published(release: &Release, names: &[String]) -> Result<(u64, f64), FilesError> {
    let columns: Vec<&str> = names.iter().map(String::as_str).collect();
    let gone: std::collections::BTreeSet<u32> = match release.private {
        // Only what is published is in the table.
        Some(_) => Default::default(),
        None => release.suppressed.iter().copied().collect(),
    };
    let kept = (0..release.table.rows()).filter(|row| !gone.contains(&(*row as u32)));
    let Ok(table) = release.table.select(kept) else { return Ok((0, 0.0)) };
    let sizes = ClassSizes::of_table(&table, &columns)?;
    Ok((sizes.smallest().unwrap_or(0), Risk::of_table(&table, &columns, None)?.average))
}

pub(super) fn report(
    asked: Asked<'_>,
    release: &Release,
    evidence: &Evidence,
    cpu_ms: f64,
    notes: Vec<String>,
) -> Result<AnonymiseReport, FilesError> {
    let (smallest, average) = published(release, asked.names)?;
    let (args, outcome) = (asked.args, release.outcome.as_ref());
    let mut models = asked.words;
    models.extend(release.private.map(|p| {
        format!("({}, {:e})-differential privacy of each record", p.epsilon(), p.delta())
    }));
    Ok(AnonymiseReport {
        records: asked.input.rows() as u64,
        quasi_identifiers: asked.names.to_vec(),
        models,
        loss: release.loss,
        granularity: release.granularity,
        levels: release.levels.as_ref().map(|levels| {
            let levels = levels.iter().map(|l| serde_json::Value::from(*l));
            asked.names.iter().cloned().zip(levels).collect()
        }),
        suppressed: release.suppressed.len() as u64,
        checked: outcome.map_or(0, |o| o.checked),
        combinations: outcome.and_then(|o| o.nodes),
        optimal: outcome.is_some_and(|o| o.optimality == Optimality::Proven),
        cpu_ms,
        smallest_group: smallest,
        average_risk: average,
        score: evidence.score,
        attacks: if args.no_attacks { Vec::new() } else { evidence.attacks.clone() },
        attempts: Vec::new(),
        epsilon_spent: release.private.map(|p| p.epsilon()),
        delta_spent: release.private.map(|p| p.delta()),
        next: None,
        out: args.out.clone(),
        notes,
    })
}

/// How the levels were found.
fn search(report: &AnonymiseReport) -> &'static str {
    match (&report.levels, report.optimal) {
        _ if report.epsilon_spent.is_some() => {
            "differentially private generalisation of sampled records (SafePub)"
        }
        (None, _) => "local recoding",
        (Some(_), true) => "full-domain generalisation, proven optimum",
        (Some(_), false) => "full-domain generalisation, best found in the time given",
    }
}

pub(super) fn certificate<'a>(
    made: &'a Made,
    released: &'a [u8],
    clock: &dyn Clock,
) -> Certificate<'a> {
    let Made { report, evidence, args, .. } = made;
    let mut parameters = vec![
        ("Quasi-identifiers", report.quasi_identifiers.join(", ")),
        (
            "Sensitive columns",
            match args.sensitive.as_slice() {
                [] => "none named".to_owned(),
                named => named.join(", "),
            },
        ),
        ("Method", search(report).to_owned()),
        ("Suppression allowed", percent(args.suppression)),
    ];
    if let Some(wanted) = args.until_score {
        // What failed attempts scored is for the steward.
        parameters.push((
            "Chosen",
            format!(
                "the first of at most {} ways that scores {wanted}; intervals hold over all of \
                 them",
                args.most_attempts
            ),
        ));
    }
    if let (Some(epsilon), Some(delta)) = (report.epsilon_spent, report.delta_spent) {
        parameters.push(("Charged over all attempts", format!("ε = {epsilon:.4}, δ = {delta:e}")));
    }
    let levels = report.levels.as_ref().map(|levels| {
        let row = |(c, l): (&String, &serde_json::Value)| vec![c.clone(), l.to_string()];
        (vec!["Column", "Level of generalisation"], levels.iter().map(row).collect())
    });
    Certificate {
        title: "Anonymised table",
        made: clock.now(),
        file: &args.out,
        released,
        holds: report.models.clone(),
        parameters,
        utility: vec![
            ("Records", count(report.records)),
            ("Suppressed", count(report.suppressed)),
            ("Loss", format!("{:.5} (0 is untouched, 1 is nothing left)", report.loss)),
            ("Granularity", format!("{:.4} (1 is untouched)", report.granularity)),
            ("Smallest group", count(report.smallest_group)),
            ("Average risk of re-identification", percent(report.average_risk)),
        ],
        steps: Vec::new(),
        columns: levels,
        evidence: (!report.attacks.is_empty()).then_some(evidence),
        setting: "The same way of releasing was applied to a random half of the records and \
                  attacked; the other half, who are not in it, is the control group.",
        notes: &report.notes,
    }
}

pub(super) fn text(report: &AnonymiseReport, evidence: &Evidence) -> String {
    let how = match (&report.levels, report.optimal) {
        _ if report.epsilon_spent.is_some() => "differentially private generalisation".to_owned(),
        (None, _) => "local recoding: each group has its own levels".to_owned(),
        (Some(_), true) => "proven optimum".to_owned(),
        (Some(_), false) => "best found in the time; more may be found with --seconds".to_owned(),
    };
    let rows = [
        ("holds", report.models.join(", ")),
        ("records", count(report.records)),
        (
            "suppressed",
            format!(
                "{} ({})",
                count(report.suppressed),
                percent(report.suppressed as f64 / report.records.max(1) as f64)
            ),
        ),
        ("loss", format!("{:.5} ({how})", report.loss)),
        ("granularity", format!("{:.4} (1 is untouched)", report.granularity)),
        ("smallest group", count(report.smallest_group)),
        ("average risk", percent(report.average_risk)),
        (
            "score",
            report
                .score
                .map_or("none: no attack could run".to_owned(), |s| format!("{s:.1} of 100")),
        ),
        ("processor time", format!("{:.0} ms", report.cpu_ms)),
        ("written to", report.out.display().to_string()),
    ];
    let mut said = format!("Anonymised\n{}", pairs(&rows));
    if let Some(levels) = &report.levels {
        let rows: Vec<Vec<String>> =
            levels.iter().map(|(column, level)| vec![column.clone(), level.to_string()]).collect();
        said.push_str(&format!("\n\nLevels\n{}", columns(&["column", "level"], &rows)));
    }
    if !report.attacks.is_empty() {
        said.push_str(&format!(
            "\n\nAttacks, on a random half of the records released in the same way\n{}\n\n{}",
            evidence.text(),
            evidence.words
        ));
    }
    if !report.attempts.is_empty() {
        said.push_str(&format!("\n\nAttempts\n{}", adjust::table(&report.attempts)));
    }
    if let (Some(epsilon), Some(delta)) = (report.epsilon_spent, report.delta_spent) {
        said.push_str(&format!("\n\nCharged: ε = {epsilon:.4} at δ = {delta:e}"));
    }
    said.push_str(&notes(&report.notes));
    said
}
