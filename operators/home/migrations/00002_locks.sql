-- What somebody who works here has locked for a while (RFC 4918, section 6). Those that are over go with the next one.
CREATE TABLE home_lock (
    token     TEXT    PRIMARY KEY,
    instance  BIGINT  NOT NULL,
    path      BYTEA   NOT NULL,
    deep      BOOLEAN NOT NULL, -- with all that is below
    exclusive BOOLEAN NOT NULL,
    owner     TEXT    NOT NULL, -- as the client says it
    expires   BIGINT  NOT NULL  -- Unix microseconds
);
CREATE INDEX home_lock_instance ON home_lock (instance);
