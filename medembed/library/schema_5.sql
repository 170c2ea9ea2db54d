-- What schema 5 adds: review sessions. Who reads which cases, what they wrote before and after they
-- saw the report, and how long they had the case open. The order of the steps is enforced here: no
-- reveal without a first impression, and no first impression that changes after it.

CREATE TABLE IF NOT EXISTS review_sessions (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  link TEXT NOT NULL UNIQUE CHECK (length(link) >= 22),  -- in the shared address: not to be guessed
  name TEXT NOT NULL CHECK (name <> ''),
  creator TEXT NOT NULL CHECK (creator <> ''),
  created TEXT NOT NULL,                 -- UTC, ISO 8601
  state TEXT NOT NULL CHECK (state IN ('open', 'closed'))
);

CREATE TABLE IF NOT EXISTS review_cases (
  session INTEGER NOT NULL REFERENCES review_sessions (id) ON DELETE CASCADE,
  case_row INTEGER NOT NULL REFERENCES cases (id) ON DELETE CASCADE,
  position INTEGER NOT NULL CHECK (position > 0),
  query TEXT NOT NULL,                   -- JSON of what led to the case, or empty: no typed text
  query_case INTEGER REFERENCES cases (id) ON DELETE SET NULL,
  PRIMARY KEY (session, case_row),
  UNIQUE (session, position)
);
CREATE INDEX IF NOT EXISTS review_cases_by_case ON review_cases (case_row);
CREATE INDEX IF NOT EXISTS review_cases_by_query ON review_cases (query_case)
  WHERE query_case IS NOT NULL;

-- One reader and one case. The seconds count only while the case was open on a screen.
CREATE TABLE IF NOT EXISTS review_readings (
  session INTEGER NOT NULL,
  case_row INTEGER NOT NULL,
  reader TEXT NOT NULL CHECK (reader <> ''),
  state TEXT NOT NULL CHECK (state IN ('opened', 'impression', 'revealed', 'finished')),
  open_seconds REAL NOT NULL DEFAULT 0 CHECK (open_seconds >= 0),
  seen REAL,                             -- when it was last seen open; NULL while it is not
  opened TEXT NOT NULL,                  -- UTC, as all times
  impression TEXT,
  findings TEXT,                         -- JSON list, sorted
  impression_at TEXT,
  impression_seconds REAL,
  revealed_at TEXT,
  reveal_seconds REAL,
  revision TEXT,                         -- the final impression; NULL until it is written
  revision_findings TEXT,
  finished_at TEXT,
  end_seconds REAL,
  shortlisted INTEGER NOT NULL DEFAULT 0 CHECK (shortlisted IN (0, 1)),
  teaching INTEGER NOT NULL DEFAULT 0 CHECK (teaching IN (0, 1)),
  PRIMARY KEY (session, case_row, reader),
  FOREIGN KEY (session, case_row) REFERENCES review_cases (session, case_row) ON DELETE CASCADE,
  CHECK ((state = 'opened') = (impression IS NULL)),
  CHECK ((impression IS NULL) = (findings IS NULL)),
  CHECK ((impression IS NULL) = (impression_at IS NULL)),
  CHECK ((impression IS NULL) = (impression_seconds IS NULL)),
  CHECK (impression IS NULL OR impression <> '' OR findings <> '[]'),
  CHECK ((state IN ('revealed', 'finished')) = (revealed_at IS NOT NULL)),
  CHECK ((revealed_at IS NULL) = (reveal_seconds IS NULL)),
  CHECK ((revision IS NULL) = (revision_findings IS NULL)),
  CHECK (revision IS NULL OR revealed_at IS NOT NULL),
  CHECK ((state = 'finished') = (finished_at IS NOT NULL)),
  CHECK ((finished_at IS NULL) = (end_seconds IS NULL)),
  CHECK (finished_at IS NULL OR revision IS NOT NULL),
  CHECK (impression_seconds <= reveal_seconds),
  CHECK (reveal_seconds <= end_seconds)
);

CREATE TRIGGER IF NOT EXISTS review_begins BEFORE INSERT ON review_readings
WHEN new.state = 'opened' AND 'open' <> (SELECT state FROM review_sessions WHERE id = new.session)
BEGIN
  SELECT RAISE(ABORT, 'the session is closed');
END;
CREATE TRIGGER IF NOT EXISTS review_session_closed BEFORE UPDATE ON review_readings
WHEN 'open' <> (SELECT state FROM review_sessions WHERE id = new.session) BEGIN
  SELECT RAISE(ABORT, 'the session is closed');
END;
CREATE TRIGGER IF NOT EXISTS review_step BEFORE UPDATE OF state ON review_readings
WHEN new.state <> old.state
  AND old.state || ' ' || new.state
    NOT IN ('opened impression', 'impression revealed', 'revealed finished')
BEGIN
  SELECT RAISE(ABORT, 'not the next step of a reading');
END;
CREATE TRIGGER IF NOT EXISTS review_impression_stays BEFORE UPDATE ON review_readings
WHEN old.state IN ('revealed', 'finished') AND (
  new.impression IS NOT old.impression OR new.findings IS NOT old.findings
  OR new.impression_at IS NOT old.impression_at
  OR new.impression_seconds IS NOT old.impression_seconds
  OR new.revealed_at IS NOT old.revealed_at OR new.reveal_seconds IS NOT old.reveal_seconds
) BEGIN
  SELECT RAISE(ABORT, 'a first impression stays as it was at the reveal');
END;
CREATE TRIGGER IF NOT EXISTS review_end_stays BEFORE UPDATE ON review_readings
WHEN old.state = 'finished' AND (
  new.revision IS NOT old.revision OR new.revision_findings IS NOT old.revision_findings
  OR new.finished_at IS NOT old.finished_at OR new.end_seconds IS NOT old.end_seconds
) BEGIN
  SELECT RAISE(ABORT, 'a finished reading stays as it is');
END;
CREATE TRIGGER IF NOT EXISTS review_reader_stays
BEFORE UPDATE OF session, case_row, reader, opened ON review_readings
BEGIN
  SELECT RAISE(ABORT, 'a reading keeps its reader and its case');
END;
