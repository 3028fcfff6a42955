package consent

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/strict"
)

// Kind is the type of an authorization detail (RFC 9396 section 2).
type Kind string

// The kinds of details.
const (
	PersonalData       Kind = "personal_data"
	AccountInformation Kind = "account_information" // bank accounts, PSD2 article 67
	InstanceMove       Kind = "instance_move"       // everything, to another operator
	Answer             Kind = "answer"              // what is computed here from data, and not the data
)

// Kinds returns the types that authorization_details may have.
func Kinds() []Kind { return []Kind{PersonalData, AccountInformation, InstanceMove, Answer} }

// Question is something that a service can have answered without seeing what the answer is made of.
type Question string

// ReimbursementsOverdue asks for how many reimbursements of health expenses a person waits too long, and how much they are.
const ReimbursementsOverdue Question = "reimbursements_overdue"

// Sources are the datasets that an answer says something of.
func (q Question) Sources() []formats.Dataset {
	if q == ReimbursementsOverdue {
		return []formats.Dataset{formats.Health}
	}
	return nil
}

// Action is what a service wants to do.
type Action string

// The actions.
const (
	Read      Action = "read"
	Subscribe Action = "subscribe" // be told of changes
	Compute   Action = "compute"   // have an answer computed here, and see only that
	// Carry is what an operator does to whom a person moves: no detail names it, since [InstanceMove] is nothing else.
	Carry Action = "carry"
)

// Detail is one thing that a service asks for, or got: an element of authorization_details (RFC 9396). What a person
// granted has the same form as what was asked, and holds no more.
type Detail struct {
	Type Kind `json:"type" validate:"required,oneof=personal_data account_information instance_move answer"`
	// Questions that are to be answered: of an answer, and of nothing else.
	Questions []Question `json:"questions,omitempty" validate:"required_if=Type answer,excluded_unless=Type answer,max=10,unique,dive,oneof=reimbursements_overdue"`
	// Datasets that are asked for; of account_information it is "bank", and may be left out. Of an answer they follow from the
	// questions: the service sees nothing of them.
	Datasets []formats.Dataset `json:"datasets,omitempty" validate:"required_if=Type personal_data,max=15,unique,dive,dataset"`
	// Optional are those of the datasets without which the service works as well.
	Optional []formats.Dataset `json:"optional,omitempty" validate:"max=15,unique,dive,dataset"`
	// Fields limits a dataset to some members of its records' bodies, and of their envelope: "path", "links",
	// "content", "native". A dataset that is not mentioned is asked for whole.
	Fields map[formats.Dataset][]string `json:"fields,omitempty" validate:"max=15,dive,keys,dataset,endkeys,min=1,max=100,unique,dive,field"`
	// Accounts limits bank to accounts, by the ids of their records.
	Accounts []string `json:"accounts,omitempty" validate:"max=100,unique,dive,required,max=512,line"`
	// From and To limit what is read to records of these days, both included, YYYY-MM-DD.
	From    string   `json:"from,omitempty" validate:"omitempty,datetime=2006-01-02"`
	To      string   `json:"to,omitempty" validate:"omitempty,datetime=2006-01-02"`
	Actions []Action `json:"actions,omitempty" validate:"max=3,unique,dive,oneof=read subscribe compute"`
	Purpose Purpose  `json:"purpose"`
	// Retention is how long the service keeps what it read: an ISO 8601 duration such as P30D.
	Retention string `json:"retention,omitempty" validate:"omitempty,duration"`
	// Frequency is how often it reads: "once", "continuous", or an ISO 8601 duration: once in so long.
	Frequency string `json:"frequency,omitempty" validate:"omitempty,frequency"`
	// Expires is when the consent is to end.
	Expires time.Time `json:"expires,omitzero"`
	// Recipients are all who get the data besides the service.
	Recipients []Recipient `json:"recipients,omitempty" validate:"max=50,dive"`
	// NoRecipients says that there are none.
	NoRecipients bool `json:"no_recipients,omitempty"`
	// ThirdCountry names what leaves the European Economic Area; "none" if nothing does.
	ThirdCountry *ThirdCountry `json:"third_country,omitempty"`
	// Regime is a rule pack that the service names; the operator's role decides which ones apply.
	Regime string `json:"regime,omitempty" validate:"max=60,line"`
	// Destination is the operator that an instance moves to.
	Destination string `json:"destination,omitempty" validate:"required_if=Type instance_move,excluded_unless=Type instance_move,max=300,line"`
}

// Purpose is what data are wanted for.
type Purpose struct {
	IRI string `json:"iri,omitempty" validate:"omitempty,max=300,url"` // of a DPV purpose
	// Text says it in words, by language ("en", "fr").
	Text map[string]string `json:"text,omitempty" validate:"max=20,dive,keys,language,endkeys,required,max=500,line"`
}

// Recipient is somebody who gets the data.
type Recipient struct {
	Name    string `json:"name" validate:"required,max=200,line"`
	Country string `json:"country" validate:"required,iso3166_1_alpha2"`
}

// ThirdCountry says where outside the European Economic Area data goes. In JSON it is "none", or
// {"countries": ["US"], "safeguard": "…"}.
type ThirdCountry struct {
	Countries []string `json:"countries" validate:"max=50,unique,dive,iso3166_1_alpha2"`
	Safeguard string   `json:"safeguard,omitempty" validate:"required_with=Countries,max=500,line"`
}

const noCountry = `"none"`

// MarshalJSON implements json.Marshaler.
func (t ThirdCountry) MarshalJSON() ([]byte, error) {
	if len(t.Countries) == 0 {
		return []byte(noCountry), nil
	}
	type plain ThirdCountry
	return json.Marshal(plain(t))
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *ThirdCountry) UnmarshalJSON(data []byte) error {
	*t = ThirdCountry{}
	if string(data) == noCountry {
		return nil
	}
	type plain ThirdCountry
	if err := strict.Decode(data, (*plain)(t)); err != nil {
		return fmt.Errorf(`third_country is "none" or {"countries": […], "safeguard": "…"}: %w`, err)
	}
	if len(t.Countries) == 0 {
		return errors.New(`third_country names no country; say "none" if there is none`)
	}
	return nil
}

// MaxDetails is the greatest size of authorization_details, in bytes, and maxDetails how many they may be.
const (
	MaxDetails = 32 << 10
	maxDetails = 20
)

var (
	durationForm = regexp.MustCompile(`^P(\d{1,4}Y)?(\d{1,4}M)?(\d{1,4}W)?(\d{1,5}D)?(T(\d{1,5}H)?(\d{1,5}M)?(\d{1,5}S)?)?$`)
	languageForm = regexp.MustCompile(`^[a-z]{2,3}$`)
	fieldForm    = regexp.MustCompile(`^[A-Za-z@$_][A-Za-z0-9@$_:.-]{0,99}$`)
)

func isDuration(s string) bool {
	return durationForm.MatchString(s) && s != "P" && !strings.HasSuffix(s, "T")
}

// newValidator knows the tags of details and services.
func newValidator() (*strict.Validator, error) {
	return strict.NewValidator(
		strict.Tag{Name: "dataset", Is: func(s string) bool { _, err := formats.ParseDataset(s); return err == nil }, Not: "a dataset such as contacts"},
		strict.Tag{Name: "field", Is: fieldForm.MatchString, Not: "the name of a member"},
		strict.Tag{Name: "duration", Is: isDuration, Not: "an ISO 8601 duration such as P30D"},
		strict.Tag{Name: "frequency", Is: func(s string) bool { return s == "once" || s == "continuous" || isDuration(s) }, Not: `"once", "continuous", or an ISO 8601 duration such as P1D`},
		strict.Tag{Name: "language", Is: languageForm.MatchString, Not: "a language such as fr"},
		strict.Tag{Name: "service_id", Is: serviceForm.MatchString, Not: "an id of 3 to 100 characters of a-z, 0-9, dot and hyphen"},
		strict.Tag{Name: "redirect", Is: isRedirect, Not: "an https URL (or http on this machine) without a fragment"},
		strict.Tag{Name: "name", Is: isName, Not: "a name in the letters of one script: letters that look like others are not allowed"},
	)
}

// parseDetails reads authorization_details, and names every fault of their form in an error that wraps [ErrRequest].
func parseDetails(data []byte, v *strict.Validator, now time.Time) ([]Detail, error) {
	if len(data) > MaxDetails {
		return nil, fmt.Errorf("%w: authorization_details has %d bytes, more than %d", ErrRequest, len(data), MaxDetails)
	}
	var list []Detail
	if err := strict.Decode(data, &list); err != nil {
		return nil, fmt.Errorf("%w: authorization_details: %w", ErrRequest, err)
	}
	if len(list) == 0 || len(list) > maxDetails {
		return nil, fmt.Errorf("%w: authorization_details has %d elements; it must have 1 to %d", ErrRequest, len(list), maxDetails)
	}
	var faults []string
	for i := range list {
		for _, fault := range append(v.Faults(&list[i]), list[i].complete(now)...) {
			faults = append(faults, fmt.Sprintf("authorization_details[%d].%s", i, fault))
		}
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrRequest, strings.Join(faults, "; "))
	}
	return list, nil
}

// moveTime is how long an authorisation to move lasts where nothing else is said: Regulation (EU) 2023/2854 (the Data Act),
// article 25(2)(a), gives 30 days for a switch.
const moveTime = 30 * 24 * time.Hour

// complete sets what may be left out, and says what does not fit together.
func (d *Detail) complete(now time.Time) (faults []string) {
	if d.Type == AccountInformation && len(d.Datasets) == 0 {
		d.Datasets = []formats.Dataset{formats.Bank}
	}
	if d.Type == InstanceMove {
		d.Datasets = nil
		if d.Expires.IsZero() {
			d.Expires = now.Add(moveTime)
		}
	}
	if d.Type == Answer {
		faults = append(faults, d.completeAnswer()...)
	}
	if len(d.Actions) == 0 {
		d.Actions = []Action{Read}
	}
	d.Expires = d.Expires.UTC().Truncate(time.Second)
	for _, set := range d.Optional {
		if !slices.Contains(d.Datasets, set) {
			faults = append(faults, fmt.Sprintf("optional names %q, which datasets does not", set))
		}
	}
	for _, set := range slices.Sorted(maps.Keys(d.Fields)) {
		if !slices.Contains(d.Datasets, set) {
			faults = append(faults, fmt.Sprintf("fields names %q, which datasets does not", set))
		}
	}
	if d.Type == AccountInformation && !slices.Equal(d.Datasets, []formats.Dataset{formats.Bank}) {
		faults = append(faults, "datasets of account_information is bank alone")
	}
	if len(d.Accounts) > 0 && !slices.Contains(d.Datasets, formats.Bank) {
		faults = append(faults, "accounts limits bank, which datasets does not name")
	}
	if d.From != "" && d.To != "" && d.From > d.To {
		faults = append(faults, "from is after to")
	}
	if !d.Expires.IsZero() && !d.Expires.After(now) {
		faults = append(faults, "expires has passed")
	}
	if d.NoRecipients && len(d.Recipients) > 0 {
		faults = append(faults, "no_recipients contradicts recipients")
	}
	return faults
}

// completeAnswer sets what follows from the questions, and refuses what would be about records.
func (d *Detail) completeAnswer() (faults []string) {
	var sources []formats.Dataset
	for _, q := range d.Questions {
		for _, set := range q.Sources() {
			if !slices.Contains(sources, set) {
				sources = append(sources, set)
			}
		}
	}
	if len(d.Datasets) == 0 {
		d.Datasets = sources
	}
	if len(d.Actions) == 0 {
		d.Actions = []Action{Compute}
	}
	if !slices.Equal(d.Datasets, sources) {
		faults = append(faults, "datasets of an answer follow from its questions; leave them out")
	}
	if !slices.Equal(d.Actions, []Action{Compute}) {
		faults = append(faults, "actions of an answer is compute alone")
	}
	if len(d.Optional) > 0 || len(d.Fields) > 0 || len(d.Accounts) > 0 || d.From != "" || d.To != "" {
		faults = append(faults, "an answer has neither optional, fields, accounts, from nor to: no record leaves")
	}
	return faults
}

// dropped reports whether nothing of a detail was granted.
func (d *Detail) dropped() bool { return d.Type != InstanceMove && len(d.Datasets) == 0 }

// within says what a detail holds that another does not; nil if it is the same, or less.
func (d *Detail) within(asked *Detail) error {
	if d.Type != asked.Type || d.Destination != asked.Destination {
		return errors.New("it is something else than what was asked")
	}
	for _, set := range d.Datasets {
		if !slices.Contains(asked.Datasets, set) {
			return fmt.Errorf("%s was not asked for", set)
		}
		if limit, limited := asked.Fields[set]; limited {
			mine, less := d.Fields[set]
			if !less {
				return fmt.Errorf("not all fields of %s were asked for", set)
			}
			if f := notIn(mine, limit); f != "" {
				return fmt.Errorf("the field %q of %s was not asked for", f, set)
			}
		}
	}
	if len(asked.Accounts) > 0 && slices.Contains(d.Datasets, formats.Bank) {
		if len(d.Accounts) == 0 {
			return errors.New("not all accounts were asked for")
		}
		if a := notIn(d.Accounts, asked.Accounts); a != "" {
			return fmt.Errorf("the account %q was not asked for", a)
		}
	}
	if q := notIn(d.Questions, asked.Questions); q != "" {
		return fmt.Errorf("the question %q was not asked", q)
	}
	if d.From < asked.From || asked.To != "" && (d.To == "" || d.To > asked.To) {
		return errors.New("the period is longer than what was asked")
	}
	if !asked.Expires.IsZero() && (d.Expires.IsZero() || d.Expires.After(asked.Expires)) {
		return errors.New("it would last longer than what was asked")
	}
	if a := notIn(d.Actions, asked.Actions); a != "" {
		return fmt.Errorf("%q was not asked for", a)
	}
	return nil
}

func notIn[T ~string](some, all []T) T {
	for _, s := range some {
		if !slices.Contains(all, s) {
			return s
		}
	}
	return ""
}

// asAsked gives a detail those parts of what was asked that a person cannot change: purpose, recipients, ….
func (d Detail) asAsked(asked *Detail) Detail {
	out := *asked
	out.Datasets, out.Fields, out.Accounts, out.From, out.To, out.Expires = d.Datasets, maps.Clone(d.Fields), d.Accounts, d.From, d.To, d.Expires
	if len(d.Actions) > 0 {
		out.Actions = d.Actions
	}
	if len(d.Questions) > 0 {
		out.Questions = d.Questions
	}
	maps.DeleteFunc(out.Fields, func(s formats.Dataset, _ []string) bool { return !slices.Contains(d.Datasets, s) })
	out.Optional = slices.DeleteFunc(slices.Clone(asked.Optional), func(s formats.Dataset) bool { return !slices.Contains(d.Datasets, s) })
	return out
}
