package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// storeKinds are the places where keys can be. Each returns a function that opens one new place, again at each call.
var storeKinds = map[string]func(*testing.T) func() (Store, error){
	"files": func(t *testing.T) func() (Store, error) {
		dir := filepath.Join(t.TempDir(), "data", "keys")
		return func() (Store, error) { return OpenFiles(context.Background(), dir) }
	},
	"vault": func(t *testing.T) func() (Store, error) {
		p := newVaultPlace(t)
		cfg := p.config()
		return func() (Store, error) {
			v, err := OpenVault(context.Background(), cfg)
			if err != nil {
				return nil, err
			}
			t.Cleanup(func() { v.Close() })
			return v, nil
		}
	},
}

// TestStores holds every kind of store to the same contract.
func TestStores(t *testing.T) {
	cases := []struct {
		name string
		test func(t *testing.T, open func() (Store, error))
	}{
		{"first use makes one key a use", firstUse},
		{"openers agree on the first keys", openersAgree},
		{"many use and rotate at once", manyAtOnce},
		{"a signer survives a rotation", signerSurvivesRotation},
		{"pins follow a rotated identity", pinsFollow},
		{"old age keys still decrypt", oldAgeKeysDecrypt},
		{"revoke", revoke},
		{"versions grow with changes only", versionsGrow},
		{"publishers get a version each", publishersGetAVersionEach},
		{"describe while keys are rotated", describeWhileRotated},
		{"a profile that lacks something", profileLacks},
	}
	for kind, newPlace := range storeKinds {
		t.Run(kind, func(t *testing.T) {
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.test(t, newPlace(t))
				})
			}
		})
	}
}

func mustOpen(t *testing.T, open func() (Store, error)) Store {
	t.Helper()
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func firstUse(t *testing.T, open func() (Store, error)) {
	s, again := mustOpen(t, open), mustOpen(t, open)
	seen := map[string]bool{}
	for _, use := range statement.Uses() {
		if use == statement.UseEncryption {
			continue
		}
		key := signer(t, s, use)
		sig, err := key.Sign(nil, []byte("message"), crypto.Hash(0))
		if err != nil || !ed25519.Verify(pub(key), []byte("message"), sig) || seen[key.Kid] || key.Kid != statement.Thumbprint(pub(key)) {
			t.Errorf("%s: key %s, %v", use, key.Kid, err)
		}
		if _, err := key.Sign(nil, make([]byte, 32), crypto.SHA256); err == nil {
			t.Errorf("%s: a hash was signed as if it were a message", use)
		}
		seen[key.Kid] = true
		if signer(t, again, use).Kid != key.Kid {
			t.Errorf("%s: another key when opened again", use)
		}
	}
	if _, err := s.Signer(t.Context(), statement.UseEncryption); err == nil {
		t.Error("the age key signs")
	}
	if _, err := s.Signer(t.Context(), "fun"); err == nil {
		t.Error("there is a key for a use that does not exist")
	}
	public, err := s.Public(t.Context())
	if err != nil || len(public.Keys) != len(statement.Uses()) {
		t.Fatalf("%d keys, %v", len(public.Keys), err)
	}
	for i, use := range statement.Uses() {
		if public.Keys[i].Use != use {
			t.Errorf("keys[%d] is for %s, not %s", i, public.Keys[i].Use, use)
		}
	}
}

func openersAgree(t *testing.T, open func() (Store, error)) {
	kids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range kids {
		wg.Go(func() {
			s, err := open()
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			public, err := s.Public(context.Background())
			if err != nil || len(public.Keys) != len(statement.Uses()) {
				t.Errorf("%d keys, %v", len(public.Keys), err)
			}
			for _, k := range public.Keys {
				kids[i] += k.Kid + " "
			}
		})
	}
	wg.Wait()
	for _, kid := range kids {
		if kid != kids[0] {
			t.Errorf("not the same keys: %q", kids)
		}
	}
}

func manyAtOnce(t *testing.T, open func() (Store, error)) {
	var wg sync.WaitGroup
	for range 4 {
		s := mustOpen(t, open)
		wg.Go(func() {
			for range 5 {
				if _, err := s.Rotate(context.Background(), statement.UseTokens); err != nil {
					t.Errorf("rotate: %v", err)
				}
			}
		})
		wg.Go(func() {
			for range 25 {
				key, err := s.Signer(context.Background(), statement.UseTokens)
				if err != nil {
					t.Errorf("signer: %v", err)
					continue
				}
				sig, err := key.Sign(nil, []byte("message"), crypto.Hash(0))
				if err != nil || !ed25519.Verify(pub(key), []byte("message"), sig) {
					t.Errorf("sign: %v", err)
				}
			}
		})
	}
	wg.Wait()
	public, err := mustOpen(t, open).Public(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tokens := slices.DeleteFunc(public.Keys, func(k statement.Key) bool { return k.Use != statement.UseTokens })
	if len(tokens) != 21 || !tokens[20].Current() || slices.ContainsFunc(tokens[:20], func(k statement.Key) bool { return k.Current() }) {
		t.Errorf("%d keys after 20 rotations", len(tokens))
	}
}

func signerSurvivesRotation(t *testing.T, open func() (Store, error)) {
	s := mustOpen(t, open)
	old := signer(t, s, statement.UseArchive)
	fresh := rotate(t, s, statement.UseArchive)
	sig, err := old.Sign(nil, []byte("begun before"), crypto.Hash(0))
	if err != nil || !ed25519.Verify(pub(old), []byte("begun before"), sig) {
		t.Errorf("the old key: %v", err)
	}
	if now := signer(t, s, statement.UseArchive); now.Kid != fresh.Kid || now.Kid == old.Kid {
		t.Errorf("the key is %s, it should be %s", now.Kid, fresh.Kid)
	}
	if err := describe(t, s).ArchiveKeyAt(pub(old), time.Now()); err != nil {
		t.Errorf("within the tolerance of clocks: %v", err)
	}
}

func pinsFollow(t *testing.T, open func() (Store, error)) {
	s := mustOpen(t, open)
	first := describe(t, s)
	var pins statement.Pins
	if err := pins.Pin(first); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		rotate(t, s, statement.UseIdentity)
	}
	now := describe(t, s)
	if got := pins.Judge(now); got.Level != statement.Trusted || now.Fingerprint() == first.Fingerprint() {
		t.Errorf("got %+v", got)
	}
	impostor, err := OpenFiles(t.Context(), filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	if got := pins.Judge(describe(t, impostor)); got.Level != statement.Conflicting {
		t.Errorf("an impostor: %+v", got)
	}
}

func oldAgeKeysDecrypt(t *testing.T, open func() (Store, error)) {
	s := mustOpen(t, open)
	recipient, err := s.Recipient(t.Context())
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
	fresh := rotate(t, s, statement.UseEncryption)
	identities, err := mustOpen(t, open).Identities(t.Context())
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
	if now, err := s.Recipient(t.Context()); err != nil || now.(*age.X25519Recipient).String() != fresh.Recipient {
		t.Errorf("the recipient is %v, %v", now, err)
	}
}

func revoke(t *testing.T, open func() (Store, error)) {
	s := mustOpen(t, open)
	stolen, at := signer(t, s, statement.UseArchive), time.Now()
	if err := s.Revoke(t.Context(), stolen.Kid, "the disk was stolen"); err != nil {
		t.Fatal(err)
	}
	if now := signer(t, s, statement.UseArchive); now.Kid == stolen.Kid {
		t.Error("a revoked key still signs")
	}
	if err := describe(t, s).ArchiveKeyAt(pub(stolen), at); err == nil || !strings.Contains(err.Error(), "the disk was stolen") {
		t.Errorf("got %v", err)
	}
	if err := s.Revoke(t.Context(), "nothing", "why not"); !errors.Is(err, ErrNoKey) {
		t.Errorf("no such key: %v", err)
	}
	before, _ := s.Public(t.Context())
	if err := s.Revoke(t.Context(), signer(t, s, statement.UseLog).Kid, "two\nlines"); err == nil {
		t.Error("a reason of two lines was taken")
	}
	if after, _ := s.Public(t.Context()); len(after.Keys) != len(before.Keys) {
		t.Error("a revocation that failed has rotated the key")
	}
}

func versionsGrow(t *testing.T, open func() (Store, error)) {
	s := mustOpen(t, open)
	one := describe(t, s)
	if again := describe(t, mustOpen(t, open)); !bytes.Equal(again.Raw(), one.Raw()) || again.Statement.Version != 1 {
		t.Errorf("nothing changed, yet it is version %d", again.Statement.Version)
	}
	rotate(t, s, statement.UseLog)
	if two := describe(t, s); two.Statement.Version != 2 {
		t.Errorf("after a rotation: version %d", two.Statement.Version)
	}
	three, err := Describe(t.Context(), statement.Operator{ID: "a.example", LegalName: "B"}, s)
	if err != nil || three.Statement.Version != 3 {
		t.Fatalf("after a new name: %v", err)
	}
}

func publishersGetAVersionEach(t *testing.T, open func() (Store, error)) {
	var mu sync.Mutex
	given := map[string]int64{}
	var wg sync.WaitGroup
	for i := range 6 {
		s := mustOpen(t, open)
		wg.Go(func() {
			for j := range 4 {
				var mine int64
				published, err := s.Publish(context.Background(), func(last []byte, version int64) ([]byte, error) {
					if want := fmt.Appendf(nil, "%d ", version-1); version > 1 && !bytes.HasPrefix(last, want) {
						t.Errorf("before version %d there is %q", version, last)
					}
					mine = version
					return fmt.Appendf(nil, "%d by %d, %d", version, i, j), nil
				})
				if err != nil || string(published) != fmt.Sprintf("%d by %d, %d", mine, i, j) {
					t.Errorf("%q, %v", published, err)
				}
				mu.Lock()
				given[string(published)] = mine
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	versions := map[int64]bool{}
	for _, v := range given {
		versions[v] = true
	}
	if len(versions) != 24 {
		t.Errorf("24 statements have %d versions: %v", len(versions), given)
	}
	no := errors.New("no")
	if _, err := mustOpen(t, open).Publish(t.Context(), func([]byte, int64) ([]byte, error) { return nil, no }); !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	kept, err := mustOpen(t, open).Publish(t.Context(), func(last []byte, version int64) ([]byte, error) {
		if version != 25 {
			t.Errorf("after a failure comes version %d", version)
		}
		return nil, nil
	})
	if err != nil || given[string(kept)] != 24 {
		t.Errorf("%q was kept, %v", kept, err)
	}
}

func describeWhileRotated(t *testing.T, open func() (Store, error)) {
	a, b := mustOpen(t, open), mustOpen(t, open)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 4 {
			if _, err := a.Rotate(context.Background(), statement.UseIdentity); err != nil {
				t.Errorf("rotate: %v", err)
			}
		}
	})
	wg.Go(func() {
		for range 4 {
			if _, err := Describe(context.Background(), statement.Operator{ID: "a.example", LegalName: "A"}, b); err != nil {
				t.Errorf("describe: %v", err)
			}
		}
	})
	wg.Wait()
	if got := describe(t, b); len(got.Statement.Succession) != 4 {
		t.Errorf("the statement has %d successions", len(got.Statement.Succession))
	}
}

func profileLacks(t *testing.T, open func() (Store, error)) {
	s := mustOpen(t, open)
	_, err := Describe(t.Context(), statement.Operator{}, s)
	if err == nil || !strings.Contains(err.Error(), "id is missing") || !strings.Contains(err.Error(), "legal_name is missing") {
		t.Errorf("got %v", err)
	}
	if got := describe(t, s); got.Statement.Version != 1 {
		t.Errorf("a failure used up a version: %d", got.Statement.Version)
	}
}
