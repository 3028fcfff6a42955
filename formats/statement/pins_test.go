package statement

import (
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// version returns the statement that key n signs as version v, after the former keys.
func version(t *testing.T, v int64, n byte, former ...byte) *Signed {
	t.Helper()
	st := Statement{Version: v, Issued: start.AddDate(0, int(v), 0), Operator: registered()}
	chain := append(append([]byte{}, former...), n)
	for i, k := range chain {
		key := NewKey(UseIdentity, public(newKey(k)), start)
		if i+1 < len(chain) {
			until := start.AddDate(0, i+1, 0)
			key.Until = &until
			st.Succession = append(st.Succession, succeed(t, newKey(k), chain[i+1]))
		}
		st.Keys = append(st.Keys, key)
	}
	return mustSign(t, st, newKey(n))
}

func succeed(t *testing.T, old ed25519.PrivateKey, next byte) string {
	t.Helper()
	link, err := SignSuccession(old, public(newKey(next)), start)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

func TestJudge(t *testing.T) {
	cases := []struct {
		name           string
		pinned, judged *Signed
		level          Level
		parent         error
		text           string
	}{
		{"the pinned one", version(t, 3, 10), version(t, 3, 10), Trusted, nil, ""},
		{"a newer one", version(t, 3, 10), version(t, 4, 10), Trusted, nil, ""},
		{"a newer one of a successor", version(t, 3, 10), version(t, 4, 11, 10), Trusted, nil, ""},
		{"three successions later", version(t, 3, 10), version(t, 9, 13, 10, 11, 12), Trusted, nil, ""},
		{"pinned half-way", version(t, 3, 11, 10), version(t, 9, 13, 10, 11, 12), Trusted, nil, ""},
		{"an older one", version(t, 3, 10), version(t, 2, 10), Older, ErrOlder, "version 2"},
		{"an older one of a predecessor", version(t, 9, 12, 10, 11), version(t, 2, 10), Older, ErrOlder, "version 9 is pinned"},
		{"another key", version(t, 3, 10), version(t, 4, 20), Conflicting, ErrConflict, "never appointed"},
		{"another key, older", version(t, 3, 10), version(t, 1, 20), Conflicting, ErrConflict, "never appointed"},
		{"another key, same version", version(t, 3, 10), version(t, 3, 20), Conflicting, ErrConflict, "never appointed"},
		{"somebody else's succession", version(t, 3, 10), version(t, 4, 11, 20), Conflicting, ErrConflict, "never appointed"},
		{"a replaced key goes on", version(t, 5, 11, 10), version(t, 6, 10), Conflicting, ErrConflict, "had been replaced"},
		{"a replaced key appoints another", version(t, 5, 11, 10), version(t, 6, 20, 10), Conflicting, ErrConflict, "never appointed"},
		{"a successor turns time back", version(t, 5, 10), version(t, 4, 11, 10), Conflicting, ErrConflict, "older than the pinned one"},
		{"a successor with the same version", version(t, 5, 10), version(t, 5, 11, 10), Conflicting, ErrConflict, "two statements"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var pins Pins
			if err := pins.Pin(c.pinned); err != nil {
				t.Fatal(err)
			}
			got := pins.Judge(c.judged)
			if got.Level != c.level || !errors.Is(got.Err, c.parent) || got.Name != "Nuage Exemple SAS" {
				t.Fatalf("got %+v", got)
			}
			if c.text != "" && !strings.Contains(got.Err.Error(), c.text) {
				t.Errorf("it says %v", got.Err)
			}
			if err := pins.Pin(c.judged); (err == nil) != (c.level == Trusted) {
				t.Errorf("pinning it: %v", err)
			}
		})
	}
}

func TestTwoStatementsOfOneVersion(t *testing.T) {
	one := version(t, 3, 10)
	st := one.Statement
	st.LegalName = "Somebody Else SAS"
	var pins Pins
	if err := pins.Pin(one); err != nil {
		t.Fatal(err)
	}
	if got := pins.Judge(mustSign(t, st, newKey(10))); got.Level != Conflicting || !strings.Contains(got.Err.Error(), "two statements") {
		t.Errorf("got %+v", got)
	}
}

func TestUnknownIsNotTrusted(t *testing.T) {
	s := version(t, 1, 10)
	for _, pins := range []*Pins{nil, {}} {
		got := pins.Judge(s)
		if got.Level != Unknown || !errors.Is(got.Err, ErrUnknown) || !strings.Contains(got.Err.Error(), s.Fingerprint()) || got.Newest != nil {
			t.Errorf("got %+v", got)
		}
		if err := got.ArchiveKeyAt(public(newKey(10)), start); !errors.Is(err, ErrUnknown) {
			t.Errorf("got %v", err)
		}
	}
}

// An archive that was signed long ago carries the statement of that time. A key that was revoked since is not
// believed, whatever the old statement says.
func TestTheNewestStatementCounts(t *testing.T) {
	old := Statement{Version: 1, Issued: start, Operator: registered(), Keys: []Key{
		NewKey(UseIdentity, public(newKey(1)), start), NewKey(UseArchive, public(newKey(2)), start)}}
	then := mustSign(t, old, newKey(1))
	old.Version, old.Keys = 2, append([]Key{}, old.Keys...)
	old.Keys[1].Revoked = &Revocation{At: start.AddDate(1, 0, 0), Reason: "stolen"}
	now := mustSign(t, old, newKey(1))

	var pins Pins
	if err := pins.Pin(then); err != nil {
		t.Fatal(err)
	}
	if err := pins.Judge(then).ArchiveKeyAt(public(newKey(2)), start); err != nil {
		t.Errorf("before the revocation is known: %v", err)
	}
	if err := pins.Judge(now).ArchiveKeyAt(public(newKey(2)), start); !errors.Is(err, ErrKey) {
		t.Errorf("the statement itself revokes it: %v", err)
	}
	if err := pins.Pin(now); err != nil {
		t.Fatal(err)
	}
	if err := pins.Judge(then).ArchiveKeyAt(public(newKey(2)), start); err == nil || !strings.Contains(err.Error(), "stolen") {
		t.Errorf("the pinned statement revokes it: %v", err)
	}
}

func TestPinsAreKeptInAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "operators")
	pins, err := LoadPins(dir)
	if err != nil {
		t.Fatal(err)
	}
	one, other := version(t, 1, 10), registered()
	other.ID, other.LegalName = "https://cloud.example.org:8443", "Other SA"
	two := mustSign(t, Statement{Version: 1, Issued: start, Operator: other,
		Keys: []Key{NewKey(UseIdentity, public(newKey(30)), start)}}, newKey(30))
	for _, s := range []*Signed{one, two, version(t, 2, 11, 10)} {
		if err := pins.Pin(s); err != nil {
			t.Fatal(err)
		}
	}
	pins = reload(t, dir)
	if all := pins.All(); len(all) != 2 || all[0].Statement.Version != 2 || all[1].Statement.LegalName != "Other SA" {
		t.Fatalf("read back %d pins", len(all))
	}
	if err := pins.Unpin("cloud.example.org"); err != nil {
		t.Fatal(err)
	}
	if err := pins.Unpin("cloud.example.org"); !errors.Is(err, ErrUnknown) {
		t.Errorf("unpinned twice: %v", err)
	}
	if got := reload(t, dir).Judge(one); got.Level != Unknown {
		t.Errorf("after it was unpinned: %+v", got)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 || left[0].Name() != "https+cloud.example.org+8443.json" {
		t.Errorf("left: %v", left)
	}
}

func reload(t *testing.T, dir string) *Pins {
	t.Helper()
	pins, err := LoadPins(dir)
	if err != nil {
		t.Fatal(err)
	}
	return pins
}

func TestPinFilesPutThereByHand(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("from the ministry.json", version(t, 1, 10).Raw())
	put("README.txt", []byte("not a pin"))
	pins := reload(t, dir)
	if err := pins.Pin(version(t, 2, 10)); err != nil {
		t.Fatal(err)
	}
	if all := reload(t, dir).All(); len(all) != 1 || all[0].Statement.Version != 2 {
		t.Errorf("the file was not replaced: %d pins", len(all))
	}
	put("again.json", version(t, 1, 10).Raw())
	if _, err := LoadPins(dir); err == nil || !strings.Contains(err.Error(), "from the ministry.json") || !strings.Contains(err.Error(), "again.json") {
		t.Errorf("one operator in two files: %v", err)
	}
	put("again.json", version(t, 1, 10).Raw()[:100])
	if _, err := LoadPins(dir); err == nil || !strings.Contains(err.Error(), "again.json") {
		t.Errorf("a cut file: %v", err)
	}
}

func TestPinWhereTheFolderCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadPins(dir); err == nil {
		t.Error("a file was taken for a folder")
	}
	pins := Pins{dir: dir}
	if err := pins.Pin(version(t, 1, 10)); err == nil || len(pins.All()) != 0 {
		t.Errorf("got %v with %d pins", err, len(pins.All()))
	}
}

func TestSuccessionsThatAreRefused(t *testing.T) {
	base := version(t, 4, 12, 10, 11).Statement
	links := base.Succession
	long := make([]string, MaxSuccession+1)
	for i := range long {
		long[i] = links[0]
	}
	statementAsLink := strings.Join(compactParts(t, version(t, 1, 10)), ".")
	cases := map[string][]string{
		"a gap":              {links[0]},
		"the wrong way":      {links[1], links[0]},
		"twice":              {links[0], links[0], links[1]},
		"in a circle":        {succeed(t, newKey(12), 10), links[0], links[1]},
		"to another key":     {links[0], succeed(t, newKey(11), 13)},
		"too long":           long,
		"a statement":        {links[0], statementAsLink},
		"somebody's":         {links[0], forgeLink(t, 20, 11, 12)},
		"cut":                {links[0], links[1][:len(links[1])-4]},
		"nothing":            {""},
		"not even base64url": {links[0], strings.Replace(links[1], ".", ".!", 1)},
	}
	for name, succession := range cases {
		st := base
		st.Succession = succession
		if _, err := Sign(st, newKey(12)); err == nil || !strings.Contains(err.Error(), "succession") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Parse(signedAnyway(t, st, newKey(12))); err == nil || !strings.Contains(err.Error(), "succession") {
			t.Errorf("%s, signed by somebody who does not check: %v", name, err)
		}
	}
}

func compactParts(t *testing.T, s *Signed) []string {
	compact, err := compactOf(s.Raw())
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(compact, ".")
}

// forgeLink lets one key sign that another one appoints a third.
func forgeLink(t *testing.T, signer, from, to byte) string {
	t.Helper()
	payload, err := marshal(succession{successionFormat, edJWK(public(newKey(from))), edJWK(public(newKey(to))), time.Time{}})
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signCompact(newKey(signer), edJWK(public(newKey(signer))), typeSuccession, payload)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func signedAnyway(t *testing.T, st Statement, key ed25519.PrivateKey) []byte {
	t.Helper()
	payload, err := marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signCompact(key, edJWK(public(key)), typeStatement, payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := general(compact)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
