//! SIGKILL while versions are published.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use salus_crypto::Digest;
use salus_model::KeyName;
use salus_spine::Upkeep;
use salus_store::*;
use tempfile::TempDir;

use crate::journal_crash::child;
use crate::keys::MemoryKeys;
use crate::site::*;

const CHILD: &str = "SALUS_LAKE_CHILD";
const SEED: &str = "shared by parent and child";

async fn seeded(folder: Arc<TempDir>) -> Site {
    let keys = MemoryKeys::seeded(SEED);
    for class in ["footer", "identifiers", "clinical", "freetext"] {
        keys.ensure(&KeyName::new(format!("meals.{class}")).unwrap()).await.unwrap();
    }
    Site::at(folder, keys, "st-mary")
}

/// Version `n` adds these rows.
fn part(n: u64) -> Vec<(String, i64)> {
    (0..1 + n % 4).map(|r| (format!("p{r}"), (n * 10 + r) as i64)).collect()
}

#[test]
#[ignore = "the process that is killed; started by the test below"]
fn child_that_publishes() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(async move {
        let keys = seeded(Arc::new(TempDir::new().unwrap())).await;
        let storage = Storage::local(std::path::Path::new(&folder)).unwrap();
        let lake =
            Lake::new(storage, keys.keys.clone(), keys.authority.clone(), keys.clock.clone());
        loop {
            let mut writer = lake.append(&dataset("meals")).await.unwrap();
            let base = lake.versions(&dataset("meals")).await.unwrap().len() as u64;
            let part = part(base + 1);
            let part: Vec<_> = part.iter().map(|(p, n)| (p.as_str(), *n)).collect();
            writer.write(&rows(&part)).await.unwrap();
            let published = writer.publish().await.unwrap().manifest().version.number();
            let mut out = std::io::stdout().lock();
            writeln!(out, "published {published}").unwrap();
            out.flush().unwrap();
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_while_publishing_leaves_whole_versions_only() {
    let site = seeded(Arc::new(TempDir::new().unwrap())).await;
    site.lake.create(spec("meals")).await.unwrap();
    let (mut acknowledged, mut orphans) = (1, 0);
    const ROUNDS: u64 = 15;
    for round in 0..ROUNDS {
        let mut child = child(
            "lake_crash::child_that_publishes",
            &[(CHILD, site.folder.path().to_str().unwrap())],
        )
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let reading = std::thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            let numbers = lines.filter_map(|l| l.split("published ").nth(1)?.parse::<u64>().ok());
            numbers.last()
        });
        let chance = Digest::of_parts("when to kill", &[&round.to_be_bytes()]);
        std::thread::sleep(Duration::from_millis(30 + u64::from(chance.as_bytes()[0]) / 2));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = reading.join().unwrap().unwrap_or(acknowledged);
        let versions = site.lake.versions(&dataset("meals")).await.unwrap();
        let newest = versions.last().unwrap().number();
        assert!(newest >= acknowledged, "{acknowledged} was acknowledged, {newest} is there");
        assert_eq!(versions.len() as u64, newest, "no gaps");
        let found = site.texts("meals").await.unwrap().len() as u64;
        let wanted: u64 = (2..=newest).map(|v| part(v).len() as u64).sum();
        assert_eq!(found, wanted, "rows at version {newest}");
    }
    let report = site.verify("meals").await;
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    site.clock.advance_micros(2 * HOUR);
    let order = site.upkeep("meals", Upkeep::Expire);
    let all = std::num::NonZeroUsize::MAX;
    orphans += site.lake.expire_versions(&order, &dataset("meals"), all).await.unwrap().objects;
    assert!(site.verify("meals").await.findings.is_empty());
    println!("{ROUNDS} kills, {acknowledged} versions acknowledged, {orphans} orphans removed");
    assert!(acknowledged > 5);
}
