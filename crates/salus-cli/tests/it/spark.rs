//! Spark from PyPI, on Debian's JDK, reads the lake's files, and Salus reads Spark's, with keys
//! behind the real `salus keys serve`.

use std::path::{Path, PathBuf};

use salus_testkit::program;

use crate::keyserver::{Mode, World};

const PYARROW: &[&str] = &["hvac==2.4.0", "pyarrow==26.0.1"];
const PYSPARK: &[&str] = &["pyspark==4.3.0"];

/// The mode that Spark sites use most first; each setting occurs in both its values.
const MODES: [Mode; 5] = [
    Mode { bits: 256, wrapping: "double", footer: "signed-plaintext", material: "external" },
    Mode { bits: 256, wrapping: "double", footer: "encrypted", material: "external" },
    Mode { bits: 256, wrapping: "single", footer: "encrypted", material: "internal" },
    Mode { bits: 128, wrapping: "double", footer: "signed-plaintext", material: "internal" },
    Mode { bits: 128, wrapping: "single", footer: "encrypted", material: "external" },
];

fn parquet_in(folder: &Path) -> PathBuf {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut found: Vec<PathBuf> =
        entries.filter(|p| p.extension().is_some_and(|e| e == "parquet")).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn spark_reads_the_lake_and_salus_reads_what_spark_encrypted() {
    let javac = program("javac", "default-jdk-headless");
    let world = World::new().await;
    world.create_keys("foreign").await;
    let folder = world.site.path("spark");
    std::fs::create_dir(&folder).unwrap();
    let writer = world.token(&["foreign.*"]);
    let shown = folder.display().to_string();
    world.python(PYARROW, "write_lake_sources.py", &writer, vec![shown.clone()], vec![]).await;
    let plain = folder.join("plain.parquet");
    for mode in MODES {
        let dataset = mode.dataset();
        assert_eq!(world.import(mode.schema(&dataset), &plain).await.unwrap(), 500);
    }

    let all = world.token(&["lake.*", "*.footer"]);
    let limited = world.token(&["lake.identifiers", "lake.clinical", "lake.freetext", "*.footer"]);
    let client =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/spark/VaultTransitKms.java");
    let mut args = vec![javac.display().to_string(), client.display().to_string(), shown];
    args.extend([plain.display().to_string(), limited.clone()]);
    args.extend(MODES.map(|m| world.export(&m.dataset(), "spark").display().to_string()));
    let printed = world.python(PYSPARK, "spark_lake.py", &all, args, vec![]).await;
    assert!(printed.contains("5 datasets read and written by Spark"), "{printed}");

    // What Spark wrote, into the lake again, and compared there with the plain rows.
    let mut args = vec![plain.display().to_string(), limited];
    let mut written: Vec<PathBuf> =
        std::fs::read_dir(folder.join("out")).unwrap().map(|e| e.unwrap().path()).collect();
    written.sort();
    assert_eq!(written.len(), MODES.len() + 1);
    for (number, out) in written.iter().enumerate() {
        let dataset = format!("from-spark-{number}");
        let file = parquet_in(out);
        let imported = world.import(MODES[0].schema(&dataset), &file).await;
        assert_eq!(imported.unwrap(), 500, "{}", out.display());
        args.push(world.export(&dataset, "pyarrow").display().to_string());
    }
    let printed = world.python(PYARROW, "read_lake_files.py", &all, args, vec![]).await;
    assert!(printed.contains("6 datasets read as written"), "{printed}");
}
