use std::collections::HashMap;
use std::sync::LazyLock;

/// A FHIR R4 type in the distilled definitions: a resource, data type, primitive or backbone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(u16);

/// What kind of type it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeKind {
    /// A resource that can be stored, such as `Patient`.
    Resource,
    /// A type that only others extend: `Element`, `Resource`.
    Abstract,
    /// A data type with elements, such as `HumanName`.
    Complex,
    /// A data type with a value, such as `dateTime`.
    Primitive(Primitive),
    /// A part of one resource, named by its path, such as `Patient.contact`.
    Backbone,
}

/// How a primitive's text is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Primitive {
    Base64Binary,
    Boolean,
    Canonical,
    Code,
    Date,
    DateTime,
    Decimal,
    Id,
    Instant,
    Integer,
    Markdown,
    Oid,
    PositiveInt,
    String,
    Time,
    UnsignedInt,
    Uri,
    Url,
    Uuid,
    Xhtml,
}

impl Primitive {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "base64Binary" => Self::Base64Binary,
            "boolean" => Self::Boolean,
            "canonical" => Self::Canonical,
            "code" => Self::Code,
            "date" => Self::Date,
            "dateTime" => Self::DateTime,
            "decimal" => Self::Decimal,
            "id" => Self::Id,
            "instant" => Self::Instant,
            "integer" => Self::Integer,
            "markdown" => Self::Markdown,
            "oid" => Self::Oid,
            "positiveInt" => Self::PositiveInt,
            "string" => Self::String,
            "time" => Self::Time,
            "unsignedInt" => Self::UnsignedInt,
            "uri" => Self::Uri,
            "url" => Self::Url,
            "uuid" => Self::Uuid,
            "xhtml" => Self::Xhtml,
            _ => return None,
        })
    }
}

/// One element of a type.
#[derive(Debug)]
pub struct Element {
    /// Its name without `[x]`.
    pub name: &'static str,
    /// Whether it is a choice (`value[x]`), named in JSON with its type.
    pub choice: bool,
    /// The fewest occurrences.
    pub min: u32,
    /// The most occurrences; none for any number.
    pub max: Option<u32>,
    /// Every permitted type with its name in JSON, such as `valueQuantity`, and for references the
    /// permitted targets (none given means any).
    pub types: Vec<ElementType>,
    /// The codes that are permitted, where a required binding can be enumerated.
    pub codes: Option<&'static str>,
}

impl Element {
    /// Whether JSON holds an array.
    #[must_use]
    pub fn repeats(&self) -> bool {
        self.max != Some(1)
    }
}

/// One permitted type of an element.
#[derive(Debug)]
pub struct ElementType {
    /// The element's name in JSON when it has this type.
    pub key: &'static str,
    /// The type.
    pub id: TypeId,
    /// Resource types that a reference may point at; empty for any.
    pub targets: Vec<&'static str>,
}

/// A type with its elements.
#[derive(Debug)]
pub struct TypeDefinition {
    /// Its name, such as `Patient` or `Patient.contact`.
    pub name: &'static str,
    /// Its kind.
    pub kind: TypeKind,
    /// The type that it extends.
    pub base: Option<TypeId>,
    /// Its elements in the specification's order, inherited ones included.
    pub elements: Vec<Element>,
    by_name: HashMap<&'static str, usize>,
    by_key: HashMap<&'static str, (usize, usize)>,
}

impl TypeDefinition {
    /// The element that FHIRPath calls `name`.
    #[must_use]
    pub fn element(&self, name: &str) -> Option<&Element> {
        self.by_name.get(name).and_then(|&at| self.elements.get(at))
    }

    /// The element and type behind a JSON property name.
    #[must_use]
    pub fn property(&self, key: &str) -> Option<(&Element, &ElementType)> {
        let &(element, kind) = self.by_key.get(key)?;
        let element = self.elements.get(element)?;
        Some((element, element.types.get(kind)?))
    }
}

/// How a search parameter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum SearchType {
    Date,
    Number,
    Quantity,
    Reference,
    String,
    Token,
    Uri,
}

impl SearchType {
    /// The code in the specification.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Number => "number",
            Self::Quantity => "quantity",
            Self::Reference => "reference",
            Self::String => "string",
            Self::Token => "token",
            Self::Uri => "uri",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [
            Self::Date,
            Self::Number,
            Self::Quantity,
            Self::Reference,
            Self::String,
            Self::Token,
            Self::Uri,
        ]
        .into_iter()
        .find(|t| t.as_str() == name)
    }
}

/// An official search parameter of one resource type.
#[derive(Debug)]
pub struct SearchParameter {
    /// The resource type, or `Resource` for the common ones.
    pub resource: &'static str,
    /// Its name in a query.
    pub code: &'static str,
    /// How it compares.
    pub kind: SearchType,
    /// Resource types that a reference may point at; empty for any.
    pub targets: Vec<&'static str>,
    /// The FHIRPath expression that yields its values.
    pub expression: &'static str,
}

/// The official FHIR R4 (4.0.1) definitions.
///
/// # Source
/// HL7 FHIR 4.0.1, distilled by `definitions/distil.py` of this crate.
#[derive(Debug)]
pub struct Definitions {
    types: Vec<TypeDefinition>,
    by_name: HashMap<&'static str, TypeId>,
    value_sets: HashMap<&'static str, Vec<&'static str>>,
    search: Vec<SearchParameter>,
}

static TABLE: &str = include_str!("../definitions/r4.table");
static R4: LazyLock<Definitions> = LazyLock::new(|| Definitions::read(TABLE));

/// The definitions, read from the embedded table at first use.
#[must_use]
pub fn definitions() -> &'static Definitions {
    &R4
}

impl Definitions {
    /// The type called `name`, such as `Patient`, `HumanName`, `code` or `Patient.contact`.
    #[must_use]
    pub fn type_named(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }

    /// The resource type called `name`, when it is one that can be stored.
    #[must_use]
    pub fn resource_named(&self, name: &str) -> Option<TypeId> {
        self.type_named(name).filter(|&id| self.definition(id).kind == TypeKind::Resource)
    }

    /// What the type is.
    #[must_use]
    pub fn definition(&self, id: TypeId) -> &TypeDefinition {
        // A TypeId is only ever made by `read`, as a position in this list.
        &self.types[usize::from(id.0)]
    }

    /// Whether `id` is `ancestor` or extends it.
    #[must_use]
    pub fn is_a(&self, id: TypeId, ancestor: TypeId) -> bool {
        let mut at = Some(id);
        while let Some(here) = at {
            if here == ancestor {
                return true;
            }
            at = self.definition(here).base;
        }
        false
    }

    /// The primitive that a type is, if it is one.
    #[must_use]
    pub fn primitive(&self, id: TypeId) -> Option<Primitive> {
        match self.definition(id).kind {
            TypeKind::Primitive(primitive) => Some(primitive),
            _ => None,
        }
    }

    /// Every resource type that can be stored, in alphabetical order.
    pub fn resource_types(&self) -> impl Iterator<Item = &'static str> {
        self.types.iter().filter(|t| t.kind == TypeKind::Resource).map(|t| t.name)
    }

    /// The codes of a required value set.
    #[must_use]
    pub fn codes(&self, value_set: &str) -> Option<&[&'static str]> {
        self.value_sets.get(value_set).map(Vec::as_slice)
    }

    /// The search parameters of a resource type, the common ones included.
    pub fn search_parameters(&self, resource: &str) -> impl Iterator<Item = &SearchParameter> {
        self.search.iter().filter(move |p| p.resource == resource || p.resource == "Resource")
    }

    /// One search parameter of a resource type.
    #[must_use]
    pub fn search_parameter(&self, resource: &str, code: &str) -> Option<&SearchParameter> {
        self.search_parameters(resource).find(|p| p.code == code)
    }

    /// Reads the table that the build embeds; its form is a property of the source tree, and the
    /// unit tests read all of it.
    fn read(table: &'static str) -> Self {
        let mut by_name = HashMap::new();
        for line in table.lines().filter_map(|l| l.strip_prefix("T ")) {
            if let Some(name) = line.split(' ').next() {
                by_name.insert(name, TypeId(by_name.len() as u16));
            }
        }
        let mut read = Self {
            types: Vec::with_capacity(by_name.len()),
            by_name,
            value_sets: HashMap::new(),
            search: Vec::new(),
        };
        for line in table.lines() {
            let (tag, rest) = line.split_once(' ').unwrap_or((line, ""));
            match tag {
                "T" => read.read_type(rest),
                "E" => read.read_element(rest),
                "V" => {
                    let mut words = rest.split(' ');
                    let name = words.next().unwrap_or_default();
                    read.value_sets.insert(name, words.collect());
                }
                "S" => read.read_search(rest),
                _ => {}
            }
        }
        read
    }

    fn read_type(&mut self, rest: &'static str) {
        let words: Vec<_> = rest.split(' ').collect();
        let [name, kind, base] = words[..] else { return };
        let kind = match kind {
            "R" => TypeKind::Resource,
            "A" => TypeKind::Abstract,
            "P" => TypeKind::Primitive(Primitive::named(name).unwrap_or(Primitive::String)),
            "B" => TypeKind::Backbone,
            _ => TypeKind::Complex,
        };
        self.types.push(TypeDefinition {
            name,
            kind,
            base: self.type_named(base),
            elements: Vec::new(),
            by_name: HashMap::new(),
            by_key: HashMap::new(),
        });
    }

    fn read_element(&mut self, rest: &'static str) {
        let mut words = rest.split(' ');
        let (Some(name), Some(min), Some(max), Some(types)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return;
        };
        let (name, choice) = match name.strip_suffix("[x]") {
            Some(short) => (short, true),
            None => (name, false),
        };
        let types = types
            .split('|')
            .filter_map(|text| self.element_type(name, choice, text))
            .collect::<Vec<_>>();
        let element = Element {
            name,
            choice,
            min: min.parse().unwrap_or(0),
            max: max.parse().ok(),
            types,
            codes: words.next(),
        };
        if let Some(owner) = self.types.last_mut() {
            let at = owner.elements.len();
            owner.by_name.insert(name, at);
            for (nth, kind) in element.types.iter().enumerate() {
                owner.by_key.insert(kind.key, (at, nth));
            }
            owner.elements.push(element);
        }
    }

    fn element_type(
        &self,
        name: &'static str,
        choice: bool,
        text: &'static str,
    ) -> Option<ElementType> {
        let (type_name, targets) = text.split_once(':').unwrap_or((text, ""));
        let id = self.type_named(type_name)?;
        let key = if choice { leak(choice_key(name, type_name)) } else { name };
        let targets = targets.split(',').filter(|t| !t.is_empty()).collect();
        Some(ElementType { key, id, targets })
    }

    fn read_search(&mut self, rest: &'static str) {
        let words: Vec<_> = rest.splitn(5, ' ').collect();
        let [resource, code, kind, targets, expression] = words[..] else { return };
        let Some(kind) = SearchType::named(kind) else { return };
        let targets = match targets {
            "-" => Vec::new(),
            some => some.split(',').collect(),
        };
        self.search.push(SearchParameter { resource, code, kind, targets, expression });
    }
}

/// `value` and `dateTime` make `valueDateTime`.
fn choice_key(name: &str, type_name: &str) -> String {
    let mut key = String::with_capacity(name.len() + type_name.len());
    key.push_str(name);
    let mut chars = type_name.chars();
    key.extend(chars.next().map(|c| c.to_ascii_uppercase()));
    key.push_str(chars.as_str());
    key
}

/// The table is read once per process, so what it keeps lives as long as the embedded text does.
fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}
