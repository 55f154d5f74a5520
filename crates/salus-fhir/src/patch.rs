//! JSON Patch on a resource.

use json_patch::{PatchErrorKind, PatchOperation};
use serde_json::Value as Json;

use crate::json::JsonLimits;
use crate::outcome::{Issue, IssueCode};

/// The most operations of one patch.
const MOST_OPERATIONS: usize = 256;

/// Why a patch does not apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatchRefused {
    /// It is no JSON Patch, or asks for too much.
    Malformed(Issue),
    /// The resource is not as the patch expects: a path is not there, or a `test` does not hold.
    Unfit(Issue),
}

fn issue(code: IssueCode, at: usize, message: impl Into<String>) -> Issue {
    Issue::error(code, format!("[{at}]"), message)
}

/// Applies a patch; the resource is as before unless all of it applies.
///
/// # Errors
/// Names the operation, counted from 0.
///
/// # Source
/// RFC 6902.
pub fn apply_json_patch(resource: &Json, patch: &Json) -> Result<Json, PatchRefused> {
    let malformed =
        |at, message: &str| PatchRefused::Malformed(issue(IssueCode::Structure, at, message));
    let operations = patch.as_array().ok_or_else(|| malformed(0, "a JSON Patch is an array"))?;
    if operations.len() > MOST_OPERATIONS {
        let message = format!("a patch has at most {MOST_OPERATIONS} operations");
        return Err(PatchRefused::Malformed(issue(IssueCode::TooLong, MOST_OPERATIONS, message)));
    }
    let mut patched = resource.clone();
    for (at, operation) in operations.iter().enumerate() {
        let operation: PatchOperation =
            serde_json::from_value(operation.clone()).map_err(|_| {
                malformed(at, "an operation has 'op', 'path', and what its 'op' needs besides")
            })?;
        let place = operation.path();
        if place.count() > JsonLimits::RESOURCE.depth {
            return Err(malformed(at, "'path' leads deeper than a resource may go"));
        }
        let copies = matches!(operation, PatchOperation::Copy(_) | PatchOperation::Move(_));
        json_patch::patch(&mut patched, &[operation]).map_err(|error| {
            let message = match error.kind {
                PatchErrorKind::TestFailed => "the value is another one than this tests for",
                PatchErrorKind::InvalidFromPointer => "'from' leads to nothing",
                PatchErrorKind::InvalidPointer => "'path' leads to nothing",
                PatchErrorKind::CannotMoveInsideItself => "a value cannot move into itself",
                _ => "it does not apply",
            };
            PatchRefused::Unfit(issue(IssueCode::Processing, at, message))
        })?;
        // Copies of copies double what is there with each operation, and moves stack it up.
        if copies && !fits(&patched, JsonLimits::RESOURCE) {
            let message = "the resource would become too long, or too deep";
            return Err(PatchRefused::Malformed(issue(IssueCode::TooLong, at, message)));
        }
    }
    if !fits(&patched, JsonLimits::RESOURCE) {
        let (at, message) = (operations.len(), "the resource would become too long, or too deep");
        return Err(PatchRefused::Malformed(issue(IssueCode::TooLong, at, message)));
    }
    let is_same = |name: &str| patched.get(name) == resource.get(name);
    if !is_same("id") || !is_same("resourceType") {
        let message = "a patch changes neither the id nor the type of a resource";
        return Err(PatchRefused::Malformed(issue(IssueCode::BusinessRule, 0, message)));
    }
    Ok(patched)
}

/// Whether a value stays within limits, its text about as long as what is counted here.
fn fits(value: &Json, limits: JsonLimits) -> bool {
    // A loop and no recursion: what is to be found out may be how deep it is.
    let (mut bytes, mut left) = (0_usize, vec![(value, 0_usize)]);
    while let Some((value, depth)) = left.pop() {
        if depth > limits.depth {
            return false;
        }
        bytes = bytes.saturating_add(match value {
            Json::Null | Json::Bool(_) | Json::Number(_) => 8,
            Json::String(text) => text.len() + 3,
            Json::Array(items) => {
                left.extend(items.iter().map(|item| (item, depth + 1)));
                2
            }
            Json::Object(members) => {
                left.extend(members.values().map(|value| (value, depth + 1)));
                members.keys().map(|name| name.len() + 4).sum::<usize>() + 2
            }
        });
        if bytes > limits.bytes {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn weight() -> Json {
        let text = r#"{"resourceType": "Observation", "id": "w", "status": "preliminary",
            "valueQuantity": {"value": 70.50, "unit": "kg"}, "note": [{"text": "a"}]}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn operations_apply_in_order_and_numbers_stay_exact() {
        let patch: Json = serde_json::from_str(
            r#"[{"op": "test", "path": "/status", "value": "preliminary"},
                {"op": "replace", "path": "/status", "value": "final"},
                {"op": "add", "path": "/note/-", "value": {"text": "b"}},
                {"op": "add", "path": "/valueQuantity/extension", "value": 1.2300},
                {"op": "remove", "path": "/note/0"},
                {"op": "move", "from": "/note", "path": "/comment"},
                {"op": "copy", "from": "/valueQuantity/value", "path": "/was"}]"#,
        )
        .unwrap();
        let patched = apply_json_patch(&weight(), &patch).unwrap();
        let wanted = r#"{"resourceType":"Observation","id":"w","status":"final","valueQuantity":{"value":70.50,"unit":"kg","extension":1.2300},"comment":[{"text":"b"}],"was":70.50}"#;
        let wanted: Json = serde_json::from_str(wanted).unwrap();
        assert_eq!(patched, wanted);
        assert!(patched.to_string().contains("70.50") && patched.to_string().contains("1.2300"));
    }

    #[test]
    fn what_does_not_apply_names_the_operation() {
        let unfit = [
            json!([{"op": "test", "path": "/status", "value": "final"}]),
            json!([{"op": "remove", "path": "/nothing"}]),
            json!([{"op": "replace", "path": "/note/7/text", "value": "x"}]),
            json!([{"op": "copy", "from": "/nothing", "path": "/x"}]),
            json!([{"op": "move", "from": "/note", "path": "/note/0"}]),
        ];
        for patch in unfit {
            let refused = apply_json_patch(&weight(), &patch).unwrap_err();
            let PatchRefused::Unfit(issue) = refused else { panic!("{patch}: {refused:?}") };
            assert_eq!(issue.expression.as_deref(), Some("[0]"), "{patch}");
        }
        let malformed = [
            json!({"op": "remove", "path": "/status"}),
            json!([{"op": "steal", "path": "/status"}]),
            json!([{"op": "replace", "path": "/status"}]),
            json!([{"op": "replace", "path": "status", "value": 1}]),
            json!([{"op": "replace", "path": "/id", "value": "other"}]),
            json!([{"op": "replace", "path": "/resourceType", "value": "Patient"}]),
            json!([{"op": "replace", "path": "", "value": 1}]),
            Json::Array(vec![json!({"op": "test", "path": "/id", "value": "w"}); 257]),
            json!([{"op": "add", "path": "/a".repeat(65), "value": 1}]),
        ];
        for patch in malformed {
            let refused = apply_json_patch(&weight(), &patch).unwrap_err();
            assert!(matches!(refused, PatchRefused::Malformed(_)), "{patch}: {refused:?}");
        }
    }

    #[test]
    fn copies_of_copies_and_stacked_moves_end() {
        let seed = json!({"op": "add", "path": "/note", "value": [{"text": "x".repeat(1000)}]});
        let double = json!({"op": "copy", "from": "/note", "path": "/note/-"});
        let deepen = json!({"op": "move", "from": "/note", "path": "/valueQuantity"});
        for again in [double, deepen.clone()] {
            let mut patch = vec![seed.clone()];
            patch.extend(std::iter::repeat_n(again, 200));
            let refused = apply_json_patch(&weight(), &Json::Array(patch)).unwrap_err();
            let (PatchRefused::Malformed(issue) | PatchRefused::Unfit(issue)) = refused;
            assert!(issue.code == IssueCode::TooLong || issue.code == IssueCode::Processing);
        }
        let mut stacked = vec![seed];
        stacked.extend((0..100).map(|n| {
            let path = if n % 2 == 0 { "/other" } else { "/note" };
            let from = if n % 2 == 0 { "/note" } else { "/other" };
            json!([
                {"op": "add", "path": path, "value": {}},
                {"op": "move", "from": from, "path": format!("{path}/in")},
            ])
        }));
        let flat = stacked.into_iter().flat_map(|o| match o {
            Json::Array(two) => two,
            one => vec![one],
        });
        let refused = apply_json_patch(&weight(), &flat.collect()).unwrap_err();
        let PatchRefused::Malformed(issue) = refused else { panic!("{refused:?}") };
        assert_eq!(issue.code, IssueCode::TooLong, "it grew deep");
    }
}
