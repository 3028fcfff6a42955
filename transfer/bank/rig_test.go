package bank_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/gdpr"
	"github.com/passerelle-cloud/passerelle/compliance/psd2"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats"
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
