package example

import (
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// care is a health expense and what comes back of it.
type care struct {
	n       int
	issuer  string
	date    time.Time
	paid    cents
	public  cents // refunded by the public insurance
	private cents // and by the private one
}

const (
	publicInsurer  = "Assurance Maladie d'Exemple"
	privateInsurer = "Mutuelle des Exemples"
)

// cares lists the health expenses of a month.
func (g *generator) cares(m int) []care {
	r := g.random("care", m)
	on := func() time.Time { return g.month(m).AddDate(0, 0, r.IntN(20)) }
	list := []care{{issuer: "Dr " + g.human("doctor", m%3).full(), date: on(), paid: 3_000, public: 1_900, private: 900}}
	for range r.IntN(3) {
		paid := cents(400 + r.IntN(3000))
		list = append(list, care{issuer: "Pharmacie de la Place", date: on(), paid: paid, public: paid * 65 / 100, private: paid - paid*65/100 - 50})
	}
	if m%6 == 2 {
		list = append(list, care{issuer: "Opticien Clairevue", date: on(), paid: 28_900, public: 9, private: 20_000})
	}
	for i := range list {
		list[i].n = 100*m + i
	}
	return list
}

// refund is what an insurer paid for a month's cares: one payment for all of them.
type refund struct {
	topic, issuer string
	amount        cents
	date          time.Time
	of            func(care) cents
}

func (g *generator) refunds(m int) []refund {
	list := []refund{
		{topic: "public refund", issuer: publicInsurer, date: g.month(m).AddDate(0, 0, 24), of: func(c care) cents { return c.public }},
		{topic: "private refund", issuer: privateInsurer, date: g.month(m).AddDate(0, 0, 26), of: func(c care) cents { return c.private }},
	}
	for i := range list {
		for _, c := range g.cares(m) {
			list[i].amount += list[i].of(c)
		}
	}
	return list
}

// healthOperations are the expenses of a month and the insurers' payments.
func (g *generator) healthOperations(m int) []operation {
	var list []operation
	for _, c := range g.cares(m) {
		list = append(list, operation{
			topic: "care", n: c.n, date: c.date, amount: -c.paid, party: c.issuer, label: "CB " + c.issuer, category: "health", code: "PMNT-CCRD-POSD",
			bills: []string{g.id("health public refund", c.n), g.id("health private refund", c.n)},
		})
	}
	for _, p := range g.refunds(m) {
		o := operation{topic: p.topic, n: m, date: p.date, amount: p.amount, party: p.issuer, label: "VIR " + p.issuer, category: "health refund", code: "PMNT-RCDT-ESCT"}
		for _, c := range g.cares(m) {
			o.bills = append(o.bills, g.id("health "+p.topic, c.n))
		}
		list = append(list, o)
	}
	return list
}

// health makes the refunds of every expense.
func (g *generator) health() {
	for m := range g.Months {
		for _, p := range g.refunds(m) {
			for _, c := range g.cares(m) {
				g.healthBill(p, c, m)
			}
		}
	}
}

func (g *generator) healthBill(p refund, c care, m int) {
	id, paid, group := g.id("health "+p.topic, c.n), c.paid.amount(), p.amount.amount()
	g.put(formats.Record{
		ID: id, Dataset: formats.Health, Kind: formats.KindBill, Created: p.date, Modified: p.date,
		Links: []formats.Link{
			{Rel: "operation", Dataset: formats.Bank, ID: g.operationID(operation{topic: p.topic, n: m})},
			{Rel: "reimburses", Dataset: formats.Bank, ID: g.operationID(operation{topic: "care", n: c.n})},
		},
		Body: body(formats.Bill{
			Issuer: p.issuer, Number: fmt.Sprintf("R%06d", c.n), Date: day(p.date), Amount: p.of(c).amount(), Refund: true, Category: "health_costs",
			Beneficiary: g.me.full(), OriginalAmount: &paid, OriginalDate: day(c.date), GroupAmount: &group, Title: c.issuer,
		}),
		Native: native("io.cozy.bills", map[string]any{
			"_id": id, "vendor": p.issuer, "date": p.date.Format(time.RFC3339), "amount": number(p.of(c)), "currency": "EUR", "isRefund": true, "type": "health_costs",
			"originalAmount": number(c.paid), "originalDate": c.date.Format(time.RFC3339), "groupAmount": number(p.amount), "beneficiary": g.me.full(),
		}),
	})
}
