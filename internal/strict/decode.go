// Package strict reads JSON that is to be signed, or to be trusted: no member twice, none that nobody knows, no form
// that two programs could read differently. It also holds structs against their tags and names every fault in words.
//
// It must never know what the JSON is about.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"unicode/utf8"
)

// maxDepth is how deep values may nest.
const maxDepth = 16

var memberForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// Decode decodes one JSON value that has no member twice and none that target does not know.
func Decode(data []byte, target any) error {
	if err := Check(data); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(target)
}

// Check refuses JSON that two programs could read differently: a member given twice, a member that is not in
// lower case (encoding/json ignores case, others do not), bad UTF-8, or something behind the value.
func Check(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("it is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := checkValue(dec, 0); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("at byte %d: %w", dec.InputOffset(), err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows the JSON value")
	}
	return nil
}

func checkValue(dec *json.Decoder, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	delim, nested := token.(json.Delim)
	if !nested {
		return nil
	}
	if depth == maxDepth {
		return fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	seen := map[string]bool{}
	for dec.More() {
		if delim == '{' {
			if err := checkName(dec, seen); err != nil {
				return err
			}
		}
		if err := checkValue(dec, depth+1); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

func checkName(dec *json.Decoder, seen map[string]bool) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	name, _ := token.(string)
	if !memberForm.MatchString(name) {
		return fmt.Errorf("member %.60q is not written in a-z, 0-9 and _", name)
	}
	if seen[name] {
		return fmt.Errorf("member %q is given twice", name)
	}
	seen[name] = true
	return nil
}
