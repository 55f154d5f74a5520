//! What a plan for a site's dataset asks for, looked at before anything is read or spent.

use std::path::{Component, Path};

use salus_deid::Table;

use super::dataset::Given;
use super::plan::{How, Plan};
use crate::error::FilesError;
use crate::file::Source;
use crate::synthesise::{Stated, SynthesiseArgs};
use crate::unbias::{Mend, UnbiasArgs};

/// The most records that are made in one release: they are in memory whole.
const MOST_RECORDS: u64 = crate::synthesise::MOST_RECORDS as u64;

/// Numbers of records that do not fit into memory; of a node's, where others are cared for beside.
pub(super) fn check_size(plan: &Plan, rows: Option<u32>) -> Result<(), FilesError> {
    let said = [
        ("[synthesise] rows", rows.map(u64::from)),
        ("[augment] to", plan.augment.as_ref().map(|a| u64::from(a.to))),
        ("[volume] least-per-class", plan.volume.as_ref().map(|v| v.least_per_class)),
    ];
    match said.iter().find(|(_, n)| n.is_some_and(|n| n > MOST_RECORDS)) {
        Some((option, _)) => Err(FilesError::option(format!(
            "plan, {option}: a release has at most {MOST_RECORDS} records"
        ))),
        None => Ok(()),
    }
}

/// Files are those beside the plan: whoever hands a plan on decides about no other.
pub(super) fn check_paths(plan: &Plan, folder: &Path) -> Result<(), FilesError> {
    let named = plan.named_files();
    let beside = |path: &Path| {
        let rest = path.strip_prefix(folder).ok();
        rest.is_some_and(|rest| rest.components().all(|c| matches!(c, Component::Normal(_))))
    };
    let certificate = plan.publish.certificate.as_deref();
    if let Some(path) = named.iter().map(AsRef::as_ref).chain(certificate).find(|p| !beside(p)) {
        return Err(FilesError::option(format!(
            "plan: {} is not beside the plan; name files in its folder, without '..'",
            path.display()
        )));
    }
    let page = |path: &Path| {
        let ending = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        matches!(ending.as_deref(), Some("pdf" | "html" | "htm"))
    };
    match certificate.filter(|path| !page(path)) {
        Some(path) => Err(FilesError::option(format!(
            "plan, [publish] certificate: {} ends neither in .pdf nor in .html",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// Whether each column that a plan names after synthesising will be there, and has a place where it
/// goes: what fails later is charged all the same.
pub(super) fn check_columns(
    plan: &Plan,
    args: &SynthesiseArgs,
    unbias: Option<&UnbiasArgs>,
    given: &Given,
) -> Result<(), FilesError> {
    let kept = kept(&given.table, &given.person, args);
    let known = |part: &str, names: &[String]| match names.iter().find(|n| !kept.contains(&&***n)) {
        Some(name) => Err(FilesError::option(format!(
            "plan, {part}: '{name}' is not among the columns that are synthesised: {}",
            kept.join(", ")
        ))),
        None => Ok(()),
    };
    if let Some(volume) = &plan.volume {
        known("[volume] target", std::slice::from_ref(&volume.target))?;
        check_classes(volume.least_per_class, given.stated.get(&volume.target))?;
    }
    if let Some(unbias) = unbias {
        let (outcome, value) = &unbias.favourable;
        known("[unbias] sensitive", &unbias.sensitive)?;
        known("[unbias] favourable", std::slice::from_ref(outcome))?;
        known("[unbias] features", &unbias.features)?;
        known("[unbias] score", unbias.score.as_slice())?;
        if let Some(score) = &unbias.score
            && let Some(Stated::Number(bounds)) = given.stated.get(score)
            && !(bounds.value(bounds.low().into()) >= 0.0
                && bounds.value(bounds.high().into()) <= 1.0)
        {
            return Err(FilesError::option(format!(
                "plan, [unbias] score: the bounds of '{score}' go beyond 0 and 1, and a model's \
                 predicted chances do not"
            )));
        }
        if let Some(Stated::Category(domain)) = given.stated.get(outcome)
            && !domain.values().contains(value)
        {
            return Err(FilesError::option(format!(
                "plan, [unbias] favourable: the domain of '{outcome}' has no value '{value}'"
            )));
        }
    }
    check_fhir(plan, unbias, &kept)
}

/// Whether each column that a plan names for what is publishable will be in it: what fails later
/// has attacked, and with [synthesise] spent, for nothing.
pub(super) fn check_names(
    plan: &Plan,
    how: &How,
    unbias: Option<&UnbiasArgs>,
    source: &Source,
) -> Result<(), FilesError> {
    let (part, option, gone, person) = match how {
        How::Anonymise(args) => ("[anonymise]", "identifiers", &args.identifiers, &args.person),
        How::Synthesise(args) => ("[synthesise]", "without", &args.without, &args.person),
    };
    let check = |place: &'static str, names: &[String]| {
        source.require(place, names)?;
        match names
            .iter()
            .find(|name| gone.contains(name) || person.as_deref() == Some(name.as_str()))
        {
            Some(name) => Err(FilesError::option(format!(
                "{place}: column '{name}' is left out of the release by {part}: take it out of \
                 '{option}' or 'person' there, or name another"
            ))),
            None => Ok(()),
        }
    };
    if let Some(volume) = &plan.volume {
        check("plan, [volume] target", std::slice::from_ref(&volume.target))?;
    }
    let Some(unbias) = unbias else { return Ok(()) };
    check("plan, [unbias] sensitive", &unbias.sensitive)?;
    check("plan, [unbias] favourable", std::slice::from_ref(&unbias.favourable.0))?;
    check("plan, [unbias] features", &unbias.features)?;
    check("plan, [unbias] score", unbias.score.as_slice())?;
    check("plan, [unbias] predicted", unbias.predicted.as_slice())
}

/// The columns that are synthesised.
fn kept<'a>(table: &'a Table, person: &str, args: &SynthesiseArgs) -> Vec<&'a str> {
    let gone = |name: &str| name == person || args.without.iter().any(|w| w == name);
    table.columns().iter().map(salus_deid::Column::name).filter(|name| !gone(name)).collect()
}

/// Rare classes are filled up one by one.
fn check_classes(least: u64, stated: Option<&Stated>) -> Result<(), FilesError> {
    let classes = match stated {
        Some(Stated::Category(domain)) => domain.values().len() as u64,
        _ => 1,
    };
    if least.saturating_mul(classes) <= MOST_RECORDS {
        return Ok(());
    }
    Err(FilesError::option(format!(
        "plan, [volume] least-per-class: {least} for each of {classes} classes are more than the \
         {MOST_RECORDS} records that a release of a site's dataset has at most"
    )))
}

fn check_fhir(plan: &Plan, unbias: Option<&UnbiasArgs>, kept: &[&str]) -> Result<(), FilesError> {
    let Some(resource) = &plan.publish.fhir else { return Ok(()) };
    salus_fhir::rows::RowWriter::new(resource, kept)?;
    let adds = |part: &str| {
        FilesError::option(format!(
            "plan, [publish] fhir: {part} adds a column that has no place in a {resource}; leave \
             one of the two out"
        ))
    };
    if plan.augment.is_some() {
        return Err(adds("[augment]"));
    }
    match unbias.map(|unbias| unbias.method) {
        Some(Mend::Reweigh | Mend::Threshold) => Err(adds("[unbias]")),
        Some(Mend::Repair) | None => Ok(()),
    }
}
