-- An instance. Its position grows with every change to a record.
CREATE TABLE home_instance (
    id        BIGINT  PRIMARY KEY,
    name      TEXT    NOT NULL UNIQUE,
    created   BIGINT  NOT NULL, -- Unix microseconds
    quota     BIGINT  NOT NULL, -- bytes of blobs; 0: no limit
    used      BIGINT  NOT NULL, -- bytes of the blobs in home_blob
    position  BIGINT  NOT NULL,
    read_only BOOLEAN NOT NULL,
    secret    BYTEA   NOT NULL  -- from which the person's pseudonyms are made
);

-- Instances that were deleted, and whose blob folder is still to go.
CREATE TABLE home_garbage (
    instance BIGINT PRIMARY KEY
);

-- The records, and the tombstones of those that were deleted. The key is the dataset, a tab and the id: its bytes sort
-- as the states of an archive do.
CREATE TABLE home_record (
    instance   BIGINT  NOT NULL,
    key        BYTEA   NOT NULL,
    position   BIGINT  NOT NULL, -- of the last change
    dataset    TEXT    NOT NULL,
    folder     BOOLEAN NOT NULL,
    deleted    BOOLEAN NOT NULL,
    hash       BYTEA   NOT NULL, -- of the line
    blob       BYTEA,
    size       BIGINT  NOT NULL, -- of the blob
    blob_since BIGINT  NOT NULL, -- position at which it got this blob
    place      BYTEA,            -- the path, see func place; one live record at each
    line       BYTEA   NOT NULL,
    PRIMARY KEY (instance, key)
);
CREATE UNIQUE INDEX home_record_position ON home_record (instance, position);
CREATE UNIQUE INDEX home_record_place ON home_record (instance, place) WHERE place IS NOT NULL;
CREATE INDEX home_record_blob ON home_record (instance, blob) WHERE blob IS NOT NULL;

-- The blobs. Those without data are files.
CREATE TABLE home_blob (
    instance BIGINT NOT NULL,
    hash     BYTEA  NOT NULL,
    size     BIGINT NOT NULL,
    data     BYTEA,
    PRIMARY KEY (instance, hash)
);

-- What was loaded: a series of archives, or a plain copy.
CREATE TABLE home_series (
    id       BIGINT  PRIMARY KEY,
    instance BIGINT  NOT NULL,
    series   TEXT    NOT NULL UNIQUE,
    operator TEXT    NOT NULL,
    person   TEXT    NOT NULL,
    finished BOOLEAN NOT NULL, -- whether any archive of it was loaded to the end; if so, the last one was:
    sequence BIGINT  NOT NULL,
    root     BYTEA   NOT NULL
);
CREATE INDEX home_series_instance ON home_series (instance);

-- What a series brought, as it came, and what became of it here.
CREATE TABLE home_imported (
    series    BIGINT NOT NULL,
    key       BYTEA  NOT NULL, -- as it came
    hash      BYTEA  NOT NULL, -- of the line as it came
    blob      BYTEA,           -- as it came
    standing  TEXT   NOT NULL, -- own: written by this series; shared: it was here already; refused
    here      BYTEA,           -- key of the record here; NULL: the same
    left_hash BYTEA,           -- of the line as this series left it; NULL: as it came
    wanted    BYTEA,           -- during a load: the path it came with, which something else had
    PRIMARY KEY (series, key)
);
CREATE INDEX home_imported_wanted ON home_imported (series, wanted) WHERE wanted IS NOT NULL;
CREATE INDEX home_imported_here ON home_imported (series, here) WHERE here IS NOT NULL;

-- Folders of a series that have another path here.
CREATE TABLE home_moved (
    series   BIGINT NOT NULL,
    place    BYTEA  NOT NULL, -- of the path as it came
    path     BYTEA  NOT NULL,
    new_path BYTEA  NOT NULL,
    fresh    BOOLEAN NOT NULL, -- since the load that is under way
    PRIMARY KEY (series, place)
);
