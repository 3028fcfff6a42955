package events_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/consent/events"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// listener is a service's endpoint. It answers as it is told, once each, and the last one again and again.
type listener struct {
	mu      sync.Mutex
	answers []int
	got     []map[string]any
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	l.mu.Lock()
	defer l.mu.Unlock()
	var claims map[string]any
	json.Unmarshal(body, &claims)
	claims["type"] = r.Header.Get("Content-Type")
	l.got = append(l.got, claims)
	w.WriteHeader(l.answers[0])
	if l.answers[0] == http.StatusBadRequest {
		io.WriteString(w, `{"err":"invalid_audience","description":"x"}`)
	}
	if len(l.answers) > 1 {
		l.answers = l.answers[1:]
	}
}

func TestArticle19Told(t *testing.T) {
	for name, c := range map[string]struct {
		answers []int
		tried   int
		said    string
	}{
		"at once":      {[]int{http.StatusAccepted}, 1, "acknowledged"},
		"after a fall": {[]int{http.StatusInternalServerError, http.StatusAccepted}, 2, "acknowledged"},
		"refused":      {[]int{http.StatusBadRequest, http.StatusAccepted}, 2, "acknowledged"},
		"elsewhere":    {[]int{http.StatusFound, http.StatusAccepted}, 2, "acknowledged"},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				l := &listener{answers: c.answers}
				to := httptest.NewServer(l)
				defer to.Close()
				f, e := setup(t, db)
				f.Service(t, "invites", func(s *consent.Service) { s.Events = to.URL })
				given := f.Grant(t, "invites", "alice")
				if list, err := e.Of(t.Context(), given.ID); err != nil || len(list) != 0 {
					t.Error("a service needs not be told what it is answered anyway", list, err)
				}
				if _, err := f.Withdraw(t.Context(), consent.Ending{Consent: given.ID, Person: "alice", State: consent.Withdrawn}); err != nil {
					t.Fatal(err)
				}
				event := wait(t, e, given.ID, func(e events.Event) bool { return !e.Acknowledged.IsZero() })
				if event.Tried != c.tried || event.Answer != c.said || event.State != consent.Withdrawn || event.Revision != 2 {
					t.Errorf("%+v", event)
				}
				l.mu.Lock()
				defer l.mu.Unlock()
				got := l.got[len(l.got)-1]
				sub, _ := got["sub_id"].(map[string]any)
				changed, _ := got["events"].(map[string]any)[events.Type].(map[string]any)
				if got["type"] != "application/secevent+jwt" || got["aud"] != "invites" || got["jti"] != event.ID || sub["sub"] != "pseudonym" || changed["grant_id"] != given.ID || changed["state"] != "ConsentWithdrawn" {
					t.Error(got)
				}
			})
		})
	}
}

// TestMoved: a service is told where a person has gone, in the token that tells that the consent has ended.
func TestMoved(t *testing.T) {
	l := &listener{answers: []int{http.StatusServiceUnavailable, http.StatusAccepted}}
	to := httptest.NewServer(l)
	defer to.Close()
	f, e := setup(t, dbtest.SQLite(t))
	f.Service(t, "follower", func(s *consent.Service) { s.Events = to.URL })
	given := f.Grant(t, "follower", "alice")
	_, err := f.Ledger.Commit(t.Context(), func(tx *sql.Tx) ([]ledger.Event, error) {
		return f.Leave(t.Context(), tx, consent.Leaving{Person: "alice", Move: "m1", Operator: "b.example", Issuer: "https://b.example"})
	})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, e, given.ID, func(e events.Event) bool { return !e.Acknowledged.IsZero() })
	l.mu.Lock()
	defer l.mu.Unlock()
	said, _ := l.got[len(l.got)-1]["events"].(map[string]any)
	changed, _ := said[events.Type].(map[string]any)
	moved, _ := said[events.TypeMoved].(map[string]any)
	if len(l.got) != 2 || changed["state"] != "ConsentRevoked" || moved["issuer"] != "https://b.example" || moved["statement"] != "a.b.c" {
		t.Error(l.got)
	}
}

// TestSilent records that nobody answered.
func TestSilent(t *testing.T) {
	f, e := setup(t, dbtest.SQLite(t))
	to := httptest.NewServer(http.NotFoundHandler())
	to.Close()
	f.Service(t, "silent", func(s *consent.Service) { s.Events = to.URL })
	f.Service(t, "without")
	for service, said := range map[string]string{"silent": "the endpoint cannot be reached", "without": "the service has named no endpoint for events"} {
		given := f.Grant(t, service, "alice")
		if _, err := f.Withdraw(t.Context(), consent.Ending{Consent: given.ID, Person: "alice", State: consent.Withdrawn}); err != nil {
			t.Fatal(err)
		}
		event := wait(t, e, given.ID, func(e events.Event) bool { return e.Tried > 0 })
		if event.Answer != said || !event.Acknowledged.IsZero() {
			t.Errorf("%+v", event)
		}
	}
}

func wait(t *testing.T, e *events.Events, consentID string, until func(events.Event) bool) events.Event {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		list, err := e.Of(t.Context(), consentID)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 1 && until(list[0]) {
			return list[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", list)
		}
	}
}

// setup returns an authority whose services are told. The token is its claims, without a signature.
func setup(t *testing.T, db *sqldb.DB) (*consenttest.Fixture, *events.Events) {
	t.Helper()
	queue, err := jobs.New(t.Context(), db, jobs.Config{Poll: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	e, err := events.New(t.Context(), db, queue)
	if err != nil {
		t.Fatal(err)
	}
	f := consenttest.New(t, db, func(o *consent.Options) { o.Decided = e.Changed })
	e.Work(events.Options{
		Issuer: "https://operator.example", Service: f.Authority.Service, Subject: func(string, string) string { return "pseudonym" },
		Sign: func(_ context.Context, _ string, claims any) (string, error) {
			text, err := json.Marshal(claims)
			return string(text), err
		},
		Moved: func(_ context.Context, _, service string) (any, error) {
			if service != "follower" {
				return nil, nil
			}
			return map[string]string{"issuer": "https://b.example", "statement": "a.b.c"}, nil
		},
		Client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- queue.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return f, e
}
