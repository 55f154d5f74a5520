//! The console: its pages, and what people who sign in there may see and do.
//!
//! **Invariant:** who may use a route stands in [`ROUTES`], and [`guard`] holds it before any
//! handler runs; on a ledger it asks the ledger too, whether the organisation still vouches for the
//! role.
//!
//! **Invariant:** no permit's key comes here. A question is signed in the browser, with a key that
//! its scripts can use and cannot read, and the answer is sealed to a key of the same kind.
//!
//! # Where things are
//!
//! | Module | What |
//! | --- | --- |
//! | [`guard`] | cookie, origin, role, headers |
//! | [`session`] | signing in and out, second factors, one's own password |
//! | [`people`] | accounts, as administrators see and change them |
//! | [`studio`] | questions: what may be asked, what it costs, asking, the history |
//! | [`steward`] | datasets, quarantine, keys; decisions on permits |
//! | [`intake`] | what came in and what was refused, source by source and dataset by dataset |
//! | [`releases`] | the release studio: assessing, advising, rehearsing, releasing a dataset |
//! | [`proposals`] | what the ledger's members decide together |
//! | [`devices`] | the holder's own fleet, exact |
//! | [`ledger`] | the ledger's explorer, handed on from a validator |
//! | [`pages`] | the files of the page itself |
//! | [`openapi`] | the document from which the page's client is made |

mod answers;
mod devices;
mod guard;
mod intake;
mod ledger;
pub mod openapi;
mod pages;
mod people;
mod proposals;
pub(crate) mod releases;
mod session;
mod steward;
mod studio;

pub(crate) use session::{Body, read};

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post, put};
use salus_accounts::AccountRole::{Administrator, Auditor, Researcher, Steward, Technician};
use salus_accounts::{AccountRole, Accounts};
use salus_collect::AlertRules;
use salus_node::operations::Operations;
use salus_node::study::Studies;
use salus_node::{HolderLedger, Site, Vouching};
use salus_validator::explorer::client::ExplorerClient;
use tokio::sync::Semaphore;

use crate::route::{Access, HttpRoute, RouteTable};

/// No request is longer.
const REQUEST_BYTES: usize = 256 * 1024;
/// How many people may be signing in at a time; more are told to come back.
const SIGNING_IN: usize = 32;

/// Whoever has signed in, with all that their role demands.
const EVERYBODY: &[AccountRole] = &[Administrator, Researcher, Steward, Technician, Auditor];

#[derive(Clone, Copy)]
enum Endpoint {
    Console,
    Page,
    Asset,
    Icon,
    SignIn,
    Accept,
    Who,
    SignOut,
    BeginFactor,
    ConfirmFactor,
    Password,
    Accounts,
    Invite,
    Role,
    Bind,
    InviteAgain,
    RemoveFactor,
    Revoke,
    History,
    Studio,
    Plan,
    Ask,
    Asked,
    Datasets,
    Holding,
    Intake,
    Keys,
    Outset,
    ReadPlan,
    BeginStudy,
    Study,
    StopStudy,
    Devices,
    Decide,
    Configuration,
    Propose,
    OpenProposal,
    Endorse,
    HandIn,
    Explorer,
}

const fn route(method: &'static str, path: &'static str, access: Access) -> HttpRoute {
    HttpRoute::new(method, path, access)
}

const TABLE: RouteTable<Endpoint, 40> = RouteTable([
    (route("GET", "/console", Access::Published), Endpoint::Console),
    (route("GET", "/console/{*page}", Access::Published), Endpoint::Page),
    (route("GET", "/assets/{file}", Access::Published), Endpoint::Asset),
    (route("GET", "/icon.svg", Access::Published), Endpoint::Icon),
    (route("POST", "/v1/console/session", Access::SignIn), Endpoint::SignIn),
    (route("POST", "/v1/console/invitation", Access::SignIn), Endpoint::Accept),
    (route("GET", "/v1/console/session", Access::AnySession), Endpoint::Who),
    (route("DELETE", "/v1/console/session", Access::AnySession), Endpoint::SignOut),
    (route("POST", "/v1/console/factor", Access::AnySession), Endpoint::BeginFactor),
    (route("PUT", "/v1/console/factor", Access::AnySession), Endpoint::ConfirmFactor),
    (route("PUT", "/v1/console/password", Access::Session(EVERYBODY)), Endpoint::Password),
    (
        route("GET", "/v1/console/accounts", Access::Session(&[Administrator, Auditor])),
        Endpoint::Accounts,
    ),
    (route("POST", "/v1/console/accounts", Access::Session(&[Administrator])), Endpoint::Invite),
    (
        route("PUT", "/v1/console/accounts/{id}/role", Access::Session(&[Administrator])),
        Endpoint::Role,
    ),
    (
        route("PUT", "/v1/console/accounts/{id}/key", Access::Session(&[Administrator])),
        Endpoint::Bind,
    ),
    (
        route("POST", "/v1/console/accounts/{id}/invitation", Access::Session(&[Administrator])),
        Endpoint::InviteAgain,
    ),
    (
        route("DELETE", "/v1/console/accounts/{id}/factor", Access::Session(&[Administrator])),
        Endpoint::RemoveFactor,
    ),
    (
        route("DELETE", "/v1/console/accounts/{id}", Access::Session(&[Administrator])),
        Endpoint::Revoke,
    ),
    (route("GET", "/v1/console/history", Access::Session(EVERYBODY)), Endpoint::History),
    (route("GET", "/v1/console/studio", Access::Session(&[Researcher])), Endpoint::Studio),
    (route("POST", "/v1/console/studio/plan", Access::Session(&[Researcher])), Endpoint::Plan),
    (route("POST", "/v1/console/studio/questions", Access::Session(&[Researcher])), Endpoint::Ask),
    (
        route(
            "GET",
            "/v1/console/studio/questions",
            Access::Session(&[Administrator, Researcher, Auditor]),
        ),
        Endpoint::Asked,
    ),
    (route("GET", "/v1/console/datasets", Access::Session(&[Steward])), Endpoint::Datasets),
    (
        route("GET", "/v1/console/datasets/{dataset}", Access::Session(&[Steward])),
        Endpoint::Holding,
    ),
    (route("GET", "/v1/console/intake", Access::Session(&[Steward])), Endpoint::Intake),
    (route("GET", "/v1/console/keys", Access::Session(&[Steward])), Endpoint::Keys),
    (route("GET", "/v1/console/releases/{dataset}", Access::Session(&[Steward])), Endpoint::Outset),
    (
        route("POST", "/v1/console/releases/{dataset}/plan", Access::Session(&[Steward])),
        Endpoint::ReadPlan,
    ),
    (
        route("POST", "/v1/console/releases/{dataset}/studies", Access::Session(&[Steward])),
        Endpoint::BeginStudy,
    ),
    (route("GET", "/v1/console/studies/{study}", Access::Session(&[Steward])), Endpoint::Study),
    (
        route("DELETE", "/v1/console/studies/{study}", Access::Session(&[Steward])),
        Endpoint::StopStudy,
    ),
    (
        route("GET", "/v1/console/devices", Access::Session(&[Technician, Steward])),
        Endpoint::Devices,
    ),
    (route("PUT", "/v1/console/permits/{permit}", Access::Session(&[Steward])), Endpoint::Decide),
    (
        route("GET", "/v1/console/configuration", Access::Session(&[Administrator, Auditor])),
        Endpoint::Configuration,
    ),
    (route("POST", "/v1/console/proposals", Access::Session(&[Administrator])), Endpoint::Propose),
    (
        route("POST", "/v1/console/proposals/open", Access::Session(&[Administrator])),
        Endpoint::OpenProposal,
    ),
    (
        route("POST", "/v1/console/proposals/endorse", Access::Session(&[Administrator])),
        Endpoint::Endorse,
    ),
    (
        route("POST", "/v1/console/proposals/submit", Access::Session(&[Administrator])),
        Endpoint::HandIn,
    ),
    (route("GET", "/v1/explorer/{*path}", Access::Session(EVERYBODY)), Endpoint::Explorer),
]);

/// Every route here.
pub const ROUTES: [HttpRoute; 40] = TABLE.routes();

/// A site's place on a ledger, as the console uses it.
pub struct ConsoleLedger {
    /// The ledger.
    pub ledger: Arc<HolderLedger>,
    /// Readers of its explorer, one for each validator.
    pub explorers: Vec<ExplorerClient>,
}

/// What the console works on.
pub struct ConsoleParts {
    /// The site.
    pub site: Site,
    /// Its accounts.
    pub accounts: Arc<Accounts>,
    /// What its operators may do.
    pub operations: Operations,
    /// What its stewards study.
    pub studies: Arc<Studies>,
    /// Its ledger, when it is on one.
    pub ledger: Option<ConsoleLedger>,
    /// When staff are alerted of devices.
    pub alert_rules: AlertRulesNow,
}

/// Reads the rules of alerts as they are now, or says in a sentence why they cannot be read.
pub type AlertRulesNow = Arc<dyn Fn() -> Result<AlertRules, String> + Send + Sync>;

/// What every handler has.
pub(crate) struct Console {
    site: Site,
    accounts: Arc<Accounts>,
    studies: Arc<Studies>,
    operations: Operations,
    ledger: Option<ConsoleLedger>,
    vouching: Option<Vouching>,
    signing_in: Semaphore,
    alert_rules: AlertRulesNow,
}

type Shared = Arc<Console>;

/// The routes over a site.
pub fn router(parts: ConsoleParts) -> Router {
    let ConsoleParts { site, accounts, operations, studies, ledger, alert_rules } = parts;
    let vouching =
        ledger.as_ref().map(|on| Vouching::new(Arc::clone(&on.ledger), Arc::clone(&site.clock)));
    let console: Shared = Arc::new(Console {
        site,
        accounts,
        studies,
        operations,
        ledger,
        vouching,
        signing_in: Semaphore::new(SIGNING_IN),
        alert_rules,
    });
    let handler = |access: Access, endpoint| {
        let state = guard::Guard { console: Arc::clone(&console), access };
        handled(endpoint).layer(from_fn_with_state(state, guard::guarded))
    };
    TABLE
        .guarded_router(handler)
        .layer(DefaultBodyLimit::max(REQUEST_BYTES))
        .with_state(Arc::clone(&console))
}

fn handled(endpoint: Endpoint) -> MethodRouter<Shared> {
    match endpoint {
        Endpoint::Console | Endpoint::Page => get(pages::page),
        Endpoint::Asset => get(pages::asset),
        Endpoint::Icon => get(pages::icon),
        Endpoint::SignIn => post(session::sign_in),
        Endpoint::Accept => post(session::accept),
        Endpoint::Who => get(session::who),
        Endpoint::SignOut => delete(session::sign_out),
        Endpoint::BeginFactor => post(session::begin_factor),
        Endpoint::ConfirmFactor => put(session::confirm_factor),
        Endpoint::Password => put(session::password),
        Endpoint::Accounts => get(people::accounts),
        Endpoint::Invite => post(people::invite),
        Endpoint::Role => put(people::role),
        Endpoint::Bind => put(people::bind),
        Endpoint::InviteAgain => post(people::invite_again),
        Endpoint::RemoveFactor => delete(people::remove_factor),
        Endpoint::Revoke => delete(people::revoke),
        Endpoint::History => get(people::history),
        Endpoint::Studio => get(studio::studio),
        Endpoint::Plan => post(studio::plan),
        Endpoint::Ask => post(studio::ask),
        Endpoint::Asked => get(studio::asked),
        Endpoint::Datasets => get(steward::datasets),
        Endpoint::Holding => get(intake::holding),
        Endpoint::Intake => get(intake::intake),
        Endpoint::Keys => get(steward::keys),
        Endpoint::Outset => get(releases::outset),
        Endpoint::ReadPlan => post(releases::read_plan),
        Endpoint::BeginStudy => post(releases::begin),
        Endpoint::Study => get(releases::study),
        Endpoint::StopStudy => delete(releases::stop),
        Endpoint::Devices => get(devices::devices),
        Endpoint::Decide => put(steward::decide),
        Endpoint::Configuration => get(proposals::configuration),
        Endpoint::Propose => post(proposals::propose),
        Endpoint::OpenProposal => post(proposals::open),
        Endpoint::Endorse => post(proposals::endorse),
        Endpoint::HandIn => post(proposals::submit),
        Endpoint::Explorer => get(ledger::explorer),
    }
}
