//! kill -9 at random moments, while rows move into files: nothing acknowledged is lost or doubled.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use salus_crypto::Digest;
use salus_ingest::fhir::repository::{Answer, Ask, Carried, Done, FHIR_HISTORY};

use crate::repository::{ask, carry, key, put, weight};
use crate::site::TestSite;

const FOLDER: &str = "SALUS_REPOSITORY_CRASH_FOLDER";
const TASKS: u32 = 4;

/// Runs only as a child of the test below: writes and moves until it is killed.
#[test]
fn child_that_writes() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async move {
        let site = Arc::new(TestSite::at(Path::new(&folder)));
        let repository = site.repository().await;
        println!("open");
        for task in 0..TASKS {
            let (site, repository) = (Arc::clone(&site), repository.clone());
            tokio::spawn(async move {
                for number in 0_u32.. {
                    // One of few resources, so that versions follow each other.
                    let own = format!("t{task}-{}", number % 3);
                    let entries = vec![
                        put(weight(&own, "p", f64::from(number))),
                        put(weight(&format!("{own}-twin"), "p", f64::from(number))),
                    ];
                    let done = carry(&site, &repository, &[], entries).await.unwrap();
                    let Carried::Done { steps, .. } = done else { panic!("{done:?}") };
                    let mut out = std::io::stdout().lock();
                    for step in steps {
                        let Done::Stored { stored, .. } = step else { continue };
                        let digest = hex(&Digest::of(stored.text.as_bytes()));
                        writeln!(out, "done {} {} {digest}", stored.key, stored.version).unwrap();
                    }
                    out.flush().unwrap();
                }
            });
        }
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            repository.move_to_files().await.unwrap();
        }
    });
}

fn hex(digest: &Digest) -> String {
    digest.as_bytes().iter().map(|b| format!("{b:02x}")).collect()
}

type Acknowledged = BTreeMap<(String, u64), String>;

fn run_and_kill(folder: &Path, after: Duration, acknowledged: &mut Acknowledged) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["repository_crash::child_that_writes", "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // From the moment that it is open.
    lines.by_ref().map_while(Result::ok).find(|line| line.contains("open")).unwrap();
    let reading = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<String>>());
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    for line in reading.join().unwrap() {
        let Some(done) = line.find("done ").map(|at| &line[at + 5..]) else { continue };
        let words: Vec<&str> = done.split(' ').collect();
        // A line that was cut off was not heard.
        if let [key, version, digest] = words[..]
            && digest.len() == 64
        {
            acknowledged.insert((key.to_owned(), version.parse().unwrap()), digest.to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_while_rows_move_loses_and_doubles_nothing() {
    const ROUNDS: u8 = 8;
    let first = TestSite::new();
    let folder = first.folder.path().canonicalize().unwrap();
    let (mut acknowledged, mut in_files) = (Acknowledged::new(), 0);
    for round in 0..ROUNDS {
        let noise = Digest::of_parts("when to kill the repository", &[&[round]]);
        let after = Duration::from_millis(60 + u64::from(noise.as_bytes()[0]) * 2);
        run_and_kill(&folder, after, &mut acknowledged);
        let site = TestSite::at(&folder);
        let repository = site.repository().await;
        // Every acknowledged version is in the history once, with its text.
        let rows = site.rows(FHIR_HISTORY).await;
        let text = |name: &str| rows.column_by_name(name).unwrap().as_string::<i32>().clone();
        let (ids, texts) = (text("id"), text("resource"));
        let versions = rows.column_by_name("version").unwrap().as_primitive::<Int64Type>();
        let mut history = Acknowledged::new();
        for at in 0..rows.num_rows() {
            let version = u64::try_from(versions.value(at)).unwrap();
            let digest = hex(&Digest::of(texts.value(at).as_bytes()));
            let twice = history.insert((ids.value(at).to_owned(), version), digest);
            assert!(twice.is_none(), "a version is there twice");
        }
        for (version, digest) in &acknowledged {
            assert_eq!(history.get(version), Some(digest), "acknowledged {version:?}");
        }
        // SQL and FHIR agree on the newest of each, and each is there once.
        let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
        for (key, version) in history.keys() {
            newest.insert(key, *version);
        }
        let current = site.rows("fhir_resources").await;
        assert_eq!(current.num_rows(), newest.len(), "a resource is there twice or not at all");
        assert_eq!(site.rows("observations").await.num_rows(), newest.len());
        for (name, version) in &newest {
            let Answer::Found(read) = ask(&site, &repository, &[], Ask::Read(key(name))).await
            else {
                panic!("{name} is lost")
            };
            assert_eq!(read.version, *version);
            // Both of a transaction or none.
            let twin = match name.strip_suffix("-twin") {
                Some(own) => own.to_owned(),
                None => format!("{name}-twin"),
            };
            assert_eq!(newest.get(twin.as_str()), Some(version), "half a transaction");
        }
        let dataset = "fhir_resources".parse().unwrap();
        in_files = site.lake.snapshot(&dataset, None).await.unwrap().manifest().journal_through;
    }
    println!(
        "{ROUNDS} kills: {} acknowledged versions, none lost, none doubled; rows were in files up \
         to position {in_files}",
        acknowledged.len()
    );
    assert!(acknowledged.len() > 100 && in_files > 0, "the child hardly ran");
}
