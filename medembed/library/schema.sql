-- The only source of truth of a case library. Everything else beside this file is derived.
-- Enums and keys are enforced here, whatever writes to the file.

CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL
) WITHOUT ROWID;

-- A case carries its split together with its patient and its group in one foreign key each:
-- a patient or a group in two splits cannot be written.
CREATE TABLE patients (
  patient_id TEXT PRIMARY KEY,
  split TEXT NOT NULL CHECK (split IN ('train', 'val', 'test')),
  UNIQUE (patient_id, split)
) WITHOUT ROWID;

CREATE TABLE groups (
  group_id TEXT PRIMARY KEY,
  split TEXT NOT NULL CHECK (split IN ('train', 'val', 'test')),
  UNIQUE (group_id, split)
) WITHOUT ROWID;

CREATE TABLE cases (
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused: vectors are stored under it
  case_id TEXT NOT NULL UNIQUE,
  patient_id TEXT NOT NULL,
  group_id TEXT,
  split TEXT NOT NULL,
  study_date TEXT,                       -- ISO 8601, or NULL for unknown
  date_shift_days INTEGER NOT NULL,
  modality TEXT NOT NULL,
  view TEXT NOT NULL,
  sex TEXT NOT NULL CHECK (sex IN ('F', 'M', 'O', 'unknown')),
  age_years REAL CHECK (age_years BETWEEN 0 AND 130),
  race TEXT NOT NULL,
  site TEXT NOT NULL,
  scanner TEXT NOT NULL,
  content BLOB NOT NULL,                 -- sha256 of what the source states about the case
  FOREIGN KEY (patient_id, split) REFERENCES patients (patient_id, split),
  FOREIGN KEY (group_id, split) REFERENCES groups (group_id, split)
);
CREATE INDEX cases_by_patient ON cases (patient_id);
CREATE INDEX cases_by_group ON cases (group_id) WHERE group_id IS NOT NULL;

CREATE TABLE scans (
  case_row INTEGER NOT NULL REFERENCES cases (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  files TEXT NOT NULL,                   -- JSON list; relative if inside the library's folder
  sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
  modality TEXT NOT NULL,
  view TEXT NOT NULL,
  frame INTEGER,
  PRIMARY KEY (case_row, position)
) WITHOUT ROWID;

CREATE TABLE notes (
  case_row INTEGER PRIMARY KEY REFERENCES cases (id) ON DELETE CASCADE,
  text TEXT NOT NULL,
  sections TEXT NOT NULL,                -- JSON lists of name, start, end
  assertions TEXT NOT NULL               -- JSON lists of label, status, side, start, end, historical
);
CREATE VIRTUAL TABLE note_words USING fts5 (
  text, content = 'notes', content_rowid = 'case_row', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER note_added AFTER INSERT ON notes BEGIN
  INSERT INTO note_words (rowid, text) VALUES (new.case_row, new.text);
END;
CREATE TRIGGER note_removed AFTER DELETE ON notes BEGIN
  INSERT INTO note_words (note_words, rowid, text) VALUES ('delete', old.case_row, old.text);
END;
CREATE TRIGGER note_changed AFTER UPDATE ON notes BEGIN
  INSERT INTO note_words (note_words, rowid, text) VALUES ('delete', old.case_row, old.text);
  INSERT INTO note_words (rowid, text) VALUES (new.case_row, new.text);
END;

CREATE TABLE findings (
  case_row INTEGER NOT NULL REFERENCES cases (id) ON DELETE CASCADE,
  label TEXT NOT NULL,
  side TEXT NOT NULL CHECK (side IN ('', 'left', 'right', 'bilateral')),
  PRIMARY KEY (case_row, label, side)
) WITHOUT ROWID;
CREATE INDEX findings_by_label ON findings (label, side, case_row);

CREATE TABLE attributes (
  case_row INTEGER NOT NULL REFERENCES cases (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (case_row, name)
) WITHOUT ROWID;
CREATE INDEX attributes_by_name ON attributes (name, value);

-- A space holds the vectors of one model for one kind of input. A vector's id is space * 2^40 +
-- case, so that the vectors of a space are adjacent on disk, in the order of the cases.
CREATE TABLE spaces (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  fingerprint TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('image', 'note')),
  dimensions INTEGER NOT NULL CHECK (dimensions > 0),
  revision INTEGER NOT NULL DEFAULT 0,   -- increases with every change of the space's vectors
  UNIQUE (fingerprint, kind)
);
CREATE TABLE vectors (
  id INTEGER PRIMARY KEY,
  vector BLOB NOT NULL                   -- float32, little-endian
);
CREATE TRIGGER case_removed AFTER DELETE ON cases BEGIN
  UPDATE spaces SET revision = revision + 1
    WHERE EXISTS (SELECT 1 FROM vectors WHERE vectors.id = (spaces.id << 40) + old.id);
  DELETE FROM vectors WHERE id IN (SELECT (spaces.id << 40) + old.id FROM spaces);
END;

-- Files that were read, under a keyed hash of their path: no path is stored in clear.
CREATE TABLE files (
  path BLOB PRIMARY KEY,
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  sha256 TEXT NOT NULL,                  -- of a file that decodes, otherwise empty
  modality TEXT NOT NULL,
  view TEXT NOT NULL,
  code TEXT NOT NULL,                    -- of a file that was refused, otherwise empty
  reason TEXT NOT NULL,
  shown TEXT NOT NULL,                   -- its path without parts that identify a patient
  reader TEXT NOT NULL,                  -- version that read it; another version reads refused files again
  CHECK ((sha256 = '') <> (code = ''))
) WITHOUT ROWID;

CREATE TABLE ingests (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  started TEXT NOT NULL,
  finished TEXT,
  source TEXT NOT NULL,                  -- its format, not its path
  added INTEGER NOT NULL DEFAULT 0,
  unchanged INTEGER NOT NULL DEFAULT 0,
  refused INTEGER NOT NULL DEFAULT 0
);
