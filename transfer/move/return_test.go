package move_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// TestGoingBack moves somebody from A to B, where they change things, and back into what stayed at A: there is then what they
// had at B, and nothing besides. It is not erased when the time to come back is over, and they can leave again.
func TestGoingBack(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b *operator) {
		p := name()
		a.lives(p)
		begins(t, p, a, b).arrives()
		there := b.instance(t, p)
		for _, err := range []error{jot(there, "file-1 é", "changed at B"), jot(there, "new at B", "x"), there.Remove(t.Context(), formats.Files, "file-0 é")} {
			if err != nil {
				t.Fatal(err)
			}
		}
		begins(t, p, b, a).arrives()
		a.ahead.Store(int64(31 * 24 * time.Hour))
		time.Sleep(20 * pace)
		if err := scribble(a, p); err != nil {
			t.Errorf("who came back was erased: %v", err)
		}
		a.ahead.Store(0)
		if to, err := a.running().Moved(t.Context(), p); err != nil || to != "" {
			t.Errorf("they are said to have moved to %q: %v", to, err)
		}
		begins(t, p, a, b).arrives()
	})
}

// TestRetiredInstanceCannotLeaveAgain has somebody who has moved to B leave A once more, to C: there would be two of them.
func TestRetiredInstanceCannotLeaveAgain(t *testing.T) {
	a, b := pair(t)
	c := newOperator(t, "c.example", dbtest.SQLite(t))
	c.trusts(a)
	a.trusts(c)
	c.start(0)
	p := name()
	a.lives(p)
	begins(t, p, a, b).arrives()
	if _, err := c.running().Receiver.Begin(t.Context(), move.Arrival{Person: p, Peer: a.id, Tokens: a.leaves(p, c)}); !errors.Is(err, move.ErrTooLate) {
		t.Errorf("%v", err)
	}
}

// TestOneMoveAtATime has somebody begin to leave who is just arriving, and the other way round.
func TestOneMoveAtATime(t *testing.T) {
	a, b := pair(t)
	j := kept(t, a, b, "before the changes")
	b.lives(j.person) // they have something at B, too
	if _, err := a.running().Receiver.Begin(t.Context(), move.Arrival{Person: j.person, Peer: b.id, Tokens: b.leaves(j.person, a)}); !errors.Is(err, move.ErrOpen) {
		t.Errorf("who arrives at B leaves it: %v", err)
	}
}

// TestRetentionEndsInACertificate passes the 30 days: what stayed is erased, with a certificate, and nothing names the person.
func TestRetentionEndsInACertificate(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b *operator) {
		p := name()
		a.lives(p)
		j := begins(t, p, a, b)
		j.arrives()
		a.ahead.Store(int64(29 * 24 * time.Hour))
		time.Sleep(20 * pace)
		if _, err := a.home.Instance(t.Context(), p); err != nil {
			t.Fatalf("after 29 days: %v", err)
		}
		a.ahead.Store(int64(30*24*time.Hour + time.Minute))
		var text string
		for began := time.Now(); text == "" && time.Since(began) < 5*time.Second; time.Sleep(pace) {
			if answer, err := http.Get(a.server.URL + "/moves/" + j.id + "/certificate"); err == nil {
				if body, _ := io.ReadAll(answer.Body); answer.StatusCode == http.StatusOK {
					text = string(body)
				}
				answer.Body.Close()
			}
		}
		if strings.Count(text, ".") != 2 {
			t.Errorf("the certificate: %q", text)
		}
		if _, err := a.home.Instance(t.Context(), p); !errors.Is(err, operators.ErrNotFound) {
			t.Errorf("after 30 days: %v", err)
		}
		if list, err := a.running().Sender.List(t.Context(), p); err != nil || len(list) > 0 {
			t.Errorf("%+v %v", list, err)
		}
		if _, err := a.running().Sender.Receipt(t.Context(), j.id); err != nil {
			t.Errorf("the receipt is not published any more: %v", err)
		}
	})
}

// TestTargetThatIsNotEmptyMerges moves somebody to where they have something already. Both stay, also of the same name, and
// neither is there twice. While there is no room nothing of it is given up.
func TestTargetThatIsNotEmptyMerges(t *testing.T) {
	a, b := pair(t)
	p := name()
	a.lives(p)
	there, err := b.home.Create(t.Context(), p, home.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for id, text := range map[string]string{"file-1 é": "another text", "only here": "x", "file-2 é": strings.Repeat(p, 9000)} {
		if err := jot(there, id, text); err != nil {
			t.Fatal(err)
		}
	}
	b.weather.set(stopsAt("/acceptance"))
	j := begins(t, p, a, b)
	j.untilStage(move.Accepted)
	if err := there.SetQuota(t.Context(), 100_000+int64(len(p))); err != nil { // what they have fills it
		t.Fatal(err)
	}
	if err := jot(there, "fills it", strings.Repeat("y", 100_000-9000*len(p)%100_000)); err != nil && !errors.Is(err, formats.ErrInvalid) {
		t.Fatal(err)
	}
	b.weather.set(nil)
	j.untilStage(move.Activated)
	if err := there.SetQuota(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	j.until("it is merged", func() bool { return j.come().Done })
	if !j.come().Merge {
		t.Error("it was not merged")
	}
	texts := contents(t, b.instance(t, p))
	for _, want := range []string{"another text", "Ünïcode", "x"} {
		if texts[want] != 1 {
			t.Errorf("%q is there %d times: %v", want, texts[want], texts)
		}
	}
	if n := texts[short(strings.Repeat(p, 9000))]; n != 1 {
		t.Errorf("what both had is there %d times", n)
	}
	j.clean()
}

// contents counts the texts of an instance's files.
func contents(t *testing.T, i *home.Instance) map[string]int {
	t.Helper()
	source, found := i.Source(), map[string]int{}
	defer source.Close()
	for item, err := range source.Records(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Content == nil {
			continue
		}
		content, err := item.Content()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(content)
		if err = errors.Join(err, content.Close()); err != nil {
			t.Fatal(err)
		}
		found[short(string(text))]++
	}
	return found
}

func short(text string) string {
	if len(text) < 40 {
		return text
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
}

// TestTenMovesAtOnceNeverMix moves ten persons at the same time, who have the same names of everything.
func TestTenMovesAtOnceNeverMix(t *testing.T) {
	a, b := pair(t)
	var journeys []*journey
	for range 10 {
		p := name()
		a.lives(p, "of "+p)
		journeys = append(journeys, begins(t, p, a, b))
	}
	for _, j := range journeys {
		j.arrives()
		if contents(t, b.instance(t, j.person))["of "+j.person] != 1 {
			t.Errorf("%s has not what is theirs", j.person)
		}
	}
}

// TestPreflightRefusesWhatDoesNotFit says before anything begins that there is no room, and begins when there is.
func TestPreflightRefusesWhatDoesNotFit(t *testing.T) {
	a, b := pair(t)
	p := name()
	a.lives(p)
	there, err := b.home.Create(t.Context(), p, home.Options{Quota: 50_000})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.running().Receiver.Begin(t.Context(), move.Arrival{Person: p, Peer: a.id, Tokens: a.leaves(p, b)})
	if !errors.Is(err, move.ErrRoom) || !strings.Contains(err.Error(), "50000 are free") {
		t.Errorf("%v", err)
	}
	if list, err := b.running().Receiver.List(t.Context(), p); err != nil || len(list) > 0 {
		t.Errorf("it began: %+v %v", list, err)
	}
	if err := there.SetQuota(t.Context(), 500_000); err != nil {
		t.Fatal(err)
	}
	begins(t, p, a, b).arrives()
}

// TestQuotaThatIsRaisedLater runs out of room in the middle, since the person wrote more meanwhile, and goes on when there is.
func TestQuotaThatIsRaisedLater(t *testing.T) {
	a, b := pair(t)
	p := name()
	here := a.lives(p)
	there, err := b.home.Create(t.Context(), p, home.Options{Quota: 200_000})
	if err != nil {
		t.Fatal(err)
	}
	b.weather.set(stopsAt("/archives/0"))
	j := begins(t, p, a, b)
	if err := jot(here, "more", noise(7, 300_000)); err != nil {
		t.Fatal(err)
	}
	b.weather.set(nil)
	j.troubled(move.NoRoom)
	if err := there.SetQuota(t.Context(), 2_000_000); err != nil {
		t.Fatal(err)
	}
	j.arrives()
}

// TestClocksTenMinutesApart moves between operators whose clocks differ, either way.
func TestClocksTenMinutesApart(t *testing.T) {
	a, b := pair(t)
	for _, ahead := range []time.Duration{10*time.Minute - time.Second, -10*time.Minute + time.Second} {
		b.ahead.Store(int64(ahead))
		p := name()
		a.lives(p)
		begins(t, p, a, b).arrives()
	}
}

// TestPauseAndResume pauses a move wherever it can be: nothing is asked of the source until it goes on.
func TestPauseAndResume(t *testing.T) {
	a, b := pair(t)
	for stage, s := range stages {
		j := kept(t, a, b, stage)
		err := b.running().Pause(t.Context(), j.person, j.id)
		if s.there == move.Fenced || s.there == move.Accepted {
			if !errors.Is(err, move.ErrOrder) {
				t.Errorf("%s: %v", stage, err)
			}
			b.weather.set(nil)
			j.arrives()
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * pace)
		var asked atomic.Int64
		b.weather.set(func(*http.Request) fate { asked.Add(1); return fair })
		for before, end := int64(-1), time.Now().Add(20*time.Second); asked.Load() != before && time.Now().Before(end); { // what was under way ends
			before = asked.Load()
			time.Sleep(10 * pace)
		}
		asked.Store(0)
		time.Sleep(20 * pace)
		if m := j.come(); asked.Load() > 0 || !m.Paused || m.Stage != s.there {
			t.Errorf("%s: %d requests while it was paused, %s", stage, asked.Load(), m.Stage)
		}
		if err := b.running().Resume(t.Context(), j.person, j.id); err != nil {
			t.Fatal(err)
		}
		j.arrives()
	}
}

// TestWithdrawnStopsBeforeTheNextByte withdraws while a file is on its way: when that is done nothing more of it comes.
func TestWithdrawnStopsBeforeTheNextByte(t *testing.T) {
	a, b := pair(t)
	p := name()
	a.lives(p, noise(9, 30_000_000))
	var once sync.Once
	var after atomic.Int64
	b.weather.lie(func(r *http.Request, w *http.Response) {
		if !strings.Contains(r.URL.Path, ".tar") {
			return
		}
		body := w.Body
		w.Body = struct {
			io.Reader
			io.Closer
		}{slowly{body, func() {
			once.Do(func() {
				_, err := a.Withdraw(context.Background(), consent.Ending{Consent: leaver(a, p), Person: p, State: consent.Withdrawn})
				if err != nil {
					t.Error(err)
				}
				after.Store(b.weather.bytes.Load())
			})
		}}, body}
	})
	j := begins(t, p, a, b)
	j.stays()
	// What had left the source before waits in the buffers of three connections.
	if more := b.weather.bytes.Load() - after.Load(); more > 13<<20 {
		t.Errorf("%d bytes came after it was withdrawn", more)
	}
}

func leaver(o *operator, person string) (id string) {
	_ = o.DB.Read.QueryRow(`SELECT consent FROM move_move WHERE person = $1 AND side = 'source'`, person).Scan(&id)
	return id
}

// slowly calls before each read.
type slowly struct {
	io.Reader
	before func()
}

func (s slowly) Read(p []byte) (int, error) {
	s.before()
	return s.Reader.Read(p)
}
