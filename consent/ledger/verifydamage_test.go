package ledger_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/racetest"
)

// otherPadding changes one of the bits of the last letter of base64 that mean nothing.
func otherPadding(letter byte) byte {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	return letters[strings.IndexByte(letters, letter)^1]
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
		stride := max(len(original)/racetest.Rounds(300), 1) // another offset each time: in the long run it is every byte
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
		{"a root of nothing but zeros, and no tile to go with it", whole, []func(*published){remove("tile/0/002.p/188"), remove("tile/entries/002.p/188"), func(p *published) {
			p.put("checkpoint", p.sign(t, 700, tlog.Hash{}, p.signer, p.witness))
		}}, "missing -1 tile/0/002.p/188; root -1 checkpoint; missing 512 tile/entries/002.p/188"},
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
		{"a signature that is written in another way", whole, []func(*published){func(p *published) {
			data := bytes.Clone(p.files["checkpoint"].Data)
			last := bytes.IndexByte(data[bytes.Index(data, []byte("\n\n")):], '=') + bytes.Index(data, []byte("\n\n")) - 1
			data[last] = otherPadding(data[last])
			p.put("checkpoint", data)
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
			verdict, got := bad(t, p.verification(t))
			if got != c.want {
				t.Errorf("it finds\n%s\nand not\n%s", got, c.want)
			}
			if strings.Contains(got, "checkpoint") && verdict.Leaves != 0 {
				t.Errorf("%d leaves are good although nothing that was signed confirms them", verdict.Leaves)
			}
		})
	}
}

// Some leaves and some hashes of leaves are changed: exactly these are named.
func TestDamageIsLocated(t *testing.T) {
	whole := publish(t, 1100)
	rapid.Check(t, func(r *rapid.T) {
		at := rapid.SliceOfNDistinct(rapid.IntRange(0, len(whole.leaves)-1), 1, 6, rapid.ID).Draw(r, "damaged")
		hashes := rapid.IntRange(0, len(at)).Draw(r, "of which are hashes")
		p := whole.copied()
		want := map[string]bool{}
		for i, index := range at {
			width := min(256, len(p.leaves)-index/256*256)
			tile := tlog.Tile{H: 8, L: 0, N: int64(index / 256), W: width}
			offset := index % 256 * 32
			if i >= hashes {
				tile.L, offset = -1, index%256*(ledger.LeafSize+2)+2+rapid.IntRange(0, ledger.LeafSize-1).Draw(r, "byte")
			}
			data := bytes.Clone(p.files[torchwood.TilePath(tile)].Data)
			data[offset] ^= 0x10
			p.put(torchwood.TilePath(tile), data)
			if want[torchwood.TilePath(tile)] = true; tile.L < 0 {
				delete(want, torchwood.TilePath(tile))
				want[fmt.Sprintf("leaf %d", index)] = true
			}
		}
		got := map[string]bool{}
		verdict, err := p.verification(t).Run(t.Context())
		if err != nil {
			r.Fatal(err)
		}
		for _, f := range verdict.Faults {
			var first, last int64
			if n, _ := fmt.Sscanf(f.Place, "leaves %d to %d", &first, &last); n < 2 {
				got[f.Place] = true
				continue
			}
			for i := first; i <= last; i++ {
				got[fmt.Sprintf("leaf %d", i)] = true
			}
		}
		if !maps.Equal(got, want) {
			r.Fatalf("it finds %v, and not %v", got, want)
		}
	})
}
