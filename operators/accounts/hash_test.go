package accounts_test

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/operators/accounts"
)

// TestAHashOfAnother signs in by a hash that another implementation computed (argon2-cffi, in its README).
func TestAHashOfAnother(t *testing.T) {
	db := dbtest.SQLite(t)
	a := open(t, db, accounts.Options{})
	set(t, a, "alice", "another password")
	const text = "$argon2id$v=19$m=65536,t=3,p=4$MIIRqgvgQbgj220jfp0MPA$YfwJSVjtjSU0zzV/P3S9nnQ/USre2wvJMjfCIjrTQbg"
	if _, err := db.Write.Exec(`UPDATE accounts_account SET hash = $1`, text); err != nil {
		t.Fatal(err)
	}
	signIn(t, a, "alice", "correct horse battery staple", office)
	refuse(t, a, "alice", "another password", office, accounts.ErrCredentials)
}

func TestParseHash(t *testing.T) {
	const salt, tag = "c29tZXNhbHRzb21lc2FsdA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	const good = "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + tag
	cost, text, err := accounts.ParseHash(good)
	if err != nil || text != good || cost != accounts.DefaultCost() {
		t.Fatalf("%v, %s, %v", cost, text, err)
	}
	for _, bad := range []string{
		"",
		"$",
		strings.TrimPrefix(good, "$"),
		good + "$",
		good + "\n",
		strings.Replace(good, "argon2id", "argon2i", 1),
		strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "$v=19", "", 1),
		strings.Replace(good, "m=19456", "m=019456", 1),
		strings.Replace(good, "m=19456", "m=+19456", 1),
		strings.Replace(good, "m=19456", "m=7", 1),
		strings.Replace(good, "m=19456", "m=4194304", 1),
		strings.Replace(good, "m=19456", "m=4294967297", 1),
		strings.Replace(good, "t=2", "t=0", 1),
		strings.Replace(good, "t=2", "t=65", 1),
		strings.Replace(good, "p=1", "p=0", 1),
		strings.Replace(good, "p=1", "p=257", 1),
		strings.Replace(good, "p=1", "p=1,data=x", 1),
		strings.Replace(good, "m=19456,t=2", "t=2,m=19456", 1),
		strings.Replace(good, salt, "", 1),
		strings.Replace(good, salt, "AAAA", 1),
		strings.Replace(good, salt, salt+"=", 1),
		strings.Replace(good, salt, "c29tZXNhbHRzb21lc2FsdB", 1), // bits that say nothing are set
		strings.Replace(good, salt, strings.Repeat("A", 88), 1),
		strings.Replace(good, tag, "AAAA", 1),
		strings.Replace(good, tag, tag[:10]+"\n"+tag[10:], 1),
		strings.Replace(good, tag, strings.Repeat("A", 1<<20), 1),
	} {
		if _, _, err := accounts.ParseHash(bad); err == nil {
			t.Errorf("%.120q is a hash", bad)
		}
	}
}

// FuzzParseHash: what is a hash is written in one way, and never takes the machine.
func FuzzParseHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=64,t=1,p=8$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=,t=,p=$$")
	f.Fuzz(func(t *testing.T, text string) {
		cost, again, err := accounts.ParseHash(text)
		if err != nil {
			return
		}
		if again != text {
			t.Errorf("%q is written %q", text, again)
		}
		if cost.Memory > 1<<20 || cost.Passes > 64 || cost.Passes == 0 || cost.Threads == 0 || cost.Memory < 8*uint32(cost.Threads) {
			t.Errorf("it takes %s", cost)
		}
	})
}

// TestAFloodTakesLittleMemory signs a hundred persons in at a time, by hashes as they really are.
func TestAFloodTakesLittleMemory(t *testing.T) {
	const persons, atATime = 100, 2
	a := open(t, dbtest.SQLite(t), accounts.Options{Cost: accounts.DefaultCost(), Hashes: atATime})
	set(t, a, "alice", password)
	var mu sync.Mutex
	running, most := 0, 0
	a.OnHash(func(_ accounts.Cost, compute func()) {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		compute()
		mu.Lock()
		running--
		mu.Unlock()
	})
	runtime.GC()
	before, peak := heap(), uint64(0)
	var all sync.WaitGroup
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				peak = max(peak, heap())
			}
		}
	}()
	for n := range persons {
		all.Go(func() {
			_, _, err := a.SignIn(t.Context(), address(n), password, at(address(n))) // all of them unknown: they cost the same
			if err != accounts.ErrCredentials {
				t.Error(err)
			}
		})
	}
	all.Wait()
	close(done)
	<-watched
	if most != atATime {
		t.Errorf("%d hashes at a time, want %d", most, atATime)
	}
	// A hundred at a time would be 1.9 GB. What one leaves is collected a while later.
	grown := int64(peak) - int64(before)
	t.Logf("%d MB more at most", grown>>20)
	if grown > 200<<20 {
		t.Errorf("%d MB more at most", grown>>20)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
