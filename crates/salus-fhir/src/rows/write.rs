//! A resource while it is written, element by element.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use serde_json::{Map, Number, Value as Json};

use super::RowsError;
use super::mapping::{Path, Segment};
use crate::definitions::{Primitive, TypeId, definitions};

/// An element that is being written: items of a list are told apart by labels, and those without
/// one come first.
#[derive(Debug)]
enum Node {
    Leaf(Json),
    Object(BTreeMap<String, (Repeats, BTreeMap<String, Node>)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeats {
    List,
    Once,
}

/// A resource under way.
#[derive(Debug)]
pub(super) struct Draft {
    resource: &'static str,
    root: Node,
}

/// Why a value has no place.
pub(super) enum Unwritable {
    Value { element: String, wanted: &'static str },
    Twice { element: String },
    Mapping { resource: &'static str, element: String },
}

impl Unwritable {
    pub(super) fn at(self, row: u64, column: &str) -> RowsError {
        let column = column.to_owned();
        match self {
            Self::Value { element, wanted } => RowsError::Value { row, column, element, wanted },
            Self::Twice { element } => RowsError::Twice { row, column, element },
            Self::Mapping { resource, element } => {
                RowsError::Mapping { resource: resource.to_owned(), place: element }
            }
        }
    }
}

impl Draft {
    pub(super) fn new(resource: &'static str) -> Self {
        Self { resource, root: Node::Object(BTreeMap::new()) }
    }

    /// Whether anything stands in the path's first element.
    pub(super) fn has_root_of(&self, path: &Path) -> bool {
        match (&self.root, path.0.first()) {
            (Node::Object(keys), Some(first)) => keys.contains_key(&first.key),
            _ => false,
        }
    }

    /// Writes a value as the JSON of its element's type.
    pub(super) fn put(&mut self, path: &Path, text: &str) -> Result<(), Unwritable> {
        let element = || format!("{}.{path}", self.resource);
        let unfit = || Unwritable::Mapping { resource: self.resource, element: element() };
        let mut of = super::resource_type(self.resource).ok_or_else(unfit)?;
        let mut node = &mut self.root;
        for Segment { key, label } in &path.0 {
            let (defined, kind) = definitions().definition(of).property(key).ok_or_else(unfit)?;
            let repeats = if defined.repeats() { Repeats::List } else { Repeats::Once };
            of = kind.id;
            let Node::Object(keys) = node else { return Err(unfit()) };
            let (_, items) = keys.entry(key.clone()).or_insert((repeats, BTreeMap::new()));
            node = items.entry(label.clone()).or_insert_with(|| Node::Object(BTreeMap::new()));
        }
        let json = primitive(of, text)
            .map_err(|wanted| Unwritable::Value { element: element(), wanted })?;
        match node {
            Node::Leaf(before) if *before == json => Ok(()),
            Node::Object(keys) if keys.is_empty() => {
                *node = Node::Leaf(json);
                Ok(())
            }
            _ => Err(Unwritable::Twice { element: element() }),
        }
    }

    /// The resource, under `id` where none was written.
    pub(super) fn finish(self, id: &str) -> Json {
        let mut object = Map::new();
        object.insert("resourceType".to_owned(), Json::from(self.resource));
        object.insert("id".to_owned(), Json::from(id));
        if let Json::Object(written) = json_of(self.root) {
            object.extend(written);
        }
        Json::Object(object)
    }
}

fn json_of(node: Node) -> Json {
    match node {
        Node::Leaf(json) => json,
        Node::Object(keys) => {
            let property = |(key, (repeats, items)): (String, (Repeats, BTreeMap<_, Node>))| {
                let mut items = items.into_values().map(json_of);
                let json = match repeats {
                    Repeats::List => Json::Array(items.collect()),
                    Repeats::Once => items.next().unwrap_or(Json::Null),
                };
                (key, json)
            };
            Json::Object(keys.into_iter().map(property).collect())
        }
    }
}

/// A text as a primitive's JSON; its exact format is the validator's.
fn primitive(kind: TypeId, text: &str) -> Result<Json, &'static str> {
    match definitions().primitive(kind) {
        None => Err("no primitive"),
        Some(Primitive::Boolean) => match text {
            "true" => Ok(Json::Bool(true)),
            "false" => Ok(Json::Bool(false)),
            _ => Err("true or false"),
        },
        Some(Primitive::Integer | Primitive::PositiveInt | Primitive::UnsignedInt) => {
            text.parse::<i64>().map(Json::from).map_err(|_| "a whole number")
        }
        Some(Primitive::Decimal) => {
            Number::from_str(text).map(Json::Number).map_err(|_| "a number")
        }
        Some(_) => Ok(Json::from(text)),
    }
}
