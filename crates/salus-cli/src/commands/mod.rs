//! One module a command.

pub(crate) mod account;
pub(crate) mod audit;
mod bulk;
pub(crate) mod client;
pub(crate) mod dataset;
pub(crate) mod doctor;
pub(crate) mod files;
pub(crate) mod grounds;
pub(crate) mod holder;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod keys;
pub(crate) mod keys_export;
pub(crate) mod keys_serve;
pub(crate) mod ledger;
pub(crate) mod node;
pub(crate) mod optout;
pub(crate) mod parquet_source;
pub(crate) mod permit;
mod pull;
pub(crate) mod query;
pub(crate) mod sql;
pub(crate) mod staff;
