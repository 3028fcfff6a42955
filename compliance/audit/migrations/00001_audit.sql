-- Who may audit, and until when. Times are Unix microseconds, as everywhere here.
CREATE TABLE audit_auditor (
    id        TEXT   PRIMARY KEY,
    name      TEXT   NOT NULL,
    authority TEXT   NOT NULL, -- for which they ask
    code      TEXT   NOT NULL UNIQUE, -- SHA-256, hexadecimal, of what they sign in with
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL,
    revoked   BIGINT NOT NULL  -- 0: not
);

CREATE TABLE audit_session (
    token   TEXT   PRIMARY KEY, -- SHA-256, hexadecimal
    auditor TEXT   NOT NULL,
    begun   BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX audit_session_auditor ON audit_session (auditor);

-- Under which pseudonym an auditor was shown a person.
CREATE TABLE audit_subject (
    auditor TEXT NOT NULL,
    subject TEXT NOT NULL,
    person  TEXT NOT NULL,
    PRIMARY KEY (auditor, subject)
);
CREATE INDEX audit_subject_person ON audit_subject (person);

-- What the last evaluation of each check found, and where the next one goes on.
CREATE TABLE audit_finding (
    id       TEXT   PRIMARY KEY,
    at       BIGINT NOT NULL,
    looked   BIGINT NOT NULL, -- at how many, since the first evaluation
    wrong    BIGINT NOT NULL, -- how many of them were against it
    verdict  TEXT   NOT NULL, -- kept, broken, unknown
    examples TEXT   NOT NULL, -- JSON: the first few of what was wrong
    leaves   TEXT   NOT NULL, -- JSON: places in the log
    place    TEXT   NOT NULL  -- JSON
);

-- Breaches, requests of persons and of authorities, and the like: what the operator must deal with in time.
CREATE TABLE audit_matter (
    id        TEXT   PRIMARY KEY,
    kind      TEXT   NOT NULL,
    title     TEXT   NOT NULL,
    noticed   BIGINT NOT NULL, -- from when the clock runs
    prolonged TEXT   NOT NULL, -- why; empty if it is not
    closed    BIGINT NOT NULL, -- 0: not
    outcome   TEXT   NOT NULL
);

-- Which auditors looked at what is kept of a person, for the person to see.
CREATE TABLE audit_looked (
    person    TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    auditor   TEXT   NOT NULL,
    authority TEXT   NOT NULL,
    what      TEXT   NOT NULL, -- history.disclosed, person.found, identity.disclosed
    reason    TEXT   NOT NULL
);
CREATE INDEX audit_looked_person ON audit_looked (person, at);
