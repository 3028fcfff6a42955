package audit_test

import (
	"bytes"
	"database/sql"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/audit"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
)

// The benchmark asks the desk everything, over many consents on PostgreSQL: 100,000 of them with 1,000,000 accesses, or
// $PASSERELLE_BENCH_CONSENTS with ten times as many. Each number is for one question. The floor is to count as many rows of
// a table of nothing but numbers, in the same run. What is measured has no leaves in the log, but for one person's: a
// person's chain is as long whatever else is in the log.

// many makes consents that nobody granted, of as many persons and 200 services, each read ten times, and one in ten ended.
func many(b *testing.B, o *office, consents int) {
	b.Helper()
	model := o.Grant(b, "reader", "model")
	year := int64(365 * 24 * time.Hour / time.Microsecond)
	now := time.Now().Add(-time.Hour).UnixMicro()
	statements := []struct {
		text string
		args []any
	}{
		{`INSERT INTO consent_service (id, document, look, suspended, version, created, changed)
			SELECT 'service' || n, replace(document, '"reader"', '"service' || n || '"'), 'look' || n, '', 1, created, changed FROM consent_service, generate_series(1, 200) AS n WHERE id = 'reader'`, nil},
		{`INSERT INTO consent_consent (id, person, service, state, revision, created, changed, expires, accesses, last, before, datasets, countries, method, authenticated)
			SELECT md5('c' || n)::uuid::text, 'person' || n, 'service' || (1 + n % 200), CASE WHEN n % 10 = 0 THEN 'ConsentWithdrawn' ELSE state END, 1 + (n % 10 = 0)::int, created, changed, expires, 10, $2::bigint, 0,
				CASE n % 3 WHEN 0 THEN 'contacts' WHEN 1 THEN 'contacts calendar' ELSE 'bank' END, CASE WHEN n % 50 = 0 THEN 'US' ELSE '' END, 'password', created
			FROM consent_consent, generate_series(1, $1::int) AS n WHERE id = $3`, []any{consents, now, model.ID}},
		{`INSERT INTO consent_revision (consent, number, state, details, request, notice, language, method, reason, at, expires, packs, facts)
			SELECT md5('c' || n)::uuid::text, 1, state, details, request, notice, language, method, reason, $2::bigint - n * ($3::bigint / $1::bigint), expires, packs, facts FROM consent_revision, generate_series(1, $1::int) AS n WHERE consent = $4`,
			[]any{consents, now, year, model.ID}},
		{`INSERT INTO consent_revision (consent, number, state, details, request, notice, language, method, reason, at, expires, packs, facts)
			SELECT md5('c' || n)::uuid::text, 2, 'ConsentWithdrawn', details, request, notice, language, method, reason, $2::bigint, expires, packs, facts FROM consent_revision, generate_series(10, $1::int, 10) AS n WHERE consent = $3`,
			[]any{consents, now + 1000, model.ID}},
		{`INSERT INTO consent_ending (consent, revision, asked, dead) SELECT md5('c' || n)::uuid::text, 2, $2::bigint - n, $2::bigint - n + (random() * 100000)::bigint FROM generate_series(10, $1::int, 10) AS n`, []any{consents, now}},
		{`INSERT INTO events_event (id, consent, revision, service, person, state, made, tried, acknowledged, answer)
			SELECT md5('e' || n)::uuid::text, md5('c' || n)::uuid::text, 2, 'service' || (1 + n % 200), 'person' || n, 'ConsentWithdrawn', $2::bigint - n, 1, CASE WHEN n % 100 = 0 THEN 0 ELSE $2::bigint - n + (random() * 10000000)::bigint END, '' FROM generate_series(10, $1::int, 10) AS n`, []any{consents, now}},
		{`INSERT INTO consent_access (id, consent, revision, service, dataset, action, begun, open, ended, records, bytes, hash, outcome)
			SELECT md5('a' || n || ' ' || m)::uuid::text, md5('c' || n)::uuid::text, 1, 'service' || (1 + n % 200), 'contacts', 'read', $2::bigint - (n % 1000) * 1000000 + m, FALSE, $2::bigint, 10, 1000, '', 'complete' FROM generate_series(1, $1::int) AS n, generate_series(1, 10) AS m`,
			[]any{consents, now}},
		{`INSERT INTO consent_refused (day, service, step, code, law, article, count) SELECT to_char(now() - n * interval '1 day', 'YYYY-MM-DD'), 'service' || m, 'ask', 'purpose-missing', 'GDPR', '5(1)(b)', n FROM generate_series(1, 365) AS n, generate_series(1, 20) AS m`, nil},
	}
	err := o.DB.Tx(ctx, func(tx *sql.Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(s.text, s.args...); err != nil {
				b.Fatalf("%v: %.300s", err, s.text)
			}
		}
		return nil
	})
	if err == nil {
		_, err = o.DB.Write.ExecContext(ctx, `VACUUM ANALYZE`)
	}
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkDesk(b *testing.B) {
	consents := 100_000
	if text := os.Getenv("PASSERELLE_BENCH_CONSENTS"); text != "" {
		var err error
		if consents, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	o := newOffice(b, dbtest.Postgres(b))
	many(b, o, consents)
	real := o.Grant(b, "reader", "alice")
	var access string
	for range 100 {
		access = o.read(b, real, "aa11")
	}
	o.now = time.Now()
	var one string
	if err := o.DB.Read.QueryRowContext(ctx, `SELECT id FROM consent_consent WHERE person = 'person77'`).Scan(&one); err != nil {
		b.Fatal(err)
	}
	ask := func(name string, do func() error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	if _, err := o.DB.Write.ExecContext(ctx, `CREATE TABLE floor AS SELECT n FROM generate_series(1, `+strconv.Itoa(consents)+`) AS n`); err != nil {
		b.Fatal(err)
	}
	ask("floor", func() error {
		var n int
		return o.DB.Read.QueryRowContext(ctx, `SELECT count(*) FROM floor WHERE n % 7 = 0`).Scan(&n)
	})
	ask("home", func() error { _, err := o.Home(ctx, o.who); return err })
	ask("articles", func() error { _, err := o.Desk.Articles(ctx, o.who); return err })
	ask("consent", func() error { _, err := o.Case(ctx, o.who, one); return err })
	ask("transfer", func() error { _, err := o.Transfer(ctx, o.who, access); return err })
	ask("withdrawals", func() error { _, err := o.Withdrawals(ctx, o.who, time.Now().AddDate(0, 0, -30)); return err })
	ask("registers", func() error { _, err := o.Registers(ctx, o.who); return err })
	ask("conduct", func() error { _, err := o.Conduct(ctx, o.who); return err })
	ask("aggregates", func() error { _, err := o.Aggregates(ctx, o.who); return err })
	ask("evidence", func() error {
		var out bytes.Buffer
		return o.Desk.Make(ctx, audit.Asked{Person: "alice", Subject: "p-1", Service: "reader", Consent: real.ID, To: "bench"}, &out)
	})
	ask("question", func() error { _, err := o.Desk.Ask(ctx, o.who, audit.Inquiry{Consent: real.ID}); return err })
	ask("check", func() error { // of what is new: at most 50,000 accesses and as many decisions
		_, err := o.Evaluate(ctx)
		return err
	})
}

// BenchmarkRules is what the packs take for one permit.
func BenchmarkRules(b *testing.B) {
	o := newOffice(b, dbtest.SQLite(b))
	c := o.Grant(b, "reader", "alice")
	f := consent.Facts{Now: time.Now(), Step: consent.StepPermit, Service: consent.ServiceFacts{ID: "reader"}, Consent: &consent.ConsentFacts{State: consent.Given, Expires: c.Expires},
		Access: &consent.AccessFacts{Datasets: c.Details[0].Datasets, Action: consent.Read, Detail: &c.Details[0]}}
	packs := o.Maker.Packs
	for b.Loop() {
		for i := range packs {
			packs[i].Judge(f)
		}
	}
}
