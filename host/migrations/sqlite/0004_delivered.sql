-- Objects that are at a destination: delivered, and not deleted since. A destination need not name what they became, so the
-- id map alone does not tell. It takes the place of delivered_revision, which outlived a delete.
CREATE TABLE delivered (
    connection_id INTEGER NOT NULL,
    object_type   TEXT NOT NULL,
    object_id     TEXT NOT NULL,
    -- the newest that was delivered: an older one is not sent after it; null: its source names none
    revision      INTEGER,
    -- the latest delivery
    at            INTEGER NOT NULL,
    PRIMARY KEY (connection_id, object_type, object_id)
) WITHOUT ROWID;

INSERT INTO delivered (connection_id, object_type, object_id, revision, at)
    SELECT connection_id, object_type, object_id, revision, 0 FROM delivered_revision;

-- Objects without a revision are known by what they became.
INSERT OR IGNORE INTO delivered (connection_id, object_type, object_id, revision, at)
    SELECT DISTINCT connection_id, object_type, object_id, NULL, 0 FROM remote;

DROP TABLE delivered_revision;
