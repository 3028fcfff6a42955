package main

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// sights is what a person looks at first in an instance.
type sights struct {
	albums, notes []string
	photos        int
	last          formats.BankOperation // the newest
	operations    int
	refunds       []formats.Bill
	linked        int // refunds that lead to the operation that paid them
	readings      int
}

// add looks at a record.
func (s *sights) add(r formats.Record) (err error) {
	switch r.Kind {
	case formats.KindAlbum:
		var album formats.Album
		album, err = formats.BodyAs[formats.Album](r)
		s.albums = append(s.albums, album.Name)
	case formats.KindNote:
		_, name := path.Split(r.Path)
		s.notes = append(s.notes, strings.TrimSuffix(name, path.Ext(name)))
	case formats.KindFile:
		if r.Blob != nil && r.Blob.Type == "image/jpeg" {
			s.photos++
		}
	case formats.KindOperation:
		var o formats.BankOperation
		o, err = formats.BodyAs[formats.BankOperation](r)
		s.operations++
		if o.BookingDate > s.last.BookingDate {
			s.last = o
		}
	case formats.KindBill:
		err = s.bill(r)
	case formats.KindReading:
		s.readings++
	}
	return err
}

func (s *sights) bill(r formats.Record) error {
	if r.Dataset != formats.Health {
		return nil
	}
	b, err := formats.BodyAs[formats.Bill](r)
	if !b.Refund {
		return err
	}
	s.refunds = append(s.refunds, b)
	if slices.ContainsFunc(r.Links, func(l formats.Link) bool { return l.Rel == "operation" }) {
		s.linked++
	}
	return err
}

// lines tells it.
func (s *sights) lines() []string {
	slices.Sort(s.albums)
	slices.Sort(s.notes)
	lines := []string{
		fmt.Sprintf("%d photos, in the albums %s", s.photos, strings.Join(s.albums, ", ")),
		fmt.Sprintf("the notes %s", strings.Join(s.notes, ", ")),
		fmt.Sprintf("%d bank operations, the last on %s: %s %s", s.operations, s.last.BookingDate, s.last.TransactionAmount.Amount, s.last.TransactionAmount.Currency),
		fmt.Sprintf("%d health reimbursements, %d of which lead to the payment on the account", len(s.refunds), s.linked),
	}
	if len(s.refunds) > 0 {
		b := s.refunds[len(s.refunds)-1]
		lines = append(lines, fmt.Sprintf("  for example %s %s from %s on %s", b.Amount.Amount, b.Amount.Currency, b.Issuer, b.Date))
	}
	return append(lines, fmt.Sprintf("%d meter readings", s.readings))
}
