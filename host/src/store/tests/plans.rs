//! The most frequent queries use their indexes.

use egression_core::domain::ids::{ExecutionId, JobId, SubscriptionId};

use super::World;
use crate::store::engine::sqlite;
use crate::store::lifecycle::{blocked_keys, retention};
use crate::store::order::{heads, lanes, queue_position};
use crate::store::queries::{executions, jobs};
use crate::store::registry::documents;

/// The rows of a statement over two columns.
const PAIRS: &str = "SELECT value ->> 0, value ->> 1 FROM json_each(?) WHERE TRUE";

/// The plan of a statement names all of `uses` and none of `avoids`.
async fn assert_plan(statement: &str, uses: &[&str], avoids: &[&str]) {
    let world = World::new().await;
    let question = format!("EXPLAIN QUERY PLAN {statement}");
    let rows = world.store.read(move |conn| {
        let question = sqlite::query(question);
        Box::pin(async move { question.fetch_all(conn) })
    });
    let rows = rows.await.unwrap();
    let steps: Vec<&str> = rows
        .iter()
        .map(|row| row.try_get("detail").unwrap())
        .collect();
    let plan = steps.join("\n");
    for step in uses {
        assert!(plan.contains(step), "{step}\n{plan}");
    }
    for step in avoids {
        // `SCAN j` is not `SCAN json_each`.
        let is_whole = |at: usize| {
            let rest = &plan[at + step.len()..];
            !rest.starts_with(|next: char| next.is_alphanumeric())
        };
        let found = plan.match_indices(step).any(|(at, _)| is_whole(at));
        assert!(!found, "{step}\n{plan}");
    }
}

#[tokio::test]
async fn lane_uses_its_index_in_order() {
    let avoids = ["SCAN job", "TEMP B-TREE"];
    assert_plan(lanes::READY, &["INDEX job_lane"], &avoids).await;
}

#[tokio::test]
async fn head_uses_the_indexes_of_its_key() {
    let heads = format!("{}{PAIRS}{}", heads::WANTED, heads::WALK);
    let uses = [
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>>? AND <expr><?)",
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>=?)",
        "INDEX job_key_drawn (connection_id=? AND key_hash=? AND seal>?)",
        "INDEX job_waiting_for_object (connection_id=? AND object_hash=?)",
    ];
    assert_plan(&heads, &uses, &["SCAN f", "SCAN j", "SCAN x", "ORDER BY"]).await;
}

#[tokio::test]
async fn due_jobs_use_their_index() {
    let due = "SELECT id FROM job WHERE state = 0 AND due_at IS NOT NULL AND due_at <= ? AND \
        EXISTS (SELECT 1 FROM execution x WHERE x.seq = job.id >> 24 AND x.seal IS NOT NULL) \
        ORDER BY due_at, id LIMIT ?";
    assert_plan(due, &["INDEX job_due"], &["TEMP B-TREE"]).await;
}

#[tokio::test]
async fn parents_and_children_are_found_by_object_hash() {
    for (statement, uses, avoids) in [
        (
            "SELECT p.id FROM job p WHERE p.object_hash = ? AND (p.state > 2) = FALSE",
            "INDEX job_object (object_hash=? AND <expr>=?)",
            "SCAN p",
        ),
        (
            "WITH e (c, h) AS MATERIALIZED (SELECT value ->> 0, value ->> 1 FROM json_each(?)) \
             SELECT d.child_job FROM e CROSS JOIN dependency d WHERE d.connection_id = e.c AND \
             d.parent_hash = e.h LIMIT ?",
            "PRIMARY KEY (connection_id=? AND parent_hash=?)",
            "SCAN d",
        ),
        (
            "SELECT child_job, parent_job FROM dependency WHERE connection_id = ? AND \
             parent_hash = ? AND child_job > ? AND parent_type = ? AND parent_id = ? ORDER BY \
             child_job LIMIT ?",
            "PRIMARY KEY (connection_id=? AND parent_hash=? AND child_job>?)",
            "TEMP B-TREE",
        ),
        (
            "DELETE FROM dependency WHERE child_job IN (SELECT value FROM json_each(?)) AND \
             connection_id = ? AND parent_hash = ?",
            "PRIMARY KEY (connection_id=? AND parent_hash=? AND child_job=?)",
            "SCAN dependency",
        ),
        (
            "WITH n (c, h, child, parent) AS MATERIALIZED (SELECT value ->> 0, value ->> 1, \
             value ->> 2, value ->> 3 FROM json_each(?) WHERE TRUE) UPDATE dependency SET \
             parent_job = n.parent FROM n WHERE connection_id = n.c AND parent_hash = n.h AND \
             child_job = n.child",
            "SEARCH dependency",
            "SCAN dependency",
        ),
    ] {
        assert_plan(statement, &[uses], &[avoids]).await;
    }
}

#[tokio::test]
async fn blocked_key_does_not_reread_jobs_that_are_set_aside() {
    let uses = [
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>=? AND belt=? AND id>?)",
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>=? AND belt>?)",
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>>?)",
        "INDEX job_key_drawn (connection_id=? AND key_hash=? AND seal>?)",
    ];
    let avoids = ["SCAN j", "SCAN x", "TEMP B-TREE"];
    assert_plan(blocked_keys::READY, &uses, &avoids).await;
}

#[tokio::test]
async fn document_use_reads_open_executions_only() {
    let progress = "SEARCH p USING PRIMARY KEY (execution_seq=? AND connection_id=?)";
    let jobs = "SEARCH j USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
    for (question, search) in [
        (documents::UNDER_WAY, progress),
        (documents::USES_CONNECTION, progress),
        (documents::USES_SOURCE, jobs),
    ] {
        let uses = ["SCAN x USING INDEX execution_open", search];
        assert_plan(question, &uses, &["AUTOMATIC", "SCAN j", "SCAN p"]).await;
    }
}

#[tokio::test]
async fn retention_uses_indexes() {
    let question = format!(
        "SELECT x.seq FROM execution x WHERE x.expires_at IS NOT NULL AND {}",
        retention::REMOVABLE
    );
    let uses = [
        "INDEX execution_expiry (expires_at>? AND expires_at<?)",
        "INDEX idempotency_of_execution (execution_seq=?)",
        "INDEX blocked_key_head (<expr>=?)",
    ];
    assert_plan(&question, &uses, &["SCAN b", "SCAN i"]).await;
}

#[tokio::test]
async fn waiting_jobs_views_use_indexes() {
    let positions = format!(
        "WITH wanted (id) AS MATERIALIZED (SELECT value ->> 0 FROM json_each(?) WHERE TRUE{}1000)) \
         FROM me",
        queue_position::QUEUE_POSITION
    );
    let uses = [
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>=? AND belt=? AND id<?)",
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>=? AND belt<?)",
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>>? AND <expr><?)",
        "INDEX job_key (connection_id=? AND key_hash=? AND <expr>=?)\n",
        "INDEX job_key_drawn (connection_id=? AND key_hash=? AND seal>? AND seal<?)",
        "INDEX job_waiting_for_object (connection_id=? AND object_hash=?)",
    ];
    let avoids = ["SCAN j", "SCAN x", "MATERIALIZE walk"];
    assert_plan(&positions, &uses, &avoids).await;
    let ends = format!(
        "WITH w (e, c, b, kind) AS MATERIALIZED (SELECT value ->> 0, value ->> 1, value ->> 2, \
         value ->> 3 FROM json_each(?) WHERE TRUE{}",
        executions::WAIT_ENDS
    );
    let index = "SEARCH j USING COVERING INDEX job_wait_ends (<expr>=? AND connection_id=? AND \
        belt=? AND waiting=?";
    assert_plan(&ends, &[index], &[]).await;
}

#[tokio::test]
async fn updates_of_listed_rows_read_only_those() {
    for (statement, search) in [
        (
            "WITH n (id, was) AS MATERIALIZED (SELECT value ->> 0, value ->> 1 FROM json_each(?) \
             WHERE TRUE) UPDATE job SET attempts = 1 FROM n \
             WHERE job.id = n.id AND job.state = n.was",
            "SEARCH job USING INTEGER PRIMARY KEY",
        ),
        (
            "WITH d (e, c, b) AS MATERIALIZED (SELECT value ->> 0, value ->> 1, value ->> 2 FROM \
             json_each(?) WHERE TRUE) UPDATE progress SET waiting = 1 \
             FROM d WHERE execution_seq = d.e AND connection_id = d.c AND belt = d.b",
            "SEARCH progress USING PRIMARY KEY (execution_seq=? AND connection_id=? AND belt=?)",
        ),
        (
            "DELETE FROM remote WHERE (connection_id, object_type, object_id) IN (SELECT value \
             ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE TRUE)",
            "SEARCH remote USING PRIMARY KEY (connection_id=? AND object_type=? AND object_id=?)",
        ),
    ] {
        assert_plan(statement, &[search], &[]).await;
    }
}

#[tokio::test]
async fn public_id_is_looked_up_within_the_subscription_by_its_index() {
    let (execution, own) = (ExecutionId(uuid::Uuid::nil()), Some(SubscriptionId(1)));
    let job = JobId {
        execution,
        index: 0,
    };
    for statement in [
        executions::by_public_id(execution, own),
        jobs::by_public_id(job, own),
    ] {
        let statement = statement.build().text().to_owned();
        // A foreign id matches no row of this statement, as an absent one.
        assert!(
            statement.contains("AND x.subscription_id = ?"),
            "{statement}"
        );
        assert_plan(&statement, &["(public_id=?)"], &["SCAN"]).await;
    }
}
