-- Jobs that ended while more children wait for their objects than one transaction tells. They are told in the order of the
-- ends, a bounded number at a time, also after a restart.
CREATE TABLE parent_over (
    seq           INTEGER PRIMARY KEY,
    connection_id INTEGER NOT NULL,
    object_type   TEXT NOT NULL,
    object_id     TEXT NOT NULL,
    job_id        INTEGER NOT NULL,
    success       INTEGER NOT NULL,
    -- the children up to this one are told
    told_to       INTEGER NOT NULL DEFAULT -1
);
