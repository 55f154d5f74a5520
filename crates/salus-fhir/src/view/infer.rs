//! What types an expression may yield, as far as the definitions tell.

use super::value::ColumnType;
use crate::definitions::{TypeId, definitions};
use crate::fhirpath::{Expression, Inferred};

/// The types of a focus: known ones, or unknown.
#[derive(Debug, Clone)]
pub(super) struct Types(Inferred);

impl Types {
    pub(super) fn one(id: TypeId) -> Self {
        Self(Inferred::Fhir(vec![id]))
    }

    pub(super) fn none() -> Self {
        Self(Inferred::Fhir(Vec::new()))
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }

    /// Whether a value of it is certainly no boolean.
    pub(super) fn never_boolean(&self) -> bool {
        let boolean = definitions().type_named("boolean");
        match &self.0 {
            Inferred::Fhir(ids) => !ids.is_empty() && ids.iter().all(|id| Some(*id) != boolean),
            Inferred::System(name) => *name != "boolean",
            Inferred::Unknown => false,
        }
    }

    /// The representation that all of them share, or text.
    pub(super) fn column_type(&self) -> (ColumnType, String) {
        let text = || (ColumnType::String, "string".to_owned());
        match &self.0 {
            Inferred::System(name) => {
                ColumnType::named(name).map_or_else(text, |kind| (kind, (*name).to_owned()))
            }
            Inferred::Fhir(ids) => match ids[..] {
                [id] => ColumnType::of_type(id)
                    .map_or_else(text, |kind| (kind, definitions().definition(id).name.to_owned())),
                _ => text(),
            },
            Inferred::Unknown => text(),
        }
    }
}

pub(super) fn expression(expression: &Expression, focus: &Types) -> Types {
    Types(expression.infer(&focus.0))
}
