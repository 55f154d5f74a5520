//! What a pull refuses, and to whom its credentials never go.

use std::os::unix::fs::PermissionsExt as _;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use salus_ingest::fhir::pull::*;
use serde_json::json;

use crate::bulk_server::{BulkServer, bytes_below, observation, patient};
use crate::site::TestSite;

async fn two_patients() -> BulkServer {
    let server = BulkServer::start();
    server.store(vec![patient("p1", "One"), patient("p2", "Two")]).await;
    server
}

fn client(server: &BulkServer, key: &str, key_id: Option<&str>) -> SourceConfig {
    let mut config = server.config();
    config.client_id = Some("salus-site".to_owned());
    config.key = Some(server.file(key));
    config.key_id = key_id.map(str::to_owned);
    config
}

/// A client with a token that is no secret of the test's own making, and knobs that demand it.
async fn with_token(server: &BulkServer) -> SourceConfig {
    let file = server.file("token");
    std::fs::write(&file, "TOKEN-MARKER\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    server.control(json!({"auth": true, "static_token": "TOKEN-MARKER"})).await;
    let mut config = server.config();
    config.token_file = Some(file);
    config
}

/// Requests that the other origin got, and those of them that showed a credential.
async fn other_saw(server: &BulkServer) -> (usize, usize) {
    let log = server.log().await;
    let other: Vec<_> = log.iter().filter(|e| e["other"] == true).collect();
    let shown = other.iter().filter(|e| !e["authorization"].is_null()).count();
    (other.len(), shown)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_key_signs_in() {
    let server = two_patients().await;
    server.control(json!({"auth": true})).await;
    let site = TestSite::new();
    let keys = [
        ("rsa.pem", Some("rsa-1"), "RS384"),
        ("rsa-pkcs1.pem", Some("rsa-1"), "RS384"),
        ("rsa.jwk", None, "RS384"),
        ("ec.pem", Some("ec-1"), "ES384"),
        ("ec-sec1.pem", Some("ec-1"), "ES384"),
        ("ec.jwk", None, "ES384"),
    ];
    for (file, key_id, algorithm) in keys {
        site.pull(&client(&server, file, key_id)).await.unwrap_or_else(|e| panic!("{file}: {e}"));
        let log = server.log().await;
        let signed = log.iter().rev().find(|e| e["path"] == "/token").unwrap();
        assert_eq!(signed["alg"], algorithm, "{file}");
        assert_eq!(signed["scope"], "system/*.rs");
    }
    let mut config = client(&server, "ec.jwk", None);
    config.types = vec!["Patient".to_owned()];
    config.scope = None;
    site.pull(&config).await.unwrap();
    let log = server.log().await;
    let signed = log.iter().rev().find(|e| e["path"] == "/token").unwrap();
    assert_eq!(signed["scope"], "system/Patient.rs");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_do_not_fit_are_refused() {
    let server = two_patients().await;
    server.control(json!({"auth": true})).await;
    let site = TestSite::new();
    // A key that the server does not know, under a name that it does.
    let refused = site.pull(&client(&server, "stranger.pem", Some("ec-1"))).await.unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, PullError::Status { status: 400, .. }), "{said}");
    assert!(said.contains("invalid_client") && said.contains("InvalidSignature"), "{said}");
    let refused = site.pull(&client(&server, "ec.pem", Some("nobody"))).await.unwrap_err();
    assert!(refused.to_string().contains("unknown kid"), "{refused}");
    // Without any credential.
    let refused = site.pull(&server.config()).await.unwrap_err();
    assert!(matches!(refused, PullError::Status { status: 401, .. }), "{refused}");

    let open = |config: &SourceConfig| config.open(std::path::Path::new("/")).map(|_| ());
    let small = open(&client(&server, "p256.pem", Some("x"))).unwrap_err();
    assert!(matches!(small, SourceError::KeyFile(KeyFileError::Kind { .. })), "{small}");
    let nameless = open(&client(&server, "ec.pem", None)).unwrap_err();
    assert!(matches!(nameless, SourceError::KeyFile(KeyFileError::NoKeyId)), "{nameless}");
    let public = open(&client(&server, "jwks.json", Some("x"))).unwrap_err();
    assert!(matches!(public, SourceError::KeyFile(KeyFileError::Format { .. })), "{public}");
    for mode in [0o640, 0o604] {
        let file = server.file("ec.pem");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let shared = open(&client(&server, "ec.pem", Some("ec-1"))).unwrap_err();
        assert!(matches!(shared, SourceError::KeyFile(KeyFileError::Readable { .. })), "{shared}");
    }
    let mut far = SourceConfig::new("https://h.example/fhir".parse().unwrap());
    assert!(matches!(open(&far), Err(SourceError::NoCredential { .. })));
    far.client_id = Some("x".to_owned());
    assert!(matches!(open(&far), Err(SourceError::Credentials)));
    assert!("http://h.example/fhir".parse::<BaseUrl>().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_runs_out_or_is_revoked_is_renewed() {
    let server = two_patients().await;
    server.control(json!({"auth": true, "token_life": 1, "polls": 20, "busy_tokens": 2})).await;
    let site = TestSite::new();
    let config = client(&server, "ec.jwk", None);
    let mut source = crate::bulk_server::source(&config);
    source.pace.first = std::time::Duration::from_millis(100);
    source.pace.most = source.pace.first;
    let puller = Puller::open(source, site.pull_into().await).await.unwrap();
    assert_eq!(puller.pull(|_| ()).await.unwrap().accepted, 2);
    // Two were refused as busy; after that one came every half second.
    let renewed = server.asked("POST", "/token").await;
    assert!((4..=12).contains(&renewed), "{renewed} tokens");

    server.control(json!({"token_life": 300, "polls": 1})).await;
    puller.pull(|_| ()).await.unwrap();
    let before = server.asked("POST", "/token").await;
    server.revoke_tokens().await;
    puller.pull(|_| ()).await.unwrap();
    assert_eq!(server.asked("POST", "/token").await, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_origin_ever_sees_the_token() {
    let server = two_patients().await;
    let config = with_token(&server).await;

    // A manifest names another host and wants the token shown to it.
    server.control(json!({"files_at_other": true})).await;
    let refused = TestSite::new().pull(&config).await.unwrap_err();
    assert!(matches!(refused, PullError::ForeignToken { .. }), "{refused}");
    assert_eq!(other_saw(&server).await, (0, 0));

    // The job's own address at another host.
    server.control(json!({"files_at_other": false, "status_at_other": true})).await;
    let refused = TestSite::new().pull(&config).await.unwrap_err();
    assert!(matches!(refused, PullError::ForeignToken { .. }), "{refused}");
    assert_eq!(other_saw(&server).await, (0, 0));

    // A redirect to another host that no manifest names.
    server.control(json!({"status_at_other": false, "redirect_files": "other"})).await;
    let refused = TestSite::new().pull(&config).await.unwrap_err();
    assert!(matches!(refused, PullError::Redirected { .. }), "{refused}");
    assert_eq!(other_saw(&server).await, (0, 0));

    // The next page of a search at another host.
    let knobs = json!({"redirect_files": null, "bulk": false, "next_at_other": true, "page": 1});
    server.control(knobs).await;
    let refused = TestSite::new().pull(&config).await.unwrap_err();
    assert!(matches!(refused, PullError::ForeignToken { .. }), "{refused}");
    assert_eq!(other_saw(&server).await, (0, 0));

    // Files at another host that need no token come, and without one.
    let knobs = json!({"bulk": true, "files_at_other": true, "requires_token": false});
    server.control(knobs).await;
    let report = TestSite::new().pull(&config).await.unwrap();
    assert_eq!(report.accepted, 2);
    let (asked, shown) = other_saw(&server).await;
    assert!(asked > 0);
    assert_eq!(shown, 0);

    // A redirect within the server is followed with the token.
    let knobs = json!({"files_at_other": false, "requires_token": true, "redirect_files": "same"});
    server.control(knobs).await;
    assert_eq!(TestSite::new().pull(&config).await.unwrap().accepted, 2);
    assert_eq!(other_saw(&server).await.1, 0);

    // A host that a person listed may see it.
    server.control(json!({"redirect_files": null, "files_at_other": true})).await;
    let mut trusting = config.clone();
    trusting.trusted = vec![server.other.clone().try_into().unwrap()];
    assert_eq!(TestSite::new().pull(&trusting).await.unwrap().accepted, 2);
    assert_eq!(other_saw(&server).await.1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_our_own_authority_is_accepted_and_no_other() {
    let server = two_patients().await;
    let mut config = with_token(&server).await;
    config.url = format!("{}/fhir", server.tls).parse().unwrap();
    let refused = TestSite::new().pull(&config).await.unwrap_err();
    assert!(matches!(refused, PullError::Unreachable { .. }), "{refused}");
    config.ca = Some(server.file("ca.pem"));
    assert_eq!(TestSite::new().pull(&config).await.unwrap().accepted, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_file_goes_to_quarantine_with_its_line() {
    let server = BulkServer::start();
    server.store(vec![patient("p1", "One"), observation("o1", "p1")]).await;
    let conflict = json!({
        "resourceType": "Patient", "id": "twice",
        "meta": {"versionId": "1", "lastUpdated": "2026-01-01T00:00:00Z"}, "active": true,
    });
    let mut other = conflict.clone();
    other["active"] = json!(false);
    let lines = [
        observation("misplaced", "p1").to_string(),
        "{\"resourceType\": \"Patient\", \"id\": \"bad\", \"gender\": \"SECRETVALUE\"}".to_owned(),
        "{\"resourceType\": \"Patient\"}".to_owned(),
        conflict.to_string(),
        conflict.to_string(),
        other.to_string(),
        "{\"resourceType\": \"Patient\", \"id\": \"cut\", \"na@".to_owned(),
    ];
    let error = json!({"resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "exception", "diagnostics": "Patient/x"}]});
    server
        .control(json!({"extra_lines": {"Patient": lines}, "errors": [error], "count_off": 2}))
        .await;
    let site = TestSite::new();
    let report = site.pull(&server.config()).await.unwrap();
    assert_eq!((report.accepted, report.unchanged), (3, 1), "{:?}", report.reasons);
    let rows = site.rows("fhir_resources_quarantine").await;
    let column = |name: &str| rows.column_by_name(name).unwrap().as_string::<i32>().clone();
    let (sources, fields, reasons) = (column("source"), column("field"), column("reason"));
    let places = rows.column_by_name("line").unwrap().as_primitive::<Int64Type>().clone();
    let mut found: Vec<_> = (0..rows.num_rows())
        .map(|i| (sources.value(i), places.value(i), fields.value(i), reasons.value(i)))
        .collect();
    found.sort_unstable();
    let shown: Vec<_> = found.iter().map(|(s, line, f, _)| (*s, *line, *f)).collect();
    let wanted = [
        ("Observation.00001.ndjson", 0, "manifest.output.count"),
        ("Patient.00002.ndjson", 0, "manifest.output.count"),
        ("Patient.00002.ndjson", 2, "resourceType"),
        ("Patient.00002.ndjson", 3, "Patient.gender"),
        ("Patient.00002.ndjson", 4, "Patient.id"),
        ("Patient.00002.ndjson", 7, "Patient.meta.versionId"),
        ("Patient.00002.ndjson", 8, ""),
        ("error.00003.ndjson", 1, ""),
    ];
    assert_eq!(shown, wanted, "{found:?}");
    let reason = |at: usize| found[at].3;
    assert_eq!(reason(1), "the manifest promises 10, the file has 8");
    assert_eq!(reason(2), "the manifest says that the file is of Patient");
    assert!(reason(6).contains("ends too early"), "{}", reason(6));
    assert!(reason(7).contains("(exception)"), "{}", reason(7));
    assert!(!found.iter().any(|row| row.3.contains("SECRETVALUE")));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_two_servers_do_not_meet() {
    let (one, two) = (two_patients().await, BulkServer::start());
    two.store(vec![patient("p1", "Somebody else"), patient("q1", "Other")]).await;
    let site = TestSite::new();
    site.pull(&one.config()).await.unwrap();
    let report = site.pull(&two.config()).await.unwrap();
    assert_eq!((report.accepted, report.quarantined), (1, 1));
    assert_eq!(report.reasons[0].field, "Patient.id");
    let kept = site.column("fhir_resources", "resource").await.join("\n");
    assert!(kept.contains("One") && !kept.contains("Somebody else"));
    // Nor can one delete what is the other's.
    two.delete(&["Patient/p1"]).await;
    let report = site.pull(&two.config()).await.unwrap();
    assert_eq!((report.deleted, report.quarantined), (0, 1));
    assert_eq!(site.column("patients", "id").await, ["p1", "p2", "q1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_on_disk_or_in_a_message() {
    // Six bytes and more: ciphertext of a megabyte has one of them by chance once in 10^8 runs.
    const PLANTED: [&str; 6] = [
        "SECRET-SIGNATURE",
        "/jobs/",
        "TOKEN-MARKER",
        "planted-patient-id",
        "Planted-Family-Name",
        "Patient/planted",
    ];
    let server = BulkServer::start();
    let mut patients = vec![patient("planted-patient-id", "Planted-Family-Name")];
    patients.extend((0..20).map(|n| patient(&format!("other-{n}"), "Other")));
    server.store(patients).await;
    let config = with_token(&server).await;
    let site = TestSite::new();
    // Cut off when the planted patient has come, so that addresses are kept, and what came if it were.
    let knobs = json!({"gzip": false, "ranges": false, "break_at": 300, "breaks": 1_000_000});
    server.control(knobs).await;
    let refused = site.pull(&config).await.unwrap_err();
    let mut said = format!("{refused} {refused:?}");
    server.control(json!({"breaks": 0, "failed": true})).await;
    let site_two = TestSite::new();
    let failed = site_two.pull(&config).await.unwrap_err();
    assert!(matches!(failed, PullError::Status { status: 500, .. }), "{failed}");
    said.push_str(&format!("{failed} {failed:?}"));
    let folder = site.folder.path().join("pull");
    assert!(folder.join(format!("{}.state", SourceName::of(&config.url))).exists());
    let nothing_of_it_in = |bytes: &[u8], said: &str| {
        for marker in PLANTED {
            let found = bytes.windows(marker.len()).any(|w| w == marker.as_bytes());
            assert!(!found, "{marker} is on disk");
            assert!(!said.contains(marker), "{marker} is in: {said}");
        }
    };
    nothing_of_it_in(&bytes_below(site.folder.path()), &said);
    assert!(!said.contains("MARKER-1"), "{said}");
    let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);

    // State of another site, or altered, is not believed.
    let file = folder.join(format!("{}.state", SourceName::of(&config.url)));
    let mut sealed = std::fs::read(&file).unwrap();
    *sealed.last_mut().unwrap() ^= 1;
    std::fs::write(&file, sealed).unwrap();
    let refused = site.pull(&config).await.unwrap_err();
    assert!(matches!(refused, PullError::Sealed(_)), "{refused}");

    // Nor when all of it came, and is in the lake.
    server.control(json!({"failed": false})).await;
    let report = site_two.pull(&config).await.unwrap();
    assert_eq!(report.accepted, 21);
    let kept = site_two.column("fhir_resources", "resource").await.join("\n");
    assert!(kept.contains("Planted-Family-Name"));
    nothing_of_it_in(&bytes_below(site_two.folder.path()), &format!("{report:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold() {
    let server = two_patients().await;
    let site = TestSite::new();
    let mut source = crate::bulk_server::source(&server.config());
    source.limits.file_bytes = 100;
    let puller = Puller::open(source, site.pull_into().await).await.unwrap();
    let refused = puller.pull(|_| ()).await.unwrap_err();
    assert!(matches!(refused, PullError::TooLong { most: 100, .. }), "{refused}");
    let second = Puller::open(crate::bulk_server::source(&server.config()), site.pull_into().await);
    assert!(matches!(second.await, Err(PullError::Busy)));
}
