package statement

import (
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/strict"
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

// fieldFaults holds the fields of a struct against their tags.
func fieldFaults(target any) []string {
	v, err := strict.NewValidator(
		strict.Tag{Name: "operator_id", Is: func(s string) bool { _, err := ParseOperatorID(s); return err == nil }, Not: "an operator id such as cloud.example.org"})
	if err != nil {
		return []string{err.Error()}
	}
	faults := v.Faults(target)
	for i, fault := range faults {
		fault = strings.TrimPrefix(fault, "Operator.")
		faults[i] = strings.Replace(fault, " is missing here", " is missing, which a registered operator must give", 1)
	}
	return faults
}
