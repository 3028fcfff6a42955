package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Source holds a source to its contract. Each call of open gives it anew, over the same instance.
func Source(t *testing.T, open func(t *testing.T) operators.Source, want Expect) {
	t.Run("walk", func(t *testing.T) { testWalk(t, opened(t, open), want) })
	t.Run("walk twice", func(t *testing.T) { testWalkTwice(t, open) })
	t.Run("contents not opened", func(t *testing.T) { testUnopened(t, opened(t, open)) })
	t.Run("contents half read", func(t *testing.T) { testHalfRead(t, opened(t, open)) })
	t.Run("walk left", func(t *testing.T) { testWalkLeft(t, opened(t, open)) })
	t.Run("cancelled", func(t *testing.T) { testSourceCancelled(t, opened(t, open)) })
	t.Run("states", func(t *testing.T) { testStates(t, opened(t, open)) })
	t.Run("blobs", func(t *testing.T) { testBlobs(t, opened(t, open)) })
	t.Run("sparing", func(t *testing.T) { testSparing(t, open) })
	t.Run("in two halves", func(t *testing.T) { testHalves(t, open) })
	t.Run("changes", func(t *testing.T) { testNoChanges(t, opened(t, open)) })
}

func opened(t *testing.T, open func(t *testing.T) operators.Source) operators.Source {
	t.Helper()
	source := open(t)
	t.Cleanup(func() {
		if err := source.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return source
}

func testWalk(t *testing.T, source operators.Source, want Expect) {
	got := Read(t, source)
	if counts := Counts(got.Records); want.Counts != nil && !maps.Equal(counts, want.Counts) {
		t.Errorf("the walk gave %+v, want %+v", counts, want.Counts)
	}
	var codes []string
	for _, o := range got.Omissions {
		codes = append(codes, o.Code)
	}
	slices.Sort(codes)
	if wanted := slices.Sorted(slices.Values(want.Omissions)); !slices.Equal(codes, wanted) {
		t.Errorf("the omissions are %q, want %q:\n%+v", codes, wanted, got.Omissions)
	}
	if !want.Dangling {
		testLinks(t, got.Records)
	}
}

// testLinks finds links that lead nowhere.
func testLinks(t *testing.T, records []formats.Record) {
	lines := Lines(t, records)
	for _, r := range records {
		for _, l := range r.Links {
			if _, ok := lines[string(l.Dataset)+"/"+l.ID]; !ok {
				t.Errorf("%s links (%s) to %s/%s, which is not there", key(r), l.Rel, l.Dataset, l.ID)
			}
		}
	}
}

// testWalkTwice reads the instance three times, twice with one source and once with another.
func testWalkTwice(t *testing.T, open func(t *testing.T) operators.Source) {
	source := opened(t, open)
	first := Lines(t, Read(t, source).Records)
	diff(t, "second walk", Lines(t, Read(t, source).Records), first)
	diff(t, "another source", Lines(t, Read(t, opened(t, open)).Records), first)
	one, err := source.Describe(t.Context())
	if err != nil {
		t.Fatalf("Describe: %v", err)
	}
	if two, err := source.Describe(t.Context()); err != nil || one != two {
		t.Errorf("Describe gives %+v, then %+v, %v", one, two, err)
	}
}

// testUnopened checks that the records are the same for a reader who wants no bytes.
func testUnopened(t *testing.T, source operators.Source) {
	want := map[string]string{}
	for _, r := range Read(t, source).Records {
		want[key(r)] = withoutHash(t, r)
	}
	got := map[string]string{}
	for item, err := range source.Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Record.ID != "" {
			got[key(item.Record)] = withoutHash(t, item.Record)
		}
	}
	diff(t, "a walk without contents", got, want)
}

func withoutHash(t *testing.T, r formats.Record) string {
	if r.Blob != nil {
		blob := *r.Blob
		blob.SHA256 = formats.Hash{}
		r.Blob = &blob
	}
	return Lines(t, []formats.Record{r})[key(r)]
}

// testHalfRead reads one byte of every content: the walk must go on as if nothing were.
func testHalfRead(t *testing.T, source operators.Source) {
	want := len(Read(t, source).Records)
	var got int
	for item, err := range source.Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Record.ID != "" {
			got++
		}
		if item.Content == nil {
			continue
		}
		content, err := item.Content()
		if err != nil {
			t.Fatal(err)
		}
		n, err := content.Read(make([]byte, 1))
		if err != nil && (err != io.EOF || item.Record.Blob.Size > 1) {
			t.Errorf("%s: read one byte: %d, %v", key(item.Record), n, err)
		}
		content.Close()
	}
	if got != want {
		t.Errorf("the walk gave %d records, want %d", got, want)
	}
}

func testWalkLeft(t *testing.T, source operators.Source) {
	want := Lines(t, Read(t, source).Records)
	for _, err := range source.Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	diff(t, "a walk after one that was left", Lines(t, Read(t, source).Records), want)
}

func testSourceCancelled(t *testing.T, source operators.Source) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range source.Records(ctx, 0) {
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("a walk under a cancelled context gave %v", err)
		}
		return
	}
	t.Error("a walk under a cancelled context ended as if it were whole")
}

// testStates compares what a source lists with what it gives.
func testStates(t *testing.T, source operators.Source) {
	stated, ok := source.(operators.Stated)
	if !ok {
		t.Skip("this source lists no states")
	}
	diffStates(t, stated, Read(t, source).Records)
}

// testBlobs checks that a source which lists its blobs lists those that its records name, in order, each once, goes on where it
// is told to, and gives their bytes.
func testBlobs(t *testing.T, source operators.Source) {
	listing, ok := source.(operators.Listing)
	if !ok {
		t.Skip("this source does not list its blobs")
	}
	named := map[formats.Hash]int64{}
	for _, r := range Read(t, source).Records {
		if r.Blob != nil {
			named[r.Blob.SHA256] = r.Blob.Size
		}
	}
	listed := 0
	for after := (formats.Hash{}); ; {
		page, err := listing.Blobs(t.Context(), after, 7)
		if err != nil || len(page) > 7 {
			t.Fatalf("%d blobs after %s: %v", len(page), after, err)
		}
		testContents(t, listing, page)
		for _, b := range page {
			if size, ok := named[b.SHA256]; !ok || size != b.Size || bytes.Compare(b.SHA256[:], after[:]) <= 0 {
				t.Errorf("after %s it lists %+v", after, b)
			}
			after = b.SHA256
		}
		if listed += len(page); len(page) == 0 {
			break
		}
	}
	if listed != len(named) {
		t.Errorf("it lists %d blobs, and its records name %d", listed, len(named))
	}
}

// testSparing checks that a walk gives the same where contents are read one by one.
func testSparing(t *testing.T, open func(*testing.T) operators.Source) {
	source := opened(t, open)
	sparing, ok := source.(operators.Sparing)
	if !ok {
		t.Skip("this source reads as it does")
	}
	if err := sparing.Spare(t.Context()); err != nil {
		t.Fatal(err)
	}
	diff(t, "records", byKey(t, Read(t, source).Records), byKey(t, Read(t, opened(t, open)).Records))
}

// testHalves checks that what a source gives up to a position, and after it, is all of it, each once.
func testHalves(t *testing.T, open func(*testing.T) operators.Source) {
	first, second := opened(t, open), opened(t, open)
	one, ok := first.(operators.Ranging)
	if !ok {
		t.Skip("the walks of this source are whole")
	}
	d, err := first.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	one.Range(0, d.Position/2)
	second.(operators.Ranging).Range(d.Position/2, d.Position)
	got := append(Read(t, first).Records, Read(t, second).Records...)
	want := byKey(t, Read(t, opened(t, open)).Records)
	if len(got) != len(want) {
		t.Errorf("the halves have %d records, the whole %d", len(got), len(want))
	}
	diff(t, "records", byKey(t, got), want)
}

// byKey are the lines of records by what they are called.
func byKey(t *testing.T, records []formats.Record) map[string]string {
	t.Helper()
	lines := map[string]string{}
	for _, r := range records {
		line, err := r.AppendLine(nil)
		if err != nil {
			t.Fatal(err)
		}
		lines[key(r)] = string(line)
	}
	return lines
}

// testContents checks that the bytes of blobs can be had, of each as often as it is asked for, and of none that is not there.
func testContents(t *testing.T, listing operators.Listing, blobs []formats.Blob) {
	t.Helper()
	var asked []formats.Hash
	for _, b := range blobs {
		asked = append(asked, b.SHA256, formats.HashOf(b.SHA256[:]), b.SHA256)
	}
	var got []formats.Blob
	for content, err := range listing.Contents(t.Context(), asked) {
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(content)
		if err = errors.Join(err, content.Close()); err != nil || formats.HashOf(text) != content.SHA256 || int64(len(text)) != content.Size {
			t.Errorf("of %s there are %d bytes, which are others: %v", content.SHA256, len(text), err)
		}
		got = append(got, content.Blob)
	}
	var want []formats.Blob
	for _, b := range blobs {
		want = append(want, formats.Blob{SHA256: b.SHA256, Size: b.Size}, formats.Blob{SHA256: b.SHA256, Size: b.Size})
	}
	if !slices.Equal(got, want) {
		t.Errorf("of %d blobs the bytes came %d times", len(blobs), len(got))
	}
}

// diffStates checks that the states are those of the records, in order.
func diffStates(t *testing.T, stated operators.Stated, records []formats.Record) {
	t.Helper()
	got, last := map[string]string{}, operators.State{}
	for s, err := range stated.States(t.Context()) {
		if err != nil {
			t.Fatalf("States: %v", err)
		}
		if s.Dataset < last.Dataset || s.Dataset == last.Dataset && s.ID <= last.ID {
			t.Errorf("States: %s/%s comes after %s/%s", s.Dataset, s.ID, last.Dataset, last.ID)
		}
		got[string(s.Dataset)+"/"+s.ID] = string(s.AppendLine(nil))
		last = s
	}
	diff(t, "states", got, stateLines(t, records))
}

func stateLines(t *testing.T, records []formats.Record) map[string]string {
	want := map[string]string{}
	for k, line := range Lines(t, records) {
		r, err := formats.ParseLine([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		s := formats.State{Dataset: r.Dataset, ID: r.ID, Record: formats.HashOf([]byte(line))}
		if r.Blob != nil {
			s.Blob = r.Blob.SHA256
		}
		want[k] = string(s.AppendLine(nil))
	}
	return want
}

// testNoChanges checks that nothing has changed after the source's own position.
func testNoChanges(t *testing.T, source operators.Source) {
	d, err := source.Describe(t.Context())
	if err != nil {
		t.Fatalf("Describe: %v", err)
	}
	if !d.Changes {
		t.Skip("this source keeps no feed of changes")
	}
	for item, err := range source.Records(t.Context(), d.Position) {
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s is given after position %d, which is the source's own", key(item.Record), d.Position)
	}
}
