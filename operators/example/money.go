package example

import (
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// operation is a movement of an account.
type operation struct {
	topic    string
	n        int
	account  int
	date     time.Time
	amount   cents
	party    string
	label    string
	category string // the origin's
	code     string // ISO 20022
	bills    []string
}

// accounts are the person's, each with what it held before the first operation.
func accounts() []struct {
	name, kind string
	opening    cents
} {
	return []struct {
		name, kind string
		opening    cents
	}{{"Compte courant", "CACC", 134_210}, {"Livret A", "SVGS", 512_000}, {"Compte joint", "CACC", 80_055}}
}

// operations lists every movement, month by month.
func (g *generator) operations() []operation {
	var all []operation
	for m := range g.Months {
		all = append(all, g.fixed(m)...)
		all = append(all, g.shopping(m)...)
		all = append(all, g.healthOperations(m)...)
	}
	return all
}

// fixed are the operations that come every month.
func (g *generator) fixed(m int) []operation {
	on := func(dayOfMonth int) time.Time { return g.month(m).AddDate(0, 0, dayOfMonth-1) }
	list := []operation{
		{topic: "salary", date: on(28), amount: 213_847 + cents(g.random("salary", m).IntN(9000)), party: "Moulins de l'Exemple SA", label: "VIR SEPA SALAIRE", category: "salary", code: "PMNT-RCDT-SALA"},
		{topic: "rent", date: on(3), amount: -71_500, party: "Agence du Vieux Pont", label: "PRLV LOYER", category: "rent", code: "PMNT-RDDT-ESDD"},
		{topic: "saving", date: on(29), amount: -15_000, party: g.me.full(), label: "VIR LIVRET A", category: "transfer", code: "PMNT-ICDT-BOOK"},
		{topic: "saved", account: 1, date: on(29), amount: 15_000, party: g.me.full(), label: "VIR DE COMPTE COURANT", category: "transfer", code: "PMNT-RCDT-BOOK"},
		{topic: "joint", date: on(2), amount: -40_000, party: g.me.full(), label: "VIR COMPTE JOINT", category: "transfer", code: "PMNT-ICDT-BOOK"},
		{topic: "jointly", account: 2, date: on(2), amount: 40_000, party: g.me.full(), label: "VIR DE COMPTE COURANT", category: "transfer", code: "PMNT-RCDT-BOOK"},
	}
	for i := range list {
		list[i].n = m
	}
	for _, b := range g.invoices(m) {
		list = append(list, operation{
			topic: b.topic, n: m, date: b.date.AddDate(0, 0, 4), amount: -b.amount, party: b.issuer,
			label: "PRLV SEPA " + b.number, category: b.category, code: "PMNT-RDDT-ESDD", bills: []string{g.id("bill "+b.topic, m)},
		})
	}
	return list
}

// shopping is what differs from month to month.
func (g *generator) shopping(m int) []operation {
	r := g.random("shopping", m)
	shops := []struct {
		party, category string
		from, to        int
	}{
		{"ÉPICERIE DU COIN", "groceries", 800, 6500}, {"LES HALLES D'EXEMPLE", "groceries", 2000, 12_000}, {"BOULANGERIE AU BON GRAIN", "groceries", 120, 900},
		{"CAFÉ DE LA GARE", "restaurant", 250, 2600}, {"LIBRAIRIE L'ENCRE BLEUE", "books", 790, 4200}, {"RÉGIE DES TRAMS", "transport", 170, 1700},
	}
	list := make([]operation, 22+r.IntN(8))
	for i := range list {
		s := pick(r, shops)
		date := g.month(m).AddDate(0, 0, r.IntN(28))
		list[i] = operation{
			topic: fmt.Sprintf("shopping %d", m), n: i, account: []int{0, 0, 2}[r.IntN(3)], date: date, amount: -cents(s.from + r.IntN(s.to-s.from)),
			party: s.party, label: "CB " + s.party + " " + date.Format("02/01/06"), category: s.category, code: "PMNT-CCRD-POSD",
		}
	}
	return list
}

func (g *generator) operationID(o operation) string { return g.id("operation "+o.topic, o.n) }

// bank makes accounts and operations.
func (g *generator) bank() {
	operations := g.operations()
	balances := make([]cents, len(accounts()))
	for i, a := range accounts() {
		balances[i] = a.opening
	}
	for _, o := range operations {
		balances[o.account] += o.amount
	}
	for n, a := range accounts() {
		id, iban := g.id("account", n), g.iban(n)
		g.put(formats.Record{
			ID: id, Dataset: formats.Bank, Kind: formats.KindAccount, Modified: today(),
			Body: body(formats.BankAccount{
				ResourceID: id, IBAN: iban, Currency: "EUR", Name: a.name, CashAccountType: a.kind, OwnerName: g.me.full(), Institution: "Banque des Exemples",
				Balances: []formats.BankBalance{{BalanceAmount: balances[n].amount(), BalanceType: "closingBooked", ReferenceDate: day(today())}},
			}),
			Native: native("io.cozy.bank.accounts", map[string]any{
				"_id": id, "label": a.name, "institutionLabel": "Banque des Exemples", "balance": number(balances[n]), "iban": iban, "currency": "EUR",
				"number": iban[14:25], "type": map[string]string{"CACC": "Checkings", "SVGS": "Savings"}[a.kind], "vendorId": fmt.Sprint(7000 + n),
			}),
		})
	}
	for _, o := range operations {
		g.operation(o)
	}
}

func (g *generator) operation(o operation) {
	id, account := g.operationID(o), g.id("account", o.account)
	b := formats.BankOperation{
		TransactionID: id, EntryReference: id[:16], Status: "booked", BookingDate: day(o.date.AddDate(0, 0, 1)), ValueDate: day(o.date), TransactionDate: day(o.date),
		TransactionAmount: o.amount.amount(), Remittance: o.label, BankTransactionCode: o.code, Category: o.category,
	}
	if o.amount < 0 {
		b.CreditorName = o.party
	} else {
		b.DebtorName = o.party
	}
	references := make([]any, len(o.bills))
	for i, bill := range o.bills {
		references[i] = "io.cozy.bills:" + bill
	}
	g.put(formats.Record{
		ID: id, Dataset: formats.Bank, Kind: formats.KindOperation, Created: o.date, Modified: o.date, Body: body(b),
		Links: []formats.Link{{Rel: "account", Dataset: formats.Bank, ID: account}},
		Native: native("io.cozy.bank.operations", map[string]any{
			"_id": id, "label": o.label, "originalBankLabel": o.label, "type": "unknown", "date": o.date.AddDate(0, 0, 1).Format(time.RFC3339), "realisationDate": o.date.Format(time.RFC3339),
			"amount": number(o.amount), "currency": "EUR", "account": account, "vendorId": id[:12], "bills": references, "toCategorize": false,
		}),
	})
}

// number is an amount as a JSON number.
func number(c cents) json.Number { return json.Number(c.decimal()) }

// iban returns the number of an account at a bank that does not exist (code 99999), with its two check keys.
func (g *generator) iban(n int) string {
	account := fmt.Sprintf("%011d", g.random("iban", n).Int64N(1e11))
	const bank, branch = "99999", "00042"
	key := 97 - modulo(bank+branch+account+"00")
	bban := fmt.Sprintf("%s%s%s%02d", bank, branch, account, key)
	return fmt.Sprintf("FR%02d%s", 98-modulo(bban+"152700"), bban) // F is 15, R is 27
}

// modulo returns the remainder of a long decimal number by 97.
func modulo(digits string) int64 {
	n, _ := new(big.Int).SetString(digits, 10)
	return n.Mod(n, big.NewInt(97)).Int64()
}

// invoice is a bill of the month with its document.
type invoice struct {
	topic, issuer, number, category string
	date                            time.Time
	amount                          cents
}

func (g *generator) invoices(m int) []invoice {
	r := g.random("invoice", m)
	on := func(dayOfMonth int) time.Time { return g.month(m).AddDate(0, 0, dayOfMonth-1) }
	list := []invoice{
		{"phone", "Téléphonie Exemple", fmt.Sprintf("TEL-%s", on(1).Format("200601")), "phone", on(5), 1_999},
		{"power", "Énergies d'Exemple", fmt.Sprintf("EN-%06d", r.IntN(1e6)), "energy", on(12), cents(4_000 + r.IntN(6_000))},
	}
	if m%3 == 0 {
		list = append(list, invoice{"water", "Régie des Eaux Claires", fmt.Sprintf("EAU-%05d", r.IntN(1e5)), "water", on(20), cents(3_000 + r.IntN(2_000))})
	}
	if m%12 == 8 {
		list = append(list, invoice{"insurance", "Assurances du Pont", fmt.Sprintf("AP%07d", r.IntN(1e7)), "insurance", on(15), 23_450})
	}
	return list
}

// bills makes the records of invoices.
func (g *generator) bills() {
	for m := range g.Months {
		for _, b := range g.invoices(m) {
			g.bill(b, m)
		}
	}
}

func (g *generator) bill(b invoice, m int) {
	id, document := g.id("bill "+b.topic, m), g.id("document "+b.topic, m)
	g.put(formats.Record{
		ID: id, Dataset: formats.Bills, Kind: formats.KindBill, Created: b.date, Modified: b.date,
		Links: []formats.Link{
			{Rel: "document", Dataset: formats.Files, ID: document},
			{Rel: "operation", Dataset: formats.Bank, ID: g.operationID(operation{topic: b.topic, n: m})},
		},
		Body: body(formats.Bill{Issuer: b.issuer, Number: b.number, Date: day(b.date), Amount: b.amount.amount(), Category: b.category, Title: b.issuer + " " + b.number}),
		Native: native("io.cozy.bills", map[string]any{
			"_id": id, "vendor": b.issuer, "vendorRef": b.number, "date": b.date.Format(time.RFC3339), "amount": number(b.amount), "currency": "EUR",
			"type": b.category, "invoice": "io.cozy.files:" + document,
		}),
	})
}

// paper is a document in the files.
type paper struct {
	topic string
	n     int
	path  string
	date  time.Time
	tags  []string
	lines []string
}

// documents lists the papers of every month: invoices, payslips, receipts for the rent.
func (g *generator) documents() []paper {
	var all []paper
	for m := range g.Months {
		for _, b := range g.invoices(m) {
			all = append(all, paper{
				topic: "document " + b.topic, n: m, date: b.date, tags: []string{"facture"},
				path:  fmt.Sprintf("Administratif/Factures/%s %s %s.pdf", day(b.date), b.issuer, b.number),
				lines: []string{b.issuer, "Facture n° " + b.number + " du " + day(b.date), "Client : " + g.me.full(), "Montant à payer : " + string(b.amount.decimal()) + " €"},
			})
		}
		month := g.month(m)
		all = append(all,
			paper{topic: "payslip", n: m, date: month.AddDate(0, 0, 27), path: "Administratif/Bulletins de paie/Bulletin " + month.Format("2006-01") + ".pdf",
				lines: []string{"Moulins de l'Exemple SA", "Bulletin de paie " + month.Format("01/2006"), g.me.full()}},
			paper{topic: "receipt", n: m, date: month.AddDate(0, 0, 4), path: "Administratif/Logement/Quittance " + month.Format("2006-01") + ".pdf",
				lines: []string{"Agence du Vieux Pont", "Quittance de loyer " + month.Format("01/2006"), g.me.full(), "715,00 €"}})
	}
	return all
}
