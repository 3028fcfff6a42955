package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestDGAArticle12hOperatorGone is the drill for the day on which an operator is no more: nothing is left of it but the
// archive that the person has. It opens at another operator, which never heard of the first, with every record in it.
func TestDGAArticle12hOperatorGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, archive := filepath.Join(dir, "first"), filepath.Join(dir, "alice.zip")
	loaded(t, first)
	had := sealedRoot(t, first, "alice", archive)
	if err := os.RemoveAll(first); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(dir, "second")
	mustCall(t, "--data", second, "verify", archive)
	mustCall(t, "--data", second, "import", "--to", "home:alice", archive)
	if has := sealedRoot(t, second, "alice", filepath.Join(dir, "again.zip")); has != had {
		t.Errorf("the second operator holds %s, and not %s", has, had)
	}
}

// sealedRoot exports an instance, and returns the root of its state.
func sealedRoot(t *testing.T, data, person, to string) string {
	t.Helper()
	var out, errors bytes.Buffer
	if code := run([]string{"--data", data, "--json", "export", "--from", "home:" + person, "--out", to}, &out, &errors); code != exitDone {
		t.Fatalf("%d %s%s", code, &out, &errors)
	}
	var sealed struct {
		Claims struct {
			State string `json:"state_root"`
		} `json:"claims"`
	}
	if err := json.Unmarshal(out.Bytes(), &sealed); err != nil || sealed.Claims.State == "" {
		t.Fatalf("%v: %s", err, &out)
	}
	return sealed.Claims.State
}
