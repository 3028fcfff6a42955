package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/reconcile"
)

// operation reads "ID DATE AMOUNT CATEGORY TEXT"; a category "-" is none.
func operation(t testing.TB, line string) reconcile.Operation {
	t.Helper()
	f := strings.SplitN(line, " ", 5)
	if len(f) < 5 {
		t.Fatalf("%q", line)
	}
	o := reconcile.Operation{ID: f[0]}
	o.TransactionDate, o.TransactionAmount, o.Remittance = f[1], formats.Amount{Currency: "EUR", Amount: formats.Decimal(f[2])}, f[4]
	if f[3] != "-" {
		o.Category = f[3]
	}
	return o
}

// invoice reads "ID DATE AMOUNT ISSUER".
func invoice(line string) reconcile.Bill {
	f := strings.SplitN(line, " ", 4)
	return reconcile.Bill{Ref: reconcile.Ref{Dataset: formats.Bills, ID: f[0]}, Bill: formats.Bill{Issuer: f[3], Date: f[1], Amount: formats.Amount{Currency: "EUR", Amount: formats.Decimal(f[2])}}}
}

// refund reads "ID DATE AMOUNT GROUP PAID ON ISSUER"; a group "-" is none.
func refund(line string) reconcile.Bill {
	f := strings.SplitN(line, " ", 7)
	b := invoice(f[0] + " " + f[1] + " " + f[2] + " " + f[6])
	b.Dataset, b.Category, b.Refund, b.OriginalDate = formats.Health, "health_costs", true, f[5]
	b.OriginalAmount = &formats.Amount{Currency: "EUR", Amount: formats.Decimal(f[4])}
	if f[3] != "-" {
		b.GroupAmount = &formats.Amount{Currency: "EUR", Amount: formats.Decimal(f[3])}
	}
	return b
}

func say(list []reconcile.Link) string {
	var out []string
	for _, l := range list {
		text := fmt.Sprintf("%s %s %s %s %s", l.Bill.ID, l.Role, l.Operation, l.Amount.Amount, l.Rule)
		if l.Partial {
			text += " partial"
		}
		if l.SameAs.ID != "" {
			text += " as " + l.SameAs.ID
		}
		out = append(out, text)
	}
	return strings.Join(out, "\n")
}

func TestWhatIsLinked(t *testing.T) {
	for _, c := range []struct {
		name        string
		operations  []string
		bills       []reconcile.Bill
		corrections []reconcile.Correction
		want        string
		proposed    string
	}{
		{"the best for all, where the nearest for each is wrong",
			[]string{"o1 2026-03-10 -20.00 - PRLV FALBALA", "o2 2026-03-22 -20.00 - PRLV FALBALA"},
			[]reconcile.Bill{invoice("b1 2026-03-03 20.00 Falbala"), invoice("b2 2026-03-11 20.00 Falbala")}, nil,
			"b1 debit o1 20.00 amount\nb2 debit o2 20.00 amount", ""},
		{"no name, no link", []string{"o1 2026-03-10 -20.00 - CB GASTON"}, []reconcile.Bill{invoice("b1 2026-03-10 20.00 Falbala")}, nil, "", ""},
		{"another currency is another amount", []string{"o1 2026-03-10 -20.00 - FALBALA"},
			[]reconcile.Bill{{Ref: reconcile.Ref{Dataset: formats.Bills, ID: "b1"}, Bill: formats.Bill{Issuer: "Falbala", Date: "2026-03-10", Amount: formats.Amount{Currency: "CHF", Amount: "20.00"}}}}, nil, "", ""},
		{"0.1 and 0.2 are 0.3", []string{"o1 2026-03-10 -0.3 - FALBALA"}, []reconcile.Bill{invoice("b1 2026-03-09 0.1 Falbala"), invoice("b2 2026-03-09 0.20 Falbala")}, nil,
			"b1 debit o1 0.10 sum\nb2 debit o1 0.20 sum", ""},
		{"one that is as good makes it a question", []string{"o1 2026-03-10 -20.00 - CB FALBALA", "o2 2026-03-11 -20.00 - CB FALBALA NORD"}, []reconcile.Bill{invoice("b1 2026-03-10 20.00 Falbala")}, nil,
			"", "b1 debit o1 20.00 amount"},
		{"insurers' bills of one purchase, and a payment for two", []string{"o1 2026-03-01 -30.00 400610 CB DR KORBEL", "o2 2026-03-02 -10.00 400610 CB PHARMACIE", "o3 2026-03-09 25.50 400620 VIR CPAM", "o4 2026-03-12 9.00 400620 VIR ZIRKON"},
			[]reconcile.Bill{refund("r1 2026-03-08 19.00 25.50 30.00 2026-03-01 Ameli"), refund("r2 2026-03-08 6.50 25.50 10.00 2026-03-02 Ameli"), refund("r3 2026-03-11 9.00 - 30.00 2026-03-01 Zirkon")}, nil,
			"r1 credit o3 19.00 group\nr1 debit o1 30.00 amount\nr2 credit o3 6.50 group\nr2 debit o2 10.00 amount\nr3 credit o4 9.00 amount\nr3 debit o1 30.00 amount as r1", ""},
		{"a payment that the bills do not name", []string{"o1 2026-03-09 25.50 400620 VIR CPAM"}, []reconcile.Bill{refund("r1 2026-03-08 19.00 - 30.00 2026-01-01 Ameli"), refund("r2 2026-03-08 6.50 - 10.00 2026-01-02 Ameli")}, nil,
			"r1 credit o1 19.00 sum\nr2 credit o1 6.50 sum", ""},
		{"less than it says", []string{"o1 2026-03-09 17.00 400620 VIR CPAM"}, []reconcile.Bill{refund("r1 2026-03-08 19.00 - 30.00 2026-01-01 Ameli")}, nil, "r1 credit o1 17.00 short partial", ""},
		{"less than a payment for two says", []string{"o1 2026-03-09 17.00 400620 VIR CPAM"}, []reconcile.Bill{refund("r1 2026-03-08 17.50 19.00 30.00 2026-01-01 Ameli"), refund("r2 2026-03-08 1.50 19.00 10.00 2026-01-02 Ameli")}, nil,
			"r1 credit o1 17.00 short partial", ""},
		{"much less is something else", []string{"o1 2026-03-09 11.00 400620 VIR CPAM"}, []reconcile.Bill{refund("r1 2026-03-08 19.00 - 30.00 2026-01-01 Ameli")}, nil, "", ""},
		{"in three", []string{"o1 2026-03-09 -33.34 - FALBALA", "o2 2026-04-09 -33.33 - FALBALA", "o3 2026-05-09 -33.33 - FALBALA"}, []reconcile.Bill{invoice("b1 2026-03-08 100.00 Falbala")}, nil,
			"b1 debit o1 33.34 parts\nb1 debit o2 33.33 parts\nb1 debit o3 33.33 parts", ""},
		{"groceries are no care", []string{"o1 2026-03-01 -30.00 groceries CB DR KORBEL"}, []reconcile.Bill{refund("r1 2026-03-08 19.00 - 30.00 2026-03-01 Ameli")}, nil, "", ""},
		{"another insurer's payment", []string{"o1 2026-03-09 19.00 400620 VIR ZIRKON"}, []reconcile.Bill{refund("r1 2026-03-08 19.00 - 30.00 2026-01-01 Ameli"), refund("r2 2026-03-01 7.00 - 30.00 2026-01-01 Zirkon")}, nil, "", ""},
		{"the person says no, and then the next best", []string{"o1 2026-03-10 -20.00 - CB FALBALA", "o2 2026-03-27 -20.00 - CB FALBALA"}, []reconcile.Bill{invoice("b1 2026-03-10 20.00 Falbala")},
			[]reconcile.Correction{{Bill: reconcile.Ref{Dataset: formats.Bills, ID: "b1"}, Operation: "o1", Role: reconcile.Debit, Verdict: reconcile.Rejected}}, "b1 debit o2 20.00 amount", ""},
		{"the person links some of it, the rest follows", []string{"o1 2026-03-10 -15.00 - CB GASTON", "o2 2026-03-12 -5.00 - CB FALBALA"}, []reconcile.Bill{invoice("b1 2026-03-10 20.00 Falbala")},
			[]reconcile.Correction{{Bill: reconcile.Ref{Dataset: formats.Bills, ID: "b1"}, Operation: "o1", Role: reconcile.Debit, Verdict: reconcile.ByHand}}, "b1 debit o1 15.00 person\nb1 debit o2 5.00 amount", ""},
		{"more bills than an operation holds", []string{"o1 2026-03-10 -25.00 - CB GASTON"}, []reconcile.Bill{invoice("b1 2026-03-10 20.00 Falbala"), invoice("b2 2026-03-10 20.00 Falbala")},
			[]reconcile.Correction{{Bill: reconcile.Ref{Dataset: formats.Bills, ID: "b1"}, Operation: "o1", Role: reconcile.Debit, Verdict: reconcile.ByHand}, {Bill: reconcile.Ref{Dataset: formats.Bills, ID: "b2"}, Operation: "o1", Role: reconcile.Debit, Verdict: reconcile.ByHand}},
			"b1 debit o1 20.00 person\nb2 debit o1 5.00 person partial", ""},
		{"amounts that are none", []string{"o1 2026-03-10 -1.00E+2 - FALBALA", "o2 2026-03-10 -0 - FALBALA", "o3 2026-03-10 -123456789012345678901234567890.12 - FALBALA"}, []reconcile.Bill{invoice("b1 2026-03-10 100 Falbala"), invoice("b2 2026-03-10 0 Falbala"), invoice("b3 2026-03-10 123456789012345678901234567890.12 Falbala")}, nil,
			"b1 debit o1 100.00 amount", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := reconcile.Input{Bills: c.bills, Corrections: c.corrections, Rules: rulesOf(t, "FR")}
			for _, line := range c.operations {
				in.Operations = append(in.Operations, operation(t, line))
			}
			result := reconcile.Run(in)
			if got := say(result.Links); got != c.want {
				t.Errorf("linked:\n%s\nnot:\n%s", got, c.want)
			}
			if got := say(result.Proposals); got != c.proposed {
				t.Errorf("proposed:\n%s\nnot:\n%s", got, c.proposed)
			}
		})
	}
}

// Where an insurer paid whoever gave the care nothing moves at the bank, and nothing is looked for.
func TestThirdPartyPayers(t *testing.T) {
	b := refund("r1 2026-03-08 19.00 - 30.00 2026-03-01 Ameli")
	b.ThirdPartyPayer = true
	result := reconcile.Run(reconcile.Input{Operations: []reconcile.Operation{operation(t, "o1 2026-03-09 19.00 400620 VIR CPAM")}, Bills: []reconcile.Bill{b}, Rules: rulesOf(t, "FR")})
	if len(result.Links) != 0 || len(result.Undecided) != 1 || result.Undecided[0].Reason != reconcile.ThirdParty {
		t.Errorf("%+v", result)
	}
}

// Thousands that all fit each other end in time, and nothing is linked of which nobody could say why this one.
func TestCrowdsEnd(t *testing.T) {
	var in reconcile.Input
	in.Rules = rulesOf(t, "FR")
	for i := range 10_000 {
		in.Operations = append(in.Operations, operation(t, fmt.Sprintf("o%d 2026-03-%02d -20.00 - CB FALBALA", i, 1+i%28)))
	}
	for i := range 2_000 {
		in.Bills = append(in.Bills, invoice(fmt.Sprintf("b%d 2026-03-%02d 20.00 Falbala", i, 1+i%28)))
	}
	begun := time.Now()
	result := reconcile.Run(in)
	t.Logf("%v, %d links, %d proposals, %d undecided", time.Since(begun), len(result.Links), len(result.Proposals), len(result.Undecided))
	if len(result.Links) > 0 || time.Since(begun) > 30*time.Second {
		t.Errorf("%d links in %v", len(result.Links), time.Since(begun))
	}
	if !slices.ContainsFunc(result.Undecided, func(u reconcile.Undecided) bool { return u.Reason == reconcile.TooMany }) {
		t.Error("nobody is told")
	}
}

// usualHealth is a person whose insurers both paid for two purchases, and what is missing of a third.
func usualHealth(t *testing.T, more ...string) reconcile.Input {
	in := reconcile.Input{Rules: rulesOf(t, "FR")}
	for _, line := range append([]string{
		"o1 2026-01-05 -30.00 400610 CB DR KORBEL", "o2 2026-01-12 19.00 400620 VIR CPAM", "o3 2026-01-15 9.00 400620 VIR ZIRKON",
		"o4 2026-02-05 -30.00 400610 CB DR KORBEL", "o5 2026-02-12 19.00 400620 VIR CPAM", "o6 2026-02-15 9.00 400620 VIR ZIRKON",
		"o9 2026-06-01 -5.00 groceries CB GASTON"}, more...) {
		in.Operations = append(in.Operations, operation(t, line))
	}
	in.Bills = []reconcile.Bill{refund("r1 2026-01-11 19.00 - 30.00 2026-01-05 Ameli"), refund("r2 2026-01-14 9.00 - 30.00 2026-01-05 Zirkon"),
		refund("r3 2026-02-11 19.00 - 30.00 2026-02-05 Ameli"), refund("r4 2026-02-14 9.00 - 30.00 2026-02-05 Zirkon")}
	return in
}

func TestAlerts(t *testing.T) {
	for _, c := range []struct {
		name       string
		operations []string
		bills      []reconcile.Bill
		on         string
		want       string
	}{
		{"all is well", nil, nil, "2026-06-02", ""},
		{"nobody announced anything", []string{"o7 2026-03-10 -50.00 400610 CB DENTISTE"}, nil, "2026-04-10", "late insurance Ameli 50.00 2026-03-31 send-proof"},
		{"it is too early", []string{"o7 2026-03-10 -50.00 400610 CB DENTISTE"}, nil, "2026-03-31", ""},
		{"it is too little", []string{"o7 2026-03-10 -4.90 400610 CB PHARMACIE"}, nil, "2026-04-10", ""},
		{"nobody wants to know any more", []string{"o7 2026-03-10 -50.00 400610 CB DENTISTE"}, nil, "2027-04-10", ""},
		{"the second insurer is missing", []string{"o7 2026-03-10 -50.00 400610 CB DENTISTE", "o8 2026-03-18 35.00 400620 VIR CPAM"}, []reconcile.Bill{refund("r5 2026-03-17 35.00 - 50.00 2026-03-10 Ameli")}, "2026-04-30",
			"late complementary Zirkon 15.00 2026-04-09 send-statement"},
		{"announced, and not paid", []string{"o7 2026-03-10 -50.00 400610 CB DENTISTE"}, []reconcile.Bill{refund("r5 2026-03-17 35.00 - 50.00 2026-03-10 Ameli"), refund("r6 2026-03-17 15.00 15.00 50.00 2026-03-10 Zirkon")}, "2026-04-30",
			"late insurance Ameli 35.00 2026-04-01 ask-payment\nlate complementary Zirkon 15.00 2026-04-07 ask-payment"},
		{"less was paid", []string{"o7 2026-03-10 -50.00 400610 CB DENTISTE", "o8 2026-03-18 33.00 400620 VIR CPAM"}, []reconcile.Bill{refund("r5 2026-03-17 35.00 - 50.00 2026-03-10 Ameli"), refund("r6 2026-03-17 15.00 - 50.00 2026-03-10 Mutuelle Rubis")}, "2026-04-30",
			"short insurance Ameli 2.00 2026-04-01 ask-difference"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := usualHealth(t, c.operations...)
			in.Bills = append(in.Bills, c.bills...)
			on, err := time.Parse(time.DateOnly, c.on)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range reconcile.Alerts(in, reconcile.Run(in), on) {
				got = append(got, fmt.Sprintf("%s %s %s %s %s %s", a.Kind, a.Payer, a.Issuer, a.Missing.Amount, a.Due, a.Advice))
			}
			slices.Sort(got)
			want := strings.Split(c.want, "\n")
			slices.Sort(want)
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("got:\n%s\nnot:\n%s", strings.Join(got, "\n"), c.want)
			}
		})
	}
}

// The alert about a purchase is the same one before and after an insurer has announced something.
func TestAlertsKeepTheirID(t *testing.T) {
	ids := func(bills ...reconcile.Bill) (list []string) {
		in := usualHealth(t, "o7 2026-03-10 -50.00 400610 CB DENTISTE")
		in.Bills = append(in.Bills, bills...)
		for _, a := range reconcile.Alerts(in, reconcile.Run(in), time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)) {
			if a.Payer == reconcile.Insurance {
				list = append(list, a.ID)
			}
		}
		return list
	}
	before, after := ids(), ids(refund("r5 2026-03-17 35.00 - 50.00 2026-03-09 Ameli"))
	if len(before) != 1 || !slices.Equal(before, after) {
		t.Errorf("%v, then %v", before, after)
	}
}

func TestSum(t *testing.T) {
	total, ok := reconcile.Sum(eur(1), eur(2), formats.Amount{Currency: "EUR", Amount: "0.001"})
	if !ok || total.Amount != "0.031" {
		t.Errorf("%v, %v", total, ok)
	}
	for name, list := range map[string][]formats.Amount{"nothing": nil, "two currencies": {eur(1), {Currency: "CHF", Amount: "1"}}, "too much": {{Currency: "EUR", Amount: "1e300"}}, "too precise": {{Currency: "EUR", Amount: "0.00001"}}} {
		if total, ok := reconcile.Sum(list...); ok {
			t.Errorf("%s: %v", name, total)
		}
	}
}
