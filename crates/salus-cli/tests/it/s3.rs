//! A lake in an S3-compatible store, served by moto from PyPI.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use salus_testkit::{Server, Venv, free_port};

use crate::site::{Site, stands_below};

/// A running store with one bucket, and where it reads what should go wrong.
struct Store {
    server: Server,
    folder: tempfile::TempDir,
    endpoint: String,
}

impl Store {
    fn start() -> Self {
        let venv = Venv::with(&["moto[server,s3]==5.2.5"]);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scripts/s3_server.py");
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        let faults = folder.path().join("faults");
        std::fs::write(&faults, "").unwrap();
        let mut command = venv.script(script);
        command.arg(port.to_string()).arg(&faults);
        let mut server = Server::spawn(command);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        server.wait_for_port(address, Duration::from_secs(60));
        let endpoint = format!("http://{address}");
        let store = Self { server, folder, endpoint };
        assert_eq!(store.ask("PUT", "/lake").0, 200, "no bucket");
        store
    }

    fn fault(&self, word: &str) {
        std::fs::write(self.folder.path().join("faults"), word).unwrap();
    }

    fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let url = format!("{}{path}", self.endpoint);
            // moto wants to be told who asks, and believes it.
            let who = "AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/us-east-1/s3/aws4_request, \
                       SignedHeaders=host, Signature=0";
            let request = client.request(method, url).header("authorization", who);
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        })
    }

    /// The names of the objects.
    fn objects(&self) -> Vec<String> {
        let (_, listed) = self.ask("GET", "/lake?list-type=2");
        let keys = listed.split("<Key>").skip(1);
        keys.map(|k| k.split("</Key>").next().unwrap().to_owned()).collect()
    }

    fn site(&self) -> Site {
        let site = Site::unmade(&[]);
        let made = self.init(&site);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        site
    }

    fn init(&self, site: &Site) -> std::process::Output {
        let credentials = site.private(
            "s3.toml",
            "access_key_id = \"AKIATEST\"\nsecret_access_key = \"S3SECRETMARKER\"\n",
        );
        site.init(&[
            "--lake",
            "s3",
            "--s3-bucket",
            "lake",
            "--s3-prefix",
            "st-mary",
            "--s3-endpoint",
            &self.endpoint,
            "--s3-credentials-file",
            &credentials,
        ])
    }
}

fn rows(from: usize, to: usize) -> String {
    let row = |i: usize| format!("p{i},{},LAKEMARKER\n", 60 + i % 40);
    let body: String = (from..to).map(row).collect();
    format!("patient_id,pulse,note\n{body}")
}

fn count(site: &Site) -> u64 {
    site.json(&["sql", "SELECT count(*) AS n FROM visits"])[0]["n"].as_u64().unwrap()
}

fn intact(site: &Site) {
    let verified = site.json(&["dataset", "verify"]);
    assert!(verified.as_array().unwrap().iter().all(|v| v["findings"] == serde_json::json!([])));
}

#[test]
fn a_lake_in_a_bucket_is_imported_asked_verified_and_compacted() {
    let store = Store::start();
    let site = store.site();
    site.import("visits", &rows(0, 50));
    let (file, schema) = (site.text_path("visits.csv"), site.text_path("visits.toml"));
    std::fs::write(&file, rows(50, 80)).unwrap();
    site.json(&["import", &file, "--schema", &schema]);
    assert_eq!(count(&site), 80);
    intact(&site);
    let compacted = site.json(&["dataset", "compact", "visits"]);
    assert_eq!(compacted["replaced_files"], 2, "{compacted}");
    assert_eq!(count(&site), 80);
    intact(&site);
    let rotated = site.json(&["keys", "rotate", "visits.clinical"]);
    assert!(rotated["files"].as_u64().unwrap() >= 1, "{rotated}");
    assert_eq!(count(&site), 80);

    // Everything lies below the prefix, encrypted; the site's folder has no lake and no secret.
    let objects = store.objects();
    assert!(objects.len() > 5 && objects.iter().all(|o| o.starts_with("st-mary/")), "{objects:?}");
    for object in &objects {
        let (status, body) = store.ask("GET", &format!("/lake/{object}"));
        assert!(status == 200 && !body.is_empty(), "{object}: {status}");
        assert!(!body.contains("LAKEMARKER") && !body.contains("patient_id"), "{object}");
    }
    assert!(!site.path("site/lake").exists());
    assert!(!stands_below(&site.path("site"), "S3SECRETMARKER"));
    assert!(site.path("site/audit").is_dir(), "the access log stays on the local disk");
    let well = site.json(&["doctor"]);
    assert!(well.as_array().unwrap().iter().all(|f| f["ok"] == true), "{well}");
    assert!(well.to_string().contains("publication"), "{well}");
    // A destroyed dataset leaves nothing in the bucket.
    site.json(&["dataset", "shred", "visits", "--yes-destroy", "visits"]);
    assert_eq!(store.objects(), Vec::<String>::new());
}

#[test]
fn of_two_writers_at_the_same_moment_both_are_kept_and_none_twice() {
    let store = Store::start();
    let site = store.site();
    site.import("visits", &rows(0, 10));
    let schema = site.text_path("visits.toml");
    store.fault("slow");
    for round in 0..3 {
        let files: Vec<PathBuf> = (0..2)
            .map(|writer| {
                let path = site.path(&format!("more-{writer}.csv"));
                let from = 100 * (2 * round + writer + 1);
                std::fs::write(&path, rows(from, from + 7)).unwrap();
                path
            })
            .collect();
        let words = |file: &PathBuf| {
            ["import".to_owned(), file.display().to_string(), "--schema".into(), schema.clone()]
        };
        let writers: Vec<_> = files
            .iter()
            .map(|file| {
                let words = words(file);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                site.command(&words).spawn().unwrap()
            })
            .collect();
        for mut writer in writers {
            assert!(writer.wait().unwrap().success());
        }
    }
    assert_eq!(count(&site), 10 + 3 * 2 * 7);
    let shown = site.json(&["dataset", "show", "visits"]);
    assert_eq!(shown["version"], 8, "a version was lost or overwritten: {shown}");
    intact(&site);
}

#[test]
fn a_writer_killed_at_any_moment_leaves_whole_versions_only() {
    let store = Store::start();
    let site = store.site();
    site.import("visits", &rows(0, 10));
    let (file, schema) = (site.text_path("visits.csv"), site.text_path("visits.toml"));
    std::fs::write(&file, rows(1000, 1100)).unwrap();
    store.fault("slow");
    let (mut acknowledged, mut begun, mut killed) = (0, 0, 0);
    for wait in [300, 700, 900, 1100, 1300, 1500, 1800, 2200] {
        let mut writer = site.command(&["import", &file, "--schema", &schema]).spawn().unwrap();
        begun += 1;
        let until = Instant::now() + Duration::from_millis(wait);
        while Instant::now() < until && writer.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        match writer.try_wait().unwrap() {
            Some(done) => acknowledged += u64::from(done.success()),
            None => {
                killed += 1;
                writer.kill().unwrap();
                writer.wait().unwrap();
            }
        }
        let found = count(&site);
        assert_eq!(found % 100, 10, "a part of an import is visible: {found}");
        let imports = found / 100;
        assert!(
            (acknowledged..=begun).contains(&imports),
            "{imports} of {acknowledged} to {begun}"
        );
    }
    println!(
        "{begun} imports, {killed} killed, {acknowledged} acknowledged, {} rows",
        count(&site)
    );
    assert!(killed > 0, "no writer was killed; wait for less");
    store.fault("");
    let before = count(&site);
    site.json(&["import", &file, "--schema", &schema]);
    assert_eq!(count(&site), before + 100);
    intact(&site);
}

#[test]
fn an_answer_that_is_lost_makes_no_version_twice() {
    let store = Store::start();
    let site = store.site();
    site.import("visits", &rows(0, 10));
    let (file, schema) = (site.text_path("visits.csv"), site.text_path("visits.toml"));
    std::fs::write(&file, rows(100, 107)).unwrap();
    store.fault("lost");
    site.json(&["import", &file, "--schema", &schema]);
    let left = std::fs::read_to_string(store.folder.path().join("faults")).unwrap();
    assert_eq!(left, "", "no answer was lost");
    assert_eq!(count(&site), 17);
    assert_eq!(site.json(&["dataset", "show", "visits"])["version"], 3);
    intact(&site);
}

#[test]
fn a_store_out_of_reach_is_told_plainly() {
    let mut store = Store::start();
    let site = store.site();
    site.import("visits", &rows(0, 10));
    store.server.kill();
    let began = Instant::now();
    for words in [["sql", "SELECT count(*) FROM visits"], ["dataset", "list"]] {
        let (code, said) = site.failure(&words);
        assert_eq!(code, 4, "{said}");
        assert!(said.contains("object store failed"), "{said}");
        assert!(!said.contains("S3SECRETMARKER"), "{said}");
    }
    assert!(began.elapsed() < Duration::from_secs(60), "it took {:?}", began.elapsed());
    let output = site.salus(&["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && text.contains("MEND  lake"), "{text}");
}

#[test]
fn a_store_that_ignores_the_condition_gets_no_lake() {
    let store = Store::start();
    store.fault("deaf");
    let site = Site::unmade(&[]);
    let refused = store.init(&site);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("If-None-Match"), "{said}");
    assert!(!site.path("site/keys/keystore").exists(), "keys were made for no lake");
    // One that was made before the store changed is told by the doctor.
    store.fault("");
    let site = store.site();
    store.fault("deaf");
    let output = site.salus(&["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && text.contains("MEND  publication"), "{text}");
}

#[test]
fn a_bucket_is_not_asked_in_the_clear_over_a_network_nor_without_credentials() {
    let site = Site::unmade(&[]);
    let lake = ["--lake", "s3", "--s3-bucket", "lake", "--s3-endpoint"];
    let over = |endpoint: &'static str| {
        let options: Vec<&str> = lake.iter().copied().chain([endpoint]).collect();
        let refused = site.init(&options);
        (refused.status.code(), String::from_utf8_lossy(&refused.stderr).into_owned())
    };
    let (code, said) = over("http://minio.example.org:9000");
    assert!(code == Some(2) && said.contains("use https"), "{said}");
    let (code, said) = over("http://127.0.0.1:9");
    assert!(code == Some(2) && said.contains("AWS_ACCESS_KEY_ID"), "{said}");
}
