//! SQL as sqllogictest files, one role each, through the whole gateway.

use std::path::Path;
use std::sync::Arc;

use salus_query::QueryError;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use crate::world::{World, cells};

struct As {
    token: String,
    world: Arc<World>,
}

#[async_trait::async_trait]
impl AsyncDB for As {
    type Error = QueryError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, QueryError> {
        let answer = self.world.sql(&self.token, sql).await?;
        let types = vec![DefaultColumnType::Any; answer.schema().fields().len()];
        let empty = |cell: String| if cell.is_empty() { "(empty)".to_owned() } else { cell };
        let rows = cells(&answer);
        let rows = rows.into_iter().map(|r| r.into_iter().map(empty).collect()).collect();
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}
}

async fn file(token: &str, name: &str) {
    let world = Arc::new(World::new().await);
    let mut runner = Runner::new(|| {
        let (token, world) = (token.to_owned(), Arc::clone(&world));
        async move { Ok(As { token, world }) }
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sql").join(name);
    if let Err(e) = runner.run_file_async(path).await {
        panic!("{}", e.display(false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_physician_reads_everything() {
    file("dora", "physician.slt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dietitian_reads_her_own_clients_without_their_insurance() {
    file("ann", "dietitian.slt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trainee_sees_null_where_the_role_masks() {
    file("tom", "trainee.slt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_see_billing_only() {
    file("eve", "accounts.slt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_more_than_read_is_refused_by_name() {
    file("dora", "refused.slt").await;
}
