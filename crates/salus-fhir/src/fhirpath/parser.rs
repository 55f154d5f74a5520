use super::SyntaxError;
use super::ast::{
    Expr, Function, Member, Operator, Step, SystemType, TypeFunction, TypeName, Variable,
};
use super::lexer::{Kind, Quoting, Token, tokens};
use super::scalar::{Quantity, Scalar};
use crate::definitions::{TypeKind, definitions};
use crate::temporal::{Temporal, TimeOfDay};

/// Longer expressions are refused.
const MOST_BYTES: usize = 64 * 1024;
/// Deeper ones too, so that evaluation stays within the stack.
const MOST_DEPTH: usize = 64;

pub(super) fn parse(text: &str, constants: &[&str]) -> Result<Expr, SyntaxError> {
    if text.len() > MOST_BYTES {
        let message = format!("an expression has at most {MOST_BYTES} bytes");
        return Err(SyntaxError { position: MOST_BYTES, message });
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens, next: 0, end: text.len(), constants, nesting: 0 };
    let (expr, _) = parser.binary(0)?;
    match parser.peek() {
        None => Ok(expr),
        Some(_) => Err(parser.unexpected("an operator or the end")),
    }
}

struct Parser<'a> {
    tokens: Vec<Token>,
    next: usize,
    end: usize,
    constants: &'a [&'a str],
    nesting: usize,
}

/// An expression and the depth of its tree.
type Parsed = Result<(Expr, usize), SyntaxError>;

/// Where `is` and `as` stand among the operators.
const TYPE_LEVEL: usize = 7;

/// A binary operator with its precedence, loosest 0.
fn operator(kind: &Kind) -> Option<(usize, Operator)> {
    let text = match kind {
        Kind::Symbol(text) => *text,
        Kind::Word(text, Quoting::Plain) => text.as_str(),
        _ => return None,
    };
    Some(match text {
        "implies" => (0, Operator::Implies),
        "or" => (1, Operator::Or),
        "xor" => (1, Operator::Xor),
        "and" => (2, Operator::And),
        "in" => (3, Operator::In),
        "contains" => (3, Operator::Contains),
        "=" => (4, Operator::Equal),
        "!=" => (4, Operator::NotEqual),
        "~" => (4, Operator::Equivalent),
        "!~" => (4, Operator::NotEquivalent),
        "<" => (5, Operator::Less),
        "<=" => (5, Operator::LessOrEqual),
        ">" => (5, Operator::Greater),
        ">=" => (5, Operator::GreaterOrEqual),
        "|" => (6, Operator::Union),
        "+" => (8, Operator::Add),
        "-" => (8, Operator::Subtract),
        "&" => (8, Operator::Concatenate),
        "*" => (9, Operator::Multiply),
        "/" => (9, Operator::Divide),
        "div" => (9, Operator::Div),
        "mod" => (9, Operator::Mod),
        _ => return None,
    })
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.next).map(|t| &t.kind)
    }

    fn position(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |t| t.at)
    }

    fn error(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError { position: self.position(), message: message.into() }
    }

    fn unexpected(&self, wanted: &str) -> SyntaxError {
        match self.peek() {
            None => self.error(format!("the expression ends where {wanted} must follow")),
            Some(Kind::Symbol(s)) => self.error(format!("'{s}' stands where {wanted} must follow")),
            Some(Kind::Word(w, _)) => {
                self.error(format!("'{w}' stands where {wanted} must follow"))
            }
            Some(_) => self.error(format!("a literal stands where {wanted} must follow")),
        }
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Kind::Symbol(s)) if *s == symbol);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), SyntaxError> {
        if self.eat(symbol) { Ok(()) } else { Err(self.unexpected(&format!("'{symbol}'"))) }
    }

    fn deeper(&self, depth: usize) -> Result<usize, SyntaxError> {
        if depth >= MOST_DEPTH {
            return Err(self.error(format!("the expression nests deeper than {MOST_DEPTH}")));
        }
        Ok(depth + 1)
    }

    /// Precedence climbing: reads operators that bind at least as tightly as `loosest`.
    fn binary(&mut self, loosest: usize) -> Parsed {
        let (mut left, mut depth) = self.unary()?;
        loop {
            let as_type: Option<fn(Box<Expr>, TypeName) -> Expr> = match self.peek() {
                Some(Kind::Word(w, Quoting::Plain)) if w == "is" => Some(Expr::Is),
                Some(Kind::Word(w, Quoting::Plain)) if w == "as" => Some(Expr::As),
                _ => None,
            };
            if let Some(as_type) = as_type.filter(|_| loosest <= TYPE_LEVEL) {
                self.next += 1;
                let name = self.type_name()?;
                depth = self.deeper(depth)?;
                left = as_type(Box::new(left), name);
                continue;
            }
            let found = self.peek().and_then(operator).filter(|(level, _)| *level >= loosest);
            let Some((level, found)) = found else { return Ok((left, depth)) };
            self.next += 1;
            let (right, right_depth) = self.nested(|p| p.binary(level + 1))?;
            depth = self.deeper(depth.max(right_depth))?;
            left = Expr::Binary(found, Box::new(left), Box::new(right));
        }
    }

    fn unary(&mut self) -> Parsed {
        let wrap: fn(Box<Expr>) -> Expr = if self.eat("-") {
            Expr::Negate
        } else if self.eat("+") {
            Expr::Plus
        } else {
            return self.path();
        };
        self.nested(|parser| {
            let (inner, depth) = parser.unary()?;
            Ok((wrap(Box::new(inner)), parser.deeper(depth)?))
        })
    }

    /// Guards the parser's own recursion.
    fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<T, SyntaxError> {
        self.nesting = self.deeper(self.nesting)?;
        let result = read(self);
        self.nesting -= 1;
        result
    }

    fn path(&mut self) -> Parsed {
        let mut steps = Vec::new();
        let (head, mut depth) = self.head(&mut steps)?;
        loop {
            if self.eat(".") {
                let (step, step_depth) = self.step(false)?;
                depth = depth.max(step_depth);
                steps.push(step);
            } else if self.eat("[") {
                let (index, index_depth) = self.nested(|p| p.binary(0))?;
                self.expect("]")?;
                depth = depth.max(index_depth);
                steps.push(Step::At(index));
            } else if steps.is_empty() {
                return Ok((head, depth));
            } else {
                return Ok((Expr::Path(Box::new(head), steps), self.deeper(depth)?));
            }
        }
    }

    fn head(&mut self, steps: &mut Vec<Step>) -> Parsed {
        let Some(kind) = self.peek().cloned() else { return Err(self.unexpected("a term")) };
        let simple = match kind {
            Kind::Text(text) => Expr::Literal(Scalar::String(text.into())),
            Kind::Number(text) => return self.number(&text),
            Kind::Moment(text) => self.moment(&text)?,
            Kind::Variable(name) => self.variable(&name)?,
            Kind::Special(name) => match name.as_str() {
                "this" => Expr::This,
                "index" => Expr::Index,
                "total" => Expr::Total,
                _ => return Err(self.error(format!("'${name}' is none of $this, $index, $total"))),
            },
            Kind::Symbol("(") => {
                self.next += 1;
                let inner = self.nested(|p| p.binary(0))?;
                self.expect(")")?;
                return Ok(inner);
            }
            Kind::Symbol("{") => {
                self.next += 1;
                self.expect("}")?;
                return Ok((Expr::Empty, 1));
            }
            Kind::Word(word, Quoting::Plain) if word == "true" || word == "false" => {
                Expr::Literal(Scalar::Boolean(word == "true"))
            }
            Kind::Word(..) => {
                let (step, depth) = self.step(true)?;
                steps.push(step);
                return Ok((Expr::This, depth));
            }
            Kind::Symbol(_) => return Err(self.unexpected("a term")),
        };
        self.next += 1;
        Ok((simple, 1))
    }

    fn number(&mut self, text: &str) -> Parsed {
        let decimal = text.parse().map_err(|_| self.error("a number has at most 28 digits"))?;
        self.next += 1;
        let unit = match self.peek() {
            Some(Kind::Text(unit)) => Some(unit.clone()),
            Some(Kind::Word(word, Quoting::Plain)) => Quantity::calendar_unit(word),
            _ => None,
        };
        if let Some(unit) = unit {
            self.next += 1;
            let quantity = Quantity { value: decimal, unit: unit.into() };
            return Ok((Expr::Literal(Scalar::Quantity(Box::new(quantity))), 1));
        }
        let literal = if text.contains('.') {
            Scalar::Decimal(decimal)
        } else {
            let integer = text.parse().map_err(|_| self.error("this integer is too large"))?;
            Scalar::Integer(integer)
        };
        Ok((Expr::Literal(literal), 1))
    }

    fn moment(&self, text: &str) -> Result<Expr, SyntaxError> {
        let read = match text.strip_prefix('T') {
            Some(time) => TimeOfDay::parse(time).map(Scalar::Time),
            None if text.contains('T') => Temporal::parse(text).map(Scalar::DateTime),
            None => Temporal::parse(text).map(Scalar::Date),
        };
        let refused = || self.error(format!("'@{text}' is no date, dateTime or time"));
        read.map(Expr::Literal).ok_or_else(refused)
    }

    fn variable(&self, name: &str) -> Result<Expr, SyntaxError> {
        let literal = |text: &'static str| Expr::Literal(Scalar::String(text.into()));
        Ok(match name {
            "resource" => Expr::Variable(Variable::Resource),
            "rootResource" => Expr::Variable(Variable::RootResource),
            "context" => Expr::Variable(Variable::Context),
            "rowIndex" => Expr::Variable(Variable::RowIndex),
            "ucum" => literal("http://unitsofmeasure.org"),
            "sct" => literal("http://snomed.info/sct"),
            "loinc" => literal("http://loinc.org"),
            _ => match self.constants.iter().position(|c| *c == name) {
                Some(at) => Expr::Variable(Variable::Constant(at)),
                None => {
                    return Err(self.error(format!("'%{name}' is not defined as a constant")));
                }
            },
        })
    }

    /// One member, type or function; `first` says that it stands at the head of a path.
    fn step(&mut self, first: bool) -> Result<(Step, usize), SyntaxError> {
        let Some(Kind::Word(word, quoting)) = self.peek().cloned() else {
            if let Some(Kind::Special(name)) = self.peek() {
                return Err(self.error(format!("'${name}' cannot follow '.'")));
            }
            return Err(self.unexpected("the name of an element or function"));
        };
        self.next += 1;
        if quoting == Quoting::Plain && self.eat("(") {
            self.next -= 2;
            return self.nested(|p| p.call(&word));
        }
        let member = Member { sibling: format!("_{word}"), name: word };
        let type_id = definitions().type_named(&member.name).filter(|&id| {
            let kind = definitions().definition(id).kind;
            first && matches!(kind, TypeKind::Resource | TypeKind::Abstract | TypeKind::Complex)
        });
        Ok(match type_id {
            Some(id) => (Step::TypeHead(id, member), 1),
            None => (Step::Member(member), 1),
        })
    }

    fn call(&mut self, name: &str) -> Result<(Step, usize), SyntaxError> {
        let at = self.position();
        self.next += 2;
        let type_function = match name {
            "is" => Some(TypeFunction::Is),
            "as" => Some(TypeFunction::As),
            "ofType" => Some(TypeFunction::OfType),
            _ => None,
        };
        if let Some(function) = type_function {
            let type_name = self.type_name()?;
            self.expect(")")?;
            return Ok((Step::TypeCall(function, type_name), 1));
        }
        if name == "getReferenceKey" {
            return self.reference_key();
        }
        let (function, min, max) = Function::named(name).ok_or_else(|| SyntaxError {
            position: at,
            message: format!("there is no function '{name}'"),
        })?;
        let mut arguments = Vec::new();
        let mut depth = 1;
        if !self.eat(")") {
            loop {
                let (argument, argument_depth) = self.binary(0)?;
                depth = depth.max(argument_depth);
                arguments.push(argument);
                if !self.eat(",") {
                    break;
                }
            }
            self.expect(")")?;
        }
        if !(min..=max).contains(&arguments.len()) {
            let wanted = if min == max { min.to_string() } else { format!("{min} to {max}") };
            let message = format!("{name}() takes {wanted} arguments, not {}", arguments.len());
            return Err(SyntaxError { position: at, message });
        }
        Ok((Step::Call(function, arguments), self.deeper(depth)?))
    }

    fn reference_key(&mut self) -> Result<(Step, usize), SyntaxError> {
        if self.eat(")") {
            return Ok((Step::ReferenceKey(None), 1));
        }
        let at = self.position();
        let TypeName::Fhir(id) = self.type_name()? else {
            let message = "getReferenceKey() takes the name of a resource type".to_owned();
            return Err(SyntaxError { position: at, message });
        };
        self.expect(")")?;
        Ok((Step::ReferenceKey(Some(id)), 1))
    }

    fn type_name(&mut self) -> Result<TypeName, SyntaxError> {
        let at = self.position();
        let mut parts = vec![self.type_word()?];
        // `FHIR.Patient`, but also a backbone's path such as `Patient.contact`.
        while matches!(self.peek(), Some(Kind::Symbol(".")))
            && parts.first().is_some_and(|p| p == "FHIR" || p == "System")
            && parts.len() < 2
        {
            self.next += 1;
            parts.push(self.type_word()?);
        }
        let named = match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["System", name] => SystemType::named(name).map(TypeName::System),
            ["FHIR", name] => definitions().type_named(name).map(TypeName::Fhir),
            [name] => definitions()
                .type_named(name)
                .map(TypeName::Fhir)
                .or_else(|| SystemType::named(name).map(TypeName::System)),
            _ => None,
        };
        named.ok_or_else(|| SyntaxError {
            position: at,
            message: format!("there is no type '{}' in FHIR R4", parts.join(".")),
        })
    }

    fn type_word(&mut self) -> Result<String, SyntaxError> {
        match self.peek() {
            Some(Kind::Word(word, _)) => {
                let word = word.clone();
                self.next += 1;
                Ok(word)
            }
            _ => Err(self.unexpected("the name of a type")),
        }
    }
}
