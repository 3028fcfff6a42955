package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/operators/example"
)

// kills is how often each command is killed, at random moments between its beginning and its end.
const kills = 20

// start begins to run the program, which the test binary also is.
func start(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(gatewayProgram(t), args...)
	cmd.Stdout, cmd.Stderr = new(bytes.Buffer), new(bytes.Buffer)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// finish runs the program to its end and returns what it printed.
func finish(t *testing.T, args ...string) string {
	t.Helper()
	cmd := start(t, args...)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, cmd.Stderr)
	}
	return cmd.Stdout.(*bytes.Buffer).String()
}

// killed runs the program and kills it after a random part of the time that it needs. It reports whether the program
// was still running then.
func killed(t *testing.T, needs time.Duration, args ...string) bool {
	t.Helper()
	cmd := start(t, args...)
	time.Sleep(rand.N(needs))
	cmd.Process.Kill()
	return cmd.Wait() != nil
}

// bigTree writes a tree that takes some time to read.
func bigTree(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "tree")
	if err := example.WriteTree(dir, example.TreeOptions{Files: 1500, Bytes: 40_000_000}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// TestKilledExport kills exports. Nothing is ever there under the archive's name but a whole archive, and the export
// that goes through leaves nothing of those that did not.
func TestKilledExport(t *testing.T) {
	tree, gateway, out := bigTree(t), t.TempDir(), t.TempDir()
	export := func(to string) []string {
		return []string{"--data", gateway, "--json", "export", "--from", "dir:" + tree, "--volume-size", "9", "--out", to}
	}
	finish(t, export(filepath.Join(out, "first"))...) // makes the keys
	begin := time.Now()
	finish(t, export(filepath.Join(out, "whole"))...)
	needs := time.Since(begin)
	wholes := len(names(t, out)) / 2
	hit := 0
	for range 3 * kills {
		if killed(t, needs, export(filepath.Join(out, "a"))...) {
			hit++
		}
		if _, err := os.Stat(filepath.Join(out, "a.index.json")); err == nil { // not killed, or after the last step
			finish(t, "--data", gateway, "verify", filepath.Join(out, "a.index.json"))
			removeAll(t, filepath.Join(out, "a-*"))
			removeAll(t, filepath.Join(out, "a.index*"))
		}
		if hit == kills {
			break
		}
	}
	if hit < kills {
		t.Fatalf("only %d exports were killed before they ended", hit)
	}
	finish(t, export(filepath.Join(out, "a"))...)
	finish(t, "--data", gateway, "verify", filepath.Join(out, "a.index.json"))
	if got := names(t, out); len(got) != 3*wholes {
		t.Errorf("left: %q", got)
	}
}

func removeAll(t *testing.T, pattern string) {
	t.Helper()
	list, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range list {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKilledImport kills imports. The next one goes on, and at the end the instance is the same as one into which
// nobody broke.
func TestKilledImport(t *testing.T) {
	tree, gateway, out := bigTree(t), t.TempDir(), t.TempDir()
	archive := filepath.Join(out, "a.zip")
	finish(t, "--data", gateway, "export", "--from", "dir:"+tree, "--out", archive)
	load := func(name string) []string {
		return []string{"--data", gateway, "--json", "import", "--to", "home:" + name, archive}
	}
	finish(t, load("other")...) // takes the archive's series: only its time is wanted here
	finish(t, "--data", gateway, "person", "remove", "--yes", "other")
	begin := time.Now()
	finish(t, load("other")...)
	needs := time.Since(begin)
	finish(t, "--data", gateway, "person", "remove", "--yes", "other")
	hit := 0
	for n := 0; hit < kills && n < 3*kills; n++ {
		if killed(t, needs, load("alice")...) {
			hit++
		}
	}
	if hit < kills {
		t.Fatalf("only %d imports were killed before they ended", hit)
	}
	if said := finish(t, load("alice")...); !strings.Contains(said, `"state_root_matches": true`) {
		t.Errorf("the import that went through says\n%s", said)
	}
	finish(t, "--data", gateway, "export", "--from", "home:alice", "--out", filepath.Join(out, "b.zip"))
	before := finish(t, "--data", gateway, "inspect", "--records", "files", archive)
	after := finish(t, "--data", gateway, "inspect", "--records", "files", filepath.Join(out, "b.zip"))
	if sorted(before) != sorted(after) {
		t.Error("what came out is not what went in")
	}
	unfinished, err := filepath.Glob(filepath.Join(gateway, "blobs", "*", "new-*"))
	if err != nil || len(unfinished) > 0 {
		t.Errorf("left: %q, %v", unfinished, err)
	}
	if left := names(t, filepath.Join(gateway, "tmp")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func sorted(lines string) string {
	list := strings.Split(lines, "\n")
	slices.Sort(list)
	return strings.Join(list, "\n")
}
