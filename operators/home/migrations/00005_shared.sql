-- Of an instance that moves here: how many bytes of it its person has here already, which take no more room.
ALTER TABLE home_instance ADD COLUMN shared BIGINT NOT NULL DEFAULT 0;
