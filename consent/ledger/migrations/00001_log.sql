-- The head of the log: always one row.
CREATE TABLE ledger_head (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    size       BIGINT NOT NULL,
    root       BYTEA  NOT NULL,
    checkpoint TEXT   NOT NULL -- signed note, without cosignatures
);

-- Leaves, in their places, and what opens them, encrypted with their person's key; it names the leaf before in the
-- person's chain. Without it the person was forgotten.
CREATE TABLE ledger_leaf (
    idx    BIGINT PRIMARY KEY,
    leaf   BYTEA  NOT NULL,
    sealed BYTEA
);

-- Full tiles of 256 hashes each. What is not full yet is made from the level below.
CREATE TABLE ledger_tile (
    level  INTEGER NOT NULL,
    n      BIGINT  NOT NULL,
    root   BYTEA   NOT NULL, -- the hash of the tile, which is an entry of the tile above
    hashes BYTEA   NOT NULL,
    PRIMARY KEY (level, n)
);

-- Where the chain of a person goes on. Who knows a chain has that person's key.
CREATE TABLE ledger_chain (
    chain   BYTEA  PRIMARY KEY,
    counter BIGINT NOT NULL, -- of the next event
    leaf    BIGINT           -- id of the last one, on SQLite its place; NULL: the person was forgotten
);

-- Persons who are being forgotten: the secrets that have yet to be destroyed.
CREATE TABLE ledger_erasure (
    secret TEXT  PRIMARY KEY,
    chain  BYTEA NOT NULL -- what that very secret makes
);

-- The checkpoint that witnesses were asked to cosign, as it is published. Without witnesses it is not used.
CREATE TABLE ledger_published (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    size       BIGINT NOT NULL,
    checkpoint TEXT   NOT NULL
);

-- The other operators' logs that we witness, and how far we have seen them.
CREATE TABLE ledger_witnessed (
    origin TEXT   PRIMARY KEY,
    size   BIGINT NOT NULL,
    root   BYTEA  NOT NULL
);
