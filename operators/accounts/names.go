package accounts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

const maxName = 512 // bytes

// checkName says what is wrong with a name for an account.
func checkName(name string) error {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return fmt.Errorf("%w: the name %q: use 1 to %d bytes of text", ErrInvalid, name, maxName)
	}
	return nil
}

// lookOf is the same for every way to type a sign-in name: large letters for small ones, a space at the end, another
// form of the same accent. It is a hash, so that any text at all has one.
func lookOf(name string) string {
	if len(name) <= maxName {
		name = strings.TrimSpace(norm.NFKC.String(cases.Fold().String(norm.NFKC.String(name))))
	}
	return digest("name", name)
}

// sourceOf is the same for all addresses that one customer of an access provider has: a whole /64 of IPv6 (RFC 6177).
// What is no address counts as it is.
func sourceOf(from string) string {
	from = strings.TrimSpace(from)
	address, err := netip.ParseAddr(from)
	if err != nil {
		var withPort netip.AddrPort
		if withPort, err = netip.ParseAddrPort(from); err != nil {
			return digest("source", from)
		}
		address = withPort.Addr()
	}
	if address = address.Unmap().WithZone(""); address.Is6() {
		address = netip.PrefixFrom(address, 64).Masked().Addr()
	}
	return digest("source", address.String())
}

// digest is the SHA-256 of a text, hexadecimal. What it is of comes first, so that a name is never taken for an address.
func digest(of, text string) string {
	sum := sha256.Sum256([]byte(of + "\x00" + text))
	return hex.EncodeToString(sum[:])
}

// printable is a text without what nobody sees, cut to a number of characters.
func printable(text string, most int) string {
	var kept []rune
	for _, r := range text {
		if len(kept) == most {
			break
		}
		if unicode.IsPrint(r) && r != utf8.RuneError {
			kept = append(kept, r)
		}
	}
	return strings.TrimSpace(string(kept))
}
