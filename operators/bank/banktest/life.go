package banktest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// lived is how many days of operations an account has.
const lived = 730

// habit is something that happens in the life of an account: how often it does, and what the operation says.
type habit struct {
	every    int // days, about
	from, to Cents
	party    string
	text     string // DAY, MONTH and REF are filled in
	code     string
}

// monthly is something that happens on a day of each month.
type monthly struct {
	day    int
	amount Cents
	party  string
	text   string
	code   string
}

func monthlies() []monthly {
	return []monthly{
		{1, -78_000, "SCI DES TILLEULS", "VIR LOYER MONTH", "PMNT-ICDT-STDO"},
		{3, -3_499, "ORANGE SA", "PRLV SEPA ORANGE FIBRE FACTURE REF", "PMNT-RDDT-ESDD"},
		{5, -1_599, "FREE MOBILE", "PRLV SEPA FREE MOBILE REF", "PMNT-RDDT-ESDD"},
		{8, -8_412, "EDF CLIENTS PARTICULIERS", "PRLV SEPA EDF FACTURE ELECTRICITE REF", "PMNT-RDDT-ESDD"},
		{10, -4_720, "MUTUELLE DU RUISSEAU", "PRLV SEPA COTISATION MUTUELLE MONTH", "PMNT-RDDT-ESDD"},
		{12, -2_190, "EAU DE PARIS", "PRLV SEPA EAU REF", "PMNT-RDDT-ESDD"},
		{28, 241_580, "ATELIER DES PONTS SARL", "VIR SALAIRE MONTH", "PMNT-RCDT-SALA"},
	}
}

func habits() []habit {
	return []habit{
		{3, -9_800, -1_150, "CARREFOUR CITY", "CARTE DAY CARREFOUR CITY", "PMNT-CCRD-POSD"},
		{5, -680, -105, "BOULANGERIE DU PORT", "CARTE DAY BOULANGERIE DU PORT", "PMNT-CCRD-POSD"},
		{14, -5_600, -1_400, "SNCF CONNECT", "CARTE DAY SNCF CONNECT REF", "PMNT-CCRD-POSD"},
		{30, -6_000, -2_000, "", "RETRAIT DAB DAY", "PMNT-CCRD-CWDL"},
	}
}

// live fills an account with what a household in France pays and gets.
func (b *Bank) live(a *Account, today Date) {
	random := rand.New(rand.NewPCG(b.config.Seed, uint64(len(b.accounts))<<8))
	var all []*Operation
	for ago := lived; ago > 1; ago-- {
		day := today.add(-ago)
		for _, m := range monthlies() {
			if strings.HasSuffix(string(day), fmt.Sprintf("-%02d", m.day)) {
				all = append(all, booked(day, m.amount+vary(random, m.amount), m.party, m.text, m.code, random))
			}
		}
		for _, h := range habits() {
			if random.IntN(h.every) == 0 {
				all = append(all, booked(day, h.from+Cents(random.Int64N(int64(h.to-h.from)+1)), h.party, h.text, h.code, random))
			}
		}
		if random.IntN(24) == 0 {
			all = append(all, care(day, today, random)...)
		}
	}
	a.fill(all)
	a.add(&Operation{Status: "pending", Booked: today.add(-1), Value: today.add(1), Amount: -4_315, Party: "PHARMACIE DES HALLES", Text: "CARTE EN COURS PHARMACIE DES HALLES", Code: "PMNT-CCRD-POSD"})
	a.add(&Operation{Status: "pending", Booked: today, Value: today.add(2), Amount: -1_890, Party: "CARREFOUR CITY", Text: "CARTE EN COURS CARREFOUR CITY", Code: "PMNT-CCRD-POSD"})
	a.add(&Operation{Status: "information", Booked: today.add(-lived), Amount: -78_000, Party: "SCI DES TILLEULS", Text: "LOYER", Code: "PMNT-ICDT-STDO"})
}

// vary makes bills of energy and telephone differ a little, and leaves rent and salary alone.
func vary(random *rand.Rand, m Cents) Cents {
	if m > -1_000 || m < -10_000 {
		return 0
	}
	return Cents(random.Int64N(400)) - 200
}

// care is one health cost, and what comes back of it: the insurance first, the complementary insurer later.
func care(day, today Date, random *rand.Rand) []*Operation {
	type cost struct {
		party              string
		amount, cpam, mutu Cents
	}
	costs := []cost{
		{"DR DUBOIS MEDECIN GENERALISTE", 3_000, 1_900, 900},
		{"PHARMACIE DES HALLES", Cents(800 + random.IntN(3_000)), 0, 0},
		{"CABINET DENTAIRE SAINT-JEAN", 5_780, 3_178, 1_300},
		{"LABORATOIRE BIOLAB", 2_460, 1_476, 984},
		{"OPTIQUE DU CANAL", 18_900, 9, 15_000},
		{"DR LAMBERT DERMATOLOGUE", 5_500, 2_090, 1_610},
	}
	c := costs[random.IntN(len(costs))]
	if c.party == "PHARMACIE DES HALLES" {
		c.cpam = c.amount * 65 / 100
		c.mutu = c.amount - c.cpam
	}
	list := []*Operation{booked(day, -c.amount, c.party, "CARTE DAY "+c.party, "PMNT-CCRD-POSD", random)}
	if paid := day.add(4 + random.IntN(5)); paid < today && c.cpam > 0 {
		list = append(list, booked(paid, c.cpam, "CPAM DE PARIS", "VIR C.P.A.M. PARIS REMBOURSEMENT SOINS REF", "PMNT-RCDT-ESCT", random))
	}
	if paid := day.add(10 + random.IntN(8)); paid < today && c.mutu > 0 {
		list = append(list, booked(paid, c.mutu, "MUTUELLE DU RUISSEAU", "VIR MUTUELLE DU RUISSEAU REMBT SANTE REF", "PMNT-RCDT-ESCT", random))
	}
	return list
}

// booked is an operation that was booked.
func booked(day Date, sum Cents, party, text, code string, random *rand.Rand) *Operation {
	at, _ := time.Parse(time.DateOnly, string(day)) // a date of ours
	reference := fmt.Sprintf("%010d", random.Int64N(1e10))
	text = strings.NewReplacer("DAY", at.Format("02/01/06"), "MONTH", at.Format("01/2006"), "REF", reference).Replace(text)
	o := &Operation{Status: "booked", Booked: day, Value: day, Amount: sum, Party: party, Text: text, Code: code}
	if code == "PMNT-RDDT-ESDD" {
		o.Mandate = "MND" + strings.ToUpper(strings.Fields(party)[0])
	}
	if strings.HasPrefix(code, "PMNT-RCDT") {
		o.EndToEnd = "E2E" + reference
	}
	return o
}

// economise fills a savings account: a transfer a month, interest at the end of the year.
func (b *Bank) economise(a *Account, today Date) {
	random := rand.New(rand.NewPCG(b.config.Seed, 7))
	var all []*Operation
	for ago := lived; ago > 1; ago-- {
		switch day := today.add(-ago); {
		case strings.HasSuffix(string(day), "-02"):
			all = append(all, booked(day, 15_000, "ANNE MARTIN", "VIR EPARGNE MONTH", "PMNT-RCDT-BOOK", random))
		case strings.HasSuffix(string(day), "-12-31"):
			all = append(all, booked(day, 11_520, "BANQUE DU RUISSEAU", "INTERETS LIVRET A", "ACMT-MCOP-INTR", random))
		}
	}
	a.fill(all)
}

// many fills an account with so many operations over the days that an account lives.
func (b *Bank) many(a *Account, today Date, count int) {
	random := rand.New(rand.NewPCG(b.config.Seed, uint64(len(b.accounts))<<16))
	all := make([]*Operation, count)
	list := habits()
	for n := range all {
		h := list[random.IntN(len(list))]
		day := today.add(-lived + n*(lived-1)/max(count, 1))
		all[n] = booked(day, h.from+Cents(random.Int64N(int64(h.to-h.from)+1)), h.party, h.text, h.code, random)
	}
	a.fill(all)
}

// fill puts operations into an empty account.
func (a *Account) fill(all []*Operation) {
	slices.SortStableFunc(all, func(x, y *Operation) int { return compare(x.Booked, y.Booked) })
	for n, o := range all {
		o.Number = n + 1
		a.name(o)
	}
	a.operations, a.last = all, len(all)
}
