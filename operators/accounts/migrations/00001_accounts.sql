-- An account: who may sign in to which instance.
CREATE TABLE accounts_account (
    name    TEXT   PRIMARY KEY,     -- of the instance, exactly
    look    TEXT   NOT NULL UNIQUE, -- SHA-256 of the sign-in name, the same for every way to type it
    hash    TEXT   NOT NULL,        -- of the password, PHC string format
    version TEXT   NOT NULL,        -- another one for every password that was set
    created BIGINT NOT NULL,        -- Unix microseconds, as all times here
    changed BIGINT NOT NULL         -- when the password was set
);

-- Who is signed in. The token itself is nowhere here.
CREATE TABLE accounts_session (
    hash          TEXT   PRIMARY KEY, -- SHA-256 of the token
    account       TEXT   NOT NULL,
    created       BIGINT NOT NULL,
    authenticated BIGINT NOT NULL, -- when the person last proved who they are
    used          BIGINT NOT NULL, -- to the minute
    expires       BIGINT NOT NULL
);
CREATE INDEX accounts_session_account ON accounts_session (account);
CREATE INDEX accounts_session_expires ON accounts_session (expires);

-- Failures to sign in: of a name, of an address, and of both together. Where one of them is empty, the row counts for
-- all of them. Both are SHA-256: what somebody types in the wrong field is not kept to be read.
CREATE TABLE accounts_throttle (
    name     TEXT   NOT NULL,
    source   TEXT   NOT NULL,
    failures BIGINT NOT NULL, -- since
    since    BIGINT NOT NULL,
    until    BIGINT NOT NULL, -- when the next attempt may come
    known    BIGINT NOT NULL, -- until when the name is known to sign in from the address
    expires  BIGINT NOT NULL, -- when nothing of it matters any more
    PRIMARY KEY (name, source)
);
CREATE INDEX accounts_throttle_expires ON accounts_throttle (expires);
