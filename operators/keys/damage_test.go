package keys

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

func TestExposedKeysAreRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	f := open(t, dir)
	file := privateFile(t, dir, "archive-*.pem")
	chmod(t, file, 0o640)
	if _, err := f.Signer(t.Context(), statement.UseArchive); !errors.Is(err, ErrExposed) || !strings.Contains(err.Error(), "chmod 600 "+file) {
		t.Errorf("a readable key: %v", err)
	}
	chmod(t, privateFile(t, dir, "encryption-*.age"), 0o604)
	if _, err := f.Identities(t.Context()); !errors.Is(err, ErrExposed) {
		t.Errorf("a readable age key: %v", err)
	}
	chmod(t, dir, 0o755)
	if _, err := OpenFiles(t.Context(), dir); !errors.Is(err, ErrExposed) || !strings.Contains(err.Error(), "chmod 700 "+dir) {
		t.Errorf("a readable folder: %v", err)
	}
	if _, err := f.Rotate(t.Context(), statement.UseLog); !errors.Is(err, ErrExposed) {
		t.Errorf("rotation in a readable folder: %v", err)
	}
}

func chmod(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedKeysAreNamedAndNeverReplaced(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other")
	open(t, other)
	otherKey, err := os.ReadFile(privateFile(t, other, "archive-*.pem"))
	if err != nil {
		t.Fatal(err)
	}
	der := strings.Split(string(otherKey), "\n")[1]
	cases := map[string][]byte{
		"empty":           {},
		"cut":             otherKey[:60],
		"another key":     otherKey,
		"not PKCS#8":      []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		"an EC key":       []byte("-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\nOF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n-----END PRIVATE KEY-----\n"),
		"far too long":    bytes.Repeat([]byte("a"), maxPrivate+1),
		"an age identity": []byte("AGE-SECRET-KEY-1"),
	}
	for name, data := range cases {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "keys")
			f := open(t, dir)
			file := privateFile(t, dir, "archive-*.pem")
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := f.Signer(t.Context(), statement.UseArchive)
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), der) {
				t.Errorf("got %v", err)
			}
			if _, err := OpenFiles(t.Context(), dir); err != nil {
				t.Errorf("opening looks at no private key: %v", err)
			}
			if left, err := os.ReadFile(file); err != nil || !bytes.Equal(left, data) {
				t.Errorf("the damaged file was touched: %v", err)
			}
		})
	}
}

func TestMissingPrivateKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	f := open(t, dir)
	for _, pattern := range []string{"archive-*.pem", "encryption-*.age"} {
		if err := os.Remove(privateFile(t, dir, pattern)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := open(t, dir).Signer(t.Context(), statement.UseArchive); !errors.Is(err, ErrDamaged) {
		t.Errorf("archive: %v", err)
	}
	if _, err := f.Identities(t.Context()); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("encryption: %v", err)
	}
}

func TestDamagedLists(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	open(t, dir)
	list := filepath.Join(dir, listFile)
	good, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	twice := strings.Replace(string(good), `"use": "log"`, `"use": "archive"`, 1)
	cases := map[string]string{
		"empty":              "",
		"cut":                string(good[:len(good)/2]),
		"something behind":   string(good) + "{}",
		"unknown member":     strings.Replace(string(good), `"version"`, `"extra": 1, "version"`, 1),
		"other format":       strings.Replace(string(good), listFormat, "passerelle-keys/2", 1),
		"two current keys":   twice,
		"path as key id":     strings.Replace(string(good), `"kid": "`, `"kid": "../../`, 1),
		"a use that is none": strings.Replace(string(good), `"use": "log"`, `"use": "../log"`, 1),
	}
	for name, text := range cases {
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenFiles(t.Context(), dir); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), list) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFiles(t.Context(), dir); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("lost: %v", err)
	}
}

// A process that dies while it makes the first keys leaves an empty list, private keys that nobody has seen and
// unfinished files. The next one starts over.
func TestADeathAtFirstUseDoesNoHarm(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	f := open(t, dir)
	if err := f.save(&keyList{Format: listFormat, Keys: []statement.Key{}}); err != nil {
		t.Fatal(err)
	}
	unfinished := filepath.Join(dir, temporary+"1234")
	if err := os.WriteFile(unfinished, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	signer(t, open(t, dir), statement.UseIdentity)
	if _, err := os.Stat(unfinished); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the unfinished file is still there: %v", err)
	}
}

func TestWaitingForTheLockEnds(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "keys"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := f.change(t.Context(), func(*keyList) error {
		_, err := f.Rotate(ctx, statement.UseLog)
		return err
	})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), lockFile) {
		t.Errorf("got %v", err)
	}
}

func TestAFolderThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "keys")} {
		if _, err := OpenFiles(t.Context(), dir); err == nil {
			t.Errorf("%s was opened", dir)
		}
	}
}
