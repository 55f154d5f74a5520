use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use salus_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::{DeviceId, DeviceRecord};

/// How many reports that came out of order are remembered one by one for a device.
const MOST_BEYOND: usize = 1024;

/// Which reports of a device have been taken in: all up to one, and some beyond it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seen {
    /// Whatever is not above it counts as seen.
    through: u64,
    beyond: BTreeSet<u64>,
}

impl Seen {
    fn contains(&self, sequence: u64) -> bool {
        sequence <= self.through || self.beyond.contains(&sequence)
    }

    /// Remembers a sequence. Devices count as they like, so gaps are not waited for: when too many
    /// lie beyond, the lowest of them becomes the one up to which all count as seen.
    fn insert(&mut self, sequence: u64) {
        if !self.contains(sequence) {
            self.beyond.insert(sequence);
        }
        while self.beyond.first() == Some(&(self.through.saturating_add(1)))
            || self.beyond.len() > MOST_BEYOND
        {
            let Some(lowest) = self.beyond.pop_first() else { break };
            self.through = lowest;
        }
    }

    fn merge(&mut self, other: Self) {
        self.through = self.through.max(other.through);
        let through = self.through;
        self.beyond.retain(|s| *s > through);
        other.beyond.into_iter().for_each(|s| self.insert(s));
    }
}

/// What is known of a device.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its newest record.
    pub latest: Arc<DeviceRecord>,
    /// When that was taken in.
    pub received: Timestamp,
    pub(crate) seen: Seen,
}

/// Where a report belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// It is the device's newest.
    Newest,
    /// It came late: the device's state is newer, and it belongs to the history alone.
    Late,
    /// It has been taken in before.
    Duplicate,
}

/// The latest record of every device, and which reports have been taken in.
///
/// Pure: it knows no disk and no clock.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    devices: BTreeMap<DeviceId, Known>,
}

impl Fleet {
    /// An empty fleet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where a report would belong.
    #[must_use]
    pub fn place(&self, device: &DeviceId, sequence: u64) -> Place {
        match self.devices.get(device) {
            Some(known) if known.seen.contains(sequence) => Place::Duplicate,
            Some(known) if known.latest.sequence > sequence => Place::Late,
            _ => Place::Newest,
        }
    }

    /// Takes a report in, once.
    pub fn take(&mut self, record: &Arc<DeviceRecord>, received: Timestamp) -> Place {
        let place = self.place(&record.device_id, record.sequence);
        if place == Place::Duplicate {
            return place;
        }
        let known = self.devices.entry(record.device_id.clone()).or_insert_with(|| Known {
            latest: Arc::clone(record),
            received,
            seen: Seen::default(),
        });
        if place == Place::Newest {
            known.latest = Arc::clone(record);
            known.received = received;
        }
        known.seen.insert(record.sequence);
        place
    }

    /// Takes in what another fleet knew of a device.
    pub(crate) fn restore(&mut self, known: Known) {
        match self.devices.get_mut(&known.latest.device_id) {
            None => {
                self.devices.insert(known.latest.device_id.clone(), known);
            }
            Some(mine) => {
                if known.latest.sequence > mine.latest.sequence {
                    mine.latest = known.latest;
                    mine.received = known.received;
                }
                mine.seen.merge(known.seen);
            }
        }
    }

    /// What is known of a device.
    #[must_use]
    pub fn device(&self, device: &DeviceId) -> Option<&Known> {
        self.devices.get(device)
    }

    /// Every device, in the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = &Known> {
        self.devices.values()
    }

    /// How many devices.
    #[must_use]
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }
}
