package sqldb_test

import (
	"database/sql"
	"errors"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

var tables = fstest.MapFS{"00001_a.sql": {Data: []byte("CREATE TABLE a (id BIGINT PRIMARY KEY, b BYTEA NOT NULL);\n")}}

func TestOneTextServesBoth(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		for range 2 {
			if err := db.Migrate(ctx, tables, "a_version"); err != nil {
				t.Fatal(err)
			}
		}
		insert := func(tx *sql.Tx) error {
			_, err := tx.Exec(`INSERT INTO a (id, b) VALUES ($1, $2)`, 1, []byte("12"))
			return err
		}
		refused := errors.New("refused")
		if err := db.Tx(ctx, func(tx *sql.Tx) error { return errors.Join(insert(tx), refused) }); !errors.Is(err, refused) {
			t.Fatal(err)
		}
		if err := db.Tx(ctx, insert); err != nil {
			t.Fatal(err)
		}
		if err := db.Tx(ctx, insert); !sqldb.IsUnique(err) {
			t.Fatalf("the same key twice: %v", err)
		}
		var b []byte
		if err := db.Read.QueryRow(`SELECT b FROM a WHERE id = $1`, 1).Scan(&b); err != nil || string(b) != "12" {
			t.Fatalf("%q, %v", b, err)
		}
	})
}

// TestMigrationThatFails has a file whose second statement fails: nothing of it stays, and mended it is run as a whole.
func TestMigrationThatFails(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		const first = "CREATE TABLE a (id BIGINT PRIMARY KEY);\n"
		if err := db.Migrate(ctx, fstest.MapFS{"00001_a.sql": {Data: []byte(first + "CREATE TABLE a (id BIGINT);\n")}}, "a_version"); err == nil {
			t.Fatal("it went well")
		}
		mended := fstest.MapFS{"00001_a.sql": {Data: []byte(first + "CREATE TABLE b (id BIGINT);\n")}}
		if err := db.Migrate(ctx, mended, "a_version"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Write.Exec(`INSERT INTO b (id) VALUES (1)`); err != nil {
			t.Error(err)
		}
	})
}

func TestASnapshotStaysAsItIs(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		if err := db.Migrate(ctx, tables, "a_version"); err != nil {
			t.Fatal(err)
		}
		snapshot, err := db.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer snapshot.Rollback()
		for range 2 {
			var n int
			if err := snapshot.QueryRow(`SELECT count(*) FROM a`).Scan(&n); err != nil || n != 0 {
				t.Fatalf("%d rows, %v", n, err)
			}
			if _, err := db.Write.Exec(`INSERT INTO a (id, b) VALUES (1, $1) ON CONFLICT DO NOTHING`, []byte{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestALockHasOneHolder(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		unlock, ok, err := db.TryLock(t.Context(), "x")
		if err != nil || !ok {
			t.Fatalf("%v, %v", ok, err)
		}
		if _, ok, err := db.TryLock(t.Context(), "x"); ok || err != nil {
			t.Fatalf("taken twice: %v, %v", ok, err)
		}
		if err := unlock(); err != nil {
			t.Fatal(err)
		}
		unlock, ok, err = db.TryLock(t.Context(), "x")
		if err != nil || !ok {
			t.Fatalf("not free again: %v, %v", ok, err)
		}
		unlock()
	})
}

func TestAHeldLockIsLetGoAtTheEnd(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if _, err := db.Write.Exec(`CREATE TABLE a (n BIGINT)`); err != nil {
			t.Fatal(err)
		}
		var together sync.WaitGroup
		for range 20 { // each would see as many rows as another, but for the lock
			together.Go(func() {
				err := db.Tx(t.Context(), func(tx *sql.Tx) error {
					if err := db.Hold(t.Context(), tx, "a"); err != nil {
						return err
					}
					_, err := tx.Exec(`INSERT INTO a (n) SELECT count(*) FROM a`)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		together.Wait()
		var different int
		if err := db.Read.QueryRow(`SELECT count(DISTINCT n) FROM a`).Scan(&different); err != nil || different != 20 {
			t.Errorf("%d, %v", different, err)
		}
	})
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	for _, where := range []string{"/nonexistent/folder/x.db", "postgres://127.0.0.1:1/x?connect_timeout=1"} {
		if db, err := sqldb.Open(t.Context(), where); err == nil {
			db.Close()
			t.Errorf("%s opened", where)
		}
	}
}
