package consent

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/internal/strict"
)

// Service is who asks for data: an OAuth client, with the legal entity behind it. The members are those of RFC 7591
// section 2 where it has them.
type Service struct {
	ID            string            `json:"client_id" validate:"required,service_id"`
	Name          string            `json:"client_name" validate:"required,max=80,line,name"`
	LegalName     string            `json:"legal_name" validate:"required,max=200,line,name"`
	Registrations []Registration    `json:"registrations" validate:"required,max=20,dive"`
	Country       string            `json:"country" validate:"required,iso3166_1_alpha2"`
	Address       string            `json:"address" validate:"required,max=500,line"`
	Contact       string            `json:"contact" validate:"required,max=254,email"`
	URL           string            `json:"client_uri,omitempty" validate:"omitempty,endpoint"`
	Purposes      []string          `json:"purposes" validate:"required,max=50,unique,dive,max=300,url"`                             // IRIs of DPV purposes
	Notices       map[string]string `json:"privacy_notices" validate:"required,max=20,dive,keys,language,endkeys,required,endpoint"` // URL by language
	RedirectURIs  []string          `json:"redirect_uris" validate:"required,max=20,unique,dive,max=1000,redirect"`
	Auth          AuthMethod        `json:"token_endpoint_auth_method" validate:"required,oneof=private_key_jwt tls_client_auth self_signed_tls_client_auth"`
	JWKS          json.RawMessage   `json:"jwks,omitempty" validate:"max=32768"` // RFC 7517
	JWKSURI       string            `json:"jwks_uri,omitempty" validate:"omitempty,endpoint"`
	SubjectDN     string            `json:"tls_client_auth_subject_dn,omitempty" validate:"required_if=Auth tls_client_auth,max=1000"` // RFC 4514
	CertBound     bool              `json:"tls_client_certificate_bound_access_tokens,omitempty"`                                      // RFC 8705 section 3.4; else DPoP
	Events        string            `json:"event_endpoint,omitempty" validate:"omitempty,endpoint"`                                    // RFC 8935
	// Admin lets it use the administration's interface with client credentials; it then asks nobody for data.
	Admin bool `json:"admin,omitempty"`
	// Operator says that it is another operator, whom this one trusts: persons move to it, and it asks for nothing else.
	// Its registration is made of its signed statement, and of nothing that somebody sends.
	Operator bool `json:"operator,omitempty"`

	Suspended string    `json:"-"` // why; "" if it is not
	Agreed    Agreed    `json:"-"`
	Created   time.Time `json:"-"`
	Changed   time.Time `json:"-"`
}

// AuthMethod is how a service proves who it is at the token endpoint (RFC 7591 section 2, RFC 8705 section 2).
type AuthMethod string

// The methods.
const (
	PrivateKeyJWT AuthMethod = "private_key_jwt"
	TLSClientAuth AuthMethod = "tls_client_auth"
	SelfSignedTLS AuthMethod = "self_signed_tls_client_auth"
)

// Registration is an entry in a public register: "SIREN", "LEI", "PSP" (the authorisation number of a payment service
// provider), ….
type Registration struct {
	Scheme string `json:"scheme" validate:"required,max=40,line"`
	Value  string `json:"value" validate:"required,max=100,line"`
}

// serviceForm is that of ids; an operator's may be an origin.
var serviceForm = regexp.MustCompile(`^(https://)?[a-z0-9][a-z0-9.-]{2,99}(:[0-9]{1,5})?$`)

// isRedirect accepts what a service may be sent a person back to.
func isRedirect(s string) bool {
	u, err := url.Parse(s)
	return strict.IsEndpoint(s) && err == nil && !strings.Contains(s, "#") && !strings.Contains(u.Path, "..")
}

// ParseService reads a service's registration (JSON), and names everything that is missing or wrong in an error that
// wraps [ErrRequest]. Unknown members are refused if exact, and ignored otherwise (RFC 7591 section 2).
func ParseService(data []byte, exact bool) (Service, error) {
	var s Service
	if len(data) > 128<<10 {
		return s, fmt.Errorf("%w: a registration of %d bytes", ErrRequest, len(data))
	}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	if exact {
		dec.DisallowUnknownFields()
	}
	if err := dec.Decode(&s); err != nil {
		return s, fmt.Errorf("%w: the registration: %w", ErrRequest, err)
	}
	if dec.More() {
		return s, fmt.Errorf("%w: something follows the registration", ErrRequest)
	}
	if s.Operator || strings.Contains(s.ID, ":") {
		return s, fmt.Errorf("%w: operators are not registered: trust their statement (passerelle operator trust)", ErrRequest)
	}
	return s, s.Validate()
}

// Validate names everything that is missing or wrong in one error, which wraps [ErrRequest].
func (s *Service) Validate() error {
	v, err := newValidator()
	if err != nil {
		return err
	}
	faults := v.Faults(s)
	if spared := s.spared(); len(spared) > 0 {
		faults = slices.DeleteFunc(faults, func(f string) bool {
			return slices.ContainsFunc(spared, func(name string) bool { return f == name+" is missing" })
		})
	}
	if s.Auth != TLSClientAuth && (len(s.JWKS) == 0) == (s.JWKSURI == "") {
		faults = append(faults, "either jwks or jwks_uri is needed, with the keys that the service proves itself with")
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w: the registration of a service: %s", ErrRequest, strings.Join(faults, "; "))
	}
	return nil
}

// spared are the members that may be missing: who administers asks nobody for data, and of an operator its signed statement
// says who it is.
func (s *Service) spared() []string {
	switch {
	case s.Operator:
		return []string{"purposes", "address", "registrations", "country", "contact"}
	case s.Admin:
		return []string{"redirect_uris", "purposes", "privacy_notices", "address", "registrations"}
	}
	return nil
}

func (s *Service) facts() ServiceFacts {
	f := ServiceFacts{ID: s.ID, LegalName: s.LegalName, Country: s.Country, Purposes: s.Purposes, Notices: s.Notices, Contact: s.Contact, Agreed: s.Agreed.Runs}
	for _, r := range s.Registrations {
		f.Registration = append(f.Registration, r.Scheme+":"+r.Value)
	}
	return f
}

// isName reports whether a name is written in the letters of one script, so that it cannot borrow letters that look
// like those of another name.
func isName(s string) bool {
	script := ""
	for _, r := range norm.NFKC.String(s) {
		if !unicode.IsLetter(r) {
			continue
		}
		is := scriptOf(r)
		if is == "" || script != "" && is != script {
			return false
		}
		script = is
	}
	return script != ""
}

func scriptOf(r rune) string {
	for _, group := range []struct {
		name   string
		tables []*unicode.RangeTable
	}{
		{"Latin", []*unicode.RangeTable{unicode.Latin}},
		{"Greek", []*unicode.RangeTable{unicode.Greek}},
		{"Cyrillic", []*unicode.RangeTable{unicode.Cyrillic}},
		{"East Asian", []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo}},
	} {
		if unicode.In(r, group.tables...) {
			return group.name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(unicode.Scripts)) {
		if name != "Common" && name != "Inherited" && unicode.Is(unicode.Scripts[name], r) {
			return name
		}
	}
	return ""
}

// looks are the Greek and Cyrillic letters that look like Latin ones, in small letters.
var looks = strings.NewReplacer(
	"а", "a", "в", "b", "е", "e", "к", "k", "м", "m", "н", "h", "о", "o", "р", "p", "с", "c", "т", "t", "у", "y", "х", "x", "і", "i", "ј", "j",
	"ѕ", "s", "ԁ", "d", "ԛ", "q", "ԝ", "w", "һ", "h", "ӏ", "l", "ь", "b", "г", "r", "п", "n",
	"α", "a", "β", "b", "ε", "e", "ζ", "z", "η", "n", "ι", "i", "κ", "k", "μ", "m", "ν", "v", "ο", "o", "ρ", "p", "τ", "t", "υ", "y", "χ", "x", "γ", "y", "ω", "w",
	"0", "o", "1", "l", "|", "l", "ı", "i", "rn", "m", "vv", "w",
)

// skeleton is the same for names that look the same (in the spirit of Unicode Technical Standard 39 section 4).
func skeleton(name string) string {
	plain := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) || unicode.IsSpace(r) || unicode.IsPunct(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(name))
	return strings.ReplaceAll(looks.Replace(plain), "i", "l")
}

// AddService registers a service, or replaces its registration. A name that looks like that of another service is
// refused with an error that wraps [ErrTaken]. also, if any, runs first in the same transaction.
func (a *Authority) AddService(ctx context.Context, s Service, also ...func(*sql.Tx) error) error {
	if err := s.Validate(); err != nil {
		return err
	}
	document, err := json.Marshal(s)
	if err != nil {
		return err
	}
	now := a.now().UnixMicro()
	_, err = a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		for _, do := range also {
			if err := do(tx); err != nil {
				return nil, err
			}
		}
		var other string
		err := tx.QueryRowContext(ctx, `SELECT id FROM consent_service WHERE look = $1 AND id <> $2`, skeleton(s.Name), s.ID).Scan(&other)
		if err == nil {
			return nil, fmt.Errorf("%w: the name %q looks like that of the service %s", ErrTaken, s.Name, other)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		parted, err := a.part(ctx, tx, &s)
		if err != nil {
			return nil, err
		}
		_, err = tx.ExecContext(ctx, `
			INSERT INTO consent_service (id, document, look, suspended, version, created, changed) VALUES ($1, $2, $3, '', 1, $4, $4)
			ON CONFLICT (id) DO UPDATE SET document = excluded.document, look = excluded.look, version = consent_service.version + 1, changed = excluded.changed`,
			s.ID, string(document), skeleton(s.Name), now)
		if err != nil {
			return nil, err
		}
		came, err := a.attach(ctx, tx, &s)
		return append(append(parted, conduct("service.registered", s.ID, "")...), came...), err
	})
	if sqldb.IsUnique(err) {
		return fmt.Errorf("%w: the name %q looks like that of another service", ErrTaken, s.Name)
	}
	if err != nil {
		return fmt.Errorf("register the service %s: %w", s.ID, err)
	}
	return nil
}

// NewServiceID returns an id for a service that has none.
func NewServiceID() string { return "s-" + strings.ReplaceAll(newID(), "-", "") }

// Service returns a service, or an error that wraps [ErrNotFound].
func (a *Authority) Service(ctx context.Context, id string) (*Service, error) {
	return a.services.get(ctx, a.db.Read, id)
}

// ServiceIn is Service in a transaction.
func (a *Authority) ServiceIn(ctx context.Context, tx *sql.Tx, id string) (*Service, error) {
	return a.services.get(ctx, tx, id)
}

// conduct is the event of something that the operator did.
func conduct(what, service, detail string) []ledger.Event {
	return []ledger.Event{{Person: OperatorChain, Class: ledger.Conduct, Type: what, Service: service, Detail: detail}}
}

// OperatorChain stands for the operator where the log wants a person; no instance has such a name.
const OperatorChain = "operator:"

// Services returns all services, by id.
func (a *Authority) Services(ctx context.Context) ([]*Service, error) {
	rows, err := a.db.Read.QueryContext(ctx, `SELECT `+serviceColumns+` FROM consent_service ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list the services: %w", err)
	}
	defer rows.Close()
	var list []*Service
	for rows.Next() {
		s, _, err := scanService(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

// Suspend stops a service at once, with a reason that it is told; an empty reason lets it go on.
func (a *Authority) Suspend(ctx context.Context, id, reason string) error {
	now := a.now()
	stopped := now
	if reason == "" {
		stopped = time.Time{}
	}
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		result, err := tx.ExecContext(ctx, `UPDATE consent_service SET suspended = $2, version = version + 1, changed = $3, stopped = $4 WHERE id = $1`,
			id, reason, micro(now), micro(stopped))
		if err != nil {
			return nil, err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return nil, errors.Join(err, fmt.Errorf("the service %q: %w", id, ErrNotFound))
		}
		return conduct("service.suspended", id, reason), nil
	})
	if err != nil {
		return fmt.Errorf("suspend the service: %w", err)
	}
	if reason == "" {
		return nil
	}
	return a.streams.stop(ctx, a, `service = $1`, id, func(p *Permit) bool { return p.consent.Service == id })
}
