package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

func signer(t *testing.T, f *Files, use statement.Use) Signer {
	t.Helper()
	s, err := f.Signer(t.Context(), use)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pub(s Signer) ed25519.PublicKey { return s.Public().(ed25519.PublicKey) }

func rotate(t *testing.T, f *Files, use statement.Use) statement.Key {
	t.Helper()
	key, err := f.Rotate(t.Context(), use)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func describe(t *testing.T, f *Files) *statement.Signed {
	t.Helper()
	signed, err := Describe(t.Context(), statement.Operator{ID: "a.example", LegalName: "A"}, f)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestFirstUseMakesOneKeyAUse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "keys")
	f := open(t, dir)
	seen := map[string]bool{}
	for _, use := range statement.Uses() {
		if use == statement.UseEncryption {
			continue
		}
		s := signer(t, f, use)
		sig, err := s.Sign(nil, []byte("message"), crypto.Hash(0))
		if err != nil || !ed25519.Verify(pub(s), []byte("message"), sig) || seen[s.Kid] || s.Kid != statement.Thumbprint(pub(s)) {
			t.Errorf("%s: key %s, %v", use, s.Kid, err)
		}
		seen[s.Kid] = true
		if again := signer(t, open(t, dir), use); again.Kid != s.Kid {
			t.Errorf("%s: another key when opened again", use)
		}
	}
	if _, err := f.Signer(t.Context(), statement.UseEncryption); err == nil {
		t.Error("the age key signs")
	}
	if _, err := f.Signer(t.Context(), "fun"); err == nil {
		t.Error("there is a key for a use that does not exist")
	}
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

// A process that dies while it makes the first keys leaves an empty list, private keys that nobody has seen and
// unfinished files. The next one starts over.
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

func TestManyUseAndRotateAtOnce(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "keys"))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				if _, err := f.Rotate(context.Background(), statement.UseTokens); err != nil {
					t.Errorf("rotate: %v", err)
				}
			}
		})
		wg.Go(func() {
			for range 50 {
				if _, err := f.Signer(context.Background(), statement.UseIdentity); err != nil {
					t.Errorf("sign: %v", err)
				}
			}
		})
	}
	wg.Wait()
	public, err := f.Public(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tokens := slices.DeleteFunc(public.Keys, func(k statement.Key) bool { return k.Use != statement.UseTokens })
	if len(tokens) != 21 || !tokens[20].Current() || slices.ContainsFunc(tokens[:20], func(k statement.Key) bool { return k.Current() }) {
		t.Errorf("%d keys after 20 rotations", len(tokens))
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

func TestPinsFollowARotatedIdentity(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "keys"))
	first := describe(t, f)
	var pins statement.Pins
	if err := pins.Pin(first); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		rotate(t, f, statement.UseIdentity)
	}
	now := describe(t, f)
	if got := pins.Judge(now); got.Level != statement.Trusted || now.Fingerprint() == first.Fingerprint() {
		t.Errorf("got %+v", got)
	}
	impostor := describe(t, open(t, filepath.Join(t.TempDir(), "keys")))
	if got := pins.Judge(impostor); got.Level != statement.Conflicting {
		t.Errorf("an impostor: %+v", got)
	}
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

func TestOldAgeKeysStillDecrypt(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "keys"))
	recipient, err := f.Recipient(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, recipient)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "an old archive"); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	fresh := rotate(t, f, statement.UseEncryption)
	identities, err := f.Identities(t.Context())
	if err != nil || len(identities) != 2 || identities[0].(*age.X25519Identity).Recipient().String() != fresh.Recipient {
		t.Fatalf("%d identities, %v", len(identities), err)
	}
	r, err := age.Decrypt(&sealed, identities...)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != "an old archive" {
		t.Errorf("%q, %v", text, err)
	}
	if now, err := f.Recipient(t.Context()); err != nil || now.(*age.X25519Recipient).String() != fresh.Recipient {
		t.Errorf("the recipient is %v, %v", now, err)
	}
}

func TestRevoke(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "keys"))
	stolen, at := signer(t, f, statement.UseArchive), time.Now()
	if err := f.Revoke(t.Context(), stolen.Kid, "the disk was stolen"); err != nil {
		t.Fatal(err)
	}
	if now := signer(t, f, statement.UseArchive); now.Kid == stolen.Kid {
		t.Error("a revoked key still signs")
	}
	if err := describe(t, f).ArchiveKeyAt(pub(stolen), at); err == nil || !strings.Contains(err.Error(), "the disk was stolen") {
		t.Errorf("got %v", err)
	}
	if err := f.Revoke(t.Context(), "nothing", "why not"); !errors.Is(err, ErrNoKey) {
		t.Errorf("no such key: %v", err)
	}
	before, _ := f.Public(t.Context())
	if err := f.Revoke(t.Context(), signer(t, f, statement.UseLog).Kid, "two\nlines"); err == nil {
		t.Error("a reason of two lines was taken")
	}
	if after, _ := f.Public(t.Context()); len(after.Keys) != len(before.Keys) {
		t.Error("a revocation that failed has rotated the key")
	}
}

func TestVersionsGrowWithChangesOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	f := open(t, dir)
	one := describe(t, f)
	if again := describe(t, open(t, dir)); !bytes.Equal(again.Raw(), one.Raw()) || again.Statement.Version != 1 {
		t.Errorf("nothing changed, yet it is version %d", again.Statement.Version)
	}
	rotate(t, f, statement.UseLog)
	if two := describe(t, f); two.Statement.Version != 2 {
		t.Errorf("after a rotation: version %d", two.Statement.Version)
	}
	three, err := Describe(t.Context(), statement.Operator{ID: "a.example", LegalName: "B"}, f)
	if err != nil || three.Statement.Version != 3 {
		t.Fatalf("after a new name: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, statementFile)); err != nil {
		t.Fatal(err)
	}
	if four := describe(t, f); four.Statement.Version != 4 {
		t.Errorf("after the statement was lost: version %d", four.Statement.Version)
	}
	if err := os.WriteFile(filepath.Join(dir, statementFile), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if five := describe(t, f); five.Statement.Version != 5 {
		t.Errorf("after the statement was damaged: version %d", five.Statement.Version)
	}
}

func TestDescribeNamesWhatTheProfileLacks(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "keys"))
	_, err := Describe(t.Context(), statement.Operator{}, f)
	if err == nil || !strings.Contains(err.Error(), "id is missing") || !strings.Contains(err.Error(), "legal_name is missing") {
		t.Errorf("got %v", err)
	}
	if got := describe(t, f); got.Statement.Version != 1 {
		t.Errorf("a failure used up a version: %d", got.Statement.Version)
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
