use std::cmp::Ordering;

use rust_decimal::Decimal;

use super::index::{IndexValue, ResourceIndex, fold};
use super::query::{Criterion, Modifier, Prefix, SearchQuery, SortDirection, Wanted};

/// The other resources of a store, for conditions that reach beyond one.
pub trait Others<'i> {
    /// The resource of this type and id, when the search may look at it.
    fn find(&self, resource_type: &str, id: &str) -> Option<&'i ResourceIndex>;

    /// Resources of a type that refer to an id by a parameter, when the search may look at them;
    /// some that do not refer are no harm.
    fn referring(&self, source: &str, parameter: &str, id: &str) -> Vec<&'i ResourceIndex>;
}

/// There are no others.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

impl<'i> Others<'i> for Alone {
    fn find(&self, _: &str, _: &str) -> Option<&'i ResourceIndex> {
        None
    }

    fn referring(&self, _: &str, _: &str, _: &str) -> Vec<&'i ResourceIndex> {
        Vec::new()
    }
}

impl SearchQuery {
    /// Whether a resource meets all conditions.
    #[must_use]
    pub fn matches<'i>(&self, resource: &'i ResourceIndex, others: &dyn Others<'i>) -> bool {
        resource.resource_type == self.resource_type
            && self.criteria.iter().all(|criterion| holds(criterion, resource, others))
    }

    /// The order of two matches by `_sort`; equal without one. A resource without the value
    /// comes last.
    #[must_use]
    pub fn compare(&self, a: &ResourceIndex, b: &ResourceIndex) -> Ordering {
        for sort in &self.sort {
            let key = |index: &ResourceIndex| {
                let mut values = index.of(sort.parameter).iter();
                match sort.direction {
                    SortDirection::Ascending => values.min_by(|a, b| order(a, b)).cloned(),
                    SortDirection::Descending => values.next_back().cloned(),
                }
            };
            let by_key = match (key(a), key(b)) {
                (Some(a), Some(b)) => match sort.direction {
                    SortDirection::Ascending => order(&a, &b),
                    SortDirection::Descending => order(&b, &a),
                },
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            };
            if by_key != Ordering::Equal {
                return by_key;
            }
        }
        Ordering::Equal
    }
}

/// Text sorts without case and accents, everything else by its value.
fn order(a: &IndexValue, b: &IndexValue) -> Ordering {
    match (a, b) {
        (IndexValue::String { folded: a, .. }, IndexValue::String { folded: b, .. }) => a.cmp(b),
        _ => a.cmp(b),
    }
}

fn holds<'i>(criterion: &Criterion, resource: &'i ResourceIndex, others: &dyn Others<'i>) -> bool {
    match criterion {
        Criterion::Missing { parameter, missing } => resource.of(parameter).is_empty() == *missing,
        Criterion::Has { parameter, modifier, any } => {
            let found = resource.of(parameter);
            let one =
                |want: &Wanted| found.iter().any(|value| fits(modifier.as_ref(), want, value));
            // `:not` holds for a resource that has none of the values, or no value at all.
            if *modifier == Some(Modifier::Not) {
                !any.iter().any(one)
            } else {
                any.iter().any(one)
            }
        }
        Criterion::Chain { parameter, target, inner } => {
            resource.of(parameter).iter().any(|value| match value {
                IndexValue::Reference { target: Some((name, id)), .. } if name == target => {
                    others.find(name, id).is_some_and(|other| holds(inner, other, others))
                }
                _ => false,
            })
        }
        Criterion::Referred { source, parameter, inner } => {
            let refers = |other: &&ResourceIndex| {
                other.resource_type == *source
                    && other.of(parameter).iter().any(|value| {
                        matches!(value, IndexValue::Reference { target: Some((name, id)), .. }
                            if *name == resource.resource_type && *id == resource.id)
                    })
            };
            let found = others.referring(source, parameter, &resource.id);
            found.into_iter().filter(refers).any(|other| holds(inner, other, others))
        }
    }
}

fn fits(modifier: Option<&Modifier>, want: &Wanted, value: &IndexValue) -> bool {
    match (want, value) {
        (Wanted::Token { text: wanted, .. }, IndexValue::Token { text, .. })
            if modifier == Some(&Modifier::Text) =>
        {
            text.as_ref().is_some_and(|text| fold(text).starts_with(&fold(wanted)))
        }
        (Wanted::Token { system, code, .. }, IndexValue::Token { system: s, code: c, .. }) => {
            token(system.as_ref(), code.as_ref(), s.as_ref(), c.as_ref())
        }
        (
            Wanted::Token { system, code, .. },
            IndexValue::Reference { identifier: Some((s, c)), .. },
        ) => token(system.as_ref(), code.as_ref(), s.as_ref(), c.as_ref()),
        (
            Wanted::Reference { resource_type, id, text },
            IndexValue::Reference { target, text: link, .. },
        ) => match (id, target) {
            (Some(id), Some((name, target_id))) => {
                id == target_id && resource_type.is_none_or(|wanted| wanted == *name)
            }
            _ => link.as_ref() == Some(text),
        },
        (Wanted::Date { prefix, start, end }, IndexValue::Date { start: s, end: e }) => {
            date(*prefix, (*start, *end), (*s, *e))
        }
        (Wanted::Number { prefix, value, low, high }, IndexValue::Number(n)) => {
            number(*prefix, (*value, *low, *high), (Some(*n), Some(*n)))
        }
        (
            Wanted::Quantity { prefix, value, low, high, system, code },
            IndexValue::Quantity { low: l, high: h, system: s, code: c, unit },
        ) => {
            let unit_fits = match (system, code) {
                (Some(system), _) => s.as_ref() == Some(system) && c.as_ref() == code.as_ref(),
                // Without a system the code may be what people write.
                (None, Some(code)) => c.as_ref() == Some(code) || unit.as_ref() == Some(code),
                (None, None) => true,
            };
            unit_fits && number(*prefix, (*value, *low, *high), (*l, *h))
        }
        (Wanted::String { text, folded }, IndexValue::String { text: t, folded: f }) => {
            match modifier {
                Some(Modifier::Exact) => t == text,
                Some(Modifier::Contains) => f.contains(folded.as_str()),
                _ => f.starts_with(folded.as_str()),
            }
        }
        (Wanted::Uri(wanted), IndexValue::Uri(uri)) => match modifier {
            Some(Modifier::Below) => below(uri, wanted),
            Some(Modifier::Above) => below(wanted, uri),
            _ => uri == wanted,
        },
        _ => false,
    }
}

fn token(
    system: Option<&Option<String>>,
    code: Option<&String>,
    found_system: Option<&String>,
    found_code: Option<&String>,
) -> bool {
    system.is_none_or(|wanted| wanted.as_ref() == found_system)
        && code.is_none_or(|wanted| Some(wanted) == found_code)
}

/// Whether a URI is the other or beneath it, by whole segments.
fn below(uri: &str, ancestor: &str) -> bool {
    let ancestor = ancestor.trim_end_matches('/');
    uri.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// # Source
/// HL7 FHIR R4 §3.1.1.4.6 and the prefix table of §3.1.1.4.4; both spans exclude their end.
fn date(prefix: Prefix, (start, end): (i64, i64), (s, e): (i64, i64)) -> bool {
    let equal = start <= s && e <= end;
    match prefix {
        Prefix::Equal => equal,
        Prefix::NotEqual => !equal,
        Prefix::Greater => e > end,
        Prefix::Less => s < start,
        Prefix::GreaterOrEqual => e > end || equal,
        Prefix::LessOrEqual => s < start || equal,
        Prefix::StartsAfter => s >= end,
        Prefix::EndsBefore => e <= start,
        Prefix::Approximately => s < end && e > start,
    }
}

/// Numbers: equality within the precision as written, order by the exact value. A missing end
/// of the found range is unbounded.
fn number(
    prefix: Prefix,
    (value, low, high): (Decimal, Decimal, Decimal),
    (l, h): (Option<Decimal>, Option<Decimal>),
) -> bool {
    let equal = l.is_some_and(|l| l >= low) && h.is_some_and(|h| h < high);
    let above = h.is_none_or(|h| h > value);
    let beneath = l.is_none_or(|l| l < value);
    match prefix {
        Prefix::Equal => equal,
        Prefix::NotEqual => !equal,
        Prefix::Greater => above,
        Prefix::Less => beneath,
        Prefix::GreaterOrEqual => h.is_none_or(|h| h >= value),
        Prefix::LessOrEqual => l.is_none_or(|l| l <= value),
        Prefix::StartsAfter => l.is_some_and(|l| l > value),
        Prefix::EndsBefore => h.is_some_and(|h| h < value),
        Prefix::Approximately => l.is_none_or(|l| l <= high) && h.is_none_or(|h| h >= low),
    }
}
