// Package reconcile finds out which bank operations paid or refunded which bills, and which health expenses wait for their
// reimbursement longer than is usual.
//
// It is a pure function of operations, bills, what a person corrected, and rules that are data (rules/COUNTRY.json). Money is
// counted in whole ten-thousandths of a unit of its currency, never in binary fractions. It must never know where records are
// kept, nor in which words a page explains a link: it gives facts.
package reconcile

import (
	"cmp"
	"slices"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Role is what an operation is to a bill.
type Role string

// The roles.
const (
	Debit  Role = "debit"  // the person paid
	Credit Role = "credit" // money came back to the person
)

// Ref names the record of a bill.
type Ref struct {
	Dataset formats.Dataset `json:"dataset"`
	ID      string          `json:"id"`
}

func (r Ref) compare(other Ref) int {
	return cmp.Or(cmp.Compare(r.Dataset, other.Dataset), cmp.Compare(r.ID, other.ID))
}

// Bill is a bill, and the operations to which its source has linked it, by their ids.
type Bill struct {
	Ref
	formats.Bill
	Linked []string
}

// Operation is a movement of an account. Pending ones are left out: what they become has another id at many banks.
type Operation struct {
	ID      string
	Account string // id of its record
	formats.BankOperation
}

// Verdict is what a person said about a link.
type Verdict string

// The verdicts.
const (
	Confirmed Verdict = "confirmed" // the link that was found is right
	Rejected  Verdict = "rejected"  // it is wrong
	ByHand    Verdict = "hand"      // the person made it
)

// Correction is what a person said. It is true, whatever the rules say.
type Correction struct {
	Bill      Ref
	Operation string
	Role      Role
	Verdict   Verdict
}

// Rule says why a link was made.
type Rule string

// The rules.
const (
	ByAmount     Rule = "amount"     // one bill, one operation of the same amount
	ByGroup      Rule = "group"      // the bill names the payment in which several refunds came
	BySum        Rule = "sum"        // several bills make the operation's amount
	ByParts      Rule = "parts"      // several operations make the bill's amount
	ByShort      Rule = "short"      // the operation is somewhat less than the bill
	ByPerson     Rule = "person"     // the person said so
	ByCompletion Rule = "completion" // another bill of the same payment was linked by the person
)

// Evidence says what in an operation's text or category speaks for a bill.
type Evidence string

// The kinds of evidence, the strongest first.
const (
	NumberNamed   Evidence = "number"   // the bill's number is in the text
	SourceSaid    Evidence = "source"   // the bill's source linked them
	VendorNamed   Evidence = "vendor"   // a pattern of the rules for this issuer
	IssuerNamed   Evidence = "issuer"   // the issuer's name
	ProviderNamed Evidence = "provider" // who gave the care
	PartNamed     Evidence = "part"     // some of the issuer's name
	CategoryFits  Evidence = "category" // an operation of health
	// ElsewhereNamed is an operation of health that does not name who gave the care, where others do.
	ElsewhereNamed Evidence = "elsewhere"
	NoEvidence     Evidence = "none"
)

// Link says that an operation paid or refunded a bill, or a part of it, and why.
type Link struct {
	Bill      Ref
	Role      Role
	Operation string
	Amount    formats.Amount // of the bill that this operation is about; above zero
	Rule      Rule
	Evidence  Evidence
	Words     string // what was found in the operation's text; "" if nothing
	Days      int    // from the bill's day to the operation's
	Verdict   Verdict
	// Partial says that less was moved than the bill says.
	Partial bool
	// SameAs is the bill of the same purchase that stands for its amount, where insurers each have a bill of one purchase;
	// zero: this one does.
	SameAs Ref
}

func (l *Link) compare(other *Link) int {
	return cmp.Or(l.Bill.compare(other.Bill), cmp.Compare(l.Role, other.Role), cmp.Compare(l.Operation, other.Operation))
}

// Reason says why nothing was decided about a bill.
type Reason string

// The reasons.
const (
	ThirdParty Reason = "third-party" // the insurer paid whoever gave the care: nothing moves at the person's bank
	Unreadable Reason = "unreadable"  // its amount is zero, below zero or too precise, or its day is none
	Ambiguous  Reason = "ambiguous"   // several operations fit as well: see the proposals
	TooMany    Reason = "too-many"    // there are more possibilities than are tried
)

// Undecided is a bill of which it is known why nothing was linked.
type Undecided struct {
	Bill   Ref
	Role   Role // "": both
	Reason Reason
}

// Result is what was found, in the order of bills, roles and operations.
type Result struct {
	Links     []Link
	Proposals []Link // plausible, and no more than that: for the person to decide
	Undecided []Undecided
	Purchases []Purchase
}

// Input is what is compared. The order of its parts does not matter.
type Input struct {
	Operations  []Operation
	Bills       []Bill
	Corrections []Correction
	Rules       *Rules
}

// Run compares bills with operations. The same input gives the same result.
func Run(in Input) Result {
	r := newRun(in)
	r.pin(in.Corrections)
	for _, u := range r.units {
		r.findSingle(u)
	}
	r.findSums()
	r.findParts()
	for _, c := range r.components() {
		r.solve(c)
	}
	r.purchases()
	return r.result()
}

func (r *run) result() Result {
	byPlace := func(a, b Link) int { return a.compare(&b) }
	slices.SortFunc(r.out.Links, byPlace)
	slices.SortFunc(r.out.Proposals, byPlace)
	r.out.Proposals = slices.CompactFunc(r.out.Proposals, func(a, b Link) bool { return a.compare(&b) == 0 })
	slices.SortFunc(r.out.Undecided, func(a, b Undecided) int {
		return cmp.Or(a.Bill.compare(b.Bill), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Reason, b.Reason))
	})
	r.out.Undecided = slices.Compact(r.out.Undecided)
	return r.out
}
