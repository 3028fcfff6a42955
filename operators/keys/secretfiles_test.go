package keys

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func openSecretFiles(t *testing.T) *SecretFiles {
	t.Helper()
	s, err := OpenSecretFiles(filepath.Join(t.TempDir(), "secrets"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func secretPath(t *testing.T, s *SecretFiles, name string) string {
	t.Helper()
	path, err := s.path(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSecretFilesAreTheirOwnersOnly(t *testing.T) {
	s := openSecretFiles(t)
	mustMake(t, s, "one")
	files := 0
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		info, _ := d.Info()
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if !d.IsDir() {
			files++
		}
		return err
	})
	if err != nil || files != 1 {
		t.Errorf("%d files for one secret, %v", files, err)
	}
	chmod(t, secretPath(t, s, "one"), 0o640)
	if _, err := s.Secret(t.Context(), "one"); !errors.Is(err, ErrExposed) {
		t.Errorf("a readable secret: %v", err)
	}
	if _, err := s.MakeSecret(t.Context(), "one"); !errors.Is(err, ErrExposed) {
		t.Errorf("a readable secret: %v", err)
	}
	chmod(t, s.dir, 0o750)
	if _, err := s.Secret(t.Context(), "two"); !errors.Is(err, ErrExposed) {
		t.Errorf("a readable folder: %v", err)
	}
	if _, err := OpenSecretFiles(s.dir); !errors.Is(err, ErrExposed) || !strings.Contains(err.Error(), "chmod 700 "+s.dir) {
		t.Errorf("a readable folder: %v", err)
	}
	if err := s.DestroySecret(t.Context(), "one"); err != nil {
		t.Errorf("what is exposed cannot be destroyed: %v", err)
	}
}

// Only what is surely not there counts as destroyed.
func TestDamagedSecrets(t *testing.T) {
	s := openSecretFiles(t)
	path := secretPath(t, s, "one")
	for _, size := range []int{0, 1, SecretSize - 1, SecretSize + 1, 100_000} {
		if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Secret(t.Context(), "one")
		_, made := s.MakeSecret(t.Context(), "one")
		for _, err := range []error{err, made} {
			if !errors.Is(err, ErrDamaged) || errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), path) {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
	}
	if err := s.DestroySecret(t.Context(), "one"); err != nil {
		t.Errorf("what is damaged cannot be destroyed: %v", err)
	}
	for _, missing := range []string{filepath.Dir(path), s.dir} {
		if err := os.RemoveAll(missing); err != nil {
			t.Fatal(err)
		}
		_, err := s.Secret(t.Context(), "one")
		_, made := s.MakeSecret(t.Context(), "one")
		for _, err := range []error{err, made, s.DestroySecret(t.Context(), "one")} {
			if err == nil || errors.Is(err, ErrNoKey) {
				t.Errorf("without %s: %v", missing, err)
			}
		}
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}

// A second name of the same file is what a process leaves that dies between linking and unlinking, and what shows that
// the bytes were overwritten.
func TestDestructionOverwritesInPlace(t *testing.T) {
	s := openSecretFiles(t)
	mustMake(t, s, "one")
	left := filepath.Join(s.dir, unfinished, "left")
	if err := os.Link(secretPath(t, s, "one"), left); err != nil {
		t.Fatal(err)
	}
	if err := s.DestroySecret(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(left); err != nil || !isZero(data) {
		t.Errorf("%x is left, %v", data, err)
	}
	old := time.Now().Add(-2 * sweepAfter)
	if err := os.Chtimes(left, old, old); err != nil {
		t.Fatal(err)
	}
	young := filepath.Join(s.dir, unfinished, "young")
	if err := os.WriteFile(young, []byte("being written"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSecretFiles(s.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an old unfinished file is still there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("a file that may be in work was removed: %v", err)
	}
}

// A process that dies after it has overwritten a secret, and before it has removed the file, has destroyed it.
func TestADeathWhileDestroying(t *testing.T) {
	s := openSecretFiles(t)
	was := mustMake(t, s, "one")
	if err := os.WriteFile(secretPath(t, s, "one"), make([]byte, SecretSize), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Secret(t.Context(), "one"); !errors.Is(err, ErrNoKey) {
		t.Errorf("got %v", err)
	}
	if now := mustMake(t, s, "one"); bytes.Equal(now, was) {
		t.Error("it came back")
	}
}

// TestProcessesAgreeOnASecret starts this test program several times over; each makes the same secret.
func TestProcessesAgreeOnASecret(t *testing.T) {
	if dir := os.Getenv("SECRETS_TEST_DIR"); dir != "" {
		s, err := OpenSecretFiles(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("secret=%x", mustMake(t, s, "one"))
		return
	}
	s := openSecretFiles(t)
	outputs := make([]string, 4)
	var wg sync.WaitGroup
	for i := range outputs {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.v", "-test.run=^TestProcessesAgreeOnASecret$")
			cmd.Env = append(os.Environ(), "SECRETS_TEST_DIR="+s.dir)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			_, secret, _ := strings.Cut(string(out), "secret=")
			outputs[i], _, _ = strings.Cut(secret, "\n")
		})
	}
	wg.Wait()
	for _, secret := range outputs {
		if len(secret) != 2*SecretSize || secret != outputs[0] {
			t.Errorf("not one secret: %q", outputs)
		}
	}
}

func FuzzSecretNames(f *testing.F) {
	for _, name := range []string{"a", "..", "a/b", "p-0", "é", "a\x00"} {
		f.Add(name)
	}
	s, err := OpenSecretFiles(filepath.Join(f.TempDir(), "secrets"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		path, err := s.path(name)
		if err != nil {
			return
		}
		if rel, err := filepath.Rel(s.dir, path); err != nil || filepath.Base(rel) != name || len(filepath.Dir(rel)) != 2 {
			t.Errorf("%q leads to %s", name, path)
		}
	})
}
