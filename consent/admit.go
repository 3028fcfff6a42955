package consent

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/passerelle-cloud/passerelle/formats"
)

// The fields of a record's envelope that a consent may name beside the members of the body.
const (
	fieldPath    = "path"    // where it is among the person's files
	fieldLinks   = "links"   // to other records
	fieldContent = "content" // the bytes of a file
	fieldNative  = "native"  // the document as its origin kept it
)

// always are the members of a body without which nobody can tell what it is.
var always = []string{"@type", "version"}

// Whole reports whether the permit covers the records of its dataset as they are: no fields, days or accounts are left
// out.
func (p *Permit) Whole(d formats.Dataset) bool {
	return p.limitOf(d) == nil && p.granted(d) && (p.money || !slices.Contains(derivedIn, d))
}

// derivedIn are the datasets that hold what was derived here from a person's bank operations as well: matches and alerts. Who
// was granted bills alone was not granted when and from which account they were paid.
var derivedIn = []formats.Dataset{formats.Bills, formats.Health}

// granted reports whether the person granted all of a dataset.
func (p *Permit) granted(d formats.Dataset) bool {
	return slices.ContainsFunc(p.covering, func(c Detail) bool { return c.whole(d) })
}

// limitOf is what is withheld of a dataset; nil: nothing.
func (p *Permit) limitOf(d formats.Dataset) *Limits {
	if at := slices.IndexFunc(p.limits, func(l Limits) bool { return l.Dataset == d }); at >= 0 {
		return &p.limits[at]
	}
	return nil
}

func (d *Detail) whole(set formats.Dataset) bool {
	_, limited := d.Fields[set]
	return slices.Contains(d.Datasets, set) && !limited && d.From == "" && d.To == "" && (set != formats.Bank || len(d.Accounts) == 0)
}

// Admit returns what of a record may leave; false if nothing may. What is not known to be inside what was granted stays
// here: a record without a day is not in a period. An account is in every period. Of a deletion the id may leave.
func (p *Permit) Admit(r formats.Record) (formats.Record, bool, error) {
	if (r.Kind == formats.KindMatch || r.Kind == formats.KindAlert) && r.Deleted.IsZero() && !p.money {
		return formats.Record{}, false, nil
	}
	if l := p.limitOf(r.Dataset); l != nil && r.Deleted.IsZero() {
		var ok bool
		if r, ok = l.withhold(r, &p.withheld); !ok {
			return formats.Record{}, false, nil
		}
	}
	if p.granted(r.Dataset) {
		return r, true, nil
	}
	fields := map[string]bool{}
	admitted := false
	for i := range p.covering {
		d := &p.covering[i]
		if !d.holds(&r) {
			continue
		}
		limit, limited := d.Fields[r.Dataset]
		if !limited {
			return r, true, nil
		}
		admitted = true
		for _, f := range limit {
			fields[f] = true
		}
	}
	if !admitted {
		return formats.Record{}, false, nil
	}
	r, err := limited(r, fields)
	return r, err == nil, err
}

// withhold leaves out what the law does not let out, and counts it.
func (l *Limits) withhold(r formats.Record, count *atomic.Int64) (formats.Record, bool) {
	if day := r.Day(); l.From != "" && r.Kind != formats.KindAccount && day < l.From { // also where it has no day
		count.Add(1)
		return r, false
	}
	if l.Native && r.Native != nil {
		r.Native = nil
		count.Add(1)
	}
	if l.Mask != nil {
		body, n := l.Mask(r.Body)
		r.Body = body
		count.Add(int64(n))
	}
	return r, true
}

// holds reports whether a detail covers a record, whatever its fields.
func (d *Detail) holds(r *formats.Record) bool {
	if !slices.Contains(d.Datasets, r.Dataset) {
		return false
	}
	if !r.Deleted.IsZero() {
		return true
	}
	if r.Dataset == formats.Bank && len(d.Accounts) > 0 && !slices.Contains(d.Accounts, accountOf(r)) {
		return false
	}
	if d.From == "" && d.To == "" || r.Kind == formats.KindAccount {
		return true
	}
	day := r.Day()
	return day != "" && day >= d.From && (d.To == "" || day <= d.To)
}

// accountOf returns the id of the bank account that a record is, or belongs to.
func accountOf(r *formats.Record) string {
	if r.Kind == formats.KindAccount {
		return r.ID
	}
	for _, l := range r.Links {
		if l.Rel == "account" {
			return l.ID
		}
	}
	return ""
}

// limited leaves only some fields of a record.
func limited(r formats.Record, fields map[string]bool) (formats.Record, error) {
	if !fields[fieldPath] {
		r.Path = ""
	}
	if !fields[fieldLinks] {
		r.Links = nil
	}
	if !fields[fieldContent] {
		r.Blob = nil
	}
	if !fields[fieldNative] {
		r.Native = nil
	}
	if len(r.Body) > 0 {
		body, err := formats.AppendMembers(make([]byte, 0, len(r.Body)), r.Body, func(name string) bool { return fields[name] || slices.Contains(always, name) })
		if err != nil {
			return r, fmt.Errorf("limit the fields of %s/%s: %w", r.Dataset, r.ID, err)
		}
		r.Body = body
	}
	return r, nil
}
