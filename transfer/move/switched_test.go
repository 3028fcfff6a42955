package move

import (
	"database/sql"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// TestDataActArticle25Times: what retires is written down with when the person had said yes, when it was, and until when the
// data can be fetched.
func TestDataActArticle25Times(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx, now := t.Context(), time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		f := consenttest.New(t, db)
		s, err := OpenSender(ctx, db, f.Ledger, SenderOptions{Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		root := formats.HashOf([]byte("all"))
		write := func(id string, stage Stage, do func(*sql.Tx, *entry[leaving]) ([]ledger.Event, error)) {
			t.Helper()
			_, err := f.Ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
				e := &entry[leaving]{Move: Move{ID: id, Standing: Standing{Side: Source, Stage: stage, Epoch: 1, Root: root.String()}, Person: "alice", Peer: "other.example", Consent: "consent-" + id, Begun: now}}
				events, err := do(tx, e)
				if err != nil {
					return nil, err
				}
				return events, put(ctx, s.store, tx, e)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		given := now.Add(-29 * 24 * time.Hour)
		write("one", Fenced, func(tx *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
			return s.retire(ctx, tx, e, Authorisation{Given: given, Prolonged: true}, Acceptance{Epoch: 1, Root: root}, Receipt{})
		})
		for _, stage := range []Stage{Planned, Fenced, Aborted} {
			write(string(stage), stage, func(*sql.Tx, *entry[leaving]) ([]ledger.Event, error) { return nil, nil })
		}
		list, err := s.Switched(ctx, now)
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		want := Switched{Consent: "consent-one", Peer: "other.example", Given: given, Prolonged: true, Committed: now, Until: now.Add(30 * 24 * time.Hour)}
		if list[0] != want {
			t.Errorf("%+v, not %+v", list[0], want)
		}
		if list, err := s.Switched(ctx, now.Add(time.Microsecond)); err != nil || len(list) != 0 {
			t.Errorf("those that began later: %+v, %v", list, err)
		}
	})
}
