package strict

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-playground/validator/v10"
)

// Validator holds structs against their tags. Besides those of validator/v10 there are "line" (text for one line, see
// [IsLine]), "endpoint" (see [IsEndpoint]) and "member" (a name of a-z, 0-9 and _). Any number of goroutines may use it.
type Validator struct {
	v    *validator.Validate
	tags map[string]Tag
}

// Tag is a tag of one's own, for texts.
type Tag struct {
	Name string
	Is   func(string) bool
	Not  string // what it is not, if it is not: "a duration such as P30D"
}

// NewValidator returns a validator that knows more tags.
func NewValidator(tags ...Tag) (*Validator, error) {
	v := &Validator{v: validator.New(validator.WithRequiredStructEnabled()), tags: map[string]Tag{}}
	v.v.RegisterTagNameFunc(func(f reflect.StructField) string {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		return name
	})
	var failed error
	for _, tag := range append(tags, Tag{Name: "line", Is: IsLine}, Tag{Name: "member", Is: memberForm.MatchString}, Tag{Name: "endpoint", Is: IsEndpoint}) {
		v.tags[tag.Name] = tag
		is := func(field validator.FieldLevel) bool { return tag.Is(field.Field().String()) }
		failed = errors.Join(failed, v.v.RegisterValidation(tag.Name, is))
	}
	return v, failed
}

// IsLine reports whether s can be shown on one line without misleading: UTF-8, no control characters, none that change
// the direction of writing or are invisible (but for the joiners that some scripts need), no white space around it.
func IsLine(s string) bool {
	const joiners = "\u200c\u200d"
	return utf8.ValidString(s) && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) && !strings.ContainsRune(joiners, r)
	})
}

// IsEndpoint accepts absolute https URLs, and http ones to this machine, for trying things out.
func IsEndpoint(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || len(s) > 2000 || !IsLine(s) {
		return false
	}
	switch u.Hostname() {
	case "localhost", "127.0.0.1", "::1":
		return u.Scheme == "https" || u.Scheme == "http"
	}
	return u.Scheme == "https"
}

// Faults returns everything that is wrong with a struct: "name is missing", "keys[2].kid is longer than 43".
func (v *Validator) Faults(target any) []string {
	err := v.v.Struct(target)
	if err == nil {
		return nil
	}
	var fields validator.ValidationErrors
	if !errors.As(err, &fields) {
		return []string{err.Error()}
	}
	faults := make([]string, 0, len(fields))
	for _, f := range fields {
		_, place, _ := strings.Cut(f.Namespace(), ".")
		faults = append(faults, place+" "+v.phrase(f))
	}
	return faults
}

func (v *Validator) phrase(f validator.FieldError) string {
	switch f.Tag() {
	case "required":
		return "is missing"
	case "required_with", "required_if", "required_without":
		return "is missing here"
	case "excluded_unless":
		return "has no place here"
	case "max":
		return "is more or longer than " + f.Param()
	case "min":
		return "is less or shorter than " + f.Param()
	case "unique":
		return "has something twice"
	case "oneof", "eq":
		return fmt.Sprintf("is %.60q, not %s", f.Value(), strings.ReplaceAll(f.Param(), " ", " or "))
	case "iso3166_1_alpha2":
		return fmt.Sprintf("is %.20q, not an ISO 3166-1 alpha-2 country code such as FR", f.Value())
	case "line":
		return fmt.Sprintf("is %.60q: hidden or control characters, or white space around it, are not allowed", f.Value())
	case "endpoint":
		return fmt.Sprintf("is %.300q, not an https URL", f.Value())
	case "member":
		return "is not a name of a-z, 0-9 and _"
	}
	if tag, ok := v.tags[f.Tag()]; ok {
		return fmt.Sprintf("is %.300q, not %s", f.Value(), tag.Not)
	}
	return fmt.Sprintf("is %.100q, not a valid %s", fmt.Sprint(f.Value()), f.Tag())
}
