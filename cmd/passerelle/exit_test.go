package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
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
	if strings.Count(text, " 0 differ") != 3 || !strings.Contains(text, "All of it is equal") || strings.Contains(text, ": 0 records are the same") {
		t.Errorf("it says\n%s", text)
	}
}
