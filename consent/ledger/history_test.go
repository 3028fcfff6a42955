package ledger_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

func (f *fixture) trust(t testing.TB) *ledger.Trust {
	t.Helper()
	trust, err := ledger.NewTrust([]string{f.vkey()}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// log logs an event and waits until it has its place.
func (f *fixture) log(t testing.TB, e ledger.Event) ledger.Entry {
	t.Helper()
	logged, err := f.Append(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	entries, _, err := logged.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return entries[0]
}

func about(person, service, what string) ledger.Event {
	return ledger.Event{Person: person, Class: ledger.Access, Type: what, Service: service, Dataset: "bank", Detail: "secret detail of " + person}
}

// lives logs the lives of two persons with three services.
func (f *fixture) lives(t testing.TB) {
	t.Helper()
	for i := range 30 {
		f.log(t, about("alice", fmt.Sprintf("service-%d.example", i%3), fmt.Sprintf("what-%d", i)))
		if i%2 == 0 {
			f.log(t, about("bob", "service-0.example", "b"))
		}
	}
}

func (f *fixture) history(t testing.TB, d ledger.Disclose) []byte {
	t.Helper()
	h, err := f.History(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (f *fixture) verify(t testing.TB, text []byte) (*ledger.Shown, error) {
	t.Helper()
	h, err := ledger.ReadHistory(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return h.Verify(f.trust(t))
}

func TestAHistoryShowsWhatThereWasAndWhatThereWasNot(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := setup(t, db)
		f.lives(t)
		cases := []struct {
			d      ledger.Disclose
			events int
			others int
			says   string
		}{
			{ledger.Disclose{Person: "alice", Service: "service-1.example", To: "regulator"}, 10, 20, "Nothing was logged of this person for the service service-1.example before 2"},
			{ledger.Disclose{Person: "alice", Service: "nobody.example", To: "regulator"}, 0, 31, "for the service nobody.example before 2"},
			{ledger.Disclose{Person: "alice", To: "alice"}, 32, 0, "Nothing was logged of this person before"},
			{ledger.Disclose{Person: "alice", Service: "service-2.example", To: "service-2.example", Hide: true}, 10, 23, "23 events of the person are not opened"},
			{ledger.Disclose{Person: "bob", Service: "service-0.example", To: "x"}, 15, 0, "before"},
		}
		for _, c := range cases {
			text := f.history(t, c.d)
			shown, err := f.verify(t, text)
			if err != nil {
				t.Fatalf("%+v: %v", c.d, err)
			}
			if len(shown.Events) != c.events || shown.Others != c.others || !strings.Contains(shown.Before(), c.says) {
				t.Errorf("%+v: %d events, %d others, %s", c.d, len(shown.Events), shown.Others, shown.Before())
			}
			for _, e := range shown.Events {
				if c.d.Service != "" && e.Fields[ledger.Service] != c.d.Service {
					t.Errorf("an event of %s", e.Fields[ledger.Service])
				}
			}
			if c.d.Hide && (bytes.Contains(text, []byte("service-0")) || bytes.Contains(text, []byte("what-0"))) {
				t.Error("what was to be hidden is there")
			}
			if c.d.Service == "service-1.example" && bytes.Contains(text, []byte("what-0\"")) {
				t.Error("more was opened of other services' events than their service")
			}
		}
	})
}

// Whatever is changed in the file of a history, it does not hold any more.
func TestAForgedHistoryDoesNotHold(t *testing.T) {
	f := setup(t, dbtest.SQLite(t))
	f.lives(t)
	text := f.history(t, ledger.Disclose{Person: "alice", Service: "service-1.example", To: "regulator"})
	bobs := f.history(t, ledger.Disclose{Person: "bob", To: "regulator"})
	forge := map[string]func(h, bob *ledger.History){
		"an event is left out":           func(h, _ *ledger.History) { h.Events = append(h.Events[:7:7], h.Events[8:]...) },
		"the first event is left out":    func(h, _ *ledger.History) { h.Events = h.Events[1:] },
		"the last event is left out":     func(h, _ *ledger.History) { h.Events = h.Events[:len(h.Events)-1] },
		"two events are swapped":         func(h, _ *ledger.History) { h.Events[3], h.Events[4] = h.Events[4], h.Events[3] },
		"an event is there twice":        func(h, _ *ledger.History) { h.Events = append(h.Events[:4:4], h.Events[3:]...) },
		"an event of somebody else":      func(h, bob *ledger.History) { h.Events[3] = bob.Events[3] },
		"the tag keys of somebody else":  func(h, bob *ledger.History) { h.TagKeys = bob.TagKeys },
		"no tag keys":                    func(h, _ *ledger.History) { h.TagKeys = nil },
		"a tag key too many":             func(h, _ *ledger.History) { h.TagKeys = append(h.TagKeys, h.TagKeys[0]) },
		"another index":                  func(h, _ *ledger.History) { h.Events[3].Index++ },
		"an index that is not there yet": func(h, _ *ledger.History) { h.Events[3].Index += 1 << 40 },
		"a proof is cut":                 func(h, _ *ledger.History) { h.Events[3].Proof = h.Events[3].Proof[1:] },
		"a leaf is cut":                  func(h, _ *ledger.History) { h.Events[3].Leaf = h.Events[3].Leaf[1:] },
		"another checkpoint":             func(h, bob *ledger.History) { h.Checkpoint = bob.Checkpoint[:len(bob.Checkpoint)-9] },
		"nothing at all":                 func(h, _ *ledger.History) { h.Events = nil },
		"a number is not opened":         func(h, _ *ledger.History) { delete(h.Events[3].Opened, ledger.Counter) },
		"the time is not opened":         func(h, _ *ledger.History) { delete(h.Events[3].Opened, ledger.Time) },
		"another service": func(h, _ *ledger.History) {
			o := h.Events[1].Opened[ledger.Service]
			o.Value = "service-9.example"
			h.Events[1].Opened[ledger.Service] = o
		},
		"another salt": func(h, _ *ledger.History) {
			o := h.Events[1].Opened[ledger.Type]
			o.Salt[0] ^= 1
			h.Events[1].Opened[ledger.Type] = o
		},
		"a field that does not exist": func(h, _ *ledger.History) { h.Events[1].Opened[ledger.Field(200)] = ledger.Opening{} },
	}
	for name, change := range forge {
		var h, bob ledger.History
		if err := errors.Join(json.Unmarshal(text, &h), json.Unmarshal(bobs, &bob)); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Verify(f.trust(t)); err != nil {
			t.Fatal(err)
		}
		change(&h, &bob)
		if _, err := h.Verify(f.trust(t)); !errors.Is(err, ledger.ErrProof) && !errors.Is(err, ledger.ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	asked := bytes.Index(text, []byte("service-1")) // to ask for another service is no forgery
	for i := 0; i < len(text); i += 1 + i%97 {
		if i >= asked && i < asked+len("service-1.example") {
			continue
		}
		forged := bytes.Clone(text)
		forged[i] ^= 1
		shown, err := f.verify(t, forged)
		if err == nil && shown.Text() != mustShow(t, f, text) {
			t.Fatalf("byte %d was changed (…%s…), and it shows something else", i, forged[max(0, i-20):min(len(forged), i+20)])
		}
	}
}

func mustShow(t testing.TB, f *fixture, text []byte) string {
	t.Helper()
	shown, err := f.verify(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return shown.Text()
}

// Who had a history cannot tell which later leaves are the person's.
func TestADisclosureEndsAnEpoch(t *testing.T) {
	f := setup(t, dbtest.SQLite(t))
	f.lives(t)
	var first, second ledger.History
	if err := json.Unmarshal(f.history(t, ledger.Disclose{Person: "alice", To: "x"}), &first); err != nil {
		t.Fatal(err)
	}
	f.log(t, about("alice", "later.example", "later"))
	if err := json.Unmarshal(f.history(t, ledger.Disclose{Person: "alice", To: "y"}), &second); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Verify(f.trust(t)); err != nil {
		t.Fatal(err)
	}
	if len(first.TagKeys) != 1 || len(second.TagKeys) != 2 || first.TagKeys[0] != second.TagKeys[0] || second.TagKeys[1] == second.TagKeys[0] {
		t.Fatalf("%v, %v", first.TagKeys, second.TagKeys)
	}
	second.TagKeys = append(first.TagKeys, first.TagKeys...)
	if _, err := second.Verify(f.trust(t)); !errors.Is(err, ledger.ErrProof) {
		t.Fatalf("the tags of the second epoch are those of the first: %v", err)
	}
}

func TestEventsAreShownToThePerson(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := setup(t, db)
		f.lives(t)
		n := 30
		for e, err := range f.Events(t.Context(), "alice") {
			n--
			if err != nil || e.Fields[ledger.Type] != fmt.Sprintf("what-%d", n) || e.Counter != int64(n) {
				t.Fatalf("%+v, %v", e, err)
			}
		}
		if n != 0 {
			t.Fatalf("%d are missing", n)
		}
		for _, err := range f.Events(t.Context(), "nobody") {
			if !errors.Is(err, ledger.ErrUnknown) {
				t.Fatal(err)
			}
		}
		if _, err := f.History(t.Context(), ledger.Disclose{Person: "nobody"}); !errors.Is(err, ledger.ErrUnknown) {
			t.Fatal(err)
		}
	})
}

// A clock that is set back does not turn a chain's times round.
func TestClockGoingBackwards(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f := setup(t, dbtest.SQLite(t), func(o *ledger.Options) { o.Now = func() time.Time { return now } })
	for range 5 {
		f.log(t, about("alice", "s", "t"))
		now = now.Add(-100 * time.Minute)
	}
	f.log(t, about("bob", "s", "t"))
	for _, person := range []string{"alice", "bob"} {
		if _, err := f.verify(t, f.history(t, ledger.Disclose{Person: person})); err != nil {
			t.Error(err)
		}
	}
}

func TestProofsOfLeavesAndOfGrowth(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := setup(t, db)
		ctx := t.Context()
		f.log(t, event("alice", "x"))
		old, err := f.Published(ctx)
		if err != nil {
			t.Fatal(err)
		}
		f.lives(t)
		for i := range int64(40) {
			proof, err := f.ProveLeaf(ctx, i)
			if err != nil {
				t.Fatal(err)
			}
			shown, err := ledger.VerifyLeaf(proof, f.trust(t))
			if err != nil || shown.Index != i {
				t.Fatalf("%+v, %v", shown, err)
			}
			for at := range proof {
				if i != 7 {
					break
				}
				forged := bytes.Clone(proof)
				forged[at] ^= 1 // a last digit in base64 has bits that say nothing
				if other, err := ledger.VerifyLeaf(forged, f.trust(t)); err == nil && (other.Index != i || !bytes.Equal(other.Leaf, shown.Leaf)) {
					t.Fatalf("byte %d was changed: %+v", at, other)
				}
			}
		}
		if _, err := f.ProveLeaf(ctx, 1000); err == nil {
			t.Error("a leaf that is not there was proved")
		}
		c, err := f.ProveConsistency(ctx, old.Note)
		if err != nil {
			t.Fatal(err)
		}
		if before, after, err := c.Verify(f.trust(t)); err != nil || before.Size != 1 || after.Size != 46 {
			t.Fatalf("%d, %d, %v", before.Size, after.Size, err)
		}
		c.Proof[0][0] ^= 1
		if _, _, err := c.Verify(f.trust(t)); !errors.Is(err, ledger.ErrProof) {
			t.Fatal(err)
		}
	})
}
