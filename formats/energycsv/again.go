package energycsv

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// again is a file that can be read more than once: as it is where that is possible, else through a temporary copy.
type again struct {
	mu   sync.Mutex
	at   io.ReaderAt
	from int64
	err  error
}

// open returns the file from its beginning.
func (a *again) open(r io.Reader) (io.ReadSeeker, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at == nil && a.err == nil {
		a.err = a.find(r)
	}
	return io.NewSectionReader(a.at, a.from, 1<<62), a.err
}

func (a *again) find(r io.Reader) error {
	if at, ok := r.(io.ReaderAt); ok {
		if s, ok := r.(io.Seeker); ok {
			if from, err := s.Seek(0, io.SeekCurrent); err == nil {
				a.at, a.from = at, from
				return nil
			}
		}
	}
	f, err := os.CreateTemp("", "passerelle-*.csv")
	if err != nil {
		return fmt.Errorf("energy: a copy to read twice: %w", err)
	}
	// Nameless, the file goes when the last walk is forgotten.
	if err := os.Remove(f.Name()); err != nil {
		return errors.Join(fmt.Errorf("energy: a copy to read twice: %w", err), f.Close())
	}
	if _, err := io.Copy(f, r); err != nil {
		return errors.Join(fmt.Errorf("energy: %w", err), f.Close())
	}
	a.at = f
	return nil
}
