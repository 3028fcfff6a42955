-- What each side of a move has written of it. One gateway may be the source of some moves and the destination of others.
CREATE TABLE move_move (
    id      TEXT   NOT NULL, -- the same at both operators
    side    TEXT   NOT NULL, -- source or destination
    person  TEXT   NOT NULL, -- the name of the instance here
    peer    TEXT   NOT NULL, -- the other operator
    consent TEXT   NOT NULL, -- the person's authorisation at the source: the OAuth grant
    stage   TEXT   NOT NULL,
    epoch   BIGINT NOT NULL,
    root    TEXT   NOT NULL,
    begun   BIGINT NOT NULL, -- Unix microseconds
    changed BIGINT NOT NULL,
    due     BIGINT NOT NULL, -- when something is to be done about it here, Unix microseconds; 0: nothing is
    detail  TEXT   NOT NULL, -- JSON: what else the side knows
    progress TEXT  NOT NULL DEFAULT '', -- JSON: how far it is just now, for people to look at
    PRIMARY KEY (id, side)
);
CREATE INDEX move_due ON move_move (side, due) WHERE due > 0;
CREATE INDEX move_person ON move_move (person, side);
CREATE UNIQUE INDEX move_consent ON move_move (side, consent);
