//! `salus query`: a question under a permit, asked of a holder's node; its answer with interval,
//! price and receipt.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use salus_api::questions::{Answered, Asking, PlanWanted, Planned, Published};
use salus_dp::consistency::nonnegative_counts;
use salus_dp::{Answer, Delta, Epsilon, Mechanism, Noise, Spend};
use salus_ledger::DatasetRef;
use salus_ledger::contract::records::PermitRecord;
use salus_ledger::proof::{VerifiedReceipt, verify_receipt};
use salus_model::{Class, Clock as _, DatasetId, HolderId, MicroRho, PermitId};
use salus_node::permits::{Asked, left, permit_on};
use salus_node::{HolderLedger, Site, SystemClock, write_private};
use salus_private::{Profile, Question, sql};
use salus_spine::result_hash;
use serde::Serialize;

use super::grounds::{as_epsilon, dataset_ref, delta_of, epsilon};
use super::holder::{Place, place};
use super::ledger::receipt_shown;
use super::together::Together;
use crate::output::{Failure, Output, table};

const RECEIPTS: &str = "receipts";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The question in SQL, such as "SELECT count(*) FROM visits WHERE ward = 'icu'".
    #[arg(required_unless_present_any = ["question", "serve"], requires = "epsilon")]
    statement: Option<String>,
    /// A file with the question as JSON, in place of SQL; - reads it from the standard input.
    #[arg(long, conflicts_with = "statement")]
    question: Option<PathBuf>,
    /// The permit to ask under.
    #[arg(long)]
    permit: PermitId,
    /// Whose dataset, as HOLDER/DATASET; repeat it for several. Every holder that the permit covers
    /// is asked where none is named.
    #[arg(long, value_parser = dataset_ref)]
    dataset: Vec<DatasetRef>,
    /// Let the holders answer jointly: their numbers go as shares to parties that do not collude,
    /// and the error is near that of one dataset. These parties, or all that the site trusts.
    #[arg(long, value_name = "PARTY,…", num_args = 0.., require_equals = true, value_delimiter = ',')]
    joint: Option<Vec<HolderId>>,
    /// How many holders may fail in a joint answer; one of three or more by default.
    #[arg(long, requires = "joint")]
    may_fail: Option<u32>,
    /// How many rows all holders have at most, as the catalogue says: a joint total beyond is refused.
    #[arg(long, default_value_t = 1_000_000_000)]
    most_rows: u64,
    /// The fewest holders that an answer over several is worth having of.
    #[arg(long, default_value_t = 1)]
    fewest: usize,
    /// What the answer may cost, as ε at the dataset's δ; in place of the question's own spend.
    #[arg(long, value_parser = epsilon)]
    epsilon: Option<Epsilon>,
    /// Follow a count: so many answers for one charge. The same words ask for the next one, and get
    /// the last one again while the dataset has not changed.
    #[arg(long, value_name = "ANSWERS", conflicts_with = "joint")]
    ticks: Option<u32>,
    /// How often one device or patient may come into a followed count or leave it; the noise is made
    /// for that, and whoever does it more often stays as counted.
    #[arg(long, default_value_t = 2, requires = "ticks")]
    turns: u32,
    /// Serve questions as Flight SQL at this address, for tools that speak SQL: each statement is
    /// asked under the permit, for --epsilon.
    #[arg(long, value_name = "ADDRESS", requires = "epsilon", conflicts_with_all = ["statement", "question", "joint", "ticks", "explain", "receipt", "node"])]
    serve: Option<SocketAddr>,
    /// How many questions a served desk pays for; repeated ones cost nothing and do not count.
    #[arg(long, default_value_t = 100, requires = "serve")]
    questions: u32,
    /// Give counts of groups and bins as whole numbers that are not negative and add up, too. It costs
    /// nothing; they are biased where the noise is large beside a count, and the intervals stay those of
    /// the estimates.
    #[arg(long, conflicts_with_all = ["ticks", "serve", "explain"])]
    consistent: bool,
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
    pub(crate) key: Vec<String>,
    pub(crate) name: String,
    pub(crate) estimate: Option<f64>,
    pub(crate) lower: Option<f64>,
    pub(crate) upper: Option<f64>,
    /// A whole count that is not negative, where that was asked for; biased where noise was large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) consistent: Option<u64>,
}

/// Groups' or bins' counts made whole and not negative, so that they add up to what the noisy ones
/// add up to; nothing for other answers.
fn make_consistent(rows: &mut [RowShown]) {
    let counts: Option<Vec<f64>> = rows
        .iter()
        .map(|row| row.estimate.filter(|_| row.name == "count" && !row.key.is_empty()))
        .collect();
    let Some(noisy) = counts else { return };
    let total = noisy.iter().sum::<f64>().round().max(0.0) as u64;
    for (row, count) in rows.iter_mut().zip(nonnegative_counts(&noisy, total)) {
        row.consistent = Some(count);
    }
}

/// The rows as a table.
pub(super) fn grid(rows: &[RowShown]) -> String {
    let number = |n: Option<f64>| n.map_or_else(|| "·".to_owned(), |n| format!("{n:.2}"));
    let with_counts = rows.iter().any(|row| row.consistent.is_some());
    let row = |r: &RowShown| {
        let mut cells = vec![r.key.join(", "), r.name.clone(), number(r.estimate)];
        cells.extend([number(r.lower), number(r.upper)]);
        cells.extend(r.consistent.filter(|_| with_counts).map(|count| count.to_string()));
        cells
    };
    let mut heads = vec!["of", "what", "estimate", "lower 95 %", "upper 95 %"];
    heads.extend(with_counts.then_some("consistent"));
    table(&heads, &rows.iter().map(row).collect::<Vec<_>>())
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
    /// How many answers the cost is for, where a count is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    ticks: Option<u32>,
}

fn text_of(path: &Path) -> Result<String, Failure> {
    let failed = |e: std::io::Error| Failure::request(format!("{}: {e}", path.display()));
    if path.as_os_str() != "-" {
        return std::fs::read_to_string(path).map_err(failed);
    }
    std::io::read_to_string(std::io::stdin()).map_err(failed)
}

/// Whose datasets are asked: as named, or all that fit permit and question.
pub(super) fn datasets_asked(
    named: &[DatasetRef],
    about: &DatasetId,
    record: &PermitRecord,
) -> Result<Vec<DatasetRef>, Failure> {
    if let Some(other) = named.iter().find(|d| d.dataset != *about) {
        let one = &other.dataset;
        return Err(Failure::request(format!("the question is about {about}, not {one}")));
    }
    let mut asked: Vec<DatasetRef> = if named.is_empty() {
        let grounds = record.terms.grounds.iter().map(|ground| &ground.dataset);
        grounds.filter(|dataset| dataset.dataset == *about).cloned().collect()
    } else {
        named.to_vec()
    };
    asked.sort();
    asked.dedup();
    if asked.is_empty() {
        return Err(Failure::refused(format!("the permit does not cover {about}")));
    }
    Ok(asked)
}

/// What is asked, as it was written.
enum Written {
    Sql(Box<sql::Statement>),
    Json(Box<Question>),
}

/// What is asked, and what it may cost.
pub(crate) struct Wanted {
    written: Written,
    epsilon: Option<Epsilon>,
}

impl Wanted {
    /// A question in SQL that may cost so much.
    pub(crate) fn sql(statement: &str, epsilon: Epsilon) -> Result<Self, Failure> {
        Ok(Self { written: Written::Sql(Box::new(sql::parse(statement)?)), epsilon: Some(epsilon) })
    }

    pub(super) fn about(&self) -> &DatasetId {
        match &self.written {
            Written::Sql(statement) => &statement.dataset,
            Written::Json(question) => &question.dataset,
        }
    }

    /// The question with its spend. SQL is fitted to the profile that the holder publishes; a false
    /// one can make the question another, and never dearer than its spend.
    pub(super) fn fitted(&self, profile: &Profile, delta: Delta) -> Result<Question, Failure> {
        let spend = |mechanism| match (self.epsilon, mechanism) {
            (None, _) => None,
            (Some(epsilon), Mechanism::Gaussian) => Some(Spend::Epsilon { epsilon, delta }),
            (Some(epsilon), Mechanism::Laplace) => Some(Spend::PureEpsilon(epsilon)),
        };
        match &self.written {
            Written::Json(question) => {
                let spend = spend(question.mechanism).unwrap_or(question.spend);
                Ok(Question { spend, ..Question::clone(question) })
            }
            Written::Sql(statement) => {
                let mechanism = Mechanism::Gaussian;
                let spend = spend(mechanism).ok_or_else(|| Failure::request("say --epsilon"))?;
                Ok(statement.question(profile, spend, mechanism)?)
            }
        }
    }

    async fn question(
        &self,
        ledger: &HolderLedger,
        dataset: &DatasetRef,
        place: &Place,
    ) -> Result<Question, Failure> {
        let account = super::grounds::account_of(ledger, dataset).await?;
        let published: Published = get(place, ledger, "/v1/questions/profiles").await?;
        let profile = published.profiles.get(&dataset.dataset).ok_or_else(|| {
            let DatasetRef { holder, dataset } = dataset;
            Failure::request(format!("{holder} takes no questions about {dataset}"))
        })?;
        self.fitted(profile, delta_of(&account)?)
    }
}

pub(crate) async fn run(args: Args, folder: &Path, output: &Output) -> Result<(), Failure> {
    let site = crate::site::open(folder).await?;
    let ledger = site.ledger().await?;
    let record = permit_on(&ledger, &args.permit).await?;
    if let (Some(address), Some(epsilon)) = (args.serve, args.epsilon) {
        let Args { permit, questions, .. } = args;
        let serve = super::query_serve::Serve { address, permit, epsilon, questions };
        return super::query_serve::run(serve, (site, ledger), folder.to_owned(), output).await;
    }
    let written = match (&args.statement, &args.question) {
        (Some(statement), _) => Written::Sql(Box::new(sql::parse(statement)?)),
        (None, Some(file)) => Written::Json(Box::new(Question::parse(&text_of(file)?)?)),
        (None, None) => return Err(Failure::request("say what is asked, in SQL or by --question")),
    };
    let wanted = Wanted { written, epsilon: args.epsilon };
    let datasets = datasets_asked(&args.dataset, wanted.about(), &record)?;
    let (site, ledger) = (&site, &ledger);
    match datasets.as_slice() {
        [dataset] if args.joint.is_none() => {
            let ready = (site, ledger, record, dataset.clone());
            one(args, ready, &wanted, folder, output).await
        }
        _ if args.ticks.is_some() => {
            Err(Failure::request("a count is followed at one holder; name it with --dataset"))
        }
        _ if args.node.is_some() || args.receipt.is_some() => Err(Failure::request(
            "--node and --receipt are for a question to one holder; name it with --dataset",
        )),
        _ => {
            let (permit, fewest) = (args.permit.clone(), args.fewest);
            let several =
                super::several::Several { site, ledger, folder, permit, record, datasets, fewest };
            over_several(args, several, &wanted, output).await
        }
    }
}

/// A question to several holders, independently or jointly.
async fn over_several(
    args: Args,
    several: super::several::Several<'_>,
    wanted: &Wanted,
    output: &Output,
) -> Result<(), Failure> {
    use super::several::{Mode, ask, explain, text};
    let (may_fail, most_rows) = (args.may_fail, args.most_rows);
    let joint = args.joint.map(|parties| Together { parties, may_fail, most_rows });
    if args.explain {
        let (mode, rows) = match joint {
            None => (Mode::Independent, args.assumed_rows),
            Some(_) => (Mode::Joint, args.assumed_rows),
        };
        // Independent noise adds up in its squares.
        let factor = |first: &super::several::Asked, holders: usize| match &joint {
            None => Ok(f64::from(u32::try_from(holders).unwrap_or(u32::MAX)).sqrt()),
            Some(together) => together.factor(first, holders),
        };
        return explain(&several, wanted, (mode, rows), factor, output).await;
    }
    let mut answer = match &joint {
        None => ask(&several, wanted).await?,
        Some(together) => super::together::ask(&several, wanted, together).await?,
    };
    if args.consistent {
        make_consistent(&mut answer.rows);
    }
    output.print(&answer, text);
    Ok(())
}

/// A question to one holder.
async fn one(
    args: Args,
    (site, ledger, record, dataset): (&Site, &HolderLedger, PermitRecord, DatasetRef),
    wanted: &Wanted,
    folder: &Path,
    output: &Output,
) -> Result<(), Failure> {
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
    let question = match &wanted.written {
        // Complete as it is: the holder itself fits it to its profile.
        Written::Json(question) if wanted.epsilon.is_none() => Question::clone(question),
        _ => wanted.question(ledger, &dataset, &place).await?,
    };
    let mut asked =
        serde_json::to_string(&question).map_err(|e| Failure::request(e.to_string()))?;
    if let Some(ticks) = args.ticks {
        asked = super::standing::wrapped(ticks, args.turns, asked)?;
    }
    let ready = Ready { site, ledger, permit: args.permit, record, dataset, text: asked, place };
    if args.explain {
        let mut explained = explain(&ready, args.assumed_rows).await?;
        explained.ticks = args.ticks;
        output.print(&explained, explained_text);
        return Ok(());
    }
    if args.ticks.is_some() {
        return super::standing::ask(&ready, args.receipt, output).await;
    }
    let mut answer = ask(&ready, args.receipt).await?;
    if args.consistent {
        make_consistent(&mut answer.rows);
    }
    output.print(&answer, text);
    Ok(())
}

#[derive(serde::Deserialize)]
struct Problem {
    error: String,
    class: String,
}

pub(super) async fn post<T: serde::de::DeserializeOwned>(
    place: &Place,
    ledger: &HolderLedger,
    path: &str,
    body: &impl Serialize,
) -> Result<T, Failure> {
    let body = serde_json::to_vec(body).map_err(|e| Failure::request(e.to_string()))?;
    let request = place.client_as(ledger)?.post(format!("{}{path}", place.url));
    send(place, request.header("content-type", "application/json").body(body)).await
}

pub(super) async fn get<T: serde::de::DeserializeOwned>(
    place: &Place,
    ledger: &HolderLedger,
    path: &str,
) -> Result<T, Failure> {
    send(place, place.client_as(ledger)?.get(format!("{}{path}", place.url))).await
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
    let planned: Planned = post(&ready.place, ready.ledger, "/v1/questions/plan", &wanted).await?;
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
        ticks: None,
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
    let for_all = e.ticks.map_or_else(String::new, |ticks| format!(" for all {ticks} answers"));
    let covered = if e.covered { "covered by the permit" } else { "NOT all covered by the permit" };
    format!(
        "Dataset  {}\nColumns  {} ({covered})\nCost     ε {:.4} at δ {:e}{for_all}; one more answer may cost {:.4}\nError    {error}\nNothing was asked, and nothing is charged.",
        e.dataset,
        e.columns.join(", "),
        e.epsilon,
        e.delta,
        e.epsilon_left
    )
}

/// What a holder gave, opened, with its verified receipt.
pub(super) struct Fetched {
    pub(super) opened: zeroize::Zeroizing<Vec<u8>>,
    pub(super) answered: Answered,
    pub(super) verified: VerifiedReceipt,
    pub(super) receipt: Vec<u8>,
}

/// Asks a holder, opens what comes back, and verifies that the receipt is for it.
pub(super) async fn fetch(ready: &Ready<'_>) -> Result<Fetched, Failure> {
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
    let answered: Answered = post(&ready.place, ready.ledger, "/v1/questions", &asking).await?;
    let wrong = |what: &str| Failure::peer(format!("the node's answer is refused: {what}"));
    let bytes = |text: &str| hex::decode(text).map_err(|_| wrong("it is no hexadecimal"));
    let (message, receipt) = (bytes(&answered.message)?, bytes(&answered.receipt)?);
    let salt: [u8; 32] =
        bytes(&answered.salt)?.try_into().map_err(|_| wrong("its salt has another length"))?;
    let verified = verify_receipt(&receipt, ready.ledger.anchor())
        .map_err(|e| Failure::not_proved("the node's receipt proves nothing".to_owned(), &e))?;
    let of_dataset = verified.uses.iter().any(|used| used.dataset == ready.dataset);
    let same = verified.result == result_hash(&salt, &message) && verified.permit == ready.permit;
    if !same || !of_dataset {
        return Err(wrong("its receipt is for another one"));
    }
    let opened = key
        .open(&request, &answered.deal, &message)
        .ok_or_else(|| wrong("it does not open with the permit's key"))?;
    Ok(Fetched { opened, answered, verified, receipt })
}

/// Asks one holder, and shows its answer.
pub(crate) async fn ask(
    ready: &Ready<'_>,
    receipt_file: Option<PathBuf>,
) -> Result<AnswerShown, Failure> {
    let fetched = fetch(ready).await?;
    let answer: Answer = serde_json::from_slice(&fetched.opened).map_err(|_| {
        Failure::peer("the node's answer is refused: it is in words of another version")
    })?;
    shown(ready, answer, &fetched, receipt_file).await
}

/// A receipt, written down, and what it says.
pub(super) fn keep(
    site: &Site,
    ledger: &HolderLedger,
    (verified, receipt): (&VerifiedReceipt, &[u8]),
    file: Option<PathBuf>,
) -> Result<ReceiptPlace, Failure> {
    let file = write_receipt(site, verified, receipt, file)?;
    Ok(ReceiptPlace { file, says: receipt_shown(verified, ledger.genesis()) })
}

/// Writes the receipt's file.
fn write_receipt(
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

pub(super) fn rows_shown(rows: Vec<salus_dp::AnswerRow>) -> Vec<RowShown> {
    let row = |row: salus_dp::AnswerRow| RowShown {
        key: row.key,
        name: row.name,
        estimate: row.estimate.map(|e| e.value),
        lower: row.estimate.map(|e| e.lower),
        upper: row.estimate.map(|e| e.upper),
        consistent: None,
    };
    rows.into_iter().map(row).collect()
}

async fn shown(
    ready: &Ready<'_>,
    answer: Answer,
    fetched: &Fetched,
    file: Option<PathBuf>,
) -> Result<AnswerShown, Failure> {
    let left = left(ready.ledger, &ready.permit, &ready.dataset).await?;
    let repeated = fetched.answered.charges.is_empty();
    let spent = if repeated { MicroRho::ZERO } else { answer.cost.rho };
    Ok(AnswerShown {
        rows: rows_shown(answer.rows),
        epsilon_spent: as_epsilon(spent, &left.account)?,
        epsilon_left: as_epsilon(left.left, &left.account)?,
        delta: delta_of(&left.account)?.probability(),
        noise: answer.noise,
        interval: answer.interval,
        bias: answer.bias,
        repeated,
        permit: ready.permit.to_string(),
        dataset: format!("{}/{}", ready.dataset.holder, ready.dataset.dataset),
        receipt: keep(ready.site, ready.ledger, (&fetched.verified, &fetched.receipt), file)?,
    })
}

pub(crate) fn text(answer: &AnswerShown) -> String {
    let grid = grid(&answer.rows);
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
