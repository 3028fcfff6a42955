package reconcile

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/strict"
)

//go:embed rules/*.json
var ruleFiles embed.FS

// ErrRules is the parent of errors about rules that are not sound.
var ErrRules = errors.New("the rules of reconciliation are not sound")

// RulesFormat names the form of a file of rules.
const RulesFormat = "passerelle-reconciliation/1"

// maxRules is how many bytes a file of rules has at the most.
const maxRules = 1 << 20

// Rules are what is known of a country's bills and banks. Texts are compared without case and accents, word by word; the last
// word of a pattern may end in "*".
type Rules struct {
	Format  string `json:"format" validate:"required,eq=passerelle-reconciliation/1"`
	Country string `json:"country" validate:"required,country"` // ISO 3166-1 alpha-2; "ZZ": any
	// Noise are words of operations' texts that say nothing about who is paid.
	Noise  []string `json:"noise" validate:"max=500,unique,dive,required,max=60,pattern"`
	Bill   Window   `json:"bill"`   // from a bill's day to its payment
	Care   Window   `json:"care"`   // from the day of care to its payment
	Refund Window   `json:"refund"` // from a reimbursement's day to its payment
	// Instalments is within how many days the payments of one bill follow each other, and how many there are at the most.
	Instalments Instalments `json:"instalments"`
	Health      Health      `json:"health"`
	Vendors     []Vendor    `json:"vendors" validate:"max=2000,dive"`

	noise map[string]bool
}

// Window is how many days an operation is from what is expected of it.
type Window struct {
	Before int `json:"before" validate:"min=0,max=120"`
	After  int `json:"after" validate:"min=0,max=120"`
	Usual  int `json:"usual" validate:"min=0,max=120"` // until this day it is as usual
}

// Instalments bounds one bill that is paid in several operations.
type Instalments struct {
	Days int `json:"days" validate:"min=0,max=400"`
	Most int `json:"most" validate:"min=0,max=12"`
}

// Health is what is known of health expenses.
type Health struct {
	Bills    []string `json:"bills" validate:"max=50,unique,dive,required,max=60,line"`    // categories of bills
	Expenses []string `json:"expenses" validate:"max=50,unique,dive,required,max=60,line"` // categories of operations that pay care
	Refunds  []string `json:"refunds" validate:"max=50,unique,dive,required,max=60,line"`  // and that refund it
	// Unknown are categories that say nothing.
	Unknown []string `json:"unknown" validate:"max=50,unique,dive,required,max=60,line"`
	// Providers are patterns of who gives care, for operations without a category.
	Providers []string `json:"providers" validate:"max=500,unique,dive,required,max=60,pattern"`
	// Late is after how many days a reimbursement of which nobody heard is late, where its insurer says nothing else.
	Late int `json:"late" validate:"min=1,max=400"`
	// Forget is after how many days nobody is told any more.
	Forget int `json:"forget" validate:"min=1,max=3000"`
	// Least is an amount below which nobody is told.
	Least string `json:"least" validate:"required,decimal"`

	providers []phrase
	least     money
}

// Payer is what an issuer of reimbursements is.
type Payer string

// The payers.
const (
	Insurance     Payer = "insurance"     // the health insurance of everybody
	Complementary Payer = "complementary" // the insurer of the rest
)

// Vendor is an issuer of bills.
type Vendor struct {
	ID      string   `json:"id" validate:"required,max=60,member"`
	Issuers []string `json:"issuers" validate:"required,min=1,max=50,unique,dive,required,max=60,pattern"` // of bills
	Labels  []string `json:"labels,omitempty" validate:"max=50,unique,dive,required,max=60,pattern"`       // of operations
	Payer   Payer    `json:"payer,omitempty" validate:"omitempty,oneof=insurance complementary"`
	Bill    *Window  `json:"bill,omitempty"`
	Refund  *Window  `json:"refund,omitempty"`
	// Late is after how many days from the care a reimbursement is late; 0: as for others.
	Late int `json:"late,omitempty" validate:"min=0,max=400"`
	// Withheld is how much less than it says a payment may be.
	Withheld string `json:"withheld,omitempty" validate:"omitempty,decimal"`

	issuers, labels []phrase
	withheld        money
}

// ParseRules reads a file of rules, and names every fault in an error that wraps [ErrRules].
func ParseRules(text []byte) (*Rules, error) {
	if len(text) > maxRules {
		return nil, fmt.Errorf("%w: they have %d bytes, more than %d", ErrRules, len(text), maxRules)
	}
	r := &Rules{}
	if err := strict.Decode(text, r); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrRules, err)
	}
	v, err := strict.NewValidator(
		strict.Tag{Name: "pattern", Is: isPattern, Not: `words of letters and digits, the last one perhaps with "*"`},
		strict.Tag{Name: "decimal", Is: func(s string) bool { m, ok := parseMoney(formats.Decimal(s)); return ok && m >= 0 }, Not: `an amount such as "2.00"`},
		strict.Tag{Name: "country", Is: func(s string) bool {
			return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
		}, Not: "a country such as FR, or ZZ"},
	)
	if err != nil {
		return nil, err
	}
	if faults := append(v.Faults(r), r.contradictions()...); len(faults) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrRules, strings.Join(faults, "; "))
	}
	r.prepare()
	return r, nil
}

// isPattern accepts words, of which none is so short that it would be found everywhere.
func isPattern(s string) bool {
	p := parsePhrase(s)
	folded := strings.Join(p.words, " ")
	if p.prefix {
		folded += "*"
	}
	return len(p.words) > 0 && len(strings.Join(p.words, "")) > 1 && folded == s
}

// contradictions are faults that are in no single field.
func (r *Rules) contradictions() (faults []string) {
	seen := map[string]string{}
	for i, v := range r.Vendors {
		if v.Bill != nil {
			faults = append(faults, v.Bill.faults(fmt.Sprintf("vendors[%d].bill", i))...)
		}
		if v.Refund != nil {
			faults = append(faults, v.Refund.faults(fmt.Sprintf("vendors[%d].refund", i))...)
		}
		for _, text := range append([]string{"id " + v.ID}, v.Issuers...) {
			if other, twice := seen[text]; twice {
				faults = append(faults, fmt.Sprintf("vendors[%d]: %q is that of %s too", i, text, other))
			}
			seen[text] = v.ID
		}
	}
	faults = append(faults, r.Bill.faults("bill")...)
	faults = append(faults, r.Care.faults("care")...)
	faults = append(faults, r.Refund.faults("refund")...)
	return faults
}

func (w Window) faults(name string) []string {
	if w.After == 0 || w.Usual > w.After {
		return []string{fmt.Sprintf("%s: after is %d and usual %d; after is above zero, and usual not behind it", name, w.After, w.Usual)}
	}
	return nil
}

func (r *Rules) prepare() {
	r.noise = map[string]bool{}
	for _, w := range r.Noise {
		r.noise[w] = true
	}
	r.Health.providers = phrases(r.Health.Providers)
	r.Health.least, _ = parseMoney(formats.Decimal(r.Health.Least))
	for i := range r.Vendors {
		v := &r.Vendors[i]
		v.issuers, v.labels = phrases(v.Issuers), phrases(v.Labels)
		v.withheld, _ = parseMoney(formats.Decimal("0" + v.Withheld)) // "" is nothing
	}
}

func phrases(texts []string) []phrase {
	list := make([]phrase, len(texts))
	for i, text := range texts {
		list[i] = parsePhrase(text)
	}
	return list
}

// vendor finds the vendor of an issuer; nil if the rules know none.
func (r *Rules) vendor(issuer string) *Vendor {
	text := padded(clip(issuer))
	for i := range r.Vendors {
		if matches(r.Vendors[i].issuers, text) != "" {
			return &r.Vendors[i]
		}
	}
	return nil
}

// matches returns the pattern that a padded text has; "" if none.
func matches(list []phrase, text string) string {
	for _, p := range list {
		if p.in(text) {
			return p.String()
		}
	}
	return ""
}

// RulesFor returns the rules of a country (ISO 3166-1 alpha-2), or those for any.
func RulesFor(country string) (*Rules, error) {
	text, err := ruleFiles.ReadFile(path.Join("rules", strings.ToLower(country)+".json"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		text, err = ruleFiles.ReadFile("rules/zz.json")
	}
	if err != nil {
		return nil, fmt.Errorf("read the rules of reconciliation: %w", err)
	}
	return ParseRules(text)
}
