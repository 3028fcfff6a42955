package keys

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// The profile is what an administrator writes about the operator, in operator.json: see [statement.Operator].

// OpenProfile reads a profile. Where there is none yet, it writes one of an unregistered operator, named after the
// host, so that everything works before anything is configured and nobody takes it for a real operator.
func OpenProfile(path, hostname string) (statement.Operator, error) {
	profile, err := LoadProfile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return profile, err
	}
	if err := writeProfile(path, Unregistered(hostname), os.Link); err != nil && !errors.Is(err, fs.ErrExist) {
		return statement.Operator{}, fmt.Errorf("write a first profile of the operator: %w", err)
	}
	return LoadProfile(path) // ours, or that of a process which was faster
}

// LoadProfile reads and validates a profile. The error names everything that is wrong with it.
func LoadProfile(path string) (statement.Operator, error) {
	f, err := os.Open(path)
	if err != nil {
		return statement.Operator{}, fmt.Errorf("read the operator's profile: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, statement.MaxSize+1))
	if err != nil {
		return statement.Operator{}, fmt.Errorf("read the operator's profile: %w", err)
	}
	profile, err := statement.ParseOperator(data)
	if err != nil {
		return statement.Operator{}, fmt.Errorf("%s: %w", path, err)
	}
	return profile, nil
}

// SaveProfile validates a profile and replaces the file.
func SaveProfile(path string, profile statement.Operator) error {
	if err := profile.Validate(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := writeProfile(path, profile, os.Rename); err != nil {
		return fmt.Errorf("save the operator's profile: %w", err)
	}
	return nil
}

// writeProfile writes a whole file beside path, and puts it into place by linking (if nothing is there) or renaming.
func writeProfile(path string, profile statement.Operator, put func(from, to string) error) error {
	data, err := json.MarshalIndent(profile, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), temporary+"*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(data, '\n'))
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := put(tmp.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

var notInLabel = regexp.MustCompile(`[^a-z0-9]+`)

// Unregistered returns the profile of an operator about whom nothing is known but the host it runs on. The id ends in
// ".invalid", which is nobody's name (RFC 6761 section 6.4), and differs each time: many hosts have the same name, and
// two operators must not.
func Unregistered(hostname string) statement.Operator {
	short, _, _ := strings.Cut(strings.ToLower(hostname), ".")
	label := notInLabel.ReplaceAllString(short, "-")
	label = strings.Trim(label[:min(len(label), 40)], "-")
	if label == "" {
		label = "host"
	}
	unique := make([]byte, 4)
	rand.Read(unique) // never fails: see crypto/rand
	return statement.Operator{
		ID:        statement.OperatorID(label + "-" + hex.EncodeToString(unique) + ".invalid"),
		LegalName: "Unregistered operator on " + label,
	}
}
