package bank

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/camt"
)

// Period says which operations of an account are read.
type Period struct {
	From, To string // days; "" has no bound. With a bank that knows no bound at its end, To is that of today
	// After is the entryReference after which operations are read, for a bank that gives deltas; From is then "".
	After    string
	Progress func(operations int) // told after each page; may be nil
}

// Retrieved is what was read of an account's operations.
type Retrieved struct {
	Operations []Operation
	Refused    []Refused
	Pages      int
	Covered    Covered // for [Match]
}

// The bounds of what one retrieval reads of an account.
const (
	maxPages      = 5000
	maxEmpty      = 20 // pages in a row
	maxOperations = 200_000
)

// page is one page of operations.
type page struct {
	pass            Pass
	booked, pending []json.RawMessage
	records         []formats.Record // of an answer in XML
	next            *url.URL
}

// Operations reads the operations of an account in a period, page by page: while a page is taken in, the next one is on its
// way. The error of a page is that of the whole: what was read until then is not given, since nobody could say what is missing.
func (r *Reader) Operations(ctx context.Context, a Account, p Period) (*Retrieved, error) {
	if p.From == "" && p.After == "" {
		return nil, errors.New("a period has a first day, or what to read after")
	}
	out := &Retrieved{Covered: Covered{Account: a.Record.ID, From: p.From, To: p.To, Complete: p.After == "", Pending: len(r.statuses()) != 1 || r.statuses()[0] != booked, IDs: !r.client.profile.has(IDsChange)}}
	for _, status := range r.statuses() {
		if err := r.list(ctx, a, p, status, out); err != nil {
			return nil, err
		}
	}
	out.Covered.Complete = out.Covered.Complete && len(out.Refused) == 0
	return out, nil
}

// statuses are the lists that are asked for, in turn. Pending first where there are two: what is booked between two requests
// is then in both, and not in none.
func (r *Reader) statuses() []string {
	switch p := &r.client.profile; {
	case p.has(NoPending), p.has(XML):
		return []string{booked}
	case p.has(NoBoth):
		return []string{pending, booked}
	}
	return []string{"both"}
}

func (r *Reader) list(ctx context.Context, a Account, p Period, status string, out *Retrieved) error {
	first := r.client.at("accounts", a.Resource, "transactions")
	first.RawQuery = r.query(p, status).Encode()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	pages := make(chan page)
	var failed error
	go func() {
		defer close(pages)
		failed = r.pages(ctx, a, p, first, pages)
	}()
	repeats := repeats{booked: map[formats.Hash]bool{}, pending: map[formats.Hash]bool{}}
	var err error
	for one := range pages {
		if err == nil {
			err = r.take(ctx, a, &one, &repeats, out)
		} else {
			err = errors.Join(err, one.pass.Done(ctx, 0, err))
		}
		if err != nil {
			stop()
			continue
		}
		if out.Pages++; p.Progress != nil {
			p.Progress(len(out.Operations))
		}
	}
	if err != nil {
		return err
	}
	return failed
}

func (r *Reader) query(p Period, status string) url.Values {
	q := url.Values{"bookingStatus": {status}}
	if p.After != "" {
		q.Set("entryReferenceFrom", p.After)
	}
	if p.From != "" {
		q.Set("dateFrom", p.From)
	}
	if p.To != "" && !r.client.profile.has(NoDateTo) {
		q.Set("dateTo", p.To)
	}
	if size := r.client.profile.Limits.PageSize; size > 0 {
		q.Set("itemsPerPage", strconv.Itoa(size))
	}
	return q
}

// pages reads page after page, and hands each on. It ends with an error where a bank's links go round in a circle.
func (r *Reader) pages(ctx context.Context, a Account, p Period, next *url.URL, out chan<- page) error {
	been := map[string]bool{}
	for n, empty := 0, 0; next != nil; n++ {
		did := fmt.Sprintf("read page %d of the operations", n+1)
		tooMuch := func(why string) error {
			return &Fault{Kind: ErrTooMuch, Bank: r.client.profile.Name, Did: did, Cause: errors.New(why)}
		}
		switch {
		case been[next.String()]:
			return tooMuch("its pages go round in a circle")
		case n == maxPages:
			return tooMuch(fmt.Sprintf("there are more than %d pages", maxPages))
		case empty == maxEmpty:
			return tooMuch(fmt.Sprintf("there are %d empty pages in a row, and still one more", maxEmpty))
		}
		been[next.String()] = true
		one, err := r.page(ctx, a, p, did, next)
		if err != nil {
			return err
		}
		next = one.next
		if empty++; len(one.booked)+len(one.pending)+len(one.records) > 0 {
			empty = 0
		}
		select {
		case out <- one:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), one.pass.Done(ctx, 0, ctx.Err()))
		}
	}
	return nil
}

// page reads one page. The pass of one that is returned is still to be done.
func (r *Reader) page(ctx context.Context, a Account, p Period, did string, at *url.URL) (page, error) {
	pass, err := r.door(ctx, Reading{Asked: []Information{Transactions}, Accounts: []string{a.Record.ID}, From: p.From, Present: r.access.Presence})
	if err != nil {
		return page{}, err
	}
	one, err := r.fetch(ctx, did, at)
	if err != nil {
		return page{}, errors.Join(err, pass.Done(ctx, 0, err))
	}
	one.pass = pass
	return one, nil
}

func (r *Reader) fetch(ctx context.Context, did string, at *url.URL) (page, error) {
	q := request{did: did, method: http.MethodGet, url: at, accept: mediaJSON, most: maxPage, access: r.access}
	if r.client.profile.has(XML) {
		q.accept = mediaXML
	}
	a, err := r.client.send(ctx, q)
	var f *Fault
	if errors.As(err, &f) && f.Status == http.StatusNotFound && len(f.Codes) == 0 && r.client.profile.has(NothingIs404) {
		return page{}, nil
	}
	if err != nil {
		return page{}, err
	}
	if a.media == mediaXML || a.media == "text/xml" {
		return r.xml(q, a)
	}
	var got struct {
		Transactions *struct {
			Booked  []json.RawMessage `json:"booked"`
			Pending []json.RawMessage `json:"pending"`
			Links   links             `json:"_links"`
		} `json:"transactions"`
		Links links `json:"_links"`
	}
	if err := r.client.decode(q, a, &got); err != nil {
		return page{}, err
	}
	if got.Transactions == nil {
		if got.Links.href("download") != "" {
			return page{}, &Fault{Kind: ErrNotOffered, Bank: r.client.profile.Name, Did: did, Status: a.status, RequestID: a.id, Cause: errors.New("it offers a file to download instead of pages: ask for fewer days")}
		}
		return page{}, r.client.unreadable(q, a, errors.New("it has no transactions"))
	}
	one := page{booked: got.Transactions.Booked, pending: got.Transactions.Pending}
	if href := got.Transactions.Links.href("next"); href != "" {
		one.next, err = r.client.linked(q, href)
	}
	return one, err
}

// xml reads a page that is a statement in camt.053 (or 052): a bank gives all of it at once.
func (r *Reader) xml(q request, a *answer) (page, error) {
	var one page
	for record, err := range camt.Codec().Decode(bytes.NewReader(a.body)) {
		if err != nil {
			return page{}, r.client.unreadable(q, a, err)
		}
		if record.Kind == formats.KindOperation {
			one.records = append(one.records, record)
		}
	}
	return one, nil
}

// take takes a page in.
func (r *Reader) take(ctx context.Context, a Account, p *page, repeats *repeats, out *Retrieved) (err error) {
	before := len(out.Operations)
	defer func() { err = errors.Join(err, p.pass.Done(ctx, int64(len(out.Operations)-before), err)) }()
	if len(out.Operations)+len(p.booked)+len(p.pending)+len(p.records) > maxOperations {
		return &Fault{Kind: ErrTooMuch, Bank: r.client.profile.Name, Did: "read the operations", Cause: fmt.Errorf("there are more than %d: ask for fewer days", maxOperations)}
	}
	if more := len(p.booked) + len(p.pending) + len(p.records); cap(out.Operations)-before < more {
		out.Operations = slices.Grow(out.Operations, max(more, before))
	}
	for _, list := range []struct {
		status string
		raw    []json.RawMessage
	}{{booked, repeats.freshBooked(p.booked)}, {pending, repeats.freshPending(p.pending)}} {
		for _, one := range list.raw {
			op, err := r.client.operation(one, list.status, &a.Reference)
			if err != nil {
				out.Refused = append(out.Refused, Refused{one, err.Error()})
				continue
			}
			if err := admit(p.pass, a.Record.ID, op, one, out); err != nil {
				return err
			}
		}
	}
	for _, record := range p.records {
		var op formats.BankOperation
		if err := json.Unmarshal(record.Body, &op); err != nil {
			return err
		}
		if !isCurrency(op.TransactionAmount.Currency) {
			out.Refused = append(out.Refused, Refused{record.Body, fmt.Sprintf("its currency %.20q is not in ISO 4217", op.TransactionAmount.Currency)})
			continue
		}
		if op.Status == "" {
			op.Status = booked
		}
		if err := admit(p.pass, a.Record.ID, op, nil, out); err != nil {
			return err
		}
	}
	return nil
}

// unnamed stands for the id of a record that has none yet.
const unnamed = "new"

// admit keeps of an operation what may be kept.
func admit(pass Pass, account string, op formats.BankOperation, native json.RawMessage, out *Retrieved) error {
	record, err := operationRecord(unnamed, account, op, nil, native)
	if err != nil {
		return err
	}
	kept, ok := pass.Admit(record)
	if !ok {
		return nil
	}
	if !bytes.Equal(kept.Body, record.Body) {
		op = formats.BankOperation{}
		if err := json.Unmarshal(kept.Body, &op); err != nil {
			return err
		}
	}
	one := Operation{Body: op, text: kept.Body}
	if kept.Native != nil {
		one.Native = kept.Native.Document
	}
	out.Operations = append(out.Operations, one)
	return nil
}

// LastEntry is the entryReference of the newest booked operation, after which a bank that gives deltas is asked; "" if none.
func LastEntry(operations []Operation) string {
	last, day := "", ""
	for i := range operations {
		if op := &operations[i].Body; op.Status == booked && op.EntryReference != "" && strings.Compare(dayOf(op), day) >= 0 {
			last, day = op.EntryReference, dayOf(op)
		}
	}
	return last
}
