package banktest

import (
	"net/http"
	"slices"
)

// Access is what a third party may read (NextGenPSD2 "accountAccess"). A list that is there and empty lets the person
// choose at the bank.
type Access struct {
	Accounts             []Reference `json:"accounts,omitzero"`
	Balances             []Reference `json:"balances,omitzero"`
	Transactions         []Reference `json:"transactions,omitzero"`
	Additional           *Additional `json:"additionalInformation,omitempty"`
	Available            string      `json:"availableAccounts,omitempty"`
	AvailableWithBalance string      `json:"availableAccountsWithBalance,omitempty"`
	AllPSD2              string      `json:"allPsd2,omitempty"`
	RestrictedTo         []string    `json:"restrictedTo,omitempty"`
}

// Additional is what else may be read.
type Additional struct {
	OwnerName []Reference `json:"ownerName,omitzero"`
}

// Reference names an account. The bank knows accounts by their IBAN only.
type Reference struct {
	IBAN     string `json:"iban,omitempty"`
	Currency string `json:"currency,omitempty"`
}

// rights is what a consent allows for one account.
type rights struct {
	list, details, balances, transactions, owner bool
}

// lists are all the lists of an access.
func (a *Access) lists() [][]Reference {
	lists := [][]Reference{a.Accounts, a.Balances, a.Transactions}
	if a.Additional != nil {
		lists = append(lists, a.Additional.OwnerName)
	}
	return lists
}

// global reports whether it is about all accounts, whichever they are.
func (a *Access) global() bool { return a.Available+a.AvailableWithBalance+a.AllPSD2 != "" }

// offered reports whether the person chooses accounts at the bank.
func (a *Access) offered() bool { return !a.global() && len(a.named()) == 0 }

// named are the IBANs that are named, each once.
func (a *Access) named() (all []string) {
	for _, list := range a.lists() {
		for _, r := range list {
			if !slices.Contains(all, r.IBAN) {
				all = append(all, r.IBAN)
			}
		}
	}
	return all
}

// check says what is wrong with what was asked.
func (b *Bank) check(a *Access) error {
	invalid := func(format string, args ...any) error {
		return fail(http.StatusBadRequest, "CONSENT_INVALID", format, args...)
	}
	kinds := 0
	for _, value := range []string{a.Available, a.AvailableWithBalance, a.AllPSD2} {
		if value != "" {
			kinds++
		}
		if value != "" && value != "allAccounts" && value != "allAccountsWithOwnerName" {
			return wrongForm("access", "%q is neither allAccounts nor allAccountsWithOwnerName", value)
		}
	}
	given := a.Accounts != nil || a.Balances != nil || a.Transactions != nil
	switch {
	case kinds > 1 || kinds == 1 && given:
		return invalid("availableAccounts, availableAccountsWithBalance, allPsd2 and lists of accounts exclude each other")
	case kinds == 0 && !given:
		return invalid("it does not say what is to be read")
	}
	named := a.named()
	for _, list := range a.lists() {
		if list != nil && len(list) == 0 && len(named) > 0 {
			return invalid("either all lists name accounts, or all of them are empty")
		}
		for _, r := range list {
			if account := b.byIBAN(r.IBAN); account == nil || r.Currency != "" && r.Currency != account.Currency {
				return invalid("this bank has no account %q %s", r.IBAN, r.Currency)
			}
		}
	}
	return nil
}

// grant is what becomes of an access when a person chooses accounts.
func (a *Access) grant(chosen []*Account) Access {
	if !a.offered() {
		return *a
	}
	var all []Reference
	for _, account := range chosen {
		all = append(all, Reference{account.IBAN, account.Currency})
	}
	given := Access{RestrictedTo: a.RestrictedTo}
	for _, list := range []struct{ asked, to *[]Reference }{{&a.Accounts, &given.Accounts}, {&a.Balances, &given.Balances}, {&a.Transactions, &given.Transactions}} {
		if *list.asked != nil {
			*list.to = all
		}
	}
	if a.Additional != nil && a.Additional.OwnerName != nil {
		given.Additional = &Additional{OwnerName: all}
	}
	return given
}

// rights is what is allowed for an account of the person.
func (a *Access) rights(account *Account) rights {
	if len(a.RestrictedTo) > 0 && !slices.Contains(a.RestrictedTo, account.Kind) {
		return rights{}
	}
	if a.global() {
		all := a.AllPSD2 != ""
		owner := slices.Contains([]string{a.Available, a.AvailableWithBalance, a.AllPSD2}, "allAccountsWithOwnerName")
		return rights{list: true, details: all, balances: all || a.AvailableWithBalance != "", transactions: all, owner: owner}
	}
	in := func(list []Reference) bool {
		return slices.ContainsFunc(list, func(r Reference) bool { return r.IBAN == account.IBAN })
	}
	r := rights{details: in(a.Accounts), balances: in(a.Balances), transactions: in(a.Transactions)}
	r.details = r.details || r.balances || r.transactions // whoever may read more may read what the account is
	r.list, r.owner = r.details, a.Additional != nil && in(a.Additional.OwnerName)
	return r
}
