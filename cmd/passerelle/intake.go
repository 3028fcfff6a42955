package main

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/seal"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// intakeDir is where archives are that persons bring.
func (g *gateway) intakeDir() string { return filepath.Join(g.dir, "brought") }

// openIntakes opens what takes in the archives that persons bring on the pages, of so many bytes at the most.
//
// They are opened with what the person gives, and never with this operator's own keys: otherwise whoever got hold of an archive
// that was made for this operator alone could have it opened, and loaded into an account of theirs.
func (s *server) openIntakes(ctx context.Context, g *gateway, most int64) (*transfer.Intakes, error) {
	secret, err := g.secret(ctx, "moves")
	if err != nil {
		return nil, err
	}
	box, err := seal.New(secret, "intakes")
	if err != nil {
		return nil, err
	}
	signed, err := g.statement(ctx)
	if err != nil {
		return nil, err
	}
	tmp, err := g.tmp()
	if err != nil {
		return nil, err
	}
	return transfer.OpenIntakes(ctx, s.db, s.jobs, transfer.IntakeOptions{
		Dir: g.intakeDir(), Expect: g.expectations, Append: s.append, Seal: box.Seal, Open: box.Open, Tmp: tmp, Log: s.log,
		Target: func(ctx context.Context, person string) (operators.Target, error) {
			instance, err := openInstance(ctx, g, person, false)
			if err != nil {
				return nil, err
			}
			return instance.Target(), nil
		},
		Most: func(ctx context.Context, person string) (int64, error) {
			instance, err := openInstance(ctx, g, person, false)
			if err != nil {
				return 0, err
			}
			_, quota, err := instance.Room(ctx)
			if quota > 0 {
				return min(most, quota+quota/4+archiveExtra), err
			}
			return most, err
		},
		Beside: func(person string, f transfer.Found) (func(formats.Record), func(context.Context) error) {
			b := &broughtConsents{server: s, person: person, own: string(signed.Statement.ID), from: f}
			return b.see, b.carry
		},
	})
}

// archiveExtra is how many bytes an archive may have besides what a quota counts: bodies of records, open formats.
const archiveExtra = 256 << 20

// broughtConsents are those of an archive that a person brings. Nothing in it proves how they stand: all that would stand are to
// confirm here.
type broughtConsents struct {
	*server
	person, own string
	from        transfer.Found
	all         []consent.Following
}

func (b *broughtConsents) see(r formats.Record) {
	if r.Dataset != formats.Consents || len(b.all) == mostFollowing || b.from.Source.ID == b.own {
		return // what this operator itself wrote down stands here as it does
	}
	f, ok, err := consent.ReadKept(r.Body)
	if err == nil && ok {
		err = b.authority.Sound(&f)
	}
	if err != nil {
		b.log.Info("a consent of an archive is not understood", "from", b.from.Source.ID, "error", err)
	} else if ok {
		b.all = append(b.all, f)
	}
}

// carry notes them, but those that came before, with a move or another archive.
func (b *broughtConsents) carry(ctx context.Context) error {
	before, err := b.authority.Followed(ctx, b.person)
	if err != nil {
		return err
	}
	k := consent.Carrying{Person: b.person, Move: b.from.ExportID, Operator: b.from.Source.ID, Known: b.from.Own}
	for _, f := range b.all {
		if slices.ContainsFunc(before, func(o consent.Followed) bool { return o.Operator == k.Operator && o.Said.Grant == f.Grant }) {
			continue
		}
		follower := consent.Follower{Following: f}
		here, keys, err := b.authority.Counterpart(ctx, f.Service, b.oauth.Keys)
		if err != nil {
			return err
		}
		if here != nil {
			follower.Here, follower.Keys = here.ID, keys
		}
		k.Consents = append(k.Consents, follower)
	}
	if len(k.Consents) == 0 {
		return nil
	}
	return b.authority.Bring(ctx, k)
}
