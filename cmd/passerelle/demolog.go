package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// logs has both operators serve their logs, each with the other as its witness, and checks them as somebody would who
// trusts neither.
func (d *demo) logs(ctx context.Context) (err error) {
	d.step("All of that was logged before it happened. Somebody who trusts neither operator checks both logs over HTTP.")
	a, err := d.serves(ctx, d.a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	b, err := d.serves(ctx, d.b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	opened := make(chan error, 1)
	go func() { opened <- a.open(ctx, b) }() // each asks the other at its start
	if err := errors.Join(b.open(ctx, a), <-opened); err != nil {
		return err
	}
	for _, pair := range [][2]*serving{{a, b}, {b, a}} {
		if err := d.checkLog(ctx, pair[0], pair[1]); err != nil {
			return err
		}
	}
	return d.proveHistory(ctx, b, a)
}

// serving is an operator's gateway that serves.
type serving struct {
	*operator
	listener net.Listener
	vkey     string // of the log
	wkey     string // of the witness
	http     *http.Server
	server   *server
}

func (d *demo) serves(ctx context.Context, o *operator) (*serving, error) {
	s := &serving{operator: o}
	var err error
	if s.vkey, err = o.vkey(ctx); err != nil {
		return nil, err
	}
	if s.wkey, err = o.witnessKey(ctx); err != nil {
		return nil, err
	}
	s.listener, err = net.Listen("tcp", "127.0.0.1:0")
	return s, err
}

func (s *serving) url() string { return "http://" + s.listener.Addr().String() }

// open begins to serve, with the other one as witness.
func (s *serving) open(ctx context.Context, other *serving) (err error) {
	command := serveCommand{Witness: []string{other.wkey + " " + other.url() + "/witness"}, Quorum: 1, Watch: []string{other.vkey}}
	if s.server, err = command.open(ctx, s.gateway, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	s.http = &http.Server{Handler: s.server.routes(), ReadHeaderTimeout: headerTimeout}
	go s.http.Serve(s.listener)
	return nil
}

func (s *serving) close() error {
	if s.server == nil {
		return s.listener.Close()
	}
	return errors.Join(s.http.Close(), s.server.ledger.Close())
}

// checkLog checks one log, and waits until the other operator has cosigned it.
func (d *demo) checkLog(ctx context.Context, s, witness *serving) error {
	trust, err := ledger.NewTrust([]string{s.vkey}, []string{witness.wkey}, 1)
	if err != nil {
		return err
	}
	source, err := ledger.NewSource(s.url() + "/log")
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	for {
		verdict, err := ledger.Verification{Source: source, Trust: trust}.Run(ctx)
		if err != nil {
			return err
		}
		if err = verdict.Err(); err == nil {
			d.say("%s: %d leaves, every one of them sound, and %s saw no other log.", s.signed.Statement.LegalName, verdict.Checkpoint.Size, witness.signed.Statement.LegalName)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the log of %s: %w", s.signed.Statement.LegalName, err)
		case <-time.After(50 * time.Millisecond): // the witness is being asked
		}
	}
}

// proveHistory shows what the log of an operator says of the person, and that it says no more.
func (d *demo) proveHistory(ctx context.Context, s, witness *serving) error {
	history, err := s.server.ledger.History(ctx, ledger.Disclose{Person: person, To: d.owner})
	if err != nil {
		return err
	}
	trust, err := ledger.NewTrust([]string{s.vkey}, []string{witness.wkey}, 0)
	if err != nil {
		return err
	}
	shown, err := history.Verify(trust)
	if err != nil {
		return err
	}
	d.say("%s asks %s what it logged, and checks the answer offline:", d.owner, s.signed.Statement.LegalName)
	for _, e := range shown.Events {
		d.say("  leaf %d  %-16s %s", e.Index, e.Fields[ledger.Type], e.Fields[ledger.Service])
	}
	d.say("That is all there was before %s: there is no gap in the chain.", shown.Until.Format(time.TimeOnly))
	return nil
}
