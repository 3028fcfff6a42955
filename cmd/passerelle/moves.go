package main

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/seal"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/operators/peer"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/api"
	"github.com/passerelle-cloud/passerelle/transfer/move"
	transferweb "github.com/passerelle-cloud/passerelle/transfer/web"
)

// openMoves opens what lets persons leave for another operator, and come from one.
func (s *server) openMoves(ctx context.Context, g *gateway, issuer string) error {
	signed, err := g.statement(ctx)
	if err != nil {
		return err
	}
	secret, err := g.secret(ctx, "moves")
	if err != nil {
		return err
	}
	box, err := seal.New(secret, "moves")
	if err != nil {
		return err
	}
	if _, err := g.openHome(ctx); err != nil {
		return err
	}
	direct := toPeers()
	s.peers = &peer.Directory{Pins: g.pins}
	s.issuer = issuer
	s.visits = &peer.Clients{Own: string(signed.Statement.ID), URL: issuer, Signer: g.tokenSigner, Box: box, HTTP: direct}
	if s.sender, err = move.OpenSender(ctx, s.db, s.ledger, s.senderOptions(g, partyOf(signed))); err != nil {
		return err
	}
	s.ask = func(ctx context.Context, person, operator string) (string, error) {
		return s.askMove(ctx, g, person, operator, false)
	}
	s.receiver, err = move.OpenReceiver(ctx, s.db, s.ledger, s.receiverOptions(g, partyOf(signed)))
	return err
}

func (g *gateway) archiveSigner(ctx context.Context) (crypto.Signer, error) {
	store, err := g.keys(ctx)
	if err != nil {
		return nil, err
	}
	signer, err := store.Signer(ctx, statement.UseArchive)
	return signer.Signer, err
}

// senderOptions are for those who leave.
func (s *server) senderOptions(g *gateway, own archive.Party) move.SenderOptions {
	return move.SenderOptions{
		Operator: own, Dir: filepath.Join(g.dir, "leaving"), Signer: g.archiveSigner, Peer: s.peers.Find, Log: s.log,
		Instance: func(ctx context.Context, person string) (operators.Source, error) {
			return openSource(ctx, g, "home:"+person)
		},
		Pseudonym: func(ctx context.Context, person, operator string) (string, error) {
			instance, err := openInstance(ctx, g, person, false)
			if err != nil {
				return "", err
			}
			return instance.Pseudonym(operator), nil
		},
		Content: func(ctx context.Context, person string, blob formats.Hash) (io.ReadCloser, error) {
			instance, err := openInstance(ctx, g, person, false)
			if err != nil {
				return nil, err
			}
			return instance.Reader().Content(ctx, formats.Blob{SHA256: blob})
		},
		Hold: g.home.Hold,
		Export: func(ctx context.Context, person string, to *statement.Signed, source operators.Source) (transfer.Export, error) {
			e, err := g.exportOf(ctx, "home:"+person, source)
			if err != nil {
				return e, err
			}
			party := partyOf(to)
			e.Recipient, e.Journal = &party, transfer.Journal{Person: person, Log: s.append}
			e.Recipients, err = to.Recipients()
			return e, err
		},
		Authorised: func(ctx context.Context, m move.Move) (bool, error) {
			c, err := s.authority.OfService(ctx, m.Consent, m.Peer)
			if errors.Is(err, consent.ErrNotFound) {
				return false, nil
			}
			return err == nil && c.Valid(time.Now()), err
		},
		Erase:   func(ctx context.Context, person string) (string, error) { return s.eraseMoved(ctx, g, person) },
		Follows: func(ctx context.Context, m move.Move) (json.RawMessage, error) { return s.follows(ctx, g, m) },
		Left:    s.left, Retired: move.Hook(s.retired),
		Retain: kept(s.switching.Retained),
	}
}

// toPeers asks other operators. One is where its statement says: none sends us elsewhere. It speaks HTTP/1.1, since an instance
// comes in large parts, each over a connection of its own, and HTTP/2 would cut them into frames and count every one.
func toPeers() *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, Protocols: &http.Protocols{}, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute,
		MaxIdleConnsPerHost: 4, ReadBufferSize: 64 << 10}
	transport.Protocols.SetHTTP1(true)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (s *server) append(ctx context.Context, events ...ledger.Event) error {
	_, err := s.ledger.Append(ctx, events...)
	return err
}

// receiverOptions are for those who come.
func (s *server) receiverOptions(g *gateway, own archive.Party) move.ReceiverOptions {
	return move.ReceiverOptions{
		Operator: own, Dir: filepath.Join(g.dir, "arriving"), Signer: g.archiveSigner, Peer: s.peers.Find, Append: s.append, Log: s.log, Silence: s.silence,
		Connect: func(ctx context.Context, from *statement.Signed, tokens string) (*move.Link, error) {
			session, err := s.visits.Open(ctx, from, tokens)
			if err != nil {
				return nil, err
			}
			return &move.Link{URL: peer.URL(from.Statement.Operator), Send: session.Send, Plain: s.visits.HTTP}, nil
		},
		Archive: func(ctx context.Context, index string) (*archive.Archive, archive.Expectations, error) {
			store, err := g.keys(ctx)
			if err != nil {
				return nil, archive.Expectations{}, err
			}
			identities, err := store.Identities(ctx)
			if err != nil {
				return nil, archive.Expectations{}, err
			}
			expect, err := g.expectations(ctx)
			if err != nil {
				return nil, expect, err
			}
			a, err := archive.Open([]string{index}, archive.OpenOptions{Identities: identities})
			return a, expect, err
		},
		Identities: func(ctx context.Context) ([]age.Identity, error) {
			store, err := g.keys(ctx)
			if err != nil {
				return nil, err
			}
			return store.Identities(ctx)
		},
		Staging: staging(g), Follows: s.examine, Followed: s.followed,
		Room: func(ctx context.Context, person string, stays bool) (int64, bool, error) {
			instance, err := openInstance(ctx, g, person, false)
			if errors.Is(err, operators.ErrNotFound) {
				return 0, false, nil
			}
			if err != nil {
				return 0, false, err
			}
			return instance.Left(ctx, stays)
		},
	}
}

// staging is where an instance comes to be.
func staging(g *gateway) move.Staging {
	return move.Staging{
		Target: func(ctx context.Context, id, person string) (operators.Target, error) {
			h, err := g.openHome(ctx)
			if err != nil {
				return nil, err
			}
			instance, err := h.Stage(ctx, id, person)
			if err != nil {
				return nil, err
			}
			return instance.Target(), nil
		},
		Source: func(ctx context.Context, id string) (operators.Source, error) {
			instance, err := g.home.Staged(ctx, id)
			if err != nil {
				return nil, err
			}
			return instance.Source(), nil
		},
		Content: func(ctx context.Context, id string, blob formats.Hash) (io.ReadCloser, error) {
			instance, err := g.home.Staged(ctx, id)
			if err != nil {
				return nil, err
			}
			return instance.Reader().Content(ctx, formats.Blob{SHA256: blob})
		},
		Held:    g.home.Held,
		Owns:    g.home.Owns,
		Take:    g.home.Take,
		Adopt:   g.home.Adopt,
		Release: g.home.Release,
		Into: func(ctx context.Context, person string) (operators.Target, error) {
			instance, err := openInstance(ctx, g, person, false)
			if err != nil {
				return nil, err
			}
			return instance.Target(), nil
		},
		Discard: func(ctx context.Context, id string) error { return g.home.Discard(ctx, id) },
	}
}

// operatorPurpose is what an operator that a person moves to wants the data for (DPV: the right to data portability).
const operatorPurpose = "https://w3id.org/dpv/legal/eu/gdpr#A20"

// registerPeer makes the OAuth registration of a trusted operator what its statement says now.
func (s *server) registerPeer(ctx context.Context, id string) error {
	registered, err := s.authority.Service(ctx, id)
	if err != nil && !errors.Is(err, consent.ErrNotFound) {
		return err
	}
	signed, err := s.peers.Find(ctx, id)
	if errors.Is(err, statement.ErrUnknown) {
		if registered == nil || registered.Suspended != "" {
			return nil
		}
		return s.authority.Suspend(ctx, id, notTrusted)
	}
	if err != nil {
		return err
	}
	wanted, err := peerService(signed)
	if err != nil {
		return err
	}
	if registered != nil && registered.Suspended == notTrusted {
		if err := s.authority.Suspend(ctx, id, ""); err != nil {
			return err
		}
	}
	if registered != nil && sameService(*registered, wanted) {
		return nil
	}
	return s.authority.AddService(ctx, wanted)
}

const notTrusted = "This operator is not trusted here any more."

func sameService(a, b consent.Service) bool {
	one, err1 := json.Marshal(a)
	other, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(one) == string(other)
}

// peerService is an operator as an OAuth client, as its signed statement describes it.
func peerService(signed *statement.Signed) (consent.Service, error) {
	o := signed.Statement.Operator
	url := peer.URL(o)
	s := consent.Service{ID: string(o.ID), Name: o.LegalName, LegalName: o.LegalName, Country: o.Country, URL: url, Auth: consent.PrivateKeyJWT, Operator: true,
		Purposes: []string{operatorPurpose}, Notices: map[string]string{"en": url}, RedirectURIs: []string{url + peer.CallbackPath}}
	if o.Contact != nil {
		s.Contact = o.Contact.Email
		if o.Contact.URL != "" {
			s.Notices["en"] = o.Contact.URL
		}
	}
	if privacy := o.Endpoints["privacy"]; privacy != "" {
		s.Notices["en"] = privacy
	}
	if a := o.Address; a != nil {
		s.Address = fmt.Sprintf("%s, %s %s, %s", a.Street, a.PostalCode, a.Locality, a.Country)
	}
	for _, r := range o.Registrations {
		s.Registrations = append(s.Registrations, consent.Registration{Scheme: r.Scheme, Value: r.Value})
	}
	var err error
	s.JWKS, err = tokenKeysOf(signed.Statement.Keys)
	return s, err
}

// eraseMoved removes somebody who has moved, when the time to come back is over, and certifies it.
func (s *server) eraseMoved(ctx context.Context, g *gateway, person string) (string, error) {
	e := g.erasure(person, g.home, s.accounts, statement.OperatorID(s.visits.Own))
	e.Remove = append([]func(context.Context) error{func(ctx context.Context) error {
		if err := s.endBanks(ctx, person); err != nil {
			return err
		}
		_, err := s.authority.EndAll(ctx, person, "the person has moved to another operator")
		return err
	}}, e.Remove...)
	e.Forget = func(ctx context.Context) (transfer.Forgotten, error) { return s.forget(ctx, person) }
	certificate, err := e.Run(ctx)
	if err != nil {
		return "", err
	}
	return g.certify(ctx, certificate)
}

// movedTo is where an instance is now that was here and has moved.
func (s *server) movedTo(ctx context.Context, person string) (string, bool) {
	operator, err := s.sender.Moved(ctx, person)
	if err != nil || operator == "" {
		return "", false // where that cannot be looked up, nothing can be written either
	}
	if to, err := s.peers.Find(ctx, operator); err == nil {
		return peer.URL(to.Statement.Operator), true
	}
	return operator, true
}

// forget removes what is kept of a person's decisions.
func (s *server) forget(ctx context.Context, person string) (transfer.Forgotten, error) {
	e, err := s.authority.Erase(ctx, person)
	if err != nil {
		return transfer.Forgotten{}, err
	}
	f := transfer.Forgotten{Ended: e.Ended, Consents: e.Consents, Requests: e.Requests, Accesses: e.Accesses, Leaf: -1, Until: e.Until}
	if e.Leaf == nil {
		return f, nil
	}
	entries, checkpoint, err := e.Leaf.Wait(ctx)
	if err != nil {
		return f, err
	}
	f.Leaf, f.Hash, f.Log = entries[0].Index, entries[0].Hash.String(), string(checkpoint.Note)
	return f, nil
}

// moveDetails is what this operator asks of the one whom a person leaves (RFC 9396).
func moveDetails(own string) []any {
	return []any{map[string]any{"type": consent.InstanceMove, "destination": own}}
}

// findPeer finds an operator that is trusted by its id, or by the address of its gateway.
func (s *server) findPeer(ctx context.Context, named string) (*statement.Signed, error) {
	pins, err := s.peers.Pins()
	if err != nil {
		return nil, err
	}
	for _, signed := range pins.All() {
		if o := signed.Statement.Operator; strings.TrimRight(named, "/") == peer.URL(o) {
			named = string(o.ID)
		}
	}
	return s.peers.Find(ctx, named)
}

// askMove asks another operator that a person may move here, and returns where they decide. session says that they are
// signed in here.
func (s *server) askMove(ctx context.Context, g *gateway, person, operator string, session bool) (string, error) {
	if err := home.CheckName(person); err != nil {
		return "", err
	}
	from, err := s.findPeer(ctx, operator)
	if err != nil {
		return "", err
	}
	if _, err := g.home.Instance(ctx, person); errors.Is(err, operators.ErrNotFound) {
		err = consent.Reserved(ctx, s.db, person)
		if err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	if err := s.receiver.Free(ctx, person); err != nil {
		return "", err
	}
	return s.visits.Ask(ctx, from, person, session, moveDetails(s.visits.Own))
}

// movePages are the pages on which persons come and leave.
func (s *server) movePages(g *gateway) transferweb.MoveOptions {
	return transferweb.MoveOptions{Sender: s.sender, Receiver: s.receiver, Waits: s.visits.Waits,
		Operators: func() (list []transferweb.Operator, err error) {
			pins, err := s.peers.Pins()
			if err != nil {
				return nil, err
			}
			for _, signed := range pins.All() {
				o := signed.Statement.Operator
				list = append(list, transferweb.Operator{ID: string(o.ID), Name: o.LegalName, URL: peer.URL(o)})
			}
			return list, nil
		},
		Ask: func(ctx context.Context, person, operator string) (string, error) {
			at, err := s.askMove(ctx, g, person, operator, true)
			if errors.Is(err, peer.ErrStranger) {
				err = fmt.Errorf("%w: %w", transferweb.ErrStranger, err)
			}
			return at, err
		},
		Arrive: func(ctx context.Context, query url.Values, person string) (string, error) {
			m, err := s.arrive(ctx, query, person)
			switch {
			case errors.Is(err, errDeclined):
				err = fmt.Errorf("%w: %w", transferweb.ErrDeclined, err)
			case errors.Is(err, peer.ErrVisit):
				err = fmt.Errorf("%w: %w", transferweb.ErrAnswer, err)
			}
			return m.ID, err
		},
	}
}

// arrivals is the same for administrators.
func (s *server) arrivals(allowed func(http.ResponseWriter, *http.Request) bool) *api.Arrivals {
	return &api.Arrivals{Receiver: s.receiver, Ask: s.ask, Allowed: allowed, Log: s.log}
}

// errDeclined is returned where the person, or the other operator, said no.
var errDeclined = errors.New("the other operator did not get a yes")

// arrive begins the move of somebody who comes back from the operator whom they leave, with what their browser brings.
func (s *server) arrive(ctx context.Context, query url.Values, person string) (move.Move, error) {
	back, err := s.visits.Return(ctx, query, func(id string) (*statement.Signed, error) { return s.peers.Find(ctx, id) })
	if err != nil {
		return move.Move{}, err
	}
	if back.Session && back.Person != person {
		return move.Move{}, peer.ErrVisit
	}
	if back.Refused != "" {
		return move.Move{}, fmt.Errorf("%w: %s", errDeclined, back.Refused)
	}
	return s.receiver.Begin(ctx, move.Arrival{Person: back.Person, Peer: back.Peer, Tokens: back.Tokens})
}
