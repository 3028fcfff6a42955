package banktest

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"
)

// sandbox adds what can be done to the bank over HTTP. It is open to whoever reaches the bank: a sandbox has no secrets.
func (b *Bank) sandbox(mux *http.ServeMux) {
	handle := func(pattern string, do func(*http.Request, *order) (any, error)) {
		mux.Handle(pattern, http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			obey(w, r, do)
		})))
	}
	consent := func(do func(string) error) func(*http.Request, *order) (any, error) {
		return func(r *http.Request, _ *order) (any, error) {
			return b.told(r.PathValue("consent"), do(r.PathValue("consent")))
		}
	}
	handle("GET /sandbox", func(*http.Request, *order) (any, error) { return manual(), nil })
	handle("GET /sandbox/faults", func(*http.Request, *order) (any, error) { return b.Faults(), nil })
	handle("POST /sandbox/faults", func(_ *http.Request, o *order) (any, error) { err := b.Break(o.Fault); return b.Faults(), err })
	handle("DELETE /sandbox/faults", func(*http.Request, *order) (any, error) { b.Mend(); return b.Faults(), nil })
	handle("GET /sandbox/clock", func(*http.Request, *order) (any, error) { return clockBody{b.Now()}, nil })
	handle("POST /sandbox/clock", b.turnClock)
	handle("GET /sandbox/counts", func(*http.Request, *order) (any, error) { return b.Counts(), nil })
	handle("GET /sandbox/people", func(*http.Request, *order) (any, error) { return b.People(), nil })
	for verb, yes := range map[string]bool{"block": true, "unblock": false} {
		handle("POST /sandbox/blocked/{what}/"+verb, func(r *http.Request, _ *order) (any, error) {
			return blockedBody{yes}, b.Block(r.PathValue("what"), yes)
		})
	}
	handle("GET /sandbox/consents", func(*http.Request, *order) (any, error) { return b.Consents(), nil })
	handle("POST /sandbox/consents/{consent}/authorise", func(r *http.Request, o *order) (any, error) {
		return b.told(r.PathValue("consent"), b.Authorise(r.PathValue("consent"), o.Person, o.Accounts...))
	})
	handle("POST /sandbox/consents/{consent}/refuse", consent(b.Refuse))
	handle("POST /sandbox/consents/{consent}/revoke", consent(b.Revoke))
	handle("POST /sandbox/consents/{consent}/expire", consent(b.Expire))
	handle("GET /sandbox/accounts/{iban}/operations", func(r *http.Request, _ *order) (any, error) {
		list := b.Operations(r.PathValue("iban"))
		return list, b.changeAccount(r.PathValue("iban"), func(*Account) error { return nil }) // which must be there
	})
	handle("POST /sandbox/accounts/{iban}/operations", func(r *http.Request, o *order) (any, error) { return b.Add(r.PathValue("iban"), o.Operation) })
	handle("POST /sandbox/accounts/{iban}/book", func(r *http.Request, o *order) (any, error) { return b.Book(r.PathValue("iban"), o.Operation.Number) })
	handle("POST /sandbox/accounts/{iban}/correct", func(r *http.Request, o *order) (any, error) {
		return b.Correct(r.PathValue("iban"), o.Operation.Number, o.Operation.Amount, o.Operation.Text)
	})
	handle("POST /sandbox/accounts/{iban}/close", func(r *http.Request, _ *order) (any, error) { return struct{}{}, b.Close(r.PathValue("iban")) })
}

// manual says what can be done.
func manual() map[string]string {
	return map[string]string{
		"GET, DELETE /sandbox/faults":                          "what goes wrong on purpose; end it",
		"POST /sandbox/faults":                                 `let something go wrong: {"fault":{"kind":"slow","seconds":2,"path":"/transactions","skip":1,"count":3}}; kinds: slow, status (status, retryAfter, asDate), cut, dropped, html, huge (bytes), duplicate-pages, duplicate-operations, disorder, changing-ids, no-ids, flipped-signs, endless, loop, elsewhere (value), amount (value), currency (value), times, shortened (days)`,
		"GET, POST /sandbox/clock":                             `what the bank's clock says; turn it on: {"advance":"2160h"}`,
		"GET /sandbox/counts":                                  "how many requests there were, how many at once, and what was answered",
		"GET /sandbox/people":                                  "customers and their accounts",
		"POST /sandbox/blocked/{what}/block, unblock":          "the bank blocks the service for a customer, or a certificate by its number (hexadecimal)",
		"GET /sandbox/consents":                                "all consents",
		"POST /sandbox/consents/{consent}/authorise":           `a customer agrees: {"person":"anne.martin","accounts":["FR76…"]}`,
		"POST /sandbox/consents/{consent}/refuse":              "the customer refuses",
		"POST /sandbox/consents/{consent}/revoke, expire":      "the customer takes it back; its time is over",
		"GET, POST /sandbox/accounts/{iban}/operations":        `what is on an account; add to it: {"operation":{"amount":-1250,"party":"PHARMACIE","text":"CARTE","status":"pending"}}; amounts are in cents`,
		"POST /sandbox/accounts/{iban}/book, /correct, /close": `book what is pending, or change what was booked: {"operation":{"number":812,"amount":-1300,"text":"…"}}; close the account`,
	}
}

// order is the body of all that can be asked for.
type order struct {
	Fault     Fault     `json:"fault"`
	Advance   string    `json:"advance"`
	Person    string    `json:"person"`
	Accounts  []string  `json:"accounts"`
	Operation Operation `json:"operation"`
}

// obey reads an order, and tells what became of it.
func obey(w http.ResponseWriter, r *http.Request, do func(*http.Request, *order) (any, error)) {
	o := &order{}
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodPost && r.ContentLength != 0 {
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		d.DisallowUnknownFields()
		if err := d.Decode(o); err != nil {
			complain(w, http.StatusBadRequest, err)
			return
		}
	}
	body, err := do(r, o)
	switch {
	case errors.Is(err, errNothing):
		complain(w, http.StatusNotFound, err)
	case err != nil:
		complain(w, http.StatusConflict, err)
	default:
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		_ = e.Encode(body) // who went away need not be told
	}
}

func complain(w http.ResponseWriter, status int, err error) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()}) // who went away need not be told
}

type blockedBody struct {
	Blocked bool `json:"blocked"`
}

type clockBody struct {
	Now time.Time `json:"now"`
}

func (b *Bank) turnClock(_ *http.Request, o *order) (any, error) {
	d, err := time.ParseDuration(o.Advance)
	if err != nil {
		return nil, err
	}
	err = b.Advance(d)
	return clockBody{b.Now()}, err
}

// told is a consent's status, after something was done to it.
func (b *Bank) told(consent string, err error) (any, error) {
	return statusBody{b.ConsentStatus(consent)}, err
}

// PersonView is a customer, as the control surface shows them.
type PersonView struct {
	ID       string        `json:"id"`
	Name     string        `json:"name"`
	Blocked  bool          `json:"blocked"`
	Accounts []AccountView `json:"accounts"`
}

// AccountView is an account, as the control surface shows it.
type AccountView struct {
	ID         string   `json:"resourceId"`
	IBAN       string   `json:"iban"`
	Name       string   `json:"name"`
	Owners     []string `json:"owners"`
	Operations int      `json:"operations"`
	Closed     bool     `json:"closed"`
}

// People are all customers.
func (b *Bank) People() []PersonView {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []PersonView{}
	for _, id := range slices.Sorted(maps.Keys(b.people)) {
		p := PersonView{id, b.people[id].Name, b.blocked[id], []AccountView{}}
		for _, a := range b.owned(&Consent{Person: id}) {
			p.Accounts = append(p.Accounts, AccountView{a.ID, a.IBAN, a.Name, a.Owners, len(a.operations), a.Closed})
		}
		list = append(list, p)
	}
	return list
}

// ConsentView is a consent, as the control surface shows it.
type ConsentView struct {
	ID         string `json:"consentId"`
	Party      string `json:"party"`
	Person     string `json:"person"`
	Status     string `json:"consentStatus"`
	ValidUntil string `json:"validUntil"`
	Access     Access `json:"access"`
}

// Consents are all consents, the oldest first.
func (b *Bank) Consents() []ConsentView {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []ConsentView{}
	for _, id := range b.order {
		c := b.consents[id]
		b.settle(c)
		list = append(list, ConsentView{c.ID, c.Party, c.Person, c.Status, c.ValidUntil, c.Access})
	}
	return list
}
