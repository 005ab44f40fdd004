-- Raised by each change of the counters, so that who is told of two of them knows which is newer.
ALTER TABLE progress ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
