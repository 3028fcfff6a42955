package dir_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/conformance"
	"github.com/passerelle-cloud/passerelle/operators/dir"
)

func openSource(t testing.TB, path string) operators.Source {
	t.Helper()
	source, err := dir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func createTarget(t testing.TB, path string) *dir.Target {
	t.Helper()
	target, err := dir.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestTarget(t *testing.T) {
	caps := conformance.Caps{Exact: true, KnowsBlobs: true, Resumes: true, Merges: true}
	conformance.Target(t, caps, func(t *testing.T) conformance.Fixture {
		path := filepath.Join(t.TempDir(), "instance")
		return conformance.Fixture{
			Target: createTarget(t, path),
			Source: func(t *testing.T) operators.Source { return openSource(t, path) },
			Edit: func(t *testing.T, at string, content []byte) {
				write(t, path, strings.TrimPrefix(at, "tree/"), string(content))
			},
		}
	})
}

// write writes a file below a folder, with the folders that it needs.
func write(t *testing.T, root, name, content string) {
	t.Helper()
	full := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSource(t *testing.T) {
	path := t.TempDir()
	for _, name := range []string{"a.txt", "b/c.txt", "b/d/e.jpg", "caf\xe9/raw\xff.txt", "caf\xe9/raw\xfe.txt", "x\ny", "h:0000", "leer", "ü/ü.md"} {
		write(t, path, name, strings.Repeat(name, 1000))
	}
	write(t, path, "empty", "")
	for _, folder := range []string{"b/nothing", "z"} {
		if err := os.Mkdir(filepath.Join(path, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a.txt", filepath.Join(path, "link")); err != nil {
		t.Fatal(err)
	}
	conformance.Source(t, func(t *testing.T) operators.Source { return openSource(t, path) },
		conformance.Expect{Omissions: []string{"special-file"}})
}
