package camt

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// maxHeld is how many bytes of entries are held in memory before they go to a temporary file.
const maxHeld = 4 << 20

// pile gathers the entries of each account while records of all accounts come in any order, so that one walk is
// enough however many accounts there are.
type pile struct {
	stacks []*stack
	held   int
	file   *os.File // nil as long as memory is enough
	end    int64    // of the file
}

// stack is what belongs to one account, in order.
type stack struct {
	parts []part // in the file
	held  []byte // what follows them
}

type part struct{ at, size int64 }

func (p *pile) add(s *stack, entry []byte) error {
	s.held = append(s.held, entry...)
	if p.held += len(entry); p.held < maxHeld {
		return nil
	}
	return p.spill()
}

// spill moves what is held to the file.
func (p *pile) spill() error {
	if p.file == nil {
		f, err := os.CreateTemp("", "passerelle-*.camt")
		if err != nil {
			return fmt.Errorf("camt: a place for entries: %w", err)
		}
		p.file = f
		if err := os.Remove(f.Name()); err != nil { // nameless, it goes when it is closed
			return fmt.Errorf("camt: a place for entries: %w", err)
		}
	}
	for _, s := range p.stacks {
		if len(s.held) == 0 {
			continue
		}
		if _, err := p.file.WriteAt(s.held, p.end); err != nil {
			return fmt.Errorf("camt: a place for entries: %w", err)
		}
		s.parts = append(s.parts, part{p.end, int64(len(s.held))})
		p.end += int64(len(s.held))
		s.held = nil
	}
	p.held = 0
	return nil
}

// copy writes what belongs to an account.
func (p *pile) copy(w io.Writer, s *stack) error {
	for _, part := range s.parts {
		if _, err := io.Copy(w, io.NewSectionReader(p.file, part.at, part.size)); err != nil {
			return fmt.Errorf("camt: %w", err)
		}
	}
	_, err := w.Write(s.held)
	return err
}

func (p *pile) close(err error) error {
	if p.file == nil {
		return err
	}
	return errors.Join(err, p.file.Close())
}
