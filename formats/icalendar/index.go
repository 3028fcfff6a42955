package icalendar

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
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

// again is a file that can be read more than once, with what must be known of it.
type again struct {
	*formats.Reread
	mu  sync.Mutex
	x   *index
	err error
}

// open returns what must be known of the file, which is found out once, and the file from its beginning.
func (a *again) open() (*index, *io.SectionReader, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	in, err := a.Open()
	if err != nil {
		return nil, nil, fmt.Errorf("icalendar: %w", err)
	}
	if a.x == nil && a.err == nil {
		if a.x, a.err = readIndex(in); a.err == nil {
			_, a.err = in.Seek(0, io.SeekStart)
		}
	}
	return a.x, in, a.err
}

// componentsAt reads components that stand at several places of a file.
func componentsAt(file *io.SectionReader, places []place) ([]component, error) {
	var list []component
	size := 0
	for _, at := range places {
		in := io.NewSectionReader(file, at.offset, file.Size()-at.offset)
		c, err := newReader(in, place{at.offset, at.line - 1}).component()
		if err != nil {
			return nil, err
		}
		if size += c.size; size > maxOverrides {
			return nil, fmt.Errorf("%w: icalendar: line %d: the changed instances of one event have more than %d MiB; split them",
				formats.ErrInvalid, at.line, maxOverrides>>20)
		}
		list = append(list, c)
	}
	return list, nil
}
