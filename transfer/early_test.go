package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// early loads an archive whose blobs are stored while it is verified.
func (g *gateway) early(t *testing.T, name string, i *home.Instance, most int64) (*transfer.Report, error) {
	t.Helper()
	a, err := archive.Open([]string{filepath.Join(g.dir, name)}, archive.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	return transfer.Import{Archive: a, Target: into(i), Early: true, Most: most, Tmp: t.TempDir()}.Run(t.Context())
}

// TestEarly stores blobs before the archive is known to be sound. Where it is, everything is as if they had waited; where it is
// not, nothing can be seen of it, and nothing is left when a sound one was loaded.
func TestEarly(t *testing.T) {
	a, b := newGateway(t, "a.example"), newGateway(t, "b.example")
	alice := filled(t, a)
	a.mustExport(t, alice, "0.zip", nil)
	there := b.person(t, "alice", home.Options{})
	stray := a.person(t, "stray", home.Options{})
	put(t, stray, "x", "x.txt", "nobody keeps this")
	a.mustExport(t, stray, "stray.zip", nil)

	spoil(t, filepath.Join(a.dir, "stray.zip"))
	if _, err := a.early(t, "stray.zip", there, 1<<30); !errors.Is(err, archive.ErrFault) {
		t.Fatalf("an archive that is not sound: %v", err)
	}
	if n := snapshot(t, there).Total.Records; n != 0 {
		t.Errorf("%d records can be seen", n)
	}
	if _, err := a.early(t, "0.zip", there, 1000); !errors.Is(err, transfer.ErrRefused) {
		t.Errorf("more than was announced: %v", err)
	}
	for _, again := range []bool{false, true} {
		report, err := a.early(t, "0.zip", there, 1<<30)
		if err != nil || report.Lost() > 0 || report.Unchanged != again {
			t.Fatalf("again %t: %+v, %v", again, report, err)
		}
		if found := compare(t, alice.Source(), there.Source()); !found.Same() {
			t.Errorf("again %t: %+v", again, found)
		}
	}
	if used, want := snapshot(t, there).Total.Bytes, snapshot(t, alice).Total.Bytes; used != want {
		t.Errorf("%d bytes, want %d", used, want)
	}
	put(t, alice, "n", "new.txt", "and then this")
	sealed := a.mustExport(t, alice, "again.zip", nil)
	if report, err := a.early(t, "again.zip", there, 1<<30); err != nil || report.Root != sealed.Root {
		t.Errorf("%+v, %v", report, err)
	}
}

// spoil changes the last byte of the claims, long after the blobs.
func spoil(t *testing.T, name string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(data, []byte("data/"))
	data[at+1] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestEarlyWaitsWhereItMust has blobs wait for a target that cannot take them in before.
func TestEarlyWaitsWhereItMust(t *testing.T) {
	a, b := newGateway(t, "a.example"), newGateway(t, "b.example")
	alice, there := filled(t, a), b.person(t, "alice", home.Options{})
	a.mustExport(t, alice, "0.zip", nil)
	opened, err := archive.Open([]string{filepath.Join(a.dir, "0.zip")}, archive.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	plain := func(context.Context) (operators.Target, error) {
		return struct{ operators.Target }{there.Target()}, nil
	}
	report, err := transfer.Import{Archive: opened, Target: plain, Early: true, Most: 1, Tmp: t.TempDir()}.Run(t.Context())
	if err != nil || report.Lost() > 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	if found := compare(t, alice.Source(), there.Source()); !found.Same() {
		t.Errorf("%+v", found)
	}
}
