package audit

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
	"unicode"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

//go:embed migrations
var migrations embed.FS

// Auditor is somebody whom the operator invited to look: read-only, and until a day.
type Auditor struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Authority string    `json:"authority"` // for which they ask
	Created   time.Time `json:"created"`
	Expires   time.Time `json:"expires"`
	Revoked   time.Time `json:"revoked,omitzero"`
}

// As is how the log names an auditor.
func (a *Auditor) As() string { return "auditor:" + a.ID }

// Auditors keeps who may audit.
type Auditors struct {
	db     *sqldb.DB
	ledger *ledger.Ledger
	secret []byte
	now    func() time.Time
}

// sessionTime is how long an auditor stays signed in.
const sessionTime = 8 * time.Hour

// maxInvitation is the longest time for which somebody is invited.
const maxInvitation = 366 * 24 * time.Hour

// OpenAuditors opens who may audit, and makes the tables if there are none. The secret, 32 bytes, makes the pseudonyms.
func OpenAuditors(ctx context.Context, db *sqldb.DB, log *ledger.Ledger, secret []byte, now func() time.Time) (*Auditors, error) {
	if len(secret) < 32 {
		return nil, errors.New("pseudonyms need a secret of 32 bytes")
	}
	if now == nil {
		now = time.Now
	}
	return &Auditors{db: db, ledger: log, secret: secret, now: now}, migrate(ctx, db)
}

func migrate(ctx context.Context, db *sqldb.DB) error {
	tables, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	return db.Migrate(ctx, tables, "audit_version")
}

// Invite lets somebody audit until a time, and returns the code that they sign in with, once. It is logged. The error
// wraps [ErrInvalid].
func (a *Auditors) Invite(ctx context.Context, name, authority string, until time.Time) (code string, _ *Auditor, err error) {
	now := a.now().UTC()
	switch {
	case !isName(name) || !isName(authority):
		return "", nil, fmt.Errorf("%w: the name of the auditor and that of their authority are one line each, of 1 to 200 bytes", ErrInvalid)
	case !until.After(now) || until.After(now.Add(maxInvitation)):
		return "", nil, fmt.Errorf("%w: an auditor is invited until a day within the next year, not %s", ErrInvalid, until.Format(time.DateOnly))
	}
	who := &Auditor{ID: strings.ToLower(rand.Text()[:12]), Name: name, Authority: authority, Created: now, Expires: until.UTC()}
	code = rand.Text()
	_, err = a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		_, err := tx.ExecContext(ctx, `INSERT INTO audit_auditor (id, name, authority, code, created, expires, revoked) VALUES ($1, $2, $3, $4, $5, $6, 0)`,
			who.ID, name, authority, hashOf(code), now.UnixMicro(), until.UnixMicro())
		return []ledger.Event{who.event("auditor.invited", map[string]string{"name": name, "authority": authority, "until": until.UTC().Format(time.RFC3339)})}, err
	})
	if err != nil {
		return "", nil, fmt.Errorf("invite an auditor: %w", err)
	}
	return code, who, nil
}

func isName(s string) bool {
	return s != "" && len(s) <= 200 && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) })
}

func hashOf(code string) string {
	sum := sha256.Sum256([]byte(code))
	return hex.EncodeToString(sum[:])
}

func (a *Auditor) event(what string, detail any) ledger.Event {
	text, _ := json.Marshal(detail) // texts only
	if len(text) > ledger.MaxText {
		text = text[:0]
	}
	return ledger.Event{Person: consent.OperatorChain, Class: ledger.Conduct, Type: what, Service: a.As(), Detail: string(text)}
}

const auditorColumns = `id, name, authority, created, expires, revoked`

func scanAuditor(row interface{ Scan(...any) error }) (*Auditor, error) {
	var a Auditor
	var created, expires, revoked int64
	err := row.Scan(&a.ID, &a.Name, &a.Authority, &created, &expires, &revoked)
	a.Created, a.Expires = time.UnixMicro(created).UTC(), time.UnixMicro(expires).UTC()
	if revoked != 0 {
		a.Revoked = time.UnixMicro(revoked).UTC()
	}
	return &a, err
}

// Auditors lists all who were ever invited, the last first.
func (a *Auditors) Auditors(ctx context.Context) ([]*Auditor, error) {
	rows, err := a.db.Read.QueryContext(ctx, `SELECT `+auditorColumns+` FROM audit_auditor ORDER BY created DESC, id`)
	if err != nil {
		return nil, fmt.Errorf("list the auditors: %w", err)
	}
	defer rows.Close()
	var list []*Auditor
	for rows.Next() {
		who, err := scanAuditor(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, who)
	}
	return list, rows.Err()
}

// Revoke ends an invitation, and the sessions that it led to. It is logged. The error wraps [ErrNoAuditor].
func (a *Auditors) Revoke(ctx context.Context, id string) error {
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		who, err := scanAuditor(tx.QueryRowContext(ctx, `UPDATE audit_auditor SET revoked = CASE revoked WHEN 0 THEN $2 ELSE revoked END WHERE id = $1 RETURNING `+auditorColumns, id, a.now().UnixMicro()))
		if errors.Is(err, sql.ErrNoRows) {
			return nil, fmt.Errorf("%.60q: %w", id, ErrNoAuditor)
		}
		if err != nil {
			return nil, err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM audit_session WHERE auditor = $1`, id)
		return []ledger.Event{who.event("auditor.revoked", map[string]string{})}, err
	})
	if err != nil {
		return fmt.Errorf("revoke an auditor: %w", err)
	}
	return nil
}

// ByCode returns whose a code is. The error wraps [ErrNoAuditor].
func (a *Auditors) ByCode(ctx context.Context, code string) (*Auditor, error) {
	return a.valid(scanAuditor(a.db.Read.QueryRowContext(ctx, `SELECT `+auditorColumns+` FROM audit_auditor WHERE code = $1`, hashOf(strings.TrimSpace(code)))))
}

func (a *Auditors) valid(who *Auditor, err error) (*Auditor, error) {
	if errors.Is(err, sql.ErrNoRows) || err == nil && (!who.Revoked.IsZero() || !a.now().Before(who.Expires)) {
		return nil, ErrNoAuditor
	}
	if err != nil {
		return nil, fmt.Errorf("look for the auditor: %w", err)
	}
	return who, nil
}

// SignIn begins a session, and returns its token. It is logged. The error wraps [ErrNoAuditor].
func (a *Auditors) SignIn(ctx context.Context, code string) (token string, _ *Auditor, err error) {
	who, err := a.ByCode(ctx, code)
	if err != nil {
		return "", nil, err
	}
	token = rand.Text()
	now := a.now()
	until := now.Add(sessionTime)
	if who.Expires.Before(until) {
		until = who.Expires
	}
	_, err = a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		if _, err := tx.ExecContext(ctx, `DELETE FROM audit_session WHERE expires <= $1`, now.UnixMicro()); err != nil {
			return nil, err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO audit_session (token, auditor, begun, expires) VALUES ($1, $2, $3, $4)`, hashOf(token), who.ID, now.UnixMicro(), until.UnixMicro())
		return []ledger.Event{who.event("auditor.signed-in", map[string]string{})}, err
	})
	if err != nil {
		return "", nil, fmt.Errorf("sign an auditor in: %w", err)
	}
	return token, who, nil
}

// Session returns whose a session is. The error wraps [ErrNoAuditor].
func (a *Auditors) Session(ctx context.Context, token string) (*Auditor, error) {
	return a.valid(scanAuditor(a.db.Read.QueryRowContext(ctx, `
		SELECT a.id, a.name, a.authority, a.created, a.expires, a.revoked FROM audit_session s JOIN audit_auditor a ON a.id = s.auditor WHERE s.token = $1 AND s.expires > $2`,
		hashOf(token), a.now().UnixMicro())))
}

// SignOut ends a session.
func (a *Auditors) SignOut(ctx context.Context, token string) error {
	if _, err := a.db.Write.ExecContext(ctx, `DELETE FROM audit_session WHERE token = $1`, hashOf(token)); err != nil {
		return fmt.Errorf("sign an auditor out: %w", err)
	}
	return nil
}

// Forget forgets under which pseudonyms auditors were shown a person.
func Forget(ctx context.Context, db *sqldb.DB, person string) error {
	if err := migrate(ctx, db); err != nil {
		return err
	}
	for _, statement := range []string{`DELETE FROM audit_subject WHERE person = $1`, `DELETE FROM audit_looked WHERE person = $1`} {
		if _, err := db.Write.ExecContext(ctx, statement, person); err != nil {
			return fmt.Errorf("forget a person's pseudonyms: %w", err)
		}
	}
	return nil
}

// pseudonym is under which name an auditor is shown a person: always the same, and another one for each auditor.
func (a *Auditors) pseudonym(who *Auditor, person string) string {
	mac := hmac.New(sha256.New, a.secret)
	fmt.Fprintf(mac, "pseudonym\x00%s\x00%s", who.ID, person)
	return "p-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(mac.Sum(nil)[:10]))
}

// subject is the pseudonym of a person, which is remembered so that the auditor can ask for it.
func (a *Auditors) subject(ctx context.Context, who *Auditor, person string) (string, error) {
	name := a.pseudonym(who, person)
	if _, err := a.db.Write.ExecContext(ctx, `INSERT INTO audit_subject (auditor, subject, person) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, who.ID, name, person); err != nil {
		return "", fmt.Errorf("remember a pseudonym: %w", err)
	}
	return name, nil
}

// person is whom an auditor was shown under a pseudonym. The error wraps [consent.ErrNotFound].
func (a *Auditors) person(ctx context.Context, who *Auditor, subject string) (person string, err error) {
	err = a.db.Read.QueryRowContext(ctx, `SELECT person FROM audit_subject WHERE auditor = $1 AND subject = $2`, who.ID, subject).Scan(&person)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("the pseudonym %.40q: %w; you were shown no such person", subject, consent.ErrNotFound)
	}
	return person, err
}
