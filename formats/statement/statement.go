// Package statement is the signed operator statement: who an operator is, by law and by key. An operator signs it with
// its identity key, publishes it and puts it into every archive; others pin it and from then on know the operator,
// also after it has changed its keys.
//
// It must never know where private keys are kept, a network, or an instance.
package statement

import (
	"bytes"
	"crypto"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/strict"
)

// Format is the version that this package writes. Statements of the same major version are read; a later minor
// version may add members, but changes none.
const Format = "passerelle-statement/1.0"

// MaxSize is the size, in bytes, above which nothing is parsed.
const MaxSize = 1 << 20

const maxKeys = 1024 // as in the tag of Keys

// Statement is what an operator says about itself.
type Statement struct {
	Format string `json:"format" validate:"required"`
	// Version grows by at least one with each change, so that an older statement is not taken for the newest.
	Version int64     `json:"version" validate:"required,min=1,max=9007199254740991"`
	Issued  time.Time `json:"issued" validate:"required"`
	Operator
	Keys []Key `json:"keys" validate:"required,max=1024,dive"`
	// Succession leads from former identity keys to the present one, oldest first: see [SignSuccession].
	Succession []string `json:"succession,omitempty" validate:"max=64"`
}

// Operator describes the legal entity. One without registrations is unregistered: it then need not give the rest.
type Operator struct {
	ID            OperatorID     `json:"id" validate:"required,operator_id"`
	LegalName     string         `json:"legal_name" validate:"required,max=300,line"`
	Country       string         `json:"country,omitempty" validate:"required_with=Registrations,omitempty,iso3166_1_alpha2"`
	Registrations []Registration `json:"registrations,omitempty" validate:"omitempty,min=1,max=20,dive"`
	Supervisor    *Authority     `json:"supervisor,omitempty"`
	Contact       *Contact       `json:"contact,omitempty" validate:"required_with=Registrations"`
	Address       *Address       `json:"address,omitempty" validate:"required_with=Registrations"`
	// Roles say what the operator does, and so which laws apply to it beyond the GDPR: see [Operator.DeclaredRoles].
	Roles     []string          `json:"roles,omitempty" validate:"omitempty,max=5,unique,dive,oneof=intermediary hosting aisp aspsp"`
	Endpoints map[string]string `json:"endpoints,omitempty" validate:"max=32,dive,keys,member,endkeys,endpoint"`
}

// DeclaredRoles are the operator's roles: "intermediary" (Regulation (EU) 2022/868, article 10), "hosting" (Regulation (EU)
// 2023/2854, article 2(8): who offers persons an instance), "aisp" and "aspsp" (Directive (EU) 2015/2366, article 4(16) and
// (17)). Who declares none hosts persons' instances, and intermediates between them and services.
func (o *Operator) DeclaredRoles() []string {
	if len(o.Roles) == 0 {
		return []string{"intermediary", "hosting"}
	}
	return o.Roles
}

// Registered reports whether the operator names a register that it is in.
func (o *Operator) Registered() bool { return len(o.Registrations) > 0 }

// ParseOperator reads an operator's description from JSON. Unknown and repeated members are refused, and everything
// that is missing is named, in an error wrapping [formats.ErrInvalid].
func ParseOperator(data []byte) (Operator, error) {
	var o Operator
	if len(data) > MaxSize {
		return o, fmt.Errorf("%w: operator: %d bytes are above the limit of %d", formats.ErrInvalid, len(data), MaxSize)
	}
	if err := strict.Decode(data, &o); err != nil {
		return o, fmt.Errorf("%w: operator: %w", formats.ErrInvalid, err)
	}
	return o, o.Validate()
}

// Registration is an entry in a public register. Values of the schemes "SIREN" and "LEI" have check digits, which are
// checked; other schemes ("VAT", "EUID", "HRB", …) are taken as they are.
type Registration struct {
	Scheme string `json:"scheme" validate:"required,max=40,line"`
	Value  string `json:"value" validate:"required,max=100,line"`
}

// Authority is a public body that supervises the operator.
type Authority struct {
	Name    string `json:"name" validate:"required,max=300,line"`
	Country string `json:"country" validate:"required,iso3166_1_alpha2"`
	URL     string `json:"url,omitempty" validate:"omitempty,endpoint"`
}

// Contact is how persons and other operators reach the operator.
type Contact struct {
	Email string `json:"email" validate:"required,max=254,line,email"`
	Phone string `json:"phone,omitempty" validate:"omitempty,e164"`
	URL   string `json:"url,omitempty" validate:"omitempty,endpoint"`
}

// Address is a postal address.
type Address struct {
	Street     string `json:"street,omitempty" validate:"max=300,line"`
	PostalCode string `json:"postal_code,omitempty" validate:"max=40,line"`
	Locality   string `json:"locality" validate:"required,max=200,line"`
	Country    string `json:"country" validate:"required,iso3166_1_alpha2"`
}

// Signed is a statement together with its signature. Only [Parse] makes one.
type Signed struct {
	Statement Statement

	raw      []byte
	payload  []byte
	identity Key
	former   []string // thumbprints of the identity keys before this one, oldest first
}

// Raw returns the statement as it was signed: a JWS in general JSON serialisation (RFC 7515 section 7.2.1).
func (s *Signed) Raw() []byte { return bytes.Clone(s.raw) }

// Payload returns the exact JSON that was signed.
func (s *Signed) Payload() []byte { return bytes.Clone(s.payload) }

// Identity returns the key that signed.
func (s *Signed) Identity() Key { return s.identity }

// Fingerprint returns the SHA-256 (RFC 7638) of the identity key in groups of four hexadecimal digits, for people to
// compare over another channel.
func (s *Signed) Fingerprint() string { return s.identity.Fingerprint() }

// Sign validates a statement and signs it with the identity key, which must be the one that the statement lists.
// An empty Format means [Format].
func Sign(st Statement, identity crypto.Signer) ([]byte, error) {
	if st.Format == "" {
		st.Format = Format
	}
	st.Issued = st.Issued.UTC()
	if err := st.Validate(); err != nil {
		return nil, err
	}
	payload, err := marshal(st)
	if err != nil {
		return nil, fmt.Errorf("%w: operator statement: %v", formats.ErrInvalid, err)
	}
	compact, err := signCompact(identity, st.identity().JWK, typeStatement, payload)
	if err != nil {
		return nil, fmt.Errorf("sign the operator statement: %w", err)
	}
	raw, err := general(compact)
	if err != nil {
		return nil, fmt.Errorf("sign the operator statement: %w", err)
	}
	if _, err := Parse(raw); err != nil {
		return nil, fmt.Errorf("sign the operator statement: the outcome would not be accepted: %w", err)
	}
	return raw, nil
}

// Parse reads a signed statement, validates it and checks it against the identity key that it lists itself. What it
// returns is consistent, which says nothing about whether it may be trusted: see [Pins.Judge]. Errors wrap
// [formats.ErrInvalid].
func Parse(data []byte) (*Signed, error) {
	s, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w: operator statement: %w", formats.ErrInvalid, err)
	}
	return s, nil
}

func parse(data []byte) (*Signed, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("it has %d bytes, above the limit of %d", len(data), MaxSize)
	}
	compact, err := compactOf(data)
	if err != nil {
		return nil, err
	}
	jws, err := openCompact(compact, typeStatement)
	if err != nil {
		return nil, err
	}
	s := &Signed{raw: bytes.Clone(data), payload: jws.payload}
	if err := decodeStatement(jws.payload, &s.Statement); err != nil {
		return nil, err
	}
	if faults := s.Statement.faults(); len(faults) > 0 {
		return nil, faultsError(faults)
	}
	s.identity = s.Statement.identity()
	if err := jws.verify(s.identity.JWK); err != nil {
		return nil, err
	}
	s.former, err = checkSuccession(s.Statement.Succession, s.identity.JWK)
	return s, err
}

var formatForm = regexp.MustCompile(`^passerelle-statement/1\.[0-9]{1,4}$`)

// decodeStatement refuses unknown members, unless the statement says that it is of a later minor version.
func decodeStatement(payload []byte, st *Statement) error {
	if err := strict.Check(payload); err != nil {
		return err
	}
	var version struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(payload, &version); err != nil {
		return err
	}
	if !formatForm.MatchString(version.Format) {
		return fmt.Errorf("its format is %q; this program reads passerelle-statement/1: use a newer one", version.Format)
	}
	dec := json.NewDecoder(bytes.NewReader(payload))
	if version.Format == Format {
		dec.DisallowUnknownFields()
	}
	return dec.Decode(st)
}

func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimRight(buf.Bytes(), "\n"), err
}
