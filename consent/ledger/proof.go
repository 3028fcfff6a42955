package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrProof is the parent of what is wrong with a proof.
var ErrProof = errors.New("the proof does not hold")

// Proofs are files that are checked offline, by who has the log's key and those of its witnesses.
//
// That of one leaf is in the form that everybody knows (C2SP tlog-proof), with the leaf as its extra data. That of two
// states of a log, and the history of a person, have forms of their own, in JSON.

// ProveLeaf returns a proof that a leaf is in the log, as C2SP tlog-proof.
func (g *Log) ProveLeaf(ctx context.Context, index int64) ([]byte, error) {
	at, err := g.Published(ctx)
	if err != nil {
		return nil, err
	}
	if index < 0 || index >= at.Size {
		return nil, fmt.Errorf("prove leaf %d: the published log has %d leaves", index, at.Size)
	}
	leaf, err := g.Leaf(ctx, index)
	if err != nil {
		return nil, err
	}
	proof, err := tlog.ProveRecord(at.Size, index, g.hashes(ctx, at))
	if err != nil {
		return nil, fmt.Errorf("prove leaf %d: %w", index, err)
	}
	return torchwood.FormatProofWithExtraData(index, leaf, proof, at.Note), nil
}

// LeafProof is what a proof of a leaf shows.
type LeafProof struct {
	Index        int64         `json:"index"`
	Leaf         Leaf          `json:"leaf"`
	Checkpoint   Checkpoint    `json:"checkpoint"`
	Cosignatures []Cosignature `json:"cosignatures,omitempty"`
}

const leafProofHead = "c2sp.org/tlog-proof@v1\n"

// VerifyLeaf checks a proof of a leaf. The error wraps ErrProof or ErrUntrusted.
func VerifyLeaf(proof []byte, trust *Trust) (*LeafProof, error) {
	_, signed, found := bytes.Cut(proof, []byte("\n\n"))
	if !found || !bytes.HasPrefix(proof, []byte(leafProofHead)) {
		return nil, fmt.Errorf("%w: it is no C2SP tlog-proof", ErrProof)
	}
	p := &LeafProof{}
	extra, err := torchwood.ProofExtraData(proof)
	if err != nil {
		return nil, fmt.Errorf("%w: it does not contain its leaf: %w", ErrProof, err)
	}
	if p.Leaf, err = ParseLeaf(extra); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	if p.Checkpoint, p.Cosignatures, err = trust.Open(signed); err != nil {
		return nil, err
	}
	if err := torchwood.VerifyProof(trust.policy, tlog.Hash(p.Leaf.Hash()), proof); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	_, err = fmt.Sscanf(indexLine(proof), "index %d", &p.Index)
	return p, err
}

// indexLine returns the line of a verified proof that says where the leaf is.
func indexLine(proof []byte) string {
	for line := range strings.Lines(string(proof)) {
		if strings.HasPrefix(line, "index ") {
			return line
		}
	}
	return ""
}

// Consistency shows that one state of a log has the other as its beginning: nothing was changed or taken away.
type Consistency struct {
	Format string `json:"format"` // ConsistencyFormat
	Old    string `json:"old"`    // signed checkpoint
	New    string `json:"new"`    // signed checkpoint
	Proof  []Hash `json:"proof"`  // RFC 6962 section 2.1.2
}

// ConsistencyFormat names the form of a [Consistency].
const ConsistencyFormat = "passerelle-log-consistency/1"

// ProveConsistency returns a proof that the published log has an earlier checkpoint, signed by the log, as its
// beginning.
func (g *Log) ProveConsistency(ctx context.Context, old []byte) (*Consistency, error) {
	before, err := readCheckpoint(old)
	if err != nil {
		return nil, err
	}
	at, err := g.Published(ctx)
	if err != nil {
		return nil, err
	}
	if before.Origin != at.Origin || before.Size > at.Size || before.Size == 0 {
		return nil, fmt.Errorf("the checkpoint of %d leaves of %s cannot come before that of %d leaves of %s", before.Size, before.Origin, at.Size, at.Origin)
	}
	proof, err := tlog.ProveTree(at.Size, before.Size, g.hashes(ctx, at))
	if err != nil {
		return nil, fmt.Errorf("prove that the log only grew: %w", err)
	}
	c := &Consistency{Format: ConsistencyFormat, Old: string(old), New: string(at.Note)}
	for _, h := range proof {
		c.Proof = append(c.Proof, Hash(h))
	}
	return c, c.check(before, at)
}

func (c *Consistency) check(before, after Checkpoint) error {
	proof := make(tlog.TreeProof, len(c.Proof))
	for i, h := range c.Proof {
		proof[i] = tlog.Hash(h)
	}
	if err := tlog.CheckTree(proof, after.Size, tlog.Hash(after.Hash), before.Size, tlog.Hash(before.Hash)); err != nil {
		return fmt.Errorf("%w: the log of %d leaves does not begin with that of %d: it was forked: %w", ErrProof, after.Size, before.Size, err)
	}
	return nil
}

// Verify checks both checkpoints and the proof. The error wraps ErrProof or ErrUntrusted.
func (c *Consistency) Verify(trust *Trust) (before, after Checkpoint, err error) {
	if before, _, err = trust.Open([]byte(c.Old)); err != nil {
		return before, after, fmt.Errorf("the old one: %w", err)
	}
	if after, _, err = trust.Open([]byte(c.New)); err != nil {
		return before, after, fmt.Errorf("the new one: %w", err)
	}
	if len(c.Proof) > 64 || before.Size < 1 || before.Size > after.Size {
		return before, after, fmt.Errorf("%w: from %d to %d leaves in %d steps", ErrProof, before.Size, after.Size, len(c.Proof))
	}
	return before, after, c.check(before, after)
}

// readProof reads a proof in JSON strictly.
func readProof(r io.Reader, v any) error {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%w: it cannot be read: %w", ErrProof, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows it", ErrProof)
	}
	return nil
}

// ReadConsistency reads a proof of consistency.
func ReadConsistency(r io.Reader) (*Consistency, error) {
	c := &Consistency{}
	if err := readProof(r, c); err != nil {
		return nil, err
	}
	if c.Format != ConsistencyFormat {
		return nil, fmt.Errorf("%w: its format is %.60q, not %q", ErrProof, c.Format, ConsistencyFormat)
	}
	return c, nil
}
