package banktest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// state is what a file keeps. Persons and accounts are invented anew, the same as before; what was added to accounts, and
// faults, are forgotten.
type state struct {
	Born     time.Time // when the bank was opened first: its accounts are as of then
	Ahead    time.Duration
	Consents []*Consent
	Tokens   map[string]*token
	Blocked  map[string]bool
}

// load reads the file, if there is one.
func (b *Bank) load() error {
	if b.config.State == "" {
		return nil
	}
	text, err := os.ReadFile(b.config.State)
	if errors.Is(err, os.ErrNotExist) {
		b.unsaved = true
		return b.save()
	}
	if err != nil {
		return err
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("%s is no state of a bank: %w", b.config.State, err)
	}
	b.born, b.ahead = s.Born, s.Ahead
	for _, c := range s.Consents {
		if c.Reads == nil {
			c.Reads = map[string][]time.Time{}
		}
		if c.Reported == nil {
			c.Reported = map[string]int{}
		}
		b.consents[c.ID] = c
		b.order = append(b.order, c.ID)
	}
	if s.Tokens != nil {
		b.tokens = s.Tokens
	}
	if s.Blocked != nil {
		b.blocked = s.Blocked
	}
	return nil
}

// save writes the file anew, whole or not at all, if something has changed.
func (b *Bank) save() error {
	if b.config.State == "" || !b.unsaved {
		return nil
	}
	s := state{Born: b.born, Ahead: b.ahead, Tokens: b.tokens, Blocked: b.blocked}
	for _, id := range b.order {
		s.Consents = append(s.Consents, b.consents[id])
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := replace(b.config.State, text); err != nil {
		return fmt.Errorf("keep the bank's state: %w", err)
	}
	b.unsaved = false
	return nil
}

// replace puts a file in the place of another.
func replace(name string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // where it was not renamed
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	return err
}
