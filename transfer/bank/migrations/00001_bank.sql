-- A person's connection with a bank.
CREATE TABLE bank_connection (
    id      TEXT   NOT NULL PRIMARY KEY,
    person  TEXT   NOT NULL, -- the name of the instance
    bank    TEXT   NOT NULL, -- the id of the profile
    state   TEXT   NOT NULL,
    visit   TEXT   NOT NULL, -- hash of what a browser brings back from the bank; '' if none is expected
    due     BIGINT NOT NULL, -- when it is refreshed next, Unix microseconds; 0: not by itself
    leased  BIGINT NOT NULL, -- until when one process works on it, Unix microseconds
    holder  TEXT   NOT NULL, -- which one
    changed BIGINT NOT NULL,
    detail  TEXT   NOT NULL, -- JSON: what else is known
    secret  TEXT   NOT NULL  -- sealed: an authentication that has begun, and tokens
);
CREATE INDEX bank_connection_person ON bank_connection (person);
CREATE INDEX bank_connection_due ON bank_connection (due) WHERE due > 0;
CREATE INDEX bank_connection_visit ON bank_connection (visit) WHERE visit <> '';

-- The accounts that a connection shows.
CREATE TABLE bank_account (
    connection TEXT    NOT NULL REFERENCES bank_connection (id) ON DELETE CASCADE,
    id         TEXT    NOT NULL, -- of its record
    chosen     BOOLEAN NOT NULL, -- the person wants it to be read
    detail     TEXT    NOT NULL, -- JSON
    PRIMARY KEY (connection, id)
);

-- What is known of a person's operations at banks: they are recognised by it, whatever connection they come by. line is what
-- is still to be put into the home; '' if nothing is.
CREATE TABLE bank_operation (
    person  TEXT    NOT NULL,
    account TEXT    NOT NULL,
    id      TEXT    NOT NULL, -- of its record
    day     TEXT    NOT NULL, -- '' if it has none yet
    pending BOOLEAN NOT NULL,
    absent  TEXT    NOT NULL, -- the day since which the bank no longer gives it; '' while it does
    body    TEXT    NOT NULL,
    placed  BOOLEAN NOT NULL, -- it was in the home already
    gone    BOOLEAN NOT NULL, -- it is to leave the home
    line    TEXT    NOT NULL,
    PRIMARY KEY (person, account, id)
);
CREATE INDEX bank_operation_day ON bank_operation (person, account, day);
CREATE INDEX bank_operation_waits ON bank_operation (person, account) WHERE line <> '';
