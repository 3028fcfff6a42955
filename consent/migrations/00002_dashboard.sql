-- Since when the person lets nothing be read (0: it is not paused), and how often they have said so: a stream that began
-- before a pause does not go on after it.
ALTER TABLE consent_consent ADD COLUMN paused BIGINT NOT NULL DEFAULT 0;
ALTER TABLE consent_consent ADD COLUMN pauses BIGINT NOT NULL DEFAULT 0;

-- When persons paused their consents. One pause is open at a time.
CREATE TABLE consent_pause (
    consent TEXT   NOT NULL,
    begun   BIGINT NOT NULL,
    ended   BIGINT NOT NULL, -- 0 before
    method  TEXT   NOT NULL, -- how the person was known
    resumed TEXT   NOT NULL  -- how whoever ended it was known; empty before
);
CREATE INDEX consent_pause_consent ON consent_pause (consent, begun);
CREATE UNIQUE INDEX consent_pause_open ON consent_pause (consent) WHERE ended = 0;

-- The names of the datasets in the details, so that a list can be made without reading JSON. NULL: not noted yet.
ALTER TABLE consent_consent ADD COLUMN datasets TEXT;
ALTER TABLE consent_request ADD COLUMN datasets TEXT;
CREATE INDEX consent_consent_unnoted ON consent_consent (id) WHERE datasets IS NULL;
CREATE INDEX consent_request_unnoted ON consent_request (id) WHERE datasets IS NULL;

-- Since when a service is suspended; 0: it is not.
ALTER TABLE consent_service ADD COLUMN stopped BIGINT NOT NULL DEFAULT 0;
UPDATE consent_service SET stopped = changed WHERE suspended <> '';
CREATE INDEX consent_service_stopped ON consent_service (stopped) WHERE suspended <> '';

-- What persons said that they have seen.
CREATE TABLE consent_seen (
    person TEXT   PRIMARY KEY,
    at     BIGINT NOT NULL
);

CREATE INDEX consent_consent_pair ON consent_consent (person, service);
CREATE INDEX consent_request_refused ON consent_request (person, decided) WHERE state = 'ConsentRefused';
