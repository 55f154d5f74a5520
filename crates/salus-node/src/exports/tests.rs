#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use salus_model::ManualClock;

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("no")]
struct No(Class);

impl Classified for No {
    fn class(&self) -> Class {
        self.0
    }
}

/// Pages of numbered resources.
struct Numbered {
    pages: usize,
    /// At which page it fails.
    fails: Option<usize>,
    read: Arc<AtomicUsize>,
    wait: Duration,
}

impl Numbered {
    fn of(pages: usize) -> Self {
        Self { pages, fails: None, read: Arc::default(), wait: Duration::ZERO }
    }
}

#[async_trait::async_trait]
impl ExportPages for Numbered {
    type Cursor = usize;
    type Refused = No;

    async fn page(&self, after: Option<usize>) -> Result<ExportedPage<usize>, No> {
        let page = after.unwrap_or(0);
        tokio::time::sleep(self.wait).await;
        self.read.fetch_add(1, Ordering::SeqCst);
        if self.fails == Some(page) {
            return Err(No(Class::Refused));
        }
        let one =
            |i| (if i % 2 == 0 { "Patient" } else { "Device" }, format!("{{\"{page}\": {i}}}"));
        Ok(ExportedPage {
            resources: (0..10).map(one).map(|(kind, text)| (kind, text.into())).collect(),
            deleted: vec![format!("Patient/{page}")],
            next: (page + 1 < self.pages).then_some(page + 1),
        })
    }
}

struct Site {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    exports: Arc<Exports>,
}

fn site() -> Site {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
    let path = folder.path().join("exports");
    let exports = Exports::open(path, Arc::<ManualClock>::clone(&clock)).unwrap();
    Site { folder, clock, exports: Arc::new(exports) }
}

fn owner(staff: &str, role: &str) -> ExportOwner {
    ExportOwner { staff: staff.parse().unwrap(), role: Some(role.parse().unwrap()) }
}

impl Site {
    fn begin(&self, owner: &ExportOwner, pages: Numbered) -> Result<String, ExportRefused> {
        self.exports.begin(ExportOrder {
            owner: owner.clone(),
            request: "https://h.example/fhir/$export".to_owned(),
            transaction_time: self.clock.now(),
            pages,
        })
    }

    async fn ended(&self, name: &str, owner: &ExportOwner) -> ExportStanding {
        loop {
            match self.exports.seen(name, owner).unwrap().standing {
                ExportStanding::Running { .. } => {
                    tokio::time::sleep(Duration::from_millis(5)).await
                }
                ended => return ended,
            }
        }
    }

    fn files_on_disk(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("exports")).unwrap().count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_made_once_and_fetched_by_its_owner_alone() {
    let (site, ann) = (site(), owner("Ann", "steward"));
    let name = site.begin(&ann, Numbered::of(3)).unwrap();
    assert_eq!(name.len(), 32);
    let ExportStanding::Done { files } = site.ended(&name, &ann).await else { panic!() };
    let found: Vec<_> = files.iter().map(|f| (f.resource_type, f.file.lines())).collect();
    assert_eq!(found, [(None, 3), (Some("Device"), 15), (Some("Patient"), 15)]);
    let bytes = files[0].file.read_at(0).unwrap();
    let line = std::str::from_utf8(&bytes).unwrap().lines().next().unwrap().to_owned();
    assert!(line.contains("\"DELETE\"") && line.contains("Patient/0"), "{line}");
    for other in [owner("Bob", "steward"), owner("Ann", "nurse")] {
        assert_eq!(site.exports.seen(&name, &other).err(), Some(ExportRefused::NoJob));
        assert_eq!(site.exports.remove(&name, &other).err(), Some(ExportRefused::NoJob));
    }
    assert!(site.exports.seen(&name, &ann).is_ok());
    drop(files);
    assert_eq!(site.files_on_disk(), 3);
    site.exports.remove(&name, &ann).unwrap();
    assert_eq!(site.exports.seen(&name, &ann).err(), Some(ExportRefused::NoJob));
    assert_eq!(site.files_on_disk(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_refused_fails_the_whole_and_leaves_nothing() {
    let (site, ann) = (site(), owner("Ann", "steward"));
    let pages = Numbered { fails: Some(2), ..Numbered::of(5) };
    let name = site.begin(&ann, pages).unwrap();
    let ended = site.ended(&name, &ann).await;
    assert!(matches!(ended, ExportStanding::Failed { class: Class::Refused }));
    assert_eq!(site.files_on_disk(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_a_running_export_stops_it() {
    let (site, ann) = (site(), owner("Ann", "steward"));
    let read = Arc::new(AtomicUsize::new(0));
    let wait = Duration::from_millis(20);
    let pages = Numbered { read: Arc::clone(&read), wait, ..Numbered::of(1_000_000) };
    let name = site.begin(&ann, pages).unwrap();
    while read.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    site.exports.remove(&name, &ann).unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let after = read.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(read.load(Ordering::SeqCst), after);
    assert_eq!(site.files_on_disk(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_run_out_and_their_number_is_bounded() {
    let (site, ann) = (site(), owner("Ann", "steward"));
    let mut names = Vec::new();
    for _ in 0..JOBS_OF_ONE {
        names.push(site.begin(&ann, Numbered::of(1)).unwrap());
    }
    assert_eq!(site.begin(&ann, Numbered::of(1)).err(), Some(ExportRefused::TooMany));
    // In another role she is still one.
    let nurse = owner("Ann", "nurse");
    assert_eq!(site.begin(&nurse, Numbered::of(1)).err(), Some(ExportRefused::TooMany));
    assert!(site.begin(&owner("Bob", "steward"), Numbered::of(1)).is_ok());
    for name in &names {
        site.ended(name, &ann).await;
    }
    site.clock.advance_micros(KEPT_MICROS - 1);
    assert!(site.exports.seen(&names[0], &ann).is_ok());
    site.clock.advance_micros(1);
    assert_eq!(site.exports.seen(&names[0], &ann).err(), Some(ExportRefused::NoJob));
    assert!(site.begin(&ann, Numbered::of(1)).is_ok());
}
