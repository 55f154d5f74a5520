use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};
use salus_crypto::Digest;
use salus_model::{HolderId, Timestamp};

use crate::profile::Domains;
use crate::record::{
    Category, CveId, DeviceId, DeviceRecord, PatientRef, ReasonRefused, SbomRef, Words,
};
use crate::speciality::Speciality;

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// A model of the simulated market; the makers are made up.
struct Model {
    manufacturer: &'static str,
    model: &'static str,
    device_type: &'static str,
    category: Category,
    specialities: &'static [Speciality],
    firmware: &'static str,
    os: &'static str,
    sync_interval_s: u32,
    /// Hours that a new battery lasts; none where there is no battery.
    battery_hours: Option<f64>,
    ports: &'static [u16],
}

const MODELS: &[Model] = &[
    Model {
        manufacturer: "Aldermed",
        model: "Flow 300",
        device_type: "infusion pump",
        category: Category::Portable,
        specialities: &[
            Speciality::CriticalCare,
            Speciality::InternalMedicine,
            Speciality::Oncology,
        ],
        firmware: "4.0",
        os: "QNX 7.0",
        sync_interval_s: 300,
        battery_hours: Some(8.0),
        ports: &[443],
    },
    Model {
        manufacturer: "Aldermed",
        model: "Breathe S",
        device_type: "ventilator",
        category: Category::Portable,
        specialities: &[Speciality::CriticalCare, Speciality::Pulmonology],
        firmware: "2.1",
        os: "QNX 7.0",
        sync_interval_s: 60,
        battery_hours: Some(2.0),
        ports: &[443, 2575],
    },
    Model {
        manufacturer: "Norvia",
        model: "Vista 12",
        device_type: "patient monitor",
        category: Category::Portable,
        specialities: &[Speciality::Cardiology, Speciality::EmergencyMedicine],
        firmware: "9.3",
        os: "Linux 4.19",
        sync_interval_s: 60,
        battery_hours: None,
        ports: &[22, 80, 2575],
    },
    Model {
        manufacturer: "Norvia",
        model: "Patch One",
        device_type: "ECG patch",
        category: Category::Wearable,
        specialities: &[Speciality::Cardiology, Speciality::FamilyMedicine],
        firmware: "1.4",
        os: "Zephyr 3.2",
        sync_interval_s: 900,
        battery_hours: Some(120.0),
        ports: &[],
    },
    Model {
        manufacturer: "Kestrel Medical",
        model: "Gluco 2",
        device_type: "glucose monitor",
        category: Category::Wearable,
        specialities: &[Speciality::Endocrinology, Speciality::Pediatrics],
        firmware: "3.3",
        os: "FreeRTOS 10.4",
        sync_interval_s: 600,
        battery_hours: Some(240.0),
        ports: &[],
    },
    Model {
        manufacturer: "Kestrel Medical",
        model: "Sono P",
        device_type: "ultrasound scanner",
        category: Category::Portable,
        specialities: &[
            Speciality::ObstetricsAndGynecology,
            Speciality::DiagnosticRadiology,
            Speciality::Urology,
        ],
        firmware: "12.0",
        os: "Windows 10 IoT",
        sync_interval_s: 3600,
        battery_hours: Some(3.0),
        ports: &[104, 445, 3389],
    },
];

const SEGMENTS: &[&str] = &["ward-a", "ward-b", "icu", "theatre", "outpatients"];

/// A new version that spreads through a fleet, and what it mends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wave {
    /// Of which model.
    pub model: Words,
    /// When the vulnerabilities of the versions before it became known.
    pub disclosed: Timestamp,
    /// Which they are.
    pub cves: Vec<CveId>,
    /// When the new version came out.
    pub released: Timestamp,
    /// Its firmware version.
    pub firmware: Words,
    /// Its version of the operating system.
    pub os: Words,
    /// How long half of the devices take to get it, in days.
    pub half_life_days: u32,
}

/// What a simulated fleet is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetSettings {
    /// What all chance comes from.
    pub seed: u64,
    /// The hospital.
    pub hospital: HolderId,
    /// How many devices.
    pub devices: u32,
    /// When the simulation begins.
    pub start: Timestamp,
}

/// What a device is besides its last record.
struct Device {
    record: DeviceRecord,
    model: usize,
    next: Timestamp,
    /// The share of time in which it is in use.
    duty: f64,
    charging: bool,
    /// When each wave of its model reaches it, in the order of the waves.
    reached: Vec<(usize, Timestamp)>,
    /// The last wave that did; none yet at the outer level before the first report.
    at: Option<Option<usize>>,
}

/// A fleet whose devices report, age, are patched, fall silent and come back.
///
/// Pure: the same settings give the same reports for ever. Chance here is simulation and never
/// privacy noise.
pub struct FleetSimulation {
    settings: FleetSettings,
    waves: Vec<Wave>,
    devices: Vec<Device>,
    rng: ChaCha8Rng,
}

impl FleetSimulation {
    /// A fleet at its beginning, with a wave of patches for each model in turn, one each 45 days.
    ///
    /// # Errors
    /// When a constant of the simulation does not fit the schema, which is a bug.
    pub fn new(settings: FleetSettings) -> Result<Self, ReasonRefused> {
        let mut waves = Vec::new();
        for n in 0..24usize {
            let at = n % MODELS.len();
            let Some(model) = MODELS.get(at) else { continue };
            let round = n / MODELS.len() + 1;
            let released = settings.start.saturating_add_micros((n as i64 * 45 - 30) * DAY);
            let number = 20_000 + n * 7;
            waves.push(Wave {
                model: Words::new(model.model)?,
                disclosed: released.saturating_add_micros(-20 * DAY),
                cves: vec![CveId::new(format!("CVE-2025-{number}"))?],
                released,
                firmware: Words::new(format!("{}.{round}", model.firmware))?,
                os: Words::new(match round % 2 {
                    0 => format!("{} SP{}", model.os, round / 2),
                    _ => model.os.to_owned(),
                })?,
                half_life_days: 14,
            });
        }
        Self::with_waves(settings, waves)
    }

    /// A fleet at its beginning, with these waves of patches.
    ///
    /// # Errors
    /// As [`FleetSimulation::new`].
    pub fn with_waves(settings: FleetSettings, waves: Vec<Wave>) -> Result<Self, ReasonRefused> {
        let rng = ChaCha8Rng::seed_from_u64(settings.seed);
        let mut fleet = Self { settings, waves, devices: Vec::new(), rng };
        for number in 0..fleet.settings.devices {
            let device = fleet.device(number)?;
            fleet.devices.push(device);
        }
        Ok(fleet)
    }

    /// Uniform in [0, 1).
    fn chance(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn pick<T: Copy>(&mut self, of: &[T], or: T) -> T {
        let at = (self.chance() * of.len() as f64) as usize;
        of.get(at).copied().unwrap_or(or)
    }

    /// Exponential with this mean.
    fn waiting(&mut self, mean: f64) -> f64 {
        -(1.0 - self.chance()).ln() * mean
    }

    fn device(&mut self, number: u32) -> Result<Device, ReasonRefused> {
        let start = self.settings.start;
        let at = (self.chance() * MODELS.len() as f64) as usize;
        let model = MODELS.get(at).ok_or(ReasonRefused::Word)?;
        let age_days = 30 + (self.chance() * 2900.0) as i64;
        let production = start.saturating_add_micros(-age_days * DAY);
        let duty = 0.15 + 0.75 * self.chance();
        let first = self.chance() * f64::from(model.sync_interval_s) * 1e6;
        let speciality = self.pick(model.specialities, Speciality::InternalMedicine);
        let segment = self.pick(SEGMENTS, "ward-a");
        let serviced = -((self.chance() * age_days.min(365) as f64) as i64) * DAY;
        let wearer = model.category == Category::Wearable && self.chance() < 0.9;
        let next = start.saturating_add_micros(first as i64);
        let hospital = self.settings.hospital.clone();
        let prefix = model.device_type.split(' ').next().unwrap_or("device").to_lowercase();
        let record = DeviceRecord {
            device_id: DeviceId::new(format!("{prefix}-{number:06}"))?,
            sequence: 0,
            patient_id: wearer
                .then(|| PatientRef::new(format!("{hospital}/p{}", number / 2)))
                .transpose()?,
            hospital,
            manufacturer: Words::new(model.manufacturer)?,
            model: Words::new(model.model)?,
            device_type: Words::new(model.device_type)?,
            category: model.category,
            speciality,
            firmware_version: Words::new(model.firmware)?,
            os_version: Words::new(model.os)?,
            production,
            last_service: (age_days > 180).then(|| start.saturating_add_micros(serviced)),
            warranty_end: production.saturating_add_micros(5 * 365 * DAY),
            last_sync: start,
            last_patch: None,
            usage_hours: (age_days as f64 * 24.0 * duty * 10.0).round() / 10.0,
            battery_percent: model.battery_hours.map(|_| (20.0 + 80.0 * self.chance()).round()),
            sync_interval: f64::from(model.sync_interval_s),
            active: self.chance() < 0.97,
            sbom: None,
            known_cves: Vec::new(),
            network_segment: Some(Words::new(segment)?),
            open_ports: model.ports.to_vec(),
        };
        let reached = self
            .waves
            .iter()
            .enumerate()
            .filter(|(_, wave)| wave.model == record.model)
            .map(|(number, wave)| {
                let delay = self.delay(&record.device_id, number, wave);
                (number, wave.released.saturating_add_micros(delay))
            })
            .collect();
        Ok(Device { record, model: at, next, duty, charging: false, reached, at: None })
    }

    /// The reports of the time up to `to`, in the order of their moments.
    ///
    /// # Errors
    /// As [`FleetSimulation::new`].
    pub fn advance(&mut self, to: Timestamp) -> Result<Vec<DeviceRecord>, ReasonRefused> {
        let mut reports = Vec::new();
        let mut devices = std::mem::take(&mut self.devices);
        for device in &mut devices {
            while device.next <= to {
                self.report(device)?;
                reports.push(device.record.clone());
                self.schedule(device);
            }
        }
        self.devices = devices;
        reports.sort_by(|a, b| (a.last_sync, &a.device_id).cmp(&(b.last_sync, &b.device_id)));
        Ok(reports)
    }

    /// Lets time pass up to `to` without reports: each device reports next after it.
    pub fn skip_to(&mut self, to: Timestamp) {
        let mut devices = std::mem::take(&mut self.devices);
        for device in &mut devices {
            let later = self.chance() * device.record.sync_interval * 1e6;
            device.next = device.next.max(to.saturating_add_micros(later as i64));
        }
        self.devices = devices;
    }

    /// One report of each device, at the next moment at which it would report.
    ///
    /// # Errors
    /// As [`FleetSimulation::new`].
    pub fn snapshot(&mut self) -> Result<Vec<DeviceRecord>, ReasonRefused> {
        let mut devices = std::mem::take(&mut self.devices);
        for device in &mut devices {
            self.report(device)?;
            self.schedule(device);
        }
        let records = devices.iter().map(|device| device.record.clone()).collect();
        self.devices = devices;
        Ok(records)
    }

    /// When the device reports next: after its interval, or much later when it falls silent.
    fn schedule(&mut self, device: &mut Device) {
        let interval = device.record.sync_interval;
        let jitter = 1.0 + 0.02 * (self.chance() - 0.5);
        // About one silence in a hundred days of a device, of two days in the mean.
        let silent = self.chance() < interval / (100.0 * 86_400.0);
        let silence = if silent { 4.0 * 3600.0 + self.waiting(2.0 * 86_400.0) } else { 0.0 };
        let micros = ((interval * jitter + silence) * 1e6) as i64;
        device.next = device.next.saturating_add_micros(micros.max(1));
    }

    fn report(&mut self, device: &mut Device) -> Result<(), ReasonRefused> {
        let now = device.next;
        let first = device.record.sequence == 0;
        let hours = if first {
            0.0
        } else {
            now.micros_since(device.record.last_sync) as f64 / HOUR as f64
        };
        device.record.sequence += 1;
        device.record.last_sync = now;
        if device.record.active {
            let used = device.record.usage_hours + hours * device.duty;
            device.record.usage_hours = (used * 10.0).round().min(3_000_000.0) / 10.0;
        }
        self.charge(device, hours);
        self.patch(device, now)?;
        let serviced = device.record.last_service.unwrap_or(device.record.production);
        if now.micros_since(serviced) > 365 * DAY && self.chance() < 0.01 {
            device.record.last_service = Some(now);
        }
        if self.chance() < hours / (400.0 * 24.0) {
            device.record.active = !device.record.active;
        }
        Ok(())
    }

    /// Drains or charges the battery, whose capacity wears off with use.
    fn charge(&mut self, device: &mut Device, hours: f64) {
        let life = MODELS.get(device.model).and_then(|m| m.battery_hours);
        let (Some(charge), Some(life)) = (device.record.battery_percent, life) else { return };
        let capacity = (1.0 - device.record.usage_hours / 80_000.0).max(0.3);
        let drain = 100.0 * device.duty * hours / (life * capacity);
        let gain = 60.0 * hours;
        // After a time without reports it may stand anywhere.
        let charge = if hours > life {
            100.0 * self.chance()
        } else if device.charging {
            charge + gain
        } else {
            charge - drain
        };
        if charge >= 95.0 {
            device.charging = false;
        } else if charge < 10.0 + 25.0 * self.chance() {
            device.charging = self.chance() < 0.85;
        }
        device.record.battery_percent = Some(charge.clamp(0.0, 100.0).round());
    }

    /// Takes up what reached the device, and what became known of what has not.
    fn patch(&self, device: &mut Device, now: Timestamp) -> Result<(), ReasonRefused> {
        let newest = device.reached.iter().rfind(|(_, at)| *at <= now).copied();
        let wave = newest.map(|(number, _)| number);
        // What a version mends, the versions after it mend too.
        let still_open = |number: usize| wave.is_none_or(|at| number > at);
        let disclosed = device.reached.iter().filter(|(number, _)| still_open(*number));
        let mut open: Vec<CveId> = disclosed
            .filter_map(|(number, _)| self.waves.get(*number))
            .filter(|wave| wave.disclosed <= now)
            .flat_map(|wave| wave.cves.iter().cloned())
            .collect();
        open.sort();
        device.record.known_cves = open;
        if device.at == Some(wave) {
            return Ok(());
        }
        device.at = Some(wave);
        let model = MODELS.get(device.model).ok_or(ReasonRefused::Word)?;
        let (firmware, os) = match wave.and_then(|number| self.waves.get(number)) {
            Some(wave) => (wave.firmware.clone(), wave.os.clone()),
            None => (Words::new(model.firmware)?, Words::new(model.os)?),
        };
        let record = &mut device.record;
        let patched = newest.map(|(_, at)| at);
        record.last_patch = patched.filter(|at| *at > record.production);
        // Old firmware still has Telnet open.
        record.open_ports = model.ports.to_vec();
        if wave.is_none() && !model.ports.is_empty() {
            record.open_ports.push(23);
            record.open_ports.sort_unstable();
        }
        let parts: [&[u8]; 3] =
            [model.model.as_bytes(), firmware.as_str().as_bytes(), os.as_str().as_bytes()];
        let digest = Digest::of_parts("salus simulated sbom v1", &parts);
        record.sbom = Some(SbomRef::new(format!("sha256:{digest}"))?);
        record.firmware_version = firmware;
        record.os_version = os;
        Ok(())
    }

    /// How long a wave takes to reach a device: the same whenever it is asked.
    fn delay(&self, device: &DeviceId, wave: usize, of: &Wave) -> i64 {
        let parts: [&[u8]; 3] = [
            &self.settings.seed.to_be_bytes(),
            device.as_str().as_bytes(),
            &(wave as u64).to_be_bytes(),
        ];
        let digest = Digest::of_parts("salus simulated patch v1", &parts);
        let bytes = digest.as_bytes().first_chunk::<8>().copied().unwrap_or_default();
        let chance = (u64::from_be_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64;
        let half_lives = -(1.0 - chance).log2();
        (half_lives * f64::from(of.half_life_days) * DAY as f64).min(4000.0 * DAY as f64) as i64
    }

    /// The public lists of values of the simulated market.
    #[must_use]
    pub fn domains(&self) -> Domains {
        let mut lists: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut add = |field: &str, value: &str| {
            lists.entry(field.to_owned()).or_default().insert(value.to_owned());
        };
        for model in MODELS {
            add("manufacturer", model.manufacturer);
            add("model", model.model);
            add("device_type", model.device_type);
            add("firmware_version", model.firmware);
            add("os_version", model.os);
        }
        for wave in &self.waves {
            add("firmware_version", wave.firmware.as_str());
            add("os_version", wave.os.as_str());
        }
        SEGMENTS.iter().for_each(|segment| add("network_segment", segment));
        add("hospital", self.settings.hospital.as_str());
        Domains(lists)
    }
}
