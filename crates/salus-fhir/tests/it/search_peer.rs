//! Every advertised search parameter against the npm package `fhirpath`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use salus_fhir::definitions;
use salus_fhir::search::{index, parameter_values};
use serde_json::Value as Json;

use crate::shipped_views::stored;

/// The release that the comparison was written for.
const PACKAGE: &str = "fhirpath@4.11.0";

/// Installs the package by name into the user's cache, once.
fn installed() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let folder = cache.expect("HOME or XDG_CACHE_HOME is set").join("salus/npm").join(PACKAGE);
    if folder.join("node_modules/fhirpath/package.json").exists() {
        return folder;
    }
    std::fs::create_dir_all(&folder).unwrap();
    let status = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"])
        .arg(&folder)
        .arg(PACKAGE)
        .status()
        .expect("this test needs npm (Debian: apt-get install npm)");
    assert!(status.success(), "npm could not install {PACKAGE}");
    folder
}

/// Equality where numbers are compared as JavaScript has them.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => {
            a.as_f64().map(f64::to_bits) == b.as_f64().map(f64::to_bits)
        }
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|o| same(v, o)))
        }
        _ => a == b,
    }
}

#[test]
fn extraction_agrees_with_an_independent_implementation() {
    let folder = installed();
    let resources = stored();
    let work = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let types: BTreeSet<_> =
        resources.iter().map(|r| r["resourceType"].as_str().unwrap().to_owned()).collect();
    let mut parameters: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for name in &types {
        let list = definitions().search_parameters(name).map(|p| (p.code, p.expression));
        parameters.insert(name, list.collect());
    }
    std::fs::write(work.join("parameters.json"), serde_json::to_vec(&parameters).unwrap()).unwrap();
    let lines: Vec<_> = resources.iter().map(Json::to_string).collect();
    std::fs::write(work.join("resources.ndjson"), lines.join("\n")).unwrap();
    let output = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer/peer.js"))
        .arg(&folder)
        .arg(work.join("parameters.json"))
        .arg(work.join("resources.ndjson"))
        .output()
        .expect("this test needs node (Debian: apt-get install nodejs)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: Vec<Json> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(theirs.len(), resources.len());

    let (mut compared, mut values, mut with_values) = (0, 0, BTreeSet::new());
    let mut differences = BTreeMap::new();
    for (resource, theirs) in resources.iter().zip(&theirs) {
        let name = resource["resourceType"].as_str().unwrap();
        assert!(index(resource).unwrap().is_some());
        for (code, _) in &parameters[name] {
            let ours = Json::Array(parameter_values(resource, code).unwrap());
            compared += 1;
            let count = ours.as_array().map_or(0, Vec::len);
            values += count;
            if count > 0 {
                with_values.insert(format!("{name}.{code}"));
            }
            if !same(&ours, &theirs[*code]) {
                differences
                    .entry(format!("{name}.{code}"))
                    .or_insert_with(|| format!("{ours} against {}", theirs[*code]));
            }
        }
    }
    println!(
        "{compared} evaluations on {} resources, {values} values, {} parameters with values",
        resources.len(),
        with_values.len()
    );
    assert!(differences.is_empty(), "{differences:#?}");
    assert!(with_values.len() > 80, "only {}: {with_values:?}", with_values.len());
}
