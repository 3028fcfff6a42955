package web

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

// choosable are the fields of a dataset that a person may leave out of what a service asks for whole: those that have a
// name that people understand. Each has a text "field.NAME".
var choosable = map[formats.Dataset][]string{
	formats.Contacts: {"name", "nicknames", "organizations", "titles", "emails", "phones", "addresses", "anniversaries", "onlineServices", "links", "notes", "media"},
	formats.Calendar: {"title", "start", "duration", "locations", "participants", "description", "status", "recurrenceRules", "categories"},
	formats.Notes:    {"title", "markdown", "tags", "path"},
	formats.Files:    {"path", "mediaType", "tags", "content"},
	formats.Photos:   {"path", "mediaType", "metadata", "content"},
	formats.Bank: {"name", "iban", "institution", "ownerName", "currency", "balances", "bookingDate", "valueDate", "transactionAmount", "creditorName", "debtorName",
		"remittanceInformationUnstructured", "category", "links"},
	formats.Bills:  {"issuer", "number", "date", "amount", "refund", "category", "beneficiary", "title", "originalAmount", "originalDate"},
	formats.Health: {"issuer", "number", "date", "amount", "refund", "category", "beneficiary", "title", "originalAmount", "originalDate"},
}

// choice is a dataset that can be ticked, with an example of what the service would see.
type choice struct {
	set
	Ticked   bool
	Choose   []field // the fields that can be ticked; none if there is nothing to choose
	Limited  bool    // the service asks for these fields only
	Accounts []account
	Example  []line
	More     int // records that there are besides; -1: at least that many
	Empty    bool
}

// field is a field that can be ticked.
type field struct {
	Name   string
	Ticked bool
}

// account is a bank account that can be ticked.
type account struct {
	ID, Name string
	Ticked   bool
}

// choosing is one detail with all that can be chosen.
type choosing struct {
	asked
	Choices []choice
	Period  bool // whether days can be chosen
}

// fieldsOf returns the fields of a dataset that can be ticked.
func fieldsOf(d *consent.Detail, name formats.Dataset) (list []field, limited bool) {
	names, limited := d.Fields[name]
	if !limited {
		names = choosable[name]
	}
	for _, n := range names {
		list = append(list, field{n, true})
	}
	return list, limited
}

// chosen is what of a request a person ticked: less of each detail, or the same.
func chosen(details []consent.Detail, form url.Values, now time.Time) []consent.Detail {
	list := make([]consent.Detail, len(details))
	for i, d := range details {
		list[i] = one(d, "-"+strconv.Itoa(i), form, now)
	}
	return list
}

func one(d consent.Detail, suffix string, form url.Values, now time.Time) consent.Detail {
	granted := d
	if d.Type == consent.Answer {
		return oneAnswer(d, suffix, form, now)
	}
	granted.Datasets, granted.Fields = nil, nil
	for _, name := range d.Datasets {
		if !slices.Contains(form["sets"+suffix], string(name)) {
			continue
		}
		fields, limited := d.Fields[name]
		if form.Has("fields-shown" + suffix + "-" + string(name)) {
			fields, limited = tickedFields(&d, name, form["fields"+suffix+"-"+string(name)])
			if limited && len(fields) == 0 {
				continue // nothing of it
			}
		}
		granted.Datasets = append(granted.Datasets, name)
		if limited {
			if granted.Fields == nil {
				granted.Fields = map[formats.Dataset][]string{}
			}
			granted.Fields[name] = fields
		}
	}
	if form.Has("accounts-shown" + suffix) {
		granted.Accounts = form["accounts"+suffix]
		if len(granted.Accounts) == 0 { // no account is no bank
			granted.Datasets = slices.DeleteFunc(granted.Datasets, func(s formats.Dataset) bool { return s == formats.Bank })
		}
	}
	if !slices.Contains(granted.Datasets, formats.Bank) {
		granted.Accounts = nil
	}
	granted.From, granted.To = later(d.From, form.Get("from"+suffix)), sooner(d.To, form.Get("to"+suffix))
	granted.Expires = until(form.Get("until"), d.Expires, now)
	return granted
}

// oneAnswer is what of an answer a person ticked.
func oneAnswer(d consent.Detail, suffix string, form url.Values, now time.Time) consent.Detail {
	granted := d
	granted.Questions, granted.Datasets = nil, nil
	for _, q := range d.Questions {
		if !slices.Contains(form["questions"+suffix], string(q)) {
			continue
		}
		granted.Questions = append(granted.Questions, q)
		for _, set := range q.Sources() {
			if !slices.Contains(granted.Datasets, set) {
				granted.Datasets = append(granted.Datasets, set)
			}
		}
	}
	granted.Expires = until(form.Get("until"), d.Expires, now)
	return granted
}

// tickedFields are the fields of a dataset that a person ticked; all of them is what was asked.
func tickedFields(d *consent.Detail, name formats.Dataset, ticked []string) (fields []string, limited bool) {
	all, asked := fieldsOf(d, name)
	for _, f := range all {
		if slices.Contains(ticked, f.Name) {
			fields = append(fields, f.Name)
		}
	}
	if len(fields) == len(all) && !asked {
		return nil, false // the whole dataset, with what has no name for people
	}
	return fields, true
}

// later and sooner narrow a period: days that are no days narrow nothing.
func later(asked, chosen string) string {
	if _, err := time.Parse(time.DateOnly, chosen); err != nil || chosen < asked {
		return asked
	}
	return chosen
}

func sooner(asked, chosen string) string {
	if _, err := time.Parse(time.DateOnly, chosen); err != nil || asked != "" && chosen > asked {
		return asked
	}
	return chosen
}

// until is when a consent is to end that a person gives for some days; "" is as long as asked.
func until(days string, asked, now time.Time) time.Time {
	n, err := strconv.Atoi(days)
	if err != nil || n <= 0 || n > 3660 {
		return asked
	}
	if at := now.AddDate(0, 0, n).UTC().Truncate(time.Second); at.Before(asked) {
		return at
	}
	return asked
}

// span is for how long a person may allow something.
type span struct {
	Value string // days, or "" for as long as asked
	Days  int
	At    time.Time
}

// spans are the choices of how long: as long as possible, or shorter.
func spans(last, now time.Time) []span {
	list := []span{{At: last}}
	for _, days := range []int{1, 7, 30, 90, 180, 365} {
		if at := now.AddDate(0, 0, days); at.Before(last) {
			list = append(list, span{Value: strconv.Itoa(days), Days: days, At: at})
		}
	}
	return list
}

// lastOf is when the last of the details expires.
func lastOf(details []consent.Detail) (at time.Time) {
	for _, d := range details {
		if d.Expires.After(at) {
			at = d.Expires
		}
	}
	return at
}
