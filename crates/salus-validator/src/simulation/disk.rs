//! A disk in memory that can lose, tear and lie.

use std::io::{Error, Result};
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use super::dice::Dice;

#[derive(Debug, Clone)]
enum Unsynced {
    Length(u64),
    Bytes(u64, Vec<u8>),
}

#[derive(Debug, Default)]
struct Content {
    /// What survives a crash for certain.
    synced: Vec<u8>,
    /// What is read back now.
    cached: Vec<u8>,
    unsynced: Vec<Unsynced>,
    fault: DiskFault,
    syncs: u64,
    power: Power,
}

/// Whether the machine that the disk is in still runs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Power {
    #[default]
    On,
    /// Whatever the process still does as it is taken down, such as closing its files in order,
    /// did not happen.
    Off,
}

/// What is wrong with a disk.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskFault {
    /// Nothing.
    #[default]
    None,
    /// It says that it has synced, and has not.
    LyingSync,
    /// The sync after so many more fails, and every operation after it.
    FailingSync(u64),
}

/// A handle to a disk; the disk outlives whoever opened it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Content>>);

fn apply(to: &mut Vec<u8>, change: &Unsynced) {
    match change {
        Unsynced::Length(length) => to.resize(*length as usize, 0),
        Unsynced::Bytes(offset, bytes) => {
            let (start, end) = (*offset as usize, *offset as usize + bytes.len());
            if to.len() < end {
                to.resize(end, 0);
            }
            to[start..end].copy_from_slice(bytes);
        }
    }
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn plant(&self, fault: DiskFault) {
        self.0.lock().fault = fault;
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// From this moment on nothing reaches the disk.
    pub(crate) fn power_off(&self) {
        self.0.lock().power = Power::Off;
    }

    /// The power goes: of what was not synced, some writes are there and some are not, and one may
    /// be there in part. Gives the disk as it comes back.
    pub(crate) fn crash(&self, dice: &mut Dice) -> Self {
        self.power_off();
        let content = self.0.lock();
        let mut left = content.synced.clone();
        for change in &content.unsynced {
            match change {
                Unsynced::Length(_) => apply(&mut left, change),
                Unsynced::Bytes(offset, bytes) => match dice.below(3) {
                    0 => {}
                    1 => apply(&mut left, change),
                    _ => {
                        let part = dice.below(bytes.len() as u64 + 1) as usize;
                        apply(&mut left, &Unsynced::Bytes(*offset, bytes[..part].to_vec()));
                    }
                },
            }
        }
        let fault = match content.fault {
            DiskFault::LyingSync => {
                // A drive that lied has nothing but what it began with.
                left.clone_from(&content.synced);
                DiskFault::LyingSync
            }
            other => other,
        };
        let (synced, cached) = (left.clone(), left);
        let content = Content { synced, cached, fault, ..Content::default() };
        Self(Arc::new(Mutex::new(content)))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64> {
        Ok(self.0.lock().cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let content = self.0.lock();
        let start = offset as usize;
        let found = content.cached.get(start..start + out.len());
        out.copy_from_slice(found.ok_or_else(|| Error::other("read beyond the end"))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let mut content = self.0.lock();
        if content.power == Power::Off {
            return Ok(());
        }
        let change = Unsynced::Length(len);
        apply(&mut content.cached, &change);
        content.unsynced.push(change);
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        let mut content = self.0.lock();
        if content.power == Power::Off {
            return Ok(());
        }
        content.syncs += 1;
        match &mut content.fault {
            DiskFault::LyingSync => return Ok(()),
            DiskFault::FailingSync(0) => return Err(Error::other("the disk failed")),
            DiskFault::FailingSync(left) => *left -= 1,
            DiskFault::None => {}
        }
        let Content { synced, unsynced, .. } = &mut *content;
        unsynced.drain(..).for_each(|change| apply(synced, &change));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut content = self.0.lock();
        if content.power == Power::Off {
            return Ok(());
        }
        let change = Unsynced::Bytes(offset, data.to_vec());
        apply(&mut content.cached, &change);
        content.unsynced.push(change);
        Ok(())
    }
}
