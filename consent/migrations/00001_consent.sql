-- The services: OAuth clients, with the legal entity behind each.
CREATE TABLE consent_service (
    id        TEXT   PRIMARY KEY,
    document  TEXT   NOT NULL,        -- the registration, JSON
    look      TEXT   NOT NULL UNIQUE, -- the same for names that look the same
    suspended TEXT   NOT NULL,        -- why; empty if it is not
    version   BIGINT NOT NULL,        -- grows with every change
    created   BIGINT NOT NULL,        -- Unix microseconds, as all times here
    changed   BIGINT NOT NULL
);

-- What services asked for. It is decided once.
CREATE TABLE consent_request (
    id      TEXT   PRIMARY KEY,
    service TEXT   NOT NULL,
    action  TEXT   NOT NULL, -- create, merge, replace
    consent TEXT   NOT NULL, -- the one to merge with, to replace; once granted, the one that it led to
    details TEXT   NOT NULL, -- JSON
    state   TEXT   NOT NULL, -- ConsentRequested, ConsentGiven, ConsentRefused
    person  TEXT   NOT NULL, -- who decided; empty before
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL, -- after which it cannot be decided any more
    decided BIGINT NOT NULL  -- 0 before
);
CREATE INDEX consent_request_person ON consent_request (person, decided) WHERE person <> '';
CREATE INDEX consent_request_open ON consent_request (expires) WHERE state = 'ConsentRequested';

-- The exact bytes of the notices that persons were shown with a request, before they decided.
CREATE TABLE consent_notice (
    request  TEXT   NOT NULL,
    hash     TEXT   NOT NULL, -- SHA-256, hexadecimal
    language TEXT   NOT NULL,
    version  TEXT   NOT NULL, -- of the page
    shown    BIGINT NOT NULL,
    content  BYTEA  NOT NULL,
    PRIMARY KEY (request, hash)
);

-- The consents, as their last revision says.
CREATE TABLE consent_consent (
    id       TEXT   PRIMARY KEY,
    person   TEXT   NOT NULL,
    service  TEXT   NOT NULL,
    state    TEXT   NOT NULL,
    revision BIGINT NOT NULL,
    created  BIGINT NOT NULL,
    changed  BIGINT NOT NULL,
    expires  BIGINT NOT NULL,
    accesses BIGINT NOT NULL,
    last     BIGINT NOT NULL, -- access; 0: none
    before   BIGINT NOT NULL  -- the access before the last one; 0: none
);
CREATE INDEX consent_consent_person ON consent_consent (person, changed);
CREATE INDEX consent_consent_service ON consent_consent (service);
CREATE INDEX consent_consent_expires ON consent_consent (expires) WHERE state IN ('ConsentGiven', 'RenewedConsentGiven');

CREATE TABLE consent_revision (
    consent  TEXT   NOT NULL,
    number   BIGINT NOT NULL,
    state    TEXT   NOT NULL,
    details  TEXT   NOT NULL, -- JSON
    request  TEXT   NOT NULL,
    notice   TEXT   NOT NULL,
    language TEXT   NOT NULL,
    method   TEXT   NOT NULL,
    reason   TEXT   NOT NULL,
    at       BIGINT NOT NULL,
    expires  BIGINT NOT NULL,
    packs    TEXT   NOT NULL, -- JSON
    facts    TEXT   NOT NULL, -- JSON
    PRIMARY KEY (consent, number)
);

-- What was read. While it is open bytes may flow.
CREATE TABLE consent_access (
    id       TEXT    PRIMARY KEY,
    consent  TEXT    NOT NULL,
    revision BIGINT  NOT NULL,
    service  TEXT    NOT NULL,
    dataset  TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    begun    BIGINT  NOT NULL,
    open     BOOLEAN NOT NULL,
    ended    BIGINT  NOT NULL, -- 0 before
    records  BIGINT  NOT NULL,
    bytes    BIGINT  NOT NULL,
    hash     TEXT    NOT NULL, -- SHA-256 of the bytes, hexadecimal
    outcome  TEXT    NOT NULL  -- "complete", "cut", "failed"; empty: not known
);
CREATE INDEX consent_access_consent ON consent_access (consent, begun);
CREATE INDEX consent_access_open ON consent_access (consent) WHERE open;
