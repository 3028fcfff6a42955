// Package example invents a person: an instance with everything that a real one has, for demonstrations, tests and
// benchmarks. The same seed gives the same bytes on every machine and at any time. Nobody in it exists: names are
// drawn, mail goes to example.org, telephone numbers come from the ranges that France keeps for fiction, and bank
// numbers have valid check digits but a bank code that no bank has.
//
// It must never read a clock, the network or a file.
package example

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Scale says how much a person has. A field that is zero takes the default.
type Scale struct {
	Files    int   // files in the tree, about; 300
	Bytes    int64 // of all files together, about; 10 MB. A tenth of what the other fields need is added at the least
	Months   int   // of bank operations and meter readings up to October 2026; 18
	Contacts int   // 60
}

func (s Scale) withDefaults() Scale {
	if s.Files <= 0 {
		s.Files = 300
	}
	if s.Bytes <= 0 {
		s.Bytes = 10_000_000
	}
	if s.Months <= 0 {
		s.Months = 18
	}
	if s.Contacts <= 0 {
		s.Contacts = 60
	}
	return s
}

// Source is the instance of an invented person.
type Source struct {
	seed  uint64
	scale Scale
}

// Person invents a person.
func Person(seed uint64, scale Scale) *Source {
	return &Source{seed: seed, scale: scale.withDefaults()}
}

// Describe implements [operators.Source].
func (s *Source) Describe(ctx context.Context) (operators.Description, error) {
	return operators.Description{Owner: s.generator(ctx, nil).me.full(), Locale: "fr"}, ctx.Err()
}

// Close implements [operators.Source].
func (s *Source) Close() error { return nil }

// Records implements [operators.Source]. The position must be zero.
func (s *Source) Records(ctx context.Context, after operators.Position) iter.Seq2[operators.Item, error] {
	return func(yield func(operators.Item, error) bool) {
		if after != 0 {
			yield(operators.Item{}, fmt.Errorf("%w: an invented person keeps no feed of changes", operators.ErrUnsupported))
			return
		}
		g := s.generator(ctx, yield)
		for _, part := range []func(){
			g.tree, g.notes, g.photos, g.contacts, g.calendar, g.bank, g.bills, g.health, g.energy, g.places, g.vault, g.others,
		} {
			part()
		}
		if g.err != nil {
			yield(operators.Item{}, g.err)
		}
	}
}

// generator is one walk through an instance.
type generator struct {
	Scale
	seed  uint64
	me    human
	ctx   context.Context
	yield func(operators.Item, error) bool
	over  bool  // the consumer wants no more
	err   error // or the context has ended
}

func (s *Source) generator(ctx context.Context, yield func(operators.Item, error) bool) *generator {
	g := &generator{Scale: s.scale, seed: s.seed, ctx: ctx, yield: yield}
	g.me = g.human("me", 0)
	return g
}

// random returns the random numbers of a topic. Each topic has its own, so that one can grow without changing others.
func (g *generator) random(topic string, n int) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", topic, n)
	return rand.New(rand.NewPCG(g.seed, h.Sum64()))
}

// id returns the n-th id of a topic: 32 hexadecimal digits.
func (g *generator) id(topic string, n int) string {
	sum := sha256.Sum256(fmt.Appendf(binary.BigEndian.AppendUint64(nil, g.seed), "%s %d", topic, n))
	return hex.EncodeToString(sum[:16])
}

// put hands a record to the consumer.
func (g *generator) put(r formats.Record) { g.putFile(r, "", nil) }

// putFile hands a record with bytes to the consumer. The bytes are made only if the consumer is still there.
func (g *generator) putFile(r formats.Record, mediaType string, content func() []byte) {
	if g.err == nil {
		g.err = g.ctx.Err()
	}
	if g.over || g.err != nil {
		return
	}
	item := operators.Item{Record: r}
	if content != nil {
		data := content()
		item.Record.Blob = &formats.Blob{SHA256: formats.HashOf(data), Size: int64(len(data)), Type: mediaType}
		item.Content = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	}
	g.over = !g.yield(item, nil)
}

// body encodes a body, or the document of an origin. It fails for no value that this package makes.
func body(v any) []byte {
	encoded, err := formats.MarshalBody(v)
	if err != nil {
		return nil // no record of such a body passes the tests
	}
	return encoded
}

// native returns a document of a Cozy.
func native(doctype string, document map[string]any) *formats.Native {
	return &formats.Native{Type: doctype, Document: body(document)}
}

// today is the last moment of which the instance knows.
func today() time.Time { return time.Date(2026, time.October, 31, 18, 30, 0, 0, time.UTC) }

// month returns the first day of the n-th month, the last one being October 2026.
func (g *generator) month(n int) time.Time {
	return time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC).AddDate(0, n-g.Months, 0)
}

// moment returns a time up to days before today, to the millisecond.
func moment(r *rand.Rand, days int) time.Time {
	return today().Add(-time.Duration(r.Int64N(int64(days)*86400_000)) * time.Millisecond)
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// cents is an amount of euros.
type cents int64

func (c cents) decimal() formats.Decimal {
	sign := ""
	if c < 0 {
		sign, c = "-", -c
	}
	return formats.Decimal(fmt.Sprintf("%s%d.%02d", sign, c/100, c%100))
}

func (c cents) amount() formats.Amount {
	return formats.Amount{Currency: "EUR", Amount: c.decimal()}
}

func day(t time.Time) string { return t.Format(time.DateOnly) }
