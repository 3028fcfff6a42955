package conformance

import (
	"errors"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// testAbort gives a load up: nothing of it is seen, and the next one of its series completes it.
func testAbort(s *suite) {
	entries := append(everyKind(), file("f-9", "neuf.txt", strings.Repeat("neuf ", 1000)))
	l := s.begin(origin("series-1")).putAll(entries)
	if err := l.Abort(); err != nil {
		s.Fatalf("Abort: %v", err)
	}
	if !s.caps.Live {
		s.expect("after Abort")
	}
	again := s.begin(origin("series-1"))
	if has, err := again.Has(s.Context(), *entries[len(entries)-1].Blob); err != nil || s.caps.Resumes && !has {
		s.Errorf("Has is %v, %v for bytes that an earlier load of the series has sent", has, err)
	}
	again.results(entries, operators.Stored, operators.Present).finish()
	s.expect("completed", again.records()...)
}

// testAgain loads the same series again, whole and in part: nothing changes.
func testAgain(s *suite) {
	first := s.begin(origin("series-1")).putAll(everyKind()).finish()
	before := first.records()
	again := s.begin(origin("series-1"))
	for i, e := range everyKind() {
		if has, err := again.Has(s.Context(), blobOf(e)); err != nil || e.Blob != nil && s.caps.KnowsBlobs && s.holds(e) && !has {
			s.Errorf("Has is %v, %v for the bytes of %s, which was loaded before", has, err, key(e.Record))
		}
		again.results([]entry{e}, operators.Present)
		if i%3 == 0 {
			again.results([]entry{e}, operators.Present)
		}
	}
	again.finish()
	s.expect("loaded twice", before...)
	s.begin(origin("series-1")).results(everyKind()[:3], operators.Present).end()
	s.expect("loaded in part", before...)
}

func blobOf(e entry) formats.Blob {
	if e.Blob == nil {
		return formats.Blob{}
	}
	return *e.Blob
}

func (s *suite) holds(e entry) bool { return s.caps.Holds == nil || s.caps.Holds(e.Record) }

func testUpdate(s *suite) {
	one, two := file("f-1", "a.txt", "first"), file("f-2", "b.txt", "stays")
	thing := item("x-1", formats.Other, formats.KindDocument, `{"n":1}`)
	s.begin(origin("series-1")).putAll([]entry{one, two, thing}).finish()
	one = withContent(one, "second, and longer")
	one.Modified = at(60)
	thing.Body = []byte(`{"n":2}`)
	l := s.begin(origin("series-1")).results([]entry{one, thing}, operators.Updated)
	l.results([]entry{two, one, thing}, operators.Present).finish()
	s.expect("update", l.records()...)
}

func tombstone(e entry) entry {
	return entry{Record: formats.Tombstone(e.Dataset, e.ID, e.Kind, at(120))}
}

func testTombstone(s *suite) {
	entries := everyKind()
	l := s.begin(origin("series-1")).putAll(entries).finish()
	l.Load = s.begin(origin("series-1")).Load
	for i, e := range entries {
		if i%2 == 0 && s.holds(e) {
			l.results([]entry{tombstone(e)}, operators.Removed)
		}
	}
	l.results([]entry{tombstone(file("never-there", "x", ""))}, operators.Present, operators.Removed)
	l.finish()
	s.expect("half of it removed", l.records()...)
	if len(l.held) == 0 {
		s.Error("nothing is left of what was not removed")
	}
}

// testMoveAndReplace gives a file another path, and puts another file where it was.
func testMoveAndReplace(s *suite) {
	moved, gone, dir := file("f-1", "a.txt", "moves"), file("f-2", "b.txt", "goes"), folder("d-1", "Dossier")
	s.begin(origin("series-1")).putAll([]entry{moved, gone, dir}).finish()
	moved.Path = formats.Tree.Place("Dossier/a.txt")
	l := s.begin(origin("series-1"))
	l.results([]entry{dir}, operators.Present)
	l.results([]entry{moved}, operators.Updated)
	l.results([]entry{tombstone(gone)}, operators.Removed)
	l.results([]entry{file("f-3", "a.txt", "came after"), file("f-4", "b.txt", "came too")}, operators.Stored, operators.Renamed)
	l.finish()
	s.expect("move and replace", l.records()...)
}

// testChangedByPerson checks that nothing of the person's own is overwritten or deleted.
func testChangedByPerson(s *suite) {
	if s.Edit == nil {
		s.Skip("this fixture cannot edit")
	}
	one, two := file("f-1", "a.txt", "theirs"), file("f-2", "b.txt", "theirs too")
	s.begin(origin("series-1")).putAll([]entry{one, two}).finish()
	s.Edit(s.T, one.Path, []byte("mine now"))
	s.Edit(s.T, two.Path, []byte("mine as well"))
	update := withContent(two, "theirs, changed")
	l := s.begin(origin("series-1"))
	l.results([]entry{tombstone(one)}, operators.Kept)
	l.results([]entry{update}, operators.Renamed)
	l.end()
	s.expectContents("mine now", "mine as well", "theirs, changed")
}

// expectContents checks that just these contents are held, under whatever names.
func (s *suite) expectContents(contents ...string) {
	s.Helper()
	want, got := map[string]string{}, map[string]string{}
	for _, c := range contents {
		want[formats.HashOf([]byte(c)).String()] = ""
	}
	for _, r := range s.read() {
		if r.Blob != nil {
			got[r.Blob.SHA256.String()] = ""
		}
	}
	diff(s.T, "contents by hash", got, want)
}

// testMerge loads another series over what is there: same name and other content keeps both.
func testMerge(s *suite) {
	l := s.begin(origin("series-1")).putAll([]entry{folder("d-1", "Dossier"), file("f-1", "Dossier/a.txt", "one's"), file("f-2", "z.txt", "one's z")}).finish()
	other := s.begin(origin("series-2"))
	other.results([]entry{folder("e-1", "Dossier"), file("g-2", "Dossier/b.txt", "two's b")}, operators.Stored, operators.Renamed, operators.Present)
	other.results([]entry{file("g-1", "Dossier/a.txt", "two's")}, operators.Renamed)
	other.finish()
	s.expectContents("one's", "one's z", "two's b", "two's")
	before := places(s.read())
	if got, want := before[formats.Tree.Place("Dossier/a.txt")], l.held["files/f-1"].Blob.SHA256.String(); got != want {
		s.Errorf("the file that was there first has changed")
	}
	s.begin(origin("series-2")).results([]entry{file("g-1", "Dossier/a.txt", "two's")}, operators.Present).end()
	diff(s.T, "merged twice", places(s.read()), before)
}

// testMergeIDs loads two series that use the same ids for different things.
func testMergeIDs(s *suite) {
	mine := []entry{file("1", "mine.txt", "mine"), item("1", formats.Other, formats.KindDocument, `{"of":"mine"}`)}
	theirs := []entry{file("1", "theirs.txt", "theirs"), item("1", formats.Other, formats.KindDocument, `{"of":"theirs"}`)}
	one := s.begin(origin("series-1")).putAll(mine).finish()
	two := s.begin(origin("series-2")).results(theirs, operators.Stored, operators.Renamed).finish()
	s.expect("two series", append(one.records(), two.records()...)...)
	s.begin(origin("series-2")).results(theirs, operators.Present).end()
	s.expect("two series again", append(one.records(), two.records()...)...)
	gone := s.begin(origin("series-2"))
	for _, e := range theirs {
		if s.holds(e) {
			gone.results([]entry{tombstone(e)}, operators.Removed)
		}
	}
	gone.finish()
	s.expect("the second series removed", one.records()...)
}

// testSeries checks that a target which remembers series remembers those that were finished, and no others.
func testSeries(s *suite) {
	keeper, ok := s.Target.(operators.SeriesKeeper)
	if !ok {
		s.Skip("this target does not remember series")
	}
	o := origin("series-1")
	o.Applied = operators.Applied{Sequence: 3, Root: formats.HashOf([]byte("root")), Person: "person-1"}
	s.expectApplied(keeper, o.Series, operators.Applied{}, false)
	if err := s.begin(o).putAll(everyKind()[:2]).Abort(); err != nil {
		s.Fatal(err)
	}
	s.expectApplied(keeper, o.Series, operators.Applied{}, false)
	s.begin(o).putAll(everyKind()[:2]).finish()
	s.expectApplied(keeper, o.Series, o.Applied, true)
	s.expectApplied(keeper, "another", operators.Applied{}, false)
	o.Person = "person-2"
	if l, err := s.Target.Load(s.Context(), o); !errors.Is(err, operators.ErrOtherPerson) {
		s.Errorf("a series of one person was loaded for another: %v", err)
		if err == nil {
			l.Abort()
		}
	}
}

func (s *suite) expectApplied(keeper operators.SeriesKeeper, series string, want operators.Applied, wantOK bool) {
	s.Helper()
	got, ok, err := keeper.Applied(s.Context(), series)
	if err != nil || ok != wantOK || got != want {
		s.Errorf("Applied(%q) is %+v, %v, %v; want %+v, %v", series, got, ok, err, want, wantOK)
	}
}

// testLoadStates checks that a load lists what its series brought, as the series knows it: before Finish and after.
func testLoadStates(s *suite) {
	s.begin(origin("series-0")).putAll([]entry{file("f-1", "a.txt", "in the way")}).finish()
	entries := []entry{file("f-1", "a.txt", "one"), file("f-2", "b.txt", "two"), folder("d-1", "Dossier"), file("f-3", "c.txt", "goes")}
	s.begin(origin("series-1")).putAll(entries).finish()
	l := s.begin(origin("series-1"))
	stated, ok := l.Load.(operators.Stated)
	if !ok {
		l.Abort()
		s.Skip("this target lists no states")
	}
	entries[1] = withContent(entries[1], "two, changed")
	l.put(entries[1])
	l.put(tombstone(entries[3]))
	var want []formats.Record
	for _, e := range entries[:3] {
		want = append(want, e.Record)
	}
	diffStates(s.T, stated, want)
	l.end()
	diffStates(s.T, stated, want)
}
