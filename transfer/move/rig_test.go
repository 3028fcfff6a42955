package move_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/operators/keys"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/api"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// operator is one of two that trust each other: its own database, log, home and keys, its gateway, and the network that
// it calls others over.
type operator struct {
	*consenttest.Fixture
	t       testing.TB
	id      string
	dir     string
	home    *home.Home
	keys    *keys.Files
	server  *httptest.Server
	weather *weather
	ahead   atomic.Int64 // by how much its clock is wrong, nanoseconds
	fence   time.Duration
	says    diary
	change  func(*move.SenderOptions, *move.ReceiverOptions) // nil: as they are

	mu      sync.Mutex
	trusted map[string]*operator
	hides   map[string]bool // operators that it does not trust any more
	now     *process
}

// process is what a start of the gateway runs, and what ends when it is killed.
type process struct {
	*move.Sender
	*move.Receiver
	ctx   context.Context
	stop  context.CancelFunc
	work  sync.WaitGroup
	calls atomic.Int64
	dies  int64 // at which call; 0: it does not
}

var errKilled = errors.New("the process was killed")

// point is where a process can be killed.
func (p *process) point() error {
	if n := p.calls.Add(1); p.dies > 0 && n >= p.dies {
		p.stop()
	}
	if p.ctx.Err() != nil {
		return errKilled
	}
	return nil
}

// newPair opens two operators, each on a database of its own.
func newPair(t testing.TB, a, b *sqldb.DB) (*operator, *operator) {
	t.Helper()
	one, other := newOperator(t, "a.example", a), newOperator(t, "b.example", b)
	one.trusts(other)
	other.trusts(one)
	one.start(0)
	other.start(0)
	return one, other
}

func newOperator(t testing.TB, id string, db *sqldb.DB) *operator {
	t.Helper()
	o := &operator{t: t, id: id, dir: t.TempDir(), fence: time.Minute, trusted: map[string]*operator{}, hides: map[string]bool{}, weather: &weather{under: http.DefaultTransport}}
	o.Fixture = consenttest.New(t, db, func(c *consent.Options) {
		c.Operator.ID = id
		c.Decided = func(ctx context.Context, tx *sql.Tx, c consent.Consent) error {
			if c.State.Valid() {
				return nil
			}
			return o.running().Withdrawn(ctx, tx, c.ID)
		}
	})
	var err error
	if o.home, err = home.Open(context.Background(), db, filepath.Join(o.dir, "blobs")); err != nil {
		t.Fatal(err)
	}
	if o.keys, err = keys.OpenFiles(context.Background(), filepath.Join(o.dir, "keys")); err != nil {
		t.Fatal(err)
	}
	o.server = httptest.NewServer(http.HandlerFunc(o.serve))
	t.Cleanup(func() {
		o.kill()
		o.weather.late.Wait()
		o.server.Close()
	})
	return o
}

// trusts pins another operator, which is an OAuth client then.
func (o *operator) trusts(other *operator) {
	o.t.Helper()
	o.trusted[other.id] = other
	o.Service(o.t, other.id, func(s *consent.Service) { s.Operator = true })
}

// signed is what an operator says of itself now.
func (o *operator) signed(ctx context.Context) (*statement.Signed, error) {
	return keys.Describe(ctx, statement.Operator{ID: statement.OperatorID(o.id), LegalName: "Operator " + o.id}, o.keys)
}

// peer is the newest statement of an operator that is trusted.
func (o *operator) peer(ctx context.Context, id string) (*statement.Signed, error) {
	o.mu.Lock()
	other := o.trusted[id]
	if o.hides[id] {
		other = nil
	}
	o.mu.Unlock()
	if other == nil {
		return nil, fmt.Errorf("%w: %s", statement.ErrUnknown, id)
	}
	return other.signed(ctx)
}

func (o *operator) distrust(id string, hide bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hides[id] = hide
}

func (o *operator) clock() time.Time { return time.Now().Add(time.Duration(o.ahead.Load())) }

func (o *operator) running() *process {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.now
}

// start starts the gateway's moves; dies is at which call it is killed, 0 for never.
func (o *operator) start(dies int64) *process {
	o.t.Helper()
	p := &process{dies: dies}
	p.ctx, p.stop = context.WithCancel(context.Background())
	sends, receives := o.senderOptions(p), o.receiverOptions(p)
	if o.change != nil {
		o.change(&sends, &receives)
	}
	var err error
	if p.Sender, err = move.OpenSender(context.Background(), o.DB, o.Ledger, sends); err != nil {
		o.t.Fatal(err)
	}
	if p.Receiver, err = move.OpenReceiver(context.Background(), o.DB, o.Ledger, receives); err != nil {
		o.t.Fatal(err)
	}
	p.work.Go(func() { p.Sender.Run(p.ctx) })
	p.work.Go(func() { p.Receiver.Run(p.ctx) })
	o.mu.Lock()
	o.now = p
	o.mu.Unlock()
	return p
}

// kill ends the gateway's moves at whatever they are.
func (o *operator) kill() {
	if p := o.running(); p != nil {
		p.stop()
		p.work.Wait()
	}
}

func (o *operator) restart(dies int64) *process {
	o.kill()
	return o.start(dies)
}

// serve answers as the gateway does while it runs.
func (o *operator) serve(w http.ResponseWriter, r *http.Request) {
	p := o.running()
	if p.ctx.Err() != nil {
		http.Error(w, "nobody is here", http.StatusBadGateway)
		return
	}
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	defer context.AfterFunc(p.ctx, stop)()
	o.routes(p).ServeHTTP(w, r.WithContext(ctx))
}

func (o *operator) routes(p *process) http.Handler {
	moves := api.Moves{Sender: p.Sender, API: api.New(api.Options{Authority: o.Authority,
		Caller: func(r *http.Request) (*consent.Consent, error) {
			c, err := o.OfService(r.Context(), r.Header.Get("X-Consent"), r.Header.Get("X-Operator"))
			if err == nil && !c.Valid(time.Now()) {
				err = consent.ErrDenied
			}
			return &c, err
		},
		Denied: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusUnauthorized)
		},
	})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /moves", moves.Begin)
	mux.HandleFunc("GET /moves/{id}", moves.Standing)
	mux.HandleFunc("GET /moves/{id}/blobs", moves.Blobs)
	mux.HandleFunc("POST /moves/{id}/blobs", moves.Parcel)
	mux.HandleFunc("PUT /moves/{id}/blobs", moves.Spare)
	mux.HandleFunc("PUT /moves/{id}/archives/{n}", moves.Archive)
	mux.HandleFunc("GET /moves/{id}/archives/{n}/{file}", moves.File)
	mux.HandleFunc("PUT /moves/{id}/fence", moves.Fence)
	mux.HandleFunc("PUT /moves/{id}/acceptance", moves.Accept)
	mux.HandleFunc("PUT /moves/{id}/abort", moves.Abort)
	mux.HandleFunc("GET /moves/{id}/receipt", moves.Receipt)
	mux.HandleFunc("GET /moves/{id}/certificate", moves.Certificate)
	return mux
}

func (o *operator) signer(p *process) func(context.Context) (crypto.Signer, error) {
	return func(ctx context.Context) (crypto.Signer, error) {
		if err := p.point(); err != nil {
			return nil, err
		}
		s, err := o.keys.Signer(ctx, statement.UseArchive)
		return s.Signer, err
	}
}

// log is where a gateway says what it does. A test can look what it said, and see it as it goes.
func (o *operator) log() *slog.Logger {
	to := io.Writer(&o.says)
	if os.Getenv("PASSERELLE_MOVE_LOG") != "" {
		to = io.MultiWriter(to, os.Stderr)
	}
	return slog.New(slog.NewTextHandler(to, nil)).With("at", o.id)
}

// diary keeps what is written to it, a line a write.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) Write(line []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, string(line))
	return len(line), nil
}

// about returns what was written about a move.
func (d *diary) about(id string) (all string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, line := range d.lines {
		if strings.Contains(line, id) {
			all += line
		}
	}
	return all
}

const pace = 6 * time.Millisecond

func (o *operator) senderOptions(p *process) move.SenderOptions {
	return move.SenderOptions{
		Operator: archive.Party{ID: o.id, Name: o.id}, Dir: filepath.Join(o.dir, "leaving"), Signer: o.signer(p), Peer: o.peer, Now: o.clock, Pace: pace, Fence: o.fence, Log: o.log(),
		Instance: func(ctx context.Context, person string) (operators.Source, error) {
			i, err := o.home.Instance(ctx, person)
			if err = errors.Join(err, p.point()); err != nil {
				return nil, err
			}
			return i.Source(), nil
		},
		Pseudonym: func(ctx context.Context, person, operator string) (string, error) {
			i, err := o.home.Instance(ctx, person)
			if err != nil {
				return "", err
			}
			return i.Pseudonym(operator), nil
		},
		Content: func(ctx context.Context, person string, blob formats.Hash) (io.ReadCloser, error) {
			i, err := o.home.Instance(ctx, person)
			if err != nil {
				return nil, err
			}
			return i.Reader().Content(ctx, formats.Blob{SHA256: blob})
		},
		Hold: func(ctx context.Context, tx *sql.Tx, person string, hold bool) error {
			if err := p.point(); err != nil {
				return err
			}
			return errors.Join(o.home.Hold(ctx, tx, person, hold), p.point())
		},
		Export: func(ctx context.Context, person string, to *statement.Signed, source operators.Source) (transfer.Export, error) {
			return o.export(ctx, person, to, source)
		},
		Authorised: func(ctx context.Context, m move.Move) (bool, error) {
			c, err := o.OfService(ctx, m.Consent, m.Peer)
			return err == nil && c.Valid(time.Now()), err
		},
		Erase: o.erase,
	}
}

func (o *operator) export(ctx context.Context, person string, to *statement.Signed, source operators.Source) (transfer.Export, error) {
	own, err := o.signed(ctx)
	if err != nil {
		return transfer.Export{}, err
	}
	signer, err := o.keys.Signer(ctx, statement.UseArchive)
	if err != nil {
		return transfer.Export{}, err
	}
	party := archive.Party{ID: string(to.Statement.ID)}
	e := transfer.Export{Source: source, Operator: archive.Party{ID: o.id, Name: o.id}, Signer: signer.Signer, Statement: own.Raw(), Schemas: formats.Schemas(), Recipient: &party, Now: o.clock()}
	e.Recipients, err = to.Recipients()
	return e, err
}

// erase removes somebody who has moved.
func (o *operator) erase(ctx context.Context, person string) (string, error) {
	if _, err := o.EndAll(ctx, person, "moved"); err != nil {
		return "", err
	}
	if err := o.home.Delete(ctx, person); err != nil && !errors.Is(err, operators.ErrNotFound) {
		return "", err
	}
	s, err := o.keys.Signer(ctx, statement.UseArchive)
	if err != nil {
		return "", err
	}
	return statement.SignJWS(s.Signer, "erasure", []byte(person))
}

func (o *operator) receiverOptions(p *process) move.ReceiverOptions {
	return move.ReceiverOptions{
		Operator: archive.Party{ID: o.id, Name: o.id}, Dir: filepath.Join(o.dir, "arriving"), Signer: o.signer(p), Peer: o.peer, Now: o.clock, Pace: pace, Log: o.log(),
		Connect: func(ctx context.Context, from *statement.Signed, tokens string) (*move.Link, error) {
			return o.connect(p, string(from.Statement.ID), tokens), p.point()
		},
		Archive: o.open, Identities: o.keys.Identities,
		Staging: o.staging(p),
		Room: func(ctx context.Context, person string, stays bool) (int64, bool, error) {
			i, err := o.home.Instance(ctx, person)
			if errors.Is(err, operators.ErrNotFound) {
				return 0, false, nil
			}
			if err != nil {
				return 0, false, err
			}
			return i.Left(ctx, stays)
		},
	}
}

// connect is the way to another operator. The tokens are the consent itself.
func (o *operator) connect(p *process, to, tokens string) *move.Link {
	o.mu.Lock()
	defer o.mu.Unlock()
	client := &http.Client{Transport: o.weather, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &move.Link{URL: o.trusted[to].server.URL, Plain: client, Send: func(ctx context.Context, method, url string, header http.Header, body []byte) (*http.Response, error) {
		if err := p.point(); err != nil {
			return nil, err
		}
		r, err := http.NewRequestWithContext(ctx, method, url, readerOf(body))
		if err != nil {
			return nil, err
		}
		for name, values := range header {
			r.Header[name] = values
		}
		r.Header.Set("X-Consent", tokens)
		r.Header.Set("X-Operator", o.id)
		answer, err := client.Do(r)
		if killed := p.point(); killed != nil && err == nil {
			answer.Body.Close()
			return nil, killed
		}
		return answer, err
	}}
}

func (o *operator) open(ctx context.Context, index string) (*archive.Archive, archive.Expectations, error) {
	identities, err := o.keys.Identities(ctx)
	if err != nil {
		return nil, archive.Expectations{}, err
	}
	pins := &statement.Pins{}
	for id := range o.trusted {
		signed, err := o.peer(ctx, id)
		if err == nil {
			err = pins.Pin(signed)
		}
		if err != nil {
			return nil, archive.Expectations{}, err
		}
	}
	a, err := archive.Open([]string{index}, archive.OpenOptions{Identities: identities})
	return a, archive.Expectations{Judge: archive.JudgeBy(pins), Recipient: o.id, Now: o.clock()}, err
}

func (o *operator) staging(p *process) move.Staging {
	return move.Staging{
		Target: func(ctx context.Context, id, person string) (operators.Target, error) {
			i, err := o.home.Stage(ctx, id, person)
			if err = errors.Join(err, p.point()); err != nil {
				return nil, err
			}
			return i.Target(), nil
		},
		Source: func(ctx context.Context, id string) (operators.Source, error) {
			i, err := o.home.Staged(ctx, id)
			if err != nil {
				return nil, err
			}
			return i.Source(), p.point()
		},
		Content: func(ctx context.Context, id string, blob formats.Hash) (io.ReadCloser, error) {
			i, err := o.home.Staged(ctx, id)
			if err != nil {
				return nil, err
			}
			return i.Reader().Content(ctx, formats.Blob{SHA256: blob})
		},
		Held: o.home.Held,
		Owns: o.home.Owns,
		Take: func(ctx context.Context, id, person string, blobs []formats.Blob) error {
			return errors.Join(o.home.Take(ctx, id, person, blobs), p.point())
		},
		Adopt: func(ctx context.Context, tx *sql.Tx, id, person string) (bool, error) {
			adopted, err := o.home.Adopt(ctx, tx, id, person)
			return adopted, errors.Join(err, p.point())
		},
		Release: func(ctx context.Context, tx *sql.Tx, person string) error { return o.home.Hold(ctx, tx, person, false) },
		Into: func(ctx context.Context, person string) (operators.Target, error) {
			i, err := o.home.Instance(ctx, person)
			if err = errors.Join(err, p.point()); err != nil {
				return nil, err
			}
			return i.Target(), nil
		},
		Discard: func(ctx context.Context, id string) error {
			return errors.Join(p.point(), o.home.Discard(ctx, id), p.point())
		},
	}
}

// leaves has a person say yes at this operator to a move to another, and returns the consent.
func (o *operator) leaves(person string, to *operator) string {
	o.t.Helper()
	details, err := json.Marshal([]any{map[string]any{"type": consent.InstanceMove, "destination": to.id}})
	if err != nil {
		o.t.Fatal(err)
	}
	r := o.AskFor(o.t, consent.Asking{Service: to.id, Details: details})
	c, err := o.Authority.Grant(context.Background(), o.Decision(o.t, r, person), nil)
	if err != nil {
		o.t.Fatal(err)
	}
	return c.ID
}

func name() string { return "p" + rand.Text()[:12] }
