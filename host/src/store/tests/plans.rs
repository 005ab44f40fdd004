//! The questions asked most are answered from their indexes.

use sqlx::Row as _;

use super::super::{heads, lanes};
use super::World;

async fn plan(world: &World, question: String) -> String {
    world
        .store
        .read(move |conn| {
            Box::pin(async move {
                let rows = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {question}"))).fetch_all(conn).await?;
                Ok(rows.iter().map(|row| row.get::<String, _>(3)).collect::<Vec<_>>().join("\n"))
            })
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn a_lane_is_read_from_its_index_in_its_order() {
    let world = World::new().await;
    let plan = plan(&world, lanes::READY.to_owned()).await;
    assert!(plan.contains("USING COVERING INDEX job_lane") || plan.contains("USING INDEX job_lane"), "{plan}");
    assert!(!plan.contains("SCAN job") && !plan.contains("TEMP B-TREE"), "{plan}");
}

#[tokio::test]
async fn a_head_is_found_from_the_indexes_of_its_key() {
    let world = World::new().await;
    let plan = plan(&world, format!("{}VALUES (?, ?), (?, ?){}", heads::WANTED, heads::WALK)).await;
    for index in [
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>>? AND <expr><?)",
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>=?)",
        "INDEX job_key_drawn (connection_id=? AND key_hash=? AND seal>?)",
        "INDEX job_waiting_for_object (connection_id=? AND object_hash=?)",
    ] {
        assert!(plan.contains(index), "{index}\n{plan}");
    }
    assert!(!plan.contains("SCAN f") && !plan.contains("SCAN j") && !plan.contains("SCAN x") && !plan.contains("ORDER BY"), "{plan}");
}

#[tokio::test]
async fn what_falls_due_is_read_from_its_index() {
    let world = World::new().await;
    let question = "SELECT id FROM job WHERE state = 0 AND due_at IS NOT NULL AND due_at <= ? \
         AND EXISTS (SELECT 1 FROM execution x WHERE x.seq = job.id >> 24 AND x.seal IS NOT NULL) ORDER BY due_at, id LIMIT ?";
    let plan = plan(&world, question.to_owned()).await;
    assert!(plan.contains("INDEX job_due") && !plan.contains("TEMP B-TREE"), "{plan}");
}
