//! From text to a statement that only reads.

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::engine::Limits;
use crate::error::{Place, QueryError};

/// Each operator can make the parsed tree deeper by one, without any nesting in the text, and a
/// tree is walked (and freed) by recursion.
const MAX_OPERATORS: usize = 1_000;

/// A statement that only reads.
#[derive(Debug, Clone)]
pub(crate) struct ReadStatement {
    pub(crate) parsed: Statement,
    pub(crate) text: String,
}

impl ReadStatement {
    /// Parses exactly one statement and refuses all that do more than read.
    pub(crate) fn parse(text: &str, limits: &Limits) -> Result<Self, QueryError> {
        let wrong = |what: String| QueryError::Sql { place: None, what };
        if text.len() > limits.statement_bytes {
            return Err(wrong(format!(
                "the statement has {} bytes; {} are allowed",
                text.len(),
                limits.statement_bytes
            )));
        }
        if operators(text) > MAX_OPERATORS {
            return Err(wrong(format!(
                "the statement has more than {MAX_OPERATORS} operators; use IN lists, or joins"
            )));
        }
        let parsed = DFParserBuilder::new(text)
            .with_dialect(&PostgreSqlDialect {})
            .with_recursion_limit(limits.nesting)
            .build()
            .and_then(|mut parser| parser.parse_statements());
        let mut statements = parsed.map_err(|e| QueryError::planning(&e))?;
        let statement = statements.pop_front();
        match (statement, statements.is_empty()) {
            (None, _) => Err(wrong("there is no statement".to_owned())),
            (Some(_), false) => {
                Err(wrong("there is more than one statement; send them one by one".to_owned()))
            }
            (Some(parsed), true) => {
                if reads_only(&parsed) {
                    Ok(Self { parsed, text: text.to_owned() })
                } else {
                    Err(QueryError::NotReading { statement: first_words(text) })
                }
            }
        }
    }

    /// Whether it is a query, and neither EXPLAIN nor SHOW.
    pub(crate) fn is_query(&self) -> bool {
        matches!(&self.parsed, Statement::Statement(s) if matches!(**s, ast::Statement::Query(_)))
    }

    /// The same question to the catalogue, in words that DataFusion knows.
    pub(crate) fn for_catalogue(&self) -> Self {
        let mut this = self.clone();
        if let Statement::Statement(statement) = &mut this.parsed {
            crate::catalog::rewrite(statement);
        }
        this
    }

    /// Where an identifier first stands in the statement.
    pub(crate) fn place_of(&self, name: &str) -> Option<Place> {
        place_of_word(&self.text, name)
    }

    /// Whether the statement asks for every column of something.
    pub(crate) fn has_wildcard(&self) -> bool {
        self.text.contains('*')
    }
}

/// How many tokens of a text can deepen its tree.
fn operators(text: &str) -> usize {
    use datafusion::sql::sqlparser::keywords::Keyword as K;
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize().unwrap_or_default();
    let deepens = |token: &Token| match token {
        Token::Word(word) => matches!(
            word.keyword,
            K::AND
                | K::OR
                | K::NOT
                | K::IS
                | K::LIKE
                | K::ILIKE
                | K::BETWEEN
                | K::CASE
                | K::UNION
                | K::INTERSECT
                | K::EXCEPT
                | K::JOIN
                | K::COLLATE
        ),
        Token::Whitespace(_)
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::Placeholder(_)
        | Token::Comma
        | Token::Period
        | Token::SemiColon
        | Token::LParen
        | Token::RParen
        | Token::RBracket
        | Token::EOF => false,
        _ => true,
    };
    tokens.iter().filter(|token| deepens(token)).count()
}

fn reads_only(statement: &Statement) -> bool {
    match statement {
        Statement::Explain(explain) => reads_only(&explain.statement),
        Statement::Statement(statement) => sql_reads_only(statement),
        _ => false,
    }
}

fn sql_reads_only(statement: &ast::Statement) -> bool {
    use ast::Statement as S;
    match statement {
        S::Query(query) => query_reads_only(query),
        S::Explain { statement, .. } => sql_reads_only(statement),
        S::ExplainTable { .. }
        | S::ShowTables { .. }
        | S::ShowColumns { .. }
        | S::ShowVariable { .. } => true,
        _ => false,
    }
}

fn query_reads_only(query: &ast::Query) -> bool {
    let with = query.with.iter().flat_map(|with| &with.cte_tables);
    query.locks.is_empty()
        && set_reads_only(&query.body)
        && with.into_iter().all(|cte| query_reads_only(&cte.query))
}

fn set_reads_only(body: &ast::SetExpr) -> bool {
    use ast::SetExpr as B;
    // A long chain of UNION leans to the left; it is walked without recursion.
    let mut body = body;
    loop {
        match body {
            B::Select(select) => return select.into.is_none(),
            B::Query(query) => return query_reads_only(query),
            B::SetOperation { left, right, .. } => {
                if !set_reads_only(right) {
                    return false;
                }
                body = left;
            }
            B::Values(_) | B::Table(_) => return true,
            _ => return false,
        }
    }
}

/// The statement's leading keywords, never an identifier or a value.
fn first_words(text: &str) -> String {
    const KEYWORDS: &[&str] = &[
        "ALTER",
        "ANALYZE",
        "ATTACH",
        "BEGIN",
        "CACHE",
        "CALL",
        "CLOSE",
        "COMMENT",
        "COMMIT",
        "COPY",
        "CREATE",
        "DATABASE",
        "DEALLOCATE",
        "DECLARE",
        "DELETE",
        "DROP",
        "EXECUTE",
        "EXPLAIN",
        "EXTENSION",
        "EXTERNAL",
        "FETCH",
        "FUNCTION",
        "GRANT",
        "INDEX",
        "INSERT",
        "INSTALL",
        "INTO",
        "KILL",
        "LISTEN",
        "LOAD",
        "LOCK",
        "MERGE",
        "MSCK",
        "NOTIFY",
        "OR",
        "PRAGMA",
        "PREPARE",
        "RAISE",
        "REFRESH",
        "RELEASE",
        "REPLACE",
        "RESET",
        "REVOKE",
        "ROLE",
        "ROLLBACK",
        "SAVEPOINT",
        "SCHEMA",
        "SELECT",
        "SET",
        "START",
        "TABLE",
        "TEMPORARY",
        "TRANSACTION",
        "TRUNCATE",
        "UNBOUNDED",
        "UNCACHE",
        "UNLOAD",
        "UPDATE",
        "USE",
        "VACUUM",
        "VIEW",
        "WITH",
    ];
    let upper: Vec<String> =
        text.split_whitespace().take(4).map(|w| w.trim_matches(';').to_uppercase()).collect();
    let known: Vec<&str> =
        upper.iter().map(String::as_str).take_while(|w| KEYWORDS.contains(w)).collect();
    if known.is_empty() { "this statement".to_owned() } else { known.join(" ") }
}

/// The first place where a word stands outside quotes, or as a quoted identifier.
fn place_of_word(text: &str, word: &str) -> Option<Place> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let lower = text.to_lowercase();
    let wanted = word.to_lowercase();
    if lower.len() != text.len() || wanted.is_empty() {
        return None;
    }
    let found = lower.match_indices(&wanted).find(|(at, _)| {
        let before = lower.get(..*at).and_then(|t| t.chars().next_back());
        let after = lower.get(at + wanted.len()..).and_then(|t| t.chars().next());
        !before.is_some_and(|c| is_part(c) || c == '\'') && !after.is_some_and(is_part)
    })?;
    let before = lower.get(..found.0)?;
    let line = before.matches('\n').count() as u64 + 1;
    let column = before.rsplit('\n').next()?.chars().count() as u64 + 1;
    Some(Place { line, column })
}
