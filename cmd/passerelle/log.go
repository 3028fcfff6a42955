package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// logCommand looks into logs, ours and those of others.
type logCommand struct {
	Verify     logVerify     `cmd:"" help:"Check every leaf, tile and signature of a log, as a regulator would."`
	Checkpoint logCheckpoint `cmd:"" help:"Print the newest checkpoint of this operator's log, its key, and our key as a witness of other logs."`
	Show       logShow       `cmd:"" help:"List leaves as everybody sees them, or what is logged of a person as the person sees it."`
	Proof      logProof      `cmd:"" help:"Make proofs, and check them offline."`
	Forget     logForget     `cmd:"" help:"Forget a person: destroy the key without which nothing logged of them can be read."`
}

// trustFlags say whose signatures a checkpoint must bear.
type trustFlags struct {
	Key      []string `help:"The log's key, name+hash+key, as the operator publishes it. Several if it was rotated." sep:"none" placeholder:"KEY"`
	Operator string   `help:"Signed statement (JSON) of the operator, in the place of --key." type:"existingfile" placeholder:"FILE"`
	Witness  []string `help:"Key of a witness. Several allowed." sep:"none" placeholder:"KEY"`
	Quorum   int      `help:"How many witnesses must have cosigned; all of them if not given." default:"-1" placeholder:"N"`
}

func (f *trustFlags) trust() (*ledger.Trust, error) {
	keys := f.Key
	if f.Operator != "" {
		more, err := keysOf(f.Operator)
		if err != nil {
			return nil, err
		}
		keys = append(keys, more...)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: say which key the log must be signed with: --key KEY, or --operator FILE", errUsage)
	}
	quorum := f.Quorum
	if quorum < 0 {
		quorum = len(f.Witness)
	}
	trust, err := ledger.NewTrust(keys, f.Witness, quorum)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errUsage, err)
	}
	return trust, nil
}

// keysOf returns the keys of an operator's log, those it had before too, but none that was revoked.
func keysOf(file string) ([]string, error) {
	signed, err := statementIn(file)
	if err != nil {
		return nil, err
	}
	keys, err := logKeys(signed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return keys, nil
}

// statementIn reads the signed statement of an operator.
func statementIn(file string) (*statement.Signed, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	signed, err := statement.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return signed, nil
}

// logKeys are the keys with which an operator signed, and signs, its log.
func logKeys(signed *statement.Signed) (keys []string, err error) {
	for _, k := range signed.Statement.Keys {
		if k.Use != statement.UseLog || k.Revoked != nil {
			continue
		}
		public, err := k.JWK.Ed25519()
		if err != nil {
			return nil, err
		}
		key, err := ledger.VerifierKey(logOrigin(signed.Statement.ID), crypto.PublicKey(public))
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// logVerify checks a log.
type logVerify struct {
	Log        string `arg:"" name:"url-or-folder" help:"Where the log is: https://operator.example/log, or a folder with a copy of it."`
	State      string `help:"Folder that remembers what was verified, so that the next time goes on there and sees a fork; in the gateway's folder if not given." type:"path" placeholder:"DIR"`
	Mirror     string `help:"Keep a copy of the log in this folder." type:"path" placeholder:"DIR"`
	Faults     int    `help:"How many faults are named one by one." default:"100" placeholder:"N"`
	trustFlags `embed:""`
}

// Run checks, and fails where there is a fault.
func (c *logVerify) Run(ctx context.Context, p *program) error {
	trust, err := c.trust()
	if err != nil {
		return err
	}
	source, err := ledger.NewSource(c.Log)
	if err != nil {
		return err
	}
	if c.State == "" {
		g, err := p.openGateway()
		if err != nil {
			return err
		}
		defer g.Close()
		c.State = filepath.Join(g.dir, "verified", url.PathEscape(trust.Origin))
	}
	observe, done := p.leaves()
	verdict, err := ledger.Verification{Source: source, Trust: trust, State: c.State, Mirror: c.Mirror, Faults: c.Faults, Observe: observe}.Run(ctx)
	done()
	if err != nil {
		return err
	}
	if p.JSON {
		return errors.Join(p.print(verdict), said(verdict.Err()))
	}
	c.say(p.out, verdict)
	return said(verdict.Err())
}

// said makes an error one that the person has already been told.
func said(err error) error {
	if err == nil {
		return nil
	}
	return errSaid
}

func (c *logVerify) say(w io.Writer, v *ledger.Verdict) {
	for _, f := range v.Faults {
		fmt.Fprintf(w, "FAULT  %s: %s\n", f.Place, f.What)
	}
	if v.FaultCount > len(v.Faults) {
		fmt.Fprintf(w, "… and %d more\n", v.FaultCount-len(v.Faults))
	}
	if v.FaultCount > 0 {
		fmt.Fprintf(w, "%s in the log. Keep what you have: it may be evidence.\n", plural(v.FaultCount, "fault"))
		return
	}
	fmt.Fprintf(w, "The log %s is sound: %d leaves, of which %d were read now, %d tiles, root %s.\n", v.Checkpoint.Origin, v.Checkpoint.Size, v.Leaves, v.Tiles, v.Checkpoint.Hash)
	for _, s := range v.Cosignatures {
		fmt.Fprintf(w, "  The witness %s saw nothing else before %s.\n", s.Witness, s.Time.Format(time.RFC3339))
	}
	if len(c.Witness) == 0 {
		fmt.Fprintln(w, "  No witness was asked for (--witness): the operator could show others another log.")
	}
}

// logCheckpoint prints how far our log is.
type logCheckpoint struct{}

// Run prints it.
func (c *logCheckpoint) Run(ctx context.Context, p *program) error {
	return p.withLog(ctx, func(g *gateway, log *ledger.Log) error {
		at, err := log.Published(ctx)
		if err != nil {
			return err
		}
		key, err := g.vkey(ctx)
		if err != nil {
			return err
		}
		witness, err := g.witnessKey(ctx)
		if err != nil {
			return err
		}
		if p.JSON {
			return p.print(map[string]any{"key": key, "witness": witness, "origin": at.Origin, "size": at.Size, "root": at.Hash, "checkpoint": string(at.Note)})
		}
		_, err = fmt.Fprintf(p.out, "key     %s\nwitness %s\n\n%s", key, witness, at.Note)
		return err
	})
}

// withLog opens the log to read it, which works while a gateway runs.
func (p *program) withLog(ctx context.Context, do func(*gateway, *ledger.Log) error) error {
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	db, err := g.openDB(ctx)
	if err != nil {
		return err
	}
	log := ledger.NewLog(db)
	if _, err := log.Head(ctx); err != nil {
		if err := g.withLedger(ctx, func(*ledger.Ledger) error { return nil }); err != nil { // the first one makes it
			return err
		}
	}
	return do(g, log)
}

// withLedger opens the log to write it.
func (p *program) withLedger(ctx context.Context, do func(*ledger.Ledger) error) error {
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	return g.withLedger(ctx, do)
}

// logShow lists leaves.
type logShow struct {
	Person string `help:"What is logged of this person, opened with their key, from the newest on. It is not logged that an administrator looks." placeholder:"NAME"`
	From   int64  `help:"First leaf to list." default:"-1" placeholder:"INDEX"`
	Count  int64  `help:"How many to list." default:"20" placeholder:"N"`
}

// Run lists them.
func (c *logShow) Run(ctx context.Context, p *program) error {
	if c.Person != "" {
		return p.withLog(ctx, func(g *gateway, log *ledger.Log) error {
			reader, err := g.reader(ctx)
			if err != nil {
				return err
			}
			return c.person(ctx, p, reader)
		})
	}
	return p.withLog(ctx, func(_ *gateway, log *ledger.Log) error { return c.leaves(ctx, p, log) })
}

func (c *logShow) leaves(ctx context.Context, p *program, log *ledger.Log) error {
	at, err := log.Head(ctx)
	if err != nil {
		return err
	}
	from := c.From
	if from < 0 {
		from = max(0, at.Size-c.Count)
	}
	for i := from; i < min(at.Size, from+c.Count); i++ {
		leaf, err := log.Leaf(ctx, i)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.out, "%9d  %s  %-10s  %s\n", i, leaf.Hour().Format("2006-01-02 15h"), leaf.Class(), leaf.Hash())
	}
	if at.Size == 0 {
		fmt.Fprintln(p.err, "Nothing is logged yet. Exports and imports of persons of this gateway are.")
	}
	return nil
}

func (c *logShow) person(ctx context.Context, p *program, l *ledger.Reader) error {
	n := int64(0)
	for e, err := range l.Events(ctx, c.Person) {
		if err != nil {
			return fmt.Errorf("%s: %w", c.Person, err)
		}
		if n++; n > c.Count {
			return nil
		}
		fmt.Fprintf(p.out, "%s  leaf %d  %s", e.Time.Format(time.RFC3339), e.Index, e.Fields[ledger.Type])
		for _, f := range []ledger.Field{ledger.Service, ledger.Consent, ledger.Revision, ledger.Dataset, ledger.Regime, ledger.Detail} {
			if v := e.Fields[f]; v != "" {
				fmt.Fprintf(p.out, "  %s=%s", f, v)
			}
		}
		fmt.Fprintln(p.out)
	}
	return nil
}

// logForget forgets a person.
type logForget struct {
	Person string `arg:"" help:"Name of the person, as person list shows it."`
	Yes    bool   `help:"Yes, destroy the key: there is no way back."`
}

// Run forgets.
func (c *logForget) Run(ctx context.Context, p *program) error {
	if !c.Yes {
		return fmt.Errorf("%w: nobody will be able to read what was logged of %s any more; say --yes", errUsage, c.Person)
	}
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	if err := g.withLedger(ctx, func(l *ledger.Ledger) error { return l.Forget(ctx, c.Person) }); err != nil {
		return err
	}
	if err := g.forgetSubject(ctx, c.Person); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "%s is forgotten. The log still verifies. Backups of the folder of secrets, if there are any, must be destroyed too.\n", c.Person)
	return err
}

// leaves shows the progress of a verification.
func (p *program) leaves() (func(done, total int64), func()) {
	if p.JSON {
		return nil, func() {}
	}
	next := time.Now().Add(plainEvery)
	return func(done, total int64) {
		if now := time.Now(); now.After(next) {
			next = now.Add(plainEvery)
			fmt.Fprintf(p.err, "%s of %s leaves\n", strconv.FormatInt(done, 10), strconv.FormatInt(total, 10))
		}
	}, func() {}
}
