//! What is said of a synthetic table.

use salus_dp::{Cost, epsilon_from_rho};
use salus_model::Clock;
use salus_synth::Method;

use super::linked::found_note;
use super::make::{LEAST_COHORT, Made};
use super::measures::measured;
use super::{SynthesiseArgs, SynthesiseReport, Ways};
use crate::adjust;
use crate::certificate::Certificate;
use crate::error::FilesError;
use crate::evidence::Evidence;
use crate::file::Source;
use crate::text::{bound, columns, count, epsilon, notes, pairs, percent};

/// What public domains mean for ε.
pub(super) const PUBLIC: &str =
    "ε holds on the condition that the given domains and bounds are public knowledge";

pub(super) fn report(
    args: &SynthesiseArgs,
    source: &Source,
    made: &Made,
    spent: Cost,
) -> Result<SynthesiseReport, FilesError> {
    let domains = &made.domains;
    let found = measured(args, source, made)?;
    let mut notes = source.notes.clone();
    if !domains.left_out.is_empty() {
        notes.push(format!(
            "left out, for hardly any value in them is frequent enough to be shown: {}; give their \
             domains with --hierarchies or --bounds if they matter",
            domains.left_out.join(", ")
        ));
    }
    notes.extend(args.notes());
    notes.extend(found_note(domains, &made.looks));
    if let Some(name) = args.target.as_ref().filter(|_| found.target.is_none()) {
        notes
            .push(format!("--target {name}: left out, or the same in all records to be tested on"));
    }
    let near = found.near;
    Ok(SynthesiseReport {
        records: made.table.rows() as u64,
        method: args.method.into(),
        epsilon_spent: epsilon_from_rho(spent.rho, made.at).get(),
        delta: args.delta,
        micro_rho: spent.rho.get(),
        quality: near.quality(),
        similarity: Ways { one: near.one_way, two: near.two_way, three: Some(near.three_way) },
        correlations: found.correlations,
        propensity: found.propensity,
        target: found.target,
        plausibility: found.plausibility,
        fairness: found.fairness,
        cpu_ms: made.cpu_ms,
        left_out: domains.left_out.clone(),
        score: None,
        attacks: Vec::new(),
        attempts: Vec::new(),
        next: None,
        out: args.out.clone(),
        model: args.model.clone(),
        certificate: args.certificate.clone(),
        notes,
        cohort: cohort_note(made.compared.cohort),
    })
}

/// What people call a method.
const fn called(method: Method) -> &'static str {
    match method {
        Method::Aim => "AIM",
        Method::Mst => "MST",
        Method::PrivBayes => "PrivBayes",
        Method::Copula => "Gaussian copula",
    }
}

impl SynthesiseArgs {
    /// What follows from the options alone.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.domains_are_public || self.hierarchies.is_some() || !self.bounds.is_empty() {
            notes.push(PUBLIC.to_owned());
        }
        if self.epsilon > 10.0 {
            notes.push(format!("ε = {} bounds next to nothing; 1 is usual", self.epsilon));
        }
        if self.person.is_none() {
            notes.push(
                "each record counts as a person of its own; say --person if one has several"
                    .to_owned(),
            );
        }
        notes
    }

    /// What everybody may be told of a release that was made with these options.
    ///
    /// # Privacy
    /// Follows from the options alone. The notes of a report are for the steward: some count records
    /// without noise, or tell that there are few.
    pub(crate) fn notes_for_everybody(&self) -> Vec<String> {
        let mut notes = self.notes();
        if self.until_score.is_some() {
            notes.push(format!(
                "the first of at most {} ways that scored enough: which one that is was found out \
                 from the records without noise, and ε does not cover it",
                self.most_attempts
            ));
        }
        notes
    }
}

/// With whom a cohort was compared: for the steward alone.
fn cohort_note(cohort: Option<u64>) -> Option<String> {
    let n = cohort?;
    let real = count(n);
    Some(if n < LEAST_COHORT as u64 {
        format!(
            "{real} real records are as was asked for, too few to compare with: quality is that of \
             the whole model"
        )
    } else {
        format!("quality compares with the {real} real records that are as was asked for")
    })
}

/// What was measured besides, as pairs of a word and what it is.
fn measures(report: &SynthesiseReport) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(c) = &report.correlations {
        rows.push((
            "correlations",
            format!(
                "{:.4} of 1; {} with {} is {:.3}, really {:.3}",
                c.similarity,
                c.worst.columns[0],
                c.worst.columns[1],
                c.worst.synthetic,
                c.worst.real
            ),
        ));
    }
    if let Some(p) = report.propensity {
        let told = format!("AUC {:.4} (0.5 is by chance), pMSE {:.4} (0 is not)", p.auc, p.pmse);
        rows.push(("told from real", told));
    }
    if let Some(t) = &report.target {
        let learnt = format!(
            "{:.4} learnt from synthetic records, {:.4} from real ones",
            t.auc_synthetic, t.auc_real
        );
        rows.push(("AUC of target", learnt));
    }
    if let Some(f) = &report.fairness {
        rows.push((
            "disparate impact",
            format!("{:.4}, before {:.4}", f.disparate_impact, f.disparate_impact_before),
        ));
    }
    rows
}

pub(super) fn certificate<'a>(
    args: &'a SynthesiseArgs,
    report: &'a SynthesiseReport,
    evidence: Option<&'a Evidence>,
    released: &'a [u8],
    clock: &dyn Clock,
) -> Certificate<'a> {
    let domains = if args.domains_are_public {
        "taken from the file, stated to be public"
    } else {
        "public where given, else found with differential privacy"
    };
    Certificate {
        title: "Synthetic table",
        made: clock.now(),
        file: &args.out,
        released,
        holds: vec![format!(
            "({}, {:e})-differential privacy of each person's records",
            epsilon(report.epsilon_spent),
            report.delta
        )],
        parameters: vec![
            ("Method", called(report.method).to_owned()),
            ("Loss as zCDP", format!("{} µρ", count(report.micro_rho))),
            (
                "A person's records",
                match &args.person {
                    Some(column) => {
                        format!("by column {column}, at most {}", args.records_per_person)
                    }
                    None => "one each".to_owned(),
                },
            ),
            ("Values and bounds", domains.to_owned()),
        ],
        utility: vec![
            ("Records", count(report.records)),
            ("Quality", format!("{:.4} (1 is alike in single columns and pairs)", report.quality)),
            ("Alike in single columns", percent(report.similarity.one)),
            ("Alike in pairs", percent(report.similarity.two)),
        ]
        .into_iter()
        .chain(measures(report))
        .collect(),
        steps: Vec::new(),
        columns: None,
        evidence,
        setting: "The same way of releasing was applied to a random half of the people and \
                  attacked; the other half, who are not in it, is the control group.",
        notes: &report.notes,
    }
}

pub(super) fn text(report: &SynthesiseReport, evidence: Option<&Evidence>) -> String {
    let mut rows = vec![
        ("records", count(report.records)),
        ("method", called(report.method).to_owned()),
        (
            "privacy spent",
            format!(
                "{} ({} µρ)",
                bound(report.epsilon_spent, report.delta),
                count(report.micro_rho)
            ),
        ),
        ("quality", format!("{:.4} of 1", report.quality)),
        (
            "alike in",
            format!(
                "single columns {}, pairs {}, triples {}",
                percent(report.similarity.one),
                percent(report.similarity.two),
                report.similarity.three.map_or("not measured".to_owned(), percent)
            ),
        ),
    ];
    rows.extend(measures(report));
    rows.extend(report.score.map(|score| ("score", format!("{score:.1} of 100"))));
    rows.push(("processor time", format!("{:.0} ms", report.cpu_ms)));
    rows.push(("written to", report.out.display().to_string()));
    rows.extend(report.model.iter().map(|path| ("model", path.display().to_string())));
    rows.extend(report.certificate.iter().map(|path| ("certificate", path.display().to_string())));
    let mut said = format!("Synthetic records\n{}", pairs(&rows));
    if !report.plausibility.is_empty() {
        let rules = report.plausibility.iter();
        let rows: Vec<Vec<String>> =
            rules.map(|p| vec![p.what.clone(), percent(p.real), percent(p.synthetic)]).collect();
        let table = columns(&["what no record should show", "real", "synthetic"], &rows);
        said.push_str(&format!("\n\n{table}"));
    }
    if let Some(evidence) = evidence {
        said.push_str(&format!(
            "\n\nAttacks, on a random half of the people released in the same way\n{}\n\n{}",
            evidence.text(),
            evidence.words
        ));
    }
    if !report.attempts.is_empty() {
        said.push_str(&format!("\n\nAttempts\n{}", adjust::table(&report.attempts)));
    }
    said.push_str(&notes(&report.notes));
    said
}
