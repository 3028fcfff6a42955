-- Passwords of programs that work for a person: each at one place, and good for nothing but the person's data. One has 160
-- bits: its SHA-256 says nothing of it.
CREATE TABLE accounts_app (
    hash    TEXT   PRIMARY KEY,
    id      TEXT   NOT NULL, -- by which it is revoked
    account TEXT   NOT NULL,
    name    TEXT   NOT NULL, -- that the person gave it
    created BIGINT NOT NULL,
    used    BIGINT NOT NULL  -- to the minute; 0: never
);
CREATE INDEX accounts_app_account ON accounts_app (account);
