-- How the money of each person stood when it was last looked through. Without a row everything is looked through again, and
-- nothing changes.
CREATE TABLE money_run (
    id       TEXT   PRIMARY KEY, -- by chance; jobs name persons by it
    person   TEXT   NOT NULL UNIQUE, -- the name of the instance
    position BIGINT NOT NULL, -- of the instance's changes, up to which all was looked through; -1: not yet
    day      TEXT   NOT NULL, -- on which: reimbursements become late by themselves
    alerts   BIGINT NOT NULL  -- that are open
);
