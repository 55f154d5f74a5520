//! What the fuzz targets do with their bytes; the tests of `salus-fhir` run the corpus through
//! the same functions. None of them may panic, whatever the bytes.

use salus_fhir::bundle::{BundleRequest, LookupAnswer};
use salus_fhir::fhirpath::Expression;
use salus_fhir::search::{Alone, SearchQuery, index};
use salus_fhir::subscription::SubscriptionRequest;
use salus_fhir::view::View;
use salus_fhir::{JsonLimits, apply_json_patch, operation_outcome, parse_json, shipped, validate};
use salus_model::{Entropy, EntropyFailed, Timestamp};
use serde_json::{Value as Json, json};

const LIMITS: JsonLimits = JsonLimits { bytes: 1 << 16, depth: 64, values: 10_000 };

struct Zeros;

impl Entropy for Zeros {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        buffer.fill(0);
        Ok(())
    }
}

fn example() -> Json {
    json!({"resourceType": "Patient", "id": "p", "birthDate": "1974-12", "active": true,
        "name": [{"family": "a", "given": ["b", null], "_given": [null, {"id": "x"}]}],
        "multipleBirthInteger": 2, "contact": [{"period": {"start": "2010"}}],
        "managingOrganization": {"reference": "Organization/1"},
        "extension": [{"url": "http://x", "valueQuantity": {"value": 1.50, "code": "kg"}}]})
}

/// Bytes as a resource, through everything that a server does with one.
pub(crate) fn resource(data: &[u8]) {
    let Ok(json) = parse_json(data, LIMITS) else { return };
    let issues = validate(&json);
    assert!(validate(&operation_outcome(&issues)).is_empty(), "an outcome conforms itself");
    if issues.is_empty() {
        // Only what is accepted must have an index; the rest must merely not panic.
        assert!(index(&json).is_ok(), "an official expression fails on a valid resource");
    }
    let _ = index(&json);
    for shipped in shipped::views() {
        let _ = shipped.view.rows(&json);
    }
    let _ = SubscriptionRequest::parse(&json, Timestamp::EPOCH);
    if let Ok(request) = BundleRequest::parse(json) {
        let answers = vec![LookupAnswer::None; request.lookups().len()];
        if let Ok(plan) = request.plan(&answers, &mut Zeros) {
            let _ = plan.response(&[]);
        }
    }
}

/// Bytes as a FHIRPath expression, evaluated on a patient.
pub(crate) fn fhirpath(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(expression) = Expression::parse(text) {
        let _ = expression.evaluate(&example());
    }
}

/// Bytes as a search query of three resource types.
pub(crate) fn search(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let patient = index(&example()).ok().flatten();
    for resource_type in ["Patient", "Observation", "NutritionOrder"] {
        let Ok(query) = SearchQuery::parse(resource_type, text, Timestamp::EPOCH) else { continue };
        if let Some(patient) = &patient {
            let _ = query.matches(patient, &Alone);
            let _ = query.compare(patient, patient);
        }
    }
}

/// Bytes as a JSON Patch, applied to a patient.
pub(crate) fn patch(data: &[u8]) {
    let Ok(patch) = parse_json(data, LIMITS) else { return };
    if let Ok(patched) = apply_json_patch(&example(), &patch) {
        let _ = validate(&patched);
    }
}

/// Bytes as a ViewDefinition, run on a patient.
pub(crate) fn view(data: &[u8]) {
    let Ok(json) = parse_json(data, LIMITS) else { return };
    if let Ok(view) = View::parse(&json) {
        let _ = view.rows(&example());
        let _ = shipped::key_classes(&view);
    }
}
