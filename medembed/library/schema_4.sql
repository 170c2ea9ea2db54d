-- Which vectors were written or deleted, in this order, so that what derives from them need not
-- read all to follow. The oldest are dropped: whoever is further behind reads everything.
CREATE TABLE IF NOT EXISTS vector_changes (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  vector INTEGER NOT NULL,               -- id in vectors
  mark INTEGER NOT NULL DEFAULT (random())  -- tells a copy of the file that went another way
);
CREATE TRIGGER IF NOT EXISTS vector_added AFTER INSERT ON vectors BEGIN
  INSERT INTO vector_changes (vector) VALUES (new.id);
END;
CREATE TRIGGER IF NOT EXISTS vector_removed AFTER DELETE ON vectors BEGIN
  INSERT INTO vector_changes (vector) VALUES (old.id);
END;
CREATE TRIGGER IF NOT EXISTS vector_changed AFTER UPDATE OF id, vector ON vectors BEGIN
  INSERT INTO vector_changes (vector) VALUES (old.id);
  INSERT INTO vector_changes (vector) SELECT new.id WHERE new.id <> old.id;
END;
