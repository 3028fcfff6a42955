package consent

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

const consentColumns = `c.id, c.person, c.service, c.state, c.revision, c.created, c.changed, c.expires, c.accesses, c.paused, c.pauses, c.method, c.authenticated, c.moved, c.origin, r.details, r.packs`

func scanConsent(row interface{ Scan(...any) error }) (Consent, error) {
	var c Consent
	var created, changed, expires, paused, authenticated int64
	var details, packs, moved, origin string
	if err := row.Scan(&c.ID, &c.Person, &c.Service, &c.State, &c.Revision, &created, &changed, &expires, &c.Accesses, &paused, &c.pauses, &c.method, &authenticated, &moved, &origin, &details, &packs); err != nil {
		return c, err
	}
	c.Created, c.Changed, c.Expires, c.Paused = fromMicro(created), fromMicro(changed), fromMicro(expires), fromMicro(paused)
	c.authenticated = fromMicro(authenticated)
	return c, errors.Join(json.Unmarshal([]byte(details), &c.Details), json.Unmarshal([]byte(packs), &c.Packs), beside(moved, &c.Moved), beside(origin, &c.Origin))
}

// beside reads what [keepBeside] wrote.
func beside[T any](text string, into **T) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), into)
}

// own reads a consent of a person, or of a service: the column says which.
func (a *Authority) own(ctx context.Context, q querier, id, column, who string) (Consent, error) {
	c, err := scanConsent(q.QueryRowContext(ctx, `
		SELECT `+consentColumns+` FROM consent_consent c JOIN consent_revision r ON r.consent = c.id AND r.number = c.revision
		WHERE c.id = $1 AND c.`+column+` = $2`, id, who))
	if errors.Is(err, sql.ErrNoRows) {
		return c, fmt.Errorf("the consent %.60q: %w", id, ErrNotFound)
	}
	if err != nil {
		return c, fmt.Errorf("look for the consent: %w", err)
	}
	return c, nil
}

// locked is own, in a transaction that is about to change the consent: whoever else is, waits.
func (a *Authority) locked(ctx context.Context, tx *sql.Tx, id, column, who string) (Consent, error) {
	if _, err := tx.ExecContext(ctx, `UPDATE consent_consent SET changed = changed WHERE id = $1`, id); err != nil {
		return Consent{}, fmt.Errorf("take the consent: %w", err)
	}
	return a.own(ctx, tx, id, column, who)
}

// OfService returns a consent that a service has, as it stands now, or an error that wraps [ErrNotFound].
func (a *Authority) OfService(ctx context.Context, id, service string) (Consent, error) {
	c, err := a.own(ctx, a.db.Read, id, `service`, service)
	c.stand(a.now())
	return c, err
}

// OfServiceIn is OfService in a transaction.
func (a *Authority) OfServiceIn(ctx context.Context, tx *sql.Tx, id, service string) (Consent, error) {
	c, err := a.own(ctx, tx, id, `service`, service)
	c.stand(a.now())
	return c, err
}

// OfPerson returns a consent of a person, as it stands now, or an error that wraps [ErrNotFound].
func (a *Authority) OfPerson(ctx context.Context, id, person string) (Consent, error) {
	c, err := a.own(ctx, a.db.Read, id, `person`, person)
	c.stand(a.now())
	return c, err
}

// Consents returns all consents of a person, the last that changed first.
func (a *Authority) Consents(ctx context.Context, person string) ([]Consent, error) {
	rows, err := a.db.Read.QueryContext(ctx, `
		SELECT `+consentColumns+` FROM consent_consent c JOIN consent_revision r ON r.consent = c.id AND r.number = c.revision
		WHERE c.person = $1 ORDER BY c.changed DESC, c.id`, person)
	if err != nil {
		return nil, fmt.Errorf("list the consents: %w", err)
	}
	defer rows.Close()
	var list []Consent
	for now := a.now(); rows.Next(); {
		c, err := scanConsent(rows)
		if err != nil {
			return nil, err
		}
		c.stand(now)
		list = append(list, c)
	}
	return list, rows.Err()
}

const revisionColumns = `consent, number, state, details, request, notice, language, method, reason, at, expires, packs, facts`

func scanRevision(row interface{ Scan(...any) error }) (Revision, error) {
	var r Revision
	var details, packs, facts string
	var at, expires int64
	if err := row.Scan(&r.Consent, &r.Number, &r.State, &details, &r.Request, &r.Notice, &r.Language, &r.Method, &r.Reason, &at, &expires, &packs, &facts); err != nil {
		return r, err
	}
	r.At, r.Expires, r.Facts = fromMicro(at), fromMicro(expires), []byte(facts)
	return r, errors.Join(json.Unmarshal([]byte(details), &r.Details), json.Unmarshal([]byte(packs), &r.Packs))
}

func readRevision(ctx context.Context, q querier, consent string, number int) (Revision, error) {
	r, err := scanRevision(q.QueryRowContext(ctx, `SELECT `+revisionColumns+` FROM consent_revision WHERE consent = $1 AND number = $2`, consent, number))
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("revision %d: %w", number, ErrNotFound)
	}
	return r, err
}

// Revisions returns all revisions of a consent, the first one first.
func (a *Authority) Revisions(ctx context.Context, consent string) ([]Revision, error) {
	rows, err := a.db.Read.QueryContext(ctx, `SELECT `+revisionColumns+` FROM consent_revision WHERE consent = $1 ORDER BY number`, consent)
	if err != nil {
		return nil, fmt.Errorf("list the revisions: %w", err)
	}
	defer rows.Close()
	var list []Revision
	for rows.Next() {
		r, err := scanRevision(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// Notice is what a person was shown before they decided.
type Notice struct {
	Request  string
	Hash     string // SHA-256 of Content, hexadecimal
	Language string
	Version  string // of the page
	Shown    time.Time
	Content  []byte // exactly
}

// Show keeps the exact bytes of a notice that is about to be shown, and returns their hash, which the decision names. What
// is shown before a consent is shortened or given again is kept with the consent's id in place of a request's.
func (a *Authority) Show(ctx context.Context, n Notice) (string, error) {
	sum := sha256.Sum256(n.Content)
	n.Hash = hex.EncodeToString(sum[:])
	var one int
	err := a.db.Read.QueryRowContext(ctx, `SELECT 1 FROM consent_notice WHERE request = $1 AND hash = $2`, n.Request, n.Hash).Scan(&one)
	if err == nil || !errors.Is(err, sql.ErrNoRows) {
		return n.Hash, err
	}
	_, err = a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		_, err := tx.ExecContext(ctx, `INSERT INTO consent_notice (request, hash, language, version, shown, content) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
			n.Request, n.Hash, n.Language, n.Version, a.now().UnixMicro(), n.Content)
		return nil, err
	})
	if err != nil {
		return "", fmt.Errorf("keep the notice: %w", err)
	}
	return n.Hash, nil
}

// Notice returns what was shown with a request.
func (a *Authority) Notice(ctx context.Context, request, hash string) (Notice, error) {
	n := Notice{Request: request, Hash: hash}
	var shown int64
	err := a.db.Read.QueryRowContext(ctx, `SELECT language, version, shown, content FROM consent_notice WHERE request = $1 AND hash = $2`, request, hash).
		Scan(&n.Language, &n.Version, &shown, &n.Content)
	n.Shown = fromMicro(shown)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("the notice: %w", ErrNotFound)
	}
	return n, err
}

// readNotice returns which notice was shown; it is an error if it never was.
func readNotice(ctx context.Context, tx *sql.Tx, request, hash string) (*NoticeFacts, error) {
	n := NoticeFacts{SHA256: hash}
	err := tx.QueryRowContext(ctx, `SELECT language, version FROM consent_notice WHERE request = $1 AND hash = $2`, request, hash).Scan(&n.Language, &n.Version)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: the person was never shown this notice", ErrState)
	}
	return &n, err
}
