package ledger

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

// ErrUntrusted is the parent of what is wrong with the signatures of a checkpoint.
var ErrUntrusted = errors.New("the checkpoint is not signed as it must be")

// Trust says whose signatures a checkpoint must bear: one of the log's own keys, and as many witnesses as the quorum.
type Trust struct {
	Origin string // of the log
	policy torchwood.Policy
	known  []string // names of the witnesses
	quorum int
}

// Cosignature is that of a witness, which says that it saw nothing else of that log before that time.
type Cosignature struct {
	Witness string    `json:"witness"`
	Time    time.Time `json:"time"`
}

// NewTrust trusts a log with these keys (the current one, and those that it had before), and these witnesses. Keys are
// written as C2SP signed-note and tlog-cosignature have them: "name+hash+key".
func NewTrust(keys, witnesses []string, quorum int) (*Trust, error) {
	if len(keys) == 0 {
		return nil, errors.New("the log's key is needed: name+hash+key, as passerelle log checkpoint prints it")
	}
	if quorum < 0 || quorum > len(witnesses) {
		return nil, fmt.Errorf("%d of %d witnesses is not a policy", quorum, len(witnesses))
	}
	t := &Trust{quorum: quorum}
	var logs, cosigners []torchwood.Policy
	for _, key := range keys {
		v, err := note.NewVerifier(strings.TrimSpace(key))
		if err != nil {
			return nil, fmt.Errorf("%.200q is not the key of a log (name+hash+key): %w", key, err)
		}
		if t.Origin != "" && t.Origin != v.Name() {
			return nil, fmt.Errorf("the keys are those of two logs, %s and %s", t.Origin, v.Name())
		}
		t.Origin = v.Name()
		logs = append(logs, torchwood.SingleVerifierPolicy(v))
	}
	for _, key := range witnesses {
		v, err := torchwood.NewCosignatureVerifier(strings.TrimSpace(key))
		if err != nil {
			return nil, fmt.Errorf("%.200q is not the key of a witness (name+hash+key): %w", key, err)
		}
		for _, name := range t.known {
			if name == v.Name() {
				return nil, fmt.Errorf("the witness %s is named twice", name)
			}
		}
		t.known = append(t.known, v.Name())
		cosigners = append(cosigners, torchwood.SingleVerifierPolicy(v))
	}
	t.policy = torchwood.ThresholdPolicy(3, torchwood.OriginPolicy(t.Origin), torchwood.ThresholdPolicy(1, logs...), torchwood.ThresholdPolicy(quorum, cosigners...))
	return t, nil
}

// Open verifies a signed checkpoint, and returns it with the cosignatures of witnesses that are known. The error wraps
// ErrUntrusted and says whose signature is missing.
func (t *Trust) Open(signed []byte) (Checkpoint, []Cosignature, error) {
	c, err := readCheckpoint(signed)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	if c.Origin != t.Origin {
		return Checkpoint{}, nil, fmt.Errorf("%w: it is that of the log %q, not of %q", ErrUntrusted, c.Origin, t.Origin)
	}
	n, err := note.Open(signed, t.policy)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("%w: nobody signed it whose key is known: %w", ErrUntrusted, err)
	}
	if err := t.policy.Check(c.Origin, n.Sigs); err != nil {
		return Checkpoint{}, nil, fmt.Errorf("%w: %s", ErrUntrusted, t.missing(n.Sigs))
	}
	if err := strictNote(signed); err != nil {
		return Checkpoint{}, nil, err
	}
	return c, t.cosignatures(n.Sigs), nil
}

// strictNote refuses signatures that are encoded in another way than the usual one, which verifiers do not look at: a
// checkpoint has one form, so that two that differ are two.
func strictNote(signed []byte) error {
	_, lines, _ := bytes.Cut(signed, []byte("\n\n"))
	for line := range bytes.Lines(lines) {
		sig := bytes.TrimSuffix(line[bytes.LastIndexByte(line, ' ')+1:], []byte("\n"))
		raw, err := base64.StdEncoding.DecodeString(string(sig))
		if err != nil || base64.StdEncoding.EncodeToString(raw) != string(sig) {
			return fmt.Errorf("%w: a signature is not written as base64 should be", ErrUntrusted)
		}
	}
	return nil
}

func (t *Trust) cosignatures(sigs []note.Signature) []Cosignature {
	var out []Cosignature
	for _, name := range t.known {
		for _, sig := range sigs {
			if sig.Name != name || sig.Name == t.Origin {
				continue
			}
			if at, err := torchwood.CosignatureTimestamp(sig); err == nil {
				out = append(out, Cosignature{Witness: name, Time: time.Unix(at, 0).UTC()})
			}
		}
	}
	return out
}

func (t *Trust) missing(sigs []note.Signature) string {
	var signers []string
	own := false
	for _, sig := range sigs {
		if sig.Name == t.Origin {
			own = true
		} else {
			signers = append(signers, sig.Name)
		}
	}
	switch {
	case !own:
		return "the log itself did not sign it with a key that is known"
	case len(signers) == 0:
		return fmt.Sprintf("%d of the witnesses %s must have signed it, and none did", t.quorum, strings.Join(t.known, ", "))
	}
	return fmt.Sprintf("%d of the witnesses %s must have signed it, and only %s did", t.quorum, strings.Join(t.known, ", "), strings.Join(signers, ", "))
}
