package oauth

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// store keeps what fosite wants kept. What fosite writes, it writes in the transaction of the call: see [dealings].
type store struct {
	db        *sqldb.DB
	ledger    *ledger.Ledger
	authority *consent.Authority
	now       func() time.Time
}

// dealings are a call's with the database.
type dealings struct {
	tx       *sql.Tx
	replayed bool // a code came a second time; what came of it the first time was revoked
	pushing  *pushing
}

// The kinds of sessions.
const (
	kindCode    = "code"
	kindPKCE    = "pkce"
	kindAccess  = "access"
	kindRefresh = "refresh"
)

// in runs do in a transaction, with everything that fosite does in it. do may be run more than once.
func (s *store) in(ctx context.Context, c *call, do func(ctx context.Context, c *call) error) error {
	_, err := s.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		again := *c
		again.dealings = dealings{tx: tx}
		return nil, do(withCall(ctx, &again), &again)
	})
	return err
}

// querier is the transaction of a call, or the database.
func (s *store) querier(ctx context.Context) interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
} {
	if c := callOf(ctx); c != nil && c.dealings.tx != nil {
		return c.dealings.tx
	}
	return s.db.Read
}

// exec writes in the transaction of a call, or in one of its own.
func (s *store) exec(ctx context.Context, statement string, args ...any) (n int64, err error) {
	run := func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, statement, args...)
		if err == nil {
			n, err = result.RowsAffected()
		}
		return err
	}
	if c := callOf(ctx); c != nil && c.dealings.tx != nil {
		return n, run(c.dealings.tx)
	}
	_, err = s.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) { return nil, run(tx) })
	return n, err
}

// once remembers an id until a time, or returns an error wrapping errReplay.
func (s *store) once(ctx context.Context, kind, who, id string, until time.Time) error {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d %s\x00%s", kind, len(who), who, id))
	n, err := s.exec(ctx, `INSERT INTO oauth_once (id, expires) VALUES ($1, $2) ON CONFLICT DO NOTHING`, hex.EncodeToString(sum[:]), until.UnixMicro())
	if err != nil {
		return fmt.Errorf("remember what must not be used twice: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("%w: it was used before", errReplay)
	}
	return nil
}

// sweep deletes what has expired. What was replayed is found out as long as it could have been valid.
func (s *store) sweep(ctx context.Context) error {
	past := s.now().Add(-time.Minute).UnixMicro()
	_, err := s.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		for _, statement := range []string{
			`DELETE FROM oauth_once WHERE expires < $1`, `DELETE FROM oauth_session WHERE expires < $1`, `DELETE FROM oauth_initial WHERE expires < $1`,
			`DELETE FROM oauth_pushed WHERE expires < $1 AND request IN (SELECT id FROM consent_request WHERE expires < $1 OR state <> 'ConsentRequested')`,
		} {
			if _, err := tx.ExecContext(ctx, statement, past); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	return err
}

// session is what a code or a token carries.
type session struct {
	Consent string    `json:"consent,omitempty"`
	Subject string    `json:"sub,omitempty"`
	Bound   binding   `json:"cnf"` // of a code: what the pushed request was bound to
	Nonce   string    `json:"nonce,omitempty"`
	Auth    time.Time `json:"auth_time,omitzero"`
	// Until is when the consent ends.
	Until   time.Time                      `json:"until,omitzero"`
	Expires map[fosite.TokenType]time.Time `json:"exp,omitempty"`
}

func (s *session) SetExpiresAt(key fosite.TokenType, at time.Time) {
	if s.Expires == nil {
		s.Expires = map[fosite.TokenType]time.Time{}
	}
	if !s.Until.IsZero() && (at.After(s.Until) || key == fosite.RefreshToken) {
		at = s.Until // nothing outlives the consent
	}
	s.Expires[key] = at
}

func (s *session) GetExpiresAt(key fosite.TokenType) time.Time { return s.Expires[key] }
func (s *session) GetUsername() string                         { return "" }
func (s *session) GetSubject() string                          { return s.Subject }

func (s *session) Clone() fosite.Session {
	c := *s
	c.Expires = map[fosite.TokenType]time.Time{}
	for k, v := range s.Expires {
		c.Expires[k] = v
	}
	return &c
}

// kept are the parameters that are stored with a code: neither proofs nor secrets.
var kept = []string{"redirect_uri", "code_challenge", "code_challenge_method", "scope", "response_type"}

func (s *store) create(ctx context.Context, kind, signature string, request fosite.Requester, expires time.Time) error {
	own, ok := request.GetSession().(*session)
	if !ok {
		return errors.New("a session of another kind")
	}
	form := url.Values{}
	for _, name := range kept {
		if v := request.GetRequestForm().Get(name); v != "" {
			form.Set(name, v)
		}
	}
	formText, err := json.Marshal(form)
	if err != nil {
		return err
	}
	text, err := json.Marshal(own)
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, `
		INSERT INTO oauth_session (kind, signature, request, service, consent, scope, form, session, created, expires, active)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, TRUE)`,
		kind, signature, request.GetID(), request.GetClient().GetID(), own.Consent, strings.Join(request.GetGrantedScopes(), " "),
		string(formText), string(text), s.now().UnixMicro(), expires.UnixMicro())
	if err != nil {
		return fmt.Errorf("keep a %s: %w", kind, err)
	}
	return nil
}

// stored is a code or a token as it is kept.
type stored struct {
	request *fosite.Request
	session *session
	service string
	created time.Time
	expires time.Time
	active  bool
}

func (s *store) read(ctx context.Context, kind, signature string) (*stored, error) {
	row := &stored{session: &session{}, request: fosite.NewRequest()}
	var id, scope, form, text string
	var created, expires int64
	err := s.querier(ctx).QueryRowContext(ctx, `SELECT request, service, scope, form, session, created, expires, active FROM oauth_session WHERE kind = $1 AND signature = $2`, kind, signature).
		Scan(&id, &row.service, &scope, &form, &text, &created, &expires, &row.active)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fosite.ErrNotFound
	}
	if err == nil {
		err = errors.Join(json.Unmarshal([]byte(form), &row.request.Form), json.Unmarshal([]byte(text), row.session))
	}
	if err != nil {
		return nil, fmt.Errorf("look for a %s: %w", kind, err)
	}
	row.created, row.expires = time.UnixMicro(created).UTC(), time.UnixMicro(expires).UTC()
	row.request.ID, row.request.RequestedAt, row.request.Session = id, row.created, row.session
	row.request.Client = &client{&consent.Service{ID: row.service}}
	if c := callOf(ctx); c != nil && c.client != nil && c.client.ID == row.service {
		row.request.Client = c.client
	}
	for _, name := range strings.Fields(scope) {
		row.request.AppendRequestedScope(name)
		row.request.GrantScope(name)
	}
	return row, nil
}

// get is read for fosite: what is not active any more is an error of its own, with the request.
func (s *store) get(ctx context.Context, kind, signature string, inactive error) (fosite.Requester, error) {
	row, err := s.read(ctx, kind, signature)
	if err != nil {
		return nil, err
	}
	if !row.active {
		return row.request, inactive
	}
	return row.request, nil
}

// GetClient implements [fosite.Storage].
func (s *store) GetClient(ctx context.Context, id string) (fosite.Client, error) {
	if c := callOf(ctx); c != nil && c.client != nil && c.client.ID == id {
		return c.client, nil
	}
	return nil, fosite.ErrNotFound
}

// ClientAssertionJWTValid and SetClientAssertionJWT implement [fosite.Storage]; our own strategy does not call them.
func (s *store) ClientAssertionJWTValid(context.Context, string) error { return fosite.ErrJTIKnown }
func (s *store) SetClientAssertionJWT(context.Context, string, time.Time) error {
	return fosite.ErrJTIKnown
}

// CreateAuthorizeCodeSession implements [oauth2.AuthorizeCodeStorage].
func (s *store) CreateAuthorizeCodeSession(ctx context.Context, signature string, request fosite.Requester) error {
	return s.create(ctx, kindCode, signature, request, request.GetSession().GetExpiresAt(fosite.AuthorizeCode).Add(accessLife)) // a replay is known for longer
}

// GetAuthorizeCodeSession implements [oauth2.AuthorizeCodeStorage].
func (s *store) GetAuthorizeCodeSession(ctx context.Context, signature string, _ fosite.Session) (fosite.Requester, error) {
	r, err := s.get(ctx, kindCode, signature, fosite.ErrInvalidatedAuthorizeCode)
	if errors.Is(err, fosite.ErrInvalidatedAuthorizeCode) {
		callOf(ctx).dealings.replayed = true
	}
	if err == nil && !s.now().Before(r.GetSession().GetExpiresAt(fosite.AuthorizeCode)) {
		return nil, fosite.ErrNotFound
	}
	return r, err
}

// InvalidateAuthorizeCodeSession implements [oauth2.AuthorizeCodeStorage]: of two that redeem a code at once, one does.
func (s *store) InvalidateAuthorizeCodeSession(ctx context.Context, signature string) error {
	n, err := s.exec(ctx, `UPDATE oauth_session SET active = FALSE WHERE kind = 'code' AND signature = $1 AND active`, signature)
	if err == nil && n == 0 {
		err = fosite.ErrInvalidatedAuthorizeCode
	}
	return err
}

// CreatePKCERequestSession implements [pkce.PKCERequestStorage].
func (s *store) CreatePKCERequestSession(ctx context.Context, signature string, request fosite.Requester) error {
	return s.create(ctx, kindPKCE, signature, request, request.GetSession().GetExpiresAt(fosite.AuthorizeCode))
}

// GetPKCERequestSession implements [pkce.PKCERequestStorage].
func (s *store) GetPKCERequestSession(ctx context.Context, signature string, _ fosite.Session) (fosite.Requester, error) {
	return s.get(ctx, kindPKCE, signature, fosite.ErrNotFound)
}

// DeletePKCERequestSession implements [pkce.PKCERequestStorage].
func (s *store) DeletePKCERequestSession(ctx context.Context, signature string) error {
	_, err := s.exec(ctx, `DELETE FROM oauth_session WHERE kind = 'pkce' AND signature = $1`, signature)
	return err
}

// CreateAccessTokenSession implements [oauth2.AccessTokenStorage].
func (s *store) CreateAccessTokenSession(ctx context.Context, signature string, request fosite.Requester) error {
	return s.create(ctx, kindAccess, signature, request, request.GetSession().GetExpiresAt(fosite.AccessToken))
}

// GetAccessTokenSession implements [oauth2.AccessTokenStorage].
func (s *store) GetAccessTokenSession(ctx context.Context, signature string, _ fosite.Session) (fosite.Requester, error) {
	return s.get(ctx, kindAccess, signature, fosite.ErrInactiveToken)
}

// DeleteAccessTokenSession implements [oauth2.AccessTokenStorage].
func (s *store) DeleteAccessTokenSession(ctx context.Context, signature string) error {
	_, err := s.exec(ctx, `DELETE FROM oauth_session WHERE kind = 'access' AND signature = $1`, signature)
	return err
}

// CreateRefreshTokenSession implements [oauth2.RefreshTokenStorage].
func (s *store) CreateRefreshTokenSession(ctx context.Context, signature, _ string, request fosite.Requester) error {
	return s.create(ctx, kindRefresh, signature, request, request.GetSession().GetExpiresAt(fosite.RefreshToken))
}

// GetRefreshTokenSession implements [oauth2.RefreshTokenStorage].
func (s *store) GetRefreshTokenSession(ctx context.Context, signature string, _ fosite.Session) (fosite.Requester, error) {
	return s.get(ctx, kindRefresh, signature, fosite.ErrInactiveToken)
}

// DeleteRefreshTokenSession implements [oauth2.RefreshTokenStorage].
func (s *store) DeleteRefreshTokenSession(ctx context.Context, signature string) error {
	_, err := s.exec(ctx, `DELETE FROM oauth_session WHERE kind = 'refresh' AND signature = $1`, signature)
	return err
}

// RotateRefreshToken implements [oauth2.RefreshTokenStorage]. Nothing rotates: FAPI 2.0 section 5.3.2.1.
func (s *store) RotateRefreshToken(context.Context, string, string) error {
	return errors.New("refresh tokens are not rotated")
}

// RevokeRefreshToken implements [oauth2.TokenRevocationStorage].
func (s *store) RevokeRefreshToken(ctx context.Context, request string) error {
	_, err := s.exec(ctx, `UPDATE oauth_session SET active = FALSE WHERE request = $1 AND kind = 'refresh'`, request)
	return err
}

// RevokeAccessToken implements [oauth2.TokenRevocationStorage].
func (s *store) RevokeAccessToken(ctx context.Context, request string) error {
	_, err := s.exec(ctx, `UPDATE oauth_session SET active = FALSE WHERE request = $1 AND kind = 'access'`, request)
	return err
}
