package provider

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

var (
	// ErrDenied is returned if the person, or the provider, said no.
	ErrDenied = errors.New("the provider says no: try again there, or sign in another way")
	// ErrUnavailable is returned if the provider does not answer, or not as an OpenID provider does.
	ErrUnavailable = errors.New("the OpenID provider does not answer as it should: try again in a minute, or ask who runs it")
	// ErrInvalid is returned if something that came back does not hold.
	ErrInvalid = errors.New("what came back from the OpenID provider does not hold: begin again")
	// ErrExpired is returned if somebody took too long.
	ErrExpired = errors.New("that took too long: begin again")
	// ErrConfig is returned for a configuration that cannot work.
	ErrConfig = errors.New("the OpenID provider cannot be used")
)

func invalid(what string) error { return fmt.Errorf("%w: %s", ErrInvalid, what) }

func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, brief{err}) }

// brief is an error that quotes the provider, whose answer may be a page of a megabyte, in a line that a log can bear.
type brief struct{ error }

const maxQuoted = 200 // characters

// Error implements error.
func (b brief) Error() string { return shown(b.error.Error(), maxQuoted) }

// Unwrap returns the whole error.
func (b brief) Unwrap() error { return b.error }

// shown is text of somebody else's as it may be shown: at most so many characters, none that hides or moves others.
func shown(text string, most int) string {
	var kept strings.Builder
	for _, r := range text {
		if most == 0 {
			break
		}
		if unicode.IsSpace(r) {
			r = ' '
		}
		if unicode.IsPrint(r) {
			kept.WriteRune(r)
			most--
		}
	}
	return kept.String()
}
