package transfer_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/dir"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// leavesOut exports somebody's three files for an operator that says it holds two of them, and returns a function that loads it.
func leavesOut(t *testing.T) func(whole bool, open func(context.Context) (operators.Target, error)) (*transfer.Report, error) {
	t.Helper()
	g := newGateway(t, "a.example")
	i := g.person(t, "alice", home.Options{})
	put(t, i, "1", "here", "it travels")
	put(t, i, "2", "small", "it does not")
	put(t, i, "3", "large", strings.Repeat("it does not ", 9000))
	source := i.Source()
	defer source.Close()
	sealed, err := transfer.Export{
		Source: source, Out: filepath.Join(g.dir, "a.zip"), Operator: g.party, Signer: g.signer, Pseudonym: "p", Recipient: &archive.Party{ID: "b.example"},
		Held: func(h formats.Hash) bool { return h != formats.HashOf([]byte("it travels")) },
	}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if l := sealed.Claims.LeftOut; l == nil || l.Blobs != 2 || l.Bytes != 11+108_000 {
		t.Fatalf("%+v", l)
	}
	return func(whole bool, open func(context.Context) (operators.Target, error)) (*transfer.Report, error) {
		a, err := archive.Open([]string{filepath.Join(g.dir, "a.zip")}, archive.OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		return transfer.Import{Archive: a, Target: open, Tmp: t.TempDir(), Expect: archive.Expectations{Recipient: "b.example"}, Whole: whole}.Run(t.Context())
	}
}

// TestLeftOutIsNotLostSilently loads an archive that was made for somebody who had some of it into what has none of it, and
// into what has one of both: each record that is missing is named, with the reason. Where all of it is wanted, nothing is loaded.
func TestLeftOutIsNotLostSilently(t *testing.T) {
	load := leavesOut(t)
	empty := func() *home.Instance { return newGateway(t, "b.example").person(t, "alice", home.Options{}) }
	some := empty()
	put(t, some, "x", "mine", strings.Repeat("it does not ", 9000))
	for name, k := range map[string]struct {
		target func(context.Context) (operators.Target, error)
		lost   int64
	}{
		"a home":   {into(empty()), 2},
		"with one": {into(some), 1},
		"a folder": {func(context.Context) (operators.Target, error) { return dir.Create(t.TempDir()) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			report, err := load(false, k.target)
			if err != nil || report.Lost() != k.lost || int64(len(report.Refused)) != k.lost {
				t.Fatalf("%v %+v", err, report)
			}
			for _, o := range report.Refused {
				if o.Code != "content-missing" || !o.Lost || !strings.Contains(o.Reason, "b.example, for which it was made, had them") {
					t.Errorf("%+v", o)
				}
			}
			if held := report.Held[formats.Files].Records; held != 3-k.lost {
				t.Errorf("%d are held", held)
			}
		})
	}
	strict := empty()
	if report, err := load(true, into(strict)); !errors.Is(err, transfer.ErrLacking) || !errors.Is(err, transfer.ErrRefused) || report != nil {
		t.Errorf("%v %+v", err, report)
	}
	if c, err := strict.Usage(t.Context()); err != nil || c.Records != 0 {
		t.Errorf("%+v %v", c, err)
	}
}
