package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/problem"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/api"
	"github.com/passerelle-cloud/passerelle/transfer/money"
)

// TestNoByteAfterAWithdrawal lets grants, reads and withdrawals race, on SQLite at one gateway and on PostgreSQL at three,
// and checks the history: no byte is handed over by a gateway after a withdrawal has returned. The connections are pipes
// without any buffer, so that a byte that a reader gets was handed over during that very Read.
func TestNoByteAfterAWithdrawal(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		race(t, []*consenttest.Fixture{consenttest.New(t, dbtest.SQLite(t))})
	})
	t.Run("postgres", func(t *testing.T) {
		where := dbtest.PostgresURL(t)
		var replicas []*consenttest.Fixture
		for i := range 3 {
			db, err := sqldb.Open(t.Context(), where)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			if i == 0 {
				replicas = append(replicas, consenttest.New(t, db))
			} else {
				replicas = append(replicas, replicas[0].Replica(t, db))
			}
		}
		race(t, replicas)
	})
}

func race(t *testing.T, replicas []*consenttest.Fixture) {
	replicas[0].Service(t, "reader")
	var servers []*pipes
	for _, f := range replicas {
		servers = append(servers, serve(t, f, endless{}))
	}
	var all, streamed, cut atomic.Int64
	var wg sync.WaitGroup
	for person := range 6 {
		wg.Go(func() {
			for round := range 4 {
				h := history{person: fmt.Sprintf("person-%d", person), round: round}
				all.Add(1)
				h.run(t, replicas, servers)
				streamed.Add(h.bytes.Load())
				cut.Add(h.cut.Load())
			}
		})
	}
	wg.Wait()
	t.Logf("%d consents, %d bytes, %d streams cut", all.Load(), streamed.Load(), cut.Load())
	if streamed.Load() == 0 || cut.Load() == 0 {
		t.Error("nothing raced")
	}
}

// history is one consent, from its beginning to its end.
type history struct {
	person    string
	round     int
	withdrawn atomic.Bool // the withdrawal has returned
	bytes     atomic.Int64
	cut       atomic.Int64
}

func (h *history) run(t *testing.T, replicas []*consenttest.Fixture, servers []*pipes) {
	c := replicas[rand.IntN(len(replicas))].Grant(t, "reader", h.person)
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for !h.withdrawn.Load() {
				h.read(t, servers[rand.IntN(len(servers))], c.ID)
			}
			h.read(t, servers[rand.IntN(len(servers))], c.ID) // once more
		})
	}
	time.Sleep(time.Duration(rand.IntN(1200)) * time.Millisecond)
	if _, err := replicas[rand.IntN(len(replicas))].Withdraw(t.Context(), consent.Ending{Consent: c.ID, Person: h.person, State: consent.Withdrawn}); err != nil {
		t.Error(err)
	}
	h.withdrawn.Store(true)
	readers.Wait()
}

// read reads a stream to its end, now fast, now slowly.
func (h *history) read(t *testing.T, from *pipes, consentID string) {
	conn, err := from.dial()
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /data/%s HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nAccept: application/x-ndjson\r\nX-Consent: %s\r\n\r\n", []string{"contacts", "calendar"}[rand.IntN(2)], consentID)
	slow := rand.IntN(3) == 0
	buf := make([]byte, 32<<10)
	first := true
	for {
		if slow {
			time.Sleep(time.Duration(rand.IntN(900)) * time.Millisecond)
		}
		late := h.withdrawn.Load()
		n, err := conn.Read(buf)
		if first && n > 12 && string(buf[9:12]) != "200" {
			return // refused
		}
		if n > 0 && late && string(buf[:n]) != "0\r\n\r\n" { // the mark of the end holds no data
			t.Errorf("%s, round %d: %d bytes were handed over after the withdrawal had returned", h.person, h.round, n)
		}
		first = false
		h.bytes.Add(int64(n))
		if err != nil {
			h.cut.Add(1)
			return
		}
	}
}

// pipes is a listener without any network, and without any buffer.
type pipes struct {
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.ended) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p *pipes) dial() (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

// serve serves an instance of everybody's through pipes. Who calls says themselves which consent they have.
func serve(t testing.TB, f *consenttest.Fixture, instance transfer.Reader) *pipes {
	p := &pipes{conns: make(chan net.Conn), ended: make(chan struct{})}
	srv := &http.Server{Handler: handler(f, instance)}
	go srv.Serve(p)
	t.Cleanup(func() { srv.Close() })
	return p
}

func handler(f *consenttest.Fixture, instance transfer.Reader) http.Handler {
	a := api.New(api.Options{
		Authority: f.Authority, Rate: 1_000_000, Burst: 1_000_000,
		Caller: func(r *http.Request) (*consent.Consent, error) {
			c, err := f.OfService(r.Context(), r.Header.Get("X-Consent"), "reader")
			return &c, err
		},
		Denied: func(w http.ResponseWriter, _ *http.Request, err error) {
			problem.Problem{Type: "denied", Title: err.Error(), Status: http.StatusUnauthorized}.Write(w)
		},
		Instance: func(context.Context, string) (transfer.Reader, error) { return instance, nil },
		Codecs:   codecs(),
		Overdue: func(_ context.Context, person string) (money.Overdue, error) {
			return money.Overdue{AsOf: "2026-11-02", Count: 2, Amounts: []formats.Amount{{Currency: "EUR", Amount: "61.50"}}}, nil
		},
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /data/changes", a.Changes)
	mux.HandleFunc("GET /data/answers/{question}", a.Answer)
	mux.HandleFunc("GET /data/{dataset}", a.Dataset)
	mux.HandleFunc("GET /data/{dataset}/{id}", a.Record)
	mux.HandleFunc("GET /data/{dataset}/{id}/content", a.Content)
	return mux
}

// endless is an instance with more contacts than anybody reads, and a calendar that is sent in one go.
type endless struct{}

func (endless) Position(context.Context) (operators.Position, error) { return 1, nil }
func (endless) Wait(ctx context.Context, _ operators.Position) (operators.Position, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func (endless) Record(context.Context, formats.Dataset, string) (operators.Line, error) {
	return operators.Line{}, operators.ErrNotFound
}

func (endless) Content(context.Context, formats.Blob) (io.ReadSeekCloser, error) {
	return nil, errors.New("none")
}

func (endless) Dataset(ctx context.Context, d formats.Dataset, _ string) iter.Seq2[operators.Line, error] {
	return func(yield func(operators.Line, error) bool) {
		for n := 0; ctx.Err() == nil; n++ {
			if d == formats.Calendar && n == 10 {
				return
			}
			if !yield(operators.Line{Dataset: d, ID: "c", Bytes: []byte(`{"id":"c","dataset":"contacts","kind":"card","body":{"@type":"Card","version":"1.0","name":{"full":"Somebody"}}}`)}, nil) {
				return
			}
		}
		yield(operators.Line{}, ctx.Err())
	}
}

func (e endless) Changes(ctx context.Context, _, _ operators.Position, _ []formats.Dataset) iter.Seq2[operators.Line, error] {
	return e.Dataset(ctx, formats.Contacts, "")
}
