package transfer_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/dir"
	"github.com/passerelle-cloud/passerelle/operators/example"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// gateway is an operator's home and key.
type gateway struct {
	*home.Home
	signer crypto.Signer
	party  archive.Party
	dir    string
}

func newGateway(t *testing.T, id string) *gateway {
	t.Helper()
	h, err := home.Open(t.Context(), dbtest.SQLite(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed([]byte((id + strings.Repeat("-", 32))[:32]))
	return &gateway{Home: h, signer: key, party: archive.Party{ID: id, Name: id}, dir: t.TempDir()}
}

func (g *gateway) person(t *testing.T, name string, o home.Options) *home.Instance {
	t.Helper()
	i, err := g.Create(t.Context(), name, o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// export exports an instance under a name.
func (g *gateway) export(t *testing.T, i *home.Instance, name string, since *archive.Sealed) (archive.Sealed, error) {
	t.Helper()
	source := i.Source()
	defer source.Close()
	e := transfer.Export{Source: source, Out: filepath.Join(g.dir, name), Operator: g.party, Signer: g.signer, Pseudonym: i.Pseudonym("")}
	if since != nil {
		e.Since = &transfer.Previous{Claims: since.Claims, Root: since.Root}
	}
	return e.Run(t.Context())
}

func (g *gateway) mustExport(t *testing.T, i *home.Instance, name string, since *archive.Sealed) archive.Sealed {
	t.Helper()
	sealed, err := g.export(t, i, name, since)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// load imports an archive that this gateway wrote into a target.
func (g *gateway) load(t *testing.T, name string, open func(context.Context) (operators.Target, error)) (*transfer.Report, error) {
	t.Helper()
	a, err := archive.Open([]string{filepath.Join(g.dir, name)}, archive.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	return transfer.Import{Archive: a, Target: open, Tmp: t.TempDir()}.Run(t.Context())
}

func into(i *home.Instance) func(context.Context) (operators.Target, error) {
	return func(context.Context) (operators.Target, error) { return i.Target(), nil }
}

func (g *gateway) mustLoad(t *testing.T, name string, i *home.Instance) *transfer.Report {
	t.Helper()
	report, err := g.load(t, name, into(i))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func compare(t *testing.T, a, b operators.Source) *transfer.Comparison {
	t.Helper()
	defer a.Close()
	defer b.Close()
	found, err := transfer.Compare{A: a, B: b, Tmp: t.TempDir()}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func put(t *testing.T, i *home.Instance, id, path, content string) {
	t.Helper()
	r := formats.Record{
		ID: id, Dataset: formats.Files, Kind: formats.KindFile, Path: formats.Tree.Place(path), Modified: time.Now(),
		Blob: &formats.Blob{Size: int64(len(content))}, Body: []byte(`{}`),
	}
	if _, err := i.Put(t.Context(), r, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

// filled makes an instance with an invented person's data.
func filled(t *testing.T, g *gateway) *home.Instance {
	t.Helper()
	i := g.person(t, "alice", home.Options{})
	person := example.Person(1, example.Scale{Files: 60, Bytes: 2_000_000, Months: 2, Contacts: 5})
	report, err := transfer.Copy{Source: person, Target: i.Target()}.Run(t.Context())
	if err != nil || report.Lost() > 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	return i
}

// TestSeries moves a whole instance, then what changed, three times; each time both sides are the same.
func TestSeries(t *testing.T) {
	a, b := newGateway(t, "a.example"), newGateway(t, "b.example")
	alice, there := filled(t, a), b.person(t, "alice", home.Options{})
	var last *archive.Sealed
	for n, change := range []func(){
		func() {},
		func() {
			put(t, alice, "n1", "one.txt", "one")
			put(t, alice, "n2", "two.txt", "two")
		},
		func() { // they swap their names, and one of them its content
			must(t, alice.Remove(t.Context(), formats.Files, "n2"))
			put(t, alice, "n1", "two.txt", "one, changed")
			put(t, alice, "n3", "one.txt", "two")
		},
		func() {},
	} {
		change()
		name := fmt.Sprintf("archive-%d.zip", n)
		sealed := a.mustExport(t, alice, name, last)
		last = &sealed
		report := a.mustLoad(t, name, there)
		if sealed.Claims.Sequence != n || report.Lost() > 0 || report.StateRoot == nil || !*report.StateRoot || len(report.Renamed) > 0 {
			t.Errorf("archive %d: %+v", n, report)
		}
		if found := compare(t, alice.Source(), there.Source()); !found.Same() || found.Equal.Records < 100 {
			t.Errorf("after archive %d: %+v", n, found)
		}
		if again := a.mustLoad(t, name, there); !again.Unchanged {
			t.Errorf("archive %d, loaded again: %v", n, again.Results)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestReplays loads archives that do not follow what was loaded before: all are refused, and nothing changes.
func TestReplays(t *testing.T) {
	a, b := newGateway(t, "a.example"), newGateway(t, "b.example")
	alice, there := filled(t, a), b.person(t, "alice", home.Options{})
	zero := a.mustExport(t, alice, "0.zip", nil)
	put(t, alice, "n1", "one.txt", "one")
	one := a.mustExport(t, alice, "1.zip", &zero)
	put(t, alice, "n2", "two.txt", "two")
	forked := a.mustExport(t, alice, "1-forked.zip", &zero)
	a.mustExport(t, alice, "2.zip", &one)
	a.mustExport(t, alice, "2-after-fork.zip", &forked)

	refused := func(name string, target func(context.Context) (operators.Target, error), why string) {
		t.Helper()
		before := snapshot(t, there)
		if _, err := a.load(t, name, target); !errors.Is(err, transfer.ErrReplayed) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", name, err, why)
		}
		if after := snapshot(t, there); after != before {
			t.Errorf("%s changed the instance", name)
		}
	}
	refused("1.zip", into(there), "of which none was loaded here")
	a.mustLoad(t, "0.zip", there)
	refused("2.zip", into(there), "number 0 was loaded last")
	a.mustLoad(t, "1.zip", there)
	refused("0.zip", into(there), "number 1 was loaded last")
	refused("1-forked.zip", into(there), "one of them is forged")
	refused("2-after-fork.zip", into(there), "after another archive")
	refused("1.zip", into(b.person(t, "bob", home.Options{})), "another person")
	a.mustLoad(t, "2.zip", there)
	if found := compare(t, alice.Source(), there.Source()); !found.Same() {
		t.Errorf("at the end: %+v", found)
	}
}

func snapshot(t *testing.T, i *home.Instance) operators.Description {
	t.Helper()
	source := i.Source()
	defer source.Close()
	d, err := source.Describe(t.Context())
	must(t, err)
	return d
}

// TestNoRoom loads into an instance that is too small, makes room, and loads again.
func TestNoRoom(t *testing.T) {
	a, b := newGateway(t, "a.example"), newGateway(t, "b.example")
	alice, there := filled(t, a), b.person(t, "alice", home.Options{Quota: 500_000})
	zero := a.mustExport(t, alice, "0.zip", nil)
	report := a.mustLoad(t, "0.zip", there)
	if report.Lost() == 0 || len(report.Refused) == 0 || report.Refused[0].Code != "quota" {
		t.Fatalf("nothing was refused: %+v", report)
	}
	var held int64
	for _, c := range report.Held {
		held += c.Records
	}
	if want := zero.Claims.Totals().Records - report.Lost(); held != want {
		t.Errorf("%d records held, want %d", held, want)
	}
	must(t, there.SetQuota(t.Context(), 0))
	if report = a.mustLoad(t, "0.zip", there); report.Lost() > 0 || report.Unchanged {
		t.Errorf("with room: %+v", report.Results)
	}
	if found := compare(t, alice.Source(), there.Source()); !found.Same() {
		t.Errorf("at the end: %+v", found)
	}
}

// TestMerge loads an instance into one that has something already: nothing of either is lost.
func TestMerge(t *testing.T) {
	a, b := newGateway(t, "a.example"), newGateway(t, "b.example")
	alice, there := a.person(t, "alice", home.Options{}), b.person(t, "alice", home.Options{})
	put(t, alice, "1", "Notes/a.txt", "from afar")
	put(t, alice, "2", "same.txt", "the same")
	put(t, there, "1", "Notes/a.txt", "from here")
	put(t, there, "9", "same.txt", "the same")
	a.mustExport(t, alice, "0.zip", nil)
	report := a.mustLoad(t, "0.zip", there)
	if len(report.Renamed) != 1 || report.Renamed[0].NewPath != "tree/Notes/a (2).txt" || report.Lost() > 0 {
		t.Errorf("%+v", report)
	}
	if got := snapshot(t, there).Total.Records; got != 3 {
		t.Errorf("%d records, want 3", got)
	}
}

// broken is a source that fails half-way.
type broken struct{ operators.Source }

var errBroken = errors.New("the line is dead")

func (b broken) Records(ctx context.Context, after operators.Position) iter.Seq2[operators.Item, error] {
	return func(yield func(operators.Item, error) bool) {
		n := 0
		for item, err := range b.Source.Records(ctx, after) {
			if n++; n > 50 {
				yield(operators.Item{}, errBroken)
				return
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

// TestBrokenSource fails exports and copies half-way: nothing is there afterwards.
func TestBrokenSource(t *testing.T) {
	g := newGateway(t, "a.example")
	source := broken{example.Person(1, example.Scale{Files: 60, Bytes: 1_000_000, Months: 1, Contacts: 5})}
	for _, name := range []string{"x.zip", "x"} {
		e := transfer.Export{Source: source, Out: filepath.Join(g.dir, name), Operator: g.party, Signer: g.signer}
		if _, err := e.Run(t.Context()); !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, err := os.ReadDir(g.dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	folder := filepath.Join(t.TempDir(), "folder")
	target, err := dir.Create(folder)
	must(t, err)
	if _, err := (transfer.Copy{Source: source, Target: target}).Run(t.Context()); !errors.Is(err, errBroken) {
		t.Errorf("copy: %v", err)
	}
	must(t, target.Close())
	entries, err := os.ReadDir(folder)
	must(t, err)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			t.Errorf("left: %s", e.Name())
		}
	}
}

// TestCancelled cancels an export.
func TestCancelled(t *testing.T) {
	g := newGateway(t, "a.example")
	ctx, cancel := context.WithCancel(t.Context())
	e := transfer.Export{
		Source: example.Person(1, example.Scale{Files: 60, Bytes: 1_000_000}), Out: filepath.Join(g.dir, "x.zip"), Operator: g.party, Signer: g.signer,
		Observe: func(p transfer.Progress) {
			if p.Records == 100 {
				cancel()
			}
		},
	}
	if _, err := e.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(g.dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestOnlyTrusted refuses what nobody vouches for, before anything is opened.
func TestOnlyTrusted(t *testing.T) {
	g := newGateway(t, "a.example")
	g.mustExport(t, filled(t, g), "0.zip", nil)
	a, err := archive.Open([]string{filepath.Join(g.dir, "0.zip")}, archive.OpenOptions{})
	must(t, err)
	defer a.Close()
	_, err = transfer.Import{Archive: a, Trusted: true, Target: func(context.Context) (operators.Target, error) {
		t.Error("the target was opened")
		return nil, errBroken
	}}.Run(t.Context())
	if !errors.Is(err, transfer.ErrUntrusted) {
		t.Errorf("%v", err)
	}
}

// TestDeltaNeedsAFeed asks sources for what they cannot give.
func TestDeltaNeedsAFeed(t *testing.T) {
	g, other := newGateway(t, "a.example"), newGateway(t, "c.example")
	alice := filled(t, g)
	zero := g.mustExport(t, alice, "0.zip", nil)
	source := example.Person(1, example.Scale{})
	e := transfer.Export{
		Source: source, Out: filepath.Join(g.dir, "1.zip"), Operator: g.party, Signer: g.signer,
		Since: &transfer.Previous{Claims: zero.Claims, Root: zero.Root},
	}
	if _, err := e.Run(t.Context()); !errors.Is(err, operators.ErrUnsupported) {
		t.Errorf("a source without a feed: %v", err)
	}
	if _, err := other.export(t, other.person(t, "x", home.Options{}), "1.zip", &zero); err == nil || !strings.Contains(err.Error(), "full export") {
		t.Errorf("another operator's archive: %v", err)
	}
	if _, err := g.export(t, g.person(t, "young", home.Options{}), "1.zip", &zero); err == nil || !strings.Contains(err.Error(), "full export") {
		t.Errorf("an instance that is behind: %v", err)
	}
}

// altered changes one record on the way.
type altered struct {
	operators.Source
	change func(*operators.Item) bool // false leaves it out
}

func (a altered) Records(ctx context.Context, after operators.Position) iter.Seq2[operators.Item, error] {
	return func(yield func(operators.Item, error) bool) {
		for item, err := range a.Source.Records(ctx, after) {
			if a.change(&item) && !yield(item, err) {
				return
			}
		}
	}
}

// TestCompareFindsEverything makes one small difference at a time.
func TestCompareFindsEverything(t *testing.T) {
	person := example.Person(1, example.Scale{Files: 60, Bytes: 1_000_000, Months: 1, Contacts: 5})
	seen := 0
	once := func(change func(*operators.Item) bool) func(*operators.Item) bool {
		seen = 0
		return func(item *operators.Item) bool {
			if item.Record.Blob == nil || item.Record.Blob.Size < 2 {
				return true
			}
			if seen++; seen != 5 {
				return true
			}
			return change(item)
		}
	}
	for name, change := range map[string]func(*operators.Item) bool{
		"nothing":         func(*operators.Item) bool { return true },
		"a missing one":   func(*operators.Item) bool { return false },
		"a time":          func(i *operators.Item) bool { i.Record.Modified = i.Record.Modified.Add(1); return true },
		"a path":          func(i *operators.Item) bool { i.Record.Path += "x"; return true },
		"a byte":          func(i *operators.Item) bool { i.Content = flipped(i.Content); return true },
		"an id":           func(i *operators.Item) bool { i.Record.ID += "x"; return true },
		"no more content": func(i *operators.Item) bool { i.Content = nil; return true },
	} {
		found := compare(t, person, altered{person, once(change)})
		if found.Same() != (name == "nothing") {
			t.Errorf("%s: %+v", name, found)
		}
		if name == "nothing" && (found.Equal.Records < 100 || found.Equal.Files < 50 || found.Equal.Bytes < 500_000) {
			t.Errorf("equal: %+v", found.Equal)
		}
	}
}

func flipped(content func() (io.ReadCloser, error)) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		in, err := content()
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(in)
		data[len(data)/2] ^= 1
		return io.NopCloser(strings.NewReader(string(data))), errors.Join(err, in.Close())
	}
}

// TestReportSaysAll writes a report for people.
func TestReportSaysAll(t *testing.T) {
	a, b := newGateway(t, "a.example"), newGateway(t, "b.example")
	alice, there := filled(t, a), b.person(t, "alice", home.Options{Quota: 500_000})
	put(t, there, "mine", "Notes", "in the way of a folder")
	a.mustExport(t, alice, "0.zip", nil)
	var text strings.Builder
	must(t, a.mustLoad(t, "0.zip", there).Write(&text))
	for _, want := range []string{"dataset", "files", "refused", "renamed: ", "missing at the target", "do not fit"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report does not say %q:\n%s", want, text.String())
		}
	}
}
