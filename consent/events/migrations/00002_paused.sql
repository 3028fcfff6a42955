-- Whether the person had paused the consent.
ALTER TABLE events_event ADD COLUMN paused BOOLEAN NOT NULL DEFAULT FALSE;
