package keys

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
)

// secretKinds are the places where secrets can be. Each returns a function that opens one new place, again at each call.
var secretKinds = map[string]func(*testing.T) func() (Secrets, error){
	"files": func(t *testing.T) func() (Secrets, error) {
		dir := filepath.Join(t.TempDir(), "data", "secrets")
		return func() (Secrets, error) { return OpenSecretFiles(dir) }
	},
	"vault": func(t *testing.T) func() (Secrets, error) {
		p := newVaultPlace(t)
		return func() (Secrets, error) { return p.open(), nil }
	},
}

// TestSecrets holds every kind of secrets to the same contract.
func TestSecrets(t *testing.T) {
	cases := []struct {
		name string
		test func(t *testing.T, open func() (Secrets, error))
	}{
		{"life of a secret", lifeOfASecret},
		{"makers agree", makersAgree},
		{"make and destroy at once", makeAndDestroy},
		{"bad names", badNames},
		{"a caller who gave up", callerGaveUp},
	}
	for kind, newPlace := range secretKinds {
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

func mustOpenSecrets(t *testing.T, open func() (Secrets, error)) Secrets {
	t.Helper()
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustMake(t *testing.T, s Secrets, name string) []byte {
	t.Helper()
	secret, err := s.MakeSecret(t.Context(), name)
	if err != nil || len(secret) != SecretSize || bytes.Equal(secret, make([]byte, SecretSize)) {
		t.Fatalf("%d bytes, %v", len(secret), err)
	}
	return secret
}

func lifeOfASecret(t *testing.T, open func() (Secrets, error)) {
	s, other := mustOpenSecrets(t, open), mustOpenSecrets(t, open)
	const name = "p-0123456789abcdef"
	if _, err := s.Secret(t.Context(), name); !errors.Is(err, ErrNoKey) {
		t.Errorf("before it is made: %v", err)
	}
	if err := s.DestroySecret(t.Context(), name); err != nil {
		t.Errorf("there is nothing to destroy: %v", err)
	}
	secret := mustMake(t, s, name)
	if again := mustMake(t, other, name); !bytes.Equal(again, secret) {
		t.Error("made twice")
	}
	if got, err := other.Secret(t.Context(), name); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("%v", err)
	}
	neighbour := mustMake(t, s, name+"0")
	if bytes.Equal(neighbour, secret) {
		t.Error("two names have the same secret")
	}
	for range 2 {
		if err := other.DestroySecret(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Secret(t.Context(), name); !errors.Is(err, ErrNoKey) {
			t.Errorf("destroyed: %v", err)
		}
	}
	if got, err := s.Secret(t.Context(), name+"0"); err != nil || !bytes.Equal(got, neighbour) {
		t.Errorf("the neighbour: %v", err)
	}
	if again := mustMake(t, s, name); bytes.Equal(again, secret) {
		t.Error("a destroyed secret came back")
	}
}

func makersAgree(t *testing.T, open func() (Secrets, error)) {
	stores := []Secrets{mustOpenSecrets(t, open), mustOpenSecrets(t, open), mustOpenSecrets(t, open)}
	secrets := make([][]byte, 50)
	var wg sync.WaitGroup
	for i := range secrets {
		wg.Go(func() {
			var err error
			if secrets[i], err = stores[i%len(stores)].MakeSecret(context.Background(), "one"); err != nil {
				t.Errorf("make: %v", err)
			}
		})
	}
	wg.Wait()
	kept, err := stores[0].Secret(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if !bytes.Equal(secret, kept) {
			t.Fatalf("%x is not %x", secret, kept)
		}
	}
}

func makeAndDestroy(t *testing.T, open func() (Secrets, error)) {
	a, b := mustOpenSecrets(t, open), mustOpenSecrets(t, open)
	var wg sync.WaitGroup
	for _, s := range []Secrets{a, b} {
		wg.Go(func() {
			for range 10 {
				if secret, err := s.MakeSecret(context.Background(), "one"); err != nil || len(secret) != SecretSize {
					t.Errorf("make: %v", err)
				}
			}
		})
		wg.Go(func() {
			for range 10 {
				if err := s.DestroySecret(context.Background(), "one"); err != nil {
					t.Errorf("destroy: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if made, kept := mustMake(t, a, "one"), mustMake(t, b, "one"); !bytes.Equal(made, kept) {
		t.Error("they do not agree any more")
	}
}

func badNames(t *testing.T, open func() (Secrets, error)) {
	s := mustOpenSecrets(t, open)
	for _, name := range []string{"", ".", "..", "../keys", "a/b", "A", "é", "a b", "a\n", "a.b", "a%2fb", strings.Repeat("a", 101)} {
		_, err := s.Secret(t.Context(), name)
		_, made := s.MakeSecret(t.Context(), name)
		destroyed := s.DestroySecret(t.Context(), name)
		for _, err := range []error{err, made, destroyed} {
			if !errors.Is(err, formats.ErrInvalid) || errors.Is(err, ErrNoKey) {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
	for _, name := range []string{"-", "0", strings.Repeat("z", 100)} {
		mustMake(t, s, name)
	}
}

// What a caller who gave up gets is never mistaken for a secret that was destroyed.
func callerGaveUp(t *testing.T, open func() (Secrets, error)) {
	s := mustOpenSecrets(t, open)
	mustMake(t, s, "one")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Secret(ctx, "one"); err != nil && (!errors.Is(err, context.Canceled) || errors.Is(err, ErrNoKey)) {
		t.Errorf("read: %v", err)
	}
	_ = s.DestroySecret(ctx, "two")
	mustMake(t, s, "one")
}
