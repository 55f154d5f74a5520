//! FHIR resources without what names a person, by profile.
//!
//! What is not known to be safe is removed: a text survives only where its element is on a list
//! (codes, units, statuses), where it is a date that is coarsened or shifted, or a reference that
//! is rewritten. New elements and extensions are therefore removed until somebody lists them.

mod rules;
mod walk;

use chrono::NaiveDate;
use salus_model::{Class, Classified};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::transform::{DateShift, Pseudonyms};

pub use rules::Identifier;

/// Why a resource could not be de-identified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FhirError {
    /// The value is no resource.
    #[error("this is no FHIR resource: an object with a resourceType is needed")]
    NoResource,
    /// Nested too deeply.
    #[error("the resource is nested more than {MOST_DEPTH} levels deep")]
    TooDeep,
    /// Experts decide how far dates move.
    #[error("the expert's profile needs a date shift")]
    NoShift,
}

impl Classified for FhirError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// Elements nested deeper are no FHIR.
const MOST_DEPTH: usize = 100;

/// By which rule of HIPAA's privacy rule a resource is de-identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// The eighteen identifiers are removed: of dates the year is left, of postcodes three digits
    /// where more than 20,000 people live there, and of ages over 89 only that they are.
    SafeHarbor,
    /// As above, but dates are shifted by a number of days of the patient's own and keep their
    /// precision, and so do ages: for an expert's determination that the risk is very small.
    ExpertDetermination,
}

/// What was removed or changed, by kind of identifier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Pairs of a kind of identifier and how often it was met.
    pub by_kind: std::collections::BTreeMap<Identifier, u64>,
}

impl Removed {
    fn note(&mut self, kind: Identifier) {
        *self.by_kind.entry(kind).or_insert(0) += 1;
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        for (kind, count) in &other.by_kind {
            *self.by_kind.entry(*kind).or_insert(0) += count;
        }
    }
}

/// De-identifies resources and Bundles of one project.
///
/// # Privacy
/// Ids become keyed hashes, alike in all resources of the project, so that references still meet;
/// who holds the key can link them. Safe Harbor is a rule about which elements leave, not a bound
/// of risk: diagnoses, years and codes of one person may still be rare together, which
/// [`crate::risk`] and [`crate::attack`] measure on the table that is made of them.
///
/// # Source
/// 45 CFR 164.514(b)(1) and (b)(2); OCR 2012, "Guidance regarding methods for de-identification",
/// for the 17 postcode areas of at most 20,000 people (Census 2000).
#[derive(Debug)]
pub struct Deidentifier {
    profile: Profile,
    pseudonyms: Pseudonyms,
    shift: Option<DateShift>,
    today: NaiveDate,
}

impl Deidentifier {
    /// A de-identifier of a profile; `today` says who is over 89.
    ///
    /// # Errors
    /// When an expert's profile comes without a date shift.
    pub fn new(
        profile: Profile,
        pseudonyms: Pseudonyms,
        shift: Option<DateShift>,
        today: NaiveDate,
    ) -> Result<Self, FhirError> {
        if profile == Profile::ExpertDetermination && shift.is_none() {
            return Err(FhirError::NoShift);
        }
        Ok(Self { profile, pseudonyms, shift, today })
    }

    /// The resource without what names a person, and what was removed.
    ///
    /// # Errors
    /// When it is no resource, or nested too deeply.
    pub fn resource(&self, resource: &Value) -> Result<(Value, Removed), FhirError> {
        let object = resource.as_object().ok_or(FhirError::NoResource)?;
        let mut removed = Removed::default();
        let patient = only_patient(object);
        let mut clean = walk::Walk::new(self, patient, &mut removed).resource(object, 0)?;
        clean.retain(|_, value| !value.is_null());
        Ok((Value::Object(clean), removed))
    }
}

/// The one patient whom a resource or a Bundle is about; none when there are several.
fn only_patient(object: &Map<String, Value>) -> Option<String> {
    let kind = object.get("resourceType").and_then(Value::as_str);
    if kind == Some("Patient") {
        return object.get("id").and_then(Value::as_str).map(str::to_owned);
    }
    if kind == Some("Bundle") {
        let entries = object.get("entry").and_then(Value::as_array)?;
        let resources = entries.iter().filter_map(|e| e.get("resource")?.as_object());
        let mut patients: Vec<String> = resources.filter_map(only_patient).collect();
        patients.sort();
        patients.dedup();
        return match patients.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        };
    }
    ["subject", "patient", "beneficiary", "individual"]
        .iter()
        .find_map(|key| object.get(*key)?.get("reference")?.as_str())
        .filter(|reference| reference.contains("Patient/") || reference.starts_with("urn:uuid:"))
        .map(|reference| walk::id_of(reference).to_owned())
}

#[cfg(test)]
mod tests;
