package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/operators/keys"
)

// gateway is the folder of one operator: keys/, operator.json, trust/, exports/, blobs/, and passerelle.db unless there is a database elsewhere. Its parts
// are opened, and made, when they are first used.
type gateway struct {
	dir      string
	database string           // empty: the file in the folder
	proofs   time.Duration    // for how long what proves a consent is kept
	vault    keys.VaultConfig // Address "": keys and secrets are files in the folder
	opened   *keys.Vault
	store    keys.Store
	db       *sqldb.DB
	home     *home.Home
	run      *flock.Flock // held while the folder of temporary files is in use
}

// openGateway opens the folder of --data, $PASSERELLE_DATA, or the user's own.
func (p *program) openGateway() (*gateway, error) {
	dir := p.Data
	if dir == "" {
		base, err := dataHome()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(base, "passerelle")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the gateway's folder (choose another with --data): %w", err)
	}
	if p.Database != "" && !strings.HasPrefix(p.Database, "postgres://") && !strings.HasPrefix(p.Database, "postgresql://") {
		return nil, fmt.Errorf("%w: --database takes a postgres:// URL", errUsage)
	}
	return &gateway{dir: dir, database: p.Database, proofs: p.KeepProofs, vault: p.vaultFlags.config()}, nil
}

// dataHome is where programs keep a user's data (XDG Base Directory Specification).
func dataHome() (string, error) {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("choose a folder for the gateway with --data: %w", err)
	}
	return filepath.Join(user, ".local", "share"), nil
}

func (g *gateway) Close() error {
	var err error
	if g.db != nil {
		err = g.db.Close()
	}
	if g.opened != nil {
		err = errors.Join(err, g.opened.Close())
	}
	if g.run != nil {
		err = errors.Join(err, discard(g.run))
	}
	return err
}

const runSuffix = ".lock"

// tmp is where this process's temporary files go: beside the data, where there is the room for them that /tmp may not
// have. What processes that died left there goes.
func (g *gateway) tmp() (string, error) {
	if g.run != nil {
		return strings.TrimSuffix(g.run.Path(), runSuffix), nil
	}
	all := filepath.Join(g.dir, "tmp")
	if err := os.MkdirAll(all, 0o700); err != nil {
		return "", err
	}
	if err := sweep(all); err != nil {
		return "", fmt.Errorf("clear up what an earlier run left: %w", err)
	}
	run := flock.New(filepath.Join(all, rand.Text()+runSuffix))
	if err := run.Lock(); err != nil { // before there is a folder, so that nobody takes it for left over
		return "", err
	}
	g.run = run
	dir := strings.TrimSuffix(run.Path(), runSuffix)
	return dir, os.Mkdir(dir, 0o700)
}

// sweep removes the folders whose lock nobody holds.
func sweep(all string) error {
	entries, err := os.ReadDir(all)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), runSuffix) {
			continue
		}
		run := flock.New(filepath.Join(all, e.Name()))
		if ours, err := run.TryLock(); err != nil || !ours {
			continue // in use, or gone meanwhile
		}
		if err := discard(run); err != nil {
			return err
		}
	}
	return nil
}

// discard removes a folder of temporary files and its lock.
func discard(run *flock.Flock) error {
	return errors.Join(os.RemoveAll(strings.TrimSuffix(run.Path(), runSuffix)), os.Remove(run.Path()), run.Unlock())
}

func (g *gateway) keys(ctx context.Context) (keys.Store, error) {
	if g.store != nil {
		return g.store, nil
	}
	if g.vault.Address != "" {
		vault, err := g.openVault(ctx)
		if err != nil {
			return nil, err
		}
		g.store = vault
		return vault, nil
	}
	files, err := keys.OpenFiles(ctx, filepath.Join(g.dir, "keys"))
	if err != nil {
		return nil, err
	}
	g.store = files
	return files, nil
}

// secrets are persons' keys. As files they are in a folder of their own, to be kept out of the backups of the rest.
func (g *gateway) secrets(ctx context.Context) (keys.Secrets, error) {
	if g.vault.Address != "" {
		return g.openVault(ctx)
	}
	return keys.OpenSecretFiles(filepath.Join(g.dir, "secrets"))
}

// secret is the random secret of that name, made if there is none: what is sealed or derived here is under it.
func (g *gateway) secret(ctx context.Context, name string) ([]byte, error) {
	secrets, err := g.secrets(ctx)
	if err != nil {
		return nil, err
	}
	secret, err := secrets.MakeSecret(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("the secret of the %s: %w", name, err)
	}
	return secret, nil
}

func (g *gateway) openVault(ctx context.Context) (*keys.Vault, error) {
	if g.opened != nil {
		return g.opened, nil
	}
	vault, err := keys.OpenVault(ctx, g.vault)
	g.opened = vault
	return vault, err
}

// statement returns who this operator is, signed.
func (g *gateway) statement(ctx context.Context) (*statement.Signed, error) {
	store, err := g.keys(ctx)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	profile, err := keys.OpenProfile(filepath.Join(g.dir, "operator.json"), host)
	if err != nil {
		return nil, err
	}
	return keys.Describe(ctx, profile, store)
}

// pins returns whom this operator trusts: those that an administrator pinned, and itself.
func (g *gateway) pins() (*statement.Pins, error) {
	pins, err := statement.LoadPins(filepath.Join(g.dir, "trust"))
	if err != nil {
		return nil, fmt.Errorf("read whom this operator trusts: %w", err)
	}
	return pins, nil
}

func (g *gateway) openHome(ctx context.Context) (*home.Home, error) {
	if g.home != nil {
		return g.home, nil
	}
	db, err := g.openDB(ctx)
	if err != nil {
		return nil, err
	}
	g.home, err = home.Open(ctx, db, filepath.Join(g.dir, "blobs"))
	return g.home, err
}

// createInstance makes an instance, unless its name is that of somebody of whom something is kept.
func (g *gateway) createInstance(ctx context.Context, name string, o home.Options) (*home.Instance, error) {
	if _, err := g.openDB(ctx); err != nil {
		return nil, err
	}
	if err := consent.Reserved(ctx, g.db, name); err != nil {
		return nil, err
	}
	return g.createInstanceAgain(ctx, name, o)
}

// createInstanceAgain makes an instance for the person who had the name before, or for whoever has it first.
func (g *gateway) createInstanceAgain(ctx context.Context, name string, o home.Options) (*home.Instance, error) {
	h, err := g.openHome(ctx)
	if err != nil {
		return nil, err
	}
	return h.Create(ctx, name, o)
}

func (g *gateway) openDB(ctx context.Context) (*sqldb.DB, error) {
	if g.db != nil {
		return g.db, nil
	}
	where := g.database
	if where == "" {
		where = filepath.Join(g.dir, "passerelle.db")
	}
	db, err := sqldb.Open(ctx, where)
	g.db = db
	return db, err
}

// remembered is the last archive of a series that this gateway wrote, from which the next one follows.
type remembered struct {
	Sealed archive.Sealed `json:"sealed"`
	Spec   string         `json:"from"`
}

func (g *gateway) remember(spec string, sealed archive.Sealed) error {
	dir := filepath.Join(g.dir, "exports")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	text, err := json.MarshalIndent(remembered{Sealed: sealed, Spec: spec}, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(dir, sealed.Claims.ExportID+".json")
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// recall returns the last archive of a series.
func (g *gateway) recall(spec, exportID string) (*remembered, error) {
	text, err := os.ReadFile(filepath.Join(g.dir, "exports", filepath.Base(exportID)+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("this gateway wrote no archive of the series %q: make a full export, which prints its series", exportID)
	}
	if err != nil {
		return nil, err
	}
	var last remembered
	if err := json.Unmarshal(text, &last); err != nil {
		return nil, fmt.Errorf("what is remembered of the series %q is damaged: make a full export: %w", exportID, err)
	}
	if last.Spec != spec {
		return nil, fmt.Errorf("the series %q was made from %s, not from %s", exportID, last.Spec, spec)
	}
	return &last, nil
}
