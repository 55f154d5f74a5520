//! What one statement may use, and how it ends when it wants more.

use std::time::{Duration, Instant};

use salus_query::{AccessToken, Limits, Outcome, Parameter, QueryError, Request};

use crate::world::{LIMITS, World};

/// Two thousand million rows, none of which can be had without computing it.
pub(crate) const ENDLESS: &str = "SELECT count(*) FROM meals a, meals b, meals c, meals d, meals e, \
    meals f, meals g, meals h, meals i, meals j, meals k, meals l \
    WHERE (a.id * b.id * c.id * d.id + e.id * f.id * g.id * h.id + i.id * j.id * k.id * l.id) \
    % 7 = 3";

/// Nearly two million different numbers `v`.
const MANY: &str = "(SELECT a.id + 7 * b.id + 49 * c.id + 343 * d.id + 2401 * e.id + 16807 * f.id \
    + 117649 * g.id + 823543 * h.id AS v \
    FROM meals a, meals b, meals c, meals d, meals e, meals f, meals g, meals h)";

#[tokio::test(flavor = "multi_thread")]
async fn too_many_rows_are_an_error_and_not_a_part_of_the_answer() {
    let world = World::with(Limits { rows: 5, ..LIMITS }).await;
    let refused = world.sql("dora", "SELECT id FROM meals").await;
    assert!(matches!(refused, Err(QueryError::TooManyRows { limit: 5 })));
    assert_eq!(world.rows("dora", "SELECT id FROM meals LIMIT 5").await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_limited_and_nothing_spills() {
    let world = World::with(Limits { memory_bytes: 4 * 1024 * 1024, ..LIMITS }).await;
    for sql in [
        format!("SELECT v, count(*) FROM {MANY} GROUP BY v LIMIT 1"),
        format!("SELECT v FROM {MANY} ORDER BY v % 1000, v DESC LIMIT 2000000"),
    ] {
        let refused = world.sql("dora", &sql).await;
        let refused = refused.map(|a| a.rows());
        assert!(matches!(refused, Err(QueryError::OutOfMemory { limit_mib: 4 })), "{refused:?}");
    }
    assert_eq!(world.rows("dora", "SELECT count(*) FROM meals").await, ["6"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_is_limited() {
    let world = World::with(Limits { time: Duration::from_millis(500), ..LIMITS }).await;
    let begun = Instant::now();
    let refused = world.sql("dora", ENDLESS).await.map(|a| a.rows());
    assert!(matches!(refused, Err(QueryError::TimedOut { .. })), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_whose_caller_goes_away_stops_and_is_on_record() {
    let world = World::new().await;
    let asked = tokio::time::timeout(Duration::from_millis(500), world.sql("dora", ENDLESS)).await;
    assert!(asked.is_err());
    for _ in 0..100 {
        if world.audit.events().len() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.audit.last().outcome, Outcome::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_and_long_statements_are_refused_and_never_overflow_the_stack() {
    let world = World::new().await;
    let nested = |n: usize| format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n));
    let queries = |n: usize| format!("{}SELECT 1{}", "SELECT * FROM (".repeat(n), ") t".repeat(n));
    let chain = |n: usize| format!("SELECT 1{}", " + 1".repeat(n));
    let ors = |n: usize| format!("SELECT id FROM meals WHERE id = 0{}", " OR kcal = 1".repeat(n));
    let unions = |n: usize| format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(n));
    let nots = |n: usize| format!("SELECT {} true", "NOT ".repeat(n));
    let minus = |n: usize| format!("SELECT {}1", "- ".repeat(n));
    let cases =
        |n: usize| format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(n), " END".repeat(n));
    for sql in [
        nested(20_000),
        queries(2_000),
        chain(15_000),
        ors(4_000),
        unions(3_000),
        nots(15_000),
        minus(20_000),
        cases(2_000),
    ] {
        let refused = world.sql("dora", &sql).await;
        let start: String = sql.chars().take(60).collect();
        assert!(
            matches!(refused, Err(QueryError::Sql { .. })),
            "{start}: {:?}",
            refused.map(|_| ())
        );
    }
    assert_eq!(world.rows("dora", &chain(400)).await, ["401"]);
    assert_eq!(world.rows("dora", &ors(400)).await.len(), 0);
    let long = format!("SELECT '{}'", "x".repeat(LIMITS.statement_bytes));
    assert!(matches!(world.sql("dora", &long).await, Err(QueryError::Sql { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_values() {
    let world = World::new().await;
    let ask = async |sql: &str, parameters: Vec<Parameter>| {
        let request = Request { sql: sql.to_owned(), role: None, parameters };
        let answer = world.gateway.answer(&AccessToken::new("dora".to_owned()), request).await;
        answer.map(|a| a.rows()).map_err(|e| e.to_string())
    };
    let soup = || Parameter::Text("soup".to_owned());
    assert_eq!(ask("SELECT id FROM meals WHERE food = $1", vec![soup()]).await, Ok(2));
    let both = vec![soup(), Parameter::Integer(245)];
    assert_eq!(ask("SELECT id FROM meals WHERE food = $1 AND kcal > $2", both).await, Ok(1));
    let sly = Parameter::Text("x' OR '1' = '1".to_owned());
    assert_eq!(ask("SELECT id FROM meals WHERE food = $1", vec![sly]).await, Ok(0));
    let told = ask("SELECT id FROM meals WHERE food = $1", vec![]).await.unwrap_err();
    assert!(told.contains("parameter $1 has no value"), "{told}");
}
