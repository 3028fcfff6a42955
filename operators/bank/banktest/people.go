package banktest

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// The persons who bank here. Their passwords are [Password].
const (
	Anne   = "anne.martin"   // a current account with two years of life and health costs, and savings
	Benoit = "benoit.leroy"  // shares an account with Claire, for which both must agree
	Claire = "claire.leroy"  // has one of her own, too
	David  = "david.nguyen"  // has an account whose operations have no ids
	Bulk   = "emma.grand"    // five accounts with as many operations as the configuration says
	Nobody = "farid.nothing" // has no account any more
)

// Password is that of each person.
const Password = "sandbox"

const (
	bankCode = "99994" // that of no bank
	bic      = "SNDBFRPPXXX"
)

// Person is a customer of the bank.
type Person struct {
	ID, Name string
	crowd    bool // the pages do not name them
}

// CrowdID is the name of the n-th of the persons of [Config.Crowd], from 1.
func CrowdID(n int) string { return fmt.Sprintf("person-%04d", n) }

const crowdOperations = 30

// Account is one account. Operations are in the order in which the bank learned of them.
type Account struct {
	ID       string // the resource's
	IBAN     string
	Name     string
	Product  string
	Kind     string // ISO 20022: CACC, SVGS
	Currency string
	Owners   []string // persons
	Both     bool     // each owner must agree to a consent
	Closed   bool
	Opening  Cents // before the first operation

	operations []*Operation // sorted by date, then by number
	last       int          // number that was given last
	nameless   bool         // its operations have no transactionId
}

// Operation is one movement of an account.
type Operation struct {
	Number    int    `json:"number"`                   // of the account's, from 1, in the order in which the bank learned of it
	ID        string `json:"transactionId,omitempty"`  // transactionId, "" if the bank gives none
	Reference string `json:"entryReference,omitempty"` // entryReference
	Status    string `json:"status"`                   // "booked", "pending"; "information": a standing order
	Booked    Date   `json:"bookingDate"`              // of a pending one: entered
	Value     Date   `json:"valueDate"`
	Amount    Cents  `json:"amount"` // below zero: it leaves the account
	Party     string `json:"party"`
	PartyIBAN string `json:"partyIban,omitempty"`
	Text      string `json:"text"`
	Code      string `json:"code"` // ISO 20022 bank transaction code: PMNT-RDDT-ESDD
	Mandate   string `json:"mandateId,omitempty"`
	EndToEnd  string `json:"endToEndId,omitempty"`
}

// balance is what is on the account, with pending operations or without.
func (a *Account) balance(pending bool) Cents {
	sum := a.Opening
	for _, o := range a.operations {
		if o.Status == "booked" || pending && o.Status == "pending" {
			sum += o.Amount
		}
	}
	return sum
}

// add gives an operation its number and its place.
func (a *Account) add(o *Operation) {
	a.last++
	o.Number = a.last
	at, _ := slices.BinarySearchFunc(a.operations, o, func(x, y *Operation) int {
		if x.Booked != y.Booked {
			return compare(x.Booked, y.Booked)
		}
		return x.Number - y.Number
	})
	a.operations = slices.Insert(a.operations, at, o)
}

func compare(a, b Date) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// name gives a booked operation its ids.
func (a *Account) name(o *Operation) {
	if o.Status != "booked" {
		return
	}
	if o.Reference = fmt.Sprintf("%s-%06d", a.ID[:8], o.Number); !a.nameless {
		o.ID = fmt.Sprintf("%s%08d", a.ID[:13], o.Number)
	}
}

// populate invents persons and accounts, as they are on a day.
func (b *Bank) populate(today Date) {
	for id, name := range map[string]string{Anne: "Anne Martin", Benoit: "Benoît Leroy", Claire: "Claire Leroy", David: "David Nguyen", Bulk: "Emma Grand", Nobody: "Farid Rien"} {
		b.people[id] = &Person{ID: id, Name: name}
	}
	current := b.open(&Account{Name: "Compte courant", Product: "Compte Ruisseau", Kind: "CACC", Owners: []string{Anne}, Opening: 184_231})
	b.live(current, today)
	savings := b.open(&Account{Name: "Livret A", Product: "Livret A", Kind: "SVGS", Owners: []string{Anne}, Opening: 500_000})
	b.economise(savings, today)
	joint := b.open(&Account{Name: "Compte joint", Product: "Compte Ruisseau Duo", Kind: "CACC", Owners: []string{Benoit, Claire}, Both: true, Opening: 97_412})
	b.live(joint, today)
	own := b.open(&Account{Name: "Compte courant", Product: "Compte Ruisseau", Kind: "CACC", Owners: []string{Claire}, Opening: 40_000})
	b.live(own, today)
	nameless := b.open(&Account{Name: "Compte courant", Product: "Compte Ruisseau", Kind: "CACC", Owners: []string{David}, Opening: 120_000, nameless: true})
	b.live(nameless, today)
	for n := range 5 {
		a := b.open(&Account{Name: fmt.Sprintf("Compte %d", n+1), Product: "Compte Ruisseau", Kind: "CACC", Owners: []string{Bulk}, Opening: 1_000_000})
		b.many(a, today, b.config.Operations)
	}
	for n := range b.config.Crowd {
		id := CrowdID(n + 1)
		b.people[id] = &Person{ID: id, Name: fmt.Sprintf("Personne %d", n+1), crowd: true}
		b.many(b.open(&Account{Name: "Compte courant", Product: "Compte Ruisseau", Kind: "CACC", Owners: []string{id}, Opening: 50_000}), today, crowdOperations)
	}
}

// open opens an account.
func (b *Bank) open(a *Account) *Account {
	n := len(b.accounts) + 1
	random := rand.New(rand.NewPCG(b.config.Seed, uint64(n)))
	a.ID = fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", random.Uint32(), random.Uint32N(1<<16), random.Uint32N(1<<12), random.Uint32N(1<<12), random.Uint64N(1<<48))
	a.Currency = "EUR"
	a.IBAN = iban(bankCode, "00042", fmt.Sprintf("%011d", 10_000_000_000+n))
	b.accounts = append(b.accounts, a)
	return a
}

// accountsOf are a person's accounts that are open.
func (b *Bank) accountsOf(person string) (list []*Account) {
	for _, a := range b.accounts {
		if slices.Contains(a.Owners, person) && !a.Closed {
			list = append(list, a)
		}
	}
	return list
}

// byIBAN finds an account, nil if there is none.
func (b *Bank) byIBAN(number string) *Account {
	for _, a := range b.accounts {
		if a.IBAN == number {
			return a
		}
	}
	return nil
}
