package keys

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

func open(t *testing.T, dir string) *Files {
	t.Helper()
	f, err := OpenFiles(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func signer(t *testing.T, f Store, use statement.Use) Signer {
	t.Helper()
	s, err := f.Signer(t.Context(), use)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pub(s Signer) ed25519.PublicKey { return s.Public().(ed25519.PublicKey) }

func rotate(t *testing.T, f Store, use statement.Use) statement.Key {
	t.Helper()
	key, err := f.Rotate(t.Context(), use)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func describe(t *testing.T, f Store) *statement.Signed {
	t.Helper()
	signed, err := Describe(t.Context(), statement.Operator{ID: "a.example", LegalName: "A"}, f)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestFilesAreTheirOwnersOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	open(t, dir)
	walked := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		info, _ := d.Info()
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		walked++
		return err
	})
	if err != nil || walked < 7 {
		t.Errorf("saw %d files, %v", walked, err)
	}
}

func privateFile(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v %v", pattern, found, err)
	}
	return found[0]
}

// TestProcessesAgreeOnTheirFirstKeys starts this test program several times over; each opens the same new folder.
func TestProcessesAgreeOnTheirFirstKeys(t *testing.T) {
	if dir := os.Getenv("KEYS_TEST_DIR"); dir != "" {
		s := signer(t, open(t, dir), statement.UseIdentity)
		os.Stdout.WriteString("kid=" + s.Kid + "\n")
		return
	}
	dir := filepath.Join(t.TempDir(), "keys")
	outputs := make([]string, 6)
	var wg sync.WaitGroup
	for i := range outputs {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestProcessesAgreeOnTheirFirstKeys$")
			cmd.Env = append(os.Environ(), "KEYS_TEST_DIR="+dir)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			outputs[i] = string(out)
		})
	}
	wg.Wait()
	want := "kid=" + signer(t, open(t, dir), statement.UseIdentity).Kid + "\n"
	for _, out := range outputs {
		if !strings.Contains(out, want) {
			t.Errorf("a process has another key than %s\n%s", want, out)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.pem")); len(files) != len(statement.Uses())-1 {
		t.Errorf("there are %d private keys, not one a use that signs", len(files))
	}
}

func TestWhatAnOldKeySignedRemainsValid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, filepath.Join(t.TempDir(), "keys"))
		old, signedAt := signer(t, f, statement.UseArchive), time.Now()
		time.Sleep(100 * 24 * time.Hour)
		fresh := rotate(t, f, statement.UseArchive)
		time.Sleep(100 * 24 * time.Hour)

		signed := describe(t, f)
		if err := signed.ArchiveKeyAt(pub(old), signedAt); err != nil {
			t.Errorf("when it was signed: %v", err)
		}
		if err := signed.ArchiveKeyAt(pub(old), time.Now()); !errors.Is(err, statement.ErrKey) {
			t.Errorf("the old key today: %v", err)
		}
		now := signer(t, f, statement.UseArchive)
		if now.Kid != fresh.Kid || now.Kid == old.Kid {
			t.Errorf("the key is %s, it should be %s", now.Kid, fresh.Kid)
		}
		if err := signed.ArchiveKeyAt(pub(now), signedAt); !errors.Is(err, statement.ErrKey) {
			t.Errorf("the new key before it was made: %v", err)
		}
		if err := signed.ArchiveKeyAt(pub(now), time.Now()); err != nil {
			t.Errorf("the new key today: %v", err)
		}
		privateFile(t, f.dir, "archive-*.pem") // fails unless the old private key is gone
	})
}

// A statement carries only so many successions; the rest of the chain is dropped at its beginning.
func TestManyIdentityRotations(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "keys"))
	for range statement.MaxSuccession + 2 {
		rotate(t, f, statement.UseIdentity)
	}
	if got := describe(t, f); len(got.Statement.Succession) != statement.MaxSuccession {
		t.Errorf("it carries %d", len(got.Statement.Succession))
	}
}

func TestVersionsSurviveALostStatement(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	f := open(t, dir)
	describe(t, f)
	if err := os.Remove(filepath.Join(dir, statementFile)); err != nil {
		t.Fatal(err)
	}
	if two := describe(t, f); two.Statement.Version != 2 {
		t.Errorf("after the statement was lost: version %d", two.Statement.Version)
	}
	if err := os.WriteFile(filepath.Join(dir, statementFile), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if three := describe(t, f); three.Statement.Version != 3 {
		t.Errorf("after the statement was damaged: version %d", three.Statement.Version)
	}
}

func TestOpensslReadsPrivateKeys(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed: its view of the private keys is not tested")
	}
	dir := filepath.Join(t.TempDir(), "keys")
	f := open(t, dir)
	file := privateFile(t, dir, "archive-*.pem")
	out, err := exec.Command(openssl, "pkey", "-in", file, "-pubout", "-outform", "DER").Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := pub(signer(t, f, statement.UseArchive)); !bytes.HasSuffix(out, want) {
		t.Errorf("openssl sees another key:\n%x\n%x", out, want)
	}
	// And a key that openssl made is taken, where the list names it.
	made := filepath.Join(t.TempDir(), "made.pem")
	if out, err := exec.Command(openssl, "genpkey", "-algorithm", "ed25519", "-out", made).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, _ := os.ReadFile(made)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Signer(t.Context(), statement.UseArchive); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("openssl's key was not read to its end: %v", err)
	}
}

func TestAgeFilesHaveAgesOwnForm(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	f := open(t, dir)
	file, err := os.Open(privateFile(t, dir, "encryption-*.age"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	identities, err := age.ParseIdentities(file)
	if err != nil || len(identities) != 1 {
		t.Fatalf("%d, %v", len(identities), err)
	}
	recipient, err := f.Recipient(t.Context())
	if err != nil || identities[0].(*age.X25519Identity).Recipient().String() != recipient.(*age.X25519Recipient).String() {
		t.Errorf("the file holds another key: %v", err)
	}
}
