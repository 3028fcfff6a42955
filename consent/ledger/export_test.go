package ledger

import "testing"

// RootAt returns the root that a log had when it was smaller.
func RootAt(t testing.TB, g *Log, head Checkpoint, size int64) Hash {
	t.Helper()
	root, err := g.rootAt(t.Context(), head, size)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Tree is a tree for tests.
type Tree struct{ *tree }

// NewTree returns an empty one.
func NewTree() Tree { return Tree{newTree()} }

// Root returns its root.
func (t Tree) Root() Hash { return t.root() }

// Append adds a leaf.
func (t Tree) Append(leaf Hash, full func(level int, n int64, hashes []byte)) {
	t.append(leaf, func(f tile) { full(f.level, f.n, f.hashes) })
}
