package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
	"github.com/passerelle-cloud/passerelle/operators/example"
)

// patient is who is invented for the demo: their health bills, and what a bank knows of them.
type patient struct {
	owner      string
	bills      []formats.Record
	operations []banktest.Operation
}

const (
	sickMonths  = 4
	lastBill    = 4  // days ago: all that was announced has had the time to come, but for what is late
	overdueDays = 40 // complementary insurers usually pay within 35 days
)

// inventPatient takes the health costs of somebody whom nobody has ever met, as if they had happened until a few days ago, whatever
// day it is. The complementary insurer has forgotten the last visit to a doctor that it has had the time for.
func inventPatient(ctx context.Context, seed uint64, now time.Time) (*patient, error) {
	source := example.Person(seed, example.Scale{Files: 1, Months: sickMonths, Contacts: 1})
	described, err := source.Describe(ctx)
	if err != nil {
		return nil, err
	}
	c := &costs{bodies: map[string]formats.Bill{}, operations: map[string]formats.BankOperation{}}
	for item, err := range source.Records(ctx, 0) {
		if err == nil {
			err = c.read(item.Record)
		}
		if err != nil {
			return nil, err
		}
	}
	forgotten, err := c.forget(now)
	if err != nil {
		return nil, err
	}
	p := &patient{owner: described.Owner}
	for _, r := range c.bills {
		if r.ID == forgotten {
			continue
		}
		bill, err := c.told(r)
		if err != nil {
			return nil, err
		}
		p.bills = append(p.bills, bill)
	}
	p.operations, err = c.atBank()
	return p, err
}

// costs are health bills and operations as they were invented, and by how many days they are moved.
type costs struct {
	bills      []formats.Record
	bodies     map[string]formats.Bill
	operations map[string]formats.BankOperation
	days       int
}

func (c *costs) read(r formats.Record) error {
	switch {
	case r.Dataset == formats.Health && r.Kind == formats.KindBill:
		body, err := formats.BodyAs[formats.Bill](r)
		c.bills, c.bodies[r.ID] = append(c.bills, r), body
		return err
	case r.Dataset == formats.Bank && r.Kind == formats.KindOperation:
		body, err := formats.BodyAs[formats.BankOperation](r)
		if strings.HasPrefix(body.Category, "health") {
			c.operations[r.ID] = body
		}
		return err
	}
	return nil
}

// forget moves everything to now, and takes one reimbursement out of what the insurer announced and paid. It returns its bill.
func (c *costs) forget(now time.Time) (string, error) {
	newest := ""
	for _, b := range c.bodies {
		newest = max(newest, b.Date)
	}
	last, err := time.Parse(time.DateOnly, newest)
	if err != nil {
		return "", fmt.Errorf("the bills of the invented person: %w", err)
	}
	today, err := time.Parse(time.DateOnly, now.Format(time.DateOnly))
	if err != nil {
		return "", err
	}
	c.days = int(today.AddDate(0, 0, -lastBill).Sub(last).Hours() / 24)
	latest := today.AddDate(0, 0, -overdueDays-c.days).Format(time.DateOnly)
	var forgotten *formats.Record
	for i := range c.bills {
		r, b := &c.bills[i], c.bodies[c.bills[i].ID]
		if strings.HasPrefix(b.Issuer, "Mutuelle") && strings.HasPrefix(b.Title, "Dr ") && b.OriginalDate <= latest && (forgotten == nil || b.OriginalDate > c.bodies[forgotten.ID].OriginalDate) {
			forgotten = r
		}
	}
	if forgotten == nil {
		return "", errors.New("the invented person went to no doctor")
	}
	return forgotten.ID, c.unpay(forgotten)
}

// unpay takes a bill out of the payment that it is in, and out of what other bills say of that.
func (c *costs) unpay(r *formats.Record) error {
	payment := linked(r, "operation")
	o := c.operations[payment]
	whole, err := centsOf(o.TransactionAmount)
	if err != nil {
		return err
	}
	part, err := centsOf(c.bodies[r.ID].Amount)
	if err != nil {
		return err
	}
	if o.TransactionAmount.Amount = formats.Decimal((whole - part).String()); whole == part {
		delete(c.operations, payment)
	} else {
		c.operations[payment] = o
	}
	for i := range c.bills {
		other := c.bodies[c.bills[i].ID]
		if linked(&c.bills[i], "operation") == payment && other.GroupAmount != nil {
			other.GroupAmount = &o.TransactionAmount
			c.bodies[c.bills[i].ID] = other
		}
	}
	return nil
}

func linked(r *formats.Record, rel string) string {
	for _, l := range r.Links {
		if l.Rel == rel {
			return l.ID
		}
	}
	return ""
}

// told is a bill as its insurer sends it: it knows no operations of any bank.
func (c *costs) told(r formats.Record) (formats.Record, error) {
	body := c.bodies[r.ID]
	body.Date, body.OriginalDate = c.moved(body.Date), c.moved(body.OriginalDate)
	at, err := time.Parse(time.DateOnly, body.Date)
	if err != nil {
		return r, err
	}
	r.Links, r.Native, r.Created, r.Modified = nil, nil, at, at
	r.Body, err = json.Marshal(body)
	return r, err
}

// atBank are the operations as the bank has them.
func (c *costs) atBank() ([]banktest.Operation, error) {
	var list []banktest.Operation
	for _, o := range c.operations {
		amount, err := centsOf(o.TransactionAmount)
		if err != nil {
			return nil, err
		}
		list = append(list, banktest.Operation{Booked: banktest.Date(c.moved(o.BookingDate)), Value: banktest.Date(c.moved(o.ValueDate)), Amount: amount,
			Party: cmp.Or(o.CreditorName, o.DebtorName), Text: o.Remittance, Code: o.BankTransactionCode})
	}
	slices.SortFunc(list, func(a, b banktest.Operation) int {
		return cmp.Or(cmp.Compare(a.Booked, b.Booked), cmp.Compare(a.Amount, b.Amount), cmp.Compare(a.Party, b.Party))
	})
	return list, nil
}

// moved is a day so much later or earlier.
func (c *costs) moved(day string) string {
	at, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	return at.AddDate(0, 0, c.days).Format(time.DateOnly)
}

// centsOf reads an amount with two decimals, which all that is invented has.
func centsOf(a formats.Amount) (banktest.Cents, error) {
	n, err := strconv.ParseInt(strings.Replace(string(a.Amount), ".", "", 1), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the amount %s: %w", a.Amount, err)
	}
	return banktest.Cents(n), nil
}
