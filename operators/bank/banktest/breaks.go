package banktest

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	hugeBytes = 100 << 20
	overlap   = 3 // operations that come again
)

// breaks answers in the place of the bank, if a fault wants that.
func (q *request) breaks(w http.ResponseWriter) bool {
	if len(q.strikes) == 0 {
		return false
	}
	kinds := make([]string, len(q.strikes))
	for n, f := range q.strikes {
		kinds[n] = string(f.Kind)
	}
	w.Header().Set(FaultHeader, strings.Join(kinds, " "))
	if f := q.struck(Slow); f != nil {
		select {
		case <-time.After(time.Duration(f.Seconds * float64(time.Second))):
		case <-q.Context().Done():
		}
	}
	if q.struck(Dropped) != nil {
		drop(w)
	}
	for kind, do := range map[Kind]func(http.ResponseWriter, *Fault){StatusCode: q.refuses, HTML: q.talks, Huge: q.floods} {
		if f := q.struck(kind); f != nil {
			w.Header().Set("X-Request-ID", q.id)
			do(w, f)
			return true
		}
	}
	return false
}

// drop ends a connection within the first line of the answer: had nothing been sent, clients would try again by themselves.
func drop(w http.ResponseWriter) {
	if connection, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_, _ = connection.Write([]byte("HTTP/1.1 2"))
		_ = connection.Close() // it is to break
	}
	panic(http.ErrAbortHandler)
}

// refuses answers with an error.
func (q *request) refuses(w http.ResponseWriter, f *Fault) {
	if f.RetryAfter > 0 && f.AsDate {
		w.Header().Set("Retry-After", time.Now().Add(time.Duration(f.RetryAfter)*time.Second).UTC().Format(http.TimeFormat))
	} else if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	status := cmp.Or(f.Status, http.StatusServiceUnavailable)
	q.send(w, fail(status, cmp.Or(f.Value, map[int]string{http.StatusTooManyRequests: "ACCESS_EXCEEDED"}[status], "SERVICE_UNAVAILABLE"), "this is a fault on purpose").reply(false))
}

// talks sends a page, as proxies do when a bank is closed.
func (q *request) talks(w http.ResponseWriter, f *Fault) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(cmp.Or(f.Status, http.StatusOK))
	fmt.Fprint(w, "<!doctype html><title>Maintenance</title><h1>Service momentanément indisponible</h1>")
}

// floods sends JSON that is right, and far too long.
func (q *request) floods(w http.ResponseWriter, f *Fault) {
	w.Header().Set("Content-Type", "application/json")
	left := cmp.Or(f.Bytes, hugeBytes)
	fmt.Fprint(w, `{"transactions":{"booked":[],"_links":{"account":{"href":"/"}}},"padding":"`)
	chunk := bytes.Repeat([]byte("x"), 64<<10)
	for left > 0 {
		n, err := w.Write(chunk[:min(left, int64(len(chunk)))])
		if err != nil {
			return // they have had enough
		}
		left -= int64(n)
	}
	fmt.Fprint(w, `"}`)
}

// transmit sends a body, or some of it.
func (q *request) transmit(w http.ResponseWriter, status int, body []byte) {
	if q.struck(Cut) == nil || len(body) == 0 {
		w.WriteHeader(status)
		_, _ = w.Write(body) // who went away need not be told
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush() // what can be sent is sent before the connection ends
	panic(http.ErrAbortHandler)
}

// disorder puts operations in an order that is none, the same for each page.
func (r *reading) disorder(list []*Operation) []*Operation {
	if r.struck(Disorder) == nil {
		return list
	}
	random := rand.New(rand.NewPCG(uint64(len(list)), 1))
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// spoil does to a page what faults want.
func (r *reading) spoil(account string, q *query, body *report) {
	t := &body.Transactions
	for _, list := range [][]transaction{t.Booked, t.Pending, t.Information} {
		for n := range list {
			r.spoilOperation(&list[n])
		}
	}
	if len(t.Booked) > 0 {
		r.spoilAmount(&t.Booked[0].Amount)
	} else if len(t.Pending) > 0 {
		r.spoilAmount(&t.Pending[0].Amount)
	}
	_, more := t.Links["next"]
	if r.struck(Endless) != nil && !more {
		t.Links["next"] = r.next(account, q, q.page+1)
	}
	if r.struck(Loop) != nil {
		t.Links["next"] = r.next(account, q, q.page)
	}
	if r.struck(DuplicatePages) != nil && !q.again {
		t.Links["next"] = href{r.next(account, q, q.page).Href + "&again=1"}
	}
	if f := r.struck(Elsewhere); f != nil {
		t.Links["next"] = href{cmp.Or(f.Value, "https://elsewhere.example") + strings.TrimPrefix(r.next(account, q, q.page+1).Href, r.base)}
	}
}

// spoilOperation does to an operation what faults want.
func (r *reading) spoilOperation(t *transaction) {
	if r.struck(ChangingIDs) != nil {
		t.ID, t.Reference = newID(), newID()[:35]
	}
	if r.struck(NoIDs) != nil {
		t.ID, t.Reference, t.EndToEnd = "", "", ""
	}
	if r.struck(FlippedSigns) != nil {
		if text, negative := strings.CutPrefix(t.Amount.Amount, "-"); negative {
			t.Amount.Amount = text
		} else {
			t.Amount.Amount = "-" + text
		}
	}
	if r.struck(Times) != nil {
		for _, d := range []*string{&t.Booked, &t.Value} {
			if *d != "" {
				*d += "T00:00:00"
			}
		}
	}
}

func (r *reading) spoilAmount(a *amount) {
	if f := r.struck(Amount); f != nil {
		a.Amount = cmp.Or(f.Value, "1.00E+2")
	}
	if f := r.struck(Currency); f != nil {
		a.Currency = cmp.Or(f.Value, "ZZZ")
	}
}

// spoilBalances does to balances what faults want.
func (r *reading) spoilBalances(all []balanceBody) {
	r.spoilAmount(&all[0].Amount)
	if r.struck(Times) == nil {
		return
	}
	for n := range all {
		all[n].Changed = all[n].Changed[:len("2006-01-02T15:04:05")]
	}
}
