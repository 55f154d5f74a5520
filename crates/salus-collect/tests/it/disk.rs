//! A disk that is full, and one that fails.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use salus_collect::{CollectError, DEVICES, DEVICES_HISTORY, Source};
use salus_model::{Class, Classified as _};
use salus_store::journal::{LocalMedium, Medium, SegmentFile};

use crate::world::{START, Site, enrolled, fleet, ids, newest, reports};

/// A disk with so many bytes left; an append that does not fit is written in part.
#[derive(Clone)]
struct SmallDisk(Arc<AtomicI64>);

struct SmallFile(Box<dyn SegmentFile>, Arc<AtomicI64>);

fn full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

impl Medium for SmallDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(SmallFile(LocalMedium.open(path)?, Arc::clone(&self.0))))
    }

    fn publish(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) < bytes.len() as i64 {
            return Err(full());
        }
        LocalMedium.publish(path, bytes)
    }

    fn cut(&self, path: &Path, length: u64) -> io::Result<()> {
        LocalMedium.cut(path, length)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        LocalMedium.remove(path)
    }
}

impl SegmentFile for SmallFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let left = self.1.fetch_sub(bytes.len() as i64, Ordering::SeqCst);
        if left >= bytes.len() as i64 {
            return self.0.append(bytes);
        }
        let part = usize::try_from(left).unwrap_or(0).min(bytes.len());
        self.0.append(&bytes[..part])?;
        Err(full())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_acknowledges_nothing_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path());
    let start: salus_model::Timestamp = START.parse().unwrap();
    let records = fleet(10).advance(start.saturating_add_micros(4 * 3_600_000_000)).unwrap();
    let room = Arc::new(AtomicI64::new(200_000));
    let disk: Arc<dyn Medium> = Arc::new(SmallDisk(Arc::clone(&room)));
    let collector = site.collector_on(disk, enrolled(&records)).await.unwrap();
    let mut acknowledged = 0;
    let mut failed = 0;
    let mut chunks = records.chunks(25).peekable();
    while let Some(some) = chunks.peek() {
        match collector.take(Source::Mqtt, reports(some)).await {
            Ok(taken) => {
                // What came before the failure and was on the disk all the same is known.
                acknowledged += taken.accepted + taken.duplicates;
                chunks.next();
            }
            Err(refused) => {
                assert_eq!(refused.class(), Class::Unavailable, "{refused}");
                assert!(matches!(refused, CollectError::Journal(_)), "{refused}");
                failed += 1;
                // Somebody makes room after the third refusal.
                if failed % 3 == 0 {
                    room.store(300_000, Ordering::SeqCst);
                }
                assert!(failed < 100, "it never goes on");
            }
        }
    }
    println!("{failed} refusals, {acknowledged} acknowledged");
    assert!(failed >= 3);
    assert_eq!(acknowledged, records.len() as u64);
    room.store(10_000_000, Ordering::SeqCst);
    collector.publish().await.unwrap();
    assert_eq!(site.reports(DEVICES_HISTORY).await, ids(&records));
    assert_eq!(site.reports(DEVICES).await, newest(&records));
}
