-- Where the person has gone with a consent, and from where one has come with them: JSON; empty: nowhere.
ALTER TABLE consent_consent ADD COLUMN moved TEXT NOT NULL DEFAULT '';
ALTER TABLE consent_consent ADD COLUMN origin TEXT NOT NULL DEFAULT '';

-- What became here of each consent that a person had where they came from.
CREATE TABLE consent_followed (
    id       TEXT   PRIMARY KEY, -- that of the consent here, if there is one
    person   TEXT   NOT NULL,
    move     TEXT   NOT NULL,
    operator TEXT   NOT NULL, -- whom they left
    fate     TEXT   NOT NULL, -- carried, confirm, dropped
    reason   TEXT   NOT NULL,
    service  TEXT   NOT NULL, -- here; empty: it is not registered
    said     TEXT   NOT NULL, -- JSON: the consent, as the operator whom they left said it
    at       BIGINT NOT NULL  -- Unix microseconds
);
CREATE INDEX consent_followed_person ON consent_followed (person, at);
CREATE INDEX consent_followed_waiting ON consent_followed (fate) WHERE fate = 'confirm' AND service = '';

-- Who has moved away, and to whom: nothing is granted here any more to what stays of their instance.
CREATE TABLE consent_gone (
    person   TEXT PRIMARY KEY,
    operator TEXT NOT NULL
);

-- What the log of the operator whom they left proves of them.
CREATE TABLE consent_past (
    move     TEXT   PRIMARY KEY,
    person   TEXT   NOT NULL,
    operator TEXT   NOT NULL,
    history  TEXT   NOT NULL, -- JSON, see ledger.History
    at       BIGINT NOT NULL
);
CREATE INDEX consent_past_person ON consent_past (person);
