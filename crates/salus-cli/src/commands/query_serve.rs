//! `salus query --serve`: questions under a permit as Flight SQL, for tools that speak SQL.
//!
//! It runs where the person works, because the permit's key is there: a statement becomes a signed
//! question, and what is served is the opened answer. Nobody else comes to it: it listens with the
//! site's certificate, for a token that is shown once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use salus_api::questions::Published;
use salus_crypto::{Digest, OsEntropy};
use salus_dp::{Column, Epsilon};
use salus_ledger::DatasetRef;
use salus_model::{Class, DatasetId, Entropy as _, PermitId, RoleName};
use salus_node::permits::permit_on;
use salus_node::{HolderLedger, Site};
use salus_private::sql;
use salus_query::flight::{Refused, Rows, Statements};
use salus_query::{AccessToken, Description, Request, VisibleColumn, VisibleDataset};
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use tokio::task::JoinSet;

use super::holder::place;
use super::query::{RowShown, Wanted, datasets_asked, get};
use super::several::{Several, ask, holder_of};
use crate::output::{Failure, Output};

/// What is served, and for how much.
pub(super) struct Serve {
    pub(super) address: SocketAddr,
    pub(super) permit: PermitId,
    pub(super) epsilon: Epsilon,
    /// How many questions may be paid for.
    pub(super) questions: u32,
}

/// A desk that asks under a permit.
struct PermitDesk {
    site: Site,
    ledger: HolderLedger,
    folder: PathBuf,
    permit: PermitId,
    epsilon: Epsilon,
    token: Digest,
    left: AtomicU32,
}

#[derive(Serialize)]
struct Listening {
    flight: String,
    token: String,
    certificate: String,
    epsilon: f64,
    questions: u32,
}

fn digest(token: &str) -> Digest {
    Digest::of_parts("salus query token v1", &[token.as_bytes()])
}

/// Every answer has these columns; a scalar has one row and no key.
fn columns() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let number = |name: &str, nullable| Field::new(name, DataType::Float64, nullable);
    Arc::new(Schema::new(vec![
        text("key_1", true),
        text("key_2", true),
        text("name", false),
        number("estimate", true),
        number("lower_95", true),
        number("upper_95", true),
        number("epsilon_spent", false),
        number("epsilon_left", false),
        text("receipts", false),
    ]))
}

fn said(failure: &Failure) -> Refused {
    Refused::Said { class: failure.class(), said: failure.to_string() }
}

fn bad(said: impl std::fmt::Display) -> Refused {
    Refused::Said { class: Class::BadRequest, said: said.to_string() }
}

/// What an answer says, in the columns of all answers.
fn rows(shown: &[RowShown], spent: f64, left: f64, receipts: &str) -> Result<Rows, Refused> {
    let key = |place: usize| -> ArrayRef {
        Arc::new(shown.iter().map(|row| row.key.get(place).cloned()).collect::<StringArray>())
    };
    let numbers = |of: fn(&RowShown) -> Option<f64>| -> ArrayRef {
        Arc::new(shown.iter().map(of).collect::<Float64Array>())
    };
    let all = |value: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![value; shown.len()])) };
    let names: StringArray = shown.iter().map(|row| Some(row.name.as_str())).collect();
    let batch = RecordBatch::try_new(
        columns(),
        vec![
            key(0),
            key(1),
            Arc::new(names),
            numbers(|row| row.estimate),
            numbers(|row| row.lower),
            numbers(|row| row.upper),
            all(spent),
            all(left),
            Arc::new(StringArray::from(vec![receipts; shown.len()])),
        ],
    );
    let batch = batch.map_err(|_| Refused::Said {
        class: Class::Bug,
        said: "the answer does not fit its columns".to_owned(),
    })?;
    Ok(Rows { schema: columns(), batches: vec![batch] })
}

impl PermitDesk {
    fn check(&self, token: &AccessToken) -> Result<(), Refused> {
        let shown = digest(token.expose());
        let same: bool = shown.as_bytes().ct_eq(self.token.as_bytes()).into();
        if same { Ok(()) } else { Err(Refused::Token) }
    }

    async fn asked(&self, statement: &str) -> Result<Rows, Failure> {
        let record = permit_on(&self.ledger, &self.permit).await?;
        let wanted = Wanted::sql(statement, self.epsilon)?;
        let datasets = datasets_asked(&[], wanted.about(), &record)?;
        let several = Several {
            site: &self.site,
            ledger: &self.ledger,
            folder: &self.folder,
            permit: self.permit.clone(),
            record,
            datasets,
            fewest: 1,
        };
        if self.left.load(Ordering::Relaxed) == 0 {
            return Err(Failure::refused(
                "as many questions were paid for as --questions allows; start anew for more",
            ));
        }
        let shown = ask(&several, &wanted).await?;
        if !shown.repeated {
            // Two at once may both pass the check above: the permit's budget is what bounds them.
            let _ =
                self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        }
        let receipts: Vec<String> =
            shown.holders.iter().map(|part| part.receipt.says.receipt.clone()).collect();
        rows(&shown.rows, shown.epsilon_spent, shown.epsilon_left, &receipts.join(", "))
            .map_err(|e| Failure::corrupt(e.to_string()))
    }

    /// The datasets of the permit, with the columns that their holders publish.
    async fn covered(&self) -> Result<Vec<VisibleDataset>, Failure> {
        let record = permit_on(&self.ledger, &self.permit).await?;
        let mut found: Vec<VisibleDataset> = Vec::new();
        for ground in &record.terms.grounds {
            let DatasetRef { dataset, .. } = &ground.dataset;
            if found.iter().any(|known| known.dataset == *dataset) {
                continue;
            }
            let place = place(&self.folder, &holder_of(&ground.dataset)?)?;
            let published: Published = get(&place, &self.ledger, "/v1/questions/profiles").await?;
            let profile = published.profiles.get(dataset);
            let columns = ground.columns.iter().map(|column| VisibleColumn {
                name: column.as_str().to_owned(),
                masked: false,
                data_type: profile.map_or(DataType::Utf8, |profile| {
                    let kind =
                        profile.schema.columns.iter().find(|(c, _)| c.as_str() == column.as_str());
                    data_type(kind.map(|(_, kind)| kind))
                }),
                nullable: true,
            });
            found.push(VisibleDataset {
                dataset: DatasetId::clone(dataset),
                columns: columns.collect(),
            });
        }
        Ok(found)
    }
}

fn data_type(column: Option<&Column>) -> DataType {
    match column {
        Some(Column::Number(_)) => DataType::Float64,
        Some(Column::Instant(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Some(Column::Category(_) | Column::Open) | None => DataType::Utf8,
    }
}

#[async_trait::async_trait]
impl Statements for PermitDesk {
    async fn identify(&self, token: &AccessToken) -> Result<(), Refused> {
        self.check(token)
    }

    async fn describe(
        &self,
        token: &AccessToken,
        statement: &str,
        _: Option<&RoleName>,
    ) -> Result<Description, Refused> {
        self.check(token)?;
        // That it is a question; what it costs is the same for each.
        sql::parse(statement).map_err(bad)?;
        Ok(Description { schema: columns(), parameters: Vec::new() })
    }

    async fn answer(&self, token: &AccessToken, statement: Request) -> Result<Rows, Refused> {
        self.check(token)?;
        if !statement.parameters.is_empty() {
            return Err(bad("a question has no parameters: write the values into it"));
        }
        self.asked(&statement.sql).await.map_err(|e| said(&e))
    }

    async fn datasets(
        &self,
        token: &AccessToken,
        _: Option<&RoleName>,
    ) -> Result<Vec<VisibleDataset>, Refused> {
        self.check(token)?;
        self.covered().await.map_err(|e| said(&e))
    }
}

/// Serves until it is told to stop.
pub(super) async fn run(
    serve: Serve,
    (site, ledger): (Site, HolderLedger),
    folder: PathBuf,
    output: &Output,
) -> Result<(), Failure> {
    let mut random = [0; 32];
    OsEntropy.fill(&mut random).map_err(|e| Failure::unavailable(e.to_string()))?;
    let token = format!("salus_q_{}", hex::encode(random));
    let certificates = site.certificates().await?;
    let tls = certificates.server(&["h2"])?;
    let certificate = certificates.trust_pem().to_owned();
    let desk = PermitDesk {
        site,
        ledger,
        folder,
        permit: serve.permit,
        epsilon: serve.epsilon,
        token: digest(&token),
        left: AtomicU32::new(serve.questions),
    };
    let (listener, address) = super::node::bind(serve.address, "the Flight SQL port")?;
    let mut tasks = JoinSet::new();
    let router = salus_api::flight::router(Arc::new(desk));
    let handle = super::node::serve(&mut tasks, listener, tls, router)?;
    let listening = Listening {
        flight: format!("grpc+tls://{address}"),
        token,
        certificate,
        epsilon: serve.epsilon.get(),
        questions: serve.questions,
    };
    output.print(&listening, |l| {
        format!(
            "Flight SQL   {}\nToken        {}\nVerify with  the certificate of `salus node certificate`\nEach question costs ε {} at every holder that it reaches; up to {} are paid for.\nCtrl-C ends it.",
            l.flight, l.token, l.epsilon, l.questions
        )
    });
    super::node::stopped(super::node::StopWith::Signal).await?;
    handle.shutdown();
    while tasks.join_next().await.is_some() {}
    Ok(())
}
