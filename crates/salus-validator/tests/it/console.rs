//! The console in a real browser, against real validator processes.

use std::path::{Path, PathBuf};
use std::process::Command;

use salus_ledger::call::{ApplyForPermit, Ground, PermitTerms, ReleaseRule};
use salus_ledger::{Column, DatasetRef, Signer};
use salus_model::{DatasetId, MicroRho, Purpose, Secret};
use sha2::{Digest as _, Sha256};

use crate::explorer::{web, writes};
use crate::network::{Stage, member, now};
use crate::processes::Process;

/// A copy of `web/` beside its packages, outside of the source tree; it goes with the value.
fn workplace() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    copy(&web(), place.path());
    let packages = packages().join("node_modules");
    std::os::unix::fs::symlink(packages, place.path().join("node_modules")).unwrap();
    place
}

/// The packages of the lock file. Tests run in processes of their own: each that finds none
/// installs them beside, and the first that is done is kept.
fn packages() -> PathBuf {
    let lock = std::fs::read(web().join("package-lock.json")).unwrap();
    let cache = salus_testkit::cache_dir().join("npm");
    let kept = cache.join(format!("salus-console-{}", hex::encode(&Sha256::digest(&lock)[..8])));
    if kept.exists() {
        return kept;
    }
    std::fs::create_dir_all(&cache).unwrap();
    let beside = tempfile::tempdir_in(&cache).unwrap();
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(web().join(file), beside.path().join(file)).unwrap();
    }
    let quiet = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    succeeds(npm(beside.path()).args(quiet));
    if std::fs::rename(beside.path(), &kept).is_err() {
        assert!(kept.exists(), "the packages cannot be kept in {}", kept.display());
    }
    kept
}

fn npm(folder: &Path) -> Command {
    let mut npm = Command::new(salus_testkit::program("npm", "npm"));
    npm.current_dir(folder);
    npm
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if name == "node_modules" || name == "dist" {
            continue;
        }
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    let (out, told) = (&output.stdout, &output.stderr);
    let text = format!("{}\n{}", String::from_utf8_lossy(out), String::from_utf8_lossy(told));
    assert!(output.status.success(), "{command:?} failed:\n{text}");
    println!("{text}");
}

#[test]
fn the_console_has_the_types_of_the_committed_openapi_document() {
    let place = workplace();
    succeeds(npm(place.path()).args(["run", "check"]));
}

#[test]
fn the_browsers_verifier_accepts_the_vectors_and_refuses_every_change() {
    let place = workplace();
    succeeds(npm(place.path()).args(["test"]));
}

/// An auditor signs in, follows the ledger live, and checks a receipt; with the keyboard, without
/// any violation that axe finds, in light and in dark.
#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_reads_the_ledger_in_a_browser() {
    assert!(salus_console::is_built(), "the console is not in this build: Node 20 and npm needed");
    let stage = Stage::new(4).explored();
    let mut processes: Vec<Process> = stage.folders.iter().map(Process::spawn).collect();
    processes.iter_mut().for_each(Process::ready);
    let line = processes[0].line();
    let origin = line.split(' ').nth(1).unwrap().to_owned();
    let client = stage.client("st-anna");
    for _ in 0..60 {
        client.submit(&stage.issue()).await.unwrap();
    }
    let (release, permit) = stage.release(&client).await;
    let waiting = second_application(&stage, &client).await;
    let token = stage.folders[0].console_token(&mut salus_crypto::OsEntropy).unwrap();
    let place = workplace();
    let mut journey = Command::new(salus_testkit::program("node", "nodejs"));
    journey
        .current_dir(place.path())
        .arg("test/journey.mjs")
        .env("SALUS_ORIGIN", &origin)
        .env("SALUS_TOKEN", token.expose())
        .env("SALUS_CHROMIUM", salus_testkit::program("chromium", "chromium"))
        .env("SALUS_RELEASE", release.to_string())
        .env("SALUS_PERMIT", permit.as_str())
        .env("SALUS_WAITING_PERMIT", &waiting);
    if writes("SALUS_SCREENSHOTS") {
        let folder = web().join("../docs/screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        journey.env("SALUS_SCREENSHOTS", folder.canonicalize().unwrap());
    }
    // What happens while the browser looks on.
    let hub = stage.client("hub");
    let running = tokio::task::spawn_blocking(move || succeeds(&mut journey));
    while !running.is_finished() {
        hub.submit(&stage.issue()).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    }
    running.await.unwrap();
}

/// A permit that nobody has decided on yet.
async fn second_application(
    stage: &Stage,
    client: &salus_validator::client::LedgerClient,
) -> String {
    let bea = Signer::new(&salus_crypto::SigningKey::from_secret(&Secret::new([6; 32])));
    let dataset =
        DatasetRef { holder: member("st-anna"), dataset: DatasetId::new("signals").unwrap() };
    let columns = ["code", "effective", "value.quantity"];
    let terms = PermitTerms {
        grounds: vec![Ground {
            dataset,
            columns: columns.map(|column| Column::new(column).unwrap()).into(),
            budget: MicroRho::new(300),
        }],
        purpose: Purpose::PublicHealth,
        code: None,
        releases: ReleaseRule::DpOnly,
        expires: now().saturating_add_micros(30 * 86_400_000_000),
    };
    let apply = ApplyForPermit { pseudonym: bea.public_key(), terms };
    let id = stage.apply(client, apply, &[&stage.signer("uni"), &bea]).await;
    id.permit().unwrap().to_string()
}
