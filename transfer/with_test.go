package transfer_test

import (
	"context"
	"encoding/json"
	"iter"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// TestWithHasNothingTwice takes out somebody who had loaded an archive that was made here: what is kept of them besides the
// instance is in it once, as it is now.
func TestWithHasNothingTwice(t *testing.T) {
	g := newGateway(t, "a.example")
	i := g.person(t, "alice", home.Options{})
	document := func(id, text string) formats.Record {
		body, err := json.Marshal(map[string]string{"type": text})
		if err != nil {
			t.Fatal(err)
		}
		return formats.Record{ID: id, Dataset: formats.Consents, Kind: formats.KindDocument, Modified: time.Now(), Body: body}
	}
	for _, id := range []string{"log", "other"} {
		if _, err := i.Put(t.Context(), document(id, "older"), nil); err != nil {
			t.Fatal(err)
		}
	}
	source := transfer.With(i.Source(), func(context.Context) iter.Seq2[formats.Record, error] {
		return func(yield func(formats.Record, error) bool) { yield(document("log", "newer"), nil) }
	})
	defer source.Close()
	var got []string
	for item, err := range source.Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, item.Record.ID+" "+string(item.Record.Body))
	}
	if len(got) != 2 || got[0] != `log {"type":"newer"}` || got[1] != `other {"type":"older"}` {
		t.Errorf("%q", got)
	}
}
