use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use rust_decimal::Decimal;
use serde_json::Value as Json;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::definitions::{Primitive, SearchParameter, SearchType, definitions};
use crate::fhirpath::{
    Collection, EvaluationError, Expression, Item, Scalar, decimal, split_reference,
};
use crate::temporal::Temporal;

/// One value that a resource is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexValue {
    /// A code, identifier, flag or contact.
    Token {
        /// The code system, identifier system or, for a contact, its use.
        system: Option<String>,
        /// The code or value.
        code: Option<String>,
        /// Text for people, for `:text`.
        text: Option<String>,
    },
    /// A link to a resource.
    Reference {
        /// Type and id, for a link to a resource of R4.
        target: Option<(&'static str, String)>,
        /// The link as written.
        text: Option<String>,
        /// System and value of a logical reference.
        identifier: Option<(Option<String>, Option<String>)>,
    },
    /// A span of time, in microseconds since the Unix epoch.
    Date {
        /// Its first moment; the least number when it has no beginning.
        start: i64,
        /// The first moment after it; the largest number when it has no end.
        end: i64,
    },
    /// An amount, or a range of them.
    Quantity {
        /// The least; none when it has no lower end.
        low: Option<Decimal>,
        /// The largest; none when it has no upper end.
        high: Option<Decimal>,
        /// The unit's system.
        system: Option<String>,
        /// The unit's code.
        code: Option<String>,
        /// The unit as people write it.
        unit: Option<String>,
    },
    /// A plain number.
    Number(Decimal),
    /// A text.
    String {
        /// As written.
        text: String,
        /// Without case and accents.
        folded: String,
    },
    /// A URI.
    Uri(String),
}

/// Every value that a resource is found by, by parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceIndex {
    /// The resource type.
    pub resource_type: &'static str,
    /// The resource's id.
    pub id: String,
    /// Values by parameter; a parameter without values is absent.
    values: Box<[ParameterValues]>,
}

/// A parameter's name and its values.
type ParameterValues = (&'static str, Arc<[IndexValue]>);

/// Lists of values that many resources have in common, such as a patient or a code, kept once.
#[derive(Debug, Default)]
pub struct SharedValues(HashSet<Arc<[IndexValue]>>);

impl ResourceIndex {
    /// The values of one parameter.
    #[must_use]
    pub fn of(&self, parameter: &str) -> &[IndexValue] {
        let found = self.values.iter().find(|(name, _)| *name == parameter);
        found.map_or(&[], |(_, values)| values)
    }

    /// Every parameter that has values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[IndexValue])> {
        self.values.iter().map(|(parameter, values)| (*parameter, &**values))
    }

    /// The same, with lists of values that others have too shared with them.
    ///
    /// # Cost
    /// Whoever keeps many indexes keeps one [`SharedValues`] beside them; of an Observation most
    /// lists are shared, and its own are those of its id, dates and amounts.
    #[must_use]
    pub fn shared(mut self, known: &mut SharedValues) -> Self {
        for (parameter, values) in &mut self.values {
            if matches!(*parameter, "_id" | "_lastUpdated" | "identifier") {
                continue;
            }
            match known.0.get(values) {
                Some(same) => *values = Arc::clone(same),
                None => {
                    known.0.insert(Arc::clone(values));
                }
            }
        }
        self
    }
}

type Compiled = Vec<(&'static SearchParameter, Expression)>;

/// The compiled parameters of each resource type that has any.
static PARAMETERS: LazyLock<HashMap<&'static str, Compiled>> = LazyLock::new(|| {
    let mut all = HashMap::new();
    for resource_type in definitions().resource_types() {
        let compiled: Compiled = definitions()
            .search_parameters(resource_type)
            // An expression that did not parse would be missing; a test parses each of them.
            .filter_map(|p| Some((p, Expression::parse(p.expression).ok()?)))
            .collect();
        all.insert(resource_type, compiled);
    }
    all
});

fn resource_type(resource: &Json) -> Option<&'static str> {
    let id = definitions().resource_named(resource.get("resourceType")?.as_str()?)?;
    Some(definitions().definition(id).name)
}

/// Extracts the values of every search parameter; none for JSON that is no resource of R4 with
/// an id.
///
/// # Errors
/// When an official expression meets a resource that does not conform to R4.
pub fn index(resource: &Json) -> Result<Option<ResourceIndex>, EvaluationError> {
    let (Some(name), Some(id)) =
        (resource_type(resource), resource.get("id").and_then(Json::as_str))
    else {
        return Ok(None);
    };
    let mut values: Vec<(&'static str, Arc<[IndexValue]>)> = Vec::new();
    for (parameter, expression) in PARAMETERS.get(name).map_or(&[][..], Vec::as_slice) {
        let mut found = Vec::new();
        for item in expression.evaluate(resource)? {
            extract(parameter.kind, &item, &mut found);
        }
        if !found.is_empty() {
            found.sort_unstable();
            found.dedup();
            values.push((parameter.code, found.into()));
        }
    }
    let values = values.into_boxed_slice();
    Ok(Some(ResourceIndex { resource_type: name, id: id.to_owned(), values }))
}

/// The elements that a parameter's expression yields, as JSON, before they become index values.
///
/// # Errors
/// When the expression meets a resource that does not conform to R4.
pub fn parameter_values(resource: &Json, code: &str) -> Result<Vec<Json>, EvaluationError> {
    let compiled = resource_type(resource).and_then(|name| PARAMETERS.get(name));
    let Some((_, expression)) = compiled.and_then(|all| all.iter().find(|(p, _)| p.code == code))
    else {
        return Ok(Vec::new());
    };
    let found: Collection<'_> = expression.evaluate(resource)?;
    let to_json = |item: &Item<'_>| match item {
        Item::Node(node) => node.json().cloned(),
        Item::Scalar(Scalar::Boolean(b)) => Some(Json::Bool(*b)),
        Item::Scalar(other) => Some(Json::String(other.to_text().into_owned())),
        Item::Resolved(_) => None,
    };
    Ok(found.iter().filter_map(to_json).collect())
}

/// Without case, accents and repeated blanks, as string search compares.
pub(super) fn fold(text: &str) -> String {
    let plain: String = text.nfd().filter(|c| !is_combining_mark(*c)).collect();
    plain.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn field(json: &Json, name: &str) -> Option<String> {
    json.get(name).and_then(Json::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn number(json: &Json, name: &str) -> Option<Decimal> {
    match json.get(name) {
        Some(Json::Number(n)) => decimal(n.as_str()),
        _ => None,
    }
}

fn extract(kind: SearchType, item: &Item<'_>, out: &mut Vec<IndexValue>) {
    let node = item.node();
    let type_id = node.and_then(|n| n.type_id());
    let name = type_id.map_or("", |id| definitions().definition(id).name);
    let primitive = type_id.and_then(|id| definitions().primitive(id));
    let Some(json) = node.and_then(|n| n.json()) else {
        if let (SearchType::Token, Item::Scalar(Scalar::Boolean(flag))) = (kind, item) {
            out.push(token(None, Some(flag.to_string()), None));
        }
        return;
    };
    match kind {
        SearchType::Token => tokens(name, json, out),
        SearchType::Reference => out.extend(reference(json)),
        SearchType::Date => dates(name, json, out),
        SearchType::Quantity => out.extend(quantity(name, json)),
        SearchType::Number => {
            out.extend(item.scalar().and_then(|s| s.number()).map(IndexValue::Number))
        }
        SearchType::Uri => {
            out.extend(json.as_str().map(|text| IndexValue::Uri(text.to_owned())));
        }
        SearchType::String => strings(name, primitive, json, out),
    }
}

fn token(system: Option<String>, code: Option<String>, text: Option<String>) -> IndexValue {
    IndexValue::Token { system, code, text }
}

fn tokens(name: &str, json: &Json, out: &mut Vec<IndexValue>) {
    match (name, json) {
        (_, Json::Bool(flag)) => out.push(token(None, Some(flag.to_string()), None)),
        (_, Json::String(text)) => out.push(token(None, Some(text.clone()), None)),
        (_, Json::Number(n)) => out.push(token(None, Some(n.as_str().to_owned()), None)),
        ("Coding", _) => {
            out.push(token(field(json, "system"), field(json, "code"), field(json, "display")));
        }
        ("CodeableConcept", _) => {
            let text = field(json, "text");
            let codings = json.get("coding").and_then(Json::as_array);
            for coding in codings.into_iter().flatten() {
                let shown = text.clone().or_else(|| field(coding, "display"));
                out.push(token(field(coding, "system"), field(coding, "code"), shown));
            }
            if codings.is_none_or(Vec::is_empty) && text.is_some() {
                out.push(token(None, None, text));
            }
        }
        ("Identifier", _) => {
            let text = json.get("type").and_then(|t| field(t, "text"));
            out.push(token(field(json, "system"), field(json, "value"), text));
        }
        ("ContactPoint", _) => out.push(token(field(json, "use"), field(json, "value"), None)),
        _ => {}
    }
}

fn reference(json: &Json) -> Option<IndexValue> {
    let text = json.as_str().map(str::to_owned).or_else(|| field(json, "reference"));
    let target = text
        .as_deref()
        .and_then(split_reference)
        .map(|(type_id, id)| (definitions().definition(type_id).name, id.to_owned()));
    let identifier = json.get("identifier").map(|i| (field(i, "system"), field(i, "value")));
    // What is contained in the resource itself is found through the resource alone.
    let text = text.filter(|t| !t.starts_with('#'));
    (text.is_some() || identifier.is_some()).then_some(IndexValue::Reference {
        target,
        text,
        identifier,
    })
}

fn span(text: Option<&str>) -> Option<(i64, i64)> {
    let moment = Temporal::parse(text?)?;
    Some((moment.earliest_micros(), moment.end_micros()))
}

fn period(json: &Json) -> Option<IndexValue> {
    let start = span(json.get("start").and_then(Json::as_str)).map(|s| s.0);
    let end = span(json.get("end").and_then(Json::as_str)).map(|s| s.1);
    (start.is_some() || end.is_some()).then(|| IndexValue::Date {
        start: start.unwrap_or(i64::MIN),
        end: end.unwrap_or(i64::MAX),
    })
}

fn dates(name: &str, json: &Json, out: &mut Vec<IndexValue>) {
    let moment =
        |json: &Json| span(json.as_str()).map(|(start, end)| IndexValue::Date { start, end });
    match (name, json) {
        (_, Json::String(_)) => out.extend(moment(json)),
        ("Period", _) => out.extend(period(json)),
        ("Timing", _) => {
            let events = json.get("event").and_then(Json::as_array);
            out.extend(events.into_iter().flatten().filter_map(moment));
            let bounds = json.get("repeat").and_then(|r| r.get("boundsPeriod"));
            out.extend(bounds.and_then(period));
        }
        _ => {}
    }
}

fn quantity(name: &str, json: &Json) -> Option<IndexValue> {
    let exact = |json: &Json, low, high| IndexValue::Quantity {
        low,
        high,
        system: field(json, "system"),
        code: field(json, "code").or_else(|| field(json, "currency")),
        unit: field(json, "unit"),
    };
    if name == "Range" {
        let (low, high) = (json.get("low"), json.get("high"));
        let unit = low.or(high)?;
        let end = |end: Option<&Json>| end.and_then(|e| number(e, "value"));
        return Some(exact(unit, end(low), end(high)));
    }
    let value = number(json, "value")?;
    // `<5` is any amount below five.
    Some(match json.get("comparator").and_then(Json::as_str) {
        Some("<" | "<=") => exact(json, None, Some(value)),
        Some(">" | ">=") => exact(json, Some(value), None),
        _ => exact(json, Some(value), Some(value)),
    })
}

fn strings(name: &str, primitive: Option<Primitive>, json: &Json, out: &mut Vec<IndexValue>) {
    let parts: &[&str] = match name {
        "HumanName" => &["text", "family", "given", "prefix", "suffix"],
        "Address" => &["text", "line", "city", "district", "state", "postalCode", "country"],
        "CodeableConcept" => &["text"],
        _ => &[],
    };
    let mut push = |text: &str| {
        out.push(IndexValue::String { text: text.to_owned(), folded: fold(text) });
    };
    if primitive.is_some() || name.is_empty() {
        json.as_str().map(&mut push);
    }
    for part in parts {
        match json.get(*part) {
            Some(Json::String(text)) => push(text),
            Some(Json::Array(items)) => items.iter().filter_map(Json::as_str).for_each(&mut push),
            _ => {}
        }
    }
}
