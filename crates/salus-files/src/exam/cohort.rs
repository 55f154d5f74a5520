//! A synthetic cohort, sampled from a fitted private model.

use std::path::Path;

use salus_synth::Kind;

use super::draw::Draws;
use crate::error::FilesError;
use crate::generator::Stored;
use crate::text::bound;

/// A column that questions can be about.
pub(super) struct Field {
    pub(super) name: String,
    /// By patient; none where missing.
    pub(super) values: Vec<Option<String>>,
    /// The same as numbers, where it holds numbers.
    pub(super) numbers: Option<Vec<Option<f64>>>,
    /// The different values, the most frequent first; of categories only.
    pub(super) categories: Vec<String>,
}

/// Synthetic patients.
pub(crate) struct Cohort {
    pub(super) fields: Vec<Field>,
    pub(super) patients: usize,
    pub(super) epsilon: f64,
    pub(super) delta: f64,
}

impl Cohort {
    /// Samples a cohort.
    pub(super) fn sample(
        path: &Path,
        patients: usize,
        draws: &mut Draws,
    ) -> Result<Self, FilesError> {
        let stored = Stored::read(path)?;
        let conditions = stored.without_gaps()?;
        let sample = stored.model.sample(patients, draws.next(), &conditions, &[])?;
        let fields = stored
            .model
            .attributes()
            .iter()
            .enumerate()
            .map(|(i, attribute)| {
                let name = attribute.name().to_string();
                let written = |text: &String| stored.written(&name, text);
                let values: Vec<Option<String>> = sample
                    .records()
                    .iter()
                    .map(|record| record.get(i).and_then(Option::as_ref).map(written))
                    .collect();
                let numeric =
                    matches!(attribute.kind(), Kind::Number { .. }) && !stored.is_date(&name);
                Field::new(name, values, numeric)
            })
            .collect();
        let (epsilon, delta) = stored.spent();
        Ok(Self { fields, patients, epsilon, delta })
    }

    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// What every sheet says of where its patients come from.
    pub(super) fn origin(&self) -> String {
        format!(
            "All patients on this sheet are synthetic. They were drawn from a model that was \
             fitted with differential privacy: {}. No real patient's record is shown or was used \
             otherwise.",
            bound(self.epsilon, self.delta)
        )
    }
}

impl Field {
    pub(super) fn new(name: String, values: Vec<Option<String>>, numeric: bool) -> Self {
        let numbers = numeric.then(|| {
            values
                .iter()
                .map(|v| v.as_ref().and_then(|t| t.replace(',', ".").parse().ok()))
                .collect()
        });
        let mut counts: std::collections::BTreeMap<&str, usize> = Default::default();
        for value in values.iter().flatten() {
            *counts.entry(value).or_insert(0) += 1;
        }
        let mut order: Vec<(&str, usize)> = counts.into_iter().collect();
        order.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let categories = if numeric {
            Vec::new()
        } else {
            order.into_iter().map(|(value, _)| value.to_owned()).collect()
        };
        Self { name, values, numbers, categories }
    }

    pub(super) fn value(&self, patient: usize) -> Option<&str> {
        self.values.get(patient)?.as_deref()
    }

    pub(super) fn number(&self, patient: usize) -> Option<f64> {
        *self.numbers.as_ref()?.get(patient)?
    }
}
