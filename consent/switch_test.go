package consent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/dataact"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// host is an operator who hosts instances, with a clock of its own.
type host struct {
	*consenttest.Fixture
	now time.Time
}

func newHost(t *testing.T, db *sqldb.DB, terms consent.Switching) *host {
	t.Helper()
	h := &host{now: time.Date(2028, 2, 27, 23, 30, 0, 0, time.UTC)} // in a leap year
	h.Fixture = consenttest.New(t, db, func(o *consent.Options) {
		o.Operator.Roles, o.Operator.Switching, o.Packs, o.Now = []string{dataact.Role}, &terms, []consent.Pack{dataact.Pack()}, func() time.Time { return h.now }
	})
	h.Service(t, "other.example", func(s *consent.Service) { s.Operator = true })
	return h
}

// ask makes the other operator ask that a person moves to it, until a time; "": it says none.
func (h *host) ask(until string) (consent.Request, error) {
	if until != "" {
		until = `,"expires":"` + until + `"`
	}
	details := fmt.Sprintf(`[{"type":"instance_move","destination":"other.example"%s}]`, until)
	return h.Authority.Ask(context.Background(), consent.Asking{Service: "other.example", Details: json.RawMessage(details), Expires: h.now.Add(time.Hour)}, nil)
}

// TestDataActArticle25Authorised: an authorisation to move lasts for 30 days, to the second, and the person may prolong it.
func TestDataActArticle25Authorised(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHost(t, db, consent.Switching{Retained: 30, Erased: true})
		if _, err := h.ask("2028-03-28T23:30:01Z"); !errors.Is(err, consent.ErrRefused) || !strings.Contains(err.Error(), "transition-too-long, Data Act art. 25(2)(a)") {
			t.Errorf("a second too long: %v", err)
		}
		if _, err := h.ask("2028-03-28T23:30:00Z"); err != nil {
			t.Errorf("30 days: %v", err)
		}
		r, err := h.ask("")
		if err != nil {
			t.Fatal(err)
		}
		if laws := h.Laws(consent.Here, r.Details); !slices.Equal(laws, []string{"dataact"}) {
			t.Errorf("the person is told of %v", laws)
		}
		c, err := h.Authority.Grant(context.Background(), h.Decision(t, r, "alice"), nil)
		if err != nil {
			t.Fatal(err)
		}
		h.now = time.Date(2028, 3, 20, 0, 0, 0, 0, time.UTC)
		longer := h.now.Add(30 * 24 * time.Hour)
		if c, err = h.Renew(context.Background(), consent.Renewal{Consent: c.ID, Person: "alice", Until: longer, Session: consent.SessionFacts{Method: "password", Authenticated: h.now}}); err != nil || !c.Expires.Equal(longer) {
			t.Errorf("prolonged by the person (article 25(5)): until %s, %v", c.Expires, err)
		}
	})
}

// TestDataActArticle25Terms: who does not keep to the law is not asked for a yes.
func TestDataActArticle25Terms(t *testing.T) {
	h := newHost(t, dbtest.SQLite(t), consent.Switching{Retained: 29, Erased: true, Charge: 10})
	_, err := h.ask("")
	var refused *consent.RefusedError
	if !errors.As(err, &refused) || len(refused.Refusals) != 2 {
		t.Errorf("%v", err)
	}
}
