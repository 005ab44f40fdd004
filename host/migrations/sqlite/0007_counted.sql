-- How often an object was delivered: the revision that a connector is told where no source names one. It is compared with none
-- that a source names, and so it is kept apart from them.
ALTER TABLE delivered ADD COLUMN counted INTEGER NOT NULL DEFAULT 0;
-- The same of pinned bytes: a repeat carries the number of the first attempt.
ALTER TABLE intent ADD COLUMN counted INTEGER;
