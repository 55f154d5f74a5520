//! Which elements may stay, and what the others are.

use serde::Serialize;

/// A kind of identifier, after the eighteen of 45 CFR 164.514(b)(2)(i).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identifier {
    /// (A) Names.
    Name,
    /// (B) Places smaller than a state.
    Place,
    /// (C) Dates but for the year, and ages over 89.
    Date,
    /// (D) to (F) Telephone and fax numbers, e-mail addresses.
    Contact,
    /// (G) to (K) and (R) Numbers of persons, records, plans, accounts and licences.
    Number,
    /// (L) and (M) Vehicles and devices.
    Device,
    /// (N) and (O) Addresses on the Internet.
    Url,
    /// (P) and (Q) Pictures, recordings and attached documents.
    Attachment,
    /// Ids of resources, replaced by pseudonyms.
    ResourceId,
    /// Free text, in which anything may stand.
    Text,
    /// Elements and extensions that nobody listed as safe.
    Unlisted,
}

/// What is done with an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Kept as it is: a code, a unit, a status.
    Keep,
    /// Removed whole.
    Remove(Identifier),
    /// Looked into.
    Enter,
}

/// The fate of an element by its name, whatever it holds.
pub(super) fn fate(resource: &str, key: &str) -> Fate {
    use Identifier::{Attachment, Contact, Device, Name, Number, Place, Text, Url};
    let person =
        matches!(resource, "Patient" | "Practitioner" | "RelatedPerson" | "Person" | "Group");
    match key {
        "resourceType" | "code" | "system" | "unit" | "status" | "intent" | "gender"
        | "priority" | "use" | "mode" | "kind" | "comparator" | "language" | "criticality"
        | "outcome" | "valueCode" | "currency" | "periodUnit" | "dayOfWeek" | "when"
        | "docStatus" | "lifecycleStatus" | "relationship" | "severity" | "lateralityCode" => {
            Fate::Keep
        }
        // Objects and lists of codes share these names with plain codes.
        "type" | "category" | "class" => Fate::Enter,
        "text" | "div" | "note" | "comment" | "comments" | "description" | "patientInstruction"
        | "conclusion" | "instructions" | "title" | "label" | "valueString" | "valueMarkdown" => {
            Fate::Remove(Text)
        }
        "name" | "alias" | "contact" | "authorString" | "mothersMaidenName" => Fate::Remove(Name),
        "telecom" | "endpoint" => Fate::Remove(Contact),
        "photo" | "attachment" | "content" | "presentedForm" | "data" | "signature"
        | "valueAttachment" | "contentAttachment" | "multimedia" => Fate::Remove(Attachment),
        "identifier"
        | "masterIdentifier"
        | "groupIdentifier"
        | "subscriberId"
        | "policyNumber"
        | "accessionIdentifier"
        | "requisition"
        | "dependent"
        | "preAuthRef"
        | "lotNumber"
        | "qualification"
        | "valueIdentifier" => Fate::Remove(Number),
        "udiCarrier" | "distinctIdentifier" | "serialNumber" | "deviceIdentifier" | "udi"
        | "deviceName" | "modelNumber" | "partNumber" => Fate::Remove(Device),
        "position" | "latitude" | "longitude" | "altitude" | "birthPlace" => Fate::Remove(Place),
        "link" if !person => Fate::Remove(Url),
        "fullUrl" | "meta" | "extension" | "modifierExtension" | "address" | "valueAddress" => {
            Fate::Enter
        }
        "source" | "implicitRules" | "valueUri" | "valueUrl" | "instantiatesUri"
        | "location.url" => Fate::Remove(Url),
        _ => Fate::Enter,
    }
}

/// Extensions whose content says nothing about who a person is beyond what Safe Harbor allows.
pub(super) const EXTENSIONS: [&str; 6] = [
    "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race",
    "http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity",
    "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex",
    "http://hl7.org/fhir/us/core/StructureDefinition/us-core-sex",
    "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
    "http://hl7.org/fhir/StructureDefinition/patient-genderIdentity",
];

/// First three digits of postcode areas with at most 20,000 people.
pub(super) const FEW_PEOPLE: [&str; 17] = [
    "036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878",
    "879", "884", "890", "893",
];

/// Types whose value is a moment in full precision: a year alone would not be valid there.
pub(super) fn is_instant(key: &str) -> bool {
    matches!(key, "issued" | "lastUpdated" | "timestamp" | "recorded" | "valueInstant")
}
