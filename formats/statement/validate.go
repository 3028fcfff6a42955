package statement

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"filippo.io/age"
	"github.com/go-playground/validator/v10"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Validate names everything that is missing or wrong in one error, which wraps [formats.ErrInvalid].
func (o *Operator) Validate() error {
	if faults := append(fieldFaults(o), registrationFaults(o.Registrations)...); len(faults) > 0 {
		return fmt.Errorf("%w: operator: %w", formats.ErrInvalid, faultsError(faults))
	}
	return nil
}

// Validate names everything that is missing or wrong in one error, which wraps [formats.ErrInvalid].
func (st *Statement) Validate() error {
	faults := st.faults()
	if len(faults) == 0 {
		if _, err := checkSuccession(st.Succession, st.identity().JWK); err != nil {
			faults = append(faults, err.Error())
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w: operator statement: %w", formats.ErrInvalid, faultsError(faults))
	}
	return nil
}

func faultsError(faults []string) error {
	const shown = 20
	if more := len(faults) - shown; more > 0 {
		faults = append(faults[:shown:shown], fmt.Sprintf("and %d more faults", more))
	}
	return errors.New(strings.Join(faults, "; "))
}

func (st *Statement) faults() []string {
	faults := fieldFaults(st)
	if !formatForm.MatchString(st.Format) {
		faults = append(faults, fmt.Sprintf("format is %q, not %q", st.Format, Format))
	}
	faults = append(faults, registrationFaults(st.Registrations)...)
	return append(faults, st.keyFaults()...)
}

func (st *Statement) keyFaults() []string {
	var faults []string
	if len(st.Keys) > maxKeys { // the tag has said so; do not look at each
		return nil
	}
	seen := map[string]bool{}
	for i, k := range st.Keys {
		if why := k.fault(); why != "" {
			faults = append(faults, fmt.Sprintf("keys[%d]: %s", i, why))
		} else if seen[k.Kid] {
			faults = append(faults, fmt.Sprintf("keys[%d]: %s is listed twice; a key has one use", i, k.Kid))
		}
		seen[k.Kid] = true
	}
	if n := len(st.current(UseIdentity)); n != 1 {
		faults = append(faults, fmt.Sprintf("keys: there are %d current keys for identity instead of one", n))
	}
	return faults
}

func (st *Statement) current(use Use) []Key {
	var keys []Key
	for _, k := range st.Keys {
		if k.Use == use && k.Current() {
			keys = append(keys, k)
		}
	}
	return keys
}

// identity returns the current identity key of a statement without faults.
func (st *Statement) identity() Key { return st.current(UseIdentity)[0] }

// fault says what does not fit together in a key whose fields alone are sound.
func (k *Key) fault() string {
	if _, err := k.JWK.bytes(); err != nil {
		return err.Error()
	}
	if k.Kid != k.JWK.Thumbprint() {
		return fmt.Sprintf("kid %.60q is not the RFC 7638 thumbprint of the key", k.Kid)
	}
	crv, alg := "Ed25519", algEdDSA
	if k.Use == UseEncryption {
		crv, alg = "X25519", algX25519
	}
	if k.JWK.Crv != crv || k.Alg != alg {
		return fmt.Sprintf("a key for %s is an %s key for %s, not an %s key for %s", k.Use, crv, alg, k.JWK.Crv, k.Alg)
	}
	if k.Until != nil && k.Until.Before(k.Since) {
		return "until is before since"
	}
	return k.recipientFault()
}

func (k *Key) recipientFault() string {
	if k.Use != UseEncryption {
		if k.Recipient != "" {
			return "a recipient belongs to keys for encryption only"
		}
		return ""
	}
	recipient, err := age.ParseX25519Recipient(k.Recipient)
	if err != nil {
		return fmt.Sprintf("recipient %.80q is not an age X25519 recipient", k.Recipient)
	}
	if NewEncryptionKey(recipient, k.Since).JWK != k.JWK {
		return "recipient is another key than jwk"
	}
	return ""
}

func newValidator() (*validator.Validate, error) {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		return name
	})
	return v, errors.Join(
		v.RegisterValidation("operator_id", onText(func(s string) bool { _, err := ParseOperatorID(s); return err == nil })),
		v.RegisterValidation("line", onText(isLine)),
		v.RegisterValidation("member", onText(memberForm.MatchString)),
		v.RegisterValidation("endpoint", onText(isEndpoint)),
	)
}

func onText(ok func(string) bool) validator.Func {
	return func(fl validator.FieldLevel) bool { return ok(fl.Field().String()) }
}

// isLine reports whether s can be shown on one line without misleading: UTF-8, no control characters, none that change
// the direction of writing or are invisible (but for the joiners that some scripts need), no white space around it.
func isLine(s string) bool {
	const joiners = "\u200c\u200d"
	return utf8.ValidString(s) && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) && !strings.ContainsRune(joiners, r)
	})
}

// isEndpoint accepts absolute https URLs, and http ones to this machine, for trying things out.
func isEndpoint(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || len(s) > 2000 || !isLine(s) {
		return false
	}
	switch u.Hostname() {
	case "localhost", "127.0.0.1", "::1":
		return u.Scheme == "https" || u.Scheme == "http"
	}
	return u.Scheme == "https"
}

// fieldFaults holds the fields of a struct against their tags.
func fieldFaults(target any) []string {
	v, err := newValidator()
	if err == nil {
		err = v.Struct(target)
	}
	var fields validator.ValidationErrors
	if err == nil {
		return nil
	}
	if !errors.As(err, &fields) {
		return []string{err.Error()}
	}
	faults := make([]string, 0, len(fields))
	for _, f := range fields {
		_, place, _ := strings.Cut(f.Namespace(), ".")
		faults = append(faults, strings.TrimPrefix(place, "Operator.")+" "+phrase(f))
	}
	return faults
}

func phrase(f validator.FieldError) string {
	switch f.Tag() {
	case "required":
		return "is missing"
	case "required_with":
		return "is missing, which a registered operator must give"
	case "max":
		return "is more or longer than " + f.Param()
	case "min":
		return "is less or shorter than " + f.Param()
	case "oneof", "eq":
		return fmt.Sprintf("is %.60q, not %s", f.Value(), strings.ReplaceAll(f.Param(), " ", " or "))
	case "iso3166_1_alpha2":
		return fmt.Sprintf("is %.20q, not an ISO 3166-1 alpha-2 country code such as FR", f.Value())
	case "operator_id":
		return fmt.Sprintf("is %.300q, not an operator id such as cloud.example.org", f.Value())
	case "line":
		return fmt.Sprintf("is %.60q: hidden or control characters, or white space around it, are not allowed", f.Value())
	case "endpoint":
		return fmt.Sprintf("is %.300q, not an https URL", f.Value())
	case "member":
		return "is not a name of a-z, 0-9 and _"
	}
	return fmt.Sprintf("is %.100q, not a valid %s", fmt.Sprint(f.Value()), f.Tag())
}
