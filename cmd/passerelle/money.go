package main

import (
	"context"

	"github.com/passerelle-cloud/passerelle/formats/reconcile"
	"github.com/passerelle-cloud/passerelle/transfer/money"
)

// openMoney opens what makes sense of persons' money, by the rules of their accounts' country, or else of the operator's.
func (s *server) openMoney(ctx context.Context, g *gateway, country string) (err error) {
	s.money, err = money.Open(ctx, s.db, s.jobs, money.Options{Rules: reconcile.RulesFor, Country: country, Persons: g.persons, Instance: func(ctx context.Context, person string) (money.Instance, error) {
		h, err := g.openHome(ctx)
		if err != nil {
			return money.Instance{}, err
		}
		instance, err := h.Instance(ctx, person)
		if err != nil {
			return money.Instance{}, err
		}
		return money.Instance{Reader: instance.Reader(), Rewrite: instance.Rewrite}, nil
	}})
	return err
}

// persons are all who have an instance.
func (g *gateway) persons(ctx context.Context) ([]string, error) {
	h, err := g.openHome(ctx)
	if err != nil {
		return nil, err
	}
	instances, err := h.Instances(ctx)
	names := make([]string, len(instances))
	for i, instance := range instances {
		names[i] = instance.Name()
	}
	return names, err
}

// forgetMoney removes what is known of how a person's money stood.
func (g *gateway) forgetMoney(ctx context.Context, person string) error {
	db, err := g.openDB(ctx)
	if err != nil {
		return err
	}
	m, err := money.Open(ctx, db, nil, money.Options{})
	if err != nil {
		return err
	}
	return m.Forget(ctx, person)
}
