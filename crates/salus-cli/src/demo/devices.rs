//! The hospitals' devices: collectors that take a simulated fleet's reports in, and a researcher who
//! counts over all three hospitals, with and without anybody seeing one hospital's own number.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use salus_collect::{DEVICES, DeviceRecord, FleetSettings, FleetSimulation, profile, write_csv};
use salus_dp::{ContributionBound, PrivacyUnit};
use salus_ledger::DatasetRef;
use salus_ledger::call::{Ground, PermitTerms};
use salus_model::{Clock as _, DatasetId, HolderId, MemberId, PermitId};
use salus_node::joint::JointTrust;
use salus_node::operations::Call;
use salus_node::permits::permit_on;
use salus_node::{PROFILES_FILE, Site, SystemClock};

use super::Check;
use super::network::{Ground as Place, HOSPITALS, HUB, Network};
use super::process::Process;
use super::story::{self, terms};
use crate::commands::several::{Mode, Several, SeveralShown};
use crate::commands::{dataset, grounds, query, several, together};
use crate::output::Failure;

/// Devices of each hospital.
const FLEET: [u32; 3] = [240, 300, 360];
/// Reports of each device, one a week.
const ROUNDS: i64 = 3;
const WEEK_MICROS: i64 = 7 * 86_400_000_000;
const SLACK_MICROS: i64 = 2 * 3_600_000_000;
/// All that may ever be spent on a hospital's devices.
const BUDGET: &str = "12";
/// What whoever counts devices by version reads.
const COLUMNS: [&str; 4] = ["device_id", "os_version", "device_type", "battery_percent"];
pub(super) const BY_OS: &str = "SELECT os_version, count(*) FROM devices GROUP BY os_version";
/// The hub is one of the parties that add shares up; a hospital is the other.
const PARTIES: [&str; 2] = [HUB, "lakeside"];
const PATIENCE: Duration = Duration::from_secs(60);

fn wrong(e: impl std::fmt::Display) -> Failure {
    Failure::corrupt(e.to_string())
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |e| Failure::unavailable(format!("{}: {e}", path.display()))
}

/// The fleet of a hospital, always the same, with the states of its last round.
fn fleet(
    number: usize,
) -> Result<(FleetSimulation, Vec<DeviceRecord>, Vec<DeviceRecord>), Failure> {
    let name = HOSPITALS.get(number).copied().unwrap_or_default();
    let hospital = HolderId::new(name).map_err(wrong)?;
    let devices = FLEET.get(number).copied().unwrap_or_default();
    let last = SystemClock.now().saturating_add_micros(-SLACK_MICROS);
    let start = last.saturating_add_micros(-(ROUNDS - 1) * WEEK_MICROS);
    let seed = u64::try_from(number).unwrap_or_default() + 1;
    let mut fleet =
        FleetSimulation::new(FleetSettings { seed, hospital, devices, start }).map_err(wrong)?;
    let (mut all, mut latest) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        if round > 0 {
            fleet.skip_to(start.saturating_add_micros(round * WEEK_MICROS));
        }
        latest = fleet.snapshot().map_err(wrong)?;
        all.extend(latest.iter().cloned());
    }
    Ok((fleet, all, latest))
}

/// Lays a hospital's device reports where its collector looks for them, and states the profile.
pub(super) fn prepare(site: &Site, number: usize) -> Result<(), Failure> {
    let (fleet, reports, _) = fleet(number)?;
    let folder = site.folder.join("drop");
    std::fs::create_dir_all(&folder).map_err(io(&folder))?;
    // Whole before it has the name that the collector looks for.
    let (made, path) = (folder.join("fleet.new"), folder.join("fleet.csv"));
    let file = std::fs::File::create(&made).map_err(io(&made))?;
    write_csv(std::io::BufWriter::new(file), &reports)?;
    std::fs::rename(&made, &path).map_err(io(&path))?;
    let config = site.folder.join("collect.toml");
    let text =
        "publish_seconds = 1\n\n[http]\nlisten = \"127.0.0.1:0\"\n\n[folder]\npath = \"drop\"\n";
    std::fs::write(&config, text).map_err(io(&config))?;
    let bound = ContributionBound::ONE_ROW;
    let devices = profile(PrivacyUnit::Device, bound, &fleet.domains())?;
    let text = toml::to_string(&BTreeMap::from([(DEVICES, devices)]));
    let path = site.folder.join(PROFILES_FILE);
    let mut file =
        std::fs::OpenOptions::new().append(true).create(true).open(&path).map_err(io(&path))?;
    file.write_all(format!("\n{}", text.map_err(wrong)?).as_bytes()).map_err(io(&path))
}

/// The operators tell each other their keys for joint answers.
pub(super) async fn trust(sites: &[Site]) -> Result<(), Failure> {
    let is_among = |names: &[&str], site: &Site| names.contains(&site.config.holder.as_str());
    let mut holders = BTreeMap::new();
    let mut parties = BTreeMap::new();
    for site in sites {
        let name = || site.config.holder.clone();
        if is_among(&HOSPITALS, site) {
            holders.insert(name(), *site.authority.verifier().key());
        }
        if is_among(&PARTIES, site) {
            parties.insert(name(), site.joint_key().await?.public_key());
        }
    }
    for site in sites {
        let mut trust = JointTrust::read(&site.folder)?;
        trust.parties = parties.clone();
        if is_among(&PARTIES, site) {
            trust.holders = holders.clone();
        }
        trust.write(&site.folder)?;
    }
    Ok(())
}

/// Starts a hospital's collector.
pub(super) async fn collect(ground: &Place, name: &str) -> Result<Process, Failure> {
    let folder = ground.site_folder(name).display().to_string();
    let words = ["--site", &folder, "collect", "run"];
    let log = ground.log(&format!("{name}-collector"));
    Process::start(&format!("{name}-collector"), &words, &ground.passphrase_file(name), &log).await
}

/// Puts a hospital's devices on the ledger, once its collector has brought them into the lake.
pub(super) async fn share(site: &Site, name: &str, number: usize) -> Result<(), Failure> {
    let devices = DatasetId::new(DEVICES).map_err(wrong)?;
    let wanted = u64::from(FLEET.get(number).copied().unwrap_or_default());
    let begun = Instant::now();
    loop {
        let rows = match site.lake.snapshot(&devices, None).await {
            Ok(snapshot) => snapshot.manifest().rows(),
            Err(salus_store::LakeError::NoDataset { .. }) => 0,
            Err(e) => return Err(e.into()),
        };
        if rows >= wanted {
            break;
        }
        if begun.elapsed() > PATIENCE {
            return Err(Failure::unavailable(format!("{name}'s collector published {rows} rows")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let epsilon = grounds::epsilon(BUDGET).map_err(Failure::request)?;
    let account =
        dataset::account(epsilon, 6, salus_ledger::call::ReleaseRule::DpOnly).map(Some)?;
    crate::site::ask(site, Call::Share { dataset: devices, account }).await?;
    Ok(())
}

/// The ledger's name for a hospital's devices.
fn devices_of(hospital: &str) -> Result<DatasetRef, Failure> {
    Ok(DatasetRef {
        holder: MemberId::new(hospital).map_err(wrong)?,
        dataset: DatasetId::new(DEVICES).map_err(wrong)?,
    })
}

impl Network {
    /// A permit over the devices of all three hospitals, applied for and granted.
    pub(super) async fn permitted_devices(&self, epsilon: f64) -> Result<PermitId, Failure> {
        let visits = terms(&HOSPITALS, epsilon, 24 * 60 * 60)?;
        let columns: Result<BTreeSet<_>, _> =
            COLUMNS.iter().map(|name| salus_ledger::Column::new(*name)).collect();
        let columns = columns.map_err(wrong)?;
        let mut grounds = Vec::new();
        for (hospital, ground) in HOSPITALS.into_iter().zip(&visits.grounds) {
            let (dataset, columns) = (devices_of(hospital)?, columns.clone());
            grounds.push(Ground { dataset, columns, budget: ground.budget });
        }
        let permit = self.apply(PermitTerms { grounds, ..visits }).await?;
        self.grant(&permit).await?;
        Ok(permit)
    }

    /// A question in SQL over the devices of all three hospitals.
    pub(super) async fn ask_all(
        &self,
        permit: &PermitId,
        (sql, epsilon): (&str, f64),
        mode: Mode,
    ) -> Result<SeveralShown, Failure> {
        let record = permit_on(&self.asking, permit).await?;
        let datasets = HOSPITALS.iter().map(|name| devices_of(name)).collect::<Result<_, _>>()?;
        let several = Several {
            site: &self.university,
            ledger: &self.asking,
            folder: &self.university.folder,
            permit: permit.clone(),
            record,
            datasets,
            fewest: 1,
        };
        let wanted = query::Wanted::sql(sql, story::epsilon(epsilon)?)?;
        match mode {
            Mode::Independent => several::ask(&several, &wanted).await,
            Mode::Joint => together::ask(&several, &wanted, &together::Together::usual()).await,
        }
    }
}

/// How many devices run each version, exactly: only who made the fleet can know that over all.
fn exactly() -> Result<BTreeMap<String, f64>, Failure> {
    let mut count = BTreeMap::new();
    for number in 0..HOSPITALS.len() {
        for device in fleet(number)?.2 {
            *count.entry(device.os_version.as_str().to_owned()).or_insert(0.0) += 1.0;
        }
    }
    Ok(count)
}

/// An answer is right when each count lies within five half widths of the truth; the simulated states
/// of a later start can differ from those that were collected by a patch or two.
fn near(answer: &SeveralShown) -> Result<String, Failure> {
    let exact = exactly()?;
    for row in &answer.rows {
        let os = row.key.first().map_or("", String::as_str);
        let truth = exact.get(os).copied().unwrap_or(0.0);
        let (value, upper) =
            row.estimate.zip(row.upper).ok_or_else(|| Failure::corrupt("a count is missing"))?;
        if (value - truth).abs() > 5.0 * (upper - value) {
            return Err(Failure::corrupt(format!("{os}: {value:.0}, exactly {truth:.0}")));
        }
    }
    let half =
        answer.rows.first().and_then(|r| r.upper.zip(r.estimate)).map_or(0.0, |(u, e)| u - e);
    let holders = answer.holders.len();
    Ok(format!("{} versions over {holders} hospitals, ± {half:.0}", answer.rows.len()))
}

pub(super) async fn steps(check: &mut Check<'_>, network: &Network) -> Option<()> {
    let permit = check
        .step("grant a permit over the devices of three hospitals", async {
            let permit = network.permitted_devices(2.0).await?;
            Ok((permit.clone(), permit.to_string()))
        })
        .await?;
    let apart = check
        .step("count devices by OS version, each hospital by itself", async {
            let answer = network.ask_all(&permit, (BY_OS, 0.5), Mode::Independent).await?;
            let said = near(&answer)?;
            if answer.holders.len() != 3 || !answer.missing.is_empty() {
                return Err(Failure::corrupt("a hospital is missing"));
            }
            Ok((answer, said))
        })
        .await?;
    check
        .step("count them jointly, and nobody sees one's number", async {
            let answer = network.ask_all(&permit, (BY_OS, 0.5), Mode::Joint).await?;
            let said = near(&answer)?;
            let half = |a: &SeveralShown| {
                a.rows.first().and_then(|r| r.upper.zip(r.estimate)).map_or(0.0, |(u, e)| u - e)
            };
            if half(&answer) >= half(&apart) {
                return Err(Failure::corrupt("the joint answer is not the more exact one"));
            }
            Ok(((), said))
        })
        .await?;
    check
        .step("ask different questions until the budget ends it", async {
            let mut answered = 0;
            for charge in 1..100 {
                let sql = format!("SELECT count(*) FROM devices WHERE battery_percent < {charge}");
                match network.ask_all(&permit, (sql.as_str(), 0.5), Mode::Independent).await {
                    Ok(answer) if answer.missing.is_empty() => answered += 1,
                    Ok(answer) => {
                        let who = answer.missing.first().map(|m| m.holder.to_string());
                        return Err(Failure::corrupt(format!("{who:?} is missing")));
                    }
                    Err(e) if e.to_string().contains("budget") => {
                        return Ok((
                            (),
                            format!("{answered} were answered, then the budget was spent"),
                        ));
                    }
                    Err(e) => return Err(e),
                }
            }
            Err(Failure::corrupt("a hundred questions were answered"))
        })
        .await
}
