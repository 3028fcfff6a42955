package consent

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// What follows is for those who oversee an operator. Whether they may see it, and that it is logged, is not looked at here.

// Anyone returns a consent of anybody, as it stands now, or an error that wraps [ErrNotFound].
func (a *Authority) Anyone(ctx context.Context, id string) (Consent, error) {
	c, err := a.own(ctx, a.db.Read, id, `id`, id)
	c.stand(a.now())
	return c, err
}

// Between returns the ids of all consents between a person and a service, the first first.
func (a *Authority) Between(ctx context.Context, person, service string) ([]string, error) {
	return a.ids(ctx, `SELECT id FROM consent_consent WHERE person = $1 AND service = $2 ORDER BY created, id`, person, service)
}

// Traced is one access with what it was permitted by.
type Traced struct {
	AccessRecord
	Consent  string
	Service  string
	SHA256   string   // of the bytes, hexadecimal
	Token    string   // SHA-256, hexadecimal, of the token; "": not known
	Granted  Revision // the revision that the permit names: of it Number, State, Details, At and Expires
	Replaced time.Time
	Paused   []Interval // of the consent
}

// Uncovered says why an access was not covered by the revision that its permit names; "" if it was. It is a function of
// what was kept, so that whoever has the same can find the same.
func (t *Traced) Uncovered() string {
	switch r := &t.Granted; {
	case r.Number != t.Revision || r.Number == 0:
		return "there is no such revision"
	case !r.State.Valid():
		return "the revision is " + string(r.State)
	case t.Begun.Before(r.At):
		return "it began before the revision was made"
	case !t.Replaced.IsZero() && t.Begun.After(t.Replaced):
		return "the revision had been replaced"
	case slices.ContainsFunc(t.Paused, func(p Interval) bool { return t.Begun.After(p.Begun) && (p.Ended.IsZero() || t.Begun.Before(p.Ended)) }):
		return "the consent was paused"
	case len(covering(r.Details, Access{Datasets: t.Datasets, Action: t.Action}, t.Begun)) == 0:
		return "the revision does not hold that dataset, or not for that, or had expired"
	}
	return ""
}

const tracedColumns = `a.id, a.revision, a.dataset, a.action, a.begun, a.ended, a.open, a.records, a.bytes, a.outcome, a.consent, a.service, a.hash, a.token,
	COALESCE(r.number, 0), COALESCE(r.state, ''), COALESCE(r.details, '[]'), COALESCE(r.at, 0), COALESCE(r.expires, 0),
	COALESCE((SELECT n.at FROM consent_revision n WHERE n.consent = a.consent AND n.number = a.revision + 1), 0)`

const tracedTables = ` FROM consent_access a LEFT JOIN consent_revision r ON r.consent = a.consent AND r.number = a.revision `

// scanTraced reads a row of tracedColumns. details remembers what was parsed, since many accesses have the same.
func scanTraced(row interface{ Scan(...any) error }, details map[string][]Detail) (Traced, error) {
	var t Traced
	var datasets, text string
	var begun, ended, at, expires, replaced int64
	err := row.Scan(&t.ID, &t.Revision, &datasets, &t.Action, &begun, &ended, &t.Open, &t.Records, &t.Bytes, &t.Outcome, &t.Consent, &t.Service, &t.SHA256, &t.Token,
		&t.Granted.Number, &t.Granted.State, &text, &at, &expires, &replaced)
	if err != nil {
		return t, err
	}
	t.Datasets, t.Begun, t.Ended = datasetsIn(datasets), fromMicro(begun), fromMicro(ended)
	t.Granted.Consent, t.Granted.At, t.Granted.Expires, t.Replaced = t.Consent, fromMicro(at), fromMicro(expires), fromMicro(replaced)
	known, ok := details[text]
	if !ok {
		if err := json.Unmarshal([]byte(text), &known); err != nil {
			return t, fmt.Errorf("the details of revision %d of consent %s cannot be read: %w", t.Revision, t.Consent, err)
		}
		details[text] = known
	}
	t.Granted.Details = known
	return t, nil
}

// Trace returns one access, and what it was permitted by. The error wraps [ErrNotFound].
func (a *Authority) Trace(ctx context.Context, access string) (Traced, error) {
	t, err := scanTraced(a.db.Read.QueryRowContext(ctx, `SELECT `+tracedColumns+tracedTables+`WHERE a.id = $1`, access), map[string][]Detail{})
	if errors.Is(err, sql.ErrNoRows) {
		return t, fmt.Errorf("the access %.60q: %w", access, ErrNotFound)
	}
	if err != nil {
		return t, fmt.Errorf("look for the access: %w", err)
	}
	t.Paused, err = a.Pauses(ctx, t.Consent)
	return t, err
}

// mostTraced is how many accesses of one consent are read at the most.
const mostTraced = 100_000

// TraceAll returns all accesses on a consent, the first first.
func (a *Authority) TraceAll(ctx context.Context, consent string) ([]Traced, error) {
	pauses, err := a.Pauses(ctx, consent)
	if err != nil {
		return nil, err
	}
	list, err := a.traced(ctx, `WHERE a.consent = $1 ORDER BY a.begun, a.id LIMIT $2`, consent, mostTraced+1)
	if err == nil && len(list) > mostTraced {
		err = fmt.Errorf("%w: there are more than %d accesses on the consent %s", ErrState, mostTraced, consent)
	}
	for i := range list {
		list[i].Paused = pauses
	}
	return list, err
}

// Place is somewhere among all accesses: after the one that it names.
type Place struct {
	Begun time.Time
	ID    string
}

// TraceFrom returns up to limit accesses after a place and before a time, the first first, of all persons.
func (a *Authority) TraceFrom(ctx context.Context, after Place, before time.Time, limit int) ([]Traced, error) {
	list, err := a.traced(ctx, `WHERE a.begun >= $1 AND (a.begun > $1 OR a.id > $2) AND a.begun < $3 ORDER BY a.begun, a.id LIMIT $4`, micro(after.Begun), after.ID, micro(before), limit)
	if err != nil {
		return nil, err
	}
	pauses := map[string][]Interval{}
	for i := range list {
		t := &list[i]
		known, ok := pauses[t.Consent]
		if !ok {
			if known, err = a.Pauses(ctx, t.Consent); err != nil {
				return nil, err
			}
			pauses[t.Consent] = known
		}
		t.Paused = known
	}
	return list, nil
}

func (a *Authority) traced(ctx context.Context, where string, args ...any) ([]Traced, error) {
	details := map[string][]Detail{}
	return scanAll(ctx, a.db.Read, "list what was read", func(row *sql.Rows) (Traced, error) { return scanTraced(row, details) }, `SELECT `+tracedColumns+tracedTables+where, args...)
}

// Decisions returns up to limit revisions after a place (at, consent, number) and before a time, the first first, of all
// persons.
func (a *Authority) Decisions(ctx context.Context, at time.Time, consent string, number int, before time.Time, limit int) ([]Revision, error) {
	return scanAll(ctx, a.db.Read, "read what was decided", func(row *sql.Rows) (Revision, error) { return scanRevision(row) },
		`SELECT `+revisionColumns+` FROM consent_revision WHERE (at, consent, number) > ($1, $2, $3) AND at < $4 ORDER BY at, consent, number LIMIT $5`, micro(at), consent, number, micro(before), limit)
}

// LastDecisions returns up to limit revisions of before a time, the last first, of all persons.
func (a *Authority) LastDecisions(ctx context.Context, before time.Time, limit int) ([]Revision, error) {
	return scanAll(ctx, a.db.Read, "read what was decided", func(row *sql.Rows) (Revision, error) { return scanRevision(row) },
		`SELECT `+revisionColumns+` FROM consent_revision WHERE at < $1 ORDER BY at DESC, consent DESC, number DESC LIMIT $2`, micro(before), limit)
}

// StoredDetails returns the details of each revision of a consent exactly as they are stored: their hashes are in the log.
func (a *Authority) StoredDetails(ctx context.Context, consent string) (map[int][]byte, error) {
	byNumber := map[int][]byte{}
	_, err := scanAll(ctx, a.db.Read, "read the details", func(row *sql.Rows) (n int, err error) {
		var text string
		err = row.Scan(&n, &text)
		byNumber[n] = []byte(text)
		return n, err
	}, `SELECT number, details FROM consent_revision WHERE consent = $1`, consent)
	return byNumber, err
}

// Tally is how many consents of a service stand somewhere, with the same datasets.
type Tally struct {
	Service  string
	State    State // Expired where time has ended it, whether that is noted or not
	Paused   bool
	Datasets []formats.Dataset
	Consents int64
	Accesses int64
}

// Tallies counts all consents.
func (a *Authority) Tallies(ctx context.Context) ([]Tally, error) {
	return scanAll(ctx, a.db.Read, "count the consents", func(row *sql.Rows) (t Tally, err error) {
		var datasets string
		err = row.Scan(&t.Service, &t.State, &t.Paused, &datasets, &t.Consents, &t.Accesses)
		t.Datasets = datasetsIn(datasets)
		return t, err
	}, `SELECT service, CASE WHEN state IN ('ConsentGiven', 'RenewedConsentGiven') AND expires <= $1 THEN 'ConsentExpired' ELSE state END AS stands, paused > 0 AS rests, datasets, count(*), CAST(sum(accesses) AS BIGINT)
		FROM consent_consent GROUP BY service, stands, rests, datasets ORDER BY service, stands, rests, datasets`, micro(a.now()))
}

// Valid walks the consents that are valid now, of all persons.
func (a *Authority) Valid(ctx context.Context) iter.Seq2[Consent, error] {
	return func(yield func(Consent, error) bool) {
		for last := ""; ; {
			page, err := scanAll(ctx, a.db.Read, "walk the consents", func(row *sql.Rows) (Consent, error) { return scanConsent(row) }, `
				SELECT `+consentColumns+` FROM consent_consent c JOIN consent_revision r ON r.consent = c.id AND r.number = c.revision
				WHERE c.id > $1 AND c.state IN ('ConsentGiven', 'RenewedConsentGiven') AND c.expires > $2 ORDER BY c.id LIMIT $3`, last, micro(a.now()), replayPage)
			if err != nil {
				yield(Consent{}, err)
				return
			}
			for _, c := range page {
				if !yield(c, nil) {
					return
				}
			}
			if len(page) < replayPage {
				return
			}
			last = page[len(page)-1].ID
		}
	}
}

// Abroad is how many valid consents let a service take data out of Europe.
type Abroad struct {
	Service   string
	Countries []string // ISO 3166-1
	Consents  int64
}

// ThirdCountries lists where outside of Europe data may go now.
func (a *Authority) ThirdCountries(ctx context.Context) ([]Abroad, error) {
	return scanAll(ctx, a.db.Read, "list third countries", func(row *sql.Rows) (t Abroad, err error) {
		var countries string
		err = row.Scan(&t.Service, &countries, &t.Consents)
		t.Countries = strings.Fields(countries)
		return t, err
	}, `SELECT service, countries, count(*) FROM consent_consent WHERE countries <> '' AND state IN ('ConsentGiven', 'RenewedConsentGiven') AND expires > $1
		GROUP BY service, countries ORDER BY service, countries`, micro(a.now()))
}

func countriesOf(details []Detail) string {
	var codes []string
	for _, d := range details {
		if d.ThirdCountry != nil {
			codes = append(codes, d.ThirdCountry.Countries...)
		}
	}
	slices.Sort(codes)
	return strings.Join(slices.Compact(codes), " ")
}

// Ended is how long it took to end a consent.
type Ended struct {
	Consent  string
	Revision int
	Service  string
	State    State
	Asked    time.Time
	Dead     time.Time // when nothing could be read any more
}

// Endings lists the consents that were ended from a time on, the last first, up to a limit.
func (a *Authority) Endings(ctx context.Context, since time.Time, limit int) ([]Ended, error) {
	return scanAll(ctx, a.db.Read, "list what was ended", func(row *sql.Rows) (e Ended, err error) {
		var asked, dead int64
		err = row.Scan(&e.Consent, &e.Revision, &e.Service, &e.State, &asked, &dead)
		e.Asked, e.Dead = fromMicro(asked), fromMicro(dead)
		return e, err
	}, `SELECT e.consent, e.revision, c.service, r.state, e.asked, e.dead FROM consent_ending e
		JOIN consent_consent c ON c.id = e.consent JOIN consent_revision r ON r.consent = e.consent AND r.number = e.revision
		WHERE e.asked >= $1 ORDER BY e.asked DESC, e.consent LIMIT $2`, micro(since), limit)
}

// EndingTimes returns how long it took to end each consent that was ended from a time on, the shortest first.
func (a *Authority) EndingTimes(ctx context.Context, since time.Time) ([]time.Duration, error) {
	return scanAll(ctx, a.db.Read, "read how long endings took", func(row *sql.Rows) (time.Duration, error) {
		var n int64
		err := row.Scan(&n)
		return time.Duration(n) * time.Microsecond, err
	}, `SELECT dead - asked AS took FROM consent_ending WHERE asked >= $1 ORDER BY took`, micro(since))
}

// Suspension is a service that is stopped.
type Suspension struct {
	Service string
	Reason  string
	Since   time.Time
}

// Suspensions lists the services that are suspended now.
func (a *Authority) Suspensions(ctx context.Context) ([]Suspension, error) {
	return scanAll(ctx, a.db.Read, "list the suspensions", func(row *sql.Rows) (s Suspension, err error) {
		var since int64
		err = row.Scan(&s.Service, &s.Reason, &since)
		s.Since = fromMicro(since)
		return s, err
	}, `SELECT id, suspended, stopped FROM consent_service WHERE suspended <> '' ORDER BY stopped DESC, id`)
}
