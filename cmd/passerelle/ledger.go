package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/operators/keys"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// logOrigin is the name of an operator's log.
func logOrigin(id statement.OperatorID) string { return string(id) + "/log" }

// personSecrets lets the ledger keep persons' keys where the operator keeps its own.
type personSecrets struct{ keys.Secrets }

func (s personSecrets) Secret(ctx context.Context, name string) ([]byte, bool, error) {
	secret, err := s.Secrets.Secret(ctx, name)
	if errors.Is(err, keys.ErrNoKey) {
		return nil, false, nil
	}
	return secret, err == nil, err
}

// ledgerOptions are what this gateway's log needs.
func (g *gateway) ledgerOptions(ctx context.Context) (ledger.Options, error) {
	signed, err := g.statement(ctx)
	if err != nil {
		return ledger.Options{}, err
	}
	store, err := g.keys(ctx)
	if err != nil {
		return ledger.Options{}, err
	}
	secrets, err := g.secrets(ctx)
	if err != nil {
		return ledger.Options{}, err
	}
	return ledger.Options{
		Origin:  logOrigin(signed.Statement.ID),
		Signer:  func(ctx context.Context) (crypto.Signer, error) { return store.Signer(ctx, statement.UseLog) },
		Secrets: personSecrets{secrets}, HighWater: filepath.Join(g.dir, "log.highwater"),
	}, nil
}

// inUse is how long a command waits for another one that writes the log.
const inUse = 10 * time.Second

// openLedger opens the log for one who writes it. On SQLite one process does at a time.
func (g *gateway) openLedger(ctx context.Context) (*ledger.Ledger, error) {
	db, err := g.openDB(ctx)
	if err != nil {
		return nil, err
	}
	options, err := g.ledgerOptions(ctx)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(inUse); ; {
		l, err := ledger.Open(ctx, db, options)
		if !errors.Is(err, ledger.ErrInUse) || time.Now().After(deadline) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// withLedger opens the log, does something with it, and closes it.
func (g *gateway) withLedger(ctx context.Context, do func(*ledger.Ledger) error) error {
	l, err := g.openLedger(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(l), l.Close())
}

// journal logs what becomes of the data of a person of this gateway. What a specification names that is not of its
// home is nobody's here, and nothing is logged of it.
func (g *gateway) journal(spec string) transfer.Journal {
	name, ok := strings.CutPrefix(spec, "home:")
	if !ok {
		return transfer.Journal{}
	}
	return transfer.Journal{Person: name, Log: func(ctx context.Context, events ...ledger.Event) error {
		return g.withLedger(ctx, func(l *ledger.Ledger) error { return appendAndSettle(ctx, l, events...) })
	}}
}

// settle is how long a command waits until what it logged has its place. It is committed already, and another replica
// may give it one later.
const settle = 5 * time.Second

func appendAndSettle(ctx context.Context, l *ledger.Ledger, events ...ledger.Event) error {
	logged, err := l.Append(ctx, events...)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, settle)
	defer stop()
	if _, _, err := logged.Wait(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// reader opens what is logged of persons, also while a gateway runs.
func (g *gateway) reader(ctx context.Context) (*ledger.Reader, error) {
	db, err := g.openDB(ctx)
	if err != nil {
		return nil, err
	}
	secrets, err := g.secrets(ctx)
	if err != nil {
		return nil, err
	}
	return ledger.NewReader(ctx, db, personSecrets{secrets})
}

// witnessKey is the key with which this gateway cosigns other operators' logs.
func (g *gateway) witnessKey(ctx context.Context) (string, error) {
	signed, err := g.statement(ctx)
	if err != nil {
		return "", err
	}
	store, err := g.keys(ctx)
	if err != nil {
		return "", err
	}
	signer, err := store.Signer(ctx, statement.UseWitness)
	if err != nil {
		return "", err
	}
	return ledger.WitnessKey(witnessName(signed.Statement.ID), signer)
}

// vkey is the key that verifies this gateway's log.
func (g *gateway) vkey(ctx context.Context) (string, error) {
	options, err := g.ledgerOptions(ctx)
	if err != nil {
		return "", err
	}
	signer, err := options.Signer(ctx)
	if err != nil {
		return "", err
	}
	key, err := ledger.VerifierKey(options.Origin, signer.Public())
	if err != nil {
		return "", fmt.Errorf("the log's key: %w", err)
	}
	return key, nil
}
