package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/audit"
	"github.com/passerelle-cloud/passerelle/formats"
)

type auditEvidence struct {
	Person  string `arg:"" help:"Name of the person, as person list shows it."`
	Service string `arg:"" help:"Id of the service."`
	To      string `help:"Who gets it: that is logged." required:"" placeholder:"WHO"`
	Out     string `help:"File to write (ZIP)." required:"" type:"path" placeholder:"FILE"`
}

// Run makes it.
func (c *auditEvidence) Run(ctx context.Context, p *program) error {
	body, err := json.Marshal(map[string]string{"person": c.Person, "service": c.Service, "to": c.To})
	if err != nil {
		return err
	}
	var bundle []byte
	if err := p.administer(ctx, http.MethodPost, "/admin/evidence", body, &bundle); err != nil {
		return err
	}
	if err := os.WriteFile(c.Out, bundle, 0o600); err != nil {
		return errors.Join(err, os.Remove(c.Out))
	}
	_, err = fmt.Fprintf(p.out, "wrote %s\nCheck it:  passerelle audit verify %s --key '…'\n", c.Out, c.Out)
	return err
}

type auditVerify struct {
	File       string          `arg:"" help:"The evidence (ZIP)." type:"existingfile"`
	At         time.Time       `help:"Ask whether there was a consent at this time (RFC 3339)." placeholder:"TIME"`
	Purpose    string          `help:"Ask whether there was a consent for this purpose (IRI)." placeholder:"IRI"`
	Dataset    formats.Dataset `help:"Ask whether there was a consent for this dataset." placeholder:"NAME"`
	trustFlags `embed:""`
}

// Run checks evidence, and asks it.
func (c *auditVerify) Run(_ context.Context, p *program) error {
	trust, err := c.trust()
	if err != nil {
		return err
	}
	trusted := audit.Trusted{Log: trust}
	if c.Operator != "" {
		if trusted.Operator, err = statementIn(c.Operator); err != nil {
			return err
		}
	}
	if c.Dataset != "" {
		if _, err := formats.ParseDataset(string(c.Dataset)); err != nil {
			return fmt.Errorf("%w: --dataset: %w", errUsage, err)
		}
	}
	file, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	proven, err := audit.Open(file, info.Size(), trusted)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	var answer *audit.Answer
	if !c.At.IsZero() || c.Purpose != "" || c.Dataset != "" {
		q := audit.Question{Purpose: c.Purpose, Dataset: c.Dataset, At: c.At}
		if q.At.IsZero() {
			q.At = proven.Shown.Until
		}
		if answer, err = proven.Answer(q); err != nil {
			return err
		}
	}
	if p.JSON {
		err = p.printJSON(map[string]any{"proven": proven, "answer": answer})
	} else {
		p.sayProven(proven, answer)
	}
	if err == nil && len(proven.Uncovered()) > 0 {
		err = said(errors.New("there are accesses that no consent covered"))
	}
	return err
}

func (p *program) sayProven(x *audit.Proven, answer *audit.Answer) {
	say := func(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }
	e := &x.Evidence
	say("It holds: every file, the signature, and %d leaves of the log %s without a gap.", len(x.Shown.Events)+x.Shown.Others+1, e.Log)
	if x.Known {
		say("It was signed by %s, whose statement you have.", e.Operator)
	} else {
		say("It says that it was signed by %s. Compare the fingerprint with what you have of them:  %s", e.Operator, x.Identity)
	}
	for _, w := range x.Shown.Cosignatures {
		say("The witness %s saw no other log before %s.", w.Witness, w.Time.Format(time.RFC3339))
	}
	say("About %s and %s (%s, %s), for %s, complete until %s.", e.Subject, e.Service.Name, e.Service.LegalName, e.Service.Country, e.To, x.Shown.Until.Format(time.RFC3339))
	for _, s := range x.Steps {
		line := fmt.Sprintf("  %s  leaf %-6d %s", s.At.Format(time.RFC3339), s.Leaf, strings.TrimPrefix(s.What, "consent."))
		if s.Revision > 0 {
			line += fmt.Sprintf(", revision %d of %s", s.Revision, s.Consent)
		}
		if s.State.Valid() && !s.Expires.IsZero() {
			line += ", until " + s.Expires.Format(time.DateOnly)
		}
		say("%s", line)
	}
	if len(x.Steps) == 0 {
		say("  Nothing was ever decided between them.")
	}
	uncovered := x.Uncovered()
	say("%d accesses, %d of which no consent covered.", len(x.Accesses), len(uncovered))
	for _, a := range uncovered {
		say("  access %s (leaf %d): %s", a.ID, a.Leaf, a.Uncovered)
	}
	for _, t := range x.Silent() {
		say("The service was told of revision %d at %s, %d times, and has not acknowledged it.", t.Revision, t.Made.Format(time.RFC3339), t.Tried)
	}
	if answer != nil {
		say("%s", answer.Text)
	}
}
