use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use crate::definitions::{Primitive, TypeId, TypeKind, definitions};

/// What the links of one resource are to become.
pub(super) struct Links<'l> {
    /// `Type/id` by full URL.
    pub(super) by_full_url: &'l HashMap<String, String>,
    /// `Type/id` by conditional reference such as `Patient?identifier=1`.
    pub(super) by_query: &'l HashMap<String, String>,
    /// What relative references of this entry are relative to.
    pub(super) base: Option<&'l str>,
}

impl Links<'_> {
    fn target(&self, link: &str) -> Option<&String> {
        self.by_full_url.get(link).or_else(|| self.by_query.get(link)).or_else(|| {
            let absolute = format!("{}/{link}", self.base?);
            self.by_full_url.get(&absolute)
        })
    }
}

/// The base of a RESTful full URL such as `https://h.example/fhir/Patient/1`.
pub(super) fn base_of(full_url: &str) -> Option<&str> {
    if !full_url.starts_with("http://") && !full_url.starts_with("https://") {
        return None;
    }
    let (before, _) = full_url.rsplit_once('/')?;
    let (base, resource_type) = before.rsplit_once('/')?;
    definitions().resource_named(resource_type).map(|_| base)
}

/// Visits every link of a resource with its element's path: `Reference.reference`, and elements
/// of type uri, url, oid and uuid. Canonicals stay as they are.
pub(super) fn each_link(resource: &mut Json, visit: &mut dyn FnMut(&str, LinkKind, &mut String)) {
    let type_name = resource.get("resourceType").and_then(Json::as_str);
    let Some(type_id) = type_name.and_then(|name| definitions().resource_named(name)) else {
        return;
    };
    let mut path = definitions().definition(type_id).name.to_owned();
    if let Some(object) = resource.as_object_mut() {
        walk(object, type_id, &mut path, visit);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkKind {
    Reference,
    Uri,
    Narrative,
}

fn walk(
    object: &mut Map<String, Json>,
    type_id: TypeId,
    path: &mut String,
    visit: &mut dyn FnMut(&str, LinkKind, &mut String),
) {
    let definition = definitions().definition(type_id);
    let is_reference = definition.name == "Reference";
    for (key, value) in object.iter_mut() {
        let plain = key.strip_prefix('_').unwrap_or(key);
        let Some((element, kind)) = definition.property(plain) else { continue };
        let length = path.len();
        path.push('.');
        path.push_str(element.name);
        let link = match definitions().primitive(kind.id) {
            // The extensions of a primitive may hold links too.
            Some(_) if key.starts_with('_') => None,
            Some(Primitive::Uri | Primitive::Url | Primitive::Oid | Primitive::Uuid) => {
                Some(LinkKind::Uri)
            }
            Some(Primitive::String) if is_reference && element.name == "reference" => {
                Some(LinkKind::Reference)
            }
            Some(Primitive::Xhtml) => Some(LinkKind::Narrative),
            Some(_) => {
                path.truncate(length);
                continue;
            }
            None => None,
        };
        let items = match value {
            Json::Array(items) => items.as_mut_slice(),
            single => std::slice::from_mut(single),
        };
        for (at, item) in items.iter_mut().enumerate() {
            let length = path.len();
            if element.repeats() {
                path.push_str(&format!("[{at}]"));
            }
            match (item, link) {
                (Json::String(text), Some(link)) => visit(path, link, text),
                (Json::Object(inner), None) => walk(inner, inner_type(inner, kind.id), path, visit),
                _ => {}
            }
            path.truncate(length);
        }
        path.truncate(length);
    }
}

/// The type of an object: its own where any resource may stand, otherwise the element's.
fn inner_type(object: &Map<String, Json>, declared: TypeId) -> TypeId {
    if definitions().definition(declared).kind != TypeKind::Abstract {
        return declared;
    }
    let own = object.get("resourceType").and_then(Json::as_str);
    own.and_then(|name| definitions().resource_named(name)).unwrap_or(declared)
}

/// Rewrites a resource's links. Returns the paths of links into the Bundle that lead nowhere.
pub(super) fn rewrite(resource: &mut Json, links: &Links<'_>) -> Vec<String> {
    let mut dangling = Vec::new();
    each_link(resource, &mut |path, kind, text| match kind {
        LinkKind::Reference => match links.target(text) {
            Some(target) => text.clone_from(target),
            None if text.starts_with("urn:uuid:") || text.starts_with("urn:oid:") => {
                dangling.push(path.to_owned());
            }
            None => {}
        },
        LinkKind::Uri => {
            if let Some(target) = links.by_full_url.get(text) {
                text.clone_from(target);
            }
        }
        LinkKind::Narrative => {
            for (full_url, target) in links.by_full_url {
                let quoted = format!("\"{full_url}\"");
                if text.contains(&quoted) {
                    *text = text.replace(&quoted, &format!("\"{target}\""));
                }
            }
        }
    });
    dangling
}
