package accounts

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// Passkey is one device, or one keychain, by which a person signs in.
type Passkey struct {
	ID       string
	Name     string // that the person gave it
	Host     string // the host name where it works, and nowhere else
	Created  time.Time
	Used     time.Time // zero: never
	BackedUp bool      // it is on more than one device
}

// Challenge is what a browser is asked to answer by a passkey.
type Challenge struct {
	Options  json.RawMessage // WebAuthn level 3: PublicKeyCredentialCreationOptionsJSON, or …RequestOptionsJSON
	Ceremony string          // sealed; given back with the answer
}

// ceremony is what we must remember between a challenge and its answer. The page keeps it, sealed.
type ceremony struct {
	Kind    string               `json:"kind"`
	Account string               `json:"account,omitempty"`
	Session webauthn.SessionData `json:"session"`
	Expires int64                `json:"expires"` // Unix microseconds
}

// The kinds of ceremonies: an answer to one is none to another.
const (
	toSignIn   = "sign in"
	toAdd      = "add"
	toRegister = "register"
)

const (
	// answerWithin is how long a page with a challenge works.
	answerWithin = time.Hour
	// maxPasskeys is how many an account may have.
	maxPasskeys = 50
	maxLabel    = 100 // characters of a passkey's name
)

var errNoSecret = errors.New("passkeys need a secret: see Options.Secret")

// holder is a person as authenticators know them.
type holder struct {
	handle []byte // random: it says nothing of the person (WebAuthn section 14.6.1)
	name   string
	owns   []webauthn.Credential
}

func (h *holder) WebAuthnID() []byte                         { return h.handle }
func (h *holder) WebAuthnName() string                       { return h.name }
func (h *holder) WebAuthnDisplayName() string                { return h.name }
func (h *holder) WebAuthnCredentials() []webauthn.Credential { return h.owns }

// party is who we are at an origin (RFC 6454), such as https://data.bank.example.
func (a *Accounts) party(origin string) (*webauthn.WebAuthn, error) {
	if a.ceremonies == nil {
		return nil, errNoSecret
	}
	host, err := hostOf(origin)
	if err != nil {
		return nil, err
	}
	required := true
	return webauthn.New(&webauthn.Config{
		RPID: host, RPDisplayName: a.opt.Name, RPOrigins: []string{origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			RequireResidentKey: &required, ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired,
		},
		// Keychains add outputs that nobody asked for; none of them is looked at.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
}

func hostOf(origin string) (string, error) {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("%w: the origin %q", ErrInvalid, origin)
	}
	if host, _, err := net.SplitHostPort(u.Host); err == nil {
		return host, nil
	}
	return u.Host, nil
}

func (a *Accounts) challenge(kind, account string, options any, session *webauthn.SessionData) (Challenge, error) {
	text, err := json.Marshal(options)
	if err != nil {
		return Challenge{}, err
	}
	sealed, err := a.ceremonies.Seal(ceremony{kind, account, *session, a.now().Add(answerWithin).UnixMicro()})
	return Challenge{text, sealed}, err
}

// ceremonyOf opens a ceremony. The error wraps [ErrCredentials].
func (a *Accounts) ceremonyOf(sealed, kind string) (c ceremony, err error) {
	if a.ceremonies == nil {
		return c, errNoSecret
	}
	if err := a.ceremonies.Open(sealed, &c); err != nil || c.Kind != kind || c.Expires <= a.now().UnixMicro() {
		return c, fmt.Errorf("%w: the page is too old", ErrCredentials)
	}
	return c, nil
}

// spend notes that a challenge was answered. The error wraps [ErrCredentials] if it was answered before.
func (c ceremony) spend(ctx context.Context, tx *sql.Tx) error {
	result, err := tx.ExecContext(ctx, `INSERT INTO accounts_spent (hash, expires) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING`, digest("challenge", c.Session.Challenge), c.Expires)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return fmt.Errorf("%w: this was answered before", ErrCredentials)
}

// PasskeyChallenge begins to sign somebody in by a passkey, whoever they are.
func (a *Accounts) PasskeyChallenge(_ context.Context, origin string) (Challenge, error) {
	party, err := a.party(origin)
	if err != nil {
		return Challenge{}, err
	}
	options, session, err := party.BeginDiscoverableLogin()
	if err != nil {
		return Challenge{}, fmt.Errorf("ask for a passkey: %w", err)
	}
	return a.challenge(toSignIn, "", options.Response, session)
}

// SignInPasskey checks the answer to [Accounts.PasskeyChallenge], and begins a session (WebAuthn level 3, section 7.2).
// The error wraps [ErrCredentials], whatever is wrong with the answer.
func (a *Accounts) SignInPasskey(ctx context.Context, origin, sealed string, response []byte, c Client) (token string, account Account, err error) {
	if err := a.sweepSometimes(ctx); err != nil {
		return "", Account{}, err
	}
	began, err := a.ceremonyOf(sealed, toSignIn)
	if err != nil {
		return "", Account{}, err
	}
	party, err := a.party(origin)
	if err != nil {
		return "", Account{}, err
	}
	answer, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return "", Account{}, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	err = a.tx(ctx, func(tx *sql.Tx) error {
		token, account, err = a.signInPasskey(ctx, tx, party, began, answer, c)
		return err
	})
	if err != nil {
		return "", Account{}, err
	}
	return token, account, nil
}

func (a *Accounts) signInPasskey(ctx context.Context, tx *sql.Tx, party *webauthn.WebAuthn, began ceremony, answer *protocol.ParsedCredentialAssertionData, c Client) (string, Account, error) {
	if err := began.spend(ctx, tx); err != nil {
		return "", Account{}, err
	}
	var broken error // of the database, rather than of the answer
	find := func(rawID, _ []byte) (webauthn.User, error) {
		h, err := a.holderOf(ctx, tx, rawID, party.Config.RPID)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			broken = err
		}
		return h, err
	}
	user, used, err := party.ValidatePasskeyLogin(find, began.Session, answer)
	if broken != nil {
		return "", Account{}, fmt.Errorf("look for a passkey: %w", broken)
	}
	if err != nil {
		return "", Account{}, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	if used.Authenticator.CloneWarning {
		return "", Account{}, fmt.Errorf("%w: this passkey seems to have been copied", ErrCredentials)
	}
	record, err := json.Marshal(used)
	if err != nil {
		return "", Account{}, err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE accounts_passkey SET credential = $2, used = $3 WHERE id = $1`, passkeyID(used.ID), string(record), a.now().UnixMicro()); err != nil {
		return "", Account{}, fmt.Errorf("note that a passkey is used: %w", err)
	}
	account := Account{Name: user.WebAuthnName(), Instance: user.WebAuthnName()}
	token, err := a.start(ctx, tx, account, ByPasskey, c)
	return token, account, err
}

// passkeyID is a credential's ID as it is kept: of one length, and of letters.
func passkeyID(rawID []byte) string { return digest("passkey", string(rawID)) }

// holderOf finds who has a credential, and keeps others from it until the transaction ends.
func (a *Accounts) holderOf(ctx context.Context, tx *sql.Tx, rawID []byte, host string) (*holder, error) {
	var handle, record string
	h := &holder{owns: make([]webauthn.Credential, 1)}
	err := tx.QueryRowContext(ctx, `UPDATE accounts_passkey SET used = used WHERE id = $1 AND host = $2 RETURNING account, handle, credential`,
		passkeyID(rawID), host).Scan(&h.name, &handle, &record)
	if err != nil {
		return nil, err
	}
	if h.handle, err = base64.RawURLEncoding.DecodeString(handle); err != nil {
		return nil, err
	}
	return h, json.Unmarshal([]byte(record), &h.owns[0])
}

// NewPasskey begins to add a passkey to the account of who has a session. The error may wrap [ErrNoSession].
func (a *Accounts) NewPasskey(ctx context.Context, token, origin string) (Challenge, error) {
	session, err := a.Session(ctx, token)
	if err != nil {
		return Challenge{}, err
	}
	party, err := a.party(origin)
	if err != nil {
		return Challenge{}, err
	}
	h, err := a.holder(ctx, session.Account.Name, party.Config.RPID)
	if err != nil {
		return Challenge{}, err
	}
	options, began, err := party.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.owns).CredentialDescriptors()))
	if err != nil {
		return Challenge{}, fmt.Errorf("ask for a new passkey: %w", err)
	}
	return a.challenge(toAdd, session.Account.Name, options.Response, began)
}

// holder is a person with what they have at a host; a new handle if that is nothing.
func (a *Accounts) holder(ctx context.Context, account, host string) (*holder, error) {
	rows, err := a.db.Read.QueryContext(ctx, `SELECT handle, credential FROM accounts_passkey WHERE account = $1 AND host = $2 ORDER BY created, id`, account, host)
	if err != nil {
		return nil, fmt.Errorf("list the passkeys of %q: %w", account, err)
	}
	defer rows.Close()
	h := &holder{name: account, handle: randomBytes(32)}
	for rows.Next() {
		var handle, record string
		var owned webauthn.Credential
		if err := rows.Scan(&handle, &record); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(record), &owned); err != nil {
			return nil, err
		}
		if h.handle, err = base64.RawURLEncoding.DecodeString(handle); err != nil {
			return nil, err
		}
		h.owns = append(h.owns, owned)
	}
	return h, rows.Err()
}

// AddPasskey checks the answer to [Accounts.NewPasskey], and adds the passkey (WebAuthn level 3, section 7.1). The error
// wraps [ErrNoSession], [ErrStale], [ErrCredentials] or [ErrTaken], or [ErrInvalid] for a name that nobody sees.
func (a *Accounts) AddPasskey(ctx context.Context, token, origin, sealed, name string, response []byte) (Passkey, error) {
	session, err := a.proven(ctx, token)
	if err != nil {
		return Passkey{}, err
	}
	began, err := a.ceremonyOf(sealed, toAdd)
	if err != nil {
		return Passkey{}, err
	}
	if began.Account != session.Account.Name {
		return Passkey{}, fmt.Errorf("%w: the page is somebody else's", ErrCredentials)
	}
	made, err := a.created(origin, began, response)
	if err != nil {
		return Passkey{}, err
	}
	if made.name = printable(name, maxLabel); made.name == "" {
		return Passkey{}, fmt.Errorf("%w: a passkey needs a name", ErrInvalid)
	}
	err = a.tx(ctx, func(tx *sql.Tx) error {
		if err := a.stillThere(ctx, tx, session); err != nil {
			return err
		}
		return a.keep(ctx, tx, session.Account.Name, began, made)
	})
	if err != nil {
		return Passkey{}, err
	}
	return made.passkey(a.now()), nil
}

// newPasskey is one that an authenticator made just now.
type newPasskey struct {
	name, host string
	handle     []byte
	credential *webauthn.Credential
}

func (p newPasskey) passkey(now time.Time) Passkey {
	return Passkey{ID: passkeyID(p.credential.ID), Name: p.name, Host: p.host, Created: now, BackedUp: p.credential.Flags.BackupState}
}

// created checks what an authenticator made. The error wraps [ErrCredentials].
func (a *Accounts) created(origin string, began ceremony, response []byte) (newPasskey, error) {
	party, err := a.party(origin)
	if err != nil {
		return newPasskey{}, err
	}
	answer, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return newPasskey{}, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	made, err := party.CreateCredential(&holder{handle: began.Session.UserID}, began.Session, answer)
	if err != nil {
		return newPasskey{}, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	made.Attestation = webauthn.CredentialAttestation{} // which device it is is nobody's business
	return newPasskey{host: party.Config.RPID, handle: began.Session.UserID, credential: made}, nil
}

func (a *Accounts) keep(ctx context.Context, tx *sql.Tx, account string, began ceremony, made newPasskey) error {
	if err := began.spend(ctx, tx); err != nil {
		return err
	}
	record, err := json.Marshal(made.credential)
	if err != nil {
		return err
	}
	var has int
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM accounts_passkey WHERE account = $1`, account).Scan(&has); err != nil {
		return err
	}
	if has >= maxPasskeys {
		return fmt.Errorf("%w: more than %d passkeys: remove one first", ErrInvalid, maxPasskeys)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO accounts_passkey (id, account, host, name, handle, credential, created, used) VALUES ($1, $2, $3, $4, $5, $6, $7, 0)`,
		passkeyID(made.credential.ID), account, made.host, made.name, base64.RawURLEncoding.EncodeToString(made.handle), string(record), a.now().UnixMicro())
	if sqldb.IsUnique(err) {
		return fmt.Errorf("add a passkey: %w", ErrTaken)
	}
	return err
}

// Passkeys returns the passkeys of an account, the oldest first.
func (a *Accounts) Passkeys(ctx context.Context, account string) (list []Passkey, err error) {
	if checkName(account) != nil {
		return nil, nil // nobody has it
	}
	rows, err := a.db.Read.QueryContext(ctx, `SELECT id, name, host, credential, created, used FROM accounts_passkey WHERE account = $1 ORDER BY created, id`, account)
	if err != nil {
		return nil, fmt.Errorf("list the passkeys of %q: %w", account, err)
	}
	defer rows.Close()
	for rows.Next() {
		var p Passkey
		var record string
		var created, used int64
		if err := rows.Scan(&p.ID, &p.Name, &p.Host, &record, &created, &used); err != nil {
			return nil, err
		}
		var c webauthn.Credential
		if err := json.Unmarshal([]byte(record), &c); err != nil {
			return nil, err
		}
		p.Created, p.BackedUp = time.UnixMicro(created), c.Flags.BackupState
		if used > 0 {
			p.Used = time.UnixMicro(used)
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// RemovePasskey removes a passkey of an account, if there is one. The error wraps [ErrLast].
func (a *Accounts) RemovePasskey(ctx context.Context, account, id string) error {
	if checkName(account) != nil || checkName(id) != nil {
		return nil // nobody has it
	}
	return a.remove(ctx, account, `DELETE FROM accounts_passkey WHERE account = $1 AND id = $2`, id)
}

// remove takes a way in from an account, unless it is the last one.
func (a *Accounts) remove(ctx context.Context, account, statement, id string) error {
	err := a.tx(ctx, func(tx *sql.Tx) error {
		hash, err := lockAccount(ctx, tx, account)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, statement, account, id); err != nil {
			return err
		}
		if hash != noPassword {
			return nil
		}
		var left bool
		err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM accounts_passkey WHERE account = $1) OR EXISTS (SELECT 1 FROM accounts_identity WHERE account = $1)`, account).Scan(&left)
		if err == nil && !left {
			err = ErrLast
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("take a way in from %q: %w", account, err)
	}
	return nil
}
