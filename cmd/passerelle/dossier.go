package main

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/events"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
)

// dossier is what is kept of a person besides their instance, as records of the dataset consents: what they decided and who
// read what, their signed receipts, what services were told, and what the log holds (GDPR article 15).
func (s *server) dossier(g *gateway, issuer, person string) func(context.Context) iter.Seq2[formats.Record, error] {
	receipt := g.receipts(s, issuer)
	return func(ctx context.Context) iter.Seq2[formats.Record, error] {
		return func(yield func(formats.Record, error) bool) {
			for k, err := range s.authority.Kept(ctx, person) {
				if !yield(document(k.ID, k.At, k.Body), err) || err != nil {
					return
				}
			}
			consents, err := s.authority.Consents(ctx, person)
			if err != nil {
				yield(formats.Record{}, err)
				return
			}
			for _, c := range consents {
				jws, err := receipt(ctx, c)
				if err == nil && !yield(document(c.ID+"-receipt", c.Changed, marshalled(map[string]any{"type": "receipt", "consent": c.ID, "jws": string(jws)})), nil) {
					return
				}
				var told []events.Event
				if err == nil {
					told, err = s.events.Of(ctx, c.ID)
				}
				if err != nil || len(told) > 0 && !yield(document(c.ID+"-told", c.Changed, toldDocument(c.ID, told)), nil) {
					if err != nil {
						yield(formats.Record{}, err)
					}
					return
				}
			}
			if r, err := s.logged(ctx, g, person); err != nil || r.ID != "" {
				yield(r, err)
			}
		}
	}
}

func document(id string, at time.Time, body json.RawMessage) formats.Record {
	return formats.Record{ID: id, Dataset: formats.Consents, Kind: formats.KindDocument, Modified: at, Body: body}
}

// marshalled is the JSON of what always has one.
func marshalled(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

func toldDocument(id string, told []events.Event) json.RawMessage {
	type one struct {
		Revision     int       `json:"revision"`
		State        string    `json:"state"`
		Told         time.Time `json:"told"`
		Acknowledged time.Time `json:"acknowledged,omitzero"`
	}
	list := []one{}
	for _, e := range told {
		list = append(list, one{e.Revision, string(e.State), e.Made, e.Acknowledged})
	}
	return marshalled(map[string]any{"type": "told", "consent": id, "events": list})
}

// logged is what the log holds of a person: who got something, when, and what it was. Nothing: there is no such record.
func (s *server) logged(ctx context.Context, g *gateway, person string) (formats.Record, error) {
	signed, err := g.statement(ctx)
	if err != nil {
		return formats.Record{}, err
	}
	type one struct {
		Leaf   int64                   `json:"leaf"` // -1: it has no place yet
		Time   time.Time               `json:"time"`
		Class  string                  `json:"class"`
		Fields map[ledger.Field]string `json:"fields"`
	}
	var list []one
	for e, err := range s.ledger.Events(ctx, person) {
		if errors.Is(err, ledger.ErrUnknown) {
			return formats.Record{}, nil
		}
		if err != nil {
			return formats.Record{}, err
		}
		if list = append(list, one{e.Index, e.Time, e.Class.String(), e.Fields}); len(list) == mostLogged {
			break
		}
	}
	id := "log-" + formats.HashOf([]byte(signed.Statement.ID)).String()[:8] // each operator has one of its own
	return document(id, list[0].Time, marshalled(map[string]any{"type": "log", "newest": mostLogged, "entries": list})), nil
}

// mostLogged is how many entries of the log a dossier has, the newest. passerelle log proof history gives all of them.
const mostLogged = 10_000
