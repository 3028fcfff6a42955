package home_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// TestDamagedBytes spoils a file and a small blob in the database. Their records are walked without them, the states say
// the same, what is left of the bytes stays, and the instance is whole again as soon as the right bytes come once more.
func TestDamagedBytes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i, dir := opened(t, db, home.Options{})
		large, small := strings.Repeat("2", 100_000), "small"
		bring(t, i, "s", file("1", "kept", "1"), file("2", "large", large), file("3", "small", small))
		spoil(t, db, filesBelow(t, dir)[0])
		source := i.Source()
		defer source.Close()
		if n, err := source.Examine(t.Context(), 0); n != 2 || err != nil {
			t.Fatalf("%d damaged, %v", n, err)
		}
		if n, err := source.Examine(t.Context(), 0); n != 0 || err != nil {
			t.Fatalf("the second time %d damaged, %v", n, err)
		}
		lost := map[string]bool{}
		for item, err := range source.Records(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			lost[item.Record.Path] = len(item.Omissions) == 1 && item.Record.Blob == nil
		}
		if lost["tree/kept"] || !lost["tree/large"] || !lost["tree/small"] {
			t.Errorf("lost: %v", lost)
		}
		for state, err := range source.States(t.Context()) {
			if err != nil || state.Blob.IsZero() != (state.ID != "1") {
				t.Errorf("state %+v, %v", state, err)
			}
		}
		if left := filesBelow(t, dir); len(left) != 2 {
			t.Errorf("left are %q", left)
		}
		if _, err := i.Reader().Content(t.Context(), blobOf(t, i, "3")); !errors.Is(err, operators.ErrContentMissing) {
			t.Errorf("the content of what is damaged: %v", err)
		}
		bring(t, i, "backup", file("2", "large", large), file("3", "small", small))
		for id, want := range map[string]string{"2": large, "3": small} {
			content, err := i.Reader().Content(t.Context(), blobOf(t, i, id))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(content); err != nil || string(got) != want {
				t.Errorf("%s: %d bytes, %v", id, len(got), err)
			}
		}
		if n, err := source.Examine(t.Context(), 0); n != 0 || err != nil {
			t.Errorf("after the backup %d damaged, %v", n, err)
		}
	})
}

// spoil changes bytes in a file and in the database's small blob "small".
func spoil(t *testing.T, db *sqldb.DB, name string) {
	t.Helper()
	bytes := bytes.Repeat([]byte{'3'}, 100_000)
	if err := os.WriteFile(name, bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	hash := formats.HashOf([]byte("small"))
	if _, err := db.Write.Exec(`UPDATE home_blob SET data = $1 WHERE hash = $2`, []byte("smell"), hash[:]); err != nil {
		t.Fatal(err)
	}
}
