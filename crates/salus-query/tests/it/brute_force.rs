//! Random questions to random data: the gateway against DataFusion on plain tables.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use salus_model::KeyClass;
use salus_store::KeyChoice;

use crate::world::{ROLES, World, cells};

/// SplitMix64: small, seeded, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }
}

fn rows(dice: &mut Dice, n: usize, first: i64) -> RecordBatch {
    let some = |dice: &mut Dice| dice.below(5) > 0;
    let patient: Vec<Option<String>> =
        (0..n).map(|_| some(dice).then(|| format!("p{}", dice.below(6)))).collect();
    let a: Vec<Option<i64>> =
        (0..n).map(|_| some(dice).then(|| dice.below(40) as i64 - 20)).collect();
    let x: Vec<Option<f64>> = (0..n)
        .map(|_| {
            some(dice).then(|| match dice.below(12) {
                0 => f64::NAN,
                1 => f64::INFINITY,
                _ => dice.below(100) as f64 / 4.0 - 10.0,
            })
        })
        .collect();
    let word: Vec<Option<String>> = (0..n)
        .map(|_| some(dice).then(|| dice.of(&["", "a", "b", "ab", "Ä", "z"]).to_owned()))
        .collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(first..first + n as i64)), false),
        ("patient", Arc::new(StringArray::from(patient)), true),
        ("a", Arc::new(Int64Array::from(a)), true),
        ("x", Arc::new(Float64Array::from(x)), true),
        ("word", Arc::new(StringArray::from(word)), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn condition(dice: &mut Dice, depth: u32) -> String {
    if depth > 0 && dice.below(2) == 0 {
        let (l, r) = (condition(dice, depth - 1), condition(dice, depth - 1));
        return match dice.below(3) {
            0 => format!("({l} AND {r})"),
            1 => format!("({l} OR {r})"),
            _ => format!("(NOT {l})"),
        };
    }
    let op = dice.of(&["=", "<>", "<", "<=", ">", ">="]);
    let number = dice.below(40) as i64 - 20;
    match dice.below(8) {
        0 => format!("a {op} {number}"),
        1 => format!("x {op} {number}.25"),
        2 => format!("word {op} '{}'", dice.of(&["a", "ab", "b", ""])),
        3 => {
            format!("{} IS {}NULL", dice.of(&["a", "x", "word", "patient"]), dice.of(&["", "NOT "]))
        }
        4 => format!("patient IN ('p1', 'p{}')", dice.below(6)),
        5 => format!("id {op} {}", dice.below(400)),
        6 => format!("word LIKE '{}%'", dice.of(&["a", "b", ""])),
        _ => format!("a + id {op} {number}"),
    }
}

fn question(dice: &mut Dice) -> String {
    let filter = condition(dice, 3);
    match dice.below(7) {
        0 => format!("SELECT * FROM t WHERE {filter} ORDER BY id"),
        1 => format!(
            "SELECT word, count(*), sum(a), min(a), max(id) FROM t WHERE {filter} GROUP BY word ORDER BY word"
        ),
        2 => format!("SELECT count(*), count(a), count(DISTINCT patient) FROM t WHERE {filter}"),
        3 => format!(
            "SELECT l.id, r.id FROM t l JOIN t r ON l.a = r.a AND l.id < r.id WHERE l.id < 60 AND r.id IN (SELECT id FROM t WHERE {filter}) ORDER BY 1, 2"
        ),
        4 => format!(
            "SELECT id, rank() OVER (PARTITION BY patient ORDER BY a, id) FROM t WHERE {filter} ORDER BY id"
        ),
        5 => format!(
            "SELECT id, x FROM t WHERE {filter} ORDER BY x DESC NULLS LAST, id LIMIT {}",
            1 + dice.below(20)
        ),
        _ => format!(
            "SELECT count(*) FROM (SELECT id FROM t WHERE {filter} UNION ALL SELECT id FROM t WHERE a > 3) u"
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_questions_get_the_same_answers_as_on_plain_tables() {
    let seed = 20_260_102;
    let mut dice = Dice(seed);
    let world = World::new().await;
    let files: Vec<RecordBatch> = [120, 1, 200, 79]
        .into_iter()
        .scan(0, |first, n| {
            let batch = rows(&mut dice, n, *first);
            *first += n as i64;
            Some(batch)
        })
        .collect();
    let clinical = KeyChoice::Class(KeyClass::Clinical);
    world.dataset("t", &files, &[("*", clinical)]).await;
    let roles = ROLES
        .replace("permit(principal in Salus::Role::\"accounts\", action, resource in Salus::Dataset::\"billing\");",
            "permit(principal in Salus::Role::\"accounts\", action, resource in Salus::Dataset::\"t\");")
        .replace("[role.accounts]", "[role.accounts]\n[[role.accounts.rows]]\ndataset = 't'\nsubject = 'patient'\namong = \"SELECT patient FROM careteam WHERE $staff = 'eve'\"");
    world.gateway.reload_roles("roles.toml", &roles).unwrap();

    let schema = files[0].schema();
    let whole = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    whole
        .register_table("t", Arc::new(MemTable::try_new(schema.clone(), vec![files]).unwrap()))
        .unwrap();
    // The row rule, as an independent filter: the subjects on any care team.
    let admitted = whole.sql("SELECT * FROM t WHERE patient IN ('p1', 'p2', 'p3')").await.unwrap();
    let admitted = admitted.collect().await.unwrap();
    let some = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    some.register_table("t", Arc::new(MemTable::try_new(schema, vec![admitted]).unwrap())).unwrap();

    let questions = 150;
    let mut nonempty = 0;
    for n in 0..questions {
        let sql = question(&mut dice);
        for (token, plain) in [("dora", &whole), ("eve", &some)] {
            let expected = plain.sql(&sql).await.unwrap().collect().await.unwrap();
            let answer = world.sql(token, &sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
            let expected: Vec<Vec<String>> = expected.iter().flat_map(plain_cells).collect();
            nonempty += usize::from(!expected.is_empty());
            assert_eq!(cells(&answer), expected, "seed {seed}, question {n} as {token}: {sql}");
        }
    }
    println!("seed {seed}: {questions} questions in two roles, {nonempty} answers with rows");
    assert!(nonempty > questions, "the questions are too narrow to tell anything");
}

fn plain_cells(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = arrow::util::display::FormatOptions::default().with_null("NULL");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|c| arrow::util::display::ArrayFormatter::try_new(c, &options).unwrap())
        .collect();
    let row = |row: usize| columns.iter().map(|c| c.value(row).to_string()).collect();
    (0..batch.num_rows()).map(row).collect()
}
