// Package sqldb opens the database, embedded or served, so that one hand-written SQL text runs on both: SQLite in one
// file for a single gateway, PostgreSQL for any number of them. It migrates, runs transactions and takes locks, and
// knows nothing of what is stored.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"modernc.org/sqlite"
)

// DB is an open database.
type DB struct {
	// Write takes every statement. On SQLite it is one connection: inside a transaction use the transaction, for
	// another statement on Write would wait for it for ever.
	Write *sql.DB
	// Read takes queries only, and on SQLite never waits for a writer.
	Read *sql.DB

	pool *pgxpool.Pool // nil on SQLite
	// locks are connections that only hold locks: whoever waits for a lock's holder never waits for a lock's connection.
	locks *sql.DB
	path  string // of the SQLite file
}

// The SQLite connections. Pages of 16 KiB suit rows of some kilobytes; they only count for a new file.
const (
	writerPragmas = "_pragma=page_size(16384)&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=foreign_keys(1)&_pragma=cache_size(-8192)&_pragma=journal_size_limit(67108864)&_txlock=immediate"
	readerPragmas = "_pragma=busy_timeout(10000)&_pragma=query_only(1)&_pragma=cache_size(-2048)"
	readers       = 16 // an export keeps one as long as it lasts
)

// connections is how many PostgreSQL connections one process takes, unless the URL says pool_max_conns. An export
// keeps one as long as it lasts.
const connections = 32

// Open opens "postgres://…", or else a SQLite file ("sqlite:PATH" or a path), which it makes if there is none.
func Open(ctx context.Context, where string) (*DB, error) {
	if strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://") {
		return openPostgres(ctx, where)
	}
	return openSQLite(ctx, strings.TrimPrefix(where, "sqlite:"))
}

func openSQLite(ctx context.Context, path string) (*DB, error) {
	// Made here if there is none, for nobody else to read; SQLite gives its other files the same mode.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	name := "file:" + (&url.URL{Path: path}).EscapedPath()
	write, err := sql.Open("sqlite", name+"?"+writerPragmas)
	if err != nil {
		return nil, fmt.Errorf("open the database %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	if err := write.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open the database %s: %w", path, err), write.Close())
	}
	read, err := sql.Open("sqlite", name+"?"+readerPragmas)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the database %s: %w", path, err), write.Close())
	}
	read.SetMaxOpenConns(readers)
	return &DB{Write: write, Read: read, path: path}, nil
}

func openPostgres(ctx context.Context, where string) (*DB, error) {
	config, err := pgxpool.ParseConfig(where)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if !strings.Contains(where, "pool_max_conns=") {
		config.MaxConns = connections
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("reach the database: %w", err)
	}
	db := stdlib.OpenDBFromPool(pool)
	locks := stdlib.OpenDB(*config.ConnConfig)
	locks.SetMaxIdleConns(0)
	return &DB{Write: db, Read: db, pool: pool, locks: locks}, nil
}

// Embedded reports whether the database is a file of this process's machine.
func (db *DB) Embedded() bool { return db.pool == nil }

// Pool is the connections to PostgreSQL, for a library that speaks pgx; nil on SQLite.
func (db *DB) Pool() *pgxpool.Pool { return db.pool }

// Close closes the database.
func (db *DB) Close() error {
	if db.pool != nil {
		err := errors.Join(db.locks.Close(), db.Write.Close())
		db.pool.Close()
		return err
	}
	return errors.Join(db.Read.Close(), db.Write.Close())
}

// Tx runs do in a transaction that can write, and commits it if do returns nil.
func (db *DB) Tx(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := db.Write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Snapshot begins a transaction that reads one state of the database, whatever is written meanwhile.
func (db *DB) Snapshot(ctx context.Context) (*sql.Tx, error) {
	options := &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}
	if db.Embedded() {
		options = nil // a SQLite transaction is a snapshot from its first query on
	}
	tx, err := db.Read.BeginTx(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("begin to read: %w", err)
	}
	return tx, nil
}

// Migrate brings the tables of one package up to date. Each package has its own table of versions. The names of the files begin with
// their versions; each is run as it is, in a transaction.
func (db *DB) Migrate(ctx context.Context, migrations fs.FS, table string) error {
	steps, err := readMigrations(migrations)
	if err != nil {
		return fmt.Errorf("read how the tables of %s come to be: %w", table, err)
	}
	dialect := goose.DialectSQLite3
	options := []goose.ProviderOption{goose.WithTableName(table), goose.WithGoMigrations(steps...)}
	if !db.Embedded() {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(dialect, db.Write, nil, options...)
	if err != nil {
		return fmt.Errorf("prepare the tables of %s: %w", table, err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("bring the tables of %s up to date: %w", table, err)
	}
	return nil
}

// readMigrations reads the files here, since goose, which would divide them into statements, takes 16 MiB for each.
func readMigrations(files fs.FS) (steps []*goose.Migration, err error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, err
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		up := func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, string(text))
			return err
		}
		steps = append(steps, goose.NewGoMigration(version, &goose.GoFunc{RunTx: up}, nil))
	}
	return steps, nil
}

// The codes of a violated unique constraint.
const (
	postgresUnique = "23505"
	sqlitePrimary  = 1555
	sqliteUnique   = 2067
)

// The codes of transactions that PostgreSQL gave up because of others.
const (
	postgresSerialization = "40001"
	postgresDeadlock      = "40P01"
)

// IsConflict reports whether err says that a transaction met another one, and may succeed if it is run again.
func IsConflict(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == postgresSerialization || pg.Code == postgresDeadlock)
}

// The codes of a database that has no room left.
const (
	postgresFull = "53100"
	sqliteFull   = 13
)

// IsFull reports whether err says that the database has no room left on its disk.
func IsFull(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == postgresFull
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code()&0xff == sqliteFull // the rest is which kind of it
}

// IsUnique reports whether err says that a row with that key is there already.
func IsUnique(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == postgresUnique
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && (lite.Code() == sqlitePrimary || lite.Code() == sqliteUnique)
}
