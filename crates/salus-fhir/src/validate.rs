use serde_json::{Map, Value as Json};

use crate::definitions::{Element, ElementType, TypeId, TypeKind, definitions};
use crate::fhirpath::split_reference;
use crate::outcome::{Issue, IssueCode};
use crate::primitive;

/// A resource with more issues than this is reported up to here.
const MOST_ISSUES: usize = 100;
/// Deeper elements are refused; it agrees with [`crate::JsonLimits::RESOURCE`].
const MOST_DEPTH: usize = 64;

/// Checks a resource against the official R4 definitions: known elements, cardinalities, types,
/// formats of primitives, codes of required bindings, types of literal references. An empty list
/// means that it conforms as far as this goes; profiles and the invariants of single elements
/// are not looked at, but those of Element and Extension are.
///
/// # Privacy
/// The issues name elements and what they must be, never what was found there.
#[must_use]
pub fn validate(resource: &Json) -> Vec<Issue> {
    let mut check = Validator { issues: Vec::new(), path: String::new() };
    check.resource(resource, None);
    check.issues
}

/// Checks a part of a resource, such as `Bundle.entry`, that stands at `place`.
pub(crate) fn validate_part(json: &Json, type_name: &str, place: &str) -> Vec<Issue> {
    let mut check = Validator { issues: Vec::new(), path: place.to_owned() };
    match (json.as_object(), definitions().type_named(type_name)) {
        (Some(object), Some(type_id)) => check.object(object, type_id, 0),
        _ => check.report(IssueCode::Structure, "it is a JSON object"),
    }
    check.issues
}

struct Validator {
    issues: Vec<Issue>,
    path: String,
}

impl Validator {
    fn report(&mut self, code: IssueCode, diagnostics: impl Into<String>) {
        if self.issues.len() < MOST_ISSUES {
            self.issues.push(Issue::error(code, self.path.clone(), diagnostics));
        }
    }

    /// Runs `check` with `segment` appended to the path.
    fn within(&mut self, segment: &str, check: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if length > 0 && !segment.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(segment);
        check(self);
        self.path.truncate(length);
    }

    fn resource(&mut self, json: &Json, container: Option<usize>) {
        let depth = container.unwrap_or(0);
        let Some(object) = json.as_object() else {
            return self.report(IssueCode::Structure, "a resource is a JSON object");
        };
        let Some(name) = object.get("resourceType") else {
            return self.report(IssueCode::Required, "resourceType is missing");
        };
        let type_id = name.as_str().and_then(|name| definitions().resource_named(name));
        let Some(type_id) = type_id else {
            return self.report(IssueCode::Value, "resourceType names no resource type of R4");
        };
        if container.is_none() {
            self.path.push_str(definitions().definition(type_id).name);
        }
        self.object(object, type_id, depth);
    }

    fn object(&mut self, object: &Map<String, Json>, type_id: TypeId, depth: usize) {
        if depth > MOST_DEPTH {
            return self.report(IssueCode::TooCostly, "elements nest too deep");
        }
        let definition = definitions().definition(type_id);
        let is_resource = definition.kind == TypeKind::Resource;
        if !object.keys().any(|key| key != "resourceType") && !is_resource {
            self.report(IssueCode::Invariant, "an element needs a value or children (ele-1)");
        }
        for (key, value) in object {
            if key == "resourceType" && is_resource {
                continue;
            }
            let plain = key.strip_prefix('_').unwrap_or(key);
            match definition.property(plain) {
                Some((element, kind)) => self.property(object, key, value, element, kind, depth),
                None => {
                    let shown = printable(key);
                    self.report(
                        IssueCode::Structure,
                        format!("{} has no element '{shown}'", definition.name),
                    );
                }
            }
        }
        for element in &definition.elements {
            self.cardinality(object, element);
        }
        if definition.name == "Extension" {
            self.extension(object);
        }
    }

    fn cardinality(&mut self, object: &Map<String, Json>, element: &Element) {
        let mut present = 0;
        for kind in &element.types {
            let given = [object.get(kind.key), sibling(object, kind.key)];
            present += usize::from(given.iter().any(Option::is_some));
        }
        let name =
            if element.choice { format!("{}[x]", element.name) } else { element.name.into() };
        if present == 0 && element.min > 0 {
            self.within(element.name, |this| {
                this.report(IssueCode::Required, format!("{name} is missing"));
            });
        }
        if element.choice && present > 1 {
            self.within(element.name, |this| {
                this.report(IssueCode::Structure, format!("{name} is given in more than one type"));
            });
        }
    }

    fn property(
        &mut self,
        object: &Map<String, Json>,
        key: &str,
        value: &Json,
        element: &Element,
        kind: &ElementType,
        depth: usize,
    ) {
        let is_primitive = definitions().primitive(kind.id).is_some();
        if key.starts_with('_') {
            return self.within(element.name, |this| {
                this.sibling(object, key, value, element, is_primitive, depth);
            });
        }
        self.within(element.name, |this| match (value, element.repeats()) {
            (Json::Array(items), true) => {
                this.count(items.len(), element);
                for (at, item) in items.iter().enumerate() {
                    this.within(&format!("[{at}]"), |this| {
                        let stands_in = || {
                            let with = sibling(object, key).and_then(|s| s.get(at));
                            is_primitive && with.is_some_and(|s| !s.is_null())
                        };
                        if !(item.is_null() && stands_in()) {
                            this.value(item, element, kind, depth);
                        }
                    });
                }
            }
            (_, true) => this.report(IssueCode::Structure, "it repeats, so it is a JSON array"),
            (Json::Array(_), false) => {
                this.report(IssueCode::Structure, "it does not repeat, so it is no JSON array");
            }
            (_, false) => this.value(value, element, kind, depth),
        });
    }

    fn count(&mut self, found: usize, element: &Element) {
        if found == 0 {
            self.report(IssueCode::Structure, "an array must not be empty; leave it out instead");
        }
        let most = element.max.map_or(usize::MAX, |max| max as usize);
        if found > most {
            self.report(IssueCode::Structure, format!("it occurs at most {most} times"));
        }
    }

    /// The id and extensions of a primitive, in the property with the underscore.
    fn sibling(
        &mut self,
        object: &Map<String, Json>,
        key: &str,
        value: &Json,
        element: &Element,
        is_primitive: bool,
        depth: usize,
    ) {
        if !is_primitive {
            return self.report(
                IssueCode::Structure,
                "only a primitive has a property with an underscore",
            );
        }
        let Some(element_type) = definitions().type_named("Element") else { return };
        let one = |this: &mut Self, value: &Json| match value {
            Json::Object(extra) => this.object(extra, element_type, depth + 1),
            _ => this.report(IssueCode::Structure, "it is a JSON object with id or extension"),
        };
        match (value, element.repeats()) {
            (Json::Array(items), true) => {
                let plain = object.get(key.trim_start_matches('_'));
                let values = plain.and_then(Json::as_array);
                if values.is_some_and(|v| v.len() != items.len()) {
                    let message = "the arrays with and without underscore have the same length";
                    self.report(IssueCode::Structure, message);
                }
                let is_null = |at: usize| values.and_then(|v| v.get(at)).is_none_or(Json::is_null);
                for (at, item) in items.iter().enumerate() {
                    if item.is_null() && !is_null(at) {
                        continue;
                    }
                    self.within(&format!("[{at}]"), |this| one(this, item));
                }
            }
            (Json::Array(_), false) | (_, true) => {
                self.report(
                    IssueCode::Structure,
                    "it is an array exactly when the element repeats",
                );
            }
            (_, false) => one(self, value),
        }
    }

    fn value(&mut self, value: &Json, element: &Element, kind: &ElementType, depth: usize) {
        if value.is_null() {
            return self.report(IssueCode::Structure, "null is no value; leave the element out");
        }
        let definition = definitions().definition(kind.id);
        if let Some(primitive) = definitions().primitive(kind.id) {
            if let Err(wanted) = primitive::check(primitive, value) {
                return self.report(IssueCode::Value, format!("it must be {wanted}"));
            }
            return self.binding(value, element);
        }
        if definition.name == "Resource" {
            return self.inner_resource(value, element, depth);
        }
        match value {
            Json::Object(object) => {
                self.object(object, kind.id, depth + 1);
                if definition.name == "Reference" {
                    self.reference(object, kind);
                }
            }
            _ => self.report(
                IssueCode::Structure,
                format!("it is a {}, so it is a JSON object", definition.name),
            ),
        }
    }

    fn inner_resource(&mut self, value: &Json, element: &Element, depth: usize) {
        self.resource(value, Some(depth + 1));
        if element.name == "contained" && value.get("contained").is_some() {
            self.report(IssueCode::Invariant, "a contained resource contains no others (dom-2)");
        }
    }

    fn binding(&mut self, value: &Json, element: &Element) {
        let codes = element.codes.and_then(|set| definitions().codes(set));
        if let (Some(codes), Some(code)) = (codes, value.as_str())
            && !codes.contains(&code)
        {
            let wanted = codes.iter().take(12).copied().collect::<Vec<_>>().join(", ");
            let more = if codes.len() > 12 { ", …" } else { "" };
            self.report(IssueCode::CodeInvalid, format!("it must be one of {wanted}{more}"));
        }
    }

    fn reference(&mut self, object: &Map<String, Json>, kind: &ElementType) {
        let literal = object.get("reference").and_then(Json::as_str);
        let Some((target, _)) = literal.and_then(split_reference) else { return };
        let name = definitions().definition(target).name;
        if !kind.targets.is_empty() && !kind.targets.contains(&name) {
            let wanted = kind.targets.join(", ");
            self.report(IssueCode::Value, format!("it must refer to one of {wanted}"));
        }
    }

    fn extension(&mut self, object: &Map<String, Json>) {
        let has_value = object.keys().any(|key| key.trim_start_matches('_').starts_with("value"));
        if has_value == object.contains_key("extension") {
            let message = "an extension has either a value or extensions (ext-1)";
            self.report(IssueCode::Invariant, message);
        }
    }
}

fn sibling<'j>(object: &'j Map<String, Json>, key: &str) -> Option<&'j Json> {
    object.get(&format!("_{key}"))
}

/// A property's name comes from the client, so it is shortened and cleaned before it is shown.
fn printable(key: &str) -> String {
    key.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect()
}
