//! Clinical free text without what names a person.
//!
//! Three readings, each of which marks spans; what any of them marks is replaced by its kind:
//! identifiers known from the record (names, numbers, addresses), found whatever surrounds them;
//! patterns (telephone and social security numbers, e-mail and Internet addresses, dates, record
//! and insurance numbers, streets, postcodes, ages over 89); and names by their surroundings (a
//! title or a cue such as `Patient:` before, a role after; of hospitals, what they are after).
//!
//! Many diseases and signs are called after people: `Parkinson's disease`, `Babinski sign`. A
//! capitalised word that a disease word follows is no person, unless the record knows her by it.
//!
//! # Privacy
//! Rules find what they know: a name without a title that the record does not know, a nickname, a
//! rare story are not found. Text that leaves still needs a reader.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::fhir::Identifier;

/// A span that names somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Bytes of the text.
    pub bytes: Range<usize>,
    /// What it is.
    pub kind: Identifier,
}

/// Finds what names a person in texts of one record.
#[derive(Debug, Clone, Default)]
pub struct Recogniser {
    known: Vec<(String, Identifier)>,
}

/// Words after which a capitalised word is a disease's, a sign's or an instrument's name.
const EPONYM_OF: &str = "disease|syndrome|sign|lymphoma|tumou?r|palsy|dementia|contracture|\
esophagus|oesophagus|fracture|ulcer|cyst|thyroiditis|ataxia|chorea|anemia|anaemia|arthritis|\
nephropathy|encephalopathy|cell|cells|body|bodies|score|scale|criteria|class|classification|test|\
reflex|phenomenon|node|nodes|murmur|catheter|maneuver|manoeuvre|procedure|operation|position|\
stage|grade|law|triad|reaction|sarcoma|carcinoma|paralysis|deformity|hernia|gland|artery|canal|\
duct|lesion|spot|spots|nodule|nodules|type|variant|phase|line|lines|coma|stain|agar|solution|unit";

struct Patterns {
    shaped: Vec<(Regex, Identifier)>,
    titled: Regex,
    cued: Regex,
    /// Family name first.
    inverted: Regex,
    /// A postcode of five digits and a town, which a unit would look like.
    town: Regex,
    /// A German street and a house number, which a room or a way in the body would look like.
    street: Regex,
    hospital: Regex,
    /// A nurse, or who wrote or saw, by an initial and a name.
    initialled: Regex,
    roled: Regex,
    eponym_after: Regex,
}

static PATTERNS: LazyLock<Option<Patterns>> = LazyLock::new(|| {
    let one = r"\p{Lu}[\p{L}\p{M}'’\-]+";
    // A particle is a word of its own with a name after it: `di` begins many other words.
    let particle = r"(?:van|von|de|del|di|da|la|le|el|al|bin|der|den|ter|dos|du)[ \t]+(?:(?:der|den|la)[ \t]+)?";
    let name = format!(r"{one}(?:[ \t]+(?:\p{{Lu}}\.|(?:{particle})?{one})){{0,3}}");
    let shaped = [
        (r"(?i)\b[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)+\b", Identifier::Contact),
        (r#"(?i)\b(?:https?|ftp)://[^\s<>"]+|\bwww\.[^\s<>"]+"#, Identifier::Url),
        (r"\b(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}\b", Identifier::Url),
        (r"\b\d{3}-\d{2}-\d{4}\b", Identifier::Number),
        (
            r"(?:\+\d{1,3}[ .\-]?)?(?:\(\d{2,4}\)[ .\-]?|\b\d{2,4}[ .\-])\d{3,4}[ .\-]\d{3,5}\b",
            Identifier::Contact,
        ),
        (r"\+\d{2}[ .\-]?\d{1,4}(?:[ .\-]?\d{2,4}){2,4}\b", Identifier::Contact),
        // A dialling code with its 0 and the number in one piece, as in 030-1234567.
        (r"\b0\d{1,4}[ /\-]\d{5,8}\b", Identifier::Contact),
        (
            r"(?i)\b(?:MRN|medical record(?: number)?|record no\.?|account(?: number)?|acct|chart|policy|member id|license|licence|SSN|NHS(?: number)?|patient id|case)\b[ \t]*(?:no\.?|number|#)?[ \t]*[:#]?[ \t]*([A-Z]{0,4}[\- ]?\d[\d\-]{3,})",
            Identifier::Number,
        ),
        // Numbers of insurance: these words come with other numbers too, and so one must be said.
        (
            r"(?i)\b(?:(?:health[ \t]+)?insurance|insured|policy|member(?:ship)?|subscriber|beneficiary|versicherten|versicherungs?|krankenversicherungs?|krankenkassen|policen|mitglieds|kv)[ \t\-]*(?:id[ \t]*)?(?:no\b\.?|nr\b\.?|number\b|nummer\b|id\b|#)[ \t]*[:#]?[ \t]*([A-Z]{0,4}[\- ]?(?:\d{1,4}(?:[ ]\d{2,6}){2,4}|\d{3,6}[ ]\d{3,8}\b|\d[\dA-Z\-]{3,}))",
            Identifier::Number,
        ),
        (r"\b\d{4}-\d{2}-\d{2}(?:T[\d:.+\-Z]*)?", Identifier::Date),
        (r"\b\d{1,2}[/.\-]\d{1,2}[/.\-](?:\d{4}|\d{2})\b", Identifier::Date),
        (
            r"(?i)\b\d{1,2}(?:st|nd|rd|th)?\.?[ \t]+(?:of[ \t]+)?(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?(?:,?[ \t]+\d{4}\b)?",
            Identifier::Date,
        ),
        (
            r"(?i)\b(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?[ \t]+\d{1,2}(?:st|nd|rd|th)?\b(?:,?[ \t]+\d{4}\b)?",
            Identifier::Date,
        ),
        (r"\bMay[ \t]+\d{1,2}(?:st|nd|rd|th)?\b(?:,?[ \t]+\d{4}\b)?", Identifier::Date),
        (r"(?i)\b(?:9\d|1[0-2]\d)[ \-]?(?:years?|yrs?|y/?o)\b(?:[ \-]old)?", Identifier::Date),
        (r"(?i)\b(?:age|aged|alter)[ \t]*:?[ \t]*((?:9\d|1[0-2]\d))\b", Identifier::Date),
        // British postcodes; their last two letters are none of C, I, K, M, O and V, and so no unit.
        (r"\b[A-PR-UWYZ][A-HK-Y]?\d[A-HJKPSTUW\d]?[ \t]\d[ABD-HJLNP-UW-Z]{2}\b", Identifier::Place),
        (
            r"\b\d{1,5}[ \t]+(?:[\p{Lu}][\p{L}]+[ \t]+){1,3}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Place|Pl|Square|Sq|Terrace|Highway|Hwy)\b\.?",
            Identifier::Place,
        ),
        (r"\b[A-Z]{2}[ \t]+\d{5}(?:-\d{4})?\b", Identifier::Place),
    ];
    let shaped = shaped
        .into_iter()
        .map(|(pattern, kind)| Some((Regex::new(pattern).ok()?, kind)))
        .collect::<Option<Vec<_>>>()?;
    Some(Patterns {
        shaped,
        titled: Regex::new(&format!(
            r"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Doctor|Nurse|Sister|Sr|Herr|Frau|Mme|Sig)\b\.?(?:[ \t]*\b(?:Dr|Prof|med)\b\.?)*[ \t]+((?:\p{{Lu}}\.[ \t\-]*){{0,3}}{name})"
        ))
        .ok()?,
        initialled: Regex::new(&format!(
            r"\b(?i:(?:sister|schwester|pfleger(?:in)?)\b|(?:nurse|matron|midwife|krankenschwester|stationsschwester|krankenpfleger(?:in)?|hebamme|arzt|ärztin|signed(?: by)?|dictated by|seen by|attending|referring(?: physician)?|physician|provider)\b[ \t]*[:,]?)[ \t]+((?:\p{{Lu}}\.[ \t\-]*){{1,3}}{name})"
        ))
        .ok()?,
        cued: Regex::new(&format!(
            r"(?:\b(?i:patient(?: name)?|pt|name|signed(?: by)?|dictated by|seen by|attending|referring(?: physician)?|physician|provider|contact|next of kin|daughter|son|wife|husband|mother|father|brother|sister|spouse|partner|caregiver|cc)\b[ \t]*[:,\-]?|\b(?i:is|was|named|called)[ \t]+a?[ \t]*named)[ \t]+({name})"
        ))
        .ok()?,
        inverted: Regex::new(&format!(
            r"(?m)(?:\b(?i:patient(?: name)?|pt|name|re)[ \t]*[:\-][ \t]*|\A[ \t]*)({one},[ \t]+{name})[ \t]*(?:[,;(.]|$)|^[ \t]*({one},[ \t]+{name})[ \t,;(]+(?i:dob|born|geb|mrn|\*|[mf]\b|\d)"
        ))
        .ok()?,
        town: Regex::new(r"\b\d{5}[ \t]+(\p{Lu}\p{Ll}{2,}(?:[ \-]\p{Lu}\p{Ll}+)?)").ok()?,
        street: Regex::new(
            r"\b(\p{Lu}[\p{L}\-]*(?:straße|strasse|weg|platz|allee|gasse|str\.)|\p{Lu}[\p{L}\-]+[ \t]+(?:Straße|Strasse|Str\.|Allee|Gasse)|(?:\p{Lu}\p{L}+-)+(?:Straße|Strasse|Str\.|Allee|Gasse|Weg|Platz))[ \t]*\d{1,4}(?:[\-–/]\d{1,4})?(?:[ \t]?[a-h]\b)?",
        )
        .ok()?,
        hospital: Regex::new(&format!(
            r"\b(?:(?:St|Ste|Sankt|Mt)\b\.?[ \t\-]*)?(?:{one}(?:[ \t]+|-)){{1,4}}(?:Hospital|Clinic|Infirmary|Hospice|Medical[ \t]+Cent(?:er|re)|Klinik|Klinikum|Krankenhaus|Spital)\b"
        ))
        .ok()?,
        roled: Regex::new(&format!(
            r"({name}),?[ \t]+(?:MD|M\.D\.|DO|RN|NP|PA-C|PhD|FACP|MBBS|LPN)\b"
        ))
        .ok()?,
        eponym_after: Regex::new(&format!(
            r"^(?:['’]s?)?(?:[ \t]+|-)(?:\p{{Lu}}[\p{{L}}'’\-]*[ \t]+){{0,2}}?(?i:{EPONYM_OF})\b"
        ))
        .ok()?,
    })
});

/// Words that begin a sentence or a heading and are no names.
const NO_NAMES: [&str; 40] = [
    "The",
    "This",
    "He",
    "She",
    "They",
    "It",
    "Patient",
    "History",
    "Has",
    "Had",
    "Is",
    "Was",
    "Denies",
    "Reports",
    "States",
    "With",
    "No",
    "Not",
    "Yes",
    "Assessment",
    "Plan",
    "Allergies",
    "Medications",
    "Presents",
    "Admitted",
    "Discharged",
    "Seen",
    "On",
    "In",
    "At",
    "For",
    "And",
    "Name",
    "Date",
    "Physician",
    "Provider",
    "Exam",
    "Diagnosis",
    "Stable",
    "Unknown",
];

/// What five digits may count, in place of being a postcode.
const COUNTED: [&str; 13] = [
    "Unit",
    "Einheit",
    "Patient",
    "Step",
    "Copies",
    "Platelet",
    "Leuk",
    "Cell",
    "Record",
    "Case",
    "Thrombo",
    "Visit",
    "Participant",
];

/// What ends like a street's name, with a number after it, and is no street.
const NO_STREETS: [&str; 32] = [
    "Arbeitsplatz",
    "Atemweg",
    "Ausbildungsplatz",
    "Ausweg",
    "Beatmungsplatz",
    "Behandlungsplatz",
    "Behandlungsweg",
    "Bettenplatz",
    "Bettplatz",
    "Dialyseplatz",
    "Gallenweg",
    "Harnweg",
    "Impfstrasse",
    "Impfstraße",
    "Infektionsweg",
    "Intensivplatz",
    "Liegeplatz",
    "Luftweg",
    "Parkplatz",
    "Pflegeplatz",
    "Rettungsweg",
    "Signalweg",
    "Sitzplatz",
    "Stehplatz",
    "Stellplatz",
    "Stoffwechselweg",
    "Studienplatz",
    "Teststrasse",
    "Teststraße",
    "Therapieplatz",
    "Transportweg",
    "Zugangsweg",
];

/// Words before `Hospital` or `Clinic` that say of what kind it is, and not which.
const KINDS: [&str; 95] = [
    "Academic",
    "Acute",
    "Admitting",
    "After",
    "An",
    "Another",
    "Any",
    "Asthma",
    "Baby",
    "Behandelnde",
    "Behandelnden",
    "Brain",
    "Breast",
    "Brief",
    "Cancer",
    "Care",
    "Chest",
    "Child",
    "Children",
    "City",
    "Community",
    "County",
    "Current",
    "Day",
    "Dem",
    "Den",
    "Dental",
    "Disease",
    "Der",
    "Diabetes",
    "Die",
    "District",
    "Each",
    "Every",
    "Eye",
    "Failure",
    "Family",
    "Female",
    "Field",
    "Follow",
    "Foot",
    "Former",
    "Fracture",
    "From",
    "General",
    "Hand",
    "Headache",
    "Health",
    "Heart",
    "Her",
    "His",
    "Home",
    "Immediate",
    "Internal",
    "Kidney",
    "Last",
    "Local",
    "Long",
    "Lung",
    "Medicine",
    "Memory",
    "Mental",
    "Multiple",
    "Night",
    "Other",
    "Our",
    "Outpatient",
    "Outside",
    "Pain",
    "Primary",
    "Prior",
    "Private",
    "Public",
    "Referring",
    "Regional",
    "Reha",
    "Rehabilitation",
    "Same",
    "Skin",
    "Sleep",
    "Stroke",
    "Syndrome",
    "Teaching",
    "Term",
    "To",
    "University",
    "Unsere",
    "Urgent",
    "Walk",
    "Women",
    "Wound",
    "Your",
    "in",
    "term",
    "up",
];

/// Diseases that have clinics under a person's name.
const EPONYMS: [&str; 6] = ["Parkinson", "Alzheimer", "Huntington", "Crohn", "Marfan", "Tourette"];

/// How other such words end.
const KINDS_END: [&str; 14] = [
    "ology", "ologie", "iatry", "iatrie", "iatrics", "ics", "ical", "ische", "ischen", "ende",
    "enden", "osis", "itis", "therapy",
];

impl Recogniser {
    /// One that knows nothing of the record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that also knows identifiers of the record: a whole one is found, and each word of a
    /// name of at least three letters.
    #[must_use]
    pub fn knowing<S: AsRef<str>>(identifiers: impl IntoIterator<Item = (S, Identifier)>) -> Self {
        let mut known: Vec<(String, Identifier)> = Vec::new();
        for (text, kind) in identifiers {
            let text = text.as_ref().trim();
            let mut add = |word: &str| {
                if word.chars().count() >= 3 {
                    known.push((word.to_lowercase(), kind));
                }
            };
            add(text);
            if kind == Identifier::Name {
                text.split([' ', ',', '\t']).for_each(add);
            }
        }
        known.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        known.dedup();
        Self { known }
    }

    /// What names a person in a text, in order and apart.
    #[must_use]
    pub fn spans(&self, text: &str) -> Vec<Span> {
        let mut found = self.known_spans(text);
        if let Some(patterns) = PATTERNS.as_ref() {
            for (pattern, kind) in &patterns.shaped {
                found.extend(pattern.captures_iter(text).filter_map(|c| {
                    let whole = c.get(1).or_else(|| c.get(0))?;
                    Some(Span { bytes: whole.range(), kind: *kind })
                }));
            }
            found.extend(patterns.town.captures_iter(text).filter_map(|c| {
                let (whole, town) = (c.get(0)?, c.get(1)?);
                let measured = COUNTED.iter().any(|word| town.as_str().starts_with(word));
                (!measured).then(|| Span { bytes: whole.range(), kind: Identifier::Place })
            }));
            found.extend(patterns.street.captures_iter(text).filter_map(|c| {
                let (whole, street) = (c.get(0)?, c.get(1)?);
                let other = NO_STREETS.contains(&street.as_str());
                (!other).then(|| Span { bytes: whole.range(), kind: Identifier::Place })
            }));
            let hospitals = patterns.hospital.find_iter(text);
            found.extend(hospitals.filter_map(|m| patterns.hospital_of(text, m.range())));
            for pattern in [
                &patterns.titled,
                &patterns.initialled,
                &patterns.cued,
                &patterns.inverted,
                &patterns.roled,
            ] {
                let names = pattern.captures_iter(text).filter_map(|c| c.get(1).or(c.get(2)));
                found.extend(names.filter_map(|m| patterns.person(text, m.range())));
            }
        }
        apart(found)
    }

    /// The text with every span replaced by its kind in brackets.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        let mut at = 0;
        for span in self.spans(text) {
            clean.push_str(text.get(at..span.bytes.start).unwrap_or_default());
            clean.push_str(word(span.kind));
            at = span.bytes.end;
        }
        clean.push_str(text.get(at..).unwrap_or_default());
        clean
    }

    /// Known identifiers where no letter or digit goes on before or after them.
    fn known_spans(&self, text: &str) -> Vec<Span> {
        // Lower case may change lengths: positions are kept for each character.
        let mut lower = String::with_capacity(text.len());
        let mut origin = Vec::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            for l in c.to_lowercase() {
                for _ in 0..l.len_utf8() {
                    origin.push((at, at + c.len_utf8()));
                }
                lower.push(l);
            }
        }
        let bounded = |start: usize, end: usize| {
            let before = lower.get(..start).and_then(|t| t.chars().next_back());
            let after = lower.get(end..).and_then(|t| t.chars().next());
            !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
        };
        let mut found = Vec::new();
        for (known, kind) in &self.known {
            for (start, matched) in lower.match_indices(known.as_str()) {
                let end = start + matched.len();
                if bounded(start, end)
                    && let (Some(first), Some(last)) = (origin.get(start), origin.get(end - 1))
                {
                    found.push(Span { bytes: first.0..last.1, kind: *kind });
                }
            }
        }
        found
    }
}

impl Patterns {
    /// A hospital from the first word on that says which it is; none where all say of what kind.
    fn hospital_of(&self, text: &str, mut bytes: Range<usize>) -> Option<Span> {
        for word in text.get(bytes.clone())?.split_inclusive([' ', '\t', '-']) {
            let bare = word.trim_end_matches([' ', '\t', '-']);
            let rest = text.get(bytes.start + bare.len()..bytes.end)?;
            if !(is_kind(bare) || self.eponym_after.is_match(rest)) {
                break;
            }
            bytes.start += word.len();
        }
        (!bytes.is_empty()).then_some(Span { bytes, kind: Identifier::Place })
    }

    /// A name span without what is no part of a person's name; none where nothing is left.
    fn person(&self, text: &str, mut bytes: Range<usize>) -> Option<Span> {
        // Drop leading words that are no names, and what belongs to a disease.
        loop {
            let name = text.get(bytes.clone())?;
            let first = name.split_whitespace().next()?;
            let bare = first.trim_end_matches(|c: char| !c.is_alphabetic());
            if !NO_NAMES.contains(&bare) {
                break;
            }
            let next = bytes.start + first.len();
            let rest = text.get(next..bytes.end)?;
            bytes.start = next + (rest.len() - rest.trim_start().len());
            if bytes.is_empty() {
                return None;
            }
        }
        let name = text.get(bytes.clone())?;
        let mut end = bytes.start;
        for word in name.split_inclusive(char::is_whitespace) {
            let upto = end + word.trim_end().len();
            let rest = text.get(upto.min(text.len())..).unwrap_or_default();
            let possessive = word.trim_end().trim_end_matches(['\'', '’', 's']);
            let after = text.get(end + possessive.len()..).unwrap_or(rest);
            if self.eponym_after.is_match(rest) || self.eponym_after.is_match(after) {
                break;
            }
            if NO_NAMES.contains(&word.trim()) && end > bytes.start {
                break;
            }
            end += word.len();
        }
        let kept = text.get(bytes.start..end)?.trim_end();
        let bytes = bytes.start..bytes.start + kept.len();
        (!bytes.is_empty()).then_some(Span { bytes, kind: Identifier::Name })
    }
}

/// Whether a word before `Hospital`, or that itself, says of what kind it is, and not which.
fn is_kind(word: &str) -> bool {
    const HOSPITALS: [&str; 11] = [
        "Hospital",
        "Clinic",
        "Infirmary",
        "Hospice",
        "Medical",
        "Center",
        "Centre",
        "Klinik",
        "Klinikum",
        "Krankenhaus",
        "Spital",
    ];
    let bare = word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")).unwrap_or(word);
    let is = |list: &[&str]| list.contains(&bare);
    // An abbreviation is of a department.
    let short = bare.chars().count() <= 4 && bare.chars().all(char::is_uppercase);
    short
        || is(&HOSPITALS)
        || is(&KINDS)
        || is(&NO_NAMES)
        || EPONYMS.contains(&bare)
        || KINDS_END.iter().any(|end| {
            // Participles are long; Menden and Wenden are towns.
            bare.ends_with(*end) && !(end.starts_with("end") && bare.chars().count() < 9)
        })
}

/// Spans in order; of two that overlap, one that covers both.
fn apart(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by(|a, b| {
        a.bytes.start.cmp(&b.bytes.start).then_with(|| b.bytes.end.cmp(&a.bytes.end))
    });
    let mut kept: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match kept.last_mut() {
            Some(last) if span.bytes.start < last.bytes.end => {
                last.bytes.end = last.bytes.end.max(span.bytes.end);
            }
            _ => kept.push(span),
        }
    }
    kept
}

/// What is written in place of a span.
const fn word(kind: Identifier) -> &'static str {
    match kind {
        Identifier::Name => "[name]",
        Identifier::Place => "[place]",
        Identifier::Date => "[date]",
        Identifier::Contact => "[contact]",
        Identifier::Number | Identifier::ResourceId => "[number]",
        Identifier::Device => "[device]",
        Identifier::Url => "[address]",
        Identifier::Attachment | Identifier::Text | Identifier::Unlisted => "[removed]",
    }
}

#[cfg(test)]
mod tests;
