package keys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

const (
	destroyLock = ".lock"
	unfinished  = ".new"
	// sweepAfter is older than any write that is still going on.
	sweepAfter = time.Hour
)

// SecretFiles is [Secrets] in a folder that only its owner can read: a file a secret, in 256 subfolders by a hash of
// its name, so that millions of them can be kept.
//
// Destruction overwrites the bytes in place before the file is removed. A disk may all the same keep old bytes where
// nobody can address them, and a backup keeps what it took: encrypt the disk, and do not back this folder up.
type SecretFiles struct {
	dir string
}

var _ Secrets = (*SecretFiles)(nil)

// OpenSecretFiles opens the secrets in a folder, and makes the folder where there is none yet. What processes that
// were killed left unfinished an hour ago or earlier is removed.
func OpenSecretFiles(dir string) (*SecretFiles, error) {
	s := &SecretFiles{dir: dir}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open the secrets: %w", err)
	}
	return s, nil
}

func (s *SecretFiles) open() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if err := s.checkFolder(); err != nil {
		return err
	}
	// All subfolders are made at once, so that one that is missing later on means damage, not that there is no secret.
	for i := range 256 {
		if err := makeFolder(filepath.Join(s.dir, fmt.Sprintf("%02x", i))); err != nil {
			return err
		}
	}
	if err := makeFolder(filepath.Join(s.dir, unfinished)); err != nil {
		return err
	}
	if err := errors.Join(syncFolder(s.dir), syncFolder(filepath.Dir(s.dir))); err != nil {
		return err
	}
	return s.sweep()
}

func makeFolder(path string) error {
	if err := os.Mkdir(path, 0o700); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// checkFolder refuses a folder that others can look into, and says so where it has gone.
func (s *SecretFiles) checkFolder() error {
	info, err := os.Stat(s.dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return fmt.Errorf("%w: %s is no folder (any more): is its disk mounted?", ErrDamaged, s.dir)
	}
	if err != nil {
		return err
	}
	return checkMode(s.dir, info, "700")
}

// sweep removes what processes left that died while they made a secret. Such a file was never in use, or it is the
// same file as the secret (by a second name), which the destruction of the secret overwrites too.
func (s *SecretFiles) sweep() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, unfinished))
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && time.Since(info.ModTime()) > sweepAfter {
			err = os.Remove(filepath.Join(s.dir, unfinished, e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // another process sweeps too
			return err
		}
	}
	return nil
}

// path returns where a secret is, once the name is found sound and the folder is as it should be.
func (s *SecretFiles) path(name string) (string, error) {
	if err := checkSecretName(name); err != nil {
		return "", err
	}
	hash := sha256.Sum256([]byte(name))
	return filepath.Join(s.dir, fmt.Sprintf("%02x", hash[0]), name), s.checkFolder()
}

// Secret implements [Secrets].
func (s *SecretFiles) Secret(ctx context.Context, name string) ([]byte, error) {
	path, err := s.path(name)
	if err != nil {
		return nil, err
	}
	secret, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noSecret(name)
	}
	return secret, err
}

// readSecret reads a secret that nobody else can read. The error wraps fs.ErrNotExist where there is none.
func readSecret(path string) ([]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, missing := os.Stat(filepath.Dir(path)); missing != nil {
			return nil, fmt.Errorf("%w: the folder %s is missing", ErrDamaged, filepath.Dir(path))
		}
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() != SecretSize {
		return nil, fmt.Errorf("%w: %s is not a file of %d bytes", ErrDamaged, path, SecretSize)
	}
	if err := checkMode(path, info, "600"); err != nil {
		return nil, err
	}
	secret := make([]byte, SecretSize)
	if _, err := io.ReadFull(file, secret); err != nil {
		return nil, fmt.Errorf("%w: %s: %v", ErrDamaged, path, err)
	}
	if isZero(secret) { // somebody who destroyed it was cut off before the end
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return secret, nil
}

func isZero(secret []byte) bool { return bytes.Equal(secret, make([]byte, SecretSize)) }

// MakeSecret implements [Secrets].
func (s *SecretFiles) MakeSecret(ctx context.Context, name string) ([]byte, error) {
	path, err := s.path(name)
	if err != nil {
		return nil, err
	}
	// A round is lost only to a process that destroys this very secret meanwhile.
	for range 100 {
		secret, err := readSecret(path)
		if err == nil {
			return secret, syncFolder(filepath.Dir(path)) // whoever made it may not be as far yet
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := s.write(path, drawSecret()); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make the secret %s: %w", name, err)
		} else if err != nil {
			if err := s.erase(ctx, path, isZero); err != nil {
				return nil, err
			}
		}
	}
	return nil, fmt.Errorf("make the secret %s: %w", name, errLostRace)
}

// write puts a whole file into place, durably. The error wraps fs.ErrExist if there is one already.
func (s *SecretFiles) write(path string, secret []byte) error {
	tmp, err := os.CreateTemp(filepath.Join(s.dir, unfinished), "*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(secret)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// DestroySecret implements [Secrets].
func (s *SecretFiles) DestroySecret(ctx context.Context, name string) error {
	path, err := s.path(name)
	if errors.Is(err, ErrExposed) { // all the more reason to destroy it
		err = nil
	}
	if err == nil {
		err = s.erase(ctx, path, func([]byte) bool { return true })
	}
	if err != nil {
		return fmt.Errorf("destroy the secret: %w", err)
	}
	return nil
}

// erase overwrites a file and removes it, if it is there and what it holds is to go. Only one process at a time does
// so: the file that is removed is the one that was overwritten.
func (s *SecretFiles) erase(ctx context.Context, path string, doomed func(content []byte) bool) (err error) {
	lock := flock.New(filepath.Join(s.dir, destroyLock))
	if _, err := lock.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return fmt.Errorf("wait for another process to leave %s: %w", lock.Path(), err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return syncFolder(filepath.Dir(path)) // fails where the folder is missing: then nothing was destroyed
	}
	if err != nil {
		return err
	}
	gone, err := overwrite(file, doomed)
	if err = errors.Join(err, file.Close()); err != nil || !gone {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// overwrite replaces what is in a file by zeros, durably, if it is doomed.
func overwrite(file *os.File, doomed func([]byte) bool) (bool, error) {
	content, err := io.ReadAll(io.LimitReader(file, SecretSize))
	if err != nil || !doomed(content) {
		return false, err
	}
	info, err := file.Stat()
	if err != nil {
		return false, err
	}
	// A damaged file may be longer than a secret.
	for at := int64(0); at < info.Size(); at += SecretSize {
		if _, err := file.WriteAt(make([]byte, min(SecretSize, info.Size()-at)), at); err != nil {
			return false, err
		}
	}
	return true, file.Sync()
}
