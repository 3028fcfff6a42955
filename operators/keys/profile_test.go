package keys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/statement"
)

func TestFirstProfileIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "operator.json")
	ids := make([]statement.OperatorID, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			profile, err := OpenProfile(path, "My_Host.example.org")
			if err != nil {
				t.Error(err)
			}
			ids[i] = profile.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || !strings.HasPrefix(string(id), "my-host-") || !strings.HasSuffix(string(id), ".invalid") {
			t.Errorf("ids %v", ids)
		}
	}
	profile, err := LoadProfile(path)
	if err != nil || profile.Registered() || !strings.Contains(profile.LegalName, "Unregistered") {
		t.Errorf("%+v, %v", profile, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left over: %v", left)
	}
}

func TestAnyHostNameGivesAnOperator(t *testing.T) {
	for _, host := range []string{"debian", "", "---", "12345", "192.0.2.1", "Émile’s Mac", strings.Repeat("a", 300), "3f2a91c4d5e6", "a\x00b", ".local", strings.Repeat("a-", 60)} {
		profile := Unregistered(host)
		if err := profile.Validate(); err != nil {
			t.Errorf("%q: %v", host, err)
		}
		if other := Unregistered(host); other.ID == profile.ID {
			t.Errorf("%q: two operators have one id", host)
		}
	}
}

func TestProfileSavesAndLoads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "operator.json")
	if _, err := LoadProfile(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none yet: %v", err)
	}
	want := statement.Operator{ID: "cloud.example.org", LegalName: "Nuage <Exemple> & Fils", Country: "FR",
		Registrations: []statement.Registration{{Scheme: "SIREN", Value: "732829320"}},
		Contact:       &statement.Contact{Email: "a@example.org"}, Address: &statement.Address{Locality: "Paris", Country: "FR"}}
	for range 2 { // the second time it replaces
		if err := SaveProfile(path, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := OpenProfile(path, "ignored")
	if err != nil || got.LegalName != want.LegalName || !got.Registered() || *got.Address != *want.Address {
		t.Errorf("%+v, %v", got, err)
	}
	if err := SaveProfile(path, statement.Operator{}); !errors.Is(err, formats.ErrInvalid) {
		t.Errorf("an empty profile: %v", err)
	}
	if again, err := LoadProfile(path); err != nil || again.ID != want.ID {
		t.Errorf("a refused profile replaced the good one: %v", err)
	}
}

func TestProfilesThatAreRefused(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"empty":          {"", "unexpected EOF"},
		"not JSON":       {"id: cloud.example.org", "invalid character"},
		"misspelt":       {`{"id":"cloud.example.org","legalname":"A"}`, "legalname"},
		"twice":          {`{"id":"a.example","id":"b.example","legal_name":"A"}`, "given twice"},
		"all is missing": {`{}`, "id is missing; legal_name is missing"},
		"half of it":     {`{"id":"a.example","legal_name":"A","registrations":[{"scheme":"VAT","value":"FR1"}]}`, "country is missing"},
		"bad id":         {`{"id":"A.example","legal_name":"A"}`, "operator id"},
		"too large":      {strings.Repeat(" ", statement.MaxSize+1), "limit"},
	}
	for name, c := range cases {
		path := filepath.Join(t.TempDir(), "operator.json")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenProfile(path, "debian")
		if !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
