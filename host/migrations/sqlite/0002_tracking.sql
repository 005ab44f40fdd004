-- Facts that people ask for.

-- An intent of the belt was ever committed: something of it may have been sent. It stays so, whatever the jobs wait for afterwards.
ALTER TABLE progress ADD COLUMN sent INTEGER NOT NULL DEFAULT 0;

-- Of rows from before the column only the present is known.
UPDATE progress SET sent = 1
WHERE connection_id <> 0 AND in_flight + accepted + succeeded + rejected + failed + unknown + superseded + retrying > 0;

-- When the earliest wait of a kind ends in a belt, without reading its jobs.
CREATE INDEX job_wait_ends ON job ((id >> 24), connection_id, belt, waiting, due_at) WHERE state = 0 AND due_at IS NOT NULL;

-- What retention asks: the executions that are past their time, oldest first, and what still needs one of them.
CREATE INDEX execution_expiry ON execution (expires_at, seq) WHERE expires_at IS NOT NULL;
CREATE INDEX idempotency_of_execution ON idempotency (execution_seq);
CREATE INDEX blocked_key_head ON blocked_key ((head_job >> 24));
