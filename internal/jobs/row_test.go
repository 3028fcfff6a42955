package jobs_test

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivertype"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// twoFields is given to River itself; its keys are not in their order.
type twoFields struct {
	Name string `json:"name"`
	Age  int    `json:"age"`
}

func (twoFields) Kind() string { return "test.row" }

// Our INSERT makes the rows that River's own makes.
func TestRowsAreThoseOfRiver(t *testing.T) {
	const kind jobs.Kind[twoFields] = "test.row"
	unique := river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{rivertype.JobStateAvailable, rivertype.JobStatePending,
		rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled}}
	later := time.Date(2100, 1, 2, 3, 4, 5, 678901000, time.FixedZone("", 7200))
	who := twoFields{Name: "Zoë", Age: 7}
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		q := open(t, db, jobs.Config{}, kind.Worker(func(context.Context, twoFields) error { return nil }))
		for name, c := range map[string]struct {
			ours   jobs.Options
			theirs river.InsertOpts
		}{
			"at once":   {jobs.Options{}, river.InsertOpts{}},
			"scheduled": {jobs.Options{At: later}, river.InsertOpts{ScheduledAt: later}},
			"unique":    {jobs.Options{Unique: true}, river.InsertOpts{UniqueOpts: unique}},
		} {
			t.Run(name, func(t *testing.T) {
				add(t, db, q, kind.Job(who), c.ours)
				ours := onlyRow(t, db)
				insertByRiver(t, db, who, c.theirs)
				theirs := onlyRow(t, db)
				for _, column := range slices.Sorted(maps.Keys(theirs)) {
					if ours[column] != theirs[column] {
						t.Errorf("%s is %s, but %s as River makes it", column, ours[column], theirs[column])
					}
				}
			})
		}
	})
}

func insertByRiver(t *testing.T, db *sqldb.DB, job twoFields, options river.InsertOpts) {
	t.Helper()
	var err error
	if db.Embedded() {
		client, e := river.NewClient(riversqlite.New(db.Write), &river.Config{})
		if e != nil {
			t.Fatal(e)
		}
		_, err = client.Insert(t.Context(), job, &options)
	} else {
		client, e := river.NewClient(riverpgxv5.New(db.Pool()), &river.Config{})
		if e != nil {
			t.Fatal(e)
		}
		_, err = client.Insert(t.Context(), job, &options)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// onlyRow takes out the one job, with the types of its values. What differs between any two jobs is left out: the
// number, the nonce by which River knows its row on SQLite, and the digits of the time it was made.
func onlyRow(t *testing.T, db *sqldb.DB) map[string]string {
	t.Helper()
	any, err := db.Read.Query(`SELECT * FROM river_job LIMIT 0`)
	if err != nil {
		t.Fatal(err)
	}
	columns, err := any.Columns()
	if err != nil {
		t.Fatal(err)
	}
	any.Close()
	row := map[string]string{}
	for _, column := range columns {
		row[column] = value(t, db, column)
	}
	delete(row, "id")
	if row["scheduled_at"] == row["created_at"] {
		row["scheduled_at"] = "as created_at"
	}
	if len(row["created_at"]) < len("2026-01-02 03:04:05.000") {
		t.Errorf("created_at is %s, which is not as fine as River has it", row["created_at"])
	}
	if db.Embedded() {
		row["created_at"] = fmt.Sprint(len(row["created_at"]))
	} else {
		delete(row, "created_at")
	}
	if _, err := db.Write.Exec(`DELETE FROM river_job`); err != nil {
		t.Fatal(err)
	}
	return row
}

func value(t *testing.T, db *sqldb.DB, column string) string {
	t.Helper()
	expression := fmt.Sprintf(`CAST(%s AS TEXT)`, column)
	switch {
	case db.Embedded() && column == "metadata":
		expression = `typeof(metadata) || ' ' || json_remove(metadata, '$."river:unique_nonce"')`
	case db.Embedded():
		expression = fmt.Sprintf(`typeof(%s) || ' ' || quote(%s)`, column, column)
	}
	var v sql.NullString
	if err := db.Read.QueryRow(`SELECT ` + expression + ` FROM river_job`).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(v.String)
}
