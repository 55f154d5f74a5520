//! `salus query`: a question under a permit, asked of a holder's node; its answer with interval,
//! price and receipt.

use std::path::{Path, PathBuf};
use std::time::Duration;

use salus_api::questions::{Answered, Asking, PlanWanted, Planned, Published};
use salus_dp::{Answer, Epsilon, Mechanism, Noise, Spend};
use salus_ledger::DatasetRef;
use salus_ledger::contract::records::PermitRecord;
use salus_ledger::proof::{VerifiedReceipt, verify_receipt};
use salus_model::{Class, Clock as _, DatasetId, HolderId, MicroRho, PermitId};
use salus_node::permits::{Asked, left, permit_on};
use salus_node::{HolderLedger, Site, SystemClock, write_private};
use salus_private::{Question, sql};
use salus_spine::result_hash;
use serde::Serialize;

use super::grounds::{as_epsilon, dataset_ref, delta_of, epsilon};
use super::holder::{Place, place};
use super::ledger::receipt_shown;
use crate::output::{Failure, Output, table};

const RECEIPTS: &str = "receipts";
/// How long an answer may take, waiting for the ledger included.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The question in SQL, such as "SELECT count(*) FROM visits WHERE ward = 'icu'".
    #[arg(required_unless_present = "question", requires = "epsilon")]
    statement: Option<String>,
    /// A file with the question as JSON, in place of SQL; - reads it from the standard input.
    #[arg(long, conflicts_with = "statement")]
    question: Option<PathBuf>,
    /// The permit to ask under.
    #[arg(long)]
    permit: PermitId,
    /// Whose dataset, as HOLDER/DATASET; the permit's own where it has one alone.
    #[arg(long, value_parser = dataset_ref)]
    dataset: Option<DatasetRef>,
    /// What the answer may cost, as ε at the dataset's δ; in place of the question's own spend.
    #[arg(long, value_parser = epsilon)]
    epsilon: Option<Epsilon>,
    /// Tell cost and expected error, and ask nothing.
    #[arg(long)]
    explain: bool,
    /// How many rows to assume with --explain, where the error depends on it.
    #[arg(long, default_value_t = PlanWanted::usual_rows())]
    assumed_rows: u64,
    /// Where the receipt goes; by default into the site's folder.
    #[arg(long)]
    receipt: Option<PathBuf>,
    /// The holder's node, in place of the one that `salus holder add` noted.
    #[arg(long, requires = "ca")]
    node: Option<String>,
    /// What that node is verified with.
    #[arg(long, requires = "node")]
    ca: Option<PathBuf>,
}

/// A question that is ready to be asked.
pub(crate) struct Ready<'a> {
    pub(crate) site: &'a Site,
    pub(crate) ledger: &'a HolderLedger,
    pub(crate) permit: PermitId,
    pub(crate) record: PermitRecord,
    pub(crate) dataset: DatasetRef,
    /// The exact text that is signed and sent.
    pub(crate) text: String,
    pub(crate) place: Place,
}

/// An answer, opened and verified.
#[derive(Debug, Serialize)]
pub(crate) struct AnswerShown {
    pub(crate) rows: Vec<RowShown>,
    pub(crate) epsilon_spent: f64,
    pub(crate) epsilon_left: f64,
    delta: f64,
    noise: Vec<Vec<Noise>>,
    interval: salus_dp::IntervalMethod,
    bias: salus_dp::Bias,
    /// Whether it is an answer that was given before, repeated for nothing.
    pub(crate) repeated: bool,
    permit: String,
    dataset: String,
    pub(crate) receipt: ReceiptPlace,
}

#[derive(Debug, Serialize)]
pub(crate) struct RowShown {
    key: Vec<String>,
    name: String,
    pub(crate) estimate: Option<f64>,
    pub(crate) lower: Option<f64>,
    pub(crate) upper: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ReceiptPlace {
    pub(crate) file: PathBuf,
    #[serde(flatten)]
    pub(crate) says: super::ledger::ReceiptShown,
}

#[derive(Serialize)]
struct Explained {
    dataset: String,
    columns: Vec<String>,
    epsilon: f64,
    delta: f64,
    epsilon_left: f64,
    rho: MicroRho,
    expected_error: salus_dp::ExpectedError,
    covered: bool,
}

fn text_of(path: &Path) -> Result<String, Failure> {
    let failed = |e: std::io::Error| Failure::request(format!("{}: {e}", path.display()));
    if path.as_os_str() != "-" {
        return std::fs::read_to_string(path).map_err(failed);
    }
    std::io::read_to_string(std::io::stdin()).map_err(failed)
}

/// Whose dataset is asked: as named, or the only one that fits permit and question.
fn dataset_asked(
    named: Option<DatasetRef>,
    about: &DatasetId,
    record: &PermitRecord,
) -> Result<DatasetRef, Failure> {
    if let Some(named) = named {
        if named.dataset != *about {
            let (one, other) = (named.dataset, about);
            return Err(Failure::request(format!("the question is about {other}, not {one}")));
        }
        return Ok(named);
    }
    let grounds = record.terms.grounds.iter().map(|g| &g.dataset);
    let fitting: Vec<&DatasetRef> = grounds.filter(|d| d.dataset == *about).collect();
    match fitting.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Failure::refused(format!("the permit does not cover {about}"))),
        several => {
            let names: Vec<String> =
                several.iter().map(|d| format!("{}/{}", d.holder, d.dataset)).collect();
            let names = names.join(" or ");
            Err(Failure::request(format!("the permit covers several; say --dataset {names}")))
        }
    }
}

/// What is asked, as it was written.
enum Wanted {
    Sql(sql::Statement),
    Json(Box<Question>),
}

impl Wanted {
    fn about(&self) -> &DatasetId {
        match self {
            Self::Sql(statement) => &statement.dataset,
            Self::Json(question) => &question.dataset,
        }
    }

    /// The question with its spend. SQL is fitted to the profile that the holder publishes; a false
    /// one can make the question another, and never dearer than its spend.
    async fn question(
        self,
        args: &Args,
        ledger: &HolderLedger,
        dataset: &DatasetRef,
        place: &Place,
    ) -> Result<Question, Failure> {
        let mechanism = match &self {
            Self::Sql(_) => Mechanism::Gaussian,
            Self::Json(question) => question.mechanism,
        };
        let spend = match args.epsilon {
            None => None,
            Some(epsilon) => Some(match mechanism {
                Mechanism::Gaussian => {
                    let account = super::grounds::account_of(ledger, dataset).await?;
                    Spend::Epsilon { epsilon, delta: delta_of(&account)? }
                }
                Mechanism::Laplace => Spend::PureEpsilon(epsilon),
            }),
        };
        match self {
            Self::Json(question) => {
                let spend = spend.unwrap_or(question.spend);
                Ok(Question { spend, ..*question })
            }
            Self::Sql(statement) => {
                let spend = spend.ok_or_else(|| Failure::request("say --epsilon"))?;
                let published: Published = get(place, "/v1/questions/profiles").await?;
                let profile = published.profiles.get(&statement.dataset).ok_or_else(|| {
                    let (holder, dataset) = (&dataset.holder, &statement.dataset);
                    Failure::request(format!("{holder} takes no questions about {dataset}"))
                })?;
                Ok(statement.question(profile, spend, mechanism)?)
            }
        }
    }
}

pub(crate) async fn run(args: Args, folder: &Path, output: &Output) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    let ledger = site.ledger().await?;
    let record = permit_on(&ledger, &args.permit).await?;
    let wanted = match (&args.statement, &args.question) {
        (Some(statement), _) => Wanted::Sql(sql::parse(statement)?),
        (None, Some(file)) => Wanted::Json(Box::new(Question::parse(&text_of(file)?)?)),
        (None, None) => return Err(Failure::request("say what is asked, in SQL or by --question")),
    };
    let dataset = dataset_asked(args.dataset.clone(), wanted.about(), &record)?;
    let holder =
        HolderId::new(dataset.holder.as_str()).map_err(|e| Failure::request(e.to_string()))?;
    let place = match (&args.node, &args.ca) {
        (Some(url), Some(ca)) => {
            let ca = std::fs::read_to_string(ca)
                .map_err(|e| Failure::request(format!("{}: {e}", ca.display())))?;
            Place { url: url.trim_end_matches('/').to_owned(), ca }
        }
        _ => place(folder, &holder)?,
    };
    let question = wanted.question(&args, &ledger, &dataset, &place).await?;
    let asked = serde_json::to_string(&question).map_err(|e| Failure::request(e.to_string()))?;
    let (site, ledger) = (&site, &ledger);
    let ready = Ready { site, ledger, permit: args.permit, record, dataset, text: asked, place };
    if args.explain {
        let explained = explain(&ready, args.assumed_rows).await?;
        output.print(&explained, explained_text);
        return Ok(());
    }
    let answer = ask(&ready, args.receipt).await?;
    output.print(&answer, text);
    Ok(())
}

/// A client that trusts the holder's own authority and no other.
pub(crate) fn client(place: &Place) -> Result<reqwest::Client, Failure> {
    let trusted = reqwest::Certificate::from_pem(place.ca.as_bytes())
        .map_err(|_| Failure::request("what the node is verified with is no certificate"))?;
    reqwest::Client::builder()
        .tls_built_in_root_certs(false)
        .add_root_certificate(trusted)
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .timeout(PATIENCE)
        .build()
        .map_err(|e| Failure::unavailable(e.to_string()))
}

#[derive(serde::Deserialize)]
struct Problem {
    error: String,
    class: String,
}

async fn post<T: serde::de::DeserializeOwned>(
    place: &Place,
    path: &str,
    body: &impl Serialize,
) -> Result<T, Failure> {
    let body = serde_json::to_vec(body).map_err(|e| Failure::request(e.to_string()))?;
    let request = client(place)?.post(format!("{}{path}", place.url));
    send(place, request.header("content-type", "application/json").body(body)).await
}

async fn get<T: serde::de::DeserializeOwned>(place: &Place, path: &str) -> Result<T, Failure> {
    send(place, client(place)?.get(format!("{}{path}", place.url))).await
}

async fn send<T: serde::de::DeserializeOwned>(
    place: &Place,
    request: reqwest::RequestBuilder,
) -> Result<T, Failure> {
    let unreachable = |e: reqwest::Error| {
        let mut said = e.to_string();
        let mut cause = std::error::Error::source(&e);
        while let Some(next) = cause {
            said = next.to_string();
            cause = next.source();
        }
        Failure::unavailable(format!("the node at {} cannot be reached: {said}", place.url))
    };
    let answer = request.send().await.map_err(unreachable)?;
    let status = answer.status();
    let bytes = answer.bytes().await.map_err(unreachable)?;
    if status.is_success() {
        return serde_json::from_slice(&bytes)
            .map_err(|_| Failure::peer("the node answers in words that this Salus does not know"));
    }
    Err(match serde_json::from_slice::<Problem>(&bytes) {
        Ok(Problem { error, class }) => Failure::told(error, &class),
        Err(_) if status == reqwest::StatusCode::NOT_FOUND => Failure::request(format!(
            "the node at {} takes no questions; its site has to be on the ledger",
            place.url
        )),
        Err(_) => Failure::peer(format!("the node answers {status}")),
    })
}

async fn explain(ready: &Ready<'_>, assumed_rows: u64) -> Result<Explained, Failure> {
    let wanted = PlanWanted { question: ready.text.clone(), assumed_rows };
    let planned: Planned = post(&ready.place, "/v1/questions/plan", &wanted).await?;
    let left = left(ready.ledger, &ready.permit, &ready.dataset).await?;
    let ground = ready.record.terms.grounds.iter().find(|g| g.dataset == ready.dataset);
    let covered = ground.is_some_and(|ground| {
        let named =
            |c: &salus_model::ColumnPath| ground.columns.iter().any(|g| g.as_str() == c.as_str());
        planned.columns.iter().all(named)
    });
    Ok(Explained {
        dataset: format!("{}/{}", ready.dataset.holder, ready.dataset.dataset),
        columns: planned.columns.iter().map(|c| c.as_str().to_owned()).collect(),
        epsilon: as_epsilon(planned.rho, &left.account)?,
        delta: delta_of(&left.account)?.probability(),
        epsilon_left: as_epsilon(left.left, &left.account)?,
        rho: planned.rho,
        expected_error: planned.expected_error,
        covered,
    })
}

fn explained_text(e: &Explained) -> String {
    use salus_dp::ExpectedError;
    let error = match e.expected_error {
        ExpectedError::Value { half_width, .. } => {
            format!("± {half_width:.1} in 95 of 100 answers")
        }
        ExpectedError::AtRows { rows, half_width, .. } => {
            format!("± {half_width:.3} in 95 of 100 answers, if {rows} rows pass the filter")
        }
        ExpectedError::Rank { half_width, .. } => {
            format!("± {half_width:.1} places in the order, in 95 of 100 answers")
        }
    };
    let covered = if e.covered { "covered by the permit" } else { "NOT all covered by the permit" };
    format!(
        "Dataset  {}\nColumns  {} ({covered})\nCost     ε {:.4} at δ {:e}; one more answer may cost {:.4}\nError    {error}\nNothing was asked, and nothing is charged.",
        e.dataset,
        e.columns.join(", "),
        e.epsilon,
        e.delta,
        e.epsilon_left
    )
}

/// Asks, opens the answer, and verifies that the receipt is for it.
pub(crate) async fn ask(
    ready: &Ready<'_>,
    receipt_file: Option<PathBuf>,
) -> Result<AnswerShown, Failure> {
    let key = ready.site.permit_key(&ready.permit).await?;
    let holder = HolderId::new(ready.dataset.holder.as_str())
        .map_err(|e| Failure::request(e.to_string()))?;
    let asked = Asked {
        ledger: *ready.ledger.anchor().ledger(),
        permit: &ready.permit,
        purpose: ready.record.terms.purpose,
        holder: &holder,
        question: &ready.text,
        now: SystemClock.now(),
    };
    let request = key.request(&asked)?;
    let asking = Asking { request: request.clone(), question: ready.text.clone() };
    let answered: Answered = post(&ready.place, "/v1/questions", &asking).await?;
    let wrong = |what: &str| Failure::peer(format!("the node's answer is refused: {what}"));
    let bytes = |text: &str| hex::decode(text).map_err(|_| wrong("it is no hexadecimal"));
    let (message, receipt) = (bytes(&answered.message)?, bytes(&answered.receipt)?);
    let salt: [u8; 32] =
        bytes(&answered.salt)?.try_into().map_err(|_| wrong("its salt has another length"))?;
    let verified = verify_receipt(&receipt, ready.ledger.anchor())
        .map_err(|e| Failure::not_proved("the node's receipt proves nothing".to_owned(), &e))?;
    if verified.result != result_hash(&salt, &message) || verified.permit != ready.permit {
        return Err(wrong("its receipt is for another one"));
    }
    let opened = key
        .open(&request, &answered.deal, &message)
        .ok_or_else(|| wrong("it does not open with the permit's key"))?;
    let answer: Answer =
        serde_json::from_slice(&opened).map_err(|_| wrong("it is in words of another version"))?;
    let file = keep(ready.site, &verified, &receipt, receipt_file)?;
    shown(ready, answer, &answered, (verified, file)).await
}

/// Writes the receipt's file.
fn keep(
    site: &Site,
    verified: &VerifiedReceipt,
    receipt: &[u8],
    file: Option<PathBuf>,
) -> Result<PathBuf, Failure> {
    let file = match file {
        Some(file) => file,
        None => {
            let folder = site.folder.join(RECEIPTS);
            std::fs::create_dir_all(&folder)
                .map_err(|e| Failure::unavailable(format!("{}: {e}", folder.display())))?;
            folder.join(format!("{}.cbor", verified.receipt))
        }
    };
    write_private(&file, receipt)
        .map_err(|e| Failure::unavailable(format!("{}: {e}", file.display())))?;
    Ok(file)
}

async fn shown(
    ready: &Ready<'_>,
    answer: Answer,
    answered: &Answered,
    (verified, file): (VerifiedReceipt, PathBuf),
) -> Result<AnswerShown, Failure> {
    let left = left(ready.ledger, &ready.permit, &ready.dataset).await?;
    let repeated = answered.charges.is_empty();
    let spent = if repeated { MicroRho::ZERO } else { answer.cost.rho };
    let row = |row: salus_dp::AnswerRow| RowShown {
        key: row.key,
        name: row.name,
        estimate: row.estimate.map(|e| e.value),
        lower: row.estimate.map(|e| e.lower),
        upper: row.estimate.map(|e| e.upper),
    };
    Ok(AnswerShown {
        rows: answer.rows.into_iter().map(row).collect(),
        epsilon_spent: as_epsilon(spent, &left.account)?,
        epsilon_left: as_epsilon(left.left, &left.account)?,
        delta: delta_of(&left.account)?.probability(),
        noise: answer.noise,
        interval: answer.interval,
        bias: answer.bias,
        repeated,
        permit: ready.permit.to_string(),
        dataset: format!("{}/{}", ready.dataset.holder, ready.dataset.dataset),
        receipt: ReceiptPlace { file, says: receipt_shown(&verified, ready.ledger.genesis()) },
    })
}

pub(crate) fn text(answer: &AnswerShown) -> String {
    let number = |n: Option<f64>| n.map_or_else(|| "·".to_owned(), |n| format!("{n:.2}"));
    let row = |r: &RowShown| {
        vec![r.key.join(", "), r.name.clone(), number(r.estimate), number(r.lower), number(r.upper)]
    };
    let rows: Vec<_> = answer.rows.iter().map(row).collect();
    let grid = table(&["of", "what", "estimate", "lower 95 %", "upper 95 %"], &rows);
    let noise: Vec<String> = answer
        .noise
        .iter()
        .flatten()
        .map(|n| format!("{:?} {:.3}", n.mechanism, n.scale.get()).to_lowercase())
        .collect();
    let spent = if answer.repeated {
        "nothing: this answer was given before".to_owned()
    } else {
        format!("ε {:.4} at δ {:e}", answer.epsilon_spent, answer.delta)
    };
    format!(
        "{grid}\n\nSpent    {spent}; one more answer may cost ε {:.4}\nNoise    {}\nReceipt  {} in block {}, verified\n         {}",
        answer.epsilon_left,
        noise.join(", "),
        answer.receipt.says.receipt,
        answer.receipt.says.block,
        answer.receipt.file.display()
    )
}

/// The class that a node names in words.
pub(crate) fn class(word: &str) -> Class {
    match word {
        "bad-request" => Class::BadRequest,
        "refused" => Class::Refused,
        "unavailable" => Class::Unavailable,
        "corrupt" => Class::Corrupt,
        "bug" => Class::Bug,
        _ => Class::Peer,
    }
}
