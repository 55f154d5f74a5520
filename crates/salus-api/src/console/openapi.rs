//! The OpenAPI 3.1 document of what the console's pages ask, from the types that it takes and
//! answers with.
//!
//! `cargo xtask openapi` writes it to `web/openapi/console.json`; a test fails while that is
//! another. The pages' client is generated from it. The ledger's explorer, which the console hands
//! on, has a document of its own.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::answers::{AccountShown, AskedShown, EventShown};
use super::{
    Endpoint, TABLE, devices, guard, intake, people, proposals, releases, session, steward, studio,
};
use crate::route::{Access, HttpRoute};

type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What stands behind an endpoint: its id, a sentence, query parameters by name, body, answer.
struct Operation {
    id: &'static str,
    summary: &'static str,
    query: &'static [&'static str],
    /// Of an answer that has a body.
    status: &'static str,
    body: Option<SchemaOf>,
    answer: Option<SchemaOf>,
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const PAGING: &[&str] = &["before", "limit"];

/// None for the page's own files, and for what another document describes.
fn operation(endpoint: Endpoint) -> Option<Operation> {
    let plain = |id, summary| Operation {
        id,
        summary,
        query: &[],
        status: "200",
        body: None,
        answer: None,
    };
    let reads =
        |id, summary, answer: SchemaOf| Operation { answer: Some(answer), ..plain(id, summary) };
    let sends = |id, summary, body: SchemaOf| Operation { body: Some(body), ..plain(id, summary) };
    let exchanges = |id, summary, body: SchemaOf, answer: SchemaOf| Operation {
        body: Some(body),
        answer: Some(answer),
        ..plain(id, summary)
    };
    Some(match endpoint {
        Endpoint::Console
        | Endpoint::Page
        | Endpoint::Asset
        | Endpoint::Icon
        | Endpoint::Explorer => return None,
        Endpoint::SignIn => {
            exchanges("sign_in", "Begin a session.", of::<session::Typed>, of::<session::Who>)
        }
        Endpoint::Accept => exchanges(
            "accept_invitation",
            "Choose a password with an invitation's code, and begin a session.",
            of::<session::Accepting>,
            of::<session::Who>,
        ),
        Endpoint::Who => reads("who", "Who has signed in, and where.", of::<session::Who>),
        Endpoint::SignOut => plain("sign_out", "End the session."),
        Endpoint::BeginFactor => {
            reads("begin_factor", "Begin to set up a second factor.", of::<session::Begun>)
        }
        Endpoint::ConfirmFactor => exchanges(
            "confirm_factor",
            "Show that the second factor is set up.",
            of::<session::Confirming>,
            of::<session::Who>,
        ),
        Endpoint::Password => exchanges(
            "change_password",
            "Change one's own password.",
            of::<session::Changing>,
            of::<session::Who>,
        ),
        Endpoint::Accounts => reads("accounts", "Every account.", of::<Vec<AccountShown>>),
        Endpoint::Invite => exchanges(
            "invite",
            "Make an account, with a code for its person.",
            of::<people::Inviting>,
            of::<people::Invited>,
        ),
        Endpoint::Role => sends("change_role", "Change a role.", of::<people::Changing>),
        Endpoint::Bind => {
            sends("bind", "Bind a role to a key on the ledger.", of::<people::Binding>)
        }
        Endpoint::InviteAgain => {
            reads("invite_again", "Give a person a new code.", of::<people::Invited>)
        }
        Endpoint::RemoveFactor => {
            plain("remove_factor", "Take away a second factor that was lost.")
        }
        Endpoint::Revoke => plain("revoke_account", "Close an account."),
        Endpoint::History => Operation {
            query: PAGING,
            ..reads("history", "What happened to accounts, newest first.", of::<Vec<EventShown>>)
        },
        Endpoint::Studio => {
            reads("studio", "What may be asked of whom.", of::<studio::StudioShown>)
        }
        Endpoint::Plan => exchanges(
            "plan",
            "A question's exact text, price and expected error.",
            of::<studio::Wanted>,
            of::<studio::PlannedShown>,
        ),
        Endpoint::Ask => exchanges(
            "ask",
            "Ask a signed question.",
            of::<studio::Sent>,
            of::<studio::AnsweredShown>,
        ),
        Endpoint::Asked => Operation {
            query: PAGING,
            ..reads("asked", "Questions that were asked, newest first.", of::<Vec<AskedShown>>)
        },
        Endpoint::Datasets => {
            reads("holdings", "What the site holds.", of::<Vec<steward::DatasetShown>>)
        }
        Endpoint::Holding => reads(
            "holding",
            "A dataset with its versions, keys and what was refused.",
            of::<intake::DatasetDetail>,
        ),
        Endpoint::Intake => {
            reads("intake", "What came in lately, and from where.", of::<intake::IntakeShown>)
        }
        Endpoint::Keys => reads("keys", "The site's master keys.", of::<steward::KeysShown>),
        Endpoint::Outset => reads(
            "release_outset",
            "What is known of a dataset before it is released; no row is read.",
            of::<releases::OutsetShown>,
        ),
        Endpoint::ReadPlan => exchanges(
            "read_release_plan",
            "Understand a plan: its text, what it makes and its greatest cost. Nothing is begun.",
            of::<releases::PlanSent>,
            of::<releases::PlanShown>,
        ),
        Endpoint::BeginStudy => Operation {
            status: "202",
            ..exchanges(
                "begin_study",
                "Begin to assess, advise on, rehearse or release a dataset.",
                of::<releases::StudySent>,
                of::<releases::BegunShown>,
            )
        },
        Endpoint::Study => reads(
            "study",
            "How far one's own study is, and what it found.",
            of::<releases::StudyShown>,
        ),
        Endpoint::StopStudy => plain(
            "stop_study",
            "Stop one's own study at the end of its attempt; a release goes on.",
        ),
        Endpoint::Devices => Operation {
            query: &["show", "os", "after", "limit"],
            ..reads("devices", "The holder's own devices.", of::<devices::DevicesShown>)
        },
        Endpoint::Decide => exchanges(
            "decide",
            "Decide on a permit in the organisation's name.",
            of::<steward::Decision>,
            of::<steward::Decided>,
        ),
        Endpoint::Configuration => reads(
            "configuration",
            "The ledger's configuration in force.",
            of::<proposals::ConfigurationShown>,
        ),
        Endpoint::Propose => exchanges(
            "propose",
            "Propose another configuration to the ledger's members.",
            of::<proposals::Proposing>,
            of::<proposals::ProposalShown>,
        ),
        Endpoint::OpenProposal => exchanges(
            "open_proposal",
            "What a proposal would change, and who has signed it.",
            of::<proposals::File>,
            of::<proposals::ProposalShown>,
        ),
        Endpoint::Endorse => exchanges(
            "endorse_proposal",
            "Add the site's signature to a proposal.",
            of::<proposals::File>,
            of::<proposals::ProposalShown>,
        ),
        Endpoint::HandIn => exchanges(
            "hand_in_proposal",
            "Hand a proposal in; the ledger says whether it is signed by enough.",
            of::<proposals::File>,
            of::<proposals::HandedIn>,
        ),
    })
}

/// The two directions of one document: what is sent has other optional fields than what is
/// answered.
struct Schemas {
    sent: SchemaGenerator,
    answered: SchemaGenerator,
}

fn generator(settings: SchemaSettings) -> SchemaGenerator {
    let settings = settings.with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    settings.into_generator()
}

/// The document, as it is committed.
#[must_use]
pub fn document() -> Value {
    let draft = SchemaSettings::draft2020_12;
    let mut schemas = Schemas {
        sent: generator(draft().for_deserialize()),
        answered: generator(draft().for_serialize()),
    };
    let problem = of::<guard::Problem>(&mut schemas.answered);
    let mut paths: Map<String, Value> = Map::new();
    for (route, endpoint) in &TABLE.0 {
        let Some(operation) = operation(*endpoint) else { continue };
        let described = described(route, &operation, &mut schemas, &problem);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_lowercase()] = described;
    }
    let mut definitions = schemas.answered.take_definitions(true);
    definitions.append(&mut schemas.sent.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Salus console",
            "version": "1",
            "description": "What people who sign in at a site's console may see and do. Whatever \
                            changes something has to name this origin.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "securitySchemes": { "session": {
                "type": "apiKey",
                "in": "cookie",
                "name": guard::COOKIE_NAME,
                "description": "Given by signing in; no script reads it.",
            } },
            "schemas": definitions,
        },
    })
}

/// Who may use a route, in words.
fn audience(access: Access) -> String {
    match access {
        Access::Session(roles) => {
            let words: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
            format!("For whoever has signed in as {}.", words.join(", "))
        }
        Access::AnySession => {
            "For whoever has signed in, also without the second factor that the role demands."
                .to_owned()
        }
        _ => "For anybody; tries are counted.".to_owned(),
    }
}

fn described(
    route: &HttpRoute,
    operation: &Operation,
    schemas: &mut Schemas,
    problem: &Schema,
) -> Value {
    let named = |part: &'static str| part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
    let mut parameters: Vec<Value> = route
        .path
        .split('/')
        .filter_map(named)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": text() }))
        .collect();
    parameters.extend(operation.query.iter().map(|name| parameter(name, &mut schemas.sent)));
    let (status, mut response) = match operation.answer {
        None => ("204", json!({ "description": operation.summary })),
        Some(answer) => {
            let schema = answer(&mut schemas.answered);
            let content = json!({ "application/json": { "schema": schema } });
            (operation.status, json!({ "description": operation.summary, "content": content }))
        }
    };
    if matches!(route.access, Access::SignIn) {
        let cookie = json!({ "description": "The session's cookie.", "schema": text() });
        response["headers"] = json!({ "Set-Cookie": cookie });
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "description": audience(route.access),
        "parameters": parameters,
        "responses": {
            status: response,
            "default": {
                "description": "What was wrong and what to do.",
                "content": { "application/json": { "schema": problem } },
            },
        },
    });
    if let Some(body) = operation.body {
        let content = json!({ "application/json": { "schema": body(&mut schemas.sent) } });
        described["requestBody"] = json!({ "required": true, "content": content });
    }
    if !matches!(route.access, Access::SignIn) {
        described["security"] = json!([{ "session": [] }]);
    }
    described
}

fn text() -> Value {
    json!({ "type": "string" })
}

/// Parameters of an address have the same meaning wherever they are taken.
fn parameter(name: &str, generator: &mut SchemaGenerator) -> Value {
    let (schema, sentence) = match name {
        "before" => (
            json!({ "type": "integer", "format": "int64" }),
            "Lines before this number; the newest when nothing is said.",
        ),
        "limit" => (
            json!({ "type": "integer", "minimum": 1, "maximum": 200 }),
            "How many lines at most; 50 when nothing is said.",
        ),
        "show" => (
            Value::from(of::<devices::Show>(generator)),
            "Which devices; all when nothing is said.",
        ),
        "os" => (text(), "Devices with this version of the operating system alone."),
        _ => (text(), "The last device of the page before this one."),
    };
    json!({
        "name": name, "in": "query", "required": false, "schema": schema,
        "description": sentence,
    })
}

#[cfg(test)]
mod tests;
