package audit

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// The checks, by name. Some look at each access or decision once, and go on where they ended; some look at how things
// stand.
const (
	checkCovered  = "access-covered"    // every access was covered by the revision that its permit names
	checkAfterEnd = "access-after-end"  // nothing was read after its revision had ended
	checkProof    = "consent-proven"    // who consented was known, and what they were shown is kept
	checkInformed = "consent-informed"  // purpose, retention, recipients, third countries, end: all are in it
	checkRules    = "rules-held"        // the rules that judged say the same again
	checkInLog    = "decision-in-log"   // the newest decisions are in the log as they are in the database
	checkMeasured = "ending-measured"   // each ending took less than 2 seconds
	checkTold     = "recipients-told"   // services acknowledged that consents ended; the silent ones are named
	checkNeutral  = "operator-neutral"  // no service belongs to the operator's own legal person
	checkInTime   = "matters-in-time"   // breaches, requests and inquiries were dealt with in time
	checkMoved    = "moves-in-time"     // each move to another operator was over 30 days after the person's yes
	checkKept     = "moved-data-kept"   // what had moved was there for 30 days more
	checkErased   = "moved-data-erased" // and was erased then
)

const (
	settled          = 5 * time.Minute // what is younger may not be committed yet, or still open
	pageOfChecks     = 1000
	mostExamples     = 10
	sampledDecisions = 20
	mostTime         = 2 * time.Second // for an ending: bytes in flight have ended
	evaluatePeriod   = 10 * time.Minute
	mostOf           = 50 * 1000 // accesses, or decisions, that one evaluation looks at
	longest          = 2 * 366 * 24 * time.Hour
)

// looked is what a check has found, and where it goes on.
type looked struct {
	compliance.Finding
	place place
}

// place is after which access, or decision, a check goes on.
type place struct {
	At     time.Time `json:"at,omitzero"`
	ID     string    `json:"id,omitempty"`
	Number int       `json:"number,omitempty"`
}

// see counts one thing, and why it is wrong if it is.
func (l *looked) see(id, why string) {
	l.Looked++
	if why == "" {
		return
	}
	if l.Wrong++; len(l.Examples) < mostExamples {
		l.Examples = append(l.Examples, id+": "+why)
	}
}

// judge gives the verdict.
func (l *looked) judge(now time.Time) {
	l.At = now.UTC()
	switch {
	case l.Wrong > 0:
		l.Verdict = compliance.Broken
	case l.Looked > 0:
		l.Verdict = compliance.Kept
	default:
		l.Verdict = compliance.Unknown
	}
}

// Evaluate runs every check, and keeps what it found. What was looked at before is not looked at again, but for how things
// stand now. Where there is very much that is new it ends early, and done is false.
func (d *Desk) Evaluate(ctx context.Context) (done bool, err error) {
	accesses, err := d.lookAtAccesses(ctx)
	if err != nil {
		return false, fmt.Errorf("look at the accesses: %w", err)
	}
	decisions, err := d.lookAtDecisions(ctx)
	if err != nil {
		return false, fmt.Errorf("look at the decisions: %w", err)
	}
	for name, look := range map[string]func(context.Context, *looked) error{
		checkInLog: d.lookInLog, checkMeasured: d.lookAtEndings, checkTold: d.lookAtSilence, checkNeutral: d.lookAtServices, checkInTime: d.lookAtMatters,
		checkMoved: d.lookAtSpeed, checkKept: d.lookAtRetrieval, checkErased: d.lookAtErasures,
	} {
		l := &looked{Finding: compliance.Finding{Check: name}}
		if err := look(ctx, l); err != nil {
			return false, fmt.Errorf("check %s: %w", name, err)
		}
		if err := d.keep(ctx, l); err != nil {
			return false, err
		}
	}
	return accesses && decisions, nil
}

// Run evaluates again and again, until the context ends.
func (d *Desk) Run(ctx context.Context, log *slog.Logger) {
	for wait := time.Duration(0); ; wait = evaluatePeriod {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		for done, err := false, error(nil); !done && ctx.Err() == nil; {
			if done, err = d.Evaluate(ctx); err != nil {
				if ctx.Err() == nil {
					log.Warn("the checks of what the law asks could not run", "error", err)
				}
				break
			}
		}
	}
}

func (d *Desk) lookAtAccesses(ctx context.Context) (done bool, err error) {
	covered, after := &looked{Finding: compliance.Finding{Check: checkCovered}}, &looked{Finding: compliance.Finding{Check: checkAfterEnd}}
	if err := errors.Join(d.recall(ctx, covered), d.recall(ctx, after)); err != nil {
		return false, err
	}
	until := d.clock().Add(-settled)
	for range mostOf / pageOfChecks {
		list, err := d.Maker.Authority.TraceFrom(ctx, consent.Place{Begun: covered.place.At, ID: covered.place.ID}, until, pageOfChecks)
		if err != nil {
			return false, err
		}
		for _, t := range list {
			covered.see(t.ID, t.Uncovered())
			late := ""
			if !t.Replaced.IsZero() && t.Begun.After(t.Replaced) {
				late = fmt.Sprintf("it began %s after its revision had ended", t.Begun.Sub(t.Replaced))
			}
			after.see(t.ID, late)
			covered.place = place{At: t.Begun, ID: t.ID}
		}
		if done = len(list) < pageOfChecks; done {
			break
		}
	}
	return done, errors.Join(d.keep(ctx, covered), d.keep(ctx, after))
}

func (d *Desk) lookAtDecisions(ctx context.Context) (done bool, err error) {
	proof, informed, rules := &looked{Finding: compliance.Finding{Check: checkProof}}, &looked{Finding: compliance.Finding{Check: checkInformed}}, &looked{Finding: compliance.Finding{Check: checkRules}}
	if err := errors.Join(d.recall(ctx, proof), d.recall(ctx, informed), d.recall(ctx, rules)); err != nil {
		return false, err
	}
	until := d.clock().Add(-settled)
	for range mostOf / pageOfChecks {
		at := &proof.place
		list, err := d.Maker.Authority.Decisions(ctx, at.At, at.ID, at.Number, until, pageOfChecks)
		if err != nil {
			return false, err
		}
		for i := range list {
			r := &list[i]
			if r.State.Valid() {
				if err := d.lookAtDecision(ctx, r, proof, informed, rules); err != nil {
					return false, err
				}
			}
			proof.place = place{r.At, r.Consent, r.Number}
		}
		if done = len(list) < pageOfChecks; done {
			break
		}
	}
	return done, errors.Join(d.keep(ctx, proof), d.keep(ctx, informed), d.keep(ctx, rules))
}

func (d *Desk) lookAtDecision(ctx context.Context, r *consent.Revision, proof, informed, rules *looked) error {
	id := fmt.Sprintf("%s revision %d", r.Consent, r.Number)
	var facts consent.Facts
	if err := json.Unmarshal(r.Facts, &facts); err != nil {
		proof.see(id, "its facts cannot be read")
		return nil
	}
	why, err := d.unproven(ctx, r, &facts)
	if err != nil {
		return err
	}
	proof.see(id, why)
	informed.see(id, uninformed(r))
	rules.see(id, d.refused(r, facts))
	return nil
}

// unproven says why a consent could not be demonstrated (GDPR article 7(1)).
func (d *Desk) unproven(ctx context.Context, r *consent.Revision, f *consent.Facts) (string, error) {
	switch {
	case f.Session == nil || f.Session.Method == "":
		return "nothing says how the person was known", nil
	case f.Notice == nil || f.Notice.SHA256 == "" || r.Notice != "" && f.Notice.SHA256 != r.Notice:
		return "nothing says what the person was shown", nil
	case f.Notice.Language == "":
		return "nothing says in which language", nil
	case len(r.Packs) == 0:
		return "nothing says by which rules", nil
	}
	about, hash, err := d.restsOn(ctx, r, f.Notice.SHA256)
	if err != nil {
		return "", err
	}
	n, err := d.Maker.Authority.Notice(ctx, about, hash)
	switch {
	case errors.Is(err, consent.ErrNotFound):
		return "what the person was shown is not kept", nil
	case err == nil && hashOf(string(n.Content)) != hash:
		return "what is kept is not what the person was shown", nil
	}
	return "", err
}

// restsOn is the notice on which a decision rests: its own, or, where less was left of what was granted before, the one
// that was shown for that.
func (d *Desk) restsOn(ctx context.Context, r *consent.Revision, hash string) (about, notice string, err error) {
	if r.Notice == "" {
		all, err := d.Maker.Authority.Revisions(ctx, r.Consent)
		if err != nil {
			return "", "", err
		}
		for i := range all {
			if all[i].Number < r.Number && all[i].Notice == hash {
				r = &all[i]
			}
		}
	}
	if about = r.Request; about == "" { // given again, without a request
		about = r.Consent
	}
	return about, hash, nil
}

// uninformed says what a consent does not tell (GDPR articles 13 and 14, DGA article 12(n)).
func uninformed(r *consent.Revision) string {
	for _, detail := range r.Details {
		switch {
		case detail.Type == consent.InstanceMove: // a right, not a consent
		case detail.Purpose.IRI == "" || len(detail.Purpose.Text) == 0:
			return "no purpose"
		case detail.Retention == "":
			return "not for how long it is kept"
		case len(detail.Recipients) == 0 && !detail.NoRecipients:
			return "not who else gets it"
		case detail.ThirdCountry == nil:
			return "not whether it leaves Europe"
		case detail.Expires.IsZero() || detail.Expires.Sub(r.At) > longest:
			return "no end within two years"
		}
	}
	return ""
}

// refused says what the rules under which a decision was taken say against it today.
func (d *Desk) refused(r *consent.Revision, f consent.Facts) string {
	for _, p := range d.Packs {
		if !slices.Contains(r.Packs, p.ID()+" "+p.Hash()) {
			continue // other rules, or another text of them
		}
		for _, refusal := range p.Judge(f) {
			return refusal.Code
		}
	}
	return ""
}

// lookInLog looks for the newest decisions in the log, as they are in the database.
func (d *Desk) lookInLog(ctx context.Context, l *looked) error {
	rows, err := d.Maker.Authority.LastDecisions(ctx, d.clock().Add(-time.Second), sampledDecisions)
	if err != nil {
		return err
	}
	for i := range rows {
		index, why, err := d.inLog(ctx, &rows[i])
		if err != nil {
			return err
		}
		l.see(fmt.Sprintf("%s revision %d", rows[i].Consent, rows[i].Number), why)
		if index >= 0 {
			l.Leaves = append(l.Leaves, index)
		}
	}
	return nil
}

// mostWalked is how far back in a person's chain a decision is looked for.
const mostWalked = 500

func (d *Desk) inLog(ctx context.Context, r *consent.Revision) (index int64, why string, err error) {
	c, err := d.Maker.Authority.Anyone(ctx, r.Consent)
	if err != nil {
		return -1, "", err
	}
	n := 0
	for e, err := range d.Maker.Ledger.Events(ctx, c.Person) {
		if errors.Is(err, ledger.ErrUnknown) { // the person was forgotten
			return -1, "", nil
		}
		if err != nil {
			return -1, "", err
		}
		if e.Class == ledger.Decision && e.Fields[ledger.Consent] == r.Consent && e.Fields[ledger.Revision] == fmt.Sprint(r.Number) {
			var hashes logged
			if json.Unmarshal([]byte(e.Fields[ledger.Detail]), &hashes) == nil && hashes.Facts != "" {
				if hashes.Facts != hashOf(string(r.Facts)) {
					return e.Index, "the log says something else than the database", nil
				}
				return e.Index, "", nil
			}
		}
		if n++; n == mostWalked || e.Time.Before(r.At.Add(-time.Hour)) {
			break
		}
	}
	if n == mostWalked {
		return -1, "", nil // too far back to tell
	}
	return -1, "it is not in the log", nil
}

func (d *Desk) lookAtEndings(ctx context.Context, l *looked) error {
	times, err := d.Maker.Authority.EndingTimes(ctx, d.clock().AddDate(0, 0, -30))
	for i, t := range times {
		why := ""
		if t > mostTime {
			why = fmt.Sprintf("it took %s", t)
		}
		l.see(fmt.Sprintf("ending %d of the last 30 days, by how long it took", i+1), why)
	}
	return err
}

func (d *Desk) lookAtSilence(ctx context.Context, l *looked) error {
	took, silent, err := d.events.Answers(ctx, d.clock().AddDate(0, 0, -30))
	if err != nil {
		return err
	}
	l.Looked = int64(len(took)) + silent
	quiet, err := d.events.Silents(ctx, patience)
	for _, s := range quiet {
		if l.Wrong += s.Events; len(l.Examples) < mostExamples {
			l.Examples = append(l.Examples, fmt.Sprintf("%s: %d since %s", s.Service, s.Events, s.Since.Format(time.DateOnly)))
		}
	}
	l.Looked = max(l.Looked, l.Wrong)
	return err
}

func (d *Desk) lookAtServices(ctx context.Context, l *looked) error {
	list, err := d.Maker.Authority.Services(ctx)
	for _, s := range list {
		why := ""
		for _, r := range s.Registrations {
			if slices.Contains(d.operator.Registration, r.Scheme+":"+r.Value) && !s.Admin && s.Suspended == "" {
				why = "it has the operator's own number in the register " + r.Scheme
			}
		}
		l.see(s.ID, why)
	}
	return err
}

func (d *Desk) lookAtMatters(ctx context.Context, l *looked) error {
	list, err := d.Matters(ctx, true)
	for i := range list {
		why := ""
		if m := &list[i]; m.Late(d.clock()) {
			why = "it was due on " + m.Due.Format(time.RFC3339)
		}
		l.see(fmt.Sprintf("%s %s", list[i].Kind, list[i].ID), why)
	}
	return err
}

// recall reads what a check found before.
func (d *Desk) recall(ctx context.Context, l *looked) error {
	found, err := scanFinding(d.db.Read.QueryRowContext(ctx, `SELECT `+findingColumns+` FROM audit_finding WHERE id = $1`, l.Check))
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		*l = *found
	}
	return err
}

const findingColumns = `id, at, looked, wrong, verdict, examples, leaves, place`

func scanFinding(row interface{ Scan(...any) error }) (*looked, error) {
	var l looked
	var at int64
	var examples, leaves, where string
	if err := row.Scan(&l.Check, &at, &l.Looked, &l.Wrong, &l.Verdict, &examples, &leaves, &where); err != nil {
		return nil, err
	}
	l.At = time.UnixMicro(at).UTC()
	return &l, errors.Join(json.Unmarshal([]byte(examples), &l.Examples), json.Unmarshal([]byte(leaves), &l.Leaves), json.Unmarshal([]byte(where), &l.place))
}

func (d *Desk) keep(ctx context.Context, l *looked) error {
	l.judge(d.clock())
	texts := make([]string, 3)
	for i, v := range []any{l.Examples, l.Leaves, l.place} {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		texts[i] = string(text)
	}
	_, err := d.db.Write.ExecContext(ctx, `
		INSERT INTO audit_finding (id, at, looked, wrong, verdict, examples, leaves, place) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (id) DO UPDATE SET at = excluded.at, looked = excluded.looked, wrong = excluded.wrong, verdict = excluded.verdict, examples = excluded.examples, leaves = excluded.leaves, place = excluded.place`,
		l.Check, l.At.UnixMicro(), l.Looked, l.Wrong, l.Verdict, texts[0], texts[1], texts[2])
	if err != nil {
		return fmt.Errorf("keep what was found: %w", err)
	}
	return nil
}

// Findings returns what every check found when it last ran, by name.
func (d *Desk) Findings(ctx context.Context) ([]compliance.Finding, error) {
	rows, err := d.db.Read.QueryContext(ctx, `SELECT `+findingColumns+` FROM audit_finding ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list what was found: %w", err)
	}
	defer rows.Close()
	list := []compliance.Finding{}
	for rows.Next() {
		l, err := scanFinding(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, l.Finding)
	}
	return list, rows.Err()
}

// finding is what one check found when it last ran.
func (d *Desk) finding(ctx context.Context, name string) (compliance.Finding, error) {
	l := &looked{Finding: compliance.Finding{Check: name, Verdict: compliance.Unknown}}
	err := d.recall(ctx, l)
	return l.Finding, err
}
