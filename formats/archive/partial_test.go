package archive

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestKilledWhilePublishing stops after each step of putting an archive of three files in place. The next export finds
// either nothing, or a whole archive that it does not touch.
func TestKilledWhilePublishing(t *testing.T) {
	files := []string{"my a-0001.tar", "my a-0002.tar", "my a.index.json"}
	for moved := range len(files) + 1 {
		dir := t.TempDir()
		out := filepath.Join(dir, "my a")
		p, err := openPartial(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if err := os.WriteFile(filepath.Join(p.path, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.note(files); err != nil {
			t.Fatal(err)
		}
		for _, name := range files[:moved] {
			if err := os.Rename(filepath.Join(p.path, name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.lock.Unlock(); err != nil { // as when the process is gone
			t.Fatal(err)
		}
		next, err := openPartial(out)
		if moved == len(files) {
			if !errors.Is(err, ErrExists) {
				t.Errorf("a whole archive is written over: %v", err)
			}
			continue
		}
		if err != nil {
			t.Errorf("after %d files: %v", moved, err)
			continue
		}
		if err := next.remove(); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 0 {
			t.Errorf("after %d files these are left: %v, %v", moved, entries, err)
		}
	}
}
