package keys

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

const (
	listFile      = "keys.json" // a keyList
	statementFile = "statement.json"
	lockFile      = "lock"
	temporary     = ".tmp-"
	listFormat    = "passerelle-keys/1"
)

// load reads the list. The error wraps fs.ErrNotExist only where there is no list yet.
func (f *Files) load() (*keyList, error) {
	data, err := os.ReadFile(f.path(listFile))
	if err != nil {
		return nil, err
	}
	var list keyList
	if err := decodeList(data, &list); err != nil {
		return nil, f.damaged("%v", err)
	}
	if err := list.check(listFormat); err != nil {
		return nil, f.damaged("%v", err)
	}
	return &list, nil
}

func (f *Files) damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s; restore it from a backup", ErrDamaged, f.path(listFile), fmt.Sprintf(format, args...))
}

// change lets one process at a time change the list, and saves it.
func (f *Files) change(ctx context.Context, how func(*keyList) error) (err error) {
	if err := f.checkFolder(); err != nil {
		return err
	}
	lock := flock.New(f.path(lockFile))
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return fmt.Errorf("wait for another process to leave %s: %w", f.path(lockFile), err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	f.sweep()
	list, err := f.load()
	if errors.Is(err, fs.ErrNotExist) {
		list, err = f.begin()
	}
	if err != nil {
		return err
	}
	if err := how(list); err != nil {
		return err
	}
	if err := f.save(list); err != nil {
		return err
	}
	return f.destroyRetired(list)
}

// begin writes an empty list before the first private key is made, so that private keys without a list can only mean
// that the list was lost. Nobody wants new keys then: others would take the operator for an impostor.
func (f *Files) begin() (*keyList, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if isPrivate(e.Name()) {
			return nil, f.damaged("it is missing, yet there is a private key: %s", e.Name())
		}
	}
	list := &keyList{Format: listFormat, Keys: []statement.Key{}}
	return list, f.save(list)
}

func (f *Files) save(list *keyList) error {
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if old, err := os.ReadFile(f.path(listFile)); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return f.write(listFile, data)
}

// write replaces a file as a whole, durably, and readable by its owner only.
func (f *Files) write(name string, data []byte) error {
	tmp, err := os.CreateTemp(f.dir, temporary+"*") // mode 0600, and it did not exist before
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), f.path(name)); err != nil {
		return err
	}
	return syncFolder(f.dir)
}

// sweep removes what a process left that died while it wrote. It is called with the lock held.
func (f *Files) sweep() {
	entries, _ := os.ReadDir(f.dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), temporary) {
			os.Remove(filepath.Join(f.dir, e.Name()))
		}
	}
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
