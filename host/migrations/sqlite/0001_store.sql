-- Documents, executions, jobs, intents, events, the id map, and limits.
-- Instants are milliseconds since the Unix epoch. States, actions and waiting kinds have the codes
-- of `host/core/src/domain`; retention, order and the plans rely on the indexes below.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- ---------------------------------------------------------------- documents

-- Ids are never reused, because history outlives the document that it names.
CREATE TABLE subscription (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL UNIQUE,
    document   TEXT NOT NULL,
    version    INTEGER NOT NULL DEFAULT 1,
    managed_by TEXT NOT NULL CHECK (managed_by IN ('file', 'api')),
    updated_at INTEGER NOT NULL
);

CREATE TABLE source (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL UNIQUE,
    document   TEXT NOT NULL,
    version    INTEGER NOT NULL DEFAULT 1,
    managed_by TEXT NOT NULL CHECK (managed_by IN ('file', 'api')),
    updated_at INTEGER NOT NULL
);

CREATE TABLE channel (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL UNIQUE,
    document   TEXT NOT NULL,
    version    INTEGER NOT NULL DEFAULT 1,
    managed_by TEXT NOT NULL CHECK (managed_by IN ('file', 'api')),
    paused     INTEGER NOT NULL DEFAULT 0,
    updated_at INTEGER NOT NULL
);

CREATE TABLE connection (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription_id INTEGER NOT NULL REFERENCES subscription (id),
    channel_id      INTEGER NOT NULL REFERENCES channel (id),
    document        TEXT NOT NULL,
    version         INTEGER NOT NULL DEFAULT 1,
    managed_by      TEXT NOT NULL CHECK (managed_by IN ('file', 'api')),
    -- active, paused (by a person), parked (by the host: credential or settings refused)
    state           TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'parked')),
    state_reason    TEXT,
    updated_at      INTEGER NOT NULL,
    UNIQUE (subscription_id, channel_id)
);

-- Encrypted by the master key. owner: 'connection:7', 'source:3'. A new value is a new generation.
CREATE TABLE secret (
    owner       TEXT NOT NULL,
    name        TEXT NOT NULL,
    generation  INTEGER NOT NULL,
    ciphertext  BLOB NOT NULL,
    -- JSON list of the hosts that the secret was entered for.
    bound_hosts TEXT NOT NULL DEFAULT '[]',
    expires_at  INTEGER,
    -- A digest of the input that the secret was made from: the value that a person entered (a
    -- connector may have renewed it since), or the input of a token request. Null: a connector
    -- deposited the secret under a name of its own.
    origin      TEXT,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (owner, name)
) WITHOUT ROWID;

-- A guest's session, dropped when another version of the connector is activated.
CREATE TABLE session (
    connection_id INTEGER PRIMARY KEY REFERENCES connection (id) ON DELETE CASCADE,
    digest        TEXT NOT NULL,
    ciphertext    BLOB NOT NULL,
    expires_at    INTEGER,
    account       TEXT,
    updated_at    INTEGER NOT NULL
);

CREATE TABLE api_key (
    id              INTEGER PRIMARY KEY,
    public_id       TEXT NOT NULL UNIQUE,
    hash            BLOB NOT NULL UNIQUE,
    role            TEXT NOT NULL CHECK (role IN ('admin', 'submit', 'read')),
    subscription_id INTEGER REFERENCES subscription (id) ON DELETE CASCADE,
    label           TEXT,
    created_at      INTEGER NOT NULL,
    revoked_at      INTEGER
);

-- The component's file is in the data directory, named by its digest.
CREATE TABLE connector (
    name         TEXT NOT NULL,
    version      TEXT NOT NULL,
    digest       TEXT NOT NULL,
    description  TEXT NOT NULL,
    size_bytes   INTEGER NOT NULL,
    active       INTEGER NOT NULL DEFAULT 0,
    installed_at INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) WITHOUT ROWID;

CREATE UNIQUE INDEX connector_active ON connector (name) WHERE active = TRUE;

-- ---------------------------------------------------------------- executions and jobs

CREATE TABLE execution (
    -- From the same counter as the seals: an execution with a number above a seal began after it.
    -- So everything before a job in its key has an execution number of at most the job's seal.
    seq             INTEGER PRIMARY KEY,
    public_id       BLOB NOT NULL UNIQUE,
    -- No foreign key: finished executions are kept when their subscription is removed.
    subscription_id INTEGER NOT NULL,
    -- 'jobs' or 'bulk': the operation that submitted it
    operation       TEXT NOT NULL,
    -- The order of acceptance among all executions; null while the request arrives.
    seal            INTEGER UNIQUE,
    created_at      INTEGER NOT NULL,
    sealed_at       INTEGER,
    completed_at    INTEGER,
    expires_at      INTEGER,
    paused          INTEGER NOT NULL DEFAULT 0,
    cancel_requested_at INTEGER,
    -- JSON object of string pairs, as given
    context         TEXT,
    traceparent     TEXT,
    retry_of        INTEGER,
    -- Refused items of a bulk request; they count as rejected jobs.
    refused         INTEGER NOT NULL DEFAULT 0
);

-- Unfinished executions, including those that still arrive (seal null).
CREATE INDEX execution_open ON execution (seal) WHERE completed_at IS NULL;
CREATE INDEX execution_of_subscription ON execution (subscription_id, seq);
-- Retention removes the oldest expired executions first.
CREATE INDEX execution_expiry ON execution (expires_at, seq) WHERE expires_at IS NOT NULL;

-- One row per belt of an execution on a connection. Every transaction that changes a job changes
-- it.
CREATE TABLE progress (
    execution_seq INTEGER NOT NULL REFERENCES execution (seq) ON DELETE CASCADE,
    connection_id INTEGER NOT NULL,
    belt          INTEGER NOT NULL,
    total         INTEGER NOT NULL DEFAULT 0,
    waiting       INTEGER NOT NULL DEFAULT 0,
    in_flight     INTEGER NOT NULL DEFAULT 0,
    accepted      INTEGER NOT NULL DEFAULT 0,
    succeeded     INTEGER NOT NULL DEFAULT 0,
    rejected      INTEGER NOT NULL DEFAULT 0,
    failed        INTEGER NOT NULL DEFAULT 0,
    unknown       INTEGER NOT NULL DEFAULT 0,
    superseded    INTEGER NOT NULL DEFAULT 0,
    cancelled     INTEGER NOT NULL DEFAULT 0,
    -- of the waiting jobs
    set_aside     INTEGER NOT NULL DEFAULT 0,
    scheduled     INTEGER NOT NULL DEFAULT 0,
    retrying      INTEGER NOT NULL DEFAULT 0,
    sourcing      INTEGER NOT NULL DEFAULT 0,
    blocked       INTEGER NOT NULL DEFAULT 0,
    -- bit (10 - priority) for each priority present
    priorities    INTEGER NOT NULL DEFAULT 0,
    opened        INTEGER NOT NULL DEFAULT 0,
    -- An intent of the belt was committed once, so some of its jobs may have been sent.
    sent          INTEGER NOT NULL DEFAULT 0,
    -- Each change of the counters raises it: of two readings, the higher version is newer.
    version       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (execution_seq, connection_id, belt),
    CHECK (total = waiting + in_flight + accepted + succeeded + rejected + failed + unknown
        + superseded + cancelled),
    CHECK (waiting >= 0 AND in_flight >= 0 AND accepted >= 0 AND set_aside BETWEEN 0 AND waiting)
) WITHOUT ROWID;

-- Narrow and hot. The id contains execution and index, so the jobs of an execution are adjacent and
-- need no index of their own.
CREATE TABLE job (
    id            INTEGER PRIMARY KEY,
    -- null for a refused item, whose belt is 0
    connection_id INTEGER,
    belt          INTEGER NOT NULL,
    key_hash      INTEGER NOT NULL,
    object_hash   INTEGER NOT NULL,
    state         INTEGER NOT NULL,
    waiting       INTEGER,
    action        INTEGER NOT NULL,
    priority      INTEGER NOT NULL DEFAULT 0,
    attempts      INTEGER NOT NULL DEFAULT 0,
    conflicts     INTEGER NOT NULL DEFAULT 0,
    source_id     INTEGER,
    -- when time ends the waiting reason (schedule, retry, dependency)
    due_at        INTEGER,
    waits_since   INTEGER,
    expires_at    INTEGER,
    -- assigned when a scheduled job becomes due; 0: the execution's
    seal          INTEGER NOT NULL DEFAULT 0,
    object_type   TEXT NOT NULL,
    object_id     TEXT NOT NULL,
    -- null: the object is the key
    partition_key TEXT,
    -- the survivor of a merge
    merged_into   INTEGER,
    finished_at   INTEGER,
    changed       INTEGER,
    problem_code  TEXT,
    CHECK (state BETWEEN 0 AND 8),
    CHECK ((connection_id IS NULL) = (belt = 0)),
    CHECK (waiting IS NULL OR state = 0),
    CHECK ((state > 2) = (finished_at IS NOT NULL))
);

-- The scheduler reads the ready jobs of a belt, by priority, in order.
CREATE INDEX job_lane ON job (connection_id, belt, priority, id)
    WHERE state = 0 AND waiting IS NULL;
-- Jobs that hold their key, by execution and in their order there. Jobs that wait for their time,
-- for an object or for the job they were merged into hold nothing. A search for a head steps over
-- the executions one by one (see heads.rs).
CREATE INDEX job_key ON job (connection_id, key_hash, (id >> 24), belt, id)
    WHERE seal = 0 AND state <= 2 AND (waiting IS NULL OR waiting NOT IN (1, 5, 14));
-- The same for jobs with a seal of their own.
CREATE INDEX job_key_drawn ON job (connection_id, key_hash, seal, belt, id)
    WHERE seal > 0 AND state <= 2 AND (waiting IS NULL OR waiting NOT IN (1, 5, 14));
-- Jobs that wait for an object: they hold later jobs of their own object only.
CREATE INDEX job_waiting_for_object ON job (connection_id, object_hash)
    WHERE state = 0 AND waiting = 5;
-- Jobs of an object: the unfinished ones (parents), and its history.
CREATE INDEX job_object ON job (object_hash, (state > 2), id);
-- Waits that time ends.
CREATE INDEX job_due ON job (due_at, id) WHERE state = 0 AND due_at IS NOT NULL;
-- The time at which the earliest wait of a kind ends in a belt, without reading the belt's jobs.
CREATE INDEX job_wait_ends ON job ((id >> 24), connection_id, belt, waiting, due_at)
    WHERE state = 0 AND due_at IS NOT NULL;
CREATE INDEX job_expiry ON job (expires_at, id) WHERE state = 0 AND expires_at IS NOT NULL;
-- Accepted by the destination, not decided yet.
CREATE INDEX job_accepted ON job (id) WHERE state = 2;
-- Lists of jobs that went wrong.
CREATE INDEX job_not_well ON job (state, id) WHERE state IN (4, 5, 6);

-- Data that few jobs have and that the scheduler never reads.
CREATE TABLE job_detail (
    job_id       INTEGER PRIMARY KEY,
    client_ref   TEXT,
    context      TEXT,
    depends_on   TEXT,
    scheduled_at INTEGER,
    revision     INTEGER,
    full         INTEGER NOT NULL DEFAULT 0,
    traceparent  TEXT,
    -- a refused item: the first bytes of the line
    excerpt      TEXT,
    -- JSON; set when the job ends badly
    problem      TEXT
);

-- Bodies that came with the request.
CREATE TABLE payload (
    job_id INTEGER PRIMARY KEY,
    body   TEXT NOT NULL
);

-- Written before the first byte leaves. The body stays pinned until the outcome is known: a repeat
-- sends these bytes.
CREATE TABLE intent (
    job_id          INTEGER PRIMARY KEY,
    call_id         INTEGER NOT NULL,
    attempt         INTEGER NOT NULL,
    -- 1: sent or about to be; 0: answered, the body stays pinned for the repeat
    open            INTEGER NOT NULL,
    -- when the repeats after a lost answer are used up, the job ends as unknown
    answer_lost     INTEGER NOT NULL DEFAULT 0,
    action          INTEGER NOT NULL,
    body_hash       BLOB NOT NULL,
    body            TEXT,
    revision        INTEGER,
    -- The number of this delivery, if no source names a revision. A repeat carries the number of
    -- the first attempt.
    counted         INTEGER,
    idempotency_key TEXT NOT NULL,
    opened_at       INTEGER NOT NULL
);

CREATE INDEX intent_open ON intent (job_id) WHERE open = TRUE;

-- Children that wait for an object. parent_job: the unfinished job of that object, if one is known.
CREATE TABLE dependency (
    connection_id INTEGER NOT NULL,
    parent_hash   INTEGER NOT NULL,
    child_job     INTEGER NOT NULL,
    parent_job    INTEGER,
    parent_type   TEXT NOT NULL,
    parent_id     TEXT NOT NULL,
    PRIMARY KEY (connection_id, parent_hash, child_job)
) WITHOUT ROWID;

CREATE INDEX dependency_of_child ON dependency (child_job);

-- Jobs that ended while more children wait for their objects than one transaction notifies. The
-- children are notified in the order of the ends, a bounded number at a time, also after a restart.
CREATE TABLE pending_notification (
    seq           INTEGER PRIMARY KEY,
    connection_id INTEGER NOT NULL,
    object_type   TEXT NOT NULL,
    object_id     TEXT NOT NULL,
    job_id        INTEGER NOT NULL,
    success       INTEGER NOT NULL,
    -- Children up to this one are notified.
    notified_to   INTEGER NOT NULL DEFAULT -1
);

-- A blocked key is a fact of the key, never derived from a job.
CREATE TABLE blocked_key (
    connection_id INTEGER NOT NULL,
    key_hash      INTEGER NOT NULL,
    partition_key TEXT NOT NULL,
    reason        TEXT NOT NULL,
    head_job      INTEGER,
    since         INTEGER NOT NULL,
    PRIMARY KEY (connection_id, key_hash)
) WITHOUT ROWID;

-- Retention keeps the execution of a blocked key's head.
CREATE INDEX blocked_key_head ON blocked_key ((head_job >> 24));

-- A job's history, append-only.
CREATE TABLE event (
    job_id      INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    stage       TEXT NOT NULL,
    attempt     INTEGER,
    http_status INTEGER,
    duration_ms INTEGER,
    detail      TEXT,
    log         TEXT,
    PRIMARY KEY (job_id, seq)
) WITHOUT ROWID;

-- Grouped errors of an execution.
CREATE TABLE error_group (
    execution_seq INTEGER NOT NULL REFERENCES execution (seq) ON DELETE CASCADE,
    code          TEXT NOT NULL,
    state         INTEGER NOT NULL,
    jobs          INTEGER NOT NULL,
    example_job   INTEGER NOT NULL,
    PRIMARY KEY (execution_seq, code, state)
) WITHOUT ROWID;

-- The id map: what objects became at a destination.
CREATE TABLE remote (
    connection_id INTEGER NOT NULL,
    object_type   TEXT NOT NULL,
    object_id     TEXT NOT NULL,
    kind          TEXT NOT NULL,
    sub_id        TEXT NOT NULL DEFAULT '',
    remote_id     TEXT NOT NULL,
    version       TEXT,
    url           TEXT,
    updated_at    INTEGER NOT NULL,
    PRIMARY KEY (connection_id, object_type, object_id, kind, sub_id)
) WITHOUT ROWID;

-- Objects that are at a destination: delivered, and not deleted since. The id map alone does not
-- tell, because a destination need not name what an object became.
CREATE TABLE delivered (
    connection_id INTEGER NOT NULL,
    object_type   TEXT NOT NULL,
    object_id     TEXT NOT NULL,
    -- The newest delivered revision: no older one is sent after it. Null: the source names none.
    revision      INTEGER,
    -- The latest delivery.
    at            INTEGER NOT NULL,
    -- The number of deliveries: the revision that a connector gets where no source names one. It is
    -- never compared with a source's revision, so it has a column of its own.
    counted       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (connection_id, object_type, object_id)
) WITHOUT ROWID;

-- Written in the transaction that seals its jobs.
CREATE TABLE idempotency (
    subscription_id INTEGER NOT NULL,
    operation       TEXT NOT NULL,
    key             TEXT NOT NULL,
    body_hash       BLOB NOT NULL,
    execution_seq   INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (subscription_id, operation, key)
) WITHOUT ROWID;

CREATE INDEX idempotency_of_execution ON idempotency (execution_seq);

-- ---------------------------------------------------------------- limits as facts

-- A limit stays closed until then, also across restarts.
CREATE TABLE closed_until (
    limit_key TEXT PRIMARY KEY,
    until     INTEGER NOT NULL,
    reason    TEXT
) WITHOUT ROWID;

-- Units of a window are leased in slices before use. A slice that is open at a restart counts as
-- used at that moment.
CREATE TABLE window_slice (
    limit_key TEXT NOT NULL,
    slice     INTEGER NOT NULL,
    units     INTEGER NOT NULL,
    leased_at INTEGER NOT NULL,
    -- when its last unit was used; null while it is open
    closed_at INTEGER,
    PRIMARY KEY (limit_key, slice)
) WITHOUT ROWID;
