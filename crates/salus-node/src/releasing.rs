//! A dataset of the site released as another one, under a permit: `salus release DATASET`.
//!
//! ```text
//! plan + permit ──request──▶ tokens ──scan──▶ rows ──plan carried out──▶ priced ──seal──▶ held
//!    ──charge and receipt──▶ released ──▶ kept ──▶ dataset in the lake ──▶ artefact on the ledger
//! ```
//!
//! The steward is the person of the permit: the site applied for it, and has its key. Everything up
//! to the release is the desk's ([`salus_private::Desk::carry_out`]); a crash at any point is mended
//! by giving the same command again, which charges nothing a second time.
//!
//! What has no bound goes the way of the release gate in between ([`crate::gate`]): the same command
//! puts it before the reviewers, says how far it has come, and publishes it once they approved.

mod error;
mod job;
mod outcome;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use salus_crypto::Digest;
use salus_dp::{Column, Delta, epsilon_from_rho};
use salus_files::CertificatePage;
use salus_files::release::{DatasetPlan, Kind, Spent};
use salus_files::synthesise::Stated;
use salus_ledger::DatasetRef;
use salus_ledger::proof::{GatePassed, verify_receipt};
use salus_ledger::review::Reviewed;
use salus_model::{
    Class, Classified as _, ColumnPath, DatasetId, HolderId, PrivacyCharge, ReceiptId,
};
use salus_private::{ComputeError, DeskError, JobFailed, Profile, Reply};
use salus_spine::SignedRequest;
use salus_store::LakeError;

use self::error::{Booked, after_computing};
use self::job::{Made, MadeTable, ReleaseJob};
use crate::gate::{Form, Gate, GateError, Goal, Item, Out, Passed, check_allowed};
use crate::operations::OnLedger;
use crate::permits::{Asked, Left, PermitKey, SignedFor, left};
use crate::published::{
    Contents, Fresh, Origin, PublishError, PublishedDataset, as_base64, from_base64,
};
use crate::site::Site;

pub use self::error::ReleaseError;
pub use self::job::release_code;
pub use self::outcome::{
    CertificateForm, Charged, GateState, ReleaseDone, ReleaseOutcome, ReleaseWanted, Submission,
    UnderReview,
};

/// How long a request for a release holds: the rows are read within it.
const REQUEST_MICROS: i64 = salus_spine::MAX_REQUEST_MICROS;

/// A release on its way.
pub(crate) struct Releasing<'a> {
    pub(crate) site: &'a Site,
    pub(crate) on: &'a OnLedger,
}

/// What is known before anything is read.
struct Ready {
    plan: DatasetPlan,
    target: DatasetId,
    left: Left,
    key: PermitKey,
    profile: Profile,
    columns: BTreeSet<ColumnPath>,
}

impl Releasing<'_> {
    /// Carries a plan out on a dataset, and publishes what comes of it.
    pub(crate) async fn run(&self, wanted: &ReleaseWanted) -> Result<ReleaseDone, ReleaseError> {
        let plan = DatasetPlan::parse(&wanted.plan, &wanted.folder)?;
        let target = DatasetId::new(plan.dataset()?)?;
        if let Some((record, made_by)) = self.site.publication(&target).await? {
            if made_by != plan.fingerprint() || record.source != wanted.dataset {
                let receipt = record.receipt;
                return Err(ReleaseError::OtherPlan { dataset: target, receipt });
            }
            // Charged and kept by an earlier command: what is left is to publish it.
            let booked = match record.micro_rho {
                Some(_) => Booked::Charged,
                None => Booked::Recorded,
            };
            let done = self.publish(&target, None, None).await;
            return done.map_err(|error| booked.unpublished(error));
        }
        match self.site.lake.versions(&target).await {
            Err(LakeError::NoDataset { .. }) => {}
            Err(e) => return Err(e.into()),
            Ok(_) => return Err(ReleaseError::Taken { dataset: target }),
        }
        let ready = self.ready(wanted, plan, target).await?;
        let short = self.short_of(wanted, &ready)?;
        self.carry_out(wanted, ready, short).await
    }

    async fn ready(
        &self,
        wanted: &ReleaseWanted,
        plan: DatasetPlan,
        target: DatasetId,
    ) -> Result<Ready, ReleaseError> {
        let profile = self.site.profiles()?.of(&wanted.dataset)?.clone();
        let key = self.site.permit_key(&wanted.permit).await?;
        let ledger = self.on.ledger();
        let reference =
            DatasetRef { holder: ledger.member().clone(), dataset: wanted.dataset.clone() };
        let left = left(ledger, &wanted.permit, &reference).await?;
        let mut columns: BTreeSet<ColumnPath> = match plan.columns()? {
            Some(named) => named.iter().map(ColumnPath::new).collect::<Result<_, _>>()?,
            None => left
                .ground
                .columns
                .iter()
                .map(|column| ColumnPath::new(column.to_string()))
                .collect::<Result<_, _>>()?,
        };
        for column in plan.without() {
            // What is left out of the release is not read either.
            if !columns.remove(&ColumnPath::new(column.as_str())?) {
                return Err(ReleaseError::NotRead { column: column.clone() });
            }
        }
        columns.insert(profile.unit_column.clone());
        Ok(Ready { plan, target, left, key, profile, columns })
    }

    /// What to say where permit and account have no room for all that the plan may cost; a result
    /// that was paid for needs none.
    fn short_of(
        &self,
        wanted: &ReleaseWanted,
        ready: &Ready,
    ) -> Result<Option<JobFailed>, ReleaseError> {
        let delta = delta_of(&ready.left)?;
        match ready.plan.most(delta.probability())? {
            Spent::Bounded(most) if most <= ready.left.left => Ok(None),
            Spent::Bounded(most) => {
                let error = ReleaseError::Budget {
                    most: epsilon_from_rho(most, delta).get(),
                    left: epsilon_from_rho(ready.left.left, delta).get(),
                };
                Ok(Some(JobFailed { message: error.to_string(), class: error.class() }))
            }
            Spent::NotBounded => {
                check_allowed(&ready.left, &wanted.dataset, &wanted.permit)?;
                Ok(None)
            }
        }
    }

    async fn carry_out(
        &self,
        wanted: &ReleaseWanted,
        ready: Ready,
        short: Option<JobFailed>,
    ) -> Result<ReleaseDone, ReleaseError> {
        let Ready { plan, target, left, key, profile, columns } = ready;
        let delta = delta_of(&left)?;
        let (kind, made_of) = (plan.kind(), plan.fingerprint());
        let computed = Arc::new(AtomicBool::new(false));
        let job = ReleaseJob {
            dataset: wanted.dataset.clone(),
            target: target.clone(),
            stated: stated(&profile, &columns)?,
            columns: columns.into_iter().collect(),
            person: profile.unit_column.clone(),
            records_per_person: profile.schema.rows_that_count(),
            delta: delta.probability(),
            plan,
            short,
            computed: Arc::clone(&computed),
        };
        let holder = HolderId::new(self.site.lake.holder().as_str())?;
        let asked = Asked {
            ledger: *self.on.ledger().anchor().ledger(),
            permit: &wanted.permit,
            purpose: left.permit.terms.purpose,
            holder: &holder,
            question: "",
            now: self.site.clock.now(),
        };
        let signed_for = SignedFor {
            code: release_code(),
            digest: salus_private::Job::digest(&job),
            micros: REQUEST_MICROS,
        };
        let request = key.request_for(&asked, signed_for)?;
        let item = Item {
            name: target.to_string(),
            form: Form::Dataset,
            source: wanted.dataset.clone(),
            permit: wanted.permit.clone(),
            made_of,
        };
        if kind == Kind::Anonymised {
            return self.through_the_gate((item, target), &request, job).await;
        }
        let reply = self.on.desk().carry_out(&request, Box::new(job)).await;
        let reply =
            reply.map_err(|error| after_computing(error, computed.load(Ordering::SeqCst)))?;
        let opened = key.open(&request, &reply.deal, &reply.message);
        self.charged(item, (&reply, opened.as_deref().map(Vec::as_slice)), &left).await
    }

    /// Keeps and publishes what the desk has charged, or says that it is withheld.
    async fn charged(
        &self,
        item: Item,
        (reply, opened): (&Reply, Option<&[u8]>),
        left: &Left,
    ) -> Result<ReleaseDone, ReleaseError> {
        let sealed = |error: ReleaseError| ReleaseError::ChargedAndSealed(Box::new(error));
        let unpublished = |error: ReleaseError| Booked::Charged.unpublished(error);
        let (permit, target) = (item.permit.clone(), item.name.clone());
        let (made, cost) = self.opened(reply, opened, left).map_err(sealed)?;
        // What an earlier command charged is not charged now.
        let charged = cost.filter(|_| !reply.charges.is_empty());
        let made = match made {
            Made::Withheld { words } => {
                let receipt = Some(as_base64(&reply.receipt));
                let outcome = ReleaseOutcome::Withheld { words };
                return Ok(ReleaseDone { outcome, permit, charged, receipt });
            }
            Made::Published(made) => *made,
        };
        let report = made.report.clone();
        let released = Released { item, receipt: reply.receipt.clone(), cost, review: None };
        self.keep(made, released, left).await.map_err(sealed)?;
        // The publication has it now, for good.
        self.on.desk().put_away(reply).await.map_err(|e| unpublished(e.into()))?;
        let target = DatasetId::new(&target).map_err(|e| unpublished(e.into()))?;
        self.publish(&target, charged, Some(report)).await.map_err(unpublished)
    }

    /// What the desk's reply holds, and what it cost.
    fn opened(
        &self,
        reply: &Reply,
        opened: Option<&[u8]>,
        left: &Left,
    ) -> Result<(Made, Option<Charged>), ReleaseError> {
        let opened = opened.ok_or(ReleaseError::Result)?;
        let made: Made = serde_json::from_slice(opened).map_err(|_| ReleaseError::Result)?;
        Ok((made, self.cost(&reply.receipt, delta_of(left)?)?))
    }

    /// What has no bound is put before reviewers, or published on their approvals.
    async fn through_the_gate(
        &self,
        (item, target): (Item, DatasetId),
        request: &SignedRequest,
        job: ReleaseJob,
    ) -> Result<ReleaseDone, ReleaseError> {
        let (permit, made_of) = (item.permit.clone(), item.made_of);
        let gate = Gate { site: self.site, on: self.on };
        let out = match gate.pass(item, (request, Goal::Fetch), Box::new(job)).await {
            Ok(Passed::Out(out)) => *out,
            Ok(Passed::Approved(_)) => return Err(GateError::Unsettled.into()),
            Ok(Passed::UnderReview(review)) => {
                let outcome = ReleaseOutcome::UnderReview(review);
                return Ok(ReleaseDone { outcome, permit, charged: None, receipt: None });
            }
            // Below the plan's threshold: nobody is asked, and nothing is booked.
            Err(GateError::Desk(DeskError::Compute(ComputeError::Job(failed))))
                if failed.class == Class::Refused =>
            {
                let outcome = ReleaseOutcome::Withheld { words: failed.message };
                return Ok(ReleaseDone { outcome, permit, charged: None, receipt: None });
            }
            Err(error) => return Err(error.into()),
        };
        match self.out_of_the_gate(out, (target, made_of)).await {
            Err(other @ ReleaseError::OtherPlan { .. }) => Err(other),
            done => done.map_err(|error| Booked::Recorded.unpublished(error)),
        }
    }

    /// Keeps and publishes what reviewers approved and the ledger has recorded.
    async fn out_of_the_gate(
        &self,
        out: Out,
        (target, made_of): (DatasetId, Digest),
    ) -> Result<ReleaseDone, ReleaseError> {
        let Ok(Made::Published(made)) = serde_json::from_slice(&out.opened) else {
            return Err(ReleaseError::Result);
        };
        let mut made = *made;
        let verified = verify_receipt(&out.receipt, self.on.ledger().anchor())?;
        let reviewed = match &verified.gate {
            Some(GatePassed::Reviewed(reviewed)) => reviewed.clone(),
            _ => return Err(ReleaseError::Result),
        };
        let certificate = made.certificate().ok_or(ReleaseError::Result)?;
        let certificate = approved(certificate, &out, &verified.receipt);
        made.html = certificate.html();
        made.pdf = as_base64(&certificate.pdf()?);
        let report = made.report.clone();
        let reference = DatasetRef {
            holder: self.on.ledger().member().clone(),
            dataset: out.item.source.clone(),
        };
        let left = left(self.on.ledger(), &out.item.permit, &reference).await?;
        let earlier = (out.item.made_of != made_of).then_some(verified.receipt);
        let released =
            Released { item: out.item, receipt: out.receipt, cost: None, review: Some(reviewed) };
        self.keep(made, released, &left).await?;
        let done = self.publish(&target, None, Some(report)).await?;
        match earlier {
            None => Ok(done),
            // An earlier plan was released before this one was asked for: it is published now.
            Some(receipt) => Err(ReleaseError::OtherPlan { dataset: target, receipt }),
        }
    }

    /// What a receipt says that was charged; none where it has no bound.
    fn cost(&self, receipt: &[u8], delta: Delta) -> Result<Option<Charged>, ReleaseError> {
        let verified = verify_receipt(receipt, self.on.ledger().anchor())?;
        let cost = verified.uses.iter().find_map(|used| match used.charge {
            PrivacyCharge::Bounded(rho) => Some(rho),
            PrivacyCharge::NotBounded => None,
        });
        Ok(cost.map(|micro_rho| Charged {
            micro_rho,
            epsilon: epsilon_from_rho(micro_rho, delta).get(),
        }))
    }

    /// Keeps what was released for good, before it is published.
    async fn keep(
        &self,
        made: MadeTable,
        released: Released,
        left: &Left,
    ) -> Result<(), ReleaseError> {
        let Released { item, receipt, cost, review } = released;
        let verified = verify_receipt(&receipt, self.on.ledger().anchor())?;
        let origin = Origin {
            dataset: DatasetId::new(&item.name)?,
            source: item.source,
            kind: made.kind,
            purpose: made.purpose,
            columns: made.columns,
            records: made.records,
            epsilon: cost.map(|c| c.epsilon),
            micro_rho: cost.map(|c| c.micro_rho),
            delta_exponent: left.account.delta,
            permit: item.permit,
            receipt: verified.receipt,
            review,
        };
        let contents = Contents {
            csv: made.csv.into_bytes(),
            ndjson: made.ndjson.map(String::into_bytes),
            html: made.html.into_bytes(),
            pdf: from_base64(&made.pdf).ok_or(ReleaseError::Result)?,
        };
        let record = PublishedDataset::new(origin, &contents, self.site.clock.now())
            .map_err(PublishError::from)?;
        let fresh = Fresh { record, contents, receipt };
        Ok(self.site.keep_publication(fresh, item.made_of).await?)
    }

    async fn publish(
        &self,
        target: &DatasetId,
        charged: Option<Charged>,
        report: Option<serde_json::Value>,
    ) -> Result<ReleaseDone, ReleaseError> {
        use crate::published::PublishedFile as File;
        let published = self.site.finish_publication(self.on.ledger(), target).await?;
        self.site.leave_gate(target)?;
        let html = self.site.published_file(target, File::Html).await?;
        let pdf = self.site.published_file(target, File::Pdf).await?;
        let receipt = self.site.published_file(target, File::Receipt).await?;
        Ok(ReleaseDone {
            permit: published.permit.clone(),
            outcome: ReleaseOutcome::Published {
                published: Box::new(published),
                report,
                html: String::from_utf8_lossy(&html).into_owned(),
                pdf: as_base64(&pdf),
            },
            charged,
            receipt: Some(as_base64(&receipt)),
        })
    }
}

/// What is released, and by what.
struct Released {
    item: Item,
    receipt: Vec<u8>,
    cost: Option<Charged>,
    review: Option<Reviewed>,
}

/// The records of a release that is not out yet, as CSV.
pub(crate) fn records_of(opened: &[u8]) -> Option<String> {
    match serde_json::from_slice(opened).ok()? {
        Made::Published(made) => Some(made.csv),
        Made::Withheld { .. } => None,
    }
}

/// The certificate with who approved.
fn approved(certificate: CertificatePage, out: &Out, receipt: &ReceiptId) -> CertificatePage {
    let parts = |id: String| {
        let parts: Vec<&str> =
            id.as_bytes().chunks(8).filter_map(|p| str::from_utf8(p).ok()).collect();
        parts.join(" ")
    };
    let mut pairs = vec![("Review".to_owned(), parts(out.review.to_string()))];
    pairs.extend(out.approvals.iter().map(|(key, member)| {
        (format!("Approved by {member}"), format!("key {}", parts(key.to_string())))
    }));
    pairs.push(("Receipt".to_owned(), receipt.to_string()));
    certificate.with_section(
        "Release gate",
        pairs,
        "This release has no bound of what it tells about a person. These reviewers decided that it \
         may go out; the receipt proves that they did, and that nobody had refused.",
    )
}

/// δ of the account.
fn delta_of(left: &Left) -> Result<Delta, ReleaseError> {
    Ok(Delta::new(10f64.powi(-i32::from(left.account.delta.get())))?)
}

/// The domains of the profile, as the synthesis takes them. Open columns have none.
fn stated(
    profile: &Profile,
    columns: &BTreeSet<ColumnPath>,
) -> Result<BTreeMap<String, Stated>, ReleaseError> {
    const DAY_SECONDS: i64 = 86_400;
    let mut stated = BTreeMap::new();
    for column in columns {
        let known = match profile.schema.columns.get(column) {
            Some(Column::Number(bounds)) => Stated::Number(*bounds),
            Some(Column::Category(domain)) => Stated::Category(domain.clone()),
            Some(Column::Instant(bounds)) => {
                let day = |seconds: i64| seconds.div_euclid(DAY_SECONDS);
                let (low, high) = (day(bounds.low()), day(bounds.high()));
                let days = salus_dp::Bounds::from_steps(low, high.max(low + 1), 0)
                    .map_err(|_| ReleaseError::Bounds { column: column.clone() })?;
                Stated::Day(days)
            }
            Some(Column::Open) | None => continue,
        };
        stated.insert(column.as_str().to_owned(), known);
    }
    Ok(stated)
}
