//! The 40 synthetic patients of the workspace's `testdata`.

use std::io::Read;
use std::path::Path;

use salus_fhir::{JsonLimits, parse_json};
use serde_json::Value as Json;

/// Every Bundle, in the order of the file names.
pub(crate) fn bundles() -> Vec<Json> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/fhir_synthea_r4");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "gz"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 40, "the Synthea Bundles are not complete");
    files
        .iter()
        .map(|path| {
            let mut bytes = Vec::new();
            let file = std::fs::File::open(path).unwrap();
            flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
            parse_json(&bytes, JsonLimits::BUNDLE).unwrap()
        })
        .collect()
}

/// Every resource, its references within the Bundle still `urn:uuid:`.
pub(crate) fn resources(bundle: &Json) -> impl Iterator<Item = &Json> {
    bundle["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"])
}
