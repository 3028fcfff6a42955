package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// serve has both operators serve, each with the other as the witness of its log.
func (d *demo) serve(ctx context.Context) (err error) {
	if d.sa, err = d.serves(ctx, d.a); err != nil {
		return err
	}
	if d.sb, err = d.serves(ctx, d.b); err != nil {
		return err
	}
	opened := make(chan error, 1)
	go func() { opened <- d.sa.open(ctx, d.sb) }() // each asks the other at its start
	return errors.Join(d.sb.open(ctx, d.sa), <-opened)
}

// logs checks both logs as somebody would who trusts neither operator.
func (d *demo) logs(ctx context.Context) error {
	d.step("All of that was logged before it happened. Somebody who trusts neither operator checks both logs over HTTP.")
	for _, pair := range [][2]*serving{{d.sa, d.sb}, {d.sb, d.sa}} {
		if err := d.checkLog(ctx, pair[0], pair[1]); err != nil {
			return err
		}
	}
	return d.proveHistory(ctx, d.sb, d.sa)
}

// serving is an operator's gateway that serves.
type serving struct {
	*operator
	vkey   string // of the log
	wkey   string // of the witness
	http   *http.Server
	server *server
	stop   context.CancelFunc // of its work
	work   <-chan error
}

func (d *demo) serves(ctx context.Context, o *operator) (*serving, error) {
	s := &serving{operator: o}
	var err error
	if s.vkey, err = o.vkey(ctx); err != nil {
		return nil, err
	}
	s.wkey, err = o.witnessKey(ctx)
	return s, err
}

func (s *serving) url() string { return "http://" + s.listener.Addr().String() }

// open begins to serve, with the other one as witness.
func (s *serving) open(ctx context.Context, other *serving) (err error) {
	command := serveCommand{Local: true, Witness: []string{other.wkey + " " + other.url() + "/witness"}, Quorum: 1, Watch: []string{other.vkey}, bankFlags: bankFlags{Banks: s.banks}}
	if s.server, err = command.open(ctx, s.gateway, slog.New(slog.DiscardHandler), s.url()); err != nil {
		return err
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.work = s.server.work(ctx)
	s.http = &http.Server{Handler: s.server.routes(), ReadHeaderTimeout: headerTimeout}
	go s.http.Serve(s.listener)
	return nil
}

func (s *serving) close() error {
	if s.http == nil {
		return s.listener.Close()
	}
	s.stop()
	return errors.Join(s.http.Close(), <-s.work, s.server.ledger.Close())
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
