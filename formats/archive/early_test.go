package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats"
)

// storing is what [Expectations] has for those who store blobs while they are verified.
type storing = func(content io.Reader, size int64) (formats.Blob, error)

// hashed stores nothing, and says what it would have stored.
func hashed(content io.Reader, size int64) (formats.Blob, error) {
	digest := sha256.New()
	n, err := io.Copy(digest, content)
	if err == nil && n != size {
		err = fmt.Errorf("%w: %d bytes, not %d", formats.ErrInvalid, n, size)
	}
	return formats.Blob{SHA256: sum(digest), Size: n}, err
}

// TestBlobsAreStoredAsTheyAreVerified stores each of them, once.
func TestBlobsAreStoredAsTheyAreVerified(t *testing.T) {
	for _, carriage := range carriages {
		t.Run(carriage.name, func(t *testing.T) {
			dir := t.TempDir()
			pack(t, testOptions(filepath.Join(dir, carriage.out)), someItems())
			var stored []string
			r := verify(t, OpenOptions{}, Expectations{Store: func(content io.Reader, size int64) (formats.Blob, error) {
				text, err := io.ReadAll(content)
				stored = append(stored, string(text))
				return formats.Blob{SHA256: formats.HashOf(text), Size: size}, err
			}}, filepath.Join(dir, carriage.open))
			slices.Sort(stored)
			if want := []string{"", "Chère Marie,\n", "Chère Marie,\n", "newline", "unicode"}; !r.Intact || !slices.Equal(slices.Compact(stored), slices.Compact(want)) {
				t.Errorf("stored %q; %+v", stored, r.Faults)
			}
		})
	}
}

// TestWhoStoresIsHeard tells what is wrong with the archive from what is wrong with whoever stores it.
func TestWhoStoresIsHeard(t *testing.T) {
	dir := t.TempDir()
	pack(t, testOptions(filepath.Join(dir, "alice")), someItems())
	full := errors.New("the disk is full")
	for name, test := range map[string]struct {
		store storing
		fault string // "": it is none, but an error
	}{
		"cannot": {func(io.Reader, int64) (formats.Blob, error) { return formats.Blob{}, full }, ""},
		"says otherwise": {func(content io.Reader, size int64) (formats.Blob, error) {
			_, err := hashed(content, size)
			return formats.Blob{SHA256: formats.HashOf([]byte("other")), Size: size}, err
		}, "contents were changed"},
		"does not read it": {func(io.Reader, int64) (formats.Blob, error) { return formats.Blob{}, nil }, "bytes that were announced"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := Open([]string{filepath.Join(dir, "alice.index.json")}, OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			v, err := a.Verify(t.Context(), t.TempDir(), Expectations{Store: test.store})
			if test.fault == "" {
				if !errors.Is(err, full) || errors.Is(err, ErrFault) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			if v.Report.Intact || !strings.Contains(fmt.Sprint(v.Report.Faults), test.fault) {
				t.Errorf("%+v", v.Report.Faults)
			}
		})
	}
}

// TestVolumesAreAwaited reads an archive of which one volume after the other comes.
func TestVolumesAreAwaited(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir, there := t.TempDir(), t.TempDir()
	opts := testOptions(filepath.Join(dir, "alice"))
	opts.VolumeSize, opts.Recipients = 1<<20, []age.Recipient{identity.Recipient()}
	var items []item
	for n := range 3 {
		items = append(items, fileItem(fmt.Sprint(n), strings.Repeat(fmt.Sprint(n), 800<<10)))
	}
	sealed := pack(t, opts, items)
	if len(sealed.Volumes) < 3 {
		t.Fatalf("%d volumes", len(sealed.Volumes))
	}
	move := func(name string) {
		t.Helper()
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(there, name)); err != nil {
			t.Fatal(err)
		}
	}
	move("alice.index.json")
	move("alice.index.json.sig")
	index := filepath.Join(there, "alice.index.json")
	if _, err := Open([]string{index}, OpenOptions{}); !errors.Is(err, ErrFault) {
		t.Errorf("nothing has come, and nothing is awaited: %v", err)
	}
	stored := 0
	store := func(content io.Reader, size int64) (formats.Blob, error) { stored++; return hashed(content, size) }
	var asked []string
	await := func(_ context.Context, name string) error {
		if asked = append(asked, name); len(asked) == 3 && stored < 2 {
			t.Errorf("%d blobs are stored when the third volume is awaited", stored)
		}
		move(name)
		return nil
	}
	r := verify(t, OpenOptions{Identities: []age.Identity{identity}, Await: await}, Expectations{Store: store}, index)
	if !r.Intact || len(asked) != len(sealed.Volumes) {
		t.Errorf("asked for %q: %+v", asked, r.Faults)
	}
	cut := errors.New("the link was cut")
	a, err := Open([]string{index}, OpenOptions{Identities: []age.Identity{identity}, Await: func(context.Context, string) error { return cut }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Verify(t.Context(), t.TempDir(), Expectations{}); !errors.Is(err, cut) || errors.Is(err, ErrFault) {
		t.Errorf("a link that is cut: %v", err)
	}
	if err := os.Truncate(filepath.Join(there, sealed.Volumes[1].Name), 1000); err != nil {
		t.Fatal(err)
	}
	r = verify(t, OpenOptions{Identities: []age.Identity{identity}, Await: func(context.Context, string) error { return nil }}, Expectations{}, index)
	if r.Intact || !strings.Contains(fmt.Sprint(r.Faults), "its index says") {
		t.Errorf("a volume that came short: %+v", r.Faults)
	}
}
