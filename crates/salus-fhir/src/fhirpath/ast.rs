use super::scalar::Scalar;
use crate::definitions::TypeId;

/// A parsed expression.
#[derive(Debug)]
pub(crate) enum Expr {
    Empty,
    Literal(Scalar<'static>),
    This,
    Index,
    Total,
    Variable(Variable),
    /// A head and what is applied to it in turn, so that a long path is not a deep tree.
    Path(Box<Expr>, Vec<Step>),
    Negate(Box<Expr>),
    Plus(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    Is(Box<Expr>, TypeName),
    As(Box<Expr>, TypeName),
}

#[derive(Debug)]
pub(crate) enum Step {
    Member(Member),
    /// A type's name at the head of a path: keeps what is of that type.
    TypeHead(TypeId, Member),
    Call(Function, Vec<Expr>),
    TypeCall(TypeFunction, TypeName),
    ReferenceKey(Option<TypeId>),
    At(Expr),
}

/// An element's name, with the name of the JSON property that holds its extensions.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) sibling: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variable {
    Resource,
    RootResource,
    Context,
    RowIndex,
    Constant(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Multiply,
    Divide,
    Div,
    Mod,
    Add,
    Subtract,
    Concatenate,
    Union,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    Equivalent,
    NotEquivalent,
    In,
    Contains,
    And,
    Or,
    Xor,
    Implies,
}

/// What `is`, `as` and `ofType` name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TypeName {
    Fhir(TypeId),
    System(SystemType),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SystemType {
    Boolean,
    Integer,
    Decimal,
    String,
    Date,
    DateTime,
    Time,
    Quantity,
    Any,
}

impl SystemType {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "Boolean" => Self::Boolean,
            "Integer" => Self::Integer,
            "Decimal" => Self::Decimal,
            "String" => Self::String,
            "Date" => Self::Date,
            "DateTime" => Self::DateTime,
            "Time" => Self::Time,
            "Quantity" => Self::Quantity,
            "Any" => Self::Any,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TypeFunction {
    Is,
    As,
    OfType,
}

macro_rules! functions {
    ($($variant:ident $name:literal $min:literal $max:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Function { $($variant),* }

        impl Function {
            /// The function with its fewest and most arguments.
            pub(crate) fn named(name: &str) -> Option<(Self, usize, usize)> {
                match name { $($name => Some((Self::$variant, $min, $max)),)* _ => None }
            }

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

functions! {
    Empty "empty" 0 0; Exists "exists" 0 1; All "all" 1 1; AllTrue "allTrue" 0 0;
    AnyTrue "anyTrue" 0 0; AllFalse "allFalse" 0 0; AnyFalse "anyFalse" 0 0;
    SubsetOf "subsetOf" 1 1; SupersetOf "supersetOf" 1 1; Count "count" 0 0;
    Distinct "distinct" 0 0; IsDistinct "isDistinct" 0 0; Where "where" 1 1;
    Select "select" 1 1; Repeat "repeat" 1 1; Single "single" 0 0; First "first" 0 0;
    Last "last" 0 0; Tail "tail" 0 0; Skip "skip" 1 1; Take "take" 1 1;
    Intersect "intersect" 1 1; Exclude "exclude" 1 1; Union "union" 1 1; Combine "combine" 1 1;
    Iif "iif" 2 3; Not "not" 0 0; Aggregate "aggregate" 1 2;
    ToBoolean "toBoolean" 0 0; ConvertsToBoolean "convertsToBoolean" 0 0;
    ToInteger "toInteger" 0 0; ConvertsToInteger "convertsToInteger" 0 0;
    ToDecimal "toDecimal" 0 0; ConvertsToDecimal "convertsToDecimal" 0 0;
    ToString "toString" 0 0; ConvertsToString "convertsToString" 0 0;
    ToDate "toDate" 0 0; ConvertsToDate "convertsToDate" 0 0;
    ToDateTime "toDateTime" 0 0; ConvertsToDateTime "convertsToDateTime" 0 0;
    ToTime "toTime" 0 0; ConvertsToTime "convertsToTime" 0 0;
    ToQuantity "toQuantity" 0 1; ConvertsToQuantity "convertsToQuantity" 0 1;
    IndexOf "indexOf" 1 1; Substring "substring" 1 2; StartsWith "startsWith" 1 1;
    EndsWith "endsWith" 1 1; Contains "contains" 1 1; Upper "upper" 0 0; Lower "lower" 0 0;
    Replace "replace" 2 2; Matches "matches" 1 1; ReplaceMatches "replaceMatches" 2 2;
    Length "length" 0 0; ToChars "toChars" 0 0; Split "split" 1 1; Join "join" 0 1;
    Trim "trim" 0 0; Abs "abs" 0 0; Ceiling "ceiling" 0 0; Exp "exp" 0 0; Floor "floor" 0 0;
    Ln "ln" 0 0; Log "log" 1 1; Power "power" 1 1; Round "round" 0 1; Sqrt "sqrt" 0 0;
    Truncate "truncate" 0 0; Children "children" 0 0; Descendants "descendants" 0 0;
    Trace "trace" 1 2; Now "now" 0 0; Today "today" 0 0; TimeOfDay "timeOfDay" 0 0;
    Extension "extension" 1 1; HasValue "hasValue" 0 0; GetValue "getValue" 0 0;
    Resolve "resolve" 0 0; GetResourceKey "getResourceKey" 0 0;
    LowBoundary "lowBoundary" 0 1; HighBoundary "highBoundary" 0 1;
}
