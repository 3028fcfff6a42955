package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/example"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// mover is the name of the instance of somebody who moves while they work.
const mover = "mover"

// moves has somebody move from A to B between the running gateways, and go on writing while they do.
func (d *demo) moves(ctx context.Context) error {
	source := example.Person(d.seed+1, example.Scale{})
	described, err := source.Describe(ctx)
	if err != nil {
		return err
	}
	from, to := d.a.signed.Statement.LegalName, d.b.signed.Statement.LegalName
	d.step("%s lives at %s, and moves to %s while going on to write.", described.Owner, from, to)
	instance, err := d.a.home.Create(ctx, mover, home.Options{})
	if err != nil {
		return err
	}
	if _, err := (transfer.Copy{Source: source, Target: instance.Target()}).Run(ctx); err != nil {
		return err
	}
	connected, err := d.connects(ctx)
	if err != nil {
		return err
	}
	id, err := d.authorises(ctx, mover)
	if err != nil {
		return err
	}
	d.say("%s says yes at %s, for %s alone. It can be undone until the very last moment.", described.Owner, from, to)
	written, err := d.writesUntilMoved(ctx, instance, id)
	if err != nil {
		return err
	}
	if err := d.arrived(ctx, id, written); err != nil {
		return err
	}
	return d.follows(ctx, connected)
}

// authorises has B ask A for somebody, who says yes there.
func (d *demo) authorises(ctx context.Context, who string) (string, error) {
	a, b := d.sa.server, d.sb.server
	peer, err := b.peers.Find(ctx, string(d.a.signed.Statement.ID))
	if err != nil {
		return "", err
	}
	at, err := b.visits.Ask(ctx, peer, who, false, moveDetails(b.visits.Own))
	if err != nil {
		return "", err
	}
	back, err := grant(ctx, a, at, who)
	if err != nil {
		return "", err
	}
	m, err := b.arrive(ctx, back, who)
	return m.ID, err
}

// grant does what the page does when a person says yes to what is asked at an address, or to as much of it as is asked of them
// here; no datasets: to all of it.
func grant(ctx context.Context, s *server, at, who string, datasets ...formats.Dataset) (url.Values, error) {
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := stay.Get(at)
	if err != nil {
		return nil, err
	}
	answer.Body.Close()
	id := answer.Header.Get("Location")[strings.LastIndex(answer.Header.Get("Location"), "/")+1:]
	request, err := s.authority.Request(ctx, id)
	if err != nil {
		return nil, err
	}
	notice, err := s.authority.Show(ctx, consent.Notice{Request: id, Language: "en", Version: "demo", Content: []byte(shown(request.Details[0]))})
	if err != nil {
		return nil, err
	}
	granted := request.Details[0]
	if len(datasets) > 0 {
		granted.Datasets = datasets
	}
	decision := consent.Decision{Request: id, Person: who, Details: []consent.Detail{granted}, Notice: notice, Session: consent.SessionFacts{Method: "demo", Authenticated: time.Now()}}
	var location string
	if _, err := s.authority.Grant(ctx, decision, s.oauth.Granted(ctx, decision, &location)); err != nil {
		return nil, err
	}
	back, err := url.Parse(location)
	if err != nil {
		return nil, err
	}
	return back.Query(), nil
}

// shown is what the demo takes for a notice.
func shown(d consent.Detail) string { return d.Purpose.Text["en"] + d.Destination }

// writesUntilMoved writes one file after the other until A does not take any more, and then waits for the move to end.
func (d *demo) writesUntilMoved(ctx context.Context, instance *home.Instance, id string) (written int, err error) {
	began := time.Now()
	for {
		m, err := d.sb.server.receiver.Get(ctx, mover, id)
		if err != nil {
			return written, err
		}
		switch {
		case m.Stage == move.Activated && m.Done:
			d.say("%s: %d records held, %d could not be; the whole move took %s, and %d files were written meanwhile.", m.Stage, total(m.Held), len(m.Refused), time.Since(began).Round(10*time.Millisecond), written)
			return written, nil
		case m.Stage == move.Aborted, m.Trouble != "":
			return written, fmt.Errorf("the move is %s: %s%s", m.Stage, m.Trouble, m.Why)
		case time.Since(began) > time.Minute:
			return written, fmt.Errorf("the move does not end: it is %s, %+v", m.Stage, m.Progress)
		}
		err = d.jot(ctx, instance, written)
		if err == nil {
			written++
		} else if !errors.Is(err, operators.ErrReadOnly) {
			return written, err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func total(t move.Tally) (n int64) {
	for _, c := range t {
		n += c.Records
	}
	return n
}

// jot writes one small file.
func (d *demo) jot(ctx context.Context, instance *home.Instance, n int) error {
	text := fmt.Sprintf("Line %d, written while everything moves.\n", n)
	_, err := instance.Put(ctx, formats.Record{
		ID: fmt.Sprintf("jot-%d", n), Dataset: formats.Files, Kind: formats.KindFile, Path: formats.Tree.Place(fmt.Sprintf("Jots/%06d.txt", n)),
		Created: d.began, Modified: time.Now(), Blob: &formats.Blob{Size: int64(len(text)), Type: "text/plain"}, Body: json.RawMessage(`{"mediaType":"text/plain"}`),
	}, strings.NewReader(text))
	return err
}

// arrived compares both sides, and checks the receipt as somebody would who trusts neither.
func (d *demo) arrived(ctx context.Context, id string, written int) error {
	left, err := d.a.home.Instance(ctx, mover)
	if err != nil {
		return err
	}
	there, err := d.b.home.Instance(ctx, mover)
	if err != nil {
		return err
	}
	a, b := left.Source(), there.Source()
	defer a.Close()
	defer b.Close()
	if err := d.same(ctx, transfer.Compare{A: a, B: b, Tmp: d.dir}); err != nil {
		return err
	}
	if err := d.jot(ctx, left, written); !errors.Is(err, operators.ErrReadOnly) {
		return fmt.Errorf("after the move the old place takes writes: %v", err)
	}
	if err := d.jot(ctx, there, written); err != nil {
		return fmt.Errorf("after the move the new place takes no writes: %w", err)
	}
	d.say("%s takes no more writes, and %s does.", d.a.signed.Statement.LegalName, d.b.signed.Statement.LegalName)
	answer, err := http.Get(d.sa.url() + "/moves/" + id + "/receipt")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var receipt move.Receipt
	if err := json.NewDecoder(answer.Body).Decode(&receipt); err != nil {
		return err
	}
	signed, err := receipt.Verify(d.a.signed, d.b.signed)
	if err != nil {
		return err
	}
	d.say("Both have signed the same receipt: state %.16s…, %d records, %s.", signed.Root, total(signed.Counts), signed.At.Format(time.TimeOnly))
	return nil
}
