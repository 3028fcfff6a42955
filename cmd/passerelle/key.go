package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/operators/keys"
)

// keyCommand administers the operator's keys.
type keyCommand struct {
	List      keyList      `cmd:"" help:"List the keys, retired ones too."`
	Rotate    keyRotate    `cmd:"" help:"Put a new key in the place of the current one of a use."`
	Revoke    keyRevoke    `cmd:"" help:"Declare a key void from its beginning, because somebody else may have had it."`
	Certified keyCertified `cmd:"" help:"Make the key of a certificate for banks where there is none yet, and print the request with which a trust service is asked for the certificate (PKCS #10)."`
}

type keyList struct{}

func (c *keyList) Run(ctx context.Context, p *program) error {
	return p.withKeys(ctx, func(store keys.Store) error {
		public, err := store.Public(ctx)
		if err != nil {
			return err
		}
		if p.JSON {
			return p.print(public)
		}
		for _, k := range public.Keys {
			fmt.Fprintf(p.out, "%-10s  %s  since %s  %s\n", k.Use, k.Kid, k.Since.Format(time.DateOnly), keyState(k))
		}
		return nil
	})
}

func keyState(k statement.Key) string {
	switch {
	case k.Revoked != nil:
		return "revoked: " + k.Revoked.Reason
	case k.Current():
		return "current"
	}
	return "retired"
}

type keyRotate struct {
	Use statement.Use `arg:"" help:"identity, archive, log, witness, tokens or encryption."`
}

func (c *keyRotate) Run(ctx context.Context, p *program) error {
	if !slices.Contains(statement.Uses(), c.Use) {
		return fmt.Errorf("%w: %q is not a use: give one of %v", errUsage, c.Use, statement.Uses())
	}
	return p.withKeys(ctx, func(store keys.Store) error {
		key, err := store.Rotate(ctx, c.Use)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.out, "The %s key is now %s. What the old one signed remains valid. Publish the new statement: passerelle operator publish\n", c.Use, key.Kid)
		return err
	})
}

type keyRevoke struct {
	Kid    string `arg:"" help:"The key's id, as key list prints it."`
	Reason string `help:"Why, in one line." required:""`
}

func (c *keyRevoke) Run(ctx context.Context, p *program) error {
	return p.withKeys(ctx, func(store keys.Store) error { return store.Revoke(ctx, c.Kid, c.Reason) })
}

func (p *program) withKeys(ctx context.Context, do func(keys.Store) error) error {
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	store, err := g.keys(ctx)
	if err != nil {
		return err
	}
	return do(store)
}
