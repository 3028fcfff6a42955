package move

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// Blobs travel before archive 0, by themselves. The source lists them, a page at a time. The destination takes those that the
// person has there already into the staging instance, asks for the others in parcels (see parcel.go, gather.go), and then names
// what it holds: never anything that the source has not listed. The source leaves that out of archive 0. So nothing is written
// down twice on the way, at neither side, and of what has come no more than 16 MiB need come again whoever is killed. What was left out the claims
// say; that alone counts. A list that was lost, or came too late, only means that archive 0 is larger, and where something is
// left out that is not there all of it is asked for.

// Listed is a page of the blobs that the source's records name, in the order of their hashes.
type Listed struct {
	Blobs []formats.Blob `json:"blobs"`
	More  bool           `json:"more"` // after the last of these
}

// MostListed is how many blobs a page has, and how many a destination names at once.
const MostListed = 5000

// mostHeld is how many blobs a source notes that the destination has: so much memory it takes to leave them out.
const mostHeld = 2 << 20

const hashSize = len(formats.Hash{})

// Blobs lists the blobs after one.
func (s *Sender) Blobs(ctx context.Context, a Authorisation, id string, after formats.Hash) (Listed, error) {
	page := Listed{Blobs: []formats.Blob{}}
	e, err := s.own(ctx, a, id)
	if err == nil && e.Ended() {
		err = ErrEnded
	}
	if err != nil {
		return page, err
	}
	source, err := s.opt.Instance(ctx, e.Person)
	if err != nil {
		return page, err
	}
	defer source.Close()
	listing, can := source.(operators.Listing)
	if !can {
		return page, nil
	}
	list, err := listing.Blobs(ctx, after, MostListed+1)
	if len(list) > MostListed {
		list, page.More = list[:MostListed], true
	}
	page.Blobs = append(page.Blobs, list...)
	return page, err
}

// Spare notes blobs that the destination holds, which archive 0 leaves out then. What it names that is not here changes nothing,
// nor does what comes after archive 0 was asked for.
func (s *Sender) Spare(ctx context.Context, a Authorisation, id string, held []formats.Hash) error {
	if _, err := s.own(ctx, a, id); err != nil {
		return err
	}
	_, err := change(ctx, s.store, id, func(_ *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		switch {
		case e.Ended():
			return nil, ErrEnded
		case e.Detail.Asked > 0:
			return nil, nil
		}
		return nil, s.note(id, held) // here, so that nothing of a move is written after it has ended
	})
	return err
}

func (s *Sender) heldFile(id string) string { return filepath.Join(s.opt.Dir, id, "held") }

// note adds hashes to the list of a move. One that is there twice is there.
func (s *Sender) note(id string, held []formats.Hash) (err error) {
	if err := os.MkdirAll(filepath.Join(s.opt.Dir, id), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(s.heldFile(id), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil || info.Size()/int64(hashSize)+int64(len(held)) > mostHeld {
		return err
	}
	if err := f.Truncate(info.Size() - info.Size()%int64(hashSize)); err != nil { // what a process that died had begun to write
		return err
	}
	var text []byte
	for _, h := range held {
		text = append(text, h[:]...)
	}
	_, err = f.Write(text)
	return err
}

// held returns what reports whether the destination holds a blob; nil where it has named none.
func (s *Sender) held(id string) (func(formats.Hash) bool, error) {
	text, err := os.ReadFile(s.heldFile(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := make([]formats.Hash, 0, len(text)/hashSize)
	for ; len(text) >= hashSize; text = text[hashSize:] {
		list = append(list, formats.Hash(text[:hashSize]))
	}
	order := func(a, b formats.Hash) int { return bytes.Compare(a[:], b[:]) }
	slices.SortFunc(list, order)
	return func(h formats.Hash) bool {
		_, there := slices.BinarySearchFunc(list, h, order)
		return there
	}, nil
}

// Whole has nothing left out of archive 0, which is made again if it is there.
func (s *Sender) Whole(ctx context.Context, a Authorisation, id string) error {
	if _, err := s.own(ctx, a, id); err != nil {
		return err
	}
	_, err := change(ctx, s.store, id, func(_ *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		switch {
		case e.Ended():
			return nil, ErrEnded
		case e.Detail.Whole || e.Detail.Asked > 1:
			return nil, nil // it is, or it was loaded
		}
		e.Detail.Whole, e.Detail.Made, e.Detail.Last, e.Detail.Before = true, nil, nil, nil
		s.schedule(e)
		return nil, nil
	})
	s.work.ring()
	return err
}

// room removes what is in the way of archive n: the one before has been loaded.
func (s *Sender) room(id string, n int) error {
	if n == 0 {
		return os.RemoveAll(s.folder(id, 0)) // the list stays
	}
	return os.RemoveAll(filepath.Join(s.opt.Dir, id))
}

// blobs asks for a page of what the source has; none, where it knows of no such thing.
func (l *Link) blobs(ctx context.Context, id string, after formats.Hash) (page Listed, err error) {
	to := l.at(id, "blobs")
	if !after.IsZero() {
		to += "?after=" + after.String()
	}
	status, err := l.call(ctx, http.MethodGet, to, nil, &page)
	if status == http.StatusNotFound {
		return Listed{}, nil
	}
	if err == nil {
		err = page.follows(after)
	}
	return page, err
}

// follows checks that a page is one, and goes on after a hash.
func (p Listed) follows(after formats.Hash) error {
	if len(p.Blobs) > 2*MostListed || p.More && len(p.Blobs) == 0 {
		return fmt.Errorf("%w: it lists %d blobs at once", ErrAnswer, len(p.Blobs))
	}
	for _, b := range p.Blobs {
		if bytes.Compare(b.SHA256[:], after[:]) <= 0 || b.Size < 0 {
			return fmt.Errorf("%w: its list of blobs is in no order, or has one of %d bytes", ErrAnswer, b.Size)
		}
		after = b.SHA256
	}
	return nil
}

func (l *Link) spare(ctx context.Context, id string, held []formats.Hash) error {
	_, err := l.call(ctx, http.MethodPut, l.at(id, "blobs"), map[string][]formats.Hash{"held": held}, &struct{}{})
	return err
}

// lacks asks for everything, after an archive left out what is not here: it was lost, or the source does not say the truth. Of
// one that still leaves something out nothing is taken.
func (a *arrival) lacks(ctx context.Context, why error) error {
	if !errors.Is(why, transfer.ErrLacking) || a.Detail.Whole {
		return why
	}
	a.work.log.Warn("an archive leaves out what is not here: all of it is asked for", "move", a.ID)
	return a.write(ctx, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		e.Detail.Whole = true
		return nil, nil
	})
}
