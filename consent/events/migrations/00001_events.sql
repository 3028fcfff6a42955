-- What services are told of their consents, and whether they answered.
CREATE TABLE events_event (
    id           TEXT   PRIMARY KEY, -- jti
    consent      TEXT   NOT NULL,
    revision     BIGINT NOT NULL,
    service      TEXT   NOT NULL,
    person       TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    made         BIGINT NOT NULL, -- Unix microseconds, as all times here
    tried        BIGINT NOT NULL, -- how often
    acknowledged BIGINT NOT NULL, -- 0: not yet
    answer       TEXT   NOT NULL  -- what came of the last try, in words
);
CREATE INDEX events_event_consent ON events_event (consent, revision);
