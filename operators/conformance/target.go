package conformance

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Target holds a target to its contract. Each call of open gives another one, fresh and empty.
func Target(t *testing.T, caps Caps, open func(t *testing.T) Fixture) {
	for _, test := range []struct {
		name  string
		again bool // loads into a target that holds something
		run   func(*suite)
	}{
		{"every kind", false, testEveryKind},
		{"awkward names", false, testAwkwardNames},
		{"hostile paths", false, testHostilePaths},
		{"empty files and folders", false, testEmpty},
		{"children first", false, testChildrenFirst},
		{"same path twice", false, testSamePath},
		{"file where a folder is", false, testFileAndFolder},
		{"big blob", false, testBigBlob},
		{"broken reader", false, testBrokenReader},
		{"wrong size", false, testWrongSize},
		{"blob never sent", false, testBlobNeverSent},
		{"unsound record", false, testUnsound},
		{"cancelled", false, testCancelled},
		{"blob known", false, testBlobKnown},
		{"nothing", false, testNothing},
		{"abort", true, testAbort},
		{"again", true, testAgain},
		{"update", true, testUpdate},
		{"tombstone", true, testTombstone},
		{"move and replace", true, testMoveAndReplace},
		{"changed by the person", true, testChangedByPerson},
		{"merge", true, testMerge},
		{"merge of the same ids", true, testMergeIDs},
		{"series", true, testSeries},
		{"states of a load", true, testLoadStates},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.again && !caps.Merges {
				t.Skip("this target is loaded into once")
			}
			s := &suite{T: t, caps: caps, Fixture: open(t)}
			t.Cleanup(func() {
				if err := s.Target.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			test.run(s)
		})
	}
}

// suite is one test of one target.
type suite struct {
	*testing.T
	Fixture
	caps Caps
}

// load is a load that checks what becomes of each record, and keeps the outcomes.
type load struct {
	*suite
	operators.Load
	held map[string]formats.Record // by dataset and id as they were put: what the target says that it holds
}

func origin(series string) operators.Origin {
	return operators.Origin{Series: series, Operator: "op.example.org", Time: at(0)}
}

func (s *suite) begin(o operators.Origin) *load {
	s.Helper()
	l, err := s.Target.Load(s.Context(), o)
	if err != nil {
		s.Fatalf("Load: %v", err)
	}
	return &load{suite: s, Load: l, held: map[string]formats.Record{}}
}

// send stores the bytes of an entry unless the target has them.
func (l *load) send(e entry) {
	l.Helper()
	if e.Blob == nil {
		return
	}
	has, err := l.Has(l.Context(), *e.Blob)
	if err != nil {
		l.Fatalf("Has: %v", err)
	}
	if has {
		return
	}
	blob, err := l.PutBlob(l.Context(), bytes.NewReader(e.content), e.Blob.Size)
	if err != nil {
		l.Fatalf("PutBlob for %s: %v", e.Path, err)
	}
	if blob.SHA256 != e.Blob.SHA256 || blob.Size != e.Blob.Size {
		l.Errorf("PutBlob for %s returned %s, %d bytes; want %s, %d", e.Path, blob.SHA256, blob.Size, e.Blob.SHA256, e.Blob.Size)
	}
}

// put stores an entry and checks the form of its outcome.
func (l *load) put(e entry) operators.Outcome {
	l.Helper()
	if e.Deleted.IsZero() {
		if err := checkRecord(e.Record); err != nil {
			l.Fatalf("the suite's own record is wrong: %v", err)
		}
		l.send(e)
	}
	out, err := l.PutRecord(l.Context(), e.Record)
	if err != nil {
		l.Fatalf("PutRecord %s (%q): %v", key(e.Record), e.Path, err)
	}
	l.checkOutcome(e, out)
	return out
}

func (l *load) checkOutcome(e entry, out operators.Outcome) {
	l.Helper()
	holds := l.caps.Holds == nil || l.caps.Holds(e.Record)
	switch out.Result {
	case operators.Stored, operators.Updated, operators.Present, operators.Renamed, operators.Kept:
		if !holds {
			l.Errorf("%s (%q) is %s, yet the target cannot hold it", key(e.Record), e.Path, out.Result)
		}
		if e.Deleted.IsZero() {
			l.held[key(e.Record)] = out.Record
		}
	case operators.Removed:
		delete(l.held, key(e.Record))
	case operators.Refused:
		if holds {
			l.Errorf("%s (%q) is refused, yet the target can hold it: %+v", key(e.Record), e.Path, out.Omission)
		}
		if out.Omission == nil || !out.Omission.Lost || out.Omission.Code == "" || out.Omission.Reason == "" {
			l.Errorf("%s is refused, and the omission does not say why: %+v", key(e.Record), out.Omission)
		}
	default:
		l.Errorf("%s: result %q is not one", key(e.Record), out.Result)
	}
}

func (l *load) putAll(entries []entry) *load {
	l.Helper()
	for _, e := range entries {
		l.put(e)
	}
	return l
}

// results puts every entry and checks that each one that the target can hold becomes one of the wanted results.
func (l *load) results(entries []entry, want ...operators.Result) *load {
	l.Helper()
	for _, e := range entries {
		if out := l.put(e); out.Result != operators.Refused && !slices.Contains(want, out.Result) {
			l.Errorf("%s (%q) is %s, want one of %s", key(e.Record), e.Path, out.Result, want)
		}
	}
	return l
}

// end ends a load of which the test does not know all that the series holds.
func (l *load) end() {
	l.Helper()
	if err := l.Finish(l.Context()); err != nil {
		l.Fatalf("Finish: %v", err)
	}
}

// finish ends the load and compares what the target says that it holds of the series with what it was given.
func (l *load) finish() *load {
	l.Helper()
	l.end()
	held, err := l.Held(l.Context())
	if err != nil {
		l.Fatalf("Held: %v", err)
	}
	if want := Counts(l.records()); !maps.Equal(held, want) {
		l.Errorf("Held says %+v, want %+v", held, want)
	}
	return l
}

func (l *load) records() []formats.Record { return slices.Collect(maps.Values(l.held)) }

// read returns what the target holds, as another program sees it.
func (s *suite) read() []formats.Record {
	s.Helper()
	source := s.Source(s.T)
	defer source.Close()
	return Read(s.T, source).Records
}

// expect compares what the target holds with what it should hold.
func (s *suite) expect(what string, want ...formats.Record) {
	s.Helper()
	s.compare(what, withoutImplied(s.read(), want), want)
}

func (s *suite) compare(what string, got, want []formats.Record) {
	s.Helper()
	if s.caps.Exact {
		diff(s.T, what, Lines(s.T, got), Lines(s.T, want))
		return
	}
	diff(s.T, what, places(got), places(want))
	if got, want := pathless(got), pathless(want); !maps.Equal(got, want) {
		s.Errorf("%s: it holds %+v without a path, want %+v", what, got, want)
	}
}

// withoutImplied drops the folders that exist only because something is in them.
func withoutImplied(got, want []formats.Record) []formats.Record {
	implied, wanted := map[string]bool{}, map[string]bool{}
	for _, r := range want {
		wanted[r.Path] = true
		for dir := parent(r.Path); dir != ""; dir = parent(dir) {
			implied[dir] = true
		}
	}
	return slices.DeleteFunc(got, func(r formats.Record) bool {
		return r.Kind == formats.KindFolder && implied[r.Path] && !wanted[r.Path]
	})
}

func parent(path string) string { return path[:max(0, strings.LastIndexByte(path, '/'))] }

// places returns what is at each path: the hash of the bytes, or "folder".
func places(records []formats.Record) map[string]string {
	got := map[string]string{}
	for _, r := range records {
		if r.Path == "" {
			continue
		}
		what := "folder"
		if r.Blob != nil {
			what = r.Blob.SHA256.String()
		}
		got[r.Path] = cmp.Or(got[r.Path], what)
	}
	return got
}

func pathless(records []formats.Record) map[formats.Dataset]int {
	got := map[formats.Dataset]int{}
	for _, r := range records {
		if r.Path == "" {
			got[r.Dataset]++
		}
	}
	return got
}
