package bank_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
	"github.com/passerelle-cloud/passerelle/transfer/bank"
)

func TestConnectRefreshDisconnect(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, banktest.Config{})
		c := r.connect(banktest.Anne)
		if c.DaysLeft(time.Now()) < 178 || c.DaysLeft(time.Now()) > 180 {
			t.Errorf("%d days are left", c.DaysLeft(time.Now()))
		}
		got := r.refresh(c, r.presence())
		if got.Trouble != bank.None || len(got.Accounts) != 2 || got.Refreshed.IsZero() || got.Due.Before(time.Now().Add(5*time.Hour)) {
			t.Fatalf("%+v", got)
		}
		accounts, operations := r.records()
		if want := r.real(banktest.Anne); accounts != 2 || operations != want {
			t.Errorf("%d accounts and %d operations, not %d", accounts, operations, want)
		}
		for range 3 {
			r.refresh(c, nil)
		}
		if a, o := r.records(); a != accounts || o != operations {
			t.Errorf("then there are %d and %d", a, o)
		}
		if list, err := r.banks.Of(t.Context(), "alice"); err != nil || len(list) != 1 || len(list[0].Accounts) != 2 {
			t.Error(list, err)
		}
		if err := r.banks.Disconnect(t.Context(), "bob", c.ID); !errors.Is(err, bank.ErrNotFound) {
			t.Errorf("another one's: %v", err)
		}
		if err := r.banks.Disconnect(t.Context(), "alice", c.ID); err != nil {
			t.Error(err)
		}
		if s := r.bank.ConsentStatus(got.Consent); s != "terminatedByTpp" {
			t.Errorf("at the bank it is %s", s)
		}
		if got, err := r.banks.Connection(t.Context(), "alice", c.ID); err != nil || got.State != bank.Disconnected {
			t.Errorf("%+v %v", got, err)
		}
		if _, err := r.banks.Refresh(t.Context(), "alice", c.ID, nil, nil); !errors.Is(err, bank.ErrState) {
			t.Error(err)
		}
		// Connected anew, it is the same account with the same operations.
		r.refresh(r.connect(banktest.Anne), r.presence())
		if a, o := r.records(); a != accounts || o != operations {
			t.Errorf("connected anew there are %d and %d", a, o)
		}
	})
}

func TestWhatChangesAtTheBank(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t), banktest.Config{})
	c := r.connect(banktest.Anne)
	r.refresh(c, r.presence())
	_, before := r.records()
	iban := r.bank.IBANs(banktest.Anne)[0]
	o, err := r.bank.Add(iban, banktest.Operation{Status: "pending", Amount: -1234, Party: "Kiosque", Text: "CARTE KIOSQUE"})
	if err != nil {
		t.Fatal(err)
	}
	r.refresh(c, r.presence())
	if _, n := r.records(); n != before+1 {
		t.Errorf("a reservation: %d more", n-before)
	}
	if o, err = r.bank.Book(iban, o.Number); err != nil {
		t.Fatal(err)
	}
	r.refresh(c, r.presence())
	if _, n := r.records(); n != before+1 {
		t.Errorf("booked: %d more", n-before)
	}
	if _, err := r.bank.Correct(iban, o.Number, -1300, "KIOSQUE CORRIGE"); err != nil {
		t.Fatal(err)
	}
	r.refresh(c, r.presence())
	if _, n := r.records(); n != before+1 {
		t.Errorf("corrected: %d more", n-before)
	}
	found := false
	for line := range r.alice.Reader().Dataset(t.Context(), formats.Bank, "") {
		record, err := line.Parse()
		if err != nil {
			t.Fatal(err)
		}
		var op formats.BankOperation
		if err := json.Unmarshal(record.Body, &op); err == nil && op.Remittance == "KIOSQUE CORRIGE" {
			found = len(op.Corrections) == 2 && op.TransactionAmount.Amount == "-13.00"
		}
	}
	if !found {
		t.Error("what was corrected is not said")
	}
}

func TestTroublesAreNamed(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t), banktest.Config{})
	c := r.connect(banktest.Anne)
	r.refresh(c, r.presence())
	for name, x := range map[string]struct {
		fault banktest.Fault
		want  bank.Trouble
	}{
		"down":       {banktest.Fault{Kind: banktest.StatusCode, Status: 503, RetryAfter: 7200}, bank.BankDown},
		"too often":  {banktest.Fault{Kind: banktest.StatusCode, Status: 429, RetryAfter: 7200}, bank.TooOften},
		"a page":     {banktest.Fault{Kind: banktest.HTML, Path: "/accounts"}, bank.Unreadable},
		"one amount": {banktest.Fault{Kind: banktest.Amount, Value: "1.00E+2", Count: 1}, bank.Partly},
		"one cut":    {banktest.Fault{Kind: banktest.Huge, Bytes: 40 << 20, Path: "/transactions", Count: 1}, bank.Partly},
	} {
		if err := r.bank.Break(x.fault); err != nil {
			t.Fatal(err)
		}
		got := r.refresh(c, r.presence())
		if got.Trouble != x.want || got.State != bank.Connected {
			t.Errorf("%s: %+v", name, got.Detail)
		}
		if x.fault.RetryAfter > 0 && got.Due.Before(time.Now().Add(119*time.Minute)) {
			t.Errorf("%s: it is asked again at %s", name, got.Due)
		}
		r.bank.Mend()
		if got := r.refresh(c, r.presence()); got.Trouble != bank.None || got.Failures != 0 {
			t.Errorf("%s, and then: %+v", name, got.Detail)
		}
	}
	r.mu.Lock()
	r.fail = errors.New("full")
	r.mu.Unlock()
	if got := r.refresh(c, r.presence()); got.Trouble != bank.HomeRefuses {
		t.Errorf("%+v", got.Detail)
	}
	r.mu.Lock()
	r.fail = nil
	r.mu.Unlock()
	if err := r.bank.Close(r.bank.IBANs(banktest.Anne)[1]); err != nil {
		t.Fatal(err)
	}
	got := r.refresh(c, r.presence())
	if n := 0; true {
		for _, a := range got.Accounts {
			if a.Closed && a.Trouble == bank.Closed {
				n++
			}
		}
		if n != 1 || got.State != bank.Connected {
			t.Errorf("one is closed: %+v", got)
		}
	}
	if err := r.bank.Revoke(got.Consent); err != nil {
		t.Fatal(err)
	}
	if got = r.refresh(c, r.presence()); got.State != bank.Withdrawn || !got.Due.IsZero() {
		t.Errorf("withdrawn: %+v", got)
	}
}

func TestExpiredAndAgain(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t), banktest.Config{})
	c := r.connect(banktest.Anne)
	first := r.refresh(c, r.presence())
	if err := r.bank.Expire(first.Consent); err != nil {
		t.Fatal(err)
	}
	got := r.refresh(c, nil)
	if got.State != bank.Expired || got.Trouble != bank.SignIn || !got.Due.IsZero() {
		t.Fatalf("%+v", got)
	}
	_, before := r.records()
	step, err := r.banks.Again(t.Context(), "alice", c.ID, time.Time{}, r.presence().Presence)
	if err != nil {
		t.Fatal(err)
	}
	again := r.back(step, banktest.Anne)
	if again.ID != c.ID || again.Consent == first.Consent {
		t.Errorf("%+v", again)
	}
	if got := r.refresh(c, r.presence()); got.Trouble != bank.None || len(got.Former) != 0 {
		t.Errorf("%+v", got.Detail)
	}
	if _, n := r.records(); n != before {
		t.Errorf("%d became %d", before, n)
	}
}

func TestTheAnswerToNothing(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t), banktest.Config{})
	step, err := r.banks.Connect(t.Context(), bank.Wish{Person: "alice", Bank: "sandbox", Until: time.Now().AddDate(0, 1, 0), Information: wants}, r.presence().Presence)
	if err != nil {
		t.Fatal(err)
	}
	for who, state := range map[string]string{"alice": "nonsense", "bob": r.state(), "": ""} {
		if _, _, err := r.banks.Back(t.Context(), who, url.Values{"state": {state}}, r.presence().Presence); !errors.Is(err, bank.ErrVisit) {
			t.Errorf("%s: %v", who, err)
		}
	}
	c, _, err := r.banks.Back(t.Context(), "alice", url.Values{"state": {r.state()}}, r.presence().Presence)
	if err != nil || c.State != bank.Waiting || c.ID != step.Connection {
		t.Errorf("not finished yet: %+v %v", c, err)
	}
	if err := r.bank.Refuse(r.bank.Consents()[0].ID); err != nil {
		t.Fatal(err)
	}
	if c, _, err = r.banks.Back(t.Context(), "alice", url.Values{"state": {r.state()}}, r.presence().Presence); err != nil || c.State != bank.Declined {
		t.Errorf("refused: %+v %v", c, err)
	}
}

func TestRefreshesComeByThemselves(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, banktest.Config{})
		c := r.connect(banktest.Anne)
		long := time.Now().Add(-time.Minute).UnixMicro()
		if _, err := db.Write.Exec(`UPDATE bank_connection SET due = $1`, long); err != nil {
			t.Fatal(err)
		}
		if n, err := r.banks.Wake(t.Context()); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.queue.Run(ctx) }()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			got, err := r.banks.Connection(t.Context(), "alice", c.ID)
			if err != nil {
				t.Fatal(err)
			}
			if !got.Refreshed.IsZero() {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("nothing happens: %+v", got)
			}
		}
		stop()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if _, n := r.records(); n != r.real(banktest.Anne) {
			t.Errorf("%d operations", n)
		}
	})
}

func TestWhatThePersonDidInTheHomeStays(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t), banktest.Config{})
	c := r.connect(banktest.Anne)
	iban := r.bank.IBANs(banktest.Anne)[0]
	add := func(text string) int {
		o, err := r.bank.Add(iban, banktest.Operation{Status: "pending", Amount: -777, Party: "P", Text: text})
		if err != nil {
			t.Fatal(err)
		}
		return o.Number
	}
	deleted, labelled := add("ONE TO DELETE"), add("ONE TO LABEL")
	r.refresh(c, r.presence())
	for line := range r.alice.Reader().Dataset(t.Context(), formats.Bank, "") {
		record, err := line.Parse()
		if err != nil {
			t.Fatal(err)
		}
		var op formats.BankOperation
		if record.Kind != formats.KindOperation || json.Unmarshal(record.Body, &op) != nil {
			continue
		}
		switch op.Remittance {
		case "ONE TO DELETE":
			err = r.drop(t.Context(), "alice", record.ID)
		case "ONE TO LABEL":
			err = r.change(t.Context(), "alice", []string{record.ID}, func(before map[string]formats.Record) ([]formats.Record, error) {
				record := before[record.ID]
				record.Body = append(record.Body[:len(record.Body)-1], `,"category":"mine"}`...)
				record.Links = append(record.Links, formats.Link{Rel: "bill", Dataset: formats.Bills, ID: "b"})
				return []formats.Record{record}, nil
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{deleted, labelled} {
		if _, err := r.bank.Book(iban, n); err != nil {
			t.Fatal(err)
		}
	}
	r.refresh(c, r.presence())
	seen := ""
	for line := range r.alice.Reader().Dataset(t.Context(), formats.Bank, "") {
		record, err := line.Parse()
		if err != nil {
			t.Fatal(err)
		}
		var op formats.BankOperation
		if record.Kind == formats.KindOperation && json.Unmarshal(record.Body, &op) == nil && op.TransactionAmount.Amount == "-7.77" {
			seen += fmt.Sprint(op.Remittance, " ", op.Status, " ", op.Category, " ", len(record.Links), ";")
		}
	}
	if seen != "ONE TO LABEL booked mine 2;" {
		t.Errorf("it is %q", seen)
	}
}
