//! The most frequent queries use their indexes.

use sqlx::Row as _;

use super::World;
use crate::store::lifecycle::{blocked_keys, retention};
use crate::store::order::{heads, lanes, queue_position};
use crate::store::queries::executions;
use crate::store::registry::documents;

async fn plan(world: &World, question: String) -> String {
    world
        .store
        .read(move |conn| {
            Box::pin(async move {
                let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
                    "EXPLAIN QUERY PLAN {question}"
                )))
                .fetch_all(conn)
                .await?;
                Ok(rows
                    .iter()
                    .map(|row| row.get::<String, _>(3))
                    .collect::<Vec<_>>()
                    .join("\n"))
            })
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn lane_uses_its_index_in_order() {
    let world = World::new().await;
    let plan = plan(&world, lanes::READY.to_owned()).await;
    assert!(
        plan.contains("USING COVERING INDEX job_lane") || plan.contains("USING INDEX job_lane"),
        "{plan}"
    );
    assert!(
        !plan.contains("SCAN job") && !plan.contains("TEMP B-TREE"),
        "{plan}"
    );
}

#[tokio::test]
async fn head_uses_the_indexes_of_its_key() {
    let world = World::new().await;
    let plan = plan(
        &world,
        format!("{}VALUES ($1, $2), ($3, $4){}", heads::WANTED, heads::WALK),
    )
    .await;
    for index in [
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>>? AND <expr><?)",
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>=?)",
        "INDEX job_key_drawn (connection_id=? AND key_hash=? AND seal>?)",
        "INDEX job_waiting_for_object (connection_id=? AND object_hash=?)",
    ] {
        assert!(plan.contains(index), "{index}\n{plan}");
    }
    assert!(
        !plan.contains("SCAN f")
            && !plan.contains("SCAN j")
            && !plan.contains("SCAN x")
            && !plan.contains("ORDER BY"),
        "{plan}"
    );
}

#[tokio::test]
async fn due_jobs_use_their_index() {
    let world = World::new().await;
    let question = "SELECT id FROM job WHERE state = 0 AND due_at IS NOT NULL AND due_at <= ? AND \
        EXISTS (SELECT 1 FROM execution x WHERE x.seq = job.id >> 24 AND x.seal IS NOT NULL) \
        ORDER BY due_at, id LIMIT ?";
    let plan = plan(&world, question.to_owned()).await;
    assert!(
        plan.contains("INDEX job_due") && !plan.contains("TEMP B-TREE"),
        "{plan}"
    );
}

#[tokio::test]
async fn parents_and_children_are_found_by_object_hash() {
    let world = World::new().await;
    let question = "SELECT p.id FROM job p WHERE p.object_hash = ? AND (p.state > 2) = FALSE";
    let parents = plan(&world, question.to_owned()).await;
    assert!(
        parents.contains("INDEX job_object (object_hash=? AND <expr>=?)"),
        "{parents}"
    );
    let question = "WITH e (c, h) AS (VALUES (?, ?), (?, ?)) SELECT DISTINCT d.child_job FROM e \
        JOIN dependency d ON d.connection_id = e.c AND d.parent_hash = e.h";
    let children = plan(&world, question.to_owned()).await;
    assert!(
        children.contains("PRIMARY KEY (connection_id=? AND parent_hash=?)"),
        "{children}"
    );
    let question = "SELECT child_job, parent_job FROM dependency WHERE connection_id = ? AND \
        parent_hash = ? AND child_job > ? AND parent_type = ? AND parent_id = ? ORDER BY \
        child_job LIMIT ?";
    let next = plan(&world, question.to_owned()).await;
    assert!(
        next.contains("PRIMARY KEY (connection_id=? AND parent_hash=? AND child_job>?)")
            && !next.contains("TEMP B-TREE"),
        "{next}"
    );
    let delete = "DELETE FROM dependency WHERE child_job IN (?, ?) AND connection_id = ? AND \
        parent_hash = ?";
    let delete = plan(&world, delete.to_owned()).await;
    assert!(
        delete.contains("PRIMARY KEY (connection_id=? AND parent_hash=? AND child_job=?)"),
        "{delete}"
    );
    let update = "WITH n (c, h, child, parent) AS (VALUES (?, ?, ?, ?), (?, ?, ?, ?)) UPDATE \
        dependency SET parent_job = n.parent FROM n WHERE connection_id = n.c AND parent_hash = \
        n.h AND child_job = n.child";
    let update = plan(&world, update.to_owned()).await;
    assert!(
        update.contains("SEARCH dependency") && !update.contains("SCAN dependency"),
        "{update}"
    );
}

#[tokio::test]
async fn blocked_key_does_not_reread_jobs_that_are_set_aside() {
    let world = World::new().await;
    let ready = plan(&world, blocked_keys::READY.to_owned()).await;
    for index in [
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>=? AND belt=? AND id>?)",
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>=? AND belt>?)",
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>>?)",
        "INDEX job_key_drawn (connection_id=? AND key_hash=? AND seal>?)",
    ] {
        assert!(ready.contains(index), "{index}\n{ready}");
    }
    assert!(
        !ready.contains("SCAN j") && !ready.contains("SCAN x") && !ready.contains("TEMP B-TREE"),
        "{ready}"
    );
}

#[tokio::test]
async fn document_use_reads_open_executions_only() {
    let world = World::new().await;
    for (question, search) in [
        (
            documents::UNDER_WAY,
            "SEARCH p USING PRIMARY KEY (execution_seq=? AND connection_id=?)",
        ),
        (
            documents::USES_CONNECTION,
            "SEARCH p USING PRIMARY KEY (execution_seq=? AND connection_id=?)",
        ),
        (
            documents::USES_SOURCE,
            "SEARCH j USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        ),
    ] {
        let plan = plan(&world, question.to_owned()).await;
        assert!(
            plan.contains("SCAN x USING INDEX execution_open") && plan.contains(search),
            "{plan}"
        );
        assert!(
            !plan.contains("AUTOMATIC") && !plan.contains("SCAN j") && !plan.contains("SCAN p"),
            "{plan}"
        );
    }
}

#[tokio::test]
async fn retention_uses_indexes() {
    let world = World::new().await;
    let question = format!(
        "SELECT x.seq FROM execution x WHERE x.expires_at IS NOT NULL AND {}",
        retention::REMOVABLE
    );
    let plan = plan(&world, question).await;
    for index in [
        "INDEX execution_expiry (expires_at>? AND expires_at<?)",
        "INDEX idempotency_of_execution (execution_seq=?)",
        "INDEX blocked_key_head (<expr>=?)",
    ] {
        assert!(plan.contains(index), "{index}\n{plan}");
    }
    assert!(
        !plan.contains("SCAN b") && !plan.contains("SCAN i"),
        "{plan}"
    );
}

#[tokio::test]
async fn waiting_jobs_views_use_indexes() {
    let world = World::new().await;
    let ahead = plan(
        &world,
        format!(
            "WITH wanted (id) AS (VALUES (?), (?){}1000)) FROM me",
            queue_position::QUEUE_POSITION
        ),
    )
    .await;
    for index in [
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>=? AND belt=? AND id<?)",
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>=? AND belt<?)",
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>>? AND <expr><?)",
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>=?)\n",
        "INDEX job_key_drawn (connection_id=? AND key_hash=? AND seal>? AND seal<?)",
        "INDEX job_waiting_for_object (connection_id=? AND object_hash=?)",
    ] {
        assert!(ahead.contains(index), "{index}\n{ahead}");
    }
    assert!(
        !ahead.contains("SCAN j")
            && !ahead.contains("SCAN x")
            && !ahead.contains("MATERIALIZE walk"),
        "{ahead}"
    );
    let ends = plan(
        &world,
        format!(
            "WITH w (e, c, b, kind) AS (VALUES (?, ?, ?, ?){}",
            executions::WAIT_ENDS
        ),
    )
    .await;
    let index = "SEARCH j USING COVERING INDEX job_wait_ends (<expr>=? AND connection_id=? AND \
        belt=? AND waiting=?";
    assert!(ends.contains(index), "{ends}");
}

#[tokio::test]
async fn updates_of_listed_rows_read_only_those() {
    let world = World::new().await;
    let update = "WITH n (id, was) AS (VALUES (?, ?), (?, ?)) UPDATE job SET attempts = 1 FROM n \
        WHERE job.id = n.id AND job.state = n.was";
    let update = plan(&world, update.to_owned()).await;
    assert!(
        update.contains("SEARCH job USING INTEGER PRIMARY KEY"),
        "{update}"
    );
    let update = "WITH d (e, c, b) AS (VALUES (?, ?, ?), (?, ?, ?)) UPDATE progress SET waiting = \
        1 FROM d WHERE execution_seq = d.e AND connection_id = d.c AND belt = d.b";
    let update = plan(&world, update.to_owned()).await;
    assert!(
        update.contains(
            "SEARCH progress USING PRIMARY KEY (execution_seq=? AND connection_id=? AND belt=?)"
        ),
        "{update}"
    );
    let delete = "DELETE FROM remote WHERE (connection_id, object_type, object_id) IN (VALUES (?, \
        ?, ?), (?, ?, ?))";
    let delete = plan(&world, delete.to_owned()).await;
    assert!(
        delete.contains(
            "SEARCH remote USING PRIMARY KEY (connection_id=? AND object_type=? AND object_id=?)"
        ),
        "{delete}"
    );
}
