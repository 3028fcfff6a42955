package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// logProof makes and checks proofs.
type logProof struct {
	Leaf        proofLeaf        `cmd:"" help:"Prove that a leaf is in the log (C2SP tlog-proof)."`
	Consistency proofConsistency `cmd:"" help:"Prove that the log of today begins with the one of an earlier checkpoint."`
	History     proofHistory     `cmd:"" help:"Prove what was logged of a person with a service, and that there was nothing else. That is itself logged."`
	Check       proofCheck       `cmd:"" help:"Check a proof, offline."`
}

type proofOut struct {
	Out string `help:"File to write; the terminal if not given." type:"path" placeholder:"FILE"`
}

func (o proofOut) write(p *program, text []byte) error {
	if o.Out == "" {
		_, err := p.out.Write(text)
		return err
	}
	if err := os.WriteFile(o.Out, text, 0o600); err != nil {
		return err
	}
	_, err := fmt.Fprintf(p.out, "wrote %s\nCheck it:  passerelle log proof check %s --key '…'\n", o.Out, o.Out)
	return err
}

func (o proofOut) writeJSON(p *program, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return o.write(p, append(text, '\n'))
}

type proofLeaf struct {
	Index    int64 `arg:"" help:"Which leaf, from 0."`
	proofOut `embed:""`
}

// Run makes it.
func (c *proofLeaf) Run(ctx context.Context, p *program) error {
	return p.withLog(ctx, func(_ *gateway, log *ledger.Log) error {
		proof, err := log.ProveLeaf(ctx, c.Index)
		if err != nil {
			return err
		}
		return c.write(p, proof)
	})
}

type proofConsistency struct {
	Old      string `arg:"" help:"File with the earlier signed checkpoint." type:"existingfile"`
	proofOut `embed:""`
}

// Run makes it.
func (c *proofConsistency) Run(ctx context.Context, p *program) error {
	old, err := readLimited(c.Old, 64<<10)
	if err != nil {
		return err
	}
	return p.withLog(ctx, func(_ *gateway, log *ledger.Log) error {
		proof, err := log.ProveConsistency(ctx, old)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Old, err)
		}
		return c.writeJSON(p, proof)
	})
}

type proofHistory struct {
	Person   string `arg:"" help:"Name of the person, as person list shows it."`
	Service  string `help:"Only events with this service are opened as a whole; of others, their service. All are if not given." placeholder:"ID"`
	To       string `help:"Who gets it: that is logged." required:"" placeholder:"WHO"`
	Hide     bool   `help:"Do not even open the services of other events; then nothing shows that there were none of this one."`
	proofOut `embed:""`
}

// Run makes it.
func (c *proofHistory) Run(ctx context.Context, p *program) error {
	return p.withLedger(ctx, func(l *ledger.Ledger) error {
		history, err := l.History(ctx, ledger.Disclose{Person: c.Person, Service: c.Service, To: c.To, Hide: c.Hide})
		if err != nil {
			return fmt.Errorf("%s: %w", c.Person, err)
		}
		return c.writeJSON(p, history)
	})
}

type proofCheck struct {
	File       string `arg:"" help:"The proof." type:"existingfile"`
	trustFlags `embed:""`
}

// maxProof is the greatest size of a proof's file, in bytes.
const maxProof = 1 << 30

// Run checks a proof of any kind.
func (c *proofCheck) Run(ctx context.Context, p *program) error {
	trust, err := c.trust()
	if err != nil {
		return err
	}
	text, err := readLimited(c.File, maxProof)
	if err != nil {
		return err
	}
	shown, err := checkProof(p, text, trust)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if p.JSON {
		return nil
	}
	_, err = fmt.Fprint(p.out, shown)
	return err
}

// checkProof checks a proof, and returns what it shows.
func checkProof(p *program, text []byte, trust *ledger.Trust) (string, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		leaf, err := ledger.VerifyLeaf(text, trust)
		if err != nil {
			return "", err
		}
		if p.JSON {
			return "", p.print(leaf)
		}
		return fmt.Sprintf("It holds: leaf %d of the log %s is %s, %s, %s.\n", leaf.Index, trust.Origin, leaf.Leaf.Hash(), leaf.Leaf.Class(),
			leaf.Leaf.Hour().Format(time.DateOnly)), nil
	}
	var kind struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(text, &kind); err != nil {
		return "", fmt.Errorf("%w: %w", ledger.ErrProof, err)
	}
	if kind.Format == ledger.ConsistencyFormat {
		return checkConsistency(p, text, trust)
	}
	history, err := ledger.ReadHistory(bytes.NewReader(text))
	if err != nil {
		return "", err
	}
	shown, err := history.Verify(trust)
	if err != nil {
		return "", err
	}
	if p.JSON {
		return "", p.print(shown)
	}
	return "It holds.\n" + shown.Text(), nil
}

func checkConsistency(p *program, text []byte, trust *ledger.Trust) (string, error) {
	proof, err := ledger.ReadConsistency(bytes.NewReader(text))
	if err != nil {
		return "", err
	}
	before, after, err := proof.Verify(trust)
	if err != nil {
		return "", err
	}
	if p.JSON {
		return "", p.print(map[string]int64{"from": before.Size, "to": after.Size})
	}
	return fmt.Sprintf("It holds: the log %s grew from %d to %d leaves, and nothing that was there changed.\n", trust.Origin, before.Size, after.Size), nil
}
