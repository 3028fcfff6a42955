package oauth

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// Invite makes an initial access token, with which so many services may register themselves until a time (RFC 7591
// section 3). It is shown once: only its hash is kept.
func Invite(ctx context.Context, db *sqldb.DB, note string, services int, until time.Time) (string, error) {
	token := rand.Text()
	_, err := db.Write.ExecContext(ctx, `INSERT INTO oauth_initial (token, note, left_, expires) VALUES ($1, $2, $3, $4)`, hashOf(token), note, services, until.UnixMicro())
	if err != nil {
		return "", fmt.Errorf("keep the token: %w", err)
	}
	return token, nil
}

// Register lets a service register itself that was invited (RFC 7591).
func (s *Server) Register(w http.ResponseWriter, r *http.Request) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		w.Header().Set("WWW-Authenticate", "Bearer")
		answerJSON(w, http.StatusUnauthorized, registrationFault("invalid_token", "Ask the operator for an initial access token."))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		answerJSON(w, http.StatusRequestEntityTooLarge, registrationFault("invalid_client_metadata", fmt.Sprintf("The body is larger than %d bytes.", maxBody)))
		return
	}
	service, err := s.register(r.Context(), token, body)
	switch {
	case errors.Is(err, errInvitation):
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		answerJSON(w, http.StatusUnauthorized, registrationFault("invalid_token", errInvitation.Error()))
	case errors.Is(err, consent.ErrRequest), errors.Is(err, consent.ErrTaken):
		code := "invalid_client_metadata"
		if strings.Contains(err.Error(), "redirect_uris") {
			code = "invalid_redirect_uri"
		}
		answerJSON(w, http.StatusBadRequest, registrationFault(code, err.Error()))
	case err != nil:
		s.Deny(w, err)
	default:
		answerJSON(w, http.StatusCreated, registered{*service, s.opt.Now().Unix()})
	}
}

type registered struct {
	consent.Service
	Issued int64 `json:"client_id_issued_at"`
}

func registrationFault(code, text string) map[string]string {
	return map[string]string{"error": code, "error_description": text}
}

var errInvitation = errors.New("the initial access token is not valid, or was used as often as it may be")

func (s *Server) register(ctx context.Context, token string, body []byte) (*consent.Service, error) {
	// The id is ours to give; what else is not known is left aside (RFC 7591 section 2).
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return nil, fmt.Errorf("%w: the registration is not a JSON object", consent.ErrRequest)
	}
	for _, name := range []string{"client_id", "admin"} {
		delete(members, name)
	}
	members["client_id"] = json.RawMessage(`"` + consent.NewServiceID() + `"`)
	body, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	service, err := consent.ParseService(body, false)
	if err != nil {
		return nil, err
	}
	return &service, s.authority.AddService(ctx, service, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE oauth_initial SET left_ = left_ - 1 WHERE token = $1 AND left_ > 0 AND expires > $2`, hashOf(token), s.opt.Now().UnixMicro())
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, errInvitation)
		}
		return nil
	})
}
