package consent_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// TestArticle15Kept: a person gets a copy of all that is kept of what they decided, and of nothing of others.
func TestArticle15Kept(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := context.Background()
		f := consenttest.New(t, db)
		f.Service(t, "reader")
		f.Service(t, "other")
		c := f.Grant(t, "reader", "alice")
		bobs := f.Grant(t, "other", "bob")
		const reads = 1003
		for n := range reads {
			if _, err := f.DB.Write.ExecContext(ctx, `INSERT INTO consent_access (id, consent, revision, service, dataset, action, begun, open, ended, records, bytes, hash, outcome)
				VALUES ($1, $2, 1, 'reader', 'contacts', 'read', $3, FALSE, $3, 3, 100, '', 'complete')`, consenttest.CrowdID("access", n), c.ID, time.Now().UnixMicro()/2+int64(n/3)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.Refuse(ctx, f.Decision(t, f.Ask(t, "reader"), "alice"), nil); err != nil {
			t.Fatal(err)
		}
		accesses := map[string]bool{}
		types := map[string]int{}
		ids := map[string]bool{}
		for k, err := range f.Kept(ctx, "alice") {
			if err != nil {
				t.Fatal(err)
			}
			var body struct {
				Type      string
				Revisions []struct{ Notice struct{ HTML string } }
				Accesses  []struct{ ID string }
			}
			if err := json.Unmarshal(k.Body, &body); err != nil {
				t.Fatal(err)
			}
			types[body.Type]++
			if ids[k.ID] {
				t.Errorf("%s is there twice", k.ID)
			}
			ids[k.ID] = true
			for _, a := range body.Accesses {
				accesses[a.ID] = true
			}
			if body.Type == "consent" && (len(body.Revisions) != 1 || !strings.Contains(body.Revisions[0].Notice.HTML, "the notice for alice")) {
				t.Errorf("%s", k.Body)
			}
			if strings.Contains(string(k.Body), bobs.ID) {
				t.Errorf("it is about bob: %s", k.Body)
			}
			if err := formats.CheckBody(formats.KindDocument, k.Body); err != nil {
				t.Error(err)
			}
		}
		if len(accesses) != reads || types["consent"] != 1 || types["accesses"] != 2 || types["refusal"] != 1 {
			t.Errorf("%d accesses, %v", len(accesses), types)
		}
		for range f.Kept(ctx, "nobody") {
			t.Error("something is kept of nobody")
		}
	})
}

// TestReadKept reads out of what is kept what the operator would say of the same consents to another one, but for the service's
// keys and how the person had proved who they are.
func TestReadKept(t *testing.T) {
	f := consenttest.New(t, dbtest.SQLite(t))
	f.Service(t, "reader")
	f.Service(t, "other")
	c := f.Grant(t, "reader", "alice")
	f.Grant(t, "other", "alice")
	if _, err := f.Pause(t.Context(), consent.Pausing{Consent: c.ID, Person: "alice", Session: consent.SessionFacts{Method: "password"}}); err != nil {
		t.Fatal(err)
	}
	said, err := f.Followable(t.Context(), "alice", 10)
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]consent.Following{}
	for k, err := range f.Kept(t.Context(), "alice") {
		if err != nil {
			t.Fatal(err)
		}
		one, ok, err := consent.ReadKept(k.Body)
		if err == nil && ok {
			err = f.Sound(&one)
		}
		if err != nil {
			t.Error(err)
		}
		if ok {
			read[one.Grant] = one
		}
	}
	for _, want := range said {
		want.Method, want.Authenticated = read[want.Grant].Method, time.Time{}
		a, _ := json.Marshal(want)
		b, _ := json.Marshal(read[want.Grant])
		if string(a) != string(b) {
			t.Errorf("it reads\n%s\nand is\n%s", b, a)
		}
	}
	for _, body := range []string{``, `[]`, `{"type":"consent"}`, `{"type":"consent","service":{}}`, `{"type":"consent","revisions":[{}]}`} {
		if _, _, err := consent.ReadKept(json.RawMessage(body)); !errors.Is(err, consent.ErrRequest) {
			t.Errorf("%s: %v", body, err)
		}
	}
	if _, ok, err := consent.ReadKept(json.RawMessage(`{"type":"receipt"}`)); ok || err != nil {
		t.Error(ok, err)
	}
}
