// Package dbtest gives tests fresh databases of both kinds. Only tests import it.
package dbtest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// server names a PostgreSQL server, as a postgres:// URL, on which tests may create databases.
const server = "PASSERELLE_TEST_POSTGRES"

// Each runs a test on SQLite, and on PostgreSQL where a server is named.
func Each(t *testing.T, run func(t *testing.T, db *sqldb.DB)) {
	t.Run("sqlite", func(t *testing.T) { run(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { run(t, Postgres(t)) })
}

// SQLite opens a fresh file.
func SQLite(t testing.TB) *sqldb.DB {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "test.db"))
}

// Postgres opens a fresh database, or skips the test.
func Postgres(t testing.TB) *sqldb.DB {
	t.Helper()
	return open(t, PostgresURL(t))
}

// PostgresURL makes a fresh database, or skips the test.
func PostgresURL(t testing.TB) string {
	t.Helper()
	where := os.Getenv(server)
	if where == "" {
		t.Skip(server + " is not set: this test runs on SQLite only")
	}
	admin := open(t, where)
	name := "t_" + strings.ToLower(rand.Text())
	if _, err := admin.Write.Exec(`CREATE DATABASE ` + name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Write.Exec(`DROP DATABASE ` + name + ` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func open(t testing.TB, where string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(context.Background(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
