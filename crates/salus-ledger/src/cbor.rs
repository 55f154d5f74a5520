//! The one encoding of everything that is signed, hashed or stored.
//!
//! # Source
//! RFC 8949, section 4.2.1 (core deterministic encoding): shortest heads, definite lengths, map
//! keys in the bytewise order of their own encodings. Nothing here has floats or tags.

use ciborium::Value;
use salus_model::{Class, Classified};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes are no value of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// More bytes than the kind of value may have.
    #[error("{len} bytes are more than the {limit} that are allowed here")]
    TooLarge {
        /// How many there are.
        len: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The bytes are no well-formed CBOR, or nest too deeply.
    #[error("the bytes are not well-formed CBOR")]
    Malformed,
    /// The CBOR is well-formed, yet no value of the wanted kind.
    #[error("the CBOR does not describe the wanted value: {reason}")]
    WrongShape {
        /// Which field or variant does not fit.
        reason: String,
    },
    /// The value is right, but it is not written in its one deterministic form.
    #[error("the value is not in deterministic form (RFC 8949, section 4.2.1)")]
    NotCanonical,
    /// A value of this program could not be written.
    #[error("the value could not be encoded")]
    Unencodable,
}

impl Classified for CborError {
    fn class(&self) -> Class {
        match self {
            Self::Unencodable => Class::Bug,
            _ => Class::BadRequest,
        }
    }
}

/// Writes `value` in its one deterministic form.
///
/// # Errors
/// [`CborError::Unencodable`] for a value that CBOR cannot carry; none of this crate's is one.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CborError> {
    let mut tree = Value::serialized(value).map_err(|_| CborError::Unencodable)?;
    put_in_order(&mut tree)?;
    write(&tree)
}

/// Reads a value of at most `limit` bytes, and refuses any but its deterministic form.
///
/// # Errors
/// Names the first of size, form, shape and determinism that is wrong.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, CborError> {
    if bytes.len() > limit {
        return Err(CborError::TooLarge { len: bytes.len(), limit });
    }
    let mut rest = bytes;
    let tree: Value = ciborium::from_reader(&mut rest).map_err(|_| CborError::Malformed)?;
    if !rest.is_empty() {
        return Err(CborError::Malformed);
    }
    let value: T =
        tree.deserialized().map_err(|e| CborError::WrongShape { reason: shape_reason(&e) })?;
    if encode(&value)? == bytes { Ok(value) } else { Err(CborError::NotCanonical) }
}

/// The first line of what serde says, which names fields and variants, cut short so that no
/// message carries a payload.
fn shape_reason(error: &ciborium::value::Error) -> String {
    let ciborium::value::Error::Custom(text) = error;
    text.chars().filter(|c| !c.is_control()).take(160).collect()
}

fn write(tree: &Value) -> Result<Vec<u8>, CborError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(tree, &mut bytes).map_err(|_| CborError::Unencodable)?;
    Ok(bytes)
}

fn put_in_order(tree: &mut Value) -> Result<(), CborError> {
    match tree {
        Value::Array(items) => items.iter_mut().try_for_each(put_in_order),
        Value::Map(entries) => {
            for (key, value) in entries.iter_mut() {
                put_in_order(key)?;
                put_in_order(value)?;
            }
            let mut keyed = Vec::with_capacity(entries.len());
            for entry in entries.drain(..) {
                keyed.push((write(&entry.0)?, entry));
            }
            keyed.sort_by(|a, b| a.0.cmp(&b.0));
            entries.extend(keyed.into_iter().map(|(_, entry)| entry));
            Ok(())
        }
        Value::Float(_) | Value::Tag(..) => Err(CborError::Unencodable),
        _ => Ok(()),
    }
}

/// Reads what this program wrote itself; the authenticated tree vouches for its form.
pub(crate) fn decode_stored<T: DeserializeOwned>(
    bytes: &[u8],
    limit: usize,
) -> Result<T, CborError> {
    if bytes.len() > limit {
        return Err(CborError::TooLarge { len: bytes.len(), limit });
    }
    let tree: Value = ciborium::from_reader(bytes).map_err(|_| CborError::Malformed)?;
    tree.deserialized().map_err(|e| CborError::WrongShape { reason: shape_reason(&e) })
}
