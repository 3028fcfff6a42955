package bankcsv

import (
	"cmp"
	"encoding/json"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// accountRow is a row of accounts.csv.
type accountRow struct {
	envelope
	account  formats.BankAccount
	balances string // JSON
}

func (w *accountRow) cells() []cell {
	a := &w.account
	return append([]cell{
		{"recordId", &w.recordID, isText},
		{"name", &a.Name, isText},
		{"iban", &a.IBAN, isText},
		{"bban", &a.BBAN, isText},
		{"currency", &a.Currency, isText},
		{"product", &a.Product, isText},
		{"cashAccountType", &a.CashAccountType, isText},
		{"ownerName", &a.OwnerName, isText},
		{"institution", &a.Institution, isText},
		{"bic", &a.BIC, isText},
		{"resourceId", &a.ResourceID, isText},
		{"balances", &w.balances, isText},
	}, w.last()...)
}

func (w *accountRow) take(r *formats.Record) (bool, error) {
	var err error
	if w.account, err = formats.BodyAs[formats.BankAccount](*r); err != nil {
		return false, err
	}
	if len(w.account.Balances) > 0 {
		balances, err := formats.MarshalBody(w.account.Balances)
		if err != nil {
			return false, err
		}
		w.balances = string(balances)
	}
	return true, w.takeEnvelope(r, nil)
}

func (w *accountRow) links() []formats.Link { return nil }

func (w *accountRow) body() (any, error) {
	a := w.account
	a.Balances = nil
	if w.balances == "" {
		return a, nil
	}
	if err := json.Unmarshal([]byte(w.balances), &a.Balances); err != nil {
		return nil, fault("column balances: %v", err)
	}
	return a, nil
}

func (w *accountRow) complete(f *foreign) error {
	a := &w.account
	a.IBAN = strings.Join(strings.Fields(a.IBAN), "")
	if a.IBAN == "" && a.BBAN == "" {
		return fault("there is no number of an account")
	}
	var err error
	a.Currency, err = readCurrency(cmp.Or(a.Currency, f.currency))
	return err
}

func (w *accountRow) id() string {
	return cmp.Or(w.account.IBAN, w.account.BBAN) + "-" + w.account.Currency
}
