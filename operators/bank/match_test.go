package bank

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// op writes an operation: "booked 2026-03-02 -12.50 Café"; "id=…" and "e2e=…" may follow.
func op(t *testing.T, text string) formats.BankOperation {
	t.Helper()
	words := strings.Fields(text)
	if len(words) < 4 {
		t.Fatalf("%q is no operation", text)
	}
	o := formats.BankOperation{Status: words[0], TransactionAmount: formats.Amount{Currency: "EUR", Amount: formats.Decimal(words[2])}}
	if o.Status == booked {
		o.BookingDate = words[1]
	} else {
		o.ValueDate = words[1]
	}
	for _, w := range words[3:] {
		if id, ok := strings.CutPrefix(w, "id="); ok {
			o.TransactionID = id
		} else if id, ok := strings.CutPrefix(w, "e2e="); ok {
			o.EndToEndID = id
		} else {
			o.Remittance = strings.TrimSpace(o.Remittance + " " + w)
		}
	}
	return o
}

func known(t *testing.T, texts ...string) []Known {
	var list []Known
	for i, text := range texts {
		list = append(list, Known{ID: fmt.Sprintf("k%d", i), Body: op(t, text)})
	}
	return list
}

func seen(t *testing.T, texts ...string) []Operation {
	var list []Operation
	for _, text := range texts {
		list = append(list, Operation{Body: op(t, text)})
	}
	return list
}

func march() Covered {
	return Covered{From: "2026-03-01", To: "2026-03-31", Complete: true, Pending: true, IDs: true, Today: "2026-03-31"}
}

// told writes changes as "k0 same, + added, …".
func told(changes []Change) string {
	var list []string
	for _, c := range changes {
		id := c.ID
		if c.Known == none {
			id = "+"
		}
		list = append(list, id+" "+string(c.What))
	}
	return strings.Join(list, ", ")
}

func TestMatch(t *testing.T) {
	cases := map[string]struct {
		known, seen []string
		want        string
	}{
		"nothing known":                         {nil, []string{"booked 2026-03-05 -1 A"}, "+ added"},
		"the same again":                        {[]string{"booked 2026-03-05 -1 A"}, []string{"booked 2026-03-05 -1.00 A"}, "k0 same"},
		"byte by byte":                          {[]string{"booked 2026-03-05 -1 A"}, []string{"booked 2026-03-05 -1 A"}, "k0 same"},
		"two alike stay two":                    {[]string{"booked 2026-03-05 -1 A", "booked 2026-03-05 -1 A"}, []string{"booked 2026-03-05 -1 A", "booked 2026-03-05 -1 A"}, "k0 same, k1 same"},
		"a second one like it":                  {[]string{"booked 2026-03-05 -1 A"}, []string{"booked 2026-03-05 -1 A", "booked 2026-03-05 -1 A"}, "k0 same, + added"},
		"ids change":                            {[]string{"booked 2026-03-05 -1 A id=1", "booked 2026-03-05 -1 A id=2"}, []string{"booked 2026-03-05 -1 A id=8", "booked 2026-03-05 -1 A id=9"}, "k0 same, k1 same"},
		"ids are mixed up":                      {[]string{"booked 2026-03-05 -1 A id=1", "booked 2026-03-05 -2 B id=2"}, []string{"booked 2026-03-05 -1 A id=2", "booked 2026-03-05 -2 B id=1"}, "k0 same, k1 same"},
		"given twice under its id":              {nil, []string{"booked 2026-03-05 -1 A id=1", "booked 2026-03-05 -1 A id=1"}, "+ added, + repeated"},
		"two ids are two":                       {nil, []string{"booked 2026-03-05 -1 A id=1", "booked 2026-03-05 -1 A id=2"}, "+ added, + added"},
		"an id used for another":                {[]string{"booked 2026-03-05 -1 A id=1"}, []string{"booked 2026-03-05 -1 A id=7", "booked 2026-03-09 -5 Rent id=1"}, "k0 same, + added"},
		"booked":                                {[]string{"pending 2026-03-05 -9.90 CARD KIOSK"}, []string{"booked 2026-03-07 -9.90 KIOSK PARIS"}, "k0 booked"},
		"booked with a tip, under its id":       {[]string{"pending 2026-03-05 -40 RESTAURANT LILAS id=p"}, []string{"booked 2026-03-07 -44 RESTAURANT LILAS id=p"}, "k0 booked"},
		"booked with a tip":                     {[]string{"pending 2026-03-05 -40 RESTAURANT LILAS"}, []string{"booked 2026-03-07 -44 RESTAURANT LILAS"}, "k0 booked"},
		"booked, and another like it pending":   {[]string{"pending 2026-03-05 -2 CAFE"}, []string{"booked 2026-03-05 -2 CAFE", "pending 2026-03-05 -2 CAFE"}, "+ added, k0 same"},
		"something else is booked":              {[]string{"pending 2026-03-05 -9.90 KIOSK"}, []string{"booked 2026-03-07 -9.90 SPOTIFY"}, "+ added, k0 absent"},
		"pending and booked at once":            {[]string{"pending 2026-03-05 -2 CAFE id=1"}, []string{"pending 2026-03-05 -2 CAFE id=1", "booked 2026-03-06 -2 CAFE id=1"}, "k0 booked, + repeated"},
		"an old answer":                         {[]string{"booked 2026-03-07 -9.90 KIOSK PARIS"}, []string{"pending 2026-03-05 -9.90 KIOSK PARIS"}, "k0 same"},
		"the day moves":                         {[]string{"booked 2026-03-10 -7 BAKER"}, []string{"booked 2026-03-11 -7 BAKER"}, "k0 changed"},
		"the day moves onto that of another":    {[]string{"booked 2026-03-10 -7 BAKER", "booked 2026-03-11 -7 BAKER"}, []string{"booked 2026-03-11 -7 BAKER", "booked 2026-03-11 -7 BAKER"}, "k1 same, k0 changed"},
		"the text is written anew":              {[]string{"booked 2026-03-10 -7 CB*9912"}, []string{"booked 2026-03-10 -7 Boulangerie Martin"}, "k0 changed"},
		"the sign turns":                        {[]string{"booked 2026-03-10 -7 BAKER"}, []string{"booked 2026-03-10 7 BAKER"}, "k0 changed"},
		"bought and given back":                 {[]string{"booked 2026-03-10 -7 BAKER"}, []string{"booked 2026-03-10 -7 BAKER", "booked 2026-03-10 7 BAKER"}, "k0 same, + added"},
		"two payments to one, end to end":       {[]string{"booked 2026-03-10 -7 X e2e=a"}, []string{"booked 2026-03-10 -7 X e2e=b"}, "+ added, k0 absent"},
		"not given any more":                    {[]string{"booked 2026-03-10 -7 BAKER"}, nil, "k0 absent"},
		"not given, but from the days before":   {[]string{"booked 2026-03-02 -7 BAKER", "booked 2026-02-27 -7 BAKER"}, nil, ""},
		"another currency is another operation": {[]string{"booked 2026-03-10 -7 BAKER"}, []string{"booked 2026-03-10 -7 BAKER"}, "k0 same"},
	}
	for name, c := range cases {
		if got := told(Match(known(t, c.known...), seen(t, c.seen...), march())); got != c.want {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
	}
}

func TestMatchForgetsOnlyWhatIsSurelyGone(t *testing.T) {
	list := known(t, "pending 2026-03-10 -50 HOTEL", "pending 2026-03-10 -60 FUEL", "booked 2026-03-10 -7 BAKER", "booked 2026-03-12 -8 TWIN", "booked 2026-03-12 -8 TWIN")
	list[0].Absent, list[1].Absent, list[2].Absent, list[3].Absent = "2026-03-20", "2026-03-25", "2026-03-11", "2026-03-30"
	if got, want := told(Match(list, seen(t, "booked 2026-03-12 -8 TWIN"), march())), "k4 same, k0 withdrawn, k3 withdrawn"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	list[3].Absent, list[4].Absent = "", "2026-03-30"
	if got, want := told(Match(list, seen(t, "booked 2026-03-12 -8 TWIN"), march())), "k3 same, k0 withdrawn, k4 withdrawn"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	w := march()
	w.Complete = false
	if got := told(Match(list, nil, w)); got != "" {
		t.Errorf("what was refused may be one of them: %s", got)
	}
	w.Complete, w.Delta = true, true
	if got := told(Match(known(t, "booked 2026-03-10 -7 CAFE id=1"), seen(t, "booked 2026-03-10 -7 CAFE id=2"), w)); got != "+ added" {
		t.Errorf("among news: %s", got)
	}
}

func TestCorrectionsAreKept(t *testing.T) {
	k := Known{ID: "k", Body: op(t, "pending 2026-03-05 -40 RESTAURANT LILAS")}
	k.Body.Category = "food"
	c := Match([]Known{k}, seen(t, "booked 2026-03-07 -44 RESTAURANT LILAS id=9"), march())[0]
	if c.What != Booked || c.Body.Category != "food" || c.Body.TransactionID != "9" || len(c.Body.Corrections) != 1 {
		t.Fatalf("%+v", c)
	}
	if got, want := string(c.Body.Corrections[0].Was), `{"bookingDate":null,"status":"pending","transactionAmount":{"currency":"EUR","amount":"-40"},"valueDate":"2026-03-05"}`; got != want || c.Body.Corrections[0].Until != "2026-03-31" {
		t.Errorf("%s, not %s", got, want)
	}
	r, err := c.Record("a", seen(t, "booked 2026-03-07 -44 RESTAURANT LILAS id=9"))
	if err != nil {
		t.Fatal(err)
	}
	if err := formats.CheckBody(formats.KindOperation, r.Body); err != nil {
		t.Error(err)
	}
	for i := range 50 {
		amount := formats.Decimal(fmt.Sprint(-45 - i))
		now := c.Body
		now.Corrections, now.TransactionAmount.Amount = nil, amount
		c = Match([]Known{{ID: "k", Body: c.Body}}, []Operation{{Body: now}}, march())[0]
	}
	if n := len(c.Body.Corrections); n != maxCorrections || !strings.Contains(string(c.Body.Corrections[0].Was), `"-40"`) {
		t.Errorf("%d corrections, the first is %s", n, c.Body.Corrections[0].Was)
	}
}

// TestMatchIsBounded: a bank that gives very many operations that are all alike, or all a little different, does not keep the
// gateway busy.
func TestMatchIsBounded(t *testing.T) {
	const n = 20_000
	var before []Known
	var same, other []Operation
	for i := range n {
		o := op(t, "booked 2026-03-10 -7 BAKER")
		before = append(before, Known{ID: fmt.Sprint(i), Body: o})
		same = append(same, Operation{Body: o})
		o.BookingDate, o.Remittance = "2026-03-11", fmt.Sprint("BAKER ", i)
		other = append(other, Operation{Body: o})
	}
	start := time.Now()
	for _, c := range Match(before, same, march()) {
		if c.What != Same {
			t.Fatal(c.What)
		}
	}
	Match(before, other, march())
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it takes %s", took)
	}
}

// TestAccountsDoNotShareOperations: the same fee on two accounts is two operations, which have ids of their own.
func TestAccountsDoNotShareOperations(t *testing.T) {
	w := march()
	w.Account = "one"
	one := Match(nil, seen(t, "booked 2026-03-10 -1 FEE"), w)
	w.Account = "other"
	if other := Match(nil, seen(t, "booked 2026-03-10 -1 FEE"), w); one[0].ID == other[0].ID {
		t.Errorf("both are %s", one[0].ID)
	}
}

// TestAReservationIsFoundAmongMany: after weeks in which nobody looked.
func TestAReservationIsFoundAmongMany(t *testing.T) {
	var before []Known
	for i := range 2000 {
		before = append(before, Known{ID: fmt.Sprint("b", i), Body: op(t, fmt.Sprintf("booked 2026-02-05 -%d.01 OLD", i))})
	}
	before = append(before, Known{ID: "p", Body: op(t, "pending 2026-03-05 -9.90 KIOSK")}, Known{ID: "q", Body: op(t, "pending 2026-03-05 -50 FUEL STATION")})
	var now []Operation
	for i := range 2000 {
		now = append(now, Operation{Body: op(t, fmt.Sprintf("booked 2026-03-20 -%d.02 NEW", i))})
	}
	now = append(now, seen(t, "booked 2026-03-07 -9.90 KIOSK PARIS", "booked 2026-03-07 -43.20 FUEL STATION")...)
	found := 0
	for _, c := range Match(before, now, march()) {
		if c.What == Booked && (c.ID == "p" || c.ID == "q") {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d of 2", found)
	}
}
