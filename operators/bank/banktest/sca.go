package banktest

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"slices"
)

// scaView is what the pages of an authorisation show.
type scaView struct {
	Action            string // where the forms go
	Key, Code         string
	Person            string
	Party             string
	Until             string
	PerDay            int
	Recurring         bool
	Offered           bool // the person chooses accounts
	Second            bool // another person has agreed already
	Balances, History bool
	Accounts          []accountView
	People            []string
	Fault             string // key of a text
	Back              string
}

type accountView struct {
	IBAN, Shown, Name, Balance string
	Asked                      bool
}

// scaPage is the first page: who are you?
func (b *Bank) scaPage(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	c, a := b.find(r.PathValue("id"))
	v, open := b.view(c, a, r)
	b.mu.Unlock()
	b.showSCA(w, r, http.StatusOK, open, "login", v)
}

// find finds an authorisation, however old it is.
func (b *Bank) find(id string) (*Consent, *Authorisation) {
	for _, c := range b.consents {
		for _, a := range c.Authorisations {
			if a.ID == id {
				b.settle(c)
				return c, a
			}
		}
	}
	return nil, nil
}

// view is what is shown. open is false where there is nothing to decide any more.
func (b *Bank) view(c *Consent, a *Authorisation, r *http.Request) (v *scaView, open bool) {
	if c == nil {
		return nil, false
	}
	lang := b.set.language(r)
	v = &scaView{Action: r.URL.Path, Key: a.Key, Code: a.Code, Party: cmp.Or(c.Brand, c.Party), Until: Date(c.ValidUntil).local(lang), PerDay: c.PerDay, Recurring: c.Recurring, Offered: c.Access.offered(),
		Second: c.Status == Partially, People: b.peopleIDs(), Person: a.Person}
	if c.Brand == "" && c.Party == anonymous {
		v.Party = b.set.words[lang]["somebody"]
	}
	v.Balances = c.Access.Balances != nil || c.Access.AllPSD2+c.Access.AvailableWithBalance != ""
	v.History = c.Access.Transactions != nil || c.Access.AllPSD2 != ""
	if b.config.Approach == Redirect {
		v.Back = c.Redirect
	}
	if person := b.people[a.Person]; person != nil {
		v.Accounts = b.choices(c, a, lang)
	}
	return v, !a.over() && (c.Status == Received || c.Status == Partially)
}

// choices are the accounts that the consent is about, or could be.
func (b *Bank) choices(c *Consent, a *Authorisation, lang string) (list []accountView) {
	for _, account := range b.accountsOf(a.Person) {
		if c.Access.offered() || c.Access.rights(account).list {
			list = append(list, accountView{IBAN: account.IBAN, Shown: grouped(account.IBAN), Name: account.Name, Balance: account.balance(false).local(lang), Asked: true})
		}
	}
	return list
}

// peopleIDs are the persons whom the pages name.
func (b *Bank) peopleIDs() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(b.people)), func(id string) bool { return b.people[id].crowd })
}

// scaForm takes what the person says on either page.
func (b *Bank) scaForm(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		http.Error(w, errNoForm.Error(), http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	c, a := b.find(r.PathValue("id"))
	v, open := b.view(c, a, r)
	if !open {
		b.mu.Unlock()
		b.showSCA(w, r, http.StatusOK, open, "", v)
		return
	}
	next, fault := b.decide(c, a, r)
	v, open = b.view(c, a, r)
	v.Fault = fault
	to := b.leave(c, a, b.origin(r))
	saved := b.save()
	b.mu.Unlock()
	switch {
	case saved != nil:
		http.Error(w, saved.Error(), http.StatusInternalServerError)
	case to != "":
		http.Redirect(w, r, to, http.StatusSeeOther)
	default:
		status := http.StatusOK
		if fault != "" {
			status = http.StatusUnprocessableEntity
		}
		b.showSCA(w, r, status, open, next, v)
	}
}

// decide does what the form says. It returns the page that follows, and what is wrong as the key of a text.
func (b *Bank) decide(c *Consent, a *Authorisation, r *http.Request) (next, fault string) {
	b.unsaved = true
	if r.PostForm.Get("do") == "refuse" {
		b.refuse(c, a)
		return "", ""
	}
	if r.PostForm.Get("do") == "login" {
		return b.login(c, a, r.PostForm.Get("person"), r.PostForm.Get("password"))
	}
	if a.Key == "" || r.PostForm.Get("key") != a.Key {
		return "login", "sca.again"
	}
	if r.PostForm.Get("code") != a.Code {
		b.miss(c, a)
		return "decide", "sca.wrong-code"
	}
	chosen := r.PostForm["account"]
	if c.Access.offered() && len(chosen) == 0 {
		return "decide", "sca.none"
	}
	var wrong *Error
	if err := b.agree(c, a, append([]string{}, chosen...)); errors.As(err, &wrong) {
		return "decide", "sca.not-yours"
	}
	return "", ""
}

func (b *Bank) login(c *Consent, a *Authorisation, id, password string) (next, fault string) {
	switch {
	case b.people[id] == nil || password != Password:
		b.miss(c, a)
		return "login", "sca.wrong-login"
	case c.Person != "" && c.Status == Received && id != c.Person, slices.Contains(c.Agreed, id):
		return "login", "sca.other-person"
	case b.blocked[id]:
		return "login", "sca.blocked"
	}
	a.Person, a.Status, a.Key = id, scaAuthenticated, newID()
	return "decide", ""
}

// leave is where the browser goes once the person has decided: "" if it stays.
func (b *Bank) leave(c *Consent, a *Authorisation, issuer string) string {
	if !a.over() {
		return ""
	}
	if b.config.Approach == OAuth2 {
		return b.oauthBack(c, a, issuer)
	}
	if a.Status == scaFailed {
		return c.Refused
	}
	return c.Redirect
}

// showSCA shows the page that follows, or that there is nothing to decide.
func (b *Bank) showSCA(w http.ResponseWriter, r *http.Request, status int, open bool, next string, v *scaView) {
	switch {
	case v == nil:
		b.set.show(w, r, http.StatusNotFound, "gone", "gone.title", v)
	case !open:
		b.set.show(w, r, http.StatusOK, "gone", "gone.title", v)
	case next == "decide":
		b.set.show(w, r, status, "decide", "decide.title", v)
	default:
		b.set.show(w, r, status, "login", "login.title", v)
	}
}
