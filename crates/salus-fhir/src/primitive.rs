use serde_json::Value as Json;

use crate::definitions::Primitive;
use crate::fhirpath::decimal;
use crate::temporal::{Precision, Temporal, TimeOfDay};

/// The longest string that the specification permits, 1 MiB; base64 content is bounded by the
/// document alone.
const MOST_STRING_BYTES: usize = 1 << 20;

/// Checks a primitive's JSON; tells what it must be when it is not.
///
/// # Source
/// HL7 FHIR R4 §2.24.0.1, the regular expressions of the primitive types.
pub(crate) fn check(primitive: Primitive, json: &Json) -> Result<(), &'static str> {
    match (primitive, json) {
        (Primitive::Boolean, Json::Bool(_)) => Ok(()),
        (Primitive::Boolean, _) => Err("true or false"),
        (Primitive::Decimal, Json::Number(n)) => {
            let fits = decimal(n.as_str()).is_some();
            fits.then_some(()).ok_or("a number of at most 28 digits")
        }
        (Primitive::Decimal, _) => Err("a JSON number"),
        (Primitive::Integer, json) => in_range(json, -(1 << 31), (1 << 31) - 1)
            .ok_or("a whole JSON number of 32 bits, without fraction or exponent"),
        (Primitive::UnsignedInt, json) => {
            in_range(json, 0, (1 << 31) - 1).ok_or("a whole JSON number from 0 to 2147483647")
        }
        (Primitive::PositiveInt, json) => {
            in_range(json, 1, (1 << 31) - 1).ok_or("a whole JSON number from 1 to 2147483647")
        }
        (_, Json::String(text)) => check_text(primitive, text),
        _ => Err("a JSON string"),
    }
}

fn in_range(json: &Json, low: i64, high: i64) -> Option<()> {
    let Json::Number(number) = json else { return None };
    let integer: i64 = number.as_str().parse().ok()?;
    (low..=high).contains(&integer).then_some(())
}

fn check_text(primitive: Primitive, text: &str) -> Result<(), &'static str> {
    let (fits, wanted) = match primitive {
        Primitive::Id => (is_id(text), "1 to 64 of A-Z, a-z, 0-9, - and ."),
        Primitive::Code => (is_code(text), "a code without leading, trailing or double blanks"),
        Primitive::Uri | Primitive::Url | Primitive::Canonical => {
            let fits = !text.is_empty() && !text.contains(char::is_whitespace);
            (fits, "a URI without blanks")
        }
        Primitive::Oid => (is_oid(text), "urn:oid: and a dotted number"),
        Primitive::Uuid => {
            (text.strip_prefix("urn:uuid:").is_some_and(is_uuid), "urn:uuid: and a lower-case UUID")
        }
        Primitive::Base64Binary => (is_base64(text), "base64"),
        Primitive::Date => (is_date(text), "a date: YYYY, YYYY-MM or YYYY-MM-DD"),
        Primitive::DateTime => (
            is_date(text) || is_moment(text),
            "a date, or a date and time with seconds and an offset such as Z",
        ),
        Primitive::Instant => (is_moment(text), "YYYY-MM-DDThh:mm:ss with an offset such as Z"),
        Primitive::Time => (is_time(text), "a time: hh:mm:ss"),
        Primitive::Xhtml => (
            text.trim_start().starts_with("<div") && text.trim_end().ends_with('>'),
            "XHTML in a div element",
        ),
        _ => (
            is_string(text),
            "text of at most 1 MiB that is not blank and has no control characters",
        ),
    };
    if fits { Ok(()) } else { Err(wanted) }
}

/// `[A-Za-z0-9\-\.]{1,64}`
pub(crate) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

fn is_code(text: &str) -> bool {
    let blank = |c: char| c.is_whitespace();
    !text.is_empty()
        && !text.starts_with(blank)
        && !text.ends_with(blank)
        && !text.contains("  ")
        && !text.chars().any(|c| c.is_control())
}

fn is_oid(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("urn:oid:") else { return false };
    let mut arcs = rest.split('.');
    let first = arcs.next().is_some_and(|arc| matches!(arc, "0" | "1" | "2"));
    let mut count = 0;
    let digits = |arc: &str| {
        !arc.is_empty()
            && arc.bytes().all(|b| b.is_ascii_digit())
            && (arc == "0" || !arc.starts_with('0'))
    };
    let others = arcs.all(|arc| {
        count += 1;
        digits(arc)
    });
    first && others && count > 0
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}

fn is_base64(text: &str) -> bool {
    let significant = || text.bytes().filter(|b| !b.is_ascii_whitespace());
    let count = significant().count();
    let padding = significant().filter(|&b| b == b'=').count();
    let body = significant()
        .take(count - padding)
        .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
    count > 0 && count.is_multiple_of(4) && padding <= 2 && body
}

fn is_date(text: &str) -> bool {
    !text.contains('T') && Temporal::parse(text).is_some()
}

fn is_moment(text: &str) -> bool {
    Temporal::parse(text).is_some_and(|t| t.precision() == Precision::Second && t.has_offset())
}

fn is_time(text: &str) -> bool {
    TimeOfDay::parse(text).is_some_and(|t| t.precision() == Precision::Second)
}

fn is_string(text: &str) -> bool {
    text.len() <= MOST_STRING_BYTES
        && text.chars().any(|c| !c.is_whitespace())
        && !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\r' | '\n'))
}
