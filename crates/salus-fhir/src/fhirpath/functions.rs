use std::borrow::Cow;

use regex::RegexBuilder;
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, MathematicalOps, RoundingStrategy};
use serde_json::Value as Json;
use smallvec::smallvec;

use super::EvaluationError;
use super::ast::{Expr, Function, Member};
use super::eval::{Evaluated, MOST_ITEMS, Scope, boolean, eval, one, single, truth};
use super::item::{Collection, Item, decimal};
use super::scalar::{Quantity, Scalar};
use crate::definitions::{TypeId, definitions};
use crate::temporal::{Temporal, TimeOfDay};

/// The `extension` property, which also stands in a primitive's sibling.
static EXTENSION: std::sync::LazyLock<(Member, Member)> = std::sync::LazyLock::new(|| {
    let member = |name: &str| Member { name: name.to_owned(), sibling: format!("_{name}") };
    (member("extension"), member("url"))
});

pub(super) fn call<'a>(
    function: Function,
    arguments: &'a [Expr],
    input: Collection<'a>,
    scope: Scope<'_, 'a>,
) -> Evaluated<'a> {
    use Function as F;
    let place = function.name();
    match function {
        F::Where | F::Exists | F::All | F::Select | F::Repeat | F::Aggregate | F::Iif => {
            iterate(function, arguments, input, scope)
        }
        F::Empty
        | F::Count
        | F::AllTrue
        | F::AnyTrue
        | F::AllFalse
        | F::AnyFalse
        | F::IsDistinct
        | F::Distinct
        | F::Single
        | F::First
        | F::Last
        | F::Tail
        | F::Not => subset(function, input),
        F::SubsetOf
        | F::SupersetOf
        | F::Skip
        | F::Take
        | F::Intersect
        | F::Exclude
        | F::Union
        | F::Combine => sets(function, arguments, input, scope),
        F::ToBoolean
        | F::ToInteger
        | F::ToDecimal
        | F::ToString
        | F::ToDate
        | F::ToDateTime
        | F::ToTime
        | F::ToQuantity => {
            let Some(item) = single(place, &input)? else { return Ok(Collection::new()) };
            Ok(convert(function, item).map(one).unwrap_or_default())
        }
        F::ConvertsToBoolean
        | F::ConvertsToInteger
        | F::ConvertsToDecimal
        | F::ConvertsToString
        | F::ConvertsToDate
        | F::ConvertsToDateTime
        | F::ConvertsToTime
        | F::ConvertsToQuantity => {
            let Some(item) = single(place, &input)? else { return Ok(Collection::new()) };
            Ok(truth(Some(convert(converted(function), item).is_some())))
        }
        F::IndexOf
        | F::Substring
        | F::StartsWith
        | F::EndsWith
        | F::Contains
        | F::Upper
        | F::Lower
        | F::Replace
        | F::Matches
        | F::ReplaceMatches
        | F::Length
        | F::ToChars
        | F::Split
        | F::Trim => text(function, arguments, input, scope),
        F::Join => join(arguments, &input, scope),
        F::Abs
        | F::Ceiling
        | F::Exp
        | F::Floor
        | F::Ln
        | F::Log
        | F::Power
        | F::Round
        | F::Sqrt
        | F::Truncate => math(function, arguments, &input, scope),
        F::Children => Ok(children(&input)),
        F::Descendants => descendants(input),
        F::Trace => Ok(input),
        F::Now | F::Today | F::TimeOfDay => moment(function, scope),
        F::Extension => extension(arguments, &input, scope),
        F::HasValue => Ok(truth(Some(matches!(&input[..], [item] if item.scalar().is_some())))),
        F::GetValue => Ok(match &input[..] {
            [item] => item.scalar().map(one).unwrap_or_default(),
            _ => Collection::new(),
        }),
        F::Resolve => Ok(input.iter().filter_map(|item| resolve(item, scope.root)).collect()),
        F::GetResourceKey => Ok(input.iter().filter_map(resource_key).collect()),
        F::LowBoundary | F::HighBoundary => boundary(function, arguments, &input, scope),
    }
}

/// An argument that is evaluated once, on `$this` of where the function stands.
fn argument<'a>(arguments: &'a [Expr], at: usize, scope: Scope<'_, 'a>) -> Evaluated<'a> {
    arguments.get(at).map_or_else(|| Ok(Collection::new()), |expr| eval(expr, scope))
}

pub(super) fn integer(
    place: &'static str,
    input: &Collection<'_>,
) -> Result<Option<i64>, EvaluationError> {
    match single(place, input)?.map(Item::scalar) {
        None => Ok(None),
        Some(Some(Scalar::Integer(i))) => Ok(Some(i)),
        Some(_) => Err(EvaluationError::WrongType { place, wanted: "an integer" }),
    }
}

fn string<'a>(
    place: &'static str,
    input: &Collection<'a>,
) -> Result<Option<Cow<'a, str>>, EvaluationError> {
    match single(place, input)?.map(Item::scalar) {
        None => Ok(None),
        Some(Some(Scalar::String(text))) => Ok(Some(text)),
        Some(_) => Err(EvaluationError::WrongType { place, wanted: "a text" }),
    }
}

/// Functions that evaluate an argument on each item.
fn iterate<'a>(
    function: Function,
    arguments: &'a [Expr],
    input: Collection<'a>,
    scope: Scope<'_, 'a>,
) -> Evaluated<'a> {
    let place = function.name();
    let Some(criterion) = arguments.first() else {
        return Ok(truth(Some(!input.is_empty())));
    };
    let holds = |at: usize, item: &Item<'a>| {
        Ok(boolean(place, &eval(criterion, scope.at(item, at))?)? == Some(true))
    };
    match function {
        Function::Iif => {
            let own = input.first().map_or(scope, |item| scope.at(item, 0));
            let chosen = boolean(place, &eval(criterion, own)?)? == Some(true);
            match arguments.get(if chosen { 1 } else { 2 }) {
                Some(branch) => eval(branch, own),
                None => Ok(Collection::new()),
            }
        }
        Function::Exists | Function::All => {
            let wanted = function == Function::Exists;
            for (at, item) in input.iter().enumerate() {
                if holds(at, item)? == wanted {
                    return Ok(truth(Some(wanted)));
                }
            }
            Ok(truth(Some(!wanted)))
        }
        Function::Where => {
            let mut out = Collection::new();
            for (at, item) in input.into_iter().enumerate() {
                if holds(at, &item)? {
                    out.push(item);
                }
            }
            Ok(out)
        }
        Function::Select => {
            let mut out = Collection::new();
            for (at, item) in input.iter().enumerate() {
                out.extend(eval(criterion, scope.at(item, at))?);
                bounded(&out)?;
            }
            Ok(out)
        }
        Function::Repeat => repeat(criterion, input, scope),
        _ => {
            let mut total = argument(arguments, 1, scope)?;
            for (at, item) in input.iter().enumerate() {
                let inner = Scope { total: Some(&total), ..scope.at(item, at) };
                total = eval(criterion, inner)?;
            }
            Ok(total)
        }
    }
}

fn bounded(out: &Collection<'_>) -> Result<(), EvaluationError> {
    if out.len() > MOST_ITEMS {
        return Err(EvaluationError::TooMany { most: MOST_ITEMS });
    }
    Ok(())
}

fn repeat<'a>(step: &'a Expr, input: Collection<'a>, scope: Scope<'_, 'a>) -> Evaluated<'a> {
    /// Items are compared with all before them, so that a loop ends; hence a lower bound.
    const MOST_REPEATED: usize = 10_000;
    let mut out = Collection::new();
    let mut queue = input;
    while !queue.is_empty() {
        let mut found = Collection::new();
        for item in &queue {
            for new in eval(step, scope.at(item, 0))? {
                if !out.iter().any(|old: &Item<'a>| same(old, &new)) {
                    out.push(new.clone());
                    found.push(new);
                }
            }
            if out.len() > MOST_REPEATED {
                return Err(EvaluationError::TooMany { most: MOST_REPEATED });
            }
        }
        queue = found;
    }
    Ok(out)
}

/// Equality where the same element is equal to itself without being looked into.
fn same(a: &Item<'_>, b: &Item<'_>) -> bool {
    match (a.node().and_then(|n| n.json()), b.node().and_then(|n| n.json())) {
        (Some(a), Some(b)) if std::ptr::eq(a, b) => true,
        _ => a.equal(b) == Some(true),
    }
}

pub(super) fn distinct(input: Collection<'_>) -> Collection<'_> {
    let mut out = Collection::new();
    for item in input {
        if !out.iter().any(|old| same(old, &item)) {
            out.push(item);
        }
    }
    out
}

fn subset(function: Function, mut input: Collection<'_>) -> Evaluated<'_> {
    use Function as F;
    let flags = |wanted: bool, any: bool| {
        let is = |item: &Item<'_>| matches!(item.scalar(), Some(Scalar::Boolean(b)) if b == wanted);
        truth(Some(if any { input.iter().any(is) } else { input.iter().all(is) }))
    };
    Ok(match function {
        F::Empty => truth(Some(input.is_empty())),
        F::Count => one(Scalar::Integer(input.len() as i64)),
        F::AllTrue => flags(true, false),
        F::AnyTrue => flags(true, true),
        F::AllFalse => flags(false, false),
        F::AnyFalse => flags(false, true),
        F::IsDistinct => {
            let all = input.len();
            truth(Some(distinct(input).len() == all))
        }
        F::Distinct => distinct(input),
        F::Not => truth(boolean("not", &input)?.map(|b| !b)),
        F::Single => single("single", &input)?.cloned().into_iter().collect(),
        F::First => {
            input.truncate(1);
            input
        }
        F::Last => input.pop().into_iter().collect(),
        _ => input.into_iter().skip(1).collect(),
    })
}

fn sets<'a>(
    function: Function,
    arguments: &'a [Expr],
    input: Collection<'a>,
    scope: Scope<'_, 'a>,
) -> Evaluated<'a> {
    let other = argument(arguments, 0, scope)?;
    let within = |all: &Collection<'a>, item: &Item<'a>| all.iter().any(|o| same(o, item));
    let count = || {
        let count = integer(function.name(), &other)?;
        Ok(usize::try_from(count.unwrap_or(0).max(0)).unwrap_or(usize::MAX))
    };
    Ok(match function {
        Function::SubsetOf => truth(Some(input.iter().all(|i| within(&other, i)))),
        Function::SupersetOf => truth(Some(other.iter().all(|i| within(&input, i)))),
        Function::Skip => input.into_iter().skip(count()?).collect(),
        Function::Take => input.into_iter().take(count()?).collect(),
        Function::Intersect => distinct(input.into_iter().filter(|i| within(&other, i)).collect()),
        Function::Exclude => input.into_iter().filter(|i| !within(&other, i)).collect(),
        Function::Union => distinct(input.into_iter().chain(other).collect()),
        _ => input.into_iter().chain(other).collect(),
    })
}

fn converted(function: Function) -> Function {
    match function {
        Function::ConvertsToBoolean => Function::ToBoolean,
        Function::ConvertsToInteger => Function::ToInteger,
        Function::ConvertsToDecimal => Function::ToDecimal,
        Function::ConvertsToDate => Function::ToDate,
        Function::ConvertsToDateTime => Function::ToDateTime,
        Function::ConvertsToTime => Function::ToTime,
        Function::ConvertsToQuantity => Function::ToQuantity,
        _ => Function::ToString,
    }
}

fn convert<'a>(to: Function, item: &Item<'a>) -> Option<Scalar<'a>> {
    let from = item.scalar()?;
    match to {
        Function::ToBoolean => to_boolean(&from).map(Scalar::Boolean),
        Function::ToInteger => match &from {
            Scalar::Integer(i) => Some(*i),
            Scalar::Boolean(b) => Some(i64::from(*b)),
            Scalar::String(text) => text.parse().ok(),
            _ => None,
        }
        .map(Scalar::Integer),
        Function::ToDecimal => match &from {
            Scalar::Boolean(b) => Some(Decimal::from(i64::from(*b))),
            Scalar::String(text) => decimal(text),
            other => other.number(),
        }
        .map(Scalar::Decimal),
        Function::ToDate => match &from {
            Scalar::Date(t) | Scalar::DateTime(t) => Some(t.date()),
            Scalar::String(text) => Temporal::parse(text).map(Temporal::date),
            _ => None,
        }
        .map(Scalar::Date),
        Function::ToDateTime => match &from {
            Scalar::Date(t) | Scalar::DateTime(t) => Some(*t),
            Scalar::String(text) => Temporal::parse(text),
            _ => None,
        }
        .map(Scalar::DateTime),
        Function::ToTime => match &from {
            Scalar::Time(t) => Some(*t),
            Scalar::String(text) => TimeOfDay::parse(text),
            _ => None,
        }
        .map(Scalar::Time),
        Function::ToQuantity => to_quantity(from),
        _ => Some(Scalar::String(Cow::Owned(from.to_text().into_owned()))),
    }
}

fn to_boolean(from: &Scalar<'_>) -> Option<bool> {
    match from {
        Scalar::Boolean(b) => Some(*b),
        Scalar::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" | "1.0" => Some(true),
            "false" | "f" | "no" | "n" | "0" | "0.0" => Some(false),
            _ => None,
        },
        other => match other.number()? {
            one if one == Decimal::ONE => Some(true),
            zero if zero.is_zero() => Some(false),
            _ => None,
        },
    }
}

fn to_quantity(from: Scalar<'_>) -> Option<Scalar<'_>> {
    let plain = |value, unit: String| {
        Some(Scalar::Quantity(Box::new(Quantity { value, unit: unit.into() })))
    };
    match from {
        Scalar::Quantity(_) => Some(from),
        Scalar::Boolean(b) => plain(Decimal::from(i64::from(b)), "1".to_owned()),
        Scalar::String(text) => {
            let (number, unit) = text.trim().split_once(' ').unwrap_or((text.trim(), "'1'"));
            let quoted = unit.trim().strip_prefix('\'').and_then(|u| u.strip_suffix('\''));
            let unit =
                quoted.map(str::to_owned).or_else(|| Quantity::calendar_unit(unit.trim()))?;
            plain(decimal(number)?, unit)
        }
        other => plain(other.number()?, "1".to_owned()),
    }
}

fn text<'a>(
    function: Function,
    arguments: &'a [Expr],
    input: Collection<'a>,
    scope: Scope<'_, 'a>,
) -> Evaluated<'a> {
    use Function as F;
    let place = function.name();
    let Some(text) = string(place, &input)? else { return Ok(Collection::new()) };
    let owned = |text: String| one(Scalar::String(text.into()));
    Ok(match function {
        F::Upper => owned(text.to_uppercase()),
        F::Lower => owned(text.to_lowercase()),
        F::Trim => owned(text.trim().to_owned()),
        F::Length => one(Scalar::Integer(text.chars().count() as i64)),
        F::ToChars => {
            text.chars().map(|c| Item::Scalar(Scalar::String(c.to_string().into()))).collect()
        }
        F::Substring => {
            let Some(start) = integer(place, &argument(arguments, 0, scope)?)? else {
                return Ok(Collection::new());
            };
            let length = integer(place, &argument(arguments, 1, scope)?)?;
            substring(&text, start, length).map(owned).unwrap_or_default()
        }
        _ => {
            let Some(other) = string(place, &argument(arguments, 0, scope)?)? else {
                return Ok(Collection::new());
            };
            match function {
                F::StartsWith => truth(Some(text.starts_with(other.as_ref()))),
                F::EndsWith => truth(Some(text.ends_with(other.as_ref()))),
                F::Contains => truth(Some(text.contains(other.as_ref()))),
                F::IndexOf => {
                    let before = text.find(other.as_ref()).and_then(|at| text.get(..at));
                    let at = before.map_or(-1, |before| before.chars().count() as i64);
                    one(Scalar::Integer(at))
                }
                F::Split => text
                    .split(other.as_ref())
                    .map(|part| Item::Scalar(Scalar::String(part.to_owned().into())))
                    .collect(),
                F::Matches => truth(Some(pattern(place, &other)?.is_match(&text))),
                _ => {
                    let Some(new) = string(place, &argument(arguments, 1, scope)?)? else {
                        return Ok(Collection::new());
                    };
                    if function == F::Replace {
                        owned(text.replace(other.as_ref(), &new))
                    } else {
                        owned(pattern(place, &other)?.replace_all(&text, new.as_ref()).into_owned())
                    }
                }
            }
        }
    })
}

fn substring(text: &str, start: i64, length: Option<i64>) -> Option<String> {
    let start = usize::try_from(start).ok()?;
    if start >= text.chars().count() {
        return None;
    }
    let most = length.map_or(usize::MAX, |l| usize::try_from(l.max(0)).unwrap_or(usize::MAX));
    Some(text.chars().skip(start).take(most).collect())
}

/// Patterns run in linear time, and their compiled size is bounded.
fn pattern(place: &'static str, text: &str) -> Result<regex::Regex, EvaluationError> {
    RegexBuilder::new(text)
        .dot_matches_new_line(true)
        .size_limit(1 << 20)
        .build()
        .map_err(|_| EvaluationError::Pattern { place })
}

fn join<'a>(arguments: &'a [Expr], input: &Collection<'a>, scope: Scope<'_, 'a>) -> Evaluated<'a> {
    let separator = string("join", &argument(arguments, 0, scope)?)?.unwrap_or_default();
    // Nothing joins to the empty text, as the SQL-on-FHIR tests ask.
    let mut out = String::new();
    for (at, item) in input.iter().enumerate() {
        let Some(scalar) = item.scalar() else { continue };
        if at > 0 {
            out.push_str(&separator);
        }
        out.push_str(&scalar.to_text());
    }
    Ok(one(Scalar::String(out.into())))
}

fn math<'a>(
    function: Function,
    arguments: &'a [Expr],
    input: &Collection<'a>,
    scope: Scope<'_, 'a>,
) -> Evaluated<'a> {
    use Function as F;
    let place = function.name();
    let wrong = EvaluationError::WrongType { place, wanted: "a number" };
    let Some(item) = single(place, input)? else { return Ok(Collection::new()) };
    let scalar = item.scalar().ok_or(wrong.clone())?;
    if let (Scalar::Quantity(q), F::Abs) = (&scalar, function) {
        let absolute = Quantity { value: q.value.abs(), unit: q.unit.clone() };
        return Ok(one(Scalar::Quantity(Box::new(absolute))));
    }
    let number = scalar.number().ok_or(wrong.clone())?;
    let operand = argument(arguments, 0, scope)?;
    let operand = match single(place, &operand)? {
        Some(item) => Some(item.scalar().and_then(|s| s.number()).ok_or(wrong)?),
        None => None,
    };
    let whole = |d: Decimal| d.to_i64().map(Scalar::Integer);
    let integral = matches!(scalar, Scalar::Integer(_));
    Ok(match function {
        F::Abs if integral => whole(number.abs()),
        F::Abs => Some(Scalar::Decimal(number.abs())),
        F::Ceiling => whole(number.ceil()),
        F::Floor => whole(number.floor()),
        F::Truncate => whole(number.trunc()),
        F::Round => {
            let places = operand.unwrap_or_default().to_u32().unwrap_or(0).min(28);
            let rounding = RoundingStrategy::MidpointAwayFromZero;
            Some(Scalar::Decimal(number.round_dp_with_strategy(places, rounding)))
        }
        F::Exp => number.checked_exp().map(Scalar::Decimal),
        F::Ln => number.checked_ln().map(Scalar::Decimal),
        F::Sqrt => number.sqrt().map(Scalar::Decimal),
        F::Log => operand.and_then(|base| {
            let quotient = number.checked_ln()?.checked_div(base.checked_ln()?)?;
            Some(Scalar::Decimal(quotient.round_dp(12).normalize()))
        }),
        _ => operand.and_then(|exponent| {
            if integral && exponent.is_integer() && !exponent.is_sign_negative() {
                let power = number.to_i64()?.checked_pow(exponent.to_u32()?)?;
                return Some(Scalar::Integer(power));
            }
            number.checked_powd(exponent).map(Scalar::Decimal)
        }),
    }
    .map(one)
    .unwrap_or_default())
}

fn children<'a>(input: &Collection<'a>) -> Collection<'a> {
    let mut out = Collection::new();
    for node in input.iter().filter_map(Item::node) {
        node.children(&mut out);
    }
    out
}

fn descendants(input: Collection<'_>) -> Evaluated<'_> {
    let mut out = Collection::new();
    let mut level = children(&input);
    while !level.is_empty() {
        let next = children(&level);
        out.extend(level);
        bounded(&out)?;
        level = next;
    }
    Ok(out)
}

fn moment<'a>(function: Function, scope: Scope<'_, 'a>) -> Evaluated<'a> {
    let place = function.name();
    let now = scope.environment.now.ok_or(EvaluationError::NoMoment { place })?;
    let now = Temporal::from_timestamp(now);
    Ok(match function {
        Function::Now => one(Scalar::DateTime(now)),
        Function::Today => one(Scalar::Date(now.date())),
        _ => now.time().map(|t| one(Scalar::Time(t))).unwrap_or_default(),
    })
}

fn extension<'a>(
    arguments: &'a [Expr],
    input: &Collection<'a>,
    scope: Scope<'_, 'a>,
) -> Evaluated<'a> {
    let Some(url) = string("extension", &argument(arguments, 0, scope)?)? else {
        return Ok(Collection::new());
    };
    let (extension, url_member) = &*EXTENSION;
    let mut all = Collection::new();
    for node in input.iter().filter_map(Item::node) {
        node.member(extension, &mut all);
    }
    all.retain(|item| {
        let mut urls = Collection::new();
        if let Some(node) = item.node() {
            node.member(url_member, &mut urls);
        }
        matches!(urls.first().and_then(Item::scalar), Some(Scalar::String(u)) if u == url)
    });
    Ok(all)
}

/// The text of a reference, or of a canonical or uri that serves as one.
fn reference_text<'a>(item: &Item<'a>) -> Option<&'a str> {
    match item.node()?.json()? {
        Json::String(text) => Some(text),
        object => object.get("reference")?.as_str(),
    }
}

/// Splits `[base/]Type/id[/_history/version]` into type and id.
pub(crate) fn split_reference(text: &str) -> Option<(TypeId, &str)> {
    let text = text.split_once("/_history/").map_or(text, |(before, _)| before);
    let (before, id) = text.rsplit_once('/')?;
    let name = before.rsplit('/').next()?;
    let type_id = definitions().resource_named(name)?;
    (!id.is_empty()).then_some((type_id, id))
}

/// What a reference points at: a contained resource itself, otherwise its type alone.
fn resolve<'a>(item: &Item<'a>, root: &Item<'a>) -> Option<Item<'a>> {
    let text = reference_text(item);
    if let Some(id) = text.and_then(|t| t.strip_prefix('#')) {
        let contained = root.node()?.json()?.get("contained")?.as_array()?;
        let json = contained.iter().find(|c| c.get("id").and_then(Json::as_str) == Some(id))?;
        return Some(Item::Node(super::item::Node::resource(json)));
    }
    if let Some((type_id, _)) = text.and_then(split_reference) {
        return Some(Item::Resolved(type_id));
    }
    let named = item.node()?.json()?.get("type")?.as_str()?;
    definitions().resource_named(named).map(Item::Resolved)
}

fn resource_key<'a>(item: &Item<'a>) -> Option<Item<'a>> {
    let json = item.node()?.json()?;
    json.get("resourceType")?;
    let id = json.get("id")?.as_str()?;
    Some(Item::Scalar(Scalar::String(Cow::Borrowed(id))))
}

/// The key of what a reference points at; none when it is of another type than wanted.
pub(super) fn reference_key<'a>(input: &Collection<'a>, wanted: Option<TypeId>) -> Collection<'a> {
    let key = |item: &Item<'a>| {
        let (type_id, id) = split_reference(reference_text(item)?)?;
        let fits = wanted.is_none_or(|want| definitions().is_a(type_id, want));
        fits.then_some(Item::Scalar(Scalar::String(Cow::Borrowed(id))))
    };
    input.iter().filter_map(key).collect()
}

fn boundary<'a>(
    function: Function,
    arguments: &'a [Expr],
    input: &Collection<'a>,
    scope: Scope<'_, 'a>,
) -> Evaluated<'a> {
    let place = function.name();
    let low = function == Function::LowBoundary;
    let Some(item) = single(place, input)? else { return Ok(Collection::new()) };
    let places = integer(place, &argument(arguments, 0, scope)?)?;
    let bound = match item.scalar() {
        Some(Scalar::Integer(i)) => decimal_boundary(Decimal::from(i), low, places),
        Some(Scalar::Decimal(d)) => decimal_boundary(d, low, places),
        Some(Scalar::Quantity(q)) => decimal_boundary(q.value, low, places).and_then(|b| {
            let value = b.number()?;
            Some(Scalar::Quantity(Box::new(Quantity { value, unit: q.unit })))
        }),
        Some(Scalar::Date(t)) => Some(Scalar::Date(match low {
            true => t.low_date_boundary(),
            false => t.high_date_boundary(),
        })),
        Some(Scalar::DateTime(t)) => {
            Some(Scalar::DateTime(if low { t.low_boundary() } else { t.high_boundary() }))
        }
        Some(Scalar::Time(t)) => {
            Some(Scalar::Time(if low { t.low_boundary() } else { t.high_boundary() }))
        }
        _ => return Err(EvaluationError::WrongType { place, wanted: "a number, date or time" }),
    };
    Ok(bound.map(|b| smallvec![Item::Scalar(b)]).unwrap_or_default())
}

/// Half a unit of the last decimal place below or above, to `places` when given.
fn decimal_boundary<'a>(value: Decimal, low: bool, places: Option<i64>) -> Option<Scalar<'a>> {
    let scale = value.scale();
    let half = Decimal::new(5, scale.checked_add(1).filter(|s| *s <= 28)?);
    let bound = if low { value.checked_sub(half)? } else { value.checked_add(half)? };
    let Some(places) = places else { return Some(Scalar::Decimal(bound)) };
    let places = u32::try_from(places).ok().filter(|p| *p <= 28)?;
    let rounding = if low {
        RoundingStrategy::ToNegativeInfinity
    } else {
        RoundingStrategy::ToPositiveInfinity
    };
    let mut bound = if places <= scale { value } else { bound };
    bound = bound.round_dp_with_strategy(places, rounding);
    bound.rescale(places);
    Some(Scalar::Decimal(bound))
}
