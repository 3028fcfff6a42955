package ledger

import "fmt"

// Fault is one thing that is wrong with a log. Leaves that follow each other and have the same fault are one.
type Fault struct {
	Kind  string `json:"kind"`
	Index int64  `json:"index"` // of the first leaf concerned, or -1
	Place string `json:"place"` // "checkpoint", "leaf 12345", "leaves 512 to 767", or a file: "tile/1/x001/234"
	What  string `json:"what"`  // a sentence that says all of it
}

// The kinds of faults.
const (
	FaultCheckpoint = "checkpoint" // it is not signed as it must be, or is none
	FaultRoot       = "root"       // the signed root is not that of the leaves
	FaultRollback   = "rollback"   // the log is shorter than it was
	FaultFork       = "fork"       // the log is not the one that it was
	FaultMissing    = "missing"    // a file is not there
	FaultTile       = "tile"       // a tile of hashes is not the one that was signed
	FaultBundle     = "bundle"     // an entry bundle holds too little, too much, or something else than entries
	FaultLeaf       = "leaf"       // a leaf is not the one that was logged
	FaultForm       = "form"       // what was logged is not a leaf
	FaultTag        = "tag"        // two leaves have the same tag
	FaultStopped    = "stopped"    // so much is wrong that the rest was not looked at
)

// leavesNamed names leaves by their indices.
func leavesNamed(first, last int64) string {
	if first == last {
		return fmt.Sprintf("leaf %d", first)
	}
	return fmt.Sprintf("leaves %d to %d", first, last)
}

// predicate is what is said of one leaf, or of several.
type predicate struct{ is, are string }

var (
	isChanged  = predicate{"is not the one that was logged", "are not the ones that were logged"}
	isAbsent   = predicate{"is missing from its bundle", "are missing from their bundle"}
	isMeasured = predicate{"has a wrong length written before it", "have wrong lengths written before them"}
)

// isMisshapen is said of what was logged although it is not a leaf.
func isMisshapen(err error) predicate {
	return predicate{"was logged, but " + err.Error(), "were logged, but of each of them: " + err.Error()}
}

// faultyLeaves follow each other and have the same fault.
type faultyLeaves struct {
	kind        string
	what        predicate
	first, last int64
}

func (s faultyLeaves) fault() Fault {
	f := Fault{Kind: s.kind, Index: s.first, Place: leavesNamed(s.first, s.last)}
	if f.What = f.Place + " " + s.what.are; s.first == s.last {
		f.What = f.Place + " " + s.what.is
	}
	return f
}

// leafFault reports a leaf, together with those before it that have the same fault.
func (w *walk) leafFault(index int64, kind string, what predicate) {
	if w.same.kind == kind && w.same.what == what && w.same.last == index-1 {
		w.same.last = index
		return
	}
	w.flush()
	w.same = faultyLeaves{kind: kind, what: what, first: index, last: index}
}

// flush reports the last leaves that had a fault.
func (w *walk) flush() {
	if w.same.kind != "" {
		w.report(w.same.fault())
		w.same = faultyLeaves{}
	}
}

// fault reports another fault than that of single leaves.
func (w *walk) fault(f Fault) {
	w.flush()
	w.report(f)
}
