//! What of a report may be told in a browser: figures and names of columns, and of values those
//! alone that the privacy profile publishes.

use std::collections::{BTreeMap, BTreeSet};

use salus_dp::Column;
use salus_private::Profile;
use serde_json::Value;

use crate::releasing::{ReleaseDone, ReleaseOutcome};

/// How groups of several columns are called.
const JOINT: &str = " & ";

/// Which classes and groups of a report keep their names.
#[derive(Debug, Clone, Default)]
pub(super) struct Labels {
    /// Public values of the column that a plan wants predicted.
    target: BTreeSet<String>,
    /// Public values of the columns by which a plan mends bias, one set for each.
    groups: Vec<BTreeSet<String>>,
}

impl Labels {
    /// What a plan's classes and groups are, and what the profile publishes of them.
    pub(super) fn of(plan: &Value, profile: Option<&Profile>) -> Self {
        let public = |column: &str| -> BTreeSet<String> {
            let known = profile.and_then(|profile| {
                profile.schema.columns.iter().find(|(name, _)| name.as_str() == column)
            });
            match known {
                Some((_, Column::Category(domain))) => domain.values().iter().cloned().collect(),
                _ => BTreeSet::new(),
            }
        };
        let target = plan["volume"]["target"].as_str().map(public).unwrap_or_default();
        let groups = match &plan["unbias"]["sensitive"] {
            Value::String(names) => names.split(',').map(public).collect(),
            Value::Array(names) => names.iter().filter_map(Value::as_str).map(public).collect(),
            _ => Vec::new(),
        };
        Self { target, groups }
    }

    fn is_public_group(&self, group: &str) -> bool {
        let parts: Vec<&str> = group.split(JOINT).collect();
        parts.len() == self.groups.len()
            && parts.iter().zip(&self.groups).all(|(part, public)| public.contains(*part))
    }

    /// Numbers the classes and groups that are not public, each alike wherever it stands.
    pub(super) fn hide(&self, report: &mut Value) {
        let mut classes = Numbered::new("class");
        for place in ["/assessment/volume/classes", "/volume/classes"] {
            let public = |class: &str| self.target.contains(class);
            classes.hide(report.pointer_mut(place), "class", public);
        }
        let mut groups = Numbered::new("group");
        for place in [
            "/unbiased/before/groups",
            "/unbiased/after/groups",
            "/unbiased/weights",
            "/unbiased/thresholds",
            "/unbiased/representation",
        ] {
            groups.hide(report.pointer_mut(place), "group", |group| self.is_public_group(group));
        }
    }

    /// The same in what became of a release.
    pub(super) fn hide_in_release(&self, done: &mut ReleaseDone) {
        if let ReleaseOutcome::Published { report: Some(report), .. } = &mut done.outcome {
            self.hide(report);
        }
    }
}

/// Numbers in place of values.
struct Numbered {
    word: &'static str,
    known: BTreeMap<String, usize>,
}

impl Numbered {
    const fn new(word: &'static str) -> Self {
        Self { word, known: BTreeMap::new() }
    }

    fn hide(&mut self, lines: Option<&mut Value>, field: &str, is_public: impl Fn(&str) -> bool) {
        let lines = lines.and_then(Value::as_array_mut).map(Vec::as_mut_slice);
        for line in lines.unwrap_or_default() {
            let Some(name) = line.get(field).and_then(Value::as_str).map(str::to_owned) else {
                continue;
            };
            if is_public(&name) {
                continue;
            }
            let next = self.known.len() + 1;
            let number = *self.known.entry(name).or_insert(next);
            line[field] = format!("{} {number}", self.word).into();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use salus_model::DatasetId;
    use salus_private::Profiles;
    use serde_json::json;

    use super::*;

    fn profile() -> Profile {
        let text = r#"
            [stays]
            unit_column = "patient_id"
            unit = "patient"
            contribution = [1, 1]
            rows_per_unit = "one"
            [stays.columns]
            sex = { category = ["female", "male"] }
            ward = { category = ["surgery", "medicine"] }
            town = "open"
        "#;
        Profiles::parse(text).unwrap().of(&DatasetId::new("stays").unwrap()).unwrap().clone()
    }

    fn report() -> Value {
        let class = |class: &str| json!({ "class": class, "records": 3 });
        let group = |group: &str| json!({ "group": group, "records": 3.0 });
        json!({
            "assessment": { "volume": { "classes": [class("surgery"), class("leper")] } },
            "volume": { "classes": [class("leper"), class("surgery"), class("*")] },
            "unbiased": {
                "before": { "groups": [group("female & Ghent"), group("male & Bruges")] },
                "after": { "groups": [group("male & Bruges"), group("female & Ghent")] },
                "weights": [group("male & Bruges")],
            },
        })
    }

    #[test]
    fn values_that_are_not_published_have_numbers_in_their_place() {
        let plan = json!({
            "volume": { "target": "ward" }, "unbias": { "sensitive": ["sex", "town"] },
        });
        let mut told = report();
        Labels::of(&plan, Some(&profile())).hide(&mut told);
        let text = told.to_string();
        for secret in ["leper", "Ghent", "Bruges"] {
            assert!(!text.contains(secret), "{text}");
        }
        let name = |place: &str| told.pointer(place).and_then(Value::as_str).unwrap().to_owned();
        assert_eq!(name("/assessment/volume/classes/0/class"), "surgery");
        assert_eq!(name("/assessment/volume/classes/1/class"), name("/volume/classes/0/class"));
        assert_eq!(name("/unbiased/before/groups/0/group"), name("/unbiased/after/groups/1/group"));
        assert_eq!(name("/unbiased/weights/0/group"), name("/unbiased/before/groups/1/group"));
        assert_ne!(name("/unbiased/before/groups/0/group"), name("/unbiased/weights/0/group"));
    }

    #[test]
    fn a_value_is_public_in_its_own_column_alone() {
        // 'surgery' is published of ward, and not of the town that is predicted here.
        let plan = json!({ "volume": { "target": "town" }, "unbias": { "sensitive": "sex,ward" } });
        let mut told = report();
        Labels::of(&plan, Some(&profile())).hide(&mut told);
        assert!(!told["volume"].to_string().contains("surgery"), "{told}");
        // Without a profile nothing is public.
        let mut told = report();
        let plan = json!({ "volume": { "target": "ward" }, "unbias": { "sensitive": ["sex"] } });
        Labels::of(&plan, None).hide(&mut told);
        assert!(!told.to_string().contains("surgery") && !told.to_string().contains("female"));
    }
}
