-- An account has at least one way in: a password (else hash is ''), a passkey, or an identity at the operator's provider.
ALTER TABLE accounts_account ADD COLUMN recovery_key TEXT NOT NULL DEFAULT ''; -- an age recipient; '' if there is none

DELETE FROM accounts_session; -- they do not say how they began
ALTER TABLE accounts_session ADD COLUMN id TEXT NOT NULL DEFAULT '';     -- by which a person ends it elsewhere
ALTER TABLE accounts_session ADD COLUMN method TEXT NOT NULL DEFAULT ''; -- how it was signed in
ALTER TABLE accounts_session ADD COLUMN agent TEXT NOT NULL DEFAULT '';  -- what the browser says that it is

-- Passkeys (WebAuthn level 3). Each works at one host alone.
CREATE TABLE accounts_passkey (
    id         TEXT   PRIMARY KEY, -- SHA-256 of the credential ID
    account    TEXT   NOT NULL,
    host       TEXT   NOT NULL,    -- the relying party ID
    name       TEXT   NOT NULL,    -- that the person gave it
    handle     TEXT   NOT NULL,    -- the user handle, base64url: random, says nothing of the account
    credential TEXT   NOT NULL,    -- the credential record, as JSON
    created    BIGINT NOT NULL,
    used       BIGINT NOT NULL     -- 0: never
);
CREATE INDEX accounts_passkey_account ON accounts_passkey (account);

-- Recovery codes that are left. A code has 80 bits: its SHA-256 says nothing of it.
CREATE TABLE accounts_code (
    hash    TEXT PRIMARY KEY,
    account TEXT NOT NULL
);
CREATE INDEX accounts_code_account ON accounts_code (account);

-- Who a person is at the operator's OpenID provider.
CREATE TABLE accounts_identity (
    issuer  TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    account TEXT   NOT NULL,
    linked  BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX accounts_identity_account ON accounts_identity (account);

-- Invitations to make an account.
CREATE TABLE accounts_invitation (
    hash    TEXT   PRIMARY KEY, -- SHA-256 of the code
    name    TEXT   NOT NULL,    -- '': whoever has the code chooses one
    expires BIGINT NOT NULL
);

-- Challenges that were answered: none is answered twice.
CREATE TABLE accounts_spent (
    hash    TEXT   PRIMARY KEY,
    expires BIGINT NOT NULL
);
