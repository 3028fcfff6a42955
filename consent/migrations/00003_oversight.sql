-- The SHA-256, hexadecimal, of the token with which a service read; empty: not known.
ALTER TABLE consent_access ADD COLUMN token TEXT NOT NULL DEFAULT '';
-- Which accesses to payment accounts belong together; empty: it is not kept. Whether the person asked for it just then. How
-- much of what was granted was withheld.
ALTER TABLE consent_access ADD COLUMN session TEXT NOT NULL DEFAULT '';
ALTER TABLE consent_access ADD COLUMN present BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE consent_access ADD COLUMN withheld BIGINT NOT NULL DEFAULT 0;

-- How, and when, the person had proved who they are who last said yes; empty and 0: not known.
ALTER TABLE consent_consent ADD COLUMN method TEXT NOT NULL DEFAULT '';
ALTER TABLE consent_consent ADD COLUMN authenticated BIGINT NOT NULL DEFAULT 0;

CREATE INDEX consent_access_begun ON consent_access (begun, id);
CREATE INDEX consent_revision_at ON consent_revision (at, consent, number);

-- Where outside of Europe data may go, as ISO 3166-1 codes in order, with spaces between. NULL: not noted yet.
ALTER TABLE consent_consent ADD COLUMN countries TEXT;
CREATE INDEX consent_consent_abroad ON consent_consent (countries, service) WHERE countries <> '';
CREATE INDEX consent_consent_uncountried ON consent_consent (id) WHERE countries IS NULL;

-- How long it took to end a consent: from when somebody asked for it until nothing could be read any more.
CREATE TABLE consent_ending (
    consent  TEXT   NOT NULL,
    revision BIGINT NOT NULL,
    asked    BIGINT NOT NULL,
    dead     BIGINT NOT NULL,
    PRIMARY KEY (consent, revision)
);
CREATE INDEX consent_ending_asked ON consent_ending (asked);

-- Persons who want to be forgotten, and from when on they can be.
CREATE TABLE consent_erasure (
    person TEXT   PRIMARY KEY,
    due    BIGINT NOT NULL
);
CREATE INDEX consent_erasure_due ON consent_erasure (due);

-- Persons whose records services get only as they are kept.
CREATE TABLE consent_as_is (
    person TEXT PRIMARY KEY
);

-- What rules refused, counted by day.
CREATE TABLE consent_refused (
    day     TEXT   NOT NULL, -- UTC, 2006-01-02
    service TEXT   NOT NULL,
    step    TEXT   NOT NULL,
    code    TEXT   NOT NULL,
    law     TEXT   NOT NULL,
    article TEXT   NOT NULL,
    count   BIGINT NOT NULL,
    PRIMARY KEY (day, service, step, code)
);
