package bank

import (
	"context"
	"errors"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	atbank "github.com/passerelle-cloud/passerelle/operators/bank"
)

// Presence is a person who asked for something just now.
type Presence struct {
	atbank.Presence
	At time.Time
}

// door has each reading of a run allowed and logged before it.
func (r *run) door(ctx context.Context, reading atbank.Reading) (atbank.Pass, error) {
	if err := r.renew(); err != nil {
		return atbank.Pass{}, err
	}
	s := r.s
	of := consent.Retrieval{Person: s.Person, Bank: s.Bank, Accounts: reading.Accounts, From: reading.From, Authenticated: s.Authenticated,
		Authorisation: &consent.AuthorisationFacts{ID: s.Consent, Given: s.Given, Until: s.Until, Information: s.Information, Designated: r.designated(), Frequency: s.Frequency}}
	for _, i := range reading.Asked {
		of.Asked = append(of.Asked, consent.Information(i))
	}
	if r.presence != nil {
		of.Present, of.Presence = true, &consent.PresenceFacts{Address: r.presence.Address, At: r.presence.At}
	}
	leave, err := r.b.o.Authority.Retrieve(ctx, of)
	if err != nil {
		return atbank.Pass{}, err
	}
	return atbank.Pass{
		Admit: func(record formats.Record) (formats.Record, bool) { return leave.Admit(record) },
		Done: func(ctx context.Context, records int64, failed error) error {
			if failed != nil {
				return leave.Done(ctx, records, consent.Failed)
			}
			return leave.Done(ctx, records, consent.Complete)
		},
	}, nil
}

// designated are the accounts that the person chose.
func (r *run) designated() []string {
	var list []string
	for _, a := range r.s.Accounts {
		if a.Chosen {
			list = append(list, a.ID)
		}
	}
	return list
}

// TroubleOf says what an error means to the person. An error that it does not know is none of the bank's.
func TroubleOf(err error) (t Trouble, known bool) {
	for _, m := range []struct {
		err error
		is  Trouble
	}{
		{atbank.ErrTooOften, TooOften}, {atbank.ErrDown, BankDown}, {atbank.ErrSCA, SignIn}, {atbank.ErrConsentGone, SignIn}, {atbank.ErrPeriod, SignIn},
		{atbank.ErrClosed, Closed}, {atbank.ErrNotCovered, Closed}, {atbank.ErrCertificate, OurFault}, {atbank.ErrSignature, OurFault}, {atbank.ErrRefused, OurFault},
		{atbank.ErrNotOffered, OurFault}, {atbank.ErrFormat, Unreadable}, {atbank.ErrTooMuch, Unreadable}, {atbank.ErrElsewhere, Unreadable},
		{ErrNoBank, OurFault}, {errHome, HomeRefuses}, {consent.ErrRefused, NotAllowed}, {consent.ErrDenied, NotAllowed},
	} {
		if errors.Is(err, m.err) {
			return m.is, true
		}
	}
	return None, err == nil
}

// ofAll reports whether a trouble is that of the whole connection, so that other accounts need not be tried.
func (t Trouble) ofAll() bool { return t != None && t != Closed && t != Partly && t != Unreadable }
