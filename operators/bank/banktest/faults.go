package banktest

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
)

// Kind is what goes wrong.
type Kind string

// What can go wrong with the transport.
const (
	Slow       Kind = "slow"    // it takes Seconds
	StatusCode Kind = "status"  // the answer is Status (503), with Retry-After: RetryAfter seconds, as a date if AsDate
	Cut        Kind = "cut"     // the body ends in the middle
	Dropped    Kind = "dropped" // the connection ends without an answer
	HTML       Kind = "html"    // a page in the place of JSON, with status 200
	Huge       Kind = "huge"    // the body has Bytes (100 MB), with status 200
)

// What can go wrong with lists of operations.
const (
	DuplicatePages      Kind = "duplicate-pages"      // each page comes twice
	DuplicateOperations Kind = "duplicate-operations" // a page begins with the end of the one before
	Disorder            Kind = "disorder"             // operations are in no order, across all pages
	ChangingIDs         Kind = "changing-ids"         // each answer has other ids
	NoIDs               Kind = "no-ids"               // there is neither transactionId nor entryReference
	FlippedSigns        Kind = "flipped-signs"        // what leaves the account comes in
	Endless             Kind = "endless"              // there is always one more page, empty in the end
	Loop                Kind = "loop"                 // the next page is this one
	Elsewhere           Kind = "elsewhere"            // the next page is at another host: Value ("https://elsewhere.example")
	Amount              Kind = "amount"               // the first amount of a page is Value ("1.00E+2")
	Currency            Kind = "currency"             // the first currency of a page is Value ("ZZZ")
	Times               Kind = "times"                // dates have a time, but no zone
)

// Shortened lets consents end after Days (1), whatever was asked for.
const Shortened Kind = "shortened"

// Fault is something that goes wrong on purpose.
type Fault struct {
	Kind   Kind   `json:"kind"`
	Path   string `json:"path,omitempty"`   // strikes requests whose path contains it; "": all of the interface
	Method string `json:"method,omitempty"` // strikes requests of this method; "": of any
	Skip   int    `json:"skip,omitempty"`   // so many requests are let through before
	Count  int    `json:"count,omitempty"`  // strikes so many requests; 0: until it is cleared

	Seconds    float64 `json:"seconds,omitempty"`
	Status     int     `json:"status,omitempty"`
	RetryAfter int     `json:"retryAfter,omitempty"`
	AsDate     bool    `json:"asDate,omitempty"`
	Bytes      int64   `json:"bytes,omitempty"`
	Value      string  `json:"value,omitempty"`
	Days       int     `json:"days,omitempty"`

	struck int
}

// FaultHeader is in answers that went wrong on purpose, with the kinds of fault: tests need not take them for a bank's.
const FaultHeader = "Sandbox-Fault"

// Break lets something go wrong from now on. Faults of lists strike GET …/transactions where Path is "", and Shortened POST
// /v1/consents. It fails where there is no such kind of fault.
func (b *Bank) Break(f Fault) error {
	switch f.Kind {
	case Slow, StatusCode, Cut, Dropped, HTML, Huge:
	case DuplicatePages, DuplicateOperations, Disorder, ChangingIDs, NoIDs, FlippedSigns, Endless, Loop, Elsewhere, Amount, Currency, Times:
		f.Path, f.Method = cmp.Or(f.Path, "/transactions"), cmp.Or(f.Method, http.MethodGet)
	case Shortened:
		f.Path, f.Method = cmp.Or(f.Path, "/v1/consents"), http.MethodPost
	default:
		return fmt.Errorf("%w: fault %q", errNothing, f.Kind)
	}
	if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
		return fmt.Errorf("%d is no status of an answer", f.Status)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, &f)
	return nil
}

// Faults are what goes wrong on purpose, with what is left of it.
func (b *Bank) Faults() []Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []Fault{}
	for _, f := range b.faults {
		if f.Count == 0 || f.struck < f.Skip+f.Count {
			list = append(list, *f)
		}
	}
	return list
}

// Mend ends all that goes wrong on purpose.
func (b *Bank) Mend() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = nil
}

// strike says what goes wrong with a request. What is returned is a copy.
func (b *Bank) strike(r *http.Request) (list []*Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		if f.Path != "" && !strings.Contains(r.URL.Path, f.Path) || f.Method != "" && f.Method != r.Method {
			continue
		}
		if f.struck++; f.struck > f.Skip && (f.Count == 0 || f.struck <= f.Skip+f.Count) {
			list = append(list, new(*f))
		}
	}
	return list
}

// struck is the fault of a kind that strikes the request, nil if none does.
func (q *request) struck(kind Kind) *Fault {
	for _, f := range q.strikes {
		if f.Kind == kind {
			return f
		}
	}
	return nil
}
