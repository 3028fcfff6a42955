package move_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// asksForBlobs reports whether a request is for the bytes of blobs.
func asksForBlobs(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/blobs")
}

// wanted is what a request asks for.
func wanted(t *testing.T, r *http.Request) (w move.Wanted) {
	t.Helper()
	body, err := r.GetBody()
	if err == nil {
		err = json.NewDecoder(body).Decode(&w)
	}
	if err != nil {
		t.Error(err)
	}
	return w
}

// TestBlobsTravelByThemselves moves blobs of many sizes, of which some are there several times. Each comes once, no archive holds
// any, and at neither side is so much as one of the large ones written down on the way besides the file that it becomes.
func TestBlobsTravelByThemselves(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b *operator) {
		p := name()
		texts := []string{"x", noise(1, 64<<10), noise(2, 64<<10+1), noise(3, 4<<20), noise(4, 4<<20+1), noise(5, 9_000_000), noise(5, 9_000_000)}
		for n := range 300 {
			texts = append(texts, noise(uint64(n+10), 20_000+n))
		}
		a.lives(p, texts...)
		distinct := int64(len(p) * 9000)
		for _, text := range texts[:len(texts)-301] {
			distinct += int64(len(text))
		}
		for n := range 300 {
			distinct += int64(20_000 + n)
		}
		var most sync.Map
		b.weather.set(func(r *http.Request) fate {
			if strings.Contains(r.URL.Path, ".tar.age") {
				most.Store("leaving", below(t, filepath.Join(a.dir, "leaving")))
			}
			return fair
		})
		came := b.travels()
		begins(t, p, a, b).arrives()
		if n := came(); n < distinct || n > distinct+1<<20 {
			t.Errorf("%d bytes came, for %d", n, distinct)
		}
		if n, _ := most.Load("leaving"); n.(int64) > 1<<20 {
			t.Errorf("the source had written down %d bytes", n)
		}
	})
}

// below is how many bytes are below a folder.
func below(t *testing.T, dir string) (total int64) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}

// TestWhatBecomesOfBlobsOnTheWay changes the source between the list and the bytes: what has gone is not missed, what has come
// instead travels with the archives.
func TestWhatBecomesOfBlobsOnTheWay(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b *operator) {
		p := name()
		here := a.lives(p, "goes", "changes", noise(1, 5_000_000), noise(2, 5_000_001))
		var once sync.Once
		b.weather.set(func(r *http.Request) fate {
			if asksForBlobs(r) {
				once.Do(func() {
					for _, id := range []string{"file-3 é", "file-5 é"} {
						if err := here.Remove(t.Context(), formats.Files, id); err != nil {
							t.Error(err)
						}
					}
					if err := jot(here, "file-4 é", "changed"); err != nil {
						t.Error(err)
					}
				})
			}
			return fair
		})
		begins(t, p, a, b).arrives()
	})
}

// TestLargeBlobGoesInTheMiddle removes a large file of which half has come, and spoils another one's half on the disk of the
// destination while that is down.
func TestLargeBlobGoesInTheMiddle(t *testing.T) {
	a, b := pair(t)
	p := name()
	here := a.lives(p, noise(1, 20_000_000), noise(2, 20_000_001))
	b.weather.set(func(r *http.Request) fate {
		if asksForBlobs(r) && wanted(t, r).From >= 12_000_000 {
			return lost
		}
		return fair
	})
	j := begins(t, p, a, b)
	j.troubled(move.Unreached)
	b.kill()
	half, err := filepath.Glob(filepath.Join(b.dir, "arriving", j.id, "blobs", "*"))
	if err != nil || len(half) != 1 {
		t.Fatalf("%q, %v", half, err)
	}
	text, err := os.ReadFile(half[0])
	if err != nil || len(text) < 8_000_000 || len(text) > 12_600_000 {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(half[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	gone := "file-3 é"
	if formats.HashOf([]byte(noise(1, 20_000_000))).String() == filepath.Base(half[0]) {
		gone = "file-4 é"
	}
	if err := here.Remove(t.Context(), formats.Files, gone); err != nil {
		t.Fatal(err)
	}
	b.weather.set(nil)
	b.start(0)
	j.arrives()
}

// TestHostileParcels answers with parcels that no source sends. None of it is taken for what it is not, and where that is clearly
// a lie the move waits, until the source answers as it should.
func TestHostileParcels(t *testing.T) {
	a, b := pair(t)
	peer, err := b.signed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := peer.Recipients()
	if err != nil {
		t.Fatal(err)
	}
	type entry struct {
		hash formats.Hash
		text string
	}
	pack := func(entries ...entry) []byte {
		var out bytes.Buffer
		w, err := archive.NewParcel(&out, recipients)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if err := w.Add(e.hash, int64(len(e.text)), strings.NewReader(e.text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	const text = "Ünïcode"
	hash := formats.HashOf([]byte(text))
	for what, k := range map[string]struct {
		answer  func(asked move.Wanted, true_ []byte) []byte
		refused bool
	}{
		"nothing is there": {func(move.Wanted, []byte) []byte { return pack() }, false},
		"other bytes": {func(w move.Wanted, _ []byte) []byte {
			return pack(entry{hash, strings.Repeat("x", len(text))})
		}, false},
		"more bytes":         {func(move.Wanted, []byte) []byte { return pack(entry{hash, text + "x"}) }, true},
		"fewer bytes":        {func(move.Wanted, []byte) []byte { return pack(entry{hash, text[1:]}) }, true},
		"what nobody wanted": {func(move.Wanted, []byte) []byte { return pack(entry{formats.HashOf([]byte("x")), "x"}) }, true},
		"the same two times": {func(move.Wanted, []byte) []byte { return pack(entry{hash, text}, entry{hash, text}) }, true},
		"no parcel":          {func(move.Wanted, []byte) []byte { return []byte("<html>hello</html>") }, true},
		"an empty answer":    {func(move.Wanted, []byte) []byte { return nil }, true},
		"half of it":         {func(_ move.Wanted, true_ []byte) []byte { return true_[:len(true_)/2] }, true},
		"another bit": {func(_ move.Wanted, true_ []byte) []byte {
			true_[len(true_)/2] ^= 1
			return true_
		}, true},
	} {
		t.Run(what, func(t *testing.T) {
			b.weather.lie(func(r *http.Request, w *http.Response) {
				if !asksForBlobs(r) || w.StatusCode != http.StatusOK {
					return
				}
				true_, err := io.ReadAll(w.Body)
				if err != nil {
					t.Error(err)
				}
				text := k.answer(wanted(t, r), true_)
				w.Body, w.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
			})
			defer b.weather.lie(nil)
			p := name()
			a.lives(p)
			j := begins(t, p, a, b)
			if k.refused {
				j.troubled(move.Unsound)
				b.weather.lie(nil)
				if err := b.running().Resume(t.Context(), p, j.id); err != nil {
					t.Fatal(err)
				}
			}
			j.arrives()
		})
	}
}

// TestParcelsThatBringNothing cuts every answer before anything of it can be decrypted: it is not asked for again and again at once.
func TestParcelsThatBringNothing(t *testing.T) {
	for _, size := range []int64{1000, 40_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) { bringNothing(t, size) })
	}
}

func bringNothing(t *testing.T, size int64) {
	a, b := pair(t)
	var asked sync.Map
	b.weather.lie(func(r *http.Request, w *http.Response) {
		if asksForBlobs(r) {
			asked.Store(fmt.Sprintf("%p", r), true)
			w.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(io.LimitReader(w.Body, size), broken{}), w.Body}
		}
	})
	p := name()
	a.lives(p, noise(1, 100_000))
	j := begins(t, p, a, b)
	j.troubled(move.Unreached)
	b.weather.lie(nil)
	j.arrives()
	n := 0
	asked.Range(func(_, _ any) bool { n++; return true })
	if n > 100 {
		t.Errorf("it was asked %d times", n)
	}
}

// TestStoppedWhileBlobsCome stops, pauses and withdraws while a parcel is under way.
func TestStoppedWhileBlobsCome(t *testing.T) {
	a, b := pair(t)
	under := func() (*journey, func()) {
		comes, goes := make(chan struct{}), make(chan struct{})
		var once sync.Once
		b.weather.lie(func(r *http.Request, w *http.Response) {
			if asksForBlobs(r) {
				w.Body = &held{ReadCloser: w.Body, after: 2_000_000, at: func() {
					once.Do(func() { close(comes) })
					select {
					case <-goes:
					case <-r.Context().Done():
					}
				}}
			}
		})
		p := name()
		a.lives(p, noise(1, 3_000_000), noise(2, 3_000_000))
		j := begins(t, p, a, b)
		<-comes
		return j, sync.OnceFunc(func() { close(goes); b.weather.lie(nil) })
	}
	t.Run("paused", func(t *testing.T) {
		j, on := under()
		if err := b.running().Pause(t.Context(), j.person, j.id); err != nil {
			t.Fatal(err)
		}
		on()
		if err := b.running().Resume(t.Context(), j.person, j.id); err != nil {
			t.Fatal(err)
		}
		j.arrives()
	})
	t.Run("stopped here", func(t *testing.T) {
		j, on := under()
		defer on()
		if err := b.running().Receiver.Stop(t.Context(), j.person, j.id); err != nil {
			t.Fatal(err)
		}
		j.stays()
	})
	t.Run("stopped there", func(t *testing.T) {
		j, on := under()
		if err := a.running().Sender.Stop(t.Context(), j.person, j.id, "the person stays"); err != nil {
			t.Fatal(err)
		}
		on()
		j.stays()
	})
}

// held is an answer that stops after some bytes.
type held struct {
	io.ReadCloser
	after int
	at    func()
}

func (h *held) Read(p []byte) (int, error) {
	if h.after <= 0 {
		h.at()
	}
	n, err := h.ReadCloser.Read(p)
	h.after -= n
	return n, err
}

// TestParcelWithoutAnEnd sends headers of a tar file, one after the other, and never a file: no more is read of it than a parcel has.
func TestParcelWithoutAnEnd(t *testing.T) {
	a, b := pair(t)
	peer, err := b.signed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := peer.Recipients()
	if err != nil {
		t.Fatal(err)
	}
	var head bytes.Buffer
	if err := tar.NewWriter(&head).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: strings.Repeat("é", 500)}); err != nil {
		t.Fatal(err)
	}
	pax := head.Bytes()[:head.Len()-512] // without the header of the file
	b.weather.lie(func(r *http.Request, w *http.Response) {
		if !asksForBlobs(r) || w.StatusCode != http.StatusOK {
			return
		}
		w.Body.Close()
		in, out := io.Pipe()
		w.Body = in
		go func() {
			seal, err := age.Encrypt(out, recipients...)
			for err == nil {
				_, err = seal.Write(pax)
			}
			out.CloseWithError(err)
		}()
	})
	defer b.weather.lie(nil)
	p := name()
	a.lives(p)
	before := b.weather.bytes.Load()
	j := begins(t, p, a, b)
	j.troubled(move.Unsound)
	if n := b.weather.bytes.Load() - before; n > 20<<20 {
		t.Errorf("%d bytes of it were read", n)
	}
	b.weather.lie(nil)
	if err := b.running().Resume(t.Context(), p, j.id); err != nil {
		t.Fatal(err)
	}
	j.arrives()
}

// TestWhatNobodyAsksForAnyMoreGoes finds a part of a file that the source does not list any more.
func TestWhatNobodyAsksForAnyMoreGoes(t *testing.T) {
	a, b := pair(t)
	p := name()
	a.lives(p, noise(1, 6_000_000))
	b.weather.set(func(r *http.Request) fate {
		if asksForBlobs(r) {
			return lost
		}
		return fair
	})
	j := begins(t, p, a, b)
	j.troubled(move.Unreached)
	stray := filepath.Join(b.dir, "arriving", j.id, "blobs", formats.HashOf([]byte("stray")).String())
	if err := os.WriteFile(stray, []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.running().Resume(t.Context(), p, j.id); err != nil {
		t.Fatal(err)
	}
	j.until("it is gone", func() bool { return !exists(stray) })
	b.weather.set(nil)
	j.arrives()
}

// TestEverythingIsReadAgain spoils bytes whose records were changed since they came. Whichever they are, they are found.
func TestEverythingIsReadAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, a, _ *operator) {
		const files = 700 // as many again are enough to be read in halves
		i, err := a.home.Create(t.Context(), name(), home.Options{})
		if err != nil {
			t.Fatal(err)
		}
		text := func(n int) string { return fmt.Sprintf("file %04d", n) }
		for round := range 2 {
			for n := range files {
				r := formats.Record{ID: fmt.Sprint(n), Dataset: formats.Files, Kind: formats.KindFile, Path: formats.Tree.Place(fmt.Sprint(round, "/", n)), Modified: time.Unix(0, 0),
					Blob: &formats.Blob{SHA256: formats.HashOf([]byte(text(n))), Size: int64(len(text(n)))}, Body: json.RawMessage(`{}`)}
				var content io.Reader
				if round == 0 {
					content = strings.NewReader(text(n))
				}
				if _, err := i.Put(t.Context(), r, content); err != nil {
					t.Fatal(err)
				}
			}
		}
		reread := func() (records, bytes int64, err error) {
			open := func(context.Context) (operators.Source, error) { return i.Source(), nil }
			_, err = move.Reread(t.Context(), open, 0, func(r, b int64) { records, bytes = r, b })
			return records, bytes, err
		}
		if records, bytes, err := reread(); err != nil || records != files || bytes != files*int64(len(text(0))) {
			t.Errorf("%d records, %d bytes, %v", records, bytes, err)
		}
		for _, n := range []int{0, files/2 - 1, files / 2, files - 1} {
			hash := formats.HashOf([]byte(text(n)))
			set := func(to string) {
				t.Helper()
				if _, err := a.DB.Write.Exec(`UPDATE home_blob SET data = $1 WHERE hash = $2`, []byte(to), hash[:]); err != nil {
					t.Fatal(err)
				}
			}
			set("spoilt...")
			if _, _, err := reread(); !errors.Is(err, operators.ErrContentMissing) {
				t.Errorf("file %d: %v", n, err)
			}
			set(text(n))
		}
	})
}
