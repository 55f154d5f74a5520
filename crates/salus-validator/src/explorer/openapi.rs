//! The OpenAPI 3.1 document of the explorer, from the types that it answers with.
//!
//! `cargo xtask openapi` writes it to `web/openapi/explorer.json`; a test fails while that is
//! another. The console's client is generated from it.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::answers::{
    BlockDetail, BlockLine, BlockPage, Configuration, DatasetLine, DatasetPage, MemberDetail,
    MemberPage, OptOutPage, Overview, PermitLine, PermitPage, ReceiptDetail, ReceiptPage,
    SearchAnswer, Statistics, TransactionDetail, TransactionPage,
};

/// What an operation answers with.
enum Answer {
    Json(fn(&mut SchemaGenerator) -> Schema),
    Cbor,
    Events(fn(&mut SchemaGenerator) -> Schema),
}

/// One operation: id, path, sentence, parameters by name, answer.
struct Operation(&'static str, &'static str, &'static str, &'static [&'static str], Answer);

fn of<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const PAGING: &[&str] = &["before", "limit"];
const NAMES: &[&str] = &["after_name", "limit"];
const FILTER: &[&str] =
    &["method", "contract", "member", "dataset_filter", "permit", "outcome", "before", "limit"];

fn operations() -> Vec<Operation> {
    use Answer::{Cbor, Events, Json};
    vec![
        Operation("overview", "/overview", "How the ledger is.", &[], Json(of::<Overview>)),
        Operation(
            "statistics",
            "/statistics",
            "The ledger in numbers.",
            &["days"],
            Json(of::<Statistics>),
        ),
        Operation(
            "configuration",
            "/configuration",
            "The platform configuration with its history.",
            &[],
            Json(of::<Configuration>),
        ),
        Operation("blocks", "/blocks", "Blocks, newest first.", PAGING, Json(of::<BlockPage>)),
        Operation(
            "block",
            "/blocks/{block}",
            "One block, by height or hash.",
            &[],
            Json(of::<BlockDetail>),
        ),
        Operation(
            "block_proof",
            "/blocks/{block}/proof",
            "The votes that make a block final, and every change of validators before it.",
            &[],
            Cbor,
        ),
        Operation(
            "transactions",
            "/transactions",
            "Transactions that fit every condition, newest first.",
            FILTER,
            Json(of::<TransactionPage>),
        ),
        Operation(
            "transaction",
            "/transactions/{transaction}",
            "One transaction with what it says.",
            &[],
            Json(of::<TransactionDetail>),
        ),
        Operation(
            "transaction_proof",
            "/transactions/{transaction}/proof",
            "That a transaction is recorded, and what became of it: Merkle path and votes.",
            &[],
            Cbor,
        ),
        Operation(
            "transaction_envelope",
            "/transactions/{transaction}/envelope",
            "A transaction's own bytes, a tagged COSE_Sign.",
            &[],
            Cbor,
        ),
        Operation(
            "receipts",
            "/receipts",
            "Receipts, newest first.",
            FILTER,
            Json(of::<ReceiptPage>),
        ),
        Operation("receipt", "/receipts/{receipt}", "One receipt.", &[], Json(of::<ReceiptDetail>)),
        Operation(
            "receipt_file",
            "/receipts/{receipt}/file",
            "A receipt as the file that verifies offline.",
            &[],
            Cbor,
        ),
        Operation("members", "/members", "Members by name.", NAMES, Json(of::<MemberPage>)),
        Operation(
            "member",
            "/members/{member}",
            "One member with its keys.",
            &[],
            Json(of::<MemberDetail>),
        ),
        Operation(
            "datasets",
            "/datasets",
            "Datasets with their privacy accounts, by holder and name.",
            NAMES,
            Json(of::<DatasetPage>),
        ),
        Operation(
            "dataset",
            "/datasets/{holder}/{dataset}",
            "One dataset with its privacy account.",
            &[],
            Json(of::<DatasetLine>),
        ),
        Operation(
            "permits",
            "/permits",
            "Permits, the newest application first.",
            FILTER,
            Json(of::<PermitPage>),
        ),
        Operation("permit", "/permits/{permit}", "One permit.", &[], Json(of::<PermitLine>)),
        Operation(
            "opt_outs",
            "/opt-outs",
            "The epochs of the holders' opt-out lists.",
            NAMES,
            Json(of::<OptOutPage>),
        ),
        Operation(
            "search",
            "/search",
            "What a height, hash, id or name may mean.",
            &["q"],
            Json(of::<SearchAnswer>),
        ),
        Operation(
            "tail",
            "/tail",
            "Each block as it is committed, as events named 'block'.",
            &["after"],
            Events(of::<BlockLine>),
        ),
        Operation("genesis", "/genesis", "What the ledger began with.", &[], Cbor),
    ]
}

/// The paths of all operations below `/v1/explorer`.
#[must_use]
pub fn paths() -> Vec<&'static str> {
    operations().iter().map(|Operation(_, path, ..)| *path).collect()
}

/// The document, as it is committed.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let problem = of::<ProblemSchema>(&mut generator);
    let mut paths = serde_json::Map::new();
    for operation in operations() {
        let path = format!("/v1/explorer{}", operation.1);
        paths.insert(path, json!({ "get": described(&operation, &mut generator, &problem) }));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Salus ledger explorer",
            "version": "1",
            "description": "What the ledger says, read-only. Members reach it at a validator's API \
                            with their certificates; a browser on the validator's own machine \
                            reaches it at the console's address with the console's token.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "On the console's address: the line in console.token. On the \
                                validator's API the member's certificate takes its place.",
            } },
            "schemas": generator.take_definitions(true),
        },
    })
}

/// An answer that tells what was wrong.
#[derive(schemars::JsonSchema)]
#[schemars(rename = "Problem")]
#[allow(dead_code, reason = "describes `crate::api::Problem`")]
struct ProblemSchema {
    /// What was wrong and what to do, sentence by sentence.
    problem: String,
}

fn described(operation: &Operation, generator: &mut SchemaGenerator, problem: &Schema) -> Value {
    let Operation(id, path, summary, query, answer) = operation;
    let mut parameters: Vec<Value> = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{').and_then(|part| part.strip_suffix('}')))
        .map(path_parameter)
        .collect();
    parameters.extend(query.iter().map(|name| query_parameter(name)));
    let content = match answer {
        Answer::Json(schema) => json!({ "application/json": { "schema": schema(generator) } }),
        Answer::Cbor => json!({ "application/cbor": { "schema": {
            "type": "string", "contentMediaType": "application/cbor",
        } } }),
        Answer::Events(schema) => json!({ "text/event-stream": { "schema": schema(generator) } }),
    };
    json!({
        "operationId": id,
        "summary": summary,
        "parameters": parameters,
        "responses": {
            "200": { "description": summary, "content": content },
            "default": {
                "description": "What was wrong and what to do.",
                "content": { "application/json": { "schema": problem } },
            },
        },
    })
}

fn path_parameter(name: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
}

/// Parameters have the same meaning wherever they are taken.
fn query_parameter(name: &str) -> Value {
    let number = json!({ "type": "integer", "format": "uint64", "minimum": 0 });
    let text = json!({ "type": "string" });
    let (name, schema, sentence) = match name {
        "before" => ("before", number, "The 'next' of the page before this one."),
        "after_name" => ("after", text, "The 'next' of the page before this one."),
        "after" => ("after", number, "The last block that is known already."),
        "limit" => (
            "limit",
            json!({ "type": "integer", "minimum": 1, "maximum": super::read::MOST_LINES }),
            "How many lines a page has at most; 50 when nothing is said.",
        ),
        "days" => (
            "days",
            json!({ "type": "integer", "minimum": 1, "maximum": 366 }),
            "How many days back from the last block's; 30 when nothing is said.",
        ),
        "dataset_filter" => ("dataset", text, "About this dataset, as holder/dataset."),
        "method" => ("method", text, "Of this kind, such as permits.grant."),
        "contract" => ("contract", text, "Decided by this contract, such as permits."),
        "member" => ("member", text, "Signed by this organisation, or naming it."),
        "permit" => ("permit", text, "About this permit."),
        "outcome" => ("outcome", json!({ "enum": ["applied", "refused"] }), "With this outcome."),
        _ => ("q", text, "What somebody typed or pasted."),
    };
    let required = name == "q";
    json!({
        "name": name, "in": "query", "required": required, "schema": schema,
        "description": sentence,
    })
}
