//! Session commands that PostgreSQL clients send as a matter of course.

use std::sync::Arc;

use pgwire::api::Type;
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::error::PgWireResult;
use salus_model::RoleName;

/// A command that changes nothing but the session, or nothing at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// A transaction begins; statements read one version each all the same.
    Begin,
    /// A transaction ends.
    End(&'static str),
    /// A setting that has no effect here.
    Ignored(&'static str),
    /// What a setting is.
    Show(String, String),
    /// The role to ask in from now on.
    Role(RoleName),
}

/// Settings that clients change and that have no effect on what is answered.
const HARMLESS: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "lock_timeout",
    "names",
    "row_security",
    "search_path",
    "session",
    "standard_conforming_strings",
    "statement_timeout",
    "synchronize_seqscans",
    "time",
    "timezone",
    "transaction",
];

/// What the session's settings are.
const SETTINGS: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_read_only", "on"),
    ("max_identifier_length", "63"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", "17.0"),
    ("standard_conforming_strings", "on"),
    ("timezone", "UTC"),
    ("transaction isolation level", "repeatable read"),
    ("transaction_isolation", "repeatable read"),
    ("transaction_read_only", "on"),
];

/// The session command that a text is, if it is one.
pub(super) fn command(sql: &str) -> Option<Command> {
    let spaced = sql.replace('=', " = ");
    let words: Vec<String> = spaced.split_whitespace().map(str::to_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["begin" | "start", ..] => Some(Command::Begin),
        ["commit" | "end", ..] => Some(Command::End("COMMIT")),
        ["rollback" | "abort", ..] => Some(Command::End("ROLLBACK")),
        ["discard", ..] => Some(Command::Ignored("DISCARD ALL")),
        ["deallocate", ..] => Some(Command::Ignored("DEALLOCATE")),
        ["close", ..] => Some(Command::Ignored("CLOSE CURSOR")),
        ["set", "role", role] | ["set", "session", "role", role] => {
            RoleName::new(role.trim_matches(['"', '\''])).ok().map(Command::Role)
        }
        ["set", "session" | "local", name, ..] | ["set", name, ..] | ["reset", name] => {
            HARMLESS.contains(&name).then_some(Command::Ignored("SET"))
        }
        ["show", ref name @ ..] => {
            let name = name.join(" ");
            let known = SETTINGS.iter().find(|(setting, _)| *setting == name)?;
            Some(Command::Show(name, known.1.to_owned()))
        }
        _ => None,
    }
}

impl Command {
    pub(super) fn done(tag: &str) -> Response {
        Response::Execution(Tag::new(tag))
    }

    /// The columns of what it yields.
    pub(super) fn fields(&self) -> Vec<FieldInfo> {
        match self {
            Self::Show(name, _) => {
                vec![FieldInfo::new(name.clone(), None, None, Type::TEXT, FieldFormat::Text)]
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn respond(self) -> PgWireResult<Response> {
        Ok(match self {
            Self::Begin => Response::TransactionStart(Tag::new("BEGIN")),
            Self::End(tag) => Response::TransactionEnd(Tag::new(tag)),
            Self::Ignored(tag) => Self::done(tag),
            Self::Role(_) => Self::done("SET"),
            Self::Show(ref name, ref value) => {
                let fields = Arc::new(self.fields());
                tracing::trace!(setting = %name, "shown");
                let mut encoder = DataRowEncoder::new(Arc::clone(&fields));
                encoder.encode_field(value)?;
                let row = Ok(encoder.take_row());
                Response::Query(QueryResponse::new(fields, futures::stream::iter([row])))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_session_commands_are_taken_from_the_gateway() {
        assert_eq!(command("BEGIN"), Some(Command::Begin));
        assert_eq!(command("SET extra_float_digits = 3"), Some(Command::Ignored("SET")));
        assert_eq!(command("set application_name='x'"), Some(Command::Ignored("SET")));
        let role = RoleName::new("physician").ok().map(Command::Role);
        assert_eq!(command("SET ROLE physician"), role);
        assert_eq!(command("SET datafusion.execution.batch_size = 1"), None);
        assert_eq!(command("SELECT 1"), None);
        assert_eq!(command("SHOW TABLES"), None);
    }
}
