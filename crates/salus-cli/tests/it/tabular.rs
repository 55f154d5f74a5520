use crate::site::{Site, copy};

const VISITS: &str = "patient_id,zip,pulse,note\n\
                      p1,01234,70,calm\n\
                      p2,98765,fast,SECRETMARKER\n\
                      p3,98765,81,\n";

/// A site with the visits imported: two rows, one quarantined.
fn site_with_visits() -> Site {
    let site = Site::new();
    let csv = site.path("visits.csv");
    std::fs::write(&csv, VISITS.replace("fast", "80")).unwrap();
    let csv = csv.to_str().unwrap().to_owned();
    let proposed = site.salus(&["import", "--propose", &csv]);
    assert!(proposed.status.success(), "{}", String::from_utf8_lossy(&proposed.stderr));
    let schema = site.path("visits.toml");
    std::fs::write(&schema, proposed.stdout).unwrap();
    std::fs::write(&csv, VISITS).unwrap();
    let report = site.json(&["import", &csv, "--schema", schema.to_str().unwrap()]);
    assert_eq!(report[0]["accepted"], 2, "{report}");
    assert_eq!(report[0]["quarantined"], 1, "{report}");
    assert_eq!(report[0]["quarantine"], "visits_quarantine", "{report}");
    site
}

#[test]
fn an_import_wants_its_schema_confirmed() {
    let site = Site::new();
    let csv = site.path("visits.csv");
    std::fs::write(&csv, VISITS).unwrap();
    let (code, message) = site.failure(&["import", csv.to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(message.contains("confirmed by a person"), "{message}");
    assert!(message.contains("class = \"identifiers\""), "{message}");
}

#[test]
fn a_revoked_key_refuses_exactly_its_columns() {
    let site = site_with_visits();
    let rows = site.json(&["sql", "SELECT patient_id, pulse FROM visits ORDER BY patient_id"]);
    assert_eq!(
        rows.to_string(),
        r#"[{"patient_id":"p1","pulse":70},{"patient_id":"p3","pulse":81}]"#
    );

    site.json(&["keys", "revoke", "visits.clinical"]);
    let (code, message) = site.failure(&["sql", "SELECT pulse FROM visits"]);
    assert_eq!(code, 3, "{message}");
    assert!(message.contains("pulse") && message.contains("visits.clinical"), "{message}");
    let others = site.json(&["sql", "SELECT zip FROM visits ORDER BY zip"]);
    assert_eq!(others.to_string(), r#"[{"zip":"01234"},{"zip":"98765"}]"#);
    site.json(&["keys", "reinstate", "visits.clinical"]);
    assert_eq!(site.json(&["sql", "SELECT count(pulse) AS n FROM visits"])[0]["n"], 2);
}

#[test]
fn rotation_rewrites_no_data_and_everything_still_opens() {
    let site = site_with_visits();
    let before = site.json(&["dataset", "show", "visits"]);
    let rotated = site.json(&["keys", "rotate", "visits.identifiers"]);
    assert_eq!(rotated["versions"], 2, "{rotated}");
    assert_eq!(rotated["files"], 1, "{rotated}");
    let after = site.json(&["dataset", "show", "visits"]);
    assert_eq!(before["root"], after["root"]);
    assert_eq!(site.json(&["sql", "SELECT count(patient_id) AS n FROM visits"])[0]["n"], 2);
    let verified = site.json(&["dataset", "verify"]);
    assert!(verified.as_array().unwrap().iter().all(|v| v["findings"] == serde_json::json!([])));
}

#[test]
fn a_destroyed_key_is_not_got_back_from_a_backup_of_the_lake() {
    let site = site_with_visits();
    let (lake, backup) = (site.path("site/lake"), site.path("backup"));
    copy(&lake, &backup);
    let (code, _) =
        site.failure(&["keys", "shred", "visits.identifiers", "--yes-destroy", "other"]);
    assert_eq!(code, 2);
    site.json(&["keys", "shred", "visits.identifiers", "--yes-destroy", "visits.identifiers"]);
    std::fs::remove_dir_all(&lake).unwrap();
    copy(&backup, &lake);
    let (_, message) = site.failure(&["sql", "SELECT patient_id FROM visits"]);
    assert!(message.contains("visits.identifiers"), "{message}");
    assert!(!message.contains("p1"), "{message}");
    assert_eq!(site.json(&["sql", "SELECT count(zip) AS n FROM visits"])[0]["n"], 2);
}

#[test]
fn an_analyst_gets_null_and_a_stranger_role_a_refusal() {
    let site = site_with_visits();
    let sql = "SELECT patient_id, pulse FROM visits ORDER BY pulse LIMIT 1";
    let rows = site.json(&["sql", sql, "--role", "analyst"]);
    assert_eq!(rows.to_string(), r#"[{"patient_id":null,"pulse":70}]"#);
    let (code, message) = site.failure(&["sql", sql, "--role", "janitor"]);
    assert_eq!(code, 3, "{message}");
}

#[test]
fn a_tampered_file_is_found_and_refused() {
    let site = site_with_visits();
    let data = site.path("site/lake/datasets/visits/data");
    let file = std::fs::read_dir(data)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "parquet"))
        .unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 4;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (code, message) = site.failure(&["dataset", "verify", "visits"]);
    assert_eq!(code, 5, "{message}");
    let (code, message) = site.failure(&["sql", "SELECT patient_id, zip, pulse, note FROM visits"]);
    assert_eq!(code, 5, "{message}");
}

#[test]
fn wrong_requests_have_their_exit_codes_and_remedies() {
    let site = site_with_visits();
    let (code, message) = site.failure(&["sql", "SELEC 1"]);
    assert_eq!(code, 2, "{message}");
    let (code, message) = site.failure(&["sql", "DROP TABLE visits"]);
    assert!(code == 2 || code == 3, "{code}: {message}");
    let (code, message) = site.failure(&["dataset", "show", "nothing"]);
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("there is no dataset nothing"), "{message}");
    let wrong = site
        .command(&["dataset", "list"])
        .env("SALUS_PASSPHRASE", "incorrect horse battery")
        .output()
        .unwrap();
    assert!(!wrong.status.success());
    let nowhere =
        site.command(&["dataset", "list"]).arg("--site").arg("/nonexistent").output().unwrap();
    let message = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(message.contains("salus init"), "{message}");
}

#[test]
fn the_doctor_finds_a_broken_roles_file() {
    let site = site_with_visits();
    let well = site.json(&["doctor"]);
    assert!(well.as_array().unwrap().iter().all(|f| f["ok"] == true), "{well}");
    std::fs::write(site.path("site/roles.toml"), "format = 1\npolicies = 'permit('\n").unwrap();
    let output = site.salus(&["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    assert!(text.contains("MEND  roles") && text.contains("roles.toml, line 2"), "{text}");
}

#[test]
fn a_parquet_file_compressed_as_a_whole_is_refused_with_what_to_do() {
    let site = Site::new();
    let path = site.path("visits.parquet.gz");
    std::fs::write(&path, b"\x1f\x8b").unwrap();
    let (code, message) = site.failure(&["import", "--propose", path.to_str().unwrap()]);
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("unpack it first"), "{message}");
}
