package consent_test

import (
	"context"
	"testing"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
)

// BenchmarkDashboard is what a page of a person costs who has 1,000 consents of 1,000 services, on which data was read
// 100,000 times.
func BenchmarkDashboard(b *testing.B) {
	f := consenttest.New(b, dbtest.SQLite(b))
	f.Crowd(b, 1000, 100)
	id := consenttest.CrowdID("consent", 7)
	for _, c := range []struct {
		name string
		call func(context.Context) error
	}{
		{"List", func(ctx context.Context) error { _, err := f.List(ctx, "alice", consent.Filter{Limit: 20}); return err }},
		{"ListDeep", func(ctx context.Context) error {
			_, err := f.List(ctx, "alice", consent.Filter{Offset: 900, Limit: 20})
			return err
		}},
		{"ListText", func(ctx context.Context) error {
			_, err := f.List(ctx, "alice", consent.Filter{Text: "number 77", Limit: 20})
			return err
		}},
		{"ListDataset", func(ctx context.Context) error {
			_, err := f.List(ctx, "alice", consent.Filter{Dataset: formats.Bank, Limit: 20})
			return err
		}},
		{"Accesses", func(ctx context.Context) error { _, _, err := f.Accesses(ctx, id, "alice", "", 50); return err }},
		{"News", func(ctx context.Context) error { _, err := f.News(ctx, "alice", 20); return err }},
		{"Readings", func(ctx context.Context) error { _, err := f.Readings(ctx, "alice"); return err }},
		{"Before", func(ctx context.Context) error { _, err := f.Before(ctx, "alice", "service-0007"); return err }},
	} {
		b.Run(c.name, func(b *testing.B) {
			if err := c.call(b.Context()); err != nil { // services are remembered from then on
				b.Fatal(err)
			}
			for b.Loop() {
				if err := c.call(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
