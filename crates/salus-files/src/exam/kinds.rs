//! Kinds of questions. Every right answer is computed from the cohort or from a rule, and every
//! wrong one is what a known mistake leads to.

use super::cohort::{Cohort, Field};
use super::draw::Draws;
use super::question::{Choice, Question};
use super::register::Register;
use super::rules::Rules;
use crate::error::FilesError;

/// Draws of a question before a sheet is given up.
const MOST_DRAWS: usize = 4_000;

/// Makes questions about a cohort.
pub(super) struct Maker<'c> {
    cohort: &'c Cohort,
    rules: Option<&'c Rules>,
    /// Positions of columns with two to twelve categories.
    categories: Vec<usize>,
    /// Positions of columns with numbers.
    numbers: Vec<usize>,
}

type Make<'c> = for<'m, 'd> fn(&'m Maker<'c>, &'d mut Draws) -> Option<Question>;

impl<'c> Maker<'c> {
    pub(super) fn new(cohort: &'c Cohort, rules: Option<&'c Rules>) -> Result<Self, FilesError> {
        let at = |fits: &dyn Fn(&Field) -> bool| {
            cohort.fields.iter().enumerate().filter(|(_, f)| fits(f)).map(|(i, _)| i).collect()
        };
        let maker = Self {
            cohort,
            rules,
            categories: at(&|f| (2..=12).contains(&f.categories.len())),
            numbers: at(&|f| f.numbers.is_some()),
        };
        if maker.categories.len() < 2 {
            return Err(FilesError::option(
                "the model has fewer than two columns with two to twelve values to ask about",
            ));
        }
        Ok(maker)
    }

    /// The kinds that the cohort allows, in the order in which sheets go through them.
    fn kinds(&self) -> Vec<Make<'c>> {
        let mut kinds: Vec<Make<'c>> = Vec::new();
        if self.rules.is_some() {
            kinds.push(Self::rule);
        }
        kinds.push(Self::association);
        if self.categories.len() >= 3 {
            kinds.push(Self::likeliest);
        }
        if !self.numbers.is_empty() {
            kinds.push(Self::test);
            kinds.push(Self::middle);
        }
        kinds
    }

    /// A question that was never given.
    pub(super) fn fresh(
        &self,
        position: usize,
        register: &mut Register,
        draws: &mut Draws,
    ) -> Result<Question, FilesError> {
        let kinds = self.kinds();
        for turn in 0..MOST_DRAWS {
            // Where one kind is exhausted, the next has its turn.
            let Some(kind) = kinds.get((position + turn / 200) % kinds.len()) else { break };
            if let Some(question) = kind(self, draws)
                && register.take(&question.digest())
            {
                return Ok(question);
            }
        }
        Err(FilesError::option(
            "the cohort yields no more questions that were never given: take a larger --cohort, a \
             model with more columns, or more rules",
        ))
    }

    fn field(&self, at: usize) -> Option<&'c Field> {
        self.cohort.fields.get(at)
    }

    /// A two-by-two table, and a measure of association in it.
    fn association(&self, draws: &mut Draws) -> Option<Question> {
        let picked = draws.some(self.categories.len(), 2);
        let [exposure, outcome] = [0, 1].map(|i| {
            picked.get(i).and_then(|p| self.categories.get(*p)).and_then(|at| self.field(*at))
        });
        let (exposure, outcome) = (exposure?, outcome?);
        let (e, o) = (draws.one(&exposure.categories)?, draws.one(&outcome.categories)?);
        let size = 120 + draws.below(280);
        let group = draws.some(self.cohort.patients, size);
        let mut cells = [[0u32; 2]; 2];
        for patient in group {
            let (Some(x), Some(y)) = (exposure.value(patient), outcome.value(patient)) else {
                continue;
            };
            cells[usize::from(x != e)][usize::from(y != o)] += 1;
        }
        if cells.iter().flatten().any(|n| *n < 5) {
            return None;
        }
        let (exposed, not) =
            (format!("{} = {e}", exposure.name), format!("{} ≠ {e}", exposure.name));
        let (with, without) =
            (format!("{} = {o}", outcome.name), format!("{} ≠ {o}", outcome.name));
        let table = two_by_two([&exposed, &not], [&with, &without], cells);
        let vignette = format!(
            "In a study of {} patients the exposure is {exposed} and the outcome is {with}.",
            cells.iter().flatten().sum::<u32>()
        );
        let measures = association_measures(cells);
        let asked = draws.below(measures.len());
        let (name, value, how) = measures.get(asked)?.clone();
        let mut wrong: Vec<Choice> = mistakes(cells, &value);
        wrong.extend(measures.iter().filter(|m| m.0 != name).map(|(other, value, how)| Choice {
            text: value.clone(),
            why: format!("That is the {other}: {how}."),
        }));
        shuffle(&mut wrong, draws);
        Question::new(
            "association",
            vignette,
            Some(table),
            format!("What is the {name}?"),
            Choice { text: value.clone(), why: format!("{how}.") },
            wrong,
            format!("The {name} is {how} = {value}."),
            draws,
        )
    }

    /// A threshold on a number as a test for an outcome.
    fn test(&self, draws: &mut Draws) -> Option<Question> {
        let number = self.field(*draws.one(&self.numbers)?)?;
        let outcome = self.field(*draws.one(&self.categories)?)?;
        let o = draws.one(&outcome.categories)?;
        let size = 120 + draws.below(280);
        let group = draws.some(self.cohort.patients, size);
        let mut known: Vec<(f64, bool)> = group
            .iter()
            .filter_map(|&p| Some((number.number(p)?, outcome.value(p)? == o)))
            .collect();
        known.sort_by(|a, b| a.0.total_cmp(&b.0));
        let cut = known.get(known.len() * (25 + draws.below(50)) / 100)?.0;
        let mut cells = [[0u32; 2]; 2];
        for (value, ill) in &known {
            cells[usize::from(*value < cut)][usize::from(!ill)] += 1;
        }
        if cells.iter().flatten().any(|n| *n < 5) {
            return None;
        }
        let (positive, negative) = (
            format!("{} ≥ {}", number.name, plain(cut)),
            format!("{} < {}", number.name, plain(cut)),
        );
        let (with, without) =
            (format!("{} = {o}", outcome.name), format!("{} ≠ {o}", outcome.name));
        let table = two_by_two([&positive, &negative], [&with, &without], cells);
        let [[tp, fp], [fnn, tn]] = cells;
        let measures = [
            ("sensitivity", tp, tp + fnn, "patients with the condition that the test finds"),
            ("specificity", tn, tn + fp, "patients without it whom the test clears"),
            ("positive predictive value", tp, tp + fp, "positive tests that are right"),
            ("negative predictive value", tn, tn + fnn, "negative tests that are right"),
        ];
        let (name, part, whole, means) = *draws.one(&measures)?;
        let said = |part: u32, whole: u32| share(f64::from(part) / f64::from(whole));
        let mut wrong: Vec<Choice> = measures
            .iter()
            .filter(|m| m.0 != name)
            .map(|(other, p, w, means)| Choice {
                text: said(*p, *w),
                why: format!("That is the {other}, {p} / {w}: the share of {means}."),
            })
            .collect();
        wrong.push(Choice {
            text: said(tp + tn, tp + fp + fnn + tn),
            why: "That is the accuracy: the share of all tests that are right.".to_owned(),
        });
        shuffle(&mut wrong, draws);
        Question::new(
            "test",
            format!(
                "The condition is {with}. A test counts as positive when {positive}; {} patients \
                 were tested.",
                known.len()
            ),
            Some(table),
            format!("What is the {name} of the test?"),
            Choice { text: said(part, whole), why: format!("{part} / {whole}.") },
            wrong,
            format!(
                "The {name} is the share of {means}: {part} / {whole} = {}.",
                said(part, whole)
            ),
            draws,
        )
    }

    /// The middle of a few patients' numbers.
    fn middle(&self, draws: &mut Draws) -> Option<Question> {
        let number = self.field(*draws.one(&self.numbers)?)?;
        let size = 7 + 2 * draws.below(3);
        let group = draws.some(self.cohort.patients, size);
        let values: Vec<f64> = group.iter().filter_map(|&p| number.number(p)).collect();
        if values.len() < 7 || values.len().is_multiple_of(2) {
            return None;
        }
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let median = *sorted.get(n / 2)?;
        let mean = values.iter().sum::<f64>() / n as f64;
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let unsorted = *values.get(n / 2)?;
        let list: Vec<String> = values.iter().map(|v| plain(*v)).collect();
        let in_order: Vec<String> = sorted.iter().map(|v| plain(*v)).collect();
        let choice = |value: f64, why: &str| Choice { text: plain(value), why: why.to_owned() };
        let wrong = vec![
            choice((mean * 10.0).round() / 10.0, "That is the mean."),
            choice(unsorted, "That is the middle of the list before it is put in order."),
            choice(f64::midpoint(low, high), "That is the middle between the extremes."),
            choice(*sorted.get(n / 2 - 1)?, "That is one place too low in the ordered list."),
            choice(*sorted.get(n / 2 + 1)?, "That is one place too high in the ordered list."),
        ];
        Question::new(
            "median",
            format!("For {n} patients {} was recorded as {}.", number.name, list.join("; ")),
            None,
            format!("What is the median of {}?", number.name),
            choice(median, "It stands in the middle of the ordered list."),
            wrong,
            format!(
                "In order: {}. The median is the value at place {} of {n}: {}.",
                in_order.join("; "),
                n / 2 + 1,
                plain(median)
            ),
            draws,
        )
    }

    /// A case with one fact hidden: which is the most frequent among patients like this one?
    fn likeliest(&self, draws: &mut Draws) -> Option<Question> {
        let picked = draws.some(self.categories.len(), 3);
        let field = |i: usize| self.field(*self.categories.get(*picked.get(i)?)?);
        let (hidden, one, two) = (field(0)?, field(1)?, field(2)?);
        if hidden.categories.len() < 3 {
            return None;
        }
        let patient = draws.below(self.cohort.patients);
        let (a, b) = (one.value(patient)?, two.value(patient)?);
        let alike: Vec<&str> = (0..self.cohort.patients)
            .filter(|&p| one.value(p) == Some(a) && two.value(p) == Some(b))
            .filter_map(|p| hidden.value(p))
            .collect();
        let mut counts: Vec<(&String, usize)> = hidden
            .categories
            .iter()
            .map(|c| (c, alike.iter().filter(|v| *v == c).count()))
            .collect();
        counts.sort_by(|x, y| y.1.cmp(&x.1).then_with(|| x.0.cmp(y.0)));
        let (first, second) = (counts.first()?, counts.get(1)?);
        let n = alike.len();
        // The answer must not hang on a few patients.
        if n < 40 || (first.1 - second.1) * 10 < n {
            return None;
        }
        let of = |count: usize| share(count as f64 / n as f64);
        let number = draws.one(&self.numbers).and_then(|at| self.field(*at));
        let aside = number
            .and_then(|f| Some(format!("{} {}, ", f.name, plain(f.number(patient)?))))
            .unwrap_or_default();
        let wrong = counts
            .iter()
            .skip(1)
            .map(|(value, count)| Choice {
                text: (*value).clone(),
                why: format!("{} of the {n} patients.", of(*count)),
            })
            .collect();
        Question::new(
            "case",
            format!(
                "A patient: {aside}{} {a}, {} {b}. {} is not recorded. The cohort has {n} patients \
                 with the same {} and {}.",
                one.name, two.name, hidden.name, one.name, two.name
            ),
            None,
            format!("Which {} is the likeliest, going by those {n} patients?", hidden.name),
            Choice { text: first.0.clone(), why: format!("{} of the {n} patients.", of(first.1)) },
            wrong,
            format!(
                "Of the {n} patients with {} {a} and {} {b}, {} have {} {}, and {} have {}, which \
                 comes second.",
                one.name,
                two.name,
                of(first.1),
                hidden.name,
                first.0,
                of(second.1),
                second.0
            ),
            draws,
        )
    }

    /// A case, and what a rule says of it.
    fn rule(&self, draws: &mut Draws) -> Option<Question> {
        let rule = draws.one(&self.rules?.0)?;
        // Cases are drawn evenly, so that rare ones come up too.
        let wanted = draws.below(rule.cases.len());
        let patient = (0..self.cohort.patients.min(400))
            .map(|_| draws.below(self.cohort.patients))
            .find(|&p| rule.right(self.cohort, p) == Some(wanted))?;
        let facts: Vec<Vec<String>> = rule
            .show
            .iter()
            .filter_map(|name| {
                let field = self.cohort.field(name)?;
                Some(vec![name.clone(), field.value(patient)?.to_owned()])
            })
            .collect();
        if facts.len() < rule.show.len() {
            return None;
        }
        let right = rule.cases.get(wanted)?;
        let mut wrong: Vec<Choice> = rule
            .cases
            .iter()
            .filter(|case| case.answer != right.answer)
            .map(|case| Choice {
                text: case.answer.clone(),
                why: format!("Not here. {}", case.explain),
            })
            .collect();
        shuffle(&mut wrong, draws);
        Question::new(
            "rule",
            "A patient comes with these findings.".to_owned(),
            Some((vec!["Finding".to_owned(), "Value".to_owned()], facts)),
            rule.ask.clone(),
            Choice { text: right.answer.clone(), why: right.explain.clone() },
            wrong,
            right.explain.clone(),
            draws,
        )
    }
}

fn shuffle(choices: &mut [Choice], draws: &mut Draws) {
    for i in (1..choices.len()).rev() {
        choices.swap(i, draws.below(i + 1));
    }
}

/// A table with margins.
fn two_by_two(
    rows: [&str; 2],
    columns: [&str; 2],
    cells: [[u32; 2]; 2],
) -> (Vec<String>, Vec<Vec<String>>) {
    let header = ["", columns[0], columns[1], "Total"].map(str::to_owned).to_vec();
    let line = |name: &str, [a, b]: [u32; 2]| {
        vec![name.to_owned(), a.to_string(), b.to_string(), (a + b).to_string()]
    };
    let total = [cells[0][0] + cells[1][0], cells[0][1] + cells[1][1]];
    (header, vec![line(rows[0], cells[0]), line(rows[1], cells[1]), line("Total", total)])
}

type Measure = (&'static str, String, String);

/// Measures of association, with the way that they are computed.
pub(super) fn association_measures([[a, b], [c, d]]: [[u32; 2]; 2]) -> Vec<Measure> {
    let f = f64::from;
    let (exposed, not) = (f(a) / f(a + b), f(c) / f(c + d));
    vec![
        ("relative risk", two(exposed / not), format!("({a} / {}) / ({c} / {})", a + b, c + d)),
        ("odds ratio", two(f(a) * f(d) / (f(b) * f(c))), format!("({a} · {d}) / ({b} · {c})")),
        ("risk difference", points(exposed - not), format!("{a} / {} − {c} / {}", a + b, c + d)),
        ("risk among the exposed", share(exposed), format!("{a} / {}", a + b)),
    ]
}

/// What known mistakes lead to, in the form of the right answer.
fn mistakes([[a, b], [c, d]]: [[u32; 2]; 2], right: &str) -> Vec<Choice> {
    let f = f64::from;
    let all = f(a + b + c + d);
    let wrong = |text: String, why: &str| Choice { text, why: why.to_owned() };
    if right.ends_with("points") {
        return vec![
            wrong(points(f(c) / f(c + d) - f(a) / f(a + b)), "Exposed and others are swapped."),
            wrong(points(f(a) / f(a + c) - f(b) / f(b + d)), "The columns' totals were taken."),
            wrong(points(f(a) / all - f(c) / all), "Both were divided by all patients."),
        ];
    }
    if right.ends_with('%') {
        return vec![
            wrong(share(f(a) / f(a + c)), "That is the share of exposed among those with it."),
            wrong(share(f(c) / f(c + d)), "That is the risk among the others."),
            wrong(share(f(a) / all), "That is the share of all patients."),
            wrong(share(f(b) / f(a + b)), "That is the share of exposed without it."),
        ];
    }
    vec![
        wrong(two((f(c) / f(c + d)) / (f(a) / f(a + b))), "Exposed and others are swapped."),
        wrong(two((f(a) / f(a + c)) / (f(b) / f(b + d))), "The columns' totals were taken."),
        wrong(two(f(b) * f(c) / (f(a) * f(d))), "The odds ratio turned upside down."),
        wrong(two(f(a) / f(b)), "That is the odds among the exposed."),
    ]
}

fn two(x: f64) -> String {
    format!("{x:.2}")
}

fn share(x: f64) -> String {
    format!("{:.1} %", 100.0 * x)
}

fn points(x: f64) -> String {
    format!("{:+.1} percentage points", 100.0 * x)
}

/// A number without needless digits.
pub(super) fn plain(x: f64) -> String {
    let text = format!("{x:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
