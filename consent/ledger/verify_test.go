package ledger_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// published is a log as files, made with the reference implementation of the tree (golang.org/x/mod/sumdb/tlog).
type published struct {
	files   fstest.MapFS
	leaves  [][]byte
	hashes  []tlog.Hash
	signer  note.Signer
	witness note.Signer
	trust   *ledger.Trust
	vkey    string
	random  *rand.ChaCha8
}

const witnessName = "witness.example"

func publish(t testing.TB, leaves int) *published {
	t.Helper()
	p := &published{files: fstest.MapFS{}, random: rand.NewChaCha8([32]byte{7})}
	skey, vkey, err := note.GenerateKey(p.random, origin)
	if err != nil {
		t.Fatal(err)
	}
	p.vkey = vkey
	if p.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	_, key, _ := ed25519.GenerateKey(nil)
	if p.witness, err = torchwood.NewCosignatureSigner(witnessName, key); err != nil {
		t.Fatal(err)
	}
	wkey, err := ledger.WitnessKey(witnessName, key)
	if err != nil {
		t.Fatal(err)
	}
	if p.trust, err = ledger.NewTrust([]string{vkey}, []string{wkey}, 1); err != nil {
		t.Fatal(err)
	}
	p.grow(t, leaves)
	return p
}

// newKey returns the key of another log.
func newKey(t testing.TB, name string) string {
	t.Helper()
	_, vkey, err := note.GenerateKey(nil, name)
	if err != nil {
		t.Fatal(err)
	}
	return vkey
}

// resealed returns the log that has the same leaves, with all of its files made again.
func (p *published) resealed(t testing.TB) *published {
	t.Helper()
	c := *p
	c.files, c.hashes, c.leaves = fstest.MapFS{}, nil, slices.Clone(p.leaves)
	c.seal(t)
	return &c
}

// leaf makes a leaf of the right form.
func (p *published) leaf() []byte {
	leaf := make([]byte, ledger.LeafSize)
	p.random.Read(leaf)
	leaf[0], leaf[1] = 1, byte(ledger.Access)
	return leaf
}

// grow publishes more leaves.
func (p *published) grow(t testing.TB, more int) {
	t.Helper()
	for range more {
		p.leaves = append(p.leaves, p.leaf())
	}
	p.seal(t)
}

// seal publishes the leaves that were not published before.
func (p *published) seal(t testing.TB) {
	t.Helper()
	read := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, x := range at {
			out[i] = p.hashes[x]
		}
		return out, nil
	})
	var old int64
	for tlog.StoredHashCount(old) < int64(len(p.hashes)) {
		old++
	}
	for i := old; i < int64(len(p.leaves)); i++ {
		more, err := tlog.StoredHashes(i, p.leaves[i], read)
		if err != nil {
			t.Fatal(err)
		}
		p.hashes = append(p.hashes, more...)
	}
	for _, tile := range tlog.NewTiles(torchwood.TileHeight, old, int64(len(p.leaves))) {
		data, err := tlog.ReadTileData(tile, read)
		if err != nil {
			t.Fatal(err)
		}
		p.put(torchwood.TilePath(tile), data)
		if tile.L == 0 {
			tile.L = -1
			p.put(torchwood.TilePath(tile), bundleOf(p.leaves[tile.N*256:][:tile.W]...))
		}
	}
	p.put("checkpoint", p.sign(t, int64(len(p.leaves)), p.root(t), p.signer, p.witness))
}

func (p *published) root(t testing.TB) tlog.Hash {
	t.Helper()
	root, err := tlog.TreeHash(int64(len(p.leaves)), tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, x := range at {
			out[i] = p.hashes[x]
		}
		return out, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func (p *published) put(path string, data []byte) { p.files[path] = &fstest.MapFile{Data: data} }

func (p *published) sign(t testing.TB, size int64, root tlog.Hash, signers ...note.Signer) []byte {
	t.Helper()
	text := torchwood.Checkpoint{Origin: origin, Tree: tlog.Tree{N: size, Hash: root}}.String()
	signed, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func bundleOf(leaves ...[]byte) []byte {
	var out []byte
	for _, leaf := range leaves {
		out = binary.BigEndian.AppendUint16(out, uint16(len(leaf)))
		out = append(out, leaf...)
	}
	return out
}

// copied returns the same log, whose files can be changed.
func (p *published) copied() *published {
	c := *p
	c.files = maps.Clone(p.files)
	c.leaves, c.hashes = slices.Clone(p.leaves), slices.Clone(p.hashes)
	return &c
}

// verification returns one of the log.
func (p *published) verification(t testing.TB) ledger.Verification {
	t.Helper()
	tiles, err := torchwood.NewTileFS(p.files)
	if err != nil {
		t.Fatal(err)
	}
	return ledger.Verification{Source: tiles, Trust: p.trust}
}

// verified runs a verification.
func verified(t testing.TB, v ledger.Verification) *ledger.Verdict {
	t.Helper()
	verdict, err := v.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return verdict
}

// good runs a verification that must find nothing.
func good(t testing.TB, v ledger.Verification) *ledger.Verdict {
	t.Helper()
	verdict := verified(t, v)
	if err := verdict.Err(); err != nil || verdict.FaultCount != 0 || len(verdict.Faults) != 0 {
		t.Fatalf("%v", err)
	}
	return verdict
}

// bad runs a verification that must find something, and returns what it found as text.
func bad(t testing.TB, v ledger.Verification) (*ledger.Verdict, string) {
	t.Helper()
	verdict := verified(t, v)
	if err := verdict.Err(); !errors.Is(err, ledger.ErrFaulty) || verdict.FaultCount == 0 {
		t.Fatalf("it finds nothing: %v", err)
	}
	var all []string
	for _, f := range verdict.Faults {
		all = append(all, fmt.Sprintf("%s %d %s", f.Kind, f.Index, f.Place))
		if f.What == "" {
			t.Errorf("%+v says nothing", f)
		}
	}
	return verdict, strings.Join(all, "; ")
}

func TestAGoodLogVerifies(t *testing.T) {
	for _, size := range []int{0, 1, 2, 255, 256, 257, 511, 512, 700, 65535, 65536, 65536 + 300} {
		p := publish(t, size)
		var steps []int64
		v := p.verification(t)
		v.Observe = func(done, total int64) {
			if total != int64(size) {
				t.Errorf("%d of %d leaves", done, total)
			}
			steps = append(steps, done)
		}
		verdict := good(t, v)
		if verdict.Leaves != int64(size) || verdict.From != 0 || verdict.Checkpoint.Size != int64(size) || verdict.Checkpoint.Hash != ledger.Hash(p.root(t)) {
			t.Errorf("%d leaves: %+v", size, verdict)
		}
		if len(verdict.Cosignatures) != 1 || verdict.Cosignatures[0].Witness != witnessName {
			t.Errorf("%d leaves: %+v", size, verdict.Cosignatures)
		}
		if verdict.Tiles != int64(len(p.files)-1) {
			t.Errorf("%d leaves: %d tiles were read, and there are %d", size, verdict.Tiles, len(p.files)-1)
		}
		if size > 0 && (!slices.IsSorted(steps) || steps[len(steps)-1] != int64(size)) {
			t.Errorf("%d leaves: progress %v", size, steps)
		}
	}
}

// What is beyond the checkpoint is not looked at, and partial tiles may be gone once they are full.
func TestALogThatHasGrown(t *testing.T) {
	p := publish(t, 700)
	old := p.files["checkpoint"].Data
	p.grow(t, 400)
	p.leaves[800][40] ^= 1 // it is not in the checkpoint
	p.put("tile/entries/003", bundleOf(p.leaves[768:1024]...))
	p.put("checkpoint", old)
	for name := range p.files {
		if strings.Contains(name, "002.p/") {
			delete(p.files, name)
		}
	}
	if verdict := good(t, p.verification(t)); verdict.Leaves != 700 {
		t.Errorf("%d leaves", verdict.Leaves)
	}
}

// fileOf returns the file in which a fault is.
func fileOf(f ledger.Fault) string {
	if strings.HasPrefix(f.Place, "leaf") || strings.HasPrefix(f.Place, "leaves") {
		if f.Index >= 512 {
			return "tile/entries/002.p/188"
		}
		return fmt.Sprintf("tile/entries/%03d", f.Index/256)
	}
	return f.Place
}

// Any byte of any file may be damaged: it is found, and in that file.
func TestEveryFlipIsFound(t *testing.T) {
	p := publish(t, 700)
	v := p.verification(t)
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		original := p.files[name].Data
		stride := max(len(original)/300, 1) // another offset each time: in the long run it is every byte
		for at := rand.N(stride); at < len(original); at += stride {
			damaged := bytes.Clone(original)
			damaged[at] ^= byte(1) << rand.N(8)
			p.put(name, damaged)
			verdict, all := bad(t, v)
			for _, f := range verdict.Faults {
				if fileOf(f) != name {
					t.Fatalf("byte %d of %s: %s", at, name, all)
				}
			}
			if entry := int64(at / (ledger.LeafSize + 2)); strings.HasPrefix(name, "tile/entries/00") {
				if f := verdict.Faults[0]; verdict.FaultCount != 1 || f.Index != int64(name[len("tile/entries/00")]-'0')*256+entry {
					t.Fatalf("byte %d of %s: %s", at, name, all)
				}
			}
		}
		p.put(name, original)
	}
}

func TestDamage(t *testing.T) {
	whole := publish(t, 700)
	large := publish(t, 65536+700)
	other := publish(t, 0)
	other.random = rand.NewChaCha8([32]byte{8})
	skey, _, err := note.GenerateKey(other.random, origin)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := strings.Replace(string(whole.files["checkpoint"].Data), origin, "other.example/log", 1)
	cut := func(name string, from, to int) func(*published) {
		return func(p *published) { p.put(name, p.files[name].Data[from:to]) }
	}
	rewrite := func(name string, first int, change func(leaves [][]byte) [][]byte) func(*published) {
		return func(p *published) {
			p.put(name, bundleOf(change(slices.Clone(p.leaves[first:min(first+256, len(p.leaves))]))...))
		}
	}
	swapFiles := func(a, b string) func(*published) {
		return func(p *published) { p.files[a], p.files[b] = p.files[b], p.files[a] }
	}
	flip := func(name string, at int) func(*published) {
		return func(p *published) {
			data := bytes.Clone(p.files[name].Data)
			data[at] ^= 0x20
			p.put(name, data)
		}
	}
	remove := func(name string) func(*published) {
		return func(p *published) {
			if p.files[name] == nil {
				panic(name)
			}
			delete(p.files, name)
		}
	}
	const entry = ledger.LeafSize + 2
	cases := []struct {
		name   string
		log    *published
		damage []func(*published)
		want   string
	}{
		{"two leaves swapped", whole, []func(*published){rewrite("tile/entries/001", 256, func(l [][]byte) [][]byte {
			l[10], l[12] = l[12], l[10]
			return l
		})}, "leaf 266 leaf 266; leaf 268 leaf 268"},
		{"some leaves in a row changed", whole, []func(*published){rewrite("tile/entries/001", 256, func(l [][]byte) [][]byte {
			return slices.Repeat([][]byte{whole.leaf()}, 256)
		}), rewrite("tile/entries/002.p/188", 512, func(l [][]byte) [][]byte {
			l[0], l[1] = l[3], l[4]
			return l
		})}, "leaf 256 leaves 256 to 513"},
		{"a leaf dropped", whole, []func(*published){rewrite("tile/entries/000", 0, func(l [][]byte) [][]byte { return slices.Delete(l, 100, 101) })},
			"bundle 100 tile/entries/000; leaf 100 leaf 100"},
		{"the last leaf dropped", whole, []func(*published){rewrite("tile/entries/002.p/188", 512, func(l [][]byte) [][]byte { return l[:187] })},
			"bundle 699 tile/entries/002.p/188; leaf 699 leaf 699"},
		{"a leaf too many", whole, []func(*published){rewrite("tile/entries/000", 0, func(l [][]byte) [][]byte { return slices.Insert(l, 100, whole.leaf()) })},
			"bundle 100 tile/entries/000"},
		{"a leaf too many at the end", whole, []func(*published){rewrite("tile/entries/002.p/188", 512, func(l [][]byte) [][]byte { return append(l, whole.leaf()) })},
			"bundle 699 tile/entries/002.p/188"},
		{"a bundle cut in a leaf", whole, []func(*published){cut("tile/entries/001", 0, 200*entry+50)},
			"bundle 456 tile/entries/001; leaf 456 leaves 456 to 511"},
		{"a bundle cut between leaves", whole, []func(*published){cut("tile/entries/001", 0, 200*entry)},
			"bundle 456 tile/entries/001; leaf 456 leaves 456 to 511"},
		{"an empty bundle", whole, []func(*published){cut("tile/entries/000", 0, 0)}, "bundle 0 tile/entries/000; leaf 0 leaves 0 to 255"},
		{"garbage after a bundle", whole, []func(*published){func(p *published) {
			p.put("tile/entries/000", append(bytes.Clone(p.files["tile/entries/000"].Data), 0))
		}}, "bundle 255 tile/entries/000"},
		{"an endless bundle", whole, []func(*published){func(p *published) { p.put("tile/entries/000", make([]byte, 256*65537+1)) }},
			"bundle 0 tile/entries/000; leaf 0 leaves 0 to 255"},
		{"a bundle missing", whole, []func(*published){remove("tile/entries/001")}, "missing 256 tile/entries/001"},
		{"a partial bundle missing", whole, []func(*published){remove("tile/entries/002.p/188")}, "missing 512 tile/entries/002.p/188"},
		{"two bundles swapped", whole, []func(*published){swapFiles("tile/entries/000", "tile/entries/001")}, "leaf 0 leaves 0 to 511"},
		{"a tile cut", whole, []func(*published){cut("tile/0/001", 0, 8191)}, "tile -1 tile/0/001"},
		{"a partial tile cut", whole, []func(*published){cut("tile/0/002.p/188", 0, 32)}, "tile -1 tile/0/002.p/188"},
		{"the top tile cut", whole, []func(*published){cut("tile/1/000.p/2", 0, 32)}, "tile -1 tile/1/000.p/2"},
		{"a tile missing", whole, []func(*published){remove("tile/0/001")}, "missing -1 tile/0/001"},
		{"a partial tile missing", whole, []func(*published){remove("tile/0/002.p/188")}, "missing -1 tile/0/002.p/188"},
		{"the top tile missing", whole, []func(*published){remove("tile/1/000.p/2")}, "missing -1 tile/1/000.p/2"},
		{"two tiles swapped", whole, []func(*published){swapFiles("tile/0/000", "tile/0/001")}, "tile -1 tile/0/000; tile -1 tile/0/001"},
		{"a middle tile missing", large, []func(*published){remove("tile/1/000")}, "missing -1 tile/1/000"},
		{"all middle tiles missing", large, []func(*published){remove("tile/1/000"), remove("tile/1/001.p/2"), remove("tile/2/000.p/1")},
			"missing -1 tile/1/001.p/2; missing -1 tile/2/000.p/1; missing -1 tile/1/000"},
		{"damage on every level", large, []func(*published){flip("tile/2/000.p/1", 3), flip("tile/1/000", 32*5), flip("tile/0/257", 32*9), flip("tile/entries/007", 20*entry+99), flip("tile/entries/200", 50)},
			"tile -1 tile/2/000.p/1; tile -1 tile/1/000; leaf 1812 leaf 1812; leaf 51200 leaf 51200; tile -1 tile/0/257"},
		{"too much to tell what is wrong", large, []func(*published){flip("tile/2/000.p/1", 3), flip("tile/1/000", 32*5), flip("tile/0/007", 32*9), flip("tile/entries/007", 20*entry+99)},
			"root -1 checkpoint; tile 0 tile/2/000.p/1; tile 0 tile/1/000; tile 1792 tile/0/007"},
		{"a tile and a leaf under it", whole, []func(*published){flip("tile/0/000", 32*7), flip("tile/entries/000", 9*entry+5)}, "tile -1 tile/0/000; leaf 9 leaf 9"},
		{"the edge and a leaf under it", whole, []func(*published){flip("tile/0/002.p/188", 32*7), flip("tile/entries/002.p/188", 9*entry+5)},
			"tile -1 tile/0/002.p/188; leaf 521 leaf 521"},
		{"a leaf and its hash", whole, []func(*published){flip("tile/0/000", 32*7), flip("tile/entries/000", 7*entry+5)}, "tile 0 tile/0/000"},
		{"a leaf and its hash at the edge", whole, []func(*published){flip("tile/0/002.p/188", 32*7), flip("tile/entries/002.p/188", 7*entry+5)},
			"root -1 checkpoint; tile 512 tile/0/002.p/188"},
		{"a leaf, and the tile to match", whole, []func(*published){func(p *published) {
			forged := p.leaf()
			tile := bytes.Clone(p.files["tile/0/001"].Data)
			hash := tlog.RecordHash(forged)
			copy(tile[44*32:], hash[:])
			p.put("tile/0/001", tile)
			rewrite("tile/entries/001", 256, func(l [][]byte) [][]byte { l[44] = forged; return l })(p)
		}}, "leaf 256 leaves 256 to 511"},
		{"a bundle and its tile missing", whole, []func(*published){remove("tile/0/001"), remove("tile/entries/001")},
			"missing -1 tile/0/001; missing 256 leaves 256 to 511; missing 256 tile/entries/001"},
		{"another root", whole, []func(*published){func(p *published) {
			p.put("checkpoint", p.sign(t, 700, tlog.Hash{1}, p.signer, p.witness))
		}}, "root -1 checkpoint"},
		{"another root of nothing", other, []func(*published){func(p *published) {
			p.put("checkpoint", p.sign(t, 0, tlog.Hash{1}, p.signer, p.witness))
		}}, "root -1 checkpoint"},
		{"more leaves than there are", whole, []func(*published){func(p *published) {
			p.put("checkpoint", p.sign(t, 701, p.root(t), p.signer, p.witness))
		}}, "missing -1 tile/0/002.p/189; root -1 checkpoint; missing 512 tile/entries/002.p/189"},
		{"an absurd number of leaves", whole, []func(*published){func(p *published) {
			p.put("checkpoint", p.sign(t, 1<<62, p.root(t), p.signer, p.witness))
		}}, "checkpoint -1 checkpoint"},
		{"another key", whole, []func(*published){func(p *published) {
			p.put("checkpoint", p.sign(t, 700, p.root(t), stranger, p.witness))
		}}, "checkpoint -1 checkpoint"},
		{"no cosignature", whole, []func(*published){func(p *published) {
			p.put("checkpoint", p.sign(t, 700, p.root(t), p.signer))
		}}, "checkpoint -1 checkpoint"},
		{"no signature of the log", whole, []func(*published){func(p *published) {
			p.put("checkpoint", p.sign(t, 700, p.root(t), p.witness))
		}}, "checkpoint -1 checkpoint"},
		{"no signature", whole, []func(*published){func(p *published) {
			text, _, _ := strings.Cut(string(p.files["checkpoint"].Data), "\n\n")
			p.put("checkpoint", []byte(text+"\n\n"))
		}}, "checkpoint -1 checkpoint"},
		{"another origin", whole, []func(*published){func(p *published) { p.put("checkpoint", []byte(elsewhere)) }}, "checkpoint -1 checkpoint"},
		{"no checkpoint", whole, []func(*published){remove("checkpoint")}, "missing -1 checkpoint"},
		{"an empty checkpoint", whole, []func(*published){cut("checkpoint", 0, 0)}, "checkpoint -1 checkpoint"},
		{"a huge checkpoint", whole, []func(*published){func(p *published) { p.put("checkpoint", make([]byte, 1<<20)) }}, "checkpoint -1 checkpoint"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := c.log.copied()
			for _, damage := range c.damage {
				damage(p)
			}
			if _, got := bad(t, p.verification(t)); got != c.want {
				t.Errorf("it finds\n%s\nand not\n%s", got, c.want)
			}
		})
	}
}
