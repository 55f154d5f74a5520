use super::SyntaxError;

/// One token with the byte position where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A plain or delimited identifier; the flag says that it was delimited and is no keyword.
    Word(String, Quoting),
    Text(String),
    Number(String),
    /// `@2020-01-01T10:00` and `@T10:00`, without the `@`.
    Moment(String),
    /// `%name`.
    Variable(String),
    /// `$this` and its like.
    Special(String),
    Symbol(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoting {
    Plain,
    Delimited,
}

/// Longer ones first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 24] = [
    "<=", ">=", "!=", "!~", "(", ")", "[", "]", "{", "}", ".", ",", "+", "-", "*", "/", "&", "|",
    "=", "~", "<", ">", ":", ";",
];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut out = Vec::new();
    while let Some(token) = lexer.next()? {
        out.push(token);
    }
    Ok(out)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or("")
    }

    fn error(&self, at: usize, message: impl Into<String>) -> SyntaxError {
        SyntaxError { position: at, message: message.into() }
    }

    fn skip_blank(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.take_while(char::is_whitespace);
            if self.rest().starts_with("//") {
                self.take_while(|c| c != '\n');
            } else if let Some(comment) = self.rest().strip_prefix("/*") {
                let end = comment
                    .find("*/")
                    .ok_or_else(|| self.error(self.at, "this comment is not closed with */"))?;
                self.at += end + 4;
            } else {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Result<Option<Token>, SyntaxError> {
        self.skip_blank()?;
        let at = self.at;
        let Some(first) = self.rest().chars().next() else { return Ok(None) };
        let kind = match first {
            'a'..='z' | 'A'..='Z' | '_' => Kind::Word(self.word().to_owned(), Quoting::Plain),
            '`' => Kind::Word(self.quoted('`')?, Quoting::Delimited),
            '\'' => Kind::Text(self.quoted('\'')?),
            '0'..='9' => Kind::Number(self.number().to_owned()),
            '@' => {
                self.at += 1;
                Kind::Moment(self.moment(at)?)
            }
            '%' => {
                self.at += 1;
                Kind::Variable(self.name(at)?)
            }
            '$' => {
                self.at += 1;
                Kind::Special(self.word().to_owned())
            }
            other => {
                let symbol = SYMBOLS.into_iter().find(|s| self.rest().starts_with(s));
                let symbol = symbol.ok_or_else(|| {
                    self.error(at, format!("{other:?} has no meaning in FHIRPath"))
                })?;
                self.at += symbol.len();
                Kind::Symbol(symbol)
            }
        };
        Ok(Some(Token { kind, at }))
    }

    fn word(&mut self) -> &'a str {
        self.take_while(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    fn name(&mut self, at: usize) -> Result<String, SyntaxError> {
        let name = match self.rest().chars().next() {
            Some(quote @ ('`' | '\'')) => self.quoted(quote)?,
            _ => self.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-').to_owned(),
        };
        if name.is_empty() {
            return Err(self.error(at, "a name must follow '%'"));
        }
        Ok(name)
    }

    fn number(&mut self) -> &'a str {
        let start = self.at;
        self.take_while(|c| c.is_ascii_digit());
        let mut after = self.rest().chars();
        if after.next() == Some('.') && after.next().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
            self.take_while(|c| c.is_ascii_digit());
        }
        self.text.get(start..self.at).unwrap_or("")
    }

    fn moment(&mut self, at: usize) -> Result<String, SyntaxError> {
        let start = self.at;
        self.take_while(|c| c.is_ascii_digit() || c == '-');
        if self.rest().starts_with('T') {
            self.at += 1;
            self.take_while(|c| c.is_ascii_digit() || c == ':');
            let mut after = self.rest().chars();
            if after.next() == Some('.') && after.next().is_some_and(|c| c.is_ascii_digit()) {
                self.at += 1;
                self.take_while(|c| c.is_ascii_digit());
            }
            match self.rest().chars().next() {
                Some('Z') => self.at += 1,
                Some('+' | '-') => {
                    self.at += 1;
                    self.take_while(|c| c.is_ascii_digit() || c == ':');
                }
                _ => {}
            }
        }
        let moment = self.text.get(start..self.at).unwrap_or("");
        if moment.is_empty() {
            return Err(self.error(at, "a date or time must follow '@'"));
        }
        Ok(moment.to_owned())
    }

    fn quoted(&mut self, quote: char) -> Result<String, SyntaxError> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((offset, c)) = chars.next() {
            if c == quote {
                self.at += offset + 1;
                return Ok(out);
            }
            if c != '\\' {
                out.push(c);
                continue;
            }
            let escaped = chars.next().map(|(_, c)| c);
            out.push(match escaped {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('f') => '\u{c}',
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                    u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).ok_or_else(
                        || self.error(start, "\\u must be followed by four hexadecimal digits"),
                    )?
                }
                Some(plain @ ('\\' | '/' | '\'' | '"' | '`')) => plain,
                _ => return Err(self.error(start, "this text has an unknown escape after '\\'")),
            });
        }
        Err(self.error(start, format!("this text is not closed with {quote}")))
    }
}
