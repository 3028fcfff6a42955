-- Archives that persons asked for, to download. The files are in a folder.
CREATE TABLE transfer_takeout (
    id       TEXT    PRIMARY KEY,
    person   TEXT    NOT NULL, -- the name of the instance
    state    TEXT    NOT NULL, -- waiting, running, ready, failed
    sealed   BOOLEAN NOT NULL, -- to the person's recovery key
    asked    BIGINT  NOT NULL, -- Unix microseconds, as all times here
    ready    BIGINT  NOT NULL, -- 0: not yet
    expires  BIGINT  NOT NULL, -- when it is removed; 0 as long as it is not ready
    records  BIGINT  NOT NULL, -- written so far
    size     BIGINT  NOT NULL, -- bytes of the file
    name     TEXT    NOT NULL, -- of the file
    root     TEXT    NOT NULL  -- of the archive: the one hash that says what is in it
);
CREATE INDEX transfer_takeout_person ON transfer_takeout (person);
