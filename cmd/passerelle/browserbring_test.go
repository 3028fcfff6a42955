package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/passerelle-cloud/passerelle/internal/browsertest"
)

// ownArchive is an archive that somebody downloaded from an operator that nobody here knows: its files.
func ownArchive(t *testing.T, out, passphrase string) []string {
	t.Helper()
	dir := t.TempDir()
	flags := []string{"--data", t.TempDir(), "export", "--from", "example:2", "--out", filepath.Join(dir, out)}
	if passphrase != "" {
		file := filepath.Join(t.TempDir(), "passphrase")
		if err := os.WriteFile(file, []byte(passphrase+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		flags = append(flags, "--passphrase-file", file)
	}
	mustCall(t, append(flags, "--volume-size", "1")...)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	return files
}

// TestBringPages loads an archive of one's own through the pages: in French on a telephone, sealed with a passphrase, in parts;
// and in English, its volumes.
func TestBringPages(t *testing.T) {
	t.Parallel()
	t.Run("fr", func(t *testing.T) {
		t.Parallel()
		v := beginVisit(t, browsertest.Options{Language: "fr", Width: 360, Height: 740, Phone: true})
		passwordOf(t, v.data, "alice", "correct horse battery")
		v.open("/move")
		v.enter("correct horse battery")
		v.press("move.archive-do")
		v.read("bring.title", "bring.choose-how")
		v.inspect("bring")
		noise := filepath.Join(t.TempDir(), "noise.zip")
		if err := os.WriteFile(noise, []byte("no archive at all"), 0o600); err != nil {
			t.Fatal(err)
		}
		v.sends(noise)
		v.waits("bring.fault-damaged")
		v.NotSee(v.data)
		v.inspect("bring-refused")
		files := ownArchive(t, "mine.zip", "correct horse")
		v.sends(files...)
		v.read("bring.fault-no-key", "bring.do-no-key")
		v.inspect("bring-locked")
		v.Fill(v.say("bring.secret"), "another horse")
		v.press("bring.unlock")
		v.read("bring.fault-other-key")
		v.Fill(v.say("bring.secret"), "correct horse")
		v.press("bring.unlock")
		v.looksUntil("bring.is-shown")
		v.inspect("bring-shown")
		v.says()
		v.inspect("bring-loaded")
	})
	t.Run("en", func(t *testing.T) {
		t.Parallel()
		v := beginVisit(t, browsertest.Options{Language: "en", Dark: true})
		passwordOf(t, v.data, "alice", "correct horse battery")
		v.open("/bring")
		v.enter("correct horse battery")
		v.sends(ownArchive(t, "mine", "")...)
		v.says()
		v.inspect("bring-loaded")
	})
}

// sends chooses files, and sends them.
func (v *visit) sends(files ...string) {
	v.t.Helper()
	v.Attach(files...)
	v.press("bring.send")
}

// looksUntil waits for a text, as somebody does whose browser has no scripts.
func (v *visit) looksUntil(key string) {
	v.t.Helper()
	for range 200 {
		if v.Sees(v.say(key)) {
			return
		}
		v.open("/bring")
	}
	v.read(key)
}

// says has somebody see what is in their archive, say yes, and read what became of it.
func (v *visit) says() {
	v.t.Helper()
	v.looksUntil("bring.is-shown")
	v.read("bring.untrusted", "bring.what", "bring.unproven")
	v.See(v.say("set.contacts"))
	v.press("bring.load")
	v.looksUntil("bring.is-loaded")
	v.read("bring.became", "move.complete")
}
