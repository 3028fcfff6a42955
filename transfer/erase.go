package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/operators"
)

// Erase removes a person from an operator, and says in a certificate what was removed, who has to know, and what must be
// kept (GDPR articles 17 and 19). Each of its functions may be called again: what broke off goes on when it is done again.
type Erase struct {
	Person   string
	Operator string // id
	// Count says what the instance holds; the error wraps [operators.ErrNotFound] where it is gone already.
	Count func(context.Context) (Held, error)
	// Recipients are the services that had data of the person.
	Recipients func(context.Context) ([]EraseRecipient, error)
	// Remove are what removes the account, the archives and the instance, in this order.
	Remove []func(context.Context) error
	// Forget ends the consents, and removes what is kept of them and in the log.
	Forget func(context.Context) (Forgotten, error)
	Now    func() time.Time // nil: the clock
}

// Held is what an instance held.
type Held struct {
	Records int64 `json:"records"`
	Files   int64 `json:"files"`
	Bytes   int64 `json:"bytes"`
}

// EraseRecipient is a service that had data of the person, and whether it has acknowledged that its consents ended.
type EraseRecipient struct {
	Service      string    `json:"service"` // legal name
	Contact      string    `json:"contact"`
	Told         time.Time `json:"told,omitzero"`         // that a consent ended, last
	Acknowledged time.Time `json:"acknowledged,omitzero"` // zero: it is silent, so far
}

// Forgotten is what became of what was decided, and of the log.
type Forgotten struct {
	Ended    int       `json:"consents_ended"`
	Consents int       `json:"consents_deleted"`
	Requests int       `json:"requests_deleted"`
	Accesses int       `json:"accesses_deleted"`
	Leaf     int64     `json:"leaf"` // the last entry in the log; -1: there is none
	Hash     string    `json:"leaf_hash,omitempty"`
	Log      string    `json:"log,omitempty"` // its checkpoint that covers the leaf, signed (C2SP)
	Until    time.Time `json:"until,omitzero"`
}

// CertificateFormat names the form of a [Certificate].
const CertificateFormat = "passerelle-erasure/1"

// Certificate says what was erased.
type Certificate struct {
	Format     string           `json:"format"` // CertificateFormat
	Operator   string           `json:"operator"`
	Person     string           `json:"person"` // the name that they had
	Erased     time.Time        `json:"erased"`
	Instance   Held             `json:"instance"`
	Consents   Forgotten        `json:"consents"`
	Recipients []EraseRecipient `json:"recipients"`
	Retained   []Retained       `json:"retained"` // empty: nothing
}

// Retained is what must be kept, why, and until when.
type Retained struct {
	What  string    `json:"what"`
	Why   string    `json:"why"`
	Until time.Time `json:"until,omitzero"` // zero: it names nobody
}

// Run erases.
func (e Erase) Run(ctx context.Context) (*Certificate, error) {
	c := &Certificate{Format: CertificateFormat, Operator: e.Operator, Person: e.Person, Recipients: []EraseRecipient{}, Retained: []Retained{}}
	var err error
	if c.Instance, err = e.Count(ctx); err != nil && !errors.Is(err, operators.ErrNotFound) {
		return nil, fmt.Errorf("count what there is: %w", err)
	}
	for _, remove := range e.Remove {
		if err := remove(ctx); err != nil && !errors.Is(err, operators.ErrNotFound) {
			return nil, fmt.Errorf("it is not done; do it again: %w", err)
		}
	}
	if c.Recipients, err = e.Recipients(ctx); err != nil {
		return nil, fmt.Errorf("find who has to know; do it again: %w", err)
	}
	if c.Consents, err = e.Forget(ctx); err != nil {
		return nil, fmt.Errorf("the instance is removed, but not what was decided; do it again: %w", err)
	}
	now := time.Now
	if e.Now != nil {
		now = e.Now
	}
	c.Erased = now().UTC().Truncate(time.Second)
	if !c.Consents.Until.IsZero() {
		c.Retained = append(c.Retained, Retained{"what proves the consents, and what was read on them: decisions, notices, accesses, entries of the log",
			"a claim may be made that it refutes (GDPR article 17(3)(e)); nothing else is done with it, and it is deleted then by itself", c.Consents.Until})
	}
	c.Retained = append(c.Retained, Retained{What: "the entries of the log, closed for ever: the key to them is destroyed, or will be", Why: "without them nobody could check the rest; they name nobody"})
	return c, nil
}

// Bytes is the certificate as it is signed.
func (c *Certificate) Bytes() ([]byte, error) { return json.Marshal(c) }
