package ledger

import (
	"crypto/sha256"
	"fmt"
	"math"
	"slices"

	"filippo.io/torchwood"
)

const (
	entrySize = 2 + LeafSize // of a leaf in a bundle, with its length
	// maxBundle is the size of the largest bundle that there can be.
	maxBundle = tileWidth * (2 + math.MaxUint16)
)

// bundle is what an entry bundle holds.
type bundle struct {
	entries [][]byte
	hashes  []Hash
	lengths []int  // the entries whose length is written wrong, although they are where they should be
	flaw    string // why it cannot be read to its end
}

// parseBundle reads a bundle that should hold so many entries. Whatever it gets, it reads what can be read.
func parseBundle(data []byte, want int) bundle {
	b := bundle{}
	if len(data) > maxBundle {
		b.flaw = fmt.Sprintf("it has more than %d bytes, which no bundle has", maxBundle)
		return b
	}
	b.split(data)
	if (len(b.entries) != want || b.flaw != "") && len(data) == want*entrySize {
		b = bundle{}
		b.slice(data)
	}
	for _, entry := range b.entries {
		b.hashes = append(b.hashes, entryHash(entry))
	}
	return b
}

// split reads entries, each with its length before it.
func (b *bundle) split(rest []byte) {
	b.entries = make([][]byte, 0, tileWidth)
	for len(rest) > 0 {
		if len(b.entries) == 2*tileWidth {
			b.flaw = fmt.Sprintf("it holds more than %d entries", 2*tileWidth)
			return
		}
		entry, after, err := torchwood.ReadTileEntry(rest)
		if err != nil {
			b.flaw = fmt.Sprintf("entry %d is cut off", len(b.entries)+1)
			return
		}
		b.entries, rest = append(b.entries, entry), after
	}
}

// slice takes a bundle of the right size apart without believing the lengths in it, since all leaves are of one size.
func (b *bundle) slice(data []byte) {
	for i := 0; len(data) > 0; i++ {
		if int(data[0])<<8|int(data[1]) != LeafSize {
			b.lengths = append(b.lengths, i)
		}
		b.entries, data = append(b.entries, data[2:entrySize]), data[entrySize:]
	}
}

// entryHash is leafHash, faster for what has the size of a leaf.
func entryHash(entry []byte) Hash {
	if len(entry) != LeafSize {
		return leafHash(entry)
	}
	var buffer [1 + LeafSize]byte
	copy(buffer[1:], entry)
	return sha256.Sum256(buffer[:])
}

// find says which entry is each of the leaves: its number, or -1. A bundle of the right number holds them in their
// places; in any other some are missing, or there are some too many in between.
func (b *bundle) find(leaves *known) (at []int, extra []int) {
	at = make([]int, len(leaves.hashes))
	next := 0
	for i, h := range leaves.hashes {
		at[i] = -1
		if len(b.hashes) == len(at) {
			at[i] = i
		} else if k := slices.Index(b.hashes[next:], h); k >= 0 {
			for j := range k {
				extra = append(extra, next+j)
			}
			at[i], next = next+k, next+k+1
		}
	}
	for ; len(b.hashes) != len(at) && next < len(b.hashes); next++ {
		extra = append(extra, next)
	}
	return at, extra
}

// pointers returns the hashes that a bundle gives for so many leaves; nil where it holds another number of them.
func (b *bundle) pointers(want int) []*Hash {
	if len(b.hashes) != want {
		return make([]*Hash, want)
	}
	return pointers(b.hashes)
}

// fault says what is wrong with a bundle as a whole, "" if nothing is, and which leaf is the first that is concerned.
func (b *bundle) fault(at, extra []int) (what string, leaf int) {
	if len(b.entries) == len(at) && b.flaw == "" {
		return "", 0
	}
	what = fmt.Sprintf("holds %d entries, not %d", len(b.entries), len(at))
	if b.flaw != "" {
		what += ": " + b.flaw
	}
	leaf = slices.Index(at, -1)
	if len(extra) > 0 {
		what += fmt.Sprintf(": entry %d is none of those that were logged", extra[0]+1)
		leaf = slices.IndexFunc(at, func(e int) bool { return e > extra[0] })
	}
	if leaf < 0 {
		leaf = len(at) - 1
	}
	return what, leaf
}
