-- How far the refresh is that goes on, as JSON; '' if nothing was said of it yet.
ALTER TABLE bank_connection ADD COLUMN progress TEXT NOT NULL DEFAULT '';
