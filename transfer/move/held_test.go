package move_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/apitest"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

const large = 3_000_000 // bytes of a file that travels, or does not

// keeps makes an instance of files with these texts.
func (o *operator) keeps(person string, texts map[string]string) *home.Instance {
	o.t.Helper()
	i, err := o.home.Create(context.Background(), person, home.Options{})
	if err != nil {
		o.t.Fatal(err)
	}
	for id, text := range texts {
		if err := jot(i, id, text); err != nil {
			o.t.Fatal(err)
		}
	}
	return i
}

// travels returns how many bytes have come to an operator since it was called.
func (o *operator) travels() func() int64 {
	before := o.weather.bytes.Load()
	return func() int64 { return o.weather.bytes.Load() - before }
}

// merged waits until what came is merged into what the person had, and checks that each of these texts is there as often.
func (j *journey) merged(want map[string]int) {
	j.t.Helper()
	j.until("it is merged", func() bool { m := j.come(); return m.Stage == move.Activated && m.Done })
	texts := contents(j.t.(*testing.T), j.b.instance(j.t, j.person))
	for text, times := range want {
		if got := texts[short(text)]; got != times {
			j.t.Errorf("%.20q is there %d times, not %d", text, got, times)
		}
	}
	j.writesOnly(j.b, j.a)
	j.receipted()
	j.clean()
}

// TestWhatBothHaveDoesNotTravel moves somebody who has half of it at the destination, under other names: that half does not
// travel, and nothing is missing. Meanwhile they throw away at the destination what did not travel, and go on working at the
// source with it: what the deltas say of it holds as well.
func TestWhatBothHaveDoesNotTravel(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b *operator) {
		p := name()
		one, two, three, four := noise(1, large), noise(2, large), noise(3, large), noise(4, large)
		here := a.lives(p, one, two, three, four, "small and there", "small and here", one)
		there := b.keeps(p, map[string]string{"1": one, "2": two, "3": "small and there", "4": "mine", "5": ""})
		bytes := b.travels()
		b.weather.set(stopsAt("/archives/1"))
		j := begins(t, p, a, b)
		j.until("it was asked for", func() bool { return j.left().Packed > 0 })
		if err := there.Remove(t.Context(), formats.Files, "2"); err != nil {
			t.Fatal(err)
		}
		j.untilStage(move.Copied)
		if came := bytes(); came < 2*large || came > 2*large+1<<20 {
			t.Errorf("%d bytes travelled, of two files of %d", came, large)
		}
		for _, err := range []error{here.Remove(t.Context(), formats.Files, "file-3 é"), jot(here, "once more", two), jot(here, "file-9 é", "changed")} {
			if err != nil {
				t.Fatal(err)
			}
		}
		b.weather.set(nil)
		j.merged(map[string]int{one: 1, two: 2, three: 1, four: 1, "small and there": 2, "small and here": 1, "mine": 1, "": 2, "changed": 1})
	})
}

// TestNothingIsListedWhereThereAreNoFiles moves somebody who has contacts alone.
func TestNothingIsListedWhereThereAreNoFiles(t *testing.T) {
	a, b := pair(t)
	var asked atomic.Int64
	b.weather.set(func(r *http.Request) fate {
		if strings.HasSuffix(r.URL.Path, "/blobs") {
			asked.Add(1)
		}
		return fair
	})
	p := name()
	card := formats.Record{ID: "c1", Dataset: formats.Contacts, Kind: formats.KindCard, Body: json.RawMessage(`{"@type":"Card","version":"1.0","uid":"c1","name":{"full":"x"}}`)}
	if _, err := a.keeps(p, nil).Put(t.Context(), card, nil); err != nil {
		t.Fatal(err)
	}
	begins(t, p, a, b).arrives()
	if n := asked.Load(); n > 0 {
		t.Errorf("it was asked %d times", n)
	}
}

// listsNothing has a source say that it has no blobs: all of them travel in archives.
func listsNothing(r *http.Request, w *http.Response) {
	if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/blobs") {
		*w = *reply(r, http.StatusOK, `{"blobs":[],"more":false}`)
	}
}

// TestWhoComesBackBringsLittle moves somebody back to where all of it still is, and where there would be no room for it twice.
func TestWhoComesBackBringsLittle(t *testing.T) {
	a, b := pair(t)
	p := name()
	if err := a.lives(p, noise(5, large)).SetQuota(t.Context(), large*3/2); err != nil {
		t.Fatal(err)
	}
	begins(t, p, a, b).arrives()
	bytes := a.travels()
	begins(t, p, b, a).arrives()
	if n := bytes(); n > 1<<20 {
		t.Errorf("%d bytes travelled back", n)
	}
}

// TestWhoComesBackHasNoMoreRoom comes back with more than there is room for.
func TestWhoComesBackHasNoMoreRoom(t *testing.T) {
	a, b := pair(t)
	p := name()
	if err := a.lives(p, noise(5, large)).SetQuota(t.Context(), large*3/2); err != nil {
		t.Fatal(err)
	}
	begins(t, p, a, b).arrives()
	if err := jot(b.instance(t, p), "more", noise(6, large)); err != nil {
		t.Fatal(err)
	}
	_, err := a.running().Receiver.Begin(t.Context(), move.Arrival{Person: p, Peer: b.id, Tokens: b.leaves(p, a)})
	if !errors.Is(err, move.ErrRoom) {
		t.Errorf("it does not fit: %v", err)
	}
}

// TestDamagedAtTheDestination has bytes there that are not what their hash says. They travel, and what the person had is whole
// again.
func TestDamagedAtTheDestination(t *testing.T) {
	a, b := pair(t)
	p := name()
	spoilt, sound := noise(6, large), noise(7, large+1)
	a.lives(p, spoilt, sound)
	b.keeps(p, map[string]string{"1": spoilt, "2": sound})
	if n := b.damages(t, large); n != 1 {
		t.Fatalf("%d files were damaged", n)
	}
	bytes := b.travels()
	begins(t, p, a, b).merged(map[string]int{spoilt: 2, sound: 2})
	if n := bytes(); n < large || n > large+1<<20 {
		t.Errorf("%d bytes travelled, of one file of %d", n, large)
	}
}

// TestTakenBytesThatAreLost loses what the destination had taken, before the archive comes that leaves it out: all of it is asked
// for then, once.
func TestTakenBytesThatAreLost(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b *operator) {
		p := name()
		one, two := noise(8, large), "a small one"
		a.lives(p, one, two)
		b.keeps(p, map[string]string{"1": one, "2": two})
		b.weather.set(stopsAt(".tar.age"))
		j := begins(t, p, a, b)
		j.until("it is packed", func() bool { return j.left().Packed > 0 })
		staged := filepath.Join(b.dir, "blobs", fmt.Sprintf("%x", b.staged(t, j)))
		if err := os.RemoveAll(staged); err != nil {
			t.Fatal(err)
		}
		b.weather.set(nil)
		j.merged(map[string]int{one: 2, two: 2})
		if !j.logs("all of it is asked for") {
			t.Error("nothing is said of it in the log")
		}
	})
}

// staged is the number of the instance that comes to be for a move.
func (o *operator) staged(t *testing.T, j *journey) (id int64) {
	t.Helper()
	if err := o.DB.Read.QueryRow(`SELECT id FROM home_instance WHERE name = $1`, "move:"+j.id).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

// TestSourceThatLeavesOutWhatNobodyHas has a source leave out what it was not told to, again and again. Nothing is loaded.
func TestSourceThatLeavesOutWhatNobodyHas(t *testing.T) {
	a, b := pair(t)
	a.change = func(s *move.SenderOptions, _ *move.ReceiverOptions) {
		export := s.Export
		s.Export = func(ctx context.Context, person string, to *statement.Signed, source operators.Source) (transfer.Export, error) {
			e, err := export(ctx, person, to, source)
			e.Held = func(formats.Hash) bool { return true }
			return e, err
		}
	}
	a.restart(0)
	b.weather.lie(listsNothing)
	p := name()
	a.lives(p)
	j := begins(t, p, a, b)
	j.troubled(move.Unsound)
	if !j.logs("all of it is asked for") || !j.logs("leaves out bytes that are not here") {
		t.Error("the log does not say why")
	}
	if i, err := b.home.Staged(t.Context(), j.id); err == nil {
		if c, err := i.Usage(t.Context()); err != nil || c.Records > 0 {
			t.Errorf("%+v is loaded, %v", c, err)
		}
	}
	if err := a.running().Sender.Stop(t.Context(), p, j.id, "it does not go on"); err != nil {
		t.Fatal(err)
	}
	j.stays()
}

// TestSourceWhoseListIsWrong leaves out what the destination has not named, since its list was damaged: all of it is asked for.
func TestSourceWhoseListIsWrong(t *testing.T) {
	a, b := pair(t)
	b.weather.lie(listsNothing)
	p := name()
	a.lives(p, "not there")
	b.keeps(p, map[string]string{"1": "Ünïcode"})
	b.weather.set(stopsAt("/archives/0"))
	j := begins(t, p, a, b)
	j.troubled(move.Unreached)
	list, hash := filepath.Join(a.dir, "leaving", j.id, "held"), formats.HashOf([]byte("not there"))
	if err := errors.Join(os.MkdirAll(filepath.Dir(list), 0o700), os.WriteFile(list, []byte("cut"+string(hash[:])+"and cut"), 0o600)); err != nil {
		t.Fatal(err)
	}
	own := move.Authorisation{Consent: j.consent, Person: p, Destination: b.id}
	if err := a.running().Sender.Spare(t.Context(), own, j.id, []formats.Hash{hash, {1}}); err != nil {
		t.Fatal(err)
	}
	b.weather.set(nil)
	j.merged(map[string]int{"Ünïcode": 2, "not there": 1})
	if !j.logs("all of it is asked for") {
		t.Error("the log does not say that it was")
	}
}

// TestListsThatAreNone shows the source lists that no destination has: what is no list is refused, what it does not know changes
// nothing, and what comes late neither.
func TestListsThatAreNone(t *testing.T) {
	a, b := pair(t)
	p := name()
	a.lives(p)
	b.weather.set(stopsAt("/archives/0"))
	j := begins(t, p, a, b)
	send := func(method, path, body, consent string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, a.server.URL+"/moves/"+j.id+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Consent", consent)
		r.Header.Set("X-Operator", b.id)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		apitest.Answer(t, answer, string(text))
		return answer.StatusCode, string(text)
	}
	hash := func(n int) string { return fmt.Sprintf(`"%064x"`, n+1) }
	many := hash(0)
	for n := range move.MostListed {
		many += "," + hash(n)
	}
	other := name()
	a.lives(other)
	theirs := a.leaves(other, b)
	for what, k := range map[string]struct {
		method, path, body, consent string
		status                      int
	}{
		"no hashes":         {"PUT", "/blobs", `{"held":["x"]}`, j.consent, 400},
		"half a hash":       {"PUT", "/blobs", `{"held":["abcd"]}`, j.consent, 400},
		"numbers":           {"PUT", "/blobs", `{"held":[1]}`, j.consent, 400},
		"no list":           {"PUT", "/blobs", `{"held":{}}`, j.consent, 400},
		"something else":    {"PUT", "/blobs", `{"holds":[]}`, j.consent, 400},
		"too long":          {"PUT", "/blobs", `{"held":[` + many + `]}`, j.consent, 400},
		"another's":         {"PUT", "/blobs", `{"held":[` + hash(1) + `]}`, theirs, 404},
		"after nothing":     {"GET", "/blobs?after=x", "", j.consent, 400},
		"another's blobs":   {"GET", "/blobs", "", theirs, 404},
		"a part of a delta": {"PUT", "/archives/1", `{"whole":true}`, j.consent, 400},
		"a page":            {"GET", "/blobs", "", j.consent, 200},
		"the end":           {"GET", "/blobs?after=" + strings.Repeat("f", 64), "", j.consent, 200},
		"unknown":           {"PUT", "/blobs", `{"held":[` + hash(1) + "," + hash(1) + "," + hash(2) + `]}`, j.consent, 200},
		"no blobs":          {"POST", "/blobs", `{"blobs":[]}`, j.consent, 400},
		"too many blobs":    {"POST", "/blobs", `{"blobs":[` + many + `]}`, j.consent, 400},
		"in no order":       {"POST", "/blobs", `{"blobs":[` + hash(2) + `,` + hash(1) + `]}`, j.consent, 400},
		"one two times":     {"POST", "/blobs", `{"blobs":[` + hash(1) + `,` + hash(1) + `]}`, j.consent, 400},
		"below nothing":     {"POST", "/blobs", `{"blobs":[` + hash(1) + `],"from":-1}`, j.consent, 400},
		"less than nothing": {"POST", "/blobs", `{"blobs":[` + hash(1) + `],"most":-1}`, j.consent, 400},
		"a part of two":     {"POST", "/blobs", `{"blobs":[` + hash(1) + `,` + hash(2) + `],"most":1}`, j.consent, 400},
		"another's bytes":   {"POST", "/blobs", `{"blobs":[` + hash(1) + `]}`, theirs, 404},
		"bytes of nothing":  {"POST", "/blobs", `{"blobs":[` + hash(1) + `]}`, j.consent, 200},
		"behind the end":    {"POST", "/blobs", `{"blobs":["` + formats.HashOf([]byte("Ünïcode")).String() + `"],"from":99}`, j.consent, 200},
		"empty":             {"PUT", "/blobs", `{"held":[]}`, j.consent, 200},
	} {
		if status, text := send(k.method, k.path, k.body, k.consent); status != k.status {
			t.Errorf("%s: %d %s", what, status, text)
		}
	}
	b.weather.set(stopsAt(".tar.age"))
	if err := b.running().Resume(t.Context(), p, j.id); err != nil {
		t.Fatal(err)
	}
	j.until("it is packed", func() bool { return j.left().Packed > 0 })
	late := `{"held":["` + formats.HashOf([]byte("Ünïcode")).String() + `"]}`
	if status, text := send("PUT", "/blobs", late, j.consent); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	if status, text := send("PUT", "/archives/0", `{"whole":true}`, j.consent); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	b.weather.set(nil)
	j.arrives()
}

// TestHostileLists lists blobs as no source does. It is refused, with words, and when the source answers as it should the move
// goes on.
func TestHostileLists(t *testing.T) {
	a, b := pair(t)
	blob := func(n, size int) string { return fmt.Sprintf(`{"sha256":"%064x","size":%d}`, n, size) }
	var pages atomic.Int64
	for what, list := range map[string]func() string{
		"in no order":    func() string { return blob(2, 1) + "," + blob(1, 1) },
		"twice the same": func() string { return blob(2, 1) + "," + blob(2, 1) },
		"nothing":        func() string { return blob(0, 1) },
		"below nothing":  func() string { return blob(2, -1) },
		"a huge one":     func() string { return blob(2, 1<<62) },
		"sums that overflow": func() string {
			var list []string
			for n := range 2 * move.MostListed {
				list = append(list, blob(n+1, 1<<50))
			}
			return strings.Join(list, ",")
		},
		"more of none": func() string { return "" },
		"without an end": func() string {
			var list []string
			for range move.MostListed {
				list = append(list, blob(int(pages.Add(1)), 1))
			}
			return strings.Join(list, ",")
		},
		"very many": func() string {
			var list []string
			for n := range 3 * move.MostListed {
				list = append(list, blob(n+1, 1))
			}
			return strings.Join(list, ",")
		},
	} {
		t.Run(what, func(t *testing.T) {
			b.weather.lie(func(r *http.Request, w *http.Response) {
				if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/blobs") {
					*w = *reply(r, http.StatusOK, `{"blobs":[`+list()+`],"more":true}`)
				}
			})
			p := name()
			a.lives(p)
			b.keeps(p, map[string]string{"1": "Ünïcode"})
			j := begins(t, p, a, b)
			j.troubled(move.Unsound)
			b.weather.lie(nil)
			if err := b.running().Resume(t.Context(), p, j.id); err != nil {
				t.Fatal(err)
			}
			j.merged(map[string]int{"Ünïcode": 2})
		})
	}
}

// TestSourceOfAnEarlierVersion knows of no lists: everything travels.
func TestSourceOfAnEarlierVersion(t *testing.T) {
	a, b := pair(t)
	b.weather.lie(func(r *http.Request, w *http.Response) {
		if strings.HasSuffix(r.URL.Path, "/blobs") {
			*w = *reply(r, http.StatusNotFound, "404 page not found")
		}
	})
	p := name()
	text := noise(9, large)
	a.lives(p, text)
	b.keeps(p, map[string]string{"1": text})
	bytes := b.travels()
	begins(t, p, a, b).merged(map[string]int{text: 2})
	if n := bytes(); n < large {
		t.Errorf("%d bytes travelled", n)
	}
}

// TestEachPageIsAnAccess looks into the source's log after somebody's blobs were listed and sent, and has that done for nobody
// after the authorisation ended.
func TestEachPageIsAnAccess(t *testing.T) {
	a, b := pair(t)
	p := name()
	a.lives(p)
	b.keeps(p, map[string]string{"1": "Ünïcode"})
	b.weather.set(stopsAt("/archives/0"))
	var pages atomic.Int64
	b.weather.lie(func(r *http.Request, w *http.Response) {
		if r.Method != http.MethodPut && strings.HasSuffix(r.URL.Path, "/blobs") && w.StatusCode == http.StatusOK {
			pages.Add(1)
		}
	})
	j := begins(t, p, a, b)
	j.troubled(move.Unreached)
	accesses, _, err := a.Fixture.Authority.Accesses(t.Context(), j.consent, p, "", 50)
	if err != nil || int64(len(accesses)) != pages.Load() || pages.Load() == 0 {
		t.Errorf("%d pages and parcels came, and %d accesses are in the log: %v", pages.Load(), len(accesses), err)
	}
	if _, err := a.Withdraw(t.Context(), consent.Ending{Consent: j.consent, Person: p, State: consent.Withdrawn}); err != nil {
		t.Fatal(err)
	}
	own := move.Authorisation{Consent: j.consent, Person: p, Destination: b.id}
	if page, err := a.running().Sender.Blobs(t.Context(), own, j.id, formats.Hash{}); !errors.Is(err, move.ErrEnded) || len(page.Blobs) > 0 {
		t.Errorf("%v %v", page, err)
	}
	if err := a.running().Sender.Spare(t.Context(), own, j.id, []formats.Hash{{1}}); !errors.Is(err, move.ErrEnded) {
		t.Error(err)
	}
	if _, err := a.running().Sender.Parcel(t.Context(), own, j.id, move.Wanted{Blobs: []formats.Hash{{1}}}); !errors.Is(err, move.ErrEnded) {
		t.Error(err)
	}
}

// stayed makes what is at an operator whom somebody left some time ago: some of what they have now, which they cannot write to.
func (o *operator) stayed(person string, texts map[string]string) {
	o.t.Helper()
	o.keeps(person, texts)
	err := o.DB.Tx(context.Background(), func(tx *sql.Tx) error { return o.home.Hold(context.Background(), tx, person, true) })
	if err != nil {
		o.t.Fatal(err)
	}
}

// TestKilledWhileItIsTaken kills either side again and again while somebody moves to where they have some of it.
func TestKilledWhileItIsTaken(t *testing.T) {
	const every = 5
	a, b := pair(t)
	for _, dies := range []*operator{a, b} {
		for first := range int64(every) {
			p := name()
			a.lives(p, noise(10, 100_000))
			b.stayed(p, map[string]string{"1": noise(10, 100_000), "2": "Ünïcode", "3": "y"})
			j := begins(t, p, a, b)
			process, kills := dies.restart(first+1), 0
			j.until("it is over", func() bool {
				if process.ctx.Err() != nil {
					after := int64(every)
					if kills++; kills%10 == 0 {
						after = 0 // a step may need more calls than that
					}
					process = dies.restart(after)
				}
				return j.come().Done
			})
			dies.restart(0)
			j.arrives()
		}
	}
}
