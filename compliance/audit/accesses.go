package audit

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
)

// records are the accesses in a bundle, which are held against the log.
type records struct {
	byID map[string]*EvidentAccess
	seen map[string]bool // begun, in the log
	done map[string]bool // finished, in the log
}

func (o *opening) accesses() (*records, error) {
	var list []EvidentAccess
	if err := o.decode(fileAccesses, &list); err != nil {
		return nil, err
	}
	r := &records{byID: map[string]*EvidentAccess{}, seen: map[string]bool{}, done: map[string]bool{}}
	for i := range list {
		r.byID[list[i].ID] = &list[i]
	}
	if len(r.byID) != len(list) {
		return nil, fmt.Errorf("%s: an access is there twice", fileAccesses)
	}
	return r, nil
}

// accessDetail is the detail of an access's event in the log.
type accessDetail struct {
	Access  string         `json:"access"`
	Action  consent.Action `json:"action"`
	Token   string         `json:"token"`
	Records int64          `json:"records"`
	Bytes   int64          `json:"bytes"`
	SHA256  string         `json:"sha256"`
	Outcome string         `json:"outcome"`
}

// of finds the record of an event.
func (r *records) of(e ledger.ShownEvent) (*EvidentAccess, accessDetail, error) {
	var d accessDetail
	if err := json.Unmarshal([]byte(e.Fields[ledger.Detail]), &d); err != nil {
		return nil, d, fmt.Errorf("leaf %d: its detail cannot be read: %w", e.Index, err)
	}
	a := r.byID[d.Access]
	if a == nil {
		return nil, d, fmt.Errorf("the access %s was logged (leaf %d), and is left out here", d.Access, e.Index)
	}
	return a, d, nil
}

func (r *records) begun(e ledger.ShownEvent) (*ProvenAccess, error) {
	a, d, err := r.of(e)
	if err != nil {
		return nil, err
	}
	f := e.Fields
	if a.Consent != f[ledger.Consent] || strconv.Itoa(a.Revision) != f[ledger.Revision] || names(a.Datasets) != f[ledger.Dataset] || a.Action != d.Action || a.Token != d.Token {
		return nil, fmt.Errorf("the access %s is recorded otherwise than it was logged (leaf %d)", a.ID, e.Index)
	}
	r.seen[a.ID] = true
	return &ProvenAccess{EvidentAccess: a, Leaf: e.Index, At: e.Time}, nil
}

func names(sets []formats.Dataset) string {
	list := make([]string, len(sets))
	for i, s := range sets {
		list[i] = string(s)
	}
	return strings.Join(list, " ")
}

func (r *records) finished(e ledger.ShownEvent) error {
	a, d, err := r.of(e)
	if err != nil {
		return err
	}
	if a.Records != d.Records || a.Bytes != d.Bytes || a.SHA256 != d.SHA256 || a.Outcome != d.Outcome && a.Outcome != consent.CutOff {
		return fmt.Errorf("what was sent in the access %s is recorded otherwise than it was logged (leaf %d)", a.ID, e.Index)
	}
	r.done[a.ID] = true
	return nil
}

// rest is an error where an access is in the records that was never logged.
func (r *records) rest(shown *ledger.Shown) error {
	for id, a := range r.byID {
		if !r.seen[id] && a.Begun.Before(shown.Until.Add(-inFlight)) {
			return fmt.Errorf("the access %s is in the records, and was never logged", id)
		}
	}
	return nil
}
