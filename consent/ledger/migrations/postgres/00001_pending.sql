-- +goose Up

-- Leaves that a replica has committed and that have no place yet, in the order in which they get one.
CREATE TABLE ledger_pending (
    id   BIGINT PRIMARY KEY,
    leaf BYTEA NOT NULL
);
CREATE SEQUENCE ledger_id;

-- +goose Down
DROP SEQUENCE ledger_id;
DROP TABLE ledger_pending;
