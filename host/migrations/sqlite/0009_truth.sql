-- Statements compare truth values with TRUE and FALSE, which are numbers here and a type of its own elsewhere. An index with a
-- condition serves the statements that say it in the same words.
DROP INDEX intent_open;
CREATE INDEX intent_open ON intent (job_id) WHERE open = TRUE;
DROP INDEX connector_active;
CREATE UNIQUE INDEX connector_active ON connector (name) WHERE active = TRUE;
