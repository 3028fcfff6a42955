package banktest

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// query is what a third party wants of an account's operations.
type query struct {
	status   string // booked, pending, both, information, all
	from, to Date
	after    int // only operations with a greater number
	upTo     int // and only those that the bank knew when the first page was read; 0: all
	delta    bool
	page     int
	size     int
	balance  bool
	again    bool // the page was asked for a second time because of a fault
	follows  bool // it is a page of a read that was counted
}

const (
	maxPageSize = 10_000
	maxNumber   = 1_000_000_000 // of a page or an operation
)

// parseQuery reads the query of GET …/transactions. upTo and after are the bank's own: they are in its links only.
func (b *Bank) parseQuery(r *reading, a *Account) (*query, error) {
	v := r.URL.Query()
	q := &query{status: v.Get("bookingStatus"), size: b.config.PageSize, again: v.Get("again") != ""}
	if !slices.Contains([]string{"booked", "pending", "both", "information", "all"}, q.status) {
		return nil, wrongForm("bookingStatus", "%q is not booked, pending, both, information or all", q.status)
	}
	for name, to := range map[string]*int{"pageIndex": &q.page, "itemsPerPage": &q.size, "after": &q.after, "upTo": &q.upTo} {
		if text := v.Get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || n > maxNumber || n == 0 && name == "itemsPerPage" {
				return nil, wrongForm(name, "%q is no number", text)
			}
			*to = n
		}
	}
	q.size, q.follows = min(q.size, maxPageSize), q.page > 0 || q.upTo > 0 || q.again
	var err error
	if q.balance, err = r.flag("withBalance"); err != nil {
		return nil, err
	}
	if q.delta, err = r.flag("deltaList"); err != nil {
		return nil, err
	}
	if err := q.since(v, r.consent, a); err != nil {
		return nil, err
	}
	return q, b.period(q, v, r.consent)
}

// since reads after which operation the list begins.
func (q *query) since(v url.Values, c *Consent, a *Account) error {
	reference := v.Get("entryReferenceFrom")
	switch {
	case reference != "" && q.delta:
		return fail(http.StatusBadRequest, "PARAMETER_NOT_CONSISTENT", "entryReferenceFrom and deltaList exclude each other")
	case q.delta:
		q.after = c.Reported[a.ID]
	case reference != "":
		at := slices.IndexFunc(a.operations, func(o *Operation) bool { return o.Reference == reference })
		if at < 0 {
			return &Error{Status: http.StatusBadRequest, Code: "RESOURCE_UNKNOWN", Path: "entryReferenceFrom", Text: "there is no such operation"}
		}
		q.after = a.operations[at].Number
	}
	return nil
}

// period reads the dates. What is older than 90 days wants the person to have been at the bank just now (Regulation (EU) 2018/389,
// article 10a).
func (b *Bank) period(q *query, v url.Values, c *Consent) error {
	oldest := b.today().add(-b.config.Recent)
	fresh := b.now().Sub(c.Authorised) <= b.config.Fresh
	byNumber := q.delta || v.Get("entryReferenceFrom") != "" || v.Get("after") != ""
	q.from, q.to = oldest, b.today().add(1) // what was entered today may be booked tomorrow
	if fresh {
		q.from = ""
	}
	if text := v.Get("dateTo"); text != "" {
		var isDate bool
		if q.to, isDate = parseDate(text); !isDate {
			return wrongForm("dateTo", "%q is no date", text)
		}
	}
	text := v.Get("dateFrom")
	switch from, isDate := parseDate(text); {
	case text == "" && (byNumber || q.status == "information"):
		return nil
	case text == "":
		return wrongForm("dateFrom", "it is missing")
	case !isDate:
		return wrongForm("dateFrom", "%q is no date", text)
	case from > q.to:
		return fail(http.StatusBadRequest, "PERIOD_INVALID", "dateFrom is after dateTo")
	case from < oldest && !fresh:
		return fail(http.StatusBadRequest, "PERIOD_INVALID", "what is older than %d days, since before %s, is given within %v of the person's authentication only", b.config.Recent, oldest, b.config.Fresh)
	default:
		q.from = from
	}
	return nil
}

// selects reports whether an operation belongs to the answer.
func (q *query) selects(o *Operation) bool {
	if o.Number <= q.after || q.upTo > 0 && o.Number > q.upTo {
		return false
	}
	if o.Status == "information" {
		return q.status == "information" || q.status == "all"
	}
	if o.Booked < q.from || o.Booked > q.to {
		return false
	}
	return q.status == o.Status || q.status == "both" || q.status == "all"
}

// transaction is NextGenPSD2's.
type transaction struct {
	ID            string        `json:"transactionId,omitempty"`
	Reference     string        `json:"entryReference,omitempty"`
	EndToEnd      string        `json:"endToEndId,omitempty"`
	Mandate       string        `json:"mandateId,omitempty"`
	Booked        string        `json:"bookingDate,omitempty"`
	Value         string        `json:"valueDate,omitempty"`
	Amount        amount        `json:"transactionAmount"`
	Creditor      string        `json:"creditorName,omitempty"`
	CreditorIBAN  *Reference    `json:"creditorAccount,omitempty"`
	Debtor        string        `json:"debtorName,omitempty"`
	DebtorIBAN    *Reference    `json:"debtorAccount,omitempty"`
	Text          string        `json:"remittanceInformationUnstructured,omitempty"`
	Code          string        `json:"bankTransactionCode,omitempty"`
	StandingOrder *standingBody `json:"additionalInformationStructured,omitempty"`
}

// standingBody tells of a standing order.
type standingBody struct {
	Details struct {
		Start     string `json:"startDate"`
		Frequency string `json:"frequency"`
		Day       string `json:"dayOfExecution"`
	} `json:"standingOrderDetails"`
}

func (o *Operation) body(currency string) transaction {
	t := transaction{ID: o.ID, Reference: o.Reference, EndToEnd: o.EndToEnd, Mandate: o.Mandate, Value: string(o.Value), Amount: amount{currency, o.Amount.String()}, Text: o.Text, Code: o.Code}
	if o.Status == "booked" {
		t.Booked = string(o.Booked)
	}
	var other *Reference
	if o.PartyIBAN != "" {
		other = &Reference{IBAN: o.PartyIBAN}
	}
	if o.Amount < 0 {
		t.Creditor, t.CreditorIBAN = o.Party, other
	} else {
		t.Debtor, t.DebtorIBAN = o.Party, other
	}
	if o.Status == "information" {
		s := &standingBody{}
		s.Details.Start, s.Details.Frequency, s.Details.Day = string(o.Booked), "Monthly", "1"
		t.StandingOrder = s
	}
	return t
}

// report is the body of GET …/transactions.
type report struct {
	Account      Reference     `json:"account"`
	Transactions reportLists   `json:"transactions"`
	Balances     []balanceBody `json:"balances,omitempty"`
}

type reportLists struct {
	Booked      []transaction `json:"booked,omitzero"`
	Pending     []transaction `json:"pending,omitzero"`
	Information []transaction `json:"information,omitzero"`
	Links       links         `json:"_links"`
}

func (b *Bank) listTransactions(r *request) (*reply, error) {
	read, err := b.allow(r)
	if err != nil {
		return nil, err
	}
	a, err := b.accountOf(read, func(x rights) bool { return x.transactions })
	if err != nil {
		return nil, err
	}
	q, err := b.parseQuery(read, a)
	if err != nil {
		return nil, err
	}
	kind, err := q.format(r)
	if err != nil {
		return nil, err
	}
	if !q.follows {
		if err := b.count(read, a.ID+" transactions"); err != nil {
			return nil, err
		}
	}
	if q.upTo == 0 && !b.config.Shifting {
		q.upTo = a.last
	}
	list := newestFirst(a, q)
	if kind == xmlType {
		return b.statement(read, a, q, list)
	}
	return ok(b.report(read, a, q, list)), nil
}

const xmlType = "application/xml"

// format chooses between JSON and camt.053, which holds what is booked only.
func (q *query) format(r *request) (string, error) {
	accept := cmp.Or(strings.Join(r.Header.Values("Accept"), ","), "*/*")
	for one := range strings.SplitSeq(accept, ",") {
		kind, _, _ := strings.Cut(one, ";")
		switch strings.TrimSpace(kind) {
		case "application/json", "*/*", "application/*":
			return "application/json", nil
		case xmlType:
			if q.status == "booked" {
				return xmlType, nil
			}
		}
	}
	return "", fail(http.StatusNotAcceptable, "REQUESTED_FORMATS_INVALID", "operations are given as application/json, and booked ones as application/xml (camt.053)")
}

// newestFirst are the operations that were asked for.
func newestFirst(a *Account, q *query) (list []*Operation) {
	for _, o := range slices.Backward(a.operations) {
		if q.selects(o) {
			list = append(list, o)
		}
	}
	return list
}

// report is one page.
func (b *Bank) report(r *reading, a *Account, q *query, list []*Operation) *report {
	list = r.disorder(list)
	begin, end := r.window(q, len(list))
	account := "/v1/accounts/" + a.ID
	body := &report{Account: Reference{IBAN: a.IBAN, Currency: a.Currency}, Transactions: reportLists{Links: links{"account": r.link(account)}}}
	t := &body.Transactions
	for status, to := range map[string]*[]transaction{"booked": &t.Booked, "pending": &t.Pending, "information": &t.Information} {
		if q.status == status || q.status == "all" || q.status == "both" && status != "information" {
			*to = []transaction{}
		}
	}
	for _, o := range list[begin:end] {
		one := o.body(a.Currency)
		switch o.Status {
		case "booked":
			t.Booked = append(t.Booked, one)
		case "pending":
			t.Pending = append(t.Pending, one)
		default:
			t.Information = append(t.Information, one)
		}
	}
	if q.balance && r.consent.Access.rights(a).balances {
		body.Balances = b.balances(r, a)
	}
	if end < len(list) {
		t.Links["next"] = r.next(account, q, q.page+1)
		t.Links["first"] = r.next(account, q, 0)
	} else {
		b.reported(r.consent, a, q)
	}
	r.spoil(account, q, body)
	return body
}

// reported notes how far an account was read, for deltaList: by who read to the end what is booked, until today.
func (b *Bank) reported(c *Consent, a *Account, q *query) {
	if q.status != "pending" && q.status != "information" && q.to >= b.today() {
		c.Reported[a.ID], b.unsaved = cmp.Or(q.upTo, a.last), true
	}
}

// next is the link to a page.
func (r *reading) next(account string, q *query, page int) href {
	v := r.URL.Query()
	v.Del("again")
	if q.delta || v.Has("entryReferenceFrom") {
		v.Del("deltaList")
		v.Set("after", strconv.Itoa(q.after))
	}
	if q.upTo > 0 {
		v.Set("upTo", strconv.Itoa(q.upTo))
	}
	v.Set("pageIndex", strconv.Itoa(page))
	return r.link(account + "/transactions?" + v.Encode())
}

// window is which of so many operations are on the page.
func (r *reading) window(q *query, count int) (begin, end int) {
	begin = min(q.page*q.size, count)
	end = min(begin+q.size, count)
	if q.page > 0 && r.struck(DuplicateOperations) != nil {
		begin = max(begin-overlap, 0)
	}
	return begin, end
}

type detailsBody struct {
	Details transaction `json:"transactionsDetails"`
}

func (b *Bank) getTransaction(q *request) (*reply, error) {
	r, err := b.allow(q)
	if err != nil {
		return nil, err
	}
	a, err := b.accountOf(r, func(x rights) bool { return x.transactions })
	if err != nil {
		return nil, err
	}
	if err := b.count(r, a.ID+" operation "+q.PathValue("transactionID")); err != nil {
		return nil, err
	}
	oldest := b.today().add(-b.config.Recent)
	fresh := b.now().Sub(r.consent.Authorised) <= b.config.Fresh
	for _, o := range a.operations {
		if o.ID != "" && o.ID == q.PathValue("transactionID") && (fresh || o.Booked >= oldest) {
			return ok(detailsBody{o.body(a.Currency)}), nil
		}
	}
	return nil, fail(http.StatusNotFound, "RESOURCE_UNKNOWN", "there is no such operation")
}
