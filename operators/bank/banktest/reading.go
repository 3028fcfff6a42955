package banktest

import (
	"net/http"
	"slices"
	"time"
)

// reading is a read under a consent.
type reading struct {
	*request
	consent *Consent
}

// allow finds the consent under which a request reads, and says why it may not.
func (b *Bank) allow(q *request) (*reading, error) {
	id := q.Header.Get("Consent-ID")
	if id == "" {
		return nil, wrongForm("Consent-ID", "the header is missing")
	}
	c := b.consents[id]
	if c == nil || c.Party != q.party {
		return nil, fail(http.StatusBadRequest, "CONSENT_UNKNOWN", "you have no such consent")
	}
	b.settle(c)
	switch {
	case c.Status == Expired:
		return nil, fail(http.StatusUnauthorized, "CONSENT_EXPIRED", "the consent has expired: ask for a new one")
	case c.Status != Valid:
		return nil, fail(http.StatusUnauthorized, "CONSENT_INVALID", "the consent is %s", c.Status)
	case b.blocked[c.Person]:
		return nil, fail(http.StatusForbidden, "SERVICE_BLOCKED", "the bank has blocked this service for the person")
	}
	if b.config.Approach == OAuth2 || b.config.PreStep {
		if _, err := b.bearer(q, c); err != nil {
			return nil, err
		}
	}
	return &reading{q, c}, nil
}

// owned are the accounts that a consent could be about.
func (b *Bank) owned(c *Consent) (list []*Account) {
	for _, a := range b.accounts {
		if slices.Contains(a.Owners, c.Person) {
			list = append(list, a)
		}
	}
	return list
}

// accountOf finds the account that a path names, if the consent is about it in the way that is needed.
func (b *Bank) accountOf(r *reading, needs func(rights) bool) (*Account, error) {
	for _, a := range b.owned(r.consent) {
		rights := r.consent.Access.rights(a)
		if a.ID != r.PathValue("account") || !rights.list {
			continue
		}
		if !needs(rights) {
			return nil, fail(http.StatusUnauthorized, "CONSENT_INVALID", "the consent does not allow this")
		}
		if a.Closed {
			return nil, fail(http.StatusNotFound, "RESOURCE_UNKNOWN", "the account was closed")
		}
		return a, nil
	}
	return nil, fail(http.StatusNotFound, "RESOURCE_UNKNOWN", "there is no such account under this consent")
}

// count counts a read without the person: so many in 24 hours, for each kind of thing that is read of an account
// (Regulation (EU) 2018/389, article 36(5)(b)).
func (b *Bank) count(r *reading, what string) error {
	if r.present() {
		return nil
	}
	now := b.now()
	c := r.consent
	recent := slices.DeleteFunc(c.Reads[what], func(t time.Time) bool { return now.Sub(t) >= 24*time.Hour })
	if len(recent) >= c.PerDay {
		c.Reads[what] = recent
		return fail(http.StatusTooManyRequests, "ACCESS_EXCEEDED", "it was read %d times in 24 hours without the person", len(recent))
	}
	c.Reads[what] = append(recent, now)
	b.unsaved = true
	return nil
}

// accountDetails is NextGenPSD2's.
type accountDetails struct {
	ID       string        `json:"resourceId"`
	IBAN     string        `json:"iban"`
	Currency string        `json:"currency"`
	Name     string        `json:"name"`
	Product  string        `json:"product"`
	Kind     string        `json:"cashAccountType"`
	Status   string        `json:"status"`
	BIC      string        `json:"bic"`
	Usage    string        `json:"usage"`
	Owner    string        `json:"ownerName,omitempty"`
	Balances []balanceBody `json:"balances,omitempty"`
	Links    links         `json:"_links,omitempty"`
}

type balanceBody struct {
	Amount    amount `json:"balanceAmount"`
	Kind      string `json:"balanceType"`
	Changed   string `json:"lastChangeDateTime,omitempty"`
	Date      string `json:"referenceDate"`
	LastEntry string `json:"lastCommittedTransaction,omitempty"`
}

// details tells what an account is.
func (b *Bank) details(r *reading, a *Account, balances bool) accountDetails {
	rights := r.consent.Access.rights(a)
	d := accountDetails{ID: a.ID, IBAN: a.IBAN, Currency: a.Currency, Name: a.Name, Product: a.Product, Kind: a.Kind, Status: "enabled", BIC: bic, Usage: "PRIV"}
	if a.Closed {
		d.Status = "deleted"
	}
	if rights.owner {
		for n, id := range a.Owners {
			if n > 0 {
				d.Owner += ", "
			}
			d.Owner += b.people[id].Name
		}
	}
	if rights.balances && balances && !a.Closed {
		d.Balances = b.balances(r, a)
	}
	if !rights.details || a.Closed {
		return d
	}
	d.Links = links{}
	if rights.balances {
		d.Links["balances"] = r.link("/v1/accounts/" + a.ID + "/balances")
	}
	if rights.transactions {
		d.Links["transactions"] = r.link("/v1/accounts/" + a.ID + "/transactions")
	}
	return d
}

// balances are what is on an account.
func (b *Bank) balances(r *reading, a *Account) []balanceBody {
	last, changed := "", b.now()
	for _, o := range slices.Backward(a.operations) {
		if o.Status == "booked" {
			last = o.Reference
			break
		}
	}
	all := []balanceBody{
		{amount{a.Currency, a.balance(false).String()}, "closingBooked", changed.Format(time.RFC3339), string(b.today()), last},
		{amount{a.Currency, a.balance(true).String()}, "expected", changed.Format(time.RFC3339), string(b.today()), ""},
	}
	r.spoilBalances(all)
	return all
}

type accountList struct {
	Accounts []accountDetails `json:"accounts"`
}

func (b *Bank) listAccounts(q *request) (*reply, error) {
	r, err := b.allow(q)
	if err != nil {
		return nil, err
	}
	with, err := q.flag("withBalance")
	if err != nil {
		return nil, err
	}
	if err := b.count(r, "accounts"); err != nil {
		return nil, err
	}
	with = with || r.consent.Access.AvailableWithBalance != ""
	list := accountList{[]accountDetails{}}
	for _, a := range b.owned(r.consent) {
		if r.consent.Access.rights(a).list {
			list.Accounts = append(list.Accounts, b.details(r, a, with))
		}
	}
	return ok(list), nil
}

type accountBody struct {
	Account accountDetails `json:"account"`
}

func (b *Bank) getAccount(q *request) (*reply, error) {
	r, err := b.allow(q)
	if err != nil {
		return nil, err
	}
	with, err := q.flag("withBalance")
	if err != nil {
		return nil, err
	}
	a, err := b.accountOf(r, func(x rights) bool { return x.details })
	if err != nil {
		return nil, err
	}
	if err := b.count(r, a.ID+" details"); err != nil {
		return nil, err
	}
	return ok(accountBody{b.details(r, a, with)}), nil
}

type balancesBody struct {
	Account  Reference     `json:"account"`
	Balances []balanceBody `json:"balances"`
}

func (b *Bank) getBalances(q *request) (*reply, error) {
	r, err := b.allow(q)
	if err != nil {
		return nil, err
	}
	a, err := b.accountOf(r, func(x rights) bool { return x.details && x.balances })
	if err != nil {
		return nil, err
	}
	if err := b.count(r, a.ID+" balances"); err != nil {
		return nil, err
	}
	return ok(balancesBody{Reference{IBAN: a.IBAN}, b.balances(r, a)}), nil
}

// flag reads a query's parameter that is true or false.
func (q *request) flag(name string) (bool, error) {
	switch value := q.URL.Query().Get(name); value {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, wrongForm(name, "%q is neither true nor false", value)
	}
}
