package bank_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/passerelle-cloud/passerelle/compliance/gdpr"
	"github.com/passerelle-cloud/passerelle/compliance/psd2"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/seal"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	atbank "github.com/passerelle-cloud/passerelle/operators/bank"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer/bank"
)

// rig is a gateway with a home, and the sandbox bank.
type rig struct {
	t         testing.TB
	db        *sqldb.DB
	bank      *banktest.Bank
	server    *httptest.Server
	homes     *home.Home
	alice     *home.Instance
	authority *consenttest.Fixture
	queue     *jobs.Queue
	options   bank.Options
	banks     *bank.Banks

	mu   sync.Mutex
	fail error  // of the home
	way  string // back from the bank, as it was told last
}

func newRig(t testing.TB, db *sqldb.DB, c banktest.Config, change ...func(*atbank.Profile)) *rig {
	t.Helper()
	r := &rig{t: t, db: db}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	r.bank, err = banktest.New(c)
	must(err)
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if back := q.Header.Get("TPP-Redirect-URI"); back != "" {
			r.mu.Lock()
			r.way = back
			r.mu.Unlock()
		}
		r.bank.ServeHTTP(w, q)
	}))
	t.Cleanup(r.server.Close)
	r.authority = consenttest.New(t, db, func(o *consent.Options) {
		o.Operator.Roles, o.Packs = []string{psd2.RoleAISP}, []consent.Pack{gdpr.Pack(), psd2.Pack()}
	})
	r.homes, err = home.Open(t.Context(), db, t.TempDir())
	must(err)
	r.alice, err = r.homes.Create(t.Context(), "alice", home.Options{})
	must(err)
	profile := atbank.Profile{ID: "sandbox", Name: "Banque Ruisseau", Country: "FR", Zone: "Europe/Paris", Sandbox: true, Standard: "xs2a-1.3", API: r.server.URL,
		SCA: atbank.SCA{Approach: atbank.Redirect, ClientID: "PSDFR-ACPR-12345"}, Limits: atbank.Limits{PerMinute: 6000}}
	for _, f := range change {
		f(&profile)
	}
	client, err := atbank.New(atbank.Config{Profile: profile})
	must(err)
	box, err := seal.New(make([]byte, 32), "bank connections")
	must(err)
	r.queue, err = jobs.New(t.Context(), db, jobs.Config{})
	must(err)
	r.options = bank.Options{DB: db, Authority: r.authority.Authority, Banks: []*atbank.Client{client}, Box: box, Queue: r.queue, Return: "https://gateway.example/banks/back",
		Home: bank.Home{Change: r.change, Drop: r.drop}}
	r.banks, err = bank.Open(t.Context(), r.options)
	must(err)
	must(r.queue.Handle(r.banks.Workers()...))
	return r
}

// change is how a program puts a home behind connections.
func (r *rig) change(ctx context.Context, person string, ids []string, become func(map[string]formats.Record) ([]formats.Record, error)) error {
	r.mu.Lock()
	fail := r.fail
	r.mu.Unlock()
	if fail != nil {
		return fail
	}
	i, err := r.homes.Instance(ctx, person)
	if err != nil {
		return err
	}
	return i.Revise(ctx, formats.Bank, ids[0], nil, func(ctx context.Context, s *home.Sight, _ *formats.Record) ([]formats.Record, error) {
		before := map[string]formats.Record{}
		for _, id := range ids {
			record, _, err := s.Record(ctx, formats.Bank, id)
			if err == nil {
				before[id] = record
			} else if !errors.Is(err, operators.ErrNotFound) {
				return nil, err
			}
		}
		return become(before)
	})
}

func (r *rig) drop(ctx context.Context, person, id string) error {
	i, err := r.homes.Instance(ctx, person)
	if err == nil {
		err = i.Drop(ctx, formats.Bank, id, nil)
	}
	if errors.Is(err, operators.ErrNotFound) {
		return nil
	}
	return err
}

func (r *rig) presence() *bank.Presence {
	return &bank.Presence{Presence: atbank.Presence{Address: "192.0.2.7"}, At: time.Now()}
}

var wants = []consent.Information{consent.AccountList, consent.Balances, consent.Transactions}

// connect connects Alice with the accounts of somebody at the bank.
func (r *rig) connect(who string) *bank.Connection {
	r.t.Helper()
	step, err := r.banks.Connect(r.t.Context(), bank.Wish{Person: "alice", Bank: "sandbox", Purpose: "my own overview", Until: time.Now().AddDate(1, 0, 0), Information: wants}, r.presence().Presence)
	if err != nil || step.Go == "" {
		r.t.Fatal(step, err)
	}
	return r.back(step, who)
}

// back is a person who agrees at the bank, and comes back.
func (r *rig) back(step *bank.Step, who string) *bank.Connection {
	r.t.Helper()
	for _, c := range r.bank.Consents() {
		if c.Status == "received" {
			if err := r.bank.Authorise(c.ID, who); err != nil {
				r.t.Fatal(err)
			}
			break
		}
	}
	c, next, err := r.banks.Back(r.t.Context(), "alice", url.Values{"state": {r.state()}}, r.presence().Presence)
	if err != nil || next != nil || c.State != bank.Connected {
		r.t.Fatal(c, next, err)
	}
	return c
}

// state is what the bank's redirect brings back.
func (r *rig) state() string {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if u, err := url.Parse(r.way); err == nil && u.Query().Get("state") != "" {
		return u.Query().Get("state")
	}
	r.t.Fatal("the bank knows no way back")
	return ""
}

func (r *rig) refresh(c *bank.Connection, p *bank.Presence) *bank.Connection {
	r.t.Helper()
	got, err := r.banks.Refresh(r.t.Context(), "alice", c.ID, p, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

// records counts what is in Alice's home.
func (r *rig) records() (accounts, operations int) {
	r.t.Helper()
	for line, err := range r.alice.Reader().Dataset(r.t.Context(), formats.Bank, "") {
		if err != nil {
			r.t.Fatal(err)
		}
		record, err := line.Parse()
		if err == nil {
			err = formats.CheckBody(record.Kind, record.Body)
		}
		if err != nil {
			r.t.Fatal(err)
		}
		if record.Kind == formats.KindAccount {
			accounts++
		} else {
			operations++
		}
	}
	return accounts, operations
}

// real counts what is at the bank.
func (r *rig) real(who string) (n int) {
	for _, iban := range r.bank.IBANs(who) {
		for _, o := range r.bank.Operations(iban) {
			if o.Status != "information" {
				n++
			}
		}
	}
	return n
}

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

func TestOneAtATime(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, banktest.Config{})
		c := r.connect(banktest.Anne)
		var wg sync.WaitGroup
		var mu sync.Mutex
		through, busy := 0, 0
		for range 6 {
			wg.Go(func() {
				_, err := r.banks.Refresh(t.Context(), "alice", c.ID, r.presence(), nil)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					through++
				case errors.Is(err, bank.ErrBusy):
					busy++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if through < 1 || through+busy != 6 {
			t.Errorf("%d came through, %d did not", through, busy)
		}
		if _, n := r.records(); n != r.real(banktest.Anne) {
			t.Errorf("%d operations, not %d", n, r.real(banktest.Anne))
		}
	})
}

// TestCutAnywhere stops a refresh at each of its steps, as if the process had died; the next one finds everything.
func TestCutAnywhere(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t), banktest.Config{PageSize: 200})
	c := r.connect(banktest.Anne)
	steps := 0
	for at := 1; ; at++ {
		ctx, die := context.WithCancel(t.Context())
		n := 0
		options := r.options
		options.Queue = nil
		step := func() {
			if n++; n == at {
				die()
			}
		}
		options.Home.Change = func(ctx context.Context, person string, ids []string, become func(map[string]formats.Record) ([]formats.Record, error)) error {
			step()
			err := r.change(context.WithoutCancel(ctx), person, ids, become)
			step()
			return errors.Join(err, ctx.Err())
		}
		banks, err := bank.Open(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		_, err = banks.Refresh(ctx, "alice", c.ID, r.presence(), func(bank.Progress) { step() })
		die()
		if err == nil {
			steps = at
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if a, n := r.records(); a != 2 || n != r.real(banktest.Anne) || steps < 8 {
		t.Errorf("after %d steps there are %d accounts and %d operations, not %d", steps, a, n, r.real(banktest.Anne))
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

// TestDisconnectedMeanwhile: somebody who disconnects while their bank is read is obeyed before the next page.
func TestDisconnectedMeanwhile(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t), banktest.Config{PageSize: 20})
	c := r.connect(banktest.Anne)
	pages := 0
	got, err := r.banks.Refresh(t.Context(), "alice", c.ID, r.presence(), func(p bank.Progress) {
		if pages++; pages == 3 {
			if err := r.banks.Disconnect(t.Context(), "alice", c.ID); err != nil {
				t.Error(err)
			}
		}
	})
	if pages > 5 || !errors.Is(err, bank.ErrState) && (err != nil || got.State != bank.Disconnected) { // the bank said so first
		t.Errorf("after %d pages: %+v, %v", pages, got, err)
	}
	if _, n := r.records(); n != 0 {
		t.Errorf("%d operations of half an account", n)
	}
	if got, err = r.banks.Connection(t.Context(), "alice", c.ID); err != nil || got.State != bank.Disconnected {
		t.Errorf("%+v %v", got, err)
	}
}

// TestWhatADeadProcessHeld: a process that died had the connection, until it is sure that it died.
func TestWhatADeadProcessHeld(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, banktest.Config{})
		c := r.connect(banktest.Anne)
		hold := func(until time.Time) {
			if _, err := db.Write.Exec(`UPDATE bank_connection SET leased = $1, holder = 'dead'`, until.UnixMicro()); err != nil {
				t.Fatal(err)
			}
		}
		hold(time.Now().Add(time.Minute))
		if _, err := r.banks.Refresh(t.Context(), "alice", c.ID, r.presence(), nil); !errors.Is(err, bank.ErrBusy) {
			t.Error(err)
		}
		if _, err := r.banks.Wake(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := r.banks.Refresh(t.Context(), "alice", c.ID, r.presence(), nil)
		if free := !errors.Is(err, bank.ErrBusy); free != db.Embedded() {
			t.Errorf("after a start: %v", err)
		}
		hold(time.Now().Add(-time.Second))
		r.refresh(c, r.presence())
	})
}

// BenchmarkWholeRetrieval is a first retrieval of five accounts with 5,000 operations each, with all that belongs to it: each page
// allowed and logged before, operations matched and kept, records in the home. It says how much longer that takes than to
// download the same pages.
func BenchmarkWholeRetrieval(b *testing.B) {
	floor, whole := time.Hour, time.Hour
	for b.Loop() {
		r := newRig(b, dbtest.SQLite(b), banktest.Config{Operations: 5000, PageSize: 500})
		c := r.connect(banktest.Bulk)
		start := time.Now()
		got := r.refresh(c, r.presence())
		whole = min(whole, time.Since(start))
		if _, n := r.records(); n < 25_000 {
			b.Fatalf("%d operations", n)
		}
		start = time.Now()
		r.download(got)
		floor = min(floor, time.Since(start))
	}
	b.ReportMetric(float64(whole)/float64(floor), "times-download")
	b.ReportMetric(whole.Seconds(), "s/retrieval")
}

// download reads the pages of all accounts and throws them away.
func (r *rig) download(c *bank.Connection) {
	r.t.Helper()
	for _, a := range c.Accounts {
		for at := r.server.URL + "/v1/accounts/" + a.Resource + "/transactions?bookingStatus=both&dateFrom=2000-01-01"; at != ""; {
			q, err := http.NewRequest(http.MethodGet, at, nil)
			if err != nil {
				r.t.Fatal(err)
			}
			q.Header = http.Header{"X-Request-Id": {uuid.NewString()}, "Consent-Id": {c.Consent}, "Psu-Ip-Address": {"192.0.2.7"}}
			got, err := http.DefaultClient.Do(q)
			if err != nil {
				r.t.Fatal(err)
			}
			text, err := io.ReadAll(got.Body)
			got.Body.Close()
			if err != nil || got.StatusCode != http.StatusOK {
				r.t.Fatal(got.Status, err)
			}
			at = ""
			if m := nextPage.FindSubmatch(text); m != nil {
				at = strings.ReplaceAll(string(m[1]), `\u0026`, "&")
			}
		}
	}
}

var nextPage = regexp.MustCompile(`"next":\{"href":"([^"]+)"`)
