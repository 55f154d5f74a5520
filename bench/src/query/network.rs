//! A hospital's node and a ledger of four validators, each a process of its own, asked over HTTPS.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use salus_api::questions::{Answered, Asking};
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_dp::Answer;
use salus_ledger::proof::verify_receipt;
use salus_model::{Clock as _, HolderId, PermitId, Purpose, Secret};
use salus_node::permits::Asked;
use salus_node::{Site, SystemClock};
use salus_spine::result_hash;
use serde_json::Value;

use super::ms;
use crate::measure::{Quartiles, median};
use crate::report::Report;

const PASSPHRASE: &str = "a bench, not a site";
const VALIDATORS: usize = 4;

/// A process that serves, and what it said when it was ready.
struct Serving {
    child: Child,
    _lines: BufReader<ChildStdout>,
    ready: Value,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Ground(PathBuf);

impl Ground {
    fn command(&self, site: &str, words: &[&str]) -> Result<Command> {
        let here = std::env::current_exe()?;
        let salus = here.with_file_name("salus");
        anyhow::ensure!(salus.is_file(), "build the salus command too: cargo xtask bench does");
        let mut command = Command::new(salus);
        command.arg("--json").arg("--site").arg(self.0.join(site)).args(words);
        command.env("SALUS_PASSPHRASE", PASSPHRASE).env("SALUS_MEMBER_PASSPHRASE", PASSPHRASE);
        Ok(command)
    }

    fn json(&self, site: &str, words: &[&str]) -> Result<Value> {
        let output = self.command(site, words)?.stdin(Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        anyhow::ensure!(output.status.success(), "{words:?}: {text}");
        serde_json::from_str(&text).with_context(|| format!("{words:?}: {text}"))
    }

    fn serve(&self, site: &str, words: &[&str]) -> Result<Serving> {
        let mut child =
            self.command(site, words)?.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?);
        let mut text = String::new();
        // One JSON value over several lines; it ends with a brace at the line's beginning.
        while !text.trim_end().ends_with("\n}") {
            let read = lines.read_line(&mut text)?;
            anyhow::ensure!(read > 0, "{words:?} did not start: {text}");
        }
        Ok(Serving { child, _lines: lines, ready: serde_json::from_str(&text)? })
    }

    fn site(&self, name: &str) -> Result<()> {
        std::fs::create_dir_all(self.0.join(name))?;
        let any = "127.0.0.1:0";
        let ports = ["--http", any, "--postgres", any, "--flight", any];
        let mut words = vec!["init", "--holder", name];
        words.extend(ports);
        self.json(name, &words)?;
        let file = self.0.join(format!("ledger/members/{name}.member"));
        self.json(name, &["ledger", "join", &file.display().to_string()])?;
        Ok(())
    }
}

/// A hospital whose devices came through its collector.
fn hospital(ground: &Ground, devices: usize) -> Result<()> {
    ground.site("hospital")?;
    let folder = ground.0.join("hospital");
    std::fs::create_dir_all(folder.join("drop"))?;
    std::fs::write(
        folder.join("collect.toml"),
        "publish_seconds = 1\n[folder]\npath = \"drop\"\n",
    )?;
    let (devices, csv) = (devices.to_string(), folder.join("drop/fleet.csv"));
    let domains = ground.0.join("domains.toml").display().to_string();
    let shown = csv.display().to_string();
    let words = ["collect", "simulate", "--devices", &devices, "--rounds", "1", "--csv", &shown];
    let words: Vec<&str> = words.into_iter().chain(["--domains", &domains]).collect();
    ground.json("hospital", &words)?;
    let mut collector = ground.serve("hospital", &["collect", "run"])?;
    while csv.exists() {
        anyhow::ensure!(collector.child.try_wait()?.is_none(), "the collector ended");
        std::thread::sleep(Duration::from_millis(100));
    }
    // Asked to stop, it publishes what it has.
    let id = collector.child.id().to_string();
    anyhow::ensure!(Command::new("kill").args(["-TERM", &id]).status()?.success());
    collector.child.wait()?;
    let profile = ground.json("hospital", &["collect", "profile", "--domains", &domains])?;
    let mut file = std::fs::File::create(folder.join("privacy.toml"))?;
    file.write_all(profile["toml"].as_str().context("no profile")?.as_bytes())?;
    ground.json("hospital", &["dataset", "share", "devices", "--epsilon", "1000"])?;
    Ok(())
}

fn question(number: usize) -> String {
    serde_json::json!({
        "version": 1, "dataset": "devices", "query": "count",
        "filter": {"compare": {"column": "usage_hours", "is": ">=", "value": number}},
        "spend": {"rho": 100}, "mechanism": "gaussian",
    })
    .to_string()
}

/// Request to opened answer with a verified receipt, and what the ledger takes of it.
pub(super) async fn measure(
    folder: &Path,
    (devices, questions): (usize, usize),
    out: &mut Report,
) -> Result<()> {
    let ground = Ground(folder.join("network"));
    std::fs::create_dir_all(&ground.0)?;
    let ledger = ground.0.join("ledger").display().to_string();
    let number = VALIDATORS.to_string();
    let mut words = vec!["ledger", "dev", &number, "--folder", &ledger];
    for member in ["hub:administrator,officer", "hospital:holder", "uni:research"] {
        words.extend(["--member", member]);
    }
    ground.json("none", &words)?;
    let validators: Vec<Serving> = (1..=VALIDATORS)
        .map(|n| ground.serve("none", &["ledger", "serve", &format!("{ledger}/val-{n:02}")]))
        .collect::<Result<_>>()?;
    ground.site("hub")?;
    ground.site("uni")?;
    hospital(&ground, devices)?;
    let node = ground.serve("hospital", &["node", "run"])?;
    let ground_of = "hospital/devices:device_id,usage_hours:1000";
    let applied = ground.json("uni", &["permit", "apply", "--ground", ground_of])?;
    let permit = applied["permit"].as_str().context("no permit")?.to_owned();
    ground.json("hub", &["permit", "grant", &permit])?;

    let (url, pem) = (&node.ready["http"], &node.ready["certificate"]);
    let (url, pem) = (url.as_str().context("no address")?, pem.as_str().context("none")?);
    let client = reqwest::Client::builder()
        .tls_built_in_root_certs(false)
        .add_root_certificate(reqwest::Certificate::from_pem(pem.as_bytes())?)
        .no_proxy()
        .build()?;
    let word = Passphrase::new(Secret::new(PASSPHRASE.to_owned()))?;
    let site = Site::open(&ground.0.join("uni"), word, GuessCost::OWASP_MINIMUM).await?;
    let hand = site.ledger().await?;
    let permit: PermitId = permit.parse()?;
    let key = site.permit_key(&permit).await?;
    let holder = HolderId::new("hospital")?;
    let (mut took, mut ledger_took) = (Vec::new(), Vec::new());
    for number in 0..questions + 3 {
        let text = question(number);
        let began = Instant::now();
        let asked = Asked {
            ledger: *hand.anchor().ledger(),
            permit: &permit,
            purpose: Purpose::Research,
            holder: &holder,
            question: &text,
            now: SystemClock.now(),
        };
        let request = key.request(&asked)?;
        let body = serde_json::to_string(&Asking { request: request.clone(), question: text })?;
        let sent = client.post(format!("{url}/v1/questions"));
        let answer = sent.header("content-type", "application/json").body(body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        anyhow::ensure!(status.is_success(), "{status}: {text}");
        let answered: Answered = serde_json::from_str(&text)?;
        anyhow::ensure!(!answered.charges.is_empty(), "a question was answered from the cache");
        let (message, receipt) = (hex::decode(&answered.message)?, hex::decode(&answered.receipt)?);
        let verified = verify_receipt(&receipt, hand.anchor())?;
        let salt: [u8; 32] = hex::decode(&answered.salt)?.try_into().ok().context("no salt")?;
        anyhow::ensure!(verified.result == result_hash(&salt, &message), "another receipt");
        let opened = key.open(&request, &answered.deal, &message);
        let opened = opened.context("the answer does not open")?;
        // The first few find connections and caches cold; the first of all counts every device.
        if number == 0 {
            let answer: Answer = serde_json::from_slice(&opened)?;
            let found = answer.rows.iter().find_map(|row| row.estimate).context("no number")?;
            let off = found.value - f64::from(u32::try_from(devices)?);
            anyhow::ensure!(off.abs() < 700.0, "{} is no count of {devices}", found.value);
        }
        if number >= 3 {
            took.push(began.elapsed());
        }
        let began = Instant::now();
        hand.submit(salus_ledger::call::MarkTime {}).await?;
        if number >= 3 {
            ledger_took.push(began.elapsed());
        }
    }
    drop((node, validators));
    let quartiles = Quartiles::of(took.iter().map(Duration::as_secs_f64).collect());
    out.say(&format!(
        "A count over {devices} devices, charged on a ledger of {VALIDATORS} validators, every one of \
         them and the hospital's node a process of its own on this machine: from the signed request to \
         the opened answer with its verified receipt, {questions} questions over one connection. Beside \
         it, in turns, a transaction that only marks the time: what finality alone takes."
    ));
    out.table(
        &["", "median ms", "middle half", "goal, ms"],
        &[
            vec![
                "request to answer".to_owned(),
                ms(quartiles.median),
                format!("{}–{}", ms(quartiles.low), ms(quartiles.high)),
                "under 80".to_owned(),
            ],
            vec![
                "finality alone".to_owned(),
                ms(median(&ledger_took)),
                String::new(),
                String::new(),
            ],
        ],
    );
    Ok(())
}
