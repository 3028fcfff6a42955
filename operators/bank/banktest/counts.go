package banktest

import (
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Counts is what the bank was asked for since it was opened, below /v1/.
type Counts struct {
	Requests int         `json:"requests"`
	AtOnce   int         `json:"atOnce"`   // the most at one time
	Statuses map[int]int `json:"statuses"` // 0: a fault answered in the place of the bank
}

// meter counts requests, and limits them.
type meter struct {
	counts Counts
	now    int       // requests that are being answered
	left   float64   // requests that may come at once
	filled time.Time // when left was right
}

// Counts is what the bank was asked for.
func (b *Bank) Counts() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.meter.counts
	c.Statuses = maps.Clone(c.Statuses)
	return c
}

// arrives counts a request, and says whether it is one too many: then nothing else is done for it.
func (b *Bank) arrives() *Error {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := &b.meter
	m.counts.Requests++
	m.now++
	m.counts.AtOnce = max(m.counts.AtOnce, m.now)
	if b.config.Rate <= 0 {
		return nil
	}
	now := time.Now() // a clock that is turned on gives nobody more requests
	full := math.Max(1, b.config.Rate)
	if m.filled.IsZero() {
		m.left = full
	} else {
		m.left = math.Min(full, m.left+now.Sub(m.filled).Seconds()*b.config.Rate)
	}
	m.filled = now
	if m.left < 1 {
		return fail(http.StatusTooManyRequests, "ACCESS_EXCEEDED", "more than %v requests a second", b.config.Rate)
	}
	m.left--
	return nil
}

// leaves counts an answer; 0: there was none.
func (b *Bank) leaves(status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.meter.now--
	b.meter.counts.Statuses[status]++
}

// tooMany is the answer to one request too many.
func (b *Bank) tooMany(e *Error) *reply {
	a := e.reply(b.config.Problems)
	a.header = http.Header{"Retry-After": {strconv.Itoa(int(math.Ceil(1 / b.config.Rate)))}}
	return a
}
