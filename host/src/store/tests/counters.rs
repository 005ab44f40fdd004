//! The counters against the rows that they count, and rows that no sequence of changes may leave.

use crate::store::engine::sqlite::{self, Connection};
use std::collections::BTreeMap;

/// By execution, connection and belt: total, the nine states, set aside, scheduled, retrying,
/// sourcing, blocked.
pub type Counters = BTreeMap<(i64, i64, i64), Vec<i64>>;

#[derive(Default)]
pub struct Counted {
    pub kept: Counters,
    pub real: Counters,
    pub open: i64,
    pub wrong: Vec<String>,
}

pub async fn count(conn: &mut Connection) -> Counted {
    let mut counted = Counted::default();
    let rows = sqlite::query(
        "SELECT execution_seq, connection_id, belt, total, waiting, in_flight, accepted, \
         succeeded, rejected, failed, unknown, superseded, cancelled, set_aside, scheduled, \
         retrying, sourcing, blocked FROM progress",
    );
    for row in rows.fetch_all(&mut *conn).unwrap() {
        counted.kept.insert(
            (row.get(0), row.get(1), row.get(2)),
            (3..18).map(|index| row.get(index)).collect(),
        );
    }
    let rows = sqlite::query(
        "SELECT id >> 24, connection_id, belt, count(*), sum(state = 0), sum(state = 1), \
         sum(state = 2), sum(state = 3), sum(state = 4), sum(state = 5), sum(state = 6), \
         sum(state = 7), sum(state = 8), sum(waiting IS NOT NULL AND waiting IN (4, 5, 13)), \
         sum(waiting IS NOT NULL AND waiting = 1), sum(waiting IS NOT NULL AND waiting = 12), \
         sum(waiting IS NOT NULL AND waiting = 6), sum(waiting IS NOT NULL AND waiting = 13), \
         sum(state <= 2) FROM job WHERE connection_id IS NOT NULL GROUP BY 1, 2, 3",
    );
    for row in rows.fetch_all(&mut *conn).unwrap() {
        counted.real.insert(
            (row.get(0), row.get(1), row.get(2)),
            (3..18).map(|index| row.get(index)).collect(),
        );
        counted.open += row.get::<i64>(18);
    }
    let never = [
        (
            "in flight without an open intent",
            "SELECT id FROM job WHERE state = 1 AND id NOT IN (SELECT job_id FROM intent WHERE \
             open = TRUE)",
        ),
        (
            "an open intent that is not in flight",
            "SELECT job_id FROM intent WHERE open = TRUE AND job_id NOT IN (SELECT id FROM job \
             WHERE state = 1)",
        ),
        (
            "an intent of an ended job",
            "SELECT job_id FROM intent JOIN job ON id = job_id WHERE state > 2",
        ),
        (
            "an edge of a job that does not wait",
            "SELECT id FROM job WHERE (waiting IS NULL OR waiting <> 5) AND id IN (SELECT \
             child_job FROM dependency)",
        ),
        (
            "completion that contradicts the jobs",
            "SELECT seq FROM execution WHERE (completed_at IS NOT NULL) <> (seal IS NOT NULL AND \
             NOT EXISTS (SELECT 1 FROM job WHERE id >> 24 = seq AND state <= 2))",
        ),
        (
            "refused items",
            "SELECT seq FROM execution WHERE refused <> (SELECT count(*) FROM job WHERE id >> 24 \
             = seq AND connection_id IS NULL)",
        ),
        (
            "grouped errors",
            "SELECT seq FROM execution WHERE (SELECT coalesce(sum(jobs), 0) FROM error_group \
             WHERE execution_seq = seq) <> (SELECT count(*) FROM job WHERE id >> 24 = seq AND \
             state IN (4, 5, 6))",
        ),
    ];
    for (what, question) in never {
        let found: Vec<i64> = sqlite::query(question).scalars(&mut *conn).unwrap();
        if !found.is_empty() {
            counted.wrong.push(format!("{what}: {found:?}"));
        }
    }
    counted
}
