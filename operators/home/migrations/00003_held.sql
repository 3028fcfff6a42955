-- Whether a move keeps the instance from being written: apart from read_only, which an administrator sets and lifts.
ALTER TABLE home_instance ADD COLUMN held BOOLEAN NOT NULL DEFAULT FALSE;
