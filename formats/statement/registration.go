package statement

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

var (
	sirenForm = regexp.MustCompile(`^[0-9]{9}$`)
	leiForm   = regexp.MustCompile(`^[0-9A-Z]{18}[0-9]{2}$`)
)

// registrationFaults checks what has check digits, so that a slip of the pen is found before it is signed.
func registrationFaults(registrations []Registration) []string {
	var faults []string
	for i, r := range registrations {
		switch {
		case r.Scheme == "SIREN" && !validSIREN(r.Value):
			faults = append(faults, fmt.Sprintf("registrations[%d]: %.40q is not a SIREN: nine digits, the last a check digit", i, r.Value))
		case r.Scheme == "LEI" && !validLEI(r.Value):
			faults = append(faults, fmt.Sprintf("registrations[%d]: %.40q is not a LEI: 18 letters or digits and two check digits", i, r.Value))
		}
	}
	return faults
}

// validSIREN checks the Luhn check digit (ISO/IEC 7812-1) of a French company number.
func validSIREN(s string) bool {
	if !sirenForm.MatchString(s) {
		return false
	}
	sum := 0
	for i, c := range s {
		d := int(c - '0')
		if i%2 == 1 {
			d *= 2
		}
		sum += d/10 + d%10
	}
	return sum%10 == 0
}

// validLEI checks the two check digits (ISO 17442, ISO/IEC 7064 MOD 97-10) of a legal entity identifier.
func validLEI(s string) bool {
	if !leiForm.MatchString(s) {
		return false
	}
	var digits strings.Builder
	for _, c := range s {
		if c >= 'A' {
			fmt.Fprintf(&digits, "%d", c-'A'+10)
		} else {
			digits.WriteRune(c)
		}
	}
	n, _ := new(big.Int).SetString(digits.String(), 10)
	return n.Mod(n, big.NewInt(97)).Cmp(big.NewInt(1)) == 0
}
