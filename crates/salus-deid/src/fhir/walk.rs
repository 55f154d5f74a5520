//! The walk through a resource.

use chrono::{Datelike as _, NaiveDate};
use serde_json::{Map, Value};

use super::rules::{EXTENSIONS, FEW_PEOPLE, Fate, Identifier, fate, is_instant};
use super::{Deidentifier, FhirError, MOST_DEPTH, Profile, Removed, only_patient};

/// Said of people over 89 in place of a year of birth.
const OVER_89: &str = "urn:salus:age-over-89";

pub(super) struct Walk<'a> {
    by: &'a Deidentifier,
    patient: Option<String>,
    removed: &'a mut Removed,
}

/// The id in a reference: the last part, without a version.
pub(super) fn id_of(reference: &str) -> &str {
    let whole = reference.split("/_history/").next().unwrap_or(reference);
    whole.rsplit(['/', ':']).next().unwrap_or(whole)
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        by: &'a Deidentifier,
        patient: Option<String>,
        removed: &'a mut Removed,
    ) -> Self {
        Self { by, patient, removed }
    }

    /// A resource, also one inside a Bundle or contained in another.
    pub(super) fn resource(
        &mut self,
        object: &Map<String, Value>,
        depth: usize,
    ) -> Result<Map<String, Value>, FhirError> {
        let kind = object.get("resourceType").and_then(Value::as_str);
        let kind = kind.ok_or(FhirError::NoResource)?.to_owned();
        let outer = self.patient.clone();
        if let Some(own) = only_patient(object) {
            self.patient = Some(own);
        }
        let mut clean = self.object(&kind, object, depth)?;
        if let Some(id) = object.get("id").and_then(Value::as_str) {
            self.removed.note(Identifier::ResourceId);
            clean.insert("id".to_owned(), Value::from(self.pseudonym(id)));
        }
        if kind == "Patient" {
            self.birth(object, &mut clean);
        }
        self.patient = outer;
        Ok(clean)
    }

    fn object(
        &mut self,
        resource: &str,
        object: &Map<String, Value>,
        depth: usize,
    ) -> Result<Map<String, Value>, FhirError> {
        if depth > MOST_DEPTH {
            return Err(FhirError::TooDeep);
        }
        let mut clean = Map::new();
        for (key, value) in object {
            if let Some(value) = self.element(resource, key, value, object, depth)? {
                clean.insert(key.clone(), value);
            }
        }
        Ok(clean)
    }

    fn element(
        &mut self,
        resource: &str,
        key: &str,
        value: &Value,
        parent: &Map<String, Value>,
        depth: usize,
    ) -> Result<Option<Value>, FhirError> {
        // Extensions of primitives carry what their primitive does.
        if key == "id" || key.starts_with('_') {
            return Ok(None);
        }
        match fate(resource, key) {
            Fate::Keep if is_plain(value) => return Ok(Some(value.clone())),
            Fate::Remove(kind) => {
                self.removed.note(kind);
                return Ok(None);
            }
            Fate::Keep | Fate::Enter => {}
        }
        let clean = match (key, value) {
            ("resource", Value::Object(inner)) => {
                Some(Value::Object(self.resource(inner, depth + 1)?))
            }
            ("contained", Value::Array(list)) => {
                let inner = list.iter().filter_map(Value::as_object);
                let clean: Result<Vec<Value>, FhirError> =
                    inner.map(|o| Ok(Value::Object(self.resource(o, depth + 1)?))).collect();
                Some(Value::Array(clean?))
            }
            ("extension" | "modifierExtension", Value::Array(list)) => {
                self.extensions(list, depth)?
            }
            ("address" | "valueAddress", value) => self.addresses(value),
            ("meta", Value::Object(meta)) => self.meta(meta),
            ("reference", Value::String(text)) => self.reference(text),
            ("fullUrl", Value::String(text)) => {
                self.removed.note(Identifier::ResourceId);
                Some(Value::from(format!("urn:uuid:{}", self.pseudonym(id_of(text)))))
            }
            ("request", Value::Object(request)) => self.request(request),
            ("onsetAge" | "valueAge" | "abatementAge", Value::Object(age)) => self.age(age),
            ("valueQuantity", Value::Object(quantity)) if is_years(quantity) => self.age(quantity),
            (_, Value::String(text)) => self.text(key, text, parent),
            (_, Value::Object(inner)) => {
                let clean = self.object(resource, inner, depth + 1)?;
                (!clean.is_empty()).then_some(Value::Object(clean))
            }
            (_, Value::Array(list)) => self.list(resource, key, list, parent, depth)?,
            (_, plain) => Some(plain.clone()),
        };
        Ok(clean)
    }

    fn list(
        &mut self,
        resource: &str,
        key: &str,
        list: &[Value],
        parent: &Map<String, Value>,
        depth: usize,
    ) -> Result<Option<Value>, FhirError> {
        let mut clean = Vec::with_capacity(list.len());
        for value in list {
            clean.extend(match value {
                Value::Array(_) => None,
                _ => self.element(resource, key, value, parent, depth + 1)?,
            });
        }
        Ok((!clean.is_empty()).then_some(Value::Array(clean)))
    }

    /// A text stays where its element is listed, is a date, or names a code beside it.
    fn text(&mut self, key: &str, text: &str, parent: &Map<String, Value>) -> Option<Value> {
        if key == "display" {
            // Of a coding it names the code; of a reference it names a person or a place.
            if parent.contains_key("code") {
                return Some(Value::from(text));
            }
            self.removed.note(Identifier::Name);
            return None;
        }
        let code = matches!(key, "type" | "category" | "class");
        if code || key == "version" && parent.contains_key("code") {
            return Some(Value::from(text));
        }
        if let Some(date) = Stamp::read(text) {
            return self.date(key, &date);
        }
        self.removed.note(Identifier::Unlisted);
        None
    }

    fn date(&mut self, key: &str, stamp: &Stamp<'_>) -> Option<Value> {
        if key == "birthDate" {
            // Put back by `birth`, which knows whether the patient is over 89.
            self.removed.note(Identifier::Date);
            return None;
        }
        if matches!(stamp, Stamp::Year(_)) && self.by.profile == Profile::SafeHarbor {
            return Some(Value::from(stamp.year()));
        }
        self.removed.note(Identifier::Date);
        let shifted = match (self.by.profile, &self.by.shift, &self.patient) {
            (Profile::ExpertDetermination, Some(shift), Some(patient)) => {
                stamp.moved(shift.days(patient))
            }
            _ => None,
        };
        // Without a known patient, and of less than a day, only the year is left.
        shifted.or_else(|| (!is_instant(key)).then(|| stamp.year().to_owned())).map(Value::from)
    }

    /// A patient's year of birth, or that it lies more than 89 years back.
    fn birth(&mut self, object: &Map<String, Value>, clean: &mut Map<String, Value>) {
        let born = object.get("birthDate").and_then(Value::as_str).and_then(Stamp::read);
        let Some(born) = born else { return };
        let died = object.get("deceasedDateTime").and_then(Value::as_str).and_then(Stamp::read);
        let last = died.and_then(|d| d.year().parse().ok()).unwrap_or(self.by.today.year());
        let Ok(year) = born.year().parse::<i32>() else { return };
        // A year apart may be a birthday not yet had: whoever may be 90 counts as 90.
        if last - year >= 90 {
            clean.remove("deceasedDateTime");
            let over = serde_json::json!({ "url": OVER_89, "valueBoolean": true });
            match clean.entry("extension").or_insert_with(|| Value::Array(Vec::new())) {
                Value::Array(list) => list.push(over),
                other => *other = Value::Array(vec![over]),
            }
            if object.contains_key("deceasedDateTime") {
                clean.insert("deceasedBoolean".to_owned(), Value::from(true));
            }
            return;
        }
        let date = match (self.by.profile, &self.by.shift, &self.patient) {
            (Profile::ExpertDetermination, Some(shift), Some(patient)) => {
                born.moved(shift.days(patient)).unwrap_or_else(|| born.year().to_owned())
            }
            _ => born.year().to_owned(),
        };
        clean.insert("birthDate".to_owned(), Value::from(date));
    }

    /// An age over 89 is said to be 90.
    fn age(&mut self, age: &Map<String, Value>) -> Option<Value> {
        let mut clean = Map::new();
        for (part, value) in age {
            match part.as_str() {
                "value" => {
                    let over = value.as_f64().is_some_and(|years| years > 89.0);
                    if over {
                        self.removed.note(Identifier::Date);
                    }
                    clean.insert(part.clone(), if over { Value::from(90) } else { value.clone() });
                }
                "unit" | "system" | "code" | "comparator" => {
                    clean.insert(part.clone(), value.clone());
                }
                _ => self.removed.note(Identifier::Unlisted),
            }
        }
        Some(Value::Object(clean))
    }

    /// Of an address: the state, the country, and three digits of the postcode.
    fn addresses(&mut self, value: &Value) -> Option<Value> {
        match value {
            Value::Array(list) => {
                let clean: Vec<Value> = list.iter().filter_map(|a| self.addresses(a)).collect();
                (!clean.is_empty()).then_some(Value::Array(clean))
            }
            Value::Object(address) => {
                self.removed.note(Identifier::Place);
                let mut clean = Map::new();
                for key in ["use", "type", "state", "country"] {
                    if let Some(Value::String(text)) = address.get(key) {
                        clean.insert(key.to_owned(), Value::from(text.as_str()));
                    }
                }
                let code = address.get("postalCode").and_then(Value::as_str).unwrap_or_default();
                if let Some(area) = code.get(..3).filter(|a| a.bytes().all(|b| b.is_ascii_digit()))
                {
                    let area = if FEW_PEOPLE.contains(&area) { "000" } else { area };
                    clean.insert("postalCode".to_owned(), Value::from(area));
                }
                (!clean.is_empty()).then_some(Value::Object(clean))
            }
            _ => None,
        }
    }

    /// Of the metadata: profiles and security labels.
    fn meta(&mut self, meta: &Map<String, Value>) -> Option<Value> {
        let mut clean = Map::new();
        for key in ["profile", "security"] {
            if let Some(value) = meta.get(key) {
                clean.insert(key.to_owned(), value.clone());
            }
        }
        if meta.keys().any(|k| !clean.contains_key(k)) {
            self.removed.note(Identifier::Unlisted);
        }
        (!clean.is_empty()).then_some(Value::Object(clean))
    }

    fn request(&mut self, request: &Map<String, Value>) -> Option<Value> {
        let url = request.get("url").and_then(Value::as_str)?;
        let url = match url.split_once('/') {
            Some((kind, _)) => {
                self.removed.note(Identifier::ResourceId);
                format!("{kind}/{}", self.pseudonym(id_of(url)))
            }
            // A search in a URL may hold an identifier.
            None => url.split('?').next().unwrap_or_default().to_owned(),
        };
        let method = request.get("method").cloned().unwrap_or_default();
        Some(serde_json::json!({ "method": method, "url": url }))
    }

    fn extensions(&mut self, list: &[Value], depth: usize) -> Result<Option<Value>, FhirError> {
        if depth > MOST_DEPTH {
            return Err(FhirError::TooDeep);
        }
        let safe = |e: &&Value| {
            e.get("url").and_then(Value::as_str).is_some_and(|url| EXTENSIONS.contains(&url))
        };
        let clean: Vec<Value> = list.iter().filter(safe).cloned().collect();
        for _ in clean.len()..list.len() {
            self.removed.note(Identifier::Unlisted);
        }
        Ok((!clean.is_empty()).then_some(Value::Array(clean)))
    }

    fn reference(&mut self, text: &str) -> Option<Value> {
        self.removed.note(Identifier::ResourceId);
        if text.contains('?') {
            return None;
        }
        if let Some(local) = text.strip_prefix('#') {
            return Some(Value::from(format!("#{}", self.pseudonym(local))));
        }
        let id = self.pseudonym(id_of(text));
        if text.starts_with("urn:") {
            return Some(Value::from(format!("urn:uuid:{id}")));
        }
        let whole = text.split("/_history/").next().unwrap_or(text);
        let kind = whole.rsplit('/').nth(1)?;
        kind.bytes().all(|b| b.is_ascii_alphabetic()).then(|| Value::from(format!("{kind}/{id}")))
    }

    /// A pseudonym in the shape of a UUID, which every place for an id takes.
    fn pseudonym(&self, id: &str) -> String {
        let hex = self.by.pseudonyms.of(id);
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }
}

/// Years in UCUM.
fn is_years(quantity: &Map<String, Value>) -> bool {
    quantity.get("code").and_then(Value::as_str) == Some("a")
}

/// Strings, numbers, booleans, and lists of them.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().all(|v| !v.is_object() && !v.is_array()),
        Value::Object(_) => false,
        _ => true,
    }
}

/// A FHIR date, dateTime or instant.
enum Stamp<'t> {
    Year(&'t str),
    Month(&'t str),
    Day(NaiveDate, &'t str),
}

impl<'t> Stamp<'t> {
    fn read(text: &'t str) -> Option<Self> {
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let year = text.get(..4).filter(|y| digits(y))?;
        match text.len() {
            4 => Some(Self::Year(year)),
            7 => {
                let month = text.get(5..).filter(|m| digits(m))?;
                (text.get(4..5) == Some("-") && month <= "12").then_some(Self::Month(text))
            }
            _ => {
                let (date, rest) = text.split_at_checked(10)?;
                let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
                (rest.is_empty() || rest.starts_with('T')).then_some(Self::Day(date, text))
            }
        }
    }

    fn year(&self) -> &'t str {
        match self {
            Self::Year(text) | Self::Month(text) | Self::Day(_, text) => {
                text.get(..4).unwrap_or(text)
            }
        }
    }

    /// Some days later; none of less than a day.
    fn moved(&self, days: i64) -> Option<String> {
        let Self::Day(date, text) = self else { return None };
        let step = chrono::Days::new(days.unsigned_abs());
        let date = if days < 0 { date.checked_sub_days(step) } else { date.checked_add_days(step) };
        date.map(|d| format!("{d}{}", text.get(10..).unwrap_or_default()))
    }
}
