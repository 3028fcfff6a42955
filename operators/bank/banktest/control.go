package banktest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// errNothing is what the control surface says where it does not find something.
var errNothing = errors.New("the bank has no such thing")

// Advance turns the sandbox's clock on.
func (b *Bank) Advance(d time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ahead += d
	b.unsaved = true
	return b.save()
}

// Authorise lets a person agree to a consent, as on the bank's page or on their device. ibans are the accounts that they
// choose, if the consent lets them; none: all of theirs.
func (b *Bank) Authorise(consent, person string, ibans ...string) error {
	return b.changeConsent(consent, func(c *Consent) error {
		if b.people[person] == nil {
			return fmt.Errorf("%w: person %q", errNothing, person)
		}
		if c.Status != Received && c.Status != Partially {
			return fmt.Errorf("the consent is %s", c.Status)
		}
		if c.Status == Received && c.Person != "" && c.Person != person {
			return fmt.Errorf("the consent is for %s to decide about", c.Person)
		}
		a := b.waiting(c, person)
		a.Person = person
		return b.agree(c, a, slices.Clone(ibans))
	})
}

// waiting is an authorisation that the person can finalise, or with "" anybody: one that waits, or a new one.
func (b *Bank) waiting(c *Consent, person string) *Authorisation {
	for _, a := range c.Authorisations {
		if !a.over() && (a.Person == person || a.Person == "" || person == "") {
			return a
		}
	}
	return b.authorise(c, person)
}

// Refuse lets a person refuse a consent that waits for them.
func (b *Bank) Refuse(consent string) error {
	return b.changeConsent(consent, func(c *Consent) error {
		if c.Status != Received && c.Status != Partially {
			return fmt.Errorf("the consent is %s", c.Status)
		}
		b.refuse(c, b.waiting(c, c.Person))
		return nil
	})
}

// Revoke lets a person take a consent back at the bank.
func (b *Bank) Revoke(consent string) error {
	return b.changeConsent(consent, func(c *Consent) error { b.become(c, Revoked); return nil })
}

// Expire lets a consent end now, as if its time were over.
func (b *Bank) Expire(consent string) error {
	return b.changeConsent(consent, func(c *Consent) error { b.become(c, Expired); return nil })
}

func (b *Bank) changeConsent(id string, change func(*Consent) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.consents[id]
	if c == nil {
		return fmt.Errorf("%w: consent %q", errNothing, id)
	}
	b.settle(c)
	if err := change(c); err != nil {
		return err
	}
	b.unsaved = true
	return b.save()
}

// ConsentStatus is a consent's status, "" if there is none.
func (b *Bank) ConsentStatus(id string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.consents[id]
	if c == nil {
		return ""
	}
	b.settle(c)
	return c.Status
}

// IBANs are the accounts of a person.
func (b *Bank) IBANs(person string) (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.accountsOf(person) {
		list = append(list, a.IBAN)
	}
	return list
}

// Operations are copies of an account's operations, the oldest first.
func (b *Bank) Operations(iban string) (list []Operation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.byIBAN(iban); a != nil {
		for _, o := range a.operations {
			list = append(list, *o)
		}
	}
	return list
}

// Add adds an operation to an account: its Number and ids are the bank's to give, and what is left out is filled in. It returns
// what was added.
func (b *Bank) Add(iban string, o Operation) (Operation, error) {
	err := b.changeAccount(iban, func(a *Account) error {
		o.Status, o.Code = cmp.Or(o.Status, "booked"), cmp.Or(o.Code, "PMNT-CCRD-POSD")
		o.Booked = cmp.Or(o.Booked, b.today())
		o.Value = cmp.Or(o.Value, o.Booked)
		for _, day := range []Date{o.Booked, o.Value} {
			if _, isDate := parseDate(string(day)); !isDate {
				return fmt.Errorf("%q is no date", day)
			}
		}
		if o.Status != "booked" && o.Status != "pending" && o.Status != "information" {
			return fmt.Errorf("%q is neither booked, pending nor information", o.Status)
		}
		one := o
		a.add(&one)
		a.name(&one)
		o = one
		return nil
	})
	return o, err
}

// Book books a pending operation: it gets another number and other ids. It returns what was booked.
func (b *Bank) Book(iban string, number int) (Operation, error) {
	var was Operation
	err := b.changeAccount(iban, func(a *Account) error {
		at := slices.IndexFunc(a.operations, func(o *Operation) bool { return o.Number == number && o.Status == "pending" })
		if at < 0 {
			return fmt.Errorf("%w: pending operation %d", errNothing, number)
		}
		one := *a.operations[at]
		a.operations = slices.Delete(a.operations, at, at+1)
		one.Status, one.Booked, one.Value = "booked", b.today(), b.today()
		a.add(&one)
		a.name(&one)
		was = one
		return nil
	})
	return was, err
}

// Correct changes an operation that was booked, as banks do: its ids remain.
func (b *Bank) Correct(iban string, number int, sum Cents, text string) (Operation, error) {
	var now Operation
	err := b.changeAccount(iban, func(a *Account) error {
		for n, o := range a.operations {
			if o.Number == number {
				one := *o
				one.Amount, one.Text = sum, text
				a.operations[n], now = &one, one
				return nil
			}
		}
		return fmt.Errorf("%w: operation %d", errNothing, number)
	})
	return now, err
}

// Close closes an account.
func (b *Bank) Close(iban string) error {
	return b.changeAccount(iban, func(a *Account) error { a.Closed = true; return nil })
}

func (b *Bank) changeAccount(iban string, change func(*Account) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.byIBAN(iban)
	if a == nil {
		return fmt.Errorf("%w: account %q", errNothing, iban)
	}
	return change(a)
}

// Block blocks the service for a person, or a certificate by its number (hexadecimal), or ends that.
func (b *Bank) Block(what string, yes bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if yes {
		b.blocked[strings.ToUpper(what)], b.blocked[what] = true, true
	} else {
		delete(b.blocked, what)
		delete(b.blocked, strings.ToUpper(what))
	}
	b.unsaved = true
	return b.save()
}
