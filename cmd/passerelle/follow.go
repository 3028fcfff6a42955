package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/operators/peer"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// The limits of what follows a person: how many consents, and of how many accesses the history goes along. Who has more takes
// the history along by themselves (passerelle log proof history).
const (
	mostFollowing = 500
	mostProven    = 2000
)

// following is what follows a person to another operator: what they decided, and the proof of it.
type following struct {
	Country  string              `json:"country"` // of the operator whom they leave
	Consents []consent.Following `json:"consents"`
	// History is the person's chain in the log there, which verifies offline; nil: it is too long to go along.
	History json.RawMessage `json:"history,omitempty"`
}

// follows says what follows somebody who leaves.
func (s *server) follows(ctx context.Context, g *gateway, m move.Move) (json.RawMessage, error) {
	signed, err := g.statement(ctx)
	if err != nil {
		return nil, err
	}
	f := following{Country: signed.Statement.Country}
	if f.Consents, err = s.authority.Followable(ctx, m.Person, mostFollowing); err != nil {
		return nil, err
	}
	if f.Consents == nil {
		f.Consents = []consent.Following{}
	}
	receipt := g.receipts(s, s.issuer)
	for i := range f.Consents {
		one := &f.Consents[i]
		c, err := s.authority.OfPerson(ctx, one.Grant, m.Person)
		if err != nil {
			return nil, err
		}
		service, err := s.authority.Service(ctx, c.Service)
		if err != nil {
			return nil, err
		}
		one.Service.Keys = s.oauth.Keys(ctx, service)
		if !c.Valid(time.Now()) {
			continue
		}
		text, err := receipt(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("the receipt of %s: %w", c.ID, err)
		}
		one.Receipt = string(text)
	}
	history, err := s.proven(ctx, m)
	if err == nil && history != nil {
		f.History, err = json.Marshal(history)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(f)
}

// proven is somebody's chain in the log, unless it is too long.
func (s *server) proven(ctx context.Context, m move.Move) (*ledger.History, error) {
	all, err := s.authority.Consents(ctx, m.Person)
	if err != nil {
		return nil, err
	}
	var accesses int64
	for _, c := range all {
		accesses += c.Accesses
	}
	if accesses > mostProven {
		return nil, nil
	}
	h, err := s.ledger.History(ctx, ledger.Disclose{Person: m.Person, To: m.Peer})
	if errors.Is(err, ledger.ErrUnknown) {
		return nil, nil
	}
	return h, err
}

// retired ends the consents of somebody who has moved, and their connections with banks, in the transaction in which they do.
func (s *server) retired(_ context.Context, m move.Move) (move.InTx, error) {
	pins, err := s.peers.Pins() // which asks nobody: a transaction waits for no other machine
	if err != nil {
		return nil, err
	}
	l := consent.Leaving{Person: m.Person, Move: m.ID, Operator: m.Peer, Except: m.Consent}
	for _, signed := range pins.All() {
		if string(signed.Statement.ID) == m.Peer {
			l.Issuer = peer.URL(signed.Statement.Operator)
		}
	}
	leaves := move.InTx(s.authority.Leaves(l))
	if s.banks != nil {
		leaves = leaves.Then(s.banks.Ends(m.Person))
	}
	return leaves, nil
}

// left says which consents stood then.
func (s *server) left(ctx context.Context, m move.Move) (json.RawMessage, error) {
	list, err := s.authority.Left(ctx, m.Person, m.ID)
	if err != nil {
		return nil, err
	}
	return json.Marshal(list)
}

// examined is what was found out about what follows somebody who comes.
type examined struct {
	Country  string             `json:"country"`
	Consents []consent.Follower `json:"consents"`
	History  json.RawMessage    `json:"history,omitempty"` // where it holds
}

// examine looks at what follows somebody who comes, before their instance is accepted: what the log there proves, and which
// services are known here. What is not understood does not follow; it does not keep the instance from coming.
func (s *server) examine(ctx context.Context, m move.Move, said json.RawMessage) (json.RawMessage, error) {
	var f following
	if err := json.Unmarshal(said, &f); err != nil || len(f.Consents) > mostFollowing {
		s.log.Warn("what follows a person is not understood", "move", m.ID, "from", m.Peer, "error", err)
		return nil, nil
	}
	e := examined{Country: f.Country}
	shown, err := s.shown(ctx, m, f.History)
	if err != nil {
		return nil, err
	}
	if shown != nil {
		e.History = f.History
	}
	for _, one := range f.Consents {
		if err := s.authority.Sound(&one); err != nil {
			s.log.Warn("a consent of a person who comes is not understood", "move", m.ID, "from", m.Peer, "error", err)
			continue
		}
		follower := consent.Follower{Following: one, Proven: shown != nil && one.Proves(shown)}
		here, keys, err := s.authority.Counterpart(ctx, one.Service, s.oauth.Keys)
		if err != nil {
			return nil, err
		}
		if here != nil {
			follower.Here, follower.Keys = here.ID, keys
		}
		e.Consents = append(e.Consents, follower)
	}
	return json.Marshal(e)
}

// shown is what a history from another operator's log proves; nil: nothing.
func (s *server) shown(ctx context.Context, m move.Move, history json.RawMessage) (*ledger.Shown, error) {
	if len(history) == 0 {
		return nil, nil
	}
	signed, err := s.peers.Find(ctx, m.Peer)
	if err != nil {
		return nil, err
	}
	shown, err := verified(signed, history)
	if err != nil {
		s.log.Warn("the history of a person who comes proves nothing", "move", m.ID, "from", m.Peer, "error", err)
	}
	return shown, nil
}

func verified(by *statement.Signed, history json.RawMessage) (*ledger.Shown, error) {
	trust, err := logTrust(by)
	if err != nil {
		return nil, err
	}
	h, err := ledger.ReadHistory(bytes.NewReader(history))
	if err != nil {
		return nil, err
	}
	return h.Verify(trust)
}

// logTrust trusts an operator's log as its signed statement has it.
func logTrust(signed *statement.Signed) (*ledger.Trust, error) {
	keys, err := logKeys(signed)
	if err != nil {
		return nil, err
	}
	return ledger.NewTrust(keys, nil, 0)
}

// followed takes over the consents of somebody who comes, in the transaction in which they do. That they proved who they are
// is what brought them: they signed in there to authorise the move.
func (s *server) followed(_ context.Context, m move.Move, kept, left json.RawMessage) (move.InTx, error) {
	var e examined
	if len(kept) > 0 {
		if err := json.Unmarshal(kept, &e); err != nil {
			return nil, err
		}
	}
	k := consent.Carrying{Person: m.Person, Move: m.ID, Operator: m.Peer, Country: e.Country, Known: true, Consents: e.Consents, History: e.History}
	if len(left) > 0 {
		if err := json.Unmarshal(left, &k.Left); err != nil {
			k.Left = nil // as if it had not said
		}
	}
	return s.authority.Carries(k), nil
}

// vouched checks that a trusted operator signed something with its key for tokens, and returns what.
func (s *server) vouched(ctx context.Context, operator, typ, compact string, at time.Time) ([]byte, error) {
	signed, err := s.peers.Find(ctx, operator)
	if err != nil {
		return nil, err
	}
	payload, key, err := signed.OpenJWS(statement.UseTokens, typ, compact)
	if err != nil {
		return nil, err
	}
	return payload, key.ValidAt(at)
}
