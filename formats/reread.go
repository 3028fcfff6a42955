package formats

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Reread is a file that can be read more than once although it came as a reader: as it is where that is possible, else
// through a temporary copy. Codecs need it, since [Records] can be walked more than once and some formats say at the end
// what one must know at the beginning.
type Reread struct {
	mu   sync.Mutex
	in   io.Reader
	at   io.ReaderAt
	from int64
	err  error
}

// NewReread reads r from where it stands, as soon as it is opened.
func NewReread(r io.Reader) *Reread { return &Reread{in: r} }

// Open returns the file from its beginning. Several that are open do not disturb each other.
func (r *Reread) Open() (*io.SectionReader, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil && r.err == nil {
		r.err = r.find()
	}
	if r.err != nil {
		return nil, r.err
	}
	return io.NewSectionReader(r.at, r.from, 1<<62-r.from), nil
}

func (r *Reread) find() error {
	if at, ok := r.in.(io.ReaderAt); ok {
		if s, ok := r.in.(io.Seeker); ok {
			if from, err := s.Seek(0, io.SeekCurrent); err == nil { // a pipe is an *os.File, too, but cannot seek
				r.at, r.from = at, from
				return nil
			}
		}
	}
	f, err := os.CreateTemp("", "passerelle-*")
	if err != nil {
		return fmt.Errorf("a copy to read twice: %w", err)
	}
	// Nameless, the file goes when the last walk is forgotten.
	if err := os.Remove(f.Name()); err != nil {
		return errors.Join(fmt.Errorf("a copy to read twice: %w", err), f.Close())
	}
	if _, err := io.Copy(f, r.in); err != nil {
		return errors.Join(err, f.Close())
	}
	r.at = f
	return nil
}
