//! pyarrow from PyPI reads the lake's files, and Salus reads pyarrow's, with keys behind the real
//! `salus keys serve`.

use crate::keyserver::{Mode, World};

const PACKAGES: &[&str] = &["hvac==2.4.0", "pyarrow==26.0.1"];

#[tokio::test(flavor = "multi_thread")]
async fn pyarrow_reads_every_mode_and_salus_reads_what_pyarrow_encrypted() {
    let world = World::new().await;
    world.create_keys("foreign").await;
    let writer = world.token(&["foreign.*"]);
    let folder = world.site.path("sources");
    std::fs::create_dir(&folder).unwrap();
    let shown = folder.display().to_string();
    let script = "write_lake_sources.py";
    world.python(PACKAGES, script, &writer, vec![shown], vec![]).await;

    // From plaintext into each mode of the lake, and from each of pyarrow's modes into one.
    let plain = folder.join("plain.parquet");
    let mut datasets = Vec::new();
    for mode in Mode::all() {
        let dataset = mode.dataset();
        assert_eq!(world.import(mode.schema(&dataset), &plain).await.unwrap(), 500);
        datasets.push(dataset);
    }
    let mut foreign = 0;
    let strict = Mode { bits: 256, wrapping: "double", footer: "encrypted", material: "external" };
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_none_or(|e| e != "parquet") || stem == "plain" {
            continue;
        }
        let beside = folder.join(format!("_KEY_MATERIAL_FOR_{stem}.parquet.json"));
        assert_eq!(beside.exists(), stem.contains("external"), "{stem}");
        let dataset = format!("from-{stem}");
        assert_eq!(world.import(strict.schema(&dataset), &path).await.unwrap(), 500, "{stem}");
        datasets.push(dataset);
        foreign += 1;
    }
    assert_eq!((datasets.len(), foreign), (32, 16));

    let all = world.token(&["lake.*", "*.footer"]);
    let limited = world.token(&["lake.identifiers", "lake.clinical", "lake.freetext", "*.footer"]);
    let mut args = vec![plain.display().to_string(), limited];
    args.extend(datasets.iter().map(|d| world.export(d, "pyarrow").display().to_string()));
    let printed = world.python(PACKAGES, "read_lake_files.py", &all, args, vec![]).await;
    assert!(printed.contains("32 datasets read as written"), "{printed}");
}

fn words(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn import_of_encrypted_parquet_takes_its_keys_from_a_vault_and_names_what_it_lacks() {
    let mut world = World::new().await;
    world.create_keys("foreign").await;
    let writer = world.token(&["foreign.*"]);
    let folder = world.site.path("sources");
    std::fs::create_dir(&folder).unwrap();
    let shown = folder.display().to_string();
    world.python(PACKAGES, "write_lake_sources.py", &writer, vec![shown], vec![]).await;
    let file = |name: &str| folder.join(name).display().to_string();
    let encrypted = file("double-external-encrypted-256.parquet");
    let ca = world.ca().display().to_string();
    let secret = |name: &str, token: &str| {
        let path = world.site.path(name);
        std::fs::write(&path, format!("{token}\n")).unwrap();
        path.display().to_string()
    };
    let import = |extra: &[&str]| -> Vec<String> {
        let all = [&["import", encrypted.as_str()], extra].concat();
        all.into_iter().map(str::to_owned).collect()
    };

    // The proposal needs the footer's key alone.
    let footer = secret("footer-token", &world.token(&["foreign.footer"]));
    let endpoint = ["--parquet-kms-url", world.url.as_str(), "--parquet-ca-file", ca.as_str()];
    let with = |token: &str, more: &[&str]| {
        let all = [&endpoint[..], &["--parquet-token-file", token], more].concat();
        import(&all)
    };
    let proposed = world.site.salus(&words(&with(&footer, &["--propose", "--dataset", "stays"])));
    let text = String::from_utf8(proposed.stdout).unwrap();
    assert!(proposed.status.success(), "{}", String::from_utf8_lossy(&proposed.stderr));
    assert!(text.contains("type = \"map\"") && text.contains("name = \"system\""), "{text}");
    let schema = world.site.path("stays.toml");
    std::fs::write(&schema, &text).unwrap();
    let schema = schema.display().to_string();

    // Without a column's key: refused, naming column and key, and nothing is published.
    let limited = secret(
        "limited-token",
        &world.token(&["foreign.footer", "foreign.identifiers", "foreign.clinical"]),
    );
    let (code, message) = world.site.failure(&words(&with(&limited, &["--schema", &schema])));
    assert_eq!(code, 3, "{message}");
    let told = ["'foreign.quasi'", "column 'codings.list.element.value'", "double-external"];
    assert!(told.iter().all(|t| message.contains(t)), "{message}");
    let (code, _) = world.site.failure(&["dataset", "show", "stays"]);
    assert_eq!(code, 2);

    // What is not wanted needs no key.
    let mut without: Vec<&str> = text.split("[[column]]").collect();
    without.retain(|c| {
        !["codings", "tags", "address", "note"]
            .iter()
            .any(|n| c.contains(&format!("name = \"{n}\"")))
    });
    let without = without.join("[[column]]").replace(
        "dataset = \"stays\"",
        "dataset = \"part\"\nignore = [\"codings\", \"tags\", \"address\", \"note\"]",
    );
    let part = world.site.path("part.toml");
    std::fs::write(&part, without).unwrap();
    let part = part.display().to_string();
    let report = world.site.json(&words(&with(&limited, &["--schema", &part])));
    assert_eq!(report[0]["accepted"], 500, "{report}");

    let all = secret("all-token", &world.token(&["foreign.*"]));
    let report = world.site.json(&words(&with(&all, &["--schema", &schema])));
    assert_eq!(report[0]["accepted"], 500, "{report}");
    // Here the site's own key store has the keys too.
    let report = world.site.json(&words(&import(&["--schema", &schema])));
    assert_eq!(report[0]["accepted"], 500, "{report}");
    // A revoked token is refused within a second by the running server.
    for issued in world.site.json(&["keys", "token", "list"]).as_array().unwrap() {
        let accessor = issued["accessor"].as_str().unwrap();
        world.site.json(&["keys", "token", "revoke", accessor]);
    }
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let (code, message) = world.site.failure(&words(&with(&all, &["--schema", &schema])));
    assert_eq!(code, 3, "{message}");
    let printed = world.stop();
    assert!(printed.contains("/v1/transit") && !printed.contains("hvs."), "{printed}");
    let sums = world.site.json(&["sql", "SELECT count(*) AS n, count(pulse) AS p FROM stays"]);
    assert_eq!(sums[0]["n"], 1000, "{sums}");
    assert_eq!(sums[0]["p"], 2 * (500 - 39), "{sums}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exported_policy_says_what_it_takes_in_words_and_json() {
    let mut world = World::new().await;
    let csv = world.site.path("visits.csv");
    std::fs::write(&csv, "patient_id,pulse\np1,70\n").unwrap();
    let csv = csv.to_str().unwrap().to_owned();
    let proposed = world.site.salus(&["import", "--propose", &csv]);
    let schema = world.site.path("visits.toml");
    let text = String::from_utf8(proposed.stdout).unwrap();
    let settings = "[encryption]\nkey_bits = 128\nwrapping = \"single\"\n\
                    footer = \"signed-plaintext\"\nmaterial = \"internal\"\n\n[[column]]";
    std::fs::write(&schema, text.replacen("[[column]]", settings, 1)).unwrap();
    world.site.json(&["import", &csv, "--schema", schema.to_str().unwrap()]);

    let exported = world.site.json(&["keys", "export-policy", "visits"]);
    assert_eq!(exported["footer_key"], "visits.footer");
    assert_eq!(exported["kms_instance_url"], "https://HOST:8200");
    let properties = &exported["properties"];
    let wanted = [
        (
            "parquet.encryption.column.keys",
            "visits.clinical: pulse; visits.identifiers: patient_id",
        ),
        ("parquet.encryption.footer.key", "visits.footer"),
        ("parquet.encryption.double.wrapping", "false"),
        ("parquet.encryption.plaintext.footer", "true"),
        ("parquet.encryption.key.material.store.internally", "true"),
        ("parquet.encryption.data.key.length.bits", "128"),
        ("parquet.encryption.kek.length.bits", "128"),
    ];
    for (name, value) in wanted {
        assert_eq!(properties[name], value, "{name}");
    }
    let file = exported["files"][0].as_str().unwrap();
    assert!(std::path::Path::new(file).is_file(), "{file}");
    let words = world.site.salus(&["keys", "export-policy", "visits", "--kms-url", &world.url]);
    let words = String::from_utf8(words.stdout).unwrap();
    for told in [
        "parquet.encryption.column.keys = visits.clinical: pulse; visits.identifiers: patient_id",
        "Neither pyarrow nor Spark compares",
        "class TransitKms",
        "spark.read.parquet",
        file,
        &world.url,
    ] {
        assert!(words.contains(told), "{told}: {words}");
    }
    assert!(!words.contains('@'), "a place was not filled in: {words}");

    // Key material inside the files: rotation says that they keep the older versions.
    let rotated = world.site.salus(&["keys", "rotate", "visits.clinical"]);
    let rotated = String::from_utf8(rotated.stdout).unwrap();
    assert!(rotated.contains("1 files keep their key material inside"), "{rotated}");
    world.stop();
    let rows = world.site.json(&["sql", "SELECT pulse FROM visits"]);
    assert_eq!(rows[0]["pulse"], 70);
}
