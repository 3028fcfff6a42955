package bank

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Known is what is remembered of an operation that was retrieved before.
type Known struct {
	ID   string
	Body formats.BankOperation
	// Absent is the day on which it was found that the bank no longer gives it; "" while it does.
	Absent string
}

// Covered says what a retrieval is about, and so what it means that something is not in it.
type Covered struct {
	Account  string // the id of its record
	From, To string // days, "" without bound
	Complete bool   // everything of these days is there, but for what was withheld
	Pending  bool   // operations that are not booked yet are there too
	Delta    bool   // only what the bank says is new: what was known is not given again
	IDs      bool   // transactionId names the same operation each time
	Today    string // where the bank is
}

// What says what became of an operation.
type What string

// What there is. Everything but Added and Withdrawn leaves the operation what it was: its record keeps its id.
const (
	Added     What = "added"
	Same      What = "same"      // known, and as it was
	Changed   What = "changed"   // the bank says otherwise now; what it said before is in the body's corrections
	Booked    What = "booked"    // was pending, and is booked now
	Repeated  What = "repeated"  // the bank gave it twice
	Absent    What = "absent"    // known, and not given any more; it stays, for the bank may give it again
	Withdrawn What = "withdrawn" // will not come any more: a reservation that lapsed, or a double that the bank took back
)

// Change is what became of an operation that was seen or known.
type Change struct {
	What  What
	ID    string
	Seen  int // index of what was read, -1 if it was not
	Known int // index of what was known, -1 if it was not
	Body  formats.BankOperation
}

// Record is the record of what a change is about, of an account. seen is what [Match] was given.
func (c *Change) Record(account string, seen []Operation) (formats.Record, error) {
	if c.What == Withdrawn {
		return formats.Record{}, errors.New("there is no record of what was withdrawn")
	}
	var text, native json.RawMessage
	if c.Seen != none {
		native = seen[c.Seen].Native
	}
	if c.What == Added {
		text = seen[c.Seen].text
	}
	return operationRecord(c.ID, account, c.Body, text, native)
}

// Days within which an operation is recognised, or missed.
const (
	overlapEdge = 3  // at the beginning of a period, banks disagree about which day counts
	lapsesAfter = 10 // a reservation that is not given any more, nor booked, has lapsed
)

// Match compares the operations of one account that a retrieval gave with those that are known of the same days and of some
// before and after. Operations have no name that one could rely on: a transactionId is optional, and banks change it; so
// they are compared as multisets, from what is surely the same to what can hardly be anything else. Two that are alike in all
// are two. The result does not depend on the order in which a bank gives them.
func Match(known []Known, seen []Operation, w Covered) []Change {
	m := newMatcher(known, seen, w)
	m.repeats()
	if len(known) > 0 {
		m.recognise()
	}
	return m.changes()
}

// recognise pairs what was seen with what is known.
func (m *matcher) recognise() {
	for _, key := range []func(*traits) string{(*traits).identical, (*traits).wholly, (*traits).named, (*traits).alike} {
		m.exactly(key)
	}
	for _, r := range []round{m.byName(), m.fromPending((*traits).byMoney), m.fromPending((*traits).byText), m.toPending()} {
		m.nearest(r)
	}
	m.likelier([]round{m.rewritten(), m.flipped(), m.moved()}, []round{m.flipped(), m.rewritten(), m.moved()})
}

// matcher pairs what is known with what was seen.
type matcher struct {
	w       Covered
	known   []Known
	seen    []Operation
	k, s    []traits
	order   []int       // of what was seen, independent of the bank's
	ofKnown []int       // what was seen of it, or none
	ofSeen  []int       // what is known of it, none or twice
	first   map[int]int // of what was given twice: where the first is
}

const (
	none  = -1
	twice = -2
)

func newMatcher(known []Known, seen []Operation, w Covered) *matcher {
	m := &matcher{w: w, known: known, seen: seen, k: make([]traits, len(known)), s: make([]traits, len(seen)),
		ofKnown: slices.Repeat([]int{none}, len(known)), ofSeen: slices.Repeat([]int{none}, len(seen)), first: map[int]int{}}
	for i := range known {
		m.k[i] = traitsOf(&known[i].Body, w)
		m.k[i].whole = wholeOf(&known[i].Body, &m.k[i])
	}
	for i := range seen {
		m.s[i] = traitsOf(&seen[i].Body, w)
		if len(known) > 0 {
			m.s[i].whole = wholeOf(&seen[i].Body, &m.s[i])
		}
		m.order = append(m.order, i)
	}
	slices.SortStableFunc(m.order, m.compare)
	return m
}

// compare puts what was seen into an order that is not the bank's.
func (m *matcher) compare(a, b int) int {
	if n := cmp.Compare(m.s[a].strict, m.s[b].strict); n != 0 {
		return n
	}
	x, y := &m.seen[a].Body, &m.seen[b].Body
	return cmp.Or(cmp.Compare(wholeOf(x, &m.s[a]), wholeOf(y, &m.s[b])), cmp.Compare(x.TransactionID, y.TransactionID))
}

func (m *matcher) pair(k, s int) { m.ofKnown[k], m.ofSeen[s] = s, k }

// repeats finds what was given twice under one name: the same, or pending and booked at once. In one answer even a name that
// is another one each time names one operation.
func (m *matcher) repeats() {
	named := map[string]int{}
	for _, status := range []string{booked, pending} {
		for _, i := range m.order {
			t, name := &m.s[i], m.seen[i].Body.TransactionID
			if name == "" || t.status != status {
				continue
			}
			before, ok := named[name]
			if ok && (m.s[before].strict == t.strict || status == pending && m.s[before].status == booked) {
				m.ofSeen[i], m.first[i] = twice, before
			} else if !ok {
				named[name] = i
			}
		}
	}
}

// exactly pairs what has the same key; where several have it, as many as there are on both sides.
func (m *matcher) exactly(key func(*traits) string) {
	waiting := map[string][]int{}
	for _, absent := range []bool{false, true} { // of two that are alike, the one that was there last time
		for i := range m.k {
			if m.ofKnown[i] == none && (m.known[i].Absent != "") == absent {
				if key := key(&m.k[i]); key != "" {
					waiting[key] = append(waiting[key], i)
				}
			}
		}
	}
	for _, s := range m.order {
		if m.ofSeen[s] != none {
			continue
		}
		key := key(&m.s[s])
		list := waiting[key]
		for at, k := range list[:min(len(list), most)] {
			if m.others(k, s) {
				continue
			}
			m.pair(k, s)
			list[at] = list[0]
			waiting[key] = list[1:]
			break
		}
	}
}

// others reports whether two must be different: where only news are given, another name is another operation.
func (m *matcher) others(k, s int) bool {
	return m.w.Delta && m.k[k].id != "" && m.s[s].id != "" && m.k[k].id != m.s[s].id
}

// round says how far apart something known and something seen are, and false if they cannot be the same. It is asked about
// those only that have the same group; what has none takes no part.
type round struct {
	known, seen func(i int) string // their groups
	apart       func(k, s int) (int, bool)
}

// The bounds of what is compared: of one group with each other, and of all groups together. Beyond them something may be
// taken for new that is not; no bank in order comes near.
const (
	most      = 400
	mostPairs = 1 << 20
)

// nearest pairs what is nearest first.
func (m *matcher) nearest(r round) {
	groups := map[string][]int{}
	for i := range m.k {
		if m.ofKnown[i] != none {
			continue
		}
		if key := r.known(i); key != "" && len(groups[key]) < most {
			groups[key] = append(groups[key], i)
		}
	}
	type near struct {
		apart          int
		earlier, later string // their days: what is as far apart is taken in the same order, whichever side is which
		place, k, s    int
	}
	var pairs []near
	met := map[string]int{}
	for place, s := range m.order {
		if m.ofSeen[s] != none || len(pairs) > mostPairs {
			continue
		}
		key := r.seen(s)
		if key == "" || met[key] == most {
			continue
		}
		met[key]++
		for _, k := range groups[key] {
			if apart, ok := r.apart(k, s); ok && !m.others(k, s) {
				a, b := m.k[k].day, m.s[s].day
				pairs = append(pairs, near{apart, min(a, b), max(a, b), place, k, s})
			}
		}
	}
	slices.SortFunc(pairs, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.apart, b.apart), cmp.Compare(a.earlier, b.earlier), cmp.Compare(a.later, b.later), cmp.Compare(m.known[a.k].ID, m.known[b.k].ID), cmp.Compare(a.place, b.place))
	})
	for _, p := range pairs {
		if m.ofKnown[p.k] == none && m.ofSeen[p.s] == none {
			m.pair(p.k, p.s)
		}
	}
}

// likelier takes the order of rounds that leaves less unexplained; the first one, where both explain as much.
func (m *matcher) likelier(one, other []round) {
	known, seen := slices.Clone(m.ofKnown), slices.Clone(m.ofSeen)
	run := func(rounds []round) int {
		for _, r := range rounds {
			m.nearest(r)
		}
		n := 0
		for _, s := range m.ofKnown {
			if s == none {
				n++
			}
		}
		return n
	}
	left := run(one)
	if left == 0 {
		return
	}
	firstKnown, firstSeen := m.ofKnown, m.ofSeen
	if m.ofKnown, m.ofSeen = known, seen; run(other) >= left {
		m.ofKnown, m.ofSeen = firstKnown, firstSeen
	}
}

// changes says what became of everything.
func (m *matcher) changes() []Change {
	changes := make([]Change, 0, len(m.seen))
	taken := map[string]bool{}
	for i := range m.known {
		taken[m.known[i].ID] = true
	}
	ids := make([]string, len(m.seen))
	for _, s := range m.order {
		if m.ofSeen[s] != none {
			continue
		}
		for n := 0; ids[s] == "" || taken[ids[s]]; n++ {
			ids[s] = "op-" + shortHash(m.w.Account, m.s[s].id, m.s[s].strict, strconv.Itoa(n))
		}
		taken[ids[s]] = true
	}
	for s := range m.seen {
		switch k := m.ofSeen[s]; k {
		case none:
			changes = append(changes, Change{What: Added, ID: ids[s], Seen: s, Known: none, Body: m.seen[s].Body})
		case twice:
		default:
			c := changed(&m.known[k], m.seen[s].Body, m.w)
			c.Seen, c.Known = s, k
			ids[s] = c.ID
			changes = append(changes, c)
		}
	}
	for s := range m.seen {
		if m.ofSeen[s] == twice {
			changes = append(changes, Change{What: Repeated, ID: ids[m.first[s]], Seen: s, Known: none, Body: m.seen[s].Body})
		}
	}
	return append(changes, m.missing()...)
}

// missing says what is known and was not given, though it should have been.
func (m *matcher) missing() []Change {
	if !m.w.Complete || m.w.Delta {
		return nil
	}
	given := map[string]bool{}
	for k, s := range m.ofKnown {
		if s != none {
			given[m.k[k].strict] = true
		}
	}
	var list []Change
	for k := range m.known {
		if m.ofKnown[k] != none || !m.expected(k) {
			continue
		}
		one := Change{ID: m.known[k].ID, Seen: none, Known: k, Body: m.known[k].Body}
		since := m.known[k].Absent
		switch {
		case since == "":
			one.What = Absent
		case m.k[k].status == pending && daysBetween(since, m.w.Today) >= lapsesAfter, m.k[k].status == booked && since < m.w.Today && given[m.k[k].strict]:
			one.What = Withdrawn
		default:
			continue
		}
		list = append(list, one)
	}
	return list
}

// expected reports whether something known should have been given.
func (m *matcher) expected(k int) bool {
	if m.k[k].status == pending {
		return m.w.Pending
	}
	day := m.k[k].day
	return day != "" && (m.w.From == "" || day >= addDays(m.w.From, overlapEdge)) && (m.w.To == "" || day < m.w.To)
}

// daysBetween returns how many days b is after a; 0 if one of them is none.
func daysBetween(a, b string) int {
	from, err1 := time.Parse(time.DateOnly, a)
	to, err2 := time.Parse(time.DateOnly, b)
	if err1 != nil || err2 != nil {
		return 0
	}
	return int(to.Sub(from).Hours() / 24)
}

func addDays(day string, n int) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	return t.AddDate(0, 0, n).Format(time.DateOnly)
}
