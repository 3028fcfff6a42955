package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/racetest"
)

func TestResumedRuns(t *testing.T) {
	p := publish(t, 0)
	v := p.verification(t)
	v.State, v.Every = t.TempDir(), 256
	before := int64(0)
	for _, more := range []int{0, 1, 0, 99, 155, 1, 44, 400, 0, 324, 65536, 3} {
		p.grow(t, more)
		verdict := good(t, v)
		if verdict.From != before || verdict.Leaves != int64(more) || verdict.Checkpoint.Size != before+int64(more) {
			t.Fatalf("%d leaves more after %d: from %d, %d leaves", more, before, verdict.From, verdict.Leaves)
		}
		before += int64(more)
	}
}

// The leaves with one tag are in runs of their own, in merged ones, and in the same one.
func TestATagThatIsThereTwice(t *testing.T) {
	p := publish(t, 300)
	v := p.verification(t)
	v.State, v.Every = t.TempDir(), 256
	tag := slices.Clone(p.leaves[7][6:22])
	good(t, v)
	add := func(leaves int) {
		for range leaves {
			p.leaves = append(p.leaves, p.leaf())
		}
	}
	add(1)
	copy(p.leaves[300][6:], tag)
	p.seal(t)
	for range 2 { // it is not forgotten
		if _, got := bad(t, v); got != "tag 300 leaf 300" {
			t.Fatal(got)
		}
	}
	add(70_000)
	copy(p.leaves[70_300][6:], tag)
	copy(p.leaves[70_299][6:], p.leaves[70_298][6:22])
	p.seal(t)
	verdict, got := bad(t, v)
	want := []string{"tag 300 leaf 300", "tag 70299 leaf 70299", "tag 70300 leaf 70300"}
	if all := strings.Split(got, "; "); verdict.From != 301 || !slices.Equal(slices.Sorted(slices.Values(all)), want) {
		t.Fatalf("from %d: %s", verdict.From, got)
	}
	if files, err := os.ReadDir(filepath.Join(v.State, "tags")); err != nil || len(files) > 3*16 {
		t.Errorf("%d files of tags, %v", len(files), err)
	}
}

// A leaf that is not the one that was logged says nothing about its tag, and one that was is a leaf or is named.
func TestLeavesThatShouldNotBeThere(t *testing.T) {
	p := publish(t, 300)
	p.put("tile/entries/001.p/44", bundleOf(append([][]byte{p.leaves[5]}, p.leaves[257:]...)...))
	if _, got := bad(t, p.verification(t)); got != "leaf 256 leaf 256" {
		t.Error(got)
	}
	p = publish(t, 0)
	p.leaves = [][]byte{p.leaf(), []byte("no leaf"), []byte("no leaf"), p.leaf(), {}, p.leaf()}
	p.leaves[3][0], p.leaves[5][1] = 9, 99
	p.seal(t)
	if _, got := bad(t, p.verification(t)); got != "form 1 leaves 1 to 2; form 3 leaf 3; form 4 leaf 4; form 5 leaf 5" {
		t.Error(got)
	}
}

// A fault is found by every run until it is repaired.
func TestAFaultIsNotForgotten(t *testing.T) {
	p := publish(t, 1000)
	v := p.verification(t)
	v.State, v.Every = t.TempDir(), 256
	damaged := bytes.Clone(p.files["tile/entries/001"].Data)
	damaged[500] ^= 1
	whole := p.files["tile/entries/001"]
	p.put("tile/entries/001", damaged)
	for range 3 {
		if _, got := bad(t, v); got != "leaf 257 leaf 257" {
			t.Fatal(got)
		}
		p.grow(t, 100)
	}
	p.files["tile/entries/001"] = whole
	if verdict := good(t, v); verdict.From != 0 && verdict.From != 256 {
		t.Errorf("it goes on at %d", verdict.From)
	}
}

// failing is a source that ends a context, or fails, at some read.
type failing struct {
	torchwood.TileReader
	left *atomic.Int64
	fail func() error
}

func (f failing) ReadTiles(ctx context.Context, tiles []tlog.Tile) ([][]byte, error) {
	if f.left.Add(-1) <= 0 {
		if err := f.fail(); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return f.TileReader.ReadTiles(ctx, tiles)
}

func TestInterruptedRuns(t *testing.T) {
	p := publish(t, 5000)
	copy(p.leaves[4990][6:], p.leaves[3][6:22])
	p = p.resealed(t)
	unreachable := errors.New("unreachable")
	for range 20 {
		v := p.verification(t)
		source := v.Source
		v.State, v.Every = t.TempDir(), 256
		from := int64(0)
		for tries := 0; ; tries++ {
			ctx, cancel := context.WithCancel(t.Context())
			left := &atomic.Int64{}
			left.Store(rand.Int64N(30) + 1)
			want := context.Canceled
			fail := func() error { cancel(); return nil }
			if tries%2 == 1 {
				want, fail = unreachable, func() error { return unreachable }
			}
			v.Source = failing{source, left, fail}
			verdict, err := v.Run(ctx)
			cancel()
			if err == nil {
				if verdict.FaultCount != 1 || verdict.Faults[0].Kind != ledger.FaultTag || verdict.Faults[0].Index != 4990 || verdict.Leaves+verdict.From != 5000 || verdict.From < from {
					t.Fatalf("after %d tries: %+v", tries, verdict)
				}
				break
			}
			if !errors.Is(err, want) || errors.Is(err, ledger.ErrState) || tries > 1000 {
				t.Fatal(err)
			}
		}
	}
}

// TestAKilledVerification verifies in a process of its own, which is killed again and again.
func TestAKilledVerification(t *testing.T) {
	if where := os.Getenv("PASSERELLE_TEST_VERIFY"); where != "" {
		verifyAndPrint(t, where)
		return
	}
	leaves := racetest.Rounds(20_000)
	p := publish(t, leaves)
	copy(p.leaves[leaves-10][6:], p.leaves[3][6:22])
	p = p.resealed(t)
	dir, state := t.TempDir(), t.TempDir()
	p.write(t, dir)
	kills := 0
	for ; kills < 1000; kills++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAKilledVerification$", "-test.v")
		cmd.Env = append(os.Environ(), "PASSERELLE_TEST_VERIFY="+strings.Join([]string{dir, state, p.vkey}, "|"))
		var out bytes.Buffer
		begun := &said{word: []byte("begun"), then: func() {
			// However slow the machine, a life is long enough in the end to get further than the one before it.
			time.AfterFunc(time.Duration(rand.N(60+10*kills+kills*kills))*time.Millisecond, func() { cmd.Process.Kill() })
		}}
		both := io.MultiWriter(&out, begun)
		cmd.Stdout, cmd.Stderr = both, both
		err := cmd.Run()
		if err == nil {
			if !strings.Contains(out.String(), fmt.Sprintf("tag %d leaf %d of %d from", leaves-10, leaves-10, leaves)) {
				t.Fatal(out.String())
			}
			t.Logf("killed %d times: %s", kills, out.String())
			return
		}
		if strings.Contains(out.String(), "FAIL") {
			t.Fatal(out.String())
		}
	}
	t.Fatal("it never ends")
}

// said does something once, when a word is written.
type said struct {
	word, sofar []byte
	then        func()
}

func (s *said) Write(p []byte) (int, error) {
	s.sofar = append(s.sofar, p...)
	if s.then != nil && bytes.Contains(s.sofar, s.word) {
		s.then()
		s.then = nil
	}
	return len(p), nil
}

func verifyAndPrint(t *testing.T, where string) {
	part := strings.Split(where, "|")
	source, err := ledger.NewSource(part[0])
	if err != nil {
		t.Fatal(err)
	}
	trust, err := ledger.NewTrust(part[2:], nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("begun")
	verdict, got := bad(t, ledger.Verification{Source: source, Trust: trust, State: part[1], Every: 512})
	fmt.Printf("%s of %d from %d\n", got, verdict.Checkpoint.Size, verdict.From)
}

// write writes the log into a folder.
func (p *published) write(t testing.TB, dir string) {
	t.Helper()
	if err := os.CopyFS(dir, p.files); err != nil {
		t.Fatal(err)
	}
}

func TestForksAndRollbacks(t *testing.T) {
	first := publish(t, 700)
	later := first.copied()
	later.grow(t, 400)
	forked := func(size int) *published { // the same log but for one leaf
		p := later.copied()
		p.leaves = p.leaves[:size]
		p.leaves[600] = p.leaf()
		return p.resealed(t)
	}
	shown := func(p, from *published) *published { // the checkpoint of one, the tiles of another
		c := from.copied()
		c.put("checkpoint", p.files["checkpoint"].Data)
		return c
	}
	broken := later.copied()
	entries := bytes.Clone(broken.files["tile/entries/003"].Data)
	entries[3] ^= 1
	broken.put("tile/entries/003", entries)
	cases := []struct {
		name     string
		old, new *published
		want     string
		says     string
	}{
		{"the same", first, first, "", ""},
		{"grown", first, later, "", ""},
		{"the same size", first, forked(700), "fork -1 checkpoint", "two roots of the same 700 leaves"},
		{"grown, with another past", first, forked(1100), "fork -1 checkpoint", "the past was changed"},
		{"grown, with a bad new leaf", first, broken, "leaf 768 leaf 768", "is not the one that was logged"},
		{"shrunk", later, first, "rollback -1 checkpoint", "tiles of the larger log are not there any more"},
		{"shrunk, the tiles are there", later, shown(first, later), "rollback -1 checkpoint", "or you were shown a stale copy"},
		{"shrunk, with another past", later, shown(forked(700), later), "fork -1 checkpoint", "the log signed 1100 leaves before, whose first 700"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := c.old.verification(t)
			v.State = t.TempDir()
			good(t, v)
			v.Source = c.new.verification(t).Source
			if c.want == "" {
				good(t, v)
				v.Source = publish(t, 0).verification(t).Source // of another key
				bad(t, v)
				v.Source = c.old.verification(t).Source
				if verdict := verified(t, v); (verdict.FaultCount == 0) != (c.old == c.new) {
					t.Errorf("shown the old one again: %v", verdict.Err())
				}
				return
			}
			for range 2 { // it stays
				verdict, got := bad(t, v)
				if got != c.want || !strings.Contains(verdict.Faults[0].What, c.says) {
					t.Fatalf("%s: %s", got, verdict.Faults[0].What)
				}
				checkEvidence(t, verdict, c.old, c.new)
			}
			v.Source = c.old.verification(t).Source // what the log was is remembered all the time
			if c.new != broken {
				good(t, v)
			}
		})
	}
}

// checkEvidence checks that the two checkpoints of a fork are kept, and of nothing else.
func checkEvidence(t *testing.T, verdict *ledger.Verdict, old, new *published) {
	t.Helper()
	if (verdict.Faults[0].Kind == ledger.FaultFork) != (verdict.Evidence != "") {
		t.Fatalf("evidence %q", verdict.Evidence)
	}
	if verdict.Evidence == "" {
		return
	}
	for name, log := range map[string]*published{"remembered": old, "shown": new} {
		kept, err := os.ReadFile(filepath.Join(verdict.Evidence, name))
		if err != nil || !bytes.Equal(kept, log.files["checkpoint"].Data) {
			t.Fatalf("%s is not what was signed: %v", name, err)
		}
	}
}

// A log that changed its past and hides the hashes that would show it is not taken for what it was.
func TestAHiddenFork(t *testing.T) {
	p := publish(t, 700)
	v := p.verification(t)
	v.State = t.TempDir()
	good(t, v)
	other := p.copied()
	other.leaves[600] = other.leaf()
	other = other.resealed(t)
	other.grow(t, 400)
	other.put("tile/0/002", make([]byte, 8192))
	other.put("tile/entries/002", nil)
	v.Source = other.verification(t).Source
	for range 2 {
		if verdict, got := bad(t, v); !strings.HasPrefix(got, "root -1 checkpoint; ") || !strings.Contains(verdict.Faults[0].What, "cannot be told") {
			t.Fatal(got)
		}
	}
	v.Source = other.resealed(t).verification(t).Source
	if _, got := bad(t, v); got != "fork -1 checkpoint" {
		t.Fatal(got)
	}
}

// A checkpoint that was shown counts from the beginning, not only when all of its leaves are verified.
func TestAForkOfWhatWasNotVerifiedYet(t *testing.T) {
	p := publish(t, 700)
	v := p.verification(t)
	v.State = t.TempDir()
	left := &atomic.Int64{}
	left.Store(4)
	whole := v.Source
	v.Source = failing{whole, left, func() error { return errors.New("unreachable") }}
	if _, err := v.Run(t.Context()); err == nil {
		t.Fatal("it ends")
	}
	other := publish(t, 900)
	other.signer, other.witness = p.signer, p.witness
	other.leaves[0] = other.leaf()
	v.Source = other.resealed(t).verification(t).Source
	if _, got := bad(t, v); got != "fork -1 checkpoint" {
		t.Error(got)
	}
}

func TestAStateThatCannotBeUsed(t *testing.T) {
	p := publish(t, 700)
	v := p.verification(t)
	v.State, v.Every = t.TempDir(), 256
	good(t, v)
	flip := func(data []byte) []byte { data[len(data)/2] ^= 1; return data }
	damages := map[string]func([]byte) []byte{
		"flipped": flip,
		"cut":     func(data []byte) []byte { return data[:len(data)-1] },
		"emptied": func([]byte) []byte { return nil },
		"longer":  func(data []byte) []byte { return append(data, 'x') },
	}
	var files []string
	fs.WalkDir(os.DirFS(v.State), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path != "lock" {
			files = append(files, path)
		}
		return err
	})
	if len(files) != 1+3 {
		t.Fatalf("%q", files)
	}
	for _, name := range files {
		path := filepath.Join(v.State, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, damage := range damages {
			if err := os.WriteFile(path, damage(bytes.Clone(whole)), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := v.Run(t.Context()); !errors.Is(err, ledger.ErrState) || !strings.Contains(err.Error(), "delete") {
				t.Errorf("%s %s: %v", name, what, err)
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tags := filepath.Join(v.State, files[len(files)-1])
	if err := os.Rename(tags, tags+"x"); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Run(t.Context()); !errors.Is(err, ledger.ErrState) {
		t.Errorf("without tags: %v", err)
	}
	other := v
	var err error
	if other.Trust, err = ledger.NewTrust([]string{newKey(t, "other.example/log")}, nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Run(t.Context()); !errors.Is(err, ledger.ErrState) || !strings.Contains(err.Error(), origin) {
		t.Errorf("another log: %v", err)
	}
}

func TestOneRunAtATime(t *testing.T) {
	v := publish(t, 700).verification(t)
	v.State = t.TempDir()
	asked := 0
	v.Observe = func(int64, int64) {
		second := v
		second.Observe = nil
		if _, err := second.Run(t.Context()); !errors.Is(err, ledger.ErrState) || !strings.Contains(err.Error(), "another verification") {
			t.Errorf("%v", err)
		}
		asked++
	}
	good(t, v)
	if asked == 0 {
		t.Error("nobody asked")
	}
	v.Observe = nil
	good(t, v)
}

func TestMirror(t *testing.T) {
	p := publish(t, 700)
	v := p.verification(t)
	v.State, v.Mirror = t.TempDir(), t.TempDir()
	copied := func(dir string) ledger.Verification {
		source, err := ledger.NewSource(dir)
		if err != nil {
			t.Fatal(err)
		}
		return ledger.Verification{Source: source, Trust: p.trust}
	}
	for _, more := range []int{0, 10, 400, 66_000, 0} {
		p.grow(t, more)
		verdict := good(t, v)
		if m := good(t, copied(v.Mirror)); m.Checkpoint.Hash != verdict.Checkpoint.Hash || m.Leaves != int64(len(p.leaves)) {
			t.Fatalf("%d leaves more: %+v", more, m)
		}
	}
	v.Mirror = t.TempDir() // it must be whole as well
	if verdict := good(t, v); verdict.From != 0 {
		t.Errorf("it begins at %d", verdict.From)
	}
	good(t, copied(v.Mirror))

	damaged := bytes.Clone(p.files["tile/entries/000"].Data)
	damaged[9] ^= 1
	p.put("tile/entries/000", damaged)
	v.State, v.Mirror = "", t.TempDir()
	bad(t, v)
	if _, got := bad(t, copied(v.Mirror)); got != "leaf 0 leaf 0" {
		t.Error(got)
	}
}
