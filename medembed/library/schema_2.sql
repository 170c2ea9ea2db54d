-- What schema 2 adds to schema 1 (schema.sql). A new library gets both, an older one this part,
-- so that the results are equal.

ALTER TABLE cases ADD COLUMN kind TEXT NOT NULL DEFAULT 'unknown';  -- of its first scan
ALTER TABLE cases ADD COLUMN seal INTEGER NOT NULL DEFAULT 0;       -- over the whole case: seals.py
ALTER TABLE vectors ADD COLUMN seal INTEGER NOT NULL DEFAULT 0;     -- over id and vector

-- JSON of a file's header, without names and ids in clear, and of its frames' digests
ALTER TABLE files ADD COLUMN header TEXT NOT NULL DEFAULT '';
ALTER TABLE files ADD COLUMN frame_digests TEXT NOT NULL DEFAULT '';
ALTER TABLE files ADD COLUMN seal INTEGER NOT NULL DEFAULT 0;       -- a changed row is not used

CREATE INDEX scans_by_sha256 ON scans (sha256);

-- Content of a scan; no row if it is unknown.
CREATE TABLE scan_contents (
  case_row INTEGER NOT NULL REFERENCES cases (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  kind TEXT NOT NULL DEFAULT 'unknown',  -- image, localizer, segmentation, ...
  pixel_sha256 TEXT NOT NULL DEFAULT '', -- equal for equal pixels in another file or format
  PRIMARY KEY (case_row, position)
) WITHOUT ROWID;
CREATE INDEX scan_contents_by_pixels ON scan_contents (pixel_sha256) WHERE pixel_sha256 <> '';

-- Patients of a PatientID: pseudonyms and keyed hashes only, so that no id, issuer or birth date can
-- be read here, or guessed without the key. A row is one combination found in a source.
CREATE TABLE identities (
  person TEXT NOT NULL,                  -- pseudonym of the PatientID alone: without issuer,
                                         --   case, blanks, leading zeros
  bare BLOB NOT NULL,                    -- keyed hashes: of the PatientID as written,
  issuer BLOB NOT NULL,                  --   its issuer, the sex and the birth date;
  sex BLOB NOT NULL,                     --   empty if the source does not state it
  birth BLOB NOT NULL,
  patient_id TEXT NOT NULL,              -- pseudonym of the patient
  PRIMARY KEY (person, bare, issuer, sex, birth)
) WITHOUT ROWID;
CREATE INDEX identities_by_patient ON identities (patient_id, person);
-- All patients that share a PatientID are in one split, since they may be one person.
CREATE TRIGGER person_in_one_split BEFORE INSERT ON patients
WHEN EXISTS (
  SELECT 1 FROM identities AS mine
    JOIN identities AS other ON other.person = mine.person
    JOIN patients ON patients.patient_id = other.patient_id
  WHERE mine.patient_id = new.patient_id AND patients.split <> new.split
) BEGIN
  SELECT RAISE(ABORT, 'a person in two splits');
END;

-- Checksums of the rows of small tables, maintained by triggers (seals.py).
CREATE TABLE seals (
  owner TEXT NOT NULL,                   -- the table
  seal INTEGER NOT NULL,
  PRIMARY KEY (owner, seal)
) WITHOUT ROWID;
