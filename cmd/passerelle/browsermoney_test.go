package main

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/browsertest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// purse writes records of money to alice's instance, whose days are so long ago.
type purse struct {
	t     *testing.T
	alice *home.Instance
}

func openPurse(t *testing.T, data string) *purse {
	t.Helper()
	db, err := sqldb.Open(t.Context(), filepath.Join(data, "passerelle.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h, err := home.Open(t.Context(), db, filepath.Join(data, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	alice, err := h.Instance(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	return &purse{t, alice}
}

func (p *purse) put(d formats.Dataset, kind formats.Kind, id string, body any) {
	p.t.Helper()
	text, err := formats.MarshalBody(body)
	if err != nil {
		p.t.Fatal(err)
	}
	r := formats.Record{ID: id, Dataset: d, Kind: kind, Body: text}
	if err := p.alice.Revise(p.t.Context(), d, id, nil, func(context.Context, *home.Sight, *formats.Record) ([]formats.Record, error) {
		return []formats.Record{r}, nil
	}); err != nil {
		p.t.Fatal(err)
	}
}

func ago(days int) string { return time.Now().AddDate(0, 0, -days).Format(time.DateOnly) }

func euros(amount string) formats.Amount {
	return formats.Amount{Currency: "EUR", Amount: formats.Decimal(amount)}
}

func (p *purse) operation(id string, days int, amount, category, text string) {
	p.t.Helper()
	p.put(formats.Bank, formats.KindOperation, id, formats.BankOperation{BookingDate: ago(days), TransactionAmount: euros(amount), Category: category, Remittance: text})
}

func (p *purse) refund(id string, days int, amount, paid string, on int) {
	p.t.Helper()
	original := euros(paid)
	p.put(formats.Health, formats.KindBill, id, formats.Bill{Issuer: "Ameli", Date: ago(days), Amount: euros(amount), Refund: true, Category: "health_costs", OriginalAmount: &original, OriginalDate: ago(on), Title: "Dr Korbel"})
}

// fill gives alice an insurer who refunds, an expense that nobody refunded, and a bill that two operations could have paid.
func (p *purse) fill() {
	p.t.Helper()
	p.operation("care 1", 100, "-31.00", "400610", "CB DR KORBEL")
	p.operation("care 2", 80, "-31.00", "400610", "CB DR KORBEL")
	p.operation("refund 1", 92, "19.00", "400620", "VIR CPAM")
	p.operation("refund 2", 72, "17.50", "400620", "VIR CPAM")
	p.operation("care/3", 40, "-1260.50", "400610", "CB CABINET DENTAIRE DE LA PLACE <&>")
	p.operation("shop 1", 31, "-48.90", "", "CB FALBALA RENNES")
	p.operation("shop 2", 30, "-48.90", "", "CB FALBALA NANTES")
	p.operation("last", 1, "-12.00", "", "CB CAFE DE LA GARE")
	p.refund("statement 1", 93, "19.00", "31.00", 100)
	p.refund("statement 2", 73, "19.00", "31.00", 80)
	p.put(formats.Bills, formats.KindBill, "bill/1", formats.Bill{Issuer: "Falbala", Number: "F-1", Date: ago(31), Amount: euros("48.90"), Category: "clothes"})
}

// TestMoneyPages: a person sees their accounts, searches, is told of a late reimbursement and dismisses it, sees why a bill is
// linked, and corrects a link, which stays corrected.
func TestMoneyPages(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]browsertest.Options{
		"French, on a phone, dark": {Language: "fr", Width: 360, Height: 740, Phone: true, Dark: true},
		"English, on a computer":   {Language: "en", Width: 1280, Height: 900},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := beginVisit(t, o)
			openPurse(t, v.data).fill()
			v.register()
			v.open("/bills")
			v.press("bills.look")
			v.read("bills.looked")
			v.seesBank()
			v.seesAlert()
			v.correctsLinks()
			v.answers()
		})
	}
}

func (v *visit) seesBank() {
	v.t.Helper()
	v.open("/bank")
	v.read("bank.title", "bank.accounts", "bank.months", "bank.pays", "bank.waiting-see", "bank.older")
	v.inspect("bank")
	v.press("bank.same")
	v.inspect("bank-numbers")
	v.press("bank.older")
	v.read("bank.newer")
	v.Fill(v.say("bank.search"), "cafe de la gare")
	v.press("bank.find")
	v.See("CAFE DE LA GARE")
	v.NotSee("FALBALA")
	v.inspect("bank-search")
}

func (v *visit) seesAlert() {
	v.t.Helper()
	v.open("/consents")
	v.press("consents.overdue-see")
	v.read("alert.title", "alert.late", "alert.short", "alert.advice-send-proof", "alert.advice-ask-difference")
	v.inspect("bills")
	v.Click(v.say("alert.dismiss") + " (CB CABINET DENTAIRE")
	v.read("alert.dismissed-now")
	v.NotSee(v.say("alert.advice-send-proof"))
	v.press("bills.look")
	v.read("bills.looked")
	v.NotSee(v.say("alert.advice-send-proof"))
}

func (v *visit) correctsLinks() {
	v.t.Helper()
	v.open("/bills?q=falbala")
	v.read("bills.ask")
	v.Click("Falbala")
	v.read("bill.proposals", "bill.by-hand")
	v.Click(v.say("bill.why") + " (CB FALBALA")
	v.See(v.say("why.rule-amount"))
	v.inspect("bill")
	v.Click(v.say("bill.reject") + " (CB FALBALA RENNES")
	v.read("bill.rejected")
	v.See("FALBALA NANTES")
	v.inspect("bill-corrected")
	v.Click(v.say("bill.confirm") + " (CB FALBALA NANTES")
	v.Click(v.say("bill.why") + " (CB FALBALA NANTES")
	v.See(v.say("why.verdict-confirmed"))
	v.Click(v.say("bill.take-back") + " (CB FALBALA NANTES")
	v.Fill(v.say("bank.search"), "cafe")
	v.press("bank.find")
	v.Click(v.say("bill.link") + " (CB CAFE")
	v.read("bills.paid-part")
	v.Click(v.say("bill.why") + " (CB CAFE")
	v.See(v.say("why.rule-person"), v.say("why.partial"))
	v.inspect("bill-by-hand")
}

// answers lets a service have the sum of what is overdue, and nothing else.
func (v *visit) answers() {
	v.t.Helper()
	asked, err := v.service.Ask(v.t.Context(), []any{map[string]any{"type": "answer", "questions": []string{"reimbursements_overdue"},
		"purpose":   map[string]any{"iri": invitePurpose, "text": map[string]string{"en": "To remind you of what you are owed", "fr": "Vous rappeler ce qui vous est dû"}},
		"retention": "P30D", "frequency": "P1D", "expires": time.Now().AddDate(0, 3, 0).UTC().Format(time.RFC3339), "no_recipients": true, "third_country": "none"}}, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	v.Go(asked.URL)
	v.read("notice.answer", "notice.answer-only", "question.reimbursements_overdue", "prompt.answer")
	v.NotSee(v.say("set.health"), v.say("advice.whole"))
	v.inspect("prompt-answer")
	v.press("prompt.grant")
	tokens := v.redeem(asked)
	for path, want := range map[string]int{"/data/answers/reimbursements_overdue": http.StatusOK, "/data/health": http.StatusForbidden, "/data/bank": http.StatusForbidden} {
		answer, err := v.service.Get(v.t.Context(), v.g.url+path, tokens.Access, nil)
		if err != nil {
			v.t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != want || want == http.StatusOK && !strings.Contains(string(body), `"question":"reimbursements_overdue"`) {
			v.t.Errorf("%s: %s %s, %v", path, answer.Status, body, err)
		}
	}
	v.open("/consents")
	v.press("consents.see")
	v.read("consent.accesses")
	v.inspect("consent-answer")
}
