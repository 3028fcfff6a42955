package reconcile_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/reconcile"
)

// place is a link as the truth knows it.
type place struct {
	bill      reconcile.Ref
	operation string
	role      reconcile.Role
}

// truth is an invented person's money, of which it is known what paid what.
type truth struct {
	r          *rand.Rand
	start      time.Time
	days       int
	operations []reconcile.Operation
	bills      []reconcile.Bill
	links      map[place]bool
	merchants  []string
	doctors    []string
	n          int
}

// newTruth invents a person. Persons of one world share no name with those of another, so that rules that were tuned on one
// world are tested on the other.
func newTruth(world string, person uint64, operations, bills int) *truth {
	seed := uint64(0)
	for _, c := range world {
		seed = seed*31 + uint64(c)
	}
	g := &truth{r: rand.New(rand.NewPCG(seed, person)), start: time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC), days: 365 * 10, links: map[place]bool{}}
	names := rand.New(rand.NewPCG(seed, 0))
	for range 160 {
		g.merchants = append(g.merchants, invent(names))
	}
	for range 30 {
		g.doctors = append(g.doctors, []string{"Dr ", "Pharmacie ", "Cabinet ", "Labo "}[names.IntN(4)]+invent(names))
	}
	for len(g.bills) < bills*45/100 {
		g.subscription(bills * 45 / 100)
	}
	g.health(bills)
	g.shops(bills)
	g.noise(operations)
	g.r.Shuffle(len(g.operations), func(i, j int) { g.operations[i], g.operations[j] = g.operations[j], g.operations[i] })
	g.r.Shuffle(len(g.bills), func(i, j int) { g.bills[i], g.bills[j] = g.bills[j], g.bills[i] })
	return g
}

func invent(r *rand.Rand) string {
	syllables := []string{"ba", "cor", "di", "fal", "gen", "hu", "jor", "kel", "lim", "mon", "nar", "pol", "qui", "ras", "sol", "tam", "vel", "xan", "zer", "bru", "cla", "dri", "fre", "gli"}
	word := func() string {
		var b strings.Builder
		for range 2 + r.IntN(3) {
			b.WriteString(syllables[r.IntN(len(syllables))])
		}
		return strings.ToUpper(b.String()[:1]) + b.String()[1:]
	}
	name := word()
	if r.IntN(2) == 0 {
		name += " " + word()
	}
	return name + []string{"", "", " SAS", " SARL", " Énergie", " Télécom"}[r.IntN(6)]
}

func (g *truth) at(day int) string { return g.start.AddDate(0, 0, day).Format(time.DateOnly) }

func (g *truth) chance(percent int) bool { return g.r.IntN(100) < percent }

func eur(cents int) formats.Amount {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	return formats.Amount{Currency: "EUR", Amount: formats.Decimal(fmt.Sprintf("%s%d.%02d", sign, cents/100, cents%100))}
}

// op books an operation some days after it was made.
func (g *truth) op(day, cents int, label, category string) string {
	g.n++
	o := reconcile.Operation{ID: fmt.Sprintf("op-%06d", g.n), Account: "a"}
	o.TransactionAmount, o.Remittance, o.Category = eur(cents), label, category
	o.BookingDate = g.at(day + g.r.IntN(3))
	if g.chance(70) {
		o.TransactionDate = g.at(day)
	}
	g.operations = append(g.operations, o)
	return o.ID
}

func (g *truth) bill(d formats.Dataset, b formats.Bill) reconcile.Ref {
	g.n++
	ref := reconcile.Ref{Dataset: d, ID: fmt.Sprintf("bill-%06d", g.n)}
	g.bills = append(g.bills, reconcile.Bill{Ref: ref, Bill: b})
	return ref
}

func (g *truth) true(bill reconcile.Ref, op string, role reconcile.Role) {
	g.links[place{bill, op, role}] = true
}

// label is how a bank writes whom it paid: in capitals, sometimes cut short.
func (g *truth) label(form, name string) string {
	name = strings.ToUpper(name)
	if g.chance(15) && len(name) > 14 {
		name = strings.ToValidUTF8(name[:12], "")
	}
	if g.chance(30) {
		name = strings.NewReplacer("É", "E", " SARL", "", " SAS", "").Replace(name)
	}
	return form + " " + name
}

// decoy is another operation of the same amount.
func (g *truth) decoy(day, cents int, category string) {
	if !g.chance(25) {
		return
	}
	day += g.r.IntN(25) - 5
	g.op(day, -cents, g.label("CB", g.merchants[g.r.IntN(80)]), category)
}

// subscription is a vendor who sends a bill each month.
func (g *truth) subscription(most int) {
	vendor := []string{"EDF", "Free Mobile", "Orange", "MAIF"}[g.r.IntN(4)]
	if g.chance(80) {
		vendor = g.merchants[80+g.r.IntN(80)]
	}
	delay, same, price := 1+g.r.IntN(18), g.chance(60), 900+g.r.IntN(9000)
	months := 12 + g.r.IntN(70)
	day := g.r.IntN(g.days - months*31)
	var waits []reconcile.Ref
	sum := 0
	for m := range months {
		if len(g.bills) >= most {
			return
		}
		on := day + 31*m
		if !same {
			price = 900 + g.r.IntN(9000)
		}
		number := fmt.Sprintf("F%08d", g.r.IntN(1e8))
		ref := g.bill(formats.Bills, formats.Bill{Issuer: vendor, Number: number, Date: g.at(on), Amount: eur(price)})
		g.decoy(on+delay, price, "groceries")
		if g.chance(4) && m+1 < months && len(waits) == 0 { // paid with the next one
			waits, sum = append(waits, ref), price
			continue
		}
		label := g.label("PRLV SEPA", vendor)
		if g.chance(25) {
			label += " " + number
		}
		paid := on + delay + g.r.IntN(3)
		switch {
		case len(waits) > 0:
			id := g.op(paid, -price-sum, label, "")
			for _, w := range append(waits, ref) {
				g.true(w, id, reconcile.Debit)
			}
			waits, sum = nil, 0
		case g.chance(4): // paid elsewhere
		case g.chance(4) && price > 3000: // in three
			for i, part := range []int{price - price/3*2, price / 3, price / 3} {
				g.true(ref, g.op(paid+30*i, -part, label, ""), reconcile.Debit)
			}
		default:
			g.true(ref, g.op(paid, -price, label, ""), reconcile.Debit)
		}
	}
}

// care is a purchase of health, and its refunds.
type care struct {
	day, paid, public, private int
	doctor, title              string
}

func (g *truth) care(day int) care {
	c := care{day: day, doctor: g.doctors[g.r.IntN(len(g.doctors))], paid: []int{2500, 2650, 3000, 5000}[g.r.IntN(4)]}
	if g.chance(60) {
		c.paid = 400 + g.r.IntN(9000)
	}
	c.title = c.doctor
	if g.chance(30) {
		c.title = "Consultation"
	}
	c.public = c.paid * 70 / 100
	if g.chance(75) {
		c.private = c.paid - c.public - 100*g.r.IntN(3)
	}
	return c
}

// health makes purchases of some weeks, and the payments of insurers for them.
func (g *truth) health(bills int) {
	second := []string{"MGEN", "Harmonie Mutuelle", g.merchants[3] + " Mutuelle", g.merchants[5]}[g.r.IntN(4)]
	for day := 0; len(g.bills) < bills*9/10; day = (day + 3 + g.r.IntN(5)) % (g.days - 40) {
		var cares []care
		for range 1 + g.r.IntN(3) {
			cares = append(cares, g.care(day+g.r.IntN(4)))
		}
		var paidBy []string
		for _, c := range cares {
			paidBy = append(paidBy, g.payCare(c))
		}
		g.refund("Ameli", "VIR CPAM", day+5+g.r.IntN(8), cares, paidBy, func(c care) int { return c.public })
		g.refund(second, "VIR SEPA "+strings.ToUpper(second), day+9+g.r.IntN(8), cares, paidBy, func(c care) int { return c.private })
	}
}

// payCare books who gave the care; "" if it was paid in cash.
func (g *truth) payCare(c care) string {
	if g.chance(6) {
		return ""
	}
	category := "400610"
	if g.chance(10) {
		category = "0"
	}
	g.decoy(c.day, c.paid, []string{"groceries", "400610"}[g.r.IntN(8)/7])
	return g.op(c.day, -c.paid, g.label("CB", c.doctor), category)
}

// refund makes the bills of an insurer: in one payment for all, of which the bills say so or do not, or in one for each.
func (g *truth) refund(issuer, label string, day int, cares []care, paidBy []string, part func(care) int) {
	category := "400620"
	if g.chance(10) {
		category = ""
	}
	total := 0
	for _, c := range cares {
		total += part(c)
	}
	how := g.r.IntN(100)
	var group string
	if withheld := 100; how < 80 && total > 0 {
		if how > 3 || issuer != "Ameli" {
			withheld = 0
		}
		group = g.op(day+1+g.r.IntN(4), total-withheld, label+fmt.Sprintf(" %06d", g.r.IntN(1e6)), category)
	}
	for i, c := range cares {
		if part(c) <= 0 {
			continue
		}
		b := formats.Bill{Issuer: issuer, Date: g.at(day), Amount: eur(part(c)), Refund: true, Category: "health_costs", Title: c.title, OriginalDate: g.at(c.day)}
		original := eur(c.paid)
		b.OriginalAmount = &original
		if how < 65 {
			sum := eur(total)
			b.GroupAmount = &sum
		}
		if how == 99 {
			b.ThirdPartyPayer = true
		}
		ref := g.bill(formats.Health, b)
		switch {
		case how == 99:
			continue
		case group != "":
			g.true(ref, group, reconcile.Credit)
		case how < 97:
			g.true(ref, g.op(day+1+g.r.IntN(4), part(c), label, category), reconcile.Credit)
		} // else it is late
		if paidBy[i] != "" {
			g.true(ref, paidBy[i], reconcile.Debit)
		}
	}
}

// shops are receipts of single purchases.
func (g *truth) shops(bills int) {
	for len(g.bills) < bills {
		day, cents, shop := g.r.IntN(g.days), 300+g.r.IntN(20000), g.merchants[g.r.IntN(160)]
		ref := g.bill(formats.Bills, formats.Bill{Issuer: shop, Date: g.at(day), Amount: eur(cents)})
		g.decoy(day, cents, "")
		if g.chance(88) {
			g.true(ref, g.op(day+g.r.IntN(3), -cents, g.label("CB", shop), "shopping"), reconcile.Debit)
		}
	}
}

// noise is everything else that happens on an account.
func (g *truth) noise(operations int) {
	for len(g.operations) < operations {
		day, shop := g.r.IntN(g.days), g.merchants[g.r.IntN(160)]
		switch {
		case g.chance(6):
			g.op(day, 100+g.r.IntN(200000), "VIR SEPA "+strings.ToUpper(shop), "")
		case g.chance(8):
			g.op(day, -[]int{2500, 2650, 3000, 400 + g.r.IntN(6000)}[g.r.IntN(4)], g.label("CB", g.doctors[g.r.IntN(len(g.doctors))]), "400610")
		default:
			g.op(day, -100-g.r.IntN(15000), g.label("CB", shop), []string{"groceries", "", "shopping"}[g.r.IntN(3)])
		}
	}
}

// score holds links against the truth.
func (g *truth) score(found map[place]bool) (precision, recall float64) {
	right := 0
	for p := range found {
		if g.links[p] {
			right++
		}
	}
	return float64(right) / float64(max(1, len(found))), float64(right) / float64(max(1, len(g.links)))
}
