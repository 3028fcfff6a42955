package reconcile

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// op is an operation, ready to be compared.
type op struct {
	*Operation
	n      int // in run.ops
	day    day
	amount money // not below zero; what is left of it for others than the person linked
	whole  money // before that
	credit bool
	text   string // padded
	words  []string
	sign   int // operations of one sign look alike
	health standing
	source map[Ref]bool // bills whose source linked it
	// contested says that it could be of a unit that has too many possibilities for them to be weighed.
	contested bool
}

// standing is what an operation's category says.
type standing uint8

const (
	unknown  standing = iota // nothing
	expense                  // that it pays care
	refunded                 // that it refunds care
	both
	other // that it is something else
)

// unit is what one payment is expected for: a bill, a purchase of which several insurers have a bill, or a payment of an
// insurer that holds several refunds.
type unit struct {
	n        int
	role     Role
	members  []*bill
	amount   money // what is left of it besides what the person linked
	whole    money
	currency string
	day      day
	window   Window
	withheld money
	issuer   *issuer
	titles   []*issuer // who gave the care
	health   bool
	group    bool // the payment is named by the bills
	edges    []*edge
	crowded  bool // there are too many
}

// bill is a bill, ready to be compared.
type bill struct {
	*Bill
	day       day
	amount    money
	original  money // of the purchase; 0: there is none
	origin    day
	grouped   money // of the payment; 0: not known
	health    bool
	issuer    *issuer
	title     *issuer
	number    string
	purchase  *unit
	payment   *unit
	corrected map[Role]bool // the person rejected something
}

// issuer is who is on bills, and which operations name them.
type issuer struct {
	name
	folded string
	vendor *Vendor
	named  map[int]naming // operations by their number; those that name it in no way are not there
	where  []int          // the same, in order
	// insures says that there are refunds of health by them.
	insures bool
}

// naming is how an operation names somebody.
type naming struct {
	evidence Evidence
	words    string
}

// place is where operations of an amount are looked up.
type place struct {
	currency string
	credit   bool
	amount   money
}

// run is one comparison.
type run struct {
	rules    *Rules
	ops      []*op
	bills    []*bill
	units    []*unit
	issuers  map[string]*issuer
	byAmount map[place][]*op // in the order of days
	byWord   map[string][]int
	vocab    []string // the words of byWord, sorted, so that words that were cut short are found
	opOf     map[string]*op
	billOf   map[Ref]*bill
	verdicts map[pair]Verdict
	rejected map[pair]bool
	has      map[pair]bool // which bills are linked, whatever the operation
	edges    []*edge
	work     int // steps that are left
	out      Result
}

// pair is a link's place.
type pair struct {
	bill Ref
	op   string
	role Role
}

// maxWork bounds the steps of one run: some seconds at the most, whatever the input. The run of 2,000 bills and 10,000 operations
// that the tests invent takes a twentieth of it.
const maxWork = 10_000_000

func newRun(in Input) *run {
	r := &run{rules: in.Rules, issuers: map[string]*issuer{}, byAmount: map[place][]*op{}, byWord: map[string][]int{}, rejected: map[pair]bool{},
		verdicts: map[pair]Verdict{}, has: map[pair]bool{}, opOf: map[string]*op{}, billOf: map[Ref]*bill{}, work: maxWork}
	for _, c := range in.Corrections {
		p := pair{c.Bill, c.Operation, c.Role}
		if r.verdicts[p] = c.Verdict; c.Verdict == Rejected {
			r.rejected[p] = true
		}
	}
	r.readOperations(in.Operations)
	r.readBills(in.Bills)
	r.makeUnits()
	return r
}

func (r *run) readOperations(list []Operation) {
	for i := range list {
		if o := r.operation(&list[i]); o != nil && r.opOf[o.ID] == nil {
			r.opOf[o.ID] = o
			r.ops = append(r.ops, o)
		}
	}
	slices.SortFunc(r.ops, func(a, b *op) int { return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.ID, b.ID)) })
	signs := map[string]int{}
	for n, o := range r.ops {
		o.n = n
		if _, known := signs[o.text]; !known {
			signs[o.text] = len(signs)
		}
		o.sign = signs[o.text]
		for _, w := range o.words {
			r.byWord[w] = append(r.byWord[w], n)
		}
	}
	for w := range r.byWord {
		r.vocab = append(r.vocab, w)
	}
	sort.Strings(r.vocab)
	r.index()
}

// index files operations by what is left of their amounts.
func (r *run) index() {
	clear(r.byAmount)
	for _, o := range r.ops {
		if o.amount > 0 {
			at := place{o.TransactionAmount.Currency, o.credit, o.amount}
			r.byAmount[at] = append(r.byAmount[at], o)
		}
	}
}

// operation is nil where there is nothing to compare.
func (r *run) operation(in *Operation) *op {
	amount, ok := parseMoney(in.TransactionAmount.Amount)
	o := &op{Operation: in, day: parseDay(cmp.Or(in.TransactionDate, in.BookingDate, in.ValueDate))}
	if !ok || amount == 0 || o.day == noDay || in.ID == "" || in.Status == "pending" {
		return nil
	}
	o.credit, o.amount = amount > 0, max(amount, -amount)
	o.whole = o.amount
	parts := []string{in.Remittance, in.AdditionalInfo, in.EndToEndID}
	if o.credit {
		parts = append(parts, in.DebtorName)
	} else {
		parts = append(parts, in.CreditorName)
	}
	var seen []string
	for _, part := range parts {
		if part = clip(part); part != "" && !slices.Contains(seen, part) {
			seen = append(seen, part)
		}
	}
	all := fold(strings.Join(seen, " "))
	fields := strings.Fields(all)
	o.text = " " + strings.Join(fields, " ") + " "
	for _, w := range fields {
		if !slices.Contains(o.words, w) {
			o.words = append(o.words, w)
		}
	}
	o.health = r.standing(in.Category)
	return o
}

func (r *run) standing(category string) standing {
	h := &r.rules.Health
	category = strings.ToLower(strings.TrimSpace(category))
	paid, back := slices.Contains(h.Expenses, category), slices.Contains(h.Refunds, category)
	switch {
	case category == "" || slices.Contains(h.Unknown, category):
		return unknown
	case paid && back:
		return both
	case paid:
		return expense
	case back:
		return refunded
	}
	return other
}

func (r *run) readBills(list []Bill) {
	for i := range list {
		in := &list[i]
		if r.billOf[in.Ref] != nil {
			continue
		}
		if in.ThirdPartyPayer {
			r.out.Undecided = append(r.out.Undecided, Undecided{Bill: in.Ref, Reason: ThirdParty})
			continue
		}
		b, ok := r.bill(in)
		if !ok {
			r.out.Undecided = append(r.out.Undecided, Undecided{Bill: in.Ref, Reason: Unreadable})
			continue
		}
		r.billOf[in.Ref] = b
		r.bills = append(r.bills, b)
	}
	slices.SortFunc(r.bills, func(a, b *bill) int { return cmp.Or(cmp.Compare(a.day, b.day), a.Ref.compare(b.Ref)) })
	for _, b := range r.bills {
		for _, id := range b.Linked {
			if o := r.opOf[id]; o != nil {
				if o.source == nil {
					o.source = map[Ref]bool{}
				}
				o.source[b.Ref] = true
			}
		}
	}
}

func (r *run) bill(in *Bill) (*bill, bool) {
	b := &bill{Bill: in, day: parseDay(in.Date), corrected: map[Role]bool{}}
	var ok bool
	if b.amount, ok = parseMoney(in.Amount.Amount); !ok || b.amount <= 0 || b.day == noDay {
		return nil, false
	}
	b.health = in.Dataset == formats.Health || slices.Contains(r.rules.Health.Bills, strings.ToLower(in.Category))
	b.original, b.origin = r.part(in, in.OriginalAmount), parseDay(in.OriginalDate)
	b.grouped = r.part(in, in.GroupAmount)
	if b.grouped < b.amount {
		b.grouped = 0 // it cannot hold this refund
	}
	b.issuer = r.issuer(in.Issuer)
	if b.health {
		b.title = r.issuer(in.Title)
		b.issuer.insures = b.issuer.insures || in.Refund
	}
	if number := squeeze(in.Number); len(number) >= shortestNumber && strings.ContainsAny(number, "0123456789") {
		b.number = number
	}
	return b, true
}

// part is an amount that a bill has besides; 0 if it makes no sense.
func (r *run) part(in *Bill, a *formats.Amount) money {
	if a == nil || a.Currency != in.Amount.Currency {
		return 0
	}
	m, ok := parseMoney(a.Amount)
	if !ok || m < 0 {
		return 0
	}
	return m
}

// issuer finds the operations that name somebody, once for each name.
func (r *run) issuer(text string) *issuer {
	folded := strings.TrimSpace(padded(clip(text)))
	if i := r.issuers[folded]; i != nil {
		return i
	}
	i := &issuer{name: newName(text, r.rules.noise), folded: folded, named: map[int]naming{}}
	r.issuers[folded] = i
	if folded == "" {
		return i
	}
	if i.vendor = r.rules.vendor(text); i.vendor != nil {
		for _, label := range i.vendor.labels {
			for _, n := range r.having(label) {
				i.named[n] = naming{VendorNamed, label.String()}
			}
		}
	}
	for _, n := range r.havingSome(i.name) {
		if _, already := i.named[n]; already {
			continue
		}
		if list, part := i.found(r.ops[n].words); part >= 50 {
			evidence := PartNamed
			if part >= 85 {
				evidence = IssuerNamed
			}
			i.named[n] = naming{evidence, strings.Join(list, " ")}
		}
	}
	for n := range i.named {
		i.where = append(i.where, n)
	}
	slices.Sort(i.where)
	return i
}

// having returns the operations whose text has a phrase.
func (r *run) having(p phrase) (list []int) {
	if len(p.words) == 0 {
		return nil
	}
	var candidates []int
	if first := p.words[0]; len(p.words) > 1 || !p.prefix {
		candidates = r.byWord[first]
	} else {
		candidates = r.beginning(first)
	}
	for _, n := range candidates {
		if p.in(r.ops[n].text) {
			list = append(list, n)
		}
	}
	return list
}

// beginning returns the operations that have a word that begins so.
func (r *run) beginning(prefix string) (list []int) {
	for i := sort.SearchStrings(r.vocab, prefix); i < len(r.vocab) && strings.HasPrefix(r.vocab[i], prefix); i++ {
		list = append(list, r.byWord[r.vocab[i]]...)
	}
	return list
}

// havingSome returns the operations whose text has a word of a name, perhaps cut short.
func (r *run) havingSome(n name) []int {
	var list []int
	for _, w := range n.words {
		list = append(list, r.byWord[w]...)
		for size := shortestPrefix; size < len(w); size++ {
			list = append(list, r.byWord[w[:size]]...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
