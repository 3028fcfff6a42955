package archive

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestTarHeadIsThatOfArchiveTar holds our headers against those of the standard library, byte for byte.
func TestTarHeadIsThatOfArchiveTar(t *testing.T) {
	part := rapid.OneOf(
		rapid.StringMatching(`[a-zA-Z0-9 ._-]{1,120}`), rapid.StringN(1, 60, 120), rapid.Just("."), rapid.Just(".."), rapid.Just("é"), rapid.Just("x"), rapid.Just(""),
	)
	rapid.Check(t, func(t *rapid.T) {
		name := strings.Join(rapid.SliceOfN(part, 1, 8).Draw(t, "name"), "/")
		size := rapid.OneOf(rapid.Int64Range(-1, 1<<20), rapid.Int64Range(1<<33-2, 1<<33+2)).Draw(t, "size")
		stamp := time.Unix(rapid.OneOf(rapid.Int64Range(-2, 1<<31), rapid.Int64Range(1<<33-2, 1<<33+2)).Draw(t, "time"), 0)
		if rapid.Bool().Draw(t, "no time") {
			stamp = time.Time{}
		}
		got, ok := appendTarHead([]byte("before"), name, size, stamp)
		if !ok {
			if string(got) != "before" && !strings.HasPrefix(string(got), "before") {
				t.Fatal("what was there is gone")
			}
			return
		}
		var want bytes.Buffer
		if err := tar.NewWriter(&want).WriteHeader(tarHeader(name, size, stamp)); err != nil {
			t.Fatalf("archive/tar does not write %q: %v", name, err)
		}
		if got = got[len("before"):]; !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%q:\n%q\nwant\n%q", name, got, want.Bytes())
		}
		head, read, _, ok, err := readTarHead(bytes.NewReader(got), nil, nil)
		if !ok || err != nil || head.name != name || head.size != size || !bytes.Equal(read, got) {
			t.Fatalf("read back: %+v, %v, %v", head, ok, err)
		}
	})
}

// TestTarHeadsUsual makes sure that the usual names take the short way.
func TestTarHeadsUsual(t *testing.T) {
	for _, name := range []string{
		"alice-2026-11-23-0/data/files/tree/a.txt", "alice/" + strings.Repeat("dossier/", 15) + "b", "alice/Été à la mer 🎄.jpg",
		"alice/" + strings.Repeat("x", 200), "alice/" + strings.Repeat("é/", 300) + "f",
	} {
		if _, ok := appendTarHead(nil, name, 1<<20, time.Unix(1e9, 0)); !ok {
			t.Errorf("%.80q goes through archive/tar", name)
		}
	}
}
