//! What happens between researcher, officer and hospitals: a permit applied for, granted, used.

use std::collections::BTreeSet;

use salus_dp::{Delta, Epsilon, Mechanism, Query, Spend};
use salus_ledger::Column;
use salus_ledger::call::{Ground, PermitTerms, ReleaseRule, RevocationReason};
use salus_model::{Clock as _, ColumnPath, DatasetId, MicroRho, PermitId, Purpose};
use salus_node::operations::{Call, OptOutChange, PermitCall, Reply};
use salus_node::permits::permit_on;
use salus_node::{Site, SystemClock};
use salus_private::{Comparison, Literal, Predicate, Question};

use super::network::{Network, visits};
use crate::commands::holder::place;
use crate::commands::query::{self, AnswerShown, Ready};
use crate::output::Failure;

/// What the permit covers: enough to count visits by ward, sex or diagnosis, and no names.
pub(super) const COLUMNS: [&str; 4] = ["patient_id", "sex", "ward", "diagnosis"];
const DELTA: f64 = 1e-6;

fn wrong(e: impl std::fmt::Display) -> Failure {
    Failure::request(e.to_string())
}

fn rho(epsilon: f64) -> Result<MicroRho, Failure> {
    let delta = Delta::new(DELTA).map_err(wrong)?;
    Ok(salus_dp::rho_from_epsilon(Epsilon::new(epsilon).map_err(wrong)?, delta))
}

pub(super) fn epsilon(epsilon: f64) -> Result<Epsilon, Failure> {
    Epsilon::new(epsilon).map_err(wrong)
}

/// A permit over the visits of these hospitals, for so many seconds.
pub(super) fn terms(
    hospitals: &[&str],
    epsilon: f64,
    seconds: i64,
) -> Result<PermitTerms, Failure> {
    let columns: Result<BTreeSet<Column>, Failure> =
        COLUMNS.iter().map(|name| Column::new(*name).map_err(wrong)).collect();
    let columns = columns?;
    let mut grounds = Vec::new();
    for hospital in hospitals {
        let (dataset, columns) = (visits(hospital)?, columns.clone());
        grounds.push(Ground { dataset, columns, budget: rho(epsilon)? });
    }
    Ok(PermitTerms {
        grounds,
        purpose: Purpose::Research,
        code: None,
        releases: ReleaseRule::DpOnly,
        expires: SystemClock.now().saturating_add_micros(seconds * 1_000_000),
    })
}

async fn permit_call(site: &Site, call: PermitCall) -> Result<PermitId, Failure> {
    match crate::site::ask(site, Call::Permit(call)).await? {
        Reply::Permit(done) => Ok(done.permit),
        _ => Err(crate::site::protocol()),
    }
}

fn column(name: &str) -> Result<ColumnPath, Failure> {
    ColumnPath::new(name).map_err(wrong)
}

/// How many visits there are, by ward where wanted, of those with this value in a column.
pub(super) struct Counted<'a> {
    pub(super) by: Option<&'a str>,
    pub(super) of: Option<(&'a str, &'a str)>,
    pub(super) epsilon: f64,
}

impl Counted<'_> {
    pub(super) fn text(&self) -> Result<String, Failure> {
        let query = match self.by {
            None => Query::Count,
            Some(name) => Query::GroupedCount { keys: vec![column(name)?], threshold_delta: None },
        };
        let filter = match self.of {
            None => None,
            Some((name, value)) => Some(Predicate::Compare {
                column: column(name)?,
                is: Comparison::Equal,
                value: value
                    .parse()
                    .map_or_else(|_| Literal::Text(value.to_owned()), Literal::Number),
            }),
        };
        let epsilon = Epsilon::new(self.epsilon).map_err(wrong)?;
        let delta = Delta::new(DELTA).map_err(wrong)?;
        let question = Question {
            dataset: DatasetId::new("visits").map_err(wrong)?,
            query,
            filter,
            spend: Spend::Epsilon { epsilon, delta },
            mechanism: Mechanism::Gaussian,
        };
        serde_json::to_string(&question).map_err(wrong)
    }
}

impl Network {
    pub(super) async fn apply(&self, terms: PermitTerms) -> Result<PermitId, Failure> {
        permit_call(&self.university, PermitCall::Apply(terms)).await
    }

    pub(super) async fn grant(&self, permit: &PermitId) -> Result<(), Failure> {
        permit_call(&self.office, PermitCall::Grant(permit.clone())).await.map(drop)
    }

    pub(super) async fn revoke(&self, permit: &PermitId) -> Result<(), Failure> {
        let (permit, reason) = (permit.clone(), RevocationReason::Authority);
        permit_call(&self.office, PermitCall::Revoke { permit, reason }).await.map(drop)
    }

    /// A permit, applied for and granted.
    pub(super) async fn permitted(
        &self,
        hospitals: &[&str],
        epsilon: f64,
    ) -> Result<PermitId, Failure> {
        let permit = self.apply(terms(hospitals, epsilon, 24 * 60 * 60)?).await?;
        self.grant(&permit).await?;
        Ok(permit)
    }

    /// A question of the university to a hospital, ready to be asked.
    pub(super) async fn ready(
        &self,
        permit: &PermitId,
        hospital: &str,
        text: String,
    ) -> Result<Ready<'_>, Failure> {
        let record = permit_on(&self.asking, permit).await?;
        let holder = hospital.parse().map_err(wrong)?;
        Ok(Ready {
            site: &self.university,
            ledger: &self.asking,
            permit: permit.clone(),
            record,
            dataset: visits(hospital)?,
            text,
            place: place(&self.university.folder, &holder)?,
        })
    }

    pub(super) async fn ask(
        &self,
        permit: &PermitId,
        hospital: &str,
        counted: Counted<'_>,
    ) -> Result<AnswerShown, Failure> {
        let ready = self.ready(permit, hospital, counted.text()?).await?;
        query::ask(&ready, None).await
    }

    /// Opts people of a hospital out; through its node, which runs.
    pub(super) async fn opt_out(
        &self,
        hospital: &str,
        people: Vec<String>,
    ) -> Result<u64, Failure> {
        let site = self.ground.open(hospital).await?;
        let call = Call::OptOuts(OptOutChange::Add(people));
        match crate::site::ask(&site, call).await? {
            Reply::OptOuts(list) => Ok(list.epoch),
            _ => Err(crate::site::protocol()),
        }
    }
}
