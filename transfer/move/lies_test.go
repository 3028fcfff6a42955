package move_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// acceptance is what the destination of a move that is kept after it accepted would show.
func (j *journey) acceptance() (string, move.Acceptance) {
	j.t.Helper()
	var detail, compact string
	if err := j.b.DB.Read.QueryRow(`SELECT detail FROM move_move WHERE id = $1 AND side = 'destination'`, j.id).Scan(&detail); err != nil {
		j.t.Fatal(err)
	}
	var d struct{ Acceptance string }
	if err := json.Unmarshal([]byte(detail), &d); err != nil {
		j.t.Fatal(err)
	}
	compact = d.Acceptance
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[1])
	if err != nil {
		j.t.Fatal(err)
	}
	var a move.Acceptance
	if err := json.Unmarshal(payload, &a); err != nil {
		j.t.Fatal(err)
	}
	return compact, a
}

func (j *journey) commits(acceptance string) error {
	_, err := j.a.running().Commit(context.Background(), move.Authorisation{Consent: j.consent, Person: j.person, Destination: j.b.id}, j.id, acceptance)
	return err
}

// signs signs an acceptance with a key of an operator.
func signs(t *testing.T, o *operator, use statement.Use, typ string, a move.Acceptance) string {
	t.Helper()
	key, err := o.keys.Signer(t.Context(), use)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := statement.SignJWS(key.Signer, typ, payload)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

const acceptanceType = "passerelle-move-acceptance"

// TestLyingDestination shows the source acceptances that do not hold. It retires for none of them, and then for the true one.
func TestLyingDestination(t *testing.T) {
	a, b := pair(t)
	j := kept(t, a, b, "after it is accepted")
	true_, said := j.acceptance()
	for what, k := range map[string]struct {
		change func(*move.Acceptance)
		is     error
	}{
		"another root":     {func(x *move.Acceptance) { x.Root[0] ^= 1 }, move.ErrOtherState},
		"other counts":     {func(x *move.Acceptance) { x.Counts = move.Tally{formats.Files: {Records: 1}} }, move.ErrOtherState},
		"wrong answers":    {func(x *move.Acceptance) { x.Answers = append([]formats.Hash{{1}}, x.Answers[1:]...) }, move.ErrRefused},
		"no answers":       {func(x *move.Acceptance) { x.Answers = nil }, move.ErrRefused},
		"a later epoch":    {func(x *move.Acceptance) { x.Epoch++ }, move.ErrStale},
		"another move":     {func(x *move.Acceptance) { x.Move += "X" }, move.ErrRefused},
		"another person":   {func(x *move.Acceptance) { x.Person += "X" }, move.ErrRefused},
		"another source":   {func(x *move.Acceptance) { x.Source.ID = "c.example" }, move.ErrRefused},
		"another operator": {func(x *move.Acceptance) { x.Destination.ID = "c.example" }, move.ErrRefused},
		"tomorrow":         {func(x *move.Acceptance) { x.At = x.At.Add(24 * time.Hour) }, move.ErrRefused},
		"before its key":   {func(x *move.Acceptance) { x.At = x.At.Add(-24 * time.Hour) }, move.ErrRefused},
	} {
		lie := said
		k.change(&lie)
		if err := j.commits(signs(t, b, statement.UseArchive, acceptanceType, lie)); !errors.Is(err, k.is) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, compact := range map[string]string{
		"the key of the source":    signs(t, a, statement.UseArchive, acceptanceType, said),
		"a key for something else": signs(t, b, statement.UseTokens, acceptanceType, said),
		"another kind of message":  signs(t, b, statement.UseArchive, "passerelle-move-standing", said),
		"no signature":             true_[:strings.LastIndex(true_, ".")+1],
		"nothing":                  "",
	} {
		if err := j.commits(compact); !errors.Is(err, move.ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if m := j.left(); m.Stage != move.Fenced {
		t.Fatalf("the source is %s", m.Stage)
	}
	b.weather.set(nil)
	j.arrives()
}

// TestAcceptanceOfAnEarlierFence shows the source again what was accepted before its fence was lifted. What the person wrote
// since is not lost.
func TestAcceptanceOfAnEarlierFence(t *testing.T) {
	a, b := pair(t)
	j := kept(t, a, b, "after it is accepted")
	early, _ := j.acceptance()
	a.ahead.Store(int64(2 * time.Minute)) // the fence was up for long enough
	j.until("it is lifted", func() bool { return j.left().Stage == move.Planned && j.left().Epoch == 1 })
	if err := jot(a.instance(t, j.person), "between the fences", "x"); err != nil {
		t.Fatal(err)
	}
	if err := j.commits(early); !errors.Is(err, move.ErrStale) {
		t.Errorf("without a fence: %v", err)
	}
	j.until("it is fenced again", func() bool { return j.left().Epoch == 2 })
	if err := j.commits(early); !errors.Is(err, move.ErrStale) {
		t.Errorf("at the second fence: %v", err)
	}
	b.weather.set(nil)
	j.arrives()
}

// TestKeyRevokedAfterItSigned revokes the key with which the destination accepted. The source does not take it; when the fence
// is lifted the destination accepts again, with its new key.
func TestKeyRevokedAfterItSigned(t *testing.T) {
	a, b := pair(t)
	j := kept(t, a, b, "after it is accepted")
	early, _ := j.acceptance()
	old, err := b.keys.Signer(t.Context(), statement.UseArchive)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.keys.Rotate(t.Context(), statement.UseArchive); err != nil {
		t.Fatal(err)
	}
	if err := b.keys.Revoke(t.Context(), old.Kid, "it was stolen"); err != nil {
		t.Fatal(err)
	}
	if err := j.commits(early); !errors.Is(err, move.ErrRefused) {
		t.Errorf("%v", err)
	}
	b.weather.set(nil)
	a.ahead.Store(int64(2 * time.Minute))
	j.arrives()
}

// TestLyingSource packs what is not the truth. The destination takes none of it, and the person stays where they are.
func TestLyingSource(t *testing.T) {
	for what, lie := range map[string]func(a *operator, e *transfer.Export){
		"another signer": func(a *operator, e *transfer.Export) {
			s, _ := a.keys.Signer(context.Background(), statement.UseTokens)
			e.Signer = s.Signer
		},
		"another operator":  func(_ *operator, e *transfer.Export) { e.Operator.ID = "c.example" },
		"for somebody else": func(_ *operator, e *transfer.Export) { e.Recipient.ID = "c.example" },
		"no statement":      func(_ *operator, e *transfer.Export) { e.Statement = nil },
		"fewer records":     func(_ *operator, e *transfer.Export) { e.Source = fewer{e.Source} },
		"expired long ago":  func(_ *operator, e *transfer.Export) { e.Now = time.Now().AddDate(-1, 0, 0) },
	} {
		t.Run(what, func(t *testing.T) {
			a, b := pair(t)
			a.change = func(s *move.SenderOptions, _ *move.ReceiverOptions) {
				export := s.Export
				s.Export = func(ctx context.Context, person string, to *statement.Signed, source operators.Source) (transfer.Export, error) {
					e, err := export(ctx, person, to, source)
					lie(a, &e)
					return e, err
				}
			}
			a.restart(0)
			p := name()
			a.lives(p)
			j := begins(t, p, a, b)
			time.Sleep(300 * time.Millisecond)
			if m := j.come(); m.Stage == move.Activated || m.Stage == move.Accepted {
				t.Fatalf("it is %s", m.Stage)
			}
			if err := a.running().Sender.Stop(t.Context(), p, j.id, "it does not go on"); err != nil {
				t.Fatal(err)
			}
			j.stays()
		})
	}
}

// fewer leaves a record out of everything, but not of what it says that it stands at.
type fewer struct{ operators.Source }

func (f fewer) Records(ctx context.Context, after operators.Position) iter.Seq2[operators.Item, error] {
	return func(yield func(operators.Item, error) bool) {
		for item, err := range f.Source.Records(ctx, after) {
			if item.Record.ID != "c1" && !yield(item, err) {
				return
			}
		}
	}
}

func (f fewer) States(ctx context.Context) iter.Seq2[operators.State, error] {
	return f.Source.(operators.Stated).States(ctx)
}

// TestArchiveOfSomebodyElse serves one person's files in the place of another's: nobody gets what is not theirs.
func TestArchiveOfSomebodyElse(t *testing.T) {
	a, b := pair(t)
	other := kept(t, a, b, "while it is fetched")
	b.weather.set(nil)
	b.weather.lie(nil)
	victim := other.id
	b.weather.redirect(func(path string) string {
		if strings.Contains(path, "/archives/0/") {
			return strings.Replace(path, path[len("/moves/"):len("/moves/")+len(victim)], victim, 1)
		}
		return path
	}, other.consent)
	if err := b.running().Pause(t.Context(), other.person, other.id); err != nil {
		t.Fatal(err)
	}
	p := name()
	a.lives(p)
	j := begins(t, p, a, b)
	j.troubled(move.Unsound)
	if m := j.come(); m.Stage != move.Planned {
		t.Fatalf("it is %s", m.Stage)
	}
	b.weather.redirect(nil, "")
	j.arrives()
	if err := b.running().Resume(t.Context(), other.person, other.id); err != nil {
		t.Fatal(err)
	}
	other.arrives()
}
