//! A hub, three hospitals, a university and a ledger of four validators: folders, key stores and
//! processes of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use salus_crypto::OsEntropy;
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_model::{DatasetId, Entropy as _, HolderId, MemberId, Secret};
use salus_node::membership::Membership;
use salus_node::operations::Call;
use salus_node::{Config, HolderLedger, ListenConfig, Site, write_private};

use super::process::Process;
use super::{data, devices};
use crate::commands::holder::{self, Place};
use crate::commands::ledger::{Member, lay_out};
use crate::commands::{dataset, grounds};
use crate::output::Failure;

pub(super) const HUB: &str = "hub";
pub(super) const UNIVERSITY: &str = "university";
pub(super) const HOSPITALS: [&str; 3] = ["st-mary", "north-clinic", "lakeside"];
const VALIDATORS: u8 = 4;
/// All that may ever be spent on a hospital's visits.
const BUDGET: &str = "12";

fn io(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |e| Failure::unavailable(format!("{}: {e}", path.display()))
}

/// The demo's folder.
#[derive(Clone)]
pub(super) struct Ground(pub(super) PathBuf);

impl Ground {
    pub(super) fn passphrase_file(&self, of: &str) -> PathBuf {
        self.0.join("passphrases").join(of)
    }

    /// A passphrase that lies beside what it opens, readable by its owner alone: that is what makes
    /// this a demo.
    fn new_passphrase(&self, of: &str) -> Result<Passphrase, Failure> {
        let file = self.passphrase_file(of);
        let folder = self.0.join("passphrases");
        std::fs::create_dir_all(&folder).map_err(io(&folder))?;
        let mut random = [0; 24];
        OsEntropy.fill(&mut random).map_err(|e| Failure::unavailable(e.to_string()))?;
        write_private(&file, hex::encode(random).as_bytes()).map_err(io(&file))?;
        self.passphrase(of)
    }

    fn passphrase(&self, of: &str) -> Result<Passphrase, Failure> {
        let file = self.passphrase_file(of);
        let text = std::fs::read_to_string(&file).map_err(io(&file))?;
        Ok(Passphrase::new(Secret::new(text.trim().to_owned()))?)
    }

    pub(super) fn site_folder(&self, of: &str) -> PathBuf {
        self.0.join(of)
    }

    pub(super) fn genesis(&self) -> PathBuf {
        self.0.join("ledger/genesis.cbor")
    }

    pub(super) fn log(&self, of: &str) -> PathBuf {
        self.0.join("logs").join(format!("{of}.log"))
    }

    pub(super) fn validator_folder(&self, number: usize) -> PathBuf {
        self.0.join("ledger").join(format!("val-{number:02}"))
    }

    pub(super) fn is_made(&self) -> bool {
        self.0.join("made").is_file()
    }

    /// Lays the ledger out: validators, and a place on it for each organisation.
    fn make_ledger(&self) -> Result<BTreeMap<String, Membership>, Failure> {
        use salus_ledger::policy::Role;
        let member =
            |name: &str, roles: &[Role]| Member { name: name.to_owned(), roles: roles.to_vec() };
        let mut members = vec![
            member(HUB, &[Role::Administrator, Role::Officer]),
            member(UNIVERSITY, &[Role::Research]),
        ];
        members.extend(HOSPITALS.iter().map(|name| member(name, &[Role::Holder])));
        let passphrase = self.new_passphrase("ledger")?;
        let folder = self.0.join("ledger");
        let laid = lay_out(VALIDATORS, &folder, &members, &passphrase, GuessCost::OWASP_MINIMUM)?;
        Ok(laid.memberships.into_iter().map(|m| (m.member.to_string(), m)).collect())
    }

    /// Makes an organisation's site, on the ledger, with its visits where it is a hospital.
    async fn make_site(&self, name: &str, membership: &Membership) -> Result<Site, Failure> {
        let folder = self.site_folder(name);
        std::fs::create_dir_all(&folder).map_err(io(&folder))?;
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = ListenConfig { http: any, postgres: any, flight: any };
        let holder = HolderId::new(name).map_err(|e| Failure::request(e.to_string()))?;
        let cost = GuessCost::OWASP_MINIMUM;
        let config = Config::embedded(holder, listen);
        Site::init(&folder, &config, self.new_passphrase(name)?, cost).await?;
        let mut site = self.open(name).await?;
        site.join_ledger(membership).await?;
        // As an opening would find it, without stretching the passphrase once more.
        site.config = Config::read(&folder)?;
        if let Some(number) = HOSPITALS.iter().position(|h| *h == name) {
            data::load(&site, u32::try_from(number).unwrap_or_default()).await?;
            devices::prepare(&site, number)?;
        }
        Ok(site)
    }

    /// An organisation's site, made where there is none.
    async fn site(
        &self,
        name: &'static str,
        membership: Option<Membership>,
    ) -> Result<Site, Failure> {
        let Some(membership) = membership else { return self.open(name).await };
        // On a thread of its own: stretching a passphrase is work for a core.
        let (ground, runtime) = (self.clone(), tokio::runtime::Handle::current());
        let making = tokio::task::spawn_blocking(move || {
            runtime.block_on(ground.make_site(name, &membership))
        });
        making.await.map_err(|e| Failure::unavailable(e.to_string()))?
    }

    /// The organisations' sites, and what runs on them: nodes of the hub and the hospitals, and the
    /// hospitals' collectors.
    async fn organisations(
        &self,
        mut memberships: BTreeMap<String, Membership>,
    ) -> Result<Organisations, Failure> {
        let new = !memberships.is_empty();
        let all = [HUB, UNIVERSITY].into_iter().chain(HOSPITALS);
        let sites = all.map(|name| self.site(name, memberships.remove(name)));
        let sites = futures::future::try_join_all(sites).await?;
        if new {
            // Before the nodes start, which take it up then.
            devices::trust(&sites).await?;
        }
        let nodes = [HUB].into_iter().chain(HOSPITALS).map(|name| self.start_node(name));
        let collectors = HOSPITALS.map(|name| devices::collect(self, name));
        let (nodes, collectors) = tokio::try_join!(
            futures::future::try_join_all(nodes),
            futures::future::try_join_all(collectors)
        )?;
        Ok(Organisations { sites, nodes, collectors })
    }

    pub(super) async fn open(&self, name: &str) -> Result<Site, Failure> {
        let passphrase = self.passphrase(name)?;
        Ok(Site::open(&self.site_folder(name), passphrase, GuessCost::OWASP_MINIMUM).await?)
    }

    /// Starts the validators whose numbers are given, all at once.
    pub(super) async fn start_validators(
        &self,
        numbers: impl IntoIterator<Item = usize>,
    ) -> Result<Vec<Process>, Failure> {
        let starting = numbers.into_iter().map(|number| {
            let (name, folder) = (format!("val-{number:02}"), self.validator_folder(number));
            async move {
                let folder = folder.display().to_string();
                let words = ["ledger", "serve", &folder];
                Process::start(&name, &words, &self.passphrase_file("ledger"), &self.log(&name))
                    .await
            }
        });
        futures::future::join_all(starting).await.into_iter().collect()
    }

    pub(super) async fn start_node(&self, name: &str) -> Result<Process, Failure> {
        let folder = self.site_folder(name).display().to_string();
        let words = ["--site", &folder, "node", "run"];
        Process::start(name, &words, &self.passphrase_file(name), &self.log(name)).await
    }
}

/// What runs besides the ledger, each in the order of its names.
struct Organisations {
    sites: Vec<Site>,
    nodes: Vec<Process>,
    collectors: Vec<Process>,
}

/// What runs.
pub(super) struct Network {
    pub(super) ground: Ground,
    pub(super) validators: Vec<Process>,
    pub(super) hub: Process,
    pub(super) hospitals: Vec<Process>,
    pub(super) collectors: Vec<Process>,
    /// The officer's and the researcher's own hands.
    pub(super) office: Site,
    pub(super) university: Site,
    pub(super) asking: HolderLedger,
}

impl Network {
    /// Makes everything that is not there yet, and starts it.
    pub(super) async fn start(folder: &Path) -> Result<(Self, bool), Failure> {
        let ground = Ground(folder.to_owned());
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs).map_err(io(&logs))?;
        let new = !ground.is_made();
        let memberships = if new { Some(ground.make_ledger()?) } else { None };
        // What does not wait for something else goes on beside it: the organisations' nodes start
        // as soon as their sites are there, whether the validators are ready or not.
        let (validators, organisations) = tokio::try_join!(
            ground.start_validators(1..=usize::from(VALIDATORS)),
            ground.organisations(memberships.unwrap_or_default())
        )?;
        let Organisations { sites, nodes, collectors } = organisations;
        let none = || Failure::corrupt("an organisation is missing");
        let mut sites = sites.into_iter();
        let (office, university) = (sites.next().ok_or_else(none)?, sites.next().ok_or_else(none)?);
        let sites: Vec<Site> = sites.collect();
        let mut hospitals = nodes.into_iter();
        let hub = hospitals.next().ok_or_else(none)?;
        let hospitals: Vec<Process> = hospitals.collect();
        if new {
            futures::future::try_join_all(sites.iter().map(share)).await?;
            let devices = sites.iter().zip(HOSPITALS).enumerate();
            let devices = devices.map(|(number, (site, name))| devices::share(site, name, number));
            futures::future::try_join_all(devices).await?;
            let file = folder.join("made");
            std::fs::write(&file, b"").map_err(io(&file))?;
        }
        let asking = university.ledger().await?;
        let network =
            Self { ground, validators, hub, hospitals, collectors, office, university, asking };
        network.note_place(HUB, &network.hub)?;
        for (name, node) in HOSPITALS.iter().zip(&network.hospitals) {
            network.note_place(name, node)?;
        }
        Ok((network, new))
    }

    /// Notes for the university where a hospital's node listens.
    pub(super) fn note_place(&self, name: &str, node: &Process) -> Result<(), Failure> {
        let holder = HolderId::new(name).map_err(|e| Failure::request(e.to_string()))?;
        let (url, ca) = (node.told("http")?.to_owned(), node.told("certificate")?.to_owned());
        holder::add(&self.university.folder, holder, Place { url, ca })
    }

    /// Stops every process, nodes first.
    pub(super) async fn stop(self) {
        let nodes = self.hospitals.into_iter().chain(self.collectors).chain([self.hub]);
        let nodes = nodes.map(Process::stop);
        futures::future::join_all(nodes).await;
        futures::future::join_all(self.validators.into_iter().map(Process::stop)).await;
    }
}

/// Puts a hospital's visits on the ledger, through its node.
async fn share(site: &Site) -> Result<(), Failure> {
    let epsilon = grounds::epsilon(BUDGET).map_err(Failure::request)?;
    let account =
        dataset::account(epsilon, 6, salus_ledger::call::ReleaseRule::DpOnly).map(Some)?;
    let visits = DatasetId::new("visits").map_err(|e| Failure::request(e.to_string()))?;
    crate::site::ask(site, Call::Share { dataset: visits, account }).await?;
    Ok(())
}

/// The ledger's name for a hospital's visits.
pub(super) fn visits(hospital: &str) -> Result<salus_ledger::DatasetRef, Failure> {
    let wrong = |e: salus_model::IdError| Failure::request(e.to_string());
    Ok(salus_ledger::DatasetRef {
        holder: MemberId::new(hospital).map_err(wrong)?,
        dataset: DatasetId::new("visits").map_err(wrong)?,
    })
}
