//! Pulls from a Bulk Data server in a process of its own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use salus_ingest::fhir::pull::*;
use serde_json::{Value as Json, json};

use crate::bulk_server::{BulkServer, Counter, observation, patient, source};
use crate::site::TestSite;

async fn filled() -> BulkServer {
    let server = BulkServer::start();
    let mut resources: Vec<Json> =
        (0..5).map(|i| patient(&format!("p{i}"), &format!("Fam{i}"))).collect();
    resources.extend((0..7).map(|i| observation(&format!("o{i}"), &format!("p{}", i % 5))));
    // An id that two types share.
    resources.push(observation("p0", "p0"));
    server.store(resources).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_comes_whole_and_then_what_changes() {
    let (server, site) = (filled().await, TestSite::new());
    server.control(json!({"polls": 3, "retry_after": 0})).await;
    let config = server.config();
    let heard = Mutex::new(Vec::new());
    let puller = site.puller(&config).await;
    let report = puller.pull(|progress| heard.lock().unwrap().push(progress)).await.unwrap();
    assert_eq!((report.accepted, report.quarantined), (13, 0));
    assert_eq!(site.column("patients", "id").await, ["p0", "p1", "p2", "p3", "p4"]);
    assert_eq!(site.column("observations", "id").await.len(), 8);
    let heard = heard.into_inner().unwrap();
    assert!(heard.contains(&PullProgress::Waiting { said: "2 steps left".to_owned() }));
    assert!(heard.iter().any(|p| matches!(p, PullProgress::Taking { of: Some(2), .. })));
    // The job was removed when it was done with.
    assert_eq!(server.asked("DELETE", "/jobs/").await, 1);
    drop(puller);

    // Nothing is new: nothing changes.
    let version = site.version("fhir_resources").await;
    let report = site.pull(&config).await.unwrap();
    assert_eq!((report.accepted, report.deleted), (0, 0));
    assert_eq!(site.version("fhir_resources").await, version);

    // A new version of a patient hides no observation of the same id, and the other way round.
    server.store(vec![patient("p0", "Changed"), patient("p9", "New")]).await;
    server.delete(&["Observation/o3", "Patient/p4"]).await;
    let report = site.pull(&config).await.unwrap();
    assert_eq!((report.accepted, report.deleted), (2, 2));
    assert_eq!(site.column("patients", "id").await, ["p0", "p1", "p2", "p3", "p9"]);
    let observations = site.column("observations", "id").await;
    assert_eq!(observations, ["o0", "o1", "o2", "o4", "o5", "o6", "p0"]);
    let kept = site.column("fhir_resources", "id").await;
    assert_eq!(kept.len(), 12);
    assert_eq!(server.asked("GET", "_since=").await, 2);

    // Made again after its deletion.
    server.store(vec![patient("p4", "Back")]).await;
    assert_eq!(site.pull(&config).await.unwrap().accepted, 1);
    assert_eq!(site.column("patients", "id").await, ["p0", "p1", "p2", "p3", "p4", "p9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_thing_twice_changes_nothing() {
    let (server, site) = (filled().await, TestSite::new());
    let exact = observation("exact", "p1").to_string().replace("70.5,", "70.50,");
    let lines = json!({"Patient": ["{\"no\": 1}"], "Observation": [exact]});
    server.control(json!({"extra_lines": lines, "count_off": 1})).await;
    let mut config = server.config();
    config.name = Some("h".to_owned().try_into().unwrap());
    let first = site.pull(&config).await.unwrap();
    // One that is no resource, and two files whose counts are wrong.
    assert_eq!((first.accepted, first.quarantined), (14, 3));
    let kept = site.column("fhir_resources", "resource").await;
    assert!(kept.iter().any(|r| r.contains("70.50,")), "a decimal lost its digits");
    let quarantine = "fhir_resources_quarantine";
    let before = (
        site.version("fhir_resources").await,
        site.version("patients").await,
        site.rows(quarantine).await.num_rows(),
    );
    // Another request: what is kept of the first does not apply, and all comes again.
    config.since = Some("2000-01-01T00:00:00Z".parse().unwrap());
    let second = site.pull(&config).await.unwrap();
    assert_eq!((second.accepted, second.quarantined, second.unchanged), (0, 0, 15));
    let after = (
        site.version("fhir_resources").await,
        site.version("patients").await,
        site.rows(quarantine).await.num_rows(),
    );
    assert_eq!(before, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn types_groups_and_patients_are_asked_for() {
    let (server, site) = (filled().await, TestSite::new());
    let mut config = server.config();
    config.types = vec!["Patient".to_owned(), "Device".to_owned()];
    assert_eq!(site.pull(&config).await.unwrap().accepted, 5);
    config.level = Some("group/g.1".to_owned());
    site.pull(&config).await.unwrap();
    config.level = Some("patients".to_owned());
    site.pull(&config).await.unwrap();
    for path in ["/fhir/$export?", "/fhir/Group/g.1/$export?", "/fhir/Patient/$export?"] {
        assert_eq!(server.asked("GET", path).await, 1, "{path}");
    }
    let log = server.log().await;
    let kick_off = log.iter().find(|e| e["path"].as_str().unwrap().contains("$export")).unwrap();
    assert_eq!(kick_off["prefer"], "respond-async");
    assert_eq!(kick_off["accept"], "application/fhir+json");
    let path = kick_off["path"].as_str().unwrap();
    assert!(path.contains("_type=Device%2CPatient"), "{path}");
    assert!(path.contains("_outputFormat=application%2Ffhir%2Bndjson"), "{path}");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_connections_are_taken_up_where_they_broke() {
    for (gzip, ranges) in [(false, true), (false, false), (true, true)] {
        let (server, site) = (filled().await, TestSite::new());
        let knobs = json!({"gzip": gzip, "ranges": ranges, "break_at": 300, "breaks": 3});
        server.control(knobs).await;
        let report = site.pull(&server.config()).await.unwrap();
        assert_eq!((report.accepted, report.unchanged, report.quarantined), (13, 0, 0));
        let log = server.log().await;
        let resumed = log.iter().filter(|e| e["range"].is_string()).count();
        // Bytes that were compressed cannot be asked for from the middle.
        assert_eq!(resumed > 0, !gzip, "{gzip} {ranges}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_comes_is_not_mixed_with_the_other() {
    let (server, site) = (filled().await, TestSite::new());
    let knobs = json!({"gzip": false, "break_at": 300, "breaks": 1, "swap_after_break": true});
    server.control(knobs).await;
    let report = site.pull(&server.config()).await.unwrap();
    assert_eq!((report.accepted, report.quarantined), (13, 0));
    assert_eq!(server.asked("GET", "$export").await, 2);
    // Without end: an error that may pass, and nothing half.
    let site = TestSite::new();
    let knobs = json!({"ranges": false, "break_at": 300, "breaks": 1_000_000});
    server.control(knobs).await;
    let refused = site.pull(&server.config()).await.unwrap_err();
    assert!(refused.is_passing(), "{refused}");
    let lake = site.lake.snapshot(&"patients".parse().unwrap(), None).await.unwrap();
    assert!(lake.manifest().files.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_is_begun_anew() {
    let (server, site) = (filled().await, TestSite::new());
    server.control(json!({"job_gone": 1})).await;
    assert_eq!(site.pull(&server.config()).await.unwrap().accepted, 13);
    let site = TestSite::new();
    server.control(json!({"expired_files": 2})).await;
    assert_eq!(site.pull(&server.config()).await.unwrap().accepted, 13);
    let site = TestSite::new();
    server.control(json!({"expired_files": 1_000})).await;
    let refused = site.pull(&server.config()).await.unwrap_err();
    assert!(matches!(refused, PullError::Expired { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_waited_for() {
    let (server, site) = (filled().await, TestSite::new());
    let knobs = json!({"busy_polls": 6, "failing_polls": 2, "retry_after": 0, "polls": 2});
    server.control(knobs).await;
    assert_eq!(site.pull(&server.config()).await.unwrap().accepted, 13);
    // Not for ever.
    server.control(json!({"polls": 1_000_000})).await;
    let mut impatient = source(&server.config());
    impatient.pace.patience = Duration::from_millis(200);
    let puller = Puller::open(impatient, site.pull_into().await).await.unwrap();
    let before = server.asked("DELETE", "/jobs/").await;
    let refused = puller.pull(|_| ()).await.unwrap_err();
    assert!(matches!(refused, PullError::OutOfPatience { .. }), "{refused}");
    assert_eq!(server.asked("DELETE", "/jobs/").await, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_cut_off_goes_on_where_it_was() {
    let server = BulkServer::start();
    let site = TestSite::new();
    let resources = (0..400).map(|i| patient(&format!("p{i}"), &"x".repeat(200))).collect();
    server.store(resources).await;
    server.control(json!({"slow": 0.01, "gzip": false})).await;
    let mut config = source(&server.config());
    // A piece is some forty patients, so that several are done before the cut.
    config.limits.piece_bytes = 12 << 10;
    let puller = Puller::open(config, site.pull_into().await).await.unwrap();
    let seen = Counter::default();
    let cut = tokio::time::timeout(Duration::from_secs(60), async {
        tokio::select! {
            done = puller.pull(|progress| {
                if matches!(progress, PullProgress::Taking { records: 100.., .. }) {
                    seen.add();
                }
            }) => panic!("it was not cut off: {done:?}"),
            () = async { while seen.count() == 0 { tokio::time::sleep(Duration::from_millis(5)).await } } => {}
        }
    });
    cut.await.unwrap();
    // The blocking half of the import notices when its channel closes.
    drop(puller);
    server.control(json!({"slow": 0})).await;
    let report = loop {
        match Puller::open(source(&server.config()), site.pull_into().await).await {
            Err(PullError::Busy) => tokio::time::sleep(Duration::from_millis(20)).await,
            puller => break puller.unwrap().pull(|_| ()).await.unwrap(),
        }
    };
    assert!(report.accepted <= 350, "{} came again", report.accepted);
    assert!(report.accepted + report.unchanged <= 400);
    assert_eq!(report.quarantined, 0, "{:?}", report.reasons);
    let ids: BTreeSet<String> = site.column("patients", "id").await.into_iter().collect();
    assert_eq!(ids.len(), 400);
    assert_eq!(site.rows("patients").await.num_rows(), 400);
    assert_eq!(server.asked("GET", "$export").await, 1, "a new export was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_export_pages_and_the_history_do() {
    let (server, site) = (filled().await, TestSite::new());
    server.control(json!({"bulk": false})).await;
    let config = server.config();
    let report = site.pull(&config).await.unwrap();
    assert_eq!((report.accepted, report.quarantined), (13, 0), "{:?}", report.reasons);
    assert_eq!(site.column("patients", "id").await.len(), 5);
    // Several versions, a deletion, and one that was deleted and made again.
    server.store(vec![patient("p1", "Two"), patient("p1", "Three")]).await;
    server.delete(&["Observation/o3", "Patient/p2"]).await;
    server.store(vec![patient("p2", "Again")]).await;
    let report = site.pull(&config).await.unwrap();
    assert_eq!((report.accepted, report.deleted), (2, 1), "{report:?}");
    assert!(server.asked("GET", "/fhir/_history").await > 0);
    assert_eq!(site.column("patients", "id").await, ["p0", "p1", "p2", "p3", "p4"]);
    let kept = site.column("fhir_resources", "resource").await.join("\n");
    assert!(kept.contains("Three") && kept.contains("Again"));
    assert!(!kept.contains("Two") && !kept.contains("\"o3\""));
    // What it reaches back for changes nothing.
    let version = site.version("fhir_resources").await;
    assert_eq!(site.pull(&config).await.unwrap().accepted, 0);
    assert_eq!(site.version("fhir_resources").await, version);

    // Search alone, of one type; deletions cannot be seen, and it says so.
    server.control(json!({"history": false})).await;
    let site = TestSite::new();
    let mut config = server.config();
    config.types = vec!["Observation".to_owned()];
    let report = site.pull(&config).await.unwrap();
    assert_eq!(report.accepted, 7);
    assert_eq!(report.remarks.len(), 1);
    server.store(vec![observation("o9", "p0")]).await;
    assert_eq!(site.pull(&config).await.unwrap().accepted, 1);
    assert!(server.asked("GET", "_lastUpdated=ge").await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_through_failures_that_pass_and_ends_with_those_that_do_not() {
    let (server, site) = (filled().await, TestSite::new());
    let mut config = server.config();
    config.every_seconds = 1;
    let puller = site.puller(&config).await;
    let (taken, failed) = (Arc::new(Mutex::new(0)), Arc::new(Counter::default()));
    let (of_task, of_failures) = (Arc::clone(&taken), Arc::clone(&failed));
    let following = tokio::spawn(async move {
        puller
            .follow(
                |_| (),
                move |done| match done {
                    Ok(report) => *of_task.lock().unwrap() += report.accepted,
                    Err(_) => of_failures.add(),
                },
            )
            .await
    });
    let until = async |wanted: u64| {
        let waiting = async {
            while *taken.lock().unwrap() < wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap();
    };
    until(13).await;
    server.control(json!({"kick_off": [500, "down"]})).await;
    server.store(vec![patient("new", "New")]).await;
    while failed.count() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.control(json!({"kick_off": null})).await;
    until(14).await;
    server.control(json!({"kick_off": [403, "your registration has ended"]})).await;
    let ended = tokio::time::timeout(Duration::from_secs(60), following).await.unwrap().unwrap();
    assert!(matches!(ended, PullError::Status { status: 403, .. }), "{ended}");
    assert!(ended.to_string().contains("your registration has ended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_lake_gets_everything_anew() {
    let (server, site) = (filled().await, TestSite::new());
    let config = server.config();
    site.pull(&config).await.unwrap();
    // A lake that was put back to an empty one, under the same keys.
    std::fs::remove_dir_all(site.folder.path().join("lake/datasets")).unwrap();
    assert_eq!(site.pull(&config).await.unwrap().accepted, 13);
    assert_eq!(site.column("patients", "id").await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_nobody_answers_is_told_at_once() {
    let site = TestSite::new();
    let url = format!("http://127.0.0.1:{}/fhir", salus_testkit::free_port());
    let source = SourceConfig::new(url.parse().unwrap()).open(std::path::Path::new("/")).unwrap();
    assert_eq!(source.pace, Pace::CONSIDERATE);
    let puller = Puller::open(source, site.pull_into().await).await.unwrap();
    let refused = tokio::time::timeout(Duration::from_secs(10), puller.pull(|_| ())).await;
    let refused = refused.expect("it was patient with nobody").unwrap_err();
    assert!(matches!(refused, PullError::Unreachable { .. }), "{refused}");
}
