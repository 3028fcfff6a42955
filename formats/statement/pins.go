package statement

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Why a statement is not trusted, or not as it is.
var (
	ErrUnknown  = errors.New("the operator is not known here")
	ErrConflict = errors.New("somebody may be impersonating this operator")
	ErrOlder    = errors.New("a newer statement of this operator is known")
)

// Level says how far a statement is trusted.
type Level string

// The levels.
const (
	Unknown     Level = "unknown"     // nobody pinned this operator
	Trusted     Level = "trusted"     // pinned, or signed by a successor of the pinned identity key
	Older       Level = "older"       // the operator is trusted, but has issued a newer statement since
	Conflicting Level = "conflicting" // it says that it is a pinned operator, and does not have its key
)

// Trust is what the pins say about a statement.
type Trust struct {
	Level Level
	Name  string // legal name under which the operator was pinned; empty if Unknown
	Err   error  // nil only if Trusted; wraps ErrUnknown, ErrConflict or ErrOlder
	// Newest is the newest statement of the operator that is trusted, be it the pinned or the judged one. Keys are
	// held against it, so that a revocation counts for what was signed before. It is nil if Unknown or Conflicting.
	Newest *Signed
}

// ArchiveKeyAt returns nil if a trusted operator vouches for an archive key at a time.
func (t Trust) ArchiveKeyAt(pub ed25519.PublicKey, at time.Time) error {
	if t.Newest == nil {
		return t.Err
	}
	return t.Newest.ArchiveKeyAt(pub, at)
}

// Pins are the statements of the operators that an administrator trusts, one file each in a folder. A zero Pins has
// none, and keeps what is pinned in memory. It is not for use by several goroutines while it changes.
type Pins struct {
	dir  string
	byID map[OperatorID]pin
}

type pin struct {
	signed *Signed
	file   string // in the folder
}

const pinSuffix = ".json"

// LoadPins reads every *.json of a folder. A folder that does not exist holds no pins. A file that is not a sound
// statement is an error, since leaving it out would turn a known operator into an unknown one.
func LoadPins(dir string) (*Pins, error) {
	p := &Pins{dir: dir, byID: map[OperatorID]pin{}}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the pinned operators: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), pinSuffix) || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err := p.load(e.Name()); err != nil {
			return nil, fmt.Errorf("pinned operator %s: %w", filepath.Join(dir, e.Name()), err)
		}
	}
	return p, nil
}

func (p *Pins) load(file string) error {
	f, err := os.Open(filepath.Join(p.dir, file))
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return err
	}
	signed, err := Parse(data)
	if err != nil {
		return err
	}
	id := signed.Statement.ID
	if other, twice := p.byID[id]; twice {
		return fmt.Errorf("%w: %s is pinned by %s too; remove one of them", formats.ErrInvalid, id, other.file)
	}
	p.byID[id] = pin{signed, file}
	return nil
}

// All returns the pinned statements, sorted by operator id.
func (p *Pins) All() []*Signed {
	var all []*Signed
	for _, id := range slices.Sorted(maps.Keys(p.byID)) {
		all = append(all, p.byID[id].signed)
	}
	return all
}

// Pin trusts the operator of a statement from now on. It also takes over a newer statement of a pinned operator; it
// refuses an older one, and one of another key: only [Pins.Unpin] ends trust.
func (p *Pins) Pin(s *Signed) error {
	if t := p.Judge(s); t.Level == Conflicting || t.Level == Older {
		return fmt.Errorf("pin %s: %w", s.Statement.ID, t.Err)
	}
	file := fileOf(s.Statement.ID)
	if old, ok := p.byID[s.Statement.ID]; ok {
		file = old.file
	}
	if p.dir != "" {
		if err := p.write(file, s.raw); err != nil {
			return fmt.Errorf("pin %s: %w", s.Statement.ID, err)
		}
	}
	if p.byID == nil {
		p.byID = map[OperatorID]pin{}
	}
	p.byID[s.Statement.ID] = pin{s, file}
	return nil
}

// With returns these pins and one more, which is written nowhere: an operator trusts itself, for example.
func (p *Pins) With(s *Signed) *Pins {
	more := &Pins{byID: maps.Clone(p.byID)}
	if more.byID == nil {
		more.byID = map[OperatorID]pin{}
	}
	more.byID[s.Statement.ID] = pin{signed: s}
	return more
}

// Unpin ends trust in an operator. It returns an error wrapping [ErrUnknown] if there was none.
func (p *Pins) Unpin(id OperatorID) error {
	known, ok := p.byID[id]
	if !ok {
		return fmt.Errorf("unpin %s: %w", id, ErrUnknown)
	}
	if p.dir != "" {
		if err := os.Remove(filepath.Join(p.dir, known.file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("unpin %s: %w", id, err)
		}
	}
	delete(p.byID, id)
	return nil
}

// Judge says whether the statement is that of a pinned operator. Where there are no pins, p may be nil.
func (p *Pins) Judge(s *Signed) Trust {
	known, ok := p.lookup(s.Statement.ID)
	if !ok {
		return Trust{Level: Unknown, Err: fmt.Errorf("%w: %s has the fingerprint %s; compare it with what the operator publishes, then pin it",
			ErrUnknown, s.Statement.ID, s.Fingerprint())}
	}
	pinned := known.signed
	t := Trust{Name: pinned.Statement.LegalName}
	switch was, is := pinned.Statement.Version, s.Statement.Version; {
	case is > was && s.follows(pinned.identity.Kid):
		t.Level, t.Newest = Trusted, s
	case is == was && bytes.Equal(s.payload, pinned.payload):
		t.Level, t.Newest = Trusted, pinned
	case is < was && pinned.follows(s.identity.Kid):
		t.Level, t.Newest = Older, pinned
		t.Err = fmt.Errorf("%w: this is version %d of the statement of %s, version %d is pinned", ErrOlder, is, s.Statement.ID, was)
	default:
		t.Level, t.Err = Conflicting, conflict(pinned, s)
	}
	return t
}

func (p *Pins) lookup(id OperatorID) (pin, bool) {
	if p == nil {
		return pin{}, false
	}
	known, ok := p.byID[id]
	return known, ok
}

// follows reports whether the identity key of s is that key or came after it.
func (s *Signed) follows(kid string) bool {
	return s.identity.Kid == kid || slices.Contains(s.former, kid)
}

func conflict(pinned, s *Signed) error {
	id, version := s.Statement.ID, s.Statement.Version
	switch appointed := s.follows(pinned.identity.Kid); {
	case pinned.identity.Kid == s.identity.Kid, appointed && version == pinned.Statement.Version:
		return fmt.Errorf("%w: there are two statements of %s with version %d; ask the operator which one holds", ErrConflict, id, version)
	case pinned.follows(s.identity.Kid):
		return fmt.Errorf("%w: version %d of the statement of %s is signed with the key %s, which had been replaced by then; ask the operator whether that key was stolen",
			ErrConflict, version, id, s.Fingerprint())
	case appointed:
		return fmt.Errorf("%w: version %d of the statement of %s is older than the pinned one, yet signed with a newer key; ask the operator which one holds", ErrConflict, version, id)
	}
	return fmt.Errorf("%w: %s is pinned with the identity key %s, which never appointed the key %s of this statement; "+
		"compare the fingerprints with the operator over another channel, and unpin it before you trust the new key",
		ErrConflict, id, pinned.Fingerprint(), s.Fingerprint())
}

// fileOf returns a file name that belongs to one id only: "+" stands in none.
func fileOf(id OperatorID) string {
	return strings.NewReplacer(originScheme, "https+", ":", "+").Replace(string(id)) + pinSuffix
}

// write replaces a file as a whole or not at all.
func (p *Pins) write(file string, data []byte) error {
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(p.dir, ".pin-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), filepath.Join(p.dir, file))
}
