//! What is said of an anonymised table.

use salus_deid::risk::{ClassSizes, Risk};
use salus_deid::utility::{Accuracy, Utility};
use salus_deid::{Column, Optimality, QuasiIdentifiers, Table};
use salus_model::Clock;

use super::recipe::Release;
use super::{AnonymiseArgs, AnonymiseReport, Made};
use crate::adjust;
use crate::certificate::Certificate;
use crate::error::FilesError;
use crate::evidence::Evidence;
use crate::text::{bound, columns, count, notes, pairs, percent};

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
    pub(super) quasi: &'a QuasiIdentifiers,
}

/// The smallest published group and the average risk in them; `person` says whose each record is.
fn published(
    release: &Release,
    names: &[String],
    person: Option<&Column>,
) -> Result<(u64, f64), FilesError> {
    let columns: Vec<&str> = names.iter().map(String::as_str).collect();
    let gone: std::collections::BTreeSet<u32> = match release.private {
        // Only what is published is in the table.
        Some(_) => Default::default(),
        None => release.suppressed.iter().copied().collect(),
    };
    let whole = match person {
        Some(person) => release.table.clone().with_column(person.clone())?,
        None => release.table.clone(),
    };
    let kept = (0..release.table.rows()).filter(|row| !gone.contains(&(*row as u32)));
    let Ok(table) = whole.select(kept) else { return Ok((0, 0.0)) };
    if let Some(person) = person {
        let risk = Risk::of_people(&table, &columns, person.name(), None)?;
        return Ok(((1.0 / risk.highest).round() as u64, risk.average));
    }
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
    let person = asked.args.person.as_deref();
    let whose = person.map(|person| asked.input.column(person)).transpose()?;
    let (smallest, average) = published(release, asked.names, whose)?;
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
        utility: match &release.utility {
            Some(utility) => utility.clone(),
            None => Utility::measure(asked.input, &release.table, asked.quasi)?,
        },
        accuracy: None,
        levels: release.levels.as_ref().map(|levels| {
            let levels = levels.iter().map(|l| serde_json::Value::from(*l));
            asked.names.iter().cloned().zip(levels).collect()
        }),
        suppressed: release.suppressed.len() as u64,
        checked: outcome.map_or(0, |o| o.checked),
        combinations: outcome.and_then(|o| o.nodes),
        optimal: outcome.is_some_and(|o| o.optimality == Optimality::Proven),
        cpu_ms,
        people: person.map(|p| crate::person::people(asked.input, p)).transpose()?,
        smallest_group: smallest,
        average_risk: average,
        score: evidence.score,
        attacks: if args.no_attacks { Vec::new() } else { evidence.attacks.clone() },
        attempts: Vec::new(),
        epsilon_spent: release.private.map(|p| p.epsilon()),
        delta_spent: release.private.map(|p| p.delta()),
        next: None,
        out: args.out.clone(),
        scheme: args.save_scheme.clone(),
        certificate: args.certificate.clone(),
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
    if let Some(people) = report.people {
        parameters.push(("Groups count", format!("people: {} in all", count(people))));
    }
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
        parameters.push(("Charged over all attempts", bound(epsilon, delta)));
    }
    let columns = (by_column(report).0.to_vec(), by_column(report).1);
    Certificate {
        title: "Anonymised table",
        made: clock.now(),
        file: &args.out,
        released,
        holds: report.models.clone(),
        parameters,
        utility: good_for(report),
        steps: Vec::new(),
        columns: Some(columns),
        evidence: (!report.attacks.is_empty()).then_some(evidence),
        setting: "The same way of releasing was applied to a random half of the records and \
                  attacked; the other half, who are not in it, is the control group.",
        notes: &report.notes,
    }
}

/// What the result is still good for, as pairs.
fn good_for(report: &AnonymiseReport) -> Vec<(&'static str, String)> {
    let utility = &report.utility;
    let mut pairs = vec![
        ("Records", count(report.records)),
        ("Suppressed", count(report.suppressed)),
        ("Loss", format!("{:.5} (0 is untouched, 1 is nothing left)", report.loss)),
        ("Granularity", format!("{:.4} (1 is untouched)", report.granularity)),
        ("Entropy lost", percent(utility.entropy_loss)),
        ("Divergence from the input", format!("{:.3} nats at most", utility.divergence)),
        ("Discernibility", format!("{:.5} (1 is one group of all)", utility.discernibility)),
        ("Average group", format!("{:.1}", utility.average_class_size)),
        ("Smallest group", count(report.smallest_group)),
        ("Average risk of re-identification", percent(report.average_risk)),
    ];
    if let Some(accuracy) = &report.accuracy {
        pairs.push(("Target guessed right", guessed(accuracy)));
    }
    pairs
}

fn guessed(accuracy: &Accuracy) -> String {
    format!(
        "{} from the result, {} from the input, {} by the most frequent value",
        percent(accuracy.output),
        percent(accuracy.input),
        percent(accuracy.baseline)
    )
}

/// What is said of each quasi-identifier.
const BY_COLUMN: &str = "Level 0 is untouched. Granularity is 1 where every value is told, 0 where none is. Total \
     variation is how far the values' shares are from those of the input: 0 % is alike.";

/// Each quasi-identifier by itself.
fn by_column(report: &AnonymiseReport) -> ([&'static str; 5], Vec<Vec<String>>) {
    let level = |column: &str| {
        let levels = report.levels.as_ref()?;
        levels.get(column).map(ToString::to_string)
    };
    let rows = report.utility.columns.iter().map(|c| {
        vec![
            c.column.clone(),
            level(&c.column).unwrap_or_else(|| "by group".to_owned()),
            format!("{:.4}", c.granularity),
            percent(c.entropy_loss),
            percent(c.error),
        ]
    });
    (["column", "level", "granularity", "entropy lost", "total variation"], rows.collect())
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
        ("entropy lost", percent(report.utility.entropy_loss)),
        ("average group", format!("{:.1}", report.utility.average_class_size)),
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
    let mut rows = rows.to_vec();
    rows.extend(report.scheme.iter().map(|path| ("scheme", path.display().to_string())));
    rows.extend(report.certificate.iter().map(|path| ("certificate", path.display().to_string())));
    if let Some(accuracy) = &report.accuracy {
        rows.insert(5, ("target guessed right", guessed(accuracy)));
    }
    if let Some(people) = report.people {
        rows.insert(2, ("people", count(people)));
    }
    let mut said = format!("Anonymised\n{}", pairs(&rows));
    let (header, by_column) = by_column(report);
    said.push_str(&format!("\n\nColumns\n{}\n\n{BY_COLUMN}", columns(&header, &by_column)));
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
        said.push_str(&format!("\n\nCharged: {}", bound(epsilon, delta)));
    }
    said.push_str(&notes(&report.notes));
    said
}
