-- What a secret comes from, as a digest: the value that was entered, which a connector may have renewed since, or what a
-- token was fetched with. Null: from before the column, or a secret that a connector deposited under a name of its own.
ALTER TABLE secret ADD COLUMN origin TEXT;
