package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
)

// TestExitCodes tells usage from failure.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	for line, want := range map[string]int{
		"--help":                             exitDone,
		"person list":                        exitDone,
		"no-such-command":                    exitUsage,
		"export --from home:x":               exitUsage,
		"export --from x:y --out z":          exitUsage,
		"import --to x:y z":                  exitUsage,
		"person remove x":                    exitUsage,
		"--database mysql://x person list":   exitUsage,
		"export --from home:x --out z":       exitFailed,
		"verify nowhere.zip":                 exitFailed,
		"import --to home:x nowhere.zip":     exitFailed,
		"export --from home:x --volume-size": exitUsage,
	} {
		var out, errors bytes.Buffer
		if got := run(append([]string{"--data", filepath.Join(dir, "gateway")}, strings.Fields(line)...), &out, &errors); got != want {
			t.Errorf("passerelle %s: %d, want %d\n%s%s", line, got, want, &out, &errors)
		}
	}
}

// TestDemo runs the demonstration and reads what it says.
func TestDemo(t *testing.T) {
	var out, errors bytes.Buffer
	if code := run([]string{"demo"}, &out, &errors); code != exitDone {
		t.Fatalf("exit code %d\n%s%s", code, &out, &errors)
	}
	text := out.String()
	if strings.Count(text, " 0 differ") != 4 || !strings.Contains(text, "All of it is equal") || strings.Contains(text, ": 0 records are the same") {
		t.Errorf("it says\n%s", text)
	}
	for _, line := range []string{"sees no password of the bank's", "operations of “Compte courant” are in their home", "One alert: a reimbursement is late, up to", "Send its statement to your complementary insurer", "the consent has ended there too"} {
		if strings.Count(text, line) != 1 {
			t.Errorf("of %q it says\n%s", line, text)
		}
	}
}

// TestOnPostgres keeps a person's instance in PostgreSQL.
func TestOnPostgres(t *testing.T) {
	database, dir := dbtest.PostgresURL(t), t.TempDir()
	archive := filepath.Join(dir, "a.zip")
	var said bytes.Buffer
	for _, args := range [][]string{
		{"export", "--from", "example:1", "--out", archive},
		{"import", "--to", "home:zoe", archive},
		{"person", "list"},
		{"export", "--from", "home:zoe", "--out", filepath.Join(dir, "b.zip")},
	} {
		var errors bytes.Buffer
		if code := run(append([]string{"--data", dir, "--database", database}, args...), &said, &errors); code != exitDone {
			t.Fatalf("%q: %d\n%s", args, code, &errors)
		}
	}
	if !strings.Contains(said.String(), "exactly the state that the source signed") || !strings.Contains(said.String(), "zoe ") {
		t.Errorf("it says\n%s", &said)
	}
	if _, err := os.Stat(filepath.Join(dir, "passerelle.db")); err == nil {
		t.Error("there is an SQLite file, too")
	}
}
