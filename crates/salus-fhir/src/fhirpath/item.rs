use std::borrow::Cow;

use rust_decimal::Decimal;
use serde_json::Value as Json;
use smallvec::SmallVec;

use super::ast::{Member, SystemType, TypeName};
use super::scalar::{Quantity, Scalar};
use crate::definitions::{Primitive, TypeId, definitions};
use crate::temporal::{Temporal, TimeOfDay};

/// An ordered collection, which is what every expression yields.
pub type Collection<'a> = SmallVec<[Item<'a>; 2]>;

/// One member of a collection.
#[derive(Debug, Clone)]
pub enum Item<'a> {
    /// An element of a resource.
    Node(Node<'a>),
    /// A value that was computed or written in the expression.
    Scalar(Scalar<'a>),
    /// What a reference points at, of which only the type is known here.
    Resolved(TypeId),
}

/// An element of a resource, lent from its JSON.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    value: Option<&'a Json>,
    /// The `_name` sibling of a primitive, which holds its id and extensions.
    sibling: Option<&'a Json>,
    type_id: Option<TypeId>,
}

fn array(json: &Json) -> &[Json] {
    match json {
        Json::Array(items) => items,
        single => std::slice::from_ref(single),
    }
}

fn resource_type(json: &Json) -> Option<TypeId> {
    definitions().type_named(json.get("resourceType")?.as_str()?)
}

impl<'a> Node<'a> {
    /// A whole resource, typed by its `resourceType`.
    #[must_use]
    pub fn resource(json: &'a Json) -> Self {
        Self { value: Some(json), sibling: None, type_id: resource_type(json) }
    }

    /// The element's JSON; none for a primitive that has extensions but no value.
    #[must_use]
    pub fn json(&self) -> Option<&'a Json> {
        self.value
    }

    /// The element's type, when the definitions tell it.
    #[must_use]
    pub fn type_id(&self) -> Option<TypeId> {
        self.type_id
    }

    /// The children called `member.name`, choice types included.
    pub(crate) fn member(&self, member: &Member, out: &mut Collection<'a>) {
        let object = match self.value {
            Some(Json::Object(object)) => object,
            _ => match self.sibling {
                Some(Json::Object(object)) => object,
                _ => return,
            },
        };
        let element =
            self.type_id.and_then(|id| definitions().definition(id).element(&member.name));
        match element {
            Some(element) if element.choice => self.choice(object, member, out),
            Some(element) => {
                let type_id = element.types.first().map(|t| t.id);
                let value = object.get(&member.name);
                let primitive = type_id.is_some_and(|id| definitions().primitive(id).is_some());
                let sibling = if primitive { object.get(&member.sibling) } else { None };
                Self::push(value, sibling, type_id, out);
            }
            None => Self::untyped(object, member, out),
        }
    }

    /// The one type in which a choice is given. Properties are few, so that looking through them
    /// costs less than asking for each permitted type.
    fn choice(
        &self,
        object: &'a serde_json::Map<String, Json>,
        member: &Member,
        out: &mut Collection<'a>,
    ) {
        let Some(definition) = self.type_id.map(|id| definitions().definition(id)) else { return };
        for (key, value) in object {
            let plain = key.strip_prefix('_').unwrap_or(key);
            if !plain.starts_with(member.name.as_str()) {
                continue;
            }
            let Some((element, kind)) = definition.property(plain) else { continue };
            if element.name != member.name {
                continue;
            }
            let (value, sibling) = match plain.len() == key.len() {
                true if definitions().primitive(kind.id).is_none() => (Some(value), None),
                true => (Some(value), object.get(&format!("_{key}"))),
                false => (object.get(plain), Some(value)),
            };
            return Self::push(value, sibling, Some(kind.id), out);
        }
    }

    /// Navigation without a definition: the property itself, or a choice spelled with its type.
    fn untyped(
        object: &'a serde_json::Map<String, Json>,
        member: &Member,
        out: &mut Collection<'a>,
    ) {
        if member.name == "resourceType" {
            return;
        }
        if let Some(value) = object.get(&member.name) {
            return Self::push(Some(value), object.get(&member.sibling), None, out);
        }
        for (key, value) in object {
            let Some(rest) = key.strip_prefix(member.name.as_str()) else { continue };
            if !rest.starts_with(|c: char| c.is_ascii_uppercase()) {
                continue;
            }
            let lower = format!("{}{}", rest[..1].to_ascii_lowercase(), &rest[1..]);
            let types = definitions();
            let type_id = types.type_named(&lower).or_else(|| types.type_named(rest));
            if type_id.is_some() {
                return Self::push(Some(value), None, type_id, out);
            }
        }
    }

    fn push(
        value: Option<&'a Json>,
        sibling: Option<&'a Json>,
        type_id: Option<TypeId>,
        out: &mut Collection<'a>,
    ) {
        let values = value.map_or(&[][..], array);
        let siblings = sibling.map_or(&[][..], array);
        for at in 0..values.len().max(siblings.len()) {
            let present = |json: &&Json| !json.is_null();
            let value = values.get(at).filter(present);
            let sibling = siblings.get(at).filter(present);
            if value.is_none() && sibling.is_none() {
                continue;
            }
            let own = value.filter(|v| v.is_object()).and_then(resource_type);
            out.push(Item::Node(Self { value, sibling, type_id: own.or(type_id) }));
        }
    }

    /// Every child, in the order of the JSON.
    pub(crate) fn children(&self, out: &mut Collection<'a>) {
        let objects = [self.value, self.sibling];
        for object in objects.into_iter().flatten().filter_map(Json::as_object) {
            let definition = self.type_id.map(|id| definitions().definition(id));
            for (key, value) in object {
                if key == "resourceType" || key.starts_with('_') {
                    continue;
                }
                let type_id = definition.and_then(|d| d.property(key)).map(|(_, t)| t.id);
                Self::push(Some(value), object.get(&format!("_{key}")), type_id, out);
            }
            for (key, sibling) in object.iter().filter(|(key, _)| key.starts_with('_')) {
                let plain = key.trim_start_matches('_');
                if !object.contains_key(plain) {
                    let type_id = definition.and_then(|d| d.property(plain)).map(|(_, t)| t.id);
                    Self::push(None, Some(sibling), type_id, out);
                }
            }
        }
    }

    /// The element as a system value, when it is a primitive or a quantity.
    #[must_use]
    pub fn scalar(&self) -> Option<Scalar<'a>> {
        let json = self.value?;
        match json {
            Json::Bool(b) => Some(Scalar::Boolean(*b)),
            Json::Number(number) => self.number(number.as_str()),
            Json::String(text) => Some(self.text(text)),
            Json::Object(object) => {
                let quantity = definitions().type_named("Quantity")?;
                let value = object.get("value")?;
                self.type_id.filter(|&id| definitions().is_a(id, quantity))?;
                let Json::Number(number) = value else { return None };
                let unit = object.get("code").or_else(|| object.get("unit"));
                let unit = unit.and_then(Json::as_str).unwrap_or("1");
                let value = decimal(number.as_str())?;
                Some(Scalar::Quantity(Box::new(Quantity { value, unit: Cow::Borrowed(unit) })))
            }
            Json::Null | Json::Array(_) => None,
        }
    }

    fn number(&self, text: &str) -> Option<Scalar<'a>> {
        let is_decimal = self
            .type_id
            .and_then(|id| definitions().primitive(id))
            .map(|p| p == Primitive::Decimal)
            .unwrap_or_else(|| text.contains(['.', 'e', 'E']));
        match text.parse() {
            Ok(integer) if !is_decimal => Some(Scalar::Integer(integer)),
            _ => decimal(text).map(Scalar::Decimal),
        }
    }

    fn text(&self, text: &'a str) -> Scalar<'a> {
        let typed = match self.type_id.and_then(|id| definitions().primitive(id)) {
            Some(Primitive::Date) => Temporal::parse(text).map(Scalar::Date),
            Some(Primitive::DateTime | Primitive::Instant) => {
                Temporal::parse(text).map(Scalar::DateTime)
            }
            Some(Primitive::Time) => TimeOfDay::parse(text).map(Scalar::Time),
            _ => None,
        };
        typed.unwrap_or(Scalar::String(Cow::Borrowed(text)))
    }
}

/// A JSON number as an exact decimal; none beyond 28 digits.
pub(crate) fn decimal(text: &str) -> Option<Decimal> {
    if text.contains(['e', 'E']) {
        Decimal::from_scientific(text).ok()
    } else {
        Decimal::from_str_exact(text).ok()
    }
}

impl<'a> Item<'a> {
    /// The item as a system value, when it is one.
    #[must_use]
    pub fn scalar(&self) -> Option<Scalar<'a>> {
        match self {
            Self::Node(node) => node.scalar(),
            Self::Scalar(scalar) => Some(scalar.clone()),
            Self::Resolved(_) => None,
        }
    }

    /// The item as an element, when it is one.
    #[must_use]
    pub fn node(&self) -> Option<Node<'a>> {
        match self {
            Self::Node(node) => Some(*node),
            _ => None,
        }
    }

    /// Whether the item is of the type or of one that extends it.
    pub(crate) fn is_of(&self, name: TypeName) -> bool {
        match (self, name) {
            (_, TypeName::System(SystemType::Any)) => true,
            (
                Self::Node(Node { type_id: Some(id), .. }) | Self::Resolved(id),
                TypeName::Fhir(want),
            ) => definitions().is_a(*id, want),
            (Self::Node(Node { type_id: None, .. }), TypeName::Fhir(want)) => {
                self.looks_like(definitions().definition(want).name)
            }
            (Self::Scalar(scalar), TypeName::System(want)) => matches!(
                (scalar, want),
                (Scalar::Boolean(_), SystemType::Boolean)
                    | (Scalar::Integer(_), SystemType::Integer)
                    | (Scalar::Decimal(_), SystemType::Decimal)
                    | (Scalar::String(_), SystemType::String)
                    | (Scalar::Date(_), SystemType::Date)
                    | (Scalar::DateTime(_), SystemType::DateTime)
                    | (Scalar::Time(_), SystemType::Time)
                    | (Scalar::Quantity(_), SystemType::Quantity)
            ),
            _ => false,
        }
    }

    /// An element outside the definitions is only known by its JSON.
    fn looks_like(&self, name: &str) -> bool {
        match self.scalar() {
            Some(Scalar::Boolean(_)) => name == "boolean",
            Some(Scalar::Integer(_)) => name == "integer" || name == "decimal",
            Some(Scalar::Decimal(_)) => name == "decimal",
            Some(Scalar::String(_)) => name == "string",
            _ => false,
        }
    }

    /// `=`: none when it cannot be told.
    pub(crate) fn equal(&self, other: &Self) -> Option<bool> {
        match (self.scalar(), other.scalar()) {
            (Some(a), Some(b)) => a.equal(&b),
            (None, None) => match (self.node()?.value, other.node()?.value) {
                (Some(a), Some(b)) => Some(json_equal(a, b)),
                (None, None) => Some(true),
                _ => Some(false),
            },
            _ => Some(false),
        }
    }

    pub(crate) fn equivalent(&self, other: &Self) -> bool {
        match (self.scalar(), other.scalar()) {
            (Some(a), Some(b)) => a.equivalent(&b),
            _ => self.equal(other) == Some(true),
        }
    }
}

/// Equality of elements: property order does not count, numbers compare by value.
fn json_equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => {
            a.as_str() == b.as_str()
                || matches!((decimal(a.as_str()), decimal(b.as_str())), (Some(a), Some(b)) if a == b)
        }
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| json_equal(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|o| json_equal(value, o)))
        }
        _ => a == b,
    }
}
