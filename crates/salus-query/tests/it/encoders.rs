//! The forms in which answers go out.

use salus_query::Answer;

use crate::world::World;

fn json(answer: &Answer) -> String {
    let mut out = Vec::new();
    answer.write_json(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn csv(answer: &Answer) -> String {
    let mut out = Vec::new();
    answer.write_csv(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_keep_every_digit_and_times_are_iso() {
    let world = World::new().await;
    let sql = "SELECT 9007199254740993 AS big, CAST('12345678901234567890.123456789' AS \
               DECIMAL(38,9)) AS exact, eaten, food, weight, 'NaN'::double AS nan \
               FROM meals WHERE id = 5";
    let answer = world.sql("dora", sql).await.unwrap();
    assert_eq!(
        json(&answer),
        "[{\"big\":9007199254740993,\"exact\":12345678901234567890.123456789,\
         \"eaten\":\"2026-01-01T04:00:00\",\"food\":null,\"weight\":90.5,\"nan\":null}]"
    );
    let empty = world.sql("dora", "SELECT id FROM meals WHERE false").await.unwrap();
    assert_eq!((json(&empty).as_str(), csv(&empty).as_str()), ("[]", "id\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_quotes_what_rfc_4180_quotes() {
    let world = World::new().await;
    let sql = "SELECT 'a\"b' AS q, 'c,d' AS c, 'e\nf' AS n, NULL AS nothing, '' AS empty, \
               '=1+1' AS formula, make_array(1, 2) AS list";
    let answer = world.sql("dora", sql).await.unwrap();
    assert_eq!(
        csv(&answer),
        "q,c,n,nothing,empty,formula,list\n\"a\"\"b\",\"c,d\",\"e\nf\",,,=1+1,\"[1,2]\"\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn arrow_streams_carry_the_same_rows_and_no_inner_marks() {
    let world = World::new().await;
    let answer = world.sql("dora", "SELECT * FROM meals ORDER BY id").await.unwrap();
    let mut out = Vec::new();
    answer.write_arrow(&mut out).unwrap();
    let reader = arrow::ipc::reader::StreamReader::try_new(&out[..], None).unwrap();
    assert!(reader.schema().fields().iter().all(|f| f.metadata().is_empty()));
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(batches, answer.batches());
}
