package move_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

func readerOf(body []byte) io.Reader {
	if body == nil {
		return nil
	}
	return bytes.NewReader(body)
}

// lives makes an instance with some of everything.
func (o *operator) lives(person string, more ...string) *home.Instance {
	o.t.Helper()
	i, err := o.home.Create(context.Background(), person, home.Options{})
	if err != nil {
		o.t.Fatal(err)
	}
	for n, text := range append([]string{"", "Ünïcode", strings.Repeat(person, 9000)}, more...) {
		if err := jot(i, fmt.Sprintf("file-%d é", n), text); err != nil {
			o.t.Fatal(err)
		}
	}
	folder := formats.Record{ID: "empty", Dataset: formats.Files, Kind: formats.KindFolder, Path: formats.Tree.Place("An empty folder"), Modified: time.Unix(0, 5), Body: json.RawMessage(`{"tags":["t"]}`)}
	card := formats.Record{ID: "c1", Dataset: formats.Contacts, Kind: formats.KindCard, Body: json.RawMessage(`{"@type":"Card","version":"1.0","uid":"c1","name":{"full":"` + person + `"}}`)}
	for _, r := range []formats.Record{folder, card} {
		if _, err := i.Put(context.Background(), r, nil); err != nil {
			o.t.Fatal(err)
		}
	}
	return i
}

// jot writes one file.
func jot(i *home.Instance, id, text string) error {
	_, err := i.Put(context.Background(), formats.Record{
		ID: id, Dataset: formats.Files, Kind: formats.KindFile, Path: formats.Tree.Place(id + ".txt"), Modified: time.Now(),
		Blob: &formats.Blob{Size: int64(len(text)), Type: "text/plain"}, Body: json.RawMessage(`{"mediaType":"text/plain"}`),
	}, strings.NewReader(text))
	return err
}

// journey is one person who moves.
type journey struct {
	t       testing.TB
	person  string
	a, b    *operator
	consent string
	id      string
}

// begins has somebody move from A to B.
func begins(t testing.TB, person string, a, b *operator) *journey {
	t.Helper()
	j := &journey{t: t, person: person, a: a, b: b, consent: a.leaves(person, b)}
	m, err := b.running().Receiver.Begin(t.Context(), move.Arrival{Person: person, Peer: a.id, Tokens: j.consent})
	if err != nil {
		t.Fatal(err)
	}
	j.id = m.ID
	return j
}

func (j *journey) left() move.Leaving {
	j.t.Helper()
	list, err := j.a.running().Sender.List(context.Background(), j.person)
	if err != nil {
		j.t.Fatal(err)
	}
	for _, l := range list {
		if l.ID == j.id {
			return l
		}
	}
	j.t.Fatalf("there is no move %s at %s", j.id, j.a.id)
	return move.Leaving{}
}

func (j *journey) come() move.Arriving {
	j.t.Helper()
	m, err := j.b.running().Get(context.Background(), j.person, j.id)
	if err != nil {
		j.t.Fatal(err)
	}
	return m
}

// logs reports whether the destination's log says something of the move.
func (j *journey) logs(text string) bool { return strings.Contains(j.b.says.about(j.id), text) }

// troubled waits until the person is told of a kind of trouble, and checks that they are told of nothing else than that.
func (j *journey) troubled(kind move.Trouble) {
	j.t.Helper()
	j.until("there is the trouble "+string(kind), func() bool { return j.come().Trouble == kind })
}

// patience is how long something may take on a machine that has much else to do.
const patience = 30 * time.Second

// until waits for something that is to come.
func (j *journey) until(what string, is func() bool) {
	j.t.Helper()
	for began := time.Now(); !is(); time.Sleep(pace) {
		if time.Since(began) > patience && j.id == "" {
			j.t.Fatalf("%s: not after %s", what, patience)
		}
		if time.Since(began) > patience && j.id != "" {
			a, b := j.left(), j.come()
			j.t.Fatalf("%s: not after %s; the source is %s %d (%s), the destination %s %d (trouble %q, why %q)", what, time.Since(began).Round(time.Second), a.Stage, a.Epoch, a.Why, b.Stage, b.Epoch, b.Trouble, b.Why)
		}
	}
}

func (j *journey) untilStage(s move.Stage) {
	j.t.Helper()
	j.until("it is "+string(s), func() bool { return j.come().Stage == s })
}

// arrives waits for the end, and checks everything that must hold then.
func (j *journey) arrives() {
	j.t.Helper()
	j.until("it arrives", func() bool { m := j.come(); return m.Stage == move.Activated && m.Done })
	j.same()
	j.writesOnly(j.b, j.a)
	j.receipted()
	j.clean()
}

// stays waits until nothing came of the move, and checks that nothing is left of it.
func (j *journey) stays() {
	j.t.Helper()
	j.until("both gave up", func() bool { return j.left().Stage == move.Aborted && j.come().Stage == move.Aborted })
	j.writesOnly(j.a, j.b)
	j.clean()
}

func (o *operator) instance(t testing.TB, person string) *home.Instance {
	t.Helper()
	i, err := o.home.Instance(context.Background(), person)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// same compares both sides record by record.
func (j *journey) same() {
	j.t.Helper()
	if found := differences(j.t, j.a.instance(j.t, j.person), j.b.instance(j.t, j.person)); len(found) > 0 {
		j.t.Errorf("%s: the two sides differ: %q", j.id, found)
	}
}

func differences(t testing.TB, a, b *home.Instance) []string {
	t.Helper()
	one, other := a.Source(), b.Source()
	defer one.Close()
	defer other.Close()
	found, err := transfer.Compare{A: one, B: other, Tmp: t.TempDir()}.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if found.Equal.Records == 0 {
		return append(found.Examples, "nothing is equal")
	}
	return found.Examples
}

// writesOnly checks that the person can write at one operator, and not at the other.
func (j *journey) writesOnly(at, not *operator) {
	j.t.Helper()
	if err := scribble(at, j.person); err != nil {
		j.t.Errorf("%s cannot be written to at %s: %v", j.person, at.id, err)
	}
	if err := scribble(not, j.person); !errors.Is(err, operators.ErrReadOnly) && !errors.Is(err, operators.ErrNotFound) {
		j.t.Errorf("%s can be written to at %s, too: %v", j.person, not.id, err)
	}
}

// scribble writes something and takes it back.
func scribble(at *operator, person string) error {
	i, err := at.home.Instance(context.Background(), person)
	if err != nil {
		return err
	}
	if err := jot(i, "scribble", "x"); err != nil {
		return err
	}
	return i.Remove(context.Background(), formats.Files, "scribble")
}

// receipted checks what both operators signed, as anybody could.
func (j *journey) receipted() {
	j.t.Helper()
	receipt, err := j.a.running().Sender.Receipt(context.Background(), j.id)
	if err != nil {
		j.t.Fatal(err)
	}
	a, _ := j.a.signed(context.Background())
	b, _ := j.b.signed(context.Background())
	signed, err := receipt.Verify(a, b)
	if err != nil || signed.Root.String() != j.left().Root || signed.Root.String() != j.come().Root || j.come().Receipt == nil {
		j.t.Errorf("the receipt: %v %+v", err, signed)
	}
}

// clean checks that nothing lies around, and that the logs tell what happened.
func (j *journey) clean() {
	j.t.Helper()
	for _, dir := range []string{filepath.Join(j.a.dir, "leaving", j.id), filepath.Join(j.b.dir, "arriving", j.id)} {
		j.until(dir+" is gone", func() bool { _, err := os.Stat(dir); return errors.Is(err, os.ErrNotExist) })
	}
	j.until("nothing is staged", func() bool {
		_, err := j.b.home.Staged(context.Background(), j.id)
		return errors.Is(err, operators.ErrNotFound)
	})
	if j.left().Stage == move.Aborted {
		j.until("the log tells that it ended", func() bool { return strings.Contains(strings.Join(logged(j.t, j.a, j.person), " "), "move.aborted") })
	}
	a, b := j.left(), j.come()
	told(j.t, j.a, j.person, j.id, a.Move)
	told(j.t, j.b, j.person, j.id, b.Move)
}

// told checks that there is an entry in the log for each change of standing.
func told(t testing.TB, o *operator, person, id string, m move.Move) {
	t.Helper()
	var got []string
	for _, e := range logged(t, o, person) {
		if strings.Contains(e, id) {
			got = append(got, strings.Fields(e)[0])
		}
	}
	count := func(what string) (n int) {
		for _, g := range got {
			if g == what {
				n++
			}
		}
		return n
	}
	last := map[move.Stage]string{move.Aborted: "move.aborted", move.Committed: "move.committed", move.Activated: "move.activated"}[m.Stage]
	wrong := count("move.begun") != 1 || last != "" && (count(last) != 1 || got[len(got)-1] != last)
	if m.Side == move.Source {
		wrong = wrong || count("move.fenced") != m.Epoch || m.Stage == move.Committed && count("move.lifted") != m.Epoch-1
	}
	if wrong {
		t.Errorf("%s, %s: the log of %s tells %q, and it is %s %d", id, m.Side, o.id, got, m.Stage, m.Epoch)
	}
}

// logged are the events of a person's moves: type and detail.
func logged(t testing.TB, o *operator, person string) (events []string) {
	t.Helper()
	h, err := o.Ledger.History(context.Background(), ledger.Disclose{Person: person, To: "a test"})
	if errors.Is(err, ledger.ErrUnknown) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range h.Events {
		if typ := e.Opened[ledger.Type].Value; strings.HasPrefix(typ, "move.") {
			events = append(events, typ+" "+e.Opened[ledger.Detail].Value)
		}
	}
	return slices.Clip(events)
}
