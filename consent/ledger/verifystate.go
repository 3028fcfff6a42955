package ledger

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
)

// ErrState is returned where a folder cannot be used that remembers earlier verifications.
var ErrState = errors.New("what was remembered of earlier verifications cannot be used")

const (
	memoryFile    = "state.json"
	memoryVersion = 1
)

// memory is what is remembered of earlier verifications of one log, in a folder that one of them uses at a time:
//
//	state.json       what was verified, replaced as a whole
//	tags/FROM-TO     the tags of these leaves, in their order; never changed
//	fork-TIME/       two signed checkpoints that contradict each other
//	lock
//
// A file of tags counts only when state.json names it, so that the two fit together whenever it ends.
type memory struct {
	remembered
	dir    string
	lock   *flock.Flock // nil: the folder is for this run only
	mirror string
}

// remembered is the content of state.json.
type remembered struct {
	Version    int      `json:"version"`
	Origin     string   `json:"origin"`
	Checkpoint string   `json:"checkpoint"` // the newest that was shown and extends those before: a signed note
	Size       int64    `json:"size"`       // how many leaves were verified, all without a fault
	Tags       []tagRun `json:"tags"`
	Mirror     string   `json:"mirror,omitempty"` // where all of these leaves are
}

// sealed is what is in the file, so that damage to it is seen.
type sealed struct {
	Sum   Hash            `json:"sum"` // SHA-256 of state
	State json.RawMessage `json:"state"`
}

// openMemory takes the folder. Where there is none, what is remembered is forgotten at the end. Close it.
func openMemory(dir, origin, mirror string) (m *memory, err error) {
	m = &memory{dir: dir, remembered: remembered{Version: memoryVersion, Origin: origin}}
	if mirror != "" {
		if m.mirror, err = filepath.Abs(mirror); err != nil {
			return nil, err
		}
	}
	if dir == "" {
		m.dir, err = os.MkdirTemp("", "passerelle-verify-")
	}
	if err == nil {
		err = os.MkdirAll(m.tagDir(), 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	if dir == "" {
		return m, nil
	}
	if err := m.take(); err != nil {
		return nil, err
	}
	if err = m.load(); err == nil {
		err = m.clean()
	}
	if err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

// take keeps others from using the folder.
func (m *memory) take() error {
	m.lock = flock.New(filepath.Join(m.dir, "lock"))
	ok, err := m.lock.TryLock()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	if !ok {
		return fmt.Errorf("%w: another verification uses %s: wait until it ends", ErrState, m.dir)
	}
	return nil
}

func (m *memory) close() error {
	if m.lock == nil {
		return os.RemoveAll(m.dir)
	}
	return m.lock.Unlock()
}

func (m *memory) tagDir() string { return filepath.Join(m.dir, "tags") }

func damagedState(path string, why error) error {
	return fmt.Errorf("%w: %s is damaged: %w: delete the folder of the state, and verify from the beginning", ErrState, path, why)
}

// load reads what is remembered, if anything is.
func (m *memory) load() error {
	data, err := os.ReadFile(filepath.Join(m.dir, memoryFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	var s sealed
	var r remembered
	if err := json.Unmarshal(data, &s); err != nil {
		return damagedState(m.dir, err)
	}
	if s.Sum != sha256.Sum256(s.State) {
		return damagedState(m.dir, errors.New("its checksum is wrong"))
	}
	if err := json.Unmarshal(s.State, &r); err != nil {
		return damagedState(m.dir, err)
	}
	if r.Version != memoryVersion {
		return damagedState(m.dir, fmt.Errorf("it is of version %d, and this program knows %d", r.Version, memoryVersion))
	}
	if r.Origin != m.Origin {
		return fmt.Errorf("%w: %s is about the log %q, not about %q: name another folder", ErrState, m.dir, r.Origin, m.Origin)
	}
	m.remembered = r
	if m.mirror != "" && r.Mirror != m.mirror { // the mirror lacks what was verified: all is read again
		return m.save(0, nil)
	}
	return nil
}

// clean deletes files of tags that nobody remembers.
func (m *memory) clean() error {
	files, err := os.ReadDir(m.tagDir())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	for _, f := range files {
		if !slices.ContainsFunc(m.Tags, func(r tagRun) bool { return r.name() == f.Name() }) {
			if err := os.Remove(filepath.Join(m.tagDir(), f.Name())); err != nil {
				return fmt.Errorf("%w: %w", ErrState, err)
			}
		}
	}
	return nil
}

// checkpoint returns the remembered one; ok is false where there is none.
func (m *memory) checkpoint() (c Checkpoint, ok bool, err error) {
	if m.Checkpoint == "" {
		return Checkpoint{}, false, nil
	}
	if c, err = readCheckpoint([]byte(m.Checkpoint)); err != nil {
		return Checkpoint{}, false, damagedState(m.dir, err)
	}
	return c, true, nil
}

// remember replaces the checkpoint.
func (m *memory) remember(c Checkpoint) error {
	m.Checkpoint = string(c.Note)
	return m.store()
}

// save replaces what was verified: so many leaves, which have these tags.
func (m *memory) save(size int64, tags []tagRun) error {
	m.Size, m.Tags, m.Mirror = size, slices.Clone(tags), m.mirror
	return m.store()
}

// store writes what is remembered, at once.
func (m *memory) store() error {
	if m.lock == nil {
		return m.clean()
	}
	state, err := json.Marshal(m.remembered)
	if err != nil {
		return err
	}
	data, err := json.Marshal(sealed{Sum: sha256.Sum256(state), State: state})
	if err != nil {
		return err
	}
	if err := m.replace(data); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return m.clean()
}

// replace writes the file. Whatever it names is on the disk before it, and what it does not name any more is deleted
// after it.
func (m *memory) replace(data []byte) error {
	path := filepath.Join(m.dir, memoryFile)
	if err := writeSynced(path+".new", data); err != nil {
		return err
	}
	if err := syncFolder(m.tagDir()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncFolder(m.dir)
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func writeSynced(path string, data []byte) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

// keepFork keeps two checkpoints that contradict each other, and returns the folder in which they are.
func (m *memory) keepFork(now time.Time, old, new Checkpoint) (string, error) {
	dir := filepath.Join(m.dir, "fork-"+now.UTC().Format("20060102T150405.000000000Z"))
	err := os.Mkdir(dir, 0o700)
	for name, c := range map[string]Checkpoint{"remembered": old, "shown": new} {
		if err == nil {
			err = writeSynced(filepath.Join(dir, name), c.Note)
		}
	}
	if err != nil {
		return dir, fmt.Errorf("keep the evidence of a fork: %w", err)
	}
	return dir, nil
}
