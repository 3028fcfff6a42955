package ledger_test

import (
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
