package ledger

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// maxFaulty is how many bundles without a single good leaf may follow each other: what is so broken is looked at no
// further, since it may go on for as long as whoever serves it likes.
const maxFaulty = 1024

// maxMended is how many tiles are fetched to find out what is wrong with those above them, before that is left open.
const maxMended = 8192

// walk goes through a log from the signed root down to the leaves, and from left to right.
type walk struct {
	fetch  *fetcher
	size   int64
	root   Hash
	report func(Fault)
	logged func(index int64, leaf Leaf) // is called for each leaf that is the one that was logged
	passed func() error                 // is called after each bundle

	edge   []known // of each level, the hashes that are in no full tile
	rooted bool    // whether they give the root
	path   []known // of each level, the full tile below which the walk is
	done   int64   // leaves that are behind
	tiles  int64   // that were looked at
	same   faultyLeaves
	bad    int // bundles without a good leaf, up to here
	mended int // tiles that were fetched to find out which others are wrong
}

func newWalk(f *fetcher, c Checkpoint, report func(Fault)) *walk {
	n := levels(c.Size)
	return &walk{fetch: f, size: c.Size, root: c.Hash, report: report, edge: make([]known, n), path: make([]known, n)}
}

// tileAt returns what is known of the tile which is the edge of its level, or through which the walk goes.
func (w *walk) tileAt(level int, n int64) *known {
	if n == edgeTile(w.size, level).N {
		return &w.edge[level]
	}
	return &w.path[level]
}

// expect returns the root that the level above has for a full tile; sure is false where it is not to be relied on.
func (w *walk) expect(t tlog.Tile) (h Hash, sure bool) {
	return w.tileAt(t.L+1, t.N/tileWidth).at(int(t.N % tileWidth))
}

// openEdge fetches the hashes that give the signed root.
func (w *walk) openEdge(ctx context.Context) error {
	var tiles []tlog.Tile // none for an empty log
	for level := range w.edge {
		t := edgeTile(w.size, level)
		if w.edge[level].n = t.N; t.W > 0 {
			tiles = append(tiles, t)
		}
	}
	got, err := w.fetch.all(ctx, tiles)
	if err != nil {
		return err
	}
	w.tiles += int64(len(got))
	for _, g := range got {
		w.edge[g.L].hashes = w.read(g)
	}
	if w.rooted = w.edgeFits(); w.rooted {
		return nil
	}
	return w.mendEdge(ctx, tiles)
}

// edgeFits reports whether the edge is whole and gives the signed root.
func (w *walk) edgeFits() bool {
	t := &tree{size: w.size}
	for level, k := range w.edge {
		if len(k.hashes) != edgeTile(w.size, level).W {
			return false
		}
		t.edge = append(t.edge, k.hashes)
	}
	return t.root() == w.root
}

// mendEdge finds out which of the tiles at the edge are wrong, with the help of what is below each of them.
func (w *walk) mendEdge(ctx context.Context, tiles []tlog.Tile) error {
	said := map[int][]Hash{}
	for _, t := range tiles {
		said[t.L] = w.edge[t.L].hashes
	}
	ask := func(depth int) (all []guess, err error) {
		for _, t := range tiles {
			below, err := w.below(ctx, t, said[t.L], depth)
			if err != nil {
				return nil, err
			}
			all = append(all, guesses(said[t.L], below)...)
		}
		return all, nil
	}
	all, chosen, err := settleBelow(len(w.edge), ask, func(hashes []Hash) bool {
		for _, t := range tiles {
			w.edge[t.L].hashes, hashes = hashes[:t.W], hashes[t.W:]
		}
		return w.edgeFits()
	})
	if err != nil {
		return err
	}
	if w.rooted = chosen != nil; !w.rooted {
		w.loseEdge(tiles, all)
		return nil
	}
	for _, t := range tiles {
		w.blame(t, said[t.L], w.edge[t.L].hashes)
	}
	return nil
}

// loseEdge goes on with what the tiles at the edge and what is below them agree on, although it is not what was signed.
func (w *walk) loseEdge(tiles []tlog.Tile, all []guess) {
	w.fault(Fault{Kind: FaultRoot, Index: -1, Place: "checkpoint", What: fmt.Sprintf(
		"the checkpoint has another root than what there is of its %d leaves gives: %s was signed", w.size, w.root)})
	for _, t := range tiles {
		w.clash(t, all[:t.W])
		w.edge[t.L], all = unsettled(t.N, all[:t.W]), all[t.W:]
	}
}

// read takes a tile's hashes; it reports one that is missing or too short, and returns nil for it.
func (w *walk) read(g fetched) []Hash {
	if g.missing {
		w.fault(Fault{Kind: FaultMissing, Index: -1, Place: torchwood.TilePath(g.Tile), What: torchwood.TilePath(g.Tile) + " is not there"})
		return nil
	}
	hashes, err := readHashes(g.data, g.W)
	if err != nil {
		w.fault(Fault{Kind: FaultTile, Index: -1, Place: torchwood.TilePath(g.Tile), What: torchwood.TilePath(g.Tile) + " is no tile: " + err.Error()})
	}
	return hashes
}

// below fetches what is below a tile, and returns the hashes that it gives; nil for what is missing. Where they are not
// what the tile says, it goes as deep as that: a tile below may be wrong as well.
func (w *walk) below(ctx context.Context, t tlog.Tile, said []Hash, depth int) ([]*Hash, error) {
	if t.L == 0 {
		got, err := w.fetch.all(ctx, []tlog.Tile{entriesOf(t)})
		if err != nil {
			return nil, err
		}
		b := parseBundle(got[0].data, t.W)
		return b.pointers(t.W), nil
	}
	children := make([]tlog.Tile, t.W)
	for i := range children {
		children[i] = fullTile(t.L-1, t.N*tileWidth+int64(i))
	}
	got, err := w.fetch.all(ctx, children)
	if err != nil {
		return nil, err
	}
	w.mended += t.W
	out := make([]*Hash, t.W)
	for i, g := range got {
		hashes, _ := readHashes(g.data, g.W)
		out[i] = rootOf(pointers(hashes))
		if depth == 1 || w.mended > maxMended || out[i] != nil && said != nil && *out[i] == said[i] {
			continue
		}
		deeper, err := w.below(ctx, g.Tile, hashes, depth-1)
		if err != nil {
			return nil, err
		}
		if root := rootOf(deeper); root != nil {
			out[i] = root
		}
	}
	return out, nil
}

// confirm returns what is known of a full tile. Only where it is not what the level above says, below is asked.
func (w *walk) confirm(g fetched, below func(said []Hash, depth int) ([]*Hash, error)) (known, error) {
	said := w.read(g)
	want, sure := w.expect(g.Tile)
	if said != nil && sure && perfectRoot(said) == want {
		return known{n: g.N, hashes: said}, nil
	}
	ask := func(depth int) ([]guess, error) {
		under, err := below(said, depth)
		return guesses(said, under), err
	}
	all, chosen, err := settleBelow(g.L+1, ask, func(h []Hash) bool { return sure && perfectRoot(h) == want })
	switch {
	case err != nil:
		return known{}, err
	case chosen != nil:
		w.blame(g.Tile, said, chosen)
		return known{n: g.N, hashes: chosen}, nil
	}
	if !w.clash(g.Tile, all) && sure {
		w.lost(g.Tile, all)
	}
	return nothing(g.N), nil
}

// nothing is what is known of a tile that is wrong beyond help.
func nothing(n int64) known {
	return known{n: n, hashes: make([]Hash, tileWidth), doubt: slices.Repeat([]bool{true}, tileWidth)}
}

// blame reports a tile that is not what it should be.
func (w *walk) blame(t tlog.Tile, said, should []Hash) {
	var wrong []int
	for i, h := range said {
		if h != should[i] {
			wrong = append(wrong, i)
		}
	}
	if len(wrong) > 0 {
		w.fault(Fault{Kind: FaultTile, Index: -1, Place: torchwood.TilePath(t), What: fmt.Sprintf(
			"%d of the %d hashes in %s are not those that were signed; the first is that of %s", len(wrong), t.W, torchwood.TilePath(t), child(t, wrong[0]))})
	}
}

// clash reports a tile that contradicts the level below, where nothing tells which of them is right.
func (w *walk) clash(t tlog.Tile, all []guess) bool {
	var wrong []int
	for i, g := range all {
		if g.clashes() {
			wrong = append(wrong, i)
		}
	}
	if len(wrong) == 0 {
		return false
	}
	w.fault(Fault{Kind: FaultTile, Index: w.firstLeaf(t), Place: torchwood.TilePath(t), What: fmt.Sprintf(
		"%d of the %d hashes in %s contradict what is below, the first %s, and nothing that was signed tells which are right: %s cannot be checked",
		len(wrong), t.W, torchwood.TilePath(t), child(t, wrong[0]), w.leavesBelow(t))})
	return true
}

// lost reports leaves of which a tile and what is below it tell nothing that the level above confirms.
func (w *walk) lost(t tlog.Tile, all []guess) {
	f := Fault{Kind: FaultLeaf, Index: w.firstLeaf(t), Place: w.leavesBelow(t), What: fmt.Sprintf(
		"%s are not all those that were logged: %s and all that is below it give another hash than the level above has", w.leavesBelow(t), torchwood.TilePath(t))}
	if slices.ContainsFunc(all, func(g guess) bool { return !g.whole() }) {
		f.Kind, f.What = FaultMissing, fmt.Sprintf("%s cannot be checked: what there is of %s and below it does not give the hash that the level above has",
			w.leavesBelow(t), torchwood.TilePath(t))
	}
	w.fault(f)
}

// child names what a hash of a tile is that of.
func child(t tlog.Tile, i int) string {
	n := t.N*tileWidth + int64(i)
	if t.L == 0 {
		return fmt.Sprintf("leaf %d", n)
	}
	return torchwood.TilePath(fullTile(t.L-1, n))
}

func (w *walk) firstLeaf(t tlog.Tile) int64 { return t.N << shift(max(t.L, 0)+1) }

func (w *walk) leavesBelow(t tlog.Tile) string {
	first := w.firstLeaf(t)
	return leavesNamed(first, min(first+int64(t.W)<<shift(max(t.L, 0)), w.size)-1)
}

// rootAt returns the root that the log had when it was smaller. It is not known where tiles on the way are wrong or
// missing, of which nothing is reported.
func (w *walk) rootAt(ctx context.Context, size int64) (root Hash, sure bool, err error) {
	if size == 0 {
		return newTree().root(), true, nil
	}
	q := *w
	q.path, q.report = slices.Clone(w.path), func(Fault) {}
	for level := len(w.edge) - 1; level >= 0; level-- {
		t := fullTile(level, edgeTile(size, level).N)
		if t.N == w.edge[level].n {
			continue
		}
		if q.path[level], err = q.confirm(q.fetch.get(ctx, t), func(said []Hash, depth int) ([]*Hash, error) { return q.below(ctx, t, said, depth) }); err != nil {
			return Hash{}, false, err
		}
	}
	root, sure = q.rootHere(size)
	return root, sure && w.rooted, nil
}

// rootHere returns the root of the first leaves, whose last one is where the walk is.
func (w *walk) rootHere(size int64) (root Hash, sure bool) {
	t := &tree{size: size}
	for level := range levels(size) {
		last := edgeTile(size, level)
		k := w.tileAt(level, last.N)
		var hashes []Hash
		for i := range last.W {
			h, sure := k.at(i)
			if !sure {
				return Hash{}, false
			}
			hashes = append(hashes, h)
		}
		t.edge = append(t.edge, hashes)
	}
	return t.root(), true
}

// needs lists the tiles that a bundle needs, from the top down.
func (w *walk) needs(n int64, first bool) []tlog.Tile {
	var out []tlog.Tile
	for level := len(w.edge) - 1; level > 0; level-- {
		above := n >> shift(level)
		if begins := above<<shift(level) == n; (begins || first) && above < w.edge[level].n {
			out = append(out, fullTile(level, above))
		}
	}
	leaves := fullTile(0, n)
	if n == w.edge[0].n {
		leaves = edgeTile(w.size, 0)
		return append(out, entriesOf(leaves))
	}
	return append(out, entriesOf(leaves), leaves)
}

// plan lists all tiles from the bundle that holds a leaf to the end.
func (w *walk) plan(from int64) iter.Seq[tlog.Tile] {
	return func(yield func(tlog.Tile) bool) {
		for n := from / tileWidth; n*tileWidth < w.size; n++ {
			for _, t := range w.needs(n, n == from/tileWidth) {
				if !yield(t) {
					return
				}
			}
		}
	}
}

// run goes from a leaf to the end.
func (w *walk) run(ctx context.Context, from int64) error {
	next, stop := w.fetch.ahead(ctx, w.plan(from))
	defer stop()
	defer w.flush()
	w.done = from
	for n := from / tileWidth; n*tileWidth < w.size; n++ {
		if err := w.step(ctx, n, n == from/tileWidth, next); err != nil {
			return err
		}
		w.done = min((n+1)*tileWidth, w.size)
		if err := w.passed(); err != nil {
			return err
		}
		if w.bad == maxFaulty && w.done < w.size {
			w.fault(Fault{Kind: FaultStopped, Index: w.done, Place: leavesNamed(w.done, w.size-1), What: fmt.Sprintf(
				"%s were not looked at, since there is not a good leaf among the %d before", leavesNamed(w.done, w.size-1), maxFaulty*tileWidth)})
			return nil
		}
	}
	return nil
}

// step goes through one bundle.
func (w *walk) step(ctx context.Context, n int64, first bool, next func() (fetched, error)) error {
	var entries fetched
	var b bundle
	leaves := w.tileAt(0, n)
	for _, t := range w.needs(n, first) {
		got, err := next()
		if err != nil {
			return err
		}
		w.tiles++
		switch {
		case t.L < 0:
			entries, b = got, parseBundle(got.data, t.W)
		case t.L == 0:
			*leaves, err = w.confirm(got, func([]Hash, int) ([]*Hash, error) { return b.pointers(t.W), nil })
		default:
			w.path[t.L], err = w.confirm(got, func(said []Hash, depth int) ([]*Hash, error) { return w.below(ctx, t, said, depth) })
		}
		if err != nil {
			return err
		}
	}
	w.bad++
	w.check(entries, &b, leaves)
	return nil
}

// check holds a bundle against the hashes of its leaves.
func (w *walk) check(g fetched, b *bundle, leaves *known) {
	place := torchwood.TilePath(g.Tile)
	if g.missing {
		w.fault(Fault{Kind: FaultMissing, Index: w.firstLeaf(g.Tile), Place: place, What: place + " is not there: " + w.leavesBelow(g.Tile) + " cannot be checked"})
		return
	}
	first := w.firstLeaf(g.Tile)
	at, extra := b.find(leaves)
	if what, i := b.fault(at, extra); what != "" {
		w.fault(Fault{Kind: FaultBundle, Index: first + int64(i), Place: place, What: place + " " + what})
	}
	for _, i := range b.lengths {
		w.leafFault(first+int64(i), FaultBundle, isMeasured)
	}
	for i, e := range at {
		if want, sure := leaves.at(i); sure {
			w.leaf(first+int64(i), b, e, want)
		}
	}
}

// leaf looks at the entry that should be a leaf.
func (w *walk) leaf(index int64, b *bundle, entry int, want Hash) {
	switch {
	case entry < 0:
		w.leafFault(index, FaultLeaf, isAbsent)
		return
	case b.hashes[entry] != want:
		w.leafFault(index, FaultLeaf, isChanged)
		return
	}
	w.bad = 0
	leaf, err := ParseLeaf(b.entries[entry])
	if err != nil {
		w.leafFault(index, FaultForm, isMisshapen(err))
	} else if w.rooted {
		w.logged(index, leaf)
	}
}
