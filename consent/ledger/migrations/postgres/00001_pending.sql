-- Leaves that a replica has committed and that have no place yet, in the order in which they get one.
CREATE TABLE ledger_pending (
    id     BIGINT PRIMARY KEY,
    leaf   BYTEA NOT NULL,
    sealed BYTEA
);
CREATE SEQUENCE ledger_id;
-- What a leaf was known by before it had a place.
ALTER TABLE ledger_leaf ADD COLUMN id BIGINT NOT NULL UNIQUE;
