-- The archive that a person brings, one at a time. The files are in a folder.
CREATE TABLE transfer_intake (
    person   TEXT   PRIMARY KEY, -- the name of the instance
    id       TEXT   NOT NULL UNIQUE,
    state    TEXT   NOT NULL,
    asked    BIGINT NOT NULL, -- Unix microseconds
    expires  BIGINT NOT NULL, -- when it is removed
    detail   TEXT   NOT NULL, -- JSON: the files, what is in them, what became of it
    keys     TEXT   NOT NULL, -- sealed: of those files that are encrypted
    progress TEXT   NOT NULL  -- JSON
);
