package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/audit"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
)

// audited has a supervisor look into a complaint, over HTTP, and check the evidence as they would at home.
func (d *demo) audited(ctx context.Context) error {
	desk := d.sb.server.desk
	code, who, err := desk.Invite(ctx, "Ada Contrôle", "the data protection authority", time.Now().AddDate(0, 1, 0))
	if err != nil {
		return err
	}
	d.step("A regulator looks into a complaint. %s, of %s, was invited to %s: read-only, until %s, and all that is asked is logged.",
		who.Name, who.Authority, d.b.signed.Statement.LegalName, who.Expires.Format(time.DateOnly))
	r := regulator{d.sb.url(), code}
	var found struct {
		Subject  string
		Consents []string
	}
	if err := r.ask(ctx, "/audit/persons", map[string]string{"name": person, "reason": "complaint 2026/117: who read my contacts?"}, &found); err != nil {
		return err
	}
	d.say("The person who complained is %s here. Their consents: %d.", found.Subject, len(found.Consents))
	if len(found.Consents) == 0 {
		return fmt.Errorf("the regulator finds no consent")
	}
	var bundle []byte
	if err := r.ask(ctx, "/audit/questions", map[string]string{"consent": found.Consents[0]}, &bundle); err != nil {
		return err
	}
	proven, err := d.verify(bundle)
	if err != nil {
		return err
	}
	d.say("They take the evidence home, %d kB, and check it without the operator: every file, every signature, no gap in the chain.", len(bundle)/1000)
	for _, a := range proven.Accesses {
		covered := "covered by revision " + fmt.Sprint(a.Revision)
		if a.Uncovered != "" {
			return fmt.Errorf("the access %s is not covered: %s", a.ID, a.Uncovered)
		}
		d.say("  leaf %d: %d records of %s were read, %s, with the token %.12s…", a.Leaf, a.Records, a.Datasets[0], covered, a.Token)
	}
	for _, q := range []struct {
		words string
		audit.Question
	}{
		{"Was there a consent when it was read?", audit.Question{Dataset: formats.Contacts, At: proven.Accesses[0].At}},
		{"Is there one now?", audit.Question{Dataset: formats.Contacts, At: proven.Shown.Until}},
		{"Was there ever one for the bank account?", audit.Question{Dataset: formats.Bank, At: proven.Shown.Until}},
	} {
		answer, err := proven.Answer(q.Question)
		if err != nil {
			return err
		}
		d.say("%s", q.words)
		d.say("  %s", answer.Text)
	}
	at, err := inside(bundle)
	if err != nil {
		return err
	}
	bundle[at] ^= 1
	if _, err := d.verify(bundle); err == nil {
		return fmt.Errorf("a flipped bit in the evidence is not noticed")
	}
	d.say("Had one bit of it been changed, it would not hold.")
	return nil
}

// verify checks evidence with what the regulator has: the operator's statement, and the other operator as witness.
func (d *demo) verify(bundle []byte) (*audit.Proven, error) {
	keys, err := logKeys(d.b.signed)
	if err != nil {
		return nil, err
	}
	trust, err := ledger.NewTrust(keys, []string{d.sa.wkey}, 0)
	if err != nil {
		return nil, err
	}
	return audit.Open(bytes.NewReader(bundle), int64(len(bundle)), audit.Trusted{Log: trust, Operator: d.b.signed})
}

// regulator is a program of an auditor's.
type regulator struct{ base, code string }

// ask posts a question, and reads the answer: JSON, or a ZIP file.
func (r *regulator) ask(ctx context.Context, path string, about, answer any) error {
	body, err := json.Marshal(about)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+r.code)
	request.Header.Set("Content-Type", "application/json")
	raw, isRaw := answer.(*[]byte)
	if isRaw {
		request.Header.Set("Accept", "application/zip")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s: %w", path, response.Status, text, err)
	}
	if isRaw {
		*raw = text
		return nil
	}
	return json.Unmarshal(text, answer)
}

// inside is a place in the largest file of a zip: between the files there are bytes that say nothing.
func inside(zipped []byte) (int64, error) {
	z, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	if err != nil {
		return 0, err
	}
	largest := slices.MaxFunc(z.File, func(a, b *zip.File) int { return cmp.Compare(a.CompressedSize64, b.CompressedSize64) })
	begin, err := largest.DataOffset()
	return begin + int64(largest.CompressedSize64/2), err
}
