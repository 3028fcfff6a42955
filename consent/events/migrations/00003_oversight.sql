CREATE INDEX events_event_made ON events_event (made);
CREATE INDEX events_event_silent ON events_event (service, made) WHERE acknowledged = 0;
