package consent

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Standing is where something stands, as a person asks for it in a list.
type Standing string

// The standings. "" stands for all of them.
const (
	StandsActive  Standing = "active" // valid, also while it is paused
	StandsPaused  Standing = "paused"
	StandsEnded   Standing = "ended"
	StandsRefused Standing = "refused"
)

// Filter says what of a list is wanted. What is zero limits nothing.
type Filter struct {
	Text          string          // each of its words is in a name of the service, whatever the accents
	Dataset       formats.Dataset // is among what was decided about
	Standing      Standing
	Service       string // client_id
	Offset, Limit int    // of what remains; Limit is 50 if it is 0, and at most 200
}

// Item is one line of a list: a consent, or a request that was refused.
type Item struct {
	// Consent is the consent. Of a refusal it has Person, Service, Details, Changed (when it was refused) and State only.
	Consent Consent
	Request string    // the id of the request that was refused
	Service *Service  // who asked
	Last    time.Time // access; zero: none
}

// Listing is a part of a list.
type Listing struct {
	Items  []Item
	Total  int              // how many there are with this filter, on all pages
	Counts map[Standing]int // how many there would be with each standing; a paused consent counts as active too
}

// The sizes of pages.
const (
	pageSize    = 50
	maxPageSize = 200
)

func sized(limit int) int {
	if limit <= 0 {
		return pageSize
	}
	return min(limit, maxPageSize)
}

// outline is what of an item must be known to find its place in a list.
type outline struct {
	id, service         string
	state               State
	at, expires, paused int64
}

func (o *outline) standing(now int64) Standing {
	switch {
	case o.state == Refused:
		return StandsRefused
	case !o.state.Valid() || o.expires <= now:
		return StandsEnded
	case o.paused != 0:
		return StandsPaused
	}
	return StandsActive
}

// in reports whether what stands so is wanted.
func (s Standing) in(wanted Standing) bool {
	return wanted == "" || s == wanted || s == StandsPaused && wanted == StandsActive
}

// List returns what a person decided, the last that changed first.
func (a *Authority) List(ctx context.Context, person string, f Filter) (Listing, error) {
	l, err := a.list(ctx, person, f)
	if err != nil {
		return l, fmt.Errorf("list what was decided: %w", err)
	}
	return l, nil
}

func (a *Authority) list(ctx context.Context, person string, f Filter) (Listing, error) {
	l := Listing{Counts: map[Standing]int{}}
	all, err := a.outlines(ctx, person, f)
	if err == nil {
		all, err = a.named(ctx, all, f.Text)
	}
	if err != nil {
		return l, err
	}
	now := micro(a.now())
	all = slices.DeleteFunc(all, func(o outline) bool {
		standing := o.standing(now)
		for _, counted := range []Standing{"", StandsActive, StandsPaused, StandsEnded, StandsRefused} {
			if standing.in(counted) {
				l.Counts[counted]++
			}
		}
		return !standing.in(f.Standing)
	})
	l.Total = len(all)
	slices.SortFunc(all, func(x, y outline) int { return cmp.Or(cmp.Compare(y.at, x.at), cmp.Compare(x.id, y.id)) })
	from := min(max(f.Offset, 0), len(all))
	l.Items, err = a.items(ctx, person, all[from:min(from+sized(f.Limit), len(all))])
	return l, err
}

// outlines reads what a person decided, without the details.
func (a *Authority) outlines(ctx context.Context, person string, f Filter) ([]outline, error) {
	args := []any{person}
	where := ""
	if f.Service != "" {
		args = append(args, f.Service)
		where = ` AND service = $2`
	}
	if f.Dataset != "" {
		args = append(args, "% "+string(f.Dataset)+" %")
		where += fmt.Sprintf(` AND ' ' || datasets || ' ' LIKE $%d`, len(args))
	}
	rows, err := a.db.Read.QueryContext(ctx, `
		SELECT id, service, state, changed, expires, paused FROM consent_consent WHERE person = $1`+where+`
		UNION ALL SELECT id, service, state, decided, 0, 0 FROM consent_request WHERE state = 'ConsentRefused' AND person = $1`+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []outline
	for rows.Next() {
		var o outline
		if err := rows.Scan(&o.id, &o.service, &o.state, &o.at, &o.expires, &o.paused); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, rows.Err()
}

// named leaves those whose service has all words of a text in its names.
func (a *Authority) named(ctx context.Context, list []outline, text string) ([]outline, error) {
	words := strings.Fields(folded(text))
	if len(words) == 0 {
		return list, nil
	}
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].service
	}
	services, err := a.services.many(ctx, a.db.Read, ids)
	return slices.DeleteFunc(list, func(o outline) bool {
		return slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(services[o.service].names, w) })
	}), err
}

// items reads the details of some outlines, and keeps their order.
func (a *Authority) items(ctx context.Context, person string, list []outline) ([]Item, error) {
	var consents, requests, services []string
	for _, o := range list {
		if o.state == Refused {
			requests = append(requests, o.id)
		} else {
			consents = append(consents, o.id)
		}
		services = append(services, o.service)
	}
	found := make(map[string]Item, len(list))
	if err := errors.Join(a.readItems(ctx, consents, found), a.readRefusals(ctx, person, requests, found)); err != nil {
		return nil, err
	}
	known, err := a.services.many(ctx, a.db.Read, services)
	if err != nil {
		return nil, err
	}
	items := make([]Item, 0, len(list))
	for _, o := range list {
		if item, ok := found[o.id]; ok {
			item.Service = serviceOr(known, o.service)
			items = append(items, item)
		}
	}
	return items, nil
}

// serviceOr returns a service, or what is known of one that is not there.
func serviceOr(known map[string]remembered, id string) *Service {
	if s := known[id].service; s != nil {
		return s
	}
	return &Service{ID: id, Name: id}
}

// wider scans a column more than what it is handed to knows of.
type wider struct {
	*sql.Rows
	more any
}

func (w wider) Scan(to ...any) error { return w.Rows.Scan(append(to, w.more)...) }

func (a *Authority) readItems(ctx context.Context, ids []string, found map[string]Item) error {
	if len(ids) == 0 {
		return nil
	}
	names, args := listed(ids)
	rows, err := a.db.Read.QueryContext(ctx, `
		SELECT `+consentColumns+`, c.last FROM consent_consent c JOIN consent_revision r ON r.consent = c.id AND r.number = c.revision WHERE c.id IN (`+names+`)`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for now := a.now(); rows.Next(); {
		var last int64
		c, err := scanConsent(wider{rows, &last})
		if err != nil {
			return err
		}
		c.stand(now)
		found[c.ID] = Item{Consent: c, Last: fromMicro(last)}
	}
	return rows.Err()
}

func (a *Authority) readRefusals(ctx context.Context, person string, ids []string, found map[string]Item) error {
	if len(ids) == 0 {
		return nil
	}
	names, args := listed(ids)
	rows, err := a.db.Read.QueryContext(ctx, `SELECT id, service, details, decided FROM consent_request WHERE id IN (`+names+`)`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		item := Item{Consent: Consent{Person: person, State: Refused}}
		var details string
		var decided int64
		if err := rows.Scan(&item.Request, &item.Consent.Service, &details, &decided); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(details), &item.Consent.Details); err != nil {
			return err
		}
		item.Consent.Changed = fromMicro(decided)
		found[item.Request] = item
	}
	return rows.Err()
}

// mostBefore is how much of what was decided before is shown with a request.
const mostBefore = 20

// Before returns what a person decided about a service before, the last first: at most 20.
func (a *Authority) Before(ctx context.Context, person, service string) ([]Item, error) {
	l, err := a.List(ctx, person, Filter{Service: service, Limit: mostBefore})
	return l.Items, err
}

// Reading is a consent on which data may be read, with what has been.
type Reading struct {
	Consent  string
	Service  *Service
	Datasets []formats.Dataset
	Accesses int64
	Last     time.Time // access; zero: none
	Paused   bool
}

// Readings returns the valid consents of a person, the one on which data was read last first: at most 200.
func (a *Authority) Readings(ctx context.Context, person string) ([]Reading, error) {
	rows, err := a.db.Read.QueryContext(ctx, `
		SELECT id, service, datasets, accesses, last, paused FROM consent_consent
		WHERE person = $1 AND state IN ('ConsentGiven', 'RenewedConsentGiven') AND expires > $2 ORDER BY last DESC, id LIMIT $3`, person, micro(a.now()), maxPageSize)
	if err != nil {
		return nil, fmt.Errorf("list what is read: %w", err)
	}
	defer rows.Close()
	var list []Reading
	var services []string
	for rows.Next() {
		var r Reading
		var service, datasets string
		var last, paused int64
		if err := rows.Scan(&r.Consent, &service, &datasets, &r.Accesses, &last, &paused); err != nil {
			return nil, err
		}
		r.Datasets, r.Last, r.Paused = datasetsIn(datasets), fromMicro(last), paused != 0
		list, services = append(list, r), append(services, service)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	known, err := a.services.many(ctx, a.db.Read, services)
	for i := range list {
		list[i].Service = serviceOr(known, services[i])
	}
	return list, err
}

// datasetsIn reads what [datasetsOf] wrote; an instance is not a dataset.
func datasetsIn(names string) (list []formats.Dataset) {
	for name := range strings.FieldsSeq(names) {
		if d, err := formats.ParseDataset(name); err == nil {
			list = append(list, d)
		}
	}
	return list
}
