-- What services pushed (RFC 9126), until the person has decided.
CREATE TABLE oauth_pushed (
    uri     TEXT   PRIMARY KEY, -- SHA-256 of the request_uri, hexadecimal
    request TEXT   NOT NULL UNIQUE, -- id of the consent request
    service TEXT   NOT NULL,
    form    TEXT   NOT NULL, -- JSON: the parameters that matter later
    expires BIGINT NOT NULL  -- Unix microseconds, as all times here: until when the page can be opened
);

-- Codes, what is kept for PKCE, and tokens, by their signatures.
CREATE TABLE oauth_session (
    kind      TEXT    NOT NULL, -- code, pkce, access, refresh
    signature TEXT    NOT NULL,
    request   TEXT    NOT NULL, -- all that comes of one code has the same
    service   TEXT    NOT NULL,
    consent   TEXT    NOT NULL, -- empty: for administration
    scope     TEXT    NOT NULL,
    form      TEXT    NOT NULL, -- JSON
    session   TEXT    NOT NULL, -- JSON
    created   BIGINT  NOT NULL,
    expires   BIGINT  NOT NULL,
    active    BOOLEAN NOT NULL,
    PRIMARY KEY (kind, signature)
);
CREATE INDEX oauth_session_request ON oauth_session (request);
CREATE INDEX oauth_session_expires ON oauth_session (expires);

-- What must not be used twice: assertions, proofs.
CREATE TABLE oauth_once (
    id      TEXT   PRIMARY KEY, -- SHA-256 of kind, whose and id
    expires BIGINT NOT NULL
);
CREATE INDEX oauth_once_expires ON oauth_once (expires);

-- Tokens with which services may register themselves (RFC 7591 section 3).
CREATE TABLE oauth_initial (
    token   TEXT   PRIMARY KEY, -- SHA-256, hexadecimal
    note    TEXT   NOT NULL,
    left_   BIGINT NOT NULL, -- how many services may still be registered with it
    expires BIGINT NOT NULL
);
