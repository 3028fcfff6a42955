package reconcile

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// AlertKind is what is wrong with a reimbursement.
type AlertKind string

// The kinds of alerts.
const (
	Late  AlertKind = "late"  // it has not come
	Short AlertKind = "short" // less came than was announced
)

// Advice is what a person can do about it.
type Advice string

// The kinds of advice.
const (
	AskPayment    Advice = "ask-payment"    // the insurer announced a payment that did not come: ask for it
	AskDifference Advice = "ask-difference" // ask why less was paid
	SendProof     Advice = "send-proof"     // nobody announced anything: send the proof of the care
	SendStatement Advice = "send-statement" // send the health insurance's statement to the complementary insurer
)

// Alert is a reimbursement that a person should ask about.
type Alert struct {
	ID        string // the same in each run
	Kind      AlertKind
	Payer     Payer
	Issuer    string
	Who       string // gave the care
	Day       string // of the care
	Due       string // the day until which it is usually there
	Paid      formats.Amount
	Missing   formats.Amount // what was announced and did not come; of what nobody announced, the most that it can be
	Announced bool
	Advice    Advice
	Operation string // that paid the care; "" if it is not known
	Bills     []Ref
}

// Alerts says which reimbursements are late or short on a day, of the purchases that [Run] found. Nobody is told of an insurer
// from whom nothing ever came: their payments may go to an account that is not here.
func Alerts(in Input, found Result, asOf time.Time) []Alert {
	w := &watcher{rules: in.Rules, today: parseDay(asOf.Format(time.DateOnly)), known: map[string]*insurer{}}
	w.learn(in, found)
	var list []Alert
	for i := range found.Purchases {
		p := &found.Purchases[i]
		if w.today-p.day <= day(in.Rules.Health.Forget) {
			list = append(list, w.announced(p)...)
			list = append(list, w.silent(p)...)
		}
	}
	slices.SortStableFunc(list, func(a, b Alert) int { return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.ID, b.ID)) })
	return together(list)
}

// together makes one alert of those about one purchase and one kind of insurer: several of them may each owe some of it.
func together(list []Alert) (out []Alert) {
	for _, a := range list {
		last := len(out) - 1
		if last < 0 || out[last].ID != a.ID {
			out = append(out, a)
			continue
		}
		if sum, ok := Sum(out[last].Missing, a.Missing); ok {
			out[last].Missing = sum
		}
		if a.Kind == Late {
			out[last].Kind, out[last].Advice = Late, a.Advice
		}
	}
	return out
}

// watcher looks at purchases.
type watcher struct {
	rules *Rules
	today day
	bank  day // of the newest operation
	known map[string]*insurer
	third []day // of bills that were paid for the person
}

// insurer is what is known of who refunds.
type insurer struct {
	name        string
	payer       Payer
	late        int
	first, last day // of care that they refunded
	purchases   int
	pays        bool // payments of theirs were found
}

func (w *watcher) learn(in Input, found Result) {
	w.bank = noDay
	for i := range in.Operations {
		o := &in.Operations[i]
		w.bank = max(w.bank, parseDay(cmp.Or(o.TransactionDate, o.BookingDate, o.ValueDate)))
	}
	for i := range in.Bills {
		if b := &in.Bills[i]; b.ThirdPartyPayer {
			w.third = append(w.third, parseDay(cmp.Or(b.OriginalDate, b.Date)))
		}
	}
	for i := range found.Purchases {
		p := &found.Purchases[i]
		for _, b := range p.Back {
			k := w.known[b.issuer.folded]
			if k == nil {
				k = &insurer{name: b.Issuer, payer: b.Payer, late: w.rules.Health.Late, first: p.day, last: p.day}
				if v := b.issuer.vendor; v != nil {
					k.late = cmp.Or(v.Late, k.late)
				}
				w.known[b.issuer.folded] = k
			}
			k.purchases++
			k.first, k.last = min(k.first, p.day), max(k.last, p.day)
			k.pays = k.pays || b.received > 0
		}
	}
}

// announced are the alerts about what insurers said that they pay.
func (w *watcher) announced(p *Purchase) (list []Alert) {
	for _, b := range p.Back {
		due := b.day + day(b.after)
		missing := b.announced - b.received
		if missing <= 0 || b.Doubt || !w.known[b.issuer.folded].pays || w.today <= due || w.bank < due {
			continue
		}
		a := w.alert(p, b.Payer, b.Issuer, due)
		a.Kind, a.Announced, a.Advice, a.Missing = Late, true, AskPayment, missing.amount(p.Amount.Currency)
		if b.received > 0 {
			a.Kind, a.Advice = Short, AskDifference
		}
		list = append(list, a)
	}
	return list
}

// silent are the alerts about insurers who said nothing of a purchase, where they usually do.
func (w *watcher) silent(p *Purchase) []Alert {
	if p.Operation == "" || p.rest < w.rules.Health.least || slices.ContainsFunc(w.third, func(d day) bool { return d >= p.day-1 && d <= p.day+1 }) {
		return nil // it is not known that the person paid, or the insurers paid for them
	}
	for _, payer := range []Payer{Insurance, Complementary} {
		if slices.ContainsFunc(p.Back, func(b Back) bool { return b.Payer == payer }) {
			continue
		}
		k := w.usual(payer, p.day)
		if k == nil {
			continue
		}
		due := p.day + day(k.late)
		if w.today <= due || w.bank < due {
			return nil
		}
		a := w.alert(p, payer, k.name, due)
		a.Kind, a.Missing, a.Advice = Late, p.Rest, SendProof
		if payer == Complementary && len(p.Back) > 0 {
			a.Advice = SendStatement
		}
		return []Alert{a} // the second insurer waits for the first
	}
	return nil
}

// usual is the insurer who refunds purchases at that time; nil if there is none.
func (w *watcher) usual(payer Payer, at day) *insurer {
	var best *insurer
	for _, k := range w.known {
		if k.payer == payer && k.pays && k.purchases > 1 && at >= k.first && at <= k.last+day(w.rules.Health.Forget) &&
			(best == nil || k.last > best.last || k.last == best.last && k.name < best.name) {
			best = k
		}
	}
	return best
}

func (w *watcher) alert(p *Purchase, payer Payer, issuer string, due day) Alert {
	sum := sha256.Sum256([]byte("alert\n" + p.Key + "\n" + string(payer)))
	return Alert{ID: "alert-" + hex.EncodeToString(sum[:12]), Payer: payer, Issuer: named(issuer), Who: named(p.Who), Day: p.Day, Due: due.String(), Paid: p.Amount, Operation: p.Operation, Bills: p.Bills}
}
