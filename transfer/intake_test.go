package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/seal"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/example"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// intakes are those of a gateway where alice and bob have an instance, and nothing in it.
type intakes struct {
	*transfer.Intakes
	t     *testing.T
	db    *sqldb.DB
	dir   string
	most  int64
	queue *jobs.Queue
	at    *gateway
	who   map[string]*home.Instance
	stop  func()
	keep  time.Duration
	gate  func(ctx context.Context) error // before something is loaded
	seen  int                             // records of consents
}

func newIntakes(t *testing.T, db *sqldb.DB) *intakes {
	t.Helper()
	g := newGateway(t, "b.example")
	k := &intakes{t: t, db: db, dir: t.TempDir(), most: 10 << 20, at: g, gate: func(context.Context) error { return nil },
		who: map[string]*home.Instance{"alice": g.person(t, "alice", home.Options{}), "bob": g.person(t, "bob", home.Options{})}}
	k.stop = k.start()
	return k
}

// start opens them as a gateway does when it starts, and works until the returned function is called.
func (k *intakes) start() (stop func()) {
	k.t.Helper()
	box, err := seal.New(bytes.Repeat([]byte{1}, seal.MinSecret), "intakes")
	if err != nil {
		k.t.Fatal(err)
	}
	if k.queue, err = jobs.New(k.t.Context(), k.db, jobs.Config{Poll: 20 * time.Millisecond, Grace: 100 * time.Millisecond}); err != nil {
		k.t.Fatal(err)
	}
	k.Intakes, err = transfer.OpenIntakes(k.t.Context(), k.db, k.queue, transfer.IntakeOptions{
		Dir: k.dir, Tmp: k.t.TempDir(), Seal: box.Seal, Open: box.Open,
		Target: func(ctx context.Context, person string) (operators.Target, error) {
			return k.who[person].Target(), k.gate(ctx)
		},
		Expect: func(context.Context) (archive.Expectations, error) {
			return archive.Expectations{Recipient: "b.example"}, nil
		},
		Keep: k.keep,
		Most: func(context.Context, string) (int64, error) { return k.most, nil },
		Beside: func(string, transfer.Found) (func(formats.Record), func(context.Context) error) {
			return func(r formats.Record) { k.seen++ }, func(context.Context) error { return nil }
		},
	})
	if err != nil {
		k.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	queue := k.queue
	go func() { done <- queue.Run(ctx) }()
	ended := false
	stop = func() {
		if cancel(); !ended {
			ended = true
			if err := <-done; err != nil {
				k.t.Error(err)
			}
		}
	}
	k.t.Cleanup(stop)
	return stop
}

// packed is an archive of an invented person, made elsewhere: its files.
func packed(t *testing.T, out string, to ...age.Recipient) []string {
	t.Helper()
	g := newGateway(t, "a.example")
	source := example.Person(1, example.Scale{Files: 5, Bytes: 50_000, Months: 1, Contacts: 5})
	defer source.Close()
	e := transfer.Export{Source: source, Out: filepath.Join(t.TempDir(), out), VolumeSize: 400_000, Recipients: to, Operator: g.party, Signer: g.signer}
	if len(to) == 1 {
		if key, ok := to[0].(*age.X25519Recipient); ok {
			e.RecoveryKey = key.String()
		}
	}
	sealed, err := e.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n, f := range sealed.Files {
		sealed.Files[n] = filepath.Join(filepath.Dir(e.Out), filepath.Base(f))
	}
	return sealed.Files
}

// send sends files in small parts, from where they are.
func (k *intakes) send(person string, files []string, stopAfter int) transfer.Intake {
	k.t.Helper()
	var list []transfer.IntakeFile
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			k.t.Fatal(err)
		}
		list = append(list, transfer.IntakeFile{Name: filepath.Base(f), Size: info.Size()})
	}
	in, err := k.Begin(k.t.Context(), person, list)
	if err != nil {
		k.t.Fatal(err)
	}
	for n, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			k.t.Fatal(err)
		}
		for at := in.Files[n].Got; at < int64(len(text)); {
			if stopAfter--; stopAfter == 0 {
				return in
			}
			if at, err = k.Put(k.t.Context(), person, in.ID, filepath.Base(f), at, bytes.NewReader(text[at:min(at+50_000, int64(len(text)))])); err != nil {
				k.t.Fatal(err)
			}
		}
	}
	return in
}

// await waits until what a person brings is in a state.
func (k *intakes) await(person string, state transfer.IntakeState) transfer.Intake {
	k.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		in, err := k.Get(k.t.Context(), person)
		if err == nil && in.State == state {
			return in
		}
		if time.Now().After(end) {
			k.t.Fatalf("it does not get to be %s: %s %s, %v", state, in.State, in.Fault, err)
		}
	}
}

// cleared waits until no files are left.
func (k *intakes) cleared() {
	k.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		entries, err := os.ReadDir(k.dir)
		if err == nil && len(entries) == 0 {
			return
		}
		if err != nil || time.Now().After(end) {
			k.t.Fatalf("files are left: %v, %v", entries, err)
		}
	}
}

func (k *intakes) check(person, id, secret string) {
	k.t.Helper()
	if err := k.Check(k.t.Context(), person, id, secret); err != nil {
		k.t.Fatal(err)
	}
}

// loads sends an archive, says yes, and returns what became of it.
func (k *intakes) loads(person string, files []string, secret string) transfer.Intake {
	k.t.Helper()
	in := k.send(person, files, 0)
	k.check(person, in.ID, secret)
	k.await(person, transfer.IntakeShown)
	if err := k.Load(k.t.Context(), person, in.ID); err != nil {
		k.t.Fatal(err)
	}
	return k.await(person, transfer.IntakeLoaded)
}

func TestIntake(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		k := newIntakes(t, db)
		key, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			out, secret string
			to          []age.Recipient
		}{"a zip": {out: "alice.zip"}, "volumes": {out: "alice"}, "sealed volumes": {"sealed", key.String(), []age.Recipient{key.Recipient()}}, "a sealed zip": {"sealed.zip", "  " + key.String() + "\n", []age.Recipient{key.Recipient()}}} {
			t.Run(name, func(t *testing.T) {
				files := packed(t, c.out, c.to...)
				in := k.loads("alice", files, c.secret)
				if r := in.Report; r == nil || r.Lost() > 0 || r.Held[formats.Contacts].Records != 8 || in.Found.Own != (c.to != nil) || in.Found.Signer.Trusted {
					t.Errorf("%+v, %d lost", in.Found.Own, r.Lost())
				}
				k.cleared()
				if again := k.loads("alice", files, c.secret); !again.Found.Here || !again.Report.Unchanged {
					t.Errorf("a second time it is %+v", again.Report)
				}
				other := k.send("bob", files, 0)
				k.check("bob", other.ID, c.secret)
				if refused := k.await("bob", transfer.IntakeRefused); refused.Fault != transfer.FaultOther {
					t.Errorf("for somebody else it is %s", refused.Fault)
				}
				var stored string
				if err := db.Read.QueryRow(`SELECT detail || keys FROM transfer_intake WHERE person = 'bob'`).Scan(&stored); err != nil || strings.Contains(stored, "AGE-SECRET") {
					t.Errorf("what opens the archive is kept: %s, %v", stored, err)
				}
			})
		}
	})
}

// TestIntakeLocked tries what does not open an archive, and then what does.
func TestIntakeLocked(t *testing.T) {
	k := newIntakes(t, dbtest.SQLite(t))
	phrase, err := age.NewScryptRecipient("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	phrase.SetWorkFactor(10)
	in := k.send("alice", packed(t, "alice.zip", phrase), 0)
	for _, c := range []struct {
		secret string
		fault  transfer.IntakeFault
	}{{"", transfer.FaultNoKey}, {"another horse", transfer.FaultOtherKey}, {"AGE-SECRET-KEY-1X", transfer.FaultOtherKey}} {
		k.check("alice", in.ID, c.secret)
		if locked := k.await("alice", transfer.IntakeLocked); locked.Fault != c.fault {
			t.Errorf("%q: %s", c.secret, locked.Fault)
		}
	}
	k.check("alice", in.ID, "correct horse")
	k.await("alice", transfer.IntakeShown)
}

// TestIntakeHardPassphrase does not spend gigabytes of memory on a passphrase.
func TestIntakeHardPassphrase(t *testing.T) {
	k := newIntakes(t, dbtest.SQLite(t))
	file := filepath.Join(t.TempDir(), "hard.zip.age")
	header := "age-encryption.org/v1\n-> scrypt c2FsdHNhbHRzYWx0c2FsdA 30\n" + strings.Repeat("A", 43) + "\n--- " + strings.Repeat("A", 43) + "\n"
	if err := os.WriteFile(file, []byte(header), 0o600); err != nil {
		t.Fatal(err)
	}
	in := k.send("alice", []string{file}, 0)
	k.check("alice", in.ID, "anything")
	k.await("alice", transfer.IntakeRefused)
}

// TestIntakeGoesOn breaks off while parts come, and kills the gateway while it verifies and loads.
func TestIntakeGoesOn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		k := newIntakes(t, db)
		files := packed(t, "alice")
		k.send("alice", files, 4)
		begun, err := k.Get(t.Context(), "alice")
		if err != nil || begun.Files[0].Got != 150_000 {
			t.Fatalf("%+v, %v", begun, err)
		}
		if err := k.Check(t.Context(), "alice", begun.ID, ""); !errors.Is(err, transfer.ErrIntakePart) {
			t.Error(err)
		}
		if got, err := k.Put(t.Context(), "alice", begun.ID, begun.Files[0].Name, 3, strings.NewReader("x")); !errors.Is(err, transfer.ErrIntakePlace) || got != 150_000 {
			t.Error(got, err)
		}
		in := k.send("alice", files, 0)
		if in.ID != begun.ID {
			t.Error("it begins anew")
		}
		stop := k.stop
		reached := make(chan bool, 10)
		first := true
		k.gate = func(ctx context.Context) error {
			if first {
				first = false
				reached <- true
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		for _, next := range []struct {
			do    func() error
			state transfer.IntakeState
		}{{func() error { return k.Check(t.Context(), "alice", in.ID, "") }, transfer.IntakeShown}, {func() error { return k.Load(t.Context(), "alice", in.ID) }, transfer.IntakeLoaded}} {
			first = true
			stop()
			stop = k.start()
			if err := next.do(); err != nil {
				t.Fatal(err)
			}
			<-reached
			stop()
			stop = k.start()
			k.await("alice", next.state)
		}
	})
}

// TestIntakeRefuses sends what is no archive, or a damaged one: a fault is named, without where it is on the disk, and
// nothing is loaded.
func TestIntakeRefuses(t *testing.T) {
	k := newIntakes(t, dbtest.SQLite(t))
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	zip, err := os.ReadFile(packed(t, "alice.zip")[0])
	if err != nil {
		t.Fatal(err)
	}
	volumes := packed(t, "alice")
	for name, c := range map[string]struct {
		files []string
		fault transfer.IntakeFault
	}{
		"noise":              {[]string{write("noise.zip", []byte("no archive"))}, transfer.FaultDamaged},
		"half":               {[]string{write("half.zip", zip[:len(zip)/2])}, transfer.FaultDamaged},
		"a flipped bit":      {[]string{write("bit.zip", append(bytes.Clone(zip[:len(zip)/2]), append([]byte{zip[len(zip)/2] ^ 1}, zip[len(zip)/2+1:]...)...))}, transfer.FaultDamaged},
		"two archives":       {[]string{write("one.zip", zip), write("two.zip", zip)}, transfer.FaultSeveral},
		"a volume too few":   {volumes[1:], transfer.FaultPart},
		"no index signature": {slices.Delete(slices.Clone(volumes), len(volumes)-2, len(volumes)-1), transfer.FaultPart},
		"a broken age file":  {[]string{write("broken.zip.age", []byte("age-encryption.org/v1\n-> X25519 x\n"))}, transfer.FaultDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			in := k.send("alice", c.files, 0)
			k.check("alice", in.ID, "something")
			refused := k.await("alice", transfer.IntakeRefused)
			if refused.Fault != c.fault {
				t.Errorf("it is refused as %s", refused.Fault)
			}
			for _, f := range refused.Faults {
				if strings.Contains(f.Path+f.Detail, k.dir) {
					t.Errorf("%+v", f)
				}
			}
			if err := k.Load(t.Context(), "alice", in.ID); !errors.Is(err, transfer.ErrIntake) {
				t.Errorf("it can be loaded: %v", err)
			}
		})
	}
	if counts, err := k.who["alice"].Counts(t.Context()); err != nil || len(counts) > 0 {
		t.Errorf("something was loaded: %v, %v", counts, err)
	}
}

// TestIntakeAbandoned removes what nobody goes on with.
func TestIntakeAbandoned(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		k := newIntakes(t, db)
		k.stop()
		k.keep = 500 * time.Millisecond
		k.start()
		in := k.send("alice", packed(t, "alice"), 4)
		k.cleared()
		if _, err := k.Get(t.Context(), "alice"); !errors.Is(err, transfer.ErrNoIntake) {
			t.Error(err)
		}
		if _, err := k.Put(t.Context(), "alice", in.ID, "alice-0001.tar", 150_000, strings.NewReader("x")); !errors.Is(err, transfer.ErrNoIntake) {
			t.Error(err)
		}
	})
}

// TestIntakeLimits takes neither more than it may, nor what is somebody else's, nor two at a time.
func TestIntakeLimits(t *testing.T) {
	k := newIntakes(t, dbtest.SQLite(t))
	file := func(name string, size int64) []transfer.IntakeFile {
		return []transfer.IntakeFile{{Name: name, Size: size}}
	}
	for name, c := range map[string]struct {
		files []transfer.IntakeFile
		want  error
	}{
		"nothing": {nil, transfer.ErrIntakeFiles}, "a path": {file("../x.zip", 1), transfer.ErrIntakeFiles}, "a folder": {file("a/x.zip", 1), transfer.ErrIntakeFiles}, "hidden": {file(".x.zip", 1), transfer.ErrIntakeFiles},
		"no archive": {file("x.exe", 1), transfer.ErrIntakeFiles}, "twice": {append(file("x.zip", 1), file("x.zip", 1)...), transfer.ErrIntakeFiles}, "empty": {file("x.zip", 0), transfer.ErrIntakeFiles},
		"too large": {file("x.zip", k.most+1), transfer.ErrIntakeSize}, "too large together": {append(file("x.zip", k.most), file("y.zip", 1)...), transfer.ErrIntakeSize}, "an overflow": {append(file("x.zip", 1<<62), file("y.zip", 1<<62)...), transfer.ErrIntakeSize},
	} {
		if _, err := k.Begin(t.Context(), "alice", c.files); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	in, err := k.Begin(t.Context(), "alice", file("x.zip", 10))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := k.Put(t.Context(), "alice", in.ID, "x.zip", 0, strings.NewReader("more than ten bytes")); !errors.Is(err, transfer.ErrIntakeSize) || n > 10 {
		t.Error(n, err)
	}
	for name, do := range map[string]func() error{
		"bob adds": func() error {
			_, err := k.Put(t.Context(), "bob", in.ID, "x.zip", 0, strings.NewReader("x"))
			return err
		},
		"bob checks":  func() error { return k.Check(t.Context(), "bob", in.ID, "") },
		"bob removes": func() error { return k.Remove(t.Context(), "bob", in.ID) },
		"another file": func() error {
			_, err := k.Put(t.Context(), "alice", in.ID, "../y", 0, strings.NewReader("x"))
			return err
		},
	} {
		if err := do(); !errors.Is(err, transfer.ErrNoIntake) {
			t.Errorf("%s: %v", name, err)
		}
	}
	again, err := k.Begin(t.Context(), "alice", file("y.zip", 10))
	if entries, _ := os.ReadDir(k.dir); err != nil || again.ID == in.ID || len(entries) != 1 {
		t.Errorf("of what was abandoned something is left: %v, %v", entries, err)
	}
	if err := k.RemoveAll(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(k.dir); err != nil || len(entries) > 0 {
		t.Errorf("files are left: %v, %v", entries, err)
	}
	calls := 0
	_, err = k.Take(t.Context(), "alice", func() (string, io.Reader, error) {
		if calls++; calls == 1 {
			return "x.zip", bytes.NewReader(make([]byte, k.most+1)), nil
		}
		return "", nil, io.EOF
	})
	if _, none := k.Get(t.Context(), "alice"); !errors.Is(err, transfer.ErrIntakeSize) || !errors.Is(none, transfer.ErrNoIntake) {
		t.Errorf("one form that is too large: %v, %v", err, none)
	}
}
