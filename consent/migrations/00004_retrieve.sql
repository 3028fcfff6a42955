-- What the operator read at banks for persons: one row a reading, and one for each account of it ('': which there are).
CREATE TABLE consent_retrieval (
    id       TEXT   PRIMARY KEY,
    person   TEXT   NOT NULL,
    bank     TEXT   NOT NULL,
    session  TEXT   NOT NULL, -- the run of readings that it belongs to
    begun    BIGINT NOT NULL,
    packs    TEXT   NOT NULL,
    facts    TEXT   NOT NULL, -- JSON
    ended    BIGINT NOT NULL, -- 0 before
    records  BIGINT NOT NULL,
    withheld BIGINT NOT NULL,
    outcome  TEXT   NOT NULL  -- "complete", "failed"; empty: not known
);
CREATE INDEX consent_retrieval_person ON consent_retrieval (person, begun, id);
CREATE TABLE consent_retrieved (
    person    TEXT    NOT NULL,
    bank      TEXT    NOT NULL,
    account   TEXT    NOT NULL,
    session   TEXT    NOT NULL,
    present   BOOLEAN NOT NULL,
    begun     BIGINT  NOT NULL,
    retrieval TEXT    NOT NULL,
    PRIMARY KEY (retrieval, account)
);
CREATE INDEX consent_retrieved_account ON consent_retrieved (person, bank, account, begun);
CREATE INDEX consent_retrieved_begun ON consent_retrieved (person, bank, begun);

-- How many runs a day without the person the operator, as a bank, agreed on with the service; 0: on none. Where it is written.
ALTER TABLE consent_service ADD COLUMN agreed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE consent_service ADD COLUMN agreement TEXT NOT NULL DEFAULT '';

-- Who read payment accounts: the company that the certificate names, or else the service; empty where it was something else.
ALTER TABLE consent_access ADD COLUMN party TEXT NOT NULL DEFAULT '';
UPDATE consent_access SET party = service WHERE session <> '';
