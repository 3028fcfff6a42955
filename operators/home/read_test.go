package home_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/example"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// thing is a record without a path.
func thing(d formats.Dataset, id, text string) operators.Item {
	return operators.Item{Record: formats.Record{ID: id, Dataset: d, Kind: formats.KindDocument, Modified: noon, Body: fmt.Appendf(nil, `{"text":%q}`, text)}}
}

// numbered are n things of a dataset, in the order of their ids.
func numbered(d formats.Dataset, n int) (items []operators.Item) {
	for k := range n {
		items = append(items, thing(d, fmt.Sprintf("%06d", k), "first"))
	}
	return items
}

// read reads a walk to its end, and copies what it gives.
func read(t testing.TB, walk iter.Seq2[operators.Line, error]) (lines []operators.Line) {
	t.Helper()
	for l, err := range walk {
		if err != nil {
			t.Fatal(err)
		}
		l.Bytes = slices.Clone(l.Bytes)
		lines = append(lines, l)
	}
	return lines
}

func ids(lines []operators.Line) []string {
	list := []string{}
	for _, l := range lines {
		list = append(list, l.ID)
	}
	return list
}

// eachReader runs a test with the reader of an empty instance, on both engines.
func eachReader(t *testing.T, run func(t *testing.T, i *home.Instance, r *home.Reader)) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		run(t, i, i.Reader())
	})
}

func TestALineIsTheRecord(t *testing.T) {
	eachReader(t, func(t *testing.T, i *home.Instance, r *home.Reader) {
		load(t, i, example.Person(1, example.Scale{Files: 40, Bytes: 1_000_000, Months: 1, Contacts: 5}), operators.Origin{})
		want := map[formats.Dataset][]formats.Record{}
		for _, record := range records(t, i) {
			want[record.Dataset] = append(want[record.Dataset], record)
		}
		for _, d := range formats.Datasets() {
			slices.SortFunc(want[d], func(a, b formats.Record) int { return strings.Compare(a.ID, b.ID) })
			got := read(t, r.Dataset(t.Context(), d, ""))
			if len(got) != len(want[d]) {
				t.Fatalf("%s: %d lines, want %d", d, len(got), len(want[d]))
			}
			for n, l := range got {
				testLine(t, r, l, want[d][n])
			}
		}
	})
}

func testLine(t *testing.T, r *home.Reader, got operators.Line, want formats.Record) {
	t.Helper()
	line, err := want.AppendLine(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Dataset != want.Dataset || got.ID != want.ID || string(got.Bytes) != string(line) || got.Hash != formats.HashOf(line) || got.Position == 0 || got.Deleted {
		t.Errorf("the line of %s/%s is %+v", want.Dataset, want.ID, got)
	}
	if parsed, err := got.Parse(); err != nil || parsed.ID != want.ID {
		t.Errorf("parsed: %q, %v", parsed.ID, err)
	}
	one, err := r.Record(t.Context(), want.Dataset, want.ID)
	if err != nil || string(one.Bytes) != string(line) || one.Hash != got.Hash || one.Position != got.Position {
		t.Errorf("alone it is %+v, %v", one, err)
	}
}

func TestADamagedLineIsFound(t *testing.T) {
	l := operators.Line{Dataset: formats.Notes, ID: "1", Bytes: []byte(`{"id":`)}
	if _, err := l.Parse(); !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), "notes/1") {
		t.Errorf("parsed: %v", err)
	}
}

// TestPages walks datasets that fill pages just so.
func TestPages(t *testing.T) {
	first, growing := home.FirstLines, 0
	for size := first; size < home.MostLines; size *= 2 {
		growing += size
	}
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h, err := home.Open(t.Context(), db, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, first - 1, first, first + 1, growing, growing + home.MostLines, growing + home.MostLines + 1} {
			i, err := h.Create(t.Context(), fmt.Sprint("p", n), home.Options{})
			if err != nil {
				t.Fatal(err)
			}
			items := numbered(formats.Contacts, n)
			bring(t, i, "s"+i.Name(), append([]operators.Item{thing(formats.Calendar, "~", ""), thing(formats.Energy, " ", "")}, items...)...)
			want := []string{}
			for _, item := range items {
				want = append(want, item.Record.ID)
			}
			r := i.Reader()
			if got := ids(read(t, r.Dataset(t.Context(), formats.Contacts, ""))); !slices.Equal(got, want) {
				t.Errorf("%d records: the walk gave %d: %q…", n, len(got), got[:min(3, len(got))])
			}
			if got := ids(read(t, r.Changes(t.Context(), 0, position(t, i), []formats.Dataset{formats.Contacts}))); !slices.Equal(got, want) {
				t.Errorf("%d records: %d changes", n, len(got))
			}
		}
	})
}

// TestPagesOfLargeLines reads lines that are a page each, and small ones between them.
func TestPagesOfLargeLines(t *testing.T) {
	eachReader(t, func(t *testing.T, i *home.Instance, r *home.Reader) {
		var items []operators.Item
		var want []string
		for n := range 300 {
			text := "small"
			if n%50 < 4 {
				text = strings.Repeat("x", home.EnoughBytes/3+n%3*home.EnoughBytes/3)
			}
			items = append(items, thing(formats.Notes, fmt.Sprintf("%03d", n), text))
			want = append(want, items[n].Record.ID)
		}
		bring(t, i, "s", items...)
		n := 0
		for l, err := range r.Dataset(t.Context(), formats.Notes, "") {
			if err != nil {
				t.Fatal(err)
			}
			if l.ID != want[n] || formats.HashOf(l.Bytes) != l.Hash {
				t.Fatalf("the %d. line is that of %s, with %d bytes", n, l.ID, len(l.Bytes))
			}
			n++
		}
		if n != len(want) {
			t.Errorf("%d lines, want %d", n, len(want))
		}
	})
}

// TestOrder walks ids that sort in one way only if it is their bytes that count.
func TestOrder(t *testing.T) {
	odd := []string{
		" ", "!", "'", "\"", "%", "_", "\\", "/", "a", "A", "a ", "a\u00a0", "a/b", "aa", "ab", "B", "b", "~", "a~1", "\u0080", "é", "e\u0301", "z", "ß", "ss",
		"日本", "\ud7ff", "\ue000", "\uffff", "🦊", "\U0010ffff", "10", "9", "09", strings.Repeat("é", 256), strings.Repeat("z", 512), strings.Repeat("z", 511), strings.Repeat("\U0010ffff", 128),
	}
	want := slices.Sorted(slices.Values(odd))
	eachReader(t, func(t *testing.T, i *home.Instance, r *home.Reader) {
		var items []operators.Item
		for _, id := range odd {
			for _, d := range []formats.Dataset{formats.Bills, formats.Calendar, formats.Contacts} {
				items = append(items, thing(d, id, string(d)))
			}
		}
		bring(t, i, "s", items...)
		for _, after := range append([]string{"", "\x00", "a!", "\xff", "zz"}, odd...) {
			tail := []string{}
			for _, id := range want {
				if id > after {
					tail = append(tail, id)
				}
			}
			if got := ids(read(t, r.Dataset(t.Context(), formats.Calendar, after))); !slices.Equal(got, tail) {
				t.Errorf("after %q: %q, want %q", after, got, tail)
			}
		}
		for _, id := range odd {
			if l, err := r.Record(t.Context(), formats.Calendar, id); err != nil || !strings.Contains(string(l.Bytes), `"dataset":"calendar"`) {
				t.Errorf("record %q: %s, %v", id, l.Bytes, err)
			}
		}
	})
}

func TestWhatIsNotThereIsNotRead(t *testing.T) {
	eachReader(t, func(t *testing.T, i *home.Instance, r *home.Reader) {
		bring(t, i, "s", thing(formats.Contacts, "1", ""), thing(formats.Contacts, "2", ""))
		if err := i.Remove(t.Context(), formats.Contacts, "1"); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"", "1", "3", "\x00", "\xff", "2\n"} {
			if l, err := r.Record(t.Context(), formats.Contacts, id); !errors.Is(err, operators.ErrNotFound) {
				t.Errorf("record %q: %+v, %v", id, l, err)
			}
		}
		if got := ids(read(t, r.Dataset(t.Context(), formats.Contacts, ""))); !slices.Equal(got, []string{"2"}) {
			t.Errorf("the walk gave %q", got)
		}
		for _, d := range []formats.Dataset{"", "contact", "contacts\t1", formats.Notes} {
			if got := read(t, r.Dataset(t.Context(), d, "")); len(got) != 0 {
				t.Errorf("dataset %q: %q", d, ids(got))
			}
		}
	})
}

// TestAWalkCanBeRepeated ranges over one walk twice, the first time not to its end.
func TestAWalkCanBeRepeated(t *testing.T) {
	eachReader(t, func(t *testing.T, i *home.Instance, r *home.Reader) {
		bring(t, i, "s", numbered(formats.Contacts, 3*home.FirstLines)...)
		walk := r.Dataset(t.Context(), formats.Contacts, "")
		for l, err := range walk {
			if err != nil || l.ID > "000100" {
				break
			}
		}
		if got := read(t, walk); len(got) != 3*home.FirstLines {
			t.Errorf("%d lines", len(got))
		}
	})
}

// TestAWalkHoldsNothing looks at the database in the middle of a walk.
func TestAWalkHoldsNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		bring(t, i, "s", numbered(formats.Contacts, 2*home.FirstLines)...)
		for walk := range slices.Values([]iter.Seq2[operators.Line, error]{
			i.Reader().Dataset(t.Context(), formats.Contacts, ""),
			i.Reader().Changes(t.Context(), 0, position(t, i), formats.Datasets()),
		}) {
			for _, err := range walk {
				if err != nil {
					t.Fatal(err)
				}
				if n := db.Read.Stats().InUse; n != 0 {
					t.Fatalf("%d connections are in use between two lines", n)
				}
			}
		}
	})
}

func TestAWalkThatIsCancelled(t *testing.T) {
	eachReader(t, func(t *testing.T, i *home.Instance, r *home.Reader) {
		bring(t, i, "s", numbered(formats.Contacts, 3*home.FirstLines)...)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n, last := 0, error(nil)
		for _, last = range r.Dataset(ctx, formats.Contacts, "") {
			n++
			cancel()
		}
		if !errors.Is(last, context.Canceled) || n != home.FirstLines+1 {
			t.Errorf("step %d: %v", n, last)
		}
	})
}

// TestWritesDuringAWalk writes around records that stay, while they are walked again and again.
func TestWritesDuringAWalk(t *testing.T) {
	eachReader(t, func(t *testing.T, i *home.Instance, r *home.Reader) {
		const staying = 700
		bring(t, i, "s", numbered(formats.Contacts, staying)...)
		stop, done := make(chan struct{}), make(chan error, 1)
		go func() { done <- writeAround(t.Context(), i, staying, stop) }()
		for start := position(t, i); position(t, i) < start+300; {
			var last string
			stayed := 0
			for l, err := range r.Dataset(t.Context(), formats.Contacts, "") {
				if err != nil {
					t.Fatal(err)
				}
				if l.ID <= last || formats.HashOf(l.Bytes) != l.Hash {
					t.Fatalf("after %s comes %+v", last, l)
				}
				if last = l.ID; len(l.ID) == 6 {
					stayed++
				}
			}
			if stayed != staying {
				t.Fatalf("%d records of those that were there all the while, want %d", stayed, staying)
			}
		}
		close(stop)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// writeAround changes some of the first n numbered records, and adds and removes others between them.
func writeAround(ctx context.Context, i *home.Instance, n int, stop <-chan struct{}) error {
	rng := rand.New(rand.NewPCG(1, 2))
	for k := 0; ; k++ {
		select {
		case <-stop:
			return nil
		default:
		}
		id := fmt.Sprintf("%06d", rng.IntN(n))
		other := fmt.Sprint(id, "-", rng.IntN(3))
		_, err := i.Put(ctx, thing(formats.Contacts, id, strings.Repeat("x", rng.IntN(9000))).Record, nil)
		if err == nil && k%3 > 0 {
			_, err = i.Put(ctx, thing(formats.Contacts, other, "between").Record, nil)
		} else if err == nil {
			if err = i.Remove(ctx, formats.Contacts, other); errors.Is(err, operators.ErrNotFound) {
				err = nil
			}
		}
		if err != nil {
			return err
		}
	}
}

// TestReadOfADeletedInstance deletes the instance before, and in the middle of, everything.
func TestReadOfADeletedInstance(t *testing.T) {
	for _, n := range []int{1, home.FirstLines, 3 * home.FirstLines} {
		for name, walk := range map[string]func(*home.Reader) iter.Seq2[operators.Line, error]{
			"dataset": func(r *home.Reader) iter.Seq2[operators.Line, error] {
				return r.Dataset(t.Context(), formats.Contacts, "")
			},
			"changes": func(r *home.Reader) iter.Seq2[operators.Line, error] {
				return r.Changes(t.Context(), 0, operators.Position(n), formats.Datasets())
			},
		} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				dbtest.Each(t, func(t *testing.T, db *sqldb.DB) { testDeletedMeanwhile(t, db, n, walk) })
			})
		}
	}
}

func testDeletedMeanwhile(t *testing.T, db *sqldb.DB, n int, walk func(*home.Reader) iter.Seq2[operators.Line, error]) {
	h, err := home.Open(t.Context(), db, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	i, err := h.Create(t.Context(), "alice", home.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bring(t, i, "s", numbered(formats.Contacts, n)...)
	r, last := i.Reader(), error(nil)
	for l, err := range walk(r) {
		if last = err; l.ID == "000000" {
			if err := h.Delete(t.Context(), "alice"); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Create(t.Context(), "alice", home.Options{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, record := r.Record(t.Context(), formats.Contacts, "000000")
	_, content := r.Content(t.Context(), formats.Blob{Size: 1})
	_, at := r.Position(t.Context())
	_, wait := r.Wait(t.Context(), 0)
	for what, err := range map[string]error{"walk": last, "record": record, "content": content, "position": at, "wait": wait} {
		if !errors.Is(err, operators.ErrNotFound) || !strings.Contains(err.Error(), "deleted") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// BenchmarkDataset reads 10,000 contacts, and says how many times as long that takes as copying them in memory.
func BenchmarkDataset(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchmarkDataset(b, dbtest.SQLite(b)) })
	b.Run("postgres", func(b *testing.B) { benchmarkDataset(b, dbtest.Postgres(b)) })
}

func benchmarkDataset(b *testing.B, db *sqldb.DB) {
	i := instance(b, db, home.Options{})
	l := begin(b, i, "s")
	for item, err := range example.Person(1, example.Scale{Contacts: 10_000}).Records(b.Context(), 0) {
		if err != nil {
			b.Fatal(err)
		}
		if item.Content == nil {
			put(b, l, item)
		}
	}
	if err := l.Finish(b.Context()); err != nil {
		b.Fatal(err)
	}
	lines := read(b, i.Reader().Dataset(b.Context(), formats.Contacts, ""))
	out := bufio.NewWriterSize(io.Discard, 64<<10)
	total := 0
	start := time.Now()
	for range 10 {
		total = 0
		for _, l := range lines {
			n, _ := out.Write(l.Bytes)
			total += n
		}
	}
	floor := time.Since(start) / 10
	b.SetBytes(int64(total))
	b.ReportAllocs()
	for b.Loop() {
		for l, err := range i.Reader().Dataset(b.Context(), formats.Contacts, "") {
			if err != nil {
				b.Fatal(err)
			}
			out.Write(l.Bytes)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(floor), "times-a-copy")
	b.ReportMetric(float64(len(lines))*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
