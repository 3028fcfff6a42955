package ledger

import (
	"crypto/sha256"
	"fmt"
	"math/bits"
	"slices"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// shift returns how many bits of a leaf's index are below the hashes of a level: each is the root of 256^level leaves.
func shift(level int) int { return torchwood.TileHeight * level }

// levels returns how many levels of tiles a tree has.
func levels(size int64) int {
	return (bits.Len64(uint64(size)) + torchwood.TileHeight - 1) / torchwood.TileHeight
}

// edgeTile returns where the hashes of a level are that are in no full tile; its width may be 0.
func edgeTile(size int64, level int) tlog.Tile {
	n := size >> shift(level)
	return tlog.Tile{H: torchwood.TileHeight, L: level, N: n / tileWidth, W: int(n % tileWidth)}
}

func fullTile(level int, n int64) tlog.Tile {
	return tlog.Tile{H: torchwood.TileHeight, L: level, N: n, W: tileWidth}
}

// entriesOf returns the entry bundle whose leaves' hashes are in a tile of level 0.
func entriesOf(t tlog.Tile) tlog.Tile {
	t.L = -1
	return t
}

// known is what is known of a tile: its hashes as the root confirms them, or, where that cannot be told, as the tile
// and the level below agree.
type known struct {
	n      int64
	hashes []Hash
	doubt  []bool // which of them they do not agree on; nil: none
}

func (k *known) at(i int) (h Hash, sure bool) {
	if k.doubt != nil && k.doubt[i] {
		return Hash{}, false
	}
	return k.hashes[i], true
}

// guess is what one hash of a tile may be: what the tile says, and what the level below gives. nil: it says nothing.
type guess struct{ tile, below *Hash }

func (g guess) whole() bool   { return g.tile != nil && g.below != nil }
func (g guess) agrees() bool  { return g.whole() && *g.tile == *g.below }
func (g guess) clashes() bool { return g.whole() && *g.tile != *g.below }

// guesses pairs what a tile says, if it says anything, with what the level below gives.
func guesses(tile []Hash, below []*Hash) []guess {
	out := make([]guess, len(below))
	for i := range out {
		out[i].below = below[i]
		if tile != nil {
			out[i].tile = &tile[i]
		}
	}
	return out
}

// maxDiffering is how many hashes may be wrong in part in the tile, in part below, so that it is found out which.
const maxDiffering = 6

// settle chooses between the guesses so that the level above confirms the choice, or returns nil.
func settle(all []guess, confirms func([]Hash) bool) []Hash {
	chosen := make([]Hash, len(all))
	var differ []int
	for i, g := range all {
		switch {
		case g.tile == nil && g.below == nil:
			return nil
		case g.tile == nil:
			chosen[i] = *g.below
			continue
		}
		chosen[i] = *g.tile
		if g.clashes() {
			differ = append(differ, i)
		}
	}
	if confirms(chosen) {
		return chosen
	}
	for _, i := range differ {
		chosen[i] = *all[i].below
	}
	if confirms(chosen) || len(differ) <= maxDiffering && mix(chosen, all, differ, confirms) {
		return chosen
	}
	return nil
}

// mix tries every way to take some of the hashes that differ from the tile, and the others from below.
func mix(chosen []Hash, all []guess, differ []int, confirms func([]Hash) bool) bool {
	for some := 1; some < 1<<len(differ)-1; some++ {
		for bit, i := range differ {
			chosen[i] = *all[i].tile
			if some>>bit&1 != 0 {
				chosen[i] = *all[i].below
			}
		}
		if confirms(chosen) {
			return true
		}
	}
	return false
}

// settleBelow settles with what is right below, and then with what is deeper and deeper. Where nothing helps, it returns
// no hashes and the last guesses.
func settleBelow(deepest int, ask func(depth int) ([]guess, error), confirms func([]Hash) bool) (all []guess, chosen []Hash, err error) {
	for depth := 1; depth <= deepest && chosen == nil; depth++ {
		if all, err = ask(depth); err != nil {
			return nil, nil, err
		}
		chosen = settle(all, confirms)
	}
	return all, chosen, nil
}

// unsettled is what is known of a tile whose hashes nothing confirms.
func unsettled(n int64, all []guess) known {
	k := known{n: n, hashes: make([]Hash, len(all)), doubt: make([]bool, len(all))}
	for i, g := range all {
		if k.doubt[i] = !g.agrees(); !k.doubt[i] {
			k.hashes[i] = *g.tile
		}
	}
	return k
}

// readHashes splits a tile of hashes.
func readHashes(data []byte, width int) ([]Hash, error) {
	if len(data) != width*sha256.Size {
		return nil, fmt.Errorf("it has %d bytes, not %d", len(data), width*sha256.Size)
	}
	hashes := make([]Hash, width)
	for i := range hashes {
		copy(hashes[i][:], data[i*sha256.Size:])
	}
	return hashes, nil
}

// rootOf returns the root of a full tile, or nil if it is not full.
func rootOf(hashes []*Hash) *Hash {
	if len(hashes) != tileWidth || slices.Contains(hashes, nil) {
		return nil
	}
	all := make([]Hash, len(hashes))
	for i, h := range hashes {
		all[i] = *h
	}
	root := perfectRoot(all)
	return &root
}

// pointers returns where hashes are.
func pointers(hashes []Hash) []*Hash {
	out := make([]*Hash, len(hashes))
	for i := range hashes {
		out[i] = &hashes[i]
	}
	return out
}
