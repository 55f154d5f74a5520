use rust_decimal::Decimal;
use salus_model::{Class, Classified, Timestamp};

use super::index::fold;
use crate::definitions::{SearchParameter, SearchType, definitions};
use crate::fhirpath::decimal;
use crate::primitive::is_id;
use crate::temporal::Temporal;

/// A query that cannot be answered; the message names the parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// R4 has no such resource type.
    #[error("R4 has no resource type '{name}'")]
    ResourceType {
        /// What was asked for.
        name: String,
    },
    /// The resource type has no such parameter, or it is not served.
    #[error(
        "'{parameter}' is no search parameter of {resource_type}; its CapabilityStatement lists them"
    )]
    Unknown {
        /// The resource type.
        resource_type: String,
        /// The parameter.
        parameter: String,
    },
    /// The parameter does not have the modifier.
    #[error("the search parameter '{parameter}' does not take the modifier ':{modifier}'")]
    Modifier {
        /// The parameter.
        parameter: String,
        /// The modifier.
        modifier: String,
    },
    /// A value that the parameter cannot have.
    #[error("the search parameter '{parameter}' takes {wanted}")]
    Value {
        /// The parameter.
        parameter: String,
        /// What it takes, in words.
        wanted: &'static str,
    },
    /// More of something than is accepted.
    #[error("a search has at most {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        most: usize,
    },
}

impl Classified for SearchError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// How a value compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Prefix {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    StartsAfter,
    EndsBefore,
    Approximately,
}

/// What changes how a parameter compares.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Modifier {
    /// `:exact`, on text.
    Exact,
    /// `:contains`, on text.
    Contains,
    /// `:not`, on tokens.
    Not,
    /// `:text`, on tokens.
    Text,
    /// `:below`, on URIs.
    Below,
    /// `:above`, on URIs.
    Above,
    /// `:identifier`, on references.
    Identifier,
    /// `:Patient`, on references.
    Type(&'static str),
}

/// One value that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Wanted {
    /// An outer none is "any system", an inner none is "no system".
    Token {
        system: Option<Option<String>>,
        code: Option<String>,
        text: String,
    },
    Reference {
        resource_type: Option<&'static str>,
        id: Option<String>,
        text: String,
    },
    Date {
        prefix: Prefix,
        start: i64,
        end: i64,
    },
    Number {
        prefix: Prefix,
        value: Decimal,
        low: Decimal,
        high: Decimal,
    },
    Quantity {
        prefix: Prefix,
        value: Decimal,
        low: Decimal,
        high: Decimal,
        system: Option<String>,
        code: Option<String>,
    },
    String {
        text: String,
        folded: String,
    },
    Uri(String),
}

/// One condition; all of a query's must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Criterion {
    /// The parameter has one of the values.
    Has {
        /// The parameter.
        parameter: &'static str,
        /// How it compares.
        modifier: Option<Modifier>,
        /// Any of these.
        any: Vec<Wanted>,
    },
    /// The parameter has no value, or has one.
    Missing {
        /// The parameter.
        parameter: &'static str,
        /// True when it must have none.
        missing: bool,
    },
    /// A resource that the parameter refers to meets a condition.
    Chain {
        /// The parameter.
        parameter: &'static str,
        /// The resource type that it refers to.
        target: &'static str,
        /// The condition.
        inner: Box<Criterion>,
    },
    /// A resource of another type that refers to this one meets a condition: `_has`.
    Referred {
        /// The type that refers.
        source: &'static str,
        /// Its reference parameter.
        parameter: &'static str,
        /// The condition on it.
        inner: Box<Criterion>,
    },
}

/// The direction of a sort key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum SortDirection {
    Ascending,
    Descending,
}

/// One sort key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sort {
    /// The parameter.
    pub parameter: &'static str,
    /// The direction.
    pub direction: SortDirection,
}

/// Resources to return beside the matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Include {
    /// The type of the resource that refers.
    pub source: &'static str,
    /// Its reference parameter.
    pub parameter: &'static str,
    /// The type that is referred to, when only that one is wanted.
    pub target: Option<&'static str>,
    /// Whether it also applies to what was included before.
    pub iterate: bool,
}

/// A parsed search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    /// The resource type.
    pub resource_type: &'static str,
    /// Conditions, all of which must hold.
    pub criteria: Vec<Criterion>,
    /// `_count`.
    pub count: Option<usize>,
    /// `_sort`, most significant first.
    pub sort: Vec<Sort>,
    /// `_include`.
    pub include: Vec<Include>,
    /// `_revinclude`.
    pub revinclude: Vec<Include>,
}

const MOST_PARAMETERS: usize = 100;
const MOST_VALUES: usize = 1000;
const MOST_CHAIN: usize = 5;
const MOST_BYTES: usize = 64 * 1024;

impl SearchQuery {
    /// Parses what stands after `?`. `now` is for the prefix `ap`. Parameters of the HTTP layer
    /// (`_format`, `_pretty`, `_total`) are passed over, all others must be known.
    ///
    /// # Errors
    /// Names the parameter and what it takes.
    pub fn parse(resource_type: &str, query: &str, now: Timestamp) -> Result<Self, SearchError> {
        if query.len() > MOST_BYTES {
            return Err(SearchError::TooMany { what: "bytes", most: MOST_BYTES });
        }
        let mut parsed = Self {
            resource_type: resource(resource_type)?,
            criteria: Vec::new(),
            count: None,
            sort: Vec::new(),
            include: Vec::new(),
            revinclude: Vec::new(),
        };
        for (nth, (name, value)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
            if nth >= MOST_PARAMETERS {
                return Err(SearchError::TooMany { what: "parameters", most: MOST_PARAMETERS });
            }
            parsed.parameter(&name, &value, now)?;
        }
        Ok(parsed)
    }

    fn parameter(&mut self, name: &str, value: &str, now: Timestamp) -> Result<(), SearchError> {
        let wrong = |wanted| SearchError::Value { parameter: shown(name), wanted };
        let (plain, modifier) = name.split_once(':').map_or((name, None), |(p, m)| (p, Some(m)));
        match plain {
            "_format" | "_pretty" | "_total" => {}
            "_count" => {
                self.count = Some(value.parse().map_err(|_| wrong("a whole number from 0"))?);
            }
            "_sort" => self.sort = self.sorts(value)?,
            "_include" | "_revinclude" => {
                let iterate = match modifier {
                    None => false,
                    Some("iterate") => true,
                    Some(_) => return Err(wrong_modifier(plain, modifier)),
                };
                let include = include(value, iterate).ok_or_else(|| {
                    wrong("Type:parameter or Type:parameter:TargetType, of a reference parameter")
                })?;
                if plain == "_include" {
                    self.include.push(include);
                } else {
                    self.revinclude.push(include);
                }
            }
            _ => self.criteria.push(criterion(self.resource_type, name, value, now, 0)?),
        }
        Ok(())
    }

    fn sorts(&self, value: &str) -> Result<Vec<Sort>, SearchError> {
        let key = |part: &str| {
            let (name, direction) = match part.strip_prefix('-') {
                Some(name) => (name, SortDirection::Descending),
                None => (part, SortDirection::Ascending),
            };
            let parameter = parameter(self.resource_type, name)?;
            Ok(Sort { parameter: parameter.code, direction })
        };
        value.split(',').map(key).collect()
    }
}

/// A name from the client, shortened and cleaned before it is shown.
fn shown(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn resource(name: &str) -> Result<&'static str, SearchError> {
    match definitions().resource_named(name) {
        Some(id) => Ok(definitions().definition(id).name),
        None => Err(SearchError::ResourceType { name: shown(name) }),
    }
}

fn parameter(
    resource_type: &'static str,
    name: &str,
) -> Result<&'static SearchParameter, SearchError> {
    definitions().search_parameter(resource_type, name).ok_or_else(|| SearchError::Unknown {
        resource_type: resource_type.to_owned(),
        parameter: shown(name),
    })
}

fn wrong_modifier(name: &str, modifier: Option<&str>) -> SearchError {
    SearchError::Modifier { parameter: shown(name), modifier: shown(modifier.unwrap_or_default()) }
}

fn include(value: &str, iterate: bool) -> Option<Include> {
    let mut parts = value.split(':');
    let source = resource(parts.next()?).ok()?;
    let found = parameter(source, parts.next()?).ok()?;
    let target = match parts.next() {
        Some(name) => Some(resource(name).ok()?),
        None => None,
    };
    let fits = found.kind == SearchType::Reference
        && parts.next().is_none()
        && target.is_none_or(|t| found.targets.is_empty() || found.targets.contains(&t));
    fits.then_some(Include { source, parameter: found.code, target, iterate })
}

fn criterion(
    resource_type: &'static str,
    name: &str,
    value: &str,
    now: Timestamp,
    depth: usize,
) -> Result<Criterion, SearchError> {
    if let Some(rest) = name.strip_prefix("_has:") {
        return referred(resource_type, rest, value, now, depth);
    }
    if let Some((first, rest)) = name.split_once('.') {
        return chain(resource_type, first, rest, value, now, depth);
    }
    let (plain, modifier) = name.split_once(':').map_or((name, None), |(p, m)| (p, Some(m)));
    let found = parameter(resource_type, plain)?;
    if modifier == Some("missing") {
        let missing = match value {
            "true" => true,
            "false" => false,
            _ => {
                let wanted = "true or false with the modifier :missing";
                return Err(SearchError::Value { parameter: shown(name), wanted });
            }
        };
        return Ok(Criterion::Missing { parameter: found.code, missing });
    }
    let modifier = match modifier {
        Some(word) => {
            Some(modifier_of(found, word).ok_or_else(|| wrong_modifier(plain, Some(word)))?)
        }
        None => None,
    };
    let values = split(value, ',');
    if values.len() > MOST_VALUES {
        return Err(SearchError::TooMany { what: "values of one parameter", most: MOST_VALUES });
    }
    let any = values
        .iter()
        .map(|value| {
            wanted(found.kind, modifier.as_ref(), value, now)
                .map_err(|wanted| SearchError::Value { parameter: shown(plain), wanted })
        })
        .collect::<Result<_, _>>()?;
    Ok(Criterion::Has { parameter: found.code, modifier, any })
}

/// `subject:Patient.name`, or `patient.name` where one type of target is left.
fn chain(
    resource_type: &'static str,
    first: &str,
    rest: &str,
    value: &str,
    now: Timestamp,
    depth: usize,
) -> Result<Criterion, SearchError> {
    if depth >= MOST_CHAIN {
        return Err(SearchError::TooMany { what: "links in a chain", most: MOST_CHAIN });
    }
    let (plain, target) = first.split_once(':').map_or((first, None), |(p, t)| (p, Some(t)));
    let found = parameter(resource_type, plain)?;
    let wrong = |wanted| SearchError::Value { parameter: shown(first), wanted };
    if found.kind != SearchType::Reference {
        return Err(wrong("no chain, because it is no reference"));
    }
    let target = match target {
        Some(name) => resource(name)?,
        None => {
            // The types that have the next parameter at all.
            let next = rest.split(['.', ':']).next().unwrap_or_default();
            let mut able =
                found.targets.iter().filter(|t| definitions().search_parameter(t, next).is_some());
            match (able.next(), able.next()) {
                (Some(one), None) => resource(one)?,
                _ => return Err(wrong("the type that it refers to, as in subject:Patient.name")),
            }
        }
    };
    if !found.targets.is_empty() && !found.targets.contains(&target) {
        return Err(wrong("a type that it can refer to"));
    }
    let inner = Box::new(criterion(target, rest, value, now, depth + 1)?);
    Ok(Criterion::Chain { parameter: found.code, target, inner })
}

/// `_has:Observation:patient:code`, after its first colon.
fn referred(
    resource_type: &'static str,
    rest: &str,
    value: &str,
    now: Timestamp,
    depth: usize,
) -> Result<Criterion, SearchError> {
    if depth >= MOST_CHAIN {
        return Err(SearchError::TooMany { what: "links in a chain", most: MOST_CHAIN });
    }
    let wrong = |wanted| SearchError::Value { parameter: "_has".to_owned(), wanted };
    let mut parts = rest.splitn(3, ':');
    let (Some(source), Some(by), Some(inner)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(wrong(
            "a type, its reference and a condition, as in _has:Observation:patient:code",
        ));
    };
    let source = resource(source)?;
    let found = parameter(source, by)?;
    let refers_here = found.targets.is_empty() || found.targets.contains(&resource_type);
    if found.kind != SearchType::Reference || !refers_here {
        return Err(wrong("a reference of the other type that can lead to the type searched for"));
    }
    let inner = Box::new(criterion(source, inner, value, now, depth + 1)?);
    Ok(Criterion::Referred { source, parameter: found.code, inner })
}

fn modifier_of(parameter: &SearchParameter, word: &str) -> Option<Modifier> {
    Some(match (parameter.kind, word) {
        (SearchType::String, "exact") => Modifier::Exact,
        (SearchType::String, "contains") => Modifier::Contains,
        (SearchType::Token, "not") => Modifier::Not,
        (SearchType::Token, "text") => Modifier::Text,
        (SearchType::Uri, "below") => Modifier::Below,
        (SearchType::Uri, "above") => Modifier::Above,
        (SearchType::Reference, "identifier") => Modifier::Identifier,
        (SearchType::Reference, name) => {
            let target = resource(name).ok()?;
            let fits = parameter.targets.is_empty() || parameter.targets.contains(&target);
            Modifier::Type(Some(target).filter(|_| fits)?)
        }
        _ => return None,
    })
}

/// Splits at a separator that no backslash precedes; the backslashes stay.
fn split(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == separator && !escaped {
            parts.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            plain => out.push(plain),
        }
    }
    out
}

type Want = Result<Wanted, &'static str>;

fn wanted(kind: SearchType, modifier: Option<&Modifier>, value: &str, now: Timestamp) -> Want {
    if value.is_empty() {
        return Err("a value that is not empty");
    }
    match kind {
        SearchType::Token => token(value),
        SearchType::Reference if modifier == Some(&Modifier::Identifier) => token(value),
        SearchType::Reference => reference(modifier, &unescape(value)),
        SearchType::Date => date(value, now),
        SearchType::Number => {
            let (prefix, rest) = prefix(value);
            let (value, low, high) = amount(prefix, rest)?;
            Ok(Wanted::Number { prefix, value, low, high })
        }
        SearchType::Quantity => quantity(value),
        SearchType::String => {
            let text = unescape(value);
            Ok(Wanted::String { folded: fold(&text), text })
        }
        SearchType::Uri => Ok(Wanted::Uri(unescape(value))),
    }
}

fn token(value: &str) -> Want {
    let parts = split(value, '|');
    let parts: Vec<_> = parts.iter().map(|part| unescape(part)).collect();
    let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    let text = unescape(value);
    match &parts[..] {
        [code] => Ok(Wanted::Token { system: None, code: some(code), text }),
        [system, code] if !(system.is_empty() && code.is_empty()) => {
            Ok(Wanted::Token { system: Some(some(system)), code: some(code), text })
        }
        _ => Err("a code, system|code, |code or system|"),
    }
}

fn reference(modifier: Option<&Modifier>, value: &str) -> Want {
    let text = value.to_owned();
    let given = match modifier {
        Some(Modifier::Type(name)) => Some(*name),
        _ => None,
    };
    if is_id(value) {
        return Ok(Wanted::Reference { resource_type: given, id: Some(text.clone()), text });
    }
    if value.contains("://") || value.starts_with("urn:") {
        return Ok(Wanted::Reference { resource_type: given, id: None, text });
    }
    let (name, id) = value.split_once('/').ok_or("an id, Type/id or a URL")?;
    let resource_type = resource(name).map_err(|_| "an id, Type/id or a URL")?;
    if !is_id(id) || given.is_some_and(|given| given != resource_type) {
        return Err("an id, Type/id or a URL, of the type in its modifier");
    }
    Ok(Wanted::Reference { resource_type: Some(resource_type), id: Some(id.to_owned()), text })
}

fn prefix(value: &str) -> (Prefix, &str) {
    let Some((word, rest)) = value.split_at_checked(2) else { return (Prefix::Equal, value) };
    let prefix = match word {
        "eq" => Prefix::Equal,
        "ne" => Prefix::NotEqual,
        "gt" => Prefix::Greater,
        "lt" => Prefix::Less,
        "ge" => Prefix::GreaterOrEqual,
        "le" => Prefix::LessOrEqual,
        "sa" => Prefix::StartsAfter,
        "eb" => Prefix::EndsBefore,
        "ap" => Prefix::Approximately,
        _ => return (Prefix::Equal, value),
    };
    (prefix, rest)
}

fn date(value: &str, now: Timestamp) -> Want {
    let (prefix, rest) = prefix(value);
    // A plus sign of the offset arrives as a blank when it was not escaped.
    let rest = rest.replace(' ', "+");
    let moment = Temporal::parse(&rest)
        .ok_or("a date or date and time, perhaps after a prefix such as ge")?;
    let (mut start, mut end) = (moment.earliest_micros(), moment.end_micros());
    if prefix == Prefix::Approximately {
        let tenth = (now.as_micros().saturating_sub(start)).saturating_abs() / 10;
        start = start.saturating_sub(tenth);
        end = end.saturating_add(tenth);
    }
    Ok(Wanted::Date { prefix, start, end })
}

/// A number with the range that its precision, or a tenth for `ap`, gives it.
fn amount(prefix: Prefix, text: &str) -> Result<(Decimal, Decimal, Decimal), &'static str> {
    let wrong = "a number of at most 27 digits, perhaps after a prefix such as ge";
    let value = decimal(text).ok_or(wrong)?;
    let margin = if prefix == Prefix::Approximately {
        value.abs().checked_div(Decimal::TEN).ok_or(wrong)?
    } else {
        let scale = value.scale().checked_add(1).filter(|s| *s <= 28).ok_or(wrong)?;
        Decimal::new(5, scale)
    };
    let low = value.checked_sub(margin).ok_or(wrong)?;
    let high = value.checked_add(margin).ok_or(wrong)?;
    Ok((value, low, high))
}

fn quantity(value: &str) -> Want {
    let parts = split(value, '|');
    let parts: Vec<_> = parts.iter().map(|part| unescape(part)).collect();
    let (text, system, code) = match &parts[..] {
        [number] => (number, "", ""),
        [number, system, code] => (number, system.as_str(), code.as_str()),
        _ => return Err("a number, or number|system|code"),
    };
    let (prefix, rest) = prefix(text);
    let (value, low, high) = amount(prefix, rest)?;
    let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    Ok(Wanted::Quantity { prefix, value, low, high, system: some(system), code: some(code) })
}
