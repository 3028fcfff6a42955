package icalendar

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

// maxComponents is how many events, tasks and other components a file may have.
const maxComponents = 4_000_000

// key stands for a text of any length.
type key [16]byte

func keyOf(s string) key {
	sum := sha256.Sum256([]byte(s))
	return key(sum[:16])
}

// index is what must be known of a whole file before its events can be read: what its time zones mean, and where the
// overridden instances of each event are.
type index struct {
	zones     *zones
	masters   map[key]int     // the number of the last event or task with a UID, by series
	instances map[int][]place // of its overridden instances, by the number of the event
}

// series stands for the events, or tasks, of one UID.
func series(c *component) key { return keyOf(c.name + "\x00" + c.text("UID")) }

// readIndex reads through a file.
func readIndex(in io.Reader) (*index, error) {
	x := &index{zones: newZones(), masters: map[key]int{}, instances: map[int][]place{}}
	early := map[key][]place{} // instances that stand before their event
	r := newReader(in, place{})
	for n := 0; ; n++ {
		c, err := r.component()
		if errors.Is(err, io.EOF) {
			return x, nil
		}
		if err != nil {
			return nil, err
		}
		if n >= maxComponents {
			return nil, r.fault("the file has more than %d components; split it", maxComponents)
		}
		switch {
		case c.name == "VTIMEZONE":
			x.zones.define(&c)
		case c.instance():
			id := series(&c)
			if master, ok := x.masters[id]; ok {
				x.instances[master] = append(x.instances[master], c.at)
			} else {
				early[id] = append(early[id], c.at)
			}
		case c.name == "VEVENT" || c.name == "VTODO":
			id := series(&c)
			x.masters[id] = n
			if places := early[id]; places != nil {
				x.instances[n] = places
				delete(early, id)
			}
		}
	}
}

// namer gives records ids that are not taken yet.
type namer map[key]int

// name returns an id for a component.
func (taken namer) name(v *envelope, uid string, c *component) string {
	id := cmp.Or(v.id, uid)
	if id == "" || !usableID(id+"#999999999") {
		id = hashID(c)
	}
	first := id
	for taken[keyOf(id)] > 0 {
		taken[keyOf(first)]++
		id = first + "#" + strconv.Itoa(taken[keyOf(first)])
	}
	taken[keyOf(id)]++
	return id
}

// hashID is the id of a component without a UID.
func hashID(c *component) string { return c.hash.String()[:32] }

// usableID reports whether a UID can be a record's id.
func usableID(id string) bool {
	r := formats.Record{ID: id, Dataset: formats.Calendar, Kind: formats.KindEvent}
	return utf8.ValidString(id) && r.Validate() == nil
}

// again is a file that can be read more than once: as it is where that is possible, else through a temporary copy.
type again struct {
	mu   sync.Mutex
	at   io.ReaderAt
	from int64
	x    *index
	err  error
}

// index returns what must be known of the file; it is read once.
func (a *again) index(r io.Reader) (*index, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.x == nil && a.err == nil {
		if a.err = a.open(r); a.err == nil {
			a.x, a.err = readIndex(a.section(0))
		}
	}
	if a.err != nil {
		return nil, a.err
	}
	x := *a.x
	x.zones = x.zones.walk()
	return &x, nil
}

func (a *again) open(r io.Reader) error {
	if at, ok := r.(io.ReaderAt); ok {
		if s, ok := r.(io.Seeker); ok {
			from, err := s.Seek(0, io.SeekCurrent)
			if err == nil {
				a.at, a.from = at, from
				return nil
			}
		}
	}
	f, err := os.CreateTemp("", "passerelle-*.ics")
	if err != nil {
		return fmt.Errorf("icalendar: a copy to read twice: %w", err)
	}
	// Nameless, the file goes when the last walk is forgotten.
	if err := os.Remove(f.Name()); err != nil {
		return errors.Join(fmt.Errorf("icalendar: a copy to read twice: %w", err), f.Close())
	}
	if _, err := io.Copy(f, r); err != nil {
		return errors.Join(fmt.Errorf("icalendar: %w", err), f.Close())
	}
	a.at = f
	return nil
}

func (a *again) section(offset int64) io.Reader {
	return io.NewSectionReader(a.at, a.from+offset, 1<<62-a.from-offset)
}

// components reads components that stand at several places of the file.
func (a *again) components(places []place) ([]component, error) {
	var list []component
	size := 0
	for _, at := range places {
		c, err := newReader(a.section(at.offset), place{at.offset, at.line - 1}).component()
		if err != nil {
			return nil, err
		}
		if size += c.size; size > maxOverrides {
			return nil, fmt.Errorf("%w: icalendar: line %d: the changed instances of one event have more than %d MiB",
				formats.ErrInvalid, at.line, maxOverrides>>20)
		}
		list = append(list, c)
	}
	return list, nil
}
