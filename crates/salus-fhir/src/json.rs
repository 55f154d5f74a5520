use std::cell::Cell;
use std::fmt;

use salus_model::{Class, Classified};
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};

/// What a JSON document may cost at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonLimits {
    /// Bytes of text.
    pub bytes: usize,
    /// Objects and arrays within each other.
    pub depth: usize,
    /// Values of every kind together.
    pub values: usize,
}

impl JsonLimits {
    /// For one resource: 16 MiB, 64 deep, a million values.
    pub const RESOURCE: Self = Self { bytes: 16 << 20, depth: 64, values: 1_000_000 };
    /// For a Bundle: 256 MiB, 68 deep, twenty million values.
    pub const BUNDLE: Self = Self { bytes: 256 << 20, depth: 68, values: 20_000_000 };
}

/// Bytes that are no acceptable JSON document.
///
/// # Privacy
/// The message has line, column and, for a repeated property, its name; no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// More bytes than permitted.
    #[error("the document has {found} bytes; at most {most} are accepted")]
    TooLong {
        /// How many there are.
        found: usize,
        /// How many are permitted.
        most: usize,
    },
    /// The text is not JSON, or breaks a limit.
    #[error("{message}, at line {line}, column {column}")]
    Text {
        /// What is wrong, as a sentence.
        message: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
}

impl Classified for JsonError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// Reads a JSON document within limits, numbers exact, repeated properties refused.
///
/// # Errors
/// Says where the text is wrong or which limit it breaks.
pub fn parse_json(bytes: &[u8], limits: JsonLimits) -> Result<Json, JsonError> {
    if bytes.len() > limits.bytes {
        return Err(JsonError::TooLong { found: bytes.len(), most: limits.bytes });
    }
    let budget = Cell::new(limits.values);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let seed = Reader { depth: limits.depth, most_depth: limits.depth, budget: &budget };
    let read = seed.deserialize(&mut deserializer);
    read.and_then(|json| deserializer.end().map(|()| json)).map_err(|e| describe(&e))
}

fn describe(error: &serde_json::Error) -> JsonError {
    let message = match error.classify() {
        // These are our own sentences, which `serde_json` completes with the position.
        serde_json::error::Category::Data => {
            let text = error.to_string();
            text.split(" at line ").next().unwrap_or_default().to_owned()
        }
        serde_json::error::Category::Eof => "the JSON text ends too early".to_owned(),
        _ => "the text is not valid JSON".to_owned(),
    };
    JsonError::Text { message, line: error.line(), column: error.column() }
}

/// The property that stands for a number when `serde_json` keeps numbers as text.
const NUMBER: &str = "$serde_json::private::Number";

#[derive(Clone, Copy)]
struct Reader<'b> {
    depth: usize,
    most_depth: usize,
    budget: &'b Cell<usize>,
}

impl Reader<'_> {
    fn spend<E: serde::de::Error>(self) -> Result<(), E> {
        match self.budget.get().checked_sub(1) {
            Some(left) => {
                self.budget.set(left);
                Ok(())
            }
            None => Err(E::custom("the document has more values than are accepted")),
        }
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => {
                let most = self.most_depth;
                Err(E::custom(format_args!("the document nests deeper than {most}")))
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Json;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Json, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Json, E> {
        self.spend()?;
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Json, E> {
        self.spend()?;
        Ok(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Json, E> {
        self.spend()?;
        Ok(value.into())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Json, E> {
        self.spend()?;
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Json, E> {
        self.spend()?;
        Ok(Json::String(value))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Json, E> {
        self.spend()?;
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        self.spend()?;
        let inner = self.deeper()?;
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            out.push(item);
        }
        Ok(Json::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        self.spend()?;
        let mut out = Map::new();
        let mut key: Option<String> = entries.next_key()?;
        if key.as_deref() == Some(NUMBER) {
            let text: String = entries.next_value()?;
            let number: Result<Number, _> = text.parse();
            return number.map(Json::Number).map_err(|_| A::Error::custom("this is no number"));
        }
        let inner = self.deeper()?;
        while let Some(name) = key {
            if out.contains_key(&name) {
                let shown: String = name.chars().take(64).filter(|c| !c.is_control()).collect();
                return Err(A::Error::custom(format_args!("the property '{shown}' is repeated")));
            }
            let value = entries.next_value_seed(inner)?;
            out.insert(name, value);
            key = entries.next_key()?;
        }
        Ok(Json::Object(out))
    }
}
