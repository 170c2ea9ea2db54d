-- What schema 4 adds for the cases: a number that is another one after every change to the cases that a reader
-- has seen. A new case has a larger id than all before it, so it needs none: what was read is
-- still right if the number is, and what is new has ids beyond. Random, not counted: a library
-- restored from a backup must not come back to the number of another state.

CREATE TABLE IF NOT EXISTS revisions (
  owner TEXT PRIMARY KEY,                -- 'cases'
  number INTEGER NOT NULL
) WITHOUT ROWID;
INSERT OR IGNORE INTO revisions VALUES ('cases', random());
-- Every writer seals a case once its rows in all tables are written, so this covers them.
CREATE TRIGGER IF NOT EXISTS case_resealed AFTER UPDATE ON cases WHEN old.seal <> 0 BEGIN
  UPDATE revisions SET number = random() WHERE owner = 'cases';
END;
CREATE TRIGGER IF NOT EXISTS case_gone AFTER DELETE ON cases BEGIN
  UPDATE revisions SET number = random() WHERE owner = 'cases';
END;
