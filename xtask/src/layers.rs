//! Layers point strictly down; a pure crate has no I/O.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// Every crate with its layer. A crate that is not listed fails the check.
const LAYERS: &[(&str, u8)] = &[
    ("salus-model", 0),
    ("salus-crypto", 1),
    ("salus-ledger", 1),
    ("salus-attest", 1),
    ("salus-spine", 1),
    ("salus-dp", 1),
    ("salus-synth", 1),
    ("salus-learn", 1),
    ("salus-deid", 1),
    ("salus-mpc", 1),
    ("salus-he", 1),
    ("salus-fhir", 1),
    ("salus-ecg", 1),
    ("salus-console", 2),
    ("salus-keys", 2),
    ("salus-store", 2),
    ("salus-private", 2),
    ("salus-query", 2),
    ("salus-files", 3),
    ("salus-ingest", 3),
    ("salus-collect", 3),
    ("salus-validator", 3),
    ("salus-accounts", 3),
    ("salus-node", 3),
    ("salus-api", 3),
    ("salus-cli", 4),
    // Beside the layers: may use anything, and only tests and people use them.
    ("salus-testkit", 9),
    ("salus-bench", 9),
    ("salus-release-bench", 9),
    ("xtask", 9),
];

/// The uses allowed within a layer, user first.
const SIDEWAYS: &[(&str, &str)] = &[
    ("salus-ledger", "salus-crypto"),
    ("salus-attest", "salus-crypto"),
    ("salus-spine", "salus-crypto"),
    ("salus-spine", "salus-ledger"),
    ("salus-spine", "salus-attest"),
    ("salus-synth", "salus-dp"),
    ("salus-learn", "salus-dp"),
    ("salus-store", "salus-keys"),
    ("salus-private", "salus-store"),
    ("salus-query", "salus-keys"),
    ("salus-query", "salus-store"),
    ("salus-node", "salus-accounts"),
    ("salus-node", "salus-files"),
    ("salus-node", "salus-ingest"),
    ("salus-node", "salus-validator"),
    ("salus-api", "salus-accounts"),
    ("salus-api", "salus-validator"),
    ("salus-bench", "salus-testkit"),
    ("salus-release-bench", "salus-testkit"),
    ("salus-api", "salus-collect"),
    ("salus-api", "salus-files"),
    ("salus-api", "salus-ingest"),
    ("salus-api", "salus-node"),
];

/// What a crate of layer 0 or 1 must not use.
const IMPURE_CRATES: &[&str] =
    &["tokio", "reqwest", "hyper", "axum", "object_store", "parquet", "datafusion", "sqlx", "redb"];
const IMPURE_WORDS: &[&str] = &[
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "SystemTime::now",
    "Instant::now",
    "Utc::now",
    "thread_rng",
    "rand::rng()",
    "println!",
    "eprintln!",
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

/// Checks the whole workspace.
pub(crate) fn check() -> Result<()> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("cargo metadata does not start")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let mut faults = Vec::new();
    for package in &metadata.packages {
        faults.extend(faults_of(package)?);
    }
    if faults.is_empty() {
        println!("layers: {} crates, arrows point down", metadata.packages.len());
        Ok(())
    } else {
        bail!("layers are broken:\n  {}", faults.join("\n  "))
    }
}

fn faults_of(package: &Package) -> Result<Vec<String>> {
    let layers: BTreeMap<&str, u8> = LAYERS.iter().copied().collect();
    let Some(&layer) = layers.get(package.name.as_str()) else {
        return Ok(vec![format!("{} has no layer in xtask/src/layers.rs", package.name)]);
    };
    let mut faults = Vec::new();
    let shipped = package.dependencies.iter().filter(|d| d.kind.as_deref() != Some("dev"));
    for dependency in shipped {
        let (user, used) = (package.name.as_str(), dependency.name.as_str());
        if let Some(&below) = layers.get(used)
            && (below > layer || (below == layer && !SIDEWAYS.contains(&(user, used))))
        {
            faults.push(format!("{user} (layer {layer}) must not use {used} (layer {below})"));
        }
        if layer <= 1 && IMPURE_CRATES.contains(&used) {
            faults.push(format!("{user} is pure and must not use {used}"));
        }
    }
    if layer <= 1 {
        let source = package.manifest_path.with_file_name("src");
        impure_words(&source, &mut faults)?;
    }
    Ok(faults)
}

fn impure_words(folder: &Path, faults: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "tests" {
                impure_words(&path, faults)?;
            }
        } else if name.ends_with(".rs") && !name.contains("tests") {
            let text = fs::read_to_string(&path)?;
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for word in IMPURE_WORDS.iter().filter(|w| code.contains(**w)) {
                    faults.push(format!("{}:{} uses {word}", path.display(), number + 1));
                }
            }
        }
    }
    Ok(())
}
