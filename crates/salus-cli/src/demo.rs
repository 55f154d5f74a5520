//! A hub, three hospitals and a ledger, started, asked and shown.

mod data;
mod devices;
mod fhir;
mod network;
mod permits;
mod process;
mod story;
mod tour;

use std::path::{Path, PathBuf};
use std::time::Instant;

use salus_crypto::OsEntropy;
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_model::{Entropy as _, HolderId, Purpose, Secret};
use salus_node::{Config, ListenConfig, Site, write_private};
use salus_query::{AccessToken, Request};
use salus_spine::Upkeep;
use serde::Serialize;

use crate::commands::node::{self, Services};
use crate::commands::{import, sql, staff};
use crate::output::{Failure, Output};

/// The 40 synthetic patients, unpacked beside the site when it is made.
const PATIENTS: include_dir::Dir<'static> =
    include_dir::include_dir!("$CARGO_MANIFEST_DIR/../../testdata/fhir_synthea_r4");

const FIRST_QUERY: &str = "\
SELECT code_display AS condition, count(DISTINCT patient_id) AS patients
FROM conditions GROUP BY code_display ORDER BY patients DESC, condition LIMIT 5";
const DENIED_QUERY: &str = "SELECT family_name FROM patients LIMIT 1";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder that keeps the demo's data; it starts again on it.
    #[arg(long, default_value = "salus-demo")]
    folder: PathBuf,
    /// Run the tour unattended in a folder of its own, and exit 0 or 1.
    #[arg(long)]
    check: bool,
}

#[derive(Serialize)]
struct Step {
    step: &'static str,
    ok: bool,
    milliseconds: u128,
    said: String,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Failure> {
    if args.check { check(output).await } else { tour::run(&args.folder, output).await }
}

/// Opens the unattended tour's first site, or makes it.
///
/// The passphrase lies beside the site, readable by its owner alone: that is what makes this a
/// demo. A real site's passphrase lies nowhere on its disk.
async fn site(folder: &Path, listen: ListenConfig) -> Result<(Site, bool), Failure> {
    let file = folder.join("demo-passphrase");
    let new = !Config::is_site(folder);
    if new {
        std::fs::create_dir_all(folder)
            .map_err(|e| Failure::unavailable(format!("{}: {e}", folder.display())))?;
        let mut random = [0; 24];
        OsEntropy.fill(&mut random).map_err(|e| Failure::unavailable(e.to_string()))?;
        write_private(&file, hex::encode(random).as_bytes())
            .map_err(|e| Failure::unavailable(format!("{}: {e}", file.display())))?;
        let holder = HolderId::new("demo-hospital").map_err(|e| Failure::request(e.to_string()))?;
        let config = Config::embedded(holder, listen);
        Site::init(folder, &config, read(&file)?, GuessCost::OWASP_MINIMUM).await?;
    }
    Ok((Site::open(folder, read(&file)?, GuessCost::OWASP_MINIMUM).await?, new))
}

fn read(file: &Path) -> Result<Passphrase, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::request(format!("{}: {e}", file.display())))?;
    Ok(Passphrase::new(Secret::new(text.trim().to_owned()))?)
}

/// Loads the synthetic patients; how many resources.
async fn load(site: &Site, folder: &Path, output: &Output) -> Result<u64, Failure> {
    let unpacked = folder.join("patients");
    let io = |e: std::io::Error| Failure::unavailable(format!("{}: {e}", unpacked.display()));
    std::fs::create_dir_all(&unpacked).map_err(io)?;
    let mut files = Vec::new();
    for file in PATIENTS.files() {
        let name = file.path().file_name().unwrap_or_default();
        if file.path().extension().is_some_and(|e| e == "gz") {
            let path = unpacked.join(name);
            std::fs::write(&path, file.contents()).map_err(io)?;
            files.push(path);
        }
    }
    let report = import::fhir(site, &files, output).await?;
    std::fs::remove_dir_all(&unpacked).map_err(io)?;
    if report.quarantined > 0 {
        let told = format!("{} resources were quarantined", report.quarantined);
        return Err(Failure::corrupt(told));
    }
    Ok(report.accepted)
}

fn token(folder: &Path, name: &str, role: &str, purpose: Purpose) -> Result<String, Failure> {
    let known = staff::staff(folder);
    let person = name.parse().map_err(|e| Failure::request(format!("{e}")))?;
    // Each start gives new tokens, and voids those of the last.
    let _ = known.revoke(&person);
    let role = role.parse().map_err(|e| Failure::request(format!("{e}")))?;
    let day = 24 * 60 * 60 * 1_000_000;
    Ok(known.issue(person, [role].into(), purpose, day)?)
}

fn request(sql: &str) -> Request {
    Request { sql: sql.to_owned(), role: None, parameters: Vec::new() }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The unattended tour.
struct Check<'a> {
    output: &'a Output,
    steps: Vec<Step>,
}

impl Check<'_> {
    /// Runs a step; none when it failed, which is told.
    async fn step<T, F>(&mut self, step: &'static str, work: F) -> Option<T>
    where
        F: Future<Output = Result<(T, String), Failure>>,
    {
        let began = Instant::now();
        let done = work.await;
        let milliseconds = began.elapsed().as_millis();
        let (ok, said) = match &done {
            Ok((_, said)) => (true, said.clone()),
            Err(failure) => (false, failure.to_string()),
        };
        if !self.output.is_json() {
            let state = if ok { "ok    " } else { "FAILED" };
            println!("{state} {step:<44} {milliseconds:>6} ms  {said}");
        }
        self.steps.push(Step { step, ok, milliseconds, said });
        done.ok().map(|(value, _)| value)
    }
}

/// Asks, and wants a refusal whose words name all of `wanted`.
async fn refused(
    services: &Services,
    token: &str,
    sql: &str,
    wanted: &[&str],
) -> Result<String, Failure> {
    match services.gateway.answer(&AccessToken::new(token.to_owned()), request(sql)).await {
        Ok(_) => Err(Failure::corrupt("it was answered and should have been refused")),
        Err(e) => {
            let said = e.to_string();
            match wanted.iter().find(|w| !said.contains(**w)) {
                None => Ok(said),
                Some(missing) => {
                    Err(Failure::corrupt(format!("the refusal does not name '{missing}': {said}")))
                }
            }
        }
    }
}

async fn check(output: &Output) -> Result<(), Failure> {
    let mut check = Check { output, steps: Vec::new() };
    let folder = std::env::temp_dir().join(format!("salus-check-{}", std::process::id()));
    let done = match checked(&mut check, &folder.join("lake")).await {
        Some(()) => permits::steps(&mut check, &folder.join("network")).await,
        None => None,
    };
    let _ = std::fs::remove_dir_all(&folder);
    let failed = check.steps.iter().filter(|s| !s.ok).count();
    let total = check.steps.len();
    output.print(&check.steps, |_| {
        if failed == 0 && done.is_some() {
            format!("\nAll {total} steps are well.")
        } else {
            format!("\n{failed} of {total} steps failed.")
        }
    });
    match done {
        Some(()) if failed == 0 => Ok(()),
        _ => Err(Failure::self_test("the self-test failed")),
    }
}

/// The steps, up to the first that failed.
async fn checked(check: &mut Check<'_>, folder: &Path) -> Option<()> {
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = ListenConfig { http: any, postgres: any, flight: any };
    let output = Output::new(true);
    let site = check
        .step("make a site with a key store", async {
            let (site, _) = site(folder, listen).await?;
            Ok((site, String::new()))
        })
        .await?;
    check
        .step("import 40 synthetic patients, encrypted", async {
            let resources = load(&site, folder, &output).await?;
            Ok(((), format!("{resources} resources")))
        })
        .await?;
    let services = check
        .step("start SQL over HTTPS, PostgreSQL and Flight", async {
            let services = node::start(&site, folder).await?;
            let ports = format!("{}, {}, {}", services.http, services.postgres, services.flight);
            Ok((services, ports))
        })
        .await?;
    let told = asked(check, &site, &services, folder).await;
    services.stop().await;
    told?;
    drop(site);
    check
        .step("find no plaintext below the folder", async {
            let found = plaintext_below(folder)?;
            Ok(((), format!("{found} bytes looked through")))
        })
        .await?;
    check
        .step("start again on the same folder", async {
            let (site, new) =
                self::site(folder, ListenConfig { http: any, postgres: any, flight: any }).await?;
            let datasets = site.lake.datasets().await?.len();
            if new || datasets == 0 {
                return Err(Failure::corrupt("the data are gone"));
            }
            Ok(((), format!("{datasets} datasets")))
        })
        .await
}

async fn asked(
    check: &mut Check<'_>,
    site: &Site,
    services: &Services,
    folder: &Path,
) -> Option<()> {
    let physician = token(folder, "dr-demo", "physician", Purpose::Treatment).ok()?;
    let analyst = token(folder, "analyst-demo", "analyst", Purpose::Operations).ok()?;
    check
        .step("answer a physician's first query", async {
            let token = AccessToken::new(physician.clone());
            let answer = services.gateway.answer(&token, request(FIRST_QUERY)).await?;
            match answer.rows() {
                5 => Ok(((), "5 rows".to_owned())),
                n => Err(Failure::corrupt(format!("{n} rows in place of 5"))),
            }
        })
        .await?;
    check
        .step("show an analyst null in place of names", async {
            let token = AccessToken::new(analyst.clone());
            let sql = "SELECT count(*) AS n, count(family_name) AS names FROM patients";
            let answer = services.gateway.answer(&token, request(sql)).await?;
            let shown = sql::grid(&answer)?;
            match shown.lines().nth(1).map(str::split_whitespace).map(Iterator::collect::<Vec<_>>) {
                Some(cells) if cells == ["40", "0"] => Ok(((), "40 patients, 0 names".to_owned())),
                _ => Err(Failure::corrupt(format!("unexpected: {shown}"))),
            }
        })
        .await?;
    fhir::steps(check, services, &physician).await?;
    check
        .step("refuse a token that was never issued", async {
            let said = refused(services, "salus_0", "SELECT 1", &["token"]).await?;
            Ok(((), said))
        })
        .await?;
    check
        .step("refuse a statement that writes", async {
            let said = refused(services, &physician, "DROP TABLE patients", &[]).await?;
            Ok(((), said))
        })
        .await?;
    check
        .step("refuse exactly the column whose key is revoked", async {
            let key =
                "observations.clinical".parse().map_err(|e| Failure::request(format!("{e}")))?;
            site.keys.revoke(&key).await?;
            let sql = "SELECT code FROM observations LIMIT 1";
            let said = refused(services, &physician, sql, &["code", "observations.clinical"]).await;
            let token = AccessToken::new(physician.clone());
            let other = "SELECT effective FROM observations LIMIT 1";
            let others = services.gateway.answer(&token, request(other)).await;
            site.keys.reinstate(&key).await?;
            others?;
            Ok(((), said?))
        })
        .await?;
    check
        .step("verify every dataset", async {
            let mut files = 0;
            for dataset in site.lake.datasets().await? {
                let order = site.order_upkeep(&dataset, Upkeep::Verify)?;
                let report = site.lake.verify(&order, &dataset).await?;
                if let Some(finding) = report.findings.first() {
                    return Err(Failure::corrupt(format!("{dataset}: {}", finding.problem)));
                }
                files += report.files;
            }
            Ok(((), format!("{files} files")))
        })
        .await
}

/// Looks for what stands in the synthetic records in every byte that the demo wrote.
fn plaintext_below(folder: &Path) -> Result<u64, Failure> {
    holds(folder, &["Synthea", "resourceType", "family_name"])
}

/// How many bytes below a folder hold none of some words. What services that run remove meanwhile,
/// such as a journal that has been brought into files, is gone.
fn holds(folder: &Path, markers: &[&str]) -> Result<u64, Failure> {
    use std::io::ErrorKind::NotFound;
    let mut looked = 0;
    let io = |e: std::io::Error| Failure::unavailable(e.to_string());
    std::fs::read_dir(folder).map_err(io)?;
    let mut waiting = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            match std::fs::read_dir(&path) {
                Err(e) if e.kind() == NotFound => {}
                entries => {
                    for entry in entries.map_err(io)? {
                        waiting.push(entry.map_err(io)?.path());
                    }
                }
            }
            continue;
        }
        let bytes = match std::fs::read(&path) {
            Err(e) if e.kind() == NotFound => continue,
            read => read.map_err(io)?,
        };
        looked += bytes.len() as u64;
        for marker in markers {
            if bytes.windows(marker.len()).any(|w| w == marker.as_bytes()) {
                let name = path.display();
                return Err(Failure::corrupt(format!("'{marker}' stands in plaintext in {name}")));
            }
        }
    }
    Ok(looked)
}
